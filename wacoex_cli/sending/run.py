"""The runs of broadcasts in this process: locks, engines, what helps them, the end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, TemporaryError, UsageError, WacoexError, counted
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.foundation.workspace import STOPPING, interruptible, meanwhile, short_collections
from wacoex_cli.ledger.model import (
    COOLING_DOWN,
    Broadcast,
    Claim,
    Counts,
    RowState,
    RunProgress,
    Status,
    Stop,
    attempt_id,
    exit_status,
    lock_purpose,
)
from wacoex_cli.ledger.projection import bring_up_to_date, follow_category
from wacoex_cli.ledger.rows import Rows, new_optouts
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending import takeover
from wacoex_cli.sending.engine import Engine, Hooks
from wacoex_cli.sending.exchange import Exchange
from wacoex_cli.sending.guards import Breaker, Guards, Run, SendOrder, let_pass
from wacoex_cli.sending.providers import SendingProvider, carrying, creating, polling
from wacoex_cli.sending.writer import LedgerWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

    OnFailure = Callable[[BaseException], None]
    Helper = Callable[[OnFailure], contextlib.AbstractAsyncContextManager[None]]

_WARM_UP_SECONDS = 3.0
_BETWEEN_LOOKS_SECONDS, _LONGEST_BETWEEN_LOOKS_SECONDS = 0.2, 1.0
_LONGEST_COMMIT = timedelta(seconds=10)
"""A transaction that adds opt-outs may last this long; its rows have the time when it began."""


@dataclass(frozen=True)
class Sent:
    """How a run ended. `signal_number` is set when a person or the system ended it."""

    broadcast: Broadcast
    counts: Counts
    stop: Stop | None
    signal_number: int | None
    exit_status: int


@dataclass(frozen=True)
class NotBegun:
    """Why a broadcast did not begin here: nothing of it has changed."""

    error: Exception


def no_helper(on_failure: OnFailure) -> contextlib.AbstractAsyncContextManager[None]:
    """Nothing else is done meanwhile."""
    return contextlib.nullcontext()


@dataclass(frozen=True)
class SendJob:
    """One broadcast that is to be sent, through which API, and how; who hears how it goes.

    `on_end` hears at once how it ended, while others go on. `context` is that of its requests.
    `helper` does something else for it meanwhile, and reports its own failure, which pauses it.
    """

    provider: SendingProvider
    channel: Channel
    broadcast: Broadcast
    order: SendOrder
    on_counts: Callable[[RunProgress], None]
    on_end: Callable[[Sent | NotBegun | Exception], None] = lambda outcome: None
    context: contextvars.Context | None = None
    helper: Helper = no_helper


async def send(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
    clock: Clock,
    on_counts: Callable[[RunProgress], None],
    on_signal: Callable[[str], None],
    helper: Helper = no_helper,
) -> Sent:
    """Send every row that is still open, at most once each; `helper` as in `SendJob`.

    Raises:
        TemporaryError: another process is sending this broadcast.
        StateError: the state file could not be written; nothing left after that.
    """
    job = SendJob(provider, channel, broadcast, order, on_counts, helper=helper)
    [outcome] = await send_together(state, [job], clock, on_signal)
    if isinstance(outcome, Sent):
        return outcome
    raise outcome.error if isinstance(outcome, NotBegun) else outcome


async def send_together(
    state: State,
    jobs: Sequence[SendJob],
    clock: Clock,
    on_signal: Callable[[str], None],
) -> list[Sent | NotBegun | BaseException]:
    """Send every row that is still open of several broadcasts, at most once each.

    One engine each, and one writer of the ledger for all. What goes wrong with one stands in its
    place, and the others go on: NotBegun where another process sends it, StateError where the
    state file could not be written.
    """
    with LedgerWriter(state) as writer, short_collections():
        group = _Group(state, clock, writer)
        try:
            return await group.run(jobs, on_signal)
        except BaseException as error:
            group.give_up(error)
            raise


class _Group:
    """All broadcasts of this process that have begun, by their place in the command."""

    def __init__(self, state: State, clock: Clock, writer: LedgerWriter) -> None:
        self._state = state
        self._clock = clock
        self._writer = writer
        self._runs: dict[int, _EngineRun] = {}
        self._engines: list[Engine] = []

    async def run(
        self, jobs: Sequence[SendJob], on_signal: Callable[[str], None]
    ) -> list[Sent | NotBegun | BaseException]:
        """Begin all and send them; how each ended, or why it did not."""
        outcomes: dict[int, Sent | NotBegun | BaseException] = {}
        # A signal that comes while they begin lets all of them drain.
        with _interruptible(self._engines, on_signal) as received:
            for place, job in enumerate(jobs):
                if (outcome := self._begin(place, job)) is not None:
                    outcomes[place] = outcome
                    job.on_end(outcome)
            if self._runs:
                outcomes |= await self._send(received)
        return [outcomes[place] for place in range(len(jobs))]

    def give_up(self, error: BaseException) -> None:
        """Leave all that have begun and not ended for `resume`."""
        with contextlib.ExitStack() as each:
            for engine_run in self._runs.values():
                each.callback(engine_run.locked.give_up, error)

    def _begin(self, place: int, job: SendJob) -> NotBegun | Exception | None:
        """Take the lock of one broadcast and open its run; why it could not, if it could not."""
        locked = _LockedRun(self._state, job.broadcast, self._clock)
        try:
            run = locked.begin(job.provider, job.channel, job.order)
            engine_run = _EngineRun(locked, job, run, self._writer)
        except BaseException as error:
            locked.give_up(error)
            if not isinstance(error, Exception):
                raise
            return error if locked.has_lock else NotBegun(error)
        self._runs[place] = engine_run
        self._engines.append(engine_run.engine)
        return None

    async def _send(self, received: Collection[int]) -> dict[int, Sent | BaseException]:
        runs = list(self._runs.values())
        # A cold TLS connection arrives two round trips late: it would put messages together.
        of_numbers = {each.job.channel.phone: each.job.provider for each in runs}
        warm = asyncio.gather(
            *(provider.warm_up() for provider in of_numbers.values()), return_exceptions=True
        )
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(warm, _WARM_UP_SECONDS)
        # Who said stop while a person read the question is not claimed first.
        try:
            await asyncio.to_thread(_catch_up, self._state, self._clock)
        except Exception as error:
            self._fail(error)
        rows = [each.locked.rows for each in runs]
        learning = _learn(self._state, self._clock, rows, self._writer, self._fail)
        async with meanwhile(learning):
            ended = await asyncio.gather(
                *(
                    asyncio.create_task(each.run(received), context=each.job.context)
                    for each in runs
                ),
                return_exceptions=True,
            )
        return dict(zip(self._runs, ended, strict=True))

    def _fail(self, error: BaseException) -> None:
        for engine in self._engines:
            engine.fail(error)


class _EngineRun:
    """One broadcast on its way: its engine, and what helps it meanwhile."""

    def __init__(self, locked: _LockedRun, job: SendJob, run: Run, writer: LedgerWriter) -> None:
        self.locked = locked
        self.job = job
        self._run = run
        self._writer = writer
        self._clock = locked.clock
        state, presence, order = locked.state, locked.presence, job.order
        this_file = locked.broadcasts.state_id
        self._desk = job.provider.desk(state, self._clock)
        mailer = job.provider.mailer(job.broadcast, this_file, self._desk)
        self._exchange = exchange = Exchange(state, presence, self._clock, run)

        def note_departure(claim: Claim) -> None:
            presence.note(attempt_id(this_file, run.broadcast_id, claim.row, claim.attempt))

        hooks = Hooks(
            partial(writer.trade, exchange),
            note_departure,
            partial(mailer.deliver, self._clock),
            job.on_counts,
            job.provider.kind.known_as,
            mailer.is_ready,
            writer.seconds_to_tick,
        )
        breaker = Breaker(order.breaker_rows, order.breaker_share, order.breaker_limits)
        self.engine = Engine(hooks, self._clock, breaker, limit=order.limit)

    async def run(self, received: Collection[int]) -> Sent:
        """Send it to its end, and say at once how it ended; raises like `send`."""
        try:
            sent = await self._send(received)
        except Exception as error:
            self.job.on_end(error)
            raise
        self.job.on_end(sent)
        return sent

    async def _send(self, received: Collection[int]) -> Sent:
        """Send it to its end; `received` are the signals that have come.

        Raises:
            StateError: the state file could not be written; nothing left after that.
        """
        locked, engine, run = self.locked, self.engine, self._run
        state, presence, clock = locked.state, locked.presence, self._clock
        provider, broadcast = self.job.provider, self.job.broadcast
        try:
            async with (
                self.job.helper(engine.fail),
                creating(state, provider, broadcast, clock, engine.stop, engine.fail),
                carrying(state, self._desk, broadcast, engine.stopped, engine.stop, engine.fail),
                polling(state, provider.respondio, run.broadcast_id, clock, engine.fail) as poller,
            ):
                stop = await engine.run()
                if poller and stop is None:
                    await poller.wait_for_last_news(lambda: not received)
            sent = await self._writer.do(partial(locked.close, run, stop, received))
        except BaseException as error:
            try:
                if isinstance(error, Exception):
                    record = partial(self._exchange.record, engine.unrecorded)
                    await self._writer.do(partial(locked.pause_after, error, record))
            finally:
                # The notes stay: a resumed run learns from them what had left.
                presence.abandon()
            if isinstance(error, StateError | TemporaryError):
                go_on = f"to continue: wacoex broadcast resume {run.broadcast_id}"
                hint = f"{error.hint}; {go_on}" if error.hint else go_on
                # Others may have failed of the same error.
                raise type(error)(
                    error.message, hint=hint, code=error.code, details=error.details
                ) from error
            raise
        # Until the file itself knows every row, a lost log would take its record of them along.
        is_settled = False
        try:
            is_settled = await self._writer.do(partial(takeover.forget_settled, state, presence))
        finally:
            (presence.leave if is_settled else presence.abandon)()
        return sent


class _LockedRun:
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
        takeover.demand_room(self.state)
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
            stated_limit=provider.stated_limit,
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

    def give_up(self, error: BaseException) -> None:
        """Leave a broadcast that did not come as far as its first tick."""
        if not self.has_lock:
            self.presence.leave()
            return
        try:
            if isinstance(error, Exception):
                self.pause_after(error)
        finally:
            # Without its file the holder of a lock counts as alive until it was silent for long.
            self.presence.abandon()

    def pause_after(self, error: Exception, record: Callable[[], None] = lambda: None) -> None:
        """Let everybody see that a failure ended this; the lock stays for `resume`.

        First `record` what is known of rows and was not recorded. What broke may be the state
        file itself: then nothing changes.
        """
        number = self.broadcast.broadcast_id
        # Alone it may succeed: it is less than a tick writes, and a full disk has a little room.
        with contextlib.suppress(Exception), self.state.transaction():
            record()
        with contextlib.suppress(WacoexError):
            with self.state.transaction():
                if self._is_ours() and self.broadcasts.status(number) is Status.SENDING:
                    why = error.message if isinstance(error, WacoexError) else type(error).__name__
                    self.broadcasts.set_status(number, Status.PAUSED, reason=f"it failed: {why}")
            # By itself: where only the rows cannot be written, the pause stands.
            with self.state.transaction():
                self._settle_claims()

    def _settle_claims(self) -> None:
        """Whatever went wrong, no row stays claimed after the end of its sender."""
        if self._is_ours():
            number, now = self.broadcast.broadcast_id, self.clock.now()
            takeover.settle_own(self.state, number, self.presence, now)

    def _is_ours(self) -> bool:
        purpose = lock_purpose(self.broadcast.broadcast_id)
        return locks.is_held_by(self.state, purpose, self.presence)

    def close(self, run: Run, stop: Stop | None, received: Collection[int]) -> Sent:
        """End the run: completed, or paused for a reason; `received` are signals."""
        number = run.broadcast_id
        with self.state.transaction():
            self._settle_claims()
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
            if self._is_ours():
                self.broadcasts.finish(number, status, self.clock.now(), why)
                locks.release(self.state, lock_purpose(number), self.presence)
        first = next(iter(received), None)
        closed = self.broadcasts.get(number)
        if stop and closed.status is Status.PAUSED and closed.reason:
            # A person or an event paused it, and said why.
            stop = stop._replace(reason=closed.reason)
        status_code = 128 + first if first else exit_status(counts, stop)
        return Sent(closed, counts, stop, first, status_code)


async def _learn(
    state: State, clock: Clock, rows: Sequence[Rows], writer: LedgerWriter, on_failure: OnFailure
) -> None:
    """Project what a listener stores: opt-outs, statuses, and what must pause us.

    `on_failure` gets what ends it.
    """
    known = frozenset[str]()

    def learn() -> None:
        nonlocal known
        _catch_up(state, clock)
        with contextlib.suppress(WacoexError):
            listed = new_optouts(state, clock.now() - _LONGEST_COMMIT)
            if listed - known:
                for of_broadcast in rows:
                    of_broadcast.skip_people(listed - known)
            known = listed

    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_BETWEEN_LOOKS_SECONDS):
                await writer.others_wrote.wait()
        writer.others_wrote.clear()
        try:
            await asyncio.to_thread(learn)
        except Exception as error:
            on_failure(error)
            return
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)


def _catch_up(state: State, clock: Clock) -> None:
    # A state file that cannot be used stops the engine, which reports it.
    with contextlib.suppress(WacoexError):
        bring_up_to_date(state, clock)


def _interruptible(
    engines: Sequence[Engine], on_signal: Callable[[str], None]
) -> contextlib.AbstractContextManager[list[int]]:
    """First Ctrl-C or SIGTERM: all drain and record. Second: stop now."""

    def drain(number: int) -> None:
        on_signal(STOPPING)
        for engine in engines:
            engine.stop(Stop("it was interrupted", 128 + number))

    def drop(number: int) -> None:
        for engine in engines:
            engine.stop(Stop("it was interrupted", 128 + number), at_once=True)

    return interruptible(drain, drop)
