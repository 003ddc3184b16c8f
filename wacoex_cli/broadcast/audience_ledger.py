"""The rows of a plan that its file or another one keeps out, in the state file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import EITHER_SPELLING, other_spelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.state import State


def explain(state: State, broadcast_id: int, details: Sequence[tuple[str, int]]) -> None:
    """Write what is wrong beside rows: detail and row number. Inside a transaction."""
    state.execute_many(
        "UPDATE recipients SET detail = ? WHERE broadcast_id = ? AND row = ?",
        [(detail, broadcast_id, row) for detail, row in details],
    )


def skip_excluded(state: State, broadcast_id: int, phones: Sequence[str]) -> None:
    """Skip people by E.164 numbers, also when the plan spells theirs otherwise. In a transaction.

    Nothing is sent yet. What is asked of the state is what the index of one row a person has.
    """
    state.execute_many(
        "UPDATE recipients SET state = 'skipped', reason = 'excluded' WHERE broadcast_id = ?"
        f" AND state <> 'skipped' AND phone IN {EITHER_SPELLING}",
        [(broadcast_id, phone, phone) for phone in phones],
    )


def skip_respelled(state: State, broadcast_id: int) -> None:
    """Of two rows that spell one person's number in two ways skip the later. In a transaction."""
    state.execute(
        "UPDATE recipients SET state = 'skipped', reason = 'duplicate',"
        " detail = 'an earlier row spells this number otherwise' WHERE broadcast_id = ?"
        " AND state = 'pending' AND (phone LIKE '+52%' OR phone LIKE '+54%' OR phone LIKE '+55%')"
        " AND EXISTS (SELECT 1 FROM recipients first WHERE first.broadcast_id = ?"
        f" AND first.phone = {other_spelling('recipients.phone')}"
        " AND first.state <> 'skipped' AND first.row < recipients.row)",
        [broadcast_id, broadcast_id],
    )
