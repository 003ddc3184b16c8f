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
    is_much = times >= MESSAGES_PER_SECOND
    return [
        Finding(
            id="WX503",
            severity=Severity.WARNING if is_much else Severity.INFO,
            channel=channel,
            title="Meta throttled this number: who else sends on it?"
            if is_much
            else "Meta throttled this number now and then",
            evidence=tuple(
                Evidence(
                    f"130429 came {_times(one.times)} while broadcast {one.broadcast_id} was sent",
                    "meta",
                    one.at,
                )
                for one in trouble.throttled
            ),
            remedy=(
                "look for a broadcast in respond.io at the same time, and send one after the other",
                "look for another app that sends, or a second state file:"
                f" `wacoex partner check {channel}`",
                "leave room for them and for inbound messages, which count too:"
                " `wacoex broadcast send --rate 10`",
            ),
            verify=f"wacoex status {channel}",
        )
    ]


def check_doubtful(trouble: Trouble, channel: str) -> list[Finding]:
    """WX505: the answer to some messages never came, and nobody has decided what to do."""
    if not trouble.doubtful:
        return []
    rows = sum(one.rows for one in trouble.doubtful)
    return [
        Finding(
            id="WX505",
            severity=Severity.WARNING,
            channel=channel,
            title=f"it is not known whether {_messages(rows)} went out",
            evidence=tuple(
                Evidence(
                    f"broadcast {one.broadcast_id}: {one.rows} ambiguous, not sent again by itself",
                    "ledger",
                    one.at,
                )
                for one in trouble.doubtful
            ),
            remedy=tuple(
                f"see which, and decide: `wacoex broadcast reconcile {one.broadcast_id}`"
                for one in trouble.doubtful
            ),
            verify=f"wacoex status {channel}",
        )
    ]


def check_refused_people(trouble: Trouble, channel: str) -> list[Finding]:
    """WX506: in the last 24 hours Meta refused marketing messages for some people.

    The number is well: this is between Meta and these people (Meta: per-user marketing limits).
    """
    if not trouble.refused:
        return []
    return [
        Finding(
            id="WX506",
            severity=Severity.INFO,
            channel=channel,
            title="marketing messages were refused for some people",
            evidence=tuple(
                Evidence(f"{_people(people)}, {code}: {_REFUSED[code]}", "meta", trouble.refused_at)
                for code, people in trouble.refused.items()
            ),
            remedy=(
                "write to nobody again within 24 hours: plans leave these people out",
                "see who they are: `wacoex broadcast list`, then `wacoex broadcast report ID`",
            ),
            verify=f"wacoex status {channel}",
        )
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _people(count: int) -> str:
    return "1 person" if count == 1 else f"{count} people"


def _messages(count: int) -> str:
    return f"{count} message{'' if count == 1 else 's'}"
