"""Writing to the two streams: colour only where it is wanted, closed pipes in silence."""

import contextlib
import io
import os
import re
import sys
from typing import TextIO

_COLORS = {"green": "32", "yellow": "33", "red": "31", "cyan": "36"}
_WORDS = {
    "ok": "green",
    "warning": "yellow",
    "unknown": "yellow",
    "critical": "red",
    "overdue": "red",
    "error": "red",
    "hint": "cyan",
}
# Control characters and changes of writing direction: names and texts come from outside, and
# must not move the cursor or turn a line around.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def write(stream: TextIO, text: str) -> None:
    """Write and flush. A reader that went away is no error: the rest is dropped in silence."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _silence(stream)


def printable(text: str) -> str:
    """The text without characters that could play tricks on a terminal; line ends stay."""
    return _UNPRINTABLE.sub("?", text)


def paint(word: str, stream: TextIO, color: bool | None) -> str:
    """A word such as `ok` or `error` in its colour, if it has one and the stream shows colours."""
    name = _WORDS.get(word)
    if name is None or not shows_color(stream, color):
        return word
    return f"\x1b[{_COLORS[name]}m{word}\x1b[0m"


def shows_color(stream: TextIO, color: bool | None) -> bool:
    """Option, then `NO_COLOR`, then `FORCE_COLOR`, then whether this is a capable terminal."""
    if color is not None:
        return color
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def never_fail_on_encoding() -> None:
    """Let both streams replace what their encoding cannot express."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _silence(stream: TextIO) -> None:
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
