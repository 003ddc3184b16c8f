"""WX504: a template that is no longer what was planned."""

from __future__ import annotations

import dataclasses

from wacoex_cli.findings.model import Severity
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.rule import check_still_as_planned

SEEN = "2026-11-07T12:00:00.000Z"
PLANNED = Template(
    name="order_ready",
    language="en_US",
    status="APPROVED",
    category="UTILITY",
    parameter_format="POSITIONAL",
    components=({"type": "BODY", "text": "Hello"},),
    template_id="1",
)


def test_an_approved_template_with_the_same_text_is_fine() -> None:
    assert check_still_as_planned(PLANNED, PLANNED, "shop", SEEN) == []


def test_a_paused_or_changed_template_is_critical() -> None:
    current = dataclasses.replace(PLANNED, status="PAUSED", components=())

    [finding] = check_still_as_planned(PLANNED, current, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX504", Severity.CRITICAL)
    assert [one.text for one in finding.evidence] == [
        "template `order_ready` (en_US) is PAUSED",
        "the text of template `order_ready` changed after planning",
    ]
