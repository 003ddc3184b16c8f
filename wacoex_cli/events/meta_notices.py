"""Events out of the fields in which Meta tells about accounts, numbers and the first sync.

Source: Meta, webhooks reference (smb_app_state_sync, history, account_update, account_alerts,
message_template_status_update, message_template_quality_update, phone_number_quality_update,
business_capability_update, user_preferences).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.events.meta_change import Change, contact_of, first_code
from wacoex_cli.events.model import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wacoex_cli.events.model import Event


def _contact_sync(change: Change) -> Iterator[Event]:
    for told in change.value.get("state_sync", ()):
        contact = told.get("contact", {})
        yield change.event(
            Kind.CONTACT_SYNC,
            told,
            time=told.get("metadata", {}).get("timestamp"),
            contact=contact_of(contact.get("phone_number"), contact.get("user_id")),
            action=told.get("action"),
        )


def _history(change: Change) -> Iterator[Event]:
    for part in change.value.get("history", ()):
        threads = part.get("threads", ())
        metadata = part.get("metadata", {})
        yield change.event(
            Kind.HISTORY,
            part,
            phase=metadata.get("phase"),
            chunk_order=metadata.get("chunk_order"),
            progress=metadata.get("progress"),
            threads=len(threads),
            messages=sum(len(thread.get("messages", ())) for thread in threads),
            code=first_code(part),
        )
    media = change.value.get("messages")
    if media:
        yield change.event(Kind.HISTORY, media, threads=0, messages=len(media), type="media")


def _account_update(change: Change) -> Iterator[Event]:
    value = change.value
    if "event" not in value:
        return
    waba: dict[str, Any] = value.get("waba_info", {})
    removal = value.get("disconnection_info", {})

    def told(name: str) -> object:
        return value.get(name) or waba.get(name)

    # `entry.id` is the WABA in one documented shape and somebody's portfolio in the other.
    account = replace(change, entry_id=waba.get("waba_id"), phone=value.get("phone_number"))
    yield account.event(
        Kind.ACCOUNT_UPDATE,
        value,
        name=change.name_of(value),
        event=value["event"],
        reason=removal.get("reason"),
        initiated_by=removal.get("initiated_by"),
        entry_id=change.entry_id,
        owner_business_id=waba.get("owner_business_id"),
        partner_app_id=told("partner_app_id"),
        solution_id=told("solution_id"),
        solution_partner_business_ids=told("solution_partner_business_ids"),
        restriction_info=value.get("restriction_info"),
        ban_info=value.get("ban_info"),
        violation_type=value.get("violation_info", {}).get("violation_type"),
    )


def _template_status(change: Change) -> Iterator[Event]:
    value = change.value
    yield change.event(
        Kind.TEMPLATE_STATUS,
        value,
        event=value.get("event"),
        template_id=value.get("message_template_id"),
        template_name=value.get("message_template_name"),
        template_language=value.get("message_template_language"),
        reason=value.get("reason"),
        title=value.get("other_info", {}).get("title"),
    )


def _quality(change: Change) -> Iterator[Event]:
    value = change.value
    limit = value.get("max_daily_conversations_per_business") or value.get("current_limit")
    yield change.event(
        Kind.QUALITY,
        value,
        event=value.get("event"),
        limit=limit,
        old_limit=value.get("old_limit"),
    )


def _template_quality(change: Change) -> Iterator[Event]:
    value = change.value
    yield change.event(
        Kind.QUALITY,
        value,
        old=value.get("previous_quality_score"),
        new=value.get("new_quality_score"),
        template_id=value.get("message_template_id"),
        template_name=value.get("message_template_name"),
        template_language=value.get("message_template_language"),
    )


def _capability(change: Change) -> Iterator[Event]:
    yield change.event(Kind.CAPABILITY, change.value, **change.value)


def _alert(change: Change) -> Iterator[Event]:
    value = change.value
    alert = {**value, **value.get("alert_info", {})}
    about_number = value.get("entity_type") == "PHONE_NUMBER"
    concerned = replace(change, phone_number_id=value.get("entity_id")) if about_number else change
    yield concerned.event(
        Kind.ALERT,
        value,
        severity=alert.get("alert_severity"),
        status=alert.get("alert_status"),
        type=alert.get("alert_type"),
        entity_type=value.get("entity_type"),
        entity_id=value.get("entity_id"),
    )


def _user_preference(change: Change) -> Iterator[Event]:
    contacts = change.value.get("contacts", ())
    person = contacts[0] if len(contacts) == 1 else {}
    for told in change.value.get("user_preferences", ()):
        yield change.event(
            Kind.USER_PREFERENCE,
            told,
            time=told.get("timestamp"),
            contact=contact_of(
                told.get("wa_id") or person.get("wa_id"),
                told.get("user_id"),
                person.get("user_id"),
            ),
            category=told.get("category"),
            value=told.get("value"),
        )


READERS: dict[str, Callable[[Change], Iterator[Event]]] = {
    "smb_app_state_sync": _contact_sync,
    "history": _history,
    "account_update": _account_update,
    "message_template_status_update": _template_status,
    "message_template_quality_update": _template_quality,
    "phone_number_quality_update": _quality,
    "business_capability_update": _capability,
    "account_alerts": _alert,
    "user_preferences": _user_preference,
}
