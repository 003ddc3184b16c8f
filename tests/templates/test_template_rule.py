"""What a template asks for, the values of one row for it, and what changed since planning."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import Placeholder, Template, ValueKind, placeholders
from wacoex_cli.templates.rule import (
    beyond_limit,
    check_carried,
    check_sendable,
    resolve_sources,
    text_limits,
)
from wacoex_cli.templates.values import ParameterSource, empty_keys, fill, given_by, is_nothing


def template(*components: dict[str, Any], **fields: Any) -> Template:
    return Template.from_meta(
        {"name": "promo", "language": "en", "status": "APPROVED", "category": "MARKETING"}
        | {"parameter_format": "POSITIONAL", "id": "1", "components": list(components)}
        | fields
    )


def body(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "BODY", "text": text, **fields}


POSITIONAL = template(
    {
        "type": "HEADER",
        "format": "TEXT",
        "text": "Sale in {{1}}",
        "example": {"header_text": ["May"]},
    },
    body("Hi {{1}}, {{2}} for you, {{1}}", example={"body_text": [["Ana", "10 %"]]}),
    {"type": "FOOTER", "text": "Reply STOP"},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "QUICK_REPLY", "text": "Stop"},
            {
                "type": "URL",
                "text": "See",
                "url": "https://shop.example/{{1}}",
                "example": ["https://shop.example/a"],
            },
            {"type": "URL", "text": "Home", "url": "https://shop.example"},
        ],
    },
)
NAMED = template(
    {"type": "HEADER", "format": "TEXT", "text": "For {{first_name}}"},
    body(
        "{{city}} greets {{first_name}}",
        example={
            "body_text_named_params": [
                {"param_name": "first_name", "example": "Ana"},
                {"param_name": "city", "example": "Ipoh"},
            ]
        },
    ),
    parameter_format="NAMED",
)


def test_placeholders_come_as_header_body_buttons_each_once() -> None:
    assert placeholders(POSITIONAL) == (
        Placeholder("header.1", "header", None, "May"),
        Placeholder("1", "body", None, "Ana"),
        Placeholder("2", "body", None, "10 %"),
        Placeholder("button.0", "button", 0, None, ValueKind.PAYLOAD, is_optional=True),
        Placeholder("button.1", "button", 1, "https://shop.example/a"),
    )


def test_positional_placeholders_are_ordered_by_number_not_by_place() -> None:
    text = body("{{10}} {{2}} {{1}}")
    assert [place.key for place in placeholders(template(text))] == ["1", "2", "10"]


def test_named_placeholders_keep_their_names_and_examples() -> None:
    assert placeholders(NAMED) == (
        Placeholder("header.first_name", "header", None, None),
        Placeholder("city", "body", None, "Ipoh"),
        Placeholder("first_name", "body", None, "Ana"),
    )


def test_a_template_without_placeholders_needs_nothing() -> None:
    plain = template(body("Hello"))
    assert placeholders(plain) == ()
    assert resolve_sources(plain, (), ["phone"]) == ()
    assert fill((), {}) == ()


def test_an_approved_text_template_can_be_sent() -> None:
    check_sendable(POSITIONAL)
    check_sendable(NAMED)


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("PENDING", "wait for Meta's review"),
        ("REJECTED", "submit it again"),
        ("PAUSED", "low quality"),
        ("DISABLED", "write a new template"),
        ("ARCHIVED", "archive"),
        ("SOMETHING_NEW", "use an approved template"),
    ],
)
def test_any_other_status_is_refused_and_named(status: str, hint: str) -> None:
    with pytest.raises(UsageError, match=status) as caught:
        check_sendable(template(body("Hello"), status=status))
    assert caught.value.code == "template_not_approved"
    assert hint in (caught.value.hint or "")


BUTTONS = {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE"}]}
CARD = {"components": [{"type": "HEADER", "format": "DOCUMENT"}]}


@pytest.mark.parametrize(
    ("components", "named"),
    [
        ([{"type": "HEADER", "format": "GIF"}], "GIF, which Meta takes only in its Marketing"),
        ([{"type": "HEADER", "format": "SONG"}], "a header of format SONG, which wacoex cannot"),
        ([{"type": "BUTTONS", "buttons": [{"type": "OTP"}]}], "a button of type OTP"),
        ([{"type": "SOMETHING_NEW"}], "a component of type SOMETHING_NEW"),
        (
            [{"type": "CAROUSEL", "cards": [CARD, {"components": [{"type": "SONG"}]}]}],
            "a component of type SONG in card 1",
        ),
    ],
)
def test_a_template_that_wacoex_cannot_fill_is_named(
    components: list[dict[str, Any]], named: str
) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        check_sendable(template(body("Hello"), *components))
    assert caught.value.code == "template_unsupported"


@pytest.mark.parametrize(
    ("component", "named"),
    [
        ({"type": "CAROUSEL", "cards": []}, "a component of type CAROUSEL"),
        ({"type": "LIMITED_TIME_OFFER"}, "a component of type LIMITED_TIME_OFFER"),
        ({"type": "HEADER", "format": "PRODUCT"}, "a header of format PRODUCT"),
        (BUTTONS, "a button of type COPY_CODE"),
        ({"type": "BUTTONS", "buttons": [{"type": "FLOW"}]}, "a button of type FLOW"),
        ({"type": "BUTTONS", "buttons": [{"type": "VOICE_CALL"}]}, "a button of type VOICE_CALL"),
    ],
)
def test_a_template_that_respondio_cannot_carry_is_named_and_meta_takes_it(
    component: dict[str, Any], named: str
) -> None:
    rich = template(body("Hello"), component)

    check_sendable(rich)
    with pytest.raises(UsageError, match=f"{named}, which respond.io's API cannot") as caught:
        check_sendable(rich, Provider.RESPONDIO)
    assert "--provider meta" in (caught.value.hint or "")


def test_respondio_cannot_carry_the_payload_of_a_reply() -> None:
    sources = [ParameterSource("button.0", text="stop")]

    check_carried(POSITIONAL, sources, Provider.META)
    with pytest.raises(UsageError, match="payload of a reply button"):
        check_carried(POSITIONAL, sources, Provider.RESPONDIO)


def test_one_time_passwords_are_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="a code goes to one person who has just asked") as caught:
        check_sendable(template(body("{{1}} is your code"), category="AUTHENTICATION"))
    assert "the application that checks the codes" in (caught.value.hint or "")


PRODUCTS = template(
    body("Hi"),
    {
        "type": "CAROUSEL",
        "cards": [
            {
                "components": [
                    {"type": "HEADER", "format": "PRODUCT"},
                    {
                        "type": "BUTTONS",
                        "buttons": [
                            {"type": "URL", "text": "See", "url": "https://a.example/{{1}}"}
                        ],
                    },
                ]
            }
        ]
        * 2,
    },
)


def in_cards(*cards: int) -> dict[str, str]:
    keys = [key for card in cards for key in (f"card.{card}.header", f"card.{card}.button.0")]
    return dict.fromkeys(["catalog", *keys], "7")


def test_a_carousel_of_products_may_have_more_cards_than_its_template() -> None:
    sources = resolve_sources(PRODUCTS, given_by({}, in_cards(0, 1, 2)), [])
    assert [source.key for source in sources if source.is_optional] == [
        "card.2.header",
        "card.2.button.0",
    ]


def test_values_too_long_for_a_command_line_must_come_from_a_file() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_sources(PRODUCTS, (), ["phone"])
    assert "wacoex template skeleton promo > values.toml" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (in_cards(0), "nothing to put in for `card.1.header`, `card.1.button.0`"),
        (in_cards(0, 1, 3), "card 3 cannot be sent without card 2"),
        ({**in_cards(0, 1), "card.2.header": "7"}, "card 2 .* without `card.2.button.0`"),
        ({**in_cards(0, 1), "card.10.header": "7"}, "no placeholder `card.10.header`"),
    ],
)
def test_cards_are_filled_one_after_the_other_and_whole(
    given: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_sources(PRODUCTS, given_by({}, given), [])


def test_a_key_filled_in_two_ways_is_refused() -> None:
    twice = [ParameterSource("1", value="Ana"), ParameterSource("1", text="Eva")]
    with pytest.raises(UsageError, match="`1` is filled twice"):
        resolve_sources(template(body("Hi {{1}}")), twice, [])


OFFER = template(
    {"type": "LIMITED_TIME_OFFER", "limited_time_offer": {"text": "Now", "has_expiration": True}},
    body("Hi {{1}}"),
)


def test_an_offer_has_a_shorter_body_and_a_fixed_value_counts_too() -> None:
    long = [ParameterSource("offer.expires_at", value="x"), ParameterSource("1", column="name")]
    limits = text_limits(OFFER, long)
    assert beyond_limit(limits, ["x" * 597]) is None
    assert "600" in (beyond_limit(limits, ["x" * 598]) or "")

    fixed = [ParameterSource("1", value="x" * 598)]
    assert "the body would have 601 characters" in (
        beyond_limit(text_limits(OFFER, fixed), []) or ""
    )


def test_each_placeholder_gets_its_column_or_text() -> None:
    sources = resolve_sources(
        POSITIONAL,
        given_by({"1": "name", "2": "offer", "button.1": "path"}, {"header.1": "June"}),
        ["phone", "name", "offer", "path"],
    )
    assert sources == (
        ParameterSource("header.1", text="June"),
        ParameterSource("1", column="name"),
        ParameterSource("2", column="offer"),
        ParameterSource("button.1", column="path"),
    )


def test_a_named_placeholder_takes_the_column_of_its_name() -> None:
    sources = resolve_sources(NAMED, given_by({"city": "town"}, {}), ["first_name", "city", "town"])
    assert sources == (
        ParameterSource("header.first_name", column="first_name"),
        ParameterSource("city", column="town"),
        ParameterSource("first_name", column="first_name"),
    )


def test_a_named_placeholder_takes_no_column_that_only_looks_alike() -> None:
    with pytest.raises(UsageError, match="`city`"):
        resolve_sources(NAMED, (), ["first_name", "City"])


def test_a_number_is_not_a_column_name() -> None:
    with pytest.raises(UsageError, match="nothing to put in for `1`"):
        resolve_sources(template(body("Hi {{1}}")), (), ["phone", "1"])


def test_a_missing_placeholder_shows_the_option_to_add() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_sources(
            POSITIONAL, given_by({"1": "name"}, {"header.1": "June"}), ["phone", "name"]
        )
    assert caught.value.message == (
        "template `promo` has nothing to put in for `2`, `button.1` (for example `10 %`)"
    )
    assert caught.value.hint == (
        "add `--param 2=COLUMN --param button.1=COLUMN`, or `--text 2=VALUE`;"
        " the file has the columns `phone`, `name`"
    )


@pytest.mark.parametrize(
    ("params", "texts", "message", "hint"),
    [
        ({"3": "name"}, {}, "has no placeholder `3`", "it has `header.1`, `1`"),
        ({"buton.1": "name"}, {}, "has no placeholder `buton.1`", "did you mean `button.1`?"),
        ({}, {"header": "x"}, "has no placeholder `header`", "did you mean `header.1`?"),
        ({"1": "nmae"}, {}, "has no column `nmae`", "did you mean `name`?"),
        ({"1": "zzz"}, {}, "has no column `zzz`", "the columns `phone`, `name`"),
        ({"1": "name"}, {"1": "x"}, "both a column and a text", "--param 1=COLUMN"),
        ({}, {"1": "  "}, "the text for placeholder `1` is empty", "empty"),
    ],
)
def test_a_wrong_mapping_is_refused_with_the_likely_word(
    params: dict[str, str], texts: dict[str, str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_sources(POSITIONAL, given_by(params, texts), ["phone", "name"])
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_mapping_for_a_template_without_placeholders_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        resolve_sources(template(body("Hello")), given_by({"1": "name"}, {}), ["name"])
    assert "leave `--param` and `--text` out" in (caught.value.hint or "")


SOURCES = (ParameterSource("1", column="name"), ParameterSource("2", text="10 %"))


def test_a_row_gives_its_values_in_the_order_of_the_sources() -> None:
    assert fill(SOURCES, {"name": " Ana ", "other": "x"}) == ("Ana", "10 %")


@pytest.mark.parametrize("row", [{}, {"name": ""}, {"name": " \t\n"}, {"name": "\u00a0"}])
def test_a_row_with_an_empty_value_cannot_be_filled(row: dict[str, str]) -> None:
    assert fill(SOURCES, row) is None
    assert empty_keys(SOURCES, row) == ("1",)


@pytest.mark.parametrize(
    ("value", "filled"),
    [
        ("two\nlines", "two lines"),
        ("two\r\n\r\nlines", "two lines"),
        ("a\tb", "a b"),
        ("a     b", "a b"),
        ("a    b", "a    b"),
        ("5\u00a0000", "5\u00a0000"),
    ],
)
def test_white_space_that_meta_refuses_becomes_one_space(value: str, filled: str) -> None:
    assert fill(SOURCES[:1], {"name": value}) == (filled,)


@given(st.text())
@example("-")
def test_a_filled_value_is_never_one_that_meta_refuses(value: str) -> None:
    filled = fill(SOURCES[:1], {"name": value})
    if filled is None:
        assert is_nothing(value)
    else:
        assert filled[0] == filled[0].strip() != ""
        assert not set(filled[0]) & set("\t\r\n")
        assert " " * 5 not in filled[0]
        assert fill(SOURCES[:1], {"name": filled[0]}) == filled


@pytest.mark.parametrize(
    ("place", "meaning"),
    [
        (Placeholder("1", "body", None, None), "in the body"),
        (Placeholder("header.1", "header", None, None), "in the header"),
        (Placeholder("card.1.2", "card", None, None, card=1), "in the body of card 1"),
        (Placeholder("button.2", "button", 2, None), "end of the URL of button 2"),
        (
            Placeholder("card.0.button.1", "card", 1, None, ValueKind.PAYLOAD, card=0),
            "payload of button 1 of card 0",
        ),
        (
            Placeholder("card.0.header", "card", None, None, ValueKind.MEDIA, 0, "VIDEO"),
            "VIDEO of the header of card 0",
        ),
        (
            Placeholder("header.filename", "header", None, None, ValueKind.FILE_NAME),
            "file name of the header",
        ),
        (
            Placeholder("header.latitude", "header", None, None, ValueKind.LOCATION),
            "latitude of the place",
        ),
        (
            Placeholder("offer.expires_at", "offer", None, None, ValueKind.MOMENT),
            "when the offer ends",
        ),
    ],
)
def test_a_placeholder_says_what_it_is(place: Placeholder, meaning: str) -> None:
    assert place.meaning() == meaning
