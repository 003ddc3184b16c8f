"""Nobody is written to in the night of the place their number is from."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.broadcast.guards import NEVER, QuietHours, held_until
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import zones_of

NIGHT = QuietHours(time(21), time(8))
ZONES = (
    "Asia/Singapore",
    "America/New_York",
    "Europe/London",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Pago_Pago",
    "Pacific/Kiritimati",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("21:00-08:00", "21:00-08:00"),
        (" 9:30-17:15 ", "09:30-17:15"),
        ("00:00-6:00", "00:00-06:00"),
    ],
)
def test_hours_are_read_as_people_type_them(text, shown):
    assert str(QuietHours.parse(text)) == shown


@pytest.mark.parametrize("text", ["", "21-8", "21:00", "24:00-08:00", "21:60-08:00", "nights"])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match="not understood") as refused:
        QuietHours.parse(text)
    assert "21:00-08:00" in str(refused.value.hint)


def test_hours_that_never_end_are_refused():
    with pytest.raises(UsageError, match="nothing could ever be sent"):
        QuietHours.parse("08:00-8:00")


@pytest.mark.parametrize(
    ("clock_time", "is_quiet"),
    [("20:59", False), ("21:00", True), ("00:00", True), ("07:59", True), ("08:00", False)],
)
def test_a_night_goes_over_midnight(clock_time, is_quiet):
    assert NIGHT.includes(time.fromisoformat(clock_time)) is is_quiet


def test_during_the_day_nobody_is_held_back():
    assert held_until(("Asia/Singapore",), NIGHT, at("2026-11-20T12:00:00+08:00")) is None


def test_at_night_a_row_is_held_until_the_morning_there():
    held = held_until(("Asia/Singapore",), NIGHT, at("2026-11-20T23:10:05+08:00"))
    assert held == at("2026-11-21T08:00:00+08:00")


def test_of_several_zones_the_strictest_counts():
    zones = ("America/New_York", "America/Los_Angeles")
    held = held_until(zones, NIGHT, at("2026-11-20T09:00:00-05:00"))
    assert held == at("2026-11-20T08:00:00-08:00")


def test_zones_that_are_never_awake_together_leave_no_moment():
    assert (
        held_until(
            ("Europe/London", "Pacific/Auckland"),
            QuietHours(time(17), time(9)),
            at("2026-06-20T12:00:00Z"),
        )
        is NEVER
    )


def test_a_night_in_which_the_clocks_go_forward_is_an_hour_shorter():
    hours = QuietHours(time(22), time(2, 30))
    # At 2:00 it is 3:00: the end is skipped, and is over at once.
    held = held_until(("America/New_York",), hours, at("2026-03-07T23:00:00-05:00"))
    assert held == at("2026-03-08T03:00:00-04:00")


def test_a_night_in_which_the_clocks_go_back_begins_again():
    hours = QuietHours(time(22), time(1, 30))
    zone = ("America/New_York",)
    # From 1:30 to 2:00 it is over, then it is 1:00 once more.
    assert held_until(zone, hours, at("2026-11-01T05:40:00Z")) is None
    assert held_until(zone, hours, at("2026-11-01T06:10:00Z")) == at("2026-11-01T06:30:00Z")


@given(
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(tuple),
    start=st.times(),
    minutes=st.integers(1, 24 * 60 - 1),
    passed=st.timedeltas(timedelta(), timedelta(days=270)),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_first_minute_at_which_nobody_sleeps(zones, start, minutes, passed):
    start = start.replace(second=0, microsecond=0)
    first = at("2026-03-01T00:00:00Z")
    end = (datetime.combine(first, start) + timedelta(minutes=minutes)).time()
    hours, now = QuietHours(start, end), first + passed
    known = [zoneinfo.ZoneInfo(zone) for zone in zones]

    def is_quiet(moment: datetime) -> bool:
        return any(hours.includes(moment.astimezone(zone).time()) for zone in known)

    held = held_until(zones, hours, now)

    if held is None:
        assert not is_quiet(now)
        return
    last = min(held, now + timedelta(hours=47))
    moment = now.replace(second=0, microsecond=0)
    while moment < last:
        assert is_quiet(moment)
        moment += timedelta(minutes=1)
    assert held is NEVER or not is_quiet(held)


@pytest.mark.parametrize(
    ("phone", "zones"),
    [
        ("+6591234567", ("Asia/Singapore",)),
        ("+8801712345678", ("Asia/Dhaka",)),
        ("+12125550100", ("America/New_York",)),
        ("+14155550100", ("America/Los_Angeles",)),
        ("+870773123456", ()),
    ],
)
def test_a_number_tells_where_its_owner_may_be(phone, zones):
    assert zones_of(phone) == zones


@pytest.mark.parametrize(
    ("phone", "some"),
    [
        ("+79161234567", {"Europe/Moscow", "Asia/Vladivostok"}),
        ("+61412345678", {"Australia/Sydney", "Australia/Perth"}),
        # A range that the numbering plans, as far as they are known, do not have.
        ("+5210000000000", {"America/Mexico_City", "America/Tijuana"}),
    ],
)
def test_a_mobile_number_of_a_wide_country_may_be_anywhere_in_it(phone, some):
    assert some <= set(zones_of(phone))
