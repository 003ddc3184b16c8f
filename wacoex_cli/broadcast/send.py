"""Send a planned broadcast, or go on with one: take the lock, settle the past, run, close."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import claims_ledger, ledger, rule
from wacoex_cli.broadcast.engine import Engine, Hooks
from wacoex_cli.broadcast.exchange import Exchange, Run, lock_purpose
from wacoex_cli.broadcast.model import RowState, Status, attempt_id
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.recovery import take_the_lock
from wacoex_cli.broadcast.rule import Breaker, Stop
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.errors import StateError, UsageError, WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.interruption import STOPPING, interruptible
from wacoex_cli.templates.message import message_body
from wacoex_cli.templates.model import Template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection
    from contextlib import AbstractContextManager

    from wacoex_cli.broadcast.model import Broadcast, Claim, Counts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.meta import Meta

_WARM_CONNECTIONS = 4
_WARM_UP_SECONDS = 3.0
_LEARN_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class SendRequest:
    """How to send: `rate` and `limit` in messages per second, and who says so."""

    rate: float
    overruled: tuple[str, ...] = ()
    who: str = "unknown"
    limit: float = MESSAGES_PER_SECOND
    breaker_rows: int = 20
    breaker_share: float = 0.30


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
    meta: Meta,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
    *,
    clock: Clock,
    on_counts: Callable[[Counts], None],
    on_signal: Callable[[str], None],
) -> Sent:
    """Send every row that is still open, at most once each.

    Raises:
        TemporaryError: another process is sending this broadcast.
        StateError: the state file could not be written; nothing left after that.
    """
    presence = locks.Presence(state.path)
    try:
        run = _begin(state, channel, broadcast, request, presence, clock)
    except BaseException:
        presence.leave()
        raise
    try:
        engine = Engine(
            _hooks(state, meta, channel, broadcast, run, presence, clock, on_counts),
            clock,
            Breaker(request.breaker_rows, request.breaker_share),
        )
        with _interruptible(engine, on_signal) as received:
            await _warm_up(meta, channel)
            async with _learning(state, clock):
                stop = await engine.run()
        sent = _close(state, broadcast, run, stop, presence, clock, received)
        on_counts(sent.counts)
    except BaseException as error:
        # The notes stay: whoever resumes learns from them what had left.
        presence.abandon()
        if isinstance(error, StateError):
            error.hint = f"{error.hint}; to continue: wacoex broadcast resume {run.broadcast_id}"
        raise
    presence.leave()
    return sent


def _begin(
    state: State,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
    presence: locks.Presence,
    clock: Clock,
) -> Run:
    broadcast_id, now = broadcast.broadcast_id, clock.now()
    with state.transaction():
        former = take_the_lock(state, broadcast_id, presence, clock)
        _check_unchanged(state, broadcast)
        ledger.skip_opted_out(state, broadcast_id)
        ledger.count_again(state, broadcast_id)
        for finding in request.overruled:
            ledger.record_decision(
                state, broadcast_id, None, f"overruled {finding}", request.who, to_text(now)
            )
        run_id = claims_ledger.start_run(state, broadcast_id, presence.holder, request.rate, now)
    if former and former["holder"] != presence.holder:
        locks.forget(state.path, former["holder"])
    return Run(
        broadcast_id=broadcast_id,
        phone=channel.phone,
        run_id=run_id,
        rate=request.rate,
        limit=request.limit,
        started_at=clock.monotonic(),
    )


def _check_unchanged(state: State, broadcast: Broadcast) -> None:
    """Between the checks and the lock somebody may have sent or cancelled it."""
    now = ledger.get(state, broadcast.broadcast_id).status
    if now is not broadcast.status:
        raise UsageError(
            f"broadcast {broadcast.broadcast_id} has become {now.value} meanwhile",
            hint=f"look at it: wacoex broadcast show {broadcast.broadcast_id}",
            code="wrong_status",
        )


async def _warm_up(meta: Meta, channel: Channel) -> None:
    """A cold TLS connection arrives two round trips late, which would put messages together."""
    reads = (
        meta.phone_number(channel.demand_phone_number_id(), ("id",))
        for _ in range(_WARM_CONNECTIONS)
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WARM_UP_SECONDS):
            await asyncio.gather(*reads, return_exceptions=True)


@contextlib.asynccontextmanager
async def _learning(state: State, clock: Clock) -> AsyncIterator[None]:
    """Meanwhile project what a listener stores: opt-outs, statuses, and what must pause us."""

    async def learn() -> None:
        while True:
            # A state file that cannot be used stops the engine, which tells it.
            with contextlib.suppress(WacoexError):
                await asyncio.to_thread(bring_up_to_date, state, clock)
            await asyncio.sleep(_LEARN_EVERY_SECONDS)

    learner = asyncio.create_task(learn())
    try:
        yield
    finally:
        learner.cancel()
        await asyncio.wait([learner])


def _hooks(
    state: State,
    meta: Meta,
    channel: Channel,
    broadcast: Broadcast,
    run: Run,
    presence: locks.Presence,
    clock: Clock,
    on_counts: Callable[[Counts], None],
) -> Hooks:
    this_file = ledger.state_id(state)
    body_of = message_maker(broadcast, this_file)
    phone_number_id = channel.demand_phone_number_id()

    def note_departure(claim: Claim) -> None:
        presence.note(attempt_id(this_file, run.broadcast_id, claim.row, claim.attempt))

    async def deliver(claim: Claim) -> Any:
        body = body_of(claim.row, claim.attempt, claim.phone, claim.parameters)
        return await meta.send_message(phone_number_id, body)

    return Hooks(Exchange(state, presence, clock, run), note_departure, deliver, on_counts)


def message_maker(
    broadcast: Broadcast, state_id: str
) -> Callable[[int, int, str, str], dict[str, Any]]:
    """A function of row, attempt, phone and parameters (JSON) that makes the request's body."""
    template = Template.from_json(json.loads(broadcast.template))
    keys = [source["key"] for source in json.loads(broadcast.parameter_sources)]

    def make(row: int, attempt: int, phone: str, parameters: str) -> dict[str, Any]:
        name = attempt_id(state_id, broadcast.broadcast_id, row, attempt)
        return message_body(template, keys, json.loads(parameters), phone, name)

    return make


