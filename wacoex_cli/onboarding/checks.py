"""Findings about connecting a number, from what was answered in its steps. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.onboarding import rule
from wacoex_cli.onboarding.app_changes import FEATURES
from wacoex_cli.onboarding.model import StepState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.onboarding.model import Record


def four_steps() -> tuple[str, ...]:
    """The cure for "already has an existing payment method" (WX602), in this order."""
    return tuple(wording("WX602").cases[""]["remedy"])


def not_eligible(channel: str, said: str, observed_at: str, source: str = "meta") -> Finding:
    """WX601: Meta refused the number (codes 3441041 and 2655093 were seen with it)."""
    return Finding("WX601", Severity.CRITICAL, channel, Evidence(said, source, observed_at))


def existing_payment_method(
    channel: str, said: str, observed_at: str, source: str = "meta"
) -> Finding:
    """WX602: Meta refused because an earlier partner's credit line is still on the account."""
    return Finding("WX602", Severity.CRITICAL, channel, Evidence(said, source, observed_at))


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
    answer = record.answer
    found = []
    version = rule.version_in(str(answer.get("app_version", "")))
    if version is not None and version < rule.OLDEST_APP:
        said = Evidence(f"its version is {answer['app_version']}", source, at)
        found.append(Finding("WX603", Severity.CRITICAL, channel, said))
    doubts = []
    if answer.get("in_real_use") is False:
        doubts.append(Evidence("the number is not in real use with the app", source, at))
    country = rule.lately_opened(str(answer.get("phone", "")))
    if country:
        opened = f"{country}: Meta opened it on {rule.OPENED_ON}; pages from before exclude it"
        doubts.append(Evidence(opened, "wacoex", at))
    if doubts:
        severity = Severity.WARNING if country else Severity.INFO
        found.append(Finding("WX601", severity, channel, doubts))
    if answer.get("meta_verified") is True:
        said = Evidence("the app shows a Meta Verified badge", source, at)
        found.append(Finding("WX607", Severity.INFO, channel, said))
    return found


def check_linked(record: Record, channel: str, at: str) -> list[Finding]:
    """WX604: the number is not linked in Meta Business Suite."""
    if record.answer.get("linked") is not False:
        return []
    said = Evidence("it is not linked", record.said_by or "wacoex", at)
    return [Finding("WX604", Severity.WARNING, channel, said)]


def check_partner(record: Record, channel: str, at: str) -> list[Finding]:
    """WX602: another partner has or had the number, and is not taken off it."""
    answer = record.answer
    if answer.get("other_partner") is not True or answer.get("cleared") is True:
        return []
    said = Evidence("another partner has the number or pays for it", record.said_by or "wacoex", at)
    seen = answer.get("seen")
    shown = [Evidence(str(one), "meta", at) for one in seen] if isinstance(seen, list) else []
    return [Finding("WX602", Severity.WARNING, channel, (said, *shown))]


def check_changes(record: Record | None, channel: str, observed_at: str) -> list[Finding]:
    """WX606: features of the app that change, until somebody has acknowledged them."""
    if record is not None and record.state is StepState.SETTLED:
        return []
    known = record.answer.get("acknowledged") if record else None
    done = known if isinstance(known, list) else []
    open_ones = [one.title for one in FEATURES if one.id not in done]
    if not open_ones:
        return []
    said = Evidence(f"not acknowledged: {', '.join(open_ones)}", "wacoex", observed_at)
    return [Finding("WX606", Severity.INFO, channel, said)]


_CHECKS = {
    "eligibility": check_eligibility,
    "business-suite": check_linked,
    "other-partner": check_partner,
}
