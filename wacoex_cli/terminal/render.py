"""A result or a failure, as text for a person, TSV for a pipe, or the JSON envelope."""

import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.terminal import streams

if TYPE_CHECKING:
    from wacoex_cli.terminal.help import CommandPath
    from wacoex_cli.terminal.options import Invocation

ENVELOPE_VERSION = 1
_PARTIAL = 7
_ITEMS_AT_ONCE = 1_000
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


@dataclass(frozen=True)
class Table:
    """Rows for a person or a pipe. A cell may be text, a number, a bool, a moment or None.

    `when_empty` is what a person reads instead of no rows.
    """

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    when_empty: str = ""


@dataclass(frozen=True)
class ForPerson:
    """A part that only a terminal shows; in a pipe it would spoil the rows."""

    part: str | Table


@dataclass(frozen=True)
class Markdown:
    """An article: laid out on a terminal, as it is in a pipe."""

    text: str


@dataclass(frozen=True)
class ForPipe:
    """A part that only a pipe gets, where a terminal shows something shorter."""

    part: Table


@dataclass(frozen=True)
class Result:
    """What a command has to say: `data` for JSON, `text` for a person, and how it ended.

    `lists` are further entries of `data`, too long for memory: read while they are written.
    """

    data: Mapping[str, object]
    text: Sequence[str | Table | ForPerson | ForPipe | Markdown] = ()
    exit_code: int = 0
    errors: Sequence[WacoexError] = field(default=())
    lists: Mapping[str, Iterable[object]] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """`ok`, `partial` (exit code 7) or `error` (there are errors)."""
        if self.exit_code == _PARTIAL:
            return "partial"
        return "error" if self.errors else "ok"


def emit(result: Result, invocation: "Invocation", command_path: "CommandPath") -> int:
    """Show a result as the invocation asks for; returns its exit code."""
    if invocation.wants_json:
        _write_envelope(result, invocation, command_path)
        return result.exit_code
    if invocation.quiet < 2:
        now = datetime.now(UTC)
        left_out = ForPipe if sys.stdout.isatty() else ForPerson
        for one in result.text:
            if isinstance(one, left_out):
                continue
            part = one.part if isinstance(one, ForPerson | ForPipe) else one
            if isinstance(part, Table):
                lines = _table_lines(part, invocation, now)
            elif isinstance(part, Markdown):
                lines = iter([_article(part, invocation)])
            else:
                lines = iter([streams.printable(part)])
            streams.write(sys.stdout, "".join(f"{line}\n" for line in lines))
    for error in result.errors:
        _write_error(error, invocation)
    return result.exit_code


def emit_error(
    error: WacoexError,
    invocation: "Invocation",
    command_path: "CommandPath",
    *,
    exit_status: int | None = None,
) -> int:
    """Show why a command failed; returns the exit status, the error's own unless one is given."""
    status = error.exit_status if exit_status is None else exit_status
    if invocation.wants_json:
        failed = Result({}, exit_code=status, errors=[error])
        _write_envelope(failed, invocation, command_path)
    else:
        _write_error(error, invocation)
    return status


def _write_envelope(result: Result, invocation: "Invocation", command_path: "CommandPath") -> None:
    marks = _marks(result.lists)
    envelope: dict[str, object] = {
        "wacoex_json": ENVELOPE_VERSION,
        "command": list(command_path),
        "status": result.status,
        "exit_code": result.exit_code,
        "data": {**result.data, **marks},
        "errors": [_error_entry(error) for error in result.errors],
    }
    if invocation.learnt.sandbox_url:
        envelope["sandbox"] = True
    rest = _json(envelope)
    for name, mark in marks.items():
        before, rest = rest.split(_json(mark), 1)
        streams.write(sys.stdout, before)
        _write_list(result.lists[name])
    streams.write(sys.stdout, f"{rest}\n")


def _marks(names: Iterable[str]) -> dict[str, str]:
    """What stands for each long list until it is written, in the order of the sorted keys."""
    if not names:
        return {}
    from uuid import uuid4

    return {name: f"{name} {uuid4()}" for name in sorted(names)}


def _write_list(items: Iterable[object]) -> None:
    remaining, separator = iter(items), ""
    streams.write(sys.stdout, "[")
    while piece := list(itertools.islice(remaining, _ITEMS_AT_ONCE)):
        streams.write(sys.stdout, separator + ", ".join(_json(item) for item in piece))
        separator = ", "
    streams.write(sys.stdout, "]")


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False, default=_plain)


def _error_entry(error: WacoexError) -> dict[str, object]:
    entry: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
    }
    if error.details:
        entry["details"] = error.details
    return entry


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _write_error(error: WacoexError, invocation: "Invocation") -> None:
    lines = [f"{_label('error', invocation)}: {streams.printable(error.message)}"]
    if error.details and invocation.verbose:
        facts = ", ".join(f"{name} {value}" for name, value in sorted(error.details.items()))
        lines += [f"detail: {streams.printable(facts)}"]
    if error.hint:
        lines += ["", f"{_label('hint', invocation)}: {streams.printable(error.hint)}"]
    streams.write(sys.stderr, "\n".join(lines) + "\n")


def _label(word: str, invocation: "Invocation") -> str:
    return streams.paint(word, sys.stderr, invocation.color)


def _article(part: Markdown, invocation: "Invocation") -> str:
    text = streams.printable(part.text)
    if not sys.stdout.isatty():
        return text
    from wacoex_cli.terminal.markdown import laid_out

    return laid_out(text, color=streams.shows_color(sys.stdout, invocation.color))


def _table_lines(table: Table, invocation: "Invocation", now: datetime) -> Iterator[str]:
    if not sys.stdout.isatty():
        for row in table.rows:
            yield "\t".join(_one_line(_cell_for_pipe(cell)) for cell in row)
        return
    rows = [[_one_line(_cell_for_person(cell, now)) for cell in row] for row in table.rows]
    if not rows:
        if table.when_empty:
            yield table.when_empty
        return
    header = [column.upper() for column in table.columns]
    widths = [max(_width(row[at]) for row in [header, *rows]) for at in range(len(header))]
    for row in [header, *rows]:
        cells = [_padded(cell, width, invocation) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()


def _cell_for_pipe(cell: object) -> str:
    if cell is None:
        return ""
    return _in_utc(cell) if isinstance(cell, datetime) else _word(cell)


def _in_utc(moment: datetime) -> str:
    # Imported here because the clock needs asyncio, and a usage error is rendered without it.
    from wacoex_cli.foundation.clock import to_text

    return to_text(moment)


def _cell_for_person(cell: object, now: datetime) -> str:
    if cell is None:
        return "-"
    return relative(cell, now) if isinstance(cell, datetime) else _word(cell)


def _word(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return str(cell.value if isinstance(cell, Enum) else cell)


def relative(moment: datetime, now: datetime) -> str:
    """`in 3 days`, `2 minutes ago`, `now`: whole units, rounded down."""
    seconds = int((moment - now).total_seconds())
    for unit, length in _UNITS:
        count = abs(seconds) // length
        if count:
            text = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return "now"


def _one_line(text: str) -> str:
    return streams.printable(re.sub(r"[\t\r\n]+", " ", text))


def _padded(cell: str, width: int, invocation: "Invocation") -> str:
    painted = streams.paint(cell, sys.stdout, invocation.color)
    return painted + " " * (width - _width(cell))


def _width(text: str) -> int:
    """Columns the text takes on a terminal: East Asian wide characters take two, marks none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )
