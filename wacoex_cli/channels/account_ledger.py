"""What Meta told about accounts, in the state file. Writers need a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.account import AccountEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.foundation.state import State

_COLUMNS = (
    "event_key, event, at, source, waba_id, phone_number_id, phone, entry_id, reason,"
    " initiated_by, data"
)


def add(state: State, events: Iterable[AccountEvent]) -> None:
    """Keep account events; one that is there already stays as it is."""
    state.execute_many(
        f"INSERT INTO account_events ({_COLUMNS})"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_key) DO NOTHING",
        [
            (
                one.event_key,
                one.event,
                one.at,
                one.source,
                one.waba_id,
                one.phone_number_id,
                one.phone,
                one.entry_id,
                one.reason,
                one.initiated_by,
                one.data,
            )
            for one in events
        ],
    )


def all_account_events(state: State) -> list[AccountEvent]:
    """Everything that is kept, oldest first."""
    rows = state.rows(f"SELECT {_COLUMNS} FROM account_events ORDER BY at, event_key")
    return [AccountEvent(**row) for row in rows]
