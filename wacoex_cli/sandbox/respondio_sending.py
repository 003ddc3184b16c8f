"""Sending a message through respond.io, and what becomes of it (respond.io: messages).

Documented: the shape of the call, the answer `{"messageId"}`, a message id in microseconds, a
list of statuses that begins with `pending`, that the acceptance is no delivery, and that all who
send on a number share its 20 messages a second. Our choice: `channelId` must be given (the
platform would take the contact's last channel, and so maybe another number); texts and templates
only; what Meta refuses becomes a `failed` a moment later, whose text is Meta's code and title.
"""

from __future__ import annotations

import json
import re
from typing import Any

from wacoex_cli.sandbox.arrivals import Arrival
from wacoex_cli.sandbox.faults import REFUSALS, Fault, Request
from wacoex_cli.sandbox.messages import LONGEST_TEXT
from wacoex_cli.sandbox.nodes import Node
from wacoex_cli.sandbox.refusals import KNOWN_CODES, Refusal
from wacoex_cli.sandbox.respondio_calls import Declined, found, refuse_unknown
from wacoex_cli.sandbox.respondio_faults import status_of
from wacoex_cli.sandbox.respondio_parameters import check_template
from wacoex_cli.sandbox.respondio_templates import number_of
from wacoex_cli.sandbox.respondio_world import Contact
from wacoex_cli.sandbox.statuses import FAILS_AFTER, course
from wacoex_cli.sandbox.webhook_respondio import desk_of, sent
from wacoex_cli.sandbox.wire import Call, Reply
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, World

_OK = 200


def request(world: World, call: Call, match: re.Match[str]) -> Request:
    """What the choosing of faults looks at: the person, found by whatever names them."""
    kind, _, value = match["contact"].partition(":")
    try:
        contact = world.respondio.find(match["contact"])
    except ValueError:
        contact = None
    recipient = contact.phone if contact is not None else value if kind == "phone" else None
    return Request(call.path, True, PHONE_NUMBER_ID, recipient)


def send(world: World, call: Call, match: re.Match[str]) -> object:
    """Take a message. Raises Declined 400 for a wrong one, 404 and 449 as for every contact."""
    body = call.json()
    if not isinstance(body, dict):
        raise Declined(400, "the body must be a JSON object")
    refuse_unknown(body, {"channelId", "message"}, "the body")
    number = _number(world, body.get("channelId"))
    _check_message(world, number, body.get("message"))
    contact = found(world.respondio, match["contact"])
    if contact.phone is None:
        raise Declined(400, "the contact has no phone number")
    item = _take(world, number, contact, contact.phone, body)
    if world.callbacks.respondio_url is not None:
        told = sent(desk_of(world, world.now()), contact, item)
        world.outbox.add("respondio", told, due=world.monotonic())
    return {"messageId": item["messageId"]}


def record(
    world: World, at: float, request: Request, reply: Reply | None, fault: Fault | None
) -> None:
    """Keep an attempt in the log: `reply` is what respond.io did, None when it was never asked.

    The code is the HTTP status of a refusal.
    """
    is_taken = reply is not None and reply.status == _OK
    is_refused = reply is not None and not is_taken
    code = reply.status if reply is not None and is_refused else None
    if fault is not None and reply is None and fault.kind in REFUSALS:
        code = status_of(fault)
    world.record(
        Arrival(
            number=len(world.log) + 1,
            at=at,
            phone_number_id=request.phone_number_id or PHONE_NUMBER_ID,
            recipient=request.recipient,
            biz_opaque_callback_data=None,
            outcome="refused" if is_refused else "accepted" if fault is None else fault.kind,
            accepted=is_taken,
            code=code,
            message_id=str(json.loads(reply.body)["messageId"]) if reply and is_taken else None,
            api="respondio",
        )
    )


def _number(world: World, channel_id: object) -> Node:
    if not isinstance(channel_id, int) or isinstance(channel_id, bool):
        raise Declined(400, "channelId must be a number")
    known = {channel["id"] for channel in world.respondio.channels}
    number = number_of(world, channel_id) if channel_id in known else None
    if number is None:
        raise Declined(400, f"channel {channel_id} is no WhatsApp channel of this workspace")
    return number


def _check_message(world: World, number: Node, message: object) -> None:
    if not isinstance(message, dict):
        raise Declined(400, "message is required")
    kind = message.get("type")
    if kind == "text":
        refuse_unknown(message, {"type", "text"}, "message")
        text = message.get("text")
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT:
            raise Declined(400, f"message.text must be 1 to {LONGEST_TEXT} characters long")
    elif kind == "whatsapp_template":
        refuse_unknown(message, {"type", "template"}, "message")
        check_template(
            message.get("template"),
            lambda name, language: world.template(number.waba_id, name, language),
        )
    else:
        raise Declined(400, "this sandbox takes messages of type text and whatsapp_template")


def _take(
    world: World, number: Node, contact: Contact, phone: str, body: dict[str, Any]
) -> dict[str, Any]:
    """Add the message, ask Meta for it, and let its statuses follow."""
    respondio, now = world.respondio, world.now()
    item = respondio.add_message(
        contact,
        body["message"],
        traffic="outgoing",
        source="api",
        at=now,
        channel_id=body["channelId"],
        status=[{"value": "pending", "timestamp": int(now * 1000)}],
    )
    message_id = item["messageId"]
    try:
        item["channelMessageId"] = _hand_over(world, number, phone)
    except Refusal as refusal:
        item["channelMessageId"] = None
        why = _reason(refusal.code, None)
        respondio.add_status_later(message_id, "failed", why, at=now + FAILS_AFTER)
        return item
    # Unlike webhooks, statuses can be read without anybody having asked for them.
    steps = () if world.callbacks.statuses is False else course(world, number.id, phone)
    for step in steps:
        failure = step.failure
        text = _reason(failure.error_code or 0, failure.details) if failure else None
        for after in step.told_after:
            respondio.add_status_later(message_id, step.name, text, at=now + after)
    return item


def _hand_over(world: World, number: Node, phone: str) -> str:
    """What Meta says to respond.io: the id of the message. Raises Refusal."""
    if number.id in world.suspended or number.id in world.hidden:
        raise Refusal(133010)
    return world.take(number.id, phone, world.monotonic())


def _reason(code: int, details: str | None) -> str:
    return f"{code}: {details or KNOWN_CODES.get(code, (0, 'Message undeliverable'))[1]}"
