"""Findings about connecting a number, from what was answered in its steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.onboarding import rule
from wacoex_cli.onboarding.app_changes import FEATURES
from wacoex_cli.onboarding.model import StepState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.onboarding.model import Record

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
