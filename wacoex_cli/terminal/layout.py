"""How text and tables fit a terminal of a given width: words wrap whole, columns give way.

Nothing here writes or knows a stream. A width is a number of cells: a wide character takes two
of them, a combining mark none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

NARROWEST, WIDEST = 40, 200
NOTHING = "-"
"""What a cell shows that has no value; a column of nothing else is left out where room is short."""

_HANG = 3
_GAP = "  "
_SHORT = "..."
# Han, kana and Hangul syllables: their lines may end after each of them.
_IDEOGRAPH = (
    "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uff60\U00020000-\U0003ffff"
)
_PIECE = re.compile(rf"[{_IDEOGRAPH}][^\w\s{_IDEOGRAPH}]*|[^{_IDEOGRAPH}]+")
_MARKER = re.compile(r"(?:[-*|]|\d+\.|[a-z]\.) ")
_QUOTE = "| "
_BLANKS = re.compile(r"[ \t]+|[^ \t]+")
_WORD = re.compile(r"[ \t]+|[^ \t`]*`[^`]*`[^ \t`]*|[^ \t]+")


class Column(NamedTuple):
    """A column of a table: what it is worth, and what may become of it where room is short.

    The column with the lowest `value` gives way first. `fit` is `keep`, `shorten` (the text ends
    with `...`), `count` (whole words, then `+2`) or `wrap` (more lines); `least` is the smallest
    width that it may be brought to. A column that `may_drop` is left out when nothing else helps.
    """

    name: str
    value: int = 5
    least: int = 8
    fit: str = "shorten"
    may_drop: bool = False


def cells(text: str) -> int:
    """How many cells of a terminal a text without line ends takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # costs a start some milliseconds

    return cell_len(text)


def fitting(columns: int) -> int:
    """The width to lay out for, given what a terminal says about itself."""
    return max(NARROWEST, min(columns, WIDEST))


def wrapped(text: str, width: int, hang: int = _HANG) -> list[str]:
    """The lines of a text, each within the width; what follows a line stands deeper than it.

    No word is broken: one that is wider than the width stands alone on its line. Lines that fit
    stay as they are.
    """
    return [piece for line in text.split("\n") for piece in _folded(line, width, hang)]


