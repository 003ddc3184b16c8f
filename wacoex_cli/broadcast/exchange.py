"""One tick of a sender with the state file, in one durable transaction.

Results go in; slots and the rows that will use them come out. A row that is handed out here is
on disk as claimed before its request can leave.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.broadcast import throttle
from wacoex_cli.broadcast.guarding import Leave, Warden
from wacoex_cli.broadcast.guards import UNGUARDED, Guards
from wacoex_cli.broadcast.live import CodeCount, Course, Snapshot
from wacoex_cli.broadcast.model import Claim, RowState, Settled, Status
from wacoex_cli.broadcast.projection import project_known
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.foundation import locks

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from wacoex_cli.broadcast.rule import Stop
    from wacoex_cli.broadcast.throttle import Answered, Pace
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State

LOOK_AHEAD_SECONDS = 0.6
LEAD_SECONDS = 0.02
_BEAT_SECONDS = 5.0


@dataclass(frozen=True)
class Run:
    """One process sending one broadcast.

    `endpoint` is the account whose limit is kept besides that of the number, and `told_limit`
    gives what it says it allows, in messages per second. `zone` is that of the channel; nothing
    leaves from `until` on.
    """

    broadcast_id: int
    phone: str
    run_id: int
    rate: float
    limit: float
    started_at: float
    endpoint: str | None = None
    told_limit: Callable[[], float | None] = lambda: None
    guards: Guards = UNGUARDED
    zone: str = "UTC"
    until: datetime | None = None


@dataclass(frozen=True)
class Report:
    """What happened since the last tick. Times are seconds of the monotonic clock.

    `waiting_claims` and `waiting_slots` are what the sender still holds; `room` is how many more
    requests it can have under way. `last_second` is how many left in the last second, `peak` the
    most in any. After the last report nothing more is sent.
    """

    settled: tuple[tuple[Settled, str], ...] = ()
    answers: tuple[Answered, ...] = ()
    given_back: tuple[Claim, ...] = ()
    hold_until: float = 0.0
    waiting_claims: int = 0
    waiting_slots: int = 0
    room: int = 0
    last_second: int = 0
    peak: int = 0
    is_last: bool = False


@dataclass(frozen=True)
class Granted:
    """What the sender may do next.

    `has_more` says that rows of this run are still to be sent, now or when their wait is over,
    `stop` that a guard forbids it.
    `snapshot` comes about once a second and at the end, None in between.
    """

    claims: tuple[Claim, ...]
    slots: tuple[float, ...]
    status: Status
    is_ours: bool
    hold_until: float
    has_more: bool
    snapshot: Snapshot | None
    stop: Stop | None = None


class Exchange:
    """The state file as the sender of one broadcast sees it."""

    def __init__(self, state: State, presence: Presence, clock: Clock, run: Run) -> None:
        self._state = state
        self._presence = presence
        self._clock = clock
        self._run = run
        self._purpose = lock_purpose(run.broadcast_id)
        self._last_beat = float("-inf")
        self._next_snapshot = float("-inf")
        self._course = Course()
        self._warden = Warden(state, clock, run)
        self._last_tick = run.started_at
        self._idle_seconds = 0.0
        self._was_idle = False
        self._is_guarded = run.guards != UNGUARDED

    def __call__(self, report: Report) -> Granted:
        """Record, learn, book and claim; durable when it returns.

        Raises:
            StateError: the state file cannot be written.
        """
        now = self._clock.monotonic()
        with self._state.transaction():
            is_ours = self._beat(now)
            self._record(report)
            paces = self._learn(report, now)
            status = Broadcasts(self._state).status(self._run.broadcast_id)
            may_send = is_ours and status is Status.SENDING
            claims: tuple[Claim, ...] = ()
            slots: tuple[float, ...] = ()
            leave = self._warden.leave() if may_send else Leave()
            if may_send and leave.stop is None:
                claims, slots, paces = self._grant(report, paces, leave, now)
            self._save(paces)
            has_more = bool(claims) or self._has_more()
            self._mark(report, bool(claims), now)
        hold_until = max(one.hold_until for one in paces)
        snapshot = self._snapshot(report, paces[-1].told_limit, now)
        return Granted(claims, slots, status, is_ours, hold_until, has_more, snapshot, leave.stop)

    def _beat(self, now: float) -> bool:
        if now - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = now
            return locks.beat(self._state, self._purpose, self._presence, self._clock)
        return locks.is_held_by(self._state, self._purpose, self._presence)

    def _record(self, report: Report) -> None:
        run, holder, now = self._run, self._presence.holder, self._clock.now()
        rows, settled = Rows(self._state, run.broadcast_id), [one for one, _ in report.settled]
        rows.give_back(holder, report.given_back)
        rows.record(holder, settled, now)
        if run.endpoint:
            project_known(self._state, [one.message_id for one in settled if one.message_id], now)
        for one, phone in report.settled:
            if one.opts_out:
                add_optout(self._state, phone, "meta-131050", None, now)

    def _learn(self, report: Report, now: float) -> tuple[Pace, ...]:
        """The pace of the number, and that of the account: the last one is whose answers these are.

        An account that answers for Meta says nothing about what the number itself bears.
        """
        run, clock = self._run, self._clock
        paces = [Broadcasts(self._state).load_pace(run.phone, run.limit, clock)]
        limit = run.limit
        if run.endpoint:
            untold = throttle.UNTOLD_MESSAGES_PER_SECOND
            account = Broadcasts(self._state).load_pace(run.endpoint, untold, clock)
            if (told := run.told_limit()) is not None:
                account = throttle.told(account, told, now)
            paces.append(account)
            limit = account.told_limit or untold
        answering = paces[-1]
        for answer in report.answers:
            answering = throttle.learn(answering, answer, limit, now)
        if report.hold_until > now:
            answering = throttle.hold(answering, report.hold_until)
        return (*paces[:-1], answering)

    def _save(self, paces: tuple[Pace, ...]) -> None:
        run = self._run
        for key, pace in zip((run.phone, run.endpoint), paces, strict=False):
            Broadcasts(self._state).save_pace(str(key), pace, self._clock)

    def _grant(
        self, report: Report, paces: tuple[Pace, ...], leave: Leave, now: float
    ) -> tuple[tuple[Claim, ...], tuple[float, ...], tuple[Pace, ...]]:
        run = self._run
        key = pace_key(run.broadcast_id)
        own = Broadcasts(self._state).load_pace(key, run.rate, self._clock)
        interval = throttle.slot_interval(run.rate)
        own = replace(own, interval=interval, anchor=interval)
        start, horizon = now + LEAD_SECONDS, min(now + LOOK_AHEAD_SECONDS, leave.before)
        number, others = paces[0], (own, *paces[1:])
        _, _, possible = throttle.book(number, others, start, horizon, report.room)
        wanted = len(possible) + report.waiting_slots - report.waiting_claims
        claims = self._warden.claim(self._presence.holder, max(0, min(wanted, leave.rows)))
        needed = len(claims) + report.waiting_claims - report.waiting_slots
        number, others, slots = throttle.book(number, others, start, horizon, max(0, needed))
        # Without a slot too: else a pace from another boot would start anew at every tick.
        Broadcasts(self._state).save_pace(key, others[0], self._clock)
        return claims, slots, (number, *others[1:])

    def _has_more(self) -> bool:
        return Rows(self._state, self._run.broadcast_id).has_more(self._clock.now())

    def _snapshot(self, report: Report, told_limit: float | None, now: float) -> Snapshot | None:
        if now < self._next_snapshot and not report.is_last:
            return None
        state, broadcast_id = self._state, self._run.broadcast_id
        counts = Rows(state, broadcast_id).counts()
        codes = Rows(state, broadcast_id).codes()
        held = self._warden.held()
        # Counting a million rows takes a while; it may cost a twentieth of the time, not more.
        self._next_snapshot = now + max(1.0, 20 * (self._clock.monotonic() - now))
        return Snapshot(
            counts=counts,
            last_second=report.last_second,
            peak=report.peak,
            codes=tuple(CodeCount(row["code"], RowState(row["state"]), row["n"]) for row in codes),
            held=held,
            told_limit=told_limit,
            finished_rate=self._course.rate(counts.total - counts.open, now),
        )

    def _mark(self, report: Report, has_claimed: bool, now: float) -> None:
        # The rate that is told is that of sending, not of waiting for a morning.
        if self._was_idle:
            self._idle_seconds += now - self._last_tick
        is_busy = has_claimed or report.waiting_claims or report.settled
        self._was_idle = self._is_guarded and not is_busy
        self._last_tick = now
        Broadcasts(self._state).mark_run(
            self._run.broadcast_id,
            self._run.run_id,
            active_seconds=now - self._run.started_at - self._idle_seconds,
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
