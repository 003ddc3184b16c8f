"""The live view of a broadcast: what a person, a log and a program are told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.engine import Course
from wacoex_cli.broadcast.model import CodeCount, Counts, Held, RowState, Snapshot

MORNING = datetime(2026, 11, 8, 0, 0, tzinfo=UTC)
BUSY = Snapshot(
    counts=Counts(
        {
            RowState.PENDING: 3_000,
            RowState.SENDING: 6,
            RowState.ACCEPTED: 900,
            RowState.DELIVERED: 300,
            RowState.READ: 20,
            RowState.FAILED: 4,
            RowState.AMBIGUOUS: 2,
            RowState.SKIPPED: 11,
        }
    ),
    last_second=19,
    peak=20,
    codes=(CodeCount(131026, RowState.FAILED, 4), CodeCount(1, RowState.AMBIGUOUS, 2)),
    finished_rate=19.4,
)


def test_a_person_sees_the_rate_the_outcomes_and_the_errors_with_their_meaning() -> None:
    assert report.lines(BUSY) == (
        "19/s now, most in one second: 20, about 3 min left",
        "1220 accepted (320 delivered, 20 read), 4 failed, 2 ambiguous",
        "code 131026 (4 failed): the message cannot be delivered: no WhatsApp, an old version, or"
        " terms not accepted",
        "code 1 (2 ambiguous): the request was malformed, or Meta's server failed: the message may"
        " have gone out",
    )


def test_a_log_gets_the_same_in_one_line() -> None:
    assert report.line(BUSY) == (
        "1220 accepted (320 delivered, 20 read), 4 failed, 2 ambiguous, 19/s now, at most 20 in one"
        " second, 4 failed with code 131026, 2 ambiguous with code 1, about 3 min left"
    )


def test_a_program_gets_every_number() -> None:
    told = report.to_json(BUSY)

    assert told["counts"]["accepted"] == 900
    assert told["counts"]["skipped"] == 11
    assert told["rate"] == {
        "now": 19,
        "last_minute": 19.4,
        "peak_in_one_second": 20,
        "told_limit": None,
    }
    assert told["codes"][0] == {
        "code": 131026,
        "state": "failed",
        "n": 4,
        "meaning": "the message cannot be delivered: no WhatsApp, an old version, or terms not"
        " accepted",
    }
    assert (told["held"], told["seconds_left"]) == ([], 155)
    json.dumps(told, allow_nan=False)


def test_who_is_held_by_quiet_hours_is_told_in_their_own_time_and_waits_for_nothing_else() -> None:
    counts = Counts({RowState.PENDING: 194, RowState.RETRY: 1_300})
    held = (
        Held(1_204, MORNING, "Asia/Singapore"),
        Held(88, datetime(2026, 11, 8, 7, tzinfo=UTC), "Europe/Berlin"),
        Held(5, datetime(2026, 11, 8, 13, tzinfo=UTC), "America/New_York"),
    )
    shot = replace(BUSY, counts=counts, codes=(), held=held)

    assert report.lines(shot) == (
        "19/s now, most in one second: 20, about 10 s left",
        "0 accepted, 0 failed, 0 ambiguous, 3 retry",
        "1204 held until 08:00 in Asia/Singapore",
        "88 held until 08:00 in Europe/Berlin",
        "5 held until later",
    )
    assert "1204 held until 08:00 in Asia/Singapore" in report.line(shot)
    assert report.to_json(shot)["held"][0] == {
        "rows": 1_204,
        "until": "2026-11-08T00:00:00.000Z",
        "timezone": "Asia/Singapore",
    }


def test_when_everybody_left_is_held_there_is_no_time_left_to_estimate() -> None:
    counts = Counts({RowState.RETRY: 7, RowState.ACCEPTED: 3})
    shot = replace(BUSY, counts=counts, held=(Held(7, MORNING, "Asia/Singapore"),))

    assert shot.seconds_left is None
    assert report.to_json(shot)["seconds_left"] is None
    assert "left" not in report.line(shot)


def test_a_limit_that_the_api_tells_is_shown() -> None:
    shot = replace(BUSY, told_limit=5.0)

    assert report.lines(shot)[0].startswith(
        "19/s now, most in one second: 20, the API takes 5/s, about"
    )
    assert report.to_json(shot)["rate"]["told_limit"] == 5.0


def test_at_the_end_there_is_no_rate_now() -> None:
    over = Snapshot(Counts({RowState.READ: 3}), last_second=3, peak=3, finished_rate=2.0)

    assert report.lines(over) == (
        "most in one second: 3",
        "3 accepted (3 delivered, 3 read), 0 failed, 0 ambiguous",
    )
    assert report.line(over).endswith("0 ambiguous, at most 3 in one second")


def test_many_codes_are_cut_short_for_a_person_not_for_a_program() -> None:
    codes = tuple(CodeCount(131000 + n, RowState.REJECTED, 20 - n) for n in range(1, 10))
    shot = replace(BUSY, codes=codes)

    assert report.lines(shot)[-1] == "and 50 with other codes"
    assert len([text for text in report.lines(shot) if text.startswith("code ")]) == 5
    assert len(report.to_json(shot)["codes"]) == 9


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.2, "about 10 s"),
        (42, "about 40 s"),
        (54, "about 50 s"),
        (58, "about 1 min"),
        (92, "about 2 min"),
        (3_599, "about 1 h 0 min"),
        (52_300, "about 14 h 32 min"),
    ],
)
def test_an_estimate_is_no_finer_than_it_deserves(seconds: float, told: str) -> None:
    assert report.about(seconds) == told


def test_the_rate_for_the_estimate_is_that_of_the_last_minute() -> None:
    course = Course()
    assert course.rate(0, 1_000.0) is None
    assert course.rate(40, 1_002.0) is None, "too early to say"
    for second in range(3, 61):
        rate = course.rate(20 * second, 1_000.0 + second)
    assert rate == pytest.approx(20.0)

    for second in range(61, 122):
        rate = course.rate(1_200 + 5 * (second - 60), 1_000.0 + second)
    assert rate == pytest.approx(5.0), "what was before the last minute is forgotten"


def test_rows_that_are_open_again_never_make_the_rate_negative() -> None:
    course = Course()
    course.rate(10, 1_000.0)
    assert course.rate(7, 1_010.0) == 0.0
    assert replace(BUSY, finished_rate=0.0).seconds_left is None
