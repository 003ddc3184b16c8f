"""What a state file knows that a copy of it does not, and how a copy's open claims are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.store import Rows

if TYPE_CHECKING:
    import sqlite3
    from datetime import datetime

    from wacoex_cli.foundation.state import State

# One broadcast is the same in both files when it has the same number and was planned at the
# same moment; a number alone may have been given out twice after an earlier restore.
_SAME = "m.broadcast_id = c.broadcast_id AND m.planned_at = c.planned_at"
_WHY = "it was being sent when the backup was made"
_LOST_BROADCASTS = (
    "SELECT COUNT(*) FROM replaced.broadcasts c WHERE c.status <> 'draft' AND NOT EXISTS"
    f" (SELECT 1 FROM main.broadcasts m WHERE {_SAME}"
    " AND (m.status = c.status OR c.status NOT IN ('completed', 'cancelled')))"
)
_LOST_ATTEMPTS = (
    "SELECT COUNT(*) FROM replaced.broadcasts c JOIN replaced.recipients old"
    " ON old.broadcast_id = c.broadcast_id WHERE old.attempts > 0 AND NOT EXISTS"
    " (SELECT 1 FROM main.broadcasts m JOIN main.recipients new"
    f" ON new.broadcast_id = m.broadcast_id WHERE {_SAME} AND new.row = old.row"
    " AND new.phone = old.phone AND new.attempts >= old.attempts"
    " AND COALESCE(new.answered_at, '') >= COALESCE(old.answered_at, ''))"
)
_LOST_DECISIONS = (
    "SELECT COUNT(*) FROM replaced.decisions old WHERE NOT EXISTS"
    " (SELECT 1 FROM main.decisions new WHERE new.decision_id = old.decision_id"
    " AND new.decided_at = old.decided_at AND new.decision = old.decision)"
)
_LOST_OPTOUTS = (
    "SELECT COUNT(*) FROM replaced.optouts old WHERE NOT EXISTS"
    " (SELECT 1 FROM main.optouts new WHERE new.phone = old.phone)"
)


def lost(both: sqlite3.Connection) -> dict[str, int]:
    """How much of the file that is `replaced` is missing in `main`: all zero when nothing is."""
    queries = {
        "attempts": _LOST_ATTEMPTS,
        "broadcasts": _LOST_BROADCASTS,
        "decisions": _LOST_DECISIONS,
        "optouts": _LOST_OPTOUTS,
    }
    return {what: int(both.execute(query).fetchone()[0]) for what, query in queries.items()}


def holders(replaced: sqlite3.Connection) -> list[str]:
    """The processes that a state file knows from their locks and claims."""
    found = replaced.execute(
        "SELECT holder FROM locks UNION"
        " SELECT holder FROM recipients WHERE state = 'sending' AND holder IS NOT NULL"
    )
    return [holder for (holder,) in found]


def close_claims(copy: State, now: datetime) -> int:
    """Make every row that was being sent when the copy was taken ambiguous; returns how many.

    What left after the copy was taken is nowhere noted, so nobody may send these again unasked.
    """
    with copy.transaction():
        copy.execute("DELETE FROM locks")
        return sum(
            Rows(copy, row["broadcast_id"]).doubt_claims(_WHY, now)
            for row in copy.rows("SELECT broadcast_id FROM broadcasts")
        )
