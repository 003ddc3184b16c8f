"""This process as the sender of a broadcast: lock, run, engine and what helps it, and the end."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, UsageError, WacoexError, counted
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.foundation.workspace import STOPPING, interruptible, meanwhile
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
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending import takeover
from wacoex_cli.sending.engine import Engine, Hooks
from wacoex_cli.sending.exchange import Exchange
from wacoex_cli.sending.guards import Breaker, Guards, Run, SendOrder, let_pass
from wacoex_cli.sending.providers import SendingProvider, carrying, creating, polling

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_WARM_UP_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.25
_LONGEST_COMMIT = timedelta(seconds=10)
"""Who is put on the list in one transaction came onto it when that began."""


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
