"""The calls under `/_sandbox/`: what has arrived, and changing the world while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from inspect import isawaitable
from types import NoneType
from typing import Any

from wacoex_cli.sandbox import respondio_control, stories
from wacoex_cli.sandbox.faults import fault_from_json
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, TEMPLATE, WABA, Node, NodeKind
from wacoex_cli.sandbox.wire import Call, Reply, json_reply
from wacoex_cli.sandbox.world import World

PREFIX = "/_sandbox/"
_LOOPBACK = ("127.0.0.1", "::1")

Values = Mapping[str, Any]


async def answer(world: World, call: Call) -> Reply:
    """The answer to a control call: 400 with a text for what it cannot use."""
    if call.client not in _LOOPBACK:
        return json_reply({"error": "control calls come from this machine only"}, status=403)
    handler = _HANDLERS.get((call.method, call.path.removeprefix(PREFIX)))
    if handler is None:
        known = [f"{method} {PREFIX}{name}" for method, name in _HANDLERS]
        text = f"`{call.method} {call.path}` is no control call; known: {', '.join(known)}"
        return json_reply({"error": text}, status=404)
    try:
        found = handler(world, call)
        return json_reply(await found if isawaitable(found) else found)
    except ValueError as error:
        return json_reply({"error": str(error)}, status=400)


def _summary(world: World, call: Call) -> dict[str, object]:
    return world.log.summary()


def _arrivals(world: World, call: Call) -> dict[str, object]:
    since = call.query.get("since", "0")
    if not since.isdecimal():
        raise ValueError("`since` is the number of an arrival, 0 or more")
    rows = [asdict(arrival) for arrival in world.log.since(int(since))]
    return {"arrivals": rows, "last": len(world.log)}


def _put_faults(world: World, call: Call) -> dict[str, object]:
    values = _object(call, {"faults", "seed"})
    rows = values.get("faults")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("`faults` must be a list of objects")
    seed = values.get("seed")
    if seed is not None and not isinstance(seed, int):
        raise ValueError("`seed` must be a whole number")
    world.faults.replace([fault_from_json(row) for row in rows], seed=seed)
    return {"faults": len(rows)}


def _clear_faults(world: World, call: Call) -> dict[str, object]:
    world.faults.clear()
    return {"faults": 0}


def _set_limit(world: World, call: Call) -> dict[str, object]:
    values = _object(call, {"phone_number_id", "limit"})
    phone_number_id, limit = values.get("phone_number_id"), values.get("limit")
    node = world.nodes.get(str(phone_number_id))
    if node is None or node.kind is not PHONE_NUMBER:
        raise ValueError(f"`{phone_number_id}` is no phone number of this world")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise ValueError("`limit` must be a whole number of messages per second, 0 or more")
    world.set_limit(node.id, limit)
    return {"phone_number_id": node.id, "limit": limit}


def _reset(world: World, call: Call) -> dict[str, object]:
    world.reset()
    return {"reset": True}


def _patch_world(world: World, call: Call) -> dict[str, object]:
    edges = {"subscribed_apps", "assigned_users"}
    known = {*_NODE_SECTIONS, *edges, "webhook_fields", "tokens", "settings"}
    values = _object(call, known)
    for section, kind in _NODE_SECTIONS.items():
        for name, changes in _changes(values, section):
            world.patch_node(_node(world, kind, name), changes)
    for name, apps in _mapping(values.get("subscribed_apps", {}), "subscribed_apps").items():
        world.subscribed_apps[_node(world, WABA, name).id] = apps
    for name, users in _mapping(values.get("assigned_users", {}), "assigned_users").items():
        world.assigned_users[_node(world, WABA, name).id] = users
    world.webhook_fields = _names(values.get("webhook_fields", world.webhook_fields))
    for name, changes in _changes(values, "tokens"):
        world.patch_token(name, _typed(changes))
    world.patch_settings(_typed(_mapping(values.get("settings", {}), "settings")))
    return {"changed": sorted(values)}


def _change_respondio(world: World, call: Call) -> dict[str, object]:
    values = _object(call, set(respondio_control.CHANGES))
    return respondio_control.change(world.respondio, values)


def _show_respondio(world: World, call: Call) -> dict[str, object]:
    return respondio_control.show(world.respondio)


def _typed(changes: Values) -> Values:
    """The properties of a token or settings; raises ValueError for one of the wrong type."""
    for name, value in changes.items():
        if not isinstance(value, _TYPES.get(name, str)):
            raise ValueError(f"`{name}` has the wrong type")
    return {
        name: frozenset(value) if isinstance(value, list) else value
        for name, value in changes.items()
    }


def _node(world: World, kind: NodeKind, name: str) -> Node:
    """A node by its id; a template also by `name/language`."""
    found = world.nodes.get(name)
    if found is None and kind is TEMPLATE:
        template, _, language = name.partition("/")
        wabas = {node.waba_id for node in world.nodes.values()}
        candidates = (world.template(waba_id, template, language) for waba_id in sorted(wabas))
        found = next((node for node in candidates if node is not None), None)
    if found is None or found.kind is not kind:
        raise ValueError(f"`{name}` is no {kind.name} of this world")
    return found


def _changes(values: Values, section: str) -> list[tuple[str, Values]]:
    rows = _mapping(values.get(section, {}), section)
    return [(name, _mapping(changes, name)) for name, changes in rows.items()]


def _names(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("`webhook_fields` must be a list of names")
    return value


def _mapping(value: object, name: str) -> Values:
    if not isinstance(value, dict):
        raise ValueError(f"`{name}` must be an object")
    return value


def _object(call: Call, known: set[str]) -> Values:
    values = call.json()
    if not isinstance(values, dict):
        raise ValueError("the body must be a JSON object")
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"`{unknown[0]}` is not known here; known: {', '.join(sorted(known))}")
    return values


_NODE_SECTIONS: Mapping[str, NodeKind] = {
    "phone_numbers": PHONE_NUMBER,
    "wabas": WABA,
    "templates": TEMPLATE,
}
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "scopes": list,
    "waba_ids": list,
    "expires_at": (int, float),
    "data_access_expires_at": (int, float),
    "revoked": bool,
    "app_secret": (str, NoneType),
    "throttle_status": int,
    "pair_rate": bool,
    "message_history": bool,
    "shares_history": bool,
}
_HANDLERS: Mapping[tuple[str, str], Callable[[World, Call], object]] = {
    ("GET", "summary"): _summary,
    ("GET", "arrivals"): _arrivals,
    ("POST", "faults"): _put_faults,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "limit"): _set_limit,
    ("POST", "world"): _patch_world,
    ("GET", "respondio"): _show_respondio,
    ("POST", "respondio"): _change_respondio,
    ("POST", "reset"): _reset,
    **stories.HANDLERS,
}
