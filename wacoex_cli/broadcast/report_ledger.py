"""What a report reads: every row, the runs and the decisions of one broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.state import Row, State

_PAGE = 2_000
_TRIED_AT = "COALESCE(left_at, answered_at, claimed_at)"
_TRIED = "broadcast_id = ? AND claimed_at IS NOT NULL AND state <> 'skipped'"
_HAS = 'data LIKE \'%"status":"{}"%\''
_IS_READ = f"({_HAS.format('read')} OR {_HAS.format('played')})"
_IS_DELIVERED = f"({_HAS.format('delivered')} OR {_IS_READ})"
_IS_SENT = f"({_HAS.format('sent')} OR {_IS_DELIVERED})"
# Meta's statuses name the attempt; those of respond.io are known by their message.
_OF_RESPONDIO = ", ".join(
    f"'respondio:status:' || r.message_id || ':{status}'"
    for status in ("sent", "delivered", "read", "failed")
)
_TOLD = (
    "SELECT message_id, at, data FROM events WHERE kind = 'status' AND at >= ? AND data LIKE ?"
    " AND message_id IS NOT NULL"
    " UNION ALL SELECT r.message_id, e.at, e.data FROM recipients r"
    f" JOIN events e ON e.event_key IN ({_OF_RESPONDIO})"
    " WHERE r.broadcast_id = ? AND r.message_id NOT LIKE 'wamid.%'"
)
_REACHED = (
    "SELECT message_id,"
    f" MIN(CASE WHEN {_IS_SENT} THEN at END) AS sent_at,"
    f" MIN(CASE WHEN {_IS_DELIVERED} THEN at END) AS delivered_at,"
    f" MIN(CASE WHEN {_IS_READ} THEN at END) AS read_at,"
    f" MIN(CASE WHEN {_HAS.format('failed')} THEN at END) AS failed_at"
    f" FROM ({_TOLD}) AS told GROUP BY message_id"
)
_SERIES = (
    ("sent", " AND (failed_at IS NULL OR delivered_at IS NOT NULL)"),
    ("delivered", ""),
    ("read", ""),
    ("failed", " AND delivered_at IS NULL"),
)


def rows(state: State, broadcast_id: int) -> Iterator[Row]:
    """Every row in order, read a page at a time: a million rows take no more memory than one page.

    Each page is as things are when it is read. Between pages nothing is held, so that a slow
    reader keeps no sender from tidying its write-ahead log.
    """
    last = -1
    while page := state.rows(
        "SELECT row, line, phone, state, reason, code, detail, attempts, message_id,"
        " message_status, claimed_at, answered_at FROM recipients"
        " WHERE broadcast_id = ? AND row > ? ORDER BY row LIMIT ?",
        [broadcast_id, last, _PAGE],
    ):
        yield from page
        last = page[-1]["row"]


def unsettled_rows(state: State, broadcast_id: int, most: int) -> list[Row]:
    """The first rows that were not taken, or of which nobody knows; the skipped ones left out."""
    return state.rows(
        "SELECT row, line, phone, state, code, detail FROM recipients WHERE broadcast_id = ?"
        " AND state IN ('failed', 'rejected', 'retry', 'ambiguous') ORDER BY row LIMIT ?",
        [broadcast_id, most],
    )


def runs(state: State, broadcast_id: int) -> list[Row]:
    """The runs, first one first: who sent, how fast, for how many seconds, how it ended."""
    return state.rows(
        "SELECT run_id, host, pid, rate, started_at, last_active_at, active_seconds, ended_as"
        " FROM broadcast_runs WHERE broadcast_id = ? ORDER BY run_id",
        [broadcast_id],
    )


def decisions(state: State, broadcast_id: int) -> list[Row]:
    """What people decided, first one first; `row` is None when it was about the broadcast."""
    return state.rows(
        "SELECT decision_id, row, decided_at, decided_by, decision FROM decisions"
        " WHERE broadcast_id = ? ORDER BY decision_id",
        [broadcast_id],
    )


def dispatch_span(state: State, broadcast_id: int) -> tuple[str, str] | None:
    """When the first and the last try left (RFC 3339 in UTC); None before the first."""
    found = state.row(
        f"SELECT MIN({_TRIED_AT}) AS first, MAX({_TRIED_AT}) AS last FROM recipients"
        f" WHERE {_TRIED}",
        [broadcast_id],
    )
    return (found["first"], found["last"]) if found and found["first"] else None


def dispatch(state: State, broadcast_id: int, width: int) -> list[Row]:
    """Tries by time: `at`, how many (`n`), and the most of them in one second (`busiest`).

    `width` is how many characters of a moment name its stretch: 19 a second, 16 a minute.
    """
    return state.rows(
        f"SELECT substr(second, 1, {width:d}) AS at, SUM(n) AS n, MAX(n) AS busiest FROM"
        f" (SELECT substr({_TRIED_AT}, 1, 19) AS second, COUNT(*) AS n FROM recipients"
        f" WHERE {_TRIED} GROUP BY 1) AS seconds GROUP BY 1 ORDER BY 1",
        [broadcast_id],
    )


def deliveries_end(state: State, broadcast_id: int, since: str, attempts: str) -> str | None:
    """When the newest status of a message of the broadcast came about; None without one.

    `since` bounds the search. `attempts` is what the attempt ids of the broadcast begin with.
    """
    newest = state.value(
        f"SELECT MAX(at) FROM ({_TOLD}) AS told",
        [since, f'%"attempt_id":"{attempts}%', broadcast_id],
    )
    return None if newest is None else str(newest)


def deliveries(state: State, broadcast_id: int, since: str, attempts: str, width: int) -> list[Row]:
    """How many messages reached each status in each stretch of time: `status`, `at`, `n`.

    A message counts once for a status, when it first had it or a later one. One that arrived did
    not fail; one that failed counts as accepted and failed only, as its row does. `width` is as
    for `dispatch`, `since` and `attempts` as for `deliveries_end`.
    """
    return state.rows(
        f"WITH reached AS ({_REACHED})"
        f" SELECT 'accepted' AS status, substr(answered_at, 1, {width:d}) AS at, COUNT(*) AS n"
        " FROM recipients WHERE broadcast_id = ? AND answered_at IS NOT NULL"
        " AND state IN ('accepted', 'sent', 'delivered', 'read', 'failed') GROUP BY 2"
        + "".join(
            f" UNION ALL SELECT '{name}', substr({name}_at, 1, {width:d}), COUNT(*)"
            f" FROM reached WHERE {name}_at IS NOT NULL{more} GROUP BY 2"
            for name, more in _SERIES
        )
        + " ORDER BY 1, 2",
        [since, f'%"attempt_id":"{attempts}%', broadcast_id, broadcast_id],
    )
