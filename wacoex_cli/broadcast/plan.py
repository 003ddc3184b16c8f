"""Plan a broadcast: read the file, check every row, freeze it all. Nothing is sent."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from wacoex_cli.audience.languages import Languages
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.audience.people import people_in
from wacoex_cli.audience.recipients_file import first_name
from wacoex_cli.audience.wording import CellWording, with_defaults
from wacoex_cli.broadcast.audience import AudienceOrder, gather, leave_out, rules_text
from wacoex_cli.broadcast.checks import check_audience
from wacoex_cli.broadcast.estimate import estimate, limit_share
from wacoex_cli.broadcast.preflight import (
    check_channel,
    check_links,
    check_possible,
    messaged_lately,
)
from wacoex_cli.broadcast.report import plan_data, plan_text
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.channels.sending_reads import SendingReads
from wacoex_cli.contacts.persons import USER_ID_PREFIX, Persons, account_of_channel
from wacoex_cli.contacts.stops import follow
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import EventLog
from wacoex_cli.findings.model import worst_first
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import Clock
from wacoex_cli.foundation.phone_numbers import assigned, check_country
from wacoex_cli.inactivity.checks import standing_check, zone_of
from wacoex_cli.ledger.message_key import message_key
from wacoex_cli.ledger.model import (
    Broadcast,
    Planned,
    RowState,
    Status,
    Trial,
    lock_purpose,
)
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.repeats import MessageComparison
from wacoex_cli.ledger.rows import MessageKey, PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts, count_open_among
from wacoex_cli.media.sources import MediaReader, given_media
from wacoex_cli.platforms.error_codes import Outcome, classify
from wacoex_cli.pressure.guard import PeopleGuard, outlook
from wacoex_cli.pressure.model import LIMITS, NO_PRESSURE, Pressure, kept_text, pressure_of
from wacoex_cli.sending.guards import check_overlap
from wacoex_cli.sending.providers import Means, SendingProvider, find_contacts, provider_for
from wacoex_cli.sending.takeover import demand_own_file
from wacoex_cli.templates import rule
from wacoex_cli.templates.conversions import conversions, settle
from wacoex_cli.templates.preview import preview
from wacoex_cli.templates.reading import in_language
from wacoex_cli.templates.values import ParameterSource, fill, given_by
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wacoex_cli.audience.model import SourceRow
    from wacoex_cli.audience.people import NamedPerson
    from wacoex_cli.foundation.settings import PressureSettings
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.inactivity.checks import StandingCheck
    from wacoex_cli.templates.model import Template
    from wacoex_cli.terminal.options import Invocation

# Small enough that a broadcast running beside it gets its turn at the state file in time.
_BATCH_ROWS = 5_000
_EXAMPLES = 3
_IN_NO_RANGE = "of a possible length, but in a range that no numbering plan knows"

Failure = tuple[RowState, int | None]
_FIRST_ROWS = 3
_ALL = "all"
_STATES = {state.value: state for state in (RowState.FAILED, RowState.REJECTED)}
_OUTCOMES = {outcome.value: outcome for outcome in (Outcome.RETRY, Outcome.ROW, Outcome.STOP)}
_WORDS = (*_STATES, *_OUTCOMES, _ALL)


class _CheckedRow(NamedTuple):
    """A row as it is planned, and what is wrong with it in words."""

    row: PlannedRow
    detail: str | None = None


def _read_rows(
    state: State,
    rows: Rows,
    checked: Iterator[_CheckedRow],
    channel: Channel,
    key: MessageKey,
) -> tuple[tuple[int, str], ...]:
    """Write every record of a list as a row of a draft: to be sent, or skipped with its reason.

    Who wrote to this business has a number, whatever the numbering plans know. Gives line and
    number of the first rows that are in no known range.
    """
    unknown: list[tuple[int, str]] = []
    while batch := list(itertools.islice(checked, _BATCH_ROWS)):
        doubted = {row.row.phone for row in batch if row.row.reason == SkipReason.UNKNOWN_RANGE}
        if doubted:
            wrote = EventLog(state).who_wrote(doubted, channel.phone, channel.waba_id)
            batch = [_cleared(row) if row.row.phone in wrote else row for row in batch]
        rows.add([row.row for row in batch], key)
        details = [(row.detail, row.row.row) for row in batch if row.detail is not None]
        if details:
            with state.transaction():
                rows.explain(details)
        unknown += [
            (row.row.line, row.row.phone)
            for row in batch
            if row.row.reason == SkipReason.UNKNOWN_RANGE
        ][: _EXAMPLES - len(unknown)]
    return tuple(unknown)


def _cleared(checked: _CheckedRow) -> _CheckedRow:
    row = checked.row
    if row.reason != SkipReason.UNKNOWN_RANGE:
        return checked
    return _CheckedRow(row._replace(state=RowState.PENDING.value, reason=None))


def _checked_rows(
    people: Iterator[tuple[SourceRow, NamedPerson]],
    languages: Languages,
    order: PlanOrder,
    provider: Provider,
    wording: CellWording,
) -> Iterator[_CheckedRow]:
    needs_contact = provider is Provider.RESPONDIO
    why_not_by_id = rule.why_not_to_user_ids(languages.template, provider)
    for number, (source_row, named) in enumerate(people, start=1):
        possible = named.phone
        phone = possible and (assigned(possible) or (possible if order.accept_possible else None))
        if possible is None and named.user_id:
            possible = phone = f"{USER_ID_PREFIX}{named.user_id}"
        state, reason, detail = RowState.PENDING, named.reason, named.detail
        values, unusable = None, None
        language = languages.of(source_row.values)
        sources, limits = languages.filling(language)
        if possible:
            try:
                values = fill(sources, source_row.values, wording.converts(possible, language))
            except ValueError as error:
                unusable = str(error)
        if values and order.truncate and rule.beyond_limit(limits, values):
            values = rule.cut_to_limits(limits, values)
            wording.note_cut(number)
        is_by_id = named.phone is None and named.user_id is not None
        if is_by_id and why_not_by_id:
            reason, detail = SkipReason.NO_NUMBER, why_not_by_id
        elif unusable:
            reason, detail = SkipReason.BAD_PARAMETER, unusable
        elif possible and values is None:
            reason = SkipReason.MISSING_PARAMETER
            detail = rule.what_is_empty(sources, source_row.values)
        elif values and (detail := rule.beyond_limit(limits, values)):
            reason = SkipReason.TOO_LONG
        elif possible and phone is None:
            reason, detail = SkipReason.UNKNOWN_RANGE, _IN_NO_RANGE
        if reason is not None:
            state = RowState.SKIPPED
        else:
            wording.note_defaults(number, sources, source_row.values)
            languages.note(number, source_row.values)
        shown = phone or possible
        row = PlannedRow(
            number,
            source_row.line,
            shown or source_row.phone or source_row.user_id,
            json.dumps(values or (), ensure_ascii=False),
            state.value,
            reason and reason.value,
            first_name(source_row.values) or shown if needs_contact and shown else None,
            named.user_id,
        )
        yield _CheckedRow(row, detail)


def _tidy(state: State, presence: locks.Presence, clock: Clock) -> None:
    """Release this plan's lock and remove every draft whose planner is gone: a dry run's too."""
    try:
        # First, or our own draft would count as that of a living planner.
        with state.transaction():
            locks.release_all(state, presence)
        Broadcasts(state).discard_abandoned(clock)
    finally:
        presence.leave()


@dataclass(frozen=True)
class PlanOrder:
    """What is to be planned, from the command line to the draft. `source` None: standard input.

    `language_column` names the language of each row, `language` that of all others. `param`, `text`
    and `media` are as they were typed, `parameters` what they mean; `values` is
    the file of others. Times without a zone are in `zone`. `default`, `format` and `locale` are for
    `CellWording`; with `truncate` what is too long for Meta is cut, not skipped. `rate` is
    in messages per second. `first_rows` of the rows to be sent are given back, to be looked at,
    from the line `row` on. `sources` add people of `--from` to the list; without `has_list` there
    is no list but them. Of all these only the rows are sent to that `where` chooses. Nobody of the
    files and sources of `exclude` is sent to. Who got the same message less than `repeat_hours`
    ago is counted. With `create_contacts` people who are no contact at respond.io become one before
    they are sent to; else they are skipped. `accept_possible` lets numbers through whose range no
    numbering plan knows. `needs_certain_column` refuses a list of which two columns may hold the
    numbers. `pressure` is what the limits mean, with the settings for those that are not given.
    """

    source: Path | None = None
    template: str | None = None
    language: str | None = None
    language_column: str | None = None
    param: Sequence[str] | None = None
    text: Sequence[str] | None = None
    media: Sequence[str] | None = None
    values: Path | None = None
    default: Sequence[str] | None = None
    format: Sequence[str] | None = None
    locale: str | None = None
    truncate: bool = False
    name: str | None = None
    country: str | None = None
    phone_column: str | None = None
    where: str | None = None
    sources: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    create_contacts: bool = False
    accept_possible: bool = False
    max: str | None = None
    rest: str | None = None
    unanswered: str | None = None
    per_day: str | None = None
    ramp: str | None = None
    needs_certain_column: bool = False
    parameters: Sequence[ParameterSource] = ()
    zone: str = "UTC"
    rate: float = 20.0
    dry_run: bool = False
    first_rows: int = 3
    row: int | None = None
    has_list: bool = True
    repeat_hours: float = 72.0
    pressure: Pressure = NO_PRESSURE

    @property
    def limits(self) -> dict[str, str | None]:
        """The limits on messages to a person and in a day, as they were typed."""
        return {name: getattr(self, name) for name in LIMITS}

    @property
    def is_new(self) -> bool:
        """Whether there is somebody to plan for."""
        return self.source is not None or bool(self.sources)

    @property
    def audience(self) -> AudienceOrder:
        """Whom it is for."""
        return AudienceOrder(
            self.source,
            self.has_list,
            tuple(self.sources or ()),
            tuple(map(str, self.exclude or ())),
            self.where,
            self.phone_column,
            self.needs_certain_column,
        )


async def plan(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    order: PlanOrder,
    *,
    clock: Clock,
    stdin: BinaryIO,
    check_standing: StandingCheck | None = None,
    means: Means | None = None,
) -> Planned:
    """Read, check and freeze a broadcast.

    A row that cannot be sent to is kept as `skipped` with its reason and line. With `dry_run`
    everything is done and then taken back. `means` is what the estimate may use besides.

    Raises:
        UsageError: the file, the template or the mapping is wrong; nothing is planned then.
        CredentialError, RefusedError, TemporaryError: Meta or respond.io could not be asked.
        RefusedError: the state file is a copy, or went back in time; not with `dry_run`.
        StateError: the state file cannot be written.
    """
    if not order.dry_run:
        demand_own_file(state)
    if order.create_contacts and provider.respondio is None:
        raise UsageError(
            f"channel {channel.name} sends through {provider.kind.known_as},"
            " which knows no contacts",
            hint="leave `--create-contacts` out; it is for channels with --provider respondio",
            code="not_for_provider",
        )
    respondio = provider.respondio or (means or Means()).respondio
    with await gather(state, channel, order.audience, respondio, stdin=stdin) as recipients:
        reads = SendingReads()
        versions = await provider.find_versions(order.template or "", reads)
        fallback = in_language(versions, order.language or "")
        languages = Languages(
            fallback, versions, order.language_column, recipients.columns, provider.kind
        )
        given = [*order.parameters, *_in_file(order.values, languages.template)]
        resolved = languages.resolve(given, recipients.columns)
        template = languages.template
        converts = conversions(template, provider.kind, order.zone, clock.now())
        defaults = _pairs("--default", "PLACEHOLDER=VALUE", order.default)
        media = _media_reader(state, provider, channel, order, clock)
        sources, of_media = await media.settle(template, with_defaults(resolved, defaults))
        sources = settle(sources, converts := {**converts, **of_media})
        formats = _pairs("--format", "PLACEHOLDER=FORMAT", order.format)
        wording = CellWording(template, sources, formats, order.locale, converts)
        sources = languages.settle(sources)
        findings, tier = await check_channel(provider, channel, clock.now(), reads, check_standing)
        presence = locks.Presence(state.path)
        try:
            with state.transaction():
                broadcast_id = Broadcasts(state).start_draft(
                    channel_id=channel.channel_id,
                    name=order.name,
                    template=json.dumps(template.to_json(), ensure_ascii=False),
                    parameter_sources=json.dumps(
                        [source.to_json() for source in sources], ensure_ascii=False
                    ),
                    recipients_file=order.audience.title,
                    provider=provider.kind,
                    api_base_url=provider.base_url,
                    rate=order.rate,
                    pressure=kept_text(order.limits),
                    has_keys=True,
                    now=clock.now(),
                )
                # In the same transaction, or a planner beside us would take it for abandoned.
                locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
            rows = Rows(state, broadcast_id)
            draft = Broadcasts(state).get(broadcast_id)
            key = message_key(draft.template, draft.parameter_sources)
            account = account_of_channel(state, channel.channel_id)
            people = people_in(recipients, order.country, Persons(state), account)
            checked = _checked_rows(people, languages, order, provider.kind, wording)
            unknown_ranges = _read_rows(state, rows, checked, channel, key)
            template = languages.used()
            with state.transaction():
                Broadcasts(state).freeze_template(
                    broadcast_id, json.dumps(template.to_json(), ensure_ascii=False)
                )
            draft = Broadcasts(state).get(broadcast_id)
            rules = leave_out(state, rows, recipients.excluded, order.country, clock.now())
            PeopleGuard(state, draft, order.pressure, clock).leave_out()
            new_contacts = 0
            if provider.respondio is not None:
                new_contacts = await find_contacts(
                    state, provider.respondio, broadcast_id, create=order.create_contacts
                )
            findings += await check_links(state, provider, draft, clock.now(), reads, media.doubts)
            taken = messaged_lately(state, channel, clock.now())
            findings += check_audience(rows, channel, template.category, tier, taken, clock.now())
            overlap = MessageComparison(state, broadcast_id, order.repeat_hours, clock).look()
            findings += check_overlap(overlap, channel.name, clock.now())
            if not rows.count_open():
                skipped = rows.skip_reasons()
                raise _nobody(order.audience, skipped, rows.first(RowState.SKIPPED, 1))
            shown = _rows_to_show(rows, order)
            rules = (*filter(None, [recipients.condition]), *rules)
            count = partial(count_open_among, state, broadcast_id)
            with state.transaction():
                rows.count_again()
                meant = json.dumps(order.audience.to_json(rules), ensure_ascii=False)
                Broadcasts(state).keep_audience(broadcast_id, meant)
            broadcast = Broadcasts(state).get(broadcast_id)
            estimated = await estimate(state, provider, channel, broadcast, means or Means(), clock)
            estimated["limit"] = limit_share(tier, broadcast.recipients, taken)
            estimated |= outlook(state, broadcast, order.pressure, clock)
            if not order.dry_run:
                with state.transaction():
                    media.keep()
                    Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
                    generation.raise_counter(state)
                generation.seal(state)
            return Planned(
                broadcast=Broadcasts(state).get(broadcast_id),
                template=template,
                sources=sources,
                skipped=rows.skip_reasons(),
                skipped_rows=tuple(rows.first(RowState.SKIPPED, 20)),
                first_rows=shown,
                estimate=estimated,
                findings=tuple(worst_first(findings)),
                dry_run=order.dry_run,
                notes=recipients.notes,
                unknown_ranges=unknown_ranges,
                new_contacts=new_contacts,
                wording={**wording.to_json(count), **languages.to_json(count)},
                rules=rules,
                file_names=media.names,
                row=order.row,
            )
        finally:
            _tidy(state, presence, clock)


def _media_reader(
    state: State, provider: SendingProvider, channel: Channel, order: PlanOrder, clock: Clock
) -> MediaReader:
    """What reads the files that messages show; a list names them beside itself, or beside us."""
    beside = [order.source.parent] if order.source else []
    meta = provider.meta if provider.kind is Provider.META else None
    return MediaReader(state, clock, [*beside, Path.cwd()], meta, channel.phone_number_id)


def _rows_to_show(rows: Rows, order: PlanOrder) -> tuple[Row, ...]:
    """The first rows that are sent to, from the line of `--row` on; that one must be among them."""
    line = order.row or 0
    shown = rows.first(RowState.PENDING, order.first_rows, line)
    if order.row is None or (shown and shown[0]["line"] == line):
        return tuple(shown)
    left_out = [row for row in rows.first(RowState.SKIPPED, 1, line) if row["line"] == line]
    why = "there is no such row"
    if left_out:
        [row] = left_out
        detail = f": {row['detail']}" if row["detail"] else ""
        why = f"it gets no message ({row['reason']}{detail})"
    raise UsageError(
        f"`--row {line}` cannot be shown: {why}; nothing was planned",
        hint="give the line of the list, as the plan and `broadcast report --csv` show it;"
        " the header is line 1",
        code="no_such_row",
    )


def _nobody(
    audience: AudienceOrder, skipped: Mapping[str, int], first: Sequence[Row]
) -> UsageError:
    place = f"among the people of {audience.title}" if audience.sources else "in this file"
    none = "nobody is in it" if audience.sources else "the file has no rows"
    said = ", ".join(f"{reason} {n}" for reason, n in skipped.items()) or none
    for row in first:
        if row["detail"]:
            said += f"; line {row['line']}: {row['detail']}"
    hint = "add a person who can get it; `wacoex optout list` shows who opted out"
    if SkipReason.USERNAME in skipped or SkipReason.NO_NUMBER in skipped:
        hint = "put their phone numbers into the list; see: wacoex explain usernames"
    elif SkipReason.NOT_CHOSEN in skipped:
        hint = "`--where` left rows out: compare its values with the cells of the list"
    elif SkipReason.INVALID in skipped:
        hint = "numbers need + and the country code, or `--country` for numbers without it"
    elif SkipReason.UNKNOWN_RANGE in skipped:
        hint = "no numbering plan knows these numbers; look at them, then `--accept-possible`"
    elif SkipReason.EXCLUDED in skipped:
        hint = "`--exclude` takes out whom the list holds; give one that holds fewer people"
    elif not skipped and audience.sources:
        hint = (
            "look at the tags and fields in respond.io; `wacoex broadcast show ID` counts the"
            " people of a broadcast: who got, read or answered a message is known while"
            " `wacoex events listen` runs"
        )
    elif not skipped:
        hint = "write one person per line below the header"
    return UsageError(
        f"wacoex can send to nobody {place} ({said})", hint=hint, code="no_recipients"
    )


def _in_file(path: Path | None, template: Template) -> Sequence[ParameterSource]:
    """What a file of values says; most broadcasts have none, and need no parser."""
    if path is None:
        return ()
    from wacoex_cli.templates.values_file import sources_in

    return sources_in(path, template)


def plan_broadcast(
    workspace: Workspace, channel: Channel, order: PlanOrder, means: Means | None = None
) -> Planned:
    """Plan from a file, or from standard input when the source is `-`.

    `means` is what the estimate may use besides the way that the channel sends.

    Raises:
        WacoexError: an option or the file is wrong, or Meta could not be asked.
    """
    if not order.template or not order.language:
        raise UsageError(
            "which template? `--template` and `--lang` are missing",
            hint="for example: --template spring_offer --lang en_US",
            code="missing_template",
        )
    follow(workspace.state, workspace.settings.consent, workspace.clock.now())
    order = replace(
        order,
        source=None if order.source == Path("-") else order.source,
        parameters=given_by(
            _pairs("--param", "PLACEHOLDER=COLUMN", order.param),
            _pairs("--text", "PLACEHOLDER=VALUE", order.text),
        )
        + given_media(order.media),
        zone=zone_of(workspace, channel),
        country=check_country(order.country) if order.country else None,
        repeat_hours=workspace.settings.repeat_hours,
        pressure=pressure_of(
            kept_text(order.limits), workspace.settings_for(channel.name).pressure._asdict()
        ),
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


def show_plan(planned: Planned, trial: Trial | None = None, *, is_brief: bool = False) -> Result:
    """The plan for a person and as `data`, with every row in `first_rows` as it will be read."""
    data = plan_data(planned)
    data["preview"] = [
        {
            "line": row["line"],
            "phone": row["phone"],
            "text": preview(planned.template, planned.values_in(row), planned.file_names),
        }
        for row in planned.first_rows
    ]
    data["test"] = trial.to_json() if trial else None
    data["rules"] = [left_out.to_json() for left_out in planned.rules]
    text = [*plan_text(data, planned.findings, is_brief=is_brief), *rules_text(planned.rules)]
    if trial is None:
        return Result(data, text)
    if trial.state and not trial.errors:
        text.append(f"test to {trial.phone}: {trial.state.value}")
    return Result(data, text, trial.exit_status, trial.errors)


def _pairs(option: str, form: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in given or ():
        key, equals, value = pair.partition("=")
        if not (key and equals and value):
            raise UsageError(
                f"`{option} {pair}` is not of the form {form}",
                hint=f"for example: {option} 1=first_name",
                code="bad_pair",
            )
        if key in pairs:
            raise UsageError(
                f"`{option}` names placeholder {key} twice", hint="leave one of them out"
            )
        pairs[key] = value
    return pairs


async def _plan_retry(
    state: State,
    provider: SendingProvider,
    source: Broadcast,
    word: str,
    *,
    settings: PressureSettings,
    clock: Clock,
    dry_run: bool,
) -> tuple[Broadcast, Mapping[str, int], tuple[Row, ...]]:
    if not dry_run:
        demand_own_file(state)
    bring_up_to_date(state, clock)
    hint = f"wait until it ends, or: wacoex broadcast pause {source.broadcast_id}"
    store = Broadcasts(state)
    store.demand_idle(source.broadcast_id, hint, clock)
    wanted = _chosen(state, source, word)
    presence = locks.Presence(state.path)
    try:
        with state.transaction():
            broadcast_id = store.start_like(
                source,
                name=f"failed rows of {source.broadcast_id}",
                rate=source.rate,
                now=clock.now(),
                retry_of=source.family,
            )
            locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
        rows, row = Rows(state, broadcast_id), -1
        while row:
            with state.transaction():
                row = rows.copy_failed(source, wanted, max(row, 0), _BATCH_ROWS)
        leave_out(state, rows, (), None, clock.now())
        retried = store.get(broadcast_id)
        limits = pressure_of(retried.pressure, settings._asdict())
        PeopleGuard(state, retried, limits, clock).leave_out()
        with state.transaction():
            rows.skip_relatives(store.get(broadcast_id))
        if provider.respondio is not None:
            await find_contacts(state, provider.respondio, broadcast_id, create=False)
        skipped = rows.skip_reasons()
        with state.transaction():
            if not rows.count_open():
                raise _nobody_left(source, skipped)
            rows.count_again()
            if not dry_run:
                store.set_status(broadcast_id, Status.PLANNED)
                generation.raise_counter(state)
        if not dry_run:
            generation.seal(state)
        first = rows.first(RowState.PENDING, _FIRST_ROWS)
        return store.get(broadcast_id), skipped, tuple(first)
    finally:
        _tidy(state, presence, clock)


def _chosen(state: State, source: Broadcast, word: str) -> list[Failure]:
    number = source.broadcast_id
    if word == Outcome.AMBIGUOUS.value:
        raise UsageError(
            "nobody knows whether ambiguous rows went out, so they are not failures",
            hint=f"find out, and settle them: wacoex broadcast reconcile {number}",
            code="ambiguous",
        )
    is_code = word.isascii() and word.isdecimal()
    if not is_code and word not in _WORDS:
        raise UsageError(
            f"`{word}` is not a class of failures",
            hint=f"a code of Meta such as 131026, or one of {', '.join(_WORDS)}",
            code="bad_class",
        )
    failures = Rows(state, number).failures()
    outcome = _OUTCOMES.get(word)
    chosen = [
        (row_state, code)
        for row_state, code, _ in failures
        if word in (_ALL, row_state.value)
        or (is_code and code == int(word))
        or (outcome and code is not None and classify(code).outcome is outcome)
    ]
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


def _nobody_left(source: Broadcast, skipped: Mapping[str, int]) -> UsageError:
    said = ", ".join(f"{reason} {n}" for reason, n in skipped.items())
    hint = "`wacoex optout list` shows who opted out"
    if SkipReason.DUPLICATE in skipped:
        hint = "another broadcast sends to them already: wacoex broadcast list"
    if SkipReason.COOLING_DOWN in skipped:
        hint = "wacoex sends to nobody within 24 hours of a 131049; try again after that"
    return UsageError(
        f"none of these rows of broadcast {source.broadcast_id} can be sent again ({said})",
        hint=hint,
        code="nothing_to_retry",
    )


def plan_again(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    source: Broadcast,
    word: str,
    *,
    dry_run: bool,
) -> tuple[Broadcast, tuple[Row, ...]]:
    """Plan what failed in `source` again: the frozen template and parameters, nothing else of it.

    `word` chooses the rows: `failed`, `rejected`, a code of Meta, what follows from codes
    (`retry`, `row`, `stop`), or `all`. Who has opted out, who got 131049 within 24 hours, and who
    has or will get the message from another broadcast that began with the same failures, is
    skipped. With `dry_run` everything is done and then taken back. Says how many are sent to, and
    returns the new broadcast and its first rows.

    Raises:
        UsageError: the word is no class, or nobody is left; nothing is planned then.
        TemporaryError: the broadcast is being sent right now.
        CredentialError, RefusedError: respond.io could not be asked for its contacts.
    """
    provider = provider_for(workspace, channel)
    state, clock = workspace.state, workspace.clock
    check_possible(provider, channel, source, clock.now())
    broadcast, skipped, first_rows = workspace.run(
        _plan_retry(
            state,
            provider,
            source,
            word,
            settings=workspace.settings_for(channel.name).pressure,
            clock=clock,
            dry_run=dry_run,
        )
    )
    left_out = "".join(f"; skipped: {n} {reason}" for reason, n in skipped.items())
    TerminalDialogue(invocation).note(
        f"failed rows of broadcast {source.broadcast_id} to be sent again:"
        f" {broadcast.recipients}{left_out}"
    )
    return broadcast, first_rows
