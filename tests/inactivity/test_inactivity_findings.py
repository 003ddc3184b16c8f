"""Findings about the countdown: when they fire, what they say, and when they are silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.settings import InactivitySettings
from wacoex_cli.inactivity.checks import check_opened
from wacoex_cli.inactivity.model import Grade, GradedSign
from wacoex_cli.inactivity.rule import standing

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def confirmed(days: float) -> GradedSign:
    return GradedSign("confirmed", Grade.PROOF, NOW - days * DAY, "person", "ana")


def echo(days: float) -> GradedSign:
    return GradedSign("echo", Grade.WEAK, NOW - days * DAY, "meta")


def found(*signs: GradedSign) -> list[Finding]:
    known = standing(signs, InactivitySettings(), NOW)
    return check_opened(known, "shop", "Asia/Singapore", NOW)


@pytest.mark.parametrize(
    ("days", "finding", "severity", "said"),
    [
        (10, "WX101", Severity.WARNING, "the deadline is 2026-11-27 17:30 Asia/Singapore"),
        (12, "WX102", Severity.CRITICAL, "the deadline is 2026-11-25 17:30 Asia/Singapore"),
        (14, "WX103", Severity.CRITICAL, "the deadline was 2026-11-23 17:30 Asia/Singapore"),
    ],
)
def test_an_app_that_stays_closed_is_told_with_its_deadline(
    days: float, finding: str, severity: Severity, said: str
) -> None:
    [one] = found(confirmed(days))

    assert (one.id, one.severity, one.channel) == (finding, severity, "shop")
    assert one.title.endswith(said)
    assert one.evidence[0].text == "the app was confirmed to be open by ana"
    assert "open the WhatsApp Business app on the primary phone" in one.remedy[0]
    assert "`wacoex reminder confirm shop`" in one.remedy[1]
    assert one.verify == "wacoex reminder check shop"


@pytest.mark.parametrize("days", [0, 9.99])
def test_an_app_that_was_opened_is_nothing_to_tell(days: float) -> None:
    assert found(confirmed(days)) == []


def test_no_evidence_at_all_is_unknown() -> None:
    [one] = found()

    assert (one.id, one.severity) == ("WX104", Severity.UNKNOWN)


def test_weak_evidence_alone_is_unknown_and_tells_how_it_could_count() -> None:
    [one] = found(echo(1))

    assert (one.id, one.severity) == ("WX105", Severity.UNKNOWN)
    assert one.evidence[0].text == "not counted (weak): an echo came, maybe from a linked device"
    assert "`wacoex device confirm --channel shop`" in one.remedy[-1]


def test_weaker_evidence_beside_trusted_one_is_shown_and_changes_nothing() -> None:
    assert found(confirmed(3), echo(1)) == []
    [late] = found(confirmed(11), echo(1))

    assert late.id == "WX101"
    assert [fact.text.startswith("not counted (weak)") for fact in late.evidence] == [False, True]


def test_evidence_from_the_future_is_told_and_not_counted() -> None:
    findings = found(confirmed(-1), confirmed(11))

    assert [one.id for one in findings] == ["WX101", "WX705"]
    assert "at 2026-11-24T09:30:00.000Z, now it is 2026-11-23" in findings[1].evidence[0].text


def test_evidence_of_a_clock_that_is_a_little_ahead_is_nothing_to_tell() -> None:
    assert found(confirmed(-0.002)) == []
