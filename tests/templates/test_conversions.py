"""The values of a message other than plain text: what is taken, and what is refused with why."""

from __future__ import annotations

import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.templates.conversions import conversions, settle
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.values import ParameterSource, fill

NOW = from_text("2026-11-29T07:00:00.000Z")
TEMPLATES = {
    node.values["name"]: Template.from_meta(node.values)
    for node in default_world().templates(WABA_ID)
}


def converted(name: str, key: str, value: str, provider: Provider = Provider.META) -> str:
    return conversions(TEMPLATES[name], provider, "Asia/Singapore", NOW)[key](value)


@pytest.mark.parametrize(
    ("name", "key", "value", "sent"),
    [
        ("new_menu", "header", "https://a.example/1.jpg", "https://a.example/1.jpg"),
        ("new_menu", "header", "id:12", "id:12"),
        ("find_us", "header.latitude", "1,3521", "1.3521"),
        ("find_us", "header.longitude", "-103.85", "-103.85"),
        ("last_minute", "offer.expires_at", "2026-12-01 18:00", "2026-12-01T10:00:00.000Z"),
        ("last_minute", "offer.expires_at", "2026-12-01T18:00:00Z", "2026-12-01T18:00:00.000Z"),
        ("coupon", "button.0", "SAVE20", "SAVE20"),
        ("coupon", "button.1", "any payload!", "any payload!"),
        ("book_table", "button.0.data", '{"day": 1}', '{"day": 1}'),
        ("find_us", "header.name", "The bakery", "The bakery"),
        ("price_list", "header.filename", "Prices.pdf", "Prices.pdf"),
        ("product_cards", "catalog", "123", "123"),
    ],
)
def test_a_value_is_converted_and_taken(name: str, key: str, value: str, sent: str) -> None:
    assert converted(name, key, value) == sent
    assert converted(name, key, sent) == sent


@pytest.mark.parametrize(
    ("name", "key", "value", "why"),
    [
        ("new_menu", "header", "menu.jpg", "neither a link"),
        ("new_menu", "header", "ftp://a.example/1.jpg", "neither a link"),
        ("new_menu", "header", "id:abc", "nor an id of Meta"),
        ("find_us", "header.latitude", "91", "not a number from -90 to 90"),
        ("find_us", "header.longitude", "east", "not a number from -180 to 180"),
        ("find_us", "header.latitude", "nan", "not a number"),
        ("last_minute", "offer.expires_at", "tomorrow", "is not a time"),
        ("last_minute", "offer.expires_at", "2026-11-28", "the offer ended already"),
        ("last_minute", "button.0", "SAVE-20", "more than letters and digits"),
        ("last_minute", "button.0", "A" * 16, "16 characters, Meta takes 15"),
        ("coupon", "button.1", "x" * 257, "257 characters, Meta takes 256"),
        ("price_list", "header.filename", "x" * 241, "241 characters, wacoex takes 240"),
        ("find_us", "header.name", "x" * 1_001, "1,001 characters, wacoex takes 1,000"),
        ("find_us", "header.address", "x" * 1_001, "1,001 characters, wacoex takes 1,000"),
        ("book_table", "button.0.data", "[1]", "must be an object"),
        ("book_table", "button.0.data", "{", "is not JSON"),
        ("product_cards", "catalog", "my shop", "not an id of a catalogue"),
        ("best_sellers", "products", "[]", "must be a list of sections"),
        ("best_sellers", "products", '[{"title": "x"}]', "needs a `title` and `items`"),
        ("best_sellers", "products", '[{"title": "", "items": ["a"]}]', "1 to 24 characters"),
        ("best_sellers", "products", '[{"title": "x", "items": []}]', "a list of ids"),
        (
            "best_sellers",
            "products",
            '[{"title": "x", "items": [' + ",".join(["1"] * 31) + "]}]",
            "31 products, Meta takes 30",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(
    name: str, key: str, value: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        converted(name, key, value)


def test_respondio_takes_links_only() -> None:
    link = "https://a.example/1.jpg"
    assert converted("new_menu", "header", link, Provider.RESPONDIO) == link
    with pytest.raises(ValueError, match=r"respond\.io takes nothing else"):
        converted("new_menu", "header", "id:12", Provider.RESPONDIO)


def test_a_row_with_such_a_value_says_which_placeholder_it_is() -> None:
    converts = conversions(TEMPLATES["new_menu"], Provider.META, "UTC", NOW)
    with pytest.raises(ValueError, match=r"header: `menu\.jpg`"):
        fill([ParameterSource("header", column="picture")], {"picture": "menu.jpg"}, converts)


@pytest.mark.parametrize(
    "source",
    [ParameterSource("header", text="menu.jpg"), ParameterSource("header", value="menu.jpg")],
)
def test_a_value_for_all_is_refused_before_the_first_row(source: ParameterSource) -> None:
    converts = conversions(TEMPLATES["new_menu"], Provider.META, "UTC", NOW)
    with pytest.raises(UsageError, match=r"`header` cannot be sent: `menu\.jpg`") as caught:
        settle([source], converts)
    assert caught.value.code == "bad_value"
