"""What the signup page tells about how Meta's window ended. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_CODE = 4_096
_LONGEST_TEXT = 500
_ID = re.compile(r"[0-9]{1,32}")
_UNPRINTABLE = re.compile(r"[^\S ]|[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Finished:
    """The window gave a code, which lives 30 seconds. Meta does not always name the WABA."""

    code: str = field(repr=False)
    waba_id: str | None = None
    event: str | None = None


@dataclass(frozen=True)
class Cancelled:
    """The person left; `step` is the screen, as Meta names it."""

    step: str | None = None


@dataclass(frozen=True)
class Failed:
    """The window showed an error, and the person reported it. The session id is for Meta."""

    text: str
    error_code: str | None = None
    session_id: str | None = None


@dataclass(frozen=True)
class Closed:
    """The window was closed and told nothing; on its last screen that is success."""

    waba_id: str | None = None


Report = Finished | Cancelled | Failed | Closed


def report_in(values: Mapping[str, object]) -> Report:
    """The report of the page. Raises ValueError for what the page never sends.

    Everything in it came through a browser: texts are cut and freed of control characters.
    """
    kind = values.get("kind")
    if kind == "finished":
        code = values.get("code")
        if not isinstance(code, str) or not 0 < len(code) <= _LONGEST_CODE:
            raise ValueError("no code")
        return Finished(code, _id(values.get("waba_id")), _text(values.get("event")))
    if kind == "cancelled":
        return Cancelled(_text(values.get("current_step")))
    if kind == "error":
        text = _text(values.get("error_message")) or "Meta gave no text"
        code, session = _text(values.get("error_code")), _text(values.get("session_id"))
        return Failed(text, code, session)
    if kind == "closed":
        return Closed(_id(values.get("waba_id")))
    raise ValueError("no known kind")


def _id(value: object) -> str | None:
    text = _text(value)
    return text if text and _ID.fullmatch(text) else None


def _text(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return _UNPRINTABLE.sub(" ", str(value)).strip()[:_LONGEST_TEXT] or None
