"""Findings about a broadcast before it leaves. Pure."""

from __future__ import annotations

import math

from wacoex_cli.broadcast.throttle import slot_interval
from wacoex_cli.findings.model import Evidence, Finding, Severity

_LIMITS = {
    "TIER_50": 50,
    "TIER_250": 250,
    "TIER_1K": 1_000,
    "TIER_2K": 2_000,
    "TIER_10K": 10_000,
    "TIER_100K": 100_000,
}


def messaging_limit(tier: object) -> float | None:
    """People per moving 24 hours that a limit allows; infinite, or None for an unknown word.

    The limit is the portfolio's, shared by all its numbers (Meta: messaging limits).
    """
    if tier == "TIER_UNLIMITED":
        return math.inf
    return _LIMITS.get(str(tier))


def check_messaging_limit(
    tier: object, recipients: int, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502: more people than the portfolio's 24 hour limit leaves room for.

    What other numbers of the portfolio sent is invisible here, so the room is "at most".
    """
    limit = messaging_limit(tier)
    if limit is None or recipients + taken_in_24_hours <= limit:
        return []
    room = max(0, int(limit) - taken_in_24_hours)
    said = (
        (f"the portfolio may message {int(limit)} people in 24 h", "meta"),
        (f"{taken_in_24_hours} were messaged from this number in the last 24 h", "ledger"),
        (f"the plan holds {recipients}, there is room for at most {room}", "plan"),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    return [Finding("WX502", Severity.CRITICAL, channel, evidence, room=room)]


def check_limit_used_up(
    tier: object, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502 for a channel: nothing is left of the portfolio's 24 hour limit.

    `None` and UNTIERED say nothing about a limit (Meta: messaging limits).
    """
    if tier is None or tier == "UNTIERED":
        return []
    limit = messaging_limit(tier)
    if limit is not None and taken_in_24_hours < limit:
        return []
    said = (
        (f"the portfolio's messaging limit is {tier}", "meta"),
        (f"{taken_in_24_hours} people were messaged from this number in the last 24 h", "ledger"),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    severity = Severity.UNKNOWN if limit is None else Severity.WARNING
    return [Finding("WX502", severity, channel, evidence)]


def check_us_marketing(
    category: str, plus_one_recipients: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX506: marketing templates are not delivered to +1 numbers (Meta: per-user limits)."""
    if category != "MARKETING" or not plus_one_recipients:
        return []
    evidence = (
        Evidence(f"{plus_one_recipients} recipients have a +1 number", "plan", observed_at),
        Evidence("the template's category is MARKETING", "meta", observed_at),
    )
    return [Finding("WX506", Severity.WARNING, channel, evidence)]


def sending_seconds(recipients: int, rate: float) -> float:
    """Seconds a broadcast takes at a rate in messages per second, the guard included."""
    return max(0, recipients - 1) * slot_interval(rate)
