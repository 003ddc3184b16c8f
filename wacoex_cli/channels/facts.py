"""What is known about a channel, each fact with its source and its time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

META = "meta"
NOT_AVAILABLE = "not_available"
WABA_PREFIX = "waba."
TOKEN_PREFIX = "token."  # noqa: S105 - the beginning of a fact's name

PHONE_NUMBER_FIELDS = (
    "status",
    "is_on_biz_app",
    "platform_type",
    "health_status",
    "quality_rating",
    "quality_score",
    "throughput",
    "whatsapp_business_manager_messaging_limit",
    "display_phone_number",
    "verified_name",
    "name_status",
    "new_name_status",
    "code_verification_status",
    "account_mode",
    "last_onboarded_time",
    "is_official_business_account",
    "official_business_account",
    "webhook_configuration",
    "is_pin_enabled",
    "is_preverified_number",
    "search_visibility",
    "country_code",
    "country_dial_code",
    "username",
)
"""Fields of the phone number node but `certificate`, which is a secret (Meta: phone number)."""

WABA_FIELDS = (
    "name",
    "status",
    "account_review_status",
    "business_verification_status",
    "country",
    "currency",
    "timezone_id",
    "creation_time",
    "ownership_type",
    "owner_business_info",
    "on_behalf_of_business_info",
    "is_shared_with_partners",
    "primary_funding_id",
    "primary_business_location",
    "health_status",
    "is_enabled_for_insights",
    "marketing_messages_onboarding_status",
    "disable_marketing_messages_on_cloud_api",
    "whatsapp_business_manager_messaging_limit",
    "message_template_namespace",
)
"""Fields of the WhatsApp Business Account node (Meta: WhatsApp Business Account)."""

SUBSCRIBED_APPS = "subscribed_apps"
"""The apps that get the webhooks of the account, each with `id`, `name` and, where it has one,
`override` of its callback (Meta: subscribed_apps)."""

TOKEN_FIELDS = ("is_valid", "type", "app_id", "expires_at", "data_access_expires_at", "scopes")
"""What `debug_token` says about the token in use (Meta: debug_token)."""


@dataclass(frozen=True)
class Fact:
    """One thing that is known. With a `reason` the configured access could not give it."""

    name: str
    value: Any
    source: str
    observed_at: str
    reason: str | None = None

    @property
    def is_available(self) -> bool:
        """Whether there is a value; None is one too: Meta was asked and gave none."""
        return self.reason is None

    def to_json(self) -> dict[str, object]:
        """The entry of `facts`; a fact that is not available has that word as its value."""
        return {
            "name": self.name,
            "value": self.value if self.is_available else NOT_AVAILABLE,
            "source": self.source,
            "observed_at": self.observed_at,
            "reason": self.reason,
        }


def values_of(facts: Iterable[Fact]) -> dict[str, Any]:
    """The values that were given, by name; what is not available or not given is left out."""
    return {one.name: one.value for one in facts if one.is_available and one.value is not None}


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """The number's facts, then those of the token and of the account, each as listed above."""
    names = [
        *PHONE_NUMBER_FIELDS,
        *(f"{TOKEN_PREFIX}{name}" for name in TOKEN_FIELDS),
        *(f"{WABA_PREFIX}{name}" for name in (*WABA_FIELDS, SUBSCRIBED_APPS)),
    ]
    places = {name: place for place, name in enumerate(names)}
    return sorted(facts, key=lambda one: (places.get(one.name, len(names)), one.name))


def from_node(
    prefix: str,
    fields: Iterable[str],
    node: Mapping[str, object],
    refused: Mapping[str, str],
    observed_at: str,
) -> list[Fact]:
    """Facts from a Graph node: each field asked for, with the reason where it was refused."""
    return [
        Fact(f"{prefix}{name}", node.get(name), META, observed_at, refused.get(name))
        for name in fields
    ]


def not_available(prefix: str, fields: Iterable[str], reason: str, observed_at: str) -> list[Fact]:
    """The same facts when the configured access cannot give any of them."""
    return [Fact(f"{prefix}{name}", None, META, observed_at, reason) for name in fields]
