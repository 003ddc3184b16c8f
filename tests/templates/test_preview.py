"""A message as a person will read it: every component of every type."""

from __future__ import annotations

from typing import Any

import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.templates.model import Template, placeholders
from wacoex_cli.templates.preview import preview

TEMPLATES = {
    node.values["name"]: Template.from_meta(node.values)
    for node in default_world().templates(WABA_ID)
}
ANA = {"1": "Ana"}
LINK = "https://a.example/a.mp4"


@pytest.mark.parametrize(
    ("name", "values", "read"),
    [
        (
            "bakery_film",
            {**ANA, "header": LINK},
            f"(VIDEO {LINK})\n\nHello Ana, see how we bake.",
        ),
        (
            "price_list",
            {**ANA, "header": "id:7", "header.filename": "Prices.pdf"},
            "(DOCUMENT Prices.pdf id:7)\n\nHello Ana, our prices.",
        ),
        (
            "new_menu",
            {**ANA, "header": "file:" + "ab" * 32},
            "(IMAGE file:abababababab)\n\nHello Ana, here is our new menu.",
        ),
        (
            "find_us",
            {
                **ANA,
                "header.latitude": "1.28",
                "header.longitude": "103.86",
                "header.name": "Bakery",
                "header.address": "1 Bay Rd",
            },
            "(LOCATION Bakery, 1 Bay Rd, 1.28, 103.86)\n\nCome, Ana!",
        ),
        (
            "last_minute",
            {
                **ANA,
                "header": "id:7",
                "offer.expires_at": "2026-12-01T10:00:00.000Z",
                "button.0": "SAVE20",
                "button.1": "17",
            },
            "(IMAGE id:7)\n\n(OFFER Today only!, until 2026-12-01T10:00:00.000Z)\n\n"
            "Cake for Ana at half the price.\n\n"
            "[Copy offer code] SAVE20\n[Change it] https://bakery.example/a/17",
        ),
        (
            "best_sellers",
            {**ANA, "button.0": "A-1", "products": [{"title": "Cakes", "items": ["A-1", "A-2"]}]},
            "Best sellers\n\nThe cakes that people love, Ana.\n\n"
            "[View items] (PRODUCT A-1)\n  Cakes: A-1, A-2",
        ),
        (
            "one_cake",
            {**ANA, "header": "A-1", "catalog": "77"},
            "(PRODUCT A-1)\n\nA cake for you, Ana.\n\n[View]",
        ),
        ("call_us", ANA, "Any question, Ana?\n\n[Call us] +6560000001\n[Call on WhatsApp]"),
        (
            "product_cards",
            {**ANA, "catalog": "77", **{f"card.{card}.header": f"A-{card}" for card in range(3)}},
            "For you, Ana:\n\n-- card 0 --\n(PRODUCT A-0)\n[View]\n\n"
            "-- card 1 --\n(PRODUCT A-1)\n[View]\n\n-- card 2 --\n(PRODUCT A-2)\n[View]",
        ),
    ],
)
def test_every_component_is_shown(name: str, values: dict[str, Any], read: str) -> None:
    assert preview(TEMPLATES[name], values) == read


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_shows_where_its_values_go(template: Template) -> None:
    shown = preview(template, {place.key: f"<{place.key}>" for place in placeholders(template)})
    for place in placeholders(template):
        is_seen = not place.is_optional and place.key != "catalog"
        assert f"<{place.key}>" in shown or not is_seen, place.key


def test_a_file_has_its_name_where_it_is_known() -> None:
    reference = "file:" + "ab" * 32
    values, names = {**ANA, "header": reference}, {reference: "prices-2026.pdf"}
    renamed = {**values, "header.filename": "Prices.pdf"}

    assert preview(TEMPLATES["new_menu"], values, names).startswith("(IMAGE prices-2026.pdf)")
    assert preview(TEMPLATES["price_list"], renamed, names).startswith(
        "(DOCUMENT Prices.pdf prices-2026.pdf)"
    )
