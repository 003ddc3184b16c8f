"""Payloads of Meta and respond.io -> typed events, without the content of messages.

What is not told is absent from `data`; flags are there only when they are true. `undated` says
that no time was told, so that `at` is when it was received.

| kind              | `data`                                                                    |
| ----------------- | ------------------------------------------------------------------------- |
| `message`         | direction (in, out), type, has_referral, from_ad; respond.io also: source |
|                   | (who sent it), respondio_message_id, contact_id                           |
| `unsupported`     | code, unsupported_type, has_referral, from_ad; respond.io: during_sync,   |
|                   | respondio_message_id, contact_id                                          |
| `edit`            | original_message_id, type (of the new version)                            |
| `revoke`          | original_message_id                                                       |
| `status`          | status, attempt_id, code, pricing {billable, category, type};             |
|                   | respond.io: respondio_message_id, contact_id                              |
| `echo`            | type (`edit` and `revoke` too), original_message_id, text_hash;           |
|                   | respond.io also: source, respondio_message_id, contact_id                 |
| `contact_sync`    | action                                                                    |
| `history`         | phase, chunk_order, progress, threads, messages (counts), code (declined),|
|                   | type (`media` where the media follow)                                     |
| `account_update`  | event, reason, initiated_by, entry_id, owner_business_id, partner_app_id, |
|                   | solution_id, solution_partner_business_ids [..], restriction_info         |
|                   | [{restriction_type, expiration}], ban_info {waba_ban_state,               |
|                   | waba_ban_date}, violation_type                                            |
| `template_status` | event, template_id, template_name, template_language, reason, title       |
| `quality`         | event, limit, old_limit                                                   |
| `capability`      | Meta's own `max_...` names, each a number or a tier                       |
| `alert`           | severity, status, type, entity_type, entity_id                            |
| `user_preference` | category, value (stop, resume)                                            |
| `other`           | field, type, code (of a `system_error`)                                   |

`Event.waba_id` is `entry.id`, but for an `account_update` only what it names as its WABA itself.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from wacoex_cli.events import meta_payloads, meta_shapes, respondio_payloads, values
from wacoex_cli.events.model import Payload, Source, UnfitPayload
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.events.model import Event
    from wacoex_cli.events.privacy import Rule

_META_OBJECT = "whatsapp_business_account"
_HISTORY_OBJECT = "message_history"


def read_payload(
    source: Source, raw: bytes, *, key: bytes, received_at: datetime, store_bodies: bool = False
) -> Payload:
    """The payload out of the bytes of a delivery.

    `key` is the key of this installation, under which short texts of echoes are hashed;
    `received_at` stands in for times that are not told. With `store_bodies` the content stays.
    Raises UnfitPayload for what is not JSON, no object, or not what this source sends.
    """
    try:
        body = _DECODER.decode(raw.decode("utf-8-sig"))
    except RecursionError:
        raise UnfitPayload("it is nested too deep") from None
    except ValueError:
        raise UnfitPayload("it is not JSON, or was cut short") from None
    if not isinstance(body, dict):
        raise UnfitPayload("it is JSON, but no object")
    return payload_of(
        source, body, len(raw), key=key, received_at=received_at, store_bodies=store_bodies
    )


def payload_of(
    source: Source,
    body: Mapping[str, Any],
    size: int,
    *,
    key: bytes,
    received_at: datetime,
    store_bodies: bool = False,
) -> Payload:
    """The payload out of an object that is parsed already; `size` is that of its bytes.

    Raises UnfitPayload for what is not what this source sends.
    """
    clean, events = _read(source, body, key, to_text(received_at))
    text = values.canonical(clean)
    return Payload(
        source=source,
        digest=values.digest(text),
        size=size,
        body=_whole(body) if store_bodies else text,
        events=tuple(events),
    )


def source_of(body: object) -> Source | None:
    """Who sends such objects, None when neither does. An answer of message history is Meta's."""
    if not isinstance(body, dict):
        return None
    if body.get("object") in (_META_OBJECT, _HISTORY_OBJECT):
        return Source.META
    if isinstance(body.get("event_type"), str) or isinstance(body.get("contact"), dict):
        return Source.RESPONDIO
    return None


def _read(
    source: Source, body: Mapping[str, Any], key: bytes, received_at: str
) -> tuple[dict[str, Any], Iterator[Event]]:
    if source is Source.RESPONDIO:
        clean = respondio_payloads.clean(body, key)
        return clean, respondio_payloads.events(clean, received_at)
    if body.get("object") == _HISTORY_OBJECT:
        clean = _kept(meta_shapes.MESSAGE_HISTORY, body, "data", key)
        return clean, meta_payloads.message_history_events(clean, received_at)
    if body.get("object") != _META_OBJECT:
        raise UnfitPayload(f"its `object` is not `{_META_OBJECT}`")
    clean = _kept(meta_shapes.WEBHOOK, body, "entry", key)
    return clean, meta_payloads.webhook_events(clean, received_at)


def _kept(rule: Rule, body: Mapping[str, Any], needed: str, key: bytes) -> dict[str, Any]:
    if not isinstance(body.get(needed), list):
        raise UnfitPayload(f"it has no list `{needed}`")
    kept: dict[str, Any] = rule(dict(body), key)
    return kept


def _whole(body: Mapping[str, Any]) -> str:
    try:
        return values.canonical(body)
    except RecursionError:
        raise UnfitPayload("it is nested too deep") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"`{constant}` is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
