"""Sends the rows of one broadcast by the clock, and always knows what became of them.

Dispatch is an open loop: a request leaves when its slot comes, whatever the answers do; only the
number of requests under way is capped. A tick trades results for new claims and slots, in one
durable transaction with the state file: a row that is handed out is on disk as claimed before its
request can leave. It runs in a thread, so that a slow disk delays no request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.broadcast import takeover
from wacoex_cli.broadcast.guards import (
    UNGUARDED,
    Breaker,
    Guards,
    Leave,
    Run,
    RunGuard,
    SendOrder,
    let_pass,
)
from wacoex_cli.broadcast.providers import SendingProvider, carrying, creating, judge, polling
from wacoex_cli.contacts.stops import note_refusal
from wacoex_cli.errors import StateError, UsageError, WacoexError, counted
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import Clock, SteadyClock, to_text
from wacoex_cli.foundation.http import on_written
from wacoex_cli.foundation.workspace import STOPPING, interruptible, meanwhile, short_collections
from wacoex_cli.ledger.model import (
    COOLING_DOWN,
    Broadcast,
    Claim,
    CodeCount,
    Counts,
    RowState,
    RunProgress,
    Settled,
    Status,
    Stop,
    attempt_id,
    exit_status,
    lock_purpose,
    pace_key,
)
from wacoex_cli.ledger.projection import bring_up_to_date, follow_category, project_known
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.answers import NotSent, Reply, Unclear
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.store import Paces
from wacoex_cli.throughput.throttle import NO_SPREAD, Departure, Departures, Spread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.throughput.throttle import Answered, SendingPace

LOOK_AHEAD_SECONDS = 0.6
LEAD_SECONDS = 0.02
_BEAT_SECONDS = 5.0
REMEMBERED_SECONDS = 60.0
_LEAST_SECONDS = 5.0
WINDOW = 64
"""Most requests under way at once; when a server hangs this gives, not the pace."""

TICK_SECONDS = 0.1
IDLE_TICK_SECONDS = 0.25
DRAIN_SECONDS = 10.0
_UNREACHABLE_SECONDS = 120.0
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_HOLD_SECONDS = 600.0
_CLAIMED_THROUGH_SECONDS = 1.0
_WARM_UP_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.25
_LONGEST_COMMIT = timedelta(seconds=10)
"""Who is put on the list in one transaction came onto it when that began."""


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
        self._clock = clock
        self._run = run
        self._purpose = lock_purpose(run.broadcast_id)
        self._last_beat = float("-inf")
        self._next_snapshot = float("-inf")
        self._course = Course()
        self._rows = Rows(state, run.broadcast_id)
        self._broadcasts = Broadcasts(state)
        self._paces = Paces(state)
        self._guard = RunGuard(state, clock, run)
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
            status = self._broadcasts.status(self._run.broadcast_id)
            may_send = is_ours and status is Status.SENDING
            claims: tuple[Claim, ...] = ()
            slots: tuple[float, ...] = ()
            leave = self._guard.leave() if may_send else Leave()
            if may_send and leave.stop is None:
                claims, slots, paces = self._grant(report, paces, leave, now)
            for key, pace in zip((self._run.phone, self._run.endpoint), paces, strict=False):
                self._paces.save(str(key), pace, self._clock)
            has_more = bool(claims) or self._rows.has_more(self._guard.steady.now())
            self._mark(report, bool(claims), now)
        hold_until = max(pace.hold_until for pace in paces)
        snapshot = self._snapshot(report, paces[-1].told_limit, now)
        return Granted(
            claims,
            slots,
            status,
            is_ours,
            hold_until,
            has_more,
            snapshot,
            leave.stop or self._guard.stop,
            guard=paces[-1].guard,
        )

    def _beat(self, now: float) -> bool:
        if now - self._last_beat >= _BEAT_SECONDS:
            self._last_beat = now
            return locks.beat(self._state, self._purpose, self._presence, self._clock)
        return locks.is_held_by(self._state, self._purpose, self._presence)

    def _record(self, report: Report) -> None:
        run, holder, now = self._run, self._presence.holder, self._clock.now()
        settled = [row for row, _ in report.settled]
        self._rows.give_back(holder, report.given_back)
        self._rows.record(holder, settled, now)
        project_known(self._state, (row.message_id for row in settled if row.message_id), now)
        for row, phone in report.settled:
            if row.opts_out:
                channel_id = self._broadcasts.get(run.broadcast_id).channel_id
                note_refusal(self._state, phone, channel_id, to_text(now), now)

    def _learn(self, report: Report, now: float) -> tuple[SendingPace, ...]:
        """The pace of the number, and that of the account: the last one is whose answers these are.

        An account that answers for Meta says nothing about what the number itself bears.
        """
        run, clock = self._run, self._clock
        paces = [self._paces.load(run.phone, run.order.limit, clock)]
        limit = run.order.limit
        if run.endpoint:
            unreported = throttle.UNREPORTED_MESSAGES_PER_SECOND
            account = self._paces.load(run.endpoint, unreported, clock)
            if (allowed := run.told_limit()) is not None:
                account = throttle.with_limit(account, allowed, now)
            paces.append(account)
            limit = account.told_limit or unreported
        answering = paces[-1]
        for answer in report.answers:
            answering = throttle.learn(answering, answer, limit, now)
        if report.answers:
            new = len(report.answers)
            answering = throttle.with_spread(answering, report.spread, new, limit)
        if report.hold_until > now:
            answering = throttle.hold(answering, report.hold_until)
        return (*paces[:-1], answering)

    def _grant(
        self, report: Report, paces: tuple[SendingPace, ...], leave: Leave, now: float
    ) -> tuple[tuple[Claim, ...], tuple[float, ...], tuple[SendingPace, ...]]:
        run = self._run
        key = pace_key(run.broadcast_id)
        own = self._paces.load(key, run.rate, self._clock)
        interval = throttle.slot_interval(run.rate)
        own = replace(own, interval=interval, anchor=interval)
        start, horizon = now + LEAD_SECONDS, min(now + LOOK_AHEAD_SECONDS, leave.before)
        number, others = paces[0], (own, *paces[1:])
        _, _, possible = throttle.book(number, others, start, horizon, report.room)
        wanted = len(possible) + report.waiting_slots - report.waiting_claims
        claims = self._guard.claim(self._presence.holder, max(0, min(wanted, leave.rows)))
        needed = len(claims) + report.waiting_claims - report.waiting_slots
        number, others, slots = throttle.book(number, others, start, horizon, max(0, needed))
        # Without a slot too: else a pace from another boot would start anew at every tick.
        self._paces.save(key, others[0], self._clock)
        return claims, slots, (number, *others[1:])

    def _snapshot(self, report: Report, told_limit: float | None, now: float) -> RunProgress | None:
        if now < self._next_snapshot and not report.is_last:
            return None
        counts, codes = self._rows.counts(), self._rows.codes()
        held = self._guard.held()
        if self._guard.canary_rows:
            self._course = Course()  # what waits for a canary says nothing about the time left
        # Counting a million rows takes a while; it may cost a twentieth of the time, not more.
        self._next_snapshot = now + max(1.0, 20 * (self._clock.monotonic() - now))
        return RunProgress(
            counts=counts,
            last_second=report.last_second,
            peak=report.peak,
            codes=tuple(CodeCount(row["code"], RowState(row["state"]), row["n"]) for row in codes),
            held=held,
            canary_rows=self._guard.canary_rows,
            told_limit=told_limit,
            finished_rate=self._course.rate(counts.total - counts.open, now),
        )

    def _mark(self, report: Report, has_claimed: bool, now: float) -> None:
        # The rate that is shown is that of sending, not of waiting for a morning.
        if self._was_idle:
            self._idle_seconds += now - self._last_tick
        is_busy = has_claimed or report.waiting_claims or report.settled
        self._was_idle = self._is_guarded and not is_busy
        self._last_tick = now
        self._broadcasts.mark_run(
            self._run.broadcast_id,
            self._run.run_id,
            active_seconds=now - self._run.started_at - self._idle_seconds,
            peak=report.peak,
            throttled=sum(answer.was_throttled for answer in report.answers),
            bunched=report.bunched,
            now=self._clock.now(),
        )


@dataclass(frozen=True)
class Hooks:
    """What the engine is given: how to trade with the ledger, note a departure, and send.

    `remote` is the name of the other side, for people.
    """

    exchange: Callable[[Report], Granted]
    note_departure: Callable[[Claim], None]
    send: Callable[[Claim], Awaitable[Reply]]
    on_counts: Callable[[RunProgress], None]
    remote: str = "Meta"
    is_ready: Callable[[Claim], bool] = lambda claim: True


class _UnderWay(NamedTuple):
    """A request under way, and when it began by the calendar."""

    claim: Claim
    departure: Departure
    moment: datetime


class Engine:
    """One run of one broadcast in this process."""

    def __init__(
        self,
        hooks: Hooks,
        clock: Clock,
        breaker: Breaker,
        *,
        window: int = WINDOW,
        limit: float = throttle.MESSAGES_PER_SECOND,
    ) -> None:
        self._hooks = hooks
        self._clock = clock
        self._steady = SteadyClock(clock)
        self._breaker = breaker
        self._window = window
        self._claims: deque[Claim] = deque()
        self._slots: deque[float] = deque()
        self._under_way: dict[asyncio.Task[None], _UnderWay] = {}
        self._settled: list[tuple[Settled, str]] = []
        self._answers: list[throttle.Answered] = []
        self._departures = Departures(limit)
        self._guard = throttle.GUARD
        self._peak = 0
        self._hold_until = 0.0
        self._failed_connects = 0
        self._unreachable_since: float | None = None
        self._stop: Stop | None = None
        self._abort = False
        self.stopped = asyncio.Event()
        self._has_slots = asyncio.Event()
        self._failure: BaseException | None = None

    def stop(self, stop: Stop, *, at_once: bool = False) -> None:
        """Take no new rows; let requests under way end (at most ten seconds), or drop them."""
        if self._stop is None:
            self._stop = stop
        self._abort = self._abort or at_once
        self.stopped.set()

    def fail(self, error: BaseException) -> None:
        """Stop like that because of an error, which `run` then raises."""
        self._failure = self._failure or error
        self.stop(Stop("an unexpected failure", 1))

    async def run(self) -> Stop | None:
        """Send until nothing is left or something stops it; returns what stopped it.

        Raises:
            StateError: the state file could not be written; nothing leaves after that.
            BaseException: what `fail` received.
        """
        with (
            short_collections(),
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger") as ledger,
        ):
            try:
                async with meanwhile(self._dispatch(), self.fail):
                    await self._tick_until_done(ledger)
            except Exception as error:
                self.fail(error)
            finally:
                await self._drain()
                try:
                    await self._trade(ledger, is_last=True)
                except Exception as error:
                    self.fail(error)
        if self._failure:
            raise self._failure
        return self._stop

    async def _tick_until_done(self, ledger: ThreadPoolExecutor) -> None:
        while self._stop is None:
            granted = await self._trade(ledger)
            if not granted.is_ours:
                self.stop(Stop("another process took this broadcast over", 6))
            elif granted.status is not Status.SENDING:
                self.stop(Stop(f"it was {granted.status.value} by another command", 1))
            elif not (granted.has_more or self._is_busy()):
                return
            elif granted.stop:
                self.stop(granted.stop)
            elif (hold := granted.hold_until - self._clock.monotonic()) > _LONGEST_HOLD_SECONDS:
                self.stop(self._too_long_a_hold(hold, None))
            else:
                seconds = TICK_SECONDS if self._is_busy() else IDLE_TICK_SECONDS
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stopped.wait(), seconds)

    def _is_busy(self) -> bool:
        return bool(self._claims or self._under_way or self._settled)

    async def _trade(self, ledger: ThreadPoolExecutor, *, is_last: bool = False) -> Granted:
        report = self._report(is_last=is_last)
        loop = asyncio.get_running_loop()
        granted = await loop.run_in_executor(ledger, self._hooks.exchange, report)
        # Only now: what a failed transaction did not record must go into the next one.
        del self._settled[: len(report.settled)]
        del self._answers[: len(report.answers)]
        self._departures.bunched -= report.bunched
        if report.given_back:
            self._claims.clear()
        if granted.snapshot:
            self._hooks.on_counts(granted.snapshot)
            self._watch_statuses(granted.snapshot)
        self._guard = granted.guard
        self._claims.extend(granted.claims)
        self._slots.extend(granted.slots)
        self._hold(granted.hold_until)
        if self._slots:
            self._has_slots.set()
        return granted

    def _report(self, *, is_last: bool) -> Report:
        room = self._window - len(self._under_way) - len(self._slots)
        given_back: tuple[Claim, ...] = ()
        is_held = self._hold_until > self._clock.monotonic() + _CLAIMED_THROUGH_SECONDS
        if self._stop or is_held:
            # Who opts out during a long wait is not sent to after it: claims do not wait.
            given_back, room = tuple(self._claims), 0
            self._slots.clear()
        return Report(
            settled=tuple(self._settled),
            answers=tuple(self._answers),
            given_back=given_back,
            hold_until=self._hold_until,
            waiting_claims=len(self._claims) - len(given_back),
            waiting_slots=len(self._slots),
            room=max(0, room),
            last_second=self._departures.in_second_before(self._clock.monotonic()),
            peak=self._peak,
            bunched=self._departures.bunched,
            spread=self._departures.spread(),
            is_last=is_last,
        )

    async def _dispatch(self) -> None:
        while True:
            if not self._slots:
                self._has_slots.clear()
                await self._has_slots.wait()
            # A slot is ours until its moment: popped earlier, it would be missing from the
            # reports meanwhile, and its claim with it.
            slot = self._slots[0]
            due = max(slot, self._departures.next_at_earliest())
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            if not self._slots or self._slots[0] != slot:
                continue
            self._slots.popleft()
            now = self._clock.monotonic()
            if throttle.is_late(due, now, self._guard):
                self._departures.missed(due, now)
            elif (
                self._stop is None
                and now >= self._hold_until
                and self._claims
                and len(self._under_way) < self._window
                and self._hooks.is_ready(self._claims[0])
            ):
                # First the note, then the row: without a note nothing may leave.
                self._hooks.note_departure(self._claims[0])
                self._launch(self._claims.popleft(), due, now)

    def _launch(self, claim: Claim, due: float, now: float) -> None:
        departure = self._departures.add(due, now)
        self._peak = max(self._peak, self._departures.in_second_before(now))
        begun = _UnderWay(claim, departure, self._clock.now())
        task = asyncio.create_task(self._deliver(begun))
        self._under_way[task] = begun
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        begun = self._under_way.pop(task)
        if task.cancelled():
            self._take(begun, Unclear("no answer before the program had to end"))
        elif (error := task.exception()) is not None:
            self._take(begun, Unclear(f"the request broke off ({type(error).__name__})"))
            self.fail(error)

    async def _deliver(self, begun: _UnderWay) -> None:
        departure = begun.departure

        def note_written() -> None:
            departure.left_at = self._clock.monotonic()

        on_written.set(note_written)
        reply = await self._hooks.send(begun.claim)
        self._departures.answered(departure, self._clock.monotonic())
        self._take(begun, reply)

    def _take(self, begun: _UnderWay, reply: Reply) -> None:
        claim, departure = begun.claim, begun.departure
        effect = judge(claim, reply, self._steady.now())
        self._settled.append((effect.settled._replace(left_at=begun.moment), claim.phone))
        if effect.throttled is not None:
            self._answers.append(throttle.Answered(departure.left_at, effect.throttled))
        if effect.hold_seconds:
            self._hold(self._clock.monotonic() + effect.hold_seconds)
        self._watch_connection(reply)
        self._breaker.saw(effect.settled)
        stop = effect.stop or self._breaker.verdict()
        if effect.hold_seconds > _LONGEST_HOLD_SECONDS:
            stop = effect.stop or self._too_long_a_hold(effect.hold_seconds, effect.settled.code)
        if stop:
            self.stop(stop)

    def _watch_statuses(self, shot: RunProgress) -> None:
        """What was accepted may fail a moment later, all of it."""
        failed: dict[int | None, int] = {
            entry.code: entry.n for entry in shot.codes if entry.state is RowState.FAILED
        }
        failed[None] = shot.counts.of(RowState.FAILED) - sum(failed.values())
        well = shot.counts.of(RowState.DELIVERED, RowState.READ)
        self._breaker.saw_statuses(failed, well)
        if stop := self._breaker.verdict():
            self.stop(stop)

    def _watch_connection(self, reply: Reply) -> None:
        now = self._clock.monotonic()
        if not isinstance(reply, NotSent):
            self._failed_connects, self._unreachable_since = 0, None
            return
        if self._unreachable_since is None:
            self._unreachable_since = now
        if now - self._unreachable_since >= _UNREACHABLE_SECONDS:
            self.stop(Stop(f"{self._hooks.remote} cannot be reached: {reply.reason}", 6))
        if now >= self._hold_until:
            self._hold(now + min(_LONGEST_PAUSE_SECONDS, 2.0**self._failed_connects))
            self._failed_connects += 1

    def _hold(self, until: float) -> None:
        if until > self._hold_until:
            self._hold_until = until
            self._slots = deque(slot for slot in self._slots if slot >= until)

    def _too_long_a_hold(self, seconds: float, code: int | None) -> Stop:
        because = "" if code is None else f" (code {code})"
        wait = counted(round(seconds / 60), "minute")
        return Stop(f"{self._hooks.remote} asks to wait {wait}{because}", 6, code)

    async def _drain(self) -> None:
        deadline = self._clock.monotonic() + DRAIN_SECONDS
        while self._under_way and not self._abort and self._clock.monotonic() < deadline:
            await asyncio.wait(list(self._under_way), timeout=TICK_SECONDS)
        unfinished = list(self._under_way)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
            await asyncio.sleep(0)  # the done callbacks record them as ambiguous


@dataclass(frozen=True)
class Sent:
    """How a run ended. `signal_number` is set when a person or the system ended it."""

    broadcast: Broadcast
    counts: Counts
    stop: Stop | None
    signal_number: int | None
    exit_status: int


async def send(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
    clock: Clock,
    on_counts: Callable[[RunProgress], None],
    on_signal: Callable[[str], None],
) -> Sent:
    """Send every row that is still open, at most once each.

    Raises:
        TemporaryError: another process is sending this broadcast.
        StateError: the state file could not be written; nothing left after that.
    """
    sender = _SendingProcess(state, broadcast, clock)
    presence = sender.presence
    try:
        run = sender.begin(provider, channel, order)
    except BaseException:
        # Without its file the holder of a lock counts as alive until it was silent for long.
        if sender.has_lock:
            presence.abandon()
        else:
            presence.leave()
        raise
    try:
        this_file = sender.broadcasts.state_id
        desk = provider.desk(state, clock)
        mailer = provider.mailer(broadcast, this_file, desk)
        exchange = Exchange(state, presence, clock, run)

        def note_departure(claim: Claim) -> None:
            presence.note(attempt_id(this_file, run.broadcast_id, claim.row, claim.attempt))

        name, ready, post = provider.kind.known_as, mailer.is_ready, partial(mailer.deliver, clock)
        engine = Engine(
            Hooks(exchange, note_departure, post, on_counts, name, ready),
            clock,
            Breaker(order.breaker_rows, order.breaker_share, order.breaker_limits),
            limit=order.limit,
        )
        with _interruptible(engine, on_signal) as received:
            # A cold TLS connection arrives two round trips late: it would put messages together.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WARM_UP_SECONDS):
                    await provider.warm_up()
            # Who said stop while a person read the question is not claimed first.
            await _catch_up(state, clock)
            async with (
                meanwhile(_learn(state, clock, sender.rows), engine.fail),
                creating(state, provider, broadcast, clock, engine.stop, engine.fail),
                carrying(state, desk, broadcast, engine.stopped, engine.stop, engine.fail),
                polling(state, provider.respondio, run.broadcast_id, clock, engine.fail) as poller,
            ):
                stop = await engine.run()
                if poller and stop is None:
                    await poller.wait_for_last_news(lambda: not received)
        sent = sender.close(run, stop, received)
    except BaseException as error:
        # The notes stay: a resumed run learns from them what had left.
        presence.abandon()
        if isinstance(error, StateError):
            error.hint = f"{error.hint}; to continue: wacoex broadcast resume {run.broadcast_id}"
        raise
    # Until the file itself knows every row, a lost log would take its record of them along.
    is_settled = False
    try:
        is_settled = takeover.forget_settled(state, presence)
    finally:
        (presence.leave if is_settled else presence.abandon)()
    return sent


class _SendingProcess:
    """This process as the one sender of a broadcast: it takes the lock, and gives it back."""

    def __init__(self, state: State, broadcast: Broadcast, clock: Clock) -> None:
        self.state = state
        self.broadcast = broadcast
        self.clock = clock
        self.presence = locks.Presence(state.path)
        self.has_lock = False
        self.broadcasts = Broadcasts(state)
        self.rows = Rows(state, broadcast.broadcast_id)

    def begin(self, provider: SendingProvider, channel: Channel, order: SendOrder) -> Run:
        """Take the lock, settle what the sender before left, and open a run."""
        number, now = self.broadcast.broadcast_id, self.clock.now()
        rate = order.rate or self.broadcast.rate
        takeover.demand_own_file(self.state)
        with self.state.transaction():
            takeover.take_lock(self.state, number, self.presence, self.clock)
            # Between the checks and the lock somebody may have sent or cancelled it.
            status = self.broadcasts.status(number)
            if status is not self.broadcast.status:
                raise UsageError(
                    f"broadcast {number} became {status.value} meanwhile",
                    hint=f"look at it: wacoex broadcast show {number}",
                    code="wrong_status",
                )
            follow_category(self.state, self.broadcast)
            self.rows.skip_opted_out()
            self.rows.skip_cooling_down(now - COOLING_DOWN)
            self.rows.skip_sent_to(self.broadcast)
            self.rows.count_again()
            guards = self._keep_guards(order.guards, now)
            self.rows.renew_tries(now)
            run_id = self.broadcasts.start_run(number, self.presence.holder, rate, now)
            generation.raise_counter(self.state)
            self.has_lock = True
        try:
            generation.seal(self.state)
            takeover.forget_settled(self.state)
            let_pass(self.state, self.broadcast, order, self.presence, self.clock)
        except BaseException:
            with self.state.transaction():
                self.broadcasts.withdraw(self.broadcast, run_id)
                locks.release(self.state, lock_purpose(number), self.presence)
            self.has_lock = False
            raise
        return Run(
            broadcast_id=number,
            phone=channel.phone,
            run_id=run_id,
            started_at=self.clock.monotonic(),
            order=replace(order, rate=rate, guards=guards),
            endpoint=provider.endpoint,
            told_limit=provider.told_limit,
        )

    def _keep_guards(self, wanted: Guards | None, now: datetime) -> Guards:
        kept = Guards.from_json(self.broadcast.guards)
        if wanted is None:
            return kept
        if wanted.canary and wanted.canary_since is None:
            wanted = replace(wanted, canary_since=to_text(now))
        if wanted.quiet_hours != kept.quiet_hours:
            self.rows.look_again(now)
        self.broadcasts.keep_guards(self.broadcast.broadcast_id, wanted.to_json())
        return wanted

    def close(self, run: Run, stop: Stop | None, received: Collection[int]) -> Sent:
        """End the run: completed, or paused for a reason; `received` are signals."""
        number = run.broadcast_id
        with self.state.transaction():
            # respond.io may have said of a planned row that there is no such contact any more.
            self.rows.count_again()
        counts = self.rows.counts()
        if stop is None and counts.open:
            tried = counted(counts.of(RowState.RETRY), "row")
            stop = Stop(f"{tried} used all tries of this run", 6)
            if n := self.rows.at_no_hour():
                stop = Stop(
                    f"{counted(n, 'row')} can leave at no hour: their zone is always quiet;"
                    " `--quiet-hours` with fewer hours, or none, lets them go",
                    5,
                )
        status, why = (Status.PAUSED, stop) if counts.open else (Status.COMPLETED, None)
        with self.state.transaction():
            self.broadcasts.end_run(run.run_id, status.value)
            if locks.is_held_by(self.state, lock_purpose(number), self.presence):
                self.broadcasts.finish(number, status, self.clock.now(), why)
                locks.release(self.state, lock_purpose(number), self.presence)
        first = next(iter(received), None)
        closed = self.broadcasts.get(number)
        if stop and closed.status is Status.PAUSED and closed.reason:
            # A person or an event paused it, and said why.
            stop = stop._replace(reason=closed.reason)
        status_code = 128 + first if first else exit_status(counts, stop)
        return Sent(closed, counts, stop, first, status_code)


async def _learn(state: State, clock: Clock, rows: Rows) -> None:
    """Project what a listener stores: opt-outs, statuses, and what must pause us."""
    skipped: frozenset[str] = frozenset()
    while True:
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        await _catch_up(state, clock)
        since = clock.now() - _LONGEST_COMMIT
        with contextlib.suppress(WacoexError):
            skipped = await asyncio.to_thread(rows.skip_new_optouts, since, skipped)


async def _catch_up(state: State, clock: Clock) -> None:
    # A state file that cannot be used stops the engine, which reports it.
    with contextlib.suppress(WacoexError):
        await asyncio.to_thread(bring_up_to_date, state, clock)


def _interruptible(
    engine: Engine, on_signal: Callable[[str], None]
) -> contextlib.AbstractContextManager[list[int]]:
    """First Ctrl-C or SIGTERM: drain and record. Second: stop now."""

    def drain(number: int) -> None:
        on_signal(STOPPING)
        engine.stop(Stop("it was interrupted", 128 + number))

    def drop(number: int) -> None:
        engine.stop(Stop("it was interrupted", 128 + number), at_once=True)

    return interruptible(drain, drop)
