"""Findings about a template: can it be sent now, and is it still what was planned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity

if TYPE_CHECKING:
    from wacoex_cli.templates.model import Template


def check_still_as_planned(
    planned: Template, current: Template, channel: str, observed_at: str, source: str = "meta"
) -> list[Finding]:
    """WX504: the template was paused, disabled, rejected or changed since planning.

    `source` is whose word `current` is, that of the provider it was planned for.
    Source: Meta, template management (statuses; pausing 3 h, 6 h, then disabled).
    """
    evidence: list[str] = []
    if current.status != "APPROVED":
        evidence.append(f"template `{current.name}` ({current.language}) is {current.status}")
    if current.components != planned.components:
        evidence.append(f"the text of template `{current.name}` changed after planning")
    if not evidence:
        return []
    facts = [Evidence(text, source, observed_at) for text in evidence]
    return [Finding("WX504", Severity.CRITICAL, channel, facts, template=current.name)]
