"""The whole state file as lines of JSON, for other programs; numbers masked unless told not to."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.foundation.masking import mask, masked, masked_text
from wacoex_cli.foundation.state import new_private_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from wacoex_cli.foundation.state import Row, State

_LINES_AT_ONCE = 1_000
_PAGE = 2_000


def lines(state: State, *, show_numbers: bool) -> Iterator[str]:
    """One JSON object a line, with the name of its table under `table`."""
    for table in _tables(state):
        for row in _table_rows(state, table):
            shown = row if show_numbers else _shareable(table, row)
            yield json.dumps({"table": table, **shown}, ensure_ascii=False) + "\n"


def pieces(lines: Iterable[str]) -> Iterator[str]:
    """The lines in pieces of a thousand, to be written at once."""
    remaining = iter(lines)
    while piece := list(itertools.islice(remaining, _LINES_AT_ONCE)):
        yield "".join(piece)


def write(target: Path, lines: Iterable[str]) -> int:
    """Write a new file that only its owner may read; returns the number of its lines.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: the disk is full.
    """
    numbers = itertools.count()
    with new_private_file(target) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(line for line, _ in zip(lines, numbers, strict=False))
    return next(numbers)


def _shareable(table: str, row: Row) -> Row:
    # In the body of a webhook a number is bare digits, among ids and times that look the same.
    bodies = {"body": None} if table == "payloads" else {}
    return {name: _masked(name, row[name]) for name in row} | bodies


def _masked(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "phone":
        return mask(value)
    if value.startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            return json.dumps(masked(json.loads(value)), ensure_ascii=False)
    return masked_text(value)


def _tables(state: State) -> list[str]:
    """The names of all tables but SQLite's own, in order."""
    found = state.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
        " ESCAPE '!' ORDER BY name"
    )
    return [row["name"] for row in found]


def _table_rows(state: State, table: str) -> Iterator[Row]:
    """Every row of a table, read a page at a time, each page as things are when it is read."""
    last = -1
    while page := state.rows(
        f'SELECT rowid AS export_place, * FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT ?',
        [last, _PAGE],
    ):
        last = page[-1]["export_place"]
        for row in page:
            del row["export_place"]
            yield row
