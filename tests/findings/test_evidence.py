"""Who said what a finding rests on: Meta only what Meta said, and a person what they typed."""

from __future__ import annotations

import pytest

from wacoex_cli.findings.model import Evidence

AT = "2026-11-28T12:00:00.000Z"


@pytest.mark.parametrize(
    ("evidence", "said_by"),
    [
        (Evidence("status is BANNED", "meta", AT), "Meta"),
        (Evidence("no answer within 10 seconds", "meta", AT, is_said=False), "Meta was asked"),
        (Evidence("channel 7 is there", "respondio", AT), "respond.io"),
        (Evidence("no answer", "respondio", AT, is_said=False), "respond.io was asked"),
        (Evidence("code 190 is shown", "person", AT), "you said"),
        (Evidence("confirmed by Ana", "person", AT, who="Ana"), "Ana said"),
        (Evidence("nothing explains it", "wacoex", AT), "wacoex"),
        (Evidence("no meta-token is configured", "settings", AT), "settings"),
    ],
)
def test_evidence_names_its_source(evidence: Evidence, said_by: str) -> None:
    assert evidence.said_by == said_by


def test_the_json_distinguishes_statements_from_missing_answers() -> None:
    said = {"text": "x", "source": "meta", "observed_at": AT}

    assert Evidence("x", "meta", AT).to_json() == said
    assert Evidence("x", "meta", AT, is_said=False).to_json() == {**said, "is_said": False}
