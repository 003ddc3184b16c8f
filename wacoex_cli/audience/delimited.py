"""Recipients in CSV or TSV."""

from __future__ import annotations

import csv
import itertools
import re
from typing import TYPE_CHECKING

from wacoex_cli.audience.model import Sheet
from wacoex_cli.audience.text import header_name, is_blank
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterator, Mapping, Sequence

_DELIMITERS = "\t;,|"
# What Excel writes above the header to say which separator follows.
_SAID = re.compile(r'"?sep=([\t;,|])"?\s*')
_QUOTED = re.compile(r'"[^"]*"')


def read(title: str, first: str, rest: Iterator[str], before: int) -> Sheet:
    """Read separated values; `first` is the header's line, with `before` blank lines above it.

    Raises:
        UsageError: now or while reading, for a broken quote or a row longer than the header.
    """
    said = _SAID.fullmatch(first)
    if said:
        first, before = next(rest, ""), before + 1
    reader = csv.reader(
        itertools.chain([first], rest),
        delimiter=said[1] if said else _delimiter(first),
        skipinitialspace=True,
        strict=True,
    )
    try:
        columns = tuple(header_name(name) for name in next(reader))
    except csv.Error as error:
        raise _broken(title, before + 1, error) from error
    return Sheet(columns, _records(title, reader, columns, before))


def _delimiter(header: str) -> str:
    bare = _QUOTED.sub("", header)
    best = max(_DELIMITERS, key=bare.count)
    return best if best in bare else ","


def _records(
    title: str, reader: Reader, columns: tuple[str, ...], before: int
) -> Iterator[tuple[int, Mapping[str, str]]]:
    width = len(columns)
    line = before + reader.line_num + 1
    try:
        for row in reader:
            if len(row) > width and not is_blank(row[width:]):
                raise _too_long(title, line, row, columns)
            if not is_blank(row):
                # A short row is legal: what it lacks counts as empty.
                yield line, dict(zip(columns, row, strict=False))
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise _broken(title, line, error) from error


def _too_long(title: str, line: int, row: Sequence[str], columns: Sequence[str]) -> UsageError:
    return UsageError(
        f"line {line} of {title} has {len(row)} fields, its header has {len(columns)}",
        hint="values shift to wrong columns that way; put quotes around a value with a separator",
        code="bad_row",
    )


def _broken(title: str, line: int, error: csv.Error) -> UsageError:
    return UsageError(
        f"line {line} of {title} cannot be read as CSV: {error}",
        hint='look for an unpaired quote; write a quote inside a quoted value as `""`',
        code="bad_row",
    )
