"""The face of respond.io's Developer API: paths to answers, and the calls that change it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from wacoex_cli.sandbox.respondio_world import Contact, RespondIOWorld
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import World

PREFIX = "/respondio/v2/"
_LARGEST_PAGE = 100
_LARGEST_PAGE_OF_MESSAGES = 50
_DEFAULT_PAGE = 10
_FIREWALL = b"<html><head><title>403 Forbidden</title></head><body>403 Forbidden</body></html>"


class _Refusal(Exception):
    """An answer that is no success: `{"code", "message"}` (respond.io: errors)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = json_reply({"code": status, "message": message}, status=status)


def answer(world: World, call: Call) -> Reply:
    """The answer to a call of the Developer API, with the rate headers of its endpoint."""
    respondio = world.respondio
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if not token:
        return Reply(403, _FIREWALL, {"Content-Type": "text/html"})
    if scheme.lower() != "bearer" or not hmac.compare_digest(token, respondio.token):
        return _Refusal(401, "Unauthorized").reply
    path = call.path.removeprefix(PREFIX)
    for method, pattern, endpoint, handler in _ROUTES:
        match = pattern.fullmatch(path)
        if match and method == call.method:
            return _limited(respondio, call, endpoint, handler, match)
    return _Refusal(404, f"Cannot {call.method} /v2/{path}").reply


def change(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, object]:
    """Add contacts, messages and statuses, set limits; raises ValueError for what is unfit."""
    try:
        return _changed(respondio, values)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not usable: {error}") from error


Handler = Callable[[RespondIOWorld, Call, "re.Match[str]"], object]


def _limited(
    respondio: RespondIOWorld, call: Call, endpoint: str, handler: Handler, match: re.Match[str]
) -> Reply:
    is_admitted, headers = respondio.admit(endpoint)
    if not is_admitted:
        body = {"code": 429, "message": "Too many requests"}
        return json_reply(body, status=429, headers=headers)
    try:
        reply = json_reply(handler(respondio, call, match))
    except _Refusal as refusal:
        reply = refusal.reply
    return Reply(reply.status, reply.body, {**reply.headers, **headers})


