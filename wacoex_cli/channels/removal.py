"""Findings about a lost connection: wait, or connect again (WX203, WX204). Pure."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.account import RE_REGISTERED
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection

RETURNS_WITHIN = timedelta(hours=1)
"""WhatsApp usually brings a partner back within minutes (Meta: reconnect offboarded clients)."""

_WHY = {
    "PRIMARY_INACTIVITY": "the app was not opened on the phone for about 14 days",
    "COMPANION_INACTIVITY": "a companion was not used for about 30 days",
    RE_REGISTERED: "the number was registered anew on a phone",
    "CHANGE_NUMBER": "the number of the app was changed",
    "BUSINESS_DOWNGRADE": "the number went to the ordinary WhatsApp app",
    "ACCOUNT_DISCONNECTED": "the account was disconnected or deleted",
}
_FIRST = {
    "PRIMARY_INACTIVITY": ("open the WhatsApp Business app on the phone and leave it online",),
    "COMPANION_INACTIVITY": (
        "open the WhatsApp Business app on the phone, then Settings, Linked devices:"
        " log out what nobody uses",
    ),
    RE_REGISTERED: (
        "look on the phone: WhatsApp Business app, Settings, Account, Business Platform:"
        " is the partner there again?",
    ),
    "CHANGE_NUMBER": ("find out which number the app has now: another number is another channel",),
    "BUSINESS_DOWNGRADE": ("register the number in the WhatsApp Business app again",),
    "ACCOUNT_DISCONNECTED": (
        "look in WhatsApp Manager, Overview, whether the account is restricted, and appeal there",
    ),
}
_LOOK = (
    "look on the phone: WhatsApp Business app, Settings, Account, Business Platform, and ask"
    " who disconnected it"
)


def check_connection(connection: Connection, channel: str, now: datetime) -> list[Finding]:
    """WX203 when the partner was removed, WX204 while WhatsApp is reconnecting it.

    Both are critical: nothing can be sent or received through the API. The remedy follows from
    reason, initiator and age (Meta: account_update; Meta: reconnect offboarded clients).
    """
    if connection.since is None:
        return []
    if connection.state is ConnectionState.RECONNECTING:
        return [_reconnecting(connection, connection.since, channel, now)]
    if connection.state is ConnectionState.REMOVED:
        return [_removed(connection, connection.since, channel, now)]
    return []


def wait_for(lost: Sequence[Finding], findings: Iterable[Finding]) -> list[Finding]:
    """What else was found, without the advice to connect again (WX201) beside a lost connection.

    `lost` is what `check_connection` found: its remedy knows whether to wait.
    """
    steps = tuple(f"first do what {one.id} says" for one in lost)
    return [
        dataclasses.replace(one, remedy=steps) if steps and one.id == "WX201" else one
        for one in findings
    ]


def _reconnecting(connection: Connection, since: str, channel: str, now: datetime) -> Finding:
    until = from_text(since) + RETURNS_WITHIN
    steps = [_wait(until)] if now < until else _after_waiting(channel)
    return Finding(
        id="WX204",
        severity=Severity.CRITICAL,
        channel=channel,
        title="offboarded, WhatsApp is reconnecting it: connect no other partner",
        evidence=(
            Evidence(f"ACCOUNT_OFFBOARDED{_details(connection)}, and no return yet", "meta", since),
        ),
        remedy=(
            *steps,
            "send nothing through the API meanwhile; the app itself works",
        ),
        verify=f"wacoex status {channel}",
    )


def _removed(connection: Connection, since: str, channel: str, now: datetime) -> Finding:
    until = from_text(since) + RETURNS_WITHIN
    why = _WHY.get(connection.reason or "", "")
    return Finding(
        id="WX203",
        severity=Severity.CRITICAL,
        channel=channel,
        title=f"the partner was removed: {why}" if why else "the partner was removed",
        evidence=(Evidence(f"PARTNER_REMOVED{_details(connection)}", "meta", since),),
        remedy=_ways_back(connection, until, channel, now),
        verify=f"wacoex status {channel}",
    )


def _ways_back(
    connection: Connection, until: datetime, channel: str, now: datetime
) -> tuple[str, ...]:
    if now < until and _may_return(connection):
        waiting = (_wait(until),)
        return waiting if connection.reason == RE_REGISTERED else (*waiting, *_again(connection))
    if connection.reason == RE_REGISTERED:
        return tuple(_after_waiting(channel))
    return (*_again(connection), *_new_ids(channel))


def _may_return(connection: Connection) -> bool:
    """Whether WhatsApp may bring the partner back by itself."""
    return connection.reason == RE_REGISTERED or connection.initiated_by != "USER"


def _again(connection: Connection) -> tuple[str, ...]:
    first = _FIRST.get(connection.reason or "", (_LOOK,))
    number = "its number" if connection.reason == "CHANGE_NUMBER" else "the number"
    return (*first, f"then connect {number} again, as a new channel of the partner")


def _after_waiting(channel: str) -> list[str]:
    return [
        *_FIRST[RE_REGISTERED],
        "if the app asks whether to connect the partner again, say yes; connect no other partner"
        " before that: it would end the automatic return",
        "only if nothing is connected there and nothing asks, connect the number again,"
        " as a new channel of the partner",
        *_new_ids(channel),
    ]


def _new_ids(channel: str) -> tuple[str, ...]:
    return (f"give wacoex the new ids: `wacoex channel edit {channel} --waba-id ID`",)


def _wait(until: datetime) -> str:
    return (
        f"wait until {to_text(until)}: WhatsApp usually reconnects by itself within minutes;"
        " connect no other partner meanwhile"
    )


def _details(connection: Connection) -> str:
    reason = f", reason {connection.reason}" if connection.reason else ""
    by = f", initiated by {connection.initiated_by}" if connection.initiated_by else ""
    return reason + by
