"""Sums over all broadcasts that must hold, and the removal of old ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import holds_back
from wacoex_cli.broadcast.exchange import lock_purpose, pace_key
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_BATCH = 5_000


def wrong_sums(state: State) -> list[Row]:
    """Broadcasts whose rows are not the recipients and the skipped that they count."""
    return state.rows(
        "SELECT b.broadcast_id, b.recipients, b.skipped, COUNT(r.row) AS found,"
        " COALESCE(SUM(CASE WHEN r.state = 'skipped' THEN 1 ELSE 0 END), 0) AS found_skipped"
        " FROM broadcasts b LEFT JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status <> 'draft' GROUP BY b.broadcast_id, b.recipients, b.skipped"
        " HAVING COUNT(r.row) <> b.recipients + b.skipped OR"
        " COALESCE(SUM(CASE WHEN r.state = 'skipped' THEN 1 ELSE 0 END), 0) <> b.skipped"
        " ORDER BY b.broadcast_id"
    )


def people_twice(state: State) -> list[Row]:
    """Broadcasts with people who have more than one row that can be sent to, and how many."""
    return state.rows(
        "SELECT broadcast_id, COUNT(*) AS people FROM ("
        " SELECT broadcast_id, phone FROM recipients WHERE state <> 'skipped'"
        " GROUP BY broadcast_id, phone HAVING COUNT(*) > 1) AS twice"
        " GROUP BY broadcast_id ORDER BY broadcast_id"
    )


def sending_rows(state: State) -> list[Row]:
    """How many rows each holder has claimed in each broadcast that was not cancelled."""
    return state.rows(
        "SELECT r.broadcast_id, r.holder, COUNT(*) AS n FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status <> 'cancelled' AND r.state = 'sending'"
        " GROUP BY r.broadcast_id, r.holder ORDER BY r.broadcast_id, r.holder"
    )


def taken_without_message_id(state: State) -> list[Row]:
    """Broadcasts with rows that Meta took but gave no id for; those a person settled left out."""
    return state.rows(
        "SELECT r.broadcast_id, COUNT(*) AS n FROM recipients r"
        " WHERE r.state IN ('accepted', 'sent', 'delivered', 'read', 'failed')"
        " AND r.message_id IS NULL AND NOT EXISTS (SELECT 1 FROM decisions d"
        " WHERE d.broadcast_id = r.broadcast_id AND d.row = r.row AND d.decision = 'sent')"
        " GROUP BY r.broadcast_id ORDER BY r.broadcast_id"
    )


def taken_after_optout(state: State) -> list[Row]:
    """Broadcasts that sent to people who were on the opt-out list already."""
    return state.rows(
        "SELECT r.broadcast_id, COUNT(*) AS people FROM optouts o"
        " JOIN recipients r ON r.phone = o.phone"
        " JOIN broadcasts b ON b.broadcast_id = r.broadcast_id"
        " WHERE r.state IN ('sending', 'accepted', 'sent', 'delivered', 'read', 'failed')"
        f" AND r.claimed_at > o.added_at AND {holds_back('b.template', 'o')}"
        " GROUP BY r.broadcast_id ORDER BY r.broadcast_id"
    )


def completed_but_open(state: State) -> list[Row]:
    """Completed broadcasts with rows that are still to be sent."""
    return state.rows(
        "SELECT b.broadcast_id, COUNT(*) AS n FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status = 'completed' AND r.state IN ('pending', 'retry', 'sending')"
        " GROUP BY b.broadcast_id ORDER BY b.broadcast_id"
    )


def older_than(state: State, before: datetime, cooling_since: datetime) -> list[Row]:
    """Broadcasts in which nothing happened since a moment, with what may speak for keeping them.

    `uncertain` counts ambiguous rows and claims that nobody settled, `cooling` the answers 131049
    and `recent` all answers since `cooling_since`.
    """
    since = to_text(cooling_since)
    return state.rows(
        "SELECT * FROM (SELECT b.broadcast_id, b.name, b.status, COUNT(r.row) AS row_count,"
        " COALESCE(MAX(r.answered_at), '') AS last_answer_at,"
        " COALESCE(b.finished_at, b.started_at, b.planned_at) AS ended_at,"
        " COALESCE((SELECT MAX(d.decided_at) FROM decisions d"
        " WHERE d.broadcast_id = b.broadcast_id), '') AS last_decision_at,"
        " COALESCE(SUM(CASE WHEN r.state IN ('ambiguous', 'sending') THEN 1 ELSE 0 END), 0)"
        " AS uncertain,"
        " COALESCE(SUM(CASE WHEN r.code = 131049 AND r.answered_at > ? THEN 1 ELSE 0 END), 0)"
        " AS cooling,"
        " COALESCE(SUM(CASE WHEN r.answered_at > ? THEN 1 ELSE 0 END), 0) AS recent"
        " FROM broadcasts b LEFT JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status <> 'draft' GROUP BY b.broadcast_id) AS found"
        " WHERE ended_at < ? AND last_answer_at < ? AND last_decision_at < ?"
        " ORDER BY broadcast_id",
        [since, since, *[to_text(before)] * 3],
    )


def newest_id(state: State) -> int:
    """The highest number of a planned broadcast; 0 when there is none."""
    return int(
        state.value("SELECT COALESCE(MAX(broadcast_id), 0) FROM broadcasts WHERE status <> 'draft'")
    )


def remove(state: State, broadcast_id: int) -> bool:
    """Remove a finished broadcast and all that is known about it; False when it is none now.

    It is done in steps of some milliseconds, so that a sender beside us keeps its pace. From the
    first one on the broadcast counts as a draft: what a crash leaves, the next plan removes.
    """
    with state.transaction():
        if not _become_draft(state, broadcast_id):
            return False
        for table in ("decisions", "broadcast_runs"):
            state.execute(f"DELETE FROM {table} WHERE broadcast_id = ?", [broadcast_id])
        state.execute("DELETE FROM paces WHERE pace_key = ?", [pace_key(broadcast_id)])
        state.execute("DELETE FROM locks WHERE purpose = ?", [lock_purpose(broadcast_id)])
    while _remove_rows(state, broadcast_id):
        pass
    with state.transaction():
        state.execute("DELETE FROM broadcasts WHERE broadcast_id = ?", [broadcast_id])
    return True


def _become_draft(state: State, broadcast_id: int) -> bool:
    changed = state.execute(
        "UPDATE broadcasts SET status = 'draft' WHERE broadcast_id = ?"
        " AND status IN ('completed', 'cancelled') AND NOT EXISTS (SELECT 1 FROM recipients"
        " WHERE broadcast_id = ? AND state IN ('ambiguous', 'sending'))",
        [broadcast_id, broadcast_id],
    )
    return changed == 1


def _remove_rows(state: State, broadcast_id: int) -> int:
    with state.transaction():
        return state.execute(
            "DELETE FROM recipients WHERE broadcast_id = ? AND row IN (SELECT row"
            " FROM recipients WHERE broadcast_id = ? ORDER BY row LIMIT ?)",
            [broadcast_id, broadcast_id, _BATCH],
        )
