"""Findings about who holds the WABA, from what was seen of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.connection import ConnectionState
from wacoex_cli.channels.removal import RETURNS_WITHIN
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.model import PARTNER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from wacoex_cli.channels.connection import Connection
    from wacoex_cli.partners.model import App, Expected, Seen

_META = "meta"


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
        hint = (seen.error.hint if seen.error else None) or "try again in a minute"
        said = Evidence(seen.why or "Meta did not tell", _META, seen.observed_at)
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
            Evidence(_apps_seen(seen), _META, seen.observed_at),
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
    severity = worst(severity for severity, _ in told)
    facts = [fact for _, fact in told]
    return [Finding("WX205", severity, channel, facts, partner=partner.label)]


def _apps_seen(seen: Seen) -> str:
    if not seen.apps:
        return "no app gets the webhooks of the account"
    names = ", ".join(one.label for one in seen.apps)
    return f"these apps get the webhooks of the account: {names}"


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
