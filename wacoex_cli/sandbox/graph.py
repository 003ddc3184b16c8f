"""The face of the Graph API: paths to answers, with the faults that stand."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from wacoex_cli.sandbox.access import examine, token_of, visible_node
from wacoex_cli.sandbox.assigned import assigned_users
from wacoex_cli.sandbox.breakages import spoil
from wacoex_cli.sandbox.faults import Fault, Request
from wacoex_cli.sandbox.history_edge import message_history
from wacoex_cli.sandbox.messages import recipient_of
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, WABA, Node, select
from wacoex_cli.sandbox.oauth import exchange
from wacoex_cli.sandbox.paging import StaleCursor, page
from wacoex_cli.sandbox.refusals import Refusal, error_body, nonexisting_field, unknown_object
from wacoex_cli.sandbox.sending import send_message
from wacoex_cli.sandbox.subscriptions import change, of_app
from wacoex_cli.sandbox.sync_edge import start_sync
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import READ_SCOPE, World

_PATH = re.compile(r"(?:/v(?P<major>\d+)\.\d+)?/(?P<node>[^/]+)(?:/(?P<edge>[^/]+))?/?")
_LATEST_MAJOR = 26
_STALE_CURSOR_MAJOR = 24  # from then on a stale cursor is 131059 (Meta: changelog)
_WRITES = ("POST", "DELETE")
# Meta: onboarding app users. They would take a Coexistence number away from the app.
_NEVER_POSTED = ("register", "deregister")
_TEMPLATE_FILTERS = ("name", "status", "language", "category")


@dataclass(frozen=True, slots=True)
class _Target:
    major: int
    node: str
    edge: str | None


async def answer(world: World, call: Call) -> Reply:
    """The answer to a request to the Graph API, after the delays that stand."""
    target = _target(call.path)
    is_message = target is not None and call.method == "POST" and target.edge == "messages"
    request = Request(
        path=call.path,
        is_message=is_message,
        phone_number_id=target.node if target else None,
        recipient=recipient_of(call.json()) if is_message else None,
    )
    treatment = world.faults.choose(request)
    if treatment.arrival_jitter:
        await asyncio.sleep(treatment.arrival_jitter)
    fault = treatment.fault
    if is_message and target is not None:
        reply = send_message(world, call, target.node, fault)
    else:
        reply = _read(world, call, target, fault)
    if treatment.latency:
        await asyncio.sleep(treatment.latency)
    return reply if fault is None else spoil(fault, reply, world.trace_id())


def _target(path: str) -> _Target | None:
    """Which node and edge; without a version the newest one answers, ended ones still do."""
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    return _Target(int(match["major"] or _LATEST_MAJOR), match["node"], match["edge"])


def _read(world: World, call: Call, target: _Target | None, fault: Fault | None) -> Reply:
    if fault is not None and not fault.takes_message:
        return Reply()
    try:
        return json_reply(_answer_read(world, call, target))
    except Refusal as refusal:
        body = error_body(refusal, world.trace_id())
        return json_reply(body, status=refusal.status, headers=refusal.headers)


def _answer_read(world: World, call: Call, target: _Target | None) -> dict[str, object]:
    if target is not None and call.method == "GET" and target.edge == "subscriptions":
        return of_app(world, call, target.node)
    if target is not None and (target.node, target.edge) == ("oauth", "access_token"):
        return exchange(world, call)
    token = token_of(world, call)
    if target is not None and call.method in _WRITES and target.edge == "subscribed_apps":
        node = visible_node(world, token, call, target.node, READ_SCOPE)
        return change(world, call, token, node)
    if target is not None and call.method == "POST" and target.edge == "smb_app_data":
        return start_sync(world, call, visible_node(world, token, call, target.node, READ_SCOPE))
    _record_violation(world, call, target)
    if target is None or call.method != "GET":
        raise unknown_object(call.method, target.node if target else call.path)
    if target.node == "debug_token" and target.edge is None:
        if not call.query.get("input_token"):
            raise Refusal(100, message="(#100) The parameter input_token is required.")
        return {"data": examine(world, call.query["input_token"])}
    node = visible_node(world, token, call, target.node, READ_SCOPE)
    if target.edge is None:
        return select(node, call.query.get("fields"))
    return _edge(world, call, node, target)


def _record_violation(world: World, call: Call, target: _Target | None) -> None:
    if target is not None and call.method == "POST" and target.edge in _NEVER_POSTED:
        world.log.violations.append(f"POST /{target.node}/{target.edge}")


def _edge(world: World, call: Call, node: Node, target: _Target) -> dict[str, object]:
    if node.kind is WABA and target.edge == "phone_numbers":
        return _list(call, world.phone_numbers(node.id), "phone_numbers", target)
    if node.kind is WABA and target.edge == "message_templates":
        templates = [each for each in world.templates(node.id) if _matches(each, call)]
        return _list(call, templates, f"templates:{world.templates_revision}", target)
    if node.kind is WABA and target.edge == "subscribed_apps":
        return {"data": list(world.subscribed_apps.get(node.id, []))}
    if node.kind is WABA and target.edge == "assigned_users":
        return assigned_users(world, call, node)
    if node.kind is PHONE_NUMBER and target.edge == "message_history":
        return message_history(world, call, node)
    raise nonexisting_field(target.edge or "", node.kind.name)


def _matches(template: Node, call: Call) -> bool:
    wanted = {name: call.query[name] for name in _TEMPLATE_FILTERS if call.query.get(name)}
    return all(template.values[name] == value for name, value in wanted.items())


def _list(call: Call, nodes: list[Node], revision: str, target: _Target) -> dict[str, object]:
    rows = [select(node, call.query.get("fields")) for node in nodes]
    try:
        return page(rows, call.query, url=f"{call.origin}{call.path}", revision=revision)
    except StaleCursor as error:
        if target.major >= _STALE_CURSOR_MAJOR and target.edge == "message_templates":
            raise Refusal(131059, "Start again without a cursor.") from error
        raise Refusal(100, message="(#100) Invalid cursor") from error
