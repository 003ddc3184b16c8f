"""How a channel is connected, from what Meta told about its account and its stored facts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.channels.connection import (
    Connection,
    ConnectionState,
    connection_of,
    reconnections,
)
from wacoex_cli.channels.model import (
    AccountEvent,
    Channel,
    EvidenceKind,
    Sign,
    account_events_for,
    by_channel,
)
from wacoex_cli.foundation.clock import to_text

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
SHOP = Channel(phone="+6560000001", phone_number_id="1001", waba_id="20", channel_id=1, name="shop")
DESK = Channel(phone="+6560000002", phone_number_id="1002", waba_id="20", channel_id=2, name="desk")
FAR = Channel(phone="+6560000003", waba_id="30", channel_id=3, name="far")
HEALTHY = {"is_on_biz_app": True, "status": "CONNECTED", "platform_type": "CLOUD_API"}
numbers = itertools.count()


def told(event: str, hours_ago: float = 1, **more: Any) -> AccountEvent:
    at = to_text(NOW - timedelta(hours=hours_ago))
    return AccountEvent(f"key-{next(numbers)}", event, at, **more)


def removed(hours_ago: float = 1, reason: str | None = None) -> AccountEvent:
    return told("PARTNER_REMOVED", hours_ago, reason=reason, initiated_by="SYSTEM")


def offboarded(hours_ago: float = 1) -> AccountEvent:
    return told("ACCOUNT_OFFBOARDED", hours_ago)


def state(*events: AccountEvent, **values: object) -> str | None:
    found = connection_of(SHOP, events, values, NOW).state
    return found.value if found else None


def names(event: AccountEvent) -> list[str]:
    """The channels that are told about an event, asked one by one and all at once."""
    channels = [SHOP, DESK, FAR]
    alone = [one.name for one in channels if account_events_for(one, [event])]
    together = by_channel(channels, [event])
    assert [one.name for one in channels if together[one.channel_id] == (event,)] == alone
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
    assert names(told("PARTNER_REMOVED", **ids)) == concerned


def test_nothing_known_is_no_connection() -> None:
    assert connection_of(SHOP, [], {}, NOW) == Connection()
    assert state(told("VOLUME_BASED_PRICING_TIER_UPDATE")) is None


def test_facts_or_an_event_prove_a_connection() -> None:
    assert state(**HEALTHY) == "connected"
    assert state(told("PARTNER_ADDED", 500)) == "connected"
    assert state(told("ACCOUNT_RECONNECTED", 1), status="DISCONNECTED") == "connected"


def test_facts_that_prove_nothing_are_believed_once_they_cannot_lag() -> None:
    assert state(told("PARTNER_ADDED", 25), status="DISCONNECTED") is None


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
    assert state(loss(2), told(event, 1)) == "connected"
    assert state(loss(1), told(event, 2)) in {"removed", "reconnecting"}


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
def test_whether_whatsapp_is_about_to_bring_it_back(
    events: list[AccountEvent], expected: str
) -> None:
    assert state(*events) == expected


def test_a_reconnecting_channel_tells_the_reason_of_the_removal_beside_it() -> None:
    events = [offboarded(3), removed(2, "USER_RE_REGISTERED")]

    assert connection_of(SHOP, events, {}, NOW).to_json() == {
        "connection": "reconnecting",
        "connection_since": events[0].at,
        "connection_reason": "USER_RE_REGISTERED",
        "connection_initiated_by": "SYSTEM",
    }


def test_an_archived_channel_is_archived_whatever_was_told() -> None:
    away = Channel(phone="+6560000001", archived_at="2026-11-01T00:00:00.000Z")

    assert connection_of(away, [removed()], HEALTHY, NOW) == Connection(
        ConnectionState.ARCHIVED, "2026-11-01T00:00:00.000Z"
    )


HISTORIES = st.lists(
    st.builds(
        lambda event, hours, reason: told(event, hours, reason=reason),
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


def test_lost_and_back_in_the_same_second_is_back() -> None:
    assert state(told("ACCOUNT_RECONNECTED"), offboarded(), removed()) == "connected"


def test_only_a_return_is_evidence_that_the_app_was_open() -> None:
    back = told("ACCOUNT_RECONNECTED", 5)

    found = reconnections(SHOP, [told("PARTNER_ADDED"), back, offboarded()])

    assert found == (
        Sign("channel:1", EvidenceKind.CONNECTED, back.at, "meta", "ACCOUNT_RECONNECTED"),
    )
