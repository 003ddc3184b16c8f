"""`status`: read what can be read, keep it, judge every channel, and show it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import cannot_check
from wacoex_cli.channels.model import NOT_AVAILABLE, Fact
from wacoex_cli.channels.store import Channels
from wacoex_cli.diagnosis.checks import channel_findings, general_findings, newer_schema
from wacoex_cli.diagnosis.snapshot import take_snapshot
from wacoex_cli.errors import StateError, WacoexError
from wacoex_cli.findings.catalogue import find
from wacoex_cli.findings.model import (
    Finding,
    Severity,
    by_severity,
    check_exit_status,
    finding_text,
    worst,
)
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.partners.rule import is_seen
from wacoex_cli.terminal.render import ForPerson, ForPipe, Result, Table, relative

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.diagnosis.snapshot import ChannelView
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.model import Standing

_COLUMNS = ("verdict", "channel", "phone", "connection", "deadline", "quality", "findings")
_LONGEST_NAME = 34
_LONGEST_VALUE = 20
_LIMIT = "whatsapp_business_manager_messaging_limit"
_NO_EVIDENCE = "nobody confirmed it, and no event proves it"
FEW = 3
"""Up to so many channels a person reads all findings in full; above, one line for each kind."""
_ROWS = 24
_WIDTH = 100
# Everything but channel, phone and connection at its widest, with the gaps between columns.
_REST = 55
_LONGEST_FINDINGS = 14
_LONGEST_TITLE = 60


class ChannelStatus(NamedTuple):
    """One channel: what is known, what speaks against it, and what could not be found out."""

    view: ChannelView
    findings: tuple[Finding, ...]
    failures: tuple[WacoexError, ...]

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.view.name

    @property
    def verdict(self) -> Severity:
        """The worst finding; unknown when something could not be found out."""
        failed = [Severity.UNKNOWN] if self.failures else []
        return worst([*failed, *(finding.severity for finding in self.findings)])

    @property
    def reasons(self) -> list[str]:
        """The ids of what was found, and the codes of what could not be asked."""
        found = [finding.id for finding in self.findings]
        return list(dict.fromkeys([*found, *(error.code for error in self.failures)]))


class StatusReport(NamedTuple):
    """All channels, worst first, and the findings that concern no single one of them."""

    channels: tuple[ChannelStatus, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Severity:
        """The worst of everything."""
        severities = [channel.verdict for channel in self.channels]
        return worst([*severities, *(finding.severity for finding in self.findings)])


def show_status(workspace: Workspace, name: str | None, *, offline: bool) -> Result:
    """What `status` shows of one channel, or of all; see `check`."""
    found, now = check(workspace, name, offline=offline), workspace.clock.now()
    failed = ((channel.name, error) for channel in found.channels for error in channel.failures)
    return Result(
        {
            "channels": [_channel_data(channel, now) for channel in found.channels],
            "findings": [finding.to_json() for finding in found.findings],
            "verdict": found.verdict.value,
        },
        list(_text(found, now)),
        exit_code=check_exit_status(found.verdict),
        errors=cannot_check(failed, _some),
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
    judged = [
        ChannelStatus(view, tuple(channel_findings(snapshot, view)), tuple(_failures(view)))
        for view in snapshot.channels
    ]
    judged.sort(key=lambda channel: (by_severity(channel.verdict), channel.name))
    return StatusReport(tuple(judged), tuple(general_findings(snapshot)))


def _failures(view: ChannelView) -> Iterator[WacoexError]:
    """What could not be asked; offline, that nothing is stored."""
    facts = view.facts
    yield from facts.failures.values()
    if not (facts.failures or facts.is_known or facts.moved_to or facts.connection.is_lost):
        yield WacoexError(
            f"nothing is stored about channel `{view.name}` yet",
            hint="run `wacoex status` without `--offline`",
            code="no_facts",
        )


def _text(status: StatusReport, now: datetime) -> Iterator[ForPerson | ForPipe]:
    """A line for each channel; for a person also the facts of a single one, and what was found.

    The facts come first: they are long, and what matters is to stand above the next prompt.
    """
    if len(status.channels) == 1:
        yield from _facts_text(status.channels[0], now)
    rows = [_row(channel) for channel in status.channels]
    yield ForPipe(Table(_COLUMNS, rows))
    yield from _board(status.channels, rows)
    shown = status.findings
    if len(status.channels) <= FEW:
        shown = (*(finding for channel in status.channels for finding in channel.findings), *shown)
    for finding in shown:
        yield ForPerson(f"\n{finding_text(finding, now)}")


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
        "facts": [
            {**fact.to_json(), "age_seconds": _age_seconds(fact, now)}
            for fact in [*view.facts.facts, _last_opened(view.standing)]
        ],
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


def _age_seconds(fact: Fact, now: datetime) -> int | None:
    if not fact.observed_at:
        return None
    return max(0, int((now - from_text(fact.observed_at)).total_seconds()))


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


def _facts_text(channel: ChannelStatus, now: datetime) -> Iterator[ForPerson]:
    facts = channel.view.facts.facts
    shown = [fact for fact in facts if fact.value is not None or not fact.is_available]
    if not shown:
        return
    rows = [
        (
            _cut(fact.name.replace(_LIMIT, "messaging_limit"), _LONGEST_NAME),
            _value_text(fact),
            fact.source,
            relative(from_text(fact.observed_at), now) if fact.observed_at else "never",
        )
        for fact in [*shown, _last_opened(channel.view.standing)]
    ]
    yield ForPerson(Table(("fact", "value", "source", "seen"), rows))
    yield ForPerson("")


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


def _some(names: list[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _board(
    channels: Sequence[ChannelStatus], rows: Sequence[tuple[object, ...]]
) -> Iterator[ForPerson]:
    """The rows of the channels, which stand worst first, as a terminal of 100 columns shows them.

    Where they do not all fit, only those with something to say are shown, as far as they fit.
    """
    shown = len(channels)
    if shown > _ROWS:
        shown = min(_ROWS, sum(bool(channel.reasons) for channel in channels))
    if shown:
        yield ForPerson(Table(_COLUMNS, _shortened(rows[:shown])))
    if shown < len(channels):
        rest = Counter(channel.verdict.value for channel in channels[shown:])
        counts = ", ".join(f"{count} {verdict}" for verdict, count in rest.items())
        yield ForPerson(
            f"and {len(channels) - shown} more: {counts}" if shown else f"all: {counts}"
        )
    kinds = _kinds(channels) if len(channels) > FEW else []
    if kinds:
        yield ForPerson("")
        yield ForPerson(Table(("severity", "finding", "channels", "says"), kinds))
        next_step = "`wacoex status NAME`; what to do: `wacoex explain ID`"
        yield ForPerson(f"\none channel with its facts: {next_step}")


def _cut(text: str, length: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _shortened(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Names and findings cut so that a row fits."""
    taken = [max(len(str(row[at])) for row in rows) for at in (2, 3)]
    longest = _WIDTH - _REST - max(taken[0], len("phone")) - max(taken[1], len("connection"))
    return [
        (row[0], _cut(str(row[1]), longest), *row[2:-1], _some_ids(str(row[-1] or "")) or None)
        for row in rows
    ]


