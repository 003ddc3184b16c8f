"""The record of broadcasts and their rows: planned, listed, decided upon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import other_spelling
from wacoex_cli.broadcast.model import Broadcast, Counts, RowState, Status
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_BROADCAST = (
    "SELECT b.broadcast_id, b.channel_id, c.name AS channel, c.phone, b.name, b.status, b.reason,"
    " b.reason_code, b.template, b.parameter_sources, b.recipients_file, b.api_base_url, b.rate,"
    " b.recipients, b.skipped, b.planned_at, b.started_at, b.finished_at, b.peak_in_one_second"
    " FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
)
_INSERT_ROW = (
    "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, reason)"
    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

PlannedRow = tuple[int, int, int, str, str, str, str | None]
"""broadcast_id, row, line, phone, parameters, state, reason."""


def state_id(state: State) -> str:
    """What makes the attempt ids of this state file unique."""
    return str(state.value("SELECT value FROM about WHERE key = 'state_id'"))


def start_draft(
    state: State,
    *,
    channel_id: int,
    name: str | None,
    template: str,
    parameter_sources: str,
    recipients_file: str,
    api_base_url: str,
    rate: float,
    now: datetime,
) -> int:
    """Create a broadcast that is still being planned; returns its id. Inside a transaction."""
    broadcast_id = int(state.value("SELECT COALESCE(MAX(broadcast_id), 0) + 1 FROM broadcasts"))
    state.execute(
        "INSERT INTO broadcasts (broadcast_id, channel_id, name, status, template,"
        " parameter_sources, recipients_file, api_base_url, rate, planned_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            broadcast_id,
            channel_id,
            name,
            Status.DRAFT,
            template,
            parameter_sources,
            recipients_file,
            api_base_url,
            rate,
            to_text(now),
        ],
    )
    return broadcast_id


def add_rows(state: State, rows: Sequence[PlannedRow]) -> None:
    """Write a batch of planned rows; a person's second row becomes `skipped(duplicate)`."""
    if not rows:
        return
    with state.transaction():
        written = state.execute_many(_INSERT_ROW, rows)
        if written < len(rows):
            _add_duplicates(state, rows)


def _add_duplicates(state: State, rows: Sequence[PlannedRow]) -> None:
    broadcast_id, first, last = rows[0][0], rows[0][1], rows[-1][1]
    kept = {
        found["row"]
        for found in state.rows(
            "SELECT row FROM recipients WHERE broadcast_id = ? AND row BETWEEN ? AND ?",
            [broadcast_id, first, last],
        )
    }
    state.execute_many(
        _INSERT_ROW,
        [(*row[:5], RowState.SKIPPED.value, "duplicate") for row in rows if row[1] not in kept],
    )


def skip_opted_out(state: State, broadcast_id: int) -> int:
    """Skip everybody who is on the opt-out list now; returns how many. Inside a transaction."""
    return state.execute(
        "UPDATE recipients SET state = 'skipped', reason = 'opted_out' WHERE broadcast_id = ?"
        " AND state IN ('pending', 'retry') AND phone IN (SELECT phone FROM optouts"
        f" UNION ALL SELECT {other_spelling('phone')} FROM optouts)",
        [broadcast_id],
    )


def skip_cooling_down(state: State, broadcast_id: int, since: datetime) -> None:
    """Skip everybody for whom Meta answered 131049 after `since`. Inside a transaction."""
    state.execute(
        "UPDATE recipients SET state = 'skipped', reason = 'cooling_down'"
        " WHERE broadcast_id = ? AND state = 'pending' AND phone IN"
        " (SELECT phone FROM recipients WHERE code = 131049 AND answered_at > ? UNION ALL"
        f" SELECT {other_spelling('phone')} FROM recipients"
        " WHERE code = 131049 AND answered_at > ?)",
        [broadcast_id, to_text(since), to_text(since)],
    )


