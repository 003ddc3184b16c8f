"""What becomes of a message that was accepted, told by status webhooks a moment later."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox.emission import post, scene_of
from wacoex_cli.sandbox.faults import Fault, Request
from wacoex_cli.sandbox.webhook_messages import status

if TYPE_CHECKING:
    from wacoex_cli.sandbox.arrivals import Arrival
    from wacoex_cli.sandbox.world import World

# Seconds after the acceptance.
_DELAYS = {"sent": 0.05, "delivered": 0.15, "read": 0.4}
_TOLD_AGAIN_AFTER = 0.1
FAILS_AFTER = _DELAYS["delivered"]
_ONE_IN_SO_MANY_DOES_NOT_READ = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One status, told so many seconds after the acceptance: once, twice, or never."""

    name: str
    delay: float
    told_after: tuple[float, ...]
    failure: Fault | None = None


def follow(world: World, arrival: Arrival, body: Mapping[str, Any]) -> None:
    """Let the statuses of an accepted message follow, if there is somebody to tell them to."""
    recipient, number_id = arrival.recipient, arrival.phone_number_id
    if not world.callbacks.tells_statuses or recipient is None:
        return
    at = world.now()
    for step in course(world, number_id, recipient):
        scene = scene_of(world, number_id, at + step.delay)
        updates = status(
            scene,
            contact=recipient,
            message_id=arrival.message_id or "",
            status=step.name,
            callback_data=arrival.biz_opaque_callback_data,
            code=step.failure.error_code if step.failure else None,
            category=_category(world, scene.waba_id, body),
        )
        for after in step.told_after:
            post(world, scene, updates, after=after)


def course(world: World, number_id: str, recipient: str) -> Iterable[Step]:
    """What becomes of an accepted message, with the faults that strike its statuses."""
    request = Request("", True, number_id, recipient)
    for name, delay, failure in _course(world, request, recipient):
        lost = world.faults.strikes("status_lost", request)
        again = world.faults.strikes("status_duplicated", request)
        times = () if lost else (delay, delay + _TOLD_AGAIN_AFTER) if again else (delay,)
        yield Step(name, delay, times, failure)


def _course(
    world: World, request: Request, recipient: str
) -> Iterable[tuple[str, float, Fault | None]]:
    """Each status with the seconds after which it is told, and the fault that made it fail."""
    failure = world.faults.strikes("status_failed", request)
    if failure is not None:
        return [("failed", FAILS_AFTER, failure)]
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
