"""The throttle decides from facts alone, so its tests are a story of numbers."""

from collections import deque
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.broadcast import throttle
from wacoex_cli.broadcast.throttle import GUARD, Answered, Pace, book, fresh, learn

LIMIT = 20.0


def most_in_one_second(moments: list[float]) -> int:
    window: deque[float] = deque()
    most = 0
    for moment in sorted(moments):
        window.append(moment)
        while window[0] <= moment - 1.0:
            window.popleft()
        most = max(most, len(window))
    return most


def accepted(pace: Pace, times: int, now: float = 100.0) -> Pace:
    for _ in range(times):
        pace = learn(pace, Answered(left_at=now, was_throttled=False), LIMIT, now)
    return pace


def refused(pace: Pace, now: float) -> Pace:
    return learn(pace, Answered(left_at=now, was_throttled=True), LIMIT, now)


def test_slots_are_spaced_evenly_a_guard_wider_than_the_limit():
    _, _, slots = book(fresh(20, 0.0), [fresh(20, 0.0)], 0.0, 0.2, 10)
    assert slots == pytest.approx((0.0, 0.05125, 0.1025, 0.15375))


def test_a_broadcast_with_a_lower_rate_goes_at_its_own():
    number: Pace = fresh(20, 0.0)
    own: tuple[Pace, ...] = (fresh(2, 0.0),)
    slots: list[float] = []
    for tick in range(16):
        number, own, booked = book(number, own, tick * 0.1, tick * 0.1 + 0.6, 10)
        slots += booked
    assert slots == pytest.approx([0.0, 0.5125, 1.025, 1.5375])


def test_two_broadcasts_of_one_number_share_its_slots():
    number = fresh(20, 0.0)
    number, _, first = book(number, [fresh(20, 0.0)], 0.0, 0.5, 3)
    _, _, second = book(number, [fresh(20, 0.0)], 0.0, 0.5, 3)
    assert [*first, *second] == pytest.approx([n * 0.05125 for n in range(6)])


def test_time_that_was_slept_through_is_not_made_up():
    number, own, _ = book(fresh(20, 0.0), [fresh(20, 0.0)], 0.0, 0.2, 10)
    _, _, slots = book(number, own, 3600.0, 3600.2, 10)
    assert slots[0] == 3600.0
    assert len(slots) == 4


def test_after_another_boot_the_pace_starts_anew_one_second_later():
    old = Pace(next_slot=9e9, interval=0.2, anchor=0.2, hold_until=9e9)
    pace = throttle.after_boot(old, 10.0)
    assert pace.next_slot == 11.0
    assert pace.hold_until == 10.0
    assert pace.interval == 0.2, "what was learned about the limit stays"


def test_nothing_leaves_during_a_hold():
    number = throttle.hold(fresh(20, 0.0), 5.0)
    assert book(number, [fresh(20, 0.0)], 0.0, 4.9, 10)[2] == ()
    assert book(number, [fresh(20, 0.0)], 4.5, 5.02, 10)[2] == (5.0,)


def test_a_slot_is_late_after_ten_milliseconds():
    assert not throttle.is_late(1.0, 1.009)
    assert throttle.is_late(1.0, 1.011)


def test_a_stray_refusal_costs_one_percent_and_heals():
    pace = refused(fresh(20, 0.0), 1.0)
    assert pace.interval == pytest.approx(0.05125 * 1.01)
    assert accepted(pace, 100).interval == pytest.approx(0.05125)


def test_several_refusals_in_one_round_trip_count_once():
    pace = refused(fresh(20, 0.0), 1.0)
    again = learn(pace, Answered(left_at=0.9, was_throttled=True), LIMIT, 1.1)
    assert again.interval == pace.interval


def test_a_crowd_of_refusals_cuts_the_rate_and_cools_down_for_a_second():
    pace = fresh(20, 0.0)
    for step in range(10):
        pace = refused(pace, step * 0.05)
        if pace.hold_until:
            break
    assert pace.interval > 0.05125 * 1.25
    assert pace.hold_until == pytest.approx(step * 0.05 + 1.0)


def test_a_cut_rate_comes_back_when_nothing_is_refused_any_more():
    slow = Pace(next_slot=0.0, interval=0.205, anchor=0.205)
    seconds, pace = 0.0, slow
    while pace.interval > 1 / 18:
        pace = accepted(pace, 1)
        seconds += pace.interval
    assert seconds < 110


def test_strays_alone_never_bring_the_rate_below_fifteen():
    pace = fresh(20, 0.0)
    for step in range(3000):
        was_throttled = step % 50 == 49
        now = float(step)
        pace = learn(pace, Answered(now, was_throttled), LIMIT, now)
        assert pace.interval < 1 / 15


@given(
    steps=st.lists(
        st.tuples(
            st.floats(min_value=0.0, max_value=5.0),
            st.integers(min_value=0, max_value=30),
            st.sampled_from(["accepted", "refused", "hold", "nothing"]),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_no_order_of_events_puts_more_than_twenty_slots_into_one_second(steps):
    """Two broadcasts book by turns, time leaps, answers come: the number keeps its limit."""
    now, number = 0.0, fresh(20, 0.0)
    own = [fresh(20, 0.0), fresh(7, 0.0)]
    slots: list[list[float]] = [[], []]
    for leap, most, answer, which in steps:
        now += leap
        if answer == "hold":
            number = throttle.hold(number, now + 1.0)
        elif answer != "nothing":
            number = learn(number, Answered(now, answer == "refused"), LIMIT, now)
        number, (own[which],), booked = book(number, [own[which]], now, now + 0.6, most)
        assert all(slot >= number.hold_until or slot < now for slot in booked)
        slots[which] += booked
    both = sorted([*slots[0], *slots[1]])
    late = [slot + throttle.LATE_SECONDS * (n % 2) for n, slot in enumerate(both)]
    assert most_in_one_second(late) <= 20
    assert most_in_one_second(slots[1]) <= 7


@given(
    answers=st.lists(st.booleans(), max_size=300),
    limit=st.floats(min_value=0.5, max_value=10_000),
)
def test_the_pace_never_exceeds_the_limit_and_never_stops(answers, limit):
    pace = fresh(limit, 0.0)
    for step, was_throttled in enumerate(answers):
        pace = learn(pace, Answered(float(step), was_throttled), limit, float(step))
        assert pace.interval >= (1 + GUARD) / limit * 0.999999
        assert pace.interval <= max(5.0, (1 + GUARD) / limit) * 1.26
        assert 0.0 <= pace.refused_share <= 1.0
        pace = replace(pace, hold_until=0.0, changed_at=min(pace.changed_at, float(step)))


def test_a_slow_broadcast_takes_no_slot_that_a_fast_one_beside_it_could_use():
    number, slow, fast = fresh(20, 0.0), fresh(5, 0.0), fresh(20, 0.0)
    slots: list[float] = []
    for tick in range(100):
        now = tick * 0.1
        for which in ("slow", "fast"):
            own = slow if which == "slow" else fast
            number, (own,), booked = book(number, [own], now, now + 0.6, 10)
            slow, fast = (own, fast) if which == "slow" else (slow, own)
            slots += booked
    assert len(slots) / 10 > 19.0
