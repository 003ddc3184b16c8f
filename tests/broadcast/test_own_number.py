"""Meta names our own number in its own spelling: an event about it is about that channel alone.

Brazil without the ninth digit, Argentina without the 9, Mexico with the 1 it has no more.
"""

from __future__ import annotations

import json

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.events.store import EventLog
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload
from wacoex_cli.sandbox.world import SECOND_PHONE_NUMBER_ID, WABA_ID

SPELT = {
    "Brazil": ("+5531988888888", "553188888888"),
    "Brazil, entered without": ("+553188888888", "5531988888888"),
    "Argentina": ("+5491123456789", "541123456789"),
    "Mexico": ("+525512345678", "5215512345678"),
}
REMOVED = {"disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}}
RESTRICTED = {
    "restriction_info": [
        {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1_900_000_000}
    ]
}
BANNED = {"ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "2026-11-28"}}


def entry_of(shop, value, field="account_update"):
    """A webhook as Meta delivers it, of a moment after the run began."""
    change = {"field": field, "value": value}
    moment = int(shop.clock.now().timestamp()) + 60
    entry = {"id": WABA_ID, "time": moment, "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def delivered(shop, body):
    """Store what Meta delivers, as `events listen` does, without looking at it."""
    now = shop.clock.now()
    payload = read_payload(Source.META, body.encode(), key=b"k" * 32, received_at=now)
    with shop.state.transaction():
        EventLog(shop.state).store([payload], Via.LISTEN, now)


def has_number(shop, phone):
    """Let the shop's channel have that number; the sandbox goes by its id."""
    shop.channel = registry.edit_channel(shop.state, "shop", {"phone": phone}, shop.clock.now())


@pytest.mark.parametrize(
    ("phone", "named", "event"),
    [(*of, "PARTNER_REMOVED") for of in SPELT.values()]
    + [(*SPELT["Brazil"], "ACCOUNT_OFFBOARDED")],
)
def test_a_loss_of_the_own_number_pauses_what_is_being_sent(
    shop, cli, eventually, phone, named, event
):
    has_number(shop, phone)
    broadcast = shop.planned(400)
    owner = {"waba_info": {"waba_id": WABA_ID, "owner_business_id": "2729063490586005"}}
    value = {"event": event, "phone_number": named, **owner, **REMOVED}

    async def lose():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        delivered(shop, entry_of(shop, value))

    sent = shop.send(broadcast, during=lose, rate=60.0)

    assert sent.broadcast.status is Status.PAUSED
    assert f"Meta says {event}" in sent.broadcast.reason
    assert sent.counts.open > 0
    finding = "WX203" if event == "PARTNER_REMOVED" else "WX204"
    [channel] = cli("status", "--offline", "--json").data["channels"]
    assert finding in [found["id"] for found in channel["findings"]]


@pytest.fixture
def sending(shop):
    """Two channels of one account, each with a broadcast that is being sent."""
    has_number(shop, "+5531988888888")
    first = shop.planned(1)
    details = Details("+5491123456789", SECOND_PHONE_NUMBER_ID, WABA_ID)
    own, shop.channel = (
        shop.channel,
        registry.add_channel(shop.state, "second", details, shop.clock.now()),
    )
    second = shop.planned(1)
    shop.channel = own
    with shop.state.transaction():
        for broadcast in (first, second):
            Broadcasts(shop.state).set_status(broadcast.broadcast_id, Status.SENDING)
    return first, second


OF_ONE = {
    "removed": ("account_update", {"event": "PARTNER_REMOVED", **REMOVED}),
    "offboarded": ("account_update", {"event": "ACCOUNT_OFFBOARDED"}),
    "restricted": ("account_update", {"event": "ACCOUNT_RESTRICTION", **RESTRICTED}),
    "disabled": ("account_update", {"event": "DISABLED_UPDATE", **BANNED}),
    "flagged": ("phone_number_quality_update", {"event": "FLAGGED"}),
}


@pytest.mark.parametrize(("field", "value"), OF_ONE.values(), ids=OF_ONE)
@pytest.mark.parametrize(
    ("named", "paused"), [("553188888888", 0), ("541123456789", 1), ("+55 31 8888-8888", 0)]
)
def test_an_event_about_one_number_pauses_only_that_channel(
    shop, cli, sending, field, value, named, paused
):
    key = "display_phone_number" if field == "phone_number_quality_update" else "phone_number"
    body = entry_of(shop, {**value, key: named}, field)
    assert cli("events", "import", "-", stdin=body).code == 0

    states = [shop.current(broadcast).status for broadcast in sending]
    assert states[paused] is Status.PAUSED
    assert states[1 - paused] is Status.SENDING


@pytest.mark.parametrize("name", ["disabled", "restricted"])
def test_an_event_about_the_account_pauses_all_its_channels(shop, cli, sending, name):
    field, value = OF_ONE[name]
    assert cli("events", "import", "-", stdin=entry_of(shop, value, field)).code == 0

    assert [shop.current(it).status for it in sending] == [Status.PAUSED, Status.PAUSED]


def test_a_number_with_the_same_ending_is_another_number(shop, cli, sending):
    value = {"event": "PARTNER_REMOVED", "phone_number": "551188888888", **REMOVED}
    assert cli("events", "import", "-", stdin=entry_of(shop, value)).code == 0

    assert [shop.current(it).status for it in sending] == [Status.SENDING, Status.SENDING]
