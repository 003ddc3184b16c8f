"""Findings about who holds the WABA, and what Meta holds against it. Pure."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.facts import CONNECTING, ConnectionState
from wacoex_cli.channels.model import META, Provider
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.rule import PARTNER_NAME, DriftKind
from wacoex_cli.platforms.events import read_moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import AppsSeen, ChannelFacts, Connection, WorkspaceList
    from wacoex_cli.channels.model import AccountEvent
    from wacoex_cli.partners.rule import Drift, Expected, PartnerRows, Routed
    from wacoex_cli.platforms.events import Event


STANDS_FOR = timedelta(days=30)
"""How long something counts that Meta gave no end: its longest block of sending lasts 30 days."""

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
# By country of the account: what Meta bills in, and until when it takes another currency.
_CURRENCIES = {
    "IN": ("India", "INR", date(2026, 12, 31)),
    "BR": ("Brazil", "BRL", date(2027, 6, 30)),
}
_CURRENCY_IS_DUE = timedelta(days=60)
_POLICY_REASONS = frozenset({"ABUSIVE_CONTENT", "SCAM"})
_ENDED = frozenset({"BANNED", "DISABLED", "RESTRICTED", "SUSPENDED"})
# Meta: WhatsApp Business Account.
_REVIEWS = {
    "PENDING": (Severity.INFO, "review_pending"),
    "REJECTED": (Severity.WARNING, "review"),
}
_DIVERTED = "messages, echoes, contact sync and history"
_MANAGER = "open WhatsApp Manager (business.facebook.com/wa/manage), Account settings, Partners"


class _Reported(NamedTuple):
    severity: Severity
    text: str
    at: str
    case: str = ""
    values: Mapping[str, str] = {}


def check_partners(
    facts: ChannelFacts, connection: Connection, rows: PartnerRows, *, is_direct: bool
) -> list[Finding]:
    """WX202, WX205, WX207, WX209, WX211 and WX216: who holds the WABA, and what Meta asks of it.

    `connection` is what follows from the facts.
    `is_direct` is whether somebody asked for this check by itself just now: then it says what
    Meta and respond.io did not say, else that stands once for all channels (WX709).
    """
    name, now, values = facts.name, facts.now, facts.values
    read_at = facts.observed_at(("webhook_configuration",))
    seen, listed = (facts.apps if is_direct else facts.seen), facts.listed
    found = []
    if seen is not None and (is_direct or seen.apps is not None):
        found += check_partner(rows.expected, seen, connection, name, now)
        found += check_override(
            rows.expected,
            seen,
            values,
            name,
            read_at,
            own_app_id=rows.own_app_id or values.get("token.app_id"),
            public_url=rows.public_url,
        )
    if listed and listed.channels is None and not is_direct:
        listed = None
    drifts = rule.drifts(facts, rows)
    if listed or drifts:
        found += check_drift(listed, drifts, connection, name)
    found += check_routing(rows.routed, rows.expected, name)
    found += check_currency(values, rows.expected, name, now, read_at)
    return found + check_account(
        facts.account_events, rows.template_events, values, name, now, read_at
    )


def check_account(
    events: Iterable[AccountEvent],
    templates: Collection[Event],
    values: Mapping[str, Any],
    channel: str,
    now: datetime,
    observed_at: str,
) -> list[Finding]:
    """WX209: restricted, disabled, reviewed, a violation, a template withdrawn.

    `events` are the account events of the channel, `templates` its template events. `values` are
    facts read at `observed_at`. A restriction that has ended does not count (Meta: account_update).
    """
    ordered = sorted(events, key=lambda event: (event.at, event.event_key))
    if not (ordered or templates or values):
        return []
    found = [
        *_disabled(ordered, now),
        *_restrictions(ordered, now),
        *_violations(ordered, now),
        *_of_templates(templates, now),
        *_facts(values, observed_at),
    ]
    severity = worst(fact.severity for fact in found)
    if severity is Severity.OK:
        return []
    leading = next(fact for fact in found if fact.severity is severity)
    texts = " ".join(fact.text for fact in found)
    evidence = [Evidence(fact.text, "meta", fact.at) for fact in found]
    # What the number itself says; that alone is WX206.
    if status := values.get("status"):
        evidence.append(Evidence(f"status of the number is {status}", "meta", observed_at))
    return [
        Finding(
            "WX209",
            severity,
            channel,
            evidence,
            case=leading.case,
            stops_broadcasts=_BROADCASTS in texts,
            has_template="template " in texts,
            **leading.values,
        )
    ]


def _disabled(events: list[AccountEvent], now: datetime) -> Iterator[_Reported]:
    """The newest events of a disabled account; a later connection shows that it is back."""
    connected = max((event.at for event in events if event.event in CONNECTING), default="")
    newest: dict[str, AccountEvent] = {
        event.event: event
        for event in events
        if event.event in {"DISABLED_UPDATE", "ACCOUNT_DELETED"} and event.at > connected
    }
    if deleted := newest.get("ACCOUNT_DELETED"):
        yield _Reported(Severity.CRITICAL, "ACCOUNT_DELETED", deleted.at, "deleted")
    if (event := newest.get("DISABLED_UPDATE")) is None:
        return
    ban = _data(event).get("ban_info")
    info = ban if isinstance(ban, dict) else {}
    state, date = info.get("waba_ban_state"), info.get("waba_ban_date")
    text = f"DISABLED_UPDATE, {state or 'without a state'}{f', {date}' if date else ''}"
    if state == "DISABLE":
        yield _Reported(Severity.CRITICAL, text, event.at, "disabled")
    elif state == "SCHEDULE_FOR_DISABLE":
        when = f" ({date})" if date else ""
        yield _Reported(Severity.CRITICAL, text, event.at, "disabled_soon", {"when": when})
    elif state != "REINSTATE" and _is_recent(event.at, now):
        yield _Reported(Severity.UNKNOWN, text, event.at, "disabled_unclear")


def _restrictions(events: list[AccountEvent], now: datetime) -> Iterator[_Reported]:
    newest: dict[str, _Reported] = {}
    for event in events:
        if event.event != "ACCOUNT_RESTRICTION":
            continue
        rows = _data(event).get("restriction_info")
        for row in rows if isinstance(rows, list) and rows else [{}]:
            info = row if isinstance(row, dict) else {}
            name = str(info.get("restriction_type") or "a restriction without a name")
            until = read_moment(info.get("expiration"))
            newest.pop(name, None)
            if until > to_text(now) if until else _is_recent(event.at, now):
                unknown = (Severity.UNKNOWN, "wacoex does not know what it stops")
                if "CALL" in name:
                    unknown = (Severity.INFO, "it concerns calls")
                severity, effect = _RESTRICTIONS.get(name, unknown)
                end = f"until {until}" if until else "Meta gave no end"
                text, words = f"ACCOUNT_RESTRICTION, {name}, {end}", {"effect": effect, "end": end}
                newest[name] = _Reported(severity, text, event.at, "restricted", words)
    yield from newest.values()


def _violations(events: list[AccountEvent], now: datetime) -> Iterator[_Reported]:
    newest = {
        str(_data(event).get("violation_type") or "of an unknown kind"): event
        for event in events
        if event.event == "ACCOUNT_VIOLATION" and _is_recent(event.at, now)
    }
    for name, event in newest.items():
        text = f"ACCOUNT_VIOLATION, {name}"
        yield _Reported(Severity.WARNING, text, event.at, "violation", {"name": name})


def _of_templates(events: Iterable[Event], now: datetime) -> Iterator[_Reported]:
    newest: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: (event.at, event.key)):
        newest[str(event.data.get("template_id") or event.data.get("template_name"))] = event
    for event in newest.values():
        word, reason = str(event.data.get("event")), event.data.get("reason")
        severity = _TEMPLATES.get(word)
        if word == "REJECTED" and str(reason) in _POLICY_REASONS:
            severity = Severity.WARNING
        if severity is None or not _is_recent(event.at, now):
            continue
        name = f"{event.data.get('template_name')} ({event.data.get('template_language')})"
        because = ", ".join(str(why) for why in (reason, event.data.get("title")) if why)
        text = f"template {name} is {word}{f', {because}' if because else ''}"
        yield _Reported(severity, text, event.at, "template", {"name": name, "word": word.lower()})


def _facts(values: Mapping[str, Any], observed_at: str) -> Iterator[_Reported]:
    status = str(values.get("waba.status"))
    if status in _ENDED:
        text, word = f"status of the account is {status}", {"status": status.lower()}
        yield _Reported(Severity.CRITICAL, text, observed_at, "status", word)
    review = values.get("waba.account_review_status")
    if isinstance(review, str) and review != "APPROVED":
        severity, case = _REVIEWS.get(review, (Severity.UNKNOWN, "review_unclear"))
        yield _Reported(severity, f"account_review_status is {review}", observed_at, case)


def _is_recent(at: str, now: datetime) -> bool:
    return at > to_text(now - STANDS_FOR)


def _data(event: AccountEvent) -> dict[str, Any]:
    try:
        data = json.loads(event.data)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def check_partner(
    partner: Expected, seen: AppsSeen, connection: Connection, channel: str, now: datetime
) -> list[Finding]:
    """WX202: the partner's app is not among those that get the webhooks (Meta: subscribed_apps).

    Unknown when Meta gave no usable answer; nothing when the configured access cannot ask.
    While WhatsApp may bring the partner back by itself, waiting is the only advice.
    """
    if not seen.is_available or rule.is_seen(partner, seen):
        return []
    if seen.apps is None:
        hint = (seen.error.hint if seen.error else None) or "try again in a minute"
        is_said = seen.error is not None and "code" in seen.error.details
        said = Evidence(seen.why or "Meta did not say", META, seen.observed_at, is_said)
        return [Finding("WX202", Severity.UNKNOWN, channel, said, partner=partner.label, hint=hint)]
    is_settling = connection.state is ConnectionState.SETTLING
    named = next((app for app in seen.apps if PARTNER_NAME in (app.name or "").lower()), None)
    case, until = "settling" if is_settling else "missing", ""
    # The advice to connect again would end an automatic return.
    if connection.since and connection.is_lost:
        returns_until = from_text(connection.since) + RETURNS_WITHIN
        case, until = "waiting" if now < returns_until else "lost", to_text(returns_until)
    return [
        Finding(
            "WX202",
            Severity.INFO if is_settling else Severity.CRITICAL,
            channel,
            Evidence(_apps_seen(seen), META, seen.observed_at),
            case=case,
            partner=partner.label,
            named=named.label if named else "",
            named_id=named.id if named and partner.app_id else "",
            whose="the partner" if partner.app_id else PARTNER_NAME,
            app_id=partner.app_id,
            cause=connection.loss_finding,
            until=until,
        )
    ]


def check_override(
    partner: Expected,
    seen: AppsSeen,
    values: Mapping[str, Any],
    channel: str,
    observed_at: str,
    *,
    own_app_id: str | None = None,
    public_url: str | None = None,
) -> list[Finding]:
    """WX205: a callback that goes before an app's own one leads somewhere else.

    It diverts messages, echoes, contact sync and history, and no account events (Meta: webhooks
    override). Of an app that is neither ours nor the partner's it is only reported. `values` are
    facts of the number, read at `observed_at`, `public_url` is where `events listen` is reached.
    """
    callbacks = _callbacks(values)
    homes = [public_url, callbacks.get("application")]
    found = []
    for app in seen.apps or ():
        if not app.override:
            continue
        is_partner = rule.is_expected(app, partner) or PARTNER_NAME in (app.name or "").lower()
        if rule.leads_to(app.override, homes, is_partner=is_partner):
            continue
        is_ours = app.id is not None and app.id == own_app_id
        severity = Severity.WARNING if is_ours or is_partner else Severity.INFO
        whose = f"your own app {app.label}" if is_ours else app.label
        text = f"{_DIVERTED} of {whose} go to {rule.place(app.override)}, by an override"
        found.append((severity, Evidence(text, META, seen.observed_at)))
    levels = {"phone_number": "number", "whatsapp_business_account": "account"}
    level = next((level for level in levels if callbacks.get(level)), None)
    if level:
        url, what = callbacks[level], levels[level]
        is_known = url in {app.override for app in seen.apps or ()}
        if not is_known and not rule.leads_to(url, homes, is_partner=True):
            place = rule.place(url)
            text = f"{_DIVERTED} of the {what} go to {place}, by an override of the {what}"
            found.append((Severity.WARNING, Evidence(text, META, observed_at)))
    if not found:
        return []
    severity = worst(severity for severity, _ in found)
    facts = [fact for _, fact in found]
    return [Finding("WX205", severity, channel, facts, partner=partner.label)]


def check_routing(routed: Routed, partner: Expected, channel: str) -> list[Finding]:
    """WX211: another responder gets messages of contacts (Meta: Conversation Routing).

    Standby webhooks, which come instead of messages, and handovers prove it. Meta does not say
    who the responder is: it may be the partner itself.
    """
    said = []
    if routed.messages and routed.newest_at:
        text = f"messages of contacts for another responder in 7 days: {routed.messages} (standby)"
        said.append(Evidence(text, META, routed.newest_at))
    if routed.handovers:
        newest = max(routed.handovers, key=lambda event: (event.at, event.key))
        old, new = newest.data.get("old"), newest.data.get("new")
        ways = " ".join(filter(None, (old and f"from {old}", new and f"to {new}")))
        text = f"conversations that changed their responder in 7 days: {len(routed.handovers)}"
        said.append(Evidence(f"{text}, the last {ways or 'without roles'}", META, newest.at))
    if not said:
        return []
    severity = Severity.WARNING if routed.messages else Severity.INFO
    is_agent = any(event.data.get("old") == META_AGENT for event in routed.handovers)
    whose = partner.label
    return [Finding("WX211", severity, channel, said, partner=whose, is_agent=is_agent)]


def check_currency(
    values: Mapping[str, Any], partner: Expected, channel: str, now: datetime, observed_at: str
) -> list[Finding]:
    """WX216: the account is in another currency than its country needs (Meta: pricing).

    Information, a warning from 60 days before the deadline on. `values` are facts of the account,
    read at `observed_at`; they do not say who is billed.
    """
    currency, code = values.get("waba.currency"), str(values.get("waba.country"))
    if not isinstance(currency, str) or code not in _CURRENCIES:
        return []
    country, wanted, deadline = _CURRENCIES[code]
    if currency == wanted:
        return []
    is_soon = deadline - now.date() <= _CURRENCY_IS_DUE
    said = Evidence(f"the account is in {code}, its currency is {currency}", META, observed_at)
    return [
        Finding(
            "WX216",
            Severity.WARNING if is_soon else Severity.INFO,
            channel,
            said,
            currency=currency,
            country=country,
            wanted=wanted,
            deadline=deadline,
            partner=partner.label,
        )
    ]


META_AGENT = "meta_business_agent"
"""What Meta calls its own Business Agent as a role (seen by integrators, 2026-09)."""


def _apps_seen(seen: AppsSeen) -> str:
    if not seen.apps:
        return "no app gets the webhooks of the account"
    names = ", ".join(app.label for app in seen.apps)
    return f"these apps get the webhooks of the account: {names}"


def _callbacks(values: Mapping[str, Any]) -> dict[str, str]:
    """Which callback is set on which level; the number's goes first (Meta: webhooks override)."""
    configured = values.get("webhook_configuration")
    found = configured if isinstance(configured, dict) else {}
    return {name: url for name, url in found.items() if isinstance(url, str)}


