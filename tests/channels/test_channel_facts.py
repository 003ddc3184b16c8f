"""How a channel is connected, and what follows from it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.checks import check_connection
from wacoex_cli.channels.facts import Connection, ConnectionState, connection_of, reconnections
from wacoex_cli.channels.model import (
    AccountEvent,
    Channel,
    EvidenceKind,
    Sign,
    by_channel,
    concerns,
)
from wacoex_cli.findings.model import Finding, Severity
from wacoex_cli.foundation.clock import to_text

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SHOP = Channel(phone="+6560000001", phone_number_id="1001", waba_id="20", channel_id=1, name="shop")
DESK = Channel(phone="+6560000002", phone_number_id="1002", waba_id="20", channel_id=2, name="desk")
FAR = Channel(phone="+6560000003", waba_id="30", channel_id=3, name="far")
HEALTHY = {"is_on_biz_app": True, "status": "CONNECTED", "platform_type": "CLOUD_API"}
numbers = itertools.count()


def reported(event: str, hours_ago: float = 1, **more: Any) -> AccountEvent:
    at = to_text(NOW - timedelta(hours=hours_ago))
    return AccountEvent(f"key-{next(numbers)}", event, at, **more)


def removed(hours_ago: float = 1, reason: str | None = None) -> AccountEvent:
    return reported("PARTNER_REMOVED", hours_ago, reason=reason, initiated_by="SYSTEM")


def offboarded(hours_ago: float = 1) -> AccountEvent:
    return reported("ACCOUNT_OFFBOARDED", hours_ago)


def state(*events: AccountEvent, **values: object) -> str | None:
    found = connection_of(SHOP, events, values, NOW).state
    return found.value if found else None


def names(event: AccountEvent) -> list[str]:
    """The channels that an event reaches, looked up one by one and all at once."""
    channels = [SHOP, DESK, FAR]
    alone = [channel.name for channel in channels if concerns(channel, event)]
    together = by_channel(channels, [event])
    assert [
        channel.name for channel in channels if together[channel.channel_id] == (event,)
    ] == alone
    return alone


@pytest.mark.parametrize(
    ("ids", "concerned"),
    [
        ({"waba_id": "20", "phone": "+6560000001", "entry_id": "99"}, ["shop"]),
        ({"waba_id": "20", "entry_id": "99"}, ["shop", "desk"]),
        ({"phone": "+6560000002", "entry_id": "20"}, ["desk"]),
        ({"entry_id": "20"}, ["shop", "desk"]),
        ({"entry_id": "30"}, ["far"]),
        ({"waba_id": "77", "entry_id": "20"}, []),
        ({"waba_id": "20", "phone": "+6569999999"}, []),
        ({"waba_id": "77", "phone": "+6560000001"}, ["shop"]),
        ({"phone_number_id": "1002", "waba_id": "20"}, ["desk"]),
        ({}, []),
    ],
    ids=str,
)
def test_an_account_event_reaches_the_number_it_names_else_its_whole_account(
    ids: dict[str, Any], concerned: list[str]
) -> None:
    assert names(reported("PARTNER_REMOVED", **ids)) == concerned


def test_without_facts_there_is_no_connection() -> None:
    assert connection_of(SHOP, [], {}, NOW) == Connection()
    assert state(reported("VOLUME_BASED_PRICING_TIER_UPDATE")) is None


def test_facts_or_an_event_prove_a_connection() -> None:
    assert state(**HEALTHY) == "connected"
    assert state(reported("PARTNER_ADDED", 500)) == "connected"
    assert state(reported("ACCOUNT_RECONNECTED", 1), status="DISCONNECTED") == "connected"


def test_facts_without_proof_count_once_they_cannot_be_late() -> None:
    assert state(reported("PARTNER_ADDED", 25), status="DISCONNECTED") is None


def test_a_number_settles_for_a_day_after_it_was_connected() -> None:
    onboarded = to_text(NOW - timedelta(hours=23))

    assert state(last_onboarded_time=onboarded) == "settling"
    assert state(last_onboarded_time=to_text(NOW - timedelta(hours=24)), **HEALTHY) == "connected"


def test_a_removal_outlives_facts_that_still_look_well() -> None:
    event = removed(2, "PRIMARY_INACTIVITY")

    assert connection_of(SHOP, [event], HEALTHY, NOW) == Connection(
        ConnectionState.REMOVED, event.at, "PRIMARY_INACTIVITY", "SYSTEM"
    )


@pytest.mark.parametrize("event", ["PARTNER_ADDED", "ACCOUNT_RECONNECTED"])
@pytest.mark.parametrize("loss", [removed, offboarded])
def test_a_later_connection_ends_a_loss_and_an_earlier_one_does_not(event: str, loss) -> None:
    assert state(loss(2), reported(event, 1)) == "connected"
    assert state(loss(1), reported(event, 2)) in {"removed", "reconnecting"}


def test_a_newer_onboarding_ends_a_removal() -> None:
    onboarded = to_text(NOW - timedelta(hours=3))

    assert state(removed(5), last_onboarded_time=onboarded) == "settling"
    assert state(removed(2), last_onboarded_time=onboarded) == "removed"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([offboarded(3)], "reconnecting"),
        ([offboarded(3), removed(2, "USER_RE_REGISTERED")], "reconnecting"),
        ([removed(4, "USER_RE_REGISTERED"), offboarded(3)], "reconnecting"),
        ([offboarded(3), removed(2, "PRIMARY_INACTIVITY")], "removed"),
        ([offboarded(3), removed(2, None)], "reconnecting"),
        ([removed(4, "PRIMARY_INACTIVITY"), offboarded(3)], "reconnecting"),
        ([removed(2, "USER_RE_REGISTERED")], "removed"),
    ],
    ids=[
        "offboarded",
        "offboarded, then removed by a registration",
        "removed by a registration, then offboarded",
        "offboarded, then removed for good",
        "offboarded, then removed without a reason",
        "offboarded after a removal",
        "removed by a registration",
    ],
)
def test_the_events_decide_whether_a_removed_channel_is_reconnecting(
    events: list[AccountEvent], expected: str
) -> None:
    assert state(*events) == expected


def test_a_reconnecting_channel_also_shows_the_reason_of_the_removal() -> None:
    events = [offboarded(3), removed(2, "USER_RE_REGISTERED")]

    assert connection_of(SHOP, events, {}, NOW).to_json() == {
        "connection": "reconnecting",
        "connection_since": events[0].at,
        "connection_reason": "USER_RE_REGISTERED",
        "connection_initiated_by": "SYSTEM",
    }


def test_an_archived_channel_stays_archived_after_any_event() -> None:
    away = Channel(phone="+6560000001", archived_at="2026-11-01T00:00:00.000Z")

    assert connection_of(away, [removed()], HEALTHY, NOW) == Connection(
        ConnectionState.ARCHIVED, "2026-11-01T00:00:00.000Z"
    )


HISTORIES = st.lists(
    st.builds(
        lambda event, hours, reason: reported(event, hours, reason=reason),
        st.sampled_from(
            ["PARTNER_ADDED", "PARTNER_REMOVED", "ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"]
        ),
        st.integers(1, 4),
        st.sampled_from([None, "USER_RE_REGISTERED", "PRIMARY_INACTIVITY"]),
    ),
    max_size=6,
)


@given(events=HISTORIES, random=st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_decides_not_even_in_the_same_moment(
    events: list[AccountEvent], random
) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)

    assert connection_of(SHOP, shuffled, {}, NOW) == connection_of(SHOP, events, {}, NOW)


def test_a_loss_and_a_return_in_the_same_second_mean_connected() -> None:
    assert state(reported("ACCOUNT_RECONNECTED"), offboarded(), removed()) == "connected"


def test_only_a_return_is_evidence_that_the_app_was_open() -> None:
    back = reported("ACCOUNT_RECONNECTED", 5)

    found = reconnections(SHOP, [reported("PARTNER_ADDED"), back, offboarded()])

    assert found == (
        Sign("channel:1", EvidenceKind.CONNECTED, back.at, "meta", "ACCOUNT_RECONNECTED"),
    )


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
def test_a_channel_that_was_not_lost_causes_no_finding(state: ConnectionState | None) -> None:
    assert check_connection(Connection(state, to_text(NOW)), "shop", NOW) == []
    assert check_connection(Connection(), "shop", NOW) == []


def test_while_whatsapp_reconnects_the_remedy_is_to_wait() -> None:
    found = lost(YOUNG, state=ConnectionState.RECONNECTING)

    assert (found.id, found.severity) == ("WX204", Severity.CRITICAL)
    assert WAIT in advice(found)
    assert "connect no other partner" in advice(found)
    assert AGAIN not in advice(found)


def test_after_an_hour_the_remedy_is_to_look_at_the_phone() -> None:
    found = lost(OLD, state=ConnectionState.RECONNECTING)

    assert "wait until" not in advice(found)
    assert found.remedy[0].startswith("look on the phone")
    assert "connect no other partner" in advice(found)


def test_after_a_registration_the_remedy_is_to_wait_and_not_to_connect_again() -> None:
    young, old = lost(YOUNG, "USER_RE_REGISTERED", "USER"), lost(OLD, "USER_RE_REGISTERED", "USER")

    assert young.remedy == (
        f"{WAIT}: WhatsApp usually reconnects by itself within minutes;"
        " connect no other partner meanwhile, and look then: `wacoex status shop`",
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
def test_a_recent_loss_that_no_person_caused_is_waited_out_first(
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
