"""Payloads of Meta and respond.io: from bytes, or an object, to typed events without content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Payload, Source, UnreadablePayload
from wacoex_cli.platforms.meta_webhooks import MetaMessageHistory, MetaWebhook
from wacoex_cli.platforms.privacy import canonical, digest
from wacoex_cli.platforms.respondio_webhooks import RespondIOWebhook

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_META_OBJECT = "whatsapp_business_account"
_HISTORY_OBJECT = "message_history"
TOO_DEEP = "it is nested too deep"
NOT_JSON = "it is not JSON, or was cut short"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"`{constant}` is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse)
"""Refuses `NaN` and the like, which are no JSON."""


def read_payload(
    source: Source, raw: bytes, *, key: bytes, received_at: datetime, store_bodies: bool = False
) -> Payload:
    """The payload out of the bytes of a delivery.

    `key` is the key of this installation, under which short texts of echoes are hashed;
    `received_at` stands in for times that are missing. With `store_bodies` the content stays.
    Raises UnreadablePayload for what is not JSON, no object, or not what this source sends.
    """
    try:
        body = DECODER.decode(raw.decode("utf-8-sig"))
    except RecursionError:
        raise UnreadablePayload(TOO_DEEP) from None
    except ValueError:
        raise UnreadablePayload(NOT_JSON) from None
    if not isinstance(body, dict):
        raise UnreadablePayload("it is JSON, but no object")
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

    Raises UnreadablePayload for what is not what this source sends.
    """
    model, needed = _shape(source, body)
    if needed and not isinstance(body.get(needed), list):
        raise UnreadablePayload(f"it has no list `{needed}`")
    read = model.model_validate(dict(body), context=key)
    text = canonical(read.kept())
    try:
        kept = canonical(body) if store_bodies else text
    except RecursionError:
        raise UnreadablePayload(TOO_DEEP) from None
    return Payload(
        source=source,
        digest=digest(text),
        size=size,
        body=kept,
        events=tuple(read.events(to_text(received_at))),
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


def _shape(
    source: Source, body: Mapping[str, Any]
) -> tuple[type[MetaWebhook | MetaMessageHistory | RespondIOWebhook], str]:
    if source is Source.RESPONDIO:
        return RespondIOWebhook, ""
    if body.get("object") == _HISTORY_OBJECT:
        return MetaMessageHistory, "data"
    if body.get("object") == _META_OBJECT:
        return MetaWebhook, "entry"
    raise UnreadablePayload(f"its `object` is not `{_META_OBJECT}`")
