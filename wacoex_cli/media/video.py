"""How pictures and sound of an MP4 or 3GP file are coded, from its boxes (ISO/IEC 14496-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_BOXES = 10_000
_HANDLERS = {b"vide": "pictures", b"soun": "sounds"}


class Codecs(NamedTuple):
    """The four letters of each track's coding: `avc1` is H.264, `hvc1` H.265, `mp4a` AAC."""

    pictures: tuple[str, ...]
    sounds: tuple[str, ...]


class _Box(NamedTuple):
    kind: bytes
    start: int
    end: int


def codecs_in(file: BinaryIO, size: int) -> Codecs | None:
    """How the tracks of a file of that many bytes are coded; None when it does not say."""
    movie = _first(_boxes(file, 0, size), b"moov")
    if movie is None:
        return None
    found: dict[str, list[str]] = {"pictures": [], "sounds": []}
    for track in _boxes(file, movie.start, movie.end):
        media = _first(_boxes(file, track.start, track.end), b"mdia")
        if track.kind != b"trak" or media is None:
            continue
        inside = list(_boxes(file, media.start, media.end))
        handler, information = _first(iter(inside), b"hdlr"), _first(iter(inside), b"minf")
        if handler is None or information is None:
            continue
        kind = _HANDLERS.get(_read(file, handler.start + 8, 4))
        coding = _coding(file, information)
        if kind and coding:
            found[kind].append(coding)
    return Codecs(tuple(found["pictures"]), tuple(found["sounds"]))


def _coding(file: BinaryIO, information: _Box) -> str | None:
    table = _first(_boxes(file, information.start, information.end), b"stbl")
    described = table and _first(_boxes(file, table.start, table.end), b"stsd")
    if not described:
        return None
    # A version, a count, and then the first entry: its length and its four letters.
    letters = _read(file, described.start + 12, 4)
    return letters.decode("latin-1").strip() or None


def _first(boxes: Iterator[_Box], kind: bytes) -> _Box | None:
    return next((box for box in boxes if box.kind == kind), None)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[_Box]:
    """The boxes that lie in that part of the file, one after the other."""
    at = start
    for _ in range(_MOST_BOXES):
        head = _read(file, at, 16)
        if len(head) < 8 or at + 8 > end:
            return
        length, inner = int.from_bytes(head[:4], "big"), at + 8
        if length == 1:
            length, inner = int.from_bytes(head[8:16], "big"), at + 16
        elif length == 0:
            length = end - at
        if length < inner - at or at + length > end:
            return
        yield _Box(head[4:8], inner, at + length)
        at += length


def _read(file: BinaryIO, at: int, length: int) -> bytes:
    file.seek(at)
    return file.read(length)