def count_again(state: State, broadcast_id: int) -> None:
    """Store how many rows can be sent to and how many are skipped. Inside a transaction."""
    state.execute(
        "UPDATE broadcasts SET"
        " skipped = (SELECT COUNT(*) FROM recipients r WHERE r.broadcast_id = ?"
        " AND r.state = 'skipped'),"
        " recipients = (SELECT COUNT(*) FROM recipients r WHERE r.broadcast_id = ?"
        " AND r.state <> 'skipped') WHERE broadcast_id = ?",
        [broadcast_id, broadcast_id, broadcast_id],
    )


def discard(state: State, broadcast_id: int) -> None:
    """Remove a draft and its rows, as if it had never been planned; what is no draft stays."""
    draft = "(SELECT broadcast_id FROM broadcasts WHERE broadcast_id = ? AND status = 'draft')"
    with state.transaction():
        for table in ("recipients", "broadcasts"):
            state.execute(f"DELETE FROM {table} WHERE broadcast_id IN {draft}", [broadcast_id])


def drafts(state: State) -> list[int]:
    """Broadcasts whose planning has not ended."""
    found = state.rows("SELECT broadcast_id FROM broadcasts WHERE status = 'draft'")
    return [row["broadcast_id"] for row in found]


def get(state: State, broadcast_id: int) -> Broadcast:
    """A broadcast by its id, drafts too.

    Raises:
        UsageError: there is none.
    """
    found = state.row(f"{_BROADCAST} WHERE b.broadcast_id = ?", [broadcast_id])
    if found is None:
        raise UsageError(
            f"there is no broadcast {broadcast_id}",
            hint="`wacoex broadcast list` shows them",
            code="unknown_broadcast",
        )
    return _broadcast(found)


def of_channel(state: State, channel_id: int | None, status: Status | None) -> list[Broadcast]:
    """Broadcasts, newest first, of one channel or all, in one status or any."""
    found = state.rows(
        f"{_BROADCAST} WHERE b.status <> 'draft'"
        " AND (? IS NULL OR b.channel_id = ?) AND (? IS NULL OR b.status = ?)"
        " ORDER BY b.broadcast_id DESC",
        [channel_id, channel_id, status, status],
    )
    return [_broadcast(row) for row in found]


def set_status(
    state: State,
    broadcast_id: int,
    status: Status,
    *,
    reason: str | None = None,
    code: int | None = None,
) -> None:
    """Move a broadcast to a status, with the reason for it. Inside a transaction."""
    state.execute(
        "UPDATE broadcasts SET status = ?, reason = ?, reason_code = ? WHERE broadcast_id = ?",
        [status, reason, code, broadcast_id],
    )


def counts(state: State, broadcast_id: int) -> Counts:
    """How many rows are in each state now."""
    found = state.rows(
        "SELECT state, COUNT(*) AS n FROM recipients WHERE broadcast_id = ? GROUP BY state",
        [broadcast_id],
    )
    return Counts({RowState(row["state"]): row["n"] for row in found})


def open_rows(state: State, broadcast_id: int, calling_code: str = "+") -> int:
    """Rows still to be sent, of the numbers that begin with a calling code."""
    return int(
        state.value(
            "SELECT COUNT(*) FROM recipients WHERE broadcast_id = ?"
            " AND state IN ('pending', 'retry', 'sending') AND phone LIKE ?",
            [broadcast_id, f"{calling_code}%"],
        )
    )


def skip_reasons(state: State, broadcast_id: int) -> dict[str, int]:
    """How many rows were skipped for which reason."""
    found = state.rows(
        "SELECT reason, COUNT(*) AS n FROM recipients"
        " WHERE broadcast_id = ? AND state = 'skipped' GROUP BY reason ORDER BY reason",
        [broadcast_id],
    )
    return {row["reason"]: row["n"] for row in found}


def codes(state: State, broadcast_id: int) -> list[Row]:
    """State, code and number of the rows that carry a code, most frequent first."""
    return state.rows(
        "SELECT state, code, COUNT(*) AS n FROM recipients WHERE broadcast_id = ?"
        " AND state IN ('failed', 'rejected', 'retry', 'ambiguous') AND code IS NOT NULL"
        " GROUP BY state, code ORDER BY n DESC, code",
        [broadcast_id],
    )


