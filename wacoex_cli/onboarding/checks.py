"""Findings about connecting a number: what Meta asks of it, and what changes with it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.model import Route, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.onboarding.model import Record

OLDEST_APP = (2, 24, 17)
"""The oldest version of the WhatsApp Business app (Meta: onboarding business app users)."""

OPENED_ON = "15 April 2026"
"""The day on which Meta took the last countries off its list (Meta: changelog)."""

_LATELY_OPENED = {"+234": "Nigeria", "+27": "South Africa"}
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,6}))?(?:\.[0-9]{1,6})*")


def version_in(text: str) -> tuple[int, int, int] | None:
    """The first three parts of a version such as `2.24.17.80`; None for anything else."""
    found = _VERSION.fullmatch(text.strip().lower())
    if found is None:
        return None
    return int(found[1]), int(found[2]), int(found[3] or 0)


def lately_opened(phone: str) -> str | None:
    """The country of an E.164 number, when lists from before April 2026 exclude it."""
    return next((name for code, name in _LATELY_OPENED.items() if phone.startswith(code)), None)


@dataclass(frozen=True)
class AppChange:
    """One row; `id` is kept in the state file."""

    id: str
    title: str
    text: str


FEATURES = (
    AppChange(
        "broadcast-lists",
        "broadcast lists",
        "no new ones and no sending; those there are can only be read",
    ),
    AppChange(
        "edit-revoke",
        "editing and deleting for everyone",
        "Meta, since November 2025: goes on working in chats with one person and is mirrored;"
        " respond.io's older help article: no longer supported",
    ),
    AppChange("disappearing", "disappearing messages", "off in all chats with one person"),
    AppChange("view-once", "view once", "off in chats with one person"),
    AppChange("live-location", "live location", "off in chats with one person"),
)
"""The five features that change (Meta: onboarding business app users)."""

_LIMITATIONS = (
    AppChange(
        "app-only", "groups, calls, status", "go on in the app and are not seen through the API"
    ),
    AppChange(
        "companions",
        "linked devices",
        "all are unlinked; link them again by hand, up to 24 hours later. WhatsApp for Windows and"
        " Wear OS do not work with it",
    ),
    AppChange("rate", "20 messages a second", "in and out together, fixed by Meta"),
    AppChange(
        "keep-open",
        "the app stays in use",
        "it must be opened on the phone at least every 14 days, or the connection is lost",
    ),
)


def app_changes(via: Route) -> tuple[AppChange, ...]:
    """Everything to acknowledge before connecting through that signup."""
    history = (
        "stay on the phone; respond.io imports neither (Meta offers it, it depends on the partner)"
        if via is Route.RESPONDIO
        else "can be synced once, within 24 hours; groups never, media of the last 14 days only"
    )
    return (*FEATURES, AppChange("history", "history and contacts", history), *_LIMITATIONS)


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
    version = version_in(str(answer.get("app_version", "")))
    if version is None or version >= OLDEST_APP:
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
    country = lately_opened(str(answer.get("phone", "")))
    if country:
        opened = f"{country}: Meta opened it on {OPENED_ON}; pages from before exclude it"
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


_ANEW = (
    "go on without them: the channel works, and what comes from now on is mirrored",
    "if they are needed: disconnect in the app (Settings, Account, Business Platform),"
    " then connect again, and choose to share the chats",
)


def check_window(closes_at: datetime, channel: str, now: datetime, source: str) -> list[Finding]:
    """What there is to know about a copy that was not asked for yet (Meta: smb_app_data)."""
    closes = to_text(closes_at)
    if now < closes_at:
        steps = (f"copy them before that: `wacoex connect {channel}`",)
        title = f"contacts and history can be copied until {closes}"
        return [_sync_finding(Severity.INFO, channel, title, _fact(closes, source, now), steps)]
    title = f"contacts and history can no longer be copied: the time for it ended {closes}"
    return [_sync_finding(Severity.WARNING, channel, title, _fact(closes, source, now), _ANEW)]


def sync_refused(code: int, meaning: str, channel: str, observed_at: str) -> Finding:
    """Meta refused to copy, or told by webhook that nothing is shared.

    Codes: 2593107 asked for more than once, 2593108 after 24 hours, 2593109 not shared.
    """
    fact = Evidence(f"code {code}: {meaning}", "meta", observed_at)
    title = "contacts or history are not copied, and cannot be asked for again"
    return _sync_finding(Severity.WARNING, channel, title, fact, _ANEW)


def _fact(closes: str, source: str, now: datetime) -> Evidence:
    return Evidence(f"connecting opens 24 hours, which end {closes}", source, to_text(now))


def _sync_finding(
    severity: Severity, channel: str, title: str, fact: Evidence, steps: tuple[str, ...]
) -> Finding:
    return Finding(
        id="WX605",
        severity=severity,
        channel=channel,
        title=title,
        evidence=(fact,),
        remedy=steps,
        verify=f"wacoex events list -c {channel} --kind history",
    )
