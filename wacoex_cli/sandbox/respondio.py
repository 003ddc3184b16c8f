"""The face of respond.io's Developer API: paths to answers, with the faults that stand."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from wacoex_cli.sandbox.faults import REFUSALS, Fault, GraphError, Request, spoil, title_of
from wacoex_cli.sandbox.messages import E164, LONGEST_TEXT, check_respondio_template
from wacoex_cli.sandbox.respondio_world import Contact, RespondIOWorld
from wacoex_cli.sandbox.webhooks import FAILS_AFTER, course, message_sent
from wacoex_cli.sandbox.wire import Arrival, Call, Reply, json_reply
from wacoex_cli.sandbox.world import PHONE_NUMBER, PHONE_NUMBER_ID, Node, World

PREFIX = "/respondio/v2/"
LARGEST_PAGE = 100
LARGEST_PAGE_OF_MESSAGES = 50
_DEFAULT_PAGE = 10
_SEND = "message/send"
_FIREWALL = b"<html><head><title>403 Forbidden</title></head><body>403 Forbidden</body></html>"
_BUSY = "The request is queued, try again in a few minutes"
_TOO_MANY = 429
_FAULT_STATUSES = {"throttled": _TOO_MANY, "expired_token": 401, "error_in_200": 200}
_STATUS_TEXTS: Mapping[int, str] = {
    401: "Unauthorized",
    404: "Contact not found",
    _TOO_MANY: "Too many requests",
    449: _BUSY,
}
_FIRST_TEMPLATE_ID = 51001
_TEXT_FIELDS = ("firstName", "lastName", "phone", "email", "language", "profilePic", "countryCode")

Handler = Callable[[World, Call, "re.Match[str]"], object]


class WorkspaceError(Exception):
    """An answer that is no success: `{"code", "message"}` (respond.io: errors)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = json_reply({"code": status, "message": message}, status=status)


@dataclass(frozen=True, slots=True)
class _Route:
    endpoint: str
    handler: Handler
    match: re.Match[str]


async def answer(world: World, call: Call) -> Reply:
    """The answer to a call of the Developer API, after the delays that stand."""
    route = _route(call)
    request = Request(path=call.path, only_by_path=True)
    if route is not None and route.endpoint == _SEND:
        request = Request(call.path, True, PHONE_NUMBER_ID, _recipient(world, route.match))
    treatment = world.faults.choose(request)
    fault = treatment.fault
    if treatment.arrival_jitter:
        await asyncio.sleep(treatment.arrival_jitter)
    at = world.monotonic()
    world.respondio.catch_up()
    is_carried_out = fault is None or fault.takes_message
    reply = _answer(world, call, route) if is_carried_out else Reply()
    if request.is_message:
        _record(world, at, request.recipient, reply if is_carried_out else None, fault)
    if fault is not None:
        reply = _spoil(world, fault, reply, route.endpoint if route is not None else None)
    if treatment.latency:
        await asyncio.sleep(treatment.latency)
    return reply


def _route(call: Call) -> _Route | None:
    for method, pattern, endpoint, handler in _ROUTES:
        match = re.fullmatch(pattern, call.path.removeprefix(PREFIX))
        if match and method == call.method:
            return _Route(endpoint.format(**match.groupdict()), handler, match)
    return None


def _answer(world: World, call: Call, route: _Route | None) -> Reply:
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    if not token:
        return Reply(403, _FIREWALL, {"Content-Type": "text/html"})
    if scheme.lower() != "bearer" or not hmac.compare_digest(token, world.respondio.token):
        return WorkspaceError(401, "Unauthorized").reply
    if route is None:
        path = call.path.removeprefix(PREFIX)
        return WorkspaceError(404, f"Cannot {call.method} /v2/{path}").reply
    is_admitted, headers = world.respondio.admit(route.endpoint)
    try:
        if not is_admitted:
            raise WorkspaceError(_TOO_MANY, _STATUS_TEXTS[_TOO_MANY])
        reply = json_reply(route.handler(world, call, route.match))
    except WorkspaceError as error:
        reply = error.reply
    return Reply(reply.status, reply.body, {**reply.headers, **headers})


