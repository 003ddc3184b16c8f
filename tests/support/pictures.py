"""Small files of many types, made on the spot."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from typing import Any

from PIL import Image

OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504)


def picture(
    form: str = "JPEG", mode: str = "RGB", colour: Any = 0, size: tuple[int, int] = (20, 10)
) -> bytes:
    """A picture of one colour, so that another colour is another file."""
    written = io.BytesIO()
    Image.new(mode, size, colour).save(written, form)
    return written.getvalue()


def packed(*names: str) -> bytes:
    """A ZIP file with those names in it, as Word and Excel make them."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in names:
            archive.writestr(name, "<x/>")
    return written.getvalue()


def video(
    pictures: str | None = "avc1", sounds: Iterable[str] = ("mp4a",), brand: str = "isom"
) -> bytes:
    """An MP4 file without any picture in it, that says how its tracks are coded."""
    tracks = [_track(b"vide", pictures)] if pictures else []
    tracks += [_track(b"soun", coding) for coding in sounds]
    start = _box(b"ftyp", brand.encode() + bytes(4) + brand.encode())
    return start + _box(b"mdat", bytes(16)) + _box(b"moov", _box(b"mvhd", bytes(8)), *tracks)


def _track(handler: bytes, coding: str) -> bytes:
    entry = _box(b"stsd", bytes(7) + b"\1", _box(coding.encode(), bytes(8)))
    media = _box(b"minf", _box(b"stbl", entry))
    return _box(b"trak", _box(b"mdia", _box(b"hdlr", bytes(8) + handler), media))


def _box(kind: bytes, *parts: bytes) -> bytes:
    inside = b"".join(parts)
    return (8 + len(inside)).to_bytes(4, "big") + kind + inside
