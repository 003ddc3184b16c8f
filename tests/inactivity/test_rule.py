"""The 14-day rule: what evidence is worth, which stage follows, and when a notice is due."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.devices.model import Interval
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.settings import InactivitySettings, Trust
from wacoex_cli.inactivity.model import Grade, GradedSign, LastNotice, NoticeKind, Stage
from wacoex_cli.inactivity.rule import (
    days_until,
    due,
    grade,
    is_of_first_sync,
    standing,
    tomorrow_morning,
)

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
DEFAULTS = InactivitySettings()
GRADES = {
    "confirmed": Grade.PROOF,
    "connected": Grade.PROOF,
    "echo_primary": Grade.STRONG,
    "phonebook": Grade.WEAK,
    "echo": Grade.WEAK,
}


def sign(name: str, at: datetime, said_by: str = "") -> GradedSign:
    return GradedSign(name, GRADES[name], at, "meta", said_by)


def proof(age: timedelta) -> GradedSign:
    return sign("confirmed", NOW - age)


@pytest.mark.parametrize(
    ("age", "stage", "days_left"),
    [
        (timedelta(0), Stage.OK, 14.0),
        (10 * DAY - INSTANT, Stage.OK, 4.0),
        (10 * DAY, Stage.WARNING, 4.0),
        (12 * DAY - INSTANT, Stage.WARNING, 2.0),
        (12 * DAY, Stage.CRITICAL, 2.0),
        (13 * DAY, Stage.CRITICAL, 1.0),
        (14 * DAY - INSTANT, Stage.CRITICAL, 0.1),
        (14 * DAY, Stage.OVERDUE, 0.0),
        (14 * DAY + INSTANT, Stage.OVERDUE, -0.1),
        (15.25 * DAY, Stage.OVERDUE, -1.2),
        (10_000 * DAY, Stage.OVERDUE, -9986.0),
    ],
    ids=str,
)
def test_a_stage_begins_at_its_very_instant(age: timedelta, stage: Stage, days_left: float) -> None:
    found = standing([proof(age)], DEFAULTS, NOW)

    assert (found.stage, found.days_left) == (stage, days_left)
    assert found.last_opened_at == NOW - age
    assert found.deadline_at == NOW - age + 14 * DAY
    assert found.act_by_at == NOW - age + 13 * DAY


def test_settings_move_warning_critical_and_act_by_but_not_the_deadline() -> None:
    settings = InactivitySettings(warning_days=3, critical_days=3.5, act_by_days=5)

    early, late = (standing([proof(age * DAY)], settings, NOW) for age in (3, 3.5))

    assert (early.stage, late.stage) == (Stage.WARNING, Stage.CRITICAL)
    assert early.act_by_at == NOW + 2 * DAY
    assert early.deadline_at == NOW + 11 * DAY


def test_without_any_evidence_it_is_unknown_and_never_ok() -> None:
    found = standing([], DEFAULTS, NOW)

    assert (found.stage, found.grade) == (Stage.UNKNOWN, Grade.NONE)
    assert (found.last_opened_at, found.deadline_at, found.days_left) == (None, None, None)


def test_only_weak_evidence_is_unknown_too_but_named() -> None:
    found = standing([sign("echo", NOW - DAY), sign("phonebook", NOW)], DEFAULTS, NOW)

    assert (found.stage, found.counted) == (Stage.UNKNOWN, None)
    assert [entry.name for entry in found.weaker] == ["phonebook", "echo"]


@pytest.mark.parametrize(
    ("trust", "counted", "weaker"),
    [
        ("proof", "confirmed", ["echo", "echo_primary"]),
        ("strong", "echo_primary", ["echo"]),
        ("weak", "echo", []),
    ],
)
def test_the_clock_runs_from_the_newest_evidence_that_is_trusted(
    trust: Trust, counted: str, weaker: list[str]
) -> None:
    settings = InactivitySettings(trust=trust)
    signs = [
        sign("confirmed", NOW - 9 * DAY),
        sign("phonebook", NOW - 10 * DAY),
        sign("echo_primary", NOW - 5 * DAY),
        sign("echo", NOW - DAY),
        sign("echo", NOW - 2 * DAY),
    ]

    found = standing(signs, settings, NOW)

    assert found.counted is not None
    assert found.counted.name == counted
    assert [entry.name for entry in found.weaker] == weaker


@pytest.mark.parametrize(
    ("ahead", "is_future"),
    [
        (timedelta(seconds=1), False),
        (timedelta(minutes=5), False),
        (timedelta(minutes=5) + INSTANT, True),
        (3 * DAY, True),
    ],
    ids=str,
)
def test_evidence_ahead_of_the_clock_counts_as_now_or_not_at_all(
    ahead: timedelta, is_future: bool
) -> None:
    ahead_of_us = sign("confirmed", NOW + ahead)

    found = standing([ahead_of_us, proof(11 * DAY)], DEFAULTS, NOW)

    if is_future:
        assert (found.future, found.stage) == ((ahead_of_us,), Stage.WARNING)
        assert found.last_opened_at == NOW - 11 * DAY
    else:
        assert (found.future, found.stage) == ((), Stage.OK)
        assert (found.last_opened_at, found.days_left) == (NOW, 14.0)


def test_a_clock_that_went_back_makes_yesterdays_evidence_future_and_raises_nothing() -> None:
    yesterday = NOW - DAY

    found = standing([sign("confirmed", NOW)], DEFAULTS, yesterday)

    assert (found.stage, len(found.future)) == (Stage.UNKNOWN, 1)


def test_a_loss_and_a_new_connection_start_the_countdown_again() -> None:
    before = [sign("confirmed", NOW - 20 * DAY), sign("echo_primary", NOW - 16 * DAY)]

    lost = standing(before, DEFAULTS, NOW)
    again = standing([*before, sign("connected", NOW - DAY)], DEFAULTS, NOW)

    assert (lost.stage, lost.last_opened_at) == (Stage.OVERDUE, NOW - 16 * DAY)
    assert (again.stage, again.days_left) == (Stage.OK, 13.0)


@pytest.mark.parametrize(
    ("zone", "opened"),
    [("Europe/Berlin", "2026-10-20T09:00"), ("America/New_York", "2026-03-01T09:00")],
)
def test_fourteen_days_are_336_hours_also_when_the_clocks_change(zone: str, opened: str) -> None:
    moment = datetime.fromisoformat(opened).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)

    found = standing([sign("confirmed", moment)], DEFAULTS, moment)
    just_before = standing([sign("confirmed", moment)], DEFAULTS, moment + 336 * DAY / 24 - INSTANT)

    assert found.deadline_at is not None
    assert found.deadline_at - moment == timedelta(hours=336)
    assert just_before.stage is Stage.CRITICAL
    assert found.deadline_at.astimezone(ZoneInfo(zone)).hour != 9


def test_evidence_written_in_another_zone_is_the_same_evidence() -> None:
    far = sign("confirmed", (NOW - 10 * DAY).astimezone(ZoneInfo("Pacific/Kiritimati")))

    assert standing([far], DEFAULTS, NOW).stage is Stage.WARNING


def test_an_echo_is_strong_only_while_the_phone_was_known_to_be_alone() -> None:
    alone = (
        Interval("2026-11-01T00:00:00.000Z", "2026-11-05T00:00:00.000Z"),
        Interval("2026-11-10T00:00:00.000Z", None),
    )

    def graded(at: str) -> tuple[str, Grade]:
        return grade(EvidenceKind.ECHO, at, alone)

    assert graded("2026-10-31T23:59:59.999Z") == ("echo", Grade.WEAK)
    assert graded("2026-11-01T00:00:00.000Z") == ("echo_primary", Grade.STRONG)
    assert graded("2026-11-04T23:59:59.999Z") == ("echo_primary", Grade.STRONG)
    assert graded("2026-11-05T00:00:00.000Z") == ("echo", Grade.WEAK)
    assert graded("2027-01-01T00:00:00.000Z") == ("echo_primary", Grade.STRONG)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (EvidenceKind.CONFIRMED, ("confirmed", Grade.PROOF)),
        (EvidenceKind.CONNECTED, ("connected", Grade.PROOF)),
        (EvidenceKind.PHONEBOOK, ("phonebook", Grade.WEAK)),
        (EvidenceKind.ECHO, ("echo", Grade.WEAK)),
    ],
)
def test_without_confirmed_devices_only_some_evidence_is_proof(
    kind: EvidenceKind, named: tuple[str, Grade]
) -> None:
    assert grade(kind, to_text(NOW), ()) == named


@pytest.mark.parametrize(
    ("hours", "is_first"), [(-1, False), (0, True), (23.99, True), (24, False), (400, False)]
)
def test_the_phonebook_proves_nothing_for_a_day_after_the_first_sync(
    hours: float, is_first: bool
) -> None:
    at = NOW + timedelta(hours=hours)

    assert is_of_first_sync(at, NOW, None) is is_first
    assert is_of_first_sync(at, None, NOW) is is_first
    assert not is_of_first_sync(at, None, None)


SIGNS = st.builds(
    sign,
    st.sampled_from(sorted(GRADES)),
    st.integers(-40 * 24 * 60, 3 * 24 * 60).map(lambda minutes: NOW + timedelta(minutes=minutes)),
    st.sampled_from(["", "ana", "ben"]),
)


@given(st.lists(SIGNS, max_size=12), st.sampled_from(["proof", "strong", "weak"]), st.randoms())
def test_order_and_repetition_change_nothing(
    signs: list[GradedSign], trust: Trust, chance: random.Random
) -> None:
    settings = InactivitySettings(trust=trust)
    again = [*signs, *signs]
    chance.shuffle(again)

    found, shuffled = (standing(entry, settings, NOW) for entry in (signs, again))

    assert shuffled._replace(future=()) == found._replace(future=())
    assert set(shuffled.future) == set(found.future)


@given(st.lists(SIGNS, max_size=12))
def test_more_evidence_never_brings_the_deadline_nearer(signs: list[GradedSign]) -> None:
    before = standing(signs[1:], DEFAULTS, NOW).deadline_at
    after = standing(signs, DEFAULTS, NOW).deadline_at

    assert before is None or (after is not None and after >= before)


@given(st.lists(SIGNS, max_size=12), st.integers(0, 30 * 24 * 60))
def test_time_alone_only_makes_it_worse(signs: list[GradedSign], minutes: int) -> None:
    # Without what is in the future: that counts once its time is there.
    past = [entry for entry in signs if entry.at <= NOW]
    worse = [Stage.OK, Stage.WARNING, Stage.CRITICAL, Stage.OVERDUE]

    first = standing(past, DEFAULTS, NOW)
    later = standing(past, DEFAULTS, NOW + timedelta(minutes=minutes))

    assert later.deadline_at == first.deadline_at
    if first.stage is not Stage.UNKNOWN:
        assert worse.index(later.stage) >= worse.index(first.stage)


@given(st.integers(-40 * 86_400_000, 14 * 86_400_000))
def test_days_left_are_a_tenth_off_at_most_and_never_zero_while_time_is_left(
    milliseconds: int,
) -> None:
    left = timedelta(milliseconds=milliseconds)

    days = days_until(NOW + left, NOW)

    assert abs(days - left / DAY) <= 0.1
    assert (days > 0) == (left > timedelta(0))
    assert (days == 0) == (left == timedelta(0))


NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
OK, WARNING, CRITICAL = Stage.OK, Stage.WARNING, Stage.CRITICAL
OVERDUE, UNKNOWN = Stage.OVERDUE, Stage.UNKNOWN
STAGE, REPEAT = NoticeKind.STAGE, NoticeKind.REPEAT
RECOVERY, REMOVED = NoticeKind.RECOVERY, NoticeKind.REMOVED


def last(stage: Stage, hours_ago: float = 1, kind: NoticeKind = STAGE) -> LastNotice:
    return LastNotice(kind, stage, NOW - timedelta(hours=hours_ago))


@pytest.mark.parametrize(
    ("stage", "former", "expected"),
    [
        (OK, None, None),
        (WARNING, None, STAGE),
        (CRITICAL, None, STAGE),
        (OVERDUE, None, STAGE),
        (UNKNOWN, None, STAGE),
        (WARNING, last(WARNING), None),
        (WARNING, last(WARNING, 48), None),
        (UNKNOWN, last(UNKNOWN, 48), None),
        (CRITICAL, last(WARNING), STAGE),
        (OVERDUE, last(CRITICAL), STAGE),
        (WARNING, last(CRITICAL), STAGE),
        (UNKNOWN, last(OVERDUE), STAGE),
        (CRITICAL, last(CRITICAL, 23.99), None),
        (CRITICAL, last(CRITICAL, 24), REPEAT),
        (OVERDUE, last(OVERDUE, 23.99, REPEAT), None),
        (OVERDUE, last(OVERDUE, 24, REPEAT), REPEAT),
        (OK, last(WARNING), RECOVERY),
        (OK, last(UNKNOWN), RECOVERY),
        (OK, last(OVERDUE, 30, REPEAT), RECOVERY),
        (OK, last(OK, 1, RECOVERY), None),
        (OK, last(OK, 400, RECOVERY), None),
        (WARNING, last(OK, 400, RECOVERY), STAGE),
    ],
)
def test_each_stage_gets_one_notice_and_a_grave_stage_one_every_24_hours(
    stage: Stage, former: LastNotice | None, expected: NoticeKind | None
) -> None:
    assert due(stage, "connected", former, NOW) is expected


@pytest.mark.parametrize("stage", list(Stage))
def test_an_archived_channel_never_gets_a_notice(stage: Stage) -> None:
    assert due(stage, "archived", None, NOW) is None
    assert due(stage, "archived", last(OVERDUE, 48), NOW) is None


@pytest.mark.parametrize("stage", list(Stage))
def test_a_removed_channel_gets_one_notice_at_any_stage(stage: Stage) -> None:
    assert due(stage, "removed", None, NOW) is REMOVED
    assert due(stage, "removed", last(OVERDUE), NOW) is REMOVED
    assert due(stage, "removed", last(OVERDUE, 999, REMOVED), NOW) is None


def test_a_channel_that_came_back_starts_again() -> None:
    removed = last(OVERDUE, 5, REMOVED)

    assert due(OK, "settling", removed, NOW) is RECOVERY
    assert due(OVERDUE, "connected", removed, NOW) is STAGE
    assert due(UNKNOWN, None, removed, NOW) is STAGE


def test_a_notice_dated_in_the_future_does_not_silence_the_reminder() -> None:
    assert due(OVERDUE, "connected", last(OVERDUE, -24 * 365), NOW) is REPEAT
    assert due(CRITICAL, "connected", last(WARNING, -24 * 365), NOW) is STAGE


@pytest.mark.parametrize(
    ("stage", "sent_hours_ago", "wanted_hours_ago", "expected"),
    [
        (WARNING, 20, 1, REPEAT),
        (UNKNOWN, 20, 0, REPEAT),
        (WARNING, 20, -1, None),
        (WARNING, 1, 2, None),
        (CRITICAL, 20, 1, REPEAT),
        (OK, 20, 1, RECOVERY),
    ],
)
def test_a_requested_notice_comes_at_its_moment(
    stage: Stage, sent_hours_ago: float, wanted_hours_ago: float, expected: NoticeKind | None
) -> None:
    former = last(WARNING if stage is OK else stage, sent_hours_ago)
    wanted = NOW - timedelta(hours=wanted_hours_ago)

    assert due(stage, "connected", former, NOW, wanted) is expected


@pytest.mark.parametrize(
    ("now", "zone", "morning"),
    [
        ("2026-11-07T12:00+00:00", "Asia/Singapore", "2026-11-08T00:00+00:00"),
        ("2026-11-07T20:00+00:00", "Asia/Singapore", "2026-11-09T00:00+00:00"),
        ("2026-10-24T12:00+00:00", "Europe/Berlin", "2026-10-25T07:00+00:00"),
    ],
)
def test_tomorrow_begins_in_the_morning_of_the_zone(now: str, zone: str, morning: str) -> None:
    requests = datetime.fromisoformat(now)

    assert tomorrow_morning(requests, ZoneInfo(zone)) == datetime.fromisoformat(morning)
