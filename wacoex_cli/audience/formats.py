"""The records of CSV, TSV, NDJSON and XLSX files, whatever program saved them."""

from __future__ import annotations

import codecs
import contextlib
import csv
import functools
import io
import itertools
import json
import re
import warnings
from datetime import datetime, time
from typing import TYPE_CHECKING, Any, BinaryIO

from wacoex_cli.audience.model import Sheet
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterable, Iterator, Mapping

UTF_8 = "utf-8-sig"
WINDOWS = "windows-1252"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAMPLE_BYTES = 4096
_CHUNK_BYTES = 1024 * 1024
_LEAST_ZEROS = 0.3
# Letters as UTF-8 writes them: where there is one, a byte that fits nowhere is damage.
_UTF_8_LETTER = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
_NOT_WINDOWS = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_HOW_TO_SAVE = (
    "save it as UTF-8: in Excel choose the type `CSV UTF-8`,"
    " or run `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`"
)
_BLANKS = (
    " \t\r\n\v\f\x85\u00a0\u00ad\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u202f\u205f"
    "\u2060\u2066\u2067\u2068\u2069\u3000\ufeff"
)


def is_blank(cells: Iterable[str]) -> bool:
    """Whether nothing can be seen in any of the cells."""
    return not any(cell.strip(_BLANKS) for cell in cells)


@functools.lru_cache
def header_name(cell: str) -> str:
    """The name of a column without what cannot be seen around it, or a spreadsheet's apostrophe."""
    return cell.strip(_BLANKS).removeprefix("'")


def encoding_of(title: str, stream: BinaryIO) -> str:
    """The encoding of a seekable stream: UTF-8, UTF-16 (also unmarked), or Windows-1252.

    Windows-1252 is what old spreadsheets save. It is taken for it when it is not UTF-8, holds no
    letter as UTF-8 writes it, and no byte that Windows-1252 leaves open.

    Raises:
        UsageError: it is none of them; the message names the first line that does not fit.
    """
    sample = stream.read(_SAMPLE_BYTES)
    stream.seek(0)
    encoding = "utf-16" if sample[:2] in _UTF_16_MARKS else _unmarked_utf_16(sample)
    if encoding is None:
        marked = sample.startswith(codecs.BOM_UTF8)
        encoding = UTF_8 if _is_utf_8(stream) else WINDOWS
        if encoding is WINDOWS and (marked or not _may_be_windows(stream)):
            raise _undecodable(title, stream, UTF_8)
    return encoding


def lines(title: str, stream: BinaryIO, encoding: str) -> Iterator[str]:
    """The lines of a seekable stream with their ends. The stream is closed after the last one.

    Raises:
        UsageError: a byte does not fit the encoding, or there is a NUL.
    """
    stream.seek(0)
    # newline="" leaves line ends inside quotes to the CSV reader.
    with io.TextIOWrapper(stream, encoding, newline="") as text:
        try:
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    raise UsageError(
                        f"{title} has a NUL character in line {number}",
                        hint="it is damaged or no text file; if a program wrote it,"
                        f" {_HOW_TO_SAVE}",
                        code="bad_encoding",
                    )
                yield line
        except UnicodeError as error:
            raise _undecodable(title, stream, encoding) from error


