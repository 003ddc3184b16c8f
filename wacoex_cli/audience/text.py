"""The lines of a text file, whatever program saved it, or a plain word on why not."""

from __future__ import annotations

import codecs
import io
from typing import TYPE_CHECKING, BinaryIO

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_HOW_TO_SAVE = (
    "save it as UTF-8: in Excel choose the type `CSV UTF-8`,"
    " or run `iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW`"
)


def lines(title: str, stream: BinaryIO) -> Iterator[str]:
    """The lines of a seekable stream with their ends, decoded as UTF-8, or UTF-16 if so marked.

    The stream is closed after its last line.

    Raises:
        UsageError: a byte does not fit the encoding, or there is a NUL.
    """
    start = stream.read(len(codecs.BOM_UTF16_LE))
    stream.seek(0)
    encoding = "utf-16" if start in _UTF_16_MARKS else "utf-8-sig"
    # newline="" leaves line ends inside quotes to the CSV reader.
    with io.TextIOWrapper(stream, encoding, newline="") as text:
        try:
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    raise _nul(title, number)
                yield line
        except UnicodeError as error:
            raise _undecodable(title, stream, encoding) from error


def _nul(title: str, number: int) -> UsageError:
    return UsageError(
        f"{title} has a NUL character in line {number}",
        hint=f"it is damaged or no text file; if a program wrote it, {_HOW_TO_SAVE}",
        code="bad_encoding",
    )


def _undecodable(title: str, stream: BinaryIO, encoding: str) -> UsageError:
    place = _bad_byte(stream) if encoding == "utf-8-sig" else None
    if place is None:
        return UsageError(
            f"{title} begins like UTF-16 but is not", hint=_HOW_TO_SAVE, code="bad_encoding"
        )
    number, value = place
    return UsageError(
        f"{title} is not UTF-8: line {number} has the byte 0x{value:02x}",
        hint=_HOW_TO_SAVE,
        code="bad_encoding",
    )


def _bad_byte(stream: BinaryIO) -> tuple[int, int] | None:
    stream.seek(0)
    for number, line in enumerate(stream, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            return number, line[error.start]
    return None
