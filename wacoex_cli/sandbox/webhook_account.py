"""The values of webhooks about accounts, templates and limits (Meta: webhooks reference)."""

from __future__ import annotations

from typing import Any

from wacoex_cli.sandbox.webhook_messages import PERSON, Scene, Update, Value
from wacoex_cli.sandbox.world import PARTNER_BUSINESS_ID

_WITHOUT_NUMBER = ("ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED")
# What Meta adds to some events when nothing else is asked for.
_DETAILS: dict[str, Value] = {
    "ACCOUNT_VIOLATION": {"violation_info": {"violation_type": "SPAM"}},
    "DISABLED_UPDATE": {
        "ban_info": {"waba_ban_state": "DISABLE", "waba_ban_date": "April 17, 2025"}
    },
    "ACCOUNT_RESTRICTION": {
        "restriction_info": [
            {"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": 1800000000}
        ]
    },
}


def account_update(
    scene: Scene,
    *,
    event: str = "PARTNER_REMOVED",
    shape: str = "onboarding",
    reason: str | None = None,
    initiated_by: str | None = None,
    details: dict[str, Any] | None = None,
) -> list[Update]:
    """Something happened to the account.

    Of the two shapes that Meta documents, `onboarding` names the phone and the WABA is the
    entry, `reference` names the WABA and the entry is a portfolio. Raises ValueError for others.
    """
    if shape not in ("onboarding", "reference"):
        raise ValueError("`shape` must be `onboarding` or `reference`")
    value: Value = {"event": event}
    entry_id = None
    if event not in _WITHOUT_NUMBER and shape == "onboarding":
        value["phone_number"] = scene.digits
    elif event not in _WITHOUT_NUMBER:
        owner = {"waba_id": scene.waba_id, "owner_business_id": scene.owner_business_id}
        value["waba_info"] = owner
        entry_id = PARTNER_BUSINESS_ID
    if reason is not None:
        told = {"reason": reason, "initiated_by": initiated_by or "SYSTEM"}
        value["disconnection_info"] = told
    extra = _DETAILS.get(event, {}) if details is None else details
    return [Update("account_update", {**value, **extra}, entry_id)]


def template_status(
    scene: Scene,
    *,
    event: str = "PAUSED",
    template_id: int = 108000000000001,
    name: str = "spring_sale",
    language: str = "en_US",
    reason: str | None = None,
    title: str = "FIRST_PAUSE",
) -> list[Update]:
    """A template was approved, rejected, paused or disabled."""
    value = {
        "event": event,
        "message_template_id": template_id,
        "message_template_name": name,
        "message_template_language": language,
        "reason": reason,
        "other_info": {"title": title, "description": "The template has low quality."},
    }
    return [Update("message_template_status_update", value)]


def template_quality(
    scene: Scene,
    *,
    before: str = "GREEN",
    now: str = "RED",
    template_id: int = 108000000000001,
    name: str = "spring_sale",
    language: str = "en_US",
) -> list[Update]:
    """The quality of a template changed."""
    value = {
        "previous_quality_score": before,
        "new_quality_score": now,
        "message_template_id": template_id,
        "message_template_name": name,
        "message_template_language": language,
    }
    return [Update("message_template_quality_update", value)]


def quality(
    scene: Scene,
    *,
    event: str = "THROUGHPUT_UPGRADE",
    limit: str = "TIER_2K",
    old_limit: str | None = None,
) -> list[Update]:
    """The quality or the throughput of a number changed."""
    value = {
        "display_phone_number": scene.digits,
        "event": event,
        "max_daily_conversations_per_business": limit,
    }
    if old_limit is not None:
        value["old_limit"] = old_limit
    return [Update("phone_number_quality_update", value)]


def capability(scene: Scene, *, limit: int = 2000, numbers: int = 2) -> list[Update]:
    """How many people a day the portfolio may write to, and how many numbers it may have."""
    value = {
        "max_daily_conversations_per_business": limit,
        "max_phone_numbers_per_business": numbers,
    }
    return [Update("business_capability_update", value)]


def alert(
    scene: Scene,
    *,
    severity: str = "WARNING",
    status: str = "ACTIVE",
    type: str = "INCREASED_CAPABILITIES_ELIGIBILITY_DEFERRED",
    entity_type: str = "BUSINESS",
) -> list[Update]:
    """An alert of Meta about an account."""
    info = {"alert_severity": severity, "alert_status": status, "alert_type": type}
    value = {
        "entity_type": entity_type,
        "entity_id": scene.owner_business_id,
        "alert_info": {**info, "alert_description": "See WhatsApp Manager."},
    }
    return [Update("account_alerts", value)]


def user_preference(
    scene: Scene,
    *,
    contact: str = PERSON,
    value: str = "stop",
    category: str = "marketing_messages",
) -> list[Update]:
    """A customer stopped, or resumed, marketing messages."""
    digits = contact.removeprefix("+")
    told = {
        "wa_id": digits,
        "category": category,
        "value": value,
        "detail": f"User requested to {value} marketing messages",
        "timestamp": scene.at,
    }
    parts = {
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": digits}],
        "user_preferences": [told],
    }
    whole = {"messaging_product": "whatsapp", "metadata": scene.metadata, **parts}
    return [Update("user_preferences", whole)]


def other(
    scene: Scene, *, field: str = "security", value: dict[str, Any] | None = None
) -> list[Update]:
    """Any other field, known or not."""
    told = {"display_phone_number": scene.digits, "event": "PIN_CHANGED"}
    return [Update(field, told if value is None else value)]
