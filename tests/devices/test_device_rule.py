"""When an echo can only have come from the phone, and whether a companion is linked."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.devices.model import Break, Confirmation, Device, DeviceKind, DeviceState
from wacoex_cli.devices.rule import Interval, breaks, free_slots, primary_only, state_of


def at(day: int, hour: int = 12) -> str:
    return f"2026-11-{day:02}T{hour:02}:00:00.000Z"


def device(
    number: int, linked: int, *, relinked: int | None = None, removed: int | None = None
) -> Device:
    return Device(
        number,
        1,
        DeviceKind.WEB,
        "web",
        at(linked),
        relinked_at=at(relinked) if relinked else None,
        removed_at=at(removed) if removed else None,
    )


def said(day: int, companions: int = 0, *, known: int = 0) -> Confirmation:
    """Somebody confirms a list that knows companions up to that number."""
    return Confirmation(at(day), "Ana", companions, known)


def test_nobody_has_confirmed_so_anything_may_have_sent_it() -> None:
    assert primary_only([], []) == ()


def test_an_empty_list_that_is_confirmed_counts_from_that_moment() -> None:
    assert primary_only([], [said(5)]) == (Interval(at(5), None),)


def test_a_list_that_holds_a_companion_proves_nothing() -> None:
    assert primary_only([device(1, 3)], [said(5, companions=1, known=1)]) == ()


def test_it_ends_when_the_next_companion_is_linked() -> None:
    devices = [device(1, 8), device(2, 7)]

    assert primary_only(devices, [said(5)]) == (Interval(at(5), at(7)),)


def test_removing_the_companion_does_not_begin_it_again_but_a_confirmation_does() -> None:
    gone = device(1, 7, removed=8)

    assert primary_only([gone], [said(5)]) == (Interval(at(5), at(7)),)
    assert primary_only([gone], [said(5), said(9, known=1)]) == (
        Interval(at(5), at(7)),
        Interval(at(9), None),
    )


def test_a_companion_told_of_later_shows_that_the_list_was_not_complete() -> None:
    forgotten = device(1, 3)

    assert primary_only([forgotten], [said(5)]) == ()
    assert primary_only([device(1, 5)], [said(5)]) == ()


def test_linking_again_does_not_hide_the_first_link() -> None:
    assert primary_only([device(1, 7, relinked=20)], [said(5)]) == (Interval(at(5), at(7)),)


def test_confirming_twice_is_one_time() -> None:
    assert primary_only([], [said(9), said(5)]) == (Interval(at(5), None),)


def test_a_clock_that_went_back_cannot_hide_a_companion() -> None:
    """Linked after the confirmation, although the clock says before."""
    linked_later = device(4, 2)

    assert primary_only([linked_later], [said(5, known=3)]) == ()


@given(
    links=st.lists(st.integers(1, 28), max_size=5),
    days=st.lists(st.tuples(st.integers(1, 28), st.integers(0, 5)), max_size=5),
    seed=st.integers(0, 1000),
)
def test_intervals_are_in_order_and_apart_whatever_the_order_of_the_rows(
    links: list[int], days: list[tuple[int, int]], seed: int
) -> None:
    devices = [device(number, day) for number, day in enumerate(links, start=1)]
    confirmations = [said(day, known=known) for day, known in dict(days).items()]
    found = primary_only(devices, confirmations)
    random.Random(seed).shuffle(devices)
    random.Random(seed).shuffle(confirmations)

    assert primary_only(devices, confirmations) == found
    for before, after in itertools.pairwise(found):
        assert before.end is not None
        assert before.start < before.end <= after.start


BREAK = Break(at(5), "connecting", "meta")


@pytest.mark.parametrize(
    ("one", "now", "state"),
    [
        (device(1, 3), datetime(2026, 11, 5, 12, tzinfo=UTC), DeviceState.WAITING),
        (device(1, 3), datetime(2026, 11, 6, 11, 59, tzinfo=UTC), DeviceState.WAITING),
        (device(1, 3), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.UNLINKED),
        (device(1, 5), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.LINKED),
        (device(1, 3, relinked=6), datetime(2026, 11, 6, 12, tzinfo=UTC), DeviceState.LINKED),
    ],
)
def test_connecting_unlinks_what_was_linked_before(
    one: Device, now: datetime, state: DeviceState
) -> None:
    assert state_of(one, BREAK, now) is state


def test_without_such_a_moment_a_listed_companion_is_linked() -> None:
    now = datetime(2026, 11, 6, tzinfo=UTC) + timedelta(days=300)

    assert state_of(device(1, 3), None, now) is DeviceState.LINKED


def test_a_loss_unlinks_all_companions_but_coming_back_does_not() -> None:
    events = [
        AccountEvent("1", "ACCOUNT_OFFBOARDED", at(1)),
        AccountEvent("2", "ACCOUNT_RECONNECTED", at(2)),
        AccountEvent("3", "PARTNER_REMOVED", at(3), reason="PRIMARY_INACTIVITY"),
        AccountEvent("4", "PARTNER_ADDED", at(4)),
        AccountEvent("5", "PARTNER_REMOVED", at(5), reason="COMPANION_INACTIVITY"),
    ]

    assert breaks(events) == [
        Break(at(1), "offboarding", "meta"),
        Break(at(3), "offboarding", "meta"),
    ]


def test_four_companions_fill_the_places() -> None:
    linked = DeviceState.LINKED

    assert free_slots([]) == 4
    assert free_slots([linked, DeviceState.UNLINKED, DeviceState.WAITING]) == 3
    assert free_slots([linked] * 5) == 0
