"""What of a payload may be kept: a list of what is allowed, never one of what is forbidden.

The models of `payloads` (Meta) and `respondio_webhooks` are that list. Each field has one of the
types below, whose validator returns what is kept of a value, or None: a wrong value never drops
what stands beside it. What no model names is dropped, so a field that is new tomorrow cannot leak
a text. The depth of the models bounds the depth of the work, whatever is sent.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from wacoex_cli.platforms import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.platforms.stop_words import StopWords

_LONGEST_HASHED_TEXT = 40
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:+=/@|-]{1,256}")
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TIME = re.compile(r"[0-9TZ:.+-]{1,40}")
_DAY = re.compile(r"[A-Za-z0-9 ,:.+-]{1,40}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_LARGEST = 2**63
_STRUCTURAL_NAME = re.compile(
    r"(?:[a-z0-9_]*_)?(?:ids?|type|event|status|code|field|action|time|timestamp|date|at)"
    r"|[a-z][A-Za-z0-9]*(?:Id|Ids|Type|Status|Time|Timestamp|At)"
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DEEPEST = 6
_NAME_DIGITS = 32
_MOST_KEY_NAMES = 100

Element = TypeVar("Element")


def _written(value: Any, pattern: re.Pattern[str]) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def word(value: Any) -> str | None:
    """One value of an enumeration, known or not."""
    return _written(value, _WORD)


def said(value: Any) -> str | None:
    """The one word in it, in capitals; None when there is none, or more than one."""
    if isinstance(value, str):
        kept = word(value.strip())
        return kept.upper() if kept else None
    parts = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list) or len(value) != 1:
        return None
    [part] = parts
    return said(part) if isinstance(part, str) else None


def only_object(value: Any) -> dict[str, Any] | None:
    """An object, also where it came as a list of one; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None


def _objects(value: Any) -> list[dict[str, Any]] | None:
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        return None
    return [part for part in value if isinstance(part, dict)]


def number(value: Any) -> int | None:
    """A whole number, also when it was sent as text."""
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
        return value
    return None


def _identifier(value: Any) -> str | None:
    whole = None if isinstance(value, str) else number(value)
    return _written(value, _IDENTIFIER) if whole is None else str(whole)