def _spoil(world: World, fault: Fault, reply: Reply, endpoint: str | None) -> Reply:
    """What the caller gets to see in place of `reply`."""
    if fault.kind not in REFUSALS:
        return spoil(fault, reply, "")
    status = _status_of(fault)
    title = _STATUS_TEXTS.get(status) or title_of(fault.error_code or 0, "Bad request")
    headers = {}
    if status == _TOO_MANY and endpoint is not None:
        headers = world.respondio.turned_away(endpoint)
    body = {"code": status, "message": fault.details or title}
    return json_reply(body, status=status, headers={**headers, **fault.headers})


def _status_of(fault: Fault) -> int:
    """The HTTP status of a fault that refuses.

    respond.io has no codes of its own (respond.io: errors), so the `code` of a `refuse` is an
    HTTP status from 400 to 499; any other refusal is a 400 that has Meta's words.
    """
    if fault.status is not None:
        return fault.status
    if fault.code is not None and 400 <= fault.code <= 499:
        return fault.code
    return _FAULT_STATUSES.get(fault.kind, 400)


def _find_contact(respondio: RespondIOWorld, identifier: str) -> Contact | None:
    """The contact, if there is one. Raises WorkspaceError 400 for what is no identifier."""
    try:
        return respondio.find(identifier)
    except ValueError as error:
        raise WorkspaceError(400, str(error)) from error


def _ready_contact(respondio: RespondIOWorld, identifier: str) -> Contact:
    """The contact. Raises WorkspaceError 400 for no identifier, 404 for nobody, 449 while busy."""
    contact = _find_contact(respondio, identifier)
    if contact is None:
        raise WorkspaceError(404, "Contact not found")
    if contact.ready_at > respondio.now():
        raise WorkspaceError(449, _BUSY)
    return contact


def _object(call: Call, known: Collection[str], where: str) -> dict[str, Any]:
    """The body; raises WorkspaceError 400 for a key that is not known (strict: our choice)."""
    body = call.json()
    if not isinstance(body, dict):
        raise WorkspaceError(400, "the body must be a JSON object")
    _refuse_unknown(body, known, where)
    return body


def _refuse_unknown(given: Mapping[str, object], known: Collection[str], where: str) -> None:
    unknown = sorted(given.keys() - set(known))
    if unknown:
        raise WorkspaceError(400, f"{where} has an unknown property {unknown[0]}")


def _page(
    call: Call, rows: Sequence[Mapping[str, Any]], key: str = "id", largest: int = LARGEST_PAGE
) -> dict[str, object]:
    """One page, ids falling or rising as the list does; the cursor is the id of its last item.

    Raises WorkspaceError 400 for a limit outside 1 to 100, or a cursor that is no id of the list.
    """
    limit = _whole_number(call.query.get("limit", str(_DEFAULT_PAGE)))
    if not 1 <= limit <= LARGEST_PAGE:
        raise WorkspaceError(400, "limit must be between 1 and 100")
    start = 0
    if call.query.get("cursorId"):
        cursor = abs(_whole_number(call.query["cursorId"]))
        places = [place for place, row in enumerate(rows) if row[key] == cursor]
        if not places:
            raise WorkspaceError(400, "cursorId is not valid")
        start = places[0] + 1
    part = rows[start : start + min(limit, largest)]

    def url(cursor: int) -> str:
        return f"{call.origin}{call.path}?{urlencode({'limit': limit, 'cursorId': cursor})}"

    has_more = part and start + len(part) < len(rows)
    pagination = {
        "next": url(part[-1][key]) if has_more else None,
        "previous": url(-part[0][key]) if part and start else None,
    }
    return {"items": list(part), "pagination": pagination}


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise WorkspaceError(400, f"{text} is not a number") from None


def _channels(world: World, call: Call, match: re.Match[str]) -> object:
    return _page(call, world.respondio.channels)


def _users(world: World, call: Call, match: re.Match[str]) -> object:
    owner = {"id": 1, "firstName": "Sandbox", "lastName": "", "role": "owner", "team": None}
    return _page(call, [owner])


