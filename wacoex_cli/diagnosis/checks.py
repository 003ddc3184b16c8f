"""Findings about this machine, from facts gathered by `machine`. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wacoex_cli.diagnosis.machine import Exposed, Machine
    from wacoex_cli.errors import StateError

_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_MEBIBYTE = 2**20
_SCARCE = 200 * _MEBIBYTE
_NEARLY_NONE = 20 * _MEBIBYTE


def check_machine(machine: Machine, now: datetime) -> list[Finding]:
    """Everything that is wrong on this machine itself (WX704 to WX707)."""
    return [
        *_check_files(machine.exposed, now),
        *_check_clock(machine, now),
        *_check_keyring(machine.keyring_problem, now),
        *_check_disk(machine, now),
    ]


def newer_schema(error: StateError, now: datetime) -> Finding:
    """WX708: the state file was written by a newer wacoex, so nothing can be checked."""
    return _finding(
        "WX708",
        Severity.UNKNOWN,
        "the state file is newer than this program",
        [error.message],
        [error.hint or "update wacoex"],
        now,
    )


def _check_files(exposed: Iterable[Exposed], now: datetime) -> list[Finding]:
    found = list(exposed)
    if not found:
        return []
    return [
        _finding(
            "WX704",
            Severity.WARNING,
            "others on this machine may read or change private files",
            [f"{one.path} {one.what} and has the mode {one.mode:04o}" for one in found],
            [f"chmod go-rwx {one.path}" for one in found],
            now,
        )
    ]


def _check_clock(machine: Machine, now: datetime) -> list[Finding]:
    said = []
    stored = machine.newest_stored_at
    if stored and stored - now > _CLOCKS_DIFFER_AT_MOST:
        said.append(
            f"the state file was last written at {to_text(stored)}, now it is {to_text(now)}"
        )
    skew = machine.clock_skew_seconds
    if skew is not None and abs(skew) > _CLOCKS_DIFFER_AT_MOST.total_seconds():
        direction = "ahead of" if skew > 0 else "behind"
        said.append(f"Meta's clock is {abs(skew) / 60:.0f} minutes {direction} ours")
    if not said:
        return []
    steps = [
        "switch time synchronisation on, for example `timedatectl set-ntp true`",
        "check the date of this machine: deadlines and waiting times depend on it",
    ]
    return [
        _finding("WX705", Severity.WARNING, "the clock is wrong or was moved", said, steps, now)
    ]


def _check_keyring(problem: str | None, now: datetime) -> list[Finding]:
    if problem is None:
        return []
    steps = [
        "give secrets through the environment or `..._FILE` variables",
        "and set `WACOEX_KEYRING=off`, so that no time is lost on it",
    ]
    return [
        _finding("WX706", Severity.WARNING, "the keyring cannot be used", [problem], steps, now)
    ]


def _check_disk(machine: Machine, now: datetime) -> list[Finding]:
    if machine.free_bytes >= _SCARCE:
        return []
    is_urgent = machine.free_bytes < _NEARLY_NONE
    return [
        _finding(
            "WX707",
            Severity.CRITICAL if is_urgent else Severity.WARNING,
            "the disk with the state file is nearly full",
            [f"{machine.disk}: {machine.free_bytes // _MEBIBYTE} MiB are free"],
            ["free some space: a broadcast stops when it cannot record what it does"],
            now,
        )
    ]


def _finding(
    finding_id: str,
    severity: Severity,
    title: str,
    said: Iterable[str],
    remedy: Iterable[str],
    now: datetime,
) -> Finding:
    return Finding(
        id=finding_id,
        severity=severity,
        channel=None,
        title=title,
        evidence=tuple(Evidence(text, "machine", to_text(now)) for text in said),
        remedy=tuple(remedy),
        verify="wacoex status",
    )
