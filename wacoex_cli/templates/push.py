"""Writing templates to Meta: what differs, what Meta allows now, and one write after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from wacoex_cli.errors import RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.templates import lint
from wacoex_cli.templates.files import (
    GONE,
    Draft,
    ExampleFile,
    FiledDraft,
    Key,
    examples_of,
    key_of,
    read_file,
    with_handles,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

Record = dict[str, Any]

CREATE, EDIT = "create", "edit"
# Meta: template management.
_EDITABLE = ("APPROVED", "REJECTED", "PAUSED")
_EDITS_IN_30_DAYS, _MONTH, _DAY = 10, timedelta(days=30), timedelta(days=1)
_CREATES_IN_AN_HOUR, _HOUR = 100, timedelta(hours=1)
_ALREADY_EXISTS = 2388024
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0
_LONGEST_WAIT_SECONDS = 24 * 3600.0
_PENDING = "PENDING"


class TemplateWriter(Protocol):
    """An API that reads and writes the templates of a WABA."""

    async def templates(self, waba_id: str, /, *, name: str | None = None) -> list[Record]:
        """See `Meta.templates`."""
        ...

    async def create_template(self, waba_id: str, body: Mapping[str, object], /) -> Record:
        """See `Meta.create_template`."""
        ...

    async def edit_template(self, template_id: str, body: Mapping[str, object], /) -> None:
        """See `Meta.edit_template`."""
        ...


Upload = Callable[[ExampleFile], Awaitable[str]]


class WriteLog:
    """When templates of a WABA were created and edited from here."""

    def __init__(self, state: State, waba_id: str) -> None:
        self._state = state
        self._waba_id = waba_id

    def add(self, template_id: str, kind: str, at: datetime) -> None:
        """Keep one write."""
        row = (self._waba_id, template_id, kind, to_text(at))
        with self._state.transaction():
            self._state.execute("INSERT INTO template_writes VALUES (?, ?, ?, ?)", row)

    def spent(self, now: datetime) -> Spent:
        """What counts against Meta's limits now."""
        rows = self._state.rows(
            "SELECT template_id, kind, at FROM template_writes WHERE waba_id = ? AND at > ?",
            (self._waba_id, to_text(now - _MONTH)),
        )
        edits: dict[str, list[datetime]] = {}
        creates = []
        for row in rows:
            at = from_text(row["at"])
            if row["kind"] == EDIT:
                edits.setdefault(row["template_id"], []).append(at)
            elif now - at < _HOUR:
                creates.append(at)
        return Spent({key: sorted(each) for key, each in edits.items()}, sorted(creates))


class Spent(NamedTuple):
    """Edits of the last 30 days by template, and creations of the last hour, oldest first."""

    edits: Mapping[str, Sequence[datetime]]
    creates: Sequence[datetime]

    def next_edit(self, template_id: str, now: datetime) -> datetime | None:
        """When an approved template can be edited again; None for now."""
        edits = self.edits.get(template_id, ())
        moments = []
        if edits:
            moments.append(edits[-1] + _DAY)
        if len(edits) >= _EDITS_IN_30_DAYS:
            moments.append(edits[-_EDITS_IN_30_DAYS] + _MONTH)
        latest = max(moments, default=now)
        return latest if latest > now else None


@dataclass(frozen=True)
class Write:
    """One template in one language that differs: what would be done about it, or why nothing is.

    `record` is Meta's as it was shown, None for a new one; `wanted` is what Meta would then have.
    `examples` are the files that are uploaded for it, by their names in the template.
    """

    action: str
    filed: FiledDraft
    wanted: Draft
    record: Record | None
    why_not: str | None = None
    notes: tuple[str, ...] = ()
    examples: Mapping[str, ExampleFile] = field(default_factory=dict)

    @property
    def before(self) -> Draft | None:
        """Meta's template as it was shown."""
        return Draft.from_meta(self.record) if self.record else None

    @property
    def place(self) -> str:
        """The file and the language, as lines about it begin."""
        return f"{self.filed.path.name} ({self.filed.draft.language})"


