"""A few messages first: whether what became of them is a reason to send the rest. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from wacoex_cli.broadcast.model import Counts, RowState
from wacoex_cli.broadcast.rule import Stop

WORD = "canary"
"""What the record of its success begins with."""

_ARRIVED = (RowState.DELIVERED, RowState.READ)
_REFUSED = (RowState.FAILED, RowState.REJECTED)


@dataclass(frozen=True)
class Canary:
    """Send to `rows` people, then wait up to `wait_seconds` for what becomes of it.

    The rest follows when less than the share `limit` of them failed.
    """

    rows: int
    wait_seconds: float = 600.0
    limit: float = 0.10


@dataclass(frozen=True)
class Wait:
    """Not known yet; meanwhile so many more may be sent to."""

    room: int


@dataclass(frozen=True)
class Go:
    """The rest may be sent; `told` says why, for the record."""

    told: str


def verdict(canary: Canary, counts: Counts, quiet_seconds: float) -> Wait | Go | Stop:
    """What becomes of the first rows leads to.

    `counts` are the rows that have left, or are about to; rows that wait for another try are none
    of them. `quiet_seconds` is how long ago the last of them was answered. Failed are those that
    failed or were rejected, and ambiguous ones as long as no status settles them. Once all are
    settled there is nothing left to wait for.
    """
    left = counts.total
    refused, ambiguous = counts.of(*_REFUSED), counts.of(RowState.AMBIGUOUS)
    if refused and refused >= canary.limit * canary.rows:
        return _went_wrong(canary, counts)
    if left < canary.rows or counts.of(RowState.SENDING):
        return Wait(canary.rows - left)
    is_settled = counts.of(*_ARRIVED) + refused == left
    if not is_settled and quiet_seconds < canary.wait_seconds:
        return Wait(0)
    if refused + ambiguous >= canary.limit * left:
        return _went_wrong(canary, counts)
    unheard = counts.of(RowState.ACCEPTED, RowState.AMBIGUOUS)
    if unheard * 2 > left:
        return _nothing_heard(canary, unheard, left)
    arrived = counts.of(RowState.SENT, *_ARRIVED)
    return Go(f"{WORD}: {arrived} of {left} well, {refused + ambiguous} failed")


def _went_wrong(canary: Canary, counts: Counts) -> Stop:
    told = ", ".join(
        f"{n} {state.value}" for state in (*_REFUSED, RowState.AMBIGUOUS) if (n := counts.of(state))
    )
    limit = f"{canary.limit * 100:g}%"
    reason = f"the canary of {canary.rows} went wrong: {told}; the limit is {limit}"
    return Stop(f"{reason}; `--canary 0` goes on all the same", 5)


def _nothing_heard(canary: Canary, unheard: int, left: int) -> Stop:
    minutes = f"{canary.wait_seconds / 60:g} min"
    reason = f"no status came for {unheard} of the {left} rows of the canary within {minutes}"
    return Stop(f"{reason}: is anything listening? `--canary 0` goes on all the same", 6)
