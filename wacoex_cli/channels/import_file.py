"""Adding the channels of a list (CSV, TSV or NDJSON): all that are new, or none."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.model import Channel, Details, Provider
from wacoex_cli.channels.registry import alike, check_kinds, check_name, fit_details
from wacoex_cli.channels.store import Channels
from wacoex_cli.errors import UsageError, counted
from wacoex_cli.platforms.respondio import identity
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import TerminalDialogue


COLUMNS = ("name", *(field.name for field in dataclasses.fields(Details)))
"""What a list may tell about a channel."""

_ALSO_CALLED = {"channel": "name"}  # as `channel list --json` has it
_DELIMITERS = "\t;,"
_FILLERS = re.compile(r"[\s.-]+")
_PROBLEMS_SHOWN = 20
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_HEADER_HINT = "the first line names the columns, for example `name,phone,waba_id`"
_NDJSON_HINT = 'write one object a line, such as `{"name": "shop", "phone": "+6560000001"}`'


class ListedRow(NamedTuple):
    """One row: what it says under the names of `COLUMNS`, or `fault`, why it cannot be read."""

    line: int
    values: Mapping[str, str]
    fault: UsageError | None = None


class Listing(NamedTuple):
    """What a list says; `ignored` are columns that mean nothing here."""

    rows: tuple[ListedRow, ...]
    ignored: tuple[str, ...] = ()


def read_list(title: str, content: bytes) -> Listing:
    """The rows of a list. Raises UsageError when it is none, or lacks a name or phone column."""
    # newline="" leaves line ends inside quotes to the CSV reader.
    lines = list(io.StringIO(_decoded(title, content), newline=""))
    start = next((number for number, line in enumerate(lines) if not line.isspace()), None)
    if start is None:
        raise UsageError(f"{title} is empty", hint=_HEADER_HINT, code="no_header")
    first = lines[start].lstrip()
    if first.startswith("["):
        hint = f"{_NDJSON_HINT}: `jq -c '.[]' OLD > NEW`"
        raise UsageError(f"{title} is a JSON array", hint=hint, code="bad_row")
    if first.startswith("{"):
        return _objects(lines, start)
    return _separated(title, lines, start)


def _decoded(title: str, content: bytes) -> str:
    if content.startswith(_WORKBOOKS):
        raise UsageError(
            f"{title} is a workbook",
            hint="save it as CSV: in Excel choose the type `CSV UTF-8`",
            code="unreadable_file",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{title} is not UTF-8: see line {line}",
            hint="save it as UTF-8: in Excel choose the type `CSV UTF-8`",
            code="bad_encoding",
        ) from error


def _separated(title: str, lines: Sequence[str], start: int) -> Listing:
    delimiter = max(_DELIMITERS, key=lines[start].count)
    delimiter = delimiter if delimiter in lines[start] else ","
    reader = csv.reader(lines[start:], delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[ListedRow] = []
    line = start + 1
    try:
        columns = [_column(name) for name in next(reader)]
        _demand_columns(title, columns)
        line = start + reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(_row(line, columns, cells))
            line = start + reader.line_num + 1
    except csv.Error as error:
        raise UsageError(
            f"line {line} of {title} cannot be read as CSV: {error}",
            hint='look for an unpaired quote; write a quote inside a quoted value as `""`',
            code="bad_row",
        ) from error
    return Listing(tuple(rows), tuple(name for name in columns if name and name not in COLUMNS))


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> ListedRow:
    if any(cell.strip() for cell in cells[len(columns) :]):
        fault = UsageError(
            f"it has {len(cells)} fields, the header has {len(columns)}",
            hint="put quotes around a value with a separator in it",
        )
        return ListedRow(line, {}, fault)
    return ListedRow(line, _given(dict(zip(columns, cells, strict=False))))


def _objects(lines: Sequence[str], start: int) -> Listing:
    rows: list[ListedRow] = []
    ignored: dict[str, None] = {}
    for line, text in enumerate(lines[start:], start=start + 1):
        if text.isspace():
            continue
        try:
            found = {_column(name): value for name, value in _object(text).items()}
            rows.append(ListedRow(line, _given(found)))
            ignored |= dict.fromkeys(name for name in found if name not in COLUMNS)
        except UsageError as error:
            rows.append(ListedRow(line, {}, error))
    return Listing(tuple(rows), tuple(ignored))


def _object(text: str) -> dict[str, Any]:
    try:
        # As text: a long id must not be rounded.
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise UsageError("it is not valid JSON", hint=_NDJSON_HINT) from None
    if not isinstance(found, dict):
        raise UsageError("it is not a JSON object", hint=_NDJSON_HINT)
    return found


def _given(values: Mapping[str, Any]) -> dict[str, str]:
    """What is said under known names; nothing is said by an empty cell or null."""
    found = {}
    for name in COLUMNS:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"its {name} is neither text nor a number", hint=_NDJSON_HINT)
        if value and value.strip():
            found[name] = value.strip()
    return found


def _column(name: str) -> str:
    plain = _FILLERS.sub("_", name.strip().casefold())
    return _ALSO_CALLED.get(plain, plain)


def _demand_columns(title: str, columns: Sequence[str]) -> None:
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        hint = "rename or remove one of them"
        raise UsageError(
            f"{title} has two columns `{twice[0]}`", hint=hint, code="duplicate_column"
        )
    for name in ("name", "phone"):
        if name not in columns:
            raise UsageError(f"{title} has no column `{name}`", hint=_HEADER_HINT, code="no_header")


def run_import(
    workspace: Workspace, file: Path, dialogue: TerminalDialogue, *, dry_run: bool
) -> Result:
    """What `channel import` shows, after adding what the file names (`-` is standard input).

    Raises UsageError for a file that cannot be read as a list.
    """
    title = "standard input" if str(file) == "-" else f"`{file}`"
    listing = read_list(title, _content(file))
    if listing.ignored:
        dialogue.note(f"columns that wacoex ignores: {', '.join(listing.ignored)}")
    done = import_channels(workspace.state, listing, workspace.clock.now(), dry_run=dry_run)
    for channel in done.known:
        if channel.archived_at:
            name = channel.name
            dialogue.note(f"channel {name} is archived: `wacoex channel restore {name}`")
    read, shown = len(listing.rows), done.problems[:_PROBLEMS_SHOWN]
    added = [] if done.problems else [channel.name for channel in done.added]
    data = {
        "read": read,
        "added": len(added),
        "known": len(done.known),
        "channels": added,
        "problems": [problem._asdict() for problem in shown],
        "dry_run": dry_run,
    }
    if not done.problems:
        would = "would be " if dry_run else ""
        return Result(data, [f"{len(added)} {would}added, {len(done.known)} known already"])
    for line, message, hint in shown:
        dialogue.warn(f"line {line}: {message}" + (f"; {hint}" if hint else ""))
    if len(done.problems) > len(shown):
        dialogue.warn(f"and {len(done.problems) - len(shown)} more")
    error = UsageError(
        f"{len(done.problems)} of {counted(read, 'row')} cannot be added, so wacoex added none",
        hint="correct the lines named above, then run it again",
        code="bad_rows",
    )
    return Result(data, exit_code=error.exit_status, errors=[error])


def _content(file: Path) -> bytes:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "no list on standard input: it is a terminal",
                hint="pipe a list into wacoex, or name a file instead of `-`",
                code="unreadable_file",
            )
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read `{file}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error


class RowProblem(NamedTuple):
    """Why a row cannot be added."""

    line: int
    message: str
    hint: str | None


def import_channels(
    state: State, listing: Listing, now: datetime, *, dry_run: bool = False
) -> ImportedChannels:
    """Add every channel that is not known yet, in one transaction; none when a row cannot be used.

    A row that says of a known channel what is known changes nothing; one that says otherwise is
    a problem. With `dry_run` nothing is added.
    """
    with state.transaction():
        done = ImportedChannels(state, Channels(state).all_channels())
        for row in listing.rows:
            done.take(row)
        if not (done.problems or dry_run):
            for channel in done.added:
                Channels(state).insert(channel.name, channel, now)
    return done


class ImportedChannels:
    """Rows beside the channels there are, and beside each other. With `problems` none is added.

    `added` are those that are new, `known` those that were there before the import.
    """

    def __init__(self, state: State, channels: Sequence[Channel]) -> None:
        self.added: list[Channel] = []
        self.known: list[Channel] = []
        self.problems: list[RowProblem] = []
        self._state = state
        self._channels = channels
        self._by_name = {channel.name: channel for channel in channels}
        self._lines: dict[tuple[str, str], int] = {}

    def take(self, row: ListedRow) -> None:
        """Find out whether a row adds a channel, changes nothing, or is a problem."""
        try:
            if row.fault:
                raise row.fault
            for column in ("name", "phone"):
                if column not in row.values:
                    raise UsageError(
                        f"it has no {column}", hint="each row needs a name and a phone"
                    )
            name, details = row.values["name"], _details(row.values)
            self._demand_once(row.line, name, details)
            if known := self._by_name.get(name):
                _demand_same(known, details, row.values)
                self.known.append(known)
                return
            check_name(name, self._channels)
            fit = fit_details(details, self._channels)
            check_kinds(self._state, fit, self._channels)
            self.added.append(Channel(**dataclasses.asdict(fit), name=name))
        except UsageError as error:
            self.problems.append(RowProblem(row.line, error.message, error.hint))

    def _demand_once(self, line: int, name: str, details: Details) -> None:
        keys = {
            ("name", alike(name)): f"the name `{name}`",
            ("phone", details.phone): f"the number {details.phone}",
            ("id", details.phone_number_id or ""): f"the phone_number_id {details.phone_number_id}",
        }
        for key, what in keys.items():
            if key[1] and self._lines.setdefault(key, line) != line:
                raise UsageError(
                    f"{what} is already in line {self._lines[key]}",
                    hint="keep one of the two lines",
                )


def _details(values: Mapping[str, str]) -> Details:
    """What a row says, its number as E.164. Raises UsageError."""
    provider = values.get("provider", Provider.META.value).lower()
    if provider not in list(Provider):
        raise UsageError(
            f"`{provider}` is not a provider", hint=f"it is one of {', '.join(Provider)}, or empty"
        )
    at_respondio = identity(values.get("respondio_channel_id"))
    if at_respondio is None and "respondio_channel_id" in values:
        raise UsageError(
            "respondio_channel_id must be digits only",
            hint="`wacoex channel discover` shows respond.io's channels with their ids",
        )
    texts = ("phone_number_id", "waba_id", "owner", "timezone", "partner_app_id")
    details = Details(
        values["phone"],
        provider=Provider(provider),
        respondio_channel_id=at_respondio,
        **{name: values.get(name) for name in texts},
    )
    return fit_details(details, ())


def _demand_same(known: Channel, details: Details, values: Mapping[str, str]) -> None:
    """An empty cell says nothing, so it is no difference."""
    for name in values.keys() & {field.name for field in dataclasses.fields(Details)}:
        there, here = getattr(details, name), getattr(known, name)
        if there != here:
            change = f"--{name.replace('_', '-')} {shlex.quote(str(there))}"
            has = f"has the {name} `{here}`" if here is not None else f"has no {name}"
            raise UsageError(
                f"channel `{known.name}` {has} in wacoex, and the list has `{there}`",
                hint=f"run `wacoex channel edit {known.name} {change}`, or correct the list",
            )
