"""Send a planned broadcast, or go on with one: take the lock, settle the past, run, close."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import rule
from wacoex_cli.broadcast.breaker import Breaker
from wacoex_cli.broadcast.contacts import creating
from wacoex_cli.broadcast.engine import Engine, Hooks
from wacoex_cli.broadcast.exchange import Exchange, Run
from wacoex_cli.broadcast.guards import Guards
from wacoex_cli.broadcast.model import RowState, Status, attempt_id, lock_purpose
from wacoex_cli.broadcast.polling import polling
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.rule import Stop
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.errors import StateError, UsageError, WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.interruption import STOPPING, interruptible
from wacoex_cli.foundation.meanwhile import meanwhile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime

    from wacoex_cli.broadcast.live import Snapshot
    from wacoex_cli.broadcast.model import Broadcast, Claim, Counts
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_WARM_UP_SECONDS = 3.0
_LEARN_EVERY_SECONDS = 0.5


@dataclass(frozen=True)
class SendRequest:
    """How to send: `rate` and `limit` in messages per second, and who says so.

    `guards` stay with the broadcast; None: as they are. `zone` is the channel's, for numbers of no
    known zone. `until` belongs to this run alone.
    """

    rate: float
    overruled: tuple[str, ...] = ()
    who: str = "unknown"
    limit: float = MESSAGES_PER_SECOND
    breaker_rows: int = 20
    breaker_share: float = 0.30
    breaker_limits: Mapping[str, int | float] = field(default_factory=dict)
    guards: Guards | None = None
    zone: str = "UTC"
    until: datetime | None = None


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
    request: SendRequest,
    *,
    clock: Clock,
    on_counts: Callable[[Snapshot], None],
    on_signal: Callable[[str], None],
) -> Sent:
    """Send every row that is still open, at most once each.

    Raises:
        TemporaryError: another process is sending this broadcast.
        StateError: the state file could not be written; nothing left after that.
    """
    presence = locks.Presence(state.path)
    try:
        run = _begin(state, provider, channel, broadcast, request, presence, clock)
    except BaseException:
        presence.leave()
        raise
    try:
        engine = Engine(
            _hooks(state, provider, broadcast, run, presence, clock, on_counts),
            clock,
            Breaker(request.breaker_rows, request.breaker_share, request.breaker_limits),
        )
        with _interruptible(engine, on_signal) as received:
            await _warm_up(provider)
            async with (
                meanwhile(_learn(state, clock), engine.fail),
                creating(state, provider, broadcast, clock, engine),
                polling(state, provider.respondio, run.broadcast_id, clock, engine.fail) as poller,
            ):
                stop = await engine.run()
                if poller and stop is None:
                    await poller.wait_for_last_news(lambda: not received)
        sent = _close(state, broadcast, run, stop, presence, clock, received)
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
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
    presence: locks.Presence,
    clock: Clock,
) -> Run:
    broadcast_id, now = broadcast.broadcast_id, clock.now()
    with state.transaction():
        former = Broadcasts(state).take_lock(broadcast_id, presence, clock)
        _check_unchanged(state, broadcast)
        rows = Rows(state, broadcast_id)
        rows.skip_opted_out()
        rows.skip_sent_to(broadcast)
        rows.count_again()
        for finding in request.overruled:
            rows.note_decision(None, f"overruled {finding}", request.who, now)
        guards = _keep_guards(state, broadcast, request.guards, now)
        run_id = Broadcasts(state).start_run(broadcast_id, presence.holder, request.rate, now)
    if former and former["holder"] != presence.holder:
        locks.forget(state.path, former["holder"])
    return Run(
        broadcast_id=broadcast_id,
        phone=channel.phone,
        run_id=run_id,
        rate=request.rate,
        limit=request.limit,
        started_at=clock.monotonic(),
        endpoint=provider.endpoint,
        told_limit=provider.told_limit,
        guards=guards,
        zone=request.zone,
        until=request.until,
    )


def _keep_guards(state: State, broadcast: Broadcast, asked: Guards | None, now: datetime) -> Guards:
    kept = Guards.from_json(broadcast.guards)
    if asked is None:
        return kept
    if asked.canary and asked.canary_since is None:
        asked = replace(asked, canary_since=to_text(now))
    if asked.quiet_hours != kept.quiet_hours:
        Rows(state, broadcast.broadcast_id).look_again(now)
    Broadcasts(state).keep_guards(broadcast.broadcast_id, asked.to_json())
    return asked


def _check_unchanged(state: State, broadcast: Broadcast) -> None:
    """Between the checks and the lock somebody may have sent or cancelled it."""
    now = Broadcasts(state).get(broadcast.broadcast_id).status
    if now is not broadcast.status:
        raise UsageError(
            f"broadcast {broadcast.broadcast_id} has become {now.value} meanwhile",
            hint=f"look at it: wacoex broadcast show {broadcast.broadcast_id}",
            code="wrong_status",
        )


async def _warm_up(provider: SendingProvider) -> None:
    """A cold TLS connection arrives two round trips late, which would put messages together."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WARM_UP_SECONDS):
            await provider.warm_up()


async def _learn(state: State, clock: Clock) -> None:
    """Project what a listener stores: opt-outs, statuses, and what must pause us."""
    while True:
        # A state file that cannot be used stops the engine, which tells it.
        with contextlib.suppress(WacoexError):
            await asyncio.to_thread(bring_up_to_date, state, clock)
        await asyncio.sleep(_LEARN_EVERY_SECONDS)


def _hooks(
    state: State,
    provider: SendingProvider,
    broadcast: Broadcast,
    run: Run,
    presence: locks.Presence,
    clock: Clock,
    on_counts: Callable[[Snapshot], None],
) -> Hooks:
    this_file = Broadcasts(state).state_id
    mailer = provider.mailer(broadcast, this_file)
    exchange = Exchange(state, presence, clock, run)

    def note_departure(claim: Claim) -> None:
        presence.note(attempt_id(this_file, run.broadcast_id, claim.row, claim.attempt))

    return Hooks(exchange, note_departure, mailer.deliver, on_counts, provider.kind.known_as)


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


def _nothing_left_to_try(state: State, broadcast_id: int, counts: Counts) -> Stop:
    if n := Rows(state, broadcast_id).at_no_hour():
        why = f"{n} rows can leave at no hour: in one of their time zones it is always quiet"
        return Stop(f"{why}; `--quiet-hours` with fewer hours, or none, lets them go", 5)
    return Stop(f"{counts.of(RowState.RETRY)} rows used up their tries of this run", 6)


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
    with state.transaction():
        # respond.io may have said of a planned row that there is no such contact any more.
        Rows(state, broadcast_id).count_again()
    counts = Rows(state, broadcast_id).counts()
    if stop is None and counts.open:
        stop = _nothing_left_to_try(state, broadcast_id, counts)
    status = Status.PAUSED if counts.open else Status.COMPLETED
    with state.transaction():
        Broadcasts(state).end_run(run.run_id, status.value)
        if locks.is_held_by(state, lock_purpose(broadcast_id), presence):
            Broadcasts(state).finish(
                broadcast_id,
                status,
                clock.now(),
                reason=stop.reason if stop and counts.open else None,
                code=stop.code if stop and counts.open else None,
            )
            locks.release(state, lock_purpose(broadcast_id), presence)
    first = next(iter(received), None)
    closed = Broadcasts(state).get(broadcast_id)
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
