"""Files of this machine: their type by content, size, hash, and what is wrong with them."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.state import open_regular
from wacoex_cli.media.model import (
    DOC,
    DOCX,
    LARGEST,
    PPT,
    PPTX,
    XLS,
    XLSX,
    FileContent,
    MediaFile,
    size_text,
)
from wacoex_cli.media.video import codecs_in

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD_BYTES = 8 * 1024
"""How much of a file shows its type."""

_PIECE_BYTES = 1024**2
_UNKNOWN, _ZIP = "application/octet-stream", "application/zip"
_IN_ZIP = {"word/": DOCX, "xl/": XLSX, "ppt/": PPTX}
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
# The names of the streams of such a file, as its directory writes them.
_IN_OLE = {"WordDocument": DOC, "Workbook": XLS, "Book": XLS, "PowerPoint Document": PPT}
_PLAIN_MODES = frozenset({"RGB", "RGBA"})
_OTHER_8_BIT = frozenset({"L", "LA", "P", "PA", "1"})
_QUICKTIME_BRANDS = (b"qt  ",)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif")


def look_at(path: Path) -> MediaFile:
    """Read a file piece by piece: its hash, and what it is.

    Raises:
        UsageError: there is no such file, it cannot be read, or no header takes one of its size.
    """
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
            size = file.seek(0, 2)
            _demand_possible_size(path, size)
            mime = _type_in(file, head)
            content = _looked_into(file, mime, size)
            file.seek(0)
            digest = hashlib.sha256()
            for piece in _pieces(file):
                digest.update(piece)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(
            f"the file {path} cannot be read: {why}",
            hint="give the path of a file that is there, or a link that begins with https://",
            code="media_unreadable",
        ) from None
    return MediaFile(path.absolute(), digest.hexdigest(), content)


def _demand_possible_size(path: Path, size: int) -> None:
    """Raise UsageError before a file is read to its end for nothing."""
    if size > LARGEST:
        raise UsageError(
            f"{path.name} has {size_text(size)}, Meta takes {size_text(LARGEST)} at most",
            hint="give a smaller file; `wacoex docs broadcast` says what each header takes",
            code="media_refused",
        )


def type_of(head: bytes) -> str:
    """The media type of a file by its first bytes; `application/octet-stream` when unknown."""
    if head[4:8] == b"ftyp":
        return _type_of_brand(head)
    if head.startswith(b"PK\x03\x04"):
        return next((mime for name, mime in _IN_ZIP.items() if name.encode() in head), _ZIP)
    if head.startswith(_OLE):
        return DOC
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    if found := _known_signature(head):
        return found
    return "text/plain" if head and _is_text(head) else _UNKNOWN


def _type_of_brand(head: bytes) -> str:
    """The type of a file in boxes, by its brands (ISO/IEC 14496-12)."""
    length = int.from_bytes(head[:4], "big")
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, min(length, 256), 4))]
    first = brands[0]
    if first in _QUICKTIME_BRANDS:
        return "video/quicktime"
    if first in _HEIF_BRANDS:
        return "image/heif"
    if first.startswith(b"M4A"):
        return "audio/mp4"
    return "video/3gpp" if first.startswith((b"3gp", b"3gs", b"3ge", b"3gg")) else "video/mp4"


def _known_signature(head: bytes) -> str | None:
    # Imported here: it reads a large table.
    import puremagic

    try:
        found = puremagic.magic_string(head)
    except (puremagic.PureError, ValueError):
        return None
    named = [match.mime_type for match in found if match.mime_type]
    return named[0] if named else None


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        # The last character may be cut off.
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3
    return True


def _type_in(file: BinaryIO, head: bytes) -> str:
    """The type of a whole file: what its first bytes leave open is looked up inside."""
    if head.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(file) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError):
            return _ZIP
        if "[Content_Types].xml" not in names:
            return _ZIP
        kinds = (mime for part, mime in _IN_ZIP.items() if any(n.startswith(part) for n in names))
        return next(kinds, _ZIP)
    if head.startswith(_OLE):
        file.seek(0)
        wanted = {name.encode("utf-16-le"): mime for name, mime in _IN_OLE.items()}
        before = b""
        for piece in _pieces(file):
            for name, mime in wanted.items():
                if name in before + piece:
                    return mime
            before = piece[-64:]
        return _UNKNOWN
    return type_of(head)


def _looked_into(file: BinaryIO, mime: str, size: int) -> FileContent:
    if mime in ("image/jpeg", "image/png"):
        return _picture(file, mime, size)
    if mime in ("video/mp4", "video/3gpp"):
        return FileContent(mime, size, problem=_video_problem(file, size))
    return FileContent(mime, size)


def _picture(file: BinaryIO, mime: str, size: int) -> FileContent:
    """The size in pixels and the colours, from the header alone.

    Meta: "Images must be 8-bit, RGB or RGBA" (media, supported media types).
    """
    from PIL import Image

    file.seek(0)
    try:
        with Image.open(file, formats=("JPEG", "PNG")) as picture:
            (width, height), mode = picture.size, picture.mode
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return FileContent(mime, size, problem="it is damaged: its header cannot be read")
    if mode in _PLAIN_MODES:
        return FileContent(mime, size, width, height)
    if mode in _OTHER_8_BIT:
        doubt = "it is not in RGB colours, and Meta promises no more than that; send a test first"
        return FileContent(mime, size, width, height, doubt=doubt)
    colours = "CMYK colours, made for print" if mode in ("CMYK", "YCCK") else f"colours `{mode}`"
    problem = f"it has {colours}; Meta takes 8-bit RGB or RGBA: save it for the web"
    return FileContent(mime, size, width, height, problem)


def _video_problem(file: BinaryIO, size: int) -> str | None:
    """Meta: only H.264 with AAC, one sound track or none (media, supported media types)."""
    found = codecs_in(file, size)
    if found is None:
        return "it is damaged: it says nothing about its pictures"
    others = sorted(set(found.pictures) - {"avc1", "avc3"})
    if others:
        return f"its pictures are coded as {others[0]}; Meta takes H.264: export it again"
    if not found.pictures:
        return "it has no pictures"
    sounds = sorted(set(found.sounds) - {"mp4a"})
    if sounds:
        return f"its sound is coded as {sounds[0]}; Meta takes AAC: export it again"
    if len(found.sounds) > 1:
        return "it has more than one sound track; Meta takes one"
    return None


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE_BYTES):
        yield piece
