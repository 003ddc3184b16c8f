"""The throttle decides from facts alone, so its tests are a story of numbers.

A limit that the API tells in its headers: found, kept to, shared, and followed when it moves.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.broadcast import throttle
from wacoex_cli.broadcast.engine import Exchange, Report
from wacoex_cli.broadcast.guards import Run, SendOrder
from wacoex_cli.broadcast.model import Claim, RowState, Settled, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.broadcast.throttle import (
    GUARD,
    Answered,
    SendingPace,
    book,
    fresh,
    learn,
    slot_interval,
    told,
)
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.respondio import SENDING
from wacoex_cli.sandbox.respondio_world import RespondIOWorld
from wacoex_cli.sandbox.world import PHONE

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


def accepted(pace: SendingPace, times: int, now: float = 100.0) -> SendingPace:
    for _ in range(times):
        pace = learn(pace, Answered(left_at=now, was_throttled=False), LIMIT, now)
    return pace


def refused(pace: SendingPace, now: float) -> SendingPace:
    return learn(pace, Answered(left_at=now, was_throttled=True), LIMIT, now)


def test_slots_are_spaced_evenly_a_guard_wider_than_the_limit():
    _, _, slots = book(fresh(20, 0.0), [fresh(20, 0.0)], 0.0, 0.2, 10)
    assert slots == pytest.approx((0.0, 0.05125, 0.1025, 0.15375))


def test_a_broadcast_with_a_lower_rate_goes_at_its_own():
    number: SendingPace = fresh(20, 0.0)
    own: tuple[SendingPace, ...] = (fresh(2, 0.0),)
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
    old = SendingPace(next_slot=9e9, interval=0.2, anchor=0.2, hold_until=9e9)
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
    slow = SendingPace(next_slot=0.0, interval=0.205, anchor=0.205)
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


TICK_SECONDS = 0.1
ANSWER_SECONDS = 0.3
ACCOUNT = "an account"


@dataclass
class Account:
    """The sandbox's limit of one account, with a clock that follows the arrivals."""

    limit: int
    now: float = 0.0
    arrived: list[float] = field(default_factory=list)
    refused: int = 0
    told: float | None = None
    is_silent: bool = False

    def __post_init__(self) -> None:
        self._world = RespondIOWorld(lambda: self.now, lambda: self.now)
        self.allow(self.limit)

    def allow(self, limit: int) -> None:
        """Take so many a second from now on."""
        self._world.set_limit(SENDING, limit)

    def take(self, at: float) -> bool:
        """Whether a message that arrives at that moment is taken."""
        self.now = at
        is_taken, headers = self._world.admit(SENDING)
        self.arrived += [at] if is_taken else []
        self.refused += not is_taken
        if not self.is_silent:
            self.told = float(headers["X-RateLimit-Limit"])
        return is_taken


class Sender:
    """One process that sends through the account; a request travels up to `jitter` seconds."""

    def __init__(self, exchange: Exchange, account: Account, jitter: float) -> None:
        self._exchange = exchange
        self._account = account
        self._random = random.Random(1)
        self._jitter = jitter
        self._claims: deque[Claim] = deque()
        self._slots: deque[float] = deque()
        self._on_the_way: list[tuple[float, float, int, Claim]] = []
        self._answers: list[tuple[float, float, Claim, bool]] = []

    def tick(self, now: float) -> None:
        """What has arrived by now, then one trade with the ledger."""
        self._until(now)
        due = [one for one in self._answers if one[0] <= now]
        self._answers = [one for one in self._answers if one[0] > now]
        hold = max((at + 1.0 for at, _, _, is_taken in due if not is_taken), default=0.0)
        if hold:
            self._slots.clear()
        granted = self._exchange(
            Report(
                settled=tuple((_settled(claim, is_taken), "") for _, _, claim, is_taken in due),
                answers=tuple(Answered(left, not is_taken) for _, left, _, is_taken in due),
                hold_until=hold,
                waiting_claims=len(self._claims),
                waiting_slots=len(self._slots),
                room=64,
            )
        )
        self._claims.extend(granted.claims)
        self._slots.extend(granted.slots)

    def _until(self, now: float) -> None:
        while self._slots and self._slots[0] < now and self._claims:
            left, claim = self._slots.popleft(), self._claims.popleft()
            at = left + self._random.uniform(0.0, self._jitter)
            heapq.heappush(self._on_the_way, (at, left, claim.row, claim))
        while self._on_the_way and self._on_the_way[0][0] < now:
            at, left, _, claim = heapq.heappop(self._on_the_way)
            self._answers.append((at + ANSWER_SECONDS, left, claim, self._account.take(at)))


def _settled(claim: Claim, is_taken: bool) -> Settled:
    state = RowState.ACCEPTED if is_taken else RowState.REJECTED
    return Settled(claim.row, claim.attempt, state)


@pytest.fixture
def join(state, clock):
    """Become a sender, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, account, jitter=0.0):
        own = open_state(state.path)
        opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            locks.acquire(own, lock_purpose(broadcast_id), presence, clock)
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, 20.0, clock.now())
        run = Run(
            broadcast_id=broadcast_id,
            phone=PHONE,
            run_id=run_id,
            started_at=clock.monotonic(),
            order=SendOrder(20.0),
            endpoint=ACCOUNT,
            told_limit=lambda: account.told,
        )
        return Sender(Exchange(own, presence, clock, run), account, jitter)

    yield become_sender
    for one in opened:
        one.close()


def pass_time(clock, seconds: float, *senders: Sender) -> None:
    for _ in range(round(seconds / TICK_SECONDS)):
        for sender in senders:
            sender.tick(clock.monotonic())
        clock.advance(TICK_SECONDS)


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("limit", [5, 10, 20])
def test_the_sender_settles_at_the_limit_and_is_hardly_ever_refused(
    clock, join, plan_rows, limit, jitter
):
    account = Account(limit)
    pass_time(clock, 60.0, join(plan_rows(1_300), account, jitter))

    taken = len(account.arrived)
    assert account.refused * 200 < taken + account.refused
    assert taken >= 0.94 * 60 * limit


def test_processes_that_use_one_account_share_its_limit(clock, join, plan_rows):
    account = Account(10)
    pass_time(clock, 30.0, join(plan_rows(400), account), join(plan_rows(400), account))

    assert account.refused == 0
    assert len(account.arrived) >= 0.94 * 30 * 10


def test_until_a_limit_is_told_five_a_second_are_sent(clock, join, plan_rows):
    account = Account(20)
    account.is_silent = True
    pass_time(clock, 10.0, join(plan_rows(100), account))

    assert 45 <= len(account.arrived) <= 50


def test_a_limit_that_falls_and_rises_is_followed(clock, join, plan_rows):
    account = Account(10)
    sender = join(plan_rows(1_000), account)
    pass_time(clock, 20.0, sender)
    account.allow(5)
    pass_time(clock, 20.0, sender)
    fallen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]
    refused = account.refused
    account.allow(10)
    pass_time(clock, 20.0, sender)
    risen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]

    assert refused <= 5, "those that were on their way when it fell"
    assert account.refused == refused
    assert 46 <= len(fallen) <= 50
    assert 92 <= len(risen) <= 100


def test_a_limit_that_is_told_again_undoes_nothing_that_refusals_taught():
    pace = told(fresh(5.0, 0.0), 10.0, 1.0)
    assert pace.interval == slot_interval(10.0)

    widened = throttle.learn(pace, Answered(2.0, was_throttled=True), 10.0, 2.0)
    assert told(widened, 10.0, 3.0) == widened
    assert told(widened, 8.0, 3.0).interval == slot_interval(8.0)
