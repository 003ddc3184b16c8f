"""Plan a broadcast: read the file, check every row, freeze it all. Nothing is sent."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.audience import files
from wacoex_cli.audience.invalid import why_invalid
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import audience_ledger, checks, exclusion, ledger, preflight
from wacoex_cli.broadcast.exchange import lock_purpose
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.recovery import sender_of
from wacoex_cli.errors import UsageError
from wacoex_cli.findings.model import Finding, worst_first
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.templates import rule as template_rule
from wacoex_cli.templates.reading import find_template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from wacoex_cli.audience.files import RecipientsFile
    from wacoex_cli.broadcast.ledger import PlannedRow
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.templates.model import Template
    from wacoex_cli.templates.rule import Source

# Small enough that a broadcast running beside it gets its turn at the state file in time.
_BATCH_ROWS = 5_000


@dataclass(frozen=True)
class PlanRequest:
    """What a person asked for. `source` None is standard input; `rate` in messages per second.

    `first_rows` is how many of the rows to be sent are given back, to be looked at. Nobody in
    the files of `exclude` is sent to.
    """

    source: Path | None
    template: str
    language: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    country: str | None = None
    phone_column: str | None = None
    exclude: Sequence[Path] = ()
    rate: float = 20.0
    dry_run: bool = False
    first_rows: int = 3


@dataclass(frozen=True)
class Planned:
    """A planned broadcast and what to know before it is sent.

    `encoding` is that of a text file, None for a workbook.
    """

    broadcast: Broadcast
    template: Template
    sources: tuple[Source, ...]
    skipped: Mapping[str, int]
    skipped_rows: tuple[Row, ...]
    first_rows: tuple[Row, ...]
    estimate: Mapping[str, object]
    findings: tuple[Finding, ...]
    dry_run: bool
    phone_column: str = ""
    encoding: str | None = None


async def plan(
    state: State,
    meta: Meta,
    channel: Channel,
    request: PlanRequest,
    *,
    clock: Clock,
    api_base_url: str,
    stdin: BinaryIO,
    check_standing: preflight.StandingCheck | None = None,
) -> Planned:
    """Read, check and freeze a broadcast.

    A row that cannot be sent to is kept as `skipped` with its reason and line. With `dry_run`
    everything is done and then taken back.

    Raises:
        UsageError: the file, the template or the mapping is unfit; nothing is planned then.
        CredentialError, RefusedError, TemporaryError: Meta could not be asked.
        StateError: the state file cannot be written.
    """
    with files.open_recipients(
        request.source, stdin=stdin, phone_column=request.phone_column
    ) as recipients:
        template = await find_template(
            meta, channel.demand_waba_id(), request.template, request.language
        )
        template_rule.check_sendable(template)
        sources = template_rule.resolve_sources(
            template, request.parameters, request.texts, recipients.columns
        )
        found, tier = await preflight.check_channel(meta, channel, clock.now(), check_standing)
        presence = locks.Presence(state.path)
        try:
            broadcast_id = _draft(
                state, channel, request, template, sources, presence, clock, api_base_url
            )
            _read_rows(state, broadcast_id, recipients, sources, request.country)
            exclusion.leave_out(
                state,
                broadcast_id,
                request.exclude,
                phone_column=request.phone_column,
                country=request.country,
                now=clock.now(),
            )
            found += preflight.check_audience(
                state,
                broadcast_id,
                channel,
                tier=tier,
                category=template.category,
                now=clock.now(),
            )
            planned = _freeze(
                state, broadcast_id, channel, request, template, sources, found, clock
            )
            return replace(
                planned, phone_column=recipients.phone_column, encoding=recipients.encoding
            )
        finally:
            _tidy(state, presence, clock)


def _draft(
    state: State,
    channel: Channel,
    request: PlanRequest,
    template: Template,
    sources: tuple[Source, ...],
    presence: locks.Presence,
    clock: Clock,
    api_base_url: str,
) -> int:
    with state.transaction():
        broadcast_id = ledger.start_draft(
            state,
            channel_id=channel.channel_id,
            name=request.name,
            template=json.dumps(template.to_json(), ensure_ascii=False),
            parameter_sources=json.dumps([one.to_json() for one in sources], ensure_ascii=False),
            recipients_file=str(request.source or "-"),
            api_base_url=api_base_url,
            rate=request.rate,
            now=clock.now(),
        )
        # In the same transaction, or a planner beside us would take the draft for abandoned.
        locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
    return broadcast_id


def _read_rows(
    state: State,
    broadcast_id: int,
    recipients: RecipientsFile,
    sources: tuple[Source, ...],
    country: str | None,
) -> None:
    rows = _planned_rows(broadcast_id, recipients, sources, country)
    while batch := list(itertools.islice(rows, _BATCH_ROWS)):
        ledger.add_rows(state, batch)
        invalid = [row for row in batch if row[6] == SkipReason.INVALID]
        if invalid:
            details = [(why_invalid(row[3], country), row[1]) for row in invalid]
            with state.transaction():
                audience_ledger.explain(state, broadcast_id, details)


def _planned_rows(
    broadcast_id: int,
    recipients: RecipientsFile,
    sources: tuple[Source, ...],
    country: str | None,
) -> Iterator[PlannedRow]:
    for number, source_row in enumerate(recipients, start=1):
        phone = normalise(source_row.phone, country)
        values = template_rule.fill(sources, source_row.values) if phone else None
        state, reason = RowState.PENDING, None
        if phone is None:
            state, reason = RowState.SKIPPED, SkipReason.INVALID.value
        elif values is None:
            state, reason = RowState.SKIPPED, SkipReason.MISSING_PARAMETER.value
        yield (
            broadcast_id,
            number,
            source_row.line,
            phone or source_row.phone,
            json.dumps(values or (), ensure_ascii=False),
            state.value,
            reason,
        )


def _freeze(
    state: State,
    broadcast_id: int,
    channel: Channel,
    request: PlanRequest,
    template: Template,
    sources: tuple[Source, ...],
    found: list[Finding],
    clock: Clock,
) -> Planned:
    skipped = ledger.skip_reasons(state, broadcast_id)
    if not ledger.open_rows(state, broadcast_id):
        raise _nobody(skipped)
    with state.transaction():
        ledger.count_again(state, broadcast_id)
        if not request.dry_run:
            ledger.set_status(state, broadcast_id, Status.PLANNED)
    broadcast = ledger.get(state, broadcast_id)
    return Planned(
        broadcast=broadcast,
        template=template,
        sources=sources,
        skipped=skipped,
        skipped_rows=tuple(ledger.rows_in(state, broadcast_id, RowState.SKIPPED, 20)),
        first_rows=tuple(ledger.rows_in(state, broadcast_id, RowState.PENDING, request.first_rows)),
        estimate=_estimate(state, broadcast, channel, request.rate, clock),
        findings=tuple(worst_first(found)),
        dry_run=request.dry_run,
    )


def _estimate(
    state: State, broadcast: Broadcast, channel: Channel, rate: float, clock: Clock
) -> Mapping[str, object]:
    now = clock.now()
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    known = ledger.people_since(state, channel.phone, broadcast.broadcast_id, month)
    finish_at = now + timedelta(seconds=checks.sending_seconds(broadcast.recipients, rate))
    return checks.estimate(
        broadcast.recipients, rate, to_text(finish_at), broadcast.recipients - known
    )


def _nobody(skipped: Mapping[str, int]) -> UsageError:
    said = ", ".join(f"{reason} {n}" for reason, n in skipped.items()) or "the file has no rows"
    hint = "put somebody into it whom no reason keeps out; `wacoex optout list` shows who opted out"
    if SkipReason.INVALID in skipped:
        hint = "numbers need + and the country code, or `--country` for numbers without it"
    return UsageError(
        f"nobody in this file can be sent to ({said})",
        hint=hint if skipped else "write one person a line below the header",
        code="no_recipients",
    )


def _tidy(state: State, presence: locks.Presence, clock: Clock) -> None:
    """Release this plan's lock and remove every draft whose planner is gone: a dry run's too."""
    presence.leave()
    for broadcast_id in ledger.drafts(state):
        if sender_of(state, broadcast_id, clock) is None:
            ledger.discard(state, broadcast_id)
    with state.transaction():
        locks.release_all(state, presence)
