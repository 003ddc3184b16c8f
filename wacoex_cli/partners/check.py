"""`partner check`: who holds each channel's WABA, as Meta, respond.io and the events show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.connection import connection_of
from wacoex_cli.channels.model import values_of
from wacoex_cli.channels.store import AccountEvents, Channels, Facts
from wacoex_cli.errors import WacoexError
from wacoex_cli.events.projection import catch_up
from wacoex_cli.events.projections import CHANNELS
from wacoex_cli.findings.model import Evidence, Finding, Severity, by_severity, worst, worst_first
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.partners import drift, reading, rule
from wacoex_cli.partners.account_checks import check_account
from wacoex_cli.partners.asking import Asked, Asker
from wacoex_cli.partners.checks import check_override, check_partner
from wacoex_cli.partners.drift_checks import check_drift
from wacoex_cli.partners.expectation import expected_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import AccountEvent, Channel, Fact
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.partners.model import Drift, Expected, Seen


@dataclass(frozen=True)
class Held:
    """Who holds one channel's WABA, what speaks against it, and what could not be found out."""

    channel: Channel
    expected: Expected
    seen: Seen
    evidence: tuple[Evidence, ...]
    drifts: tuple[Drift, ...]
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]

    @property
    def verdict(self) -> Severity:
        """The worst finding; unknown when something could not be found out."""
        failed = [Severity.UNKNOWN] if self.failures else []
        return worst([*failed, *(one.severity for one in self.findings)])


def check(workspace: Workspace, name: str | None, now: datetime) -> list[Held]:
    """Look at one channel, or at all that are not archived, worst first; keep the facts read.

    Raises UsageError for an unknown or archived channel, or when there is none.
    """
    state = workspace.state
    channels = [registry.active(state, name)] if name else registry.all_active(state)
    catch_up(state, [CHANNELS], workspace.clock)
    asker = Asker(workspace, now)
    asked = workspace.run(asker.ask_all(channels))
    with state.transaction():
        for one in channels:
            Facts(state).store(one.channel_id, asked[one.channel_id].facts)
        Facts(state).count_calls(asker.calls, now)
    stored = Facts(state).facts_by_channel()
    events = AccountEvents(state).of_channels(channels)
    found = [
        _judged(
            workspace,
            one,
            asked[one.channel_id],
            stored.get(one.channel_id, []),
            events[one.channel_id],
            now,
        )
        for one in channels
    ]
    return sorted(found, key=lambda one: (by_severity(one.verdict), one.channel.name))


def _judged(
    workspace: Workspace,
    channel: Channel,
    asked: Asked,
    facts: Sequence[Fact],
    events: Sequence[AccountEvent],
    now: datetime,
) -> Held:
    values, read_at = values_of(facts), _read_at(facts, now)
    partner = expected_of(workspace, channel)
    connection = connection_of(channel, events, values, now)
    settings = workspace.settings_for(channel.name)
    drifts = _drifts(workspace.state, channel, asked, values, read_at)
    templates = reading.restricted_templates(workspace.state, channel, now)
    findings = [
        *check_partner(partner, asked.seen, connection, channel.name, now),
        *check_override(
            partner,
            asked.seen,
            values,
            channel.name,
            read_at,
            own_app_id=settings.meta_app_id or values.get("token.app_id"),
            public_url=settings.public_url,
        ),
        *check_drift(asked.listed, drifts, connection, channel.name),
        *check_account(events, templates, values, channel.name, now, read_at),
    ]
    return Held(
        channel,
        partner,
        asked.seen,
        tuple(rule.evidence(partner, asked.seen, values, read_at)),
        tuple(drifts),
        tuple(worst_first(findings)),
        tuple(asked.failures),
    )


def _drifts(
    state: State, channel: Channel, asked: Asked, values: dict[str, Any], read_at: str
) -> list[Drift]:
    others = {
        one.respondio_channel_id
        for one in Channels(state).all_channels()
        if one.channel_id != channel.channel_id
    }
    at_respondio = drift.at_respondio(channel, asked.listed, others) if asked.listed else []
    return [*at_respondio, *drift.at_meta(channel, values, asked.numbers, read_at)]


def _read_at(facts: Sequence[Fact], now: datetime) -> str:
    """When the number was read last: now, unless it could not be read."""
    times = [one.observed_at for one in facts if one.name == "webhook_configuration"]
    return min(times, default=to_text(now))
