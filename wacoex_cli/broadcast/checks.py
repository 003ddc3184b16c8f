"""Findings about broadcasts, before they leave and after. Pure, but for `troubles`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND, slot_interval
from wacoex_cli.findings.model import Evidence, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

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


RECENT = timedelta(hours=24)


@dataclass(frozen=True)
class Doubtful:
    """Rows of one broadcast of which nobody knows whether they went out, the newest `at`."""

    broadcast_id: int
    rows: int
    at: str


@dataclass(frozen=True)
class Throttled:
    """How often Meta answered 130429 while one broadcast was sent, the last time `at`."""

    broadcast_id: int
    times: int
    at: str


@dataclass(frozen=True)
class Trouble:
    """What is left of broadcasts. Times are RFC 3339 in UTC.

    `refused` are people by Meta's code, 131049 or 131050, the newest at `refused_at`. But for
    `doubtful`, which waits until it is decided, all is of the last 24 hours.
    """

    doubtful: tuple[Doubtful, ...] = ()
    throttled: tuple[Throttled, ...] = ()
    refused: Mapping[int, int] = field(default_factory=dict)
    refused_at: str = ""


def troubles(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Trouble]:
    """What went wrong with the broadcasts of each of these channels, by channel_id."""
    since = now - RECENT
    doubtful = figures.ambiguous(state)
    throttled = figures.throttled(state, since)
    refused = figures.refused(state, since)
    found = {}
    for one in channels:
        own = [row for row in refused if row["channel_id"] == one.channel_id]
        found[one.channel_id] = Trouble(
            doubtful=tuple(
                Doubtful(row["broadcast_id"], row["n"], row["at"])
                for row in doubtful
                if row["channel_id"] == one.channel_id
            ),
            throttled=tuple(
                Throttled(row["broadcast_id"], row["n"], row["at"])
                for row in throttled
                if row["channel_id"] == one.channel_id
            ),
            refused={row["code"]: row["n"] for row in own},
            refused_at=max((row["at"] for row in own), default=""),
        )
    return found


_REFUSED = {
    131049: "Meta holds marketing messages back for now",
    131050: "marketing messages were stopped; on the opt-out list",
}


def check_trouble(trouble: Trouble, channel: str) -> list[Finding]:
    """Everything that went wrong with the broadcasts of a channel."""
    return [
        *check_throttled(trouble, channel),
        *check_doubtful(trouble, channel),
        *check_refused_people(trouble, channel),
    ]


def check_throttled(trouble: Trouble, channel: str) -> list[Finding]:
    """WX503: Meta answered 130429 in the last 24 hours, so somebody else uses this number too.

    What wacoex sends stays within 20 messages a second. Less than a second's worth of refusals
    is told, and is no fault (Meta: throughput).
    """
    if not trouble.throttled:
        return []
    times = sum(one.times for one in trouble.throttled)
    return [
        Finding(
            "WX503",
            Severity.WARNING if times >= MESSAGES_PER_SECOND else Severity.INFO,
            channel,
            [
                Evidence(
                    f"130429 came {_times(row.times)} while broadcast {row.broadcast_id} was sent",
                    "meta",
                    row.at,
                )
                for row in trouble.throttled
            ],
        )
    ]


def check_doubtful(trouble: Trouble, channel: str) -> list[Finding]:
    """WX505: the answer to some messages never came, and nobody has decided what to do."""
    if not trouble.doubtful:
        return []
    rows = sum(one.rows for one in trouble.doubtful)
    return [
        Finding(
            "WX505",
            Severity.WARNING,
            channel,
            [
                Evidence(
                    f"broadcast {row.broadcast_id}: {row.rows} ambiguous, not sent again by itself",
                    "ledger",
                    row.at,
                )
                for row in trouble.doubtful
            ],
            messages=f"{rows} message{'' if rows == 1 else 's'}",
            broadcasts=[row.broadcast_id for row in trouble.doubtful],
        )
    ]


def check_refused_people(trouble: Trouble, channel: str) -> list[Finding]:
    """WX506: in the last 24 hours Meta refused marketing messages for some people.

    The number is well: this is between Meta and these people (Meta: per-user marketing limits).
    """
    if not trouble.refused:
        return []
    evidence = [
        Evidence(f"{_people(people)}, {code}: {_REFUSED[code]}", "meta", trouble.refused_at)
        for code, people in trouble.refused.items()
    ]
    return [Finding("WX506", Severity.INFO, channel, evidence)]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"
