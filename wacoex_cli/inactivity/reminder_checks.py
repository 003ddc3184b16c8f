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
    if last_run is None:
        told = _scheduled(schedule) if schedule else "no run is recorded and no schedule installed"
        return [_finding("the reminder has never run", told, schedule, now)]
    began = from_text(last_run["started_at"])
    seconds = schedule["every_seconds"] if schedule else None
    interval = timedelta(seconds=seconds) if seconds else _UNKNOWN_SCHEDULE
    # A run dated in the future, by a wrong clock, says nothing about now.
    if not -_GRACE <= now - began <= 2 * interval + _GRACE:
        told = f"the last run began at {to_text(began)}"
        return [_finding("the reminder does not run any more", told, schedule, now)]
    if last_run["exit_status"]:
        told = f"the run of {to_text(began)} ended with exit status {last_run['exit_status']}"
        return [_finding("the last run of the reminder failed", told, schedule, now)]
    return []


def _scheduled(schedule: Mapping[str, Any]) -> str:
    return (
        f"no run is recorded, though {schedule['kind']} on {schedule['host']} was to start it"
        f" since {schedule['installed_at']}"
    )


def _finding(title: str, told: str, schedule: Mapping[str, Any] | None, now: datetime) -> Finding:
    look = "look at what is installed: `wacoex reminder schedule show`"
    install = "install a schedule: `wacoex reminder schedule install`"
    return Finding(
        id="WX106",
        severity=Severity.WARNING,
        channel=None,
        title=title,
        evidence=(Evidence(told, "wacoex", to_text(now)),),
        remedy=(
            look if schedule else install,
            "run it by hand and read what it says: `wacoex reminder notify`",
        ),
        verify="wacoex reminder check",
    )
