"""`status`: read what can be read, keep it, judge every channel, and show it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import cannot_check
from wacoex_cli.channels.model import NOT_AVAILABLE, Fact
from wacoex_cli.channels.store import Channels
from wacoex_cli.diagnosis.checks import channel_findings, general_findings, newer_schema
from wacoex_cli.diagnosis.snapshot import take_snapshot
from wacoex_cli.errors import StateError, WacoexError
from wacoex_cli.findings.model import (
    Finding,
    Severity,
    aside,
    by_severity,
    check_exit_status,
    finding_blocks,
    several,
    worst,
)
from wacoex_cli.foundation.clock import from_text, spoken, to_text
from wacoex_cli.foundation.workspace import rare_collections
from wacoex_cli.partners.rule import is_seen
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import (
    MOST_LINES,
    Block,
    ForPerson,
    ForPipe,
    Line,
    Result,
    Table,
    relative,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.diagnosis.snapshot import ChannelView, Snapshot
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_COLUMNS = (
    Column("verdict", 9, fit="keep"),
    Column("channel", 8, least=12),
    Column("phone", 2, fit="keep", may_drop=True),
    Column("connection", 4, fit="keep", may_drop=True),
    Column("deadline", 7, fit="keep", may_drop=True),
    Column("quality", 3, fit="keep", may_drop=True),
    Column("findings", 6, least=10, fit="count"),
)
_FACT_COLUMNS = (
    Column("fact", 9, least=20, fit="wrap"),
    Column("value", 8, least=12),
    Column("source", 2, fit="keep", may_drop=True),
    Column("seen", 3, fit="keep", may_drop=True),
)
_CARD = (Column("", 9, fit="keep"), Column("", 8, least=20, fit="wrap"))
_CARD_LINES = 12
_LONGEST_VALUE = 60
_LIMIT = "whatsapp_business_manager_messaging_limit"
_NO_EVIDENCE = "nobody confirmed it, and no event proves it"
FEW = 3
"""Up to so many channels a person needs no hint how to see one of them."""


class ChannelStatus(NamedTuple):
    """One channel: what is known, the doubts about it, and what could not be found out."""

    view: ChannelView
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]
    verdict: Severity
    """The worst finding; unknown when something could not be found out."""

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.view.name

    @property
    def reasons(self) -> list[str]:
        """The ids of what was found, and the codes of what could not be asked."""
        found = [finding.id for finding in self.findings]
        return list(dict.fromkeys([*found, *(error.code for error in self.failures)]))


class StatusReport(NamedTuple):
    """All channels, worst first, and the findings that concern no single one of them.

    `notes` are those of the snapshot.
    """

    channels: tuple[ChannelStatus, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Severity:
        """The worst of everything."""
        severities = [channel.verdict for channel in self.channels]
        return worst([*severities, *(finding.severity for finding in self.findings)])


@rare_collections()
def show_status(workspace: Workspace, name: str | None, *, offline: bool) -> Result:
    """What `status` shows of one channel, or of all; see `check`."""
    found, now = check(workspace, name, offline=offline), workspace.clock.now()
    is_card = len(found.channels) == 1
    failed = ((channel.name, error) for channel in found.channels for error in channel.failures)
    return Result(
        {
            "channels": [_channel_data(channel, now) for channel in found.channels],
            "findings": [finding.to_json() for finding in found.findings],
            "notes": list(found.notes),
            "verdict": found.verdict.value,
        },
        _text(found, now),
        exit_code=check_exit_status(found.verdict),
        errors=cannot_check(failed, _named),
        beside_rows=[*(aside(finding) for finding in found.findings), *found.notes],
        most_lines=_CARD_LINES if is_card else MOST_LINES,
        zone=found.channels[0].view.zone if is_card else None,
    )


def check(workspace: Workspace, name: str | None, *, offline: bool) -> StatusReport:
    """Look at one channel, or at all that are not archived; store what was read.

    With `offline` nothing is asked: what is stored is judged, with its age. A state file that is
    newer than this program is a finding (WX708).
    Raises UsageError when there is no such channel or none at all, StateError for an unusable
    state file.
    """
    try:
        state = workspace.state
        channels = [registry.active(state, name)] if name else Channels(state).all_active()
        workspace.warn_about_channels(Channels(state).names())
        snapshot = take_snapshot(workspace, channels, is_offline=offline, is_whole=False)
    except StateError as error:
        if error.code != "state_newer":
            raise
        return StatusReport((), (newer_schema(error, workspace.clock.now()),))
    judged = [_judged(snapshot, view) for view in snapshot.channels]
    judged.sort(key=lambda channel: (by_severity(channel.verdict), channel.name))
    return StatusReport(tuple(judged), tuple(general_findings(snapshot)), snapshot.notes)


def _judged(snapshot: Snapshot, view: ChannelView) -> ChannelStatus:
    found, failures = channel_findings(snapshot, view), tuple(_failures(view))
    failed = [Severity.UNKNOWN] if failures else []
    verdict = worst([*failed, *(finding.severity for finding in found)])
    return ChannelStatus(view, tuple(found), failures, verdict)


def _failures(view: ChannelView) -> Iterator[WacoexError]:
    """What could not be asked; offline, that nothing is stored."""
    facts = view.facts
    yield from facts.failures.values()
    if not (facts.failures or facts.is_known or facts.moved_to or view.connection.is_lost):
        yield WacoexError(
            f"nothing is stored about channel `{view.name}` yet",
            hint="run `wacoex status` without `--offline`",
            code="no_facts",
        )


def _text(status: StatusReport, now: datetime) -> Iterator[ForPerson | ForPipe]:
    """A line for each channel; for a person a card where there is one channel, else a board."""
    rows = [_row(channel) for channel in status.channels]
    yield ForPipe(Table(_COLUMNS, rows))
    of_channels = [finding for channel in status.channels for finding in channel.findings]
    findings, is_card = [*of_channels, *status.findings], len(rows) == 1
    blocks = ForPerson(finding_blocks(findings, now, shows_channel=not is_card))
    if is_card:
        yield from _card(status, status.channels[0], now)
        yield blocks
        yield from _notes(status)
        yield ForPerson(f"`-v` shows the facts; what to do: `wacoex doctor {rows[0][1]}`")
        return
    is_quiet = [not channel.reasons for channel in status.channels]
    yield ForPerson(Table(_COLUMNS, rows, folds=True, quiet=sum(is_quiet)))
    yield blocks
    yield from _notes(status)
    if len(rows) > FEW:
        yield ForPerson(
            "\none channel: `wacoex status NAME`; what a finding means: `wacoex explain ID`"
        )


def _notes(status: StatusReport) -> Iterator[ForPerson]:
    for note in status.notes:
        yield ForPerson(f"note: {note}")


def _card(status: StatusReport, channel: ChannelStatus, now: datetime) -> Iterator[ForPerson]:
    """How one channel stands, in words; at `-v` its facts too."""
    view = channel.view
    connection = view.connection.state.value if view.connection.state else "not known"
    if view.connection.since and view.connection.is_lost:
        since = spoken(from_text(view.connection.since), view.zone, now)
        connection = f"{connection}, since {since}"
    quality = None if channel.failures else view.facts.values.get("quality_rating")
    rows = [
        ("verdict", channel.verdict.value),
        ("connection", connection),
        ("deadline", _deadline_text(view, now)),
        ("quality", str(quality).lower() if quality else "not known"),
        ("limit", _limit_text(view)),
    ]
    yield ForPerson(Block((Line(f"{channel.name}, {view.channel.phone}", "heading"),)))
    yield ForPerson(Table(_CARD, rows, has_header=False))
    yield ForPerson(Table(_FACT_COLUMNS, list(_fact_rows(channel, now)), at_verbose=True))


def _deadline_text(view: ChannelView, now: datetime) -> str:
    """Until when the app must be opened, in the channel's zone."""
    act_by_at, deadline_at = view.standing.act_by_at, view.standing.deadline_at
    if act_by_at is None or deadline_at is None:
        return f"not known: {_NO_EVIDENCE}"
    if act_by_at > now:
        return f"act by {spoken(act_by_at, view.zone, now)} ({relative(act_by_at, now)})"
    words = "act now, before" if deadline_at > now else "it ended"
    return f"{words} {spoken(deadline_at, view.zone, now)} ({relative(deadline_at, now)})"


