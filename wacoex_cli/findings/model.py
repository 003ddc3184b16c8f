"""A finding: the answer of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(StrEnum):
    """How bad it is; `unknown` means that the check could not be made."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    CRITICAL = "critical"


_WORST_FIRST = (
    Severity.CRITICAL,
    Severity.UNKNOWN,
    Severity.WARNING,
    Severity.INFO,
    Severity.OK,
)


@dataclass(frozen=True)
class Evidence:
    """What a finding rests on: the fact, who said it, and when (RFC 3339, UTC)."""

    text: str
    source: str
    observed_at: str


@dataclass(frozen=True)
class Finding:
    """One answer of one check. `remedy` is numbered steps, `verify` the command that proves it.

    `channel` is None for what concerns this machine or all channels.
    """

    id: str
    severity: Severity
    channel: str | None
    title: str
    evidence: tuple[Evidence, ...]
    remedy: tuple[str, ...]
    verify: str

    def to_json(self) -> dict[str, object]:
        """The finding under the keys that the JSON output fixes."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "channel": self.channel,
            "title": self.title,
            "evidence": [
                {"text": one.text, "source": one.source, "observed_at": one.observed_at}
                for one in self.evidence
            ],
            "remedy": list(self.remedy),
            "verify": self.verify,
            "explain": f"wacoex explain {self.id}",
        }


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of several; ok when there are none. Critical beats unknown beats warning."""
    return min(severities, key=_WORST_FIRST.index, default=Severity.OK)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order to read them: worst first, then by id."""
    return sorted(findings, key=lambda one: (_WORST_FIRST.index(one.severity), one.id))


def by_severity(severity: Severity) -> int:
    """The place of a severity in lists that tell the worst first."""
    return _WORST_FIRST.index(severity)


def check_exit_status(severity: Severity) -> int:
    """The exit status of a check: 0 ok, 1 warning, 2 critical, 3 unknown."""
    codes = {Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}
    return codes.get(severity, 0)
