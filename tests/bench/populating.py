"""What `connect`, `doctor` and broadcasts leave of every channel: facts, companions, broadcasts.

    python -m tests.bench.populating STATE

The facts are those that `doctor` keeps of a number, its account and its token in the sandbox.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wacoex_cli.channels.model import (
    META,
    PHONE_NUMBER_FIELDS,
    SUBSCRIBED_APPS,
    TOKEN_FIELDS,
    TOKEN_PREFIX,
    VISIBLE,
    WABA_FIELDS,
    WABA_PREFIX,
    WABA_VISIBLE,
    AccountEvent,
    Channel,
    EvidenceKind,
    Fact,
    Sighting,
    Sign,
    channel_address,
    from_node,
)
from wacoex_cli.channels.store import AccountEvents, Channels, Facts, Signs
from wacoex_cli.devices.model import Device, DeviceKind, ListConfirmation
from wacoex_cli.devices.store import Devices
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.world import APP_ID, PHONE_NUMBER_ID, WABA_ID, World
from wacoex_cli.templates.model import Template

_CALLER = "0123456789abcdef" * 4
_COMPANIONS = (DeviceKind.WEB, DeviceKind.DESKTOP_MAC)
_CONNECTED_DAYS_AGO = 60
_BROADCASTS = 3
_RECIPIENTS = 10
# Of each hundredth row nobody knows whether it went out; others did not get it.
_STATES = {17: ("ambiguous", None), 42: ("rejected", 131049), 71: ("failed", 131026)}


def populate(state: State, now: datetime) -> None:
    """Give every channel what a channel in use has beside its events."""
    world, template = default_world(onboarded_days_ago=_CONNECTED_DAYS_AGO), _template()
    with state.transaction():
        for channel in Channels(state).all_active():
            Facts(state).store(channel.channel_id, _facts(world, channel, now))
            _add_evidence(state, channel, now)
            _add_companions(Devices(state), channel, now)
            for place in range(_BROADCASTS):
                _add_broadcast(state, channel, template, now - timedelta(days=7 * place, hours=5))


def _facts(world: World, channel: Channel, now: datetime) -> Iterator[Fact]:
    at = to_text(now - timedelta(hours=5))
    number = world.nodes[PHONE_NUMBER_ID].values | {"display_phone_number": channel.phone}
    number["health_status"] = {"can_send_message": "AVAILABLE", **number["health_status"]}
    apps = [
        {key: app["whatsapp_business_api_data"][key] for key in ("id", "name")}
        for app in world.subscribed_apps[WABA_ID]
    ]
    account = world.nodes[WABA_ID].values
    token = {
        "is_valid": True,
        "type": "SYSTEM_USER",
        "app_id": APP_ID,
        "expires_at": "never",
        "data_access_expires_at": "never",
        "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
    }
    yield from from_node("", PHONE_NUMBER_FIELDS, number, {}, at)
    yield from from_node(WABA_PREFIX, WABA_FIELDS, account, {}, at)
    yield Fact(f"{WABA_PREFIX}{SUBSCRIBED_APPS}", apps, META, at)
    yield from from_node(TOKEN_PREFIX, TOKEN_FIELDS, token, {}, at)
    yield Sighting(channel.demand_phone_number_id(), _CALLER, at).to_fact(VISIBLE)
    yield Sighting(channel.demand_waba_id(), _CALLER, at).to_fact(WABA_VISIBLE)


def _add_evidence(state: State, channel: Channel, now: datetime) -> None:
    key = channel.channel_id
    connected_at = to_text(now - timedelta(days=_CONNECTED_DAYS_AGO))
    event = AccountEvent(f"bench:{key}", "PARTNER_ADDED", connected_at, phone=channel.phone)
    AccountEvents(state).add([event])
    opened_at = to_text(now - timedelta(hours=key % 350))
    address = channel_address(key)
    Signs(state).add([Sign(address, EvidenceKind.CONFIRMED, opened_at, "person", "Ana")])


def _add_companions(devices: Devices, channel: Channel, now: datetime) -> None:
    key = channel.channel_id
    for place, kind in enumerate(_COMPANIONS):
        linked_at = to_text(now - timedelta(days=40 - place))
        used_at = to_text(now - timedelta(hours=key % 700))
        devices.insert(Device(0, key, kind, f"till {place}", linked_at, last_used_at=used_at))
    confirmed_at = to_text(now - timedelta(days=20))
    last = devices.highest_device_id()
    devices.add_confirmation(key, ListConfirmation(confirmed_at, "Ana", len(_COMPANIONS), last))


def _template() -> str:
    body = {"type": "BODY", "text": "We are open from 8 to 18 every day."}
    words = ("opening_hours", "en_US", "APPROVED", "UTILITY", "POSITIONAL")
    return json.dumps(Template(*words, components=(body,), template_id="55").to_json())


def _add_broadcast(state: State, channel: Channel, template: str, at: datetime) -> None:
    broadcasts = Broadcasts(state)
    number = broadcasts.start_draft(
        now=at,
        channel_id=channel.channel_id,
        template=template,
        parameter_sources="[]",
        recipients_file="-",
        recipients=_RECIPIENTS,
        api_base_url="https://graph.facebook.com",
        rate=20,
    )
    broadcasts.end_run(broadcasts.start_run(number, "bench", 20, at), "completed")
    broadcasts.finish(number, Status.COMPLETED, at + timedelta(minutes=1), None)
    moment = to_text(at)
    state.execute_many(
        "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, code, attempts,"
        " claimed_at, answered_at) VALUES (?, ?, ?, ?, '[]', ?, ?, 1, ?, ?)",
        [
            (
                *(number, row, row, f"+6592{row:06}"),
                *_STATES.get((number + 31 * row) % 100, ("accepted", None)),
                *(moment, moment),
            )
            for row in range(_RECIPIENTS)
        ],
    )


if __name__ == "__main__":
    with contextlib.closing(open_state(Path(sys.argv[1]))) as opened:
        populate(opened, datetime.now(UTC))