def _some_ids(ids: str) -> str:
    """As many ids as fit, and how many more there are."""
    words = ids.split()
    if len(ids) <= _LONGEST_FINDINGS or len(words) < 2:
        return _cut(ids, _LONGEST_FINDINGS)
    shown = 1
    while len(" ".join(words[: shown + 1])) + len(" +10") <= _LONGEST_FINDINGS:
        shown += 1
    return f"{_cut(' '.join(words[:shown]), _LONGEST_FINDINGS - 4)} +{len(words) - shown}"


def _kinds(channels: Sequence[ChannelStatus]) -> list[tuple[object, ...]]:
    """A row for each finding and severity: how many channels have it, and what it says.

    What they say differently stands as in the catalogue.
    """
    found: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for channel in channels:
        for finding in channel.findings:
            found[finding.severity, finding.id].append(finding)
    rows: list[tuple[object, ...]] = []
    for severity, name in sorted(found, key=lambda kind: (by_severity(kind[0]), kind[1])):
        same = found[severity, name]
        titles = {finding.title for finding in same}
        article = find(name)
        says = article.title if article else ""
        if len(titles) == 1:
            says = _cut(titles.pop(), _LONGEST_TITLE)
        rows.append((severity.value, name, len({finding.channel for finding in same}), says))
    return rows
