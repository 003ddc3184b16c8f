"""Nothing of what people write, send or are called is kept, unless that is asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.platforms.events import Payload, Source, text_hash
from wacoex_cli.platforms.payloads import payload_of, source_of

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.json"))
KEY = b"k" * 32
RECEIVED = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
MARKER = "zanzibar"

CONTENT = """
    body text caption name first_name last_name full_name formatted_name firstName lastName
    email emoji address company username title description details message headline source_url
    image_url url link href payload detail alert_description filename fileName profilePic summary
    requested_verified_name note taste owner scene sha256 mime_type mimeType ctwa_clid tags
    recommendation remediation requester webhook_uri error_description currency
    product_retailer_id
"""
CONTENT_NAMES = frozenset(CONTENT.split())


def changed(value: Any, name: str, change: Callable[[str, Any], Any]) -> Any:
    """The same JSON with each value that is no container changed by its name."""
    if isinstance(value, dict):
        return {key: changed(part, key, change) for key, part in value.items()}
    if isinstance(value, list):
        return [changed(part, name, change) for part in value]
    return change(name, value)


def marked(name: str, value: Any) -> Any:
    return MARKER if name in CONTENT_NAMES and isinstance(value, str) else value


def read(body: dict[str, Any], **options: bool) -> Payload:
    source = source_of(body)
    assert source
    return payload_of(source, body, 1, key=KEY, received_at=RECEIVED, **options)


def kept_of(payload: Payload) -> str:
    return (payload.body + repr(payload.events)).lower()


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_no_content_is_kept_wherever_it_stands(path: Path) -> None:
    body = changed(json.loads(path.read_bytes()), "", marked)
    assert MARKER not in kept_of(read(body))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_no_sentence_is_kept_wherever_it_stands(path: Path) -> None:
    def with_a_sentence(name: str, value: Any) -> Any:
        return f"{MARKER} and its harbour" if isinstance(value, str) else value

    body = json.loads(path.read_bytes())
    body = {**changed(body, "", with_a_sentence), "object": body.get("object")}
    if body["object"] is None:
        body["event_type"] = "message.sent"
    assert MARKER not in kept_of(read(body))


def test_places_and_other_people_that_were_sent_are_not_kept() -> None:
    (path,) = (path for path in FIXTURES if path.stem == "meta_message_location_and_contacts")
    kept = kept_of(read(json.loads(path.read_bytes())))
    assert not [told for told in ("1.3048", "103.8318", "81234567", "7.5") if told in kept]


def test_the_marker_is_put_where_content_stands() -> None:
    marks = [
        json.dumps(changed(json.loads(path.read_bytes()), "", marked)).count(MARKER)
        for path in FIXTURES
    ]
    assert sum(marks) > 200


def test_content_in_a_field_or_message_of_tomorrow_is_not_kept() -> None:
    value = {
        "id": "77",
        "poem": MARKER,
        "verses": [{"line": MARKER, "line_id": "1", "type": "rhyme"}],
        "status": f"{MARKER} is lovely",
    }
    entry = {"id": "1", "changes": [{"field": "poems", "value": value}]}
    payload = read({"object": "whatsapp_business_account", "entry": [entry]})
    kept = json.loads(payload.body)["entry"][0]["changes"][0]["value"]
    assert kept == {"id": "77", "verses": [{"line_id": "1", "type": "rhyme"}]}


def test_a_short_text_of_an_echo_is_kept_as_a_keyed_hash_only() -> None:
    assert text_hash("  Straße 5 ", KEY) == text_hash("STRASSE 5", KEY)
    assert text_hash("word", KEY) != text_hash("word", b"another key")
    assert len(text_hash("word", KEY)) == 64


@pytest.mark.parametrize(("length", "is_hashed"), [(0, False), (1, True), (40, True), (41, False)])
def test_texts_of_up_to_40_characters_are_hashed(length: int, is_hashed: bool) -> None:
    echo = {"id": "wamid.E", "type": "text", "text": {"body": f"  {'x' * length} \n"}}
    change = {"field": "smb_message_echoes", "value": {"message_echoes": [echo]}}
    body = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
    (event,) = read(body).events
    assert ("text_hash" in event.data) is is_hashed


def test_a_text_of_a_contact_is_not_even_hashed() -> None:
    for name in ("meta_message_text", "respondio_message_received"):
        (path,) = (path for path in FIXTURES if path.stem == name)
        assert "hash" not in kept_of(read(json.loads(path.read_bytes())))


def test_content_is_kept_when_that_is_asked_for_and_the_digest_stays_the_same() -> None:
    (path,) = (path for path in FIXTURES if path.stem == "meta_message_text")
    body = json.loads(path.read_bytes())
    with_content, without = read(body, store_bodies=True), read(body)
    assert json.loads(with_content.body) == body
    assert with_content.digest == without.digest
    assert with_content.events == without.events


def test_the_digest_does_not_depend_on_the_layout_of_the_json() -> None:
    for path in FIXTURES:
        body = json.loads(path.read_bytes())
        turned = dict(reversed(list(body.items())))
        assert read(body).digest == read(turned).digest


def test_two_payloads_that_differ_have_two_digests() -> None:
    digests = {read(json.loads(path.read_bytes())).digest for path in FIXTURES}
    assert len(digests) == len(FIXTURES)


def test_the_source_is_kept_with_the_payload() -> None:
    payload = read({"event_type": "contact.created"})
    assert (payload.source, payload.size) == (Source.RESPONDIO, 1)
