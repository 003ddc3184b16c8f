"""Pause and cancel, from any process: the sender sees it within a tick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 15.0


async def pause(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """Pause a broadcast that is being sent, and wait until its requests under way have ended.

    Raises:
        UsageError: it is not being sent.
    """
    return await _end(state, broadcast, Status.PAUSED, {Status.SENDING}, who, clock)


async def cancel(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """End a broadcast for good; rows that were not sent stay as they are and are never sent.

    Raises:
        UsageError: it has already ended.
    """
    can_be = {Status.PLANNED, Status.SENDING, Status.PAUSED}
    return await _end(state, broadcast, Status.CANCELLED, can_be, who, clock)


async def _end(
    state: State, broadcast: Broadcast, status: Status, can_be: set[Status], who: str, clock: Clock
) -> Broadcast:
    broadcast_id = broadcast.broadcast_id
    with state.transaction():
        now = Broadcasts(state).get(broadcast_id).status
        if now not in can_be:
            raise UsageError(
                f"broadcast {broadcast_id} is {now.value} and cannot be {status.value}",
                hint="`wacoex broadcast list` shows where each one stands",
                code="wrong_status",
            )
        Broadcasts(state).set_status(broadcast_id, status, reason=f"{status.value} by {who}")
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while Broadcasts(state).sender(broadcast_id, clock) and clock.monotonic() < deadline:
        await clock.sleep(_POLL_SECONDS)
    if not Broadcasts(state).sender(broadcast_id, clock):
        Broadcasts(state).settle_dead(broadcast_id, clock)
    return Broadcasts(state).get(broadcast_id)