def _limit_text(view: ChannelView) -> str:
    """How many people the account may write to first, in words."""
    # Imported only now: a card is of one channel.
    from wacoex_cli.throughput.throttle import messaging_limit

    tier = view.facts.values.get(_LIMIT)
    people = messaging_limit(tier)
    if people is None:
        return str(tier) if tier else "not known"
    return "no limit" if math.isinf(people) else f"{people:,.0f} people in 24 hours"


def _channel_data(channel: ChannelStatus, now: datetime) -> dict[str, Any]:
    view = channel.view
    values, expected = view.facts.values, view.partner.expected
    return {
        "channel": channel.name,
        "phone": view.channel.phone,
        "verdict": channel.verdict.value,
        **view.connection.to_json(),
        "is_on_biz_app": values.get("is_on_biz_app"),
        "platform_type": values.get("platform_type"),
        "quality_rating": values.get("quality_rating"),
        "throughput_level": _inside(values.get("throughput"), "level"),
        "messaging_limit": values.get(_LIMIT),
        "health": {
            "can_send_message": _inside(values.get("health_status"), "can_send_message"),
            "entities": _inside(values.get("health_status"), "entities") or [],
        },
        "inactivity": view.standing.to_json(),
        "partner": {"expected": expected.label, "seen": is_seen(expected, view.facts.seen)},
        "facts": _facts_data([*view.facts.facts.values(), _last_opened(view.standing)], now),
        "findings": [finding.to_json() for finding in channel.findings],
        "failures": [
            {"code": error.code, "message": error.message, "hint": error.hint}
            for error in channel.failures
        ],
    }


