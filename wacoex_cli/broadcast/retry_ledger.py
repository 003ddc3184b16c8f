"""The rows of a broadcast that failed, made the rows of another one; nobody in two of them.

A family is a broadcast with all that send its failed rows again, whichever of them they failed in.
Functions here are called inside a transaction of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import other_spelling
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.channels.model import Provider

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.foundation.state import State

_FAILED = (
    "broadcast_id = ? AND state IN ('failed', 'rejected')"
    # A person knows that they have not got it, and that it is not to be sent again.
    " AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.broadcast_id = recipients.broadcast_id"
    " AND d.row = recipients.row AND d.decision = 'not-sent')"
)
_TAKEN = "('sending', 'accepted', 'sent', 'delivered', 'read', 'ambiguous')"
_STILL_TO_BE_SENT = "('pending', 'retry')"


def family_of(broadcast: Broadcast) -> int:
    """The broadcast that a family began with."""
    return broadcast.retry_of or broadcast.broadcast_id


def failures(state: State, broadcast_id: int) -> list[tuple[RowState, int | None, int]]:
    """State, code and number of the rows that failed or were rejected."""
    found = state.rows(
        f"SELECT state, code, COUNT(*) AS n FROM recipients WHERE {_FAILED}"
        " GROUP BY state, code ORDER BY state, code",
        [broadcast_id],
    )
    return [(RowState(row["state"]), row["code"], row["n"]) for row in found]


def copy_failed(
    state: State,
    source: Broadcast,
    broadcast_id: int,
    wanted: Sequence[tuple[RowState, int | None]],
    after_row: int,
    most: int,
) -> int:
    """Plan the next rows with these states and codes for `broadcast_id`, under their numbers.

    Returns the number of the last one; 0 when there are no more.
    """
    if not wanted:
        return 0
    chosen = " OR ".join("(state = ? AND COALESCE(code, -1) = COALESCE(?, -1))" for _ in wanted)
    # Whether respond.io still has them as contacts is found out as for any plan.
    contact = "phone" if source.provider is Provider.RESPONDIO else "NULL"
    written = state.execute(
        "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, new_contact)"
        f" SELECT ?, row, line, phone, parameters, 'pending', {contact} FROM recipients"
        f" WHERE {_FAILED} AND ({chosen}) AND row > ? ORDER BY row LIMIT ?",
        [
            broadcast_id,
            source.broadcast_id,
            *[value for state_and_code in wanted for value in state_and_code],
            after_row,
            most,
        ],
    )
    if not written:
        return 0
    last = "SELECT MAX(row) FROM recipients WHERE broadcast_id = ?"
    return int(state.value(last, [broadcast_id]))


def skip_relatives(state: State, broadcast: Broadcast) -> None:
    """Skip whom another broadcast of the family was taken for, or is still going to be sent to."""
    still = (
        f"(theirs.state IN {_STILL_TO_BE_SENT} AND b.status <> '{Status.CANCELLED.value}')"
        f" OR theirs.state IN {_TAKEN}"
    )
    _skip(state, broadcast, still, "another broadcast has or had this row")


def skip_sent_to(state: State, broadcast: Broadcast) -> None:
    """Skip who has the message by now after all: a failure was taken back, or a relative sent."""
    if broadcast.retry_of is not None:
        _skip(state, broadcast, f"theirs.state IN {_TAKEN}", "the message arrived after all")


def _skip(state: State, broadcast: Broadcast, condition: str, detail: str) -> None:
    family = family_of(broadcast)
    for spelling in ("recipients.phone", other_spelling("recipients.phone")):
        state.execute(
            "UPDATE recipients SET state = 'skipped', reason = 'duplicate', detail = ?"
            " WHERE broadcast_id = ? AND state IN ('pending', 'retry') AND EXISTS ("
            " SELECT 1 FROM broadcasts b JOIN recipients theirs"
            " ON theirs.broadcast_id = b.broadcast_id"
            " WHERE (b.broadcast_id = ? OR b.retry_of = ?) AND b.broadcast_id <> ?"
            f" AND theirs.state <> 'skipped' AND theirs.phone = {spelling} AND ({condition}))",
            [detail, broadcast.broadcast_id, family, family, broadcast.broadcast_id],
        )
