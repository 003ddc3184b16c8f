"""Findings about connecting a number: what Meta asks of it, and what changes with it. Pure."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.facts import ConnectionState
from wacoex_cli.channels.model import RE_REGISTERED
from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import PERSON, Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.onboarding.model import StepState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from wacoex_cli.channels.facts import Connection
    from wacoex_cli.onboarding.model import Record, Route, WindowFailed

OLDEST_APP = (2, 24, 17)
"""The oldest version of the WhatsApp Business app (Meta: onboarding business app users)."""

OPENED_ON = "15 April 2026"
"""The day on which Meta took the last countries off its list (Meta: changelog)."""

NOT_ELIGIBLE = frozenset({"3441041", "2655093"})
"""Codes seen with "not eligible"; Meta documents neither (2026-11)."""

_LATELY_OPENED = {"+234": "Nigeria", "+27": "South Africa"}
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?:\.([0-9]{1,6}))?(?:\.[0-9]{1,6})*")


def version_in(text: str) -> tuple[int, int, int] | None:
    """The first three parts of a version such as `2.24.17.80`; None for anything else."""
    found = _VERSION.fullmatch(text.strip().lower())
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None


def lately_opened(phone: str) -> str | None:
    """The country of an E.164 number, when lists from before April 2026 exclude it."""
    return next((name for code, name in _LATELY_OPENED.items() if phone.startswith(code)), None)


class AppChange(NamedTuple):
    """What changes in the app; `id` is kept in the state file."""

    id: str
    title: str
    text: str


@functools.cache
def features() -> tuple[AppChange, ...]:
    """The five features of the app that change."""
    return tuple(AppChange(**row) for row in coexistence()["feature"])


def app_changes(via: Route) -> tuple[AppChange, ...]:
    """Everything to acknowledge before connecting through that signup."""
    history = coexistence()["history"]
    return (
        *features(),
        AppChange(history["id"], history["title"], history[via.value]),
        *(AppChange(**row) for row in coexistence()["limitation"]),
    )


@functools.cache
def coexistence() -> dict[str, Any]:
    """What changes in the app and with offboarding: the tables of `coexistence.toml`."""
    import tomllib

    return tomllib.loads(Path(__file__).with_name("coexistence.toml").read_text(encoding="utf-8"))


def may_return(connection: Connection, now: datetime) -> bool:
    """WhatsApp is likely to reconnect it by itself: a loss that is no offboarding.

    Source: "Meta: reconnect offboarded clients".
    """
    if connection.since is None or now >= from_text(connection.since) + RETURNS_WITHIN:
        return False
    is_removed = connection.state is ConnectionState.REMOVED
    return connection.state is ConnectionState.RECONNECTING or (
        is_removed and connection.reason == RE_REGISTERED
    )


def four_steps() -> tuple[str, ...]:
    """The cure for "already has an existing payment method" (WX602), in this order."""
    return tuple(wording("WX602").cases[""]["remedy"])


def check_records(records: Mapping[str, Record], channel: str, observed_at: str) -> list[Finding]:
    """What the answers to the first steps mean, each dated when it was given.

    `observed_at` is for what nobody has answered yet. Once signup is done, only what is to be
    looked after is left: the doubts before it are over.
    """
    signup = records.get("signup")
    is_over = signup is not None and signup.state is StepState.SETTLED
    found = [
        finding
        for step, check in _CHECKS.items()
        if (record := records.get(step)) is not None
        for finding in check(record, channel, record.at or observed_at)
    ]
    if is_over:
        return [finding for finding in found if finding.id == "WX607"]
    return found + check_changes(records.get("changes"), channel, observed_at)


def check_eligibility(record: Record, channel: str, at: str) -> list[Finding]:
    """WX601, WX603 and WX607 from the answers about the app and the number."""
    answer = record.answer
    found = []
    version = version_in(str(answer.get("app_version", "")))
    if version is not None and version < OLDEST_APP:
        said = _said(record, f"its version is {answer['app_version']}", at)
        found.append(Finding("WX603", Severity.CRITICAL, channel, said))
    doubts = []
    if answer.get("in_real_use") is False:
        doubts.append(_said(record, "the number is not in real use with the app", at))
    country = lately_opened(str(answer.get("phone", "")))
    if country:
        opened = f"{country}: Meta opened it on {OPENED_ON}; older pages exclude it"
        doubts.append(Evidence(opened, "wacoex", at))
    if doubts:
        severity = Severity.WARNING if country else Severity.INFO
        found.append(Finding("WX601", severity, channel, doubts))
    if answer.get("meta_verified") is True:
        said = _said(record, "the app shows a Meta Verified badge", at)
        found.append(Finding("WX607", Severity.INFO, channel, said))
    return found


def check_linked(record: Record, channel: str, at: str) -> list[Finding]:
    """WX604: the number is not linked in Meta Business Suite."""
    if record.answer.get("linked") is not False:
        return []
    said = _said(record, "it is not linked", at)
    return [Finding("WX604", Severity.WARNING, channel, said)]


def check_partner(record: Record, channel: str, at: str) -> list[Finding]:
    """WX602: another partner has or had the number, and is not taken off it."""
    answer = record.answer
    if answer.get("other_partner") is not True or answer.get("cleared") is True:
        return []
    said = _said(record, "another partner has the number or pays for it", at)
    seen = answer.get("seen")
    shown = [Evidence(str(text), "meta", at) for text in seen] if isinstance(seen, list) else []
    return [Finding("WX602", Severity.WARNING, channel, (said, *shown))]


def _said(record: Record, text: str, at: str) -> Evidence:
    """What a step rests on: Meta or respond.io, else the person whose name stands beside it."""
    by = record.said_by or "wacoex"
    if by in ("meta", "respondio", "wacoex", PERSON):
        return Evidence(text, by, at)
    return Evidence(text, PERSON, at, who=by)


def check_changes(record: Record | None, channel: str, observed_at: str) -> list[Finding]:
    """WX606: features of the app that change, until somebody has acknowledged them."""
    if record is not None and record.state is StepState.SETTLED:
        return []
    known = record.answer.get("acknowledged") if record else None
    done = known if isinstance(known, list) else []
    titles = [feature.title for feature in features() if feature.id not in done]
    if not titles:
        return []
    said = Evidence(f"not acknowledged: {', '.join(titles)}", "wacoex", observed_at)
    return [Finding("WX606", Severity.INFO, channel, said)]


_CHECKS = {
    "eligibility": check_eligibility,
    "business-suite": check_linked,
    "other-partner": check_partner,
}


def check_window(closes_at: datetime, channel: str, now: datetime, source: str) -> list[Finding]:
    """What there is to know about a copy that was not asked for yet (Meta: smb_app_data)."""
    closes = to_text(closes_at)
    text = f"contacts and history can be copied for 24 hours, which end {closes}"
    fact = Evidence(text, source, to_text(now))
    severity = Severity.INFO if now < closes_at else Severity.WARNING
    return [Finding("WX605", severity, channel, fact, closes=closes)]


def sync_refused(code: int, meaning: str, channel: str, observed_at: str) -> Finding:
    """Meta refused to copy, or said by webhook that nothing is shared.

    Codes: 2593107 asked for more than once, 2593108 after 24 hours, 2593109 not shared.
    """
    fact = Evidence(f"code {code}: {meaning}", "meta", observed_at)
    return Finding("WX605", Severity.WARNING, channel, fact, case="refused")


def signup_cancelled(step: str | None, channel: str, phone: str, observed_at: str) -> Finding:
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


def signup_reported(
    report: WindowFailed, channel: str, observed_at: str, source: str = "meta"
) -> Finding:
    """WX602, WX601 or WX608 from an error that the window showed.

    WX602: an earlier partner's credit line is still on the account. WX601: Meta refused the number.
    `source` is who reports it: Meta's window, or a person who copied its text.
    """
    text, details = report.text.lower(), [f"Meta's window: {report.text}"]
    if report.error_code:
        details.append(f"code {report.error_code}")
    if report.session_id:
        details.append(f"session id {report.session_id}")
    said = Evidence(", ".join(details), source, observed_at)
    if "payment method" in text or "credit line" in text:
        return Finding("WX602", Severity.CRITICAL, channel, said)
    if report.error_code in NOT_ELIGIBLE or "eligible" in text:
        return Finding("WX601", Severity.CRITICAL, channel, said)
    session = report.session_id
    return Finding("WX608", Severity.CRITICAL, channel, said, case="error", session_id=session)


def wrong_number(channel: str, phone: str, numbers: Iterable[str], observed_at: str) -> Finding:
    """WX609: which number was connected is not known, or it is another one."""
    listed = ", ".join(numbers) or "none"
    said = f"numbers in Coexistence on the account: {listed}"
    evidence = Evidence(said, "meta", observed_at)
    return Finding("WX609", Severity.CRITICAL, channel, evidence, phone=phone)
