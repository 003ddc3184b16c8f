"""The one row of a test message, and how it is taken back when nothing was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import RowState

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import Row, State

_ROW = 1


def add_row(state: State, broadcast_id: int, line: int, phone: str, parameters: str) -> None:
    """Write the one row of a test, `parameters` as JSON. Inside a transaction."""
    state.execute(
        "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [broadcast_id, _ROW, line, phone, parameters, RowState.PENDING],
    )


def row(state: State, broadcast_id: int) -> Row:
    """State, reason, detail, code and message id of the one row of a test."""
    found = state.rows(
        "SELECT state, reason, detail, code, message_id FROM recipients"
        " WHERE broadcast_id = ? AND row = ?",
        [broadcast_id, _ROW],
    )
    return found[0]


def forget_unsent(state: State, broadcast_id: int) -> None:
    """Remove a test that never began to be sent; any other broadcast stays. In a transaction."""
    unsent = (
        "(SELECT broadcast_id FROM broadcasts"
        " WHERE broadcast_id = ? AND status = 'planned' AND started_at IS NULL)"
    )
    for table in ("recipients", "broadcasts"):
        state.execute(f"DELETE FROM {table} WHERE broadcast_id IN {unsent}", [broadcast_id])
