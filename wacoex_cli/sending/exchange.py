"""What the sender of one broadcast trades with the state file: results for new claims and slots."""

from __future__ import annotations

import contextlib
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.contacts.stops import note_refusal
from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.ledger.model import (
    Claim,
    CodeCount,
    RowState,
    RunProgress,
    Settled,
    Status,
    Stop,
    lock_purpose,
    pace_key,
)
from wacoex_cli.ledger.projection import project_known
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.guards import UNGUARDED, Leave, Run, RunGuard
from wacoex_cli.sending.takeover import demand_room
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.store import Paces
from wacoex_cli.throughput.throttle import NO_SPREAD, SendingPace, Spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.throughput.throttle import Answered

LOOK_AHEAD_SECONDS = 0.6
LEAD_SECONDS = 0.02
_BEAT_SECONDS = 5.0
_MARK_SECONDS = 1.0
_DISK_SECONDS = 1.0
_SNAPSHOTS_SECONDS = 0.02
REMEMBERED_SECONDS = 60.0
_LEAST_SECONDS = 5.0


@dataclass(frozen=True)
class Report:
    """What happened since the last tick. Times are seconds of the monotonic clock.

    `waiting_claims` and `waiting_slots` are what the sender still holds; `room` is how many more
    requests it can have under way. `last_second` is how many left in the last second, `peak` the
    most in any, `bunched` how many left too close to the one before. After the last report nothing
    more is sent.
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
    bunched: int = 0
    spread: Spread = NO_SPREAD
    is_last: bool = False


@dataclass(frozen=True)
class Granted:
    """What the sender may do next.

    `has_more` says that rows of this run are still to be sent, now or when their wait is over,
    `stop` that a guard forbids it, `guard` how late a slot may be used (`throttle.is_late`).
    `snapshot` comes about once a second and at the end, None in between.
    """

    claims: tuple[Claim, ...]
    slots: tuple[float, ...]
    status: Status
    is_ours: bool
    hold_until: float
    has_more: bool
    snapshot: RunProgress | None
    stop: Stop | None = None
    guard: float = throttle.GUARD


KnownPaces = tuple[SendingPace | None, ...]
"""The paces of a broadcast, of its number, and of its account, if it has one, as they stand."""


class Outlook(NamedTuple):
    """What a tick can book, foreseen from the paces that were `read`.

    `paces` are those after the answers were learned from, `booked` those after all `slots` from
    `start` to `horizon` (monotonic seconds) were taken. `lead` is how far ahead `start` was.
    """

    read: KnownPaces
    lead: float
    start: float
    horizon: float
    paces: tuple[SendingPace, ...]
    booked: tuple[SendingPace, ...]
    slots: tuple[float, ...]


class Course:
    """How many rows were done with over the last minute. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, done: int, now: float) -> float | None:
        """Rows a second since a minute ago, given those done by now; None in the first seconds."""
        self._seen.append((now, done))
        # The newest one that is old enough stays, else the minute would never be full.
        while len(self._seen) > 1 and self._seen[1][0] <= now - REMEMBERED_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < _LEAST_SECONDS:
            return None
        return max(0, done - before) / (now - since)


