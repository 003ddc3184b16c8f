"""What several channels have in common is said once, and nothing is said of one that is not so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from wacoex_cli.findings.model import (
    Evidence,
    Finding,
    Severity,
    finding_blocks,
    grouped,
    several,
)
from wacoex_cli.foundation.clock import to_text

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def quality(channel: str, *, days_ago: float = 1, text: str = "it is RED") -> Finding:
    at = to_text(NOW - timedelta(days=days_ago))
    return Finding("WX501", Severity.WARNING, channel, Evidence(text, "meta", at), rating="red")


def late(channel: str, deadline: str) -> Finding:
    fact = Evidence("the number was connected", "meta", to_text(NOW - timedelta(days=12)))
    return Finding("WX102", Severity.CRITICAL, channel, fact, deadline=deadline, has_echo=False)


def test_names_are_listed_as_people_list_them() -> None:
    assert several(["a"]) == "a"
    assert several(["a", "b", "a"]) == "a and b"
    assert several(["a", "b", "c"]) == "a, b and c"
    assert several(f"client-{at:03}" for at in range(100)) == "client-000, client-001 and 98 more"


def test_channels_with_the_same_finding_share_one_block() -> None:
    findings = [quality(f"client-{at:03}") for at in range(100)]

    shown = finding_blocks(findings, NOW)

    assert len(shown.blocks) == 1
    assert len(shown.unfolded) == 100
    assert (
        shown.blocks[0]
        .lines[0]
        .text.startswith("warning WX501 (client-000, client-001 and 98 more): ")
    )
    assert "it is RED (Meta, 1 day ago)" in shown.blocks[0].text


def test_an_age_that_differs_is_a_range() -> None:
    findings = [quality("a", days_ago=3), quality("b", days_ago=12)]

    [block] = finding_blocks(findings, NOW).blocks

    assert "it is RED (Meta, 3 days ago to 12 days ago)" in block.text


def test_facts_that_differ_are_shown_with_their_channels() -> None:
    findings = [quality(name, text=f"{name} is so") for name in ("a", "b", "c", "d")]

    [block] = finding_blocks(findings, NOW).blocks

    assert "a: a is so" in block.text
    assert "and 2 more facts; `-v` shows all" in block.text


def test_a_deadline_of_one_channel_is_not_shown_for_another() -> None:
    findings = [late("shop", "2026-11-30 20:00 UTC"), late("lab", "2026-11-29 08:00 UTC")]

    [block] = finding_blocks(findings, NOW).blocks

    assert "2026-11" not in block.text
    assert "`wacoex reminder confirm NAME`" in block.text
    assert "shop and lab" in block.lines[0].text


def test_two_findings_of_one_channel_and_those_of_the_machine_stay_separate() -> None:
    same_channel = [quality("shop", text="x"), quality("shop", text="y")]

    assert [len(group) for group in grouped(same_channel)] == [1, 1]
