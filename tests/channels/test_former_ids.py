"""A number connected again has new ids; what came under the old ones still belongs to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import stored_facts
from wacoex_cli.channels.model import (
    AccountEvent,
    Channel,
    Details,
    EvidenceKind,
    FormerId,
    Sign,
    account_events_for,
    by_channel,
)
from wacoex_cli.channels.store import AccountEvents, Channels, Signs
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State

THEN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CHANGED = THEN + timedelta(days=3)
LATER = CHANGED + timedelta(days=1)
OLD = {"phone_number_id": "1001", "waba_id": "20", "respondio_channel_id": 7}
NEW = {"phone_number_id": "1002", "waba_id": "30", "respondio_channel_id": 8}


@pytest.fixture
def shop(state: State) -> Channel:
    """`shop` with other ids since `CHANGED`."""
    registry.add_channel(state, "shop", Details("+6560000001", **OLD), THEN)  # type: ignore[arg-type]
    return registry.edit_channel(state, "shop", NEW, CHANGED)


def told(at: datetime, **ids: Any) -> AccountEvent:
    return AccountEvent(f"{at} {ids}", "PARTNER_REMOVED", to_text(at), **ids)


def test_an_id_that_another_takes_the_place_of_is_kept(state: State, shop: Channel) -> None:
    until = to_text(CHANGED)

    assert shop.former_ids == (
        FormerId("phone_number_id", "1001", until),
        FormerId("respondio_channel_id", "7", until),
        FormerId("waba_id", "20", until),
    )
    assert Channels(state).all_channels() == [shop]
    assert registry.known(state, "shop") == shop


def test_an_id_that_comes_first_or_stays_or_is_only_taken_away_is_not(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001", phone_number_id="1001"), THEN)
    for changes in ({"waba_id": "20"}, {"waba_id": "20", "owner": "Ana"}, {"waba_id": None}):
        edited = registry.edit_channel(state, "shop", changes, CHANGED)

    assert edited.former_ids == ()


def test_an_id_that_comes_back_is_former_no_more(state: State, shop: Channel) -> None:
    back = registry.edit_channel(state, "shop", OLD, LATER)

    assert {one.value for one in back.former_ids} == {"1002", "30", "8"}


def test_a_dry_run_keeps_nothing(state: State, shop: Channel) -> None:
    registry.edit_channel(state, "shop", OLD, LATER, dry_run=True)

    assert registry.known(state, "shop") == shop


def test_a_slip_that_is_another_channels_id_says_nothing(state: State, shop: Channel) -> None:
    lab = Details("+6560000002", phone_number_id="1001", respondio_channel_id=7)
    registry.add_channel(state, "lab", lab, LATER)

    assert registry.known(state, "shop").former_ids == (
        FormerId("waba_id", "20", to_text(CHANGED)),
    )


@pytest.mark.parametrize(
    ("at", "ids", "concerned"),
    [
        (THEN, {"waba_id": "20"}, True),
        (CHANGED, {"entry_id": "20"}, True),
        (LATER, {"waba_id": "20"}, False),
        (LATER, {"waba_id": "30"}, True),
        (THEN, {"phone_number_id": "1001", "waba_id": "20"}, True),
        (LATER, {"phone_number_id": "1001"}, False),
        (LATER, {"phone_number_id": "1002"}, True),
        (THEN, {"waba_id": "77"}, False),
    ],
    ids=str,
)
def test_an_account_event_counts_while_the_id_was_the_channels(
    shop: Channel, at: datetime, ids: dict[str, Any], concerned: bool
) -> None:
    event = told(at, **ids)

    assert bool(account_events_for(shop, [event])) is concerned
    assert bool(by_channel([shop], [event])[shop.channel_id]) is concerned


def test_a_removal_of_the_old_account_is_remembered_and_a_later_one_is_not_ours(
    state: State, shop: Channel
) -> None:
    def connection(*events: AccountEvent) -> str | None:
        with state.transaction():
            AccountEvents(state).add(events)
        found = stored_facts(state, [shop], LATER)[shop.channel_id].connection.state
        return found.value if found else None

    assert connection(told(LATER, waba_id="20")) is None
    assert connection(told(THEN, waba_id="20")) == "removed"


@pytest.mark.parametrize(
    "address", ["phone_number_id:1001", "respondio_channel_id:7", "phone_number_id:1002"]
)
def test_evidence_under_an_old_id_still_counts(state: State, shop: Channel, address: str) -> None:
    with state.transaction():
        Signs(state).add([Sign(address, EvidenceKind.ECHO, to_text(THEN), "meta")])

    addresses = Signs(state).addresses_for(shop)
    newest = Signs(state).newest(addresses, EvidenceKind.ECHO, until=to_text(LATER))

    assert newest is not None
    assert len(addresses) == len(set(addresses))


def test_show_tells_the_former_ids(run) -> None:
    run("channel", "add", "shop", "--phone", "+6560000001", "--waba-id", "20")
    run("channel", "edit", "shop", "--waba-id", "30")

    [former] = run("channel", "show", "shop", "--json").data["former_ids"]

    assert (former["name"], former["value"]) == ("waba_id", "20")
    assert f"former waba_id\t20 until {former['until']}\n" in run("channel", "show", "shop").out


def test_events_of_the_old_account_are_listed_with_the_channel(run, state: State) -> None:
    env = {"WACOEX_STATE": str(state.path)}
    body = (
        '{"object": "whatsapp_business_account", "entry": [{"id": "20", "time": 1793000000,'
        ' "changes": [{"field": "message_template_status_update", "value":'
        ' {"event": "APPROVED", "message_template_id": 1, "message_template_name": "offer",'
        ' "message_template_language": "en"}}]}]}'
    )
    run("channel", "add", "shop", "--phone", "+6560000001", "--waba-id", "20", env=env)
    run("events", "import", "-", stdin=body, env=env)
    run("channel", "edit", "shop", "--waba-id", "30", env=env)

    def listed(channel: str) -> list[str | None]:
        events = run("events", "list", "-c", channel, "--json", env=env).data["events"]
        return [one["channel"] for one in events]

    assert listed("shop") == ["shop"]

    run("channel", "add", "lab", "--phone", "+6560000002", "--waba-id", "20", env=env)

    assert listed("lab") == ["lab"]


def test_an_archived_channel_is_hidden_kept_and_comes_back_whole(
    state: State, shop: Channel
) -> None:
    put_away = registry.archive_channel(state, "shop", LATER)
    assert put_away.former_ids == shop.former_ids

    assert registry.restore_channel(state, "shop") == shop
