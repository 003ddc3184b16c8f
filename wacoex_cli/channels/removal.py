"""Findings about a lost connection: wait, or connect again (WX203, WX204). Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.account import RE_REGISTERED
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection

RETURNS_WITHIN = timedelta(hours=1)
"""WhatsApp usually brings a partner back within minutes (Meta: reconnect offboarded clients)."""


def check_connection(connection: Connection, channel: str, now: datetime) -> list[Finding]:
    """WX203 when the partner was removed, WX204 while WhatsApp is reconnecting it.

    Both are critical: nothing can be sent or received through the API. The remedy follows from
    reason, initiator and age (Meta: account_update; Meta: reconnect offboarded clients).
    """
    if connection.since is None or not connection.is_lost:
        return []
    until = from_text(connection.since) + RETURNS_WITHIN
    reason, by = connection.reason or "", connection.initiated_by
    details = (f", reason {reason}" if reason else "") + (f", initiated by {by}" if by else "")
    if connection.state is ConnectionState.RECONNECTING:
        said = f"ACCOUNT_OFFBOARDED{details}, and no return yet"
        evidence = Evidence(said, "meta", connection.since)
        return [
            Finding(
                "WX204",
                Severity.CRITICAL,
                channel,
                evidence,
                is_waiting=now < until,
                until=to_text(until),
            )
        ]
    may_return = reason == RE_REGISTERED or by != "USER"
    return [
        Finding(
            "WX203",
            Severity.CRITICAL,
            channel,
            Evidence(f"PARTNER_REMOVED{details}", "meta", connection.since),
            case=reason if reason in wording("WX203").cases else "",
            is_waiting=may_return and now < until,
            until=to_text(until),
        )
    ]


def wait_for(lost: Sequence[Finding], findings: Iterable[Finding]) -> list[Finding]:
    """What else was found, without the advice to connect again (WX201) beside a lost connection.

    `lost` is what `check_connection` found: its remedy knows whether to wait.
    """
    steps = tuple(f"first do what {one.id} says" for one in lost)
    return [
        found.replace(remedy=steps) if steps and found.id == "WX201" else found
        for found in findings
    ]
