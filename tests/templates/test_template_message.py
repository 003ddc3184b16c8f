"""A template as Meta gives it, and the message that is sent with it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.templates.components import MessageForm, message_body
from wacoex_cli.templates.model import LANGUAGE, Template, placeholders
from wacoex_cli.templates.preview import preview
from wacoex_cli.templates.rule import resolve_sources
from wacoex_cli.templates.values import fill, given_by, is_nothing, values_of

RECORD: dict[str, Any] = {"name": "promo", "language": "en_US", "status": "APPROVED"}


@pytest.mark.parametrize(
    ("given", "quality"),
    [
        ({"score": "GREEN", "date": 1_760_000_000}, "GREEN"),
        ({"score": "yellow"}, "YELLOW"),
        ("RED", "RED"),
        ({"score": "PURPLE"}, "PURPLE"),
        ({}, None),
        (None, None),
        ([], None),
        ({"score": 3}, None),
    ],
)
def test_quality_is_the_word_that_meta_gives(given: object, quality: str | None) -> None:
    assert Template.from_meta({**RECORD, "quality_score": given}).quality == quality


@pytest.mark.parametrize(
    ("given", "reason"), [("SCAM", "SCAM"), ("NONE", None), ("", None), (None, None), (7, None)]
)
def test_a_reason_is_kept_only_when_there_is_one(given: object, reason: str | None) -> None:
    assert Template.from_meta({**RECORD, "rejected_reason": given}).rejected_reason == reason


def test_a_template_frozen_before_quality_was_kept_is_still_read() -> None:
    frozen = Template.from_meta({**RECORD, "quality_score": {"score": "GREEN"}}).to_json()
    older = {key: frozen[key] for key in frozen if key not in ("quality", "rejected_reason")}

    assert Template.from_json(older).quality is None
    assert Template.from_json(frozen).quality == "GREEN"


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ({"type": "HEADER", "text": "Hi"}, "TEXT"),
        ({"type": "HEADER", "format": "VIDEO"}, "VIDEO"),
        (None, None),
    ],
)
def test_the_header_is_text_media_or_absent(
    header: dict[str, Any] | None, kind: str | None
) -> None:
    components = [header] if header else []
    assert Template.from_meta({**RECORD, "components": components}).header_format == kind


def template(*components: dict[str, Any], parameter_format: str = "POSITIONAL") -> Template:
    return Template("promo", "en_US", "APPROVED", "MARKETING", parameter_format, components, "77")


HEADER = {"type": "HEADER", "format": "TEXT", "text": "Sale in {{1}}"}
BODY = {"type": "BODY", "text": "Hi {{1}}, {{2}} for you, {{1}}"}
BUTTONS = {
    "type": "BUTTONS",
    "buttons": [
        {"type": "QUICK_REPLY", "text": "Stop"},
        {"type": "URL", "text": "See", "url": "https://shop.example/{{1}}"},
        {"type": "URL", "text": "Home", "url": "https://shop.example"},
        {"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+6560000001"},
    ],
}
FULL = template(HEADER, BODY, {"type": "FOOTER", "text": "Reply STOP"}, BUTTONS)
FULL_VALUES = {"header.1": "May", "1": "Ana", "2": "10 %", "button.1": "a?b=1"}


def test_a_template_without_placeholders_is_sent_without_components() -> None:
    assert message_body(
        MessageForm(template({"type": "BODY", "text": "Hello"})), {}, "+65912", "id-1"
    ) == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": "+65912",
        "type": "template",
        "template": {"name": "promo", "language": {"code": "en_US"}},
        "biz_opaque_callback_data": "id-1",
    }


def test_positional_values_go_by_order_and_a_button_by_its_index() -> None:
    body = message_body(MessageForm(FULL), FULL_VALUES, "+6591234567", "id-1")
    assert body["template"]["components"] == [
        {"type": "header", "parameters": [{"type": "text", "text": "May"}]},
        {
            "type": "body",
            "parameters": [{"type": "text", "text": "Ana"}, {"type": "text", "text": "10 %"}],
        },
        {
            "type": "button",
            "sub_type": "url",
            "index": "1",
            "parameters": [{"type": "text", "text": "a?b=1"}],
        },
    ]


def test_every_message_is_made_of_its_own_objects() -> None:
    form = MessageForm(FULL)
    first = message_body(form, FULL_VALUES, "+6591234567", "id-1")
    before = json.dumps(first)

    for part in first["template"]["components"]:
        part["parameters"][0]["text"] = "changed"
        part["type"] = "changed"
    first["template"]["language"]["code"] = "changed"

    assert json.dumps(message_body(form, FULL_VALUES, "+6591234567", "id-1")) == before


def test_a_row_gets_the_components_of_its_own_language() -> None:
    offer = {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"has_expiration": True}}
    english = template(offer, {"type": "BODY", "text": "{{1}}, dear {{2}}"})
    german = replace(template({"type": "BODY", "text": "Hallo {{2}}"}), language="de")
    form = MessageForm(english.with_translations([german]))
    values = {"1": "Hello", "2": "Ana", "offer.expires_at": "2026-12-01T10:00:00.000Z"}

    def kinds_and_texts(language: str) -> list[tuple[str, list[str | None]]]:
        content = message_body(form, {**values, LANGUAGE: language}, "+65912", "a")["template"]
        assert content["language"]["code"] == language
        return [
            (part["type"], [parameter.get("text") for parameter in part["parameters"]])
            for part in content["components"]
        ]

    assert kinds_and_texts("de") == [("body", ["Ana"])]
    assert kinds_and_texts("en_US") == [("limited_time_offer", [None]), ("body", ["Hello", "Ana"])]


def test_named_values_carry_their_names_in_header_and_body() -> None:
    named = template(
        {"type": "HEADER", "format": "TEXT", "text": "{{month}}"},
        {"type": "BODY", "text": "Hi {{first_name}}"},
        BUTTONS,
        parameter_format="NAMED",
    )
    values = {"header.month": "May", "first_name": "Ana", "button.1": "x"}
    components = message_body(MessageForm(named), values, "+65912", "a")["template"]["components"]
    assert [part["parameters"] for part in components] == [
        [{"type": "text", "text": "May", "parameter_name": "month"}],
        [{"type": "text", "text": "Ana", "parameter_name": "first_name"}],
        [{"type": "text", "text": "x"}],
    ]


def test_the_preview_shows_what_a_person_reads() -> None:
    assert preview(FULL, FULL_VALUES) == (
        "Sale in May\n"
        "\n"
        "Hi Ana, 10 % for you, Ana\n"
        "\n"
        "Reply STOP\n"
        "\n"
        "[Stop]\n"
        "[See] https://shop.example/a?b=1\n"
        "[Home] https://shop.example\n"
        "[Call] +6560000001"
    )


def test_the_preview_shows_the_media_of_a_header_as_its_kind() -> None:
    image = template({"type": "HEADER", "format": "image"}, BODY)
    values = {"1": "Ana", "2": "tea"}
    assert preview(image, values) == "(IMAGE)\n\nHi Ana, tea for you, Ana"
    assert preview(image, {**values, "header": "https://a.example/b.jpg"}) == (
        "(IMAGE https://a.example/b.jpg)\n\nHi Ana, tea for you, Ana"
    )


def test_a_value_that_looks_like_a_placeholder_is_left_as_it_is() -> None:
    assert preview(template(BODY), {"1": "{{2}}", "2": r"\1"}) == r"Hi {{2}}, \1 for you, {{2}}"


TEXT = st.text(min_size=1).filter(lambda text: text.strip() and not is_nothing(text))


@given(st.tuples(TEXT, TEXT, TEXT, TEXT))
def test_every_value_of_a_row_arrives_in_the_body_unchanged_and_in_order(
    row: tuple[str, ...],
) -> None:
    keys = [place.key for place in placeholders(FULL) if not place.is_optional]
    sources = resolve_sources(FULL, given_by({key: key for key in keys}, {}), keys)
    values = fill(sources, dict(zip(keys, row, strict=True)))
    assert values is not None

    body = message_body(MessageForm(FULL), values_of(sources, values), "+65912", "a")

    parts = json.loads(json.dumps(body))["template"]["components"]
    sent = [parameter["text"] for part in parts for parameter in part["parameters"]]
    assert tuple(sent) == values


def test_a_kept_copy_gives_the_same_template_again() -> None:
    kept = json.loads(json.dumps(FULL.to_json()))
    assert Template.from_json(kept) == FULL


def test_a_kept_copy_does_not_follow_later_changes() -> None:
    changing = template({"type": "BODY", "text": "before"})
    kept = changing.to_json()
    changing.components[0]["text"] = "after"
    assert kept["components"][0]["text"] == "before"
