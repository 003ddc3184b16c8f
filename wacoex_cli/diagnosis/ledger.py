"""What the state file tells about time itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import from_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import State


def newest_time(state: State) -> datetime | None:
    """The latest moment at which anything was recorded; None in a fresh file."""
    found = state.value(
        "SELECT MAX(moment) FROM ("
        " SELECT MAX(observed_at) AS moment FROM facts"
        " UNION ALL SELECT MAX(created_at) FROM channels"
        " UNION ALL SELECT MAX(last_active_at) FROM broadcast_runs) AS moments"
    )
    return from_text(found) if found else None
