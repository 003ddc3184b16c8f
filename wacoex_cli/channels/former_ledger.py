"""The ids that channels had before, in the state file. Writers need a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.model import ID_NAMES, FormerId
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.model import Details
    from wacoex_cli.foundation.state import State

# An id that another channel has now says nothing about this one any more: it was a slip.
_FORMER = (
    "SELECT channel_id, name, value, MAX(until) AS until FROM former_ids AS former"
    " WHERE (? IS NULL OR channel_id = ?) AND NOT EXISTS ("
    "SELECT 1 FROM channels AS present WHERE"
    " (former.name = 'phone_number_id' AND present.phone_number_id = former.value) OR"
    " (former.name = 'respondio_channel_id'"
    " AND CAST(present.respondio_channel_id AS TEXT) = former.value) OR"
    " (former.name = 'waba_id' AND present.waba_id = former.value"
    " AND present.channel_id = former.channel_id))"
    " GROUP BY channel_id, name, value ORDER BY channel_id, MAX(until), name, value"
)


def former_ids(state: State, channel_id: int | None = None) -> dict[int, tuple[FormerId, ...]]:
    """The ids that one channel had before, or all of them, by channel_id, oldest first."""
    found: dict[int, tuple[FormerId, ...]] = {}
    for row in state.rows(_FORMER, [channel_id, channel_id]):
        former = FormerId(row["name"], row["value"], row["until"])
        own = int(row["channel_id"])
        found[own] = (*found.get(own, ()), former)
    return found


def keep_replaced(
    state: State, channel_id: int, before: Details, after: Details, now: datetime
) -> None:
    """Keep each id that another takes the place of; one that is only taken away is forgotten."""
    changes = [(name, getattr(before, name), getattr(after, name)) for name in ID_NAMES]
    state.execute_many(
        "INSERT INTO former_ids (channel_id, name, value, until) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (channel_id, name, value, until) DO NOTHING",
        [
            (channel_id, name, str(old), to_text(now))
            for name, old, new in changes
            if old is not None and new is not None and old != new
        ],
    )
