"""The calls under `/_sandbox/` that let the world tell something, or let time pass in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox.courier import shake_hands
from wacoex_cli.sandbox.emission import TOLD, Emitted, Told, check_values, emit, kind_of
from wacoex_cli.sandbox.nodes import meta_time
from wacoex_cli.sandbox.partner import add_partner, offboard, reconnect, remove_partner
from wacoex_cli.sandbox.travel import companion_echo, open_phone, pass_days
from wacoex_cli.sandbox.webhooks import Callbacks

if TYPE_CHECKING:
    from wacoex_cli.sandbox.wire import Call
    from wacoex_cli.sandbox.world import World

_Story = Callable[..., Emitted]
_PHONE: Mapping[str, _Story] = {"opened": open_phone, "companion_echo": companion_echo}
_PARTNER: Mapping[str, _Story] = {
    "removed": remove_partner,
    "offboarded": offboard,
    "reconnected": reconnect,
    "added": add_partner,
}


async def put_webhooks(world: World, call: Call) -> dict[str, object]:
    """Say where webhooks go; with a `verify_token` the receiver has to shake hands first."""
    values = _values(call)
    check_values(Callbacks, "webhooks", values)
    wanted = replace(world.callbacks, **values)
    if wanted.meta_url and wanted.verify_token and {"meta_url", "verify_token"} & values.keys():
        await shake_hands(wanted.meta_url, wanted.verify_token)
    world.callbacks = wanted
    return _callbacks(world)


def get_webhooks(world: World, call: Call) -> dict[str, object]:
    """Where webhooks go, every try to deliver one, and how many still wait."""
    tries = [asdict(one) for one in world.outbox.deliveries]
    return {**_callbacks(world), "deliveries": tries, "waiting": world.outbox.waiting()}


def get_outbox(world: World, call: Call) -> list[Mapping[str, Any]]:
    """Everything that was told, as an archive of raw payloads."""
    return world.outbox.emitted(world.monotonic())


def put_emission(world: World, call: Call) -> dict[str, object]:
    """Tell something of one kind: `{"kind": "echo", "days_ago": 2}`."""
    values = _values(call)
    kind = values.pop("kind", None)
    build = kind_of(str(values.get("source", "meta")), str(kind))
    check_values(Told, "emit", {name: values[name] for name in TOLD if name in values})
    check_values(build, str(kind), {name: values[name] for name in values if name not in TOLD})
    return _told(emit(world, str(kind), **values))


def put_phone(world: World, call: Call) -> dict[str, object]:
    """`opened` on the primary phone, or a `companion_echo`."""
    return _told(_story(world, call, "action", _PHONE))


def put_partner(world: World, call: Call) -> dict[str, object]:
    """The partner is `removed`, `offboarded`, `reconnected` or `added`."""
    return _told(_story(world, call, "event", _PARTNER))


def put_time(world: World, call: Call) -> dict[str, object]:
    """Let days pass: tokens expire, and a phone that nobody opened loses its partner."""
    values = _values(call)
    check_values(pass_days, "time", values)
    removed = pass_days(world, values.get("days", 0))
    return {**_time(world), "removed": removed}


def get_time(world: World, call: Call) -> dict[str, object]:
    """What time it is in this world."""
    return _time(world)


def _story(world: World, call: Call, name: str, known: Mapping[str, _Story]) -> Emitted:
    values = _values(call)
    word = values.pop(name, None)
    story = known.get(str(word))
    if story is None:
        raise ValueError(f"`{name}` must be one of {', '.join(known)}")
    check_values(story, str(word), values)
    return story(world, **values)


def _told(emitted: Emitted) -> dict[str, object]:
    payloads = list(emitted.payloads)
    return {"emitted": len(payloads), "withheld": emitted.withheld, "payloads": payloads}


def _time(world: World) -> dict[str, object]:
    return {"now": meta_time(world.now()), "travelled_days": world.travelled / 86_400}


def _callbacks(world: World) -> dict[str, object]:
    callbacks = world.callbacks
    return {
        "meta_url": callbacks.meta_url,
        "respondio_url": callbacks.respondio_url,
        "statuses": callbacks.tells_statuses,
    }


def _values(call: Call) -> dict[str, Any]:
    values = call.json()
    if not isinstance(values, dict):
        raise ValueError("the body must be a JSON object")
    return dict(values)


HANDLERS: Mapping[tuple[str, str], Callable[[World, Call], object]] = {
    ("GET", "webhooks"): get_webhooks,
    ("POST", "webhooks"): put_webhooks,
    ("GET", "outbox"): get_outbox,
    ("POST", "emit"): put_emission,
    ("POST", "phone"): put_phone,
    ("POST", "partner"): put_partner,
    ("GET", "time"): get_time,
    ("POST", "time"): put_time,
}
