"""Findings about a channel, from facts that were read from Meta. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.findings.model import Evidence, Finding, Severity, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SENDING_FIELDS = (
    "status",
    "is_on_biz_app",
    "platform_type",
    "health_status",
    "quality_rating",
    "whatsapp_business_manager_messaging_limit",
)
"""Fields of the phone number node that decide whether a broadcast can leave."""

CANNOT_SEND = frozenset(
    {"DISCONNECTED", "UNVERIFIED", "RESTRICTED", "BANNED", "MIGRATED", "DELETED", "PENDING"}
)
"""Values of `status` of a number that cannot send (Meta: phone number)."""

_IMPAIRED = frozenset({"FLAGGED", "RATE_LIMITED"})
_OTHER_PLATFORMS = frozenset({"ON_PREMISE", "NOT_APPLICABLE"})
_HEALTH_WORDS = {
    "AVAILABLE": Severity.OK,
    "LIMITED": Severity.WARNING,
    "BLOCKED": Severity.CRITICAL,
}
_LOW_QUALITY = frozenset({"YELLOW", "RED"})
_QUALITY_WORDS = _LOW_QUALITY | {"GREEN", "NA", "UNKNOWN"}
_NEWER_WORD = "this version of wacoex does not know that value"

# What was found, and how bad that is.
_Said = tuple[str, Severity]


def check_can_send(node: Mapping[str, Any], channel: str, observed_at: str) -> list[Finding]:
    """What speaks against sending from this number now (Meta: phone number node, health status).

    A field that Meta did not give is left out: it is neither good nor bad. A value that is not
    known here is unknown: it may be harmless, and it may not.
    """
    return [
        *_check_coexistence(node, channel, observed_at),
        *_check_health(node, channel, observed_at),
        *_check_quality(node, channel, observed_at),
    ]


def _check_coexistence(
    node: Mapping[str, Any], channel: str, observed_at: str
) -> Iterator[Finding]:
    said = list(_coexistence_facts(node))
    if said:
        severity = worst(one for _, one in said)
        yield Finding("WX201", severity, channel, _evidence(said, observed_at))


def _coexistence_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    on_app = node.get("is_on_biz_app", True)
    if on_app is False:
        yield "is_on_biz_app is false", Severity.CRITICAL
    elif on_app is not True:
        yield f"is_on_biz_app is {on_app}: {_NEWER_WORD}", Severity.UNKNOWN
    platform = str(node.get("platform_type", "CLOUD_API"))
    if platform in _OTHER_PLATFORMS:
        yield f"platform_type is {platform}", Severity.CRITICAL
    elif platform != "CLOUD_API":
        yield f"platform_type is {platform}: {_NEWER_WORD}", Severity.UNKNOWN


def _check_health(node: Mapping[str, Any], channel: str, observed_at: str) -> Iterator[Finding]:
    said = [*_status_facts(node), *_health_facts(node)]
    severity = worst(one for _, one in said)
    if severity not in {Severity.OK, Severity.INFO}:
        evidence = _evidence(said, observed_at)
        yield Finding("WX206", severity, channel, evidence, solutions=_solutions(node))


def _status_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    status = str(node.get("status", "CONNECTED"))
    if status in CANNOT_SEND:
        yield f"status is {status}", Severity.CRITICAL
    elif status in _IMPAIRED:
        yield f"status is {status}", Severity.WARNING
    elif status == "UNKNOWN":
        yield "status is UNKNOWN: Meta cannot tell", Severity.UNKNOWN
    elif status != "CONNECTED":
        yield f"status is {status}: {_NEWER_WORD}", Severity.UNKNOWN


def _health_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    if "health_status" not in node:
        return
    health = node["health_status"]
    if not isinstance(health, dict):
        yield "health_status has a form that this version cannot read", Severity.UNKNOWN
        return
    said = [one for entity in _entities(node) for one in _entity_facts(entity)]
    yield from said
    overall = health.get("can_send_message", "AVAILABLE")
    severity = _health_severity(overall)
    if severity is not worst([Severity.OK, *(one for _, one in said)]):
        yield f"can_send_message is {overall}{_unless_known(severity)}", severity


def _entity_facts(entity: Mapping[str, Any]) -> Iterator[_Said]:
    word = entity.get("can_send_message", "AVAILABLE")
    severity = _health_severity(word)
    if severity is Severity.OK:
        return
    reasons = [str(text) for text in _list(entity.get("additional_info"))]
    reasons += [
        f"{error.get('error_code')}: {error.get('error_description')}" for error in _errors(entity)
    ]
    told = f" ({'; '.join(reasons)})" if reasons else ""
    yield f"{entity.get('entity_type')} is {word}{told}{_unless_known(severity)}", severity


def _health_severity(word: object) -> Severity:
    return _HEALTH_WORDS.get(str(word), Severity.UNKNOWN)


def _unless_known(severity: Severity) -> str:
    return f": {_NEWER_WORD}" if severity is Severity.UNKNOWN else ""


def _solutions(node: Mapping[str, Any]) -> tuple[str, ...]:
    found = (
        error.get("possible_solution") for entity in _entities(node) for error in _errors(entity)
    )
    return tuple(dict.fromkeys(str(text) for text in found if text))


def _entities(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    health = node.get("health_status")
    return _dictionaries(health.get("entities")) if isinstance(health, dict) else []


def _errors(entity: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _dictionaries(entity.get("errors"))


def _dictionaries(value: object) -> list[dict[str, Any]]:
    return [one for one in _list(value) if isinstance(one, dict)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _check_quality(node: Mapping[str, Any], channel: str, observed_at: str) -> Iterator[Finding]:
    rating = str(node.get("quality_rating", "GREEN"))
    is_low = rating in _LOW_QUALITY
    if is_low or rating not in _QUALITY_WORDS:
        yield Finding(
            "WX501",
            Severity.WARNING if is_low else Severity.UNKNOWN,
            channel,
            Evidence(f"quality_rating is {rating}", "meta", observed_at),
            rating=rating.lower(),
        )


def _evidence(said: Iterable[_Said], observed_at: str) -> tuple[Evidence, ...]:
    return tuple(Evidence(text, "meta", observed_at) for text, _ in said)
