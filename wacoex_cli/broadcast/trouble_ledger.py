"""The rows and runs that went wrong, over all broadcasts. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

# Rows that were answered since a moment are in broadcasts that did not end before it.
_RECENT = (
    " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    " WHERE b.started_at IS NOT NULL AND (b.finished_at IS NULL OR b.finished_at > ?)"
    " AND r.answered_at > ?"
)


def ambiguous(state: State) -> list[Row]:
    """Ambiguous rows by broadcast: channel_id, broadcast_id, n, and `at`, the newest of them."""
    return state.rows(
        "SELECT b.channel_id, b.broadcast_id, COUNT(*) AS n,"
        " MAX(COALESCE(r.answered_at, r.claimed_at, b.planned_at)) AS at"
        " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE r.state = 'ambiguous' AND b.status <> 'draft'"
        " GROUP BY b.channel_id, b.broadcast_id ORDER BY b.broadcast_id"
    )


def throttled(state: State, since: datetime) -> list[Row]:
    """How often 130429 came, by broadcast: channel_id, broadcast_id, n, and `at`, the last time.

    What the runs counted, or the rows that show it: a row that was taken later does not.
    """
    moment = to_text(since)
    return state.rows(
        "SELECT channel_id, broadcast_id, MAX(n) AS n, MAX(at) AS at FROM ("
        " SELECT b.channel_id, b.broadcast_id, SUM(u.throttled) AS n, MAX(u.throttled_at) AS at"
        " FROM broadcasts b JOIN broadcast_runs u ON u.broadcast_id = b.broadcast_id"
        " WHERE u.throttled_at > ? GROUP BY b.channel_id, b.broadcast_id"
        " UNION ALL"
        " SELECT b.channel_id, b.broadcast_id, COUNT(*) AS n, MAX(r.answered_at) AS at"
        f"{_RECENT} AND r.state IN ('retry', 'failed', 'rejected') AND r.code = 130429"
        " GROUP BY b.channel_id, b.broadcast_id"
        ") AS seen GROUP BY channel_id, broadcast_id ORDER BY broadcast_id",
        [moment, moment, moment],
    )


def refused(state: State, since: datetime) -> list[Row]:
    """People who got nothing for 131049 or 131050: channel_id, code, n, and `at`, the newest."""
    moment = to_text(since)
    return state.rows(
        "SELECT b.channel_id, r.code, COUNT(DISTINCT r.phone) AS n, MAX(r.answered_at) AS at"
        f"{_RECENT} AND r.state IN ('failed', 'rejected') AND r.code IN (131049, 131050)"
        " GROUP BY b.channel_id, r.code ORDER BY r.code",
        [moment, moment],
    )
