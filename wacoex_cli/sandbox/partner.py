"""The partner loses the number, or gets it back: what is told, and what the Graph shows then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.sandbox.emission import Emitted, number, post, scene_of
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node, meta_time, subscribed_app
from wacoex_cli.sandbox.webhook_account import account_update
from wacoex_cli.sandbox.world import PARTNER_APP_ID, PARTNER_APP_NAME, PHONE_NUMBER_ID

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

# Meta does not say what the Graph shows after a loss; each of these has been seen.
AFTERMATHS = ("not_on_biz_app", "hidden", "green")
_CONNECTED = {"is_on_biz_app": True, "platform_type": "CLOUD_API", "status": "CONNECTED"}
_LOST = {"is_on_biz_app": False, "platform_type": "NOT_APPLICABLE", "status": "DISCONNECTED"}


def remove_partner(
    world: World,
    *,
    reason: str | None = None,
    initiated_by: str | None = None,
    phone_number_id: str = PHONE_NUMBER_ID,
    shape: str = "onboarding",
    leaves: str = "not_on_biz_app",
    at: float | None = None,
) -> Emitted:
    """PARTNER_REMOVED; the number sends no more, and the Graph shows what `leaves` says.

    Raises ValueError for no number of this world, or an aftermath that is not known.
    """
    node = number(world, phone_number_id)
    if leaves not in AFTERMATHS:
        raise ValueError(f"`leaves` must be one of {', '.join(AFTERMATHS)}")
    world.suspended.add(node.id)
    if leaves == "hidden":
        world.hidden.add(node.id)
    if leaves == "not_on_biz_app":
        node.patch(_LOST)
    if not _others_connected(world, node):
        _drop_partner_app(world, node.waba_id)
    return _tell(world, node, "PARTNER_REMOVED", shape, at, reason, initiated_by)


def offboard(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """ACCOUNT_OFFBOARDED: sending is suspended, everything else remains (Meta: reconnecting)."""
    node = number(world, phone_number_id)
    world.suspended.add(node.id)
    return _tell(world, node, "ACCOUNT_OFFBOARDED")


def reconnect(world: World, *, phone_number_id: str = PHONE_NUMBER_ID) -> Emitted:
    """ACCOUNT_RECONNECTED: the same partner is back, minutes after the offboarding."""
    node = number(world, phone_number_id)
    _restore(world, node)
    return _tell(world, node, "ACCOUNT_RECONNECTED")


def add_partner(
    world: World,
    *,
    phone_number_id: str = PHONE_NUMBER_ID,
    shape: str = "onboarding",
    with_partner_app: bool = True,
) -> Emitted:
    """PARTNER_ADDED: the number was connected anew, and its onboarding begins again.

    Without the partner's app it was connected through the signup of an app of our own.
    """
    node = number(world, phone_number_id)
    _restore(world, node, with_partner_app=with_partner_app)
    node.patch({"last_onboarded_time": meta_time(world.now())})
    return _tell(world, node, "PARTNER_ADDED", shape)


def _tell(
    world: World,
    node: Node,
    event: str,
    shape: str = "onboarding",
    at: float | None = None,
    reason: str | None = None,
    initiated_by: str | None = None,
) -> Emitted:
    scene = scene_of(world, node.id, world.now() if at is None else at)
    updates = account_update(
        scene, event=event, shape=shape, reason=reason, initiated_by=initiated_by
    )
    return post(world, scene, updates)


def _restore(world: World, node: Node, *, with_partner_app: bool = True) -> None:
    world.suspended.discard(node.id)
    world.hidden.discard(node.id)
    world.opened_at[node.id] = world.now()
    node.patch(_CONNECTED)
    apps = world.subscribed_apps.setdefault(node.waba_id, [])
    is_there = any(app["whatsapp_business_api_data"]["id"] == PARTNER_APP_ID for app in apps)
    if with_partner_app and not is_there:
        apps.insert(0, subscribed_app(PARTNER_APP_ID, PARTNER_APP_NAME))


def _others_connected(world: World, node: Node) -> bool:
    return any(
        each.kind is PHONE_NUMBER
        and each.waba_id == node.waba_id
        and each.id not in world.suspended
        and each.values["is_on_biz_app"]
        for each in world.nodes.values()
    )


def _drop_partner_app(world: World, waba_id: str) -> None:
    apps = world.subscribed_apps.get(waba_id, [])
    apps[:] = [app for app in apps if app["whatsapp_business_api_data"]["id"] != PARTNER_APP_ID]