@dataclass(frozen=True)
class Differences:
    """A directory beside Meta: what differs, what is the same, and what has no file.

    `refused` are templates with a file that Meta rejected, with Meta's reason.
    """

    writes: tuple[Write, ...]
    same: int
    only_at_meta: tuple[Key, ...]
    refused: tuple[tuple[FiledDraft, str], ...]

    @property
    def possible(self) -> tuple[Write, ...]:
        """The writes that no rule forbids."""
        return tuple(write for write in self.writes if write.why_not is None)


def compare(
    local: Mapping[Key, FiledDraft], records: Iterable[Record], spent: Spent, now: datetime
) -> Differences:
    """What the files would change at Meta, by name and language, within Meta's limits of now."""
    remote = present(records)
    writes, same, refused = [], 0, []
    left = _CREATES_IN_AN_HOUR - len(spent.creates)
    for key, filed in sorted(local.items()):
        record = remote.get(key)
        if record is not None and (reason := rejection(record)):
            refused.append((filed, reason))
        if record is None:
            write = _creation(filed, left, spent, now)
            left -= write.why_not is None
            writes.append(write)
        elif filed.draft.same_as(Draft.from_meta(record)):
            same += 1
        else:
            writes.append(_edit(filed, record, spent, now))
    unknown = tuple(sorted(remote.keys() - local.keys()))
    return Differences(tuple(writes), same, unknown, tuple(refused))


def with_examples(compared: Differences) -> Differences:
    """The same after a look at the example files: a template whose file is wrong is not written."""
    return replace(compared, writes=tuple(map(_with_examples, compared.writes)))


def _with_examples(write: Write) -> Write:
    if write.why_not is not None:
        return write
    try:
        found = examples_of(write.filed)
    except UsageError as error:
        return replace(write, why_not=f"{error.message}; {error.hint}")
    notes = (f"the example {name} is uploaded for Meta's review" for name in found)
    return replace(write, examples=found, notes=(*write.notes, *notes))


def present(records: Iterable[Record]) -> dict[Key, Record]:
    """Meta's templates by name and language, without those that it deletes."""
    return {
        (str(record["name"]), str(record["language"])): record
        for record in records
        if str(record.get("status", "")).upper() not in GONE
    }


def rejection(record: Mapping[str, Any]) -> str | None:
    """Why Meta rejected a template, in Meta's word; None unless it did."""
    if str(record.get("status", "")).upper() != "REJECTED":
        return None
    reason = str(record.get("rejected_reason") or "").upper()
    return reason if reason not in ("", "NONE") else "Meta gives no reason"


def _creation(filed: FiledDraft, left: int, spent: Spent, now: datetime) -> Write:
    why_not = _lint_text(filed.draft)
    if why_not is None and left <= 0:
        again = (spent.creates[0] if spent.creates else now) + _HOUR
        why_not = f"Meta takes 100 new templates an hour; push again after {to_text(again)}"
    return Write(CREATE, filed, filed.draft, None, why_not)


def _edit(filed: FiledDraft, record: Record, spent: Spent, now: datetime) -> Write:
    before, draft = Draft.from_meta(record), filed.draft
    status = str(record.get("status", "")).upper()
    notes = []
    wanted = draft
    if status == "APPROVED" and draft.category != before.category:
        wanted = replace(draft, category=before.category)
        notes.append(
            f"the category stays {before.category}: Meta edits none of an approved template"
        )
    why_not = None
    if wanted.same_as(before):
        why_not = f"only the category differs, {draft.category} here and {before.category} at Meta"
        why_not += "; write Meta's into the file, or use a new name"
        notes = []
    elif draft.parameter_format != before.parameter_format:
        why_not = f"Meta keeps {before.parameter_format} variables; use a new name"
    elif status not in _EDITABLE:
        why_not = f"its status is {status}: Meta edits APPROVED, REJECTED and PAUSED ones only"
    elif status == "APPROVED":
        template_id = str(record.get("id", ""))
        if (again := spent.next_edit(template_id, now)) is not None:
            why_not = f"Meta allows an edit a day and 10 in 30 days; the next at {to_text(again)}"
        else:
            number = len(spent.edits.get(template_id, ())) + 1
            notes.append(f"edit {number} of 10 in 30 days, and the only one today")
    if status != "APPROVED" and draft.category != before.category and why_not is None:
        notes.append(f"the category changes from {before.category} to {draft.category}")
    return Write(EDIT, filed, wanted, record, why_not or _lint_text(wanted), tuple(notes))


