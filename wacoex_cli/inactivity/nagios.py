"""The countdowns in the form that monitoring systems read: one line, then the details. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import local_text
from wacoex_cli.inactivity.checks import said
from wacoex_cli.inactivity.rule import DISCONNECTS_AFTER
from wacoex_cli.inactivity.view import notify_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.errors import WacoexError
    from wacoex_cli.inactivity.check import ReminderCheck, Watched

_DAYS = DISCONNECTS_AFTER.days
_WORST_FIRST = ("removed", "reconnecting", "overdue", "critical", "unknown", "warning", "ok")


def nagios_lines(found: ReminderCheck, now: datetime) -> Iterator[str]:
    """The status line with performance data, and below it a line for each channel.

    Performance data are days left, with the ranges in which that is well (`4:` is "4 or more").
    `U` is a value that is not known (Monitoring Plugins: development guidelines).
    """
    states = Counter(one.headline for one in found.channels)
    counts = ", ".join(f"{states[word]} {word}" for word in _WORST_FIRST if states[word])
    performance = " ".join(_performance(one) for one in found.channels)
    yield f"WACOEX {_label(found.severity.value)} - {counts} | {performance}"
    for one in found.channels:
        yield f"{_label(one.severity.value)} {one.channel.name}: {_without_bars(_told(one))}"
    yield notify_text(found, now)


def nagios_failure(error: WacoexError) -> str:
    """The status line when nothing could be checked."""
    return f"WACOEX UNKNOWN - {_without_bars(error.message)}"


def _label(severity: str) -> str:
    return "OK" if severity == "info" else severity.upper()


def _performance(one: Watched) -> str:
    days = one.standing.days_left
    value = "U" if days is None else f"{days:.1f}"
    warning, critical = _DAYS - one.settings.warning_days, _DAYS - one.settings.critical_days
    # No minimum: overdue is below 0.
    return f"'{one.channel.name}'={value};{warning:g}:;{critical:g}:;;{_DAYS}"


def _told(one: Watched) -> str:
    titles = "; ".join(f"{finding.id} {finding.title}" for finding in one.findings)
    if titles:
        return titles
    counted, deadline = one.standing.counted, one.standing.deadline_at
    if counted is None or deadline is None:
        return one.standing.stage.value
    return f"the deadline is {local_text(deadline, one.zone)}; {said(counted)}"


def _without_bars(text: str) -> str:
    """A bar would begin performance data, a line break another line."""
    return " ".join(text.replace("|", "/").split())
