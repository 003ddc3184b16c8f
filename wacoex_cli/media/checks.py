"""Whether Meta takes a file in a header. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.media.model import LIMITS, WORDS, size_text

if TYPE_CHECKING:
    from wacoex_cli.media.model import FileContent

# What people send most often though Meta does not take it, and what helps.
_CONVERT = {
    "image/heif": "a HEIC picture of an iPhone; export it as JPEG",
    "image/webp": "a WebP picture; save it as JPEG or PNG",
    "image/gif": "a GIF; save it as JPEG or PNG",
    "image/svg+xml": "an SVG drawing; save it as PNG",
    "image/tiff": "a TIFF picture; save it as JPEG or PNG",
    "video/quicktime": "a QuickTime video (MOV); export it as MP4 with H.264",
    "video/webm": "a WebM video; export it as MP4 with H.264",
    "text/html": "a web page, not a file of its own",
}
_UNKNOWN = "application/octet-stream"


def why_refused(form: str, content: FileContent) -> str | None:
    """Why Meta does not take a file in a header of that format; None when it does.

    `form` is IMAGE, VIDEO, DOCUMENT or GIF. Sources: "Meta: media", supported media types.
    """
    limits = LIMITS[form]
    if content.size == 0:
        return "it is empty"
    if content.mime not in limits:
        found = _CONVERT.get(content.mime, f"of type {content.mime}")
        if content.mime == _UNKNOWN:
            found = "of no type that wacoex knows"
        return f"it is {found}; this header takes {WORDS[form]}"
    if content.problem:
        return content.problem
    most = limits[content.mime]
    if content.size > most:
        return f"it has {size_text(content.size)}, Meta takes {size_text(most)} at most"
    return None


def why_header_refused(form: str, media_type: str) -> str | None:
    """Why Meta does not take a link whose server calls the file so; None when it does.

    `media_type` is the Content-Type of the answer, empty when there is none. Meta goes by it, and
    fails the message with 131053 for a type that the header does not take (Meta: error codes).
    """
    named = media_type.partition(";")[0].strip().lower()
    known = {"image/jpg": "image/jpeg", "video/3gp": "video/3gpp"}
    if known.get(named, named) in LIMITS[form]:
        return None
    said = f"`{named}`" if named else "nothing"
    return f"its server calls it {said}, and Meta goes by that; this header takes {WORDS[form]}"
