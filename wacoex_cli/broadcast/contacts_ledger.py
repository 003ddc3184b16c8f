"""Rows that wait for their contact at respond.io: `new_contact` is the first name it will get.

Functions that change something are called inside a transaction of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.state import State

_WAITING = "broadcast_id = ? AND state = 'pending' AND new_contact IS NOT NULL"


def without_contact(state: State, broadcast_id: int, most: int) -> list[tuple[int, str, str]]:
    """The first rows whose contact is not known to be there: row, phone (E.164), first name."""
    found = state.rows(
        f"SELECT row, phone, new_contact FROM recipients WHERE {_WAITING} ORDER BY row LIMIT ?",
        [broadcast_id, most],
    )
    return [(one["row"], one["phone"], one["new_contact"]) for one in found]


def count_without_contact(state: State, broadcast_id: int) -> int:
    """How many rows wait for a contact."""
    return int(state.value(f"SELECT COUNT(*) FROM recipients WHERE {_WAITING}", [broadcast_id]))


def note_contacts(state: State, broadcast_id: int, phones: Sequence[str]) -> None:
    """Let the rows of these people (E.164) wait no longer: their contacts are there."""
    if phones:
        state.execute_many(
            "UPDATE recipients SET new_contact = NULL WHERE broadcast_id = ? AND phone = ?"
            " AND state <> 'skipped'",
            [(broadcast_id, phone) for phone in phones],
        )


def skip_without_contact(state: State, broadcast_id: int) -> None:
    """Skip everybody who is no contact (`no_contact`)."""
    state.execute(
        "UPDATE recipients SET state = 'skipped', reason = 'no_contact', new_contact = NULL"
        f" WHERE {_WAITING}",
        [broadcast_id],
    )


def reject(state: State, broadcast_id: int, row: int, why: str) -> None:
    """Give up one row whose contact respond.io refuses to make."""
    state.execute(
        "UPDATE recipients SET state = 'rejected', detail = ?, new_contact = NULL"
        f" WHERE {_WAITING} AND row = ?",
        [why, broadcast_id, row],
    )
