"""Making the world tell something: kinds by name, wrapped and put into the outbox."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox import webhook_account as account
from wacoex_cli.sandbox import webhook_messages as messages
from wacoex_cli.sandbox import webhook_respondio as respondio
from wacoex_cli.sandbox import webhook_sync as sync
from wacoex_cli.sandbox.nodes import PHONE_NUMBER, Node
from wacoex_cli.sandbox.webhook_messages import Scene, Update
from wacoex_cli.sandbox.webhook_respondio import desk_of
from wacoex_cli.sandbox.webhooks import WEBHOOK_FIELDS
from wacoex_cli.sandbox.world import APP_ID, PHONE_NUMBER_ID

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World

Maker = Callable[..., list[Any]]
DAY_SECONDS = 86_400.0
META_KINDS: Mapping[str, Maker] = {
    "message": messages.inbound,
    "unsupported": messages.unsupported,
    "edit": messages.edit,
    "revoke": messages.revoke,
    "status": messages.status,
    "echo": messages.echo,
    "contact_sync": sync.contact_sync,
    "history": sync.history,
    "account_update": account.account_update,
    "template_status": account.template_status,
    "template_quality": account.template_quality,
    "quality": account.quality,
    "capability": account.capability,
    "alert": account.alert,
    "user_preference": account.user_preference,
    "other": account.other,
}
RESPONDIO_KINDS: Mapping[str, Maker] = {
    "message": respondio.inbound,
    "unsupported": respondio.unsupported,
    "outgoing": respondio.outgoing,
    "echo": respondio.echo,
    "other": respondio.other,
}


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was told, and how many webhooks Meta kept to itself: nobody subscribed to them."""

    payloads: tuple[Mapping[str, Any], ...]
    withheld: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """When and how often something is told.

    It happened `days_ago` days before the world's present, or at `at` (Unix seconds), and is
    delivered `times` times.
    """

    source: str = "meta"
    phone_number_id: str = PHONE_NUMBER_ID
    days_ago: float = 0.0
    at: float = 0.0
    times: int = 1


TOLD = tuple(each.name for each in fields(Told))


def emit(world: World, kind: str, **values: Any) -> Emitted:
    """Let Meta (or respond.io, with `source="respondio"`) tell something of that kind.

    `values` are those of `Told` and of the kind. Raises ValueError for a kind or a number that
    is not known.
    """
    told = Told(**{name: values.pop(name) for name in TOLD if name in values})
    build = kind_of(told.source, kind)
    at = told.at or world.now() - told.days_ago * DAY_SECONDS
    if told.source == "meta":
        scene = scene_of(world, told.phone_number_id, at)
        return post(world, scene, build(scene, **values), times=told.times)
    bodies = build(desk_of(world, at), **values) * told.times
    for body in bodies:
        world.outbox.add("respondio", body, due=world.monotonic())
    return Emitted(tuple(bodies))


def kind_of(source: str, kind: str) -> Maker:
    """What makes payloads of that kind; raises ValueError for a kind that is not known."""
    kinds = {"meta": META_KINDS, "respondio": RESPONDIO_KINDS}.get(source)
    if kinds is None:
        raise ValueError("`source` must be `meta` or `respondio`")
    if kind not in kinds:
        raise ValueError(f"`{kind}` is no kind; known: {', '.join(kinds)}")
    return kinds[kind]


def scene_of(world: World, phone_number_id: str, at: float) -> Scene:
    """That number at that moment (Unix seconds); raises ValueError for no number of this world."""
    node = number(world, phone_number_id)
    return Scene(
        waba_id=node.waba_id,
        owner_business_id=str(world.nodes[node.waba_id].values["owner_business"]),
        phone_number_id=node.id,
        phone="+" + "".join(filter(str.isdigit, str(node.values["display_phone_number"]))),
        at=int(at),
        new_message_id=world.message_id,
        new_number=world.next_number,
    )


def number(world: World, phone_number_id: str) -> Node:
    """The phone number of that id; raises ValueError when there is none."""
    node = world.nodes.get(phone_number_id)
    if node is None or node.kind is not PHONE_NUMBER:
        raise ValueError(f"`{phone_number_id}` is no phone number of this world")
    return node


def post(
    world: World, scene: Scene, updates: list[Update], *, times: int = 1, after: float = 0.0
) -> Emitted:
    """Put Meta's webhooks into the outbox, due in `after` seconds.

    Meta tells only an app that is attached to the WABA, and only the fields that are on.
    """
    app = _attached(world, scene.waba_id)
    bodies = []
    for update in updates * times:
        if app is None or not is_on(world, update.field):
            continue
        body = _envelope(scene, update)
        diverted = app.get("override_callback_uri") if update.field == "messages" else None
        world.outbox.add("meta", body, due=world.monotonic() + after, url=diverted)
        bodies.append(body)
    return Emitted(tuple(bodies), withheld=len(updates) * times - len(bodies))


def is_on(world: World, field: str) -> bool:
    """Whether a webhook field is switched on; those this world does not know always are."""
    return field in world.webhook_fields or field not in WEBHOOK_FIELDS


def _attached(world: World, waba_id: str) -> Mapping[str, Any] | None:
    apps = world.subscribed_apps.get(waba_id, [])
    return next((app for app in apps if app["whatsapp_business_api_data"]["id"] == APP_ID), None)


def _envelope(scene: Scene, update: Update) -> dict[str, Any]:
    change = {"field": update.field, "value": update.value}
    entry = {"id": update.entry_id or scene.waba_id, "time": scene.at, "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def check_values(maker: Callable[..., object], name: str, values: Mapping[str, Any]) -> None:
    """Raises ValueError for a value that `maker` does not take by name, or of another type."""
    known = {
        each.name: str(each.annotation)
        for each in inspect.signature(maker).parameters.values()
        if each.annotation not in ("World", "Scene", "Desk")
    }
    for key, value in values.items():
        if key not in known:
            text = f"`{key}` is not known of `{name}`; known: {', '.join(known)}"
            raise ValueError(text)
        if not _fits(value, known[key]):
            raise ValueError(f"`{key}` of `{name}` has the wrong type")


def _fits(value: object, annotation: str) -> bool:
    types = [one.strip().partition("[")[0] for one in annotation.split("|")]
    own = "None" if value is None else type(value).__name__
    return own in types or (own == "int" and "float" in types)
