"""Who was active in which month, in the state file. `add` is called inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from wacoex_cli.foundation.state import State

_COUNTS = "COUNT(*) AS contacts, COALESCE(SUM(CASE WHEN by_message = 0 THEN 1 ELSE 0 END), 0) AS n"


def add(state: State, active: Iterable[tuple[str, str, str, bool, bool]]) -> None:
    """Keep month (`2026-11`, UTC), address, contact, whether by a message, whether by an echo."""
    state.execute_many(
        "INSERT INTO active_contacts (month, address, contact, by_message, by_echo)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (month, address, contact) DO UPDATE SET"
        " by_message = active_contacts.by_message | excluded.by_message,"
        " by_echo = active_contacts.by_echo | excluded.by_echo",
        [
            (month, address, contact, int(by_message), int(by_echo))
            for month, address, contact, by_message, by_echo in active
        ],
    )


def by_address(state: State, month: str) -> dict[str, tuple[int, int]]:
    """For each address how many contacts were active, and how many of them by echoes only."""
    rows = state.rows(
        f"SELECT address, {_COUNTS} FROM active_contacts WHERE month = ? GROUP BY address", [month]
    )
    return {row["address"]: (row["contacts"], row["n"]) for row in rows}


def distinct(state: State, month: str, addresses: Collection[str]) -> tuple[int, int]:
    """How many contacts were active under any of these addresses, and how many by echoes only."""
    if not addresses:
        return 0, 0
    marks = ", ".join("?" * len(addresses))
    row = state.row(
        f"SELECT {_COUNTS} FROM (SELECT contact, MAX(by_message) AS by_message"
        f" FROM active_contacts WHERE month = ? AND address IN ({marks})"
        " GROUP BY contact) AS people",
        [month, *sorted(addresses)],
    )
    return (row["contacts"], row["n"]) if row else (0, 0)