def _unmarked_utf_16(sample: bytes) -> str | None:
    """Digits and separators are half zeros in UTF-16, always on the same side."""
    first, second = sample[::2].count(0), sample[1::2].count(0)
    most = max(len(sample) // 2 * _LEAST_ZEROS, 1)
    if second > most and not first:
        return "utf-16-le"
    return "utf-16-be" if first > most and not second else None


def _is_utf_8(stream: BinaryIO) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    stream.seek(0)
    try:
        while chunk := stream.read(_CHUNK_BYTES):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _may_be_windows(stream: BinaryIO) -> bool:
    stream.seek(0)
    while chunk := stream.read(_CHUNK_BYTES):
        if _NOT_WINDOWS.search(chunk) or _UTF_8_LETTER.search(chunk):
            return False
    return True


def _undecodable(title: str, stream: BinaryIO, encoding: str) -> UsageError:
    message = f"{title} begins like UTF-16 but is not"
    stream.seek(0)
    for number, line in enumerate(stream if encoding == UTF_8 else (), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            byte = line[error.start]
            message = f"{title} is not UTF-8: line {number} has the byte 0x{byte:02x}"
            break
    return UsageError(message, hint=_HOW_TO_SAVE, code="bad_encoding")


_DELIMITERS = "\t;,|"
# What Excel writes above the header to say which separator follows.
_STATED = re.compile(r'"?sep=([\t;,|])"?\s*')
_QUOTED = re.compile(r'"[^"]*"')


def read_delimited(title: str, first: str, rest: Iterator[str], before: int) -> Sheet:
    """Read separated values; `first` is the header's line, with `before` blank lines above it.

    Raises:
        UsageError: now or while reading, for a broken quote or a row longer than the header.
    """
    stated = _STATED.fullmatch(first)
    if stated:
        first, before = next(rest, ""), before + 1
    bare = _QUOTED.sub("", first)
    best = max(_DELIMITERS, key=bare.count)
    likely = best if best in bare else ","
    reader = csv.reader(
        itertools.chain([first], rest),
        delimiter=stated[1] if stated else likely,
        skipinitialspace=True,
        strict=True,
    )
    try:
        columns = tuple(header_name(name) for name in next(reader))
    except csv.Error as error:
        raise _broken_csv(title, before + 1, error) from error
    return Sheet(columns, _delimited_records(title, reader, columns, before))


def _delimited_records(
    title: str, reader: Reader, columns: tuple[str, ...], before: int
) -> Iterator[tuple[int, Mapping[str, str]]]:
    width = len(columns)
    line = before + reader.line_num + 1
    try:
        for row in reader:
            if len(row) > width and not is_blank(row[width:]):
                raise UsageError(
                    f"line {line} of {title} has {len(row)} fields, its header has {width}",
                    hint="values shift to wrong columns that way;"
                    " put quotes around a value with a separator",
                    code="bad_row",
                )
            if not is_blank(row):
                # A short row is legal: what it lacks counts as empty.
                yield line, dict(zip(columns, row, strict=False))
            line = before + reader.line_num + 1
    except csv.Error as error:
        raise _broken_csv(title, line, error) from error


def _broken_csv(title: str, line: int, error: csv.Error) -> UsageError:
    return UsageError(
        f"line {line} of {title} cannot be read as CSV: {error}",
        hint='look for an unpaired quote; write a quote inside a quoted value as `""`',
        code="bad_row",
    )


_HINT = 'write one object a line, such as `{"phone": "+6591234567", "first_name": "Ana"}`'


def read_ndjson(title: str, first: str, rest: Iterator[str], before: int) -> Sheet:
    """Read JSON objects; the keys of the `first` one are the columns, `before` lines precede it.

    Numbers keep the digits they are written with. Raises UsageError, now or while reading, for a
    line that is no object of texts, numbers, booleans and nulls.
    """
    line = before + 1
    start = _json_values(title, line, first)
    return Sheet(tuple(start), _ndjson_records(title, line, start, rest))


def refuse_array(title: str) -> UsageError:
    """For a file that holds one JSON array."""
    return UsageError(
        f"{title} is a JSON array", hint=f"{_HINT}: `jq -c '.[]' OLD > NEW`", code="bad_row"
    )


def _ndjson_records(
    title: str, line: int, start: Mapping[str, str], rest: Iterator[str]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    yield line, start
    for number, text in enumerate(rest, start=line + 1):
        if not text.isspace():
            yield number, _json_values(title, number, text)


def _json_values(title: str, line: int, text: str) -> dict[str, str]:
    try:
        # As texts: 19.90 must not become 19.9, nor a long number be rounded.
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise _bad_json(title, line, "is not valid JSON") from error
    if not isinstance(found, dict):
        raise _bad_json(title, line, "is not a JSON object")
    return {header_name(key): _json_text(title, line, key, value) for key, value in found.items()}


def _json_text(title: str, line: int, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _bad_json(title, line, f"has a list or an object in `{key}`")


def _bad_json(title: str, line: int, fault: str) -> UsageError:
    return UsageError(f"line {line} of {title} {fault}", hint=_HINT, code="bad_row")


_MIDNIGHT = time()


def read_xlsx(title: str, stream: BinaryIO) -> Sheet:
    """Read the first visible sheet as Excel last calculated it; its first filled row is the header.

    Whole numbers come without decimals, dates as `2026-11-23`, error values such as `#N/A` empty.
    Raises UsageError, now or while reading, when it is no workbook or a row exceeds the header.
    """
    rows = _xlsx_rows(title, stream)
    for number, header in rows:
        if not is_blank(header):
            columns = tuple(header_name(name) for name in header)
            return Sheet(columns, _xlsx_records(title, number, columns, rows))
    return Sheet((), iter(()))


def _xlsx_records(
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


def _xlsx_rows(title: str, stream: BinaryIO) -> Iterator[tuple[int, list[str]]]:
    import openpyxl  # type: ignore[import-untyped]  # it ships no types

    errors = frozenset(openpyxl.cell.cell.ERROR_CODES)
    # It warns of styles and extensions it drops, which hold no value, and of impossible dates.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    try:
        book = openpyxl.load_workbook(stream, read_only=True, data_only=True)
        with contextlib.closing(book):
            sheet = next(sheet for sheet in book.worksheets if sheet.sheet_state == "visible")
            # Some programs write a wrong size, which would cut the sheet short.
            sheet.reset_dimensions()
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                yield number, ["" if cell in errors else _cell_text(cell) for cell in row]
    except Exception as error:  # openpyxl lets zip, XML and index errors of all kinds through
        raise UsageError(
            f"{title} cannot be read as an Excel workbook",
            hint="open it in Excel and save it again as XLSX without a password, or as CSV UTF-8",
            code="unreadable_file",
        ) from error


def _cell_text(cell: Any) -> str:
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