def _lint_text(draft: Draft) -> str | None:
    problems = lint.refused(draft)
    if not problems:
        return None
    first, more = problems[0], len(problems) - 1
    rest = f" (and {more} more: `wacoex template lint`)" if more else ""
    return f"{first.place}: {first.text}; {first.hint}{rest}"


@dataclass(frozen=True)
class Written:
    """What happened to a write: `created`, `edited`, `there`, or not done.

    `there`: Meta had it already. `changed`: file or template are no longer what was shown, and
    nothing was written. `refused`: by Meta. `unclear`: no answer, and it is not there now.
    `stopped`: nothing can be written any more. `status` and `category` are Meta's afterwards.
    """

    write: Write
    outcome: str
    status: str | None = None
    category: str | None = None
    why: str | None = None
    error: WacoexError | None = None

    @property
    def is_done(self) -> bool:
        """Whether Meta has what the file says, as far as it allows."""
        return self.outcome in ("created", "edited", "there")


async def push(
    writer: TemplateWriter,
    waba_id: str,
    writes: Sequence[Write],
    log: WriteLog,
    clock: Clock,
    report: Callable[[Written], None],
    upload: Upload,
) -> list[Written]:
    """Write each of them, after reading file and template once more; `report` gets each result.

    `upload` gives the handle of an example file.

    What is no longer as it was shown is left. A write without an answer is looked up at Meta, so
    that a push that runs again makes nothing twice. It ends early when Meta cannot be asked any
    more: without a token that holds, without a network, or above a limit.
    """
    results = []
    for write in writes:
        try:
            result = await _push_single(writer, waba_id, write, log, clock, upload)
        except WacoexError as error:
            result = Written(write, "stopped", why=error.message, error=error)
        report(result)
        results.append(result)
        if result.outcome == "stopped":
            break
    return results


async def _push_single(
    writer: TemplateWriter,
    waba_id: str,
    write: Write,
    log: WriteLog,
    clock: Clock,
    upload: Upload,
) -> Written:
    name, language = key_of(write.wanted)
    record = await _current(writer, waba_id, name, language)
    if record is not None and write.wanted.same_as(Draft.from_meta(record)):
        return _seen(write, "there", record)
    if why := _changed(write, record):
        return Written(write, "changed", why=why)
    try:
        handles = {name: await upload(example) for name, example in write.examples.items()}
    except RefusedError as error:
        return Written(write, "refused", why=said_by_meta(error), error=error)
    wanted = with_handles(write.wanted, handles)
    try:
        if write.record is None:
            body = {"name": name, **wanted.to_json()}
            said = await writer.create_template(waba_id, body)
            template_id = str(said.get("id", ""))
        else:
            said, template_id = {}, str(write.record["id"])
            await writer.edit_template(template_id, _edit_body(write.before, wanted))
    except WacoexError as error:
        return await _without_success(writer, waba_id, write, log, clock, error)
    log.add(template_id, write.action, clock.now())
    status = str(said.get("status") or _PENDING).upper()
    category = str(said.get("category") or write.wanted.category).upper()
    return Written(write, f"{write.action.removesuffix('e')}ed", status, category)