class Exchange:
    """The state file as the sender of one broadcast sees it."""

    def __init__(self, state: State, presence: Presence, clock: Clock, run: Run) -> None:
        self._state = state
        self._presence = presence
        self.clock = clock
        self._run = run
        self._purpose = lock_purpose(run.broadcast_id)
        self._last_beat = float("-inf")
        self._stated_limit: float | None = None
        self.next_snapshot = float("-inf")
        self._course = Course()
        self._rows = Rows(state, run.broadcast_id)
        self._broadcasts = Broadcasts(state)
        self._guard = RunGuard(state, clock, run)
        self.keys = [pace_key(run.broadcast_id), run.phone]
        if run.endpoint:
            self.keys.append(run.endpoint)
        self._next_mark = float("-inf")
        self._next_look_at_disk = float("-inf")
        self._last_tick = run.started_at
        self._idle_seconds = 0.0
        self._was_idle = False
        self._is_guarded = run.guards != UNGUARDED

    def foresee(self, known: Mapping[str, SendingPace], report: Report, lead: float) -> Outlook:
        """Learn from the answers and book slots, before the write lock is taken.

        `known` are the paces by their keys. The first slot is `lead` seconds ahead at the earliest.
        """
        read, now = self._read(known), self.clock.monotonic()
        start, horizon = now + lead, now + LOOK_AHEAD_SECONDS
        own, number, *account = paces = self._learn(read, report, now)
        number, others, slots = throttle.book(number, (own, *account), start, horizon, report.room)
        booked = (others[0], number, *others[1:])
        return Outlook(read, lead, start, horizon, paces, booked, slots)

    def trade(
        self, known: Mapping[str, SendingPace], report: Report, outlook: Outlook
    ) -> tuple[dict[str, SendingPace], Granted]:
        """Record and claim, inside a transaction that has read the paces that are `known`.

        Returns the paces that are to be saved with it. What was granted counts once it is durable.
        What was foreseen counts as long as nobody else has changed the paces meanwhile.

        Raises:
            StateError: the state file cannot be written.
        """
        now = self.clock.monotonic()
        is_ours = self._beat(now)
        self._rows.give_back(self._presence.holder, report.given_back)
        self.record(report.settled)
        if outlook.read != self._read(known) or outlook.start < now:
            outlook = self.foresee(known, report, outlook.lead)
        status = self._broadcasts.status(self._run.broadcast_id)
        may_send = is_ours and status is Status.SENDING and not report.is_last
        claims: tuple[Claim, ...] = ()
        slots: tuple[float, ...] = ()
        leave = self._leave(now) if may_send else Leave()
        booked = outlook.paces
        if may_send and leave.stop is None:
            claims, slots, booked = self._grant(report, outlook, leave)
        has_more = bool(claims) or self._rows.has_more(self._guard.steady.now())
        self._mark(report, bool(claims), now)
        answering = booked[-1]

        self._stated_limit = answering.stated_limit
        granted = Granted(
            claims,
            slots,
            status,
            is_ours,
            max(pace.hold_until for pace in booked[1:]),
            has_more,
            None,
            leave.stop or self._guard.stop,
            guard=answering.guard,
        )
        # Without a slot too: else a pace from another boot would start anew at every tick.
        return dict(zip(self.keys, booked, strict=True)), granted

    def record(self, settled: Sequence[tuple[Settled, str]]) -> None:
        """Record what became of requests, inside a transaction; each with its phone number.

        Raises:
            StateError: the state file cannot be written.
        """
        run, holder, now = self._run, self._presence.holder, self.clock.now()
        rows = [row for row, _ in settled]
        self._rows.record(holder, rows, now)
        project_known(self._state, (row.message_id for row in rows if row.message_id), now)
        for row, phone in settled:
            if row.opts_out:
                channel_id = self._broadcasts.get(run.broadcast_id).channel_id
                note_refusal(self._state, phone, channel_id, to_text(now), now)

    def _beat(self, now: float) -> bool:
        if now - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = now
            return locks.beat(self._state, self._purpose, self._presence, self.clock)
        return locks.is_held_by(self._state, self._purpose, self._presence)

    def _read(self, known: Mapping[str, SendingPace]) -> KnownPaces:
        return tuple(map(known.get, self.keys))

    def _learn(self, read: KnownPaces, report: Report, now: float) -> tuple[SendingPace, ...]:
        """The paces after these answers; the last one is of whom they come from.

        An account that answers for Meta says nothing about what the number itself bears.
        """
        run = self._run
        limit = run.order.limit
        limits = [run.rate, limit]
        if run.endpoint:
            limits.append(throttle.UNREPORTED_MESSAGES_PER_SECOND)
        paces = [pace or throttle.fresh(rate, now) for pace, rate in zip(read, limits, strict=True)]
        interval = throttle.slot_interval(run.rate)
        paces[0] = paces[0]._replace(interval=interval, anchor=interval)
        if run.endpoint:
            if (allowed := run.stated_limit()) is not None:
                paces[-1] = throttle.with_limit(paces[-1], allowed, now)
            limit = paces[-1].stated_limit or throttle.UNREPORTED_MESSAGES_PER_SECOND
        answering = paces[-1]
        for answer in report.answers:
            answering = throttle.learn(answering, answer, limit, now)
        if report.answers:
            new = len(report.answers)
            least = run.order.least_guard
            answering = throttle.with_spread(answering, report.spread, new, limit, least)
        if report.hold_until > now:
            answering = throttle.hold(answering, report.hold_until)
        return (*paces[:-1], answering)

    def _leave(self, now: float) -> Leave:
        """What may leave: nothing while a full disk is near.

        When a write fails it is too late: the answers to what is under way are lost then.
        """
        if now >= self._next_look_at_disk:
            try:
                demand_room(self._state)
            except StateError as error:
                return Leave(0, stop=Stop(error.message, error.exit_status))
            self._next_look_at_disk = now + _DISK_SECONDS
        return self._guard.leave()

    def _grant(
        self, report: Report, outlook: Outlook, leave: Leave
    ) -> tuple[tuple[Claim, ...], tuple[float, ...], tuple[SendingPace, ...]]:
        start, horizon = outlook.start, min(outlook.horizon, leave.before)
        possible = sum(slot <= horizon for slot in outlook.slots)
        wanted = possible + report.waiting_slots - report.waiting_claims
        claims = self._guard.claim(self._presence.holder, max(0, min(wanted, leave.rows)))
        needed = len(claims) + report.waiting_claims - report.waiting_slots
        if needed == possible == len(outlook.slots):
            return claims, outlook.slots, outlook.booked
        own, number, *others = outlook.paces
        number, rest, slots = throttle.book(number, (own, *others), start, horizon, max(0, needed))
        return claims, slots, (rest[0], number, *rest[1:])

    def snapshot(self, report: Report, together: int) -> RunProgress:
        """How the broadcast stands. So many are sent `together`."""
        began = self.clock.monotonic()
        counts, codes = self._rows.counts(), self._rows.codes()
        held = self._guard.held()
        if self._guard.canary_rows:
            self._course = Course()  # what waits for a canary says nothing about the time left
        # Counting a million rows takes a while; all together may cost a twentieth of the time.
        spent = self.clock.monotonic() - began
        self.next_snapshot = began + max(1.0, 20 * spent * together)
        return RunProgress(
            counts=counts,
            last_second=report.last_second,
            peak=report.peak,
            codes=tuple(CodeCount(row["code"], RowState(row["state"]), row["n"]) for row in codes),
            held=held,
            canary_rows=self._guard.canary_rows,
            stated_limit=self._stated_limit,
            finished_rate=self._course.rate(counts.total - counts.open, began),
        )

    def _mark(self, report: Report, has_claimed: bool, now: float) -> None:
        # The rate that is shown is that of sending, not of waiting for a morning.
        if self._was_idle:
            self._idle_seconds += now - self._last_tick
        is_busy = has_claimed or report.waiting_claims or report.settled
        self._was_idle = self._is_guarded and not is_busy
        self._last_tick = now
        throttled = sum(answer.was_throttled for answer in report.answers)
        if not (throttled or report.bunched or report.is_last or now >= self._next_mark):
            return
        self._next_mark = now + _MARK_SECONDS
        self._broadcasts.mark_run(
            self._run.broadcast_id,
            self._run.run_id,
            active_seconds=now - self._run.started_at - self._idle_seconds,
            peak=report.peak,
            throttled=throttled,
            bunched=report.bunched,
            now=self.clock.now(),
        )