def _templates(world: World, call: Call, match: re.Match[str]) -> object:
    """respond.io's copy of the templates of a channel (respond.io: WhatsApp templates).

    respond.io's own programs use two paths, `template` and `mtm`; which one answers for WhatsApp
    is not known, so the world has one of them, and the other raises WorkspaceError 404. `mtm` says
    a little more; the shape of its quality is our guess. The case of the words (lower, as
    respond.io writes them elsewhere) is our reading.
    """
    respondio = world.respondio
    if match["path"] != respondio.template_path:
        raise WorkspaceError(404, f"Cannot GET {call.path.removeprefix('/respondio')}")
    number = _number_of(world, int(match["channel"]))
    nodes = [] if number is None else world.templates(number.waba_id)
    rows = []
    for place, node in enumerate(nodes, start=_FIRST_TEMPLATE_ID):
        values = node.values
        components = [_lowered(each) for each in values["components"]]
        reason = str(values.get("rejected_reason", "NONE"))
        row = {
            "id": place,
            "name": values["name"],
            "languageCode": values["language"],
            "category": str(values["category"]).lower(),
            "status": str(values["status"]).lower(),
            "statusDetail": None if reason == "NONE" else reason,
            "namespace": world.nodes[node.waba_id].values.get("message_template_namespace"),
            "components": json.dumps(components) if respondio.components_as_text else components,
            "bundle": {},
            "channelId": match["channel"],
            "botId": 1,
        }
        if match["path"] == "mtm":
            row |= {
                "templateId": node.id,
                "label": values["name"],
                "qualityScore": values.get("quality_score", {}).get("score"),
                "created_at": 1_760_000_000,
                "updated_at": 1_760_000_000,
            }
        rows.append(row)
    return _page(call, rows)


def _lowered(part: Mapping[str, Any]) -> dict[str, Any]:
    """A component of Meta's in respond.io's words: types and formats in lower case."""
    lowered: dict[str, Any] = {
        key: str(part[key]).lower() for key in ("type", "format") if key in part
    }
    if "buttons" in part:
        lowered["buttons"] = [_lowered(each) for each in part["buttons"]]
    return {**part, **lowered}


def _number_of(world: World, channel_id: int) -> Node | None:
    """The phone number of a channel: None for one that is not WhatsApp.

    This workspace has one number, so that all its WhatsApp channels are that one. Raises
    WorkspaceError 404 for no channel of the workspace.
    """
    for channel in world.respondio.channels:
        if channel["id"] == channel_id:
            is_whatsapp = "whatsapp" in channel["source"]
            node = world.nodes.get(PHONE_NUMBER_ID) if is_whatsapp else None
            return node if node is not None and node.kind is PHONE_NUMBER else None
    raise WorkspaceError(404, "Channel not found")


def _contacts(world: World, call: Call, match: re.Match[str]) -> object:
    body = call.json()
    if not isinstance(body, dict) or not {"search", "timezone", "filter"} <= body.keys():
        raise WorkspaceError(400, "search, timezone and filter are required")
    meets = _filter(body["filter"])
    rows = [
        shown
        for _, contact in sorted(world.respondio.contacts.items(), reverse=True)
        if str(body["search"]) in f"{contact.first_name} {contact.phone or ''}"
        and meets(shown := contact.to_json())
    ]
    return _page(call, rows)


def _filter(given: object) -> Callable[[Mapping[str, Any]], bool]:
    """Which contacts a filter chooses (respond.io: contacts, list).

    Raises WorkspaceError 400 for what is not `$and` or `$or` of conditions that are known here.
    """
    if given == {}:
        return lambda contact: True
    if not isinstance(given, dict) or len(given) != 1 or not given.keys() <= {"$and", "$or"}:
        raise WorkspaceError(400, "filter must be $and or $or of conditions")
    [(word, listed)] = given.items()
    if not isinstance(listed, list):
        raise WorkspaceError(400, f"{word} must be a list")
    conditions = [_condition(each) for each in listed]
    if not conditions:
        return lambda contact: True
    joined = all if word == "$and" else any
    return lambda contact: joined(condition(contact) for condition in conditions)


