"""WX209: what Meta holds against an account, from what it told by events. Pure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.events.values import moment
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import AccountEvent
    from wacoex_cli.events.model import Event

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
    title: str
    text: str
    at: str


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
    return [
        Finding(
            id="WX209",
            severity=severity,
            channel=channel,
            title=leading.title,
            evidence=tuple(
                Evidence(one.text, "meta", one.at)
                for one in [*found, *_beside(values, observed_at)]
            ),
            remedy=tuple(_remedy(found)),
            verify=f"wacoex partner check {channel}",
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
        yield _Told(Severity.CRITICAL, "the account was deleted", "ACCOUNT_DELETED", deleted.at)
    if event := newest.get("DISABLED_UPDATE"):
        yield from _ban(event, now)


def _ban(event: AccountEvent, now: datetime) -> Iterator[_Told]:
    told = _data(event).get("ban_info")
    info = told if isinstance(told, dict) else {}
    state, date = info.get("waba_ban_state"), info.get("waba_ban_date")
    text = f"DISABLED_UPDATE, {state or 'without a state'}{f', {date}' if date else ''}"
    if state == "DISABLE":
        yield _Told(Severity.CRITICAL, "Meta has disabled the account", text, event.at)
    elif state == "SCHEDULE_FOR_DISABLE":
        when = f" ({date})" if date else ""
        title = f"Meta is going to disable the account{when}"
        yield _Told(Severity.CRITICAL, title, text, event.at)
    elif state != "REINSTATE" and _is_recent(event.at, now):
        title = "it is unclear whether Meta has disabled the account"
        yield _Told(Severity.UNKNOWN, title, text, event.at)


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
            until = moment(info.get("expiration"))
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
    title = f"Meta restricts the account: {effect}, {end}"
    return _Told(severity, title, f"ACCOUNT_RESTRICTION, {name}, {end}", at)


def _violations(events: list[AccountEvent], now: datetime) -> Iterator[_Told]:
    newest = {
        str(_data(one).get("violation_type") or "of a kind that is not told"): one
        for one in events
        if one.event == "ACCOUNT_VIOLATION" and _is_recent(one.at, now)
    }
    for name, event in newest.items():
        title = f"Meta tells of a violation of its policy: {name}"
        yield _Told(Severity.WARNING, title, f"ACCOUNT_VIOLATION, {name}", event.at)


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
        yield _Told(severity, f"the template {name} is {word.lower()}", text, one.at)


def _facts(values: Mapping[str, Any], observed_at: str) -> Iterator[_Told]:
    status = str(values.get("waba.status"))
    if status in _ENDED:
        title = f"the account is {status.lower()}"
        yield _Told(Severity.CRITICAL, title, f"status of the account is {status}", observed_at)
    if values.get("waba.account_review_status") == "REJECTED":
        text = "account_review_status is REJECTED"
        yield _Told(Severity.WARNING, "Meta's review rejected the account", text, observed_at)


def _beside(values: Mapping[str, Any], observed_at: str) -> Iterator[_Told]:
    """What the number itself says; that alone is WX206."""
    if status := values.get("status"):
        yield _Told(Severity.OK, "", f"status of the number is {status}", observed_at)


def _remedy(found: list[_Told]) -> Iterator[str]:
    texts = " ".join(one.text for one in found)
    if _BROADCASTS in texts:
        yield "send no broadcasts meanwhile: each try is refused, and may count against the account"
    yield (
        "read what Meta says: WhatsApp Manager, Account settings, or Business Support Home"
        " (business.facebook.com/business-support-home), the account, its violations"
    )
    if "template " in texts:
        yield "look at the template: WhatsApp Manager, Message templates; change it, or appeal"
    yield "ask there for a review if it is a mistake; else remove the cause, and wait for the end"


def _is_recent(at: str, now: datetime) -> bool:
    return at > to_text(now - STANDS_FOR)


def _data(event: AccountEvent) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
