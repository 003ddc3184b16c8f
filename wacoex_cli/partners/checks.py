"""Findings about who holds the WABA, from what was seen of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import RETURNS_WITHIN
from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.model import PARTNER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.partners.model import Expected, Seen
    from wacoex_cli.platforms.meta_answers import App

_META = "meta"
_MANAGER = "open WhatsApp Manager (business.facebook.com/wa/manage), Account settings, Partners"


def check_partner(
    partner: Expected, seen: Seen, connection: Connection, channel: str, now: datetime
) -> list[Finding]:
    """WX202: the partner's app is not among those that get the webhooks (Meta: subscribed_apps).

    Unknown when Meta gave no usable answer; nothing when the configured access cannot ask.
    While WhatsApp may bring the partner back by itself, waiting is the only advice.
    """
    if not seen.is_available or rule.is_seen(partner, seen):
        return []
    if seen.apps is None:
        return [_partner_unclear(partner, seen, channel)]
    is_settling = connection.state is ConnectionState.SETTLING
    return [
        Finding(
            id="WX202",
            severity=Severity.INFO if is_settling else Severity.CRITICAL,
            channel=channel,
            title=f"{partner.label} is not among the apps of the account",
            evidence=(Evidence(_apps_seen(seen), _META, seen.observed_at),),
            remedy=_ways_to_partner(partner, seen, connection, channel, now),
            verify=_verify(channel),
        )
    ]


def check_override(
    partner: Expected,
    seen: Seen,
    values: Mapping[str, Any],
    channel: str,
    observed_at: str,
    *,
    own_app_id: str | None = None,
    public_url: str | None = None,
) -> list[Finding]:
    """WX205: a callback that goes before an app's own one leads somewhere else.

    It concerns messages alone (Meta: webhooks override). Of an app that is neither ours nor the
    partner's it is only told. `values` are facts of the number, read at `observed_at`,
    `public_url` is where `events listen` is reached.
    """
    homes = [public_url, _callbacks(values).get("application")]
    told = [
        *_app_overrides(partner, seen, homes, own_app_id),
        *_number_overrides(values, homes, observed_at, {one.override for one in seen.apps or ()}),
    ]
    if not told:
        return []
    severity = worst(one for one, _ in told)
    return [
        Finding(
            id="WX205",
            severity=severity,
            channel=channel,
            title="a webhook override sends messages elsewhere"
            if severity is Severity.WARNING
            else "messages go to another app as well, by an override",
            evidence=tuple(one for _, one in told),
            remedy=tuple(_ways_out_of_override(partner, channel, severity)),
            verify=_verify(channel),
        )
    ]


def _partner_unclear(partner: Expected, seen: Seen, channel: str) -> Finding:
    hint = seen.error.hint if seen.error else None
    return Finding(
        id="WX202",
        severity=Severity.UNKNOWN,
        channel=channel,
        title=f"it is unclear whether {partner.label} is connected",
        evidence=(Evidence(seen.why or "Meta did not tell", _META, seen.observed_at),),
        remedy=(
            hint or "try again in a minute",
            f"or look yourself: {_MANAGER}",
        ),
        verify=_verify(channel),
    )


def _apps_seen(seen: Seen) -> str:
    if not seen.apps:
        return "no app gets the webhooks of the account"
    names = ", ".join(one.label for one in seen.apps)
    return f"these apps get the webhooks of the account: {names}"


def _ways_to_partner(
    partner: Expected, seen: Seen, connection: Connection, channel: str, now: datetime
) -> tuple[str, ...]:
    waiting = _while_lost(connection, now)
    if waiting:
        return waiting
    if connection.state is ConnectionState.SETTLING:
        return ("look again tomorrow: right after connecting Meta's data lags",)
    return tuple(_reconnecting_steps(partner, seen, channel))


def _while_lost(connection: Connection, now: datetime) -> tuple[str, ...]:
    """Instead of the advice to connect again, which would end an automatic return."""
    if connection.since is None or not connection.is_lost:
        return ()
    until = from_text(connection.since) + RETURNS_WITHIN
    cause = "WX204" if connection.state is ConnectionState.RECONNECTING else "WX203"
    if now < until:
        return (
            f"wait until {to_text(until)}: WhatsApp may bring the partner back by itself;"
            " connect no other partner meanwhile",
            f"then do what {cause} says",
        )
    return (f"first do what {cause} says",)


def _reconnecting_steps(partner: Expected, seen: Seen, channel: str) -> Iterator[str]:
    named = next((one for one in seen.apps or () if PARTNER_NAME in (one.name or "").lower()), None)
    if named and partner.app_id:
        yield (
            f"if {named.label} is the partner, say so:"
            f" `wacoex channel edit {channel} --partner-app-id {named.id}`"
        )
    whose = PARTNER_NAME if partner.app_id is None else "the partner"
    yield f"{_MANAGER}: is {whose} listed there, and active?"
    yield (
        f"if it is not, delete the channel at {whose} and connect the number again there,"
        " as a new channel"
    )
    more = " --respondio-channel-id N" if partner.app_id is None else ""
    yield f"then give wacoex the new ids: `wacoex channel edit {channel} --waba-id ID{more}`"
    if partner.app_id is None:
        yield (
            "if the number is with another partner, say which:"
            f" `wacoex channel edit {channel} --partner-app-id ID`"
        )


def _app_overrides(
    partner: Expected, seen: Seen, homes: Iterable[str | None], own_app_id: str | None
) -> Iterator[tuple[Severity, Evidence]]:
    for app in seen.apps or ():
        if not app.override:
            continue
        is_partner = rule.is_expected(app, partner) or PARTNER_NAME in (app.name or "").lower()
        if rule.leads_to(app.override, homes, is_partner=is_partner):
            continue
        is_ours = app.id is not None and app.id == own_app_id
        severity = Severity.WARNING if is_ours or is_partner else Severity.INFO
        text = f"messages of {_whose(app, is_ours=is_ours)} go to {rule.place(app.override)}"
        yield severity, Evidence(f"{text}, by an override", _META, seen.observed_at)


def _whose(app: App, *, is_ours: bool) -> str:
    return f"our own app {app.label}" if is_ours else app.label


def _number_overrides(
    values: Mapping[str, Any],
    homes: Iterable[str | None],
    observed_at: str,
    known: Iterable[str | None],
) -> Iterator[tuple[Severity, Evidence]]:
    callbacks = _callbacks(values)
    for level, what in (("phone_number", "number"), ("whatsapp_business_account", "account")):
        url = callbacks.get(level)
        if not url:
            continue
        if url not in set(known) and not rule.leads_to(url, homes, is_partner=True):
            text = f"messages of the {what} go to {rule.place(url)}, by an override of the {what}"
            yield Severity.WARNING, Evidence(text, _META, observed_at)
        return


def _callbacks(values: Mapping[str, Any]) -> dict[str, str]:
    """Which callback is set on which level; the number's goes first (Meta: webhooks override)."""
    told = values.get("webhook_configuration")
    found = told if isinstance(told, dict) else {}
    return {name: url for name, url in found.items() if isinstance(url, str)}


def _ways_out_of_override(partner: Expected, channel: str, severity: Severity) -> Iterator[str]:
    if severity is Severity.WARNING:
        yield "ask whoever runs that address whether the messages are meant to go there"
        yield f"an override of our own app is cleared by `wacoex events subscribe -c {channel}`"
        yield f"one of the partner's app is for {partner.label} to clear: ask its support"
    else:
        yield f"{_MANAGER}: remove a partner that nobody knows; it gets the messages of customers"


def _verify(channel: str) -> str:
    return f"wacoex partner check {channel}"
