"""The `message_history` edge of a phone number: what became of the messages it sent."""

from __future__ import annotations

from typing import Any

from wacoex_cli.sandbox.arrivals import Arrival
from wacoex_cli.sandbox.nodes import Node, parse_fields
from wacoex_cli.sandbox.paging import StaleCursor, page
from wacoex_cli.sandbox.refusals import Refusal, nonexisting_field
from wacoex_cli.sandbox.wire import Call
from wacoex_cli.sandbox.world import PARTNER_APP_ID, World

_NODE = "WhatsAppMessageHistory"
_FIELDS = frozenset({"id", "message_id", "events"})
_EVENT_FIELDS = frozenset(
    {
        "id",
        "delivery_status",
        "webhook_update_state",
        "timestamp",
        "application",
        "webhook_uri",
        "error_description",
    }
)
_STATUSES = ("SENT", "DELIVERED")


def message_history(world: World, call: Call, phone_number: Node) -> dict[str, object]:
    """The history of one message or a page of all (Meta: message history API).

    Messages that came through respond.io are left out, for the sake of simplicity.
    Raises Refusal 100 when the world's setting says that there is no such edge.
    """
    if not world.settings.message_history:
        raise nonexisting_field("message_history", phone_number.kind.name)
    selection = parse_fields(call.query.get("fields") or "id,message_id")
    _refuse_unknown(selection, _FIELDS)
    _refuse_unknown(selection.get("events", {}), _EVENT_FIELDS)
    wanted = call.query.get("message_id")
    rows = [
        _row(world, arrival, selection)
        for arrival in reversed(world.log.accepted())
        if arrival.api == "meta"
        and arrival.phone_number_id == phone_number.id
        and wanted in (None, arrival.message_id)
    ]
    try:
        return page(rows, call.query, url=f"{call.origin}{call.path}", revision="message_history")
    except StaleCursor as error:
        raise Refusal(100, message="(#100) Invalid cursor") from error


def _row(world: World, arrival: Arrival, selection: dict[str, Any]) -> dict[str, object]:
    sent_at = int(world.now() - (world.monotonic() - arrival.at))
    row: dict[str, object] = {"id": str(arrival.number), "message_id": arrival.message_id}
    if "events" in selection:
        events = [
            _event(f"{arrival.number}{place}", status, sent_at + place)
            for place, status in enumerate(_STATUSES)
        ]
        inner = selection["events"] or {"id": {}, "delivery_status": {}, "timestamp": {}}
        row["events"] = {"data": [{name: one[name] for name in inner} for one in events]}
    return {name: row[name] for name in ("id", *selection)}


def _event(number: str, status: str, at: int) -> dict[str, object]:
    return {
        "id": number,
        "delivery_status": status,
        "webhook_update_state": "DELIVERED",
        "timestamp": at,
        "application": {"id": PARTNER_APP_ID},
        "webhook_uri": "https://app.respond.example/whatsapp",
        "error_description": "",
    }


def _refuse_unknown(selection: dict[str, Any], known: frozenset[str]) -> None:
    for name in selection:
        if name not in known:
            raise nonexisting_field(name, _NODE)
