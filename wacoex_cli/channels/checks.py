"""Findings about a channel, its connection and its token, from what is known. Pure."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.connection import (
    CANNOT_SEND,
    SETTLES_WITHIN,
    ConnectionState,
    connected_at,
    is_settling,
    moment_of,
)
from wacoex_cli.channels.model import RE_REGISTERED
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.meta_answers import EXPIRES_SOON, NEEDED_SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.channels.connection import Connection


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
_NEWER_WORD = "this version of wacoex does not know that value"

# What was found, and how bad that is.
_Said = tuple[str, Severity]
RETURNS_WITHIN = timedelta(hours=1)
"""WhatsApp usually brings a partner back within minutes (Meta: reconnect offboarded clients)."""
_WHY = {
    "PRIMARY_INACTIVITY": "the app was not opened on the phone for about 14 days",
    "COMPANION_INACTIVITY": "a companion was not used for about 30 days",
    RE_REGISTERED: "the number was registered anew on a phone",
    "CHANGE_NUMBER": "the number of the app was changed",
    "BUSINESS_DOWNGRADE": "the number went to the ordinary WhatsApp app",
    "ACCOUNT_DISCONNECTED": "the account was disconnected or deleted",
}
_FIRST = {
    "PRIMARY_INACTIVITY": ("open the WhatsApp Business app on the phone and leave it online",),
    "COMPANION_INACTIVITY": (
        "open the WhatsApp Business app on the phone, then Settings, Linked devices:"
        " log out what nobody uses",
    ),
    RE_REGISTERED: (
        "look on the phone: WhatsApp Business app, Settings, Account, Business Platform:"
        " is the partner there again?",
    ),
    "CHANGE_NUMBER": ("find out which number the app has now: another number is another channel",),
    "BUSINESS_DOWNGRADE": ("register the number in the WhatsApp Business app again",),
    "ACCOUNT_DISCONNECTED": (
        "look in WhatsApp Manager, Overview, whether the account is restricted, and appeal there",
    ),
}
_LOOK = (
    "look on the phone: WhatsApp Business app, Settings, Account, Business Platform, and ask"
    " who disconnected it"
)
_VERSION_ENDS_SOON = timedelta(days=90)
_STORE_IT = "create a new token and store it with `wacoex auth login meta-token`"
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
        is_known = severity is Severity.CRITICAL
        yield Finding(
            id="WX201",
            severity=severity,
            channel=channel,
            title="the number is not in Coexistence"
            if is_known
            else "it is unclear whether the number is in Coexistence",
            evidence=_evidence(said, observed_at),
            remedy=(
                "check on the phone: WhatsApp Business app, Settings, Account, Business Platform",
                "if nothing is connected there, connect the number again",
            ),
            verify="wacoex status",
        )


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
    titles = {
        Severity.CRITICAL: "Meta blocks sending",
        Severity.UNKNOWN: "it is unclear whether Meta lets this number send",
        Severity.WARNING: "Meta limits sending",
    }
    if severity in titles:
        yield Finding(
            id="WX206",
            severity=severity,
            channel=channel,
            title=titles[severity],
            evidence=_evidence(said, observed_at),
            remedy=_solutions(node)
            or ("open WhatsApp Manager, Overview, and follow what it says about this number",),
            verify="wacoex status",
        )


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
            id="WX501",
            severity=Severity.WARNING if is_low else Severity.UNKNOWN,
            channel=channel,
            title=f"the quality rating is {rating.lower()}"
            if is_low
            else "the quality rating is a word that is not known",
            evidence=(Evidence(f"quality_rating is {rating}", "meta", observed_at),),
            remedy=(
                "send only to people who asked for it, and less often",
                "look at WhatsApp Manager, Insights, for blocks and reports",
            ),
            verify="wacoex status",
        )


def _evidence(said: Iterable[_Said], observed_at: str) -> tuple[Evidence, ...]:
    return tuple(Evidence(text, "meta", observed_at) for text, _ in said)


def check_connection(connection: Connection, channel: str, now: datetime) -> list[Finding]:
    """WX203 when the partner was removed, WX204 while WhatsApp is reconnecting it.

    Both are critical: nothing can be sent or received through the API. The remedy follows from
    reason, initiator and age (Meta: account_update; Meta: reconnect offboarded clients).
    """
    if connection.since is None:
        return []
    if connection.state is ConnectionState.RECONNECTING:
        return [_reconnecting(connection, connection.since, channel, now)]
    if connection.state is ConnectionState.REMOVED:
        return [_removed(connection, connection.since, channel, now)]
    return []


def wait_for(lost: Sequence[Finding], findings: Iterable[Finding]) -> list[Finding]:
    """What else was found, without the advice to connect again (WX201) beside a lost connection.

    `lost` is what `check_connection` found: its remedy knows whether to wait.
    """
    steps = tuple(f"first do what {one.id} says" for one in lost)
    return [
        dataclasses.replace(one, remedy=steps) if steps and one.id == "WX201" else one
        for one in findings
    ]


def _reconnecting(connection: Connection, since: str, channel: str, now: datetime) -> Finding:
    until = from_text(since) + RETURNS_WITHIN
    steps = [_wait(until)] if now < until else _after_waiting(channel)
    return Finding(
        id="WX204",
        severity=Severity.CRITICAL,
        channel=channel,
        title="offboarded, WhatsApp is reconnecting it: connect no other partner",
        evidence=(
            Evidence(f"ACCOUNT_OFFBOARDED{_details(connection)}, and no return yet", "meta", since),
        ),
        remedy=(
            *steps,
            "send nothing through the API meanwhile; the app itself works",
        ),
        verify=f"wacoex status {channel}",
    )


def _removed(connection: Connection, since: str, channel: str, now: datetime) -> Finding:
    until = from_text(since) + RETURNS_WITHIN
    why = _WHY.get(connection.reason or "", "")
    return Finding(
        id="WX203",
        severity=Severity.CRITICAL,
        channel=channel,
        title=f"the partner was removed: {why}" if why else "the partner was removed",
        evidence=(Evidence(f"PARTNER_REMOVED{_details(connection)}", "meta", since),),
        remedy=_ways_back(connection, until, channel, now),
        verify=f"wacoex status {channel}",
    )


def _ways_back(
    connection: Connection, until: datetime, channel: str, now: datetime
) -> tuple[str, ...]:
    if now < until and _may_return(connection):
        waiting = (_wait(until),)
        return waiting if connection.reason == RE_REGISTERED else (*waiting, *_again(connection))
    if connection.reason == RE_REGISTERED:
        return tuple(_after_waiting(channel))
    return (*_again(connection), *_new_ids(channel))


def _may_return(connection: Connection) -> bool:
    """Whether WhatsApp may bring the partner back by itself."""
    return connection.reason == RE_REGISTERED or connection.initiated_by != "USER"


def _again(connection: Connection) -> tuple[str, ...]:
    first = _FIRST.get(connection.reason or "", (_LOOK,))
    number = "its number" if connection.reason == "CHANGE_NUMBER" else "the number"
    return (*first, f"then connect {number} again, as a new channel of the partner")


def _after_waiting(channel: str) -> list[str]:
    return [
        *_FIRST[RE_REGISTERED],
        "if the app asks whether to connect the partner again, say yes; connect no other partner"
        " before that: it would end the automatic return",
        "only if nothing is connected there and nothing asks, connect the number again,"
        " as a new channel of the partner",
        *_new_ids(channel),
    ]


def _new_ids(channel: str) -> tuple[str, ...]:
    return (f"give wacoex the new ids: `wacoex channel edit {channel} --waba-id ID`",)


def _wait(until: datetime) -> str:
    return (
        f"wait until {to_text(until)}: WhatsApp usually reconnects by itself within minutes;"
        " connect no other partner meanwhile"
    )


def _details(connection: Connection) -> str:
    reason = f", reason {connection.reason}" if connection.reason else ""
    by = f", initiated by {connection.initiated_by}" if connection.initiated_by else ""
    return reason + by


def missing_token(channel: str, observed_at: str) -> Finding:
    """WX701: a channel that works through Meta has no token."""
    steps = ("create a token in Meta Business settings, System users", _STORE_IT)
    evidence = "no meta-token is configured for this channel"
    return _token_finding(
        channel, Severity.UNKNOWN, "there is no token", (evidence, "settings"), steps, observed_at
    )


def refused_token(channel: str, said: str, observed_at: str) -> Finding:
    """WX701: Meta refused the token, or a right it lacks; so nothing can be known."""
    steps = (_STORE_IT, f"its system user needs the WABA and the rights {_rights()}")
    title = "Meta refuses the token"
    return _token_finding(channel, Severity.UNKNOWN, title, (said, "meta"), steps, observed_at)


def check_token(
    values: Mapping[str, Any], channel: str, now: datetime, observed_at: str
) -> list[Finding]:
    """WX701 from what `debug_token` said: no longer valid, ends within 14 days, lacks a scope."""
    expires_at = moment_of(values.get("token.expires_at"))
    if values.get("token.is_valid") is False or (expires_at and expires_at <= now):
        when = f"it expired at {to_text(expires_at)}" if expires_at else "is_valid is false"
        return [refused_token(channel, when, observed_at)]
    found = []
    if expires_at and expires_at - now < EXPIRES_SOON:
        told = (f"it expires at {to_text(expires_at)}", "meta")
        title = "the token expires within 14 days"
        found.append(
            _token_finding(channel, Severity.WARNING, title, told, (_STORE_IT,), observed_at)
        )
    scopes = values.get("token.scopes")
    lacking = [one for one in NEEDED_SCOPES if isinstance(scopes, list) and one not in scopes]
    if lacking:
        told = (f"it lacks {' and '.join(lacking)}", "meta")
        steps = (f"create a token with the rights {_rights()}", _STORE_IT)
        title = "the token lacks a right"
        found.append(_token_finding(channel, Severity.WARNING, title, told, steps, observed_at))
    return found


def check_app_secret(channels: Collection[str], observed_at: str) -> list[Finding]:
    """WX702: channels whose calls to Meta are not signed (Meta: secure requests)."""
    if not channels:
        return []
    names = ", ".join(sorted(channels)[:3]) + (", ..." if len(channels) > 3 else "")
    return [
        Finding(
            id="WX702",
            severity=Severity.INFO,
            channel=None,
            title="there is no app secret: calls to Meta are not signed",
            evidence=(
                Evidence(f"no meta-app-secret is configured for {names}", "settings", observed_at),
            ),
            remedy=(
                "nothing, unless the app demands it (App Dashboard, Settings, Advanced)",
                "else copy it there from Settings, Basic, into `wacoex auth login meta-app-secret`",
            ),
            verify="wacoex status",
        )
    ]


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
    return [
        Finding(
            id="WX703",
            severity=Severity.WARNING,
            channel=None,
            title="the Graph version has ended" if has_ended else "the Graph version ends soon",
            evidence=(Evidence(when, "wacoex", observed_at),),
            remedy=(
                "remove `WACOEX_META_API_VERSION` from the settings, or raise it",
                "update wacoex: its default is a living version",
            ),
            verify="wacoex status",
        )
    ]


def _token_finding(
    channel: str,
    severity: Severity,
    title: str,
    said: tuple[str, str],
    remedy: tuple[str, ...],
    observed_at: str,
) -> Finding:
    text, source = said
    return Finding(
        id="WX701",
        severity=severity,
        channel=channel,
        title=title,
        evidence=(Evidence(text, source, observed_at),),
        remedy=remedy,
        verify="wacoex auth status",
    )


def _rights() -> str:
    return " and ".join(NEEDED_SCOPES)


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
        dataclasses.replace(one, severity=Severity.INFO) if is_excused and one.id in _LAGS else one
        for one in findings
    ]
    return [*softened, _settling(moment, channel, seen)]


def _settling(moment: datetime, channel: str, seen: str) -> Finding:
    return Finding(
        id="WX208",
        severity=Severity.INFO,
        channel=channel,
        title="connected a short while ago, Meta's data may lag",
        evidence=(Evidence(f"last_onboarded_time is {to_text(moment)}", "meta", seen),),
        remedy=(
            "leave the app open and online until its sync is done",
            f"look again after {to_text(moment + SETTLES_WITHIN)}",
        ),
        verify="wacoex status",
    )
