"""Settle what a dead sender left behind, from the notes that survive it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast import claims_ledger, ledger
from wacoex_cli.broadcast.exchange import lock_purpose
from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation import locks

if TYPE_CHECKING:
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import Row, State


def sender_of(state: State, broadcast_id: int, clock: Clock) -> Row | None:
    """The lock of the process that is sending (or planning) a broadcast now, else None."""
    return locks.living_holder(state, lock_purpose(broadcast_id), clock)


def check_not_being_sent(state: State, broadcast_id: int, hint: str, clock: Clock) -> None:
    """Refuse what must wait until nobody sends a broadcast; `hint` says how to go about it.

    Raises:
        TemporaryError: somebody is sending it right now.
    """
    holder = sender_of(state, broadcast_id, clock)
    if holder:
        raise TemporaryError(
            f"broadcast {broadcast_id} is being sent by process {holder['pid']}",
            hint=hint,
            code="locked",
        )


def take_the_lock(state: State, broadcast_id: int, presence: Presence, clock: Clock) -> Row | None:
    """Become the sender of a broadcast inside a transaction; returns the dead one before.

    Its rows are settled in the same transaction: nobody ever sees them without an owner.

    Raises:
        TemporaryError: somebody who may be alive is sending it.
    """
    former = locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
    remains = None
    if former:
        same_boot = former["boot_id"] == clock.boot_id()
        remains = locks.remains_of(state.path, former["holder"], same_boot=same_boot)
    this_file = ledger.state_id(state)
    claims_ledger.take_over(state, broadcast_id, remains, this_file, clock.now())
    return former


def settle_the_dead(state: State, broadcast_id: int, clock: Clock) -> None:
    """Settle the rows of a sender that died, without sending anything."""
    presence = locks.Presence(state.path)
    try:
        with state.transaction():
            former = take_the_lock(state, broadcast_id, presence, clock)
            locks.release(state, lock_purpose(broadcast_id), presence)
    finally:
        presence.leave()
    if former:
        locks.forget(state.path, former["holder"])
