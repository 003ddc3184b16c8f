"""Broadcasts of templates that hold more than text."""

from __future__ import annotations

import pytest

from wacoex_cli.sandbox.world import Medium
from wacoex_cli.templates.values import ParameterSource

ROWS = ("phone", "name", "picture")


@pytest.fixture
def pictures(shop):
    number, now = shop.channel.phone_number_id, shop.world.now()
    shop.world.media["42"] = Medium("42", number, "image/jpeg", "0" * 64, 100, now)
    people = [
        (shop.phone(1), "Ana", "https://a.example/1.jpg"),
        (shop.phone(2), "Lim", "id:42"),
        (shop.phone(3), "Eva", ""),
    ]
    return shop.file("people.csv", people, ROWS)


def components(cli):
    shown = cli("broadcast", "send", "--channel", "shop", "--dry-run", "--json")
    return [one["body"]["template"]["components"] for one in shown.data["requests"]]


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
