"""Findings about the countdown of a channel, from where it stands. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.checks import check_connection
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.time_zones import local_text
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
    return [
        *_check_countdown(standing, channel, zone),
        *_check_known(standing, channel, now),
        *_check_future(standing, channel, now),
    ]


def stage_severity(stage: Stage) -> Severity:
    """How bad a stage is."""
    return Severity.CRITICAL if stage is Stage.OVERDUE else Severity(stage.value)


def said(sign: GradedSign) -> str:
    """One piece of evidence in words, with the person who told it."""
    who = f" by {sign.said_by}" if sign.name == "confirmed" and sign.said_by else ""
    return f"{SAID.get(sign.name, sign.name)}{who}"


def _check_countdown(standing: Standing, channel: str, zone: str) -> list[Finding]:
    if standing.deadline_at is None:
        return []
    deadline = local_text(standing.deadline_at, zone)
    if standing.stage is Stage.WARNING:
        title = f"the app was not opened for long, the deadline is {deadline}"
        return [_finding("WX101", title, standing, channel)]
    if standing.stage is Stage.CRITICAL:
        title = f"the app must be opened now, the deadline is {deadline}"
        return [_finding("WX102", title, standing, channel)]
    if standing.stage is Stage.OVERDUE:
        title = f"the app was not opened in time, the deadline was {deadline}"
        return [_finding("WX103", title, standing, channel)]
    return []


def _check_known(standing: Standing, channel: str, now: datetime) -> list[Finding]:
    if standing.stage is not Stage.UNKNOWN:
        return []
    if standing.weaker:
        title = "only weak evidence says that the app was opened"
        return [_finding("WX105", title, standing, channel)]
    title = "nothing says when the app was last opened"
    missing = Evidence("nobody confirmed it and no event proves it", "wacoex", to_text(now))
    return [_finding("WX104", title, standing, channel, missing)]


def _finding(
    finding_id: str, title: str, standing: Standing, channel: str, *more: Evidence
) -> Finding:
    counted = [_evidence(said(standing.counted), standing.counted)] if standing.counted else []
    return Finding(
        id=finding_id,
        severity=stage_severity(standing.stage),
        channel=channel,
        title=title,
        evidence=(*counted, *map(_not_counted, standing.weaker), *more),
        remedy=_remedy(standing, channel),
        verify=f"wacoex reminder check {channel}",
    )


def _check_future(standing: Standing, channel: str, now: datetime) -> list[Finding]:
    if not standing.future:
        return []
    return [
        Finding(
            id="WX705",
            severity=Severity.WARNING,
            channel=channel,
            title="evidence is dated later than now, so it is not counted",
            evidence=tuple(
                _evidence(f"{said(one)} at {to_text(one.at)}, now it is {to_text(now)}", one)
                for one in standing.future
            ),
            remedy=(
                "check the date of this machine: deadlines depend on it",
                "switch time synchronisation on, for example `timedatectl set-ntp true`",
            ),
            verify=f"wacoex reminder check {channel}",
        )
    ]


def _remedy(standing: Standing, channel: str) -> tuple[str, ...]:
    steps = [
        "open the WhatsApp Business app on the primary phone and keep it online for a minute",
        f"then say so: `wacoex reminder confirm {channel}`",
    ]
    if standing.stage is Stage.OVERDUE:
        steps.append(
            f"look whether it is still connected: `wacoex status {channel}`;"
            " if not, it has to be connected again"
        )
    if any(one.name == "echo" for one in standing.weaker):
        steps.append(
            "if no companion device is linked, say that too, and later echoes count:"
            f" `wacoex device confirm --channel {channel}`"
        )
    return tuple(steps)


def _not_counted(sign: GradedSign) -> Evidence:
    return _evidence(f"not counted ({sign.grade.value}): {said(sign)}", sign)


def _evidence(text: str, sign: GradedSign) -> Evidence:
    return Evidence(text, sign.source, to_text(sign.at))
