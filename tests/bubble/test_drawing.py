"""The bubble of the report: each type of template of the sandbox, drawn as WhatsApp shows it."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import pytest

from wacoex_cli.bubble.drawing import ICONS, Bubble, draw
from wacoex_cli.foundation.clock import calendar_text, from_text
from wacoex_cli.foundation.masking import masked_text
from wacoex_cli.media.thumbnails import FileGlimpse
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.templates.model import Template, kind_of, placeholders
from wacoex_cli.templates.values import ParameterSource

TEMPLATES = {
    node.values["name"]: Template.from_meta(node.values)
    for node in default_world().templates(WABA_ID)
}
PICTURE = "data:image/jpeg;base64,AAAA"
FILES = {
    "file:picture": FileGlimpse("menu.jpg", ("JPEG", "120 kB"), PICTURE),
    "file:gone": FileGlimpse("menu.jpg", ("JPEG", "120 kB"), why="the file is not there any more"),
    "file:film": FileGlimpse("bread.mp4", ("MP4", "3 MB")),
    "file:prices": FileGlimpse("prices.pdf", ("PDF", "1 MB")),
}
HOSTILE = "<img src=x onerror=alert(1)>\"'><script>&lt;\ue000*\ue001`{{1}}"
TAGS = {"div", "p", "b", "i", "s", "span", "mark", "img", "svg", "path", "circle"}


def look(reference: str, name: str | None = None) -> FileGlimpse:
    found = FILES.get(reference, FileGlimpse(reference))
    return found._replace(name=name or found.name)


def drawn(
    name: str | Template, values: dict[str, Any] | None = None, cells: dict[str, str] | None = None
) -> tuple[Bubble, str]:
    """The bubble, and its words. A list with a text names a column."""
    template = TEMPLATES[name] if isinstance(name, str) else name
    sources = [
        ParameterSource(key, column=value[0])
        if isinstance(value, list) and isinstance(value[0], str)
        else ParameterSource(key, value=value)
        for key, value in (values or {}).items()
    ]
    bubble = draw(template, sources, cells or {}, look, masked_text, time_text)
    return bubble, Reader(bubble.html).text


def time_text(moment: str) -> str:
    return calendar_text(from_text(moment), "Asia/Singapore")


class Reader(HTMLParser):
    """The text of the page, and every tag and attribute of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "img":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, "tags stand inside one another"


ANA: dict[str, Any] = {"1": ["first_name"]}
SECTIONS = [{"title": "Cakes", "items": ["A-1", "A-2"]}, {"title": "Bread", "items": ["B-1"]}]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        (
            "bakery_film",
            {"header": "file:film"},
            "Video bread.mp4 MP4, 3 MB Hello first_name , see how we bake.",
        ),
        ("waving_hand", {"header": "file:film"}, "GIF bread.mp4 MP4, 3 MB Hello first_name ."),
        (
            "price_list",
            {"header": "file:prices", "header.filename": "Prices 2026.pdf"},
            "Document Prices 2026.pdf PDF, 1 MB Hello first_name , our prices.",
        ),
        (
            "find_us",
            {
                "header.latitude": "1.283333",
                "header.longitude": "103.860001",
                "header.name": "Bakery",
                "header.address": "1 Bay Rd",
            },
            "Bakery 1 Bay Rd 1.283333, 103.860001 Come, first_name !",
        ),
        (
            "coupon",
            {"button.0": "SAVE20"},
            "20 % off, first_name . Copy offer code copies SAVE20"
            " Tell me more sends this as a reply",
        ),
        (
            "last_minute",
            {
                "header": "file:picture",
                "offer.expires_at": "2026-12-01T10:00:00.000Z",
                "button.0": "SAVE20",
                "button.1": ["page"],
            },
            "Today only! ends Tue 1 Dec 2026, 18:00 code SAVE20"
            " Cake for first_name at half the price. Copy offer code copies SAVE20"
            " Change it opens https://bakery.example/a/ page",
        ),
        (
            "catalogue",
            {"button.0": "A-1"},
            "Catalogue with the picture of A-1 Everything we bake, first_name ."
            " View catalog opens the catalogue",
        ),
        (
            "best_sellers",
            {"button.0": "A-1", "products": SECTIONS},
            "Best sellers Products with the picture of A-1 Cakes A-1 A-2 Bread B-1"
            " The cakes that people love, first_name . View items opens the list of products",
        ),
        (
            "best_sellers",
            {"button.0": ["best"], "products": ["shelf"]},
            "Best sellers Products with the picture of best shelf"
            " The cakes that people love, first_name . View items opens the list of products",
        ),
        (
            "one_cake",
            {"header": "A-1", "catalog": "77"},
            "Product A-1 A cake for you, first_name . View opens the product",
        ),
        ("book_table", {}, "Book a table, first_name . Book opens a form"),
        (
            "call_us",
            {},
            "Any question, first_name ? Call us calls +65****0001"
            " Call on WhatsApp calls you on WhatsApp",
        ),
        (
            "cake_cards",
            {
                "card.0.header": "file:picture",
                "card.0.1": "50 %",
                "card.0.button.1": "lemon",
                "card.1.header": "file:gone",
                "card.1.1": ["discount"],
                "card.1.button.1": "plum",
            },
            "Our cakes, first_name : Only 50 % today. Tell me more sends this as a reply"
            " Order opens https://bakery.example/cakes/lemon"
            " Picture menu.jpg JPEG, 120 kB the file is not there any more Only discount today."
            " Tell me more sends this as a reply Order opens https://bakery.example/cakes/plum",
        ),
        (
            "product_cards",
            {"card.0.header": "A-1", "card.1.header": "A-2", "card.2.header": "A-3"},
            "For you, first_name : Product A-1 View opens the product"
            " Product A-2 View opens the product Product A-3 View opens the product",
        ),
        (
            "appointment",
            {"header.1": "Monday", "button.0": "7?from=news"},
            "Appointment on Monday Hello first_name , we expect you. Corner Bakery"
            " Change it opens https://bakery.example/a/7?…",
        ),
    ],
)
def test_every_component_is_drawn(name: str, values: dict[str, Any], words: str) -> None:
    bubble, text = drawn(name, {**ANA, **values})

    assert text == words
    assert bubble.is_personal


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_button_has_its_icon(name: str) -> None:
    bubble, _ = drawn(name)
    cards = TEMPLATES[name].component("CAROUSEL").get("cards") or [{"components": []}]
    parts = [*TEMPLATES[name].components, *cards[0]["components"]]
    kinds = {kind_of(button) for part in parts for button in part.get("buttons", ())}

    assert kinds <= ICONS.keys()
    assert all(ICONS[kind] in bubble.html for kind in kinds)


