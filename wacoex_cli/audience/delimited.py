"""Comma, semicolon, tab or bar separated values, read record by record.

A record that cannot be read is refused by itself: it comes with its fault, and what follows it is
read on. So an unpaired quote costs its own line, never the rows below.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.audience.formats import HEADER_IS_WITHIN, LONGEST_LINE, header_name, is_blank
from wacoex_cli.audience.model import LONGEST_CELL, ListRecord, Sheet, TitleLine
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wacoex_cli.audience.formats import FindHeader

_DELIMITERS = "\t;,|"
# What Excel writes above the header to say which separator follows.
_STATED = re.compile(r'"?sep=([\t;,|])"?\s*')
_QUOTED = re.compile(r'"[^"]*"')
_LIKE_A_NUMBER = re.compile(r"\+?[0-9][0-9 ()-]{6,}")
_LOOKED_AT_LINES = 100
_LONGEST_VALUE_LINES = 1_000
_NOT_CLOSED = "a quote in it is never closed"
# Spreadsheets run a cell that begins like this; the wide forms count in East Asian versions.
_BEGINS_A_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")
_MAY_BEGIN_A_FORMULA = _BEGINS_A_FORMULA | {" "}
_MAY_NEED_QUOTES = ',"\r\n'


class _Cells(NamedTuple):
    """One record as it stands; `fault` says why its cells are not to be trusted."""

    line: int
    cells: list[str]
    fault: str | None = None


def read_delimited(
    title: str, first: str, rest: Iterator[str], before: int, find_header: FindHeader
) -> Sheet:
    """Read separated values; `before` blank lines stand above the line `first`.

    Raises:
        UsageError: the header cannot be read.
    """
    stated = _STATED.fullmatch(first)
    if stated:
        first, before = next(rest, ""), before + 1
    start = [first, *itertools.islice(rest, _LOOKED_AT_LINES)]
    delimiter = stated[1] if stated else _delimiter(start, find_header)
    reader = _Reader(itertools.chain(start, rest), delimiter, before + 1)
    reader.width = _width(start, delimiter, find_header)
    top = list(itertools.islice(reader, HEADER_IS_WITHIN))
    place = find_header([row.cells for row in top]) or 0
    if not top:
        return Sheet((), iter(()))
    header = top[place]
    if header.fault is not None:
        raise UsageError(
            f"the header of {title} in line {header.line} cannot be read: {header.fault}",
            hint='look for an unpaired quote; write a quote inside a quoted value as `""`',
            code="bad_row",
        )
    columns = tuple(header_name(name) for name in header.cells)
    return Sheet(
        columns,
        _records(columns, itertools.chain(top[place + 1 :], reader)),
        tuple(TitleLine.of(row.line, row.cells) for row in top[:place]),
    )


def _width(start: list[str], delimiter: str, find_header: FindHeader) -> int:
    """How many fields the header has, read ahead: rows beside it are judged by that."""
    rows = list(itertools.islice(_Reader(iter(start), delimiter, 1), HEADER_IS_WITHIN))
    return len(rows[find_header([row.cells for row in rows]) or 0].cells) if rows else 0


def _delimiter(start: list[str], find_header: FindHeader) -> str:
    """The separator with which a header is found, the most frequent first."""
    bare = [_QUOTED.sub("", line) for line in start]
    likely = sorted(_DELIMITERS, key=lambda sign: -sum(line.count(sign) for line in bare))
    for sign in likely:
        rows = itertools.islice(_Reader(iter(start), sign, 1), HEADER_IS_WITHIN)
        if (
            any(sign in line for line in bare)
            and find_header([row.cells for row in rows]) is not None
        ):
            return sign
    best = max(_DELIMITERS, key=bare[0].count)
    return best if best in bare[0] else ","


def _records(columns: tuple[str, ...], rows: Iterable[_Cells]) -> Iterator[ListRecord]:
    width = len(columns)
    for line, cells, fault in rows:
        if fault is None and len(cells) > width and not is_blank(cells[width:]):
            fault = f"it has {len(cells)} fields, the header has {width}"
        # A short row is legal: what it lacks counts as empty.
        yield ListRecord(line, dict(zip(columns, cells, strict=False)), fault)


class _Reader:
    """The records of a text with their lines; blank ones are passed over.

    With `width`, the number of columns, a quoted value that would take up lines which look like
    records of their own is refused, and those lines are read.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, number: int) -> None:
        self.width = 0
        self._lines = lines
        self._delimiter = delimiter
        self._number = number
        self._back: deque[str] = deque()

    def __iter__(self) -> Iterator[_Cells]:
        delimiter, lines, back = self._delimiter, self._lines, self._back
        while (line := back.popleft() if back else next(lines, None)) is not None:
            number = self._number
            self._number += 1
            if len(line) > LONGEST_LINE:
                yield _Cells(number, [], f"it has more than {LONGEST_LINE:,} characters")
                continue
            fault = "it holds a NUL character" if "\0" in line else None
            if '"' not in line:
                text = line.rstrip("\r\n")
                cells = text.split(delimiter)
                if " " in text:
                    # As `skipinitialspace` of the csv module does.
                    cells = [cell.lstrip(" ") for cell in cells]
            else:
                cells, quote_fault = self._quoted(line)
                fault = fault or quote_fault
            if is_blank(cells) and fault is None:
                continue
            if len(line) > LONGEST_CELL:
                fault = fault or too_long(cells)
            yield _Cells(number, cells, fault)

    def _quoted(self, line: str) -> tuple[list[str], str | None]:
        """The cells of a record that begins with `line`, and takes as many more as it needs."""
        taken = [line]
        cells, fault = self._parsed(taken)
        while fault == _NOT_CLOSED and len(taken) < _LONGEST_VALUE_LINES:
            more = self._back.popleft() if self._back else next(self._lines, None)
            if more is None:
                break
            taken.append(more)
            if '"' in more:
                cells, fault = self._parsed(taken)
        if len(taken) > 1 and (fault is not None or self._takes_up_records(taken)):
            self._back.extendleft(reversed(taken[1:]))
            cells, _ = self._parsed(taken[:1])
            return cells, fault or "an unpaired quote in it would take up the rows that follow"
        self._number += len(taken) - 1
        return cells, fault

    def _takes_up_records(self, taken: list[str]) -> bool:
        if self.width < 2:
            return False
        rows = (line.rstrip("\r\n").split(self._delimiter) for line in taken[1:])
        return any(
            len(row) == self.width
            and any(_LIKE_A_NUMBER.fullmatch(cell.strip(' "')) for cell in row)
            for row in rows
        )

    def _parsed(self, lines: list[str]) -> tuple[list[str], str | None]:
        reader = csv.reader(lines, delimiter=self._delimiter, skipinitialspace=True, strict=True)
        try:
            return next(reader, []), None
        except csv.Error as error:
            plain = lines[0].rstrip("\r\n").split(self._delimiter)
            said = str(error)
            if "unexpected end of data" in said:
                return plain, _NOT_CLOSED
            if "field larger" in said:
                return plain, too_long(plain) or f"a cell has more than {LONGEST_CELL:,} characters"
            return plain, f"it cannot be read as CSV: {said}"


