"""The rows in doubt, what is known beside them, and the mark that one of them went out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import EITHER_SPELLING
from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.evidence import Doubt
from wacoex_cli.broadcast.model import RowState
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from wacoex_cli.broadcast.evidence import Judgement
    from wacoex_cli.foundation.state import Row, State

_OTHER_ROWS = (
    "SELECT r.message_id, r.claimed_at FROM broadcasts b"
    " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    f" WHERE r.phone IN {EITHER_SPELLING} AND r.state <> 'skipped' AND r.claimed_at IS NOT NULL"
    " AND NOT (r.broadcast_id = ? AND r.row = ?)"
)


def doubts(state: State, broadcast_id: int, wanted: Collection[int]) -> tuple[Doubt, ...]:
    """These rows of a broadcast as far as they are ambiguous, in order."""
    found = state.rows(
        "SELECT r.row, r.line, r.phone, r.attempts, r.claimed_at, r.detail, b.started_at,"
        # Who took a row over from a dead sender took its holder away.
        " CASE WHEN r.holder IS NOT NULL THEN r.answered_at END AS given_up_at"
        " FROM recipients r JOIN broadcasts b ON b.broadcast_id = r.broadcast_id"
        " WHERE r.broadcast_id = ? AND r.state = 'ambiguous' ORDER BY r.row",
        [broadcast_id],
    )
    chosen = set(wanted)
    return tuple(_doubt(row) for row in found if row["row"] in chosen)


def _doubt(row: Row) -> Doubt:
    since = row["claimed_at"]
    if row["attempts"] > 1:
        since = min(since, row["started_at"] or since)
    return Doubt(
        row=row["row"],
        line=row["line"],
        phone=row["phone"],
        attempt=row["attempts"],
        claimed_at=from_text(row["claimed_at"]),
        since=from_text(since),
        until=from_text(max(row["claimed_at"], row["given_up_at"] or "")),
        happened=row["detail"],
    )


def own_messages(
    state: State, channel_id: int, since: datetime, until: datetime
) -> dict[str, datetime]:
    """The messages of all broadcasts of a channel that were claimed in a time, by their ids."""
    first, last = to_text(since), to_text(until)
    found = state.rows(
        "SELECT r.message_id, r.claimed_at FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.channel_id = ? AND b.started_at <= ?"
        " AND (b.finished_at IS NULL OR b.finished_at >= ?)"
        " AND r.message_id IS NOT NULL AND r.claimed_at BETWEEN ? AND ?",
        [channel_id, last, first, first, last],
    )
    return {row["message_id"]: from_text(row["claimed_at"]) for row in found}


def other_rows(
    state: State, broadcast_id: int, doubt: Doubt
) -> tuple[frozenset[str], tuple[datetime, ...]]:
    """What other broadcasts sent to the person of a row, in either spelling of the number.

    The ids of their messages, and when rows were tried that have none.
    """
    found = state.rows(_OTHER_ROWS, [doubt.phone, doubt.phone, broadcast_id, doubt.row])
    taken = frozenset(row["message_id"] for row in found if row["message_id"])
    rivals = tuple(from_text(row["claimed_at"]) for row in found if not row["message_id"])
    return taken, rivals


def went_out(
    state: State, broadcast_id: int, doubt: Doubt, judgement: Judgement, now: datetime
) -> bool:
    """Move a row to where its message came, and write down who said so. Inside a transaction.

    False when the row has moved on meanwhile, or the message turned out to be another row's.
    """
    taken, _ = other_rows(state, broadcast_id, doubt)
    if judgement.message_id in taken:
        return False
    moved = state.execute(
        "UPDATE recipients SET state = ?, message_id = ?, detail = ?, reason = NULL, code = NULL,"
        " not_before = NULL, holder = NULL, answered_at = COALESCE(answered_at, claimed_at)"
        " WHERE broadcast_id = ? AND row = ? AND attempts = ?"
        " AND state IN ('ambiguous', 'pending')",
        [
            judgement.reached,
            judgement.message_id,
            judgement.failure,
            broadcast_id,
            doubt.row,
            doubt.attempt,
        ],
    )
    if moved:
        decision = f"went out: message {judgement.message_id}"
        source = judgement.source or ""
        ledger.record_decision(state, broadcast_id, doubt.row, decision, source, to_text(now))
    return bool(moved)


def state_of(state: State, broadcast_id: int, row: int) -> RowState:
    """Where a row stands now."""
    return RowState(
        state.value(
            "SELECT state FROM recipients WHERE broadcast_id = ? AND row = ?", [broadcast_id, row]
        )
    )
