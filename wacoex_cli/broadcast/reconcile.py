"""Ambiguous rows: the request left and no usable answer came. A person settles what they are."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.recovery import sender_of
from wacoex_cli.errors import TemporaryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State

MOST_SHOWN = 1_000


class Decision(StrEnum):
    """What a person says of an ambiguous row."""

    SENT = "sent"
    NOT_SENT = "not-sent"
    RESEND = "resend"


_LEADS_TO = {
    Decision.SENT: RowState.ACCEPTED,
    Decision.NOT_SENT: RowState.REJECTED,
    Decision.RESEND: RowState.PENDING,
}


def open_rows(state: State, broadcast_id: int) -> tuple[Row, ...]:
    """The ambiguous rows of a broadcast, the first thousand, in order."""
    return tuple(ledger.rows_in(state, broadcast_id, RowState.AMBIGUOUS, MOST_SHOWN))


def choose_rows(state: State, broadcast_id: int, wanted: Sequence[int]) -> list[int]:
    """The ambiguous rows a person means: those named, or all when none is named.

    Raises:
        UsageError: a named row is not ambiguous.
    """
    ambiguous = ledger.row_numbers(state, broadcast_id, RowState.AMBIGUOUS)
    if not wanted:
        return ambiguous
    known = set(ambiguous)
    for row in wanted:
        if row not in known:
            raise UsageError(
                f"row {row} of broadcast {broadcast_id} is not waiting for a decision",
                hint=f"`wacoex broadcast reconcile {broadcast_id}` lists the rows that are",
                code="not_ambiguous",
            )
    return sorted(set(wanted))


def decide(
    state: State,
    broadcast: Broadcast,
    rows: Sequence[int],
    decision: Decision,
    who: str,
    clock: Clock,
) -> int:
    """Record a decision; returns for how many rows it was taken.

    `resend` makes the rows pending; `broadcast resume` then sends them.

    Raises:
        TemporaryError: the broadcast is being sent right now.
        UsageError: `resend` for a broadcast that was cancelled.
    """
    broadcast_id = broadcast.broadcast_id
    if decision is Decision.RESEND and broadcast.status is Status.CANCELLED:
        raise UsageError(
            f"broadcast {broadcast_id} was cancelled; nothing of it is sent again",
            hint="settle its rows as sent or not-sent, and plan a new broadcast",
            code="wrong_status",
        )
    holder = sender_of(state, broadcast_id, clock)
    if holder:
        raise TemporaryError(
            f"broadcast {broadcast_id} is being sent by process {holder['pid']}",
            hint=f"pause it first: wacoex broadcast pause {broadcast_id}",
            code="locked",
        )
    return ledger.settle_by_person(
        state, broadcast_id, rows, _LEADS_TO[decision], decision.value, who, clock.now()
    )
