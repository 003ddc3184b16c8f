"""What a report reads: every row, the runs and the decisions of one broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.state import Row, State

_PAGE = 2_000


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
