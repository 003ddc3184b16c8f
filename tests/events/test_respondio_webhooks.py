"""respond.io's webhooks become events, and so do the messages of its API in the same shape."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.platforms.events import Event, Kind, Source, text_hash
from wacoex_cli.platforms.payloads import payload_of, read_payload, source_of

FIXTURES = Path(__file__).parent / "fixtures"
KEY = b"k" * 32
RECEIVED = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


def body_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FIXTURES / f"respondio_{name}.json").read_bytes())
    return found


def events_of(body: dict[str, Any]) -> tuple[Event, ...]:
    return payload_of(Source.RESPONDIO, body, 1, key=KEY, received_at=RECEIVED).events


def first(name: str) -> Event:
    return events_of(body_of(name))[0]


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("message_received", Kind.MESSAGE, {"direction": "in", "type": "text"}),
        ("message_received_attachment", Kind.MESSAGE, {"direction": "in", "type": "attachment"}),
        ("unsupported", Kind.UNSUPPORTED, {"during_sync": True}),
        (
            "message_sent_by_user",
            Kind.MESSAGE,
            {"direction": "out", "type": "text", "source": "user"},
        ),
        (
            "message_sent_by_api",
            Kind.MESSAGE,
            {"direction": "out", "type": "whatsapp_template", "source": "api"},
        ),
        (
            "echo",
            Kind.ECHO,
            {"type": "text", "source": "echo", "text_hash": text_hash("tea time", KEY)},
        ),
        ("echo_without_phone_number", Kind.ECHO, {"type": "attachment", "source": "echo"}),
        ("contact_created", Kind.OTHER, {"field": "contact.created"}),
        ("conversation_closed", Kind.OTHER, {"field": "conversation.closed"}),
        ("comment_created", Kind.OTHER, {"field": "comment.created"}),
        ("send_test", Kind.OTHER, {"field": "unknown"}),
    ],
)
def test_each_kind_keeps_what_is_needed_of_it(
    name: str, kind: Kind, data: dict[str, object]
) -> None:
    event = first(name)
    ids = {"respondio_message_id", "contact_id"}
    assert event.kind is kind
    assert {name: value for name, value in event.data.items() if name not in ids} == data


def test_a_message_names_channel_person_and_ids() -> None:
    event = first("message_received")
    assert (event.respondio_channel_id, event.contact) == (4242, "+6591234567")
    assert event.message_id == "wamid.HBgKNjU5MTIzNDU2NxUCABRI00=="
    assert event.key == "respondio:message:1793880005000000"
    assert event.data["respondio_message_id"] == "1793880005000000"
    assert event.data["contact_id"] == "87654321"


def test_the_id_of_a_message_is_its_time_in_microseconds() -> None:
    assert first("echo").at == "2026-11-05T12:00:05.323Z"


def test_a_small_message_id_is_not_a_time() -> None:
    body = body_of("message_received")
    body["message"]["messageId"] = 1262
    assert events_of(body)[0].at == "2026-11-05T12:00:05.000Z"


def test_a_person_without_a_number_is_known_by_the_contact_id() -> None:
    assert first("echo_without_phone_number").contact == "contact:555"


def test_each_status_in_the_list_is_an_event_in_seconds_or_milliseconds() -> None:
    _, *statuses = events_of(body_of("message_sent_by_user"))
    assert [(event.data["status"], event.at) for event in statuses] == [
        ("pending", "2026-11-05T12:00:05.000Z"),
        ("sent", "2026-11-05T12:00:06.000Z"),
        ("delivered", "2026-11-05T12:00:07.000Z"),
    ]
    assert statuses[1].key == "respondio:status:1793880005123457:sent"
    assert statuses[1].message_id == "wamid.HBgKNjU5MTIzNDU2NxUCABRI123457=="


def test_only_the_code_of_meta_is_kept_of_a_failure_text() -> None:
    _, failed = events_of(body_of("message_sent_by_api"))
    assert (failed.data["status"], failed.data["code"]) == ("failed", 131026)


def test_a_message_read_from_the_list_is_the_same_event_as_its_webhook() -> None:
    delivered, pulled = body_of("echo_pulled"), body_of("echo_pulled")
    delivered["event_id"] = "1f0c8c1e-6a1d-4a7e-9d51-2b1f3f6f7f10"
    delivered["channel"] = {"id": 4242, "name": "Tea House", "source": "whatsapp_business"}
    assert events_of(delivered) == events_of(pulled)


def test_channel_ids_are_numbers_or_text() -> None:
    body = body_of("message_received")
    del body["channel"]
    body["message"]["channelId"] = "77"
    assert events_of(body)[0].respondio_channel_id == 77


@pytest.mark.parametrize("channel_id", ["a1", -4, 10**30, None, 2**63])
def test_a_wrong_channel_id_is_left_out(channel_id: object) -> None:
    body = body_of("message_received")
    body["channel"]["id"] = channel_id
    del body["message"]["channelId"]
    assert events_of(body)[0].respondio_channel_id is None


def test_an_id_of_another_kind_of_channel_is_not_a_whatsapp_message_id() -> None:
    body = body_of("message_received")
    body["message"]["channelMessageId"] = 123
    assert events_of(body)[0].message_id is None


def test_the_traffic_of_a_message_decides_its_direction() -> None:
    body = body_of("message_sent_by_user")
    body["message"]["traffic"] = "incoming"
    assert events_of(body)[0].data["direction"] == "in"
    del body["message"]["traffic"]
    assert events_of(body)[0].data["direction"] == "out"


def test_the_source_of_an_archived_payload_is_seen_from_its_shape() -> None:
    for path in FIXTURES.glob("*.json"):
        wanted = Source.META if path.name.startswith("meta_") else Source.RESPONDIO
        assert source_of(json.loads(path.read_bytes())) is wanted, path.name


@pytest.mark.parametrize("body", [{}, [], None, "text", {"object": "page"}, {"contact": 5}])
def test_a_payload_of_neither_platform_has_no_source(body: object) -> None:
    assert source_of(body) is None


def test_any_object_can_be_read_as_respondio() -> None:
    payload = read_payload(Source.RESPONDIO, b"{}", key=KEY, received_at=RECEIVED)
    assert [event.kind for event in payload.events] == [Kind.OTHER]
