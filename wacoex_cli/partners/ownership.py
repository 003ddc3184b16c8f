"""`partner check`: who holds each channel's WABA, as Meta, respond.io and the events show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import AppsSeen, cannot_check, stored_facts
from wacoex_cli.channels.store import CHANNELS, Channels
from wacoex_cli.errors import WacoexError
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.findings.model import (
    Evidence,
    Finding,
    Severity,
    by_severity,
    finding_text,
    worst,
    worst_first,
)
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.checks import STANDS_FOR, check_partners
from wacoex_cli.partners.rule import Expected, PartnerRows
from wacoex_cli.platforms.events import Kind
from wacoex_cli.terminal.render import ForPerson, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.findings.model import Evidence
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.partners.rule import Drift


@dataclass(frozen=True)
class CheckedPartner:
    """Who holds one channel's WABA, what speaks against it, and what could not be found out."""

    channel: Channel
    expected: Expected
    seen: AppsSeen
    evidence: tuple[Evidence, ...]
    drifts: tuple[Drift, ...]
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]

    @property
    def verdict(self) -> Severity:
        """The worst finding; unknown when something could not be found out."""
        failed = [Severity.UNKNOWN] if self.failures else []
        return worst([*failed, *(one.severity for one in self.findings)])


def check(workspace: Workspace, name: str | None, now: datetime) -> list[CheckedPartner]:
    """Look at one channel, or at all that are not archived, worst first; keep the facts read.

    Raises UsageError for an unknown or archived channel, or when there is none.
    """
    # Imported only now: who judges what is stored does not wait for what asks.
    from wacoex_cli.channels.look import Look

    state = workspace.state
    channels = [registry.active(state, name)] if name else Channels(state).all_active()
    catch_up(state, [CHANNELS], workspace.clock)
    facts = stored_facts(state, channels, now)
    look = Look(workspace, now)
    workspace.run(look.read(facts.values(), with_users=True, with_respondio=True))
    with state.transaction():
        look.keep(state, facts.values())
    rows = rows_of(workspace, channels, now)
    found = [_judged(one, rows[one.channel.channel_id]) for one in facts.values()]
    return sorted(found, key=lambda one: (by_severity(one.verdict), one.channel.name))


def rows_of(
    workspace: Workspace, channels: Sequence[Channel], now: datetime
) -> dict[int, PartnerRows]:
    """What is known here about the partners of each of these channels, by channel_id."""
    state = workspace.state
    ids = {one.channel_id: one.respondio_channel_id for one in Channels(state).all_channels()}
    found = {}
    for channel in channels:
        settings = workspace.settings_for(channel.name)
        events = EventLog(state).find(
            kinds={Kind.TEMPLATE_STATUS},
            since=now - STANDS_FOR,
            addresses=[f"waba_id:{channel.waba_id}"],
            newest_first=False,
        )
        # With a signup configuration of our own, numbers are connected with our own app.
        found[channel.channel_id] = PartnerRows(
            rule.expected(channel, settings.meta_app_id if settings.meta_config_id else None),
            settings.meta_app_id,
            settings.public_url,
            tuple(events) if channel.waba_id else (),
            tuple(number for key, number in ids.items() if number and key != channel.channel_id),
        )
    return found


def _judged(facts: ChannelFacts, rows: PartnerRows) -> CheckedPartner:
    seen = facts.apps or AppsSeen(to_text(facts.now))
    read_at = facts.observed_at(("webhook_configuration",))
    return CheckedPartner(
        facts.channel,
        rows.expected,
        seen,
        tuple(rule.evidence(rows.expected, seen, facts.values, read_at)),
        tuple(rule.drifts(facts, rows)),
        tuple(worst_first(check_partners(facts, rows, is_asked=True))),
        tuple(_failures(facts, seen)),
    )


def _failures(facts: ChannelFacts, seen: AppsSeen) -> Iterator[WacoexError]:
    """What is told by no finding: a number that cannot be read, for no reason that is seen."""
    listed = {number.phone_number_id for number in facts.numbers or ()}
    is_moved = facts.numbers is not None and facts.channel.phone_number_id not in listed
    if "number" in facts.failures and not is_moved and seen.error is None:
        yield facts.failures["number"]
    if "respondio" in facts.failures:
        yield facts.failures["respondio"]


_WORDS = {True: "yes", False: "no", None: "not known"}


def check_data(found: Sequence[CheckedPartner]) -> dict[str, Any]:
    """The `data` of `partner check`."""
    return {
        "findings": [finding.to_json() for one in found for finding in one.findings],
        "partners": [_partner_data(one) for one in found],
    }


def check_text(found: Sequence[CheckedPartner], now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each channel; for a person also what it rests on, and what was found."""
    columns = ("verdict", "channel", "expected", "seen", "findings")
    yield Table(columns, [_row(one) for one in found])
    for one in found:
        yield ForPerson("\n".join(["", f"{one.channel.name}:", *_evidence_lines(one, now)]))
    for one in found:
        for finding in one.findings:
            yield ForPerson(f"\n{finding_text(finding, now)}")
    if any(one.seen.is_available for one in found):
        yield ForPerson(f"\n{rule.NO_PROOF}")


def failures(found: Sequence[CheckedPartner]) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about."""
    failed = ((one.channel.name, error) for one in found for error in one.failures)
    return cannot_check(failed)


def _partner_data(one: CheckedPartner) -> dict[str, Any]:
    apps = one.seen.apps
    return {
        "channel": one.channel.name,
        "expected": one.expected.label,
        "seen": rule.is_seen(one.expected, one.seen),
        "reason": one.seen.why,
        "apps": [
            {"id": app.id, "name": app.name, "override_callback_uri": app.override} for app in apps
        ]
        if apps is not None
        else None,
        "evidence": [
            {"text": told.text, "source": told.source, "observed_at": told.observed_at}
            for told in one.evidence
        ],
        "drift": [each._asdict() for each in one.drifts],
        "verdict": one.verdict.value,
    }


def _row(one: CheckedPartner) -> tuple[object, ...]:
    said = [*(finding.id for finding in one.findings), *(error.code for error in one.failures)]
    return (
        one.verdict.value,
        one.channel.name,
        one.expected.label,
        _WORDS[rule.is_seen(one.expected, one.seen)],
        " ".join(dict.fromkeys(said)) or None,
    )


def _evidence_lines(one: CheckedPartner, now: datetime) -> Iterator[str]:
    seen: tuple[Evidence | Drift, ...] = (*one.evidence, *one.drifts)
    for fact in seen:
        yield f"  {fact.text} ({fact.source}, {relative(from_text(fact.observed_at), now)})"
    if not one.seen.is_available and one.seen.why:
        yield f"  what Meta shows is not available: {one.seen.why}"
    elif one.seen.apps is None:
        yield f"  who gets the webhooks is not known: {one.seen.why}"