def _channels(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    return _page(call, respondio.channels, "id", _LARGEST_PAGE)


def _users(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    owner = {"id": 1, "firstName": "Sandbox", "lastName": "", "role": "owner", "team": None}
    return _page(call, [owner], "id", _LARGEST_PAGE)


def _contacts(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    body = call.json()
    if not isinstance(body, dict) or not {"search", "timezone", "filter"} <= body.keys():
        raise _Refusal(400, "search, timezone and filter are required")
    if body["filter"] not in ({"$and": []}, {"$or": []}, {}):
        raise _Refusal(400, "this sandbox knows no filter conditions")
    search = str(body["search"])
    found = [
        one.to_json()
        for one in sorted(respondio.contacts.values(), key=lambda one: -one.id)
        if search in f"{one.first_name} {one.phone or ''}"
    ]
    return _page(call, found, "id", _LARGEST_PAGE)


def _contact(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    return _found(respondio, match).to_json()


def _contact_channels(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    contact = _found(respondio, match)
    known = {channel["id"]: channel for channel in respondio.channels}
    used = {item["channelId"] for item in contact.messages.values()} & known.keys()
    rows = [
        {**known[number], "meta": "{}", **_last_times(contact, number)} for number in sorted(used)
    ]
    return _page(call, rows, "id", _LARGEST_PAGE)


def _last_times(contact: Contact, channel_id: int) -> dict[str, int | None]:
    """Unix milliseconds (respond.io: contact channels, as seen live)."""
    items = [one for one in contact.messages.values() if one["channelId"] == channel_id]
    incoming = [one for one in items if one["traffic"] == "incoming"]
    newest, newest_incoming = (
        max((one["messageId"] // 1000 for one in each), default=None) for each in (items, incoming)
    )
    return {"lastMessageTime": newest, "lastIncomingMessageTime": newest_incoming}


def _messages(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    items = _found(respondio, match).newest_first()
    return _page(call, items, "messageId", _LARGEST_PAGE_OF_MESSAGES)


def _message(respondio: RespondIOWorld, call: Call, match: re.Match[str]) -> object:
    item = _found(respondio, match).messages.get(int(match["message"]))
    if item is None:
        raise _Refusal(404, "Message not found")
    return item


def _found(respondio: RespondIOWorld, match: re.Match[str]) -> Contact:
    try:
        contact = respondio.find(match["contact"])
    except ValueError as error:
        raise _Refusal(400, str(error)) from error
    if contact is None:
        raise _Refusal(404, "Contact not found")
    if contact.ready_at > respondio.now():
        raise _Refusal(449, "The request is queued, try again in a few minutes")
    return contact


def _page(
    call: Call, rows: Sequence[Mapping[str, Any]], key: str, largest: int
) -> dict[str, object]:
    """One page, ids falling or rising as the list does; the cursor is the id of its last item.

    Raises _Refusal 400 for a limit outside 1 to 100, or a cursor that is no id of the list.
    """
    limit = _whole_number(call.query.get("limit", str(_DEFAULT_PAGE)))
    if not 1 <= limit <= _LARGEST_PAGE:
        raise _Refusal(400, "limit must be between 1 and 100")
    start = 0
    if call.query.get("cursorId"):
        cursor = _whole_number(call.query["cursorId"])
        places = [place for place, row in enumerate(rows) if row[key] == abs(cursor)]
        if not places:
            raise _Refusal(400, "cursorId is not valid")
        start = places[0] + 1
    part = rows[start : start + min(limit, largest)]
    pagination: dict[str, str | None] = {"next": None, "previous": None}
    if part and start + len(part) < len(rows):
        pagination["next"] = _url(call, limit, part[-1][key])
    if part and start:
        pagination["previous"] = _url(call, limit, -part[0][key])
    return {"items": list(part), "pagination": pagination}


def _url(call: Call, limit: int, cursor: int) -> str:
    return f"{call.origin}{call.path}?{urlencode({'limit': limit, 'cursorId': cursor})}"


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _Refusal(400, f"{text} is not a number") from None


def _changed(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, object]:
    contacts = [
        respondio.add_contact(
            one.get("phone"), one.get("firstName", ""), ready_in=one.get("ready_in", 0)
        ).id
        for one in values.get("contacts", [])
    ]
    messages = [_added(respondio, one)["messageId"] for one in values.get("messages", [])]
    for one in values.get("statuses", []):
        respondio.add_status(int(one["messageId"]), str(one["value"]), one.get("message"))
    if "channels" in values:
        respondio.set_channels(values["channels"])
    for endpoint, limit in values.get("limits", {}).items():
        respondio.set_limit(endpoint, int(limit))
    respondio.retry_after = int(values.get("retry_after", respondio.retry_after))
    respondio.token = str(values.get("token", respondio.token))
    return {"contacts": contacts, "messages": messages}


def _added(respondio: RespondIOWorld, values: Mapping[str, Any]) -> dict[str, Any]:
    contact = respondio.find(str(values["contact"]))
    if contact is None:
        raise ValueError(f"there is no contact `{values['contact']}`")
    more = {
        name: values[name]
        for name in ("traffic", "source", "at", "channel_id", "channel_message_id", "status")
        if name in values
    }
    return respondio.add_message(contact, values["message"], **more)


_CONTACT = r"contact/(?P<contact>[^/]+)"
_ROUTES: Sequence[tuple[str, re.Pattern[str], str, Handler]] = (
    ("GET", re.compile("space/channel"), "space/channel", _channels),
    ("GET", re.compile("space/user"), "space/user", _users),
    ("POST", re.compile("contact/list"), "contact/list", _contacts),
    ("GET", re.compile(_CONTACT), "contact", _contact),
    ("GET", re.compile(f"{_CONTACT}/channels"), "contact/channels", _contact_channels),
    ("GET", re.compile(f"{_CONTACT}/message/list"), "message/list", _messages),
    ("GET", re.compile(rf"{_CONTACT}/message/(?P<message>[0-9]+)"), "message", _message),
)
CHANGES = frozenset(
    {"channels", "contacts", "messages", "statuses", "limits", "retry_after", "token"}
)
"""What `change` takes."""
