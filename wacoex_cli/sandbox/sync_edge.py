"""The `smb_app_data` edge: copying the app's contacts and history, once after connecting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from wacoex_cli.sandbox.arrivals import SyncCall
from wacoex_cli.sandbox.emission import DAY_SECONDS, emit
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node, moment_of
from wacoex_cli.sandbox.refusals import Refusal, nonexisting_field

if TYPE_CHECKING:
    from wacoex_cli.sandbox.wire import Call
    from wacoex_cli.sandbox.world import World

# Meta: onboarding business app users.
_KINDS: Mapping[str, str] = {"smb_app_state_sync": "contact_sync", "history": "history"}
_WINDOW_SECONDS = DAY_SECONDS
_TOO_OFTEN = 2593107
_TOO_LATE = 2593108


def start_sync(world: World, call: Call, node: Node) -> dict[str, object]:
    """Begin to copy one kind of data; its webhooks follow.

    Raises Refusal 2593107 for a kind that was asked for since the number was connected, 2593108
    more than 24 hours after that, 100 for a body or a number that does not fit.
    """
    if node.kind is not PHONE_NUMBER:
        raise nonexisting_field("smb_app_data", node.kind.name)
    body = call.json()
    told = body if isinstance(body, dict) else {}
    sync_type = str(told.get("sync_type"))
    if sync_type not in _KINDS or told.get("messaging_product") != "whatsapp":
        raise Refusal(100, "messaging_product and a known sync_type are required")
    refused = _why_not(world, node, sync_type)
    onboarding = str(node.values["last_onboarded_time"])
    world.log.syncs.append(SyncCall(node.id, sync_type, onboarding, refused))
    if refused is not None:
        raise Refusal(refused)
    declined = sync_type == "history" and not world.settings.shares_history
    more = {"declined": True} if declined else {}
    emit(world, _KINDS[sync_type], phone_number_id=node.id, **more)
    return {"messaging_product": "whatsapp", "request_id": f"sync-{world.next_number()}"}


def _why_not(world: World, node: Node, sync_type: str) -> int | None:
    if not node.values["is_on_biz_app"]:
        return 100
    onboarding = str(node.values["last_onboarded_time"])
    taken = (node.id, sync_type, onboarding)
    before = [(one.phone_number_id, one.sync_type, one.onboarding) for one in world.log.syncs]
    if taken in before:
        return _TOO_OFTEN
    if world.now() - moment_of(onboarding) > _WINDOW_SECONDS:
        return _TOO_LATE
    return None
