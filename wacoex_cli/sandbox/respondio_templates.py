"""respond.io's copy of the templates (respond.io: WhatsApp templates)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node
from wacoex_cli.sandbox.respondio_calls import Declined, page
from wacoex_cli.sandbox.wire import Call
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, World

_FIRST_ID = 51001
_COMPONENT_TYPES = ("type", "format")


def templates(world: World, call: Call, match: re.Match[str]) -> object:
    """The templates of a channel. Raises Declined 404 on the path that this world does not have.

    respond.io's own programs use two paths, `template` and `mtm`; which one answers for
    WhatsApp is not known, so the world has one of them. `mtm` tells a little more. The case of
    the words (lower, as respond.io writes them elsewhere) is our reading.
    """
    respondio = world.respondio
    if match["path"] != respondio.template_path:
        raise Declined(404, f"Cannot GET {call.path.removeprefix('/respondio')}")
    number = number_of(world, int(match["channel"]))
    nodes = [] if number is None else world.templates(number.waba_id)
    rows = [
        _item(world, node, place, match["channel"], is_mtm=match["path"] == "mtm")
        for place, node in enumerate(nodes, start=_FIRST_ID)
    ]
    return page(call, rows, "id")


def number_of(world: World, channel_id: int) -> Node | None:
    """The phone number of a channel: None for one that is not WhatsApp.

    This workspace has one number, so that all its WhatsApp channels are that one. Raises
    Declined 404 for no channel of the workspace.
    """
    for channel in world.respondio.channels:
        if channel["id"] == channel_id:
            is_whatsapp = "whatsapp" in channel["source"]
            node = world.nodes.get(PHONE_NUMBER_ID) if is_whatsapp else None
            return node if node is not None and node.kind is PHONE_NUMBER else None
    raise Declined(404, "Channel not found")


def _item(
    world: World, node: Node, number: int, channel_id: str, *, is_mtm: bool
) -> dict[str, Any]:
    values = node.values
    components = [_component(each) for each in values["components"]]
    reason = str(values.get("rejected_reason", "NONE"))
    item = {
        "id": number,
        "name": values["name"],
        "languageCode": values["language"],
        "category": str(values["category"]).lower(),
        "status": str(values["status"]).lower(),
        "statusDetail": None if reason == "NONE" else reason,
        "namespace": world.nodes[node.waba_id].values.get("message_template_namespace"),
        "components": json.dumps(components) if world.respondio.components_as_text else components,
        "bundle": {},
        "channelId": channel_id,
        "botId": 1,
    }
    return {**item, **_mtm(values, node.id)} if is_mtm else item


def _mtm(values: Mapping[str, Any], template_id: str) -> dict[str, Any]:
    """What the other path adds; the shape of the quality is our guess."""
    return {
        "templateId": template_id,
        "label": values["name"],
        "qualityScore": values.get("quality_score", {}).get("score"),
        "created_at": 1_760_000_000,
        "updated_at": 1_760_000_000,
    }


def _component(part: Mapping[str, Any]) -> dict[str, Any]:
    """A component of Meta's in respond.io's words: types and formats in lower case."""
    lowered: dict[str, Any] = {
        key: str(part[key]).lower() for key in _COMPONENT_TYPES if key in part
    }
    if "buttons" in part:
        lowered["buttons"] = [_component(each) for each in part["buttons"]]
    return {**part, **lowered}
