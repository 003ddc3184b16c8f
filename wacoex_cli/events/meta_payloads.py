"""Events out of a webhook of Meta that is already free of content: messages and statuses.

Source: Meta, webhooks reference (messages, statuses, smb_message_echoes), message history.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.events import meta_notices, values
from wacoex_cli.events.meta_change import Change, contact_of, first_code, read_change
from wacoex_cli.events.model import Event, Kind, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Reader = Callable[[Change], Iterator[Event]]

_NOT_CARRIED = frozenset({131051, 131060})
_AD = "ad"


def webhook_events(body: Mapping[str, Any], received_at: str) -> Iterator[Event]:
    """The events of a webhook, in the order in which it tells them."""
    for entry in body["entry"]:
        for told in entry.get("changes", ()):
            change = read_change(entry, told, received_at)
            reader = _READERS.get(change.field)
            found = list(reader(change)) if reader and change.value else []
            yield from found or [change.other(told, _type_of(change))]


def message_history_events(body: Mapping[str, Any], received_at: str) -> Iterator[Event]:
    """The statuses in an answer of the message history (Meta: message history)."""
    for told in body["data"]:
        message_id = told.get("message_id") or body.get("message_id")
        for one in (told, *told.get("events", {}).get("data", ())):
            status = one.get("delivery_status", "").lower()
            if not (message_id and status):
                continue
            yield Event(
                key=f"meta-history:{Kind.STATUS}:{message_id}:{status}",
                kind=Kind.STATUS,
                source=Source.META,
                at=values.moment(one.get("timestamp")) or received_at,
                phone_number_id=body.get("phone_number_id"),
                message_id=message_id,
                data=values.known(status=status, attempt_id=body.get("biz_opaque_callback_data")),
            )


def _messages(change: Change) -> Iterator[Event]:
    value = change.value
    person = _only(value.get("contacts"))
    for message in value.get("messages", ()):
        yield _message(change, message, person)
    for status in value.get("statuses", ()):
        if status.get("id") and status.get("status"):
            yield _status(change, status, person)
    if not (value.get("messages") or value.get("statuses")):
        for error in value.get("errors", ()):
            yield change.other(error, "system_error", error.get("code"))


def _message(change: Change, message: Mapping[str, Any], person: Mapping[str, Any]) -> Event:
    kind = _kind_of(message)
    if kind is Kind.OTHER:
        return change.other(message, message["type"])
    return change.event(
        kind,
        message,
        name=message.get("id"),
        time=message.get("timestamp"),
        contact=contact_of(
            message.get("from") or person.get("wa_id"),
            message.get("from_user_id"),
            message.get("user_id"),
            person.get("user_id"),
        ),
        message_id=message.get("id"),
        **_about(kind, message),
    )


def _kind_of(message: Mapping[str, Any]) -> Kind:
    match message.get("type"):
        case "edit":
            return Kind.EDIT
        case "revoke":
            return Kind.REVOKE
        case "unsupported" | "unknown":
            return Kind.UNSUPPORTED
        case "system":  # WhatsApp speaks here, nobody wrote: such as a changed number
            return Kind.OTHER
    return Kind.UNSUPPORTED if first_code(message) in _NOT_CARRIED else Kind.MESSAGE


def _about(kind: Kind, message: Mapping[str, Any]) -> dict[str, object]:
    if kind is Kind.EDIT:
        edit = message.get("edit", {})
        return {**_original(message), "type": edit.get("message", {}).get("type")}
    if kind is Kind.REVOKE:
        return _original(message)
    referral = message.get("referral")
    origin = {
        "has_referral": True if referral is not None else None,
        "from_ad": True if referral and referral.get("source_type") == _AD else None,
    }
    if kind is Kind.UNSUPPORTED:
        type_ = message.get("unsupported", {}).get("type")
        return {**origin, "code": first_code(message), "unsupported_type": type_}
    return {**origin, "direction": "in", "type": message.get("type")}


def _original(message: Mapping[str, Any]) -> dict[str, object]:
    changed = message.get("edit") or message.get("revoke") or {}
    return {"original_message_id": changed.get("original_message_id")}


def _status(change: Change, status: Mapping[str, Any], person: Mapping[str, Any]) -> Event:
    word = status["status"].lower()
    pricing = status.get("pricing")
    return change.event(
        Kind.STATUS,
        status,
        name=f"{status['id']}:{word}",
        time=status.get("timestamp"),
        contact=contact_of(
            status.get("recipient_id") or person.get("wa_id"),
            status.get("recipient_user_id"),
            person.get("user_id"),
        ),
        message_id=status["id"],
        status=word,
        attempt_id=status.get("biz_opaque_callback_data"),
        code=first_code(status),
        pricing=pricing
        and values.known(**{name: pricing.get(name) for name in ("billable", "category", "type")}),
    )


def _echoes(change: Change) -> Iterator[Event]:
    person = _only(change.value.get("contacts"))
    for echo in change.value.get("message_echoes", ()):
        # An echo is from our own number: the only place that names it when metadata does not.
        told = change if change.phone else replace(change, phone=echo.get("from"))
        yield told.event(
            Kind.ECHO,
            echo,
            name=echo.get("id"),
            time=echo.get("timestamp"),
            contact=contact_of(
                echo.get("to") or person.get("wa_id"),
                echo.get("to_user_id"),
                echo.get("recipient_user_id"),
                person.get("user_id"),
            ),
            message_id=echo.get("id"),
            type=echo.get("type"),
            text_hash=echo.get("text", {}).get("body", {}).get("hash"),
            **_original(echo),
        )


def _only(contacts: list[dict[str, Any]] | None) -> Mapping[str, Any]:
    """The contact of a change; with several, nothing says which message is whose."""
    return contacts[0] if contacts and len(contacts) == 1 else {}


def _type_of(change: Change) -> object:
    told = change.value.get("type") or change.value.get("event")
    return told if isinstance(told, str) else None


_READERS: dict[str, Reader] = {
    "messages": _messages,
    "smb_message_echoes": _echoes,
    **meta_notices.READERS,
}
