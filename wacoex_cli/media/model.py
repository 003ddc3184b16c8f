"""What can stand in the header of a template: formats, limits, files, and references to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from wacoex_cli.templates.components import FILE, LINKS

MEGABYTE = 1024**2

ID_LIFETIME = timedelta(days=30)
"""How long an id that Meta gave for an upload can be used (Meta: media)."""
RENEWED_BEFORE = timedelta(days=1)
"""An id that ends sooner than this is replaced before it is used."""

_IMAGES = {"image/jpeg": 5 * MEGABYTE, "image/png": 5 * MEGABYTE}
_VIDEOS = {"video/mp4": 16 * MEGABYTE, "video/3gpp": 16 * MEGABYTE}
_OFFICE = "application/vnd.openxmlformats-officedocument"
DOCX = f"{_OFFICE}.wordprocessingml.document"
XLSX = f"{_OFFICE}.spreadsheetml.sheet"
PPTX = f"{_OFFICE}.presentationml.presentation"
DOC, XLS, PPT = "application/msword", "application/vnd.ms-excel", "application/vnd.ms-powerpoint"
_DOCUMENTS = dict.fromkeys(
    ("application/pdf", DOC, DOCX, XLS, XLSX, PPT, PPTX, "text/plain"), 100 * MEGABYTE
)
LIMITS: Mapping[str, Mapping[str, int]] = {
    "IMAGE": _IMAGES,
    "VIDEO": _VIDEOS,
    "DOCUMENT": _DOCUMENTS,
    "GIF": {"video/mp4": int(3.5 * MEGABYTE)},
}
"""The largest file in bytes, by the format of the header and the type of the file.

A GIF is an MP4 without sound. Sources: "Meta: media", supported media types; "Meta: template
components", media header.
"""

LARGEST = max(most for limits in LIMITS.values() for most in limits.values())
"""No file with more bytes is taken by any header."""

WORDS: Mapping[str, str] = {
    "IMAGE": "a picture (JPEG or PNG, up to 5 MB)",
    "VIDEO": "a video (MP4 or 3GP with H.264 and AAC, up to 16 MB)",
    "DOCUMENT": "a document (PDF, Word, Excel, PowerPoint or text, up to 100 MB)",
    "GIF": "a short MP4 video (up to 3.5 MB)",
}
"""What each format of a header takes, for people."""

_SHA256 = re.compile("[0-9a-f]{64}")


class FileContent(NamedTuple):
    """What a file is by its content. Sizes in bytes, `width` and `height` in pixels.

    `problem` says in words why Meta would not take it, though its type is right; `doubt` what Meta
    does not promise.
    """

    mime: str
    size: int
    width: int | None = None
    height: int | None = None
    problem: str | None = None
    doubt: str | None = None


class MediaFile(NamedTuple):
    """A file on this machine that was looked at; `sha256` is of its content, in hexadecimal."""

    path: Path
    sha256: str
    content: FileContent

    @property
    def reference(self) -> str:
        """What stands for it in a message's values."""
        return f"{FILE}{self.sha256}"


def sha256_of(reference: str) -> str | None:
    """The content hash that a reference to a file names; None for any other reference."""
    found = reference.removeprefix(FILE)
    return found if reference.startswith(FILE) and _SHA256.fullmatch(found) else None


def is_link(text: str) -> bool:
    """Whether a value is the address of a file that Meta fetches."""
    return text.lower().startswith(LINKS)


def formats_of(mime: str) -> tuple[str, ...]:
    """The formats of a header that take files of that type."""
    return tuple(form for form, limits in LIMITS.items() if mime in limits)


def size_text(size: int) -> str:
    """A number of bytes for people: `3.5 MB`, `12 kB`."""
    if size >= MEGABYTE:
        return f"{size / MEGABYTE:.1f} MB".replace(".0 MB", " MB")
    return f"{max(1, round(size / 1024))} kB" if size else "0 kB"
