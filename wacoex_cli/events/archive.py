"""Raw payloads out of a file: one JSON object a line, or one JSON array, in little memory."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_BYTES = 8 * 1024 * 1024
"""Meta sends 3 MiB at most; an archive may have it laid out with spaces."""
_PIECE_BYTES = 256 * 1024
_BETWEEN = re.compile(r"[\s,]*")
_TOO_LARGE = f"it is longer than {LARGEST_BYTES // 1024**2} MiB"
_TOO_DEEP = "it is nested too deep"
_NOT_JSON = "it is not JSON, or was cut short"
_NOT_UTF8 = "it is not UTF-8"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"`{constant}` is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True, slots=True)
class Item:
    """One payload, or why there is none. `line` counts from 1."""

    line: int
    size: int
    body: object = None
    fault: str | None = None


@contextlib.contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """The file of that path, or standard input for `-`. Raises UsageError when there is none."""
    if source == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "no payloads on standard input: it is a terminal",
                hint="pipe an archive into wacoex, or name a file instead of `-`",
                code="unreadable_file",
            )
        yield sys.stdin.buffer
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115  # only opening it may fail here
    except OSError as error:
        raise UsageError(
            f"cannot read `{source}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error
    with stream:
        yield stream


def items(stream: BinaryIO) -> Iterator[Item]:
    """The payloads in order. Blank lines are passed over.

    In a file of lines a broken one harms no other. In an array, and where objects stretch over
    several lines, nothing after a broken one can be told apart: reading ends there.
    """
    line = 1
    raw = stream.readline(LARGEST_BYTES + 1).removeprefix(codecs.BOM_UTF8)
    while raw.isspace():
        raw = stream.readline(LARGEST_BYTES + 1)
        line += 1
    start = raw.lstrip()
    if start.startswith(b"["):
        yield from _Values(stream, start[1:], line, is_array=True)
    elif start.rstrip() == b"{":
        yield from _Values(stream, raw, line, is_array=False)
    else:
        yield from _lines(stream, raw, line)


def _lines(stream: BinaryIO, raw: bytes, line: int) -> Iterator[Item]:
    while raw:
        if len(raw) > LARGEST_BYTES:
            yield Item(line, len(raw), fault=_TOO_LARGE)
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(_PIECE_BYTES)
        elif not raw.isspace():
            yield _item(line, raw)
        raw = stream.readline(LARGEST_BYTES + 1)
        line += 1


def _item(line: int, raw: bytes) -> Item:
    try:
        return Item(line, len(raw), _DECODER.decode(raw.decode()))
    except UnicodeDecodeError:
        fault = _NOT_UTF8
    except ValueError:
        fault = _NOT_JSON
    except RecursionError:
        fault = _TOO_DEEP
    return Item(line, len(raw), fault=fault)


class _BrokenValueError(Exception):
    """Why there is no value where one should be."""


class _Values:
    """JSON values one after the other, read a piece of the file at a time."""

    def __init__(self, stream: BinaryIO, start: bytes, line: int, *, is_array: bool) -> None:
        self._stream = stream
        # A wrong byte is most likely in a text, which is not kept; it must not cost its neighbours.
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = start
        self._text = ""
        self._at = 0
        self._line = line
        self._is_array = is_array

    def __iter__(self) -> Iterator[Item]:
        try:
            while self._finds_another():
                value, end = self._value()
                yield Item(self._line, end - self._at, value)
                self._pass_to(end)
            return
        except RecursionError:
            fault = _TOO_DEEP
        except _BrokenValueError as error:
            fault = str(error)
        yield Item(self._line, len(self._text) - self._at, fault=f"{fault}; reading ends here")

    def _finds_another(self) -> bool:
        while True:
            found = _BETWEEN.match(self._text, self._at)
            self._pass_to(found.end() if found else self._at)
            if self._at < len(self._text):
                return not (self._is_array and self._text[self._at] == "]")
            if not self._more(_PIECE_BYTES):
                if self._is_array:
                    raise _BrokenValueError("the array has no end")
                return False

    def _value(self) -> tuple[object, int]:
        """The value that begins here, which may be cut off at first, and where it ends."""
        while True:
            try:
                return _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                present = len(self._text) - self._at
            if present > LARGEST_BYTES:
                raise _BrokenValueError(f"{_NOT_JSON}; or {_TOO_LARGE}")
            # As much again each time, so that a long value is not begun too often.
            if not self._more(max(present, _PIECE_BYTES)):
                raise _BrokenValueError(_NOT_JSON)

    def _more(self, size: int) -> bool:
        piece = self._pending or self._stream.read(size)
        self._pending = b""
        self._text = self._text[self._at :] + self._utf8.decode(piece, final=not piece)
        self._at = 0
        return bool(piece)

    def _pass_to(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end
