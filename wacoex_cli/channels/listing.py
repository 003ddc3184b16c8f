"""Reading a list of channels: CSV, TSV or NDJSON, each row with its line. Pure."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import Details
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COLUMNS = ("name", *(field.name for field in dataclasses.fields(Details)))
"""What a list may tell about a channel."""

_ALSO_CALLED = {"channel": "name"}  # as `channel list --json` has it
_DELIMITERS = "\t;,"
_FILLERS = re.compile(r"[\s.-]+")
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_HEADER_HINT = "the first line names the columns, for example `name,phone,waba_id`"
_NDJSON_HINT = 'write one object a line, such as `{"name": "shop", "phone": "+6560000001"}`'


@dataclass(frozen=True)
class ListedRow:
    """One row: what it says under the names of `COLUMNS`, or `fault`, why it cannot be read."""

    line: int
    values: Mapping[str, str]
    fault: UsageError | None = None


@dataclass(frozen=True)
class Listing:
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
    return ListedRow(line, _told(dict(zip(columns, cells, strict=False))))


def _objects(lines: Sequence[str], start: int) -> Listing:
    rows: list[ListedRow] = []
    ignored: dict[str, None] = {}
    for line, text in enumerate(lines[start:], start=start + 1):
        if text.isspace():
            continue
        try:
            found = {_column(name): value for name, value in _object(text).items()}
            rows.append(ListedRow(line, _told(found)))
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


def _told(values: Mapping[str, Any]) -> dict[str, str]:
    """What is said under known names; nothing is said by an empty cell or null."""
    found = {}
    for name in COLUMNS:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"its {name} is no text and no number", hint=_NDJSON_HINT)
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
