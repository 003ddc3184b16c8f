"""People say stop while a broadcast is planned, sent or paused: nobody is written to after that."""

from __future__ import annotations

import asyncio
import hmac
import json
from pathlib import Path

import httpx
import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Fact
from wacoex_cli.channels.store import Facts
from wacoex_cli.contacts import store
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.platforms import stop_words
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID

SECRET = "app-secret-0123456789"
SALE = {"template": "spring_sale", "parameters": {"first_name": "name"}}


def delivered(shop, *values, field="messages", waba=WABA_ID, number=PHONE_NUMBER_ID):
    """Store what Meta delivers, as `events listen` does, without looking at it."""
    payloads = []
    for value in values:
        change = {"field": field, "value": {"metadata": {"phone_number_id": number}, **value}}
        entry = {"id": waba, "time": int(shop.clock.now().timestamp()), "changes": [change]}
        body = {"object": "whatsapp_business_account", "entry": [entry]}
        raw = json.dumps(body).encode()
        payloads.append(read_payload(Source.META, raw, key=b"k" * 32, received_at=shop.clock.now()))
    with shop.state.transaction():
        EventLog(shop.state).store(payloads, Via.LISTEN, shop.clock.now())


def said(shop, phone, content, **more):
    """A message of a contact, now."""
    moment = str(int(shop.clock.now().timestamp()))
    named = {"id": f"wamid.{phone}.{moment}", "timestamp": moment}
    return {"messages": [{"from": phone.lstrip("+"), **named, **content, **more}]}


def wrote(text):
    return {"type": "text", "text": {"body": text}}


def tapped(text):
    return {"type": "button", "button": {"text": text, "payload": text}}


def held_by(shop):
    """Everything beside the state file: its log, notes of senders, other logs."""
    written = [path for path in Path(shop.state.path).parent.rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in written if path.name not in shop.given)


def webhook(shop, *values):
    """What Meta posts, as one body."""
    changes = [
        {"field": "messages", "value": {"metadata": {"phone_number_id": PHONE_NUMBER_ID}, **value}}
        for value in values
    ]
    entry = {"id": WABA_ID, "time": int(shop.clock.now().timestamp()), "changes": changes}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


class Listening:
    """`events listen` in a process of its own."""

    def __init__(self, shop):
        self.process = shop.start(
            *("-m", "wacoex_cli", "events", "listen", "--port", "0", "--json", "-vv")
        )
        self.url = f"{json.loads(self.process.stdout.readline())['url']}/webhooks/meta"

    async def take(self, body):
        signature = hmac.new(SECRET.encode(), body.encode(), "sha256").hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}"}
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(self.url, content=body, headers=headers)
        assert answer.status_code == 200

    def close(self):
        self.process.terminate()
        return "".join(self.process.communicate())


class Importing:
    """`events import` in a process of its own, for each archive."""

    def __init__(self, shop):
        self.shop = shop
        self.said = ""

    async def take(self, body):
        shop = self.shop
        archive = shop.directory / "archive.jsonl"
        archive.write_text(body)
        shop.given.add(archive.name)
        process = shop.start("-m", "wacoex_cli", "events", "import", archive, "-vv")
        self.said += "".join(await asyncio.to_thread(process.communicate))
        assert process.returncode == 0, self.said

    def close(self):
        return self.said


@pytest.mark.parametrize("way", [Listening, Importing], ids=["listener", "import"])
def test_a_row_that_waits_is_skipped_while_others_are_sent(shop, eventually, way):
    """Stop in each language, by text and by button, comes in through another process."""
    known = stop_words.languages()
    texts = [words[0] for words in known["words"].values()]
    buttons = [words[0] for words in known["buttons"].values()]
    assert min(len(texts), len(buttons)) >= 12
    contents = [*map(wrote, texts), *map(tapped, buttons)]
    people = [shop.phone(row) for row in range(600 - len(contents) + 1, 601)]
    broadcast = shop.planned(600)
    shop.given = {"people.csv"}
    shop.environ["WACOEX_META_APP_SECRET"] = SECRET
    side = way(shop)
    chatter = said(shop, shop.phone(1), wrote("Purple elephants never stop by tomorrow"))
    chatter["contacts"] = [{"wa_id": shop.phone(1)[1:], "profile": {"name": "Anastasia Quux"}}]

    async def say_stop():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        stops = [said(shop, *each) for each in zip(people, contents, strict=True)]
        await side.take(webhook(shop, chatter, *stops))
        # Most rows are still to be sent when these are skipped already.
        await eventually(lambda: shop.counts(broadcast).get("skipped") == len(people))
        assert shop.counts(broadcast)["pending"] > 100

    shop.send(broadcast, during=say_stop, rate=40.0)

    written = held_by(shop) + side.close().encode()
    assert shop.counts(broadcast) == {"accepted": 600 - len(people), "skipped": len(people)}
    assert shop.current(broadcast).skipped == len(people)
    reached = {str(arrival.recipient).lstrip("+") for arrival in shop.world.log.accepted()}
    assert not {phone.lstrip("+") for phone in people} & reached
    # Short words may be in the file by chance.
    long = [text for text in [*texts, *buttons] if len(text.encode()) > 11]
    for text in ["elephant", "Anastasia", *long]:
        assert text.encode() not in written
        assert json.dumps(text).strip('"').encode() not in written


