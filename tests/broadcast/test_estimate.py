"""What a plan says it will take: time on each way, the portfolio's limit, new MACs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID

OPTIONS = ("--template", "opening_hours", "--lang", "en_US")
ANOTHER_NUMBER = "99"


@pytest.fixture(autouse=True)
def silence(shop):
    """Nobody has written yet to the pretend respond.io."""
    for contact in shop.world.respondio.contacts.values():
        contact.messages.clear()


@pytest.fixture
def estimate(shop, cli):
    """The estimate of a plan for so many people."""

    def plan(people, *options):
        file = shop.people(people)
        return cli("broadcast", "plan", file, *OPTIONS, *options, "--json").data["estimate"]

    return plan


@pytest.fixture
def respondio(shop):
    """respond.io's API, for a channel that sends through Meta."""
    shop.environ["WACOEX_RESPONDIO_BASE_URL"] = shop.respondio_url
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN
    return shop.world.respondio


def active(shop, phone, kind=Kind.MESSAGE, number=PHONE_NUMBER_ID, days_ago=0):
    """A message or an echo has come in."""
    at = shop.clock.now() - timedelta(days=days_ago)
    key = f"meta:{kind}:{phone}"
    one = Event(
        key=key, kind=kind, source=Source.META, at=to_text(at), phone_number_id=number,
        contact=phone, message_id=phone,
    )  # fmt: skip
    with shop.state.transaction():
        EventLog(shop.state).store([Payload(Source.META, key, 1, "{}", (one,))], Via.LISTEN, at)


def wrote(shop, row, days_ago=0):
    """A contact at respond.io whose message came so many days ago."""
    shop.befriend(row)
    contact = shop.world.respondio.find(f"phone:{shop.phone(row)}")
    at = (shop.clock.now() - timedelta(days=days_ago)).timestamp()
    shop.world.respondio.add_message(contact, {"type": "text", "text": "hi"}, at=at)


def limit_is(shop, tier):
    shop.world.nodes[PHONE_NUMBER_ID].values["whatsapp_business_manager_messaging_limit"] = tier


def test_who_wrote_or_was_written_to_this_month_is_no_new_mac(shop, estimate):
    active(shop, shop.phone(1))
    active(shop, shop.phone(2), Kind.ECHO)
    active(shop, shop.phone(3), days_ago=40)
    active(shop, shop.phone(4), number=ANOTHER_NUMBER)
    told = estimate(5)

    assert told["new_macs"] == 3
    assert told["new_macs_basis"] == {
        "active_by_events": 2,
        "asked_at_respondio": 0,
        "active_by_respondio": 0,
        "not_known": 3,
    }


def test_one_person_under_two_spellings_of_the_number_is_one_mac(shop):
    active(shop, "+5215512345678")
    planned = shop.plan(shop.file("one.csv", [("+525512345678",), (shop.phone(1),)]))

    assert planned.estimate["new_macs"] == 1


def test_the_others_are_looked_up_at_respond_io_where_there_is_a_token(shop, estimate, respondio):
    active(shop, shop.phone(1))
    wrote(shop, 2)
    wrote(shop, 3, days_ago=40)
    told = estimate(4)

    assert told["new_macs"] == 2
    assert told["new_macs_basis"] == {
        "active_by_events": 1,
        "asked_at_respondio": 3,
        "active_by_respondio": 1,
        "not_known": 0,
    }


def test_nobody_is_looked_up_who_is_known(shop, estimate, respondio):
    active(shop, shop.phone(1))
    estimate(1)

    assert respondio.calls["contact/channels"] == 0


def test_a_respond_io_that_fails_leaves_the_estimate_at_most(shop, estimate, respondio):
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = "revoked"
    told = estimate(2)

    assert (told["new_macs"], told["new_macs_basis"]["not_known"]) == (2, 2)


