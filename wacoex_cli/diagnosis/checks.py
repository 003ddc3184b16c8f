"""Findings about this machine, from facts gathered by `machine`. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.diagnosis.machine import Machine
    from wacoex_cli.errors import StateError

_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_MEBIBYTE = 2**20
_SCARCE = 200 * _MEBIBYTE
_NEARLY_NONE = 20 * _MEBIBYTE


def check_machine(machine: Machine, now: datetime) -> list[Finding]:
    """Everything that is wrong on this machine itself (WX704 to WX707)."""
    at = to_text(now)
    found = []
    if exposed := machine.exposed:
        said = [
            Evidence(f"{file.path} {file.what} and has the mode {file.mode:04o}", "machine", at)
            for file in exposed
        ]
        paths = [file.path for file in exposed]
        found.append(Finding("WX704", Severity.WARNING, None, said, paths=paths))
    if said := [Evidence(text, "machine", at) for text in _clock_facts(machine, now)]:
        found.append(Finding("WX705", Severity.WARNING, None, said))
    if machine.keyring_problem is not None:
        problem = Evidence(machine.keyring_problem, "machine", at)
        found.append(Finding("WX706", Severity.WARNING, None, problem))
    if machine.free_bytes < _SCARCE:
        severity = Severity.CRITICAL if machine.free_bytes < _NEARLY_NONE else Severity.WARNING
        free = f"{machine.disk}: {machine.free_bytes // _MEBIBYTE} MiB are free"
        found.append(Finding("WX707", severity, None, Evidence(free, "machine", at)))
    return found


def _clock_facts(machine: Machine, now: datetime) -> Iterator[str]:
    stored = machine.newest_stored_at
    if stored and stored - now > _CLOCKS_DIFFER_AT_MOST:
        yield f"the state file was last written at {to_text(stored)}, now it is {to_text(now)}"
    skew = machine.clock_skew_seconds
    if skew is not None and abs(skew) > _CLOCKS_DIFFER_AT_MOST.total_seconds():
        direction = "ahead of" if skew > 0 else "behind"
        yield f"Meta's clock is {abs(skew) / 60:.0f} minutes {direction} ours"


def newer_schema(error: StateError, now: datetime) -> Finding:
    """WX708: the state file was written by a newer wacoex, so nothing can be checked."""
    said = Evidence(error.message, "machine", to_text(now))
    return Finding("WX708", Severity.UNKNOWN, None, said, hint=error.hint or "update wacoex")
