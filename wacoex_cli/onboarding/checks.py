"""Findings about connecting a number: from what was answered, and how a signup ended. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.onboarding import rule
from wacoex_cli.onboarding.app_changes import FEATURES
from wacoex_cli.onboarding.model import StepState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wacoex_cli.onboarding.model import Record, WindowFailed

FOUR_STEPS = (
    "back up the chats on the phone: WhatsApp Business app, Settings, Chats, Chat backup",
    "disconnect in the app: Settings, Account, Business Platform, Disconnect account",
    "connect the business to Meta again in the app, in the same place",
    "connect the number to the new partner: it gets a new WABA id, and templates are made again",
)
"""The cure for "already has an existing payment method" (WX602), in this order."""

_CHECK = "wacoex connect {channel} --check"
_GO_ON = "wacoex connect {channel}"
_PLAIN_API = "or take another number, or use this one with the Cloud API alone, without the app"
NOT_ELIGIBLE = frozenset({"3441041", "2655093"})
"""Codes seen with "not eligible"; Meta documents neither (2026-11)."""

_SIGN_UP_AGAIN = "run `wacoex connect {channel}` again"
_WINDOW_STEPS = {
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


def not_eligible(channel: str, said: str, observed_at: str, source: str = "meta") -> Finding:
    """WX601: Meta refused the number (codes 3441041 and 2655093 were seen with it)."""
    return _finding(
        "WX601",
        Severity.CRITICAL,
        channel,
        "Meta does not take this number for Coexistence now",
        (Evidence(said, source, observed_at),),
        (
            "go on using the number in the app, with messages people like to get; try in some days",
            _PLAIN_API,
        ),
        _GO_ON,
    )


def existing_payment_method(
    channel: str, said: str, observed_at: str, source: str = "meta"
) -> Finding:
    """WX602: Meta refused because an earlier partner's credit line is still on the account."""
    return _finding(
        "WX602",
        Severity.CRITICAL,
        channel,
        "the account has the payment method of an earlier partner",
        (Evidence(said, source, observed_at),),
        FOUR_STEPS,
        _GO_ON,
    )


def check_records(records: Mapping[str, Record], channel: str, observed_at: str) -> list[Finding]:
    """What the answers to the first steps mean, each dated when it was given.

    `observed_at` is for what nobody has answered yet. Once signup is done, only what is to be
    looked after is left: the doubts before it are over.
    """
    signup = records.get("signup")
    is_over = signup is not None and signup.state is StepState.SETTLED
    found: list[Finding] = []
    for step, check in _CHECKS.items():
        record = records.get(step)
        if record is not None:
            found += check(record, channel, record.at or observed_at)
    if is_over:
        return [one for one in found if one.id == "WX607"]
    return found + check_changes(records.get("changes"), channel, observed_at)


def check_eligibility(record: Record, channel: str, at: str) -> list[Finding]:
    """WX601, WX603 and WX607 from the answers about the app and the number."""
    source = record.said_by or "wacoex"
    return [
        *_check_version(record.answer, channel, at, source),
        *_check_use_and_country(record.answer, channel, at, source),
        *_check_badge(record.answer, channel, at, source),
    ]


def check_linked(record: Record, channel: str, at: str) -> list[Finding]:
    """WX604: the number is not linked in Meta Business Suite."""
    if record.answer.get("linked") is not False:
        return []
    return [
        _finding(
            "WX604",
            Severity.WARNING,
            channel,
            "the number is not linked in Meta Business Suite yet",
            (Evidence("it is not linked", record.said_by or "wacoex", at),),
            (
                "Meta Business Suite, Settings, WhatsApp accounts, Add,"
                " Link a WhatsApp Business account; choose the number",
            ),
            _GO_ON,
        )
    ]


def check_partner(record: Record, channel: str, at: str) -> list[Finding]:
    """WX602: another partner has or had the number, and is not taken off it."""
    answer = record.answer
    if answer.get("other_partner") is not True or answer.get("cleared") is True:
        return []
    said = Evidence("another partner has the number or pays for it", record.said_by or "wacoex", at)
    seen = answer.get("seen")
    shown = [Evidence(str(one), "meta", at) for one in seen] if isinstance(seen, list) else []
    return [
        _finding(
            "WX602",
            Severity.WARNING,
            channel,
            "Meta may refuse: another partner's payment method cannot be replaced",
            (said, *shown),
            FOUR_STEPS,
            _GO_ON,
        )
    ]


