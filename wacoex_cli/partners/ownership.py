"""`partner check`: who holds each channel's WABA, as Meta, respond.io and the events show it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels import registry
from wacoex_cli.channels.checks import check_connection, check_ids, check_shown
from wacoex_cli.channels.facts import CHANNELS, AppsSeen, cannot_check, stored_facts
from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.errors import WacoexError
from wacoex_cli.events.checks import TRAFFIC, Heard, Traffic
from wacoex_cli.events.store import EventLog, Numbers, catch_up
from wacoex_cli.findings.model import (
    Evidence,
    Finding,
    Severity,
    by_severity,
    check_exit_status,
    finding_blocks,
    worst,
    worst_first,
)
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners import rule
from wacoex_cli.partners.checks import STANDS_FOR, check_partners
from wacoex_cli.partners.rule import Expected, PartnerRows, Routed
from wacoex_cli.platforms.events import Kind
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import ForPerson, Result, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.facts import ChannelFacts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.partners.rule import Drift


ROUTED_WITHIN = timedelta(days=7)
"""How far back it is looked whether another responder gets messages."""
_MOST_HANDOVERS = 100
_COLUMNS = (
    Column("verdict", 9, fit="keep"),
    Column("channel", 8, least=12),
    Column("expected", 4, least=10, may_drop=True),
    Column("seen", 5, fit="keep", may_drop=True),
    Column("findings", 6, least=10, fit="count"),
)
_SEEN = {True: "yes", False: "no", None: "not known"}


class CheckedPartner(NamedTuple):
    """Who holds one channel's WABA, the doubts about it, and what could not be found out."""

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
        return worst([*failed, *(finding.severity for finding in self.findings)])

    @property
    def is_seen(self) -> bool | None:
        """Whether the expected partner is there; None when that is not known."""
        return rule.is_seen(self.expected, self.seen)

    def to_json(self) -> dict[str, Any]:
        """An entry of `partners`."""
        apps = self.seen.apps
        return {
            "channel": self.channel.name,
            "expected": self.expected.label,
            "seen": self.is_seen,
            "reason": self.seen.why,
            "apps": None
            if apps is None
            else [
                {"id": app.id, "name": app.name, "override_callback_uri": app.override}
                for app in apps
            ],
            "evidence": [fact.to_json() for fact in self.evidence],
            "drift": [drift._asdict() for drift in self.drifts],
            "verdict": self.verdict.value,
        }


def show_partners(workspace: Workspace, name: str | None) -> Result:
    """What `partner check` shows of one channel, or of all; see `check`."""
    now = workspace.clock.now()
    found, notes = check(workspace, name, now)
    failed = ((checked.channel.name, error) for checked in found for error in checked.failures)
    return Result(
        {
            "findings": [finding.to_json() for checked in found for finding in checked.findings],
            "notes": notes,
            "partners": [checked.to_json() for checked in found],
        },
        _text(found, notes, now),
        exit_code=check_exit_status(worst(checked.verdict for checked in found)),
        errors=cannot_check(failed),
        beside_rows=notes,
    )


def check(
    workspace: Workspace, name: str | None, now: datetime
) -> tuple[list[CheckedPartner], list[str]]:
    """Look at one channel, or at all that are not archived, worst first; keep the facts read.

    With them the notes of the look: how old the facts are, or how they were read.
    Raises UsageError for an unknown or archived channel, or when there is none.
    """
    # Imported only now: who judges what is stored does not wait for what asks.
    from wacoex_cli.channels.look import Look

    state = workspace.state
    channels = [registry.active(state, name)] if name else Channels(state).all_active()
    catch_up(state, [CHANNELS, TRAFFIC], workspace.clock)
    facts = stored_facts(state, channels, now)
    look = Look(workspace, now)
    workspace.run(look.read(facts.values(), with_users=True, with_respondio=True))
    with state.transaction():
        look.keep(state, facts.values())
    numbers = Numbers(state, Signs(state).addresses_by_channel(channels))
    rows = rows_of(workspace, channels, numbers, now)
    found = [_judged(facts[key], rows[key]) for key in facts]
    found.sort(key=lambda checked: (by_severity(checked.verdict), checked.channel.name))
    return found, look.notes


