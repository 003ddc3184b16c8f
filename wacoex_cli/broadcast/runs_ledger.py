"""The runs of a broadcast: when a process began to send it, how it went, how it ended.

Every function here is called inside a transaction of the state.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.broadcast.model import Status
    from wacoex_cli.foundation.state import State


def start_run(state: State, broadcast_id: int, holder: str, rate: float, now: datetime) -> int:
    """Open a run: the broadcast is `sending`, and every row in retry has all its tries again."""
    moment = to_text(now)
    state.execute(
        "UPDATE broadcasts SET status = 'sending', reason = NULL, reason_code = NULL, rate = ?,"
        " started_at = COALESCE(started_at, ?), finished_at = NULL WHERE broadcast_id = ?",
        [rate, moment, broadcast_id],
    )
    state.execute(
        "UPDATE recipients SET tries_in_run = 0, first_try_in_run_at = NULL"
        " WHERE broadcast_id = ? AND state = 'retry' AND tries_in_run > 0",
        [broadcast_id],
    )
    run_id = int(state.value("SELECT COALESCE(MAX(run_id), 0) + 1 FROM broadcast_runs"))
    state.execute(
        "INSERT INTO broadcast_runs (run_id, broadcast_id, holder, host, pid, rate, started_at,"
        " last_active_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [run_id, broadcast_id, holder, socket.gethostname(), os.getpid(), rate, moment, moment],
    )
    return run_id


def mark_run(
    state: State,
    broadcast_id: int,
    run_id: int,
    *,
    active_seconds: float,
    peak: int,
    throttled: int,
    now: datetime,
) -> None:
    """Note how long a run has been active, its most messages in one second, and new refusals.

    `throttled` is how many were refused for being too fast since the last call.
    """
    moment = to_text(now)
    state.execute(
        "UPDATE broadcast_runs SET last_active_at = ?, active_seconds = ? WHERE run_id = ?",
        [moment, active_seconds, run_id],
    )
    if throttled:
        state.execute(
            "UPDATE broadcast_runs SET throttled = throttled + ?, throttled_at = ?"
            " WHERE run_id = ?",
            [throttled, moment, run_id],
        )
    state.execute(
        "UPDATE broadcasts SET peak_in_one_second = ? WHERE broadcast_id = ?"
        " AND peak_in_one_second < ?",
        [peak, broadcast_id, peak],
    )


def end_run(state: State, run_id: int, ended_as: str) -> None:
    """Note how a run ended."""
    state.execute("UPDATE broadcast_runs SET ended_as = ? WHERE run_id = ?", [ended_as, run_id])


def active_seconds(state: State, broadcast_id: int) -> float:
    """Seconds that all runs of a broadcast were active for."""
    return float(
        state.value(
            "SELECT COALESCE(SUM(active_seconds), 0) FROM broadcast_runs WHERE broadcast_id = ?",
            [broadcast_id],
        )
    )


def finish(
    state: State,
    broadcast_id: int,
    status: Status,
    now: datetime,
    *,
    reason: str | None,
    code: int | None,
) -> None:
    """Close a run: completed, or paused with a reason; what another process decided stands."""
    state.execute(
        "UPDATE broadcasts SET status = ?, reason = ?, reason_code = ?"
        " WHERE broadcast_id = ? AND status = 'sending'",
        [status, reason, code, broadcast_id],
    )
    state.execute(
        "UPDATE broadcasts SET finished_at = ? WHERE broadcast_id = ?",
        [to_text(now), broadcast_id],
    )
