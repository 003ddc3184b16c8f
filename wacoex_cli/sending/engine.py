"""Sends the rows of one broadcast by the clock, and always knows what became of them.

Dispatch is an open loop: a request leaves when its slot comes, whatever the answers do; only the
number of requests under way is capped. A tick trades results for new claims and slots, in a
durable transaction with the state file: a row that is handed out is on disk as claimed before its
request can leave.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import Clock, SteadyClock
from wacoex_cli.foundation.http import WINDOW, on_written
from wacoex_cli.ledger.model import Claim, RowState, RunProgress, Settled, Status, Stop
from wacoex_cli.platforms.answers import NotSent, Reply, Unclear
from wacoex_cli.sending.exchange import Granted, Report
from wacoex_cli.sending.guards import Breaker
from wacoex_cli.sending.providers import judge
from wacoex_cli.sending.writer import TICK_SECONDS
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.throttle import Departure, Departures

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

_SKIPPED_WHEN_IDLE_SECONDS = 2 * TICK_SECONDS
DRAIN_SECONDS = 10.0
_UNREACHABLE_SECONDS = 120.0
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_HOLD_SECONDS = 600.0
_CLAIMED_THROUGH_SECONDS = 1.0


@dataclass(frozen=True)
class Hooks:
    """What the engine is given: how to trade with the ledger, note a departure, and send.

    `remote` is the name of the other side, for people. `seconds_to_tick` says, by the time of the
    event loop, when to trade again.
    """

    exchange: Callable[[Report], Awaitable[Granted]]
    note_departure: Callable[[Claim], None]
    send: Callable[[Claim], Awaitable[Reply]]
    on_counts: Callable[[RunProgress], None]
    remote: str = "Meta"
    is_ready: Callable[[Claim], bool] = lambda claim: True
    seconds_to_tick: Callable[[float], float] = lambda now: TICK_SECONDS


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
        self._is_due = asyncio.Event()
        self._next_slot: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None

    def stop(self, stop: Stop, *, at_once: bool = False) -> None:
        """Take no new rows; let requests under way end (at most ten seconds), or drop them."""
        if self._stop is None:
            self._stop = stop
        self._abort = self._abort or at_once
        self.stopped.set()
        self._is_due.set()

    def fail(self, error: BaseException) -> None:
        """Stop because of an error; requests under way may end. `run` raises it."""
        self._failure = self._failure or error
        self.stop(Stop("an unexpected failure", 1))

    @property
    def unrecorded(self) -> tuple[tuple[Settled, str], ...]:
        """What became of requests, and their phone numbers, that no trade has recorded yet."""
        return tuple(self._settled)

    async def run(self) -> Stop | None:
        """Send until nothing is left or something stops it; returns what stopped it.

        Raises:
            StateError: the state file could not be written; nothing leaves after that.
            BaseException: what `fail` received.
        """
        try:
            await self._tick_until_done()
        except Exception as error:
            self.fail(error)
        finally:
            self._slots.clear()
            await self._drain()
            try:
                await self._trade(is_last=True)
            except Exception as error:
                self.fail(error)
        if self._failure:
            raise self._failure
        return self._stop

    async def _tick_until_done(self) -> None:
        while self._stop is None:
            granted = await self._trade()
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
                await self._wait_for_tick()

    async def _wait_for_tick(self) -> None:
        loop = asyncio.get_running_loop()
        seconds = self._hooks.seconds_to_tick(loop.time())
        if not self._is_busy():
            seconds += _SKIPPED_WHEN_IDLE_SECONDS
        timer = loop.call_later(seconds, self._is_due.set)
        try:
            await self._is_due.wait()
        finally:
            timer.cancel()
        self._is_due.clear()

    def _is_busy(self) -> bool:
        return bool(self._claims or self._under_way or self._settled)

    async def _trade(self, *, is_last: bool = False) -> Granted:
        report = self._report(is_last=is_last)
        granted = await self._hooks.exchange(report)
        # Only now: what a failed transaction did not record must go into the next one.
        del self._settled[: len(report.settled)]
        del self._answers[: len(report.answers)]
        self._departures.bunched -= report.bunched
        if report.given_back:
            self._claims.clear()
        self._guard = granted.guard
        self._claims.extend(granted.claims)
        self._slots.extend(granted.slots)
        self._hold(granted.hold_until)
        self._wait_for_slot()
        # Last: showing the counts may fail, and claims must be known to be given back.
        if granted.snapshot:
            self._hooks.on_counts(granted.snapshot)
            self._watch_statuses(granted.snapshot)
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

    def _wait_for_slot(self) -> None:
        if self._next_slot is not None or not self._slots:
            return
        slot = self._slots[0]
        due = max(slot, self._departures.next_at_earliest(self._guard))
        seconds = max(0.0, due - self._clock.monotonic())
        # A timer: to wake a task that sleeps takes two rounds of the event loop more.
        loop = asyncio.get_running_loop()
        self._next_slot = loop.call_later(seconds, self._slot_came, slot, due)

    def _slot_came(self, slot: float, due: float) -> None:
        self._next_slot = None
        try:
            # A slot is ours until its moment: popped earlier, it would be missing from the
            # reports meanwhile, and its claim with it. A hold may have taken it away.
            if self._slots and self._slots[0] == slot:
                self._slots.popleft()
                self._use(due)
        except BaseException as error:
            self.fail(error)
        self._wait_for_slot()

    def _use(self, due: float) -> None:
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
        if not isinstance(reply, NotSent):
            self._failed_connects, self._unreachable_since = 0, None
            return
        now = self._clock.monotonic()
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
            # At once: a kill or a full disk during the wait leaves fewer rows in doubt.
            if self._settled and self._failure is None:
                try:
                    await self._trade()
                except Exception as error:
                    self.fail(error)
        unfinished = list(self._under_way)
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
            await asyncio.sleep(0)  # the done callbacks record them as ambiguous
