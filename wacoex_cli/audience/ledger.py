"""The people who are never to be sent to, in the state file.

Functions that change something are called inside a transaction of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.model import ImportCounts, OptOut
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wacoex_cli.foundation.state import State

_BY_PREFERENCE = "meta-user_preferences"
_BY_REFUSAL = "meta-131050"
_ADD = (
    "INSERT INTO optouts (phone, source, note, added_at) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (phone) DO NOTHING"
)


def add_optout(state: State, phone: str, source: str, note: str | None, now: datetime) -> bool:
    """Put an E.164 number on the list; False when it is there already, which stays as it is."""
    return state.execute(_ADD, [phone, source, note, to_text(now)]) == 1


def add_stop(state: State, phone: str, stopped_at: str, now: datetime) -> None:
    """Put somebody on the list who told Meta to stop; of several times the first is noted.

    It says more than a message that Meta refused for it. What an operator or a file said before
    stays as it is. `stopped_at` is RFC 3339 in UTC.
    """
    state.execute(
        "INSERT INTO optouts (phone, source, note, added_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (phone) DO UPDATE SET source = excluded.source, note = excluded.note"
        " WHERE optouts.source = ?"
        " OR (optouts.source = excluded.source AND excluded.note < optouts.note)",
        [
            phone,
            _BY_PREFERENCE,
            f"stopped marketing messages at {stopped_at}",
            to_text(now),
            _BY_REFUSAL,
        ],
    )


def remove_optout(state: State, phone: str) -> bool:
    """Take a number off the list; False when it was not there."""
    return state.execute("DELETE FROM optouts WHERE phone = ?", [phone]) == 1


def import_optouts(state: State, phones: Iterable[str], source: str, now: datetime) -> ImportCounts:
    """Put many E.164 numbers on the list, each once."""
    distinct = set(phones)
    rows = [(phone, source, None, to_text(now)) for phone in distinct]
    added = state.execute_many(_ADD, rows) if rows else 0
    return ImportCounts(added=added, known=len(distinct) - added)


def is_opted_out(state: State, phone: str) -> bool:
    """Whether an E.164 number is on the list."""
    return state.value("SELECT 1 FROM optouts WHERE phone = ?", [phone]) is not None


def list_optouts(state: State) -> list[OptOut]:
    """Everybody on the list, the newest first."""
    rows = state.rows(
        "SELECT phone, source, note, added_at FROM optouts ORDER BY added_at DESC, phone"
    )
    return [OptOut(**row) for row in rows]
