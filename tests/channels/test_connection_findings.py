"""WX203 and WX204: wait, or connect again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.connection import Connection, ConnectionState
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
YOUNG, OLD = timedelta(minutes=10), timedelta(hours=5)
WAIT = "wait until 2026-11-07T12:50:00.000Z"
AGAIN = "as a new channel of the partner"


def lost(
    age: timedelta,
    reason: str | None = None,
    by: str | None = None,
    state: ConnectionState = ConnectionState.REMOVED,
) -> Finding:
    [found] = check_connection(Connection(state, to_text(NOW - age), reason, by), "shop", NOW)
    return found


def advice(found: Finding) -> str:
    return " / ".join(found.remedy)


@pytest.mark.parametrize(
    "state", [None, ConnectionState.CONNECTED, ConnectionState.SETTLING, ConnectionState.ARCHIVED]
)
def test_a_channel_that_was_not_lost_is_no_finding(state: ConnectionState | None) -> None:
    assert check_connection(Connection(state, to_text(NOW)), "shop", NOW) == []
    assert check_connection(Connection(), "shop", NOW) == []


def test_while_whatsapp_reconnects_nobody_else_is_to_be_connected() -> None:
    found = lost(YOUNG, state=ConnectionState.RECONNECTING)

    assert (found.id, found.severity) == ("WX204", Severity.CRITICAL)
    assert WAIT in advice(found)
    assert "connect no other partner" in advice(found)
    assert AGAIN not in advice(found)


def test_when_it_takes_longer_than_an_hour_the_phone_is_to_be_looked_at() -> None:
    found = lost(OLD, state=ConnectionState.RECONNECTING)

    assert "wait until" not in advice(found)
    assert found.remedy[0].startswith("look on the phone")
    assert "connect no other partner" in advice(found)


def test_after_a_registration_one_waits_and_does_not_connect_anew() -> None:
    young, old = lost(YOUNG, "USER_RE_REGISTERED", "USER"), lost(OLD, "USER_RE_REGISTERED", "USER")

    assert young.remedy == (
        f"{WAIT}: WhatsApp usually reconnects by itself within minutes;"
        " connect no other partner meanwhile",
    )
    assert old.remedy[0].startswith("look on the phone")
    assert "only if nothing is connected there" in advice(old)


@pytest.mark.parametrize(
    ("reason", "by", "age", "waits"),
    [
        ("PRIMARY_INACTIVITY", "SYSTEM", YOUNG, True),
        ("PRIMARY_INACTIVITY", "SYSTEM", OLD, False),
        ("ACCOUNT_DISCONNECTED", "USER", YOUNG, False),
        (None, None, YOUNG, True),
        (None, None, OLD, False),
        (None, "USER", YOUNG, False),
    ],
)
def test_nobody_is_advised_to_reconnect_at_once_unless_a_person_removed_it(
    reason: str | None, by: str | None, age: timedelta, waits: bool
) -> None:
    found = lost(age, reason, by)

    assert (found.id, found.severity) == ("WX203", Severity.CRITICAL)
    assert (WAIT in advice(found)) is waits
    assert AGAIN in advice(found)


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        ("PRIMARY_INACTIVITY", "open the WhatsApp Business app on the phone"),
        ("COMPANION_INACTIVITY", "Linked devices"),
        ("CHANGE_NUMBER", "which number the app has now"),
        ("BUSINESS_DOWNGRADE", "register the number in the WhatsApp Business app again"),
        ("ACCOUNT_DISCONNECTED", "WhatsApp Manager"),
        (None, "ask who disconnected it"),
        ("A_REASON_OF_TOMORROW", "ask who disconnected it"),
    ],
)
def test_the_first_step_follows_from_the_reason(reason: str | None, first: str) -> None:
    found = lost(OLD, reason, "SYSTEM")

    assert first in found.remedy[0]
    assert "wacoex channel edit shop --waba-id ID" in found.remedy[-1]


def test_the_evidence_names_reason_and_initiator_and_when() -> None:
    found = lost(OLD, "CHANGE_NUMBER", "USER")

    [evidence] = found.evidence
    assert evidence.text == "PARTNER_REMOVED, reason CHANGE_NUMBER, initiated by USER"
    assert (evidence.source, evidence.observed_at) == ("meta", "2026-11-07T07:00:00.000Z")
    assert found.title == "the partner was removed: the number of the app was changed"
    assert lost(OLD).title == "the partner was removed"
