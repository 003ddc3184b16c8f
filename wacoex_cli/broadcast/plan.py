"""Plan a broadcast: read the file, check every row, freeze it all. Nothing is sent."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wacoex_cli.audience import files
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import exclusion, preflight
from wacoex_cli.broadcast.contacts import find_contacts
from wacoex_cli.broadcast.drafting import read_rows, tidy
from wacoex_cli.broadcast.estimate import Means, estimate
from wacoex_cli.broadcast.model import RowState, Status, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.errors import UsageError
from wacoex_cli.findings.model import Finding, worst_first
from wacoex_cli.foundation import locks
from wacoex_cli.templates import rule as template_rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.templates.model import Template
    from wacoex_cli.templates.rule import Source


@dataclass(frozen=True)
class PlanRequest:
    """What a person asked for. `source` None is standard input; `rate` in messages per second.

    `first_rows` is how many of the rows to be sent are given back, to be looked at. Nobody in
    the files of `exclude` is sent to. With `create_contacts` people who are no contact at
    respond.io become one before they are sent to; else they are skipped.
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
    create_contacts: bool = False
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
    new_contacts: int = 0


async def plan(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    request: PlanRequest,
    *,
    clock: Clock,
    stdin: BinaryIO,
    check_standing: preflight.StandingCheck | None = None,
    means: Means | None = None,
) -> Planned:
    """Read, check and freeze a broadcast.

    A row that cannot be sent to is kept as `skipped` with its reason and line. With `dry_run`
    everything is done and then taken back. `means` is what the estimate may use besides.

    Raises:
        UsageError: the file, the template or the mapping is unfit; nothing is planned then.
        CredentialError, RefusedError, TemporaryError: Meta or respond.io could not be asked.
        StateError: the state file cannot be written.
    """
    _check_request(provider, channel, request)
    with files.open_recipients(
        request.source, stdin=stdin, phone_column=request.phone_column
    ) as recipients:
        template = await provider.find_template(request.template, request.language)
        template_rule.check_sendable(template)
        sources = template_rule.resolve_sources(
            template, request.parameters, request.texts, recipients.columns
        )
        found, tier = await preflight.check_channel(provider, channel, clock.now(), check_standing)
        presence = locks.Presence(state.path)
        try:
            broadcast_id = _draft(
                state, provider, channel, request, template, sources, presence, clock
            )
            read_rows(state, broadcast_id, recipients, sources, request.country, provider.kind)
            exclusion.leave_out(
                state,
                broadcast_id,
                request.exclude,
                phone_column=request.phone_column,
                country=request.country,
                now=clock.now(),
            )
            new_contacts = await _find_contacts(state, provider, broadcast_id, request)
            taken = preflight.messaged_lately(state, channel, clock.now())
            found += preflight.check_audience(
                state,
                broadcast_id,
                channel,
                tier=tier,
                category=template.category,
                taken=taken,
                now=clock.now(),
            )
            estimated = await estimate(
                state,
                provider,
                channel,
                _counted(state, broadcast_id),
                rate=request.rate,
                tier=tier,
                taken=taken,
                new_contacts=new_contacts,
                means=means or Means(),
                clock=clock,
            )
            planned = _freeze(state, broadcast_id, request, template, sources, found, estimated)
            return replace(
                planned,
                phone_column=recipients.phone_column,
                encoding=recipients.encoding,
                new_contacts=new_contacts,
            )
        finally:
            tidy(state, presence, clock)


def _check_request(provider: SendingProvider, channel: Channel, request: PlanRequest) -> None:
    if request.create_contacts and provider.respondio is None:
        raise UsageError(
            f"channel {channel.name} sends through {provider.kind.known_as},"
            " which knows no contacts",
            hint="leave `--create-contacts` out; it is for channels with --provider respondio",
            code="not_for_provider",
        )


async def _find_contacts(
    state: State, provider: SendingProvider, broadcast_id: int, request: PlanRequest
) -> int:
    if provider.respondio is None:
        return 0
    return await find_contacts(
        state, provider.respondio, broadcast_id, create=request.create_contacts
    )


def _draft(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    request: PlanRequest,
    template: Template,
    sources: tuple[Source, ...],
    presence: locks.Presence,
    clock: Clock,
) -> int:
    with state.transaction():
        broadcast_id = Broadcasts(state).start_draft(
            channel_id=channel.channel_id,
            name=request.name,
            template=json.dumps(template.to_json(), ensure_ascii=False),
            parameter_sources=json.dumps([one.to_json() for one in sources], ensure_ascii=False),
            recipients_file=str(request.source or "-"),
            provider=provider.kind,
            api_base_url=provider.base_url,
            rate=request.rate,
            now=clock.now(),
        )
        # In the same transaction, or a planner beside us would take the draft for abandoned.
        locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
    return broadcast_id


def _counted(state: State, broadcast_id: int) -> Broadcast:
    if not Rows(state, broadcast_id).count_open():
        raise _nobody(Rows(state, broadcast_id).skip_reasons())
    with state.transaction():
        Rows(state, broadcast_id).count_again()
    return Broadcasts(state).get(broadcast_id)


def _freeze(
    state: State,
    broadcast_id: int,
    request: PlanRequest,
    template: Template,
    sources: tuple[Source, ...],
    found: list[Finding],
    estimated: Mapping[str, object],
) -> Planned:
    if not request.dry_run:
        with state.transaction():
            Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
    return Planned(
        broadcast=Broadcasts(state).get(broadcast_id),
        template=template,
        sources=sources,
        skipped=Rows(state, broadcast_id).skip_reasons(),
        skipped_rows=tuple(Rows(state, broadcast_id).first(RowState.SKIPPED, 20)),
        first_rows=tuple(Rows(state, broadcast_id).first(RowState.PENDING, request.first_rows)),
        estimate=estimated,
        findings=tuple(worst_first(found)),
        dry_run=request.dry_run,
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
