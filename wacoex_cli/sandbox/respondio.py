"""The face of respond.io's Developer API: paths to answers, with the faults that stand."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from wacoex_cli.sandbox import respondio_contacts, respondio_sending
from wacoex_cli.sandbox.faults import Fault, Request
from wacoex_cli.sandbox.respondio_calls import (
    LARGEST_PAGE_OF_MESSAGES,
    Declined,
    Handler,
    found,
    page,
)
from wacoex_cli.sandbox.respondio_faults import spoil
from wacoex_cli.sandbox.respondio_templates import templates
from wacoex_cli.sandbox.respondio_world import Contact
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import World

PREFIX = "/respondio/v2/"
_SEND = "message/send"
_FIREWALL = b"<html><head><title>403 Forbidden</title></head><body>403 Forbidden</body></html>"


@dataclass(frozen=True, slots=True)
class _Route:
    endpoint: str
    handler: Handler
    match: re.Match[str]


async def answer(world: World, call: Call) -> Reply:
    """The answer to a call of the Developer API, after the delays that stand."""
    route = _route(call)
    is_message = route is not None and route.endpoint == _SEND
    request = Request(path=call.path, only_by_path=True)
    if is_message and route is not None:
        request = respondio_sending.request(world, call, route.match)
    treatment = world.faults.choose(request)
    if treatment.arrival_jitter:
        await asyncio.sleep(treatment.arrival_jitter)
    reply = _attempt(world, call, route, request, treatment.fault)
    if treatment.latency:
        await asyncio.sleep(treatment.latency)
    return reply


def _attempt(
    world: World, call: Call, route: _Route | None, request: Request, fault: Fault | None
) -> Reply:
    """The answer at this moment; an attempt to send is kept in the log."""
    at = world.monotonic()
    world.respondio.catch_up()
    is_carried_out = fault is None or fault.takes_message
    reply = _answer(world, call, route) if is_carried_out else Reply()
    if request.is_message:
        respondio_sending.record(world, at, request, reply if is_carried_out else None, fault)
    endpoint = route.endpoint if route is not None else None
    return reply if fault is None else spoil(world, fault, reply, endpoint)


def _answer(world: World, call: Call, route: _Route | None) -> Reply:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if not token:
        return Reply(403, _FIREWALL, {"Content-Type": "text/html"})
    if scheme.lower() != "bearer" or not hmac.compare_digest(token, world.respondio.token):
        return Declined(401, "Unauthorized").reply
    if route is None:
        path = call.path.removeprefix(PREFIX)
        return Declined(404, f"Cannot {call.method} /v2/{path}").reply
    return _limited(world, call, route)


def _route(call: Call) -> _Route | None:
    path = call.path.removeprefix(PREFIX)
    for method, pattern, endpoint, handler in _ROUTES:
        match = pattern.fullmatch(path)
        if match and method == call.method:
            return _Route(endpoint.format(**match.groupdict()), handler, match)
    return None


def _limited(world: World, call: Call, route: _Route) -> Reply:
    is_admitted, headers = world.respondio.admit(route.endpoint)
    if not is_admitted:
        body = {"code": 429, "message": "Too many requests"}
        return json_reply(body, status=429, headers=headers)
    try:
        reply = json_reply(route.handler(world, call, route.match))
    except Declined as declined:
        reply = declined.reply
    return Reply(reply.status, reply.body, {**reply.headers, **headers})


def _channels(world: World, call: Call, match: re.Match[str]) -> object:
    return page(call, world.respondio.channels, "id")


def _users(world: World, call: Call, match: re.Match[str]) -> object:
    owner = {"id": 1, "firstName": "Sandbox", "lastName": "", "role": "owner", "team": None}
    return page(call, [owner], "id")


def _contacts(world: World, call: Call, match: re.Match[str]) -> object:
    body = call.json()
    if not isinstance(body, dict) or not {"search", "timezone", "filter"} <= body.keys():
        raise Declined(400, "search, timezone and filter are required")
    if body["filter"] not in ({"$and": []}, {"$or": []}, {}):
        raise Declined(400, "this sandbox knows no filter conditions")
    search = str(body["search"])
    matching = [
        one.to_json()
        for one in sorted(world.respondio.contacts.values(), key=lambda one: -one.id)
        if search in f"{one.first_name} {one.phone or ''}"
    ]
    return page(call, matching, "id")


def _contact(world: World, call: Call, match: re.Match[str]) -> object:
    return found(world.respondio, match["contact"]).to_json()


def _contact_channels(world: World, call: Call, match: re.Match[str]) -> object:
    contact = found(world.respondio, match["contact"])
    known = {channel["id"]: channel for channel in world.respondio.channels}
    used = {item["channelId"] for item in contact.messages.values()} & known.keys()
    rows = [
        {**known[number], "meta": "{}", **_last_times(contact, number)} for number in sorted(used)
    ]
    return page(call, rows, "id")


def _last_times(contact: Contact, channel_id: int) -> dict[str, int | None]:
    """Unix milliseconds (respond.io: contact channels, as seen live)."""
    items = [one for one in contact.messages.values() if one["channelId"] == channel_id]
    incoming = [one for one in items if one["traffic"] == "incoming"]
    newest, newest_incoming = (
        max((one["messageId"] // 1000 for one in each), default=None) for each in (items, incoming)
    )
    return {"lastMessageTime": newest, "lastIncomingMessageTime": newest_incoming}


def _messages(world: World, call: Call, match: re.Match[str]) -> object:
    items = found(world.respondio, match["contact"]).newest_first()
    return page(call, items, "messageId", LARGEST_PAGE_OF_MESSAGES)


def _message(world: World, call: Call, match: re.Match[str]) -> object:
    item = found(world.respondio, match["contact"]).messages.get(int(match["message"]))
    if item is None:
        raise Declined(404, "Message not found")
    return item


_CONTACT = r"contact/(?P<contact>[^/]+)"
_CREATE_OR_UPDATE = r"contact/create_or_update/(?P<contact>[^/]+)"
_TEMPLATES = r"space/channel/(?P<channel>[0-9]+)/(?P<path>template|mtm)"
_ROUTES: Sequence[tuple[str, re.Pattern[str], str, Handler]] = (
    ("GET", re.compile("space/channel"), "space/channel", _channels),
    ("GET", re.compile("space/user"), "space/user", _users),
    ("GET", re.compile(_TEMPLATES), "space/channel/{path}", templates),
    ("POST", re.compile("contact/list"), "contact/list", _contacts),
    ("GET", re.compile(_CONTACT), "contact", _contact),
    ("POST", re.compile(_CONTACT), "contact/create", respondio_contacts.create),
    ("PUT", re.compile(_CONTACT), "contact/update", respondio_contacts.update),
    (
        "POST",
        re.compile(_CREATE_OR_UPDATE),
        "contact/create_or_update",
        respondio_contacts.create_or_update,
    ),
    ("POST", re.compile(f"{_CONTACT}/message"), _SEND, respondio_sending.send),
    ("GET", re.compile(f"{_CONTACT}/channels"), "contact/channels", _contact_channels),
    ("GET", re.compile(f"{_CONTACT}/message/list"), "message/list", _messages),
    ("GET", re.compile(rf"{_CONTACT}/message/(?P<message>[0-9]+)"), "message", _message),
)
