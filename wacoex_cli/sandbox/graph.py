"""The face of the Graph API: paths to answers, with the faults that stand."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from wacoex_cli.sandbox.faults import (
    HELD_BACK,
    Fault,
    GraphError,
    Request,
    nonexisting_field,
    spoil,
    unknown_object,
    wrong_parameter,
)
from wacoex_cli.sandbox.media import (
    NO_FORM,
    Form,
    begin_example,
    check_files,
    read_form,
    show_file,
    take_example,
    take_file,
)
from wacoex_cli.sandbox.messages import check_message, recipient_of
from wacoex_cli.sandbox.templates import change_templates, settle_reviews
from wacoex_cli.sandbox.webhooks import emit, follow
from wacoex_cli.sandbox.wire import (
    DAY_SECONDS,
    Arrival,
    Call,
    Reply,
    SyncCall,
    batch_reply,
    batched_calls,
    is_loopback,
    json_reply,
)
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_NAME,
    PARTNER_APP_ID,
    PHONE_NUMBER,
    READ_SCOPE,
    SEND_SCOPE,
    WABA,
    Node,
    Token,
    World,
    app_of,
    moment_of,
    subscribed_app,
)

DEFAULT_PAGE = 25
LARGEST_PAGE = 100
_SORTED_BY = frozenset({"creation_time", "last_onboarded_time"})
_SORT = re.compile(r"""\[?(?P<quote>['"]?)(?P<order>[a-z_.]+)(?P=quote)\]?""")
LONGEST_OVERRIDE = 200
TOKEN_SECONDS = 60 * DAY_SECONDS
"""How long a token lives that comes of the stock configuration (Meta: embedded signup)."""

_PATH = re.compile(
    r"(?:/v(?P<major>\d+)\.\d+)?/(?P<node>[^/]+)(?:/(?P<edge>[^/]+)(?:/(?P<verb>[^/]+))?)?/?"
)
_ROOT = re.compile(r"(?:/v\d+\.\d+)?/?")
_LATEST_MAJOR = 26
_STALE_CURSOR_MAJOR = 24  # from then on a stale cursor is 131059 (Meta: changelog)
# Meta: onboarding app users. They would take a Coexistence number away from the app.
_NEVER_POSTED = ("register", "deregister")
_TEMPLATE_FILTERS = ("name", "status", "language", "category")
_USER_FIELDS = ("id", "name", "tasks")
_OVERRIDE_KEYS = {"override_callback_uri", "verify_token"}
# Meta: onboarding business app users.
_SYNC_KINDS: Mapping[str, str] = {"smb_app_state_sync": "contact_sync", "history": "history"}
_SYNC_WITHIN_SECONDS = DAY_SECONDS
_SYNC_TOO_OFTEN = 2593107
_SYNC_TOO_LATE = 2593108
_HISTORY_STATUSES = ("SENT", "DELIVERED")
_HISTORY_FIELDS = {"id", "message_id", "events"}
_HISTORY_EVENT = {
    "webhook_update_state": "DELIVERED",
    "application": {"id": PARTNER_APP_ID},
    "webhook_uri": "https://app.respond.example/whatsapp",
    "error_description": "",
}
_HISTORY_EVENT_FIELDS = {"id", "delivery_status", "timestamp", *_HISTORY_EVENT}

Selection = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Target:
    """Which node and edge; without a version the newest one answers, ended ones still do."""

    major: int
    node: str
    edge: str | None
    verb: str | None = None


async def answer(world: World, call: Call) -> Reply:
    """The answer to a request to the Graph API, after the delays that stand."""
    if call.method == "POST" and _ROOT.fullmatch(call.path) and world.settings.takes_batches:
        return await _answer_batch(world, call)
    match = _PATH.fullmatch(call.path)
    target = _Target(_LATEST_MAJOR, call.path, None)
    if match is not None:
        target = _Target(int(match["major"] or _LATEST_MAJOR), *match.group("node", "edge", "verb"))
    is_message = (call.method, target.edge) == ("POST", "messages")
    request = Request(
        path=call.path,
        is_message=is_message,
        phone_number_id=target.node,
        recipient=recipient_of(call.json()) if is_message else None,
    )
    treatment = world.faults.choose(request)
    fault = treatment.fault
    if treatment.arrival_jitter:
        await asyncio.sleep(treatment.arrival_jitter)
    if is_message:
        reply = _send_message(world, call, target.node, fault)
    elif fault is not None and not fault.takes_message:
        reply = Reply()
    else:
        try:
            is_upload = (call.method, target.edge) == ("POST", "media")
            # In a thread: messages that arrive meanwhile are answered as they come.
            form = await asyncio.to_thread(read_form, call) if is_upload else NO_FORM
            reply = json_reply(_answer(world, call, target, form))
        except GraphError as error:
            reply = error.reply(world.trace_id())
    if treatment.latency:
        await asyncio.sleep(treatment.latency)
    return reply if fault is None else spoil(fault, reply, world.trace_id())


async def _answer_batch(world: World, call: Call) -> Reply:
    """The answers to the calls in a request, which takes as long as the slowest of them.

    A fault strikes the whole request where its `path` is `?batch`.
    """
    fault = world.faults.choose(Request(f"{call.path}?batch", only_by_path=True)).fault
    try:
        world.token_of(call)
        calls = batched_calls(call)
        if not world.settings.batch_passes_token:
            calls = [replace(part, headers={}) for part in calls]
        replies = await asyncio.gather(*(answer(world, part) for part in calls))
        reply = batch_reply(call, replies)
    except GraphError as error:
        reply = error.reply(world.trace_id())
    except ValueError as error:
        said = {"message": str(error), "type": "GraphBatchException"}
        reply = json_reply({"error": {**said, "fbtrace_id": world.trace_id()}}, status=400)
    return reply if fault is None else spoil(fault, reply, world.trace_id())


def _answer(world: World, call: Call, target: _Target, form: Form) -> dict[str, object]:
    if (call.method, target.edge) == ("GET", "subscriptions"):
        return _subscriptions(world, call, target.node)
    if (target.node, target.edge) == ("oauth", "access_token"):
        return _exchange(world, call)
    if call.method == "POST" and target.node.startswith("upload:"):
        return take_example(world, call, target.node)
    token = world.token_of(call)
    if (call.method, target.edge) == ("POST", "uploads"):
        return begin_example(world, call, token, target.node)
    if call.method in ("POST", "DELETE") and target.edge == "subscribed_apps":
        node = world.visible_node(token, call, target.node, READ_SCOPE)
        return _change_subscription(world, call, token, node)
    if (call.method, target.edge) == ("POST", "media"):
        return take_file(world, world.visible_node(token, call, target.node, SEND_SCOPE), form)
    if call.method in ("GET", "DELETE") and target.edge is None and target.node in world.media:
        return show_file(world, call, token, target.node)
    if (call.method, target.edge) == ("POST", "smb_app_data"):
        return _start_sync(world, call, world.visible_node(token, call, target.node, READ_SCOPE))
    if call.method == "POST" and target.edge in _NEVER_POSTED:
        world.log.violations.append(f"POST /{target.node}/{target.edge}")
    if call.method in ("POST", "DELETE") and target.edge in (None, "message_templates"):
        node = world.visible_node(token, call, target.node, READ_SCOPE)
        review_templates(world)
        return change_templates(world, call, node, target.edge, target.verb)
    if call.method != "GET" or target.verb is not None:
        raise unknown_object(call.method, target.node)
    if (target.node, target.edge) == ("debug_token", None):
        if not call.query.get("input_token"):
            raise wrong_parameter("The parameter input_token is required.")
        return {"data": _examine(world, call.query["input_token"])}
    node = world.visible_node(token, call, target.node, READ_SCOPE)
    if target.edge is None:
        return select(node, call.query.get("fields"))
    return _edge(world, call, node, target)


def review_templates(world: World) -> None:
    """Review the templates that have waited long enough; webhooks report the result."""
    for node in settle_reviews(world):
        emit(
            world,
            "template_status",
            name=node.values["name"],
            language=node.values["language"],
            template_id=int(node.id),
            event=node.values["status"],
            reason=node.values["rejected_reason"],
        )


def _edge(world: World, call: Call, node: Node, target: _Target) -> dict[str, object]:
    fields = call.query.get("fields")
    if node.kind is WABA and target.edge == "phone_numbers":
        return _listed_numbers(world, call, node, fields)
    if node.kind is WABA and target.edge == "message_templates":
        review_templates(world)
        wanted = {name: call.query[name] for name in _TEMPLATE_FILTERS if call.query.get(name)}
        rows = [
            select(each, fields)
            for each in world.templates(node.id)
            if all(each.values[name] == text for name, text in wanted.items())
        ]
        stale = wrong_parameter("Invalid cursor")
        if target.major >= _STALE_CURSOR_MAJOR:
            stale = GraphError(131059, "Start again without a cursor.")
        return _page(call, rows, f"templates:{world.templates_revision}", stale=stale)
    if node.kind is WABA and target.edge == "subscribed_apps":
        return {"data": list(world.subscribed_apps.get(node.id, []))}
    if node.kind is WABA and target.edge == "assigned_users":
        return _assigned_users(world, call, node)
    if node.kind is PHONE_NUMBER and target.edge == "message_history":
        return _message_history(world, call, node)
    raise nonexisting_field(target.edge or "", node.kind.name)


def _listed_numbers(world: World, call: Call, node: Node, fields: str | None) -> dict[str, object]:
    refused = world.settings.list_refuses.intersection(parse_fields(fields) if fields else ())
    if refused:
        raise nonexisting_field(min(refused), PHONE_NUMBER.name)
    numbers, order = _in_order(world.phone_numbers(node.id), call.query.get("sort"))
    page = _page(call, numbers, f"phone_numbers:{order}")
    if len(page["data"]) > (world.settings.list_most or LARGEST_PAGE):
        said = "Please reduce the amount of data you're asking for, then retry your request"
        raise GraphError(1, message=said, status=500)
    omitted = world.settings.list_omits
    rows = [
        {name: value for name, value in select(each, fields).items() if name not in omitted}
        for each in page["data"]
    ]
    return {**page, "data": rows}


def _in_order(numbers: Sequence[Node], sort: str | None) -> tuple[list[Node], str]:
    """The numbers in the order that `sort` names, the newest first without it; and its name.

    Meta documents `['last_onboarded_time_ascending']` and `last_onboarded_time.asc`; the Graph
    takes the first and refuses the second. Raises GraphError 100 for what it does not take.
    Source: "Meta: business phone numbers", and answers that others have seen.
    """
    named = _SORT.fullmatch(sort or "last_onboarded_time_descending")
    order = named["order"] if named else str(sort)
    if not order.endswith(("_ascending", "_descending")):
        order += "_ascending"
    name, _, direction = order.rpartition("_")
    if name not in _SORTED_BY:
        raise wrong_parameter(f"Cannot sort by {order}")
    # The world's numbers stand in the order of their creation.
    newest_first = list(numbers)
    if name == "last_onboarded_time":
        newest_first.sort(key=lambda it: str(it.values[name] or ""), reverse=True)
    else:
        newest_first.reverse()
    return newest_first if direction == "descending" else newest_first[::-1], order


def _page(
    call: Call, rows: Sequence[object], revision: str, *, stale: GraphError | None = None
) -> dict[str, Any]:
    """One page of `rows` with cursors, and `next` when more follow.

    A cursor holds for one `revision` of the list. Raises `stale` (GraphError 100 if there is none)
    for another's, and GraphError 100 for a `limit` that is no number from 1 to 100.
    """
    text = call.query.get("limit", str(DEFAULT_PAGE))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= LARGEST_PAGE:
        raise wrong_parameter(f"Param limit must be from 1 to {LARGEST_PAGE}")
    start = 0
    if call.query.get("after"):
        try:
            cursor = json.loads(base64.urlsafe_b64decode(call.query["after"].encode()))
            cursor_revision, start = cursor
        except (ValueError, TypeError):
            cursor_revision = None
        if cursor_revision != revision or not isinstance(start, int):
            raise stale or wrong_parameter("Invalid cursor")
    end = min(start + int(text), len(rows))
    if start >= end:
        return {"data": []}
    before, after = (
        base64.urlsafe_b64encode(json.dumps([revision, offset]).encode()).decode()
        for offset in (start, end)
    )
    paging: dict[str, object] = {"cursors": {"before": before, "after": after}}
    if end < len(rows):
        query = urlencode({**call.query, "limit": text, "after": after})
        paging["next"] = f"{call.origin}{call.path}?{query}"
    return {"data": list(rows[start:end]), "paging": paging}


def select(node: Node, fields: str | None) -> dict[str, object]:
    """The fields of a node that a caller names, its id always among them.

    Raises GraphError 100 for a field that the node does not have.
    """
    selection = parse_fields(fields) if fields else {key: {} for key in node.kind.default_fields}
    _refuse_unknown(selection, node.kind.fields, node.kind.name)
    chosen: dict[str, object] = {}
    for name, inner in selection.items():
        value = node.values.get(name)
        if value is None:
            continue
        if name == "health_status":
            value = {"can_send_message": overall_health(value.get("entities", ())), **value}
        chosen[name] = _narrow(value, inner)
    return {**chosen, "id": node.id}


def overall_health(entities: Iterable[Mapping[str, object]]) -> str:
    """BLOCKED if any entity is, else LIMITED if any is, else AVAILABLE (Meta: health status)."""
    states = {entity.get("can_send_message") for entity in entities}
    return next((state for state in ("BLOCKED", "LIMITED") if state in states), "AVAILABLE")


def _refuse_unknown(names: Iterable[str], known: Iterable[str], node_type: str) -> None:
    for name in names:
        if name not in known:
            raise nonexisting_field(name, node_type)


def _narrow(value: Any, selection: Selection) -> Any:
    if not selection:
        return value
    if isinstance(value, list):
        return [_narrow(item, selection) for item in value]
    if not isinstance(value, dict):
        raise wrong_parameter("Subfields are not supported by this field")
    return {name: _narrow(value[name], inner) for name, inner in selection.items() if name in value}


def parse_fields(text: str) -> Selection:
    """`id,owner_business_info{id,name}` as nested dictionaries; an empty one means everything.

    Raises GraphError 100 when the text is not such a list.
    """
    root: Selection = {}
    open_levels = [root]
    last: Selection | None = None
    name_may_follow = True
    syntax_error = wrong_parameter(f"Syntax error in fields: {text}")
    for word in re.findall(r"\w+|\S", text):
        if word == "{" and last is not None:
            open_levels.append(last)
        elif word == "}" and len(open_levels) > 1 and not name_may_follow:
            open_levels.pop()
        elif word == "," and not name_may_follow:
            pass
        elif word[0].isalnum() and name_may_follow:
            last = open_levels[-1].setdefault(word, {})
            name_may_follow = False
            continue
        else:
            raise syntax_error
        last = None
        name_may_follow = word != "}"
    if len(open_levels) > 1 or name_may_follow:
        raise syntax_error
    return root


def _examine(world: World, value: str) -> dict[str, object]:
    """What `debug_token` says of a token (Meta: debug_token)."""
    token = world.tokens.get(value)
    if token is None:
        error = {"code": 190, "message": "Invalid OAuth access token."}
        return {"error": error, "is_valid": False, "scopes": []}
    wabas, scopes = sorted(token.waba_ids), sorted(token.scopes)
    return {
        "app_id": token.app_id,
        "type": token.type,
        "application": APP_NAME,
        "is_valid": not token.revoked and not token.expired(world.now()),
        "expires_at": int(token.expires_at),
        "data_access_expires_at": int(token.data_access_expires_at),
        "scopes": scopes,
        "granular_scopes": [{"scope": scope, "target_ids": wabas} for scope in scopes],
    }


def _exchange(world: World, call: Call) -> dict[str, object]:
    """The token for a code of the signup window; it sees the WABA of that signup, nothing else.

    Raises GraphError 101 for another app, 1 for a wrong secret, 100 for a code that is no good or
    a `redirect_uri`, which the window was not opened with.
    """
    for name in ("client_id", "client_secret", "code"):
        if not call.query.get(name):
            raise GraphError(101, message=f"Missing {name} parameter.")
    if call.query["client_id"] != APP_ID:
        raise GraphError(101, message="Error validating application. Invalid application ID.")
    if not hmac.compare_digest(call.query["client_secret"].encode(), world.app_secret().encode()):
        raise GraphError(1, message="Error validating client secret.")
    if call.query.get("redirect_uri"):
        raise GraphError(100, subcode=36008)
    waba_id = world.codes.take(call.query["code"], world.now())
    value = f"EAAsandboxsignup{world.next_number():010}"
    ends_at = world.now() + TOKEN_SECONDS
    seen = frozenset({waba_id})
    world.tokens[value] = Token(value, waba_ids=seen, business_id="", expires_at=ends_at)
    return {"access_token": value, "token_type": "bearer"}


def _assigned_users(world: World, call: Call, node: Node) -> dict[str, object]:
    """Those of the portfolio named by `business`; others than the owner have none.

    Raises GraphError 100 without a portfolio, and for a field that a user does not have.
    """
    business = call.query.get("business")
    if not business:
        raise wrong_parameter("The parameter business is required.")
    fields = list(parse_fields(call.query.get("fields") or "id,name"))
    _refuse_unknown(fields, _USER_FIELDS, "AssignedUser")
    is_owner = business == node.values.get("owner_business")
    users = world.assigned_users.get(node.id, []) if is_owner else []
    rows = [{name: user[name] for name in fields if name in user} for user in users]
    return _page(call, rows, f"users:{len(users)}")


def _change_subscription(world: World, call: Call, token: Token, node: Node) -> dict[str, object]:
    """POST attaches the calling app, DELETE detaches it (Meta: subscribed_apps, override).

    An override is an https address of at most 200 characters with its verify token; a POST
    without one clears it. Raises GraphError 100 for anything else.
    """
    if node.kind is not WABA:
        raise nonexisting_field("subscribed_apps", node.kind.name)
    apps = world.subscribed_apps.setdefault(node.id, [])
    others = [row for row in apps if app_of(row) != token.app_id]
    if call.method == "POST":
        others.append({**subscribed_app(token.app_id, APP_NAME), **_override(call)})
    apps[:] = others
    return {"success": True}


def _override(call: Call) -> dict[str, str]:
    values = call.json()
    if not isinstance(values, dict):
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        query = {name: text for name, text in call.query.items() if name in _OVERRIDE_KEYS}
        values = {**query, **form}
    unknown = sorted(values.keys() - _OVERRIDE_KEYS)
    if unknown:
        raise wrong_parameter(f"Unexpected parameter {unknown[0]}")
    url = values.get("override_callback_uri")
    if not url:
        return {}
    if not isinstance(url, str) or len(url) > LONGEST_OVERRIDE:
        longest = f"must be at most {LONGEST_OVERRIDE} characters long"
        raise wrong_parameter(f"Param override_callback_uri {longest}")
    parts = urlsplit(url)
    if not is_loopback(url) and (parts.scheme != "https" or not parts.hostname):
        raise wrong_parameter("Param override_callback_uri must be an https URL")
    if not values.get("verify_token"):
        raise wrong_parameter("The parameter verify_token is required.")
    return {"override_callback_uri": url}


def _subscriptions(world: World, call: Call, app_id: str) -> dict[str, object]:
    """The fields of the app, for a caller with the app's own token (Meta: app subscriptions).

    Raises GraphError 190 for another token, 100 for another app.
    """
    value = call.headers.get("authorization", "").removeprefix("Bearer ")
    expected = f"{APP_ID}|{world.app_secret()}"
    if "|" not in value:
        raise GraphError(15, message="(#15) This method must be called with an app access_token.")
    if not hmac.compare_digest(value.encode(), expected.encode()):
        raise GraphError(190, message="Error validating application. Invalid application ID.")
    if app_id != APP_ID:
        raise wrong_parameter("The app of the token is another one than that of the path")
    row = {
        "object": "whatsapp_business_account",
        "callback_url": world.callbacks.meta_url or "https://hooks.bakery.example/webhooks/meta",
        "active": True,
        "fields": [{"name": name, "version": "v26.0"} for name in world.webhook_fields],
    }
    return {"data": [row] if world.webhook_fields else []}


def _start_sync(world: World, call: Call, node: Node) -> dict[str, object]:
    """Begin to copy one kind of data, once after connecting; its webhooks follow.

    Raises GraphError 2593107 for a kind that was asked for since the number was connected, 2593108
    more than 24 hours after that, 100 for a body or a number that does not fit.
    """
    if node.kind is not PHONE_NUMBER:
        raise nonexisting_field("smb_app_data", node.kind.name)
    body = call.json()
    values = body if isinstance(body, dict) else {}
    sync_type = str(values.get("sync_type"))
    if sync_type not in _SYNC_KINDS or values.get("messaging_product") != "whatsapp":
        raise GraphError(100, "messaging_product and a known sync_type are required")
    onboarding = str(node.values["last_onboarded_time"])
    before = [(each.phone_number_id, each.sync_type, each.onboarding) for each in world.log.syncs]
    code = None
    if not node.values["is_on_biz_app"]:
        code = 100
    elif (node.id, sync_type, onboarding) in before:
        code = _SYNC_TOO_OFTEN
    elif world.now() - moment_of(onboarding) > _SYNC_WITHIN_SECONDS:
        code = _SYNC_TOO_LATE
    world.log.syncs.append(SyncCall(node.id, sync_type, onboarding, code))
    if code is not None:
        raise GraphError(code)
    is_declined = sync_type == "history" and not world.settings.shares_history
    more = {"declined": True} if is_declined else {}
    emit(world, _SYNC_KINDS[sync_type], phone_number_id=node.id, **more)
    return {"messaging_product": "whatsapp", "request_id": f"sync-{world.next_number()}"}


def _message_history(world: World, call: Call, phone_number: Node) -> dict[str, object]:
    """The history of one message or a page of all (Meta: message history API).

    Messages that came through respond.io are left out, for the sake of simplicity.
    Raises GraphError 100 when the world's setting says that there is no such edge.
    """
    if not world.settings.message_history:
        raise nonexisting_field("message_history", phone_number.kind.name)
    selection = parse_fields(call.query.get("fields") or "id,message_id")
    _refuse_unknown(selection, _HISTORY_FIELDS, "WhatsAppMessageHistory")
    inner = selection.get("events") or ("id", "delivery_status", "timestamp")
    _refuse_unknown(inner, _HISTORY_EVENT_FIELDS, "WhatsAppMessageHistory")
    rows = []
    for arrival in reversed(world.log.accepted()):
        if arrival.api != "meta" or arrival.phone_number_id != phone_number.id:
            continue
        if call.query.get("message_id") not in (None, arrival.message_id):
            continue
        sent_at = int(world.now() - (world.monotonic() - arrival.at))
        events = [
            {
                "id": f"{arrival.number}{place}",
                "delivery_status": status,
                "timestamp": sent_at + place,
                **_HISTORY_EVENT,
            }
            for place, status in enumerate(
                () if arrival.message_id in world.held_back else _HISTORY_STATUSES
            )
        ]
        row = {
            "id": str(arrival.number),
            "message_id": arrival.message_id,
            "events": {"data": [{name: event[name] for name in inner} for event in events]},
        }
        rows.append({name: row[name] for name in ("id", *selection)})
    return _page(call, rows, "message_history")


def _send_message(world: World, call: Call, phone_number_id: str, fault: Fault | None) -> Reply:
    """One attempt to send: checked, rated, taken or refused, and kept in the log.

    With a fault that does not take messages nothing is checked, and the answer is empty: it is
    replaced anyway. With one that does, the answer is what the sender would have read.
    """
    body, at = call.json(), world.monotonic()
    reply, code, message_id, held_as = Reply(), None, None, ""
    outcome = "accepted" if fault is None else fault.kind
    if fault is not None and not fault.takes_message:
        code = fault.error_code
    else:
        try:
            message_id = _take(world, call, phone_number_id, body, at)
            given = str(body["to"] if "to" in body else body["recipient"])
            named = {"wa_id": given.removeprefix("+")} if "to" in body else {"user_id": given}
            contact = {"input": given, **named}
            request = Request("", True, phone_number_id, recipient_of(body))
            held_as = next((kind for kind in HELD_BACK if world.faults.strikes(kind, request)), "")
            message = {"id": message_id, "message_status": HELD_BACK.get(held_as, "accepted")}
            whole = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]}
            reply = json_reply(whole)
        except GraphError as error:
            outcome, code, reply = "refused", error.code, error.reply(world.trace_id())
    values = body if isinstance(body, dict) else {}
    callback_data = values.get("biz_opaque_callback_data")
    recipient = recipient_of(body)
    arrival = Arrival(
        number=len(world.log) + 1,
        at=at,
        phone_number_id=phone_number_id,
        recipient=recipient,
        biz_opaque_callback_data=callback_data if isinstance(callback_data, str) else None,
        outcome=outcome,
        accepted=message_id is not None,
        code=code,
        message_id=message_id,
        without_plus=recipient is not None and values.get("to", recipient) != recipient,
    )
    world.log.add(arrival)
    if message_id is not None and held_as:
        world.held_back[message_id] = arrival, values
    elif arrival.accepted:
        follow(world, arrival, values)
    return reply


def _take(world: World, call: Call, phone_number_id: str, body: object, at: float) -> str:
    phone = world.visible_node(world.token_of(call), call, phone_number_id, SEND_SCOPE)
    if phone.kind is not PHONE_NUMBER:
        raise unknown_object(call.method, phone_number_id)
    if phone.id in world.suspended:
        raise GraphError(133010)
    find_template = partial(world.template, phone.waba_id)
    recipient = check_message(
        body, sender=phone.phone, find_template=find_template, user_ids=world.user_ids
    )
    check_files(world, phone_number_id, body)
    return world.take(phone_number_id, recipient, at)