def _interruptible(
    engine: Engine, on_signal: Callable[[str], None]
) -> AbstractContextManager[list[int]]:
    """First Ctrl-C or SIGTERM: drain and record. Second: stop now."""

    def drain(number: int) -> None:
        on_signal(STOPPING)
        engine.stop(_interrupted(number))

    return interruptible(drain, lambda number: engine.stop(_interrupted(number), at_once=True))


def _interrupted(number: int) -> Stop:
    return Stop("it was interrupted", 128 + number)


def _close(
    state: State,
    broadcast: Broadcast,
    run: Run,
    stop: Stop | None,
    presence: locks.Presence,
    clock: Clock,
    received: Collection[int],
) -> Sent:
    broadcast_id = broadcast.broadcast_id
    counts = ledger.counts(state, broadcast_id)
    if stop is None and counts.open:
        waiting = counts.of(RowState.RETRY)
        stop = Stop(f"{waiting} rows used up their tries of this run", 6)
    status = Status.PAUSED if counts.open else Status.COMPLETED
    with state.transaction():
        claims_ledger.end_run(state, run.run_id, status.value)
        if locks.is_held_by(state, lock_purpose(broadcast_id), presence):
            claims_ledger.finish(
                state,
                broadcast_id,
                status,
                clock.now(),
                reason=stop.reason if stop and counts.open else None,
                code=stop.code if stop and counts.open else None,
            )
            locks.release(state, lock_purpose(broadcast_id), presence)
    first = next(iter(received), None)
    closed = ledger.get(state, broadcast_id)
    if stop and closed.status is Status.PAUSED and closed.reason:
        # Whoever paused it, a person or an event, said why.
        stop = replace(stop, reason=closed.reason)
    return Sent(
        broadcast=closed,
        counts=counts,
        stop=stop,
        signal_number=first,
        exit_status=128 + first if first else rule.exit_status(counts, stop),
    )