@pytest.mark.parametrize(
    ("tier", "limit", "share", "why"),
    [
        ("TIER_2K", 2_000, 0.005, None),
        ("TIER_UNLIMITED", None, 0.0, "unlimited"),
        ("TIER_OF_NEXT_YEAR", None, None, "Meta says TIER_OF_NEXT_YEAR"),
    ],
)
def test_the_share_of_the_portfolios_limit_is_told(shop, estimate, tier, limit, share, why):
    limit_is(shop, tier)
    shop.send(shop.planned(2))

    assert estimate(10)["limit"] == {
        "messaging_limit": limit,
        "used_in_24_hours": 2,
        "share": share,
        "why": why,
    }


def test_who_was_in_two_broadcasts_uses_up_the_limit_once(shop, estimate):
    for people in (2, 4, 3):
        shop.send(shop.planned(people))
    shop.send(shop.planned(shop.file("other.csv", [(shop.phone(1),), (shop.phone(9),)])))

    assert estimate(1)["limit"]["used_in_24_hours"] == 5


def test_too_many_to_be_looked_up_in_time_are_not_begun_with(shop, estimate, respondio):
    assert estimate(501)["new_macs_basis"]["not_known"] == 501
    assert respondio.calls["contact/channels"] == 0


def test_one_way_is_told_when_one_is_configured(estimate):
    told = estimate(41)
    [way] = told["ways"]

    assert (way["provider"], way["messages_per_second"]) == ("meta", 20.0)
    assert told["seconds"] == way["seconds"] == pytest.approx(2.0, abs=0.1)


def test_each_way_that_is_configured_is_told(cli, estimate, respondio):
    cli("channel", "edit", "shop", "--respondio-channel-id", RESPONDIO_CHANNEL_ID)
    meta, other = estimate(6)["ways"]

    assert (meta["provider"], other["provider"]) == ("meta", "respondio")
    assert other["messages_per_second"] == 5.0
    assert other["seconds"] == pytest.approx(1.0)
    assert other["why"] == "until respond.io says how much it allows"


def test_the_plan_tells_a_person_all_that(shop, cli, respondio):
    limit_is(shop, "TIER_2K")
    cli("channel", "edit", "shop", "--respondio-channel-id", RESPONDIO_CHANNEL_ID)
    wrote(shop, 1)
    said = cli("broadcast", "plan", shop.people(3), *OPTIONS).out

    assert "at 20/s (Meta's limit of a number in Coexistence) it takes 0 s, until 2026-" in said
    assert "through respond.io it would take 0 s at 5/s (until respond.io says" in said
    assert "0.1% of the portfolio's 2000 people in 24 h; 0 were messaged" in said
    assert "  2 new MACs at respond.io: by the events here 0 were active this month, 3" in said


class TestThroughRespondIO:
    @pytest.fixture
    def provider(self):
        return Provider.RESPONDIO

    def test_the_rate_is_the_one_that_respond_io_told_the_last_time(self, shop, estimate):
        shop.befriend(4)
        assert estimate(2)["rate"] == 5.0
        for endpoint in ("contact", "message/send"):
            shop.world.respondio.set_limit(endpoint, 10)
        shop.send(shop.planned(2), rate=20.0)
        way, _ = estimate(4)["ways"]

        assert (way["messages_per_second"], way["why"]) == (10.0, "what respond.io says it allows")

    def test_contacts_to_create_are_new_macs_and_take_their_time(self, shop, cli):
        shop.befriend(1)
        people = [(shop.phone(row),) for row in (1, 901, 902, 903)]
        command = ("broadcast", "plan", shop.file("new.csv", people), *OPTIONS, "--create-contacts")
        data = cli(*command, "--json").data

        assert data["new_contacts"] == 3
        assert data["estimate"]["new_macs"] == 4
        assert data["estimate"]["new_macs_basis"]["asked_at_respondio"] == 1
        assert data["estimate"]["new_macs_basis"]["not_known"] == 0
        assert "contacts to create: 3, each counts as a new MAC" in cli(*command).out