async def _without_success(
    writer: TemplateWriter,
    waba_id: str,
    write: Write,
    log: WriteLog,
    clock: Clock,
    error: WacoexError,
) -> Written:
    """Refused, or no answer: then Meta's list says whether it was done."""
    is_open = isinstance(error, TemporaryError) and error.code != "unreachable"
    if is_open or error.details.get("subcode") == _ALREADY_EXISTS:
        record = await _current(writer, waba_id, *key_of(write.wanted))
        if record is not None and write.wanted.same_as(Draft.from_meta(record)):
            log.add(str(record.get("id", "")), write.action, clock.now())
            return _seen(write, "there", record)
    why = said_by_meta(error)
    if isinstance(error, RefusedError):
        return Written(write, "refused", why=why, error=error)
    is_unclear = is_open and not error.code.startswith("meta_")
    return Written(write, "unclear" if is_unclear else "stopped", why=why, error=error)


def said_by_meta(error: WacoexError) -> str:
    """Meta's own words for a person where it has some, else ours."""
    for name in ("user_text", "details", "message"):
        if text := error.details.get(name):
            return str(text)
    return error.message


async def _current(writer: TemplateWriter, waba_id: str, name: str, language: str) -> Record | None:
    # Meta's filter is a search: `promo` finds `promo_2` too.
    return present(await writer.templates(waba_id, name=name)).get((name, language))


def _changed(write: Write, record: Record | None) -> str | None:
    """Why a write is not what was shown any more; None while it is."""
    path: Path = write.filed.path
    try:
        drafts = {key_of(draft): draft for draft in read_file(path)}
    except UsageError as error:
        return error.message
    if drafts.get(key_of(write.filed.draft)) != write.filed.draft:
        return f"{path.name} has changed since it was shown"
    try:
        examples = examples_of(write.filed)
    except UsageError as error:
        return error.message
    changed = [name for name, example in write.examples.items() if examples.get(name) != example]
    if changed:
        return f"the example {changed[0]} has changed since it was shown"
    if (record is None) != (write.record is None):
        return "somebody made it at Meta since it was shown" if record else "it is gone at Meta"
    if record is None or write.record is None:
        return None
    is_same = Draft.from_meta(record).same_as(Draft.from_meta(write.record))
    if not is_same or record.get("id") != write.record.get("id"):
        return "somebody changed it at Meta since it was shown"
    if record.get("status") != write.record.get("status"):
        return f"its status at Meta is {record.get('status')} now"
    return None


def _edit_body(before: Draft | None, wanted: Draft) -> dict[str, Any]:
    """What an edit replaces: components always as a whole (Meta: template management)."""
    was, new = before.to_json() if before else {}, wanted.to_json()
    return {
        key: new[key]
        for key in ("category", "components", "message_send_ttl_seconds")
        if key in new and (key == "components" or new[key] != was.get(key))
    }


def _seen(write: Write, outcome: str, record: Mapping[str, Any]) -> Written:
    status, category = (str(record.get(key, "")).upper() for key in ("status", "category"))
    return Written(write, outcome, status, category, rejection(record))


async def wait_for_review(
    writer: TemplateWriter,
    waba_id: str,
    written: Sequence[Written],
    clock: Clock,
    report: Callable[[Written], None],
) -> list[Written]:
    """Ask until Meta has reviewed all of them, or a day has passed; `report` gets each verdict."""
    results = {key_of(each.write.wanted): each for each in written}
    waiting = {key for key, each in results.items() if each.is_done and each.status == _PENDING}
    pause, end = _FIRST_PAUSE_SECONDS, clock.monotonic() + _LONGEST_WAIT_SECONDS
    while waiting and clock.monotonic() < end:
        await clock.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        records = present(await writer.templates(waba_id))
        for key in sorted(waiting):
            record = records.get(key)
            if record is None or str(record.get("status", "")).upper() != _PENDING:
                waiting.discard(key)
                each = results[key]
                results[key] = (
                    _seen(each.write, each.outcome, record)
                    if record
                    else replace(each, status="DELETED")
                )
                report(results[key])
    return [results[key_of(each.write.wanted)] for each in written]