def rows_of(
    workspace: Workspace, channels: Sequence[Channel], numbers: Numbers, now: datetime
) -> dict[int, PartnerRows]:
    """What is known here about the partners of each of these channels, by channel_id.

    `numbers` are those of the channels. The projections of channels and traffic have caught up.
    """
    state, log = workspace.state, EventLog(workspace.state)
    since = now - ROUTED_WITHIN
    heard = Traffic(state, numbers).heard(since)
    handovers = log.of_each(numbers, Kind.HANDOVER, since, _MOST_HANDOVERS)
    accounts = {it.channel_id: (f"waba_id:{it.waba_id}",) for it in channels if it.waba_id}
    templates = log.of_each(Numbers(state, accounts), Kind.TEMPLATE_STATUS, now - STANDS_FOR)
    respondio_ids = Channels(state).respondio_ids()
    found = {}
    for channel in channels:
        key, settings = channel.channel_id, workspace.settings_for(channel.name)
        messages, newest_at = heard.get(key, Heard())
        # With a signup configuration of our own, numbers are connected with our own app.
        found[key] = PartnerRows(
            rule.expected(channel, settings.meta_app_id if settings.meta_config_id else None),
            settings.meta_app_id,
            settings.public_url,
            tuple(reversed(templates.get(key, ()))),
            respondio_ids,
            Routed(messages, newest_at, tuple(handovers[key])),
        )
    return found


def _judged(facts: ChannelFacts, rows: PartnerRows) -> CheckedPartner:
    seen = facts.apps or AppsSeen(to_text(facts.now))
    read_at = facts.observed_at(("webhook_configuration",))
    # What no finding says: a number that cannot be read, for no reason that is seen.
    listed = {number.phone_number_id for number in facts.numbers or ()}
    is_moved = facts.numbers is not None and facts.channel.phone_number_id not in listed
    is_explained = is_moved or seen.error is not None
    return CheckedPartner(
        facts.channel,
        rows.expected,
        seen,
        tuple(rule.evidence(rows.expected, seen, facts.values, read_at)),
        tuple(rule.drifts(facts, rows)),
        tuple(
            worst_first(
                [
                    *check_partners(facts, facts.connection, rows, is_direct=True),
                    *_unseen(facts),
                ]
            )
        ),
        tuple(
            facts.failures[part]
            for part in ("number", "respondio")
            if part in facts.failures and not (part == "number" and is_explained)
        ),
    )


def _unseen(facts: ChannelFacts) -> list[Finding]:
    """WX215 and WX207: number or account are not where they were, or an id is of another kind."""
    lost = check_connection(facts.connection, facts.name, facts.now)
    return [
        *check_shown(facts),
        *check_ids(facts),
        *(finding for finding in lost if finding.id == "WX215"),
    ]


def _text(
    found: Sequence[CheckedPartner], notes: Sequence[str], now: datetime
) -> Iterator[Table | ForPerson]:
    """A line for each channel; for a person also what it rests on, and what was found."""
    yield Table(_COLUMNS, [_row(checked) for checked in found], folds=True)
    for checked in found:
        lines = "\n".join(["", f"{checked.channel.name}:", *_evidence_lines(checked, now)])
        yield ForPerson(lines)
    findings = [finding for checked in found for finding in checked.findings]
    yield ForPerson(finding_blocks(findings, now))
    for note in notes:
        yield ForPerson(f"note: {note}")
    if any(checked.seen.is_available for checked in found):
        yield ForPerson(f"\n{rule.NO_PROOF}")


def _row(checked: CheckedPartner) -> tuple[object, ...]:
    ids = [finding.id for finding in checked.findings]
    reasons = dict.fromkeys([*ids, *(error.code for error in checked.failures)])
    return (
        checked.verdict.value,
        checked.channel.name,
        checked.expected.label,
        _SEEN[checked.is_seen],
        " ".join(reasons) or None,
    )


def _evidence_lines(checked: CheckedPartner, now: datetime) -> Iterator[str]:
    for fact in (*checked.evidence, *(drift.evidence for drift in checked.drifts)):
        yield f"  {fact.text} ({fact.said_by}, {relative(from_text(fact.observed_at), now)})"
    if not checked.seen.is_available and checked.seen.why:
        yield f"  what Meta shows is not available: {checked.seen.why}"
    elif checked.seen.apps is None:
        yield f"  who gets the webhooks is not known: {checked.seen.why}"