def check_changes(record: Record | None, channel: str, observed_at: str) -> list[Finding]:
    """WX606: features of the app that change, until somebody has acknowledged them."""
    if record is not None and record.state is StepState.SETTLED:
        return []
    known = record.answer.get("acknowledged") if record else None
    done = known if isinstance(known, list) else []
    open_ones = [one.title for one in FEATURES if one.id not in done]
    if not open_ones:
        return []
    return [
        _finding(
            "WX606",
            Severity.INFO,
            channel,
            "features of the app change with connecting",
            (Evidence(f"not acknowledged: {', '.join(open_ones)}", "wacoex", observed_at),),
            ("read `wacoex explain features`, and tell those who use the app",),
            _GO_ON,
        )
    ]


_CHECKS = {
    "eligibility": check_eligibility,
    "business-suite": check_linked,
    "other-partner": check_partner,
}


def _check_version(
    answer: Mapping[str, object], channel: str, at: str, source: str
) -> list[Finding]:
    version = rule.version_in(str(answer.get("app_version", "")))
    if version is None or version >= rule.OLDEST_APP:
        return []
    return [
        _finding(
            "WX603",
            Severity.CRITICAL,
            channel,
            "the WhatsApp Business app is too old",
            (Evidence(f"its version is {answer['app_version']}", source, at),),
            ("update the app from the store on the phone: 2.24.17 or newer is needed",),
            _CHECK,
        )
    ]


def _check_use_and_country(
    answer: Mapping[str, object], channel: str, at: str, source: str
) -> list[Finding]:
    said = []
    if answer.get("in_real_use") is False:
        said.append(Evidence("the number is not in real use with the app", source, at))
    country = rule.lately_opened(str(answer.get("phone", "")))
    if country:
        opened = f"{country}: Meta opened it on {rule.OPENED_ON}; pages from before exclude it"
        said.append(Evidence(opened, "wacoex", at))
    if not said:
        return []
    return [
        _finding(
            "WX601",
            Severity.WARNING if country else Severity.INFO,
            channel,
            "Meta may not take this number for Coexistence yet",
            said,
            (
                "try it: only Meta decides, and a refusal changes nothing",
                "if it is refused, go on using the app for some days, and try again",
                _PLAIN_API,
            ),
            _CHECK,
        )
    ]


def _check_badge(answer: Mapping[str, object], channel: str, at: str, source: str) -> list[Finding]:
    if answer.get("meta_verified") is not True:
        return []
    return [
        _finding(
            "WX607",
            Severity.INFO,
            channel,
            "look after the Meta Verified badge",
            (Evidence("the app shows a Meta Verified badge", source, at),),
            (
                "note when its subscription renews, and who pays for it",
                "after connecting, look whether badge and subscription are still there",
            ),
            _GO_ON,
        )
    ]


def _finding(
    finding_id: str,
    severity: Severity,
    channel: str,
    title: str,
    evidence: tuple[Evidence, ...] | list[Evidence],
    remedy: tuple[str, ...],
    verify: str,
) -> Finding:
    return Finding(
        finding_id,
        severity,
        channel,
        title,
        tuple(evidence),
        remedy,
        verify.format(channel=channel),
    )


def signup_cancelled(step: str | None, channel: str, phone: str, observed_at: str) -> Finding:
    """WX608: the person left the window; `step` is the screen as Meta names it."""
    where, advice = _WINDOW_STEPS.get(
        step or "", (f"the step {step or 'that Meta does not name'}", "")
    )
    return _unfinished(
        Severity.WARNING,
        channel,
        f"the signup was left at {where}",
        f"the window was left at {step or 'a step that it does not name'}",
        (advice.format(phone=phone),),
        observed_at,
    )


def signup_closed(channel: str, shown: str, observed_at: str) -> Finding:
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


def signup_reported(report: WindowFailed, channel: str, observed_at: str) -> Finding:
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


def signup_refused(channel: str, said: str, observed_at: str) -> Finding:
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
    steps = (*filter(None, remedy), _SIGN_UP_AGAIN.format(channel=channel))
    return Finding(
        "WX608",
        severity,
        channel,
        title,
        (Evidence(said, "meta", observed_at),),
        steps,
        f"wacoex connect {channel}",
    )


def _said(report: WindowFailed) -> str:
    parts = [f"Meta's window: {report.text}"]
    if report.error_code:
        parts.append(f"code {report.error_code}")
    if report.session_id:
        parts.append(f"session id {report.session_id}")
    return ", ".join(parts)
