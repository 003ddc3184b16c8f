"""The countdowns as people, scripts and monitoring systems see them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.findings.model import finding_text
from wacoex_cli.foundation.clock import from_text, local_text, to_text
from wacoex_cli.inactivity.checks import said
from wacoex_cli.terminal.render import ForPerson, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.inactivity.check import ReminderCheck, Watched
    from wacoex_cli.inactivity.confirm import Confirmation
    from wacoex_cli.inactivity.model import GradedSign, Standing

NO_EVIDENCE = (
    "messages through the API, messages of customers and broadcasts do not count as opening the app"
)


def countdown_data(standing: Standing) -> dict[str, Any]:
    """The keys that every command shows about a countdown."""
    counted = standing.counted
    return {
        "stage": standing.stage.value,
        "last_opened_at": standing.last_opened_at,
        "source": counted.source if counted else None,
        "evidence": counted.name if counted else None,
        "grade": standing.grade.value,
        "act_by_at": standing.act_by_at,
        "deadline_at": standing.deadline_at,
        "days_left": standing.days_left,
    }


def check_data(found: ReminderCheck) -> dict[str, Any]:
    """The `data` of `reminder check`."""
    return {
        "channels": [_channel_data(one) for one in found.channels],
        "severity": found.severity.value,
        "last_notify_run_at": found.last_notify_run_at,
        "last_notify_exit_status": found.last_notify_exit_status,
        "findings": [finding.to_json() for finding in found.findings],
    }


def check_text(found: ReminderCheck, now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each channel; for a person also what it rests on, and what was found."""
    columns = ("stage", "channel", "deadline", "left", "grade", "findings")
    yield Table(columns, [_row(one) for one in found.channels])
    for one in found.channels:
        if not one.findings and (one.standing.weaker or len(found.channels) == 1):
            yield ForPerson("\n".join(["", *_evidence_lines(one, now)]))
    of_channels = [finding for one in found.channels for finding in one.findings]
    for finding in [*of_channels, *found.findings]:
        yield ForPerson(f"\n{finding_text(finding, now)}")
    if of_channels:
        yield ForPerson(f"\n{NO_EVIDENCE}")
    if not found.findings:
        yield ForPerson(f"\n{notify_text(found, now)}")


def notify_text(found: ReminderCheck, now: datetime) -> str:
    """When `reminder notify` last ran, and how that ended."""
    if found.last_notify_run_at is None:
        return "`wacoex reminder notify` has never run here"
    status = found.last_notify_exit_status
    ended = "has not ended" if status is None else f"ended with {status}"
    age = relative(from_text(found.last_notify_run_at), now)
    return f"last run of `wacoex reminder notify`: {age}, {ended}"


def confirmed_data(done: Confirmation) -> dict[str, Any]:
    """The `data` of `reminder confirm`."""
    return {
        "channel": done.channel.name,
        "confirmed_at": done.at,
        "confirmed_by": done.said_by,
        "is_new": done.is_new,
        "dry_run": done.dry_run,
        **countdown_data(done.standing),
        **done.connection.to_json(),
    }


def confirmed_text(done: Confirmation, now: datetime) -> Iterator[str]:
    """What was kept, the next deadline in the channel's own zone, and what does not count."""
    now = from_text(to_text(now))  # As exact as what was kept: else 14 days would be 13.
    would = "would be confirmed" if done.dry_run else "confirmed"
    at = local_text(done.at, done.zone)
    yield f"channel {done.channel.name}: {would} by {done.said_by}, the app was open at {at}"
    standing = done.standing
    if standing.counted and standing.counted.at > done.at:
        newer = local_text(standing.counted.at, done.zone)
        yield f"newer evidence decides: {said(standing.counted)}, at {newer}"
    if standing.deadline_at and standing.act_by_at:
        yield f"next deadline: {_with_age(standing.deadline_at, done.zone, now)}"
        yield f"act by: {_with_age(standing.act_by_at, done.zone, now)}"
    yield NO_EVIDENCE


def _with_age(moment: datetime, zone: str, now: datetime) -> str:
    return f"{local_text(moment, zone)} ({relative(moment, now)})"


def _channel_data(one: Watched) -> dict[str, Any]:
    return {
        "channel": one.channel.name,
        "severity": one.severity.value,
        **countdown_data(one.standing),
        "weaker_evidence": [_sign_data(sign) for sign in one.standing.weaker],
        **one.connection.to_json(),
        "timezone": one.zone,
        "findings": [finding.to_json() for finding in one.findings],
    }


def _sign_data(sign: GradedSign) -> dict[str, Any]:
    return {
        "evidence": sign.name,
        "grade": sign.grade.value,
        "at": sign.at,
        "source": sign.source,
    }


def _row(one: Watched) -> tuple[object, ...]:
    standing = one.standing
    deadline = local_text(standing.deadline_at, one.zone) if standing.deadline_at else None
    return (
        one.headline,
        one.channel.name,
        deadline,
        standing.deadline_at,
        standing.grade.value,
        " ".join(dict.fromkeys(finding.id for finding in one.findings)) or None,
    )


def _evidence_lines(one: Watched, now: datetime) -> Iterator[str]:
    """What the countdown of a channel that is well rests on, and what is newer but weaker."""
    counted = one.standing.counted
    signs = [*([counted] if counted else []), *one.standing.weaker]
    for sign in signs:
        told = "counts" if sign is counted else "not counted"
        age = relative(sign.at, now)
        yield f"{one.channel.name}: {said(sign)}, {age} ({sign.grade.value}, {told})"