def _folded(line: str, width: int, hang: int) -> Iterator[str]:
    if cells(line) <= width:
        yield line
        return
    body = line.lstrip(" ")
    indent = line[: len(line) - len(body)]
    marker = _MARKER.match(body)
    deeper = len(marker[0]) if marker else hang
    further = indent + " " * min(deeper, max(0, width // 2 - len(indent)))
    if marker and marker[0] == _QUOTE:
        further = indent + _QUOTE
    shown, space = indent, width
    is_empty = True
    for gap, word in _words(body, space - len(further)):
        added = word if is_empty else f"{gap}{word}"
        if is_empty or cells(shown) + cells(added) <= space:
            shown, is_empty = shown + added, False
            continue
        yield shown.rstrip(" ")
        shown = further + word
    yield shown.rstrip(" ")


def _words(text: str, space: int) -> Iterator[tuple[str, str]]:
    """Each word with the blanks before it.

    A command between backticks is a word as long as it fits; a long run of ideographs is many.
    """
    gap = ""
    for piece in _WORD.findall(text):
        for word in [piece] if cells(piece) <= space else _BLANKS.findall(piece):
            if not word.strip(" \t"):
                gap = word
                continue
            for part in [word] if cells(word) <= space else _PIECE.findall(word):
                yield gap, part
                gap = ""


def shortened(text: str, width: int) -> str:
    """The text, or its beginning with `...`: whole words where there are several."""
    if cells(text) <= width:
        return text
    space = max(0, width - len(_SHORT))
    kept = ""
    for gap, word in _words(text, space):
        if cells(f"{kept}{gap}{word}") > space:
            break
        kept += gap + word
    if not kept:
        for size in range(len(text), 0, -1):
            if cells(text[:size]) <= space:
                kept = text[:size]
                break
    return f"{kept}{_SHORT}"[: max(width, 1)] if text.isascii() else f"{kept}{_SHORT}"


def counted(text: str, width: int) -> str:
    """As many whole words as fit, and how many more there are: `WX101 WX203 +4`."""
    words = text.split()
    if cells(text) <= width or len(words) < 2:
        return shortened(text, width)
    for shown in range(len(words) - 1, 0, -1):
        short = f"{' '.join(words[:shown])} +{len(words) - shown}"
        if cells(short) <= width:
            return short
    return shortened(words[0], width)


_FITTED: dict[str, Callable[[str, int], str]] = {"shorten": shortened, "count": counted}


def table_lines(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    paint: Callable[[str, bool], str] = lambda cell, is_header: cell,
    *,
    has_header: bool = True,
) -> list[str]:
    """A header and the rows, each line within the width; one column below the other if need be.

    `paint` colours a cell, given whether it stands in the header.
    """
    header = [column.name.upper() for column in columns]
    shown = [header, *rows] if has_header else list(rows)
    chosen = _chosen(columns, shown, width)
    if chosen is None:
        return list(_stacked(columns, rows, width, paint))
    lines: list[str] = []
    for place, row in enumerate(shown):
        is_header = has_header and place == 0
        stack = [
            _cell_lines(columns[at], row[at], size, is_header=is_header)
            for at, size in chosen.items()
        ]
        for depth in range(max(map(len, stack))):
            pieces = [column[depth] if depth < len(column) else "" for column in stack]
            padded = [
                paint(piece, is_header) + " " * (size - cells(piece))
                for piece, size in zip(pieces, chosen.values(), strict=True)
            ]
            lines.append(_GAP.join(padded).rstrip(" "))
    return lines


def _chosen(
    columns: Sequence[Column], shown: Sequence[Sequence[str]], width: int
) -> dict[int, int] | None:
    """The width of each column that is shown; None when not even the most valuable ones fit."""
    natural = {at: max((cells(row[at]) for row in shown), default=0) for at in range(len(columns))}
    least = {at: _least(columns[at], [row[at] for row in shown], natural[at]) for at in natural}
    order = sorted(natural, key=lambda at: (columns[at].value, -at))
    left = list(natural)
    if sum(natural.values()) + len(_GAP) * (len(left) - 1) > width:
        body = shown[1:]
        left = [
            at for at in left if not columns[at].may_drop or any(row[at] != NOTHING for row in body)
        ]
    while left:
        space = width - len(_GAP) * (len(left) - 1)
        sizes = {at: natural[at] for at in left}
        for at in order:
            excess = sum(sizes.values()) - space
            if at in sizes and excess > 0:
                sizes[at] = max(least[at], sizes[at] - excess)
        if sum(sizes.values()) <= space:
            return sizes
        droppable = next((at for at in order if at in sizes and columns[at].may_drop), None)
        if droppable is None:
            return None
        left.remove(droppable)
    return None


def _least(column: Column, texts: Sequence[str], natural: int) -> int:
    if column.fit == "keep":
        return natural
    longest = cells(column.name)
    if column.fit == "wrap":
        longest = max((cells(word) for text in texts for word in text.split()), default=0)
    return min(natural, max(column.least, longest))


def _cell_lines(column: Column, text: str, size: int, *, is_header: bool) -> list[str]:
    if column.fit == "wrap" and not is_header:
        return wrapped(text, size, hang=0)
    return [text if cells(text) <= size else _FITTED.get(column.fit, shortened)(text, size)]


def _stacked(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    width: int,
    paint: Callable[[str, bool], str],
) -> Iterator[str]:
    """Each row as a few lines `NAME  text`, a blank line between two rows."""
    margin = max(cells(column.name) for column in columns)
    for place, row in enumerate(rows):
        if place:
            yield ""
        for column, text in zip(columns, row, strict=True):
            name = column.name.upper()
            label = paint(name, True) + " " * (margin - cells(name))
            space = width - margin - len(_GAP)
            text = shortened(text, space) if column.fit in _FITTED else text
            lines = wrapped(text, space, hang=0)
            if max(map(cells, lines)) > space:
                yield label.rstrip()
                yield from (paint(line, False) for line in wrapped(text, width, hang=0))
                continue
            for depth, line in enumerate(lines):
                yield f"{label if depth == 0 else ' ' * margin}{_GAP}{paint(line, False)}".rstrip()


def shares(wanted: Sequence[int], space: int) -> list[int]:
    """How many of `space` lines each part gets: what a part does not want, the others take."""
    given = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    for place, at in enumerate(order):
        given[at] = max(0, min(wanted[at], space // (len(order) - place)))
        space -= given[at]
    return given