def _last_opened(standing: Standing) -> Fact:
    """As a fact among the others; it is as old as the evidence that it rests on."""
    counted = standing.counted
    if counted is None:
        return Fact("last_opened_at", None, "wacoex", "", _NO_EVIDENCE)
    at = to_text(counted.at)
    return Fact("last_opened_at", at, counted.source, at)


def _inside(value: object, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _facts_data(facts: Sequence[Fact], now: datetime) -> list[dict[str, object]]:
    """The entries of `facts`, with the age of each: most of them were read at the same moment."""
    ages = {at: _age_seconds(at, now) for at in {fact.observed_at for fact in facts}}
    return [{"age_seconds": ages[fact.observed_at], **fact.to_json()} for fact in facts]


def _age_seconds(observed_at: str, now: datetime) -> int | None:
    if not observed_at:
        return None
    return max(0, int((now - from_text(observed_at)).total_seconds()))


def _row(channel: ChannelStatus) -> tuple[object, ...]:
    view = channel.view
    return (
        channel.verdict.value,
        channel.name,
        view.channel.phone,
        view.connection.state.value if view.connection.state else None,
        view.standing.deadline_at,
        None if channel.failures else view.facts.values.get("quality_rating"),
        " ".join(channel.reasons) or None,
    )


def _fact_rows(channel: ChannelStatus, now: datetime) -> Iterator[tuple[str, ...]]:
    known = [
        fact
        for fact in channel.view.facts.facts.values()
        if fact.value is not None or not fact.is_available
    ]
    for fact in [*known, _last_opened(channel.view.standing)] if known else []:
        yield (
            fact.name.replace(_LIMIT, "messaging_limit"),
            _value_text(fact),
            fact.source,
            relative(from_text(fact.observed_at), now) if fact.observed_at else "never",
        )


def _value_text(fact: Fact) -> str:
    if not fact.is_available:
        return NOT_AVAILABLE
    value = fact.value
    for key in ("can_send_message", "level", "score", "oba_status", "name"):
        if isinstance(value, dict) and key in value:
            value = value[key]
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        value = ", ".join(value)
    return _cut(value if isinstance(value, str) else json.dumps(value), _LONGEST_VALUE)


def _named(names: list[str]) -> str:
    return several(f"`{name}`" for name in names)


def _cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
