"""The sandbox as a server on this machine: its faces, its webhooks, and calls to steer it."""

from __future__ import annotations

import asyncio
import gc
import gzip
import inspect
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any, Literal, TypeVar, get_type_hints

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from starlette.types import ASGIApp, Receive, Scope, Send

from wacoex_cli.foundation.server import serve as serve_until_signal
from wacoex_cli.foundation.server import serving
from wacoex_cli.sandbox import account, graph, respondio
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.messages import text_for_person
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.webhooks import TIMING, Emitted, Timing, emit, kind_of, release
from wacoex_cli.sandbox.wire import (
    DAY_SECONDS,
    LOOPBACK,
    WRAPPERS,
    BodyTooLarge,
    Call,
    Callbacks,
    ClientLeft,
    Delivery,
    DueWebhook,
    Reply,
    deliver,
    is_loopback,
    json_reply,
    read_call,
    shake_hands,
    webhook_client,
)
from wacoex_cli.sandbox.world import (
    PHONE_NUMBER,
    SIGNING_KEY,
    TEMPLATE,
    WABA,
    WABA_ID,
    Behaviour,
    Node,
    NodeKind,
    Token,
    World,
    meta_time,
)

_HOST = "127.0.0.1"
_CONTROL = "/_sandbox/"
_JSON = "application/json"
# How long to wait before each further try; Meta goes on for days, with growing pauses.
_RETRY_AFTER_SECONDS = (0.2, 0.5, 1.0, 2.0)
_LOOKS_EVERY_SECONDS = 0.02
_NAP_SECONDS = 0.005
_NOTED_STALL_SECONDS = 0.005
_complain = logging.getLogger("wacoex.sandbox").warning

_Values = dict[str, Any]
_Rows = dict[str, _Values]
_NODE_SECTIONS = {"phone_numbers": PHONE_NUMBER, "wabas": WABA, "templates": TEMPLATE}
_RESPONDIO_SETTINGS = (
    "components_as_text",
    "contact_ready_seconds",
    "retry_after",
    "template_path",
)
# What may happen to a number, by the word that chooses.
_PHONE: Mapping[str, Callable[..., Emitted]] = {
    "opened": account.open_phone,
    "companion_echo": account.companion_echo,
    "leaves": account.leave,
    "comes_back": account.come_back,
    "moves": account.move,
}
_PARTNER: Mapping[str, Callable[..., Emitted]] = {
    "removed": account.remove_partner,
    "offboarded": account.offboard,
    "reconnected": account.reconnect,
    "added": account.add_partner,
}


