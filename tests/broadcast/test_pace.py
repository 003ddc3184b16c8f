"""The pace against a server: storms, a lasting limit, strays, bunching, and a clock that is set."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.figures import most_in_a_second
from tests.support.trading import Trader
from wacoex_cli.contacts.quiet_hours import QuietHours
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState, Settled, lock_purpose
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.answers import NotSent
from wacoex_cli.sandbox.world import PHONE
from wacoex_cli.sending import takeover
from wacoex_cli.sending.exchange import Report
from wacoex_cli.sending.guards import Guards, Run, SendOrder
from wacoex_cli.sending.providers import judge
from wacoex_cli.throughput.throttle import (
    BUSY_GUARD,
    GUARD,
    WIDEST_GUARD,
    Answered,
    Departures,
    Spread,
    after_boot,
    book,
    fresh,
    is_late,
    learn,
    slot_interval,
    with_spread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wacoex_cli.ledger.model import Claim
    from wacoex_cli.throughput.throttle import SendingPace

LIMIT = 20.0
TICK_SECONDS = 0.1


@dataclass
class Server:
    """Takes this many messages in any second, by the time; some are refused for other reasons."""

    limit: Callable[[float], int]
    strays: float = 0.0
    arrivals: list[tuple[float, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(1)
        self._taken: deque[float] = deque()

    def take(self, at: float) -> bool:
        """Whether a message that arrives at that moment is taken."""
        while self._taken and at - self._taken[0] >= 1.0:
            self._taken.popleft()
        is_taken = len(self._taken) < self.limit(at) and self._random.random() >= self.strays
        if is_taken:
            self._taken.append(at)
        self.arrivals.append((at, is_taken))
        return is_taken

    def taken(self, start: float, end: float) -> int:
        """How many were taken in [start, end)."""
        return sum(is_taken for at, is_taken in self.arrivals if start <= at < end)

    def refused(self, start: float, end: float) -> int:
        """How many were refused in [start, end)."""
        return sum(not is_taken for at, is_taken in self.arrivals if start <= at < end)

    def seconds_until(self, rate: float, since: float) -> float:
        """Seconds from then until the last five seconds had this many a second; else infinite."""
        taken = [at for at, is_taken in self.arrivals if is_taken and at >= since]
        for place, at in enumerate(taken):
            if place - sum(other <= at - 5.0 for other in taken[:place]) + 1 > rate * 5.0:
                return at - since
        return float("inf")


def send(
    server: Server, seconds: float, answer_seconds: float, pace: SendingPace | None = None
) -> SendingPace:
    """Send to it for so long, as the engine does; the pace at the end."""
    number, own = pace or fresh(LIMIT, 0.0), fresh(LIMIT, 0.0)
    slots: deque[float] = deque()
    answers: list[tuple[float, float, bool]] = []
    for tick in range(round(seconds / TICK_SECONDS)):
        now = tick * TICK_SECONDS
        while slots and slots[0] <= now:
            left = slots.popleft()
            heapq.heappush(answers, (left + answer_seconds, left, server.take(left)))
        while answers and answers[0][0] <= now:
            _, left, is_taken = heapq.heappop(answers)
            number = learn(number, Answered(left, not is_taken), LIMIT, now)
            assert slot_interval(LIMIT) * 0.999999 <= number.interval <= 5.0
        slots = deque(slot for slot in slots if slot >= number.hold_until)
        room = max(0, 64 - len(slots) - len(answers))
        number, (own,), booked = book(number, [own], now + 0.02, now + 0.6, room)
        slots.extend(booked)
    return number


@settings(max_examples=12)
@given(storm=st.floats(1.0, 120.0), answer_seconds=st.floats(0.02, 2.0))
def test_the_pace_recovers_from_a_storm_of_any_length_within_half_a_minute(storm, answer_seconds):
    ends = 15.0 + storm
    server = Server(lambda at: 0 if 15.0 <= at < ends else 20)
    send(server, ends + 31.0, answer_seconds)

    assert server.seconds_until(15.0, ends) < 30.0
    assert server.refused(15.0, ends) < 110 + 2 * storm
    assert most_in_a_second([at for at, _ in server.arrivals]) <= 20


@settings(max_examples=12)
@given(limit=st.integers(2, 15), answer_seconds=st.floats(0.02, 1.0))
def test_a_lasting_lower_limit_is_found_and_kept_without_a_saw_tooth(limit, answer_seconds):
    server = Server(lambda at: 20 if at < 15.0 else limit)
    send(server, 165.0, answer_seconds)

    refused, taken = server.refused(25.0, 165.0), server.taken(25.0, 165.0)
    assert refused <= 0.05 * (refused + taken) + 5
    assert taken >= 0.7 * limit * 140.0
    assert most_in_a_second([at for at, _ in server.arrivals]) <= 20


def test_against_five_a_second_the_rate_is_steady() -> None:
    server = Server(lambda at: 20 if at < 15.0 else 5)
    send(server, 165.0, 0.3)

    each = [server.taken(at, at + 10.0) / 10.0 for at in range(30, 160, 10)]
    assert min(each) >= 4.5
    assert max(each) <= 5.0


def test_a_limit_that_ends_is_forgotten_within_two_minutes() -> None:
    server = Server(lambda at: 5 if 15.0 <= at < 75.0 else 20)
    send(server, 195.0, 0.3)

    assert server.seconds_until(18.0, 75.0) < 120.0


@pytest.mark.parametrize(("strays", "least"), [(0.01, 17.5), (0.02, 16.0), (0.05, 9.0)])
def test_strays_do_not_bring_it_down(strays: float, least: float) -> None:
    server = Server(lambda at: 20, strays)
    send(server, 180.0, 0.3)

    assert server.taken(20.0, 180.0) / 160.0 >= least


def test_after_another_boot_a_storm_is_forgotten_as_quickly() -> None:
    struck = send(Server(lambda at: 0), 60.0, 0.3)
    assert struck.interval > 0.5

    server = Server(lambda at: 20)
    send(server, 40.0, 0.3, after_boot(struck, 0.0))
    assert server.seconds_until(15.0, 0.0) < 30.0


def test_the_guard_follows_the_spread_quickly_and_narrows_slowly() -> None:
    pace = fresh(LIMIT, 0.0)
    assert with_spread(pace, Spread(0.005, 0.005), 2, LIMIT).guard == GUARD
    for _ in range(5):
        pace = with_spread(pace, Spread(0.005, 0.060), 2, LIMIT)
    assert pace.guard > 0.07
    assert pace.interval == pytest.approx((1 + pace.guard) / LIMIT)

    wide = pace.guard
    pace = with_spread(pace, Spread(), 20, LIMIT)
    assert 0.9 * wide < pace.guard < wide
    for _ in range(100):
        pace = with_spread(pace, Spread(), 20, LIMIT)
    assert pace.guard == GUARD
    assert pace.interval == pytest.approx(slot_interval(LIMIT))


def test_the_guard_has_a_ceiling_and_the_interval_for_a_lower_limit_has_none() -> None:
    pace = fresh(LIMIT, 0.0)
    for _ in range(50):
        pace = with_spread(pace, Spread(0.7, 3.0), 2, LIMIT)
    assert pace.guard == pytest.approx(WIDEST_GUARD)

    slow = send(Server(lambda at: 2), 60.0, 0.3)
    assert with_spread(slow, Spread(), 2, LIMIT).interval == slow.interval > 0.4


def test_answers_that_take_very_different_times_cost_little() -> None:
    pace = fresh(LIMIT, 0.0)
    for _ in range(50):
        pace = with_spread(pace, Spread(answers=0.7), 2, LIMIT)
    assert 1.0 / pace.interval > 19.0


def test_a_request_that_is_written_late_makes_the_twentieth_after_it_wait() -> None:
    departures = Departures(LIMIT)
    written = []
    for place in range(200):
        slot = place * slot_interval(LIMIT)
        due = max(slot, departures.next_at_earliest())
        late = departures.add(due, due)
        late.left_at += 0.045 if place == 150 else 0.0
        departures.answered(late, late.left_at + 0.3)
        written.append(late.left_at)

    assert most_in_a_second(written) == 20
    assert written[170] - written[150] == pytest.approx(1.0 + 0.6 * GUARD)
    assert written[-1] == pytest.approx(199 * slot_interval(LIMIT))
    assert departures.bunched == 3, "the late one, and two that waited for it in turn"
    assert departures.spread().answers == pytest.approx(0.0, abs=1e-9)


def test_the_first_requests_may_arrive_late_because_their_connections_are_new() -> None:
    departures = Departures(LIMIT)
    arrived = []
    for place in range(100):
        due = max(place * slot_interval(LIMIT), departures.next_at_earliest())
        departures.add(due, due)
        arrived.append(due + (0.070 if place < 6 else 0.0))

    assert most_in_a_second(arrived) == 20
    assert arrived[-1] < 99 * slot_interval(LIMIT) + 0.1


def test_a_guard_for_busy_machines_is_not_narrower_with_good_answers() -> None:
    pace = fresh(LIMIT, 0.0)
    for _ in range(20):
        pace = with_spread(pace, Spread(), 2, LIMIT, BUSY_GUARD)
    assert pace.guard == pytest.approx(BUSY_GUARD, rel=1e-3)


def test_a_wider_guard_lets_a_slot_be_used_later_and_missed_ones_widen_it() -> None:
    assert is_late(1.0, 1.03)
    assert not is_late(1.0, 1.03, WIDEST_GUARD)

    departures = Departures(LIMIT)
    for place in range(40):
        departures.missed(place, place + 0.05 * (place % 4))
    pace = with_spread(fresh(LIMIT, 0.0), departures.spread(), 2, LIMIT)
    assert pace.guard > 2 * GUARD


PICKED = Guards(quiet_hours=QuietHours.parse("21:00-08:00"))


@pytest.fixture
def sender(state, clock, plan_rows):
    """Open a run of one broadcast of three rows, as often as it is called."""
    broadcast_id = plan_rows(3)
    opened = []

    def begin(
        guards: Guards | None = None,
    ) -> tuple[Callable[..., list[Claim]], Callable[[], None]]:
        own = open_state(state.path)
        opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            takeover.take_lock(own, broadcast_id, presence, clock)
            Rows(own, broadcast_id).renew_tries(clock.now())
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, LIMIT, clock.now())
        order = SendOrder(LIMIT, guards=guards) if guards else SendOrder(LIMIT)
        run = Run(broadcast_id, PHONE, run_id, clock.monotonic(), order)
        exchange = Trader(own, presence, clock, run)

        def tick(*settled: Settled, most: int = 64) -> list[Claim]:
            known = tuple((entry, "") for entry in settled)
            return list(exchange(Report(settled=known, room=most)).claims)

        def end() -> None:
            with own.transaction():
                locks.release(own, lock_purpose(broadcast_id), presence)
            presence.leave()

        return tick, end

    yield begin
    for own in opened:
        own.close()


def set_clock(clock, **by) -> None:
    """Somebody sets the clock of the machine; no time passes."""
    clock.moment += timedelta(**by)


def retried(claim, clock):
    return judge(claim, NotSent("no connection"), clock.now()).settled


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_set_during_a_run_changes_no_wait(sender, clock, hours) -> None:
    tick, _ = sender()
    claims = tick()
    waits = retried(claims[0], clock)
    seconds = (waits.not_before - clock.now()).total_seconds()
    tick(waits, *(Settled(claim.row, claim.attempt, RowState.ACCEPTED) for claim in claims[1:]))
    set_clock(clock, hours=hours)

    clock.advance(seconds - 0.5)
    assert tick() == []
    clock.advance(1.0)
    (again,) = tick()
    assert (again.row, again.tries_in_run) == (1, 2)
    assert again.first_try_in_run_at == claims[0].first_try_in_run_at


def test_after_the_clock_was_set_back_no_row_waits_for_hours_in_the_next_run(sender, clock) -> None:
    tick, end = sender()
    claims = tick()
    tick(*(retried(claim, clock) for claim in claims))
    end()
    set_clock(clock, hours=-5)
    clock.advance(60.0)

    tick, _ = sender()
    assert [claim.row for claim in tick()] == [1, 2, 3]


def test_quiet_hours_end_by_the_clock_on_the_wall(sender, clock) -> None:
    # The numbers are from Singapore, eight hours ahead of UTC.
    night = clock.now().replace(hour=14, minute=0, second=0, microsecond=0)
    clock.moment = night
    tick, _ = sender(PICKED)
    assert tick() == []
    set_clock(clock, hours=9)
    assert tick() == []
    set_clock(clock, hours=1, minutes=1)
    assert [claim.row for claim in tick()] == [1, 2, 3]


@pytest.mark.parametrize("is_a_new_run", [False, True])
def test_when_it_was_the_clock_that_made_it_night_nobody_waits_for_the_morning(
    sender, clock, is_a_new_run
) -> None:
    clock.moment = clock.now().replace(hour=14, minute=0, second=0, microsecond=0)
    tick, end = sender(PICKED)
    assert tick() == []
    set_clock(clock, hours=-10)
    if is_a_new_run:
        end()
        tick, _ = sender(PICKED)

    assert [claim.row for claim in tick()] == [1, 2, 3]
