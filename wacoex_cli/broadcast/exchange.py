"""One tick of a sender with the state file, in one durable transaction.

Results go in; slots and the rows that will use them come out. A row that is handed out here is
on disk as claimed before its request can leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.broadcast import claims_ledger, ledger, throttle
from wacoex_cli.broadcast.model import Claim, Counts, Settled, Status
from wacoex_cli.foundation import locks

if TYPE_CHECKING:
    from wacoex_cli.broadcast.throttle import Answered, Pace
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State

LOOK_AHEAD_SECONDS = 0.6
LEAD_SECONDS = 0.02
_BEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Run:
    """One process sending one broadcast."""

    broadcast_id: int
    phone: str
    run_id: int
    rate: float
    limit: float
    started_at: float


@dataclass(frozen=True)
class Report:
    """What happened since the last tick. Times are seconds of the monotonic clock.

    `waiting_claims` and `waiting_slots` are what the sender still holds; `room` is how many more
    requests it can have under way.
    """

    settled: tuple[tuple[Settled, str], ...] = ()
    answers: tuple[Answered, ...] = ()
    given_back: tuple[Claim, ...] = ()
    hold_until: float = 0.0
    waiting_claims: int = 0
    waiting_slots: int = 0
    room: int = 0
    peak: int = 0


@dataclass(frozen=True)
class Granted:
    """What the sender may do next.

    `has_more` says that rows of this run are still to be sent, now or when their wait is over.
    `counts` comes about once a second, None in between.
    """

    claims: tuple[Claim, ...]
    slots: tuple[float, ...]
    status: Status
    is_ours: bool
    hold_until: float
    has_more: bool
    counts: Counts | None


class Exchange:
    """The state file as the sender of one broadcast sees it."""

    def __init__(self, state: State, presence: Presence, clock: Clock, run: Run) -> None:
        self._state = state
        self._presence = presence
        self._clock = clock
        self._run = run
        self._purpose = lock_purpose(run.broadcast_id)
        self._last_beat = float("-inf")
        self._next_counts = float("-inf")

    def __call__(self, report: Report) -> Granted:
        """Record, learn, book and claim; durable when it returns.

        Raises:
            StateError: the state file cannot be written.
        """
        now = self._clock.monotonic()
        with self._state.transaction():
            is_ours = self._beat(now)
            self._record(report)
            number = self._learn(report, now)
            status = claims_ledger.status_of(self._state, self._run.broadcast_id)
            may_send = is_ours and status is Status.SENDING
            claims: tuple[Claim, ...] = ()
            slots: tuple[float, ...] = ()
            if may_send:
                claims, slots, number = self._grant(report, number, now)
            claims_ledger.save_pace(self._state, self._run.phone, number, self._clock)
            has_more = bool(claims) or self._has_more()
            self._mark(report, now)
        hold_until = number.hold_until
        return Granted(claims, slots, status, is_ours, hold_until, has_more, self._counts(now))

    def _beat(self, now: float) -> bool:
        if now - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = now
            return locks.beat(self._state, self._purpose, self._presence, self._clock)
        return locks.is_held_by(self._state, self._purpose, self._presence)

    def _record(self, report: Report) -> None:
        run, holder, now = self._run, self._presence.holder, self._clock.now()
        claims_ledger.give_back(self._state, run.broadcast_id, holder, report.given_back)
        settled = [one for one, _ in report.settled]
        claims_ledger.record(self._state, run.broadcast_id, holder, settled, now)
        for one, phone in report.settled:
            if one.opts_out:
                add_optout(self._state, phone, "meta-131050", None, now)

    def _learn(self, report: Report, now: float) -> Pace:
        run = self._run
        number = claims_ledger.load_pace(self._state, run.phone, run.limit, self._clock)
        for answer in report.answers:
            number = throttle.learn(number, answer, run.limit, now)
        if report.hold_until > now:
            number = throttle.hold(number, report.hold_until)
        return number

    def _grant(
        self, report: Report, number: Pace, now: float
    ) -> tuple[tuple[Claim, ...], tuple[float, ...], Pace]:
        run = self._run
        key = pace_key(run.broadcast_id)
        own = claims_ledger.load_pace(self._state, key, run.rate, self._clock)
        interval = throttle.slot_interval(run.rate)
        own = replace(own, interval=interval, anchor=interval)
        start, horizon = now + LEAD_SECONDS, now + LOOK_AHEAD_SECONDS
        _, _, possible = throttle.book(number, own, start, horizon, report.room)
        wanted = len(possible) + report.waiting_slots - report.waiting_claims
        claims = claims_ledger.claim(
            self._state,
            run.broadcast_id,
            self._presence.holder,
            max(0, wanted),
            self._clock.now(),
        )
        needed = len(claims) + report.waiting_claims - report.waiting_slots
        number, own, slots = throttle.book(number, own, start, horizon, max(0, needed))
        # Without a slot too: else a pace from another boot would start anew at every tick.
        claims_ledger.save_pace(self._state, key, own, self._clock)
        return claims, slots, number

    def _has_more(self) -> bool:
        return claims_ledger.has_more(self._state, self._run.broadcast_id, self._clock.now())

    def _counts(self, now: float) -> Counts | None:
        if now < self._next_counts:
            return None
        counts = ledger.counts(self._state, self._run.broadcast_id)
        # Counting a million rows takes a while; it may cost a twentieth of the time, not more.
        self._next_counts = now + max(1.0, 20 * (self._clock.monotonic() - now))
        return counts

    def _mark(self, report: Report, now: float) -> None:
        claims_ledger.mark_run(
            self._state,
            self._run.broadcast_id,
            self._run.run_id,
            active_seconds=now - self._run.started_at,
            peak=report.peak,
            throttled=sum(answer.was_throttled for answer in report.answers),
            now=self._clock.now(),
        )


def lock_purpose(broadcast_id: int) -> str:
    """The lock that makes one process the sender of a broadcast."""
    return f"broadcast {broadcast_id}"


def pace_key(broadcast_id: int) -> str:
    """Where the pace of one broadcast is kept, beside that of its number."""
    return f"broadcast {broadcast_id}"
