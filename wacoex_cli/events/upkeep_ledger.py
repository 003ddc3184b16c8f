"""What must hold in the log, and the removal of its old part, in steps of some milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from wacoex_cli.foundation.state import Row, State

_BATCH = 5_000
_SAME_DAY_LATER = (
    "SELECT 1 FROM evidence AS later WHERE later.address = evidence.address"
    " AND later.kind = 'echo' AND later.at > evidence.at"
    " AND later.at < SUBSTR(evidence.at, 1, 10) || 'T24'"
)


def events_of_no_payload(state: State) -> int:
    """How many events belong to a payload that is not there."""
    return int(
        state.value(
            "SELECT COUNT(*) FROM events e LEFT JOIN payloads p ON p.payload_id = e.payload_id"
            " WHERE p.payload_id IS NULL"
        )
    )


def readers_ahead(state: State) -> list[Row]:
    """Consumers that claim to have read further than the log goes."""
    return state.rows(
        "SELECT consumer, event_id FROM cursors"
        " WHERE event_id > (SELECT COALESCE(MAX(event_id), 0) FROM events) ORDER BY consumer"
    )


def end_of_old(state: State, before: str, readers: Collection[str]) -> tuple[int, int]:
    """The first payload and the first event to keep: everything before them can go.

    Kept are what came in since `before` (RFC 3339, UTC), what a reader has not read, and the
    newest of each, so that no number is given out again.
    """
    kept = int(
        state.value(
            "SELECT payload_id FROM payloads WHERE received_at >= ? ORDER BY payload_id LIMIT 1",
            [before],
        )
        or state.value("SELECT COALESCE(MAX(payload_id), 0) FROM payloads")
    )
    unread = int(
        state.value(
            "SELECT payload_id FROM events WHERE event_id > ? ORDER BY event_id LIMIT 1",
            [_read_by_all(state, readers)],
        )
        or kept
    )
    newest = int(
        state.value("SELECT payload_id FROM events ORDER BY event_id DESC LIMIT 1") or kept
    )
    first_payload = min(kept, unread, newest)
    first_event = state.value(
        "SELECT event_id FROM events WHERE payload_id >= ? ORDER BY event_id LIMIT 1",
        [first_payload],
    )
    return first_payload, int(first_event or 0)


def _read_by_all(state: State, readers: Collection[str]) -> int:
    found = {row["consumer"]: row["event_id"] for row in state.rows("SELECT * FROM cursors")}
    return min((int(found.get(name, 0)) for name in readers), default=0)


def count_old(
    state: State, first_payload: int, first_event: int, month: str
) -> tuple[int, int, int]:
    """How many payloads, events and active contacts lie before these."""
    return (
        int(state.value("SELECT COUNT(*) FROM payloads WHERE payload_id < ?", [first_payload])),
        int(state.value("SELECT COUNT(*) FROM events WHERE event_id < ?", [first_event])),
        int(state.value("SELECT COUNT(*) FROM active_contacts WHERE month < ?", [month])),
    )


def remove_old(state: State, first_payload: int, first_event: int, month: str) -> None:
    """Remove payloads and events before these ids, and active contacts of months before one."""
    _remove(state, "events", "event_id", first_event)
    _remove(state, "payloads", "payload_id", first_payload)
    for row in state.rows("SELECT DISTINCT month FROM active_contacts WHERE month < ?", [month]):
        with state.transaction():
            state.execute("DELETE FROM active_contacts WHERE month = ?", [row["month"]])


def thin_out(state: State, before: str) -> None:
    """Of the echoes of one number and day before a moment keep the last, as evidence.

    Hours in which things came in are forgotten. What the countdown rests on stays.
    """
    for row in state.rows("SELECT DISTINCT address FROM evidence WHERE kind = 'echo'"):
        with state.transaction():
            state.execute(
                "DELETE FROM evidence WHERE address = ? AND kind = 'echo' AND at < ?"
                f" AND EXISTS ({_SAME_DAY_LATER})",
                [row["address"], before],
            )
    with state.transaction():
        state.execute("DELETE FROM arrivals WHERE hour < ?", [before])


def _remove(state: State, table: str, column: str, first_kept: int) -> None:
    while True:
        lowest = state.value(f"SELECT MIN({column}) FROM {table}")
        if lowest is None or lowest >= first_kept:
            return
        with state.transaction():
            state.execute(
                f"DELETE FROM {table} WHERE {column} < ?", [min(lowest + _BATCH, first_kept)]
            )
