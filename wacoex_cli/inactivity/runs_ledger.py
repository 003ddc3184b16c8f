"""Runs of `reminder notify` and what is to start them: the only SQL about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State


def start(state: State, now: datetime) -> int:
    """Record that a run begins; returns its number. One transaction of its own."""
    with state.transaction():
        run_id = int(
            state.value("SELECT COALESCE(MAX(run_id), 0) + 1 FROM reminder_runs")  # kept in order
        )
        state.execute(
            "INSERT INTO reminder_runs (run_id, started_at) VALUES (?, ?)", [run_id, to_text(now)]
        )
    return run_id


def finish(
    state: State, run_id: int, now: datetime, *, exit_status: int, sent: int, failed: int
) -> None:
    """Record how a run ended. One transaction of its own."""
    with state.transaction():
        state.execute(
            "UPDATE reminder_runs SET finished_at = ?, exit_status = ?, sent = ?, failed = ?"
            " WHERE run_id = ?",
            [to_text(now), exit_status, sent, failed, run_id],
        )


def last_run(state: State) -> Row | None:
    """The last run: run_id, started_at, finished_at, exit_status, sent, failed.

    `finished_at` and `exit_status` are None while it runs, and for ever when it was killed.
    """
    return state.row("SELECT * FROM reminder_runs ORDER BY run_id DESC LIMIT 1")


def schedule(state: State) -> Row | None:
    """The most frequent schedule that was installed: host, kind, every_seconds, installed_at."""
    return state.row("SELECT * FROM reminder_schedules ORDER BY every_seconds, host, kind LIMIT 1")


def keep_schedule(state: State, host: str, kind: str, every_seconds: int, now: datetime) -> None:
    """Remember that a schedule is installed, since when it was so first."""
    with state.transaction():
        state.execute(
            "INSERT INTO reminder_schedules (host, kind, every_seconds, installed_at)"
            " VALUES (?, ?, ?, ?) ON CONFLICT (host, kind)"
            " DO UPDATE SET every_seconds = excluded.every_seconds",
            [host, kind, every_seconds, to_text(now)],
        )


def forget_schedule(state: State, host: str, kind: str) -> None:
    """Remember that a schedule is no longer installed."""
    with state.transaction():
        state.execute("DELETE FROM reminder_schedules WHERE host = ? AND kind = ?", [host, kind])
