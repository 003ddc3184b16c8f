"""What becomes of a message that was accepted, told by status webhooks a moment later."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox.emission import post, scene_of
from wacoex_cli.sandbox.faults import Request
from wacoex_cli.sandbox.webhook_messages import status

if TYPE_CHECKING:
    from wacoex_cli.sandbox.arrivals import Arrival
    from wacoex_cli.sandbox.world import World

# Seconds after the acceptance.
_DELAYS = {"sent": 0.05, "delivered": 0.15, "read": 0.4}
_TOLD_AGAIN_AFTER = 0.1
_ONE_IN_SO_MANY_DOES_NOT_READ = 3


def follow(world: World, arrival: Arrival, body: Mapping[str, Any]) -> None:
    """Let the statuses of an accepted message follow, if there is somebody to tell them to."""
    recipient, number_id = arrival.recipient, arrival.phone_number_id
    if not world.callbacks.tells_statuses or recipient is None:
        return
    request = Request("", True, number_id, recipient)
    at = world.now()
    for name, delay, code in _course(world, request, recipient):
        lost = world.faults.strikes("status_lost", request)
        again = world.faults.strikes("status_duplicated", request)
        scene = scene_of(world, number_id, at + delay)
        updates = status(
            scene,
            contact=recipient,
            message_id=arrival.message_id or "",
            status=name,
            callback_data=arrival.biz_opaque_callback_data,
            code=code,
            category=_category(world, scene.waba_id, body),
        )
        times = [] if lost else [delay, delay + _TOLD_AGAIN_AFTER] if again else [delay]
        for after in times:
            post(world, scene, updates, after=after)


def _course(
    world: World, request: Request, recipient: str
) -> Iterable[tuple[str, float, int | None]]:
    """Each status with the seconds after which it is told, and the code of a failure."""
    failure = world.faults.strikes("status_failed", request)
    if failure is not None:
        return [("failed", _DELAYS["delivered"], failure.error_code)]
    reads = zlib.crc32(recipient.encode()) % _ONE_IN_SO_MANY_DOES_NOT_READ != 0
    names = [name for name in _DELAYS if reads or name != "read"]
    delays = [_DELAYS[name] for name in names]
    if world.faults.strikes("status_reordered", request) is not None:
        delays.reverse()
    return [(name, delay, None) for name, delay in zip(names, delays, strict=True)]


def _category(world: World, waba_id: str, body: Mapping[str, Any]) -> str:
    template = body.get("template")
    if not isinstance(template, dict):
        return "service"
    found = world.template(waba_id, template["name"], template["language"]["code"])
    return str(found.values["category"]).lower() if found else "marketing"
