"""A finding: the answer of one check, in the words of its page, and as a person reads it."""

from __future__ import annotations

import copy
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.findings import catalogue
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.render import relative

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_WIDTH = 78
PERSON = "person"
"""The source of what a person said or typed."""


class Severity(StrEnum):
    """How bad it is; `unknown` means that the check could not be made."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    UNKNOWN = "unknown"
    CRITICAL = "critical"


_WORST_FIRST = (Severity.CRITICAL, Severity.UNKNOWN, Severity.WARNING, Severity.INFO, Severity.OK)


@dataclass(frozen=True)
class Evidence:
    """What a finding rests on: the fact, who said it, and when (RFC 3339, UTC).

    `is_said` is false where the source was asked and gave no answer: then the words are ours.
    `who` names a person who said it; without a name it is whoever reads this.
    """

    text: str
    source: str
    observed_at: str
    is_said: bool = True
    who: str = ""

    @property
    def said_by(self) -> str:
        """How a person reads who said it: Meta only what Meta said, and you what you typed."""
        name = "respond.io" if self.source == "respondio" else self.source
        if not self.is_said:
            return f"{name} was asked"
        if self.source == PERSON:
            return f"{self.who} said" if self.who else "you said"
        return f"says {name}" if self.source in ("meta", "respondio") else name

    def to_json(self) -> dict[str, object]:
        """The evidence under the keys that the JSON output fixes."""
        shown: dict[str, object] = {
            "text": self.text,
            "source": self.source,
            "observed_at": self.observed_at,
        }
        return shown if self.is_said else {**shown, "is_said": False}


@dataclass(frozen=True, init=False)
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

    def __init__(
        self,
        finding_id: str,
        severity: Severity,
        channel: str | None,
        evidence: Evidence | Iterable[Evidence],
        /,
        *,
        case: str = "",
        **values: object,
    ) -> None:
        """Title, remedy and verify come from the page of that id, filled with the values.

        `{channel}` needs no value. `case` names one of the page's cases. Raises ValueError and
        KeyError where the page does not fit (see `catalogue.Wording.texts`).
        """
        title, remedy, verify = catalogue.wording(finding_id).texts(
            severity, case, {"channel": channel, **values}
        )
        vars(self).update(
            id=finding_id,
            severity=severity,
            channel=channel,
            title=title,
            evidence=(evidence,) if isinstance(evidence, Evidence) else tuple(evidence),
            remedy=remedy,
            verify=verify,
        )

    def replace(
        self,
        *,
        severity: Severity | None = None,
        evidence: Iterable[Evidence] | None = None,
        remedy: Iterable[str] | None = None,
    ) -> Finding:
        """The finding with another severity, evidence or remedy."""
        changed = copy.copy(self)
        vars(changed).update(
            severity=severity or self.severity,
            evidence=self.evidence if evidence is None else tuple(evidence),
            remedy=self.remedy if remedy is None else tuple(remedy),
        )
        return changed

    def to_json(self) -> dict[str, object]:
        """The finding under the keys that the JSON output fixes."""
        return {
            "id": self.id,
            "severity": self.severity.value,
            "channel": self.channel,
            "title": self.title,
            "evidence": [fact.to_json() for fact in self.evidence],
            "remedy": list(self.remedy),
            "verify": self.verify,
            "explain": f"wacoex explain {self.id}",
        }


def worst(severities: Iterable[Severity]) -> Severity:
    """The worst of several; ok when there are none. Critical beats unknown beats warning."""
    return min(severities, key=by_severity, default=Severity.OK)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order to read them: worst first, then by id."""
    return sorted(findings, key=lambda finding: (by_severity(finding.severity), finding.id))


def by_severity(severity: Severity) -> int:
    """The place of a severity in lists that tell the worst first."""
    return _WORST_FIRST.index(severity)


def check_exit_status(severity: Severity) -> int:
    """The exit status of a check: 0 ok, 1 warning, 2 critical, 3 unknown."""
    codes = {Severity.WARNING: 1, Severity.CRITICAL: 2, Severity.UNKNOWN: 3}
    return codes.get(severity, 0)


def finding_text(finding: Finding, now: datetime, *, shows_channel: bool = True) -> str:
    """What was found, what it rests on and how old that is, what to do, how to verify."""
    whose = f" ({finding.channel})" if finding.channel and shows_channel else ""
    lines = _wrapped(f"{finding.severity.value} {finding.id}{whose}: {finding.title}", "")
    for fact in finding.evidence:
        age = relative(from_text(fact.observed_at), now)
        lines += _wrapped(f"{fact.text} ({fact.said_by}, {age})", "  ")
    for place, step in enumerate(finding.remedy, start=1):
        lines += _wrapped(f"{place}. {step}", "  ")
    lines.append(f"  then: {finding.verify}; more: wacoex explain {finding.id}")
    return "\n".join(lines)


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=f"{indent}   ",
        break_long_words=False,
        break_on_hyphens=False,
    )