def test_a_picture_is_in_the_page_and_one_that_is_gone_leaves_words() -> None:
    shown, text = drawn("new_menu", {**ANA, "header": "file:picture"})
    gone, words = drawn("new_menu", {**ANA, "header": "file:gone"})

    assert f'<img class="photo" src="{PICTURE}" alt="Picture menu.jpg">' in shown.html
    assert text == "Hello first_name , here is our new menu."
    assert (shown.has_pictures, gone.has_pictures) == (True, False)
    assert words.startswith("Picture menu.jpg JPEG, 120 kB the file is not there any more Hello")


def test_a_picture_for_each_person_names_its_column() -> None:
    hidden, words = drawn("new_menu", {**ANA, "header": ["picture"]})
    shown, text = drawn("new_menu", {**ANA, "header": ["picture"]}, {"header": "file:picture"})

    assert not hidden.has_pictures
    assert words.startswith("Picture another one for each person column picture Hello")
    assert shown.has_pictures
    assert text.startswith("column picture Hello")


def test_a_message_for_everybody_is_not_personal() -> None:
    assert not drawn("opening_hours")[0].is_personal


def _with_body(text: str) -> Template:
    return Template("hours", "en", "", "", "POSITIONAL", ({"type": "BODY", "text": text},), "1")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*b* _i_ ~s~", "<b>b</b> <i>i</i> <s>s</s>"),
        ("_*both*_ and *_both_*", "<i><b>both</b></i> and <b><i>both</i></b>"),
        ("2*3*4, a_b_c, * no *", "2*3*4, a_b_c, * no *"),
        ("*over\ntwo lines*", "*over\ntwo lines*"),
        (
            "`x_y_z` ```*no*\nbold```",
            '<span class="fixed">x_y_z</span> <span class="fixed">*no*\nbold</span>',
        ),
        ("> said *so*\nyes", '<span class="quote">said <b>so</b></span>yes'),
        ("- a\n* b\n1. c", "• a\n• b\n1. c"),
        ("*Hi {{1}}*", "<b>Hi <mark>a*b_c*d</mark></b>"),
        ("Hi {{2}}", "Hi <b>&lt;you&gt;</b>"),
        ("+6591234567 <x>", "+65****4567 &lt;x&gt;"),
    ],
)
def test_a_body_is_formatted_as_whatsapp_does_it(text: str, html: str) -> None:
    bubble, _ = drawn(_with_body(text), {"1": ["a*b_c*d"], "2": "*<you>*"})

    assert f'<p class="body" dir="auto">{html}</p>' in bubble.html


def _hostile(value: Any) -> Any:
    """A template whose every text is an attack; its kinds stay."""
    if isinstance(value, dict):
        kept = ("type", "format", "example")
        return {name: inner if name in kept else _hostile(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hostile(inner) for inner in value]
    return f"{HOSTILE}{value}" if isinstance(value, str) else value


def _attacks(template: Template, *, in_columns: bool) -> list[ParameterSource]:
    sections = [{"title": HOSTILE, "items": [HOSTILE]}]
    return [
        ParameterSource(place.key, column=HOSTILE)
        if in_columns
        else ParameterSource(place.key, value=sections if place.key == "products" else HOSTILE)
        for place in placeholders(template)
    ]


@pytest.mark.parametrize("in_columns", [False, True])
@pytest.mark.parametrize("name", TEMPLATES)
def test_hostile_values_are_only_text(name: str, in_columns: bool) -> None:
    record = {**TEMPLATES[name].to_json()}
    record["components"] = _hostile(json.loads(json.dumps(record["components"])))
    template = Template.from_json(record)

    def looked(reference: str, name: str | None = None) -> FileGlimpse:
        return FileGlimpse(name or reference, (HOSTILE,), PICTURE, HOSTILE)

    sources = _attacks(template, in_columns=in_columns)
    cells = {"header": HOSTILE} if in_columns else {}
    bubble = draw(template, sources, cells, looked, str, str)

    page = Reader(bubble.html)
    assert page.open == []
    assert page.tags <= TAGS
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert {value for name, value in page.attributes if name in ("src", "href")} <= {PICTURE}
    assert "<img src=x onerror=alert(1)>" in page.text
