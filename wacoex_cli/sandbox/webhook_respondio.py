"""The bodies of respond.io's webhooks, as its integrations read them (respond.io: webhooks)."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, Contact, RespondIOWorld
from wacoex_cli.sandbox.webhook_messages import PERSON

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Desk:
    """The workspace that tells something, and when it happened (Unix seconds)."""

    workspace: RespondIOWorld
    at: float
    new_message_id: Callable[[str], str]

    def person(self, phone: str) -> Contact:
        """The contact with that number; it is added when there is none."""
        return self.workspace.find(f"phone:{phone}") or self.workspace.add_contact(phone, "Ana")

    def event_id(self) -> str:
        """A new id of an event."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, self.new_message_id("event")))


def desk_of(world: World, at: float) -> Desk:
    """The workspace of this world at that moment (Unix seconds)."""
    return Desk(world.respondio, at, world.message_id)


def inbound(
    desk: Desk,
    *,
    contact: str = PERSON,
    text: str = "Are you open today?",
    channel_id: int = RESPONDIO_CHANNEL_ID,
) -> list[Body]:
    """`message.received`: a message from a customer."""
    return [_received(desk, contact, {"type": "text", "text": text}, channel_id)]


def unsupported(
    desk: Desk, *, contact: str = PERSON, channel_id: int = RESPONDIO_CHANNEL_ID
) -> list[Body]:
    """`message.received` of a type that respond.io cannot show."""
    return [_received(desk, contact, {"type": "unsupported"}, channel_id)]


def outgoing(
    desk: Desk,
    *,
    contact: str = PERSON,
    text: str = "We open at nine.",
    sent_by: str = "user",
    message_id: str = "",
    channel_id: int = RESPONDIO_CHANNEL_ID,
) -> list[Body]:
    """`message.sent`: a message of the business; `sent_by` is the source of its sender."""
    person = desk.person(contact)
    item = desk.workspace.add_message(
        person,
        {"type": "text", "text": text},
        traffic="outgoing",
        source=sent_by,
        at=desk.at,
        channel_id=channel_id,
        channel_message_id=message_id or desk.new_message_id(contact),
    )
    return [sent(desk, person, item)]


def sent(desk: Desk, person: Contact, item: Body) -> Body:
    """`message.sent` of a message that is in the workspace already."""
    return _body(desk, "message.sent", person, {**item, "status": list(item["status"])})


def echo(
    desk: Desk,
    *,
    contact: str = PERSON,
    text: str = "We open at nine.",
    message_id: str = "",
    channel_id: int = RESPONDIO_CHANNEL_ID,
) -> list[Body]:
    """`message.sent` of a message sent in the Business app, or on a companion."""
    return outgoing(
        desk,
        contact=contact,
        text=text,
        sent_by="echo",
        message_id=message_id,
        channel_id=channel_id,
    )


def other(desk: Desk, *, event_type: str = "contact.created", contact: str = PERSON) -> list[Body]:
    """Any other event; an empty `event_type` is the `Send Test` call, which has none."""
    body: Body = {"contact": desk.person(contact).to_json()}
    if event_type:
        body |= {"event_type": event_type, "event_id": desk.event_id()}
    return [body]


def _received(desk: Desk, contact: str, message: Body, channel_id: int) -> Body:
    person = desk.person(contact)
    item = desk.workspace.add_message(
        person,
        message,
        at=desk.at,
        channel_id=channel_id,
        channel_message_id=desk.new_message_id(contact),
    )
    return _body(desk, "message.received", person, item)


def _body(desk: Desk, event_type: str, person: Contact, item: Body) -> Body:
    channels = desk.workspace.channels
    channel = next((one for one in channels if one["id"] == item["channelId"]), None)
    return {
        "event_type": event_type,
        "event_id": desk.event_id(),
        "contact": person.to_json(),
        "message": {**item, "timestamp": int(desk.at)},
        "channel": channel or {"id": item["channelId"]},
    }