def test_a_stop_button_of_a_marketing_template_lets_other_messages_through(shop, state):
    people = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    sale = shop.planned(people, **SALE)
    shop.send(sale)
    message_id = shop.rows(sale)[1]["message_id"]

    stop = said(shop, shop.phone(1), tapped("Stop"), context={"id": message_id})
    delivered(shop, stop)
    bring_up_to_date(state, shop.clock)

    [found] = store.list_optouts(state)
    assert (found.scope, found.source) == ("marketing", "stop-button")
    opening = shop.planned(people)
    shop.send(opening)
    assert shop.counts(opening) == {"accepted": 1}


def test_a_stop_button_of_any_other_template_stops_everything(shop, state):
    opening = shop.planned(1)
    shop.send(opening)
    message_id = shop.rows(opening)[1]["message_id"]

    delivered(shop, said(shop, shop.phone(1), tapped("Stop"), context={"id": message_id}))
    bring_up_to_date(state, shop.clock)

    assert [found.scope for found in store.list_optouts(state)] == ["all"]


def test_a_stop_said_to_another_business_stops_nothing_here(shop, state):
    broadcast = shop.planned(2)
    other = said(shop, shop.phone(1), wrote("STOP"))
    delivered(shop, other, waba="999", number="998")

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 2}


@pytest.mark.parametrize("portfolio", ["P1", "P2"])
def test_a_stop_applies_to_the_whole_portfolio(shop, state, portfolio):
    details = Details(phone="+6560000099", phone_number_id="998", waba_id="999")
    second = registry.add_channel(state, "second", details, shop.clock.now())
    now = to_text(shop.clock.now())
    with state.transaction():
        for channel, owner in ((shop.channel, "P1"), (second, portfolio)):
            fact = Fact("waba.owner_business_info", {"id": owner, "name": "x"}, "meta", now)
            Facts(state).store(channel.channel_id, [fact])
    broadcast = shop.planned(2)
    delivered(shop, said(shop, shop.phone(1), wrote("STOP")), waba="999", number="998")

    shop.send(broadcast)

    is_same = portfolio == "P1"
    assert shop.counts(broadcast) == ({"accepted": 1, "skipped": 1} if is_same else {"accepted": 2})


def test_the_number_of_a_channel_is_enough_to_know_whose_business_it_is(shop, state):
    """A channel that was added without its account, and a webhook that names only the account."""
    with state.transaction():
        state.execute("UPDATE channels SET waba_id = NULL")
    broadcast = shop.planned(2)
    delivered(shop, said(shop, shop.phone(2), wrote("hello")))
    stop = {"user_preferences": [{"wa_id": shop.phone(1)[1:], "value": "stop"}]}
    delivered(shop, said(shop, shop.phone(1), wrote("STOP")), stop, number=None)

    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 1, "skipped": 1}


def test_a_stop_by_id_reaches_a_planned_row_when_the_pair_comes(shop, state):
    broadcast = shop.planned(2)
    stop = {"user_preferences": [{"user_id": "SG.5", "value": "stop", "timestamp": "1795879000"}]}
    people = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    sale = shop.planned(people, **SALE)
    delivered(shop, stop, field="user_preferences")
    bring_up_to_date(state, shop.clock)
    assert [found.phone for found in store.list_optouts(state)] == ["user_id:SG.5"]

    seen = {"id": "wamid.x", "status": "delivered", "timestamp": "1795879500"}
    pair = {"recipient_id": shop.phone(1)[1:], "recipient_user_id": "SG.5"}
    delivered(shop, {"statuses": [{**seen, **pair}]})
    shop.send(sale)
    shop.send(broadcast)

    assert shop.counts(sale) == {"skipped": 1}
    assert shop.counts(broadcast) == {"accepted": 2}
