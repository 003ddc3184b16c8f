"""Findings about a channel, from facts that were read from Meta. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.findings.model import Evidence, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SENDING_FIELDS = (
    "status",
    "is_on_biz_app",
    "platform_type",
    "health_status",
    "quality_rating",
    "whatsapp_business_manager_messaging_limit",
)
"""Fields of the phone number node that decide whether a broadcast can leave."""

_CANNOT_SEND = {
    "DISCONNECTED",
    "UNVERIFIED",
    "RESTRICTED",
    "BANNED",
    "MIGRATED",
    "DELETED",
    "PENDING",
}


def check_can_send(node: Mapping[str, Any], channel: str, observed_at: str) -> list[Finding]:
    """What speaks against sending from this number now (Meta: phone number node, health status).

    A field that Meta did not give is left out: it is neither good nor bad.
    """
    return [
        *_check_coexistence(node, channel, observed_at),
        *_check_health(node, channel, observed_at),
        *_check_quality(node, channel, observed_at),
    ]


def _check_coexistence(
    node: Mapping[str, Any], channel: str, observed_at: str
) -> Iterator[Finding]:
    facts = []
    if node.get("is_on_biz_app") is False:
        facts.append("is_on_biz_app is false")
    if node.get("platform_type", "CLOUD_API") != "CLOUD_API":
        facts.append(f"platform_type is {node['platform_type']}")
    if facts:
        yield Finding(
            id="WX201",
            severity=Severity.CRITICAL,
            channel=channel,
            title="the number is not in Coexistence",
            evidence=tuple(Evidence(fact, "meta", observed_at) for fact in facts),
            remedy=(
                "check on the phone: WhatsApp Business app, Settings, Account, Business Platform",
                "if nothing is connected there, connect the number again",
            ),
            verify="wacoex status",
        )


def _check_health(node: Mapping[str, Any], channel: str, observed_at: str) -> Iterator[Finding]:
    facts = list(_health_facts(node))
    blocked = str(node.get("status")) in _CANNOT_SEND or _overall(node) == "BLOCKED"
    if facts:
        yield Finding(
            id="WX206",
            severity=Severity.CRITICAL if blocked else Severity.WARNING,
            channel=channel,
            title="Meta blocks sending" if blocked else "Meta limits sending",
            evidence=tuple(Evidence(fact, "meta", observed_at) for fact in facts),
            remedy=_solutions(node)
            or ("open WhatsApp Manager, Overview, and follow what it says about this number",),
            verify="wacoex status",
        )


def _health_facts(node: Mapping[str, Any]) -> Iterator[str]:
    status = str(node.get("status", "CONNECTED"))
    if status in _CANNOT_SEND or status in {"FLAGGED", "RATE_LIMITED"}:
        yield f"status is {status}"
    for entity in _entities(node):
        if entity.get("can_send_message") in {"LIMITED", "BLOCKED"}:
            reasons = [str(text) for text in entity.get("additional_info") or []]
            reasons += [
                f"{error.get('error_code')}: {error.get('error_description')}"
                for error in entity.get("errors") or []
            ]
            said = f" ({'; '.join(reasons)})" if reasons else ""
            yield f"{entity.get('entity_type')} is {entity['can_send_message']}{said}"


def _solutions(node: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(error["possible_solution"])
        for entity in _entities(node)
        for error in entity.get("errors") or []
        if error.get("possible_solution")
    )


def _overall(node: Mapping[str, Any]) -> str | None:
    health = node.get("health_status")
    return health.get("can_send_message") if isinstance(health, dict) else None


def _entities(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    health = node.get("health_status")
    entities = health.get("entities") if isinstance(health, dict) else None
    return [one for one in entities or [] if isinstance(one, dict)]


def _check_quality(node: Mapping[str, Any], channel: str, observed_at: str) -> Iterator[Finding]:
    rating = node.get("quality_rating")
    if rating in {"YELLOW", "RED"}:
        yield Finding(
            id="WX501",
            severity=Severity.WARNING,
            channel=channel,
            title=f"the quality rating is {str(rating).lower()}",
            evidence=(Evidence(f"quality_rating is {rating}", "meta", observed_at),),
            remedy=(
                "send only to people who asked for it, and less often",
                "look at WhatsApp Manager, Insights, for blocks and reports",
            ),
            verify="wacoex status",
        )
