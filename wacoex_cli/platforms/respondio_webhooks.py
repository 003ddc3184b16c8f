"""respond.io's webhooks: what is kept of them, and the events out of them.

Source: respond.io, webhooks (message.received, message.sent) and messages of its API, which
come in the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Unpack

from pydantic import BeforeValidator, ConfigDict, ValidationInfo
from pydantic.alias_generators import to_camel

from wacoex_cli.platforms.events import Event, EventData, Kind, Source, read_moment, reported
from wacoex_cli.platforms.privacy import (
    Flag,
    HashedText,
    Identifier,
    Kept,
    MetaCode,
    Open,
    Part,
    Parts,
    Phone,
    Time,
    Word,
    name_of,
)

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


class _Camel(Kept):
    model_config = ConfigDict(alias_generator=to_camel)


class _Delivered(Kept):
    value: Word = None
    timestamp: Time = None
    message: MetaCode = None


class _Sender(_Camel):
    source: Word = None
    user_id: Identifier = None
    workflow_id: Identifier = None
    broadcast_history_id: Identifier = None


class _Content(Kept):
    type: Word = None
    text: HashedText = None
    during_sync: Flag = None


def _is_echo(sender: _Sender | None, traffic: str | None) -> bool:
    return sender is not None and sender.source == "echo" and traffic != "incoming"


def _content(value: Any, info: ValidationInfo) -> dict[str, Any] | None:
    """Of the content its type; of an echo the hash of its text, and whether a sync kept it back."""
    if not isinstance(value, dict):
        return None
    content: dict[str, Any] = {"type": value.get("type")}
    if _is_echo(info.data["sender"], info.data["traffic"]):
        content["text"] = value.get("text")
    if value.get("type") == "unsupported" and _SYNC_NOTE in str(value.get("text", "")).lower():
        content["during_sync"] = True
    return content


class _RespondIOMessage(_Camel):
    message_id: Identifier = None
    channel_message_id: Identifier = None
    contact_id: Identifier = None
    channel_id: Identifier = None
    traffic: Word = None
    timestamp: Time = None
    status: Parts[_Delivered] = None
    sender: Part[_Sender] = None
    # After the two above, which decide what of it is kept.
    message: Annotated[_Content | None, BeforeValidator(_content)] = None

    @property
    def is_echo(self) -> bool:
        return _is_echo(self.sender, self.traffic)

    @property
    def at(self) -> str | None:
        return _time_of(self.message_id) or read_moment(self.timestamp)


class _Person(Kept):
    id: Identifier = None
    phone: Phone = None


class _Channel(Kept):
    id: Identifier = None
    source: Word = None


class RespondIOWebhook(Open):
    """One delivery of respond.io, or one of its messages in the same shape."""

    event_type: Word = None
    event_id: Identifier = None
    contact: Part[_Person] = None
    channel: Part[_Channel] = None
    message: Part[_RespondIOMessage] = None

    def events(self, received_at: str) -> Iterator[Event]:
        """The message, then its statuses; `received_at` (RFC 3339) is for what has no time."""
        message, direction = self.message, self._direction
        if not message or direction is None or self.event_type not in _MESSAGE_EVENTS:
            yield self._other(received_at)
            return
        at = message.at or received_at
        yield self._message_event(message, direction, at)
        for status in message.status or ():
            if message.message_id and status.value:
                word = status.value.lower()
                yield self._event(
                    Kind.STATUS,
                    f"{message.message_id}:{word}",
                    message,
                    read_moment(status.timestamp) or at,
                    status=word,
                    code=status.message,
                )

    def _message_event(self, message: _RespondIOMessage, direction: str, at: str) -> Event:
        content = message.message or _Content()
        source = message.sender.source if message.sender else None
        name = message.message_id or message.channel_message_id or name_of(message.kept())
        if message.is_echo:
            return self._event(
                Kind.ECHO,
                name,
                message,
                at,
                type=content.type,
                text_hash=content.text["hash"] if content.text else None,
                source=source,
                undated=None if message.at else True,
            )
        if direction == "in" and content.type == "unsupported":
            return self._event(Kind.UNSUPPORTED, name, message, at, during_sync=content.during_sync)
        return self._event(
            Kind.MESSAGE, name, message, at, direction=direction, type=content.type, source=source
        )

    def _event(
        self,
        kind: Kind,
        name: str,
        message: _RespondIOMessage,
        at: str,
        **data: Unpack[EventData],
    ) -> Event:
        contact_id = (self.contact.id if self.contact else None) or message.contact_id
        wamid = message.channel_message_id or ""
        data["respondio_message_id"], data["contact_id"] = message.message_id, contact_id
        return Event(
            key=f"{Source.RESPONDIO}:{kind}:{name}",
            kind=kind,
            source=Source.RESPONDIO,
            at=at,
            respondio_channel_id=self._channel_id,
            contact=self._person(contact_id),
            message_id=wamid if wamid.startswith("wamid.") else None,
            data=reported(**data),
        )

    def _other(self, received_at: str) -> Event:
        message_id = self.message.message_id if self.message else None
        return Event(
            key=f"{Source.RESPONDIO}:{Kind.OTHER}:{name_of(self.kept())}",
            kind=Kind.OTHER,
            source=Source.RESPONDIO,
            at=_time_of(message_id) or received_at,
            respondio_channel_id=self._channel_id,
            contact=self._person(self.contact.id if self.contact else None),
            data=EventData(field=self.event_type or "unknown"),
        )

    @property
    def _direction(self) -> str | None:
        traffic = self.message.traffic if self.message else None
        return _DIRECTIONS.get(traffic or "") or _DIRECTIONS.get(self.event_type or "")

    @property
    def _channel_id(self) -> int | None:
        channel_id = self.channel.id if self.channel else None
        text = channel_id or (self.message.channel_id if self.message else None) or ""
        found = int(text) if text.isascii() and text.isdigit() else _LARGEST_ID
        return found if found < _LARGEST_ID else None

    def _person(self, contact_id: str | None) -> str | None:
        number = self.contact.phone if self.contact else None
        return number or (f"contact:{contact_id}" if contact_id else None)


def _time_of(message_id: str | None) -> str | None:
    is_number = message_id and message_id.isdigit() and int(message_id) >= _FIRST_MICROSECOND
    return read_moment(message_id) if is_number else None
