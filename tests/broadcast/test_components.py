"""Broadcasts of templates that hold more than text."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.uploaded import put_files
from wacoex_cli.broadcast.preflight import check_possible
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.templates.values import ParameterSource

ROWS = ("phone", "name", "picture")


@pytest.fixture
def pictures(shop):
    put_files(shop.world)
    people = [
        (shop.phone(1), "Ana", "https://a.example/1.jpg"),
        (shop.phone(2), "Lim", "id:42"),
        (shop.phone(3), "Eva", ""),
    ]
    return shop.file("people.csv", people, ROWS)


def components(cli):
    shown = cli("broadcast", "send", "--channel", "shop", "--dry-run", "--json")
    return [request["body"]["template"]["components"] for request in shown.data["requests"]]


def image(**value):
    return {"type": "header", "parameters": [{"type": "image", "image": value}]}


def test_a_picture_comes_from_a_column_as_a_link_or_as_an_id_of_meta(shop, cli, pictures):
    broadcast = shop.planned(
        pictures, template="new_menu", parameters={"header": "picture", "1": "name"}
    )

    headers = [parts[0] for parts in components(cli)]
    assert headers == [image(link="https://a.example/1.jpg"), image(id="42")]
    assert shop.counts(broadcast) == {"pending": 2, "skipped": 1}

    shop.send(broadcast)
    assert shop.counts(broadcast) == {"accepted": 2, "skipped": 1}


def test_one_picture_for_all_goes_out_also_after_a_pause(shop, cli, pictures):
    link = "https://a.example/menu.jpg"
    broadcast = shop.planned(
        pictures, template="new_menu", parameters={"1": "name"}, texts={"header": link}
    )

    async def pause():
        cli("broadcast", "pause", broadcast.broadcast_id)

    assert [parts[0] for parts in components(cli)] == [image(link=link)] * 3
    shop.send(broadcast, limit=1)
    shop.resume(broadcast)
    assert shop.counts(broadcast) == {"accepted": 3}


def test_a_fixed_value_is_kept_once_and_makes_the_same_message(shop, pictures):
    link = "https://a.example/menu.jpg"
    name = ParameterSource("1", column="name")
    fixed = shop.planned(
        pictures, template="new_menu", sources=[name, ParameterSource("header", value=link)]
    )

    assert [row["parameters"] for row in shop.rows(fixed).values()] == [
        '["Ana"]',
        '["Lim"]',
        '["Eva"]',
    ]
    shop.send(fixed)
    assert shop.counts(fixed) == {"accepted": 3}
    same = shop.plan(
        pictures, template="new_menu", sources=[name, ParameterSource("header", text=link)]
    )
    said = [fact.text for finding in same.findings for fact in finding.evidence]
    assert any("3 of 3 people already have this message" in text for text in said), said


def test_a_row_whose_value_cannot_be_sent_is_skipped_with_the_reason(shop):
    people = [(shop.phone(1), "1.28"), (shop.phone(2), "north")]
    file = shop.file("people.csv", people, ("phone", "lat"))
    place = {"header.longitude": "103.86", "header.name": "Bakery", "header.address": "1 Bay Rd"}
    broadcast = shop.planned(
        file, template="find_us", parameters={"header.latitude": "lat"}, texts={**place, "1": "Ana"}
    )

    skipped = shop.rows(broadcast)[2]
    assert (skipped["state"], skipped["reason"]) == ("skipped", "bad_parameter")
    assert skipped["detail"] == (
        "header.latitude: the latitude `north` is not a number from -90 to 90"
    )


def test_people_may_get_more_or_fewer_products(shop, world):
    people = [(shop.phone(1), "A-3", "A-4"), (shop.phone(2), "", "A-4"), (shop.phone(3), "", "")]
    file = shop.file("people.csv", people, ("phone", "third", "fourth"))
    shop.send(
        shop.planned(
            file,
            template="product_cards",
            parameters={"card.2.header": "third", "card.3.header": "fourth"},
            texts={"1": "Ana", "catalog": "77", "card.0.header": "A-1", "card.1.header": "A-2"},
        )
    )

    def products(message):
        [_, carousel] = message["template"]["components"]
        assert [card["card_index"] for card in carousel["cards"]] == [
            *range(len(carousel["cards"]))
        ]
        return [
            card["components"][0]["parameters"][0]["product"]["product_retailer_id"]
            for card in carousel["cards"]
        ]

    sent = {person: products(message) for person, _, _, message in world.inbox}
    assert sent == {
        shop.phone(1): ["A-1", "A-2", "A-3", "A-4"],
        shop.phone(2): ["A-1", "A-2", "A-4"],
        shop.phone(3): ["A-1", "A-2"],
    }


def test_a_file_of_values_fills_a_carousel_and_the_preview_shows_all_of_it(shop, cli):
    people = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    cli_options = ("--template", "cake_cards", "--lang", "en_US")
    toml = shop.directory / "values.toml"
    skeleton = cli("template", "skeleton", "cake_cards", "--channel", "shop")
    toml.write_text(skeleton.out.replace('1 = "Ana"', '1 = { column = "name" }'), encoding="utf-8")

    planned = cli("broadcast", "plan", people, *cli_options, "--values", toml)

    assert planned.code == 0, planned.err
    shown = [line.removeprefix("  |").strip() for line in planned.out.splitlines()]
    start = shown.index("Our cakes, Ana:")
    assert shown[start : start + 8] == [
        "Our cakes, Ana:",
        "",
        "-- card 0 --",
        "(IMAGE https://example.com/file.jpg)",
        "Only Ana today.",
        "[Tell me more]",
        "[Order] https://bakery.example/cakes/lemon",
        "",
    ]
    assert "  placeholder card.0.header: text 'https://example.com/file.jpg'" in planned.out
    sent = cli("broadcast", "send", "--channel", "shop", "--yes")
    assert sent.code == 0, sent.err


def test_a_row_whose_offer_ended_meanwhile_is_left_out_with_the_reason(shop):
    """`1` ends before it is sent, `2` later: the first row is kept, and says why."""
    put_files(shop.world)
    ends = [(shop.clock.now() + timedelta(hours=hours)).isoformat() for hours in (1, 100)]
    rows = [(shop.phone(row), "Ana", end) for row, end in enumerate(ends, start=1)]
    texts = {"header": "id:42", "button.0": "NOW", "button.1": "cakes"}
    broadcast = shop.planned(
        shop.file("people.csv", rows, ("phone", "name", "end")),
        template="last_minute",
        parameters={"1": "name", "offer.expires_at": "end"},
        texts=texts,
    )

    shop.clock.leap(7200.0)
    shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 1, "skipped": 1}
    [left_out] = shop.state.rows("SELECT reason, detail FROM recipients WHERE state = 'skipped'")
    assert left_out["reason"] == "offer_over"
    assert left_out["detail"].startswith("the offer ended at 20")
    assert shop.taken_twice() == []


def test_an_offer_that_ended_meanwhile_is_not_sent(shop):
    texts = {
        "header": "https://a.example/1.jpg",
        "1": "Ana",
        "button.0": "SAVE20",
        "button.1": "17",
    }
    broadcast = shop.planned(
        1, template="last_minute", texts={**texts, "offer.expires_at": "2040-01-01 10:00"}
    )
    way: Any = SimpleNamespace(kind=broadcast.provider, base_url=broadcast.api_base_url)

    check_possible(way, shop.channel, broadcast, from_text("2040-01-01T09:59:59.000Z"))
    with pytest.raises(RefusedError, match=r"ended at 2040-01-01T10:00:00\.000Z") as caught:
        check_possible(way, shop.channel, broadcast, from_text("2040-01-01T10:00:00.000Z"))
    assert caught.value.code == "offer_over"


def test_a_mistake_in_a_file_of_values_is_reported_before_the_first_row(shop, cli):
    people = shop.people(1)
    toml = shop.directory / "values.toml"
    toml.write_text('1 = "Ana"\nheader = "menu.jpg"\n', encoding="utf-8")
    options = ("--template", "new_menu", "--lang", "en_US", "--values", toml)

    refused = cli("broadcast", "plan", people, *options)

    assert refused.code == 2
    assert "the file menu.jpg cannot be read" in refused.err


LINK = "https://a.example/files/menu.pdf"
CARRIED: dict[str, dict[str, object]] = {
    "order_ready": {"1": "Ana", "2": "A-1"},
    "spring_sale": {"first_name": "Ana"},
    "appointment": {"header.1": "May", "1": "Ana", "button.0": "17"},
    "opening_hours": {},
    "new_menu": {"1": "Ana", "header": LINK},
    "bakery_film": {"1": "Ana", "header": LINK},
    "price_list": {"1": "Ana", "header": LINK},
    "find_us": {
        "1": "Ana",
        "header.latitude": "1.28",
        "header.longitude": "103.86",
        "header.name": "Bakery",
        "header.address": "1 Bay Rd",
    },
    "catalogue": {"1": "Ana", "button.0": "A-1"},
    "best_sellers": {
        "1": "Ana",
        "button.0": "A-1",
        "products": [{"title": "Cakes", "items": ["A-1"]}],
    },
}
NAMED_BEFORE = {
    "waving_hand": "a header of format GIF",
    "coupon": "a button of type COPY_CODE",
    "last_minute": "a component of type LIMITED_TIME_OFFER",
    "one_cake": "a header of format PRODUCT",
    "book_table": "a button of type FLOW",
    "call_us": "a button of type VOICE_CALL",
    "cake_cards": "a component of type CAROUSEL",
    "product_cards": "a component of type CAROUSEL",
    "login_code": "one-time passwords",
}


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_values_that_respondio_cannot_carry_are_named_before_the_plan(shop, world):
    approved = {
        node.values["name"]
        for node in world.templates(WABA_ID)
        if node.values["status"] == "APPROVED"
    }
    assert approved == CARRIED.keys() | NAMED_BEFORE.keys()
    shop.befriend(1)

    for name, values in CARRIED.items():
        sources = [ParameterSource(key, value=value) for key, value in values.items()]
        broadcast = shop.planned(1, template=name, sources=sources)
        shop.send(broadcast)
        assert len(world.log.accepted()) == list(CARRIED).index(name) + 1, shop.rows(broadcast)[1]
    for name, said in NAMED_BEFORE.items():
        with pytest.raises(UsageError, match=said) as caught:
            shop.planned(1, template=name)
        assert caught.value.code == "template_unsupported"


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("new_menu", {"1": "Ana", "header": "id:12"}, "respond.io takes files by link only"),
        ("spring_sale", {"first_name": "Ana", "button.0": "x"}, "the payload of a reply button"),
    ],
)
def test_a_value_that_respondio_cannot_carry_is_named(shop, name, values, said):
    shop.befriend(1)
    with pytest.raises(UsageError, match=re.escape(said)):
        shop.planned(1, template=name, texts=values)