def too_long(cells: Iterable[str]) -> str | None:
    """What to say when a cell has more characters than a spreadsheet takes."""
    longest = max(map(len, cells), default=0)
    if longest <= LONGEST_CELL:
        return None
    return f"a cell has {longest:,} characters, more than {LONGEST_CELL:,}"


def safe_cell(value: object) -> str:
    """The text of a cell that no spreadsheet takes for a formula.

    A text that would be one, a phone number too, gets an apostrophe in front. Spreadsheets then
    keep it as text, and wacoex reads `'+6591234567` as the number that it is.
    """
    cell = "" if value is None else str(value)
    is_formula = cell.lstrip(" ")[:1] in _BEGINS_A_FORMULA
    return f"'{cell}" if is_formula else cell


def csv_lines(columns: Iterable[Iterable[object]]) -> str:
    """The lines of rows that come column by column, each cell safe in a spreadsheet.

    They are what `csv.writer` writes, which takes twice as long: it looks at each character.
    """
    rows = zip(*map(_csv_cells, columns), strict=True)
    return "\n".join([*map(",".join, rows), ""])


def _csv_cells(column: Iterable[object]) -> list[str]:
    cells = [
        ""
        if cell is None
        else cell
        if type(cell) is str and cell[:1] not in _MAY_BEGIN_A_FORMULA
        else str(cell)
        if type(cell) is int and cell >= 0
        else safe_cell(cell)
        for cell in column
    ]
    # One look at a whole column: most hold nothing that needs quotes, the others few texts.
    whole = "".join(cells)
    if not any(sign in whole for sign in _MAY_NEED_QUOTES):
        return cells
    quoted = {cell: _quoted(cell) for cell in set(cells)}
    return [quoted[cell] for cell in cells]


def _quoted(cell: str) -> str:
    line = io.StringIO()
    # A cell beside it: an empty one that stands alone would get quotes.
    csv.writer(line, lineterminator="\n").writerow((cell, ""))
    return line.getvalue().removesuffix(",\n")
