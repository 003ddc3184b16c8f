"""What the world says by webhook: payloads by kind, and the statuses of an accepted message."""

from __future__ import annotations

import random
import uuid
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from types import SimpleNamespace
from typing import Any

from wacoex_cli.sandbox.faults import Fault, Request
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, Contact
from wacoex_cli.sandbox.wire import DAY_SECONDS, WEBHOOK_FIELDS, Arrival
from wacoex_cli.sandbox.world import (
    APP_ID,
    PARTNER_BUSINESS_ID,
    PHONE_NUMBER_ID,
    Node,
    World,
    app_of,
)

PERSON = "+6591234567"
FAILS_AFTER = 0.15
# Seconds after the acceptance.
_STATUS_DELAYS = {"sent": 0.05, "delivered": FAILS_AFTER, "read": 0.4}
_SENT_AGAIN_AFTER = 0.1
_ONE_IN_SO_MANY_DOES_NOT_READ = 3
# Days ago of the messages of each phase of a history (Meta: history).
_PHASE_BEGINS_DAYS_AGO = (0, 1, 90)
_WITHOUT_NUMBER = ("ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED")

Value = dict[str, Any]

# What Meta adds to some account updates when nothing else is asked for.
_RESTRICTION = {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1800000000}
_DETAILS: Mapping[str, Value] = {
    "ACCOUNT_VIOLATION": {"violation_info": {"violation_type": "SPAM"}},
    "DISABLED_UPDATE": {
        "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "April 17, 2025"}
    },
    "ACCOUNT_RESTRICTION": {"restriction_info": [_RESTRICTION]},
}
_REFERRAL = {
    "source_type": "ad",
    "source_id": "120",
    "source_url": "https://fb.example/ad",
    "headline": "Spring sale",
    "ctwa_clid": "sandbox-click",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Which number something happens to, and when (Unix seconds)."""

    world: World
    node: Node
    at: float

    @property
    def digits(self) -> str:
        """The number without its plus, as Meta writes it."""
        return self.node.phone.removeprefix("+")

    @property
    def owner(self) -> str:
        """The portfolio that owns the WABA."""
        return str(self.world.nodes[self.node.waba_id].values["owner_business"])

    def value(self, **parts: Any) -> Value:
        """A value that names the number, as those about messages do."""
        metadata = {"display_phone_number": self.digits, "phone_number_id": self.node.id}
        return {"messaging_product": "whatsapp", "metadata": metadata, **parts}

    def message(self, person: str, *, seconds_ago: int = 0) -> Value:
        """The id and the time of a new message from or to `person` (E.164)."""
        at = str(int(self.at) - seconds_ago)
        return {"id": self.world.message_id(person), "timestamp": at}


@dataclass(frozen=True, slots=True)
class Update:
    """One change of a webhook of Meta's; `entry_id` where it is not the WABA."""

    field: str
    value: Value
    entry_id: str | None = None


@dataclass(frozen=True, slots=True)
class WebhookKind:
    """What can be said of one kind of webhook, with defaults, and what is made of that.

    `make` takes the values as attributes and gives `Update`s of Meta's, or whole bodies of
    respond.io's. A type in place of a default: None unless it is given.
    """

    make: Callable[[Scene, Any], list[Any]]
    values: Mapping[str, Any]

    def payloads(self, scene: Scene, **given: Any) -> list[Any]:
        """What this kind says; raises ValueError for a value that it does not have."""
        unknown = sorted(given.keys() - self.values.keys())
        if unknown:
            raise ValueError(f"`{unknown[0]}` is not known; known: {', '.join(self.values)}")
        defaults = {
            name: None if isinstance(default, type) else default
            for name, default in self.values.items()
        }
        return self.make(scene, SimpleNamespace(**{**defaults, **given}))


def _kind(make: Callable[[Scene, Any], list[Any]], /, **values: Any) -> WebhookKind:
    return WebhookKind(make, values)


def _from_contact(scene: Scene, v: Any, content: Mapping[str, Any]) -> list[Update]:
    user_id = scene.world.user_id(v.contact)
    who: Value = {"profile": {"name": "Ana"}, "user_id": user_id}
    sender: Value = {"from_user_id": user_id}
    if v.contact != user_id and not vars(v).get("without_phone_number"):
        who["wa_id"] = sender["from"] = v.contact.removeprefix("+")
    message = {**sender, **scene.message(v.contact), **content}
    if vars(v).get("is_from_ad"):
        message["referral"] = _REFERRAL
    return [Update("messages", scene.value(contacts=[who], messages=[message]))]


def _unsupported(scene: Scene, v: Any) -> list[Update]:
    """A message that the Cloud API does not carry (131051) or cannot show (131060)."""
    is_unknown = v.code == 131051
    inner = v.type or ("poll_creation" if is_unknown else "media_placeholder")
    title = "Message type unknown" if is_unknown else "This message is unavailable"
    content = {"unsupported": {"type": inner}, "errors": [_error(v.code, title)]}
    return _from_contact(scene, v, {"type": "unsupported", **content})


def _changed(scene: Scene, v: Any, kind: str) -> Value:
    """The content of an edit (at most 15 minutes later) or a revocation (at most two days)."""
    original = v.original_message_id or scene.world.message_id(v.contact)
    content: Value = {"original_message_id": original}
    if kind == "edit":
        content["message"] = {"type": "text", "text": {"body": v.text}}
    return {"type": kind, kind: content}


def _edit(scene: Scene, v: Any) -> list[Update]:
    changed = _changed(scene, v, "edit")
    changed["edit"]["message"]["context"] = {"id": changed["edit"]["original_message_id"]}
    return _from_contact(scene, v, changed)


def _status(scene: Scene, v: Any) -> list[Update]:
    message_id = v.message_id or scene.world.message_id(v.contact)
    status: Value = {
        "id": message_id,
        "status": v.status,
        "timestamp": str(int(scene.at)),
        "recipient_user_id": scene.world.user_id(v.contact),
    }
    if v.contact.startswith("+") and not v.without_phone_number:
        status["recipient_id"] = v.contact.removeprefix("+")
    if v.callback_data is not None:
        status["biz_opaque_callback_data"] = v.callback_data
    if v.code is not None or v.status == "failed":
        status["errors"] = [_error(v.code or 131026, "Message undeliverable")]
    else:
        is_service = v.category == "service"
        status["pricing"] = {
            "billable": not is_service,
            "pricing_model": "PMP",
            "type": "free_customer_service" if is_service else "regular",
            "category": v.category,
        }
    return [Update("messages", scene.value(statuses=[status]))]


def _echo(scene: Scene, v: Any) -> list[Update]:
    """A message sent in the Business app, or on a companion that is supported."""
    is_change = v.type in ("edit", "revoke")
    content = _changed(scene, v, v.type) if is_change else _content(v.type, v.text)
    message = {
        "from": scene.digits,
        "to": v.contact.removeprefix("+"),
        **scene.message(v.contact),
        **content,
    }
    return [Update("smb_message_echoes", scene.value(message_echoes=[message]))]


def _contact_sync(scene: Scene, v: Any) -> list[Update]:
    """Contacts of the app's phone book that were added, changed or removed."""
    name = {} if v.action == "remove" else {"full_name": "Ana Lim", "first_name": "Ana"}
    rows = [
        {
            "type": "contact",
            "contact": {"phone_number": phone.removeprefix("+"), **name},
            "action": v.action,
            "metadata": {"timestamp": str(int(scene.at))},
        }
        for phone in v.contacts or [v.contact]
    ]
    return [Update("smb_app_state_sync", scene.value(state_sync=rows))]


def _history(scene: Scene, v: Any) -> list[Update]:
    """The chats of the app in `chunks` webhooks of `messages` each, out of order if `shuffled`.

    `declined` says that the business shared none, `declined_in` where: in `history`, as Meta's
    page shows it, in the `value`, or in a message (`messages`). `media` adds a file that comes
    later. Raises ValueError for another place.
    """
    if v.declined:
        errors = {"errors": [_error(2593109, "History sharing is turned off by the business.")]}
        places: Mapping[str, tuple[str, Value]] = {
            "history": ("history", {"history": [errors]}),
            "value": ("history", errors),
            "messages": ("messages", {"messages": [{**scene.message(v.contact), **errors}]}),
        }
        if v.declined_in not in places:
            raise ValueError(f"`declined_in` must be one of {', '.join(places)}")
        field, parts = places[v.declined_in]
        return [Update(field, scene.value(**parts))]
    ends = {"from": scene.digits, "to": v.contact.removeprefix("+")}
    updates = []
    for number in range(1, v.chunks + 1):
        phase = min(2, (number - 1) * 3 // v.chunks)
        metadata = {"phase": phase, "chunk_order": number, "progress": number * 100 // v.chunks}
        begins_ago = int(_PHASE_BEGINS_DAYS_AGO[phase] * DAY_SECONDS)
        messages = [
            {
                **ends,
                **scene.message(v.contact, seconds_ago=begins_ago + place),
                **_content("text", f"an old message, {place}"),
                "history_context": {"status": "READ"},
            }
            for place in range(1, v.messages + 1)
        ]
        chunk = {"metadata": metadata, "threads": [{"id": ends["to"], "messages": messages}]}
        updates.append(Update("history", scene.value(history=[chunk])))
    if v.shuffled:
        random.Random(v.seed).shuffle(updates)
    if v.media:
        picture = {"id": "1100000000000002", "mime_type": "image/jpeg"}
        message = {**ends, **scene.message(v.contact), "type": "image", "image": picture}
        updates.append(Update("history", scene.value(messages=[message])))
    return updates


def _account_update(scene: Scene, v: Any) -> list[Update]:
    """Meta documents two shapes; raises ValueError for others.

    `onboarding` names the phone, with the WABA as the entry; `reference` the WABA, in a portfolio.
    """
    if v.shape not in ("onboarding", "reference"):
        raise ValueError("`shape` must be `onboarding` or `reference`")
    value: Value = {"event": v.event}
    entry_id = None
    if v.event not in _WITHOUT_NUMBER and v.shape == "onboarding":
        value["phone_number"] = scene.digits
    elif v.event not in _WITHOUT_NUMBER:
        value["waba_info"] = {"waba_id": scene.node.waba_id, "owner_business_id": scene.owner}
        entry_id = PARTNER_BUSINESS_ID
    if v.reason is not None:
        initiator = v.initiated_by or "SYSTEM"
        value["disconnection_info"] = {"reason": v.reason, "initiated_by": initiator}
    extra = _DETAILS.get(v.event, {}) if v.details is None else v.details
    return [Update("account_update", {**value, **extra}, entry_id)]


def _template(field: str, v: Any, **value: Any) -> list[Update]:
    names = {"id": v.template_id, "name": v.name, "language": v.language}
    template = {f"message_template_{key}": text for key, text in names.items()}
    return [Update(f"message_template_{field}_update", {**value, **template})]


def _template_status(scene: Scene, v: Any) -> list[Update]:
    info = {"title": v.title, "description": "The template has low quality."}
    return _template("status", v, event=v.event, reason=v.reason, other_info=info)


def _template_category(scene: Scene, v: Any) -> list[Update]:
    """With `coming` Meta is about to change it; else it has changed."""
    if v.coming is not None:
        value = {"new_category": v.now, "correct_category": v.coming}
    else:
        value = {"previous_category": v.before, "new_category": v.now}
    names = {"id": v.template_id, "name": v.name, "language": v.language}
    template = {f"message_template_{key}": text for key, text in names.items()}
    return [Update("template_category_update", {**value, **template})]


def _quality(scene: Scene, v: Any) -> list[Update]:
    value = {
        "display_phone_number": scene.digits,
        "event": v.event,
        "max_daily_conversations_per_business": v.limit,
    }
    old_limit = {} if v.old_limit is None else {"old_limit": v.old_limit}
    return [Update("phone_number_quality_update", {**value, **old_limit})]


def _capability(scene: Scene, v: Any) -> list[Update]:
    """How many people a day the portfolio may write to, and how many numbers it may have."""
    value = {
        "max_daily_conversations_per_business": v.limit,
        "max_phone_numbers_per_business": v.numbers,
    }
    return [Update("business_capability_update", value)]


def _alert(scene: Scene, v: Any) -> list[Update]:
    info = {
        "alert_severity": v.severity,
        "alert_status": v.status,
        "alert_type": v.type,
        "alert_description": "See WhatsApp Manager.",
    }
    value = {"entity_type": v.entity_type, "entity_id": scene.owner, "alert_info": info}
    return [Update("account_alerts", value)]


def _user_preference(scene: Scene, v: Any) -> list[Update]:
    named = {"wa_id": v.contact.removeprefix("+")}
    if not v.contact.startswith("+"):
        named = {"user_id": v.contact}
    preference = {
        **named,
        "category": v.category,
        "value": v.value,
        "detail": f"User requested to {v.value} marketing messages",
        "timestamp": int(scene.at),
    }
    contact = {"profile": {"name": "Ana"}, **named}
    value = scene.value(contacts=[contact], user_preferences=[preference])
    return [Update("user_preferences", value)]


def _standby(scene: Scene, v: Any) -> list[Update]:
    """A message of somebody, or of another responder, in a conversation that is not ours."""
    [heard] = _from_contact(scene, v, _content("text", v.text))
    people, messages = heard.value.pop("contacts"), heard.value.pop("messages")
    standby: Value = {"contacts": people, "messages": messages}
    if v.direction == "out":
        sent = {"to": v.contact.removeprefix("+"), **_content("text", v.text)}
        standby = {"message_echoes": [{**scene.message(v.contact), "message": sent}]}
    return [Update("standby", {**heard.value, "standby": standby})]


def _handover(scene: Scene, v: Any) -> list[Update]:
    """A conversation that went from one responder to another."""
    roles = {
        "previous_owner_app_role": v.before,
        "previous_owner_role": "ai_agent",
        "new_owner_role": v.now,
    }
    number = scene.value()["metadata"]
    value = {
        "messaging_product": "whatsapp",
        "recipient": number,
        "sender": {"phone_number": v.contact.removeprefix("+")},
        "timestamp": str(int(scene.at)),
        "type": v.type,
        v.type: roles,
    }
    return [Update("messaging_handovers", value)]


def _other(scene: Scene, v: Any) -> list[Update]:
    default = {"display_phone_number": scene.digits, "event": "PIN_CHANGED"}
    return [Update(v.field, default if v.value is None else v.value)]


def _content(kind: str, text: str) -> Value:
    if kind == "text":
        return {"type": kind, kind: {"body": text}}
    file = {"id": "1100000000000001", "mime_type": "application/octet-stream", "caption": text}
    return {"type": kind, kind: file}


def _error(code: int, title: str) -> Value:
    return {"code": code, "title": title, "message": title, "error_data": {"details": title}}


_INBOUND = {"contact": PERSON, "is_from_ad": False, "without_phone_number": False}
_CHANGED = {"contact": PERSON, "original_message_id": ""}
_TEMPLATE = {"template_id": 108000000000001, "name": "spring_sale", "language": "en_US"}

# Meta: webhooks reference.
META_KINDS: Mapping[str, WebhookKind] = {
    "message": _kind(
        lambda scene, v: _from_contact(scene, v, _content(v.type, v.text)),
        **_INBOUND,
        text="Are you open today?",
        type="text",
    ),
    "unsupported": _kind(_unsupported, **_INBOUND, code=131051, type=""),
    "edit": _kind(_edit, **_CHANGED, text="Are you open tomorrow?"),
    "revoke": _kind(
        lambda scene, v: _from_contact(scene, v, _changed(scene, v, "revoke")), **_CHANGED
    ),
    "status": _kind(
        _status,
        contact=PERSON,
        message_id="",
        status="delivered",
        callback_data=str,
        code=int,
        category="marketing",
        without_phone_number=False,
    ),
    "echo": _kind(_echo, **_CHANGED, text="We open at nine.", type="text"),
    "contact_sync": _kind(_contact_sync, contact=PERSON, contacts=list, action="add"),
    "history": _kind(
        _history,
        contact=PERSON,
        chunks=3,
        messages=2,
        shuffled=False,
        seed=0,
        declined=False,
        declined_in="history",
        media=False,
    ),
    "account_update": _kind(
        _account_update,
        event="PARTNER_REMOVED",
        shape="onboarding",
        reason=str,
        initiated_by=str,
        details=dict,
    ),
    "template_status": _kind(
        _template_status, event="PAUSED", **_TEMPLATE, reason=str, title="FIRST_PAUSE"
    ),
    "template_category": _kind(
        _template_category, **_TEMPLATE, before="UTILITY", now="MARKETING", coming=str
    ),
    "template_text": _kind(
        lambda scene, v: _template("components", v, message_template_element=v.text),
        **_TEMPLATE,
        text="Hello, our sale is over.",
    ),
    "template_quality": _kind(
        lambda scene, v: _template(
            "quality", v, previous_quality_score=v.before, new_quality_score=v.now
        ),
        **_TEMPLATE,
        before="GREEN",
        now="RED",
    ),
    "quality": _kind(_quality, event="THROUGHPUT_UPGRADE", limit="TIER_2K", old_limit=str),
    "capability": _kind(_capability, limit=2000, numbers=2),
    "alert": _kind(
        _alert,
        severity="WARNING",
        status="ACTIVE",
        type="INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED",
        entity_type="BUSINESS",
    ),
    "user_preference": _kind(
        _user_preference, contact=PERSON, value="stop", category="marketing_messages"
    ),
    "standby": _kind(_standby, **_INBOUND, text="Are you open today?", direction="in"),
    "handover": _kind(
        _handover,
        contact=PERSON,
        type="control_passed",
        before="meta_business_agent",
        now="escalation",
    ),
    "other": _kind(_other, field="security", value=dict),
}


def _received(scene: Scene, v: Any, content: Mapping[str, Any]) -> list[Value]:
    person = _person(scene, v.contact)
    item = scene.world.respondio.add_message(
        person,
        content,
        at=scene.at,
        channel_id=v.channel_id,
        channel_message_id=scene.world.message_id(v.contact),
    )
    return [_respondio_event(scene.world, "message.received", person, item, scene.at)]


def _outgoing(scene: Scene, v: Any, sent_by: str) -> list[Value]:
    """A message of the business; `sent_by` is the source of its sender, `echo` the app."""
    person = _person(scene, v.contact)
    item = scene.world.respondio.add_message(
        person,
        {"type": "text", "text": v.text},
        traffic="outgoing",
        source=sent_by,
        at=scene.at,
        channel_id=v.channel_id,
        channel_message_id=v.message_id or scene.world.message_id(v.contact),
    )
    return [message_sent(scene.world, person, item, scene.at)]


def _respondio_other(scene: Scene, v: Any) -> list[Value]:
    """Any other event; an empty `event_type` is the `Send Test` call, which has none."""
    body: Value = {"contact": _person(scene, v.contact).to_json()}
    if v.event_type:
        body |= {"event_type": v.event_type, "event_id": _event_id(scene.world)}
    return [body]


def _person(scene: Scene, phone: str) -> Contact:
    respondio = scene.world.respondio
    return respondio.find(f"phone:{phone}") or respondio.add_contact(phone, "Ana")


def _event_id(world: World) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, world.message_id("event")))


def message_sent(world: World, person: Contact, item: Value, at: float) -> Value:
    """`message.sent` of a message of the workspace, at `at` (Unix seconds)."""
    copied = {**item, "status": list(item["status"])}
    return _respondio_event(world, "message.sent", person, copied, at)


def _respondio_event(
    world: World, event_type: str, person: Contact, item: Value, at: float
) -> Value:
    unknown = {"id": item["channelId"]}
    channels = world.respondio.channels
    return {
        "event_type": event_type,
        "event_id": _event_id(world),
        "contact": person.to_json(),
        "message": {**item, "timestamp": int(at)},
        "channel": next((each for each in channels if each["id"] == unknown["id"]), unknown),
    }


_HERE = {"contact": PERSON, "channel_id": RESPONDIO_CHANNEL_ID}

# respond.io: webhooks, as its integrations read them.
RESPONDIO_KINDS: Mapping[str, WebhookKind] = {
    "message": _kind(
        lambda scene, v: _received(scene, v, {"type": "text", "text": v.text}),
        **_HERE,
        text="Are you open today?",
    ),
    "unsupported": _kind(lambda scene, v: _received(scene, v, {"type": "unsupported"}), **_HERE),
    "outgoing": _kind(
        lambda scene, v: _outgoing(scene, v, v.sent_by),
        **_HERE,
        text="We open at nine.",
        sent_by="user",
        message_id="",
    ),
    "echo": _kind(
        lambda scene, v: _outgoing(scene, v, "echo"),
        **_HERE,
        text="We open at nine.",
        message_id="",
    ),
    "other": _kind(_respondio_other, event_type="contact.created", contact=PERSON),
}


@dataclass(frozen=True, slots=True)
class Emitted:
    """What was sent, and how many webhooks Meta kept to itself: nobody subscribed to them."""

    payloads: tuple[Mapping[str, Any], ...]
    withheld: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """Who says something, and when it happened.

    It happened `days_ago` days before the world's present, or at `at` (Unix seconds), and is
    delivered `times` times.
    """

    source: str = "meta"
    phone_number_id: str = PHONE_NUMBER_ID
    days_ago: float = 0.0
    at: float = 0.0
    times: int = 1


TIMING = tuple(each.name for each in fields(Timing))


def emit(world: World, kind: str, **values: Any) -> Emitted:
    """Let Meta (or respond.io, with `source="respondio"`) say something of that kind.

    `values` are those of `Timing` and of the kind. Raises ValueError for a kind, a value or a
    number that is not known.
    """
    timing = Timing(**{name: values.pop(name) for name in TIMING if name in values})
    at = timing.at or world.now() - timing.days_ago * DAY_SECONDS
    scene = Scene(world, world.phone_number(timing.phone_number_id), at)
    payloads = kind_of(timing.source, kind).payloads(scene, **values) * timing.times
    if timing.source == "meta":
        return post(scene, payloads)
    for body in payloads:
        world.outbox.add("respondio", body, due=world.monotonic())
    return Emitted(tuple(payloads))


def kind_of(source: str, kind: str) -> WebhookKind:
    """What makes payloads of that kind; raises ValueError for a kind that is not known."""
    kinds = {"meta": META_KINDS, "respondio": RESPONDIO_KINDS}.get(source)
    if kinds is None:
        raise ValueError("`source` must be `meta` or `respondio`")
    if kind not in kinds:
        raise ValueError(f"`{kind}` is not a kind; known: {', '.join(kinds)}")
    return kinds[kind]


def post(scene: Scene, updates: list[Update], *, after: float = 0.0) -> Emitted:
    """Put Meta's webhooks into the outbox, due in `after` seconds.

    Meta sends only to an app that is attached to the WABA, and only the fields that are on; fields
    that this world does not know always are.
    """
    world, waba_id = scene.world, scene.node.waba_id
    apps = world.subscribed_apps.get(waba_id, [])
    attached = next((row for row in apps if app_of(row) == APP_ID), None)
    bodies = []
    for update in updates:
        is_on = update.field in world.webhook_fields or update.field not in WEBHOOK_FIELDS
        if attached is None or not is_on:
            continue
        change = {"field": update.field, "value": update.value}
        entry = {"id": update.entry_id or waba_id, "time": int(scene.at), "changes": [change]}
        body = {"object": "whatsapp_business_account", "entry": [entry]}
        diverted = attached.get("override_callback_uri") if update.field == "messages" else None
        world.outbox.add("meta", body, due=world.monotonic() + after, url=diverted)
        bodies.append(body)
    return Emitted(tuple(bodies), withheld=len(updates) - len(bodies))


@dataclass(frozen=True, slots=True)
class StatusStep:
    """One status, sent this many seconds after the acceptance: once, twice, or never."""

    name: str
    delay: float
    sent_after: tuple[float, ...]
    failure: Fault | None = None


def release(world: World, recipients: Collection[str] = (), code: int | None = None) -> int:
    """Let messages that are held back go out, or fail with a code; returns how many.

    Those to these people, with or without `+`, or all.
    """
    wanted = {recipient.removeprefix("+") for recipient in recipients}
    chosen = [
        message_id
        for message_id, (arrival, _) in world.held_back.items()
        if not wanted or str(arrival.recipient).removeprefix("+") in wanted
    ]
    for message_id in chosen:
        failure = None if code is None else Fault("status_failed", code=code)
        follow(world, *world.held_back.pop(message_id), failure)
    return len(chosen)


def follow(
    world: World, arrival: Arrival, body: Mapping[str, Any], failure: Fault | None = None
) -> None:
    """Let the statuses of an accepted message follow, if somebody receives them."""
    recipient, number_id = arrival.recipient, arrival.phone_number_id
    if recipient is None:
        return
    at, node = world.now(), world.nodes[number_id]
    steps = list(course(world, number_id, recipient, failure))
    if not any(step.failure for step in steps):
        world.inbox.append((recipient, at, number_id, body))
    if not world.callbacks.sends_statuses:
        return
    category, template = "service", body.get("template")
    if isinstance(template, dict):
        found = world.template(node.waba_id, template["name"], template["language"]["code"])
        category = str(found.values["category"]).lower() if found else "marketing"
    named = world.settings.returns_callback_data
    for step in steps:
        scene = Scene(world, node, at + step.delay)
        updates = META_KINDS["status"].payloads(
            scene,
            contact=recipient,
            message_id=arrival.message_id or "",
            status=step.name,
            callback_data=arrival.biz_opaque_callback_data if named else None,
            code=step.failure.error_code if step.failure else None,
            category=category,
        )
        for after in step.sent_after:
            post(scene, updates, after=after)


def course(
    world: World, number_id: str, recipient: str, failure: Fault | None = None
) -> Iterable[StatusStep]:
    """What happens to an accepted message, with the faults that strike its statuses."""
    request = Request("", True, number_id, recipient)
    failure = failure or world.faults.strikes("status_failed", request)
    reads = zlib.crc32(recipient.encode()) % _ONE_IN_SO_MANY_DOES_NOT_READ != 0
    names = [name for name in _STATUS_DELAYS if reads or name != "read"]
    delays = [_STATUS_DELAYS[name] for name in names]
    if failure is not None:
        names, delays = ["failed"], [FAILS_AFTER]
    elif world.faults.strikes("status_reordered", request) is not None:
        delays.reverse()
    for name, delay in zip(names, delays, strict=True):
        lost = world.faults.strikes("status_lost", request)
        again = world.faults.strikes("status_duplicated", request)
        times = () if lost else (delay, delay + _SENT_AGAIN_AFTER) if again else (delay,)
        yield StatusStep(name, delay, times, failure)
