"""Moments as people in a time zone write and read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import local_text, moment_ahead, moment_from


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-11-20T09:30:00Z", "Asia/Singapore", "2026-11-20T09:30:00"),
        ("2026-11-20T09:30:00+01:00", "UTC", "2026-11-20T08:30:00"),
        ("2026-11-20 09:30", "Asia/Singapore", "2026-11-20T01:30:00"),
        (" 2026-11-20T09:30 ", "UTC", "2026-11-20T09:30:00"),
        ("2026-11-20", "America/Lima", "2026-11-20T05:00:00"),
        # The clocks show 02:30 twice that night: the first of them counts.
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25T00:30:00"),
    ],
)
def test_a_time_is_read_in_its_zone(text: str, zone: str, moment: str) -> None:
    assert moment_from(text, zone) == datetime.fromisoformat(moment).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "9:30", "0001-01-01 00:00"])
def test_a_wrong_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time") as refused:
        moment_from(text, "Asia/Singapore")

    assert "2026-11-20 09:30` for the time in Asia/Singapore" in str(refused.value.hint)


def test_an_hour_that_the_clocks_skip_is_refused() -> None:
    with pytest.raises(UsageError, match="the clocks skip that hour"):
        moment_from("2026-03-29 02:30", "Europe/Berlin")


def test_a_moment_is_shown_as_the_clocks_there_show_it() -> None:
    moment = datetime(2026, 11, 20, 1, 30, tzinfo=UTC)

    assert local_text(moment, "Asia/Singapore") == "2026-11-20 09:30 Asia/Singapore"
    assert local_text(moment, "America/Lima") == "2026-11-19 20:30 America/Lima"


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("21:00", "2026-11-23T13:00:00+00:00"),
        ("9:30", "2026-11-24T01:30:00+00:00"),
        ("20:00", "2026-11-24T12:00:00+00:00"),
        ("2026-11-30 09:30", "2026-11-30T01:30:00+00:00"),
        ("2026-11-30T09:30:00Z", "2026-11-30T09:30:00+00:00"),
    ],
)
def test_a_time_of_day_is_the_next_one_there(typed, moment):
    eight_in_the_evening = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
    ahead = moment_ahead(typed, "Asia/Singapore", eight_in_the_evening)
    assert ahead.isoformat() == moment


def test_a_wrong_time_of_day_is_refused():
    now = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
    with pytest.raises(UsageError, match="is not a time"):
        moment_ahead("25:00", "Asia/Singapore", now)