def _condition(given: object) -> Callable[[Mapping[str, Any]], bool]:
    if not isinstance(given, dict) or given.keys() != {"category", "field", "operator", "value"}:
        raise WorkspaceError(400, "a condition has category, field, operator and value")
    category, name, operator, value = (
        given[key] for key in ("category", "field", "operator", "value")
    )
    if category == "contactTag":
        if operator not in _TAG_OPERATORS or name is not None or not isinstance(value, list):
            raise WorkspaceError(400, "a tag is compared with a list, by hasAnyOf and similar")
        return lambda contact: _TAG_OPERATORS[operator](set(value), set(contact["tags"]))
    if operator not in ("isEqualTo", "isNotEqualTo") or not isinstance(value, str):
        raise WorkspaceError(400, f"{category} is compared with a text, by isEqualTo and similar")
    if category == "lifecycle" and name is None:
        name = "lifecycle"
    elif category != "contactField" or not isinstance(name, str):
        raise WorkspaceError(400, f"{category} is not a category of conditions")
    return lambda contact: (_field_of(contact, name) == value) is (operator == "isEqualTo")


_TAG_OPERATORS: Mapping[str, Callable[[set[str], set[str]], bool]] = {
    "hasAnyOf": lambda wanted, tags: bool(wanted & tags),
    "hasAllOf": lambda wanted, tags: wanted <= tags,
    "hasNoneOf": lambda wanted, tags: not wanted & tags,
}


def _field_of(contact: Mapping[str, Any], name: str) -> object:
    if name in contact:
        return contact[name]
    customs = contact["custom_fields"]
    return next((each["value"] for each in customs if each["name"] == name), None)


def _contact(world: World, call: Call, match: re.Match[str]) -> object:
    return _ready_contact(world.respondio, match["contact"]).to_json()


