"""The calls under `/_sandbox/`: what has arrived, and changing the world while it runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import cache
from typing import Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.webhooks import TIMING, Emitted, Timing, emit, kind_of
from wacoex_cli.sandbox.wire import LOOPBACK, Call, Callbacks, Reply, json_reply, shake_hands
from wacoex_cli.sandbox.world import (
    PHONE_NUMBER,
    TEMPLATE,
    WABA,
    Behaviour,
    Node,
    NodeKind,
    Token,
    World,
    meta_time,
)

PREFIX = "/_sandbox/"

Stories = Mapping[str, Mapping[str, Callable[..., Any]]]
"""What may happen to a number: functions by the name of the call and the word that chooses."""

_Values = dict[str, Any]
_Rows = dict[str, _Values]
_NODE_SECTIONS: Mapping[str, NodeKind] = {
    "phone_numbers": PHONE_NUMBER,
    "wabas": WABA,
    "templates": TEMPLATE,
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _FaultsBody(_Body):
    faults: list[_Values]
    seed: int | None = None


class _LimitBody(_Body):
    phone_number_id: str
    limit: int = Field(ge=0)


class _WorldBody(_Body):
    phone_numbers: _Rows = {}
    wabas: _Rows = {}
    templates: _Rows = {}
    subscribed_apps: dict[str, list[_Values]] = {}
    assigned_users: dict[str, list[_Values]] = {}
    webhook_fields: list[str] = []
    tokens: _Rows = {}
    settings: _Values = {}


class _ChannelBody(_Body):
    id: int
    name: str = ""
    source: str = ""


class _ContactBody(_Body):
    phone: str | None = None
    firstName: str = ""
    ready_in: float = 0.0


class _MessageBody(_Body):
    contact: str
    message: _Values
    traffic: Literal["incoming", "outgoing"] = "incoming"
    source: str | None = None
    at: float | None = None
    channel_id: int = RESPONDIO_CHANNEL_ID
    channel_message_id: str | None = None
    status: list[_Values] | None = None


class _StatusBody(_Body):
    messageId: int
    value: str
    message: str | None = None


class _RespondIOBody(_Body):
    channels: list[_ChannelBody] = []
    components_as_text: bool = True
    contact_ready_seconds: float = 0.0
    contacts: list[_ContactBody] = []
    limits: dict[str, int] = {}
    messages: list[_MessageBody] = []
    retry_after: int = 1
    statuses: list[_StatusBody] = []
    template_path: Literal["template", "mtm"] = "template"
    token: str = ""


_B = TypeVar("_B", bound=BaseModel)


def fault_from_json(values: Mapping[str, Any]) -> Fault:
    """A fault from JSON values; raises ValueError, with the name of what is wrong."""
    if "kind" not in values:
        raise ValueError("a fault needs a `kind`")
    return Fault(**_given(_parameters(Fault), values, "fault"))


async def answer(world: World, call: Call, stories: Stories) -> Reply:
    """The answer to a control call: 400 with a text for what it cannot use."""
    if call.client not in LOOPBACK:
        return json_reply({"error": "control calls come from this machine only"}, status=403)
    known = {
        f"{method.upper()} {PREFIX}{name}": handler
        for method, _, name, handler in (
            (*attribute.partition("_"), handler) for attribute, handler in vars(_Control).items()
        )
        if method in ("get", "post", "delete")
    }
    handler = known.get(f"{call.method} {call.path}")
    if handler is None:
        text = f"`{call.method} {call.path}` is no control call; known: {', '.join(known)}"
        return json_reply({"error": text}, status=404)
    try:
        found = handler(_Control(world, call, stories))
        return json_reply(await found if inspect.isawaitable(found) else found)
    except ValueError as error:
        return json_reply({"error": str(error)}, status=400)


class _Control:
    """One control call; its methods are named by what they answer: `get_summary` and so on."""

    def __init__(self, world: World, call: Call, stories: Stories) -> None:
        self._world = world
        self._call = call
        self._stories = stories

    def get_summary(self) -> object:
        return self._world.log.summary()

    def get_arrivals(self) -> object:
        since = self._call.query.get("since", "0")
        if not since.isdecimal():
            raise ValueError("`since` is the number of an arrival, 0 or more")
        rows = [asdict(arrival) for arrival in self._world.log.since(int(since))]
        return {"arrivals": rows, "last": len(self._world.log)}

    def post_faults(self) -> object:
        body = self._body(_FaultsBody)
        self._world.faults.replace([fault_from_json(row) for row in body.faults], seed=body.seed)
        return {"faults": len(body.faults)}

    def delete_faults(self) -> object:
        self._world.faults.clear()
        return {"faults": 0}

    def post_limit(self) -> object:
        body = self._body(_LimitBody)
        self._world.set_limit(self._world.phone_number(body.phone_number_id).id, body.limit)
        return body.model_dump()

    def post_reset(self) -> object:
        self._world.reset()
        return {"reset": True}

    def post_world(self) -> object:
        world, body = self._world, self._body(_WorldBody)
        for section, kind in _NODE_SECTIONS.items():
            for name, changes in getattr(body, section).items():
                world.patch_node(self._node(kind, name), changes)
        for name, apps in body.subscribed_apps.items():
            world.subscribed_apps[self._node(WABA, name).id] = apps
        for name, users in body.assigned_users.items():
            world.assigned_users[self._node(WABA, name).id] = users
        if "webhook_fields" in body.model_fields_set:
            world.webhook_fields = body.webhook_fields
        for name, changes in body.tokens.items():
            typed = _given(_parameters(Token), changes, "", unknown="is no token property")
            world.patch_token(name, typed)
        typed = _given(_parameters(Behaviour), body.settings, "", unknown="is no setting")
        world.patch_settings(typed)
        return {"changed": sorted(body.model_fields_set)}

    def get_respondio(self) -> object:
        respondio = self._world.respondio
        return {
            "channels": respondio.channels,
            "components_as_text": respondio.components_as_text,
            "contact_ready_seconds": respondio.contact_ready_seconds,
            "contacts": len(respondio.contacts),
            "limits": respondio.limits,
            "retry_after": respondio.retry_after,
            "template_path": respondio.template_path,
            "calls": dict(sorted(respondio.calls.items())),
        }

    def post_respondio(self) -> object:
        """How the workspace behaves, and contacts, messages and statuses that are added."""
        respondio, body = self._world.respondio, self._body(_RespondIOBody)
        plain = ("components_as_text", "contact_ready_seconds", "retry_after", "template_path")
        for name in body.model_fields_set.intersection((*plain, "token")):
            setattr(respondio, name, getattr(body, name))
        if "channels" in body.model_fields_set:
            channels = [each.model_dump(exclude_unset=True) for each in body.channels]
            respondio.set_channels(channels)
        for endpoint, limit in body.limits.items():
            respondio.set_limit(endpoint, limit)
        contacts = [
            respondio.add_contact(each.phone, each.firstName, ready_in=each.ready_in).id
            for each in body.contacts
        ]
        messages = []
        for message in body.messages:
            contact = respondio.find(message.contact)
            if contact is None:
                raise ValueError(f"there is no contact `{message.contact}`")
            item = respondio.add_message(contact, **message.model_dump(exclude={"contact"}))
            messages.append(item["messageId"])
        for status in body.statuses:
            respondio.add_status(status.messageId, status.value, status.message)
        return {"contacts": contacts, "messages": messages}

    def get_webhooks(self) -> object:
        """Where webhooks go, every try to deliver one, and how many still wait."""
        callbacks, outbox = self._world.callbacks, self._world.outbox
        return {
            "meta_url": callbacks.meta_url,
            "respondio_url": callbacks.respondio_url,
            "statuses": callbacks.sends_statuses,
            "deliveries": [asdict(delivery) for delivery in outbox.deliveries],
            "waiting": outbox.waiting(),
        }

    async def post_webhooks(self) -> object:
        """Say where webhooks go; with a `verify_token` the receiver has to shake hands first."""
        values = _given(_parameters(Callbacks), self._values(), "webhooks")
        wanted = replace(self._world.callbacks, **values)
        if wanted.meta_url and wanted.verify_token and {"meta_url", "verify_token"} & values.keys():
            await shake_hands(wanted.meta_url, wanted.verify_token)
        self._world.callbacks = wanted
        return {
            "meta_url": wanted.meta_url,
            "respondio_url": wanted.respondio_url,
            "statuses": wanted.sends_statuses,
        }

    def get_outbox(self) -> object:
        """Everything that was sent, as an archive of raw payloads."""
        return self._world.outbox.emitted(self._world.monotonic())

    def post_emit(self) -> object:
        """Say something of one kind: `{"kind": "echo", "days_ago": 2}`."""
        values = self._values()
        kind = str(values.pop("kind", None))
        known = kind_of(str(values.get("source", "meta")), kind).values
        timing = {name: values.pop(name) for name in TIMING if name in values}
        fields = {
            name: (value | None if isinstance(value, type) else type(value))
            for name, value in known.items()
        }
        timing = _given(_parameters(Timing), timing, "emit")
        return _emitted(emit(self._world, kind, **timing, **_given(fields, values, kind)))

    def post_phone(self) -> object:
        return _emitted(self._happens("phone", "action"))

    def post_partner(self) -> object:
        return _emitted(self._happens("partner", "event"))

    def get_time(self) -> dict[str, object]:
        world = self._world
        return {"now": meta_time(world.now()), "travelled_days": world.travelled / 86_400}

    def post_time(self) -> object:
        """Let days pass: tokens expire, and a phone that nobody opened loses its partner."""
        pass_days = self._stories["time"]["days"]
        removed = pass_days(self._world, **_given(_parameters(pass_days), self._values(), "time"))
        return {**self.get_time(), "removed": removed}

    def _happens(self, name: str, chosen_by: str) -> Emitted:
        values, known = self._values(), self._stories[name]
        word = str(values.pop(chosen_by, None))
        if word not in known:
            raise ValueError(f"`{chosen_by}` must be one of {', '.join(known)}")
        given = _given(_parameters(known[word]), values, word)
        emitted: Emitted = known[word](self._world, **given)
        return emitted

    def _values(self) -> _Values:
        values = self._call.json()
        if not isinstance(values, dict):
            raise ValueError("the body must be a JSON object")
        return values

    def _body(self, model: type[_B]) -> _B:
        return _checked(model, self._values(), "")

    def _node(self, kind: NodeKind, name: str) -> Node:
        """A node by its id; a template also by `name/language`."""
        found = self._world.nodes.get(name)
        if found is None and kind is TEMPLATE:
            template, _, language = name.partition("/")
            wabas = sorted({node.waba_id for node in self._world.nodes.values()})
            templates = (self._world.template(waba_id, template, language) for waba_id in wabas)
            found = next(filter(None, templates), None)
        if found is None or found.kind is not kind:
            raise ValueError(f"`{name}` is no {kind.name} of this world")
        return found


def _emitted(emitted: Emitted) -> object:
    payloads = list(emitted.payloads)
    return {"emitted": len(payloads), "withheld": emitted.withheld, "payloads": payloads}


@cache
def _parameters(maker: Callable[..., object]) -> Mapping[str, Any]:
    """The types of what a function or a dataclass takes by name.

    Left out is what a control call never says: the world of a function, the `value` of a token.
    """
    hints, names = get_type_hints(maker), inspect.signature(maker).parameters
    return {name: hints[name] for name in names if name not in ("world", "value")}


def _given(
    fields: Mapping[str, Any], values: Mapping[str, Any], name: str, *, unknown: str = ""
) -> dict[str, Any]:
    """The values, each of the type of its field; none is required."""
    optional: dict[str, Any] = {key: (kind, None) for key, kind in fields.items()}
    model = create_model("given", __base__=_Body, **optional)
    checked = _checked(model, values, name, unknown)
    return {key: getattr(checked, key) for key in checked.model_fields_set}


def _checked(model: type[_B], values: Mapping[str, Any], name: str, unknown: str = "") -> _B:
    """The values as a model; raises ValueError, with the name of what is wrong."""
    try:
        return model.model_validate_json(json.dumps(values))
    except ValidationError as invalid:
        errors = sorted(invalid.errors(), key=lambda each: each["type"] != "extra_forbidden")
    kind, place = errors[0]["type"], errors[0]["loc"]
    key = [part for part in place if isinstance(part, str)][-1]
    of = f" of `{name}`" if name else ""
    if kind == "extra_forbidden":
        known = f"is not known{of}; known: {', '.join(model.model_fields)}"
        raise ValueError(f"`{key}` {unknown or known}")
    texts = {
        "list_type": "must be a list",
        "dict_type": "must be an object",
        "missing": "is required",
        "literal_error": f"must be {errors[0].get('ctx', {}).get('expected')}",
        "greater_than_equal": "must be 0 or more",
    }
    raise ValueError(f"`{key}`{of} {texts.get(kind, 'has the wrong type')}")
