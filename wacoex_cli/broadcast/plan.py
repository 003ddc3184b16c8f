"""Plan a broadcast: read the file, check every row, freeze it all. Nothing is sent."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.audience import recipients_file
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.audience.recipients_file import first_name, why_invalid
from wacoex_cli.broadcast import preflight
from wacoex_cli.broadcast.model import Planned, RowState, Status, lock_purpose
from wacoex_cli.broadcast.preflight import check_same_api, estimate, standing_check
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.providers import Means, find_contacts, provider_for
from wacoex_cli.broadcast.report import plan_data, plan_text
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.findings.model import Finding, worst_first
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.phone_numbers import check_country, normalise
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.templates import rule
from wacoex_cli.templates.rule import preview
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from typing import BinaryIO

    from wacoex_cli.audience.recipients_file import RecipientsFile
    from wacoex_cli.broadcast.model import Broadcast, Trial
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.broadcast.store import PlannedRow
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.templates.model import Template
    from wacoex_cli.templates.rule import ParameterSource
    from wacoex_cli.terminal.options import Invocation

# Small enough that a broadcast running beside it gets its turn at the state file in time.
_BATCH_ROWS = 5_000
_COOLING_DOWN = timedelta(hours=24)


Failure = tuple[RowState, int | None]
_FIRST_ROWS = 3
_ALL = "all"
_STATES = {state.value: state for state in (RowState.FAILED, RowState.REJECTED)}
_OUTCOMES = {one.value: one for one in (Outcome.RETRY, Outcome.ROW, Outcome.STOP)}
_WORDS = (*_STATES, *_OUTCOMES, _ALL)


def leave_out(
    state: State,
    broadcast_id: int,
    exclude: Sequence[Path],
    *,
    phone_column: str | None,
    country: str | None,
    now: datetime,
) -> None:
    """Skip, among the rows of a draft, everybody who is not to be sent to.

    Raises:
        UsageError: a file of `exclude` or a number in it cannot be read.
    """
    for path in exclude:
        with recipients_file.open_excluded(path, phone_column) as excluded:
            phones = _excluded_phones(excluded, country)
            while batch := list(itertools.islice(phones, _BATCH_ROWS)):
                with state.transaction():
                    Rows(state, broadcast_id).skip_excluded(batch)
    with state.transaction():
        Rows(state, broadcast_id).skip_opted_out()
        Rows(state, broadcast_id).skip_cooling_down(now - _COOLING_DOWN)
        Rows(state, broadcast_id).skip_respelled()


def _excluded_phones(excluded: RecipientsFile, country: str | None) -> Iterator[str]:
    """The numbers of a file to leave out. An unreadable one might be somebody who is to be sent to.

    Raises:
        UsageError: a number cannot be read; the message names its line.
    """
    for row in excluded:
        if not row.phone.strip():
            continue
        phone = normalise(row.phone, country)
        if phone is None:
            raise UsageError(
                f"line {row.line} of {excluded.title} to exclude cannot be read:"
                f" {why_invalid(row.phone, country)}",
                hint="mend or remove that line; nothing was planned",
                code="invalid_phone",
            )
        yield phone


def read_rows(
    state: State,
    broadcast_id: int,
    recipients: RecipientsFile,
    sources: tuple[ParameterSource, ...],
    country: str | None,
    provider: Provider,
) -> None:
    """Write every record of a list as a row of a draft: to be sent, or skipped with its reason.

    `country` is that of numbers without a plus. Raises UsageError for a list that is unfit.
    """
    rows = _planned_rows(recipients, sources, country, provider)
    while batch := list(itertools.islice(rows, _BATCH_ROWS)):
        Rows(state, broadcast_id).add(batch)
        invalid = [row for row in batch if row[5] == SkipReason.INVALID]
        if invalid:
            details = [(why_invalid(row[2], country), row[0]) for row in invalid]
            with state.transaction():
                Rows(state, broadcast_id).explain(details)


def _planned_rows(
    recipients: RecipientsFile,
    sources: tuple[ParameterSource, ...],
    country: str | None,
    provider: Provider,
) -> Iterator[PlannedRow]:
    needs_contact = provider is Provider.RESPONDIO
    for number, source_row in enumerate(recipients, start=1):
        phone = normalise(source_row.phone, country)
        values = rule.fill(sources, source_row.values) if phone else None
        state, reason = RowState.PENDING, None
        if phone is None:
            state, reason = RowState.SKIPPED, SkipReason.INVALID.value
        elif values is None:
            state, reason = RowState.SKIPPED, SkipReason.MISSING_PARAMETER.value
        yield (
            number,
            source_row.line,
            phone or source_row.phone,
            json.dumps(values or (), ensure_ascii=False),
            state.value,
            reason,
            first_name(source_row.values) or phone if needs_contact and phone else None,
        )


def tidy(state: State, presence: locks.Presence, clock: Clock) -> None:
    """Release this plan's lock and remove every draft whose planner is gone: a dry run's too."""
    presence.leave()
    for broadcast_id in Broadcasts(state).drafts():
        if Broadcasts(state).sender(broadcast_id, clock) is None:
            Broadcasts(state).discard(broadcast_id)
    with state.transaction():
        locks.release_all(state, presence)


@dataclass(frozen=True)
class PlanOrder:
    """What is to be planned, from the command line to the draft. `source` None: standard input.

    `param` and `text` are as they were typed, `parameters` and `texts` what they mean. `rate` is
    in messages per second. `first_rows` of the rows to be sent are given back, to be looked at.
    Nobody in the files of `exclude` is sent to. With `create_contacts` people who are no contact
    at respond.io become one before they are sent to; else they are skipped.
    """

    source: Path | None = None
    template: str = ""
    language: str = ""
    param: Sequence[str] = ()
    text: Sequence[str] = ()
    name: str | None = None
    country: str | None = None
    phone_column: str | None = None
    exclude: Sequence[Path] = ()
    create_contacts: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    rate: float = 20.0
    dry_run: bool = False
    first_rows: int = 3

    def refuse_all(self) -> None:
        """Raise UsageError when any option is given: a planned broadcast is frozen."""
        if self != PlanOrder():
            raise UsageError(
                "template, parameters, name and the list belong to `--to` or to `broadcast plan`",
                hint="a planned broadcast is frozen; leave them out, or plan a new one",
                code="already_planned",
            )


async def plan(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    order: PlanOrder,
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
    if order.create_contacts and provider.respondio is None:
        raise UsageError(
            f"channel {channel.name} sends through {provider.kind.known_as},"
            " which knows no contacts",
            hint="leave `--create-contacts` out; it is for channels with --provider respondio",
            code="not_for_provider",
        )
    with recipients_file.open_recipients(
        order.source, stdin=stdin, phone_column=order.phone_column
    ) as recipients:
        template = await provider.find_template(order.template, order.language)
        rule.check_sendable(template)
        sources = rule.resolve_sources(template, order.parameters, order.texts, recipients.columns)
        found, tier = await preflight.check_channel(provider, channel, clock.now(), check_standing)
        presence = locks.Presence(state.path)
        try:
            broadcast_id = _draft(
                state, provider, channel, order, template, sources, presence, clock
            )
            read_rows(state, broadcast_id, recipients, sources, order.country, provider.kind)
            leave_out(
                state,
                broadcast_id,
                order.exclude,
                phone_column=order.phone_column,
                country=order.country,
                now=clock.now(),
            )
            new_contacts = 0
            if provider.respondio is not None:
                new_contacts = await find_contacts(
                    state, provider.respondio, broadcast_id, create=order.create_contacts
                )
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
                rate=order.rate,
                tier=tier,
                taken=taken,
                new_contacts=new_contacts,
                means=means or Means(),
                clock=clock,
            )
            planned = _freeze(state, broadcast_id, order, template, sources, found, estimated)
            return replace(
                planned,
                phone_column=recipients.phone_column,
                encoding=recipients.encoding,
                new_contacts=new_contacts,
            )
        finally:
            tidy(state, presence, clock)


def _draft(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    order: PlanOrder,
    template: Template,
    sources: tuple[ParameterSource, ...],
    presence: locks.Presence,
    clock: Clock,
) -> int:
    with state.transaction():
        broadcast_id = Broadcasts(state).start_draft(
            channel_id=channel.channel_id,
            name=order.name,
            template=json.dumps(template.to_json(), ensure_ascii=False),
            parameter_sources=json.dumps([one.to_json() for one in sources], ensure_ascii=False),
            recipients_file=str(order.source or "-"),
            provider=provider.kind,
            api_base_url=provider.base_url,
            rate=order.rate,
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
    order: PlanOrder,
    template: Template,
    sources: tuple[ParameterSource, ...],
    found: list[Finding],
    estimated: Mapping[str, object],
) -> Planned:
    if not order.dry_run:
        with state.transaction():
            Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
    return Planned(
        broadcast=Broadcasts(state).get(broadcast_id),
        template=template,
        sources=sources,
        skipped=Rows(state, broadcast_id).skip_reasons(),
        skipped_rows=tuple(Rows(state, broadcast_id).first(RowState.SKIPPED, 20)),
        first_rows=tuple(Rows(state, broadcast_id).first(RowState.PENDING, order.first_rows)),
        estimate=estimated,
        findings=tuple(worst_first(found)),
        dry_run=order.dry_run,
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


def plan_broadcast(
    workspace: Workspace,
    channel: Channel,
    recipients: str,
    order: PlanOrder,
    means: Means | None = None,
) -> Planned:
    """Plan from a file, or from standard input when `recipients` is `-`.

    `means` is what the estimate may use besides the way that the channel sends.

    Raises:
        WacoexError: an option or the file is unfit, or Meta could not be asked.
    """
    if not order.template or not order.language:
        raise UsageError(
            "which template? `--template` and `--lang` are missing",
            hint="for example: --template spring_offer --lang en_US",
            code="missing_template",
        )
    order = replace(
        order,
        source=None if recipients == "-" else Path(recipients),
        parameters=_pairs("--param", "PLACEHOLDER=COLUMN", order.param),
        texts=_pairs("--text", "PLACEHOLDER=VALUE", order.text),
        country=check_country(order.country) if order.country else None,
    )
    planning = plan(
        workspace.state,
        provider_for(workspace, channel),
        channel,
        order,
        clock=workspace.clock,
        stdin=sys.stdin.buffer,
        check_standing=standing_check(workspace, channel),
        means=means,
    )
    return workspace.run(planning)


def show_plan(planned: Planned, trial: Trial | None = None) -> Result:
    """The plan for a person and as `data`, with every row in `first_rows` as it will be read."""
    data = plan_data(planned)
    data["preview"] = [
        {
            "line": row["line"],
            "phone": row["phone"],
            "text": preview(planned.template, json.loads(row["parameters"])),
        }
        for row in planned.first_rows
    ]
    data["test"] = trial.to_json() if trial else None
    text = [*plan_text(data, planned.findings)]
    if trial is None:
        return Result(data, text)
    if trial.state and not trial.errors:
        text.append(f"test to {trial.phone}: {trial.state.value}")
    return Result(data, text, trial.exit_status, trial.errors)


def first_reading(planned: Planned) -> str:
    """What the first recipient will read."""
    return preview(planned.template, json.loads(planned.first_rows[0]["parameters"]))


def _pairs(option: str, form: str, given: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not (key and equals and value):
            raise UsageError(
                f"`{option} {one}` is not of the form {form}",
                hint=f"for example: {option} 1=first_name",
                code="bad_pair",
            )
        if key in pairs:
            raise UsageError(
                f"`{option}` names placeholder {key} twice", hint="leave one of them out"
            )
        pairs[key] = value
    return pairs


@dataclass(frozen=True)
class Retry:
    """A planned broadcast of rows that failed in another, and its first rows.

    `skipped` is how many were left out for which reason.
    """

    broadcast: Broadcast
    skipped: Mapping[str, int]
    first_rows: tuple[Row, ...]


async def plan_retry(
    state: State,
    provider: SendingProvider,
    source: Broadcast,
    word: str,
    *,
    clock: Clock,
    dry_run: bool,
) -> Retry:
    """Plan what failed in `source` anew: the frozen template and parameters, nothing else of it.

    `word` chooses the rows: `failed`, `rejected`, a code of Meta, what follows from codes
    (`retry`, `row`, `stop`), or `all`. Who has opted out, who got 131049 within 24 hours, and who
    has or will get the message from another broadcast that began with the same failures, is
    skipped. With `dry_run` everything is done and then taken back.

    Raises:
        UsageError: the word is unfit, or nobody is left; nothing is planned then.
        TemporaryError: the broadcast is being sent right now.
        CredentialError, RefusedError: respond.io could not be asked for its contacts.
    """
    bring_up_to_date(state, clock)
    hint = f"wait until it ends, or: wacoex broadcast pause {source.broadcast_id}"
    Broadcasts(state).demand_idle(source.broadcast_id, hint, clock)
    wanted = _chosen(state, source, word)
    presence = locks.Presence(state.path)
    try:
        broadcast_id = _draft_retry(state, source, presence, clock)
        rows, row = Rows(state, broadcast_id), -1
        while row:
            with state.transaction():
                row = rows.copy_failed(source, wanted, max(row, 0), _BATCH_ROWS)
        leave_out(state, broadcast_id, (), phone_column=None, country=None, now=clock.now())
        with state.transaction():
            rows.skip_relatives(Broadcasts(state).get(broadcast_id))
        if provider.respondio is not None:
            await find_contacts(state, provider.respondio, broadcast_id, create=False)
        return _freeze_retry(state, source, broadcast_id, dry_run=dry_run)
    finally:
        tidy(state, presence, clock)


def _chosen(state: State, source: Broadcast, word: str) -> list[Failure]:
    number = source.broadcast_id
    if word == Outcome.AMBIGUOUS.value:
        raise UsageError(
            "nobody knows whether ambiguous rows went out, so they are no failures",
            hint=f"find out, and settle them: wacoex broadcast reconcile {number}",
            code="ambiguous",
        )
    is_code = word.isascii() and word.isdecimal()
    if not is_code and word not in _WORDS:
        raise UsageError(
            f"`--retry-failed {word}` is no class of failures",
            hint=f"a code of Meta such as 131026, or one of {', '.join(_WORDS)}",
            code="bad_class",
        )
    failures = Rows(state, number).failures()
    chosen = [(row_state, code) for row_state, code, _ in failures if _is_of(word, row_state, code)]
    if not chosen:
        there = ", ".join(
            f"{n} {row_state.value}{f' with {code}' if code is not None else ''}"
            for row_state, code, n in failures
        )
        raise UsageError(
            f"broadcast {number} has no failed rows of class {word}",
            hint=f"there are {there}" if there else f"see: wacoex broadcast show {number}",
            code="nothing_to_retry",
        )
    return chosen


def _is_of(word: str, row_state: RowState, code: int | None) -> bool:
    if word == _ALL:
        return True
    if word in _STATES:
        return row_state is _STATES[word]
    if code is None:
        return False
    return classify(code).outcome is _OUTCOMES[word] if word in _OUTCOMES else code == int(word)


def _draft_retry(state: State, source: Broadcast, presence: locks.Presence, clock: Clock) -> int:
    with state.transaction():
        broadcast_id = Broadcasts(state).start_like(
            source,
            name=f"failed rows of {source.broadcast_id}",
            rate=source.rate,
            now=clock.now(),
            retry_of=source.family,
        )
        locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
    return broadcast_id


def _freeze_retry(state: State, source: Broadcast, broadcast_id: int, *, dry_run: bool) -> Retry:
    with state.transaction():
        if not Rows(state, broadcast_id).count_open():
            raise _nobody_left(source, Rows(state, broadcast_id).skip_reasons())
        Rows(state, broadcast_id).count_again()
        if not dry_run:
            Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
    first = Rows(state, broadcast_id).first(RowState.PENDING, _FIRST_ROWS)
    skipped = Rows(state, broadcast_id).skip_reasons()
    return Retry(Broadcasts(state).get(broadcast_id), skipped, tuple(first))


def _nobody_left(source: Broadcast, skipped: Mapping[str, int]) -> UsageError:
    said = ", ".join(f"{reason} {n}" for reason, n in skipped.items())
    hint = "`wacoex optout list` shows who opted out"
    if SkipReason.DUPLICATE in skipped:
        hint = "another broadcast sends to them already: wacoex broadcast list"
    if SkipReason.COOLING_DOWN in skipped:
        hint = "nobody is sent to within 24 hours of a 131049; try again after that"
    return UsageError(
        f"none of these rows of broadcast {source.broadcast_id} can be sent again ({said})",
        hint=hint,
        code="nothing_to_retry",
    )


def check_retry(
    invocation: Invocation, broadcast_id: int | None, to: str | None, *, may_ask: bool
) -> None:
    """Refuse before anything is planned.

    Raises:
        UsageError: no broadcast is named, or a list too, or nobody could be asked.
    """
    if broadcast_id is None or to is not None:
        raise UsageError(
            "`--retry-failed` needs the id of the broadcast whose rows failed, and no `--to`",
            hint="for example: wacoex broadcast send 7 --retry-failed all",
            code="needs_id",
        )
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")


def plan_again(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    source: Broadcast,
    word: str,
    *,
    dry_run: bool,
) -> Retry:
    """Plan the failed rows of a broadcast anew, and say how many are sent to and left out.

    Raises:
        WacoexError: nothing was planned.
    """
    provider = provider_for(workspace, channel)
    check_same_api(provider, channel, source)
    state, clock = workspace.state, workspace.clock
    retry = workspace.run(plan_retry(state, provider, source, word, clock=clock, dry_run=dry_run))
    skipped = "".join(f"; skipped: {n} {reason}" for reason, n in retry.skipped.items())
    TerminalDialogue(invocation).note(
        f"failed rows of broadcast {source.broadcast_id} to be sent again:"
        f" {retry.broadcast.recipients}{skipped}"
    )
    return retry
