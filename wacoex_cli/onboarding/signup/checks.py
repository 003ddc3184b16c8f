"""Findings about a signup that did not end well, from what the window and Meta said. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.onboarding.checks import existing_payment_method, not_eligible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.onboarding.signup.report import Failed

NOT_ELIGIBLE = frozenset({"3441041", "2655093"})
"""Codes seen with "not eligible"; Meta documents neither (2026-11)."""

_AGAIN = "run `wacoex connect {channel}` again"
_STEPS = {
    "BUSINESS_ACCOUNT_SELECTION": (
        "choosing the business portfolio",
        "log in to Facebook as somebody with full control of the portfolio, and choose it",
    ),
    "WABA_PHONE_PROFILE_PICKER": (
        "choosing the WhatsApp Business account and the number",
        "choose to connect the WhatsApp Business app you have, not to add a new number",
    ),
    "WHATSAPP_BUSINESS_PROFILE_SETUP": (
        "filling in the business profile",
        "have the display name, the category and the website of the business at hand",
    ),
    "PHONE_NUMBER_SETUP": (
        "typing the number",
        "type {phone}, the number of the app",
    ),
    "PHONE_NUMBER_VERIFICATION": (
        "confirming the number in the app",
        "keep the phone at hand: the app gets a message of Facebook Business with the next step",
    ),
}


def cancelled(step: str | None, channel: str, phone: str, observed_at: str) -> Finding:
    """WX608: the person left the window; `step` is the screen as Meta names it."""
    where, advice = _STEPS.get(step or "", (f"the step {step or 'that Meta does not name'}", ""))
    return _unfinished(
        Severity.WARNING,
        channel,
        f"the signup was left at {where}",
        f"the window was left at {step or 'a step that it does not name'}",
        (advice.format(phone=phone),),
        observed_at,
    )


def closed(channel: str, shown: str, observed_at: str) -> Finding:
    """WX608: the window was closed and told nothing; `shown` is what Meta's API says of it."""
    return _unfinished(
        Severity.WARNING,
        channel,
        "the window was closed, and whether the signup was finished is not known",
        f"the window told nothing; {shown}",
        (
            "closed on its last screen it counts as success: look in the app, Settings, Account,"
            " Business Platform",
        ),
        observed_at,
    )


def reported(report: Failed, channel: str, observed_at: str) -> Finding:
    """WX601, WX602 or WX608 from an error that the window showed."""
    text = report.text.lower()
    said = _said(report)
    if "payment method" in text or "credit line" in text:
        return existing_payment_method(channel, said, observed_at)
    if report.error_code in NOT_ELIGIBLE or "eligible" in text:
        return not_eligible(channel, said, observed_at)
    support = "if it comes again, write to Meta's support"
    if report.session_id:
        support += f" and name the session id {report.session_id}"
    return _unfinished(
        Severity.CRITICAL,
        channel,
        "Meta's signup reported an error",
        said,
        ("do what the text says", support),
        observed_at,
    )


def code_refused(channel: str, said: str, observed_at: str) -> Finding:
    """WX608: the code could not be exchanged (Meta: a code lives 30 seconds, for one use)."""
    return _unfinished(
        Severity.CRITICAL,
        channel,
        "Meta does not take the code of the signup",
        said,
        (
            "a code lives 30 seconds: sign up once more and leave the page open until it answers",
            "see that the clock of this computer runs right and the network is quick",
        ),
        observed_at,
    )


def refused(channel: str, said: str, observed_at: str) -> Finding:
    """WX608: Meta refused a call of the signup after its window had ended."""
    return _unfinished(
        Severity.CRITICAL,
        channel,
        "Meta refused a step after the signup",
        said,
        ("look at the account in WhatsApp Manager", "see `wacoex explain` with Meta's code"),
        observed_at,
    )


def wrong_number(channel: str, phone: str, numbers: Iterable[str], observed_at: str) -> Finding:
    """WX609: which number was connected cannot be told, or it is another one."""
    listed = ", ".join(numbers) or "none"
    return Finding(
        "WX609",
        Severity.CRITICAL,
        channel,
        f"the signup does not show {phone}",
        (Evidence(f"numbers in Coexistence on the account: {listed}", "meta", observed_at),),
        (
            f"another number was meant: `wacoex channel edit {channel} --phone NUMBER`,"
            " then connect again",
            f"{phone} is meant: connect again, and type that number in Meta's window",
        ),
        f"wacoex connect {channel}",
    )


def _unfinished(
    severity: Severity,
    channel: str,
    title: str,
    said: str,
    remedy: tuple[str, ...],
    observed_at: str,
) -> Finding:
    steps = (*filter(None, remedy), _AGAIN.format(channel=channel))
    return Finding(
        "WX608",
        severity,
        channel,
        title,
        (Evidence(said, "meta", observed_at),),
        steps,
        f"wacoex connect {channel}",
    )


def _said(report: Failed) -> str:
    parts = [f"Meta's window: {report.text}"]
    if report.error_code:
        parts.append(f"code {report.error_code}")
    if report.session_id:
        parts.append(f"session id {report.session_id}")
    return ", ".join(parts)