def application(world: World) -> ASGIApp:
    """An ASGI application over one world; every answer carries `X-Wacoex-Sandbox: 1`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            call = await read_call(scope, receive)
            if call.path.startswith(_CONTROL):
                reply = await _steer(world, call)
            elif call.path.startswith(respondio.PREFIX):
                reply = await respondio.answer(world, call)
            elif call.path == account.SDK_PATH or call.path.startswith(account.WINDOW_PREFIX):
                reply = account.signup_window(world, call)
            else:
                if not call.path.endswith("/messages"):
                    world.log.reads[f"{call.method} {call.path}"] += 1
                reply = await graph.answer(world, call)
            await deliver(reply, receive, send)
        except BodyTooLarge:
            headers = {"Connection": "close"}
            too_large = json_reply({"error": "the body is too large"}, status=413, headers=headers)
            await deliver(too_large, receive, send)
        except (ClientLeft, asyncio.CancelledError):
            # Cancelling a delayed answer is its normal end here, and no error.
            return

    return app


def serve(world: World, port: int, on_ready: Callable[[str], None]) -> int:
    """Serve on the loopback address until SIGINT or SIGTERM; returns the number of the signal.

    `port` 0 takes a free one; `on_ready` is given the base URL as soon as requests are answered.
    Requests under way are broken off at the end. Raises what `foundation.server.serve` raises.
    """

    async def run() -> int:
        async with _beside(_deliver_due(world)), _beside(_watch_stalls(world)):
            return await serve_until_signal(
                application(world),
                _HOST,
                port,
                on_ready=on_ready,
                on_stopping=lambda: None,
                log=_complain,
                drain_seconds=0,
            )

    # A full garbage collection would date an arrival 20 ms late: the clock of this world.
    gc.collect()
    gc.freeze()
    return asyncio.run(run())


@contextmanager
def running(world: World, port: int = 0) -> Iterator[str]:
    """Serve from a thread with its own event loop; yields the base URL.

    Raises what `foundation.server.serving` raises.
    """
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def run() -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        app = application(world)
        try:
            async with (
                serving(app, _HOST, port, log=_complain, drain_seconds=0) as base_url,
                _beside(_deliver_due(world)),
            ):
                ready.set_result((base_url, lambda: loop.call_soon_threadsafe(end.set)))
                await end.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="sandbox", daemon=True)
    thread.start()
    base_url, stop = ready.result()
    try:
        yield base_url
    finally:
        stop()
        thread.join()


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let some work go on while the block runs, and end it then."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch_stalls(world: World) -> None:
    """Nap again and again, and log how late each nap ended."""
    while True:
        due = world.monotonic() + _NAP_SECONDS
        await asyncio.sleep(_NAP_SECONDS)
        if (late := world.monotonic() - due) > _NOTED_STALL_SECONDS:
            world.log.stalls.append((due, late))


async def _deliver_due(world: World) -> None:
    """Deliver webhooks that fall due, one after the other."""
    async with webhook_client() as client:
        while True:
            while (webhook := world.outbox.take(world.monotonic())) is not None:
                await _deliver(world, client, webhook)
            await asyncio.sleep(_LOOKS_EVERY_SECONDS)


async def _deliver(world: World, client: httpx.AsyncClient, webhook: DueWebhook) -> None:
    """Try once; a receiver that is not there, or does not say 200, is tried again later."""
    outbox, callbacks, tried, again = world.outbox, world.callbacks, None, None
    is_meta = webhook.source == "meta"
    url = webhook.url or (callbacks.meta_url if is_meta else callbacks.respondio_url)
    key = world.app_secret() if is_meta else callbacks.signing_key or SIGNING_KEY
    wrap = WRAPPERS[callbacks.wrapper] if callbacks.wrapper else None
    sent = replace(webhook, body=wrap(webhook.body)) if wrap else webhook
    headers = {"Content-Type": "application/json", **sent.signature(key)}
    content = sent.content
    if callbacks.gzip:
        content, headers["Content-Encoding"] = gzip.compress(content), "gzip"
    try:
        if url is None or not is_loopback(url):
            return
        status = failure = None
        try:
            status = (await client.post(url, content=content, headers=headers)).status_code
        except httpx.HTTPError as error:
            failure = type(error).__name__
        tried = Delivery(webhook.number, webhook.source, webhook.tries + 1, status, failure)
        if status != 200 and webhook.tries < len(_RETRY_AFTER_SECONDS):
            due = world.monotonic() + _RETRY_AFTER_SECONDS[webhook.tries]
            again = replace(webhook, due=due, tries=webhook.tries + 1)
    finally:
        outbox.settle(tried, again)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _FaultsBody(_Body):
    faults: list[_Values]
    seed: int | None = None


class _ReleaseBody(_Body):
    recipients: list[str] = []
    code: int | None = None


class _LimitBody(_Body):
    phone_number_id: str
    limit: int = Field(ge=0)


class _MediaBody(_Body):
    ended: list[str] = []
    all_ended: bool = False


class _WorldBody(_Body):
    phone_numbers: _Rows = {}
    wabas: _Rows = {}
    templates: _Rows = {}
    subscribed_apps: dict[str, list[_Values]] = {}
    assigned_users: dict[str, list[_Values]] = {}
    webhook_fields: list[str] = []
    tokens: _Rows = {}
    settings: _Values = {}
    user_ids: dict[str, str | None] = {}


class _TemplateBody(_Body):
    name: str
    language: str = "en_US"
    category: Literal["UTILITY", "MARKETING", "AUTHENTICATION"] | None = None
    components: list[_Values] | None = None
    status: str | None = None
    deleted: bool = False
    tells: bool = True


class _ReviewBody(_Body):
    seconds: float = Field(default=2.0, ge=0)
    status: Literal["APPROVED", "REJECTED"] = "APPROVED"
    reason: str = "NONE"
    category: Literal["UTILITY", "MARKETING", "AUTHENTICATION"] | None = None
    holds: bool = False


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


async def _steer(world: World, call: Call) -> Reply:
    """The answer to a control call: 400 with a text for what it cannot use."""
    if (refused := _refused(call)) is not None:
        return refused
    known = {
        f"{method.upper()} {_CONTROL}{name}": handler
        for attribute, handler in vars(_Control).items()
        for method, _, name in [attribute.partition("_")]
        if method in ("get", "post", "delete")
    }
    handler = known.get(f"{call.method} {call.path}")
    if handler is None:
        text = f"`{call.method} {call.path}` is not a control call; known: {', '.join(known)}"
        return json_reply({"error": text}, status=404)
    try:
        found = handler(_Control(world, call))
        return json_reply(await found if inspect.isawaitable(found) else found)
    except ValueError as error:
        return json_reply({"error": str(error)}, status=400)


def _refused(call: Call) -> Reply | None:
    """A control call that does not come from this machine, or comes from a page in its browser."""
    why = None
    if call.client not in LOOPBACK:
        status, why = 403, "control calls come from this machine only"
    elif not call.is_to_loopback:
        # A page may point its own name at this machine (DNS rebinding).
        status, why = 421, "`Host` must be 127.0.0.1 or localhost, with the port"
    elif call.headers.get("origin", call.origin) != call.origin:
        status, why = 403, "control calls do not come from pages of others"
    elif call.body and call.headers.get("content-type", "").partition(";")[0] != _JSON:
        # What a form of any page can send has another type.
        status, why = 415, f"`Content-Type` must be {_JSON}"
    return json_reply({"error": why}, status=status) if why else None


class _Control:
    """One control call; its methods are named by what they answer: `get_summary` and so on."""

    def __init__(self, world: World, call: Call) -> None:
        self._world = world
        self._call = call

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
        self._world.faults.replace([])
        return {"faults": 0}

    def post_limit(self) -> object:
        body = self._body(_LimitBody)
        self._world.set_limit(self._world.phone_number(body.phone_number_id).id, body.limit)
        return body.model_dump()

    def post_release(self) -> object:
        """Let messages that Meta holds back go out, or fail with a `code`."""
        body = self._body(_ReleaseBody)
        released = release(self._world, body.recipients, body.code)
        return {"released": released, "held_back": len(self._world.held_back)}

    def get_media(self) -> object:
        """The uploaded files, and how often each content was uploaded for a number."""
        world = self._world
        uploads = [
            {"sha256": sha256, "phone_number_id": number, "uploads": times}
            for (sha256, number), times in world.uploads.items()
        ]
        return {"media": [asdict(each) for each in world.media.values()], "uploads": uploads}

    def post_media(self) -> object:
        """Let uploaded files end before their 30 days are over: those named, or all of now."""
        body = self._body(_MediaBody)
        ended = list(self._world.media) if body.all_ended else body.ended
        for media_id in ended:
            self._world.end_medium(media_id)
        return {"ended": ended}

    def post_reset(self) -> object:
        self._world.reset()
        return {"reset": True}

    def post_world(self) -> object:
        world, body = self._world, self._body(_WorldBody)
        for section, kind in _NODE_SECTIONS.items():
            for name, changes in getattr(body, section).items():
                world.patch_node(self._node(kind, name), changes)
        for section in ("subscribed_apps", "assigned_users"):
            for name, rows in getattr(body, section).items():
                getattr(world, section)[self._node(WABA, name).id] = rows
        if "webhook_fields" in body.model_fields_set:
            world.webhook_fields = body.webhook_fields
        for name, changes in body.tokens.items():
            typed = _given(_parameters(Token), changes, "", unknown="is not a token property")
            world.patch_token(name, typed)
        world.user_ids |= body.user_ids
        typed = _given(_parameters(Behaviour), body.settings, "", unknown="is not a setting")
        world.patch_settings(typed)
        return {"changed": sorted(body.model_fields_set)}

    def post_template(self) -> object:
        """Make a template, change or delete it; webhooks report a change unless `tells` is off."""
        world, body = self._world, self._body(_TemplateBody)
        if body.deleted:
            world.delete_template(WABA_ID, body.name, body.language)
            return {"deleted": body.name}
        known = world.template(WABA_ID, body.name, body.language)
        before = dict(known.values) if known else {}
        given = body.model_dump(include={"category", "components", "status"}, exclude_none=True)
        node = world.change_template(WABA_ID, body.name, body.language, given)
        changed = {name for name in given if before and before[name] != given[name]}
        if body.tells:
            named = {"name": body.name, "language": body.language, "template_id": int(node.id)}
            if "category" in changed:
                categories = {"before": before["category"], "now": given["category"]}
                emit(world, "template_category", **named, **categories)
            if "components" in changed:
                emit(world, "template_text", **named)
            if "status" in changed:
                emit(world, "template_status", **named, event=given["status"])
        return {"id": node.id, **node.values}

    def post_review(self) -> object:
        """Say how templates are reviewed that are written from now on, or still wait for it."""
        given = self._body(_ReviewBody).model_dump()
        for name, value in given.items():
            setattr(self._world.review, name, value)
        graph.review_templates(self._world)
        return {**given, "waiting": len(self._world.review.waiting)}

    def get_review(self) -> object:
        """What was written: `create`, `edit`, `delete`, with name and language, in order."""
        return {"writes": [list(write) for write in self._world.review.writes]}

    def get_respondio(self) -> object:
        respondio = self._world.respondio
        return {
            "channels": respondio.channels,
            "contacts": len(respondio.contacts),
            "limits": respondio.limits,
            **{name: getattr(respondio, name) for name in _RESPONDIO_SETTINGS},
            "calls": dict(sorted(respondio.calls.items())),
        }

    def post_respondio(self) -> object:
        """How the workspace behaves, and contacts, messages and statuses that are added."""
        respondio, body = self._world.respondio, self._body(_RespondIOBody)
        for name in body.model_fields_set.intersection((*_RESPONDIO_SETTINGS, "token")):
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
        outbox = self._world.outbox
        deliveries = [asdict(delivery) for delivery in outbox.deliveries]
        return {**self._targets(), "deliveries": deliveries, "waiting": outbox.waiting()}

    async def post_webhooks(self) -> object:
        """Say where webhooks go; with a `verify_token` the receiver has to shake hands first."""
        values = _given(_parameters(Callbacks), self._values(), "webhooks")
        wanted = replace(self._world.callbacks, **values)
        if wanted.meta_url and wanted.verify_token and {"meta_url", "verify_token"} & values.keys():
            await shake_hands(wanted.meta_url, wanted.verify_token)
        self._world.callbacks = wanted
        return self._targets()

    def get_outbox(self) -> object:
        """Everything that was sent, as an archive of raw payloads."""
        return self._world.outbox.emitted(self._world.monotonic())

    def get_inbox(self) -> object:
        """What people got, and the notices that were sent to this world."""
        world = self._world

        def row(person: str, at: float, number_id: str, message: Mapping[str, Any]) -> _Values:
            node = world.nodes.get(number_id)  # None after it moved and got another id
            find = partial(world.template, node.waba_id if node else WABA_ID)
            text = text_for_person(message, find)
            return {"person": person, "at": meta_time(at), "from": number_id, "text": text}

        return {"messages": [row(*each) for each in world.inbox], "notices": world.notices}

    def post_notices(self) -> object:
        """Take a notice, in the shape in which Apprise posts JSON."""
        notice = {name: self._values().get(name) for name in ("title", "message")}
        self._world.notices.append({"at": meta_time(self._world.now()), **notice})
        return {"notices": len(self._world.notices)}

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
        return self._happens("action", _PHONE)

    def post_partner(self) -> object:
        return self._happens("event", _PARTNER)

    def get_time(self) -> dict[str, object]:
        world = self._world
        return {"now": meta_time(world.now()), "travelled_days": world.travelled / DAY_SECONDS}

    def post_time(self) -> object:
        """Let days pass: tokens expire, and a phone that nobody opened loses its partner."""
        values = _given(_parameters(account.pass_days), self._values(), "time")
        removed = account.pass_days(self._world, **values)
        return {**self.get_time(), "removed": removed}

    def _targets(self) -> dict[str, object]:
        callbacks = self._world.callbacks
        return {
            "meta_url": callbacks.meta_url,
            "respondio_url": callbacks.respondio_url,
            "statuses": callbacks.sends_statuses,
            "gzip": callbacks.gzip,
            "wrapper": callbacks.wrapper,
        }

    def _happens(self, chosen_by: str, known: Mapping[str, Callable[..., Emitted]]) -> object:
        values = self._values()
        word = str(values.pop(chosen_by, None))
        if word not in known:
            raise ValueError(f"`{chosen_by}` must be one of {', '.join(known)}")
        given = _given(_parameters(known[word]), values, word)
        return _emitted(known[word](self._world, **given))

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
            raise ValueError(f"`{name}` is not a {kind.name} of this world")
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
