"""What the guards need of the record: who may leave now, who is held back, the first rows.

Functions that change something are called inside a transaction of the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast import canary, claims_ledger
from wacoex_cli.broadcast.model import Counts, RowState
from wacoex_cli.broadcast.quiet_hours import NEVER
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State

_IS_HELD = "state = 'retry' AND reason = 'quiet_hours'"
# Named one by one: the index then leaves out a million rows that have not left.
_HAVE_LEFT = (
    "('sending', 'accepted', 'sent', 'delivered', 'read', 'failed', 'rejected', 'ambiguous')"
)


def keep(state: State, broadcast_id: int, guards: str) -> None:
    """Keep the guards (JSON) of a broadcast for all its runs."""
    state.execute("UPDATE broadcasts SET guards = ? WHERE broadcast_id = ?", [guards, broadcast_id])


def look_again(state: State, broadcast_id: int, now: datetime) -> None:
    """Let every row that is held back be looked at anew: the quiet hours are others."""
    state.execute(
        f"UPDATE recipients SET not_before = ? WHERE broadcast_id = ? AND {_IS_HELD}",
        [to_text(now), broadcast_id],
    )


def hold_back(
    state: State,
    broadcast_id: int,
    now: datetime,
    held_until: Callable[[str], datetime | None],
    *,
    wanted: int,
    most: int,
) -> int:
    """Hold back whose quiet hours it is, in the order of claiming, until `wanted` may leave.

    Looks at `most` rows; returns how many of them may be claimed now.
    """
    free, held = 0, list[tuple[str | None, int, int]]()
    for row, phone in claims_ledger.next_rows(state, broadcast_id, now, most):
        if free == wanted:
            break
        until = held_until(phone)
        if until is None:
            free += 1
        else:
            held.append((None if until == NEVER else to_text(until), broadcast_id, row))
    _hold(state, held)
    return free


def _hold(state: State, held: Sequence[tuple[str | None, int, int]]) -> None:
    # Not a try: who waits for the morning has all tries left, and no ten minutes run meanwhile.
    state.execute_many(
        "UPDATE recipients SET state = 'retry', reason = 'quiet_hours', not_before = ?,"
        " tries_in_run = 0, first_try_in_run_at = NULL"
        " WHERE broadcast_id = ? AND row = ? AND state IN ('pending', 'retry')",
        held,
    )


def held(state: State, broadcast_id: int) -> list[tuple[datetime, int, str]]:
    """Rows that are held back: until when, how many, the number (E.164) of one of them."""
    found = state.rows(
        "SELECT not_before, COUNT(*) AS n, MIN(phone) AS phone FROM recipients"
        f" WHERE broadcast_id = ? AND {_IS_HELD} AND not_before IS NOT NULL"
        " GROUP BY not_before ORDER BY not_before",
        [broadcast_id],
    )
    return [(from_text(row["not_before"]), row["n"], row["phone"]) for row in found]


def at_no_hour(state: State, broadcast_id: int) -> int:
    """Rows that can leave at no hour: it is always quiet in one of their zones."""
    return int(
        state.value(
            f"SELECT COUNT(*) FROM recipients WHERE broadcast_id = ? AND {_IS_HELD}"
            " AND not_before IS NULL",
            [broadcast_id],
        )
    )


def first_rows(state: State, broadcast_id: int, since: str) -> tuple[Counts, str]:
    """The rows that left since a moment, by state, and when the last of them was answered.

    Rows that wait for another try have not been taken, so they are none of them.
    """
    found = state.rows(
        "SELECT state, COUNT(*) AS n, MAX(answered_at) AS answered_at FROM recipients"
        " WHERE broadcast_id = ? AND claimed_at >= ?"
        f" AND state IN {_HAVE_LEFT} GROUP BY state",
        [broadcast_id, since],
    )
    last = max((str(row["answered_at"] or "") for row in found), default="")
    return Counts({RowState(row["state"]): row["n"] for row in found}), last


def has_decided(state: State, broadcast_id: int, since: str) -> bool:
    """Whether the canary of that moment has let the rest go."""
    return bool(
        state.value(
            "SELECT EXISTS (SELECT 1 FROM decisions WHERE broadcast_id = ? AND row IS NULL"
            " AND decision LIKE ? AND decided_at >= ?)",
            [broadcast_id, f"{canary.WORD}: %", since],
        )
    )