def rows_in(state: State, broadcast_id: int, wanted: RowState, most: int) -> list[Row]:
    """The first rows in a state: row, line, phone, parameters, reason, code, detail, times."""
    return state.rows(
        "SELECT row, line, phone, parameters, reason, code, detail, attempts, claimed_at,"
        " answered_at FROM recipients WHERE broadcast_id = ? AND state = ? ORDER BY row LIMIT ?",
        [broadcast_id, wanted, most],
    )


def row_numbers(state: State, broadcast_id: int, wanted: RowState) -> list[int]:
    """The numbers of all rows in a state, in order."""
    found = state.rows(
        "SELECT row FROM recipients WHERE broadcast_id = ? AND state = ? ORDER BY row",
        [broadcast_id, wanted],
    )
    return [row["row"] for row in found]


def taken_since(state: State, phone: str, since: datetime) -> int:
    """Different people whom one number had messages accepted for since a moment."""
    return int(
        state.value(
            "SELECT COUNT(DISTINCT r.phone) FROM broadcasts b"
            " JOIN channels c ON c.channel_id = b.channel_id"
            " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
            " WHERE c.phone = ? AND b.started_at IS NOT NULL"
            " AND (b.finished_at IS NULL OR b.finished_at > ?)"
            " AND r.state IN ('accepted', 'sent', 'delivered', 'read', 'failed')"
            " AND r.answered_at > ?",
            [phone, to_text(since), to_text(since)],
        )
    )


def people_since(state: State, phone: str, broadcast_id: int, since: datetime) -> int:
    """Rows of a broadcast whose person already had a message accepted since a moment."""
    return int(
        state.value(
            "SELECT COUNT(*) FROM recipients planned WHERE planned.broadcast_id = ?"
            " AND planned.state = 'pending' AND planned.phone IN ("
            " SELECT r.phone FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
            " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
            " WHERE c.phone = ? AND b.started_at IS NOT NULL"
            " AND r.state IN ('accepted', 'sent', 'delivered', 'read') AND r.answered_at > ?)",
            [broadcast_id, phone, to_text(since)],
        )
    )


def settle_by_person(
    state: State,
    broadcast_id: int,
    rows: Sequence[int],
    new_state: RowState,
    decision: str,
    who: str,
    now: datetime,
) -> int:
    """Record a person's decision about ambiguous rows; returns how many it was taken for.

    Rows that are pending again reopen a completed broadcast: it is paused, to be resumed.
    """
    moment = to_text(now)
    with state.transaction():
        settled = 0
        for row in rows:
            changed = state.execute(
                "UPDATE recipients SET state = ?, reason = ?, holder = NULL,"
                " tries_in_run = 0, first_try_in_run_at = NULL"
                " WHERE broadcast_id = ? AND row = ? AND state = 'ambiguous'",
                [new_state, f"{decision} (says {who})", broadcast_id, row],
            )
            settled += changed
            if changed:
                record_decision(state, broadcast_id, row, decision, who, moment)
        if settled and new_state is RowState.PENDING:
            state.execute(
                "UPDATE broadcasts SET status = 'paused', reason = ?, reason_code = NULL"
                " WHERE broadcast_id = ? AND status = 'completed'",
                [f"{settled} rows are to be sent again", broadcast_id],
            )
    return settled


def record_decision(
    state: State, broadcast_id: int, row: int | None, decision: str, who: str, moment: str
) -> None:
    """Write down who decided what. Inside a transaction."""
    state.execute(
        "INSERT INTO decisions (broadcast_id, row, decided_at, decided_by, decision)"
        " VALUES (?, ?, ?, ?, ?)",
        [broadcast_id, row, moment, who, decision],
    )


def _broadcast(row: Row) -> Broadcast:
    return Broadcast(**{**row, "status": Status(row["status"])})
