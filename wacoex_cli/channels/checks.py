"""Findings about a channel, its connection and its token, from what is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.facts import (
    CANNOT_SEND,
    SETTLES_WITHIN,
    ConnectionState,
    connected_at,
    is_settling,
    moment_of,
)
from wacoex_cli.channels.model import RE_REGISTERED
from wacoex_cli.findings.catalogue import wording
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.answers import EXPIRES_SOON, NEEDED_SCOPES, WRONG_KIND

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from wacoex_cli.channels.facts import ChannelFacts, Connection

    _Said = tuple[str, Severity]
    """What was found, and how bad that is."""


SENDING_FIELDS = (
    "status",
    "is_on_biz_app",
    "platform_type",
    "health_status",
    "quality_rating",
    "whatsapp_business_manager_messaging_limit",
)
"""Fields of the phone number node that decide whether a broadcast can leave."""

_LAGS = frozenset({"WX201", "WX206"})
# These are decisions of somebody, no lag.
_FINAL = CANNOT_SEND - {"PENDING", "DISCONNECTED", "UNVERIFIED"}
_IMPAIRED = frozenset({"FLAGGED", "RATE_LIMITED"})
_OTHER_PLATFORMS = frozenset({"ON_PREMISE", "NOT_APPLICABLE"})
_HEALTH_WORDS = {
    "AVAILABLE": Severity.OK,
    "LIMITED": Severity.WARNING,
    "BLOCKED": Severity.CRITICAL,
}
_LOW_QUALITY = frozenset({"YELLOW", "RED"})
_QUALITY_WORDS = _LOW_QUALITY | {"GREEN", "NA", "UNKNOWN"}
_CAN_SEND = frozenset({"AVAILABLE", "LIMITED"})
# Meta: phone number. A number may send before its name was reviewed (Meta: display names).
_NAMES = {
    "APPROVED": Severity.OK,
    "AVAILABLE_WITHOUT_REVIEW": Severity.OK,
    "PENDING_REVIEW": Severity.INFO,
    "NONE": Severity.INFO,
    "DECLINED": Severity.CRITICAL,
    "EXPIRED": Severity.CRITICAL,
}
_NEW_NAMES = {
    "APPROVED": Severity.OK,
    "AVAILABLE_WITHOUT_REVIEW": Severity.OK,
    "PENDING_REVIEW": Severity.OK,
    "NONE": Severity.OK,
    "DECLINED": Severity.INFO,
    "EXPIRED": Severity.INFO,
}
_MUST_BE: Mapping[str, tuple[str, Mapping[str, Severity]]] = {
    "account_mode": ("mode", {"LIVE": Severity.OK, "SANDBOX": Severity.CRITICAL}),
    "name_status": ("name", _NAMES),
    "new_name_status": ("new_name", _NEW_NAMES),
    "code_verification_status": (
        "verification",
        {
            "VERIFIED": Severity.OK,
            "NOT_VERIFIED": Severity.INFO,
            "UNVERIFIED": Severity.INFO,
            "EXPIRED": Severity.INFO,
        },
    ),
}
_NEWER_WORD = "this version of wacoex does not know that value"
_NEWER_FORM = "this version of wacoex cannot read that form"
_OURS = frozenset({_NEWER_WORD, _NEWER_FORM})

_RIGHTS = " and ".join(NEEDED_SCOPES)
RETURNS_WITHIN = timedelta(hours=1)
"""WhatsApp usually brings a partner back within minutes (Meta: reconnect offboarded clients)."""
_VERSION_ENDS_SOON = timedelta(days=90)
VERSION_ENDS = {
    20: date(2026, 9, 24),
    21: date(2027, 1, 21),
    22: date(2027, 5, 20),
    23: date(2027, 10, 8),
    24: date(2028, 2, 18),
    25: date(2028, 7, 29),
}
"""The day each Graph version ends; what is not listed is older or newer (Meta: versions)."""


def check_can_send(node: Mapping[str, Any], channel: str, observed_at: str) -> list[Finding]:
    """What forbids sending from this number now (Meta: phone number node, health status).

    A field that Meta did not give is left out: it is neither good nor bad. A value that is not
    known here is unknown: it may be harmless, and it may not.
    """
    found = []
    if said := list(_coexistence_facts(node)):
        severity = worst(severity for _, severity in said)
        found.append(Finding("WX201", severity, channel, _evidence(said, observed_at)))
    said = [*_status_facts(node), *_health_facts(node)]
    severity = worst(severity for _, severity in said)
    if severity not in {Severity.OK, Severity.INFO}:
        entities = _dictionaries(node.get("health_status"), "entities")
        hints = [
            error.get("possible_solution")
            for entity in entities
            for error in _dictionaries(entity, "errors")
        ]
        solutions = tuple(dict.fromkeys(str(hint) for hint in hints if hint))
        evidence = _evidence(said, observed_at)
        found.append(Finding("WX206", severity, channel, evidence, solutions=solutions))
    rating = str(node.get("quality_rating", "GREEN"))
    if rating in _LOW_QUALITY or rating not in _QUALITY_WORDS:
        severity = Severity.WARNING if rating in _LOW_QUALITY else Severity.UNKNOWN
        said_of_it = Evidence(f"quality_rating is {rating}", "meta", observed_at)
        found.append(Finding("WX501", severity, channel, said_of_it, rating=rating.lower()))
    return found


def _coexistence_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    on_app = node.get("is_on_biz_app", True)
    if on_app is False:
        yield "is_on_biz_app is false", Severity.CRITICAL
    elif on_app is not True:
        yield f"is_on_biz_app is {on_app}", Severity.UNKNOWN
        yield _NEWER_WORD, Severity.UNKNOWN
    platform = str(node.get("platform_type", "CLOUD_API"))
    if platform in _OTHER_PLATFORMS:
        yield f"platform_type is {platform}", Severity.CRITICAL
    elif platform != "CLOUD_API":
        yield f"platform_type is {platform}", Severity.UNKNOWN
        yield _NEWER_WORD, Severity.UNKNOWN


def _status_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    status = str(node.get("status", "CONNECTED"))
    if status in CANNOT_SEND:
        yield f"status is {status}", Severity.CRITICAL
    elif status in _IMPAIRED:
        yield f"status is {status}", Severity.WARNING
    elif status == "UNKNOWN":
        yield "status is UNKNOWN", Severity.UNKNOWN
    elif status != "CONNECTED":
        yield f"status is {status}", Severity.UNKNOWN
        yield _NEWER_WORD, Severity.UNKNOWN


def _health_facts(node: Mapping[str, Any]) -> Iterator[_Said]:
    if "health_status" not in node:
        return
    health = node["health_status"]
    if not isinstance(health, dict):
        yield f"health_status is {str(health)[:40]}", Severity.UNKNOWN
        yield _NEWER_FORM, Severity.UNKNOWN
        return
    said: list[_Said] = []
    for entity in _dictionaries(health, "entities"):
        word = entity.get("can_send_message", "AVAILABLE")
        severity = _HEALTH_WORDS.get(str(word), Severity.UNKNOWN)
        if severity is Severity.OK:
            continue
        reasons = [str(text) for text in _list(entity, "additional_info")]
        reasons += [
            f"{error.get('error_code')}: {error.get('error_description')}"
            for error in _dictionaries(entity, "errors")
        ]
        why = f" ({'; '.join(reasons)})" if reasons else ""
        said.append((f"{entity.get('entity_type')} is {word}{why}", severity))
    yield from said
    overall = health.get("can_send_message", "AVAILABLE")
    severity = _HEALTH_WORDS.get(str(overall), Severity.UNKNOWN)
    if severity is not worst([Severity.OK, *(each for _, each in said)]):
        said.append((f"can_send_message is {overall}", severity))
        yield said[-1]
    if any(severity is Severity.UNKNOWN for _, severity in said):
        yield _NEWER_WORD, Severity.UNKNOWN


def check_sending_facts(values: Mapping[str, Any], channel: str, observed_at: str) -> list[Finding]:
    """WX214: display name, mode or verification of the number are not as sending needs them.

    A declined name leads to 131037 (Meta: error codes), yet Meta declines names of numbers that
    go on sending (Meta: display names): where its health status says that they can, this is a
    warning. A code that is not verified is normal for a connected number. What Meta did not give
    is left out; a word that is not known here is neither good nor bad.
    """
    health = values.get("health_status")
    overall = health.get("can_send_message") if isinstance(health, dict) else None
    found = []
    for field, (case, words) in _MUST_BE.items():
        if (word := values.get(field)) is None:
            continue
        severity = words.get(str(word), Severity.UNKNOWN)
        if case == "name" and severity is Severity.CRITICAL and overall in _CAN_SEND:
            severity = Severity.WARNING
        is_connected = values.get("status") == "CONNECTED"
        if case == "verification" and severity is Severity.INFO and not is_connected:
            severity = Severity.WARNING
        if severity is not Severity.OK:
            text = f"{field} is {word}"
            found.append((case, severity, text, str(word).lower().replace("_", " ")))
    if not found:
        return []
    severity = worst(severity for _, severity, _, _ in found)
    case, word = next((case, word) for case, each, _, word in found if each is severity)
    texts = [(text, each) for _, each, text, _ in found]
    if any(each is Severity.UNKNOWN for _, each in texts):
        texts.append((_NEWER_WORD, Severity.UNKNOWN))
    evidence = _evidence(texts, observed_at)
    return [Finding("WX214", severity, channel, evidence, case=case, word=word)]


def _dictionaries(node: object, key: str) -> list[dict[str, Any]]:
    return [value for value in _list(node, key) if isinstance(value, dict)]


def _list(node: object, key: str) -> list[Any]:
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, list) else []


def _evidence(said: Iterable[_Said], observed_at: str) -> tuple[Evidence, ...]:
    texts = dict.fromkeys(text for text, _ in said)
    return tuple(Evidence(it, "wacoex" if it in _OURS else "meta", observed_at) for it in texts)


def check_connection(connection: Connection, channel: str, now: datetime) -> list[Finding]:
    """WX203 when the partner was removed, WX204 while WhatsApp is reconnecting it, WX215 when the
    number was visible and is gone.

    All are critical: nothing can be sent or received through the API. The remedy follows from
    reason, initiator and age (Meta: account_update; Meta: reconnect offboarded clients).
    """
    if connection.since is None or not connection.is_lost:
        return []
    if connection.state is ConnectionState.GONE:
        text = "Meta hides the number from a valid token that saw it before (100, subcode 33)"
        said = Evidence(text, "meta", connection.since)
        return [Finding("WX215", Severity.CRITICAL, channel, said)]
    until = from_text(connection.since) + RETURNS_WITHIN
    reason, by = connection.reason or "", connection.initiated_by
    details = (f", reason {reason}" if reason else "") + (f", initiated by {by}" if by else "")
    if connection.state is ConnectionState.RECONNECTING:
        finding_id, case, may_return = "WX204", "", True
        text = f"ACCOUNT_OFFBOARDED{details}, and no return yet"
    else:
        finding_id, text = "WX203", f"PARTNER_REMOVED{details}"
        case = reason if reason in wording("WX203").cases else ""
        may_return = reason == RE_REGISTERED or by != "USER"
    return [
        Finding(
            finding_id,
            Severity.CRITICAL,
            channel,
            Evidence(text, "meta", connection.since),
            case=case,
            is_waiting=may_return and now < until,
            until=to_text(until),
        )
    ]


def check_shown(facts: ChannelFacts) -> list[Finding]:
    """WX215 where number or account are not lost: the one has other ids now, the other is hidden.

    `check_connection` reports a number that is gone.
    """
    name, channel, seen = facts.name, facts.channel, facts.now_text
    if facts.moved_to:
        waba_id, number_id = facts.moved_to
        text = f"{channel.phone} is {number_id} in the account {waba_id} now"
        options = f"--waba-id {waba_id} --phone-number-id {number_id}"
        said = Evidence(text, "meta", seen)
        return [Finding("WX215", Severity.WARNING, name, said, case="moved", options=options)]
    account = facts.lost_account
    if account is None or facts.connection.is_lost:
        return []
    text = f"Meta hides the account {account.object_id} (100, subcode 33), not the number"
    said = Evidence(text, "meta", account.gone_since or seen)
    return [Finding("WX215", Severity.WARNING, name, said, case="account")]


def check_ids(facts: ChannelFacts) -> list[Finding]:
    """WX207: an id that is stored belongs to an object of another kind, such as a portfolio."""
    errors = (facts.failures.get("number"), facts.apps.error if facts.apps else None)
    wrong = [error for error in errors if error is not None and error.code == WRONG_KIND]
    if not wrong:
        return []
    said = [Evidence(error.message, "meta", facts.now_text) for error in wrong]
    options = [f"--{str(error.details['wanted']).replace('_', '-')} ID" for error in wrong]
    hints = [error.hint for error in wrong]
    return [
        Finding(
            "WX207",
            Severity.WARNING,
            facts.name,
            said,
            case="kind",
            options=" ".join(options),
            hints=hints,
        )
    ]


def wait_for(lost: Sequence[Finding], findings: Iterable[Finding]) -> list[Finding]:
    """What else was found, without the advice to connect again (WX201) beside a lost connection.

    `lost` is what `check_connection` found: its remedy knows whether to wait.
    """
    steps = tuple(f"first do what {loss.id} says" for loss in lost)
    return [
        found.replace(remedy=steps) if steps and found.id == "WX201" else found
        for found in findings
    ]


def missing_token(channel: str, observed_at: str) -> Finding:
    """WX701: a channel that works through Meta has no token."""
    said = Evidence("no meta-token is configured for this channel", "settings", observed_at)
    return Finding("WX701", Severity.UNKNOWN, channel, said, case="missing")


def refused_token(channel: str, said: str, observed_at: str, hint: str | None = None) -> Finding:
    """WX701: Meta refused the token, or a right it lacks; so nothing can be known.

    `hint` is what to do about the very reason, where Meta gave one (code 190 has four).
    """
    return Finding(
        "WX701",
        Severity.UNKNOWN,
        channel,
        Evidence(said, "meta", observed_at),
        case="refused",
        hint=hint,
        rights=_RIGHTS,
    )


def check_token(
    values: Mapping[str, Any], channel: str, now: datetime, observed_at: str
) -> list[Finding]:
    """WX701 from what `debug_token` said: no longer valid, ends within 14 days, lacks a scope."""
    expires_at = moment_of(values.get("token.expires_at"))
    if values.get("token.is_valid") is False or (expires_at and expires_at <= now):
        when = f"it expired at {to_text(expires_at)}" if expires_at else "is_valid is false"
        return [refused_token(channel, when, observed_at)]
    said = {}
    if expires_at and expires_at - now < EXPIRES_SOON:
        said["expires"] = f"it expires at {to_text(expires_at)}"
    scopes = values.get("token.scopes")
    lacking = [scope for scope in NEEDED_SCOPES if isinstance(scopes, list) and scope not in scopes]
    if lacking:
        said["lacks_right"] = f"it lacks {' and '.join(lacking)}"
    return [
        Finding(
            "WX701",
            Severity.WARNING,
            channel,
            Evidence(text, "meta", observed_at),
            case=case,
            rights=_RIGHTS,
        )
        for case, text in said.items()
    ]


def check_app_secret(channels: Collection[str], observed_at: str) -> list[Finding]:
    """WX702: channels whose calls to Meta are not signed (Meta: secure requests)."""
    if not channels:
        return []
    names = ", ".join(sorted(channels)[:3]) + (", ..." if len(channels) > 3 else "")
    said = f"no meta-app-secret is configured for {names}"
    return [Finding("WX702", Severity.INFO, None, Evidence(said, "settings", observed_at))]


def check_version(version: str, now: datetime, observed_at: str) -> list[Finding]:
    """WX703: the Graph version in use has ended or ends within 90 days."""
    major = int(version.removeprefix("v").partition(".")[0])
    end = VERSION_ENDS.get(major)
    if end is None and major > min(VERSION_ENDS):
        return []
    left = (end - now.astimezone(UTC).date()) if end else timedelta(days=-1)
    if left >= _VERSION_ENDS_SOON:
        return []
    has_ended = left <= timedelta(0)
    when = f"{version} {'ended' if has_ended else 'ends'} on {end}" if end else f"{version} is gone"
    evidence = Evidence(when, "wacoex", observed_at)
    case = "ended" if has_ended else "ends"
    return [Finding("WX703", Severity.WARNING, None, evidence, case=case)]


def allow_for_settling(
    findings: Iterable[Finding], values: Mapping[str, Any], channel: str, now: datetime, seen: str
) -> list[Finding]:
    """WX208 beside what was found, which counts as information while the number settles.

    A number that was banned, restricted, migrated or deleted is not excused. `seen` is when the
    facts were read.
    """
    moment = connected_at(values)
    if moment is None or not is_settling(values, now):
        return list(findings)
    is_excused = values.get("status") not in _FINAL
    softened = [
        found.replace(severity=Severity.INFO) if is_excused and found.id in _LAGS else found
        for found in findings
    ]
    said = Evidence(f"last_onboarded_time is {to_text(moment)}", "meta", seen)
    until = to_text(moment + SETTLES_WITHIN)
    return [*softened, Finding("WX208", Severity.INFO, channel, said, until=until)]
