"""WX209: what Meta holds against an account, from what it told by events. Pure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import read_moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.account import AccountEvent
    from wacoex_cli.platforms.events import Event

STANDS_FOR = timedelta(days=30)
"""How long something counts that Meta gave no end: its longest block of sending lasts 30 days."""

_CONNECTING = frozenset({"PARTNER_ADDED", "ACCOUNT_RECONNECTED"})
_BROADCASTS = "RESTRICTED_BIZ_INITIATED_MESSAGING"
_RESTRICTIONS = {
    _BROADCASTS: (Severity.CRITICAL, "no broadcasts and no templates to people"),
    "RESTRICTED_CUSTOMER_INITIATED_MESSAGING": (Severity.CRITICAL, "no answers to people either"),
    "RESTRICTED_UTILITY_TEMPLATES": (Severity.WARNING, "no utility templates"),
    "RESTRICTED_DIRECT_SEND_UTILITY_TEMPLATES": (Severity.WARNING, "no utility templates"),
    "RESTRICTED_ADD_PHONE_NUMBER_ACTION": (Severity.INFO, "no further phone numbers"),
}
_TEMPLATES = {
    "DISABLED": Severity.WARNING,
    "LOCKED": Severity.WARNING,
    "FLAGGED": Severity.WARNING,
    "PAUSED": Severity.INFO,
}
_POLICY_REASONS = frozenset({"ABUSIVE_CONTENT", "SCAM"})
_ENDED = frozenset({"BANNED", "DISABLED", "RESTRICTED", "SUSPENDED"})


class _Told(NamedTuple):
    severity: Severity
    text: str
    at: str
    case: str = ""
    values: Mapping[str, str] = {}


def check_account(
    events: Iterable[AccountEvent],
    templates: Iterable[Event],
    values: Mapping[str, Any],
    channel: str,
    now: datetime,
    observed_at: str,
) -> list[Finding]:
    """WX209: restricted, disabled, a violation, a template withdrawn (Meta: account_update).

    `events` are the account events of the channel, `templates` its template events. `values` are
    facts read at `observed_at`. A restriction that has ended does not count.
    """
    told = sorted(events, key=lambda one: (one.at, one.event_key))
    found = [
        *_disabled(told, now),
        *_restrictions(told, now),
        *_violations(told, now),
        *_of_templates(templates, now),
        *_facts(values, observed_at),
    ]
    severity = worst(one.severity for one in found)
    if severity is Severity.OK:
        return []
    leading = next(one for one in found if one.severity is severity)
    texts = " ".join(fact.text for fact in found)
    return [
        Finding(
            "WX209",
            severity,
            channel,
            [
                Evidence(fact.text, "meta", fact.at)
                for fact in [*found, *_beside(values, observed_at)]
            ],
            case=leading.case,
            stops_broadcasts=_BROADCASTS in texts,
            has_template="template " in texts,
            **leading.values,
        )
    ]


def _disabled(events: list[AccountEvent], now: datetime) -> Iterator[_Told]:
    """The newest word on it; whoever was connected later was not disabled any more."""
    connected = max((one.at for one in events if one.event in _CONNECTING), default="")
    newest: dict[str, AccountEvent] = {
        one.event: one
        for one in events
        if one.event in {"DISABLED_UPDATE", "ACCOUNT_DELETED"} and one.at > connected
    }
    if deleted := newest.get("ACCOUNT_DELETED"):
        yield _Told(Severity.CRITICAL, "ACCOUNT_DELETED", deleted.at, "deleted")
    if event := newest.get("DISABLED_UPDATE"):
        yield from _ban(event, now)


def _ban(event: AccountEvent, now: datetime) -> Iterator[_Told]:
    told = _data(event).get("ban_info")
    info = told if isinstance(told, dict) else {}
    state, date = info.get("waba_ban_state"), info.get("waba_ban_date")
    text = f"DISABLED_UPDATE, {state or 'without a state'}{f', {date}' if date else ''}"
    if state == "DISABLE":
        yield _Told(Severity.CRITICAL, text, event.at, "disabled")
    elif state == "SCHEDULE_FOR_DISABLE":
        when = f" ({date})" if date else ""
        yield _Told(Severity.CRITICAL, text, event.at, "disabled_soon", {"when": when})
    elif state != "REINSTATE" and _is_recent(event.at, now):
        yield _Told(Severity.UNKNOWN, text, event.at, "disabled_unclear")


def _restrictions(events: list[AccountEvent], now: datetime) -> Iterator[_Told]:
    newest: dict[str, _Told] = {}
    for event in events:
        if event.event != "ACCOUNT_RESTRICTION":
            continue
        told = _data(event).get("restriction_info")
        rows = told if isinstance(told, list) and told else [{}]
        for row in rows:
            info = row if isinstance(row, dict) else {}
            name = str(info.get("restriction_type") or "a restriction that is not named")
            until = read_moment(info.get("expiration"))
            newest.pop(name, None)
            if until > to_text(now) if until else _is_recent(event.at, now):
                newest[name] = _restriction(name, until, event.at)
    yield from newest.values()


def _restriction(name: str, until: str | None, at: str) -> _Told:
    unknown = (Severity.UNKNOWN, "what it stops is not known here")
    if "CALL" in name:
        unknown = (Severity.INFO, "it concerns calls")
    severity, effect = _RESTRICTIONS.get(name, unknown)
    end = f"until {until}" if until else "its end is not told"
    values = {"effect": effect, "end": end}
    return _Told(severity, f"ACCOUNT_RESTRICTION, {name}, {end}", at, "restricted", values)


def _violations(events: list[AccountEvent], now: datetime) -> Iterator[_Told]:
    newest = {
        str(_data(one).get("violation_type") or "of a kind that is not told"): one
        for one in events
        if one.event == "ACCOUNT_VIOLATION" and _is_recent(one.at, now)
    }
    for name, event in newest.items():
        text = f"ACCOUNT_VIOLATION, {name}"
        yield _Told(Severity.WARNING, text, event.at, "violation", {"name": name})


def _of_templates(events: Iterable[Event], now: datetime) -> Iterator[_Told]:
    newest: dict[str, Event] = {}
    for one in sorted(events, key=lambda one: (one.at, one.key)):
        newest[str(one.data.get("template_id") or one.data.get("template_name"))] = one
    for one in newest.values():
        word, reason = str(one.data.get("event")), one.data.get("reason")
        severity = _TEMPLATES.get(word)
        if word == "REJECTED" and str(reason) in _POLICY_REASONS:
            severity = Severity.WARNING
        if severity is None or not _is_recent(one.at, now):
            continue
        name = f"{one.data.get('template_name')} ({one.data.get('template_language')})"
        because = ", ".join(str(why) for why in (reason, one.data.get("title")) if why)
        text = f"template {name} is {word}{f', {because}' if because else ''}"
        yield _Told(severity, text, one.at, "template", {"name": name, "word": word.lower()})


def _facts(values: Mapping[str, Any], observed_at: str) -> Iterator[_Told]:
    status = str(values.get("waba.status"))
    if status in _ENDED:
        text, word = f"status of the account is {status}", {"status": status.lower()}
        yield _Told(Severity.CRITICAL, text, observed_at, "status", word)
    if values.get("waba.account_review_status") == "REJECTED":
        text = "account_review_status is REJECTED"
        yield _Told(Severity.WARNING, text, observed_at, "review")


def _beside(values: Mapping[str, Any], observed_at: str) -> Iterator[_Told]:
    """What the number itself says; that alone is WX206."""
    if status := values.get("status"):
        yield _Told(Severity.OK, f"status of the number is {status}", observed_at)


def _is_recent(at: str, now: datetime) -> bool:
    return at > to_text(now - STANDS_FOR)


def _data(event: AccountEvent) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
