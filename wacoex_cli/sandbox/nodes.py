"""Graph nodes: which fields each kind has, and picking those a caller names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wacoex_cli.sandbox.refusals import Refusal, nonexisting_field

Selection = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeKind:
    """A type of node: every field it has, and those it answers with when none is named."""

    name: str
    fields: frozenset[str]
    default_fields: tuple[str, ...]


def _kind(name: str, default_fields: str, other_fields: str) -> NodeKind:
    defaults = tuple(default_fields.split())
    return NodeKind(name, frozenset([*defaults, *other_fields.split()]), defaults)


# Meta: WhatsApp Business Account phone number API
PHONE_NUMBER = _kind(
    "WhatsAppBusinessPhoneNumber",
    "id display_phone_number verified_name quality_rating",
    "status is_on_biz_app platform_type host_platform quality_score throughput "
    "whatsapp_business_manager_messaging_limit messaging_limit_tier name_status new_name_status "
    "code_verification_status account_mode last_onboarded_time is_official_business_account "
    "official_business_account health_status webhook_configuration is_pin_enabled "
    "is_preverified_number search_visibility country_code country_dial_code username certificate",
)
# Meta: WhatsApp Business Account API
WABA = _kind(
    "WhatsAppBusinessAccount",
    "id name timezone_id message_template_namespace",
    "status account_review_status business_verification_status country currency creation_time "
    "ownership_type owner_business owner_business_info on_behalf_of_business_info "
    "is_shared_with_partners primary_funding_id primary_business_location health_status "
    "is_enabled_for_insights marketing_messages_onboarding_status "
    "disable_marketing_messages_on_cloud_api whatsapp_business_manager_messaging_limit",
)
# Meta: template management
TEMPLATE = _kind(
    "WhatsAppMessageTemplate",
    "id name language status category components parameter_format",
    "quality_score rejected_reason health_status",
)


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the Graph; a field without a value is left out of answers, as Meta does."""

    kind: NodeKind
    id: str
    waba_id: str
    values: dict[str, Any]

    def patch(self, values: Mapping[str, object]) -> None:
        """Set fields; raises ValueError for one that this kind of node does not have."""
        unknown = sorted(values.keys() - (self.kind.fields - {"id"}))
        if unknown:
            raise ValueError(f"`{unknown[0]}` cannot be set on a {self.kind.name}")
        self.values.update(values)


def meta_time(at: float) -> str:
    """A moment (Unix seconds) as the Graph API writes times."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def moment_of(text: str) -> float:
    """The Unix seconds of a time as the Graph API writes it."""
    return datetime.fromisoformat(text).timestamp()


def subscribed_app(app_id: str, name: str) -> dict[str, Any]:
    """A row of `subscribed_apps`."""
    link = f"https://www.facebook.com/games/?app_id={app_id}"
    return {"whatsapp_business_api_data": {"id": app_id, "name": name, "link": link}}


def overall_health(entities: Iterable[Mapping[str, object]]) -> str:
    """BLOCKED if any entity is, else LIMITED if any is, else AVAILABLE (Meta: health status)."""
    states = {entity.get("can_send_message") for entity in entities}
    return next((state for state in ("BLOCKED", "LIMITED") if state in states), "AVAILABLE")


def select(node: Node, fields: str | None) -> dict[str, object]:
    """The fields of a node that a caller asked for, its id always among them.

    Raises Refusal 100 for a field that the node does not have.
    """
    selection = parse_fields(fields) if fields else _all_of(node.kind.default_fields)
    unknown = [name for name in selection if name not in node.kind.fields]
    if unknown:
        raise nonexisting_field(unknown[0], node.kind.name)
    answer = {
        name: _narrow(value, inner)
        for name, inner in selection.items()
        if (value := _value(node, name)) is not None
    }
    return {**answer, "id": node.id}


def _all_of(names: Iterable[str]) -> Selection:
    return {name: {} for name in names}


def _value(node: Node, name: str) -> Any:
    value = node.values.get(name)
    if name == "health_status" and value is not None:
        return {"can_send_message": overall_health(value.get("entities", ())), **value}
    return value


def _narrow(value: Any, selection: Selection) -> Any:
    if not selection:
        return value
    if isinstance(value, list):
        return [_narrow(item, selection) for item in value]
    if not isinstance(value, dict):
        raise Refusal(100, message="(#100) Subfields are not supported by this field")
    return {name: _narrow(value[name], inner) for name, inner in selection.items() if name in value}


def parse_fields(text: str) -> Selection:
    """`id,owner_business_info{id,name}` as nested dictionaries; an empty one means everything.

    Raises Refusal 100 when the text is not such a list.
    """
    root: Selection = {}
    open_levels = [root]
    last: Selection | None = None
    name_may_follow = True
    for word in re.findall(r"\w+|\S", text):
        if word == "{" and last is not None:
            open_levels.append(last)
        elif word == "}" and len(open_levels) > 1 and not name_may_follow:
            open_levels.pop()
        elif word == "," and not name_may_follow:
            pass
        elif word[0].isalnum() and name_may_follow:
            last = open_levels[-1].setdefault(word, {})
            name_may_follow = False
            continue
        else:
            raise _syntax_error(text)
        last = None
        name_may_follow = word != "}"
    if len(open_levels) > 1 or name_may_follow:
        raise _syntax_error(text)
    return root


def _syntax_error(text: str) -> Refusal:
    return Refusal(100, message=f"(#100) Syntax error in fields: {text}")
