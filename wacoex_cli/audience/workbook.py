"""The records of workbooks, whose cells have types: a date is never taken for a number."""

from __future__ import annotations

import itertools
import tempfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from wacoex_cli.audience.delimited import too_long
from wacoex_cli.audience.formats import HEADER_IS_WITHIN, header_name, is_blank
from wacoex_cli.audience.model import ListRecord, OtherSheet, Sheet, TitleLine
from wacoex_cli.audience.package import DamagedError, Package, Pieces, open_package
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.audience.formats import FindHeader

_MIDNIGHT = time()
_ZIP = b"PK"

_Row = tuple[int, list[str], dict[int, str]]
"""Its number, its cells as texts, and of some cells what they are."""


def read_workbook(title: str, stream: BinaryIO, find_header: FindHeader) -> Sheet:
    """Read the first visible sheet as its program last calculated it.

    Whole numbers come without decimals, dates as `2026-11-23`, errors as `#N/A`.

    Raises:
        UsageError: now or while reading: it is no workbook, is broken, or would grow beyond what a
            workbook takes.
    """
    try:
        return _read_xlsx(title, stream, find_header)
    except DamagedError as error:
        raise _unreadable(title) from error


def _read_xlsx(title: str, stream: BinaryIO, find_header: FindHeader) -> Sheet:
    if stream.read(2) != _ZIP:
        raise UsageError(
            f"{title} is an old `.xls` or a workbook with a password",
            hint="save it in Excel as XLSX without a password, or as CSV UTF-8",
            code="unreadable_file",
        )
    with open_package(title, stream) as archive:
        if not {"xl/workbook.xml"} & set(archive.namelist()):
            raise DamagedError
        package = Package(title, archive, stream.seek(0, 2))
        chosen = next((s for s in package.sheets if s.part and not s.hidden), None)
        if chosen is None:
            raise DamagedError
        # It is read while the file is open, and gone when the last row was read.
        place = tempfile.TemporaryDirectory(prefix="wacoex-")
        try:
            pieces = package.lay_anew(chosen, Path(place.name, "list.xlsx"))
        except BaseException:
            place.cleanup()
            raise
    rows = _rows(title, place, pieces)
    others = tuple(OtherSheet(s.name, s.hidden) for s in package.sheets if s is not chosen)
    return _sheet(rows, find_header, chosen.name, others, pieces)


def _sheet(
    rows: Iterator[_Row],
    find_header: FindHeader,
    name: str,
    others: tuple[OtherSheet, ...],
    pieces: Pieces,
) -> Sheet:
    filled = (row for row in rows if not is_blank(row[1]))
    top = list(itertools.islice(filled, HEADER_IS_WITHIN))
    if not top:
        return Sheet((), iter(()))
    place = find_header([cells for _, cells, _ in top]) or 0
    columns = _named(top[place][1])
    return Sheet(
        columns,
        _records(columns, itertools.chain(top[place + 1 :], filled), pieces.too_long),
        tuple(TitleLine.of(number, cells) for number, cells, _ in top[:place]),
        name,
        others,
        (pieces.hidden_rows, pieces.first_hidden),
    )


def _named(header: Sequence[str]) -> tuple[str, ...]:
    """The names of the columns up to the last one that has one."""
    names = [header_name(cell) for cell in header]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _records(
    columns: tuple[str, ...], rows: Iterator[_Row], left_out: Sequence[int]
) -> Iterator[ListRecord]:
    width = len(columns)
    waiting = list(reversed(left_out))
    for number, cells, kinds in rows:
        while waiting and waiting[-1] < number:
            yield _left_out(waiting.pop())
        fault = None
        if len(cells) > width and not is_blank(cells[width:]):
            fault = "it has values beyond the last column of the header"
        values = dict(zip(columns, cells, strict=False))
        named = {columns[place]: kind for place, kind in kinds.items() if place < width}
        yield ListRecord(number, values, fault or too_long(cells), named)
    while waiting:
        yield _left_out(waiting.pop())


def _left_out(number: int) -> ListRecord:
    return ListRecord(number, {}, "it has more than 4 MB")


def _rows(title: str, place: tempfile.TemporaryDirectory[str], pieces: Pieces) -> Iterator[_Row]:
    import python_calamine

    try:
        with python_calamine.CalamineWorkbook.from_path(Path(place.name, "list.xlsx")) as book:
            for index in range(pieces.sheets):
                sheet = book.get_sheet_by_index(index)
                if sheet.start is None:
                    continue
                first, left = sheet.start
                lead = [""] * left
                for number, cells in enumerate(sheet.to_python(), start=first + 1):
                    yield _row(number, lead, cells)
    except python_calamine.CalamineError as error:
        raise _unreadable(title) from error
    finally:
        place.cleanup()


def _row(number: int, lead: list[str], cells: Sequence[Any]) -> _Row:
    texts, kinds = lead.copy(), {}
    for cell in cells:
        if type(cell) is str:
            texts.append(cell)
            continue
        text, kind = _cell(cell)
        if kind is not None:
            kinds[len(texts)] = kind
        texts.append(text)
    return number, texts, kinds


def _cell(cell: Any) -> tuple[str, str | None]:
    """What a cell reads as, and what it is when it is neither a text nor a whole number."""
    if isinstance(cell, bool):
        text = "true" if cell else "false"
        return text, f"a boolean ({text})"
    if isinstance(cell, float):
        if cell.is_integer():
            return str(int(cell)), None
        # Excel itself shows no more than 15 digits: 0.3, not 0.30000000000000004.
        text = f"{cell:.15g}"
        return text, f"a decimal number ({text})"
    if isinstance(cell, datetime):
        is_date = cell.time() == _MIDNIGHT
        text = cell.date().isoformat() if is_date else cell.isoformat(" ", "minutes")
        return text, f"a date ({text})"
    if isinstance(cell, date):
        return cell.isoformat(), f"a date ({cell.isoformat()})"
    if isinstance(cell, time | timedelta):
        return str(cell), f"a time ({cell})"
    return str(cell), None


def _unreadable(title: str) -> UsageError:
    return UsageError(
        f"{title} cannot be read as an Excel workbook",
        hint="open it in Excel and save it again as XLSX without a password, or as CSV UTF-8",
        code="unreadable_file",
    )
