"""What is kept of Meta's payloads (Meta: webhooks reference, message history)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.events.privacy import (
    constant,
    day,
    each,
    flag,
    hashed_text,
    identifier,
    number,
    open_record,
    phone,
    record,
    time,
    word,
)

if TYPE_CHECKING:
    from wacoex_cli.events.privacy import Rule

_ERRORS = each(record({"code": number}))
_NUMBER = {
    "metadata": record({"display_phone_number": phone, "phone_number_id": identifier}),
    "display_phone_number": phone,
    "phone_number_id": identifier,
}
_CONTACTS = each(record({"wa_id": phone, "user_id": identifier}))
_ORIGINAL = {"original_message_id": identifier}
_MESSAGE = {
    "id": identifier,
    "timestamp": time,
    "type": word,
    "from": phone,
    "to": phone,
    "user_id": identifier,
    "from_user_id": identifier,
    "to_user_id": identifier,
    "recipient_user_id": identifier,
    "group_id": identifier,
    "context": record({"id": identifier}),
    "errors": _ERRORS,
    "referral": record({"source_type": word}),
    "unsupported": record({"type": word}),
    "edit": record({**_ORIGINAL, "message": record({"type": word})}),
    "revoke": record(_ORIGINAL),
    "system": record({"type": word}),
    "history_context": record({"status": word}),
}
_STATUS = {
    "id": identifier,
    "status": word,
    "timestamp": time,
    "recipient_id": phone,
    "recipient_user_id": identifier,
    "biz_opaque_callback_data": identifier,
    "pricing": record(
        {"billable": flag, "pricing_model": word, "type": word, "category": word},
    ),
    "errors": _ERRORS,
}
_ECHO = {**_MESSAGE, "text": record({"body": hashed_text})}
_HISTORY_PART = {
    "metadata": record({"phase": number, "chunk_order": number, "progress": number}),
    "threads": each(record({"id": identifier, "messages": each(record(_MESSAGE))})),
    "errors": _ERRORS,
}
_CONTACT_SYNC = {
    "type": word,
    "action": word,
    "contact": record({"phone_number": phone, "user_id": identifier}),
    "metadata": record({"timestamp": time}),
}
_ACCOUNT_UPDATE = {
    "event": word,
    "phone_number": phone,
    "phone_number_id": identifier,
    "waba_info": record(
        {
            "waba_id": identifier,
            "owner_business_id": identifier,
            "partner_app_id": identifier,
            "solution_id": identifier,
            "solution_partner_business_ids": each(identifier),
        }
    ),
    "partner_app_id": identifier,
    "solution_id": identifier,
    "solution_partner_business_ids": each(identifier),
    "disconnection_info": record({"reason": word, "initiated_by": word}),
    "restriction_info": each(record({"restriction_type": word, "expiration": time})),
    "ban_info": record({"waba_ban_state": word, "waba_ban_date": day}),
    "violation_info": record({"violation_type": word}),
    "country": word,
}
_ALERT = {"alert_severity": word, "alert_status": word, "alert_type": word}
_PREFERENCE = {
    "wa_id": phone,
    "user_id": identifier,
    "category": word,
    "value": word,
    "timestamp": time,
}


def _limits(value: Any, key: bytes) -> dict[str, int | str] | None:
    """The `max_...` of `business_capability_update`: names vary, values are numbers or tiers."""
    if not isinstance(value, dict):
        return None
    kept: dict[str, int | str] = {}
    for name, limit in value.items():
        told = number(limit, key)
        clean = word(limit, key) if told is None else told
        if name.startswith("max_") and word(name, key) and clean is not None:
            kept[name] = clean
    return kept


_UNKNOWN = open_record(_NUMBER)
_FIELDS: dict[str, Rule] = {
    "messages": record(
        {
            **_NUMBER,
            "contacts": _CONTACTS,
            "messages": each(record(_MESSAGE)),
            "statuses": each(record(_STATUS)),
            "errors": _ERRORS,
        }
    ),
    "smb_message_echoes": record(
        {**_NUMBER, "contacts": _CONTACTS, "message_echoes": each(record(_ECHO))}
    ),
    "smb_app_state_sync": record({**_NUMBER, "state_sync": each(record(_CONTACT_SYNC))}),
    "history": record(
        {**_NUMBER, "history": each(record(_HISTORY_PART)), "messages": each(record(_MESSAGE))}
    ),
    "account_update": record(_ACCOUNT_UPDATE),
    "message_template_status_update": record(
        {
            "event": word,
            "message_template_id": identifier,
            "message_template_name": identifier,
            "message_template_language": word,
            "message_template_category": word,
            "reason": constant,
            "other_info": record({"title": constant}),
            "disable_info": record({"disable_date": day}),
        }
    ),
    "message_template_quality_update": record(
        {
            "previous_quality_score": word,
            "new_quality_score": word,
            "message_template_id": identifier,
            "message_template_name": identifier,
            "message_template_language": word,
        }
    ),
    "phone_number_quality_update": record(
        {
            **_NUMBER,
            "event": word,
            "current_limit": word,
            "old_limit": word,
            "max_daily_conversations_per_business": identifier,
        }
    ),
    "business_capability_update": _limits,
    "account_alerts": record(
        {"entity_type": word, "entity_id": identifier, "alert_info": record(_ALERT), **_ALERT}
    ),
    "user_preferences": record(
        {**_NUMBER, "contacts": _CONTACTS, "user_preferences": each(record(_PREFERENCE))}
    ),
}


def _change(value: Any, key: bytes) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    field = word(value.get("field"), key) or ""
    told = _FIELDS.get(field, _UNKNOWN)(value.get("value"), key)
    return {"field": field, "value": {} if told is None else told}


WEBHOOK: Rule = record(
    {
        "object": word,
        "entry": each(record({"id": identifier, "time": time, "changes": each(_change)})),
    }
)

_HISTORY_EVENT: dict[str, Rule] = {"delivery_status": word, "timestamp": time}
MESSAGE_HISTORY: Rule = record(
    {
        "object": word,
        "phone_number_id": identifier,
        "message_id": identifier,
        "biz_opaque_callback_data": identifier,
        "data": each(
            record(
                {
                    **_HISTORY_EVENT,
                    "message_id": identifier,
                    "events": record({"data": each(record(_HISTORY_EVENT))}),
                }
            )
        ),
    }
)
