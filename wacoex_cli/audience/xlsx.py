"""Recipients in an Excel workbook: its first visible sheet."""

from __future__ import annotations

import contextlib
import warnings
from datetime import datetime, time
from typing import TYPE_CHECKING, Any, BinaryIO

from wacoex_cli.audience.model import Sheet
from wacoex_cli.audience.text import header_name, is_blank
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_MIDNIGHT = time()


def read(title: str, stream: BinaryIO) -> Sheet:
    """Read the first visible sheet as Excel last calculated it; its first filled row is the header.

    Whole numbers come without decimals, dates as `2026-11-23`, error values such as `#N/A` empty.
    Raises UsageError, now or while reading, when it is no workbook or a row exceeds the header.
    """
    rows = _rows(title, stream)
    for number, header in rows:
        if not is_blank(header):
            columns = tuple(header_name(name) for name in header)
            return Sheet(columns, _records(title, number, columns, rows))
    return Sheet((), iter(()))


def _records(
    title: str, header_number: int, columns: tuple[str, ...], rows: Iterator[tuple[int, list[str]]]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    width = len(columns)
    for number, row in rows:
        if not is_blank(row[width:]):
            raise UsageError(
                f"row {number} of {title} has values beyond the last column of the header",
                hint=f"give every column a name in row {header_number}, or clear those cells",
                code="bad_row",
            )
        if not is_blank(row):
            yield number, dict(zip(columns, row, strict=False))


def _rows(title: str, stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    import openpyxl  # type: ignore[import-untyped]  # it ships no types
    from openpyxl.cell.cell import ERROR_CODES  # type: ignore[import-untyped]

    errors = frozenset(ERROR_CODES)
    # It warns of styles and extensions it drops, which hold no value, and of impossible dates.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    try:
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        with contextlib.closing(book):
            sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
            # Some programs write a wrong size, which would cut the sheet short.
            sheet.reset_dimensions()
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                yield number, ["" if cell in errors else _text(cell) for cell in row]
    except Exception as error:  # openpyxl lets zip, XML and index errors of all kinds through
        raise UsageError(
            f"{title} cannot be read as an Excel workbook",
            hint="open it in Excel and save it again as XLSX without a password, or as CSV UTF-8",
            code="unreadable_file",
        ) from error


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        # Excel itself shows no more than 15 digits: 0.3, not 0.30000000000000004.
        return str(int(cell)) if cell.is_integer() else f"{cell:.15g}"
    if isinstance(cell, datetime):
        is_date = cell.time() == _MIDNIGHT
        return cell.date().isoformat() if is_date else cell.isoformat(" ", "minutes")
    return str(cell)
