"""Finding a template by its exact name and language, at Meta and at respond.io."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.components import MessageForm, respondio_body
from wacoex_cli.templates.model import Template, ValueKind, placeholders
from wacoex_cli.templates.reading import find_template, in_metas_words


class Templates:
    """A WABA's templates behind a filter that finds names containing the word, as Meta's does."""

    def __init__(self, *records: tuple[str, str]) -> None:
        self._records = [
            {"name": name, "language": language, "status": "APPROVED", "id": str(number)}
            for number, (name, language) in enumerate(records)
        ]

    async def templates(self, waba_id: str, *, name: str | None = None) -> list[dict[str, Any]]:
        assert waba_id == "waba"
        return [record for record in self._records if (name or "") in record["name"]]


WABA = Templates(("promo_2", "en"), ("promo", "en"), ("promo", "pt_BR"), ("greeting", "en"))


def find(name: str, language: str, waba: Templates = WABA) -> Template:
    return asyncio.run(find_template(waba, "waba", name, language))


def test_name_and_language_must_match_exactly() -> None:
    assert find("promo", "en").template_id == "1"
    assert find("promo", "pt_BR").template_id == "2"


def test_missing_fields_of_a_record_take_metas_defaults() -> None:
    found = find("greeting", "en")
    assert found.parameter_format == "POSITIONAL"
    assert found.components == ()


@pytest.mark.parametrize(
    ("name", "language", "message", "hint"),
    [
        ("promo", "pt", "does not exist in language `pt`", "it exists in `en`, `pt_BR`"),
        ("prom", "en", "there is no template `prom`", "did you mean `promo`, `promo_2`?"),
        ("zzz", "en", "there is no template `zzz`", "`wacoex template list` shows them all"),
    ],
)
def test_an_unknown_template_is_answered_with_what_there_is(
    name: str, language: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find(name, language)
    assert caught.value.code == "unknown_template"
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_waba_without_templates_is_an_error() -> None:
    with pytest.raises(UsageError) as caught:
        find("promo", "en", Templates())
    assert caught.value.hint == "there are no templates yet"


RECORD = {
    "id": 77,
    "name": "appointment",
    "languageCode": "en_US",
    "category": "utility",
    "status": "approved",
    "channelId": "12",
    "components": json.dumps(
        [
            {"type": "header", "format": "text", "text": "On {{1}}"},
            {"type": "body", "text": "Hi {{2}}, dear {{1}}: {{2}}!"},
            {"type": "footer", "text": "Corner Bakery"},
            {
                "type": "buttons",
                "buttons": [
                    {"type": "quick_reply", "text": "Stop"},
                    {"type": "url", "text": "Change", "url": "https://a.example/{{1}}"},
                    {"type": "url", "text": "Us", "url": "https://a.example"},
                    {"type": "phone_number", "text": "Call", "phone_number": "+6591000000"},
                ],
            },
        ]
    ),
}


def template(**changes: Any) -> Template:
    record = in_metas_words({**RECORD, **changes})
    assert record is not None
    return Template.from_meta(record)


def needed(found: Template) -> list[str]:
    return [place.key for place in placeholders(found) if not place.is_optional]


def test_a_record_reads_as_one_of_meta_s() -> None:
    found = template()

    assert (found.name, found.language, found.template_id) == ("appointment", "en_US", "77")
    assert (found.status, found.category) == ("APPROVED", "UTILITY")
    assert (found.parameter_format, found.header_format) == ("POSITIONAL", "TEXT")
    assert needed(found) == ["header.1", "1", "2", "button.1"]
    assert (found.quality, found.rejected_reason) == (None, None)


def test_components_may_be_a_list_and_quality_may_be_given() -> None:
    body = [{"type": "BODY", "text": "Hi {{first_name}}"}]

    found = template(components=body, qualityScore="green", status="rejected", statusDetail="scam")

    assert found.is_named
    assert [place.key for place in placeholders(found)] == ["first_name"]
    assert (found.quality, found.status, found.rejected_reason) == ("GREEN", "REJECTED", "SCAM")


def test_the_body_holds_the_template_s_own_text_beside_the_parameters() -> None:
    values = {"header.1": "Monday", "1": "Ana", "2": "Lim", "button.1": "17"}
    body = respondio_body(MessageForm(template()), values, 12)

    def texts(*values: str) -> list[dict[str, str]]:
        return [{"type": "text", "text": value} for value in values]

    assert body == {
        "channelId": 12,
        "message": {
            "type": "whatsapp_template",
            "template": {
                "name": "appointment",
                "languageCode": "en_US",
                "components": [
                    {
                        "type": "header",
                        "format": "text",
                        "text": "On {{1}}",
                        "parameters": texts("Monday"),
                    },
                    {
                        "type": "body",
                        "text": "Hi {{2}}, dear {{1}}: {{2}}!",
                        "parameters": texts("Ana", "Lim"),
                    },
                    {"type": "footer", "text": "Corner Bakery"},
                    {
                        "type": "buttons",
                        "buttons": [
                            {"type": "quick_reply", "text": "Stop"},
                            {
                                "type": "url",
                                "text": "Change",
                                "url": "https://a.example/{{1}}",
                                "parameters": texts("17"),
                            },
                            {"type": "url", "text": "Us", "url": "https://a.example"},
                            {
                                "type": "phone_number",
                                "text": "Call",
                                "phone_number": "+6591000000",
                            },
                        ],
                    },
                ],
            },
        },
    }


def test_named_placeholders_are_given_by_position_too() -> None:
    named = template(components=[{"type": "body", "text": "{{last}}, {{first}}"}])

    sent = respondio_body(MessageForm(named), {"last": "Lim", "first": "Ana"}, 12)
    [body] = sent["message"]["template"]["components"]

    assert [parameter["text"] for parameter in body["parameters"]] == ["Lim", "Ana"]


def test_a_template_without_placeholders_has_no_parameters() -> None:
    plain = template(components=[{"type": "body", "text": "We are open."}])

    sent = respondio_body(MessageForm(plain), {}, 12)["message"]["template"]

    assert sent["components"] == [{"type": "body", "text": "We are open."}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "url", "buttons", "example", "format", "body_text"])
            | st.sampled_from(["body_text_named_params", "header_text"]),
            inner | st.sampled_from(["body", "buttons", "url", "{{1}}", "{{a}}"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*RECORD, "qualityScore", "statusDetail"]), JSON), JSON)
def test_no_record_is_too_odd_to_be_read_or_left_out(odd: dict[str, Any], part: Any) -> None:
    known = {"name": "a", "languageCode": "en", "components": [part]}
    for record in (odd, {**known, **odd}, {**odd, **known}):
        read = in_metas_words(record)
        if read is not None:
            found = Template.from_meta(read)
            values: dict[str, Any] = {
                place.key: [] if place.is_structure else "https://a.example"
                for place in placeholders(found)
                if place.kind is not ValueKind.MOMENT
            }
            respondio_body(MessageForm(found), values, 12)
