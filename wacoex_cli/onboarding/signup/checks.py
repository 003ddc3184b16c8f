"""Findings about a signup that did not end well, from what the window and Meta said. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.onboarding.checks import existing_payment_method, not_eligible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.onboarding.signup.report import Failed

NOT_ELIGIBLE = frozenset({"3441041", "2655093"})
"""Codes seen with "not eligible"; Meta documents neither (2026-11)."""


def cancelled(step: str | None, channel: str, phone: str, observed_at: str) -> Finding:
    """WX608: the person left the window; `step` is the screen as Meta names it."""
    said = f"the window was left at {step or 'a step that it does not name'}"
    return Finding(
        "WX608",
        Severity.WARNING,
        channel,
        Evidence(said, "meta", observed_at),
        case=step if step and step in wording("WX608").cases else "left",
        step=step or "that Meta does not name",
        phone=phone,
    )


def closed(channel: str, shown: str, observed_at: str) -> Finding:
    """WX608: the window was closed and told nothing; `shown` is what Meta's API says of it."""
    evidence = Evidence(f"the window told nothing; {shown}", "meta", observed_at)
    return Finding("WX608", Severity.WARNING, channel, evidence, case="closed")


def reported(report: Failed, channel: str, observed_at: str) -> Finding:
    """WX601, WX602 or WX608 from an error that the window showed."""
    text = report.text.lower()
    said = _said(report)
    if "payment method" in text or "credit line" in text:
        return existing_payment_method(channel, said, observed_at)
    if report.error_code in NOT_ELIGIBLE or "eligible" in text:
        return not_eligible(channel, said, observed_at)
    return Finding(
        "WX608",
        Severity.CRITICAL,
        channel,
        Evidence(said, "meta", observed_at),
        case="error",
        session_id=report.session_id,
    )


def code_refused(channel: str, said: str, observed_at: str) -> Finding:
    """WX608: the code could not be exchanged (Meta: a code lives 30 seconds, for one use)."""
    evidence = Evidence(said, "meta", observed_at)
    return Finding("WX608", Severity.CRITICAL, channel, evidence, case="code")


def refused(channel: str, said: str, observed_at: str) -> Finding:
    """WX608: Meta refused a call of the signup after its window had ended."""
    evidence = Evidence(said, "meta", observed_at)
    return Finding("WX608", Severity.CRITICAL, channel, evidence, case="refused")


def wrong_number(channel: str, phone: str, numbers: Iterable[str], observed_at: str) -> Finding:
    """WX609: which number was connected cannot be told, or it is another one."""
    listed = ", ".join(numbers) or "none"
    said = f"numbers in Coexistence on the account: {listed}"
    evidence = Evidence(said, "meta", observed_at)
    return Finding("WX609", Severity.CRITICAL, channel, evidence, phone=phone)


def _said(report: Failed) -> str:
    parts = [f"Meta's window: {report.text}"]
    if report.error_code:
        parts.append(f"code {report.error_code}")
    if report.session_id:
        parts.append(f"session id {report.session_id}")
    return ", ".join(parts)
