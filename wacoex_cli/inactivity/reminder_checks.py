"""Findings about the reminder itself: it must not die in silence. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from typing import Any

_GRACE = timedelta(hours=1)
# Somebody else's schedule is not known; once a day is the least that makes sense for it.
_UNKNOWN_SCHEDULE = timedelta(days=1)


def check_running(
    last_run: Mapping[str, Any] | None, schedule: Mapping[str, Any] | None, now: datetime
) -> list[Finding]:
    """WX106: `reminder notify` never ran, not for longer than its schedule, or failed last time.

    `last_run` and `schedule` are what `runs_ledger` gives. Too long is twice the schedule's
    interval and an hour; where wacoex did not install the schedule, an interval of a day counts.
    """
    case = _trouble(last_run, schedule, now)
    if case is None:
        return []
    name, said = case
    evidence = Evidence(said, "wacoex", to_text(now))
    return [Finding("WX106", Severity.WARNING, None, evidence, case=name, schedule=schedule)]


def _trouble(
    last_run: Mapping[str, Any] | None, schedule: Mapping[str, Any] | None, now: datetime
) -> tuple[str, str] | None:
    if last_run is None:
        if schedule is None:
            return "never", "no run is recorded and no schedule installed"
        return "never", (
            f"no run is recorded, though {schedule['kind']} on {schedule['host']} was to start it"
            f" since {schedule['installed_at']}"
        )
    began = from_text(last_run["started_at"])
    seconds = schedule["every_seconds"] if schedule else None
    interval = timedelta(seconds=seconds) if seconds else _UNKNOWN_SCHEDULE
    # A run dated in the future, by a wrong clock, says nothing about now.
    if not -_GRACE <= now - began <= 2 * interval + _GRACE:
        return "stopped", f"the last run began at {to_text(began)}"
    if status := last_run["exit_status"]:
        return "failed", f"the run of {to_text(began)} ended with exit status {status}"
    return None
