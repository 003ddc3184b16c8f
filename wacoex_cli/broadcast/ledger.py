"""The record of broadcasts and their rows: planned, listed, decided upon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import holds_back, other_spelling
from wacoex_cli.broadcast.model import Broadcast, Counts, RowState, Status
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_BROADCAST = (
    "SELECT b.broadcast_id, b.channel_id, c.name AS channel, c.phone, b.name, b.status, b.reason,"
    " b.reason_code, b.template, b.parameter_sources, b.recipients_file, b.api_base_url,"
    " b.provider, b.guards, b.rate, b.recipients, b.skipped, b.planned_at, b.started_at,"
    " b.finished_at, b.peak_in_one_second, b.retry_of, b.test_of"
    " FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
)
_TAKEN = "state IN ('accepted', 'sent', 'delivered', 'read', 'failed')"


def state_id(state: State) -> str:
    """What makes the attempt ids of this state file unique."""
    return str(state.value("SELECT value FROM about WHERE key = 'state_id'"))


def skip_opted_out(state: State, broadcast_id: int) -> int:
    """Skip everybody who has opted out of it by now; returns how many. Inside a transaction."""
    template = "(SELECT template FROM broadcasts WHERE broadcast_id = ?)"
    stands = f"FROM optouts WHERE {holds_back(template)}"
    return state.execute(
        "UPDATE recipients SET state = 'skipped', reason = 'opted_out' WHERE broadcast_id = ?"
        f" AND state IN ('pending', 'retry') AND phone IN (SELECT phone {stands}"
        f" UNION ALL SELECT {other_spelling('phone')} {stands})",
        [broadcast_id] * 5,
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
    """Different people whom one number had messages accepted for since a moment.

    A person counts in the largest broadcast, so that the rows of that one, which may be a million,
    are looked for nowhere else.
    """
    moment = to_text(since)
    return int(
        state.value(
            "WITH recent AS (SELECT b.broadcast_id, b.recipients FROM broadcasts b"
            " JOIN channels c ON c.channel_id = b.channel_id"
            " WHERE c.phone = ? AND b.started_at IS NOT NULL"
            " AND (b.finished_at IS NULL OR b.finished_at > ?))"
            " SELECT COUNT(*) FROM recent"
            " JOIN recipients r ON r.broadcast_id = recent.broadcast_id"
            f" WHERE r.{_TAKEN} AND r.answered_at > ? AND NOT EXISTS"
            " (SELECT 1 FROM recent larger JOIN recipients same"
            " ON same.broadcast_id = larger.broadcast_id AND same.phone = r.phone"
            " WHERE (larger.recipients > recent.recipients"
            " OR (larger.recipients = recent.recipients"
            " AND larger.broadcast_id < recent.broadcast_id))"
            # The index of people is the one to use; CASE keeps that of states out of it.
            " AND same.state <> 'skipped'"
            f" AND CASE WHEN same.{_TAKEN} AND same.answered_at > ? THEN 1 ELSE 0 END = 1)",
            [phone, moment, moment, moment],
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
    told = {**row, "status": Status(row["status"]), "provider": Provider(row["provider"])}
    return Broadcast(**told)