def trade_together(
    state: State, trades: Sequence[tuple[Exchange, Report]], commit_seconds: float = 0.0
) -> list[Granted | BaseException]:
    """Trade for several broadcasts in one transaction; durable when it returns.

    The first slots are so far ahead that a commit of `commit_seconds` does not miss them. What
    fails for one broadcast is undone, and the error stands in its place; the others go on. When
    the transaction itself fails, its error stands in every place: nothing was recorded or claimed.
    """
    lead = LEAD_SECONDS + commit_seconds
    outcomes: list[Granted | BaseException] = []
    paces, clock = Paces(state), trades[0][0].clock
    keys = list({key for exchange, _ in trades for key in exchange.keys})
    is_alone = len(trades) == 1
    try:
        known = paces.find(keys, clock)
        # Else all numbers would send at the same moments, and the last of them too late.
        apart = throttle.slot_interval(throttle.MESSAGES_PER_SECOND) / len(trades)
        outlooks = [
            exchange.foresee(known, report, lead + place * apart)
            for place, (exchange, report) in enumerate(trades)
        ]
        with state.transaction():
            known, booked = paces.find(keys, clock), dict[str, SendingPace]()
            for (exchange, report), outlook in zip(trades, outlooks, strict=True):
                try:
                    with contextlib.nullcontext() if is_alone else state.part_of_transaction():
                        own, granted = exchange.trade(known, report, outlook)
                except Exception as error:
                    # What the only one wrote is undone with the transaction.
                    if is_alone or not state.in_transaction:
                        raise
                    outcomes.append(error)
                else:
                    outcomes.append(granted)
                    known |= own
                    booked |= own
            paces.save(booked, clock)
    except Exception as error:
        return [error for _ in trades]
    _add_snapshots(trades, outcomes)
    return outcomes


def _add_snapshots(
    trades: Sequence[tuple[Exchange, Report]], outcomes: list[Granted | BaseException]
) -> None:
    """Add how the broadcasts stand that are due, at the end all of them.

    What was claimed waits for it: when one took long, the others come at the next ticks.
    """
    clock = trades[0][0].clock
    began = clock.monotonic()
    by_turn = sorted(range(len(trades)), key=lambda place: trades[place][0].next_snapshot)
    for place in by_turn:
        (exchange, report), outcome = trades[place], outcomes[place]
        now = clock.monotonic()
        is_due = exchange.next_snapshot <= now and now - began < _SNAPSHOTS_SECONDS
        if isinstance(outcome, BaseException) or not (is_due or report.is_last):
            continue
        try:
            outcomes[place] = replace(outcome, snapshot=exchange.snapshot(report, len(trades)))
        except Exception as error:
            outcomes[place] = error
