"""The lines of a text file, whatever program saved it: its encoding, and what cannot be seen."""

from __future__ import annotations

import codecs
import functools
import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HEADER_IS_WITHIN = 20
"""Rows in which the header is looked for."""

FindHeader = Callable[[Sequence[Sequence[str]]], int | None]
"""Which of the first rows, as cells, is the header; None when none looks like one."""

LONGEST_LINE = 1024 * 1024
"""Characters of a line. What is longer comes cut off, a character longer than this."""

UTF_8 = "utf-8-sig"
_MARK = "\ufeff"
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

    A mark of UTF-8 at the start of a line goes: files that were put together have it in the middle.

    Raises:
        UsageError: a byte does not fit the encoding.
    """
    stream.seek(0)
    # newline="" leaves line ends inside quotes to the CSV reader.
    with io.TextIOWrapper(stream, encoding, newline="") as text:
        try:
            while line := text.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE and not line.endswith(("\n", "\r")):
                    _pass_over_line(text)
                yield line.lstrip(_MARK) if line[0] == _MARK else line
        except UnicodeError as error:
            raise _undecodable(title, stream, encoding) from error


def _pass_over_line(text: io.TextIOWrapper) -> None:
    while (part := text.readline(LONGEST_LINE)) and not part.endswith(("\n", "\r")):
        pass


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
    if encoding == UTF_8:
        decoder = codecs.getincrementaldecoder("utf-8")()
        stream.seek(0)
        number = 1
        while chunk := stream.read(_CHUNK_BYTES):
            kept = decoder.getstate()[0]
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                number += error.object[: error.start].count(b"\n") - kept.count(b"\n")
                message = f"{title} is not UTF-8: line {number} has the byte 0x{byte:02x}"
                break
            number += chunk.count(b"\n")
    return UsageError(message, hint=_HOW_TO_SAVE, code="bad_encoding")
