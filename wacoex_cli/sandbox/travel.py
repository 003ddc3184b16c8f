"""Time passes, and somebody opens the phone, or nobody does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.sandbox.emission import DAY_SECONDS, Emitted, emit, number
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node, moment_of
from wacoex_cli.sandbox.partner import remove_partner
from wacoex_cli.sandbox.webhook_respondio import desk_of, echo
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

# Meta: account_update, disconnection reason PRIMARY_INACTIVITY, "about 14 days".
INACTIVITY_SECONDS = 14 * DAY_SECONDS


def pass_days(world: World, days: float) -> list[str]:
    """Let days pass; gives the phone numbers whose partner was removed meanwhile.

    Raises ValueError for a time that does not pass forward.
    """
    if not 0 < days <= 3650:
        raise ValueError("`days` must be more than 0, and at most 3650")
    world.travel(days * DAY_SECONDS)
    lost = [node for node in world.nodes.values() if _is_overdue(world, node)]
    for node in lost:
        remove_partner(
            world,
            reason="PRIMARY_INACTIVITY",
            initiated_by="SYSTEM",
            phone_number_id=node.id,
            at=_opened_at(world, node) + INACTIVITY_SECONDS,
        )
    return [node.id for node in lost]


def open_phone(
    world: World, *, phone_number_id: str = PHONE_NUMBER_ID, days_ago: float = 0.0
) -> Emitted:
    """The Business app was opened on the primary phone, and something was typed there."""
    node = number(world, phone_number_id)
    at = world.now() - days_ago * DAY_SECONDS
    world.opened_at[node.id] = max(at, _opened_at(world, node))
    return _echo(world, node, days_ago)


def companion_echo(
    world: World, *, phone_number_id: str = PHONE_NUMBER_ID, days_ago: float = 0.0
) -> Emitted:
    """Something was typed on a companion: told like the other, but nobody opened the phone."""
    return _echo(world, number(world, phone_number_id), days_ago)


def _echo(world: World, node: Node, days_ago: float) -> Emitted:
    """Meta tells it; respond.io lists it, and tells it too if it has somebody to tell."""
    told = emit(world, "echo", phone_number_id=node.id, days_ago=days_ago)
    if node.id != PHONE_NUMBER_ID:
        return told
    if world.callbacks.respondio_url is not None:
        emit(world, "echo", source="respondio", days_ago=days_ago)
    else:
        echo(desk_of(world, world.now() - days_ago * DAY_SECONDS))
    return told


def _is_overdue(world: World, node: Node) -> bool:
    if node.kind is not PHONE_NUMBER or node.id in world.suspended:
        return False
    has_partner = node.values["is_on_biz_app"] and world.subscribed_apps.get(node.waba_id)
    return bool(has_partner) and world.now() - _opened_at(world, node) >= INACTIVITY_SECONDS


def _opened_at(world: World, node: Node) -> float:
    """When the app was last opened: at the latest when the number was connected."""
    return world.opened_at.get(node.id, moment_of(node.values["last_onboarded_time"]))
