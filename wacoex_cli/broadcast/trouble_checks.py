"""Findings about broadcasts that were sent (WX503, WX505, WX506). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.findings.model import Evidence, Finding, Severity

if TYPE_CHECKING:
    from wacoex_cli.broadcast.trouble import Trouble

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