def check_drift(
    listed: WorkspaceList | None, drifts: Sequence[Drift], connection: Connection, channel: str
) -> list[Finding]:
    """WX207: respond.io, or Meta, does not have the channel under the ids that are stored.

    Critical when it is gone, a warning when another one is there, unknown when respond.io gave
    no usable list. `listed` is None where respond.io was not asked.
    """
    found = [drift for drift in drifts if drift.kind is not DriftKind.FORMER]
    if found:
        is_gone = any(drift.kind is DriftKind.GONE for drift in found)
        # What a lost connection needs comes first, and may settle the rest.
        ways = [] if connection.is_lost else found
        named = [drift for drift in ways if drift.use]
        unnamed = [drift for drift in ways if not drift.use]
        return [
            Finding(
                "WX207",
                Severity.CRITICAL if is_gone else Severity.WARNING,
                channel,
                [drift.evidence for drift in drifts],
                case="gone" if found[0].kind is DriftKind.GONE else "another",
                provider=Provider(found[0].source).known_as,
                cause=connection.loss_finding,
                options=[f"--{drift.name.replace('_', '-')}" for drift in named],
                uses=[drift.use for drift in named],
                at_respondio=any(drift.source == "respondio" for drift in unnamed),
                of_phone=any(drift.name == "phone" for drift in unnamed),
                of_id=any(drift.name == "phone_number_id" for drift in unnamed),
            )
        ]
    if listed is None or listed.error is None:
        return []
    is_said = "code" in listed.error.details
    text = listed.why or "respond.io gave no list"
    said = Evidence(text, "respondio", listed.observed_at, is_said)
    hint = listed.error.hint or "try again in a minute"
    return [Finding("WX207", Severity.UNKNOWN, channel, said, hint=hint)]