def _identifiers(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    return [kept for part in value if (kept := _identifier(part)) is not None]


def _time(value: Any) -> str | int | float | None:
    if isinstance(value, float):
        return value if isfinite(value) else None
    return _written(value, _TIME) if isinstance(value, str) else number(value)


def _hashed_text(value: Any, info: ValidationInfo) -> dict[str, str] | None:
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= _LONGEST_HASHED_TEXT:
        return None
    reading: Reading = cast("Reading", info.context)
    return {"hash": events.text_hash(text, reading.key)}


def _stop_text(value: Any, info: ValidationInfo) -> bool | None:
    known: Reading = cast("Reading", info.context)
    body = value.get("body") if isinstance(value, dict) else value
    return True if known.stop_words.is_word(body) else None


def _stop_button(value: Any, info: ValidationInfo) -> bool | None:
    """Any of the texts of a button may say it; each platform names them in its own way."""
    known: Reading = cast("Reading", info.context)
    names = ("text", "payload", "title", "id")
    texts = [value.get(name) for name in names] if isinstance(value, dict) else [value]
    return True if any(map(known.stop_words.is_button, texts)) else None


def _stop_reply(value: Any, info: ValidationInfo) -> bool | None:
    names = ("button_reply", "list_reply")
    replies = [value.get(name) for name in names] if isinstance(value, dict) else []
    return True if any(_stop_button(reply, info) for reply in replies) else None


def _structure(value: Any, depth: int = _DEEPEST) -> Any:
    """Of something unknown: ids, types, times and the like, and where they are."""
    if depth == 0:
        return None
    if isinstance(value, list):
        return [clean for part in value if (clean := _structure(part, depth - 1))]
    if not isinstance(value, dict):
        return None
    found = {}
    for name, part in value.items():
        kept: Any = None
        if isinstance(part, dict | list) and _NAME.fullmatch(name):
            is_ids = name.endswith(("_ids", "Ids"))
            kept = _structure(part, depth - 1) or (_identifiers(part) if is_ids else None)
        elif _STRUCTURAL_NAME.fullmatch(name):
            kept = _identifier(part)
        if kept:
            found[name] = kept
    return found


Identifier = Annotated[str | None, PlainValidator(_identifier)]
"""An id: text without spaces, or a number, which becomes text."""
Identifiers = Annotated[list[str] | None, PlainValidator(_identifiers)]
Word = Annotated[str | None, PlainValidator(word)]
Constant = Annotated[str | None, PlainValidator(lambda value: _written(value, _CONSTANT))]
"""A value in capitals, where the same field may also hold a sentence."""
Number = Annotated[int | None, PlainValidator(number)]
Flag = Annotated[
    bool | None, PlainValidator(lambda value: value if isinstance(value, bool) else None)
]
Time = Annotated[str | int | float | None, PlainValidator(_time)]
"""A moment in whatever form it came."""
Day = Annotated[
    str | int | None,
    PlainValidator(
        lambda value: _written(value, _DAY) if isinstance(value, str) else number(value)
    ),
]
"""A date, also one with the month in letters (Meta: `waba_ban_date`)."""
Phone = Annotated[str | None, PlainValidator(events.read_phone)]
MetaCode = Annotated[int | None, PlainValidator(events.meta_code)]
HashedText = Annotated[dict[str, str] | None, PlainValidator(_hashed_text)]
"""Of a short text its keyed hash only: a word that we know can be found, no other read."""
StopText = Annotated[bool | None, PlainValidator(_stop_text)]
"""Of a text only whether it is a word that says "no more messages"."""
StopButton = Annotated[bool | None, PlainValidator(_stop_button)]
"""The same of a button that was tapped, by its text or payload."""
StopReply = Annotated[bool | None, PlainValidator(_stop_reply)]
"""The same of an answer to buttons or a list, by its title or id."""
Said = Annotated[str | None, PlainValidator(said)]
"""A word of Meta's in capitals, also where it came in small letters, in a list or an object."""
Part = Annotated[Element | None, BeforeValidator(only_object)]
"""An object of its own model, also as a list of one; None for what is no object."""
Parts = Annotated[list[Element] | None, BeforeValidator(_objects)]
"""A list of objects, also a single one; what is no object is left out of it."""


class Reading(NamedTuple):
    """What texts are read with: the key of this installation, and the words that say stop."""

    key: bytes
    stop_words: StopWords


class Kept(BaseModel):
    """What is kept of an object; false when that is nothing. Its context is a `Reading`."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    def __bool__(self) -> bool:
        return any(value is not None for _, value in self)

    def kept(self) -> dict[str, Any]:
        """The same as JSON, without what was not reported or was no such value."""
        return self.model_dump(by_alias=True, exclude_none=True)


class Compared(Kept):
    """An object of which nothing may be lost in silence: `lost` names what could not be read."""

    _lost: list[str] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _compare(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        found = handler(value)
        if isinstance(value, dict) and (lost := list(found._left_out(value))):
            found._lost = lost
        return found

    @property
    def lost(self) -> list[str]:
        """The names of what was there and could not be read, as `ban_info.waba_ban_state`."""
        return self._lost

    def _left_out(self, value: dict[str, Any]) -> Iterator[str]:
        for name, name_there in _names_there(type(self)):
            there = value.get(name_there)
            if there is None or there == "":
                continue
            kept = getattr(self, name)
            parts = kept if isinstance(kept, list) else [kept]
            if kept is None or (isinstance(there, list) and len(there) > len(parts)):
                yield name_there
            for part in parts:
                if isinstance(part, Compared):
                    yield from (f"{name_there}.{inner}" for inner in part.lost)


@cache
def _names_there(model: type[Kept]) -> tuple[tuple[str, str], ...]:
    """The names of a model's fields, each with the name that it has in what is sent."""
    return tuple((name, field.alias or name) for name, field in model.model_fields.items())


class Open(Kept, extra="allow"):
    """Of such an object ids, types, times of unknown fields are kept too."""

    @model_validator(mode="before")
    @classmethod
    def _reduce(cls, value: dict[str, Any]) -> dict[str, Any]:
        known = {name: part for name, part in value.items() if name in cls.model_fields}
        rest = {name: part for name, part in value.items() if name not in cls.model_fields}
        return {**_structure(rest), **known}


def key_names(value: Any) -> list[str]:
    """The names of the keys in something unknown, in the order of the alphabet, 100 at most.

    A key that is not written as a name may be a text, and is left out.
    """
    found: set[str] = set()
    level = [value]
    for _ in range(_DEEPEST):
        objects = [part for part in level if isinstance(part, dict)]
        lists = [part for part in level if isinstance(part, list)]
        found.update(name for part in objects for name in part if _NAME.fullmatch(name))
        level = [inner for part in objects for inner in part.values()]
        level += [inner for part in lists for inner in part]
    return sorted(found)[:_MOST_KEY_NAMES]


def digest(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(value: object) -> str:
    """What names something that has no id of its own: 32 hex digits, by what it says."""
    return digest(events.canonical(value))[:_NAME_DIGITS]