def _contact_channels(world: World, call: Call, match: re.Match[str]) -> object:
    """Times are Unix milliseconds (respond.io: contact channels, as seen live)."""
    items = _ready_contact(world.respondio, match["contact"]).messages.values()
    rows = []
    for channel in sorted(world.respondio.channels, key=lambda each: each["id"]):
        here = [item for item in items if item["channelId"] == channel["id"]]
        incoming = [item for item in here if item["traffic"] == "incoming"]
        last, last_incoming = (
            max((item["messageId"] // 1000 for item in each), default=None)
            for each in (here, incoming)
        )
        times = {"lastMessageTime": last, "lastIncomingMessageTime": last_incoming}
        if here:
            rows.append({**channel, "meta": "{}", **times})
    return _page(call, rows)


def _messages(world: World, call: Call, match: re.Match[str]) -> object:
    items = _ready_contact(world.respondio, match["contact"]).newest_first()
    return _page(call, items, "messageId", LARGEST_PAGE_OF_MESSAGES)


def _message(world: World, call: Call, match: re.Match[str]) -> object:
    item = _ready_contact(world.respondio, match["contact"]).messages.get(int(match["message"]))
    if item is None:
        raise WorkspaceError(404, "Message not found")
    return item


def _create(world: World, call: Call, match: re.Match[str]) -> object:
    """A new contact, by phone or email; the answer names no id. Raises WorkspaceError 409."""
    fields = _fields(call, needs_name=True)
    if _find_contact(world.respondio, match["contact"]) is not None:
        raise WorkspaceError(409, "Contact already exists")
    _add(world.respondio, match["contact"], fields)
    return {"code": 200, "message": "Contact created"}


def _create_or_update(world: World, call: Call, match: re.Match[str]) -> object:
    """The contact with these fields, whether it was there before or not."""
    fields = _fields(call, needs_name=True)
    if _find_contact(world.respondio, match["contact"]) is None:
        return {"contactId": _add(world.respondio, match["contact"], fields).id}
    return _write(world.respondio, _ready_contact(world.respondio, match["contact"]), fields)


def _update(world: World, call: Call, match: re.Match[str]) -> object:
    """The contact with some fields changed. Raises WorkspaceError 404 when there is none."""
    fields = _fields(call)
    return _write(world.respondio, _ready_contact(world.respondio, match["contact"]), fields)


def _add(respondio: RespondIOWorld, identifier: str, fields: Mapping[str, Any]) -> Contact:
    kind, _, value = identifier.partition(":")
    if kind == "id":
        raise WorkspaceError(400, "a contact is created by phone or email")
    if kind == "phone" and not E164.fullmatch(value):
        raise WorkspaceError(400, "phone must be a number with country code")
    # What happens to an identifier and a field that differ is not documented: refused here.
    if fields.get(kind, value) != value:
        raise WorkspaceError(400, f"{kind} differs from the identifier")
    phone = value if kind == "phone" else fields.get("phone")
    if phone is not None and respondio.find(f"phone:{phone}") is not None:
        raise WorkspaceError(409, "Contact already exists")
    contact = respondio.add_contact(phone, ready_in=respondio.contact_ready_seconds)
    _write(respondio, contact, {kind: value, **fields})
    return contact


def _write(respondio: RespondIOWorld, contact: Contact, fields: Mapping[str, Any]) -> object:
    phone = fields.get("phone", contact.phone)
    if phone != contact.phone:
        if phone is not None and respondio.find(f"phone:{phone}") is not None:
            raise WorkspaceError(409, "phone belongs to another contact")
        respondio.set_phone(contact, phone)
    contact.first_name = fields.get("firstName", contact.first_name)
    contact.more |= {key: fields[key] for key in fields.keys() - {"firstName", "phone"}}
    return {"contactId": contact.id}


def _fields(call: Call, *, needs_name: bool = False) -> dict[str, Any]:
    """What the body says of a contact (respond.io: contacts); phones lose spaces and dashes."""
    body = _object(call, (*_TEXT_FIELDS, "custom_fields"), "the contact")
    for name in _TEXT_FIELDS:
        if not isinstance(body.get(name), str | None):
            raise WorkspaceError(400, f"{name} must be a string")
    customs = body.get("custom_fields") or []
    if not isinstance(customs, list) or not all(
        isinstance(each, dict) and each.keys() == {"name", "value"} for each in customs
    ):
        raise WorkspaceError(400, "custom_fields must be a list of name and value")
    if isinstance(body.get("phone"), str):
        body["phone"] = re.sub(r"[ -]", "", body["phone"])
        if not E164.fullmatch(body["phone"]):
            raise WorkspaceError(400, "phone must be a number with country code")
    if needs_name and not body.get("firstName"):
        raise WorkspaceError(400, "firstName is required")
    return body


def _recipient(world: World, match: re.Match[str]) -> str | None:
    """The number of the person, found by whatever names them."""
    kind, _, value = match["contact"].partition(":")
    try:
        contact = world.respondio.find(match["contact"])
    except ValueError:
        contact = None
    return contact.phone if contact is not None else value if kind == "phone" else None


def _send(world: World, call: Call, match: re.Match[str]) -> object:
    """Take a message, ask Meta for it, and let its statuses follow (respond.io: messages).

    Documented: the shape of the call, the answer `{"messageId"}`, a message id in microseconds, a
    list of statuses that begins with `pending`, that the acceptance is no delivery, and that all
    who send on a number share its 20 messages a second. Our choice: `channelId` must be given (the
    platform would take the contact's last channel, and so maybe another number); texts and
    templates only; what Meta refuses becomes a `failed` a moment later, whose text is Meta's code
    and title.

    Raises WorkspaceError 400 for a wrong message, 404 and 449 as for every contact.
    """
    respondio, now = world.respondio, world.now()
    body = _object(call, {"channelId", "message"}, "the body")
    channel_id = body.get("channelId")
    if not isinstance(channel_id, int) or isinstance(channel_id, bool):
        raise WorkspaceError(400, "channelId must be a number")
    is_known = any(channel["id"] == channel_id for channel in respondio.channels)
    number = _number_of(world, channel_id) if is_known else None
    if number is None:
        raise WorkspaceError(400, f"channel {channel_id} is not a WhatsApp channel here")
    _check_message(world, number, body.get("message"))
    contact = _ready_contact(respondio, match["contact"])
    if contact.phone is None:
        raise WorkspaceError(400, "the contact has no phone number")
    item = respondio.add_message(
        contact,
        body["message"],
        traffic="outgoing",
        source="api",
        at=now,
        channel_id=channel_id,
        status=[{"value": "pending", "timestamp": int(now * 1000)}],
    )
    message_id, item["channelMessageId"] = item["messageId"], None
    try:
        if number.id in world.suspended or number.id in world.hidden:
            raise GraphError(133010)
        item["channelMessageId"] = world.take(number.id, contact.phone, world.monotonic())
    except GraphError as error:
        text = f"{error.code}: {error.title}"
        respondio.add_status_later(message_id, "failed", text, at=now + FAILS_AFTER)
    else:
        # Unlike webhooks, statuses can be read without anybody having asked for them.
        is_silent = world.callbacks.statuses is False
        steps = list(course(world, number.id, contact.phone))
        if not any(step.failure for step in steps):
            world.inbox.append((contact.phone, now, number.id, body["message"]))
        for step in () if is_silent else steps:
            failed = None
            if step.failure is not None:
                code = step.failure.error_code or 0
                title = title_of(code, "Message undeliverable")
                failed = f"{code}: {step.failure.details or title}"
            for after in step.sent_after:
                respondio.add_status_later(message_id, step.name, failed, at=now + after)
    if world.callbacks.respondio_url is not None:
        webhook = message_sent(world, contact, item, world.now())
        world.outbox.add("respondio", webhook, due=world.monotonic())
    return {"messageId": message_id}


def _check_message(world: World, number: Node, message: object) -> None:
    if not isinstance(message, dict):
        raise WorkspaceError(400, "message is required")
    kind = message.get("type")
    if kind == "text":
        _refuse_unknown(message, {"type", "text"}, "message")
        text = message.get("text")
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT:
            raise WorkspaceError(400, f"message.text must be 1 to {LONGEST_TEXT} characters long")
    elif kind == "whatsapp_template":
        _refuse_unknown(message, {"type", "template"}, "message")
        try:
            check_respondio_template(
                message.get("template"), partial(world.template, number.waba_id)
            )
        except GraphError as error:
            raise WorkspaceError(400, str(error)) from error
    else:
        raise WorkspaceError(400, "this sandbox takes messages of type text and whatsapp_template")


def _record(
    world: World, at: float, recipient: str | None, reply: Reply | None, fault: Fault | None
) -> None:
    """Keep an attempt in the log: `reply` is what respond.io did, None when it was never asked.

    The code is the HTTP status of a refusal.
    """
    outcome = "accepted" if fault is None else fault.kind
    code, message_id = None, None
    if reply is None and fault is not None and fault.kind in REFUSALS:
        code = _status_of(fault)
    if reply is not None and reply.status == 200:
        message_id = str(json.loads(reply.body)["messageId"])
    elif reply is not None:
        outcome, code = "refused", reply.status
    world.log.add(
        Arrival(
            number=len(world.log) + 1,
            at=at,
            phone_number_id=PHONE_NUMBER_ID,
            recipient=recipient,
            outcome=outcome,
            accepted=message_id is not None,
            code=code,
            message_id=message_id,
            api="respondio",
        )
    )


_CONTACT = r"contact/(?P<contact>[^/]+)"
_CREATE_OR_UPDATE = r"contact/create_or_update/(?P<contact>[^/]+)"
_TEMPLATES = r"space/channel/(?P<channel>[0-9]+)/(?P<path>template|mtm)"
_ROUTES: Sequence[tuple[str, str, str, Handler]] = (
    ("GET", "space/channel", "space/channel", _channels),
    ("GET", "space/user", "space/user", _users),
    ("GET", _TEMPLATES, "space/channel/{path}", _templates),
    ("POST", "contact/list", "contact/list", _contacts),
    ("GET", _CONTACT, "contact", _contact),
    ("POST", _CONTACT, "contact/create", _create),
    ("PUT", _CONTACT, "contact/update", _update),
    ("POST", _CREATE_OR_UPDATE, "contact/create_or_update", _create_or_update),
    ("POST", f"{_CONTACT}/message", _SEND, _send),
    ("GET", f"{_CONTACT}/channels", "contact/channels", _contact_channels),
    ("GET", f"{_CONTACT}/message/list", "message/list", _messages),
    ("GET", rf"{_CONTACT}/message/(?P<message>[0-9]+)", "message", _message),
)
