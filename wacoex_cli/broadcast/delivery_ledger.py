"""What became of messages after Meta took them, and which of them are worth asking about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import RowState, attempt_id
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import State

# Statuses come in any order. Proof that a message arrived outweighs a report that it failed.
_RANK = {
    RowState.SENT: 1,
    RowState.FAILED: 2,
    RowState.DELIVERED: 3,
    RowState.READ: 4,
}
_RANK_NOW = (
    "CASE state WHEN 'sent' THEN 1 WHEN 'failed' THEN 2 WHEN 'delivered' THEN 3"
    " WHEN 'read' THEN 4 ELSE 0 END"
)

# The ids of the two providers differ in kind, and Meta's need no index.
_IS_OF_RESPONDIO = "message_id NOT LIKE 'wamid.%'"


@dataclass(frozen=True, slots=True)
class OnItsWay:
    """A row whose message was taken and has not come to an end."""

    row: int
    attempt: int
    phone: str
    message_id: str


def move_on(
    state: State,
    *,
    broadcast_id: int,
    row: int,
    attempt: int,
    reached: RowState,
    code: int | None,
    message_id: str | None,
    detail: str | None = None,
) -> None:
    """Take a row to the state that a status event proves.

    Never backwards. A row that is ambiguous, refused, or waits for another try has gone out
    after all, so it is not sent again. `detail` is what was said of a failure. Inside a
    transaction.
    """
    state.execute(
        "UPDATE recipients SET state = ?, message_id = COALESCE(message_id, ?), code = ?,"
        " detail = ?, not_before = NULL, holder = NULL,"
        " answered_at = COALESCE(answered_at, claimed_at)"
        f" WHERE broadcast_id = ? AND row = ? AND state <> 'skipped' AND attempts >= ?"
        f" AND {_RANK_NOW} < ?",
        [reached, message_id, code, detail, broadcast_id, row, attempt, _RANK[reached]],
    )


def row_of_message(state: State, message_id: str) -> tuple[int, int, int] | None:
    """The broadcast, the row and the attempt that respond.io gave that message id to."""
    found = state.row(
        "SELECT broadcast_id, row, attempts FROM recipients"
        f" WHERE message_id = ? AND {_IS_OF_RESPONDIO}",
        [message_id],
    )
    return (found["broadcast_id"], found["row"], found["attempts"]) if found else None


def on_their_way(state: State, broadcast_id: int, before: datetime, most: int) -> list[OnItsWay]:
    """Rows taken before a moment and not yet known as delivered, read or failed, newest first."""
    found = [
        row
        for reached in (RowState.ACCEPTED, RowState.SENT)
        for row in state.rows(
            "SELECT row, attempts, phone, message_id FROM recipients"
            " WHERE broadcast_id = ? AND state = ? AND message_id IS NOT NULL"
            " AND answered_at <= ? ORDER BY row DESC LIMIT ?",
            [broadcast_id, reached, to_text(before), most],
        )
    ]
    found.sort(key=lambda one: -one["row"])
    return [
        OnItsWay(one["row"], one["attempts"], one["phone"], one["message_id"])
        for one in found[:most]
    ]


def phone_of(state: State, broadcast_id: int, row: int) -> str | None:
    """The number (E.164) of a row that was to be sent to; None when there is no such row."""
    found = state.value(
        "SELECT phone FROM recipients WHERE broadcast_id = ? AND row = ? AND state <> 'skipped'",
        [broadcast_id, row],
    )
    return str(found) if found else None


def last_started_at(state: State, broadcast_id: int) -> str:
    """When the newest run of a broadcast began, as RFC 3339 text in UTC."""
    return str(
        state.value(
            "SELECT COALESCE(MAX(started_at), '') FROM broadcast_runs WHERE broadcast_id = ?",
            [broadcast_id],
        )
    )


def people_to_ask_about(state: State, channel_id: int, since: datetime) -> list[str]:
    """Numbers of the channel's broadcasts since a moment; those with ambiguous rows first.

    Then those whose message went through respond.io, which tells its end only when asked.
    """
    found = state.rows(
        "SELECT r.phone, MAX(CASE WHEN r.state = 'ambiguous' THEN 2"
        " WHEN b.provider = 'respondio' AND r.state IN ('accepted', 'sent') THEN 1"
        " ELSE 0 END) AS doubtful"
        " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.channel_id = ? AND r.attempts > 0"
        " AND (r.state = 'ambiguous' OR r.answered_at >= ?)"
        " GROUP BY r.phone ORDER BY doubtful DESC, r.phone",
        [channel_id, to_text(since)],
    )
    return [str(row["phone"]) for row in found]


def messages_to_ask_about(
    state: State, channel_id: int, since: datetime, most: int, state_id: str
) -> dict[str, str]:
    """Message ids of Meta's whose fate is not final, newest first, each with its attempt id."""
    found = state.rows(
        "SELECT r.message_id, r.broadcast_id, r.row, r.attempts FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.channel_id = ? AND b.provider = 'meta' AND r.state IN ('accepted', 'sent')"
        " AND r.message_id IS NOT NULL AND r.answered_at >= ?"
        " ORDER BY r.answered_at DESC, r.broadcast_id, r.row LIMIT ?",
        [channel_id, to_text(since), most],
    )
    return {
        str(one["message_id"]): attempt_id(
            state_id, one["broadcast_id"], one["row"], one["attempts"]
        )
        for one in found
    }
