"""Entries of Meta's message history and of respond.io's message list, read as evidence. Pure.

What is not told does not count against an entry: it may be the message that is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.evidence import Candidate, Listed
from wacoex_cli.broadcast.model import RowState
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_SENT = "sent"
_API, _TEMPLATE = "api", "whatsapp_template"
# Everybody else who writes for the business (respond.io: messages); an open set.
_OTHER_SENDERS = frozenset(
    {"user", "ai_agent", "workflow", "echo", "broadcast", "zapier", "make", "n8n", "bot"}
)
_REACHED = {
    "sent": RowState.SENT,
    "failed": RowState.FAILED,
    "delivered": RowState.DELIVERED,
    "read": RowState.READ,
}
_ORDER = [RowState.ACCEPTED, *_REACHED.values()]
_LONGEST_FAILURE = 300


def listed(entry: Mapping[str, Any]) -> Listed | None:
    """An entry of Meta's message history; None for one without a message id."""
    message_id = entry.get("message_id")
    if not isinstance(message_id, str) or not message_id:
        return None
    events = _mapping(entry.get("events")).get("data")
    dated: list[tuple[str, datetime]] = []
    for one in events if isinstance(events, list) else []:
        at = _moment(_mapping(one).get("timestamp"))
        if at is not None:
            dated.append((str(_mapping(one).get("delivery_status")).lower(), at))
    return Listed(
        message_id,
        sent_at=min((at for status, at in dated if status == _SENT), default=None),
        first_event_at=min((at for _, at in dated), default=None),
    )


def candidate(
    item: Mapping[str, Any], respondio_channel_id: int, template: str, language: str
) -> Candidate | None:
    """An item of a contact's message list; None when it cannot be a broadcast's message."""
    message = _mapping(item.get("message"))
    told = _mapping(message.get("template"))
    source = _mapping(item.get("sender")).get("source")
    channel_id = identity(item.get("channelId"))
    pairs = (
        (channel_id, respondio_channel_id),
        (message.get("type"), _TEMPLATE),
        (told.get("name"), template),
    )
    is_excluded = (
        item.get("traffic") == "incoming"
        or source in _OTHER_SENDERS
        or told.get("languageCode") not in (None, language)
        or any(is_told is not None and is_told != wanted for is_told, wanted in pairs)
    )
    if is_excluded:
        return None
    number = identity(item.get("messageId"))
    is_ours = source == _API and all(is_told == wanted for is_told, wanted in pairs)
    reached, failure = status_in(item.get("status"))
    return Candidate(
        number,
        _moment(number),
        is_sure=number is not None and is_ours,
        reached=reached,
        failure=failure,
    )


def moment_of(item: Mapping[str, Any]) -> datetime | None:
    """When a message of respond.io was written: its id is the time (respond.io: messages)."""
    return _moment(identity(item.get("messageId")))


def status_in(told: object) -> tuple[RowState, str | None]:
    """How far the message came by its list of statuses, and what is said of a failure."""
    entries = [_mapping(one) for one in told] if isinstance(told, list) else []
    reached = max(
        (_REACHED.get(str(one.get("value")), RowState.ACCEPTED) for one in entries),
        key=_ORDER.index,
        default=RowState.ACCEPTED,
    )
    if reached is not RowState.FAILED:
        return reached, None
    said = [one.get("message") for one in entries if one.get("value") == "failed"]
    text = next((one for one in said if isinstance(one, str) and one), None)
    return reached, text[:_LONGEST_FAILURE] if text else None


def _moment(value: object) -> datetime | None:
    text = read_moment(value)
    return from_text(text) if text else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
