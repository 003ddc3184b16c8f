"""Small copies of pictures for a page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import io
import warnings
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.media.model import is_link, sha256_of, size_text
from wacoex_cli.media.store import MediaStore
from wacoex_cli.templates.components import ID

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from PIL.Image import Image

    from wacoex_cli.foundation.state import State
    from wacoex_cli.media.store import KnownFile

MOST_THUMBNAILS = 10
"""How many pictures a page holds: as many as a carousel has cards."""

MOST_BYTES = 40_000
"""The size of a thumbnail in the page, written as text (Base64)."""

_SIZES = ((640, 800), (480, 600), (320, 400), (160, 200))
_QUALITIES = (80, 65, 50)
# A picture of more points than this takes seconds to read.
_MOST_POINTS = 60_000_000
_PICTURES = ("image/jpeg", "image/png")
_TYPES = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "application/pdf": "PDF",
    "text/plain": "Text",
    "application/msword": "Word",
    "application/vnd.ms-excel": "Excel",
    "application/vnd.ms-powerpoint": "PowerPoint",
    "video/mp4": "MP4",
    "video/3gpp": "3GP",
}
_OFFICE = {"wordprocessingml": "Word", "spreadsheetml": "Excel", "presentationml": "PowerPoint"}


class FileGlimpse(NamedTuple):
    """What a page shows of a file. `picture` is a `data:` URL; without it `why` says why.

    `facts` are its type and size, as far as they are known.
    """

    name: str
    facts: Sequence[str] = ()
    picture: str | None = None
    why: str = ""


class Album:
    """Looks at the files of messages for one page, and makes the thumbnails for it."""

    def __init__(self, state: State) -> None:
        self._store = MediaStore(state)
        self._thumbnails: dict[str, str] = {}

    def look(self, reference: str, name: str | None = None) -> FileGlimpse:
        """What is known of the file of a reference; `name` is how its sender calls it."""
        if is_link(reference):
            return FileGlimpse(name or reference, why="people see the file at this link")
        sha256 = sha256_of(reference)
        known = self._store.file(sha256) if sha256 else None
        if known is None:
            number = reference.removeprefix(ID) if reference.startswith(ID) else None
            return FileGlimpse(
                name or (f"file {number}" if number else ""), why="Meta has the file"
            )
        facts = (type_text(known.mime), size_text(known.size))
        found = FileGlimpse(name or known.name, facts)
        if known.path is None:
            return found._replace(why="Meta has the file")
        if known.mime not in _PICTURES:
            return found
        picture, why = self._thumbnail(known, known.path)
        return found._replace(picture=picture, why=why)

    def _thumbnail(self, known: KnownFile, path: Path) -> tuple[str | None, str]:
        if known.sha256 in self._thumbnails:
            return self._thumbnails[known.sha256], ""
        if len(self._thumbnails) >= MOST_THUMBNAILS:
            return None, f"this page shows {MOST_THUMBNAILS} pictures at most"
        content = _unchanged(known, path)
        if content is None:
            return None, "the file is not there any more, or has changed"
        made = thumbnail(content)
        if made is None:
            return None, "the picture is too large for this page, or damaged"
        self._thumbnails[known.sha256] = made
        return made, ""


def type_text(mime: str) -> str:
    """A type of file for people: `PDF`, `Word`."""
    office = (word for part, word in _OFFICE.items() if part in mime)
    return _TYPES.get(mime) or next(office, mime)


def _unchanged(known: KnownFile, path: Path) -> bytes | None:
    """The content of the file as it was when it was looked at; None when it is another one now."""
    try:
        if not path.is_file() or path.stat().st_size != known.size:
            return None
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == known.sha256 else None


def thumbnail(content: bytes) -> str | None:
    """A small JPEG of a JPEG or PNG, as a `data:` URL of `MOST_BYTES` at most.

    It holds points alone: no place, time, camera, comment or colour profile of the original. None
    for a picture that is damaged or has too many points.
    """
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # Pillow warns of a picture that would fill the memory.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as opened:
                if opened.width * opened.height > _MOST_POINTS:
                    return None
                opened.draft("RGB", _SIZES[0])
                upright = ImageOps.exif_transpose(opened)
                whole = _on_white(upright)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Warning):
        return None
    return next((url for url in map(_as_url, _smaller(whole)) if len(url) <= MOST_BYTES), None)


def _on_white(picture: Image) -> Image:
    """The points of a picture in a new one, which has nothing else of the old."""
    from PIL import Image as Pictures

    picture.thumbnail(_SIZES[0])
    seen = picture.convert("RGBA")
    bare = Pictures.new("RGB", seen.size, "white")
    bare.paste(seen, mask=seen)
    return bare


def _smaller(whole: Image) -> Iterator[bytes]:
    """The picture as JPEG, each smaller than the one before."""
    for size in _SIZES:
        picture = whole.copy()
        picture.thumbnail(size)
        for quality in _QUALITIES:
            written = io.BytesIO()
            picture.save(written, "JPEG", quality=quality, optimize=True)
            yield written.getvalue()


def _as_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
