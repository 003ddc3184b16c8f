"""What is kept of respond.io's payloads, and the events out of them.

Source: respond.io, webhooks (message.received, message.sent) and messages of its API, which
come in the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.events import values
from wacoex_cli.events.model import Event, Kind, Source
from wacoex_cli.events.privacy import (
    each,
    hashed_text,
    identifier,
    meta_code,
    open_record,
    phone,
    record,
    time,
    word,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_DIRECTIONS = {
    "incoming": "in",
    "outgoing": "out",
    "message.received": "in",
    "message.sent": "out",
}
_MESSAGE_EVENTS = ("message.received", "message.sent")
_SYNC_NOTE = "during sync"
_LARGEST_ID = 2**63
# A message id is its time in microseconds; test messages have small numbers instead.
_FIRST_MICROSECOND = 10**15


def clean(body: Mapping[str, Any], key: bytes) -> dict[str, Any]:
    """A payload of respond.io without content."""
    kept: dict[str, Any] = _PAYLOAD(dict(body), key)
    return kept


def _message_rule(value: Any, key: bytes) -> Any:
    kept = _MESSAGE(value, key)
    if kept is None:
        return None
    inner = value.get("message")
    if isinstance(inner, dict):
        kept["message"] = _INNER(inner, key)
        if _is_echo(kept) and (told := hashed_text(inner.get("text"), key)):
            kept["message"]["text"] = told
        if _is_unsupported(kept) and _SYNC_NOTE in str(inner.get("text", "")).lower():
            kept["message"]["during_sync"] = True
    return kept


_INNER = record({"type": word})
_MESSAGE = record(
    {
        "messageId": identifier,
        "channelMessageId": identifier,
        "contactId": identifier,
        "channelId": identifier,
        "traffic": word,
        "timestamp": time,
        "status": each(record({"value": word, "timestamp": time, "message": meta_code})),
        "sender": record(
            {
                "source": word,
                "userId": identifier,
                "workflowId": identifier,
                "broadcastHistoryId": identifier,
            }
        ),
    }
)
_PAYLOAD = open_record(
    {
        "event_type": word,
        "event_id": identifier,
        "contact": record({"id": identifier, "phone": phone}),
        "channel": record({"id": identifier, "source": word}),
        "message": _message_rule,
    }
)


def events(body: Mapping[str, Any], received_at: str) -> Iterator[Event]:
    """The events of a payload that is already free of content."""
    message = _read(body, received_at)
    if message is None:
        yield _other(body, received_at)
        return
    yield _message_event(message)
    for status in message.told.get("status", ()):
        if message.id and status.get("value"):
            yield _status_event(message, status)


@dataclass(frozen=True, slots=True)
class _Message:
    told: Mapping[str, Any]
    direction: str
    id: str | None
    at: str
    is_dated: bool
    contact: str | None
    contact_id: str | None
    channel_id: int | None
    wamid: str | None

    def event(self, kind: Kind, name: str, at: str, **data: object) -> Event:
        return Event(
            key=f"{Source.RESPONDIO}:{kind}:{name}",
            kind=kind,
            source=Source.RESPONDIO,
            at=at,
            respondio_channel_id=self.channel_id,
            contact=self.contact,
            message_id=self.wamid,
            data=values.known(respondio_message_id=self.id, contact_id=self.contact_id, **data),
        )


def _read(body: Mapping[str, Any], received_at: str) -> _Message | None:
    told = body.get("message")
    direction = _direction_of(body)
    if not told or direction is None or body.get("event_type") not in _MESSAGE_EVENTS:
        return None
    contact_id = body.get("contact", {}).get("id") or told.get("contactId")
    wamid = told.get("channelMessageId", "")
    at = _time_of(told.get("messageId")) or values.moment(told.get("timestamp"))
    return _Message(
        told=told,
        direction=direction,
        id=told.get("messageId"),
        at=at or received_at,
        is_dated=at is not None,
        contact=_contact_of(body, contact_id),
        contact_id=contact_id,
        channel_id=_channel_of(body),
        wamid=wamid if wamid.startswith("wamid.") else None,
    )


def _message_event(message: _Message) -> Event:
    told = message.told
    inner = told.get("message", {})
    source = told.get("sender", {}).get("source")
    name = message.id or told.get("channelMessageId") or values.name_of(told)
    if _is_echo(told):
        text = inner.get("text", {}).get("hash")
        undated = None if message.is_dated else True
        return message.event(
            Kind.ECHO,
            name,
            message.at,
            type=inner.get("type"),
            text_hash=text,
            source=source,
            undated=undated,
        )
    if message.direction == "in" and _is_unsupported(told):
        during_sync = inner.get("during_sync")
        return message.event(Kind.UNSUPPORTED, name, message.at, during_sync=during_sync)
    return message.event(
        Kind.MESSAGE,
        name,
        message.at,
        direction=message.direction,
        type=inner.get("type"),
        source=source,
    )


def _status_event(message: _Message, status: Mapping[str, Any]) -> Event:
    value = status["value"].lower()
    return message.event(
        Kind.STATUS,
        f"{message.id}:{value}",
        values.moment(status.get("timestamp")) or message.at,
        status=value,
        code=status.get("message"),
    )


def _other(body: Mapping[str, Any], received_at: str) -> Event:
    told = body.get("message", {})
    return Event(
        key=f"{Source.RESPONDIO}:{Kind.OTHER}:{values.name_of(body)}",
        kind=Kind.OTHER,
        source=Source.RESPONDIO,
        at=_time_of(told.get("messageId")) or received_at,
        respondio_channel_id=_channel_of(body),
        contact=_contact_of(body, body.get("contact", {}).get("id")),
        data=values.known(field=body.get("event_type", "unknown")),
    )


def _is_echo(told: Mapping[str, Any]) -> bool:
    source: str = told.get("sender", {}).get("source", "")
    return source == "echo" and told.get("traffic") != "incoming"


def _is_unsupported(told: Mapping[str, Any]) -> bool:
    type_: str = told.get("message", {}).get("type", "")
    return type_ == "unsupported"


def _direction_of(body: Mapping[str, Any]) -> str | None:
    traffic = body.get("message", {}).get("traffic", "")
    return _DIRECTIONS.get(traffic) or _DIRECTIONS.get(body.get("event_type", ""))


def _contact_of(body: Mapping[str, Any], contact_id: str | None) -> str | None:
    number: str | None = body.get("contact", {}).get("phone")
    return number or (f"contact:{contact_id}" if contact_id else None)


def _channel_of(body: Mapping[str, Any]) -> int | None:
    told = body.get("channel", {}).get("id") or body.get("message", {}).get("channelId") or ""
    found = int(told) if told.isascii() and told.isdigit() else _LARGEST_ID
    return found if found < _LARGEST_ID else None


def _time_of(message_id: str | None) -> str | None:
    is_number = message_id and message_id.isdigit() and int(message_id) >= _FIRST_MICROSECOND
    return values.moment(message_id) if is_number else None
