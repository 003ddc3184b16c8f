"""respond.io's webhooks: what is kept of them, and the events out of them.

Source: respond.io, webhooks (message.received, message.sent) and messages of its API, which
come in the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self, Unpack

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import Event, EventData, Kind, Source, read_moment, reported
from wacoex_cli.platforms.privacy import Kept, Open, Reading, name_of

_DIRECTIONS = {"incoming": "in", "outgoing": "out", "message.received": "in", "message.sent": "out"}
_MESSAGE_EVENTS = ("message.received", "message.sent")
_SYNC_NOTE = "during sync"
_LARGEST_ID = 2**63
# A message id is its time in microseconds; test messages have small numbers instead.
_FIRST_MICROSECOND = 10**15


class _Delivered(Kept):
    value: keep.Word = None
    timestamp: keep.Time = None
    message: keep.MetaCode = None


class _SentBy(Kept):
    source: keep.Word = None
    user_id: keep.Identifier = keep.sent_as("userId")
    workflow_id: keep.Identifier = keep.sent_as("workflowId")
    broadcast_history_id: keep.Identifier = keep.sent_as("broadcastHistoryId")


class _Content(Kept):
    type: keep.Word = None
    text: keep.HashedText = None
    # Of what a contact wrote, or tapped: a text, or the title of the answer.
    stop: keep.StopButton = None
    during_sync: keep.Flag = None


def _is_echo(sender: _SentBy | None, traffic: str | None) -> bool:
    return sender is not None and sender.source == "echo" and traffic != "incoming"


class _RespondIOMessage(Kept):
    message_id: keep.Identifier = keep.sent_as("messageId")
    channel_message_id: keep.Identifier = keep.sent_as("channelMessageId")
    contact_id: keep.Identifier = keep.sent_as("contactId")
    channel_id: keep.Identifier = keep.sent_as("channelId")
    traffic: keep.Word = None
    timestamp: keep.Time = None
    status: keep.Parts[_Delivered] = None
    sender: keep.Part[_SentBy] = None
    message: _Content | None = None

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """The message; who sent it decides what of its content is kept."""
        found = super().read(value, reading)
        content = value.get("message")
        if isinstance(content, dict):
            found.message = _Content.read(found._kept_of(content), reading)
        return found

    def _kept_of(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Of the content its type, whether it says stop, and whether a sync kept it back.

        Of an echo also the hash of its text.
        """
        kept: dict[str, Any] = {"type": content.get("type")}
        if _is_echo(self.sender, self.traffic):
            kept["text"] = content.get("text")
        elif self.traffic != "outgoing":
            kept["stop"] = content
        if kept["type"] == "unsupported" and _SYNC_NOTE in str(content.get("text", "")).lower():
            kept["during_sync"] = True
        return kept

    @property
    def at(self) -> str | None:
        return _time_of(self.message_id) or read_moment(self.timestamp)


class _Person(Kept):
    id: keep.Identifier = None
    phone: keep.Phone = None


class _Channel(Kept):
    id: keep.Identifier = None
    source: keep.Word = None


class RespondIOWebhook(Open):
    """One delivery of respond.io, or one of its messages in the same shape."""

    event_type: keep.Word = None
    event_id: keep.Identifier = None
    contact: keep.Part[_Person] = None
    channel: keep.Part[_Channel] = None
    message: keep.Part[_RespondIOMessage] = None

    def events(self, received_at: str) -> Iterator[Event]:
        """The message, then its statuses; `received_at` (RFC 3339) is for what has no time."""
        message = self.message
        traffic = message.traffic if message else None
        direction = _DIRECTIONS.get(traffic or "") or _DIRECTIONS.get(self.event_type or "")
        if not message or direction is None or self.event_type not in _MESSAGE_EVENTS:
            at = _time_of(message.message_id if message else None) or received_at
            name, field = name_of(self.kept()), self.event_type or "unknown"
            yield self._event(Kind.OTHER, name, at, field=field)
            return
        at = message.at or received_at
        yield self._message_event(message, direction, at)
        for status in message.status or ():
            if message.message_id and status.value:
                word = status.value.lower()
                name, moment = f"{message.message_id}:{word}", read_moment(status.timestamp) or at
                yield self._event(
                    Kind.STATUS, name, moment, message, status=word, code=status.message
                )

    def _message_event(self, message: _RespondIOMessage, direction: str, at: str) -> Event:
        content = message.message or _Content()
        source = message.sender.source if message.sender else None
        name = message.message_id or message.channel_message_id or name_of(message.kept())
        if _is_echo(message.sender, message.traffic):
            return self._event(
                *(Kind.ECHO, name, at, message),
                type=content.type,
                text_hash=content.text["hash"] if content.text else None,
                source=source,
                undated=None if message.at else True,
            )
        if direction == "in" and content.type == "unsupported":
            return self._event(Kind.UNSUPPORTED, name, at, message, during_sync=content.during_sync)
        return self._event(
            *(Kind.MESSAGE, name, at, message),
            direction=direction,
            type=content.type,
            source=source,
            stop="word" if content.stop and direction == "in" else None,
        )

    def _event(
        self,
        kind: Kind,
        name: str,
        at: str,
        message: _RespondIOMessage | None = None,
        **data: Unpack[EventData],
    ) -> Event:
        person = self.contact or _Person()
        contact_id, wamid = person.id, ""
        if message is not None:
            contact_id, wamid = person.id or message.contact_id, message.channel_message_id or ""
            data["respondio_message_id"], data["contact_id"] = message.message_id, contact_id
        return Event(
            key=f"{Source.RESPONDIO}:{kind}:{name}",
            kind=kind,
            source=Source.RESPONDIO,
            at=at,
            respondio_channel_id=self._channel_id,
            contact=person.phone or (f"contact:{contact_id}" if contact_id else None),
            message_id=wamid if wamid.startswith("wamid.") else None,
            data=reported(**data),
        )

    @property
    def _channel_id(self) -> int | None:
        channel_id = self.channel.id if self.channel else None
        text = channel_id or (self.message.channel_id if self.message else None) or ""
        found = int(text) if text.isascii() and text.isdigit() else _LARGEST_ID
        return found if found < _LARGEST_ID else None


def _time_of(message_id: str | None) -> str | None:
    is_number = message_id and message_id.isdigit() and int(message_id) >= _FIRST_MICROSECOND
    return read_moment(message_id) if is_number else None
