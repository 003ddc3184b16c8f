"""Findings about the countdown of a channel, from where it stands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.checks import check_connection
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import local_text, to_text
from wacoex_cli.inactivity.model import Stage

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.inactivity.model import GradedSign, Standing

SAID = {
    "confirmed": "the app was confirmed to be open",
    "connected": "the number was connected",
    "echo_primary": "an echo came from the phone, no companion was linked then",
    "phonebook": "the phonebook changed, usually on the phone",
    "echo": "an echo came, maybe from a linked device",
}
"""What each word of the evidence table says, for a person."""

_LATE = {Stage.WARNING: "WX101", Stage.CRITICAL: "WX102", Stage.OVERDUE: "WX103"}


def check_standing(facts: ChannelFacts, standing: Standing, zone: str) -> list[Finding]:
    """WX101 to WX105, WX203 and WX204: the countdown of a channel, and a lost connection.

    `zone` is the channel's own time zone.
    """
    return [
        *check_opened(standing, facts.name, zone, facts.now),
        *check_connection(facts.connection, facts.name, facts.now),
    ]


def check_opened(standing: Standing, channel: str, zone: str, now: datetime) -> list[Finding]:
    """WX101 to WX105: the app was not opened for too long, or nobody knows; WX705 beside them.

    `zone` is the channel's own time zone. Weaker evidence is told, and never counted.
    """
    counted = [_evidence(said(standing.counted), standing.counted)] if standing.counted else []
    weaker = [
        _evidence(f"not counted ({sign.grade.value}): {said(sign)}", sign)
        for sign in standing.weaker
    ]
    has_echo = any(sign.name == "echo" for sign in standing.weaker)
    severity = stage_severity(standing.stage)
    found = []
    if standing.deadline_at and standing.stage in _LATE:
        deadline = local_text(standing.deadline_at, zone)
        found.append(
            Finding(
                _LATE[standing.stage],
                severity,
                channel,
                [*counted, *weaker],
                deadline=deadline,
                has_echo=has_echo,
            )
        )
    if standing.stage is Stage.UNKNOWN and weaker:
        found.append(Finding("WX105", severity, channel, [*counted, *weaker], has_echo=has_echo))
    elif standing.stage is Stage.UNKNOWN:
        missing = Evidence("nobody confirmed it and no event proves it", "wacoex", to_text(now))
        found.append(Finding("WX104", severity, channel, [*counted, missing]))
    if standing.future:
        facts = [
            _evidence(f"{said(sign)} at {to_text(sign.at)}, now it is {to_text(now)}", sign)
            for sign in standing.future
        ]
        found.append(Finding("WX705", Severity.WARNING, channel, facts, case="future"))
    return found


def stage_severity(stage: Stage) -> Severity:
    """How bad a stage is."""
    return Severity.CRITICAL if stage is Stage.OVERDUE else Severity(stage.value)


def said(sign: GradedSign) -> str:
    """One piece of evidence in words, with the person who told it."""
    who = f" by {sign.said_by}" if sign.name == "confirmed" and sign.said_by else ""
    return f"{SAID.get(sign.name, sign.name)}{who}"


def _evidence(text: str, sign: GradedSign) -> Evidence:
    return Evidence(text, sign.source, to_text(sign.at))
