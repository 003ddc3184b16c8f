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
    return [
        Finding(
            id="WX502",
            severity=Severity.CRITICAL,
            channel=channel,
            title="the messaging limit is smaller than the plan",
            evidence=(
                Evidence(
                    f"the portfolio may message {int(limit)} people in 24 h", "meta", observed_at
                ),
                Evidence(
                    f"{taken_in_24_hours} were messaged from this number in the last 24 h",
                    "ledger",
                    observed_at,
                ),
                Evidence(
                    f"the plan holds {recipients}, there is room for at most {room}",
                    "plan",
                    observed_at,
                ),
            ),
            remedy=(
                f"split the list: at most {room} people now, the rest tomorrow",
                "or raise the limit: verify the business in Meta Business settings",
            ),
            verify="wacoex status",
        )
    ]


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
    is_known = limit is not None
    told = f"{taken_in_24_hours} people were messaged from this number in the last 24 h"
    return [
        Finding(
            id="WX502",
            severity=Severity.WARNING if is_known else Severity.UNKNOWN,
            channel=channel,
            title="the messaging limit is used up" if is_known else "the messaging limit is new",
            evidence=(
                Evidence(f"the portfolio's messaging limit is {tier}", "meta", observed_at),
                Evidence(told, "ledger", observed_at),
            ),
            remedy=("send the rest tomorrow, or verify the business to raise the limit",)
            if is_known
            else ("update wacoex: this version does not know that limit",),
            verify="wacoex status",
        )
    ]


def check_us_marketing(
    category: str, plus_one_recipients: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX506: marketing templates are not delivered to +1 numbers (Meta: per-user limits)."""
    if category != "MARKETING" or not plus_one_recipients:
        return []
    return [
        Finding(
            id="WX506",
            severity=Severity.WARNING,
            channel=channel,
            title="marketing messages to US numbers (+1) are not delivered",
            evidence=(
                Evidence(f"{plus_one_recipients} recipients have a +1 number", "plan", observed_at),
                Evidence("the template's category is MARKETING", "meta", observed_at),
            ),
            remedy=("leave these people out, or use a utility template for them",),
            verify="wacoex broadcast plan",
        )
    ]


def sending_seconds(recipients: int, rate: float) -> float:
    """Seconds a broadcast takes at a rate in messages per second, the guard included."""
    return max(0, recipients - 1) * slot_interval(rate)
