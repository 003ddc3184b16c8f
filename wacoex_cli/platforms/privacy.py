"""What of a payload may be kept: a list of what is allowed, never one of what is forbidden.

The models of `payloads` (Meta) and `respondio_webhooks` are that list. Each field has one of the
types below, whose reader returns what is kept of a value, or None: a wrong value never drops
the values beside it. What no model names is dropped, so a field that is new tomorrow cannot leak
a text. The depth of the models bounds the depth of the work, whatever is sent.

Every field has a reader of its own here and none can fail. A validation library would only call
these readers, and a payload would cost three times the CPU (docs/decisions/08-reading-payloads.md).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    NamedTuple,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from wacoex_cli.platforms import events

if TYPE_CHECKING:
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
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


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
    if isinstance(value, str):
        return value if _IDENTIFIER.fullmatch(value) else None
    whole = number(value)
    return None if whole is None else str(whole)


def _identifiers(value: Any) -> list[str] | None:
    if not isinstance(value, list):
        return None
    return [kept for part in value if (kept := _identifier(part)) is not None]


def _time(value: Any) -> str | int | float | None:
    if isinstance(value, str):
        return value if _TIME.fullmatch(value) else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return number(value)


def _hashed_text(value: Any, reading: Reading) -> dict[str, str] | None:
    text = value.strip() if isinstance(value, str) else ""
    if not 0 < len(text) <= _LONGEST_HASHED_TEXT:
        return None
    return {"hash": events.text_hash(text, reading.key)}


def _stop_text(value: Any, reading: Reading) -> bool | None:
    body = value.get("body") if isinstance(value, dict) else value
    return True if reading.stop_words.is_word(body) else None


def _stop_button(value: Any, reading: Reading) -> bool | None:
    """Any of the texts of a button may say it; each platform names them in its own way."""
    names = ("text", "payload", "title", "id")
    texts = [value.get(name) for name in names] if isinstance(value, dict) else [value]
    return True if any(map(reading.stop_words.is_button, texts)) else None


def _stop_reply(value: Any, reading: Reading) -> bool | None:
    names = ("button_reply", "list_reply")
    replies = [value.get(name) for name in names] if isinstance(value, dict) else []
    return True if any(_stop_button(reply, reading) for reply in replies) else None


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


class Reading(NamedTuple):
    """How this installation reads: its key for texts, and the words that say stop.

    `received_at` (RFC 3339, UTC) stands in for times that are missing; with `store_bodies` the
    content of what came stays.
    """

    key: bytes
    stop_words: StopWords
    received_at: str
    store_bodies: bool = False


class ReadValue(NamedTuple):
    """How a value is read: returns what is kept of it, None for nothing."""

    reader: Callable[[Any], Any]


def said_or(usual: str) -> ReadValue:
    """How a word of Meta's is read that is understood where it is not there."""
    return ReadValue(lambda value: said(value) or usual)


class ReadText(NamedTuple):
    """How a text is read of which only something is kept that a `Reading` can tell."""

    reader: Callable[[Any, Reading], Any]


class ReadObjects(NamedTuple):
    """How objects of a model of their own are read: the model makes the reader."""

    reader_of: Callable[[type[Kept]], Callable[[Any, Reading], Any]]


class _SentAs(NamedTuple):
    name: str

    def __get__(self, found: Kept | None, owner: type[Kept]) -> Any:
        return self if found is None else vars(found).get(self.name)


sent_as: Callable[[str], Any] = _SentAs
"""Makes a field that has this other name in what is sent, and in what is stored."""


def _object_reader(model: type[Kept]) -> Callable[[Any, Reading], Kept | None]:
    read_object = model.read

    def read(value: Any, reading: Reading) -> Kept | None:
        found = value if isinstance(value, dict) else only_object(value)
        return None if found is None else read_object(found, reading)

    return read


def _list_reader(model: type[Kept]) -> Callable[[Any, Reading], list[Kept] | None]:
    read_object = model.read

    def read(value: Any, reading: Reading) -> list[Kept] | None:
        if isinstance(value, list):
            return [read_object(part, reading) for part in value if isinstance(part, dict)]
        return [read_object(value, reading)] if isinstance(value, dict) else None

    return read


Identifier = Annotated[str | None, ReadValue(_identifier)]
"""An id: text without spaces, or a number, which becomes text."""
Identifiers = Annotated[list[str] | None, ReadValue(_identifiers)]
Word = Annotated[str | None, ReadValue(word)]
Constant = Annotated[str | None, ReadValue(lambda value: _written(value, _CONSTANT))]
"""A value in capitals, where the same field may also hold a sentence."""
Number = Annotated[int | None, ReadValue(number)]
Flag = Annotated[bool | None, ReadValue(lambda value: value if isinstance(value, bool) else None)]
Time = Annotated[str | int | float | None, ReadValue(_time)]
"""A moment in whatever form it came."""
Day = Annotated[
    str | int | None,
    ReadValue(lambda value: _written(value, _DAY) if isinstance(value, str) else number(value)),
]
"""A date, also one with the month in letters (Meta: `waba_ban_date`)."""
Phone = Annotated[str | None, ReadValue(events.read_phone)]
MetaCode = Annotated[int | None, ReadValue(events.meta_code)]
HashedText = Annotated[dict[str, str] | None, ReadText(_hashed_text)]
"""Of a short text its keyed hash only: a word that we know can be found, no other read."""
StopText = Annotated[bool | None, ReadText(_stop_text)]
"""Of a text only whether it is a word that says "no more messages"."""
StopButton = Annotated[bool | None, ReadText(_stop_button)]
"""The same of a button that was tapped, by its text or payload."""
StopReply = Annotated[bool | None, ReadText(_stop_reply)]
"""The same of an answer to buttons or a list, by its title or id."""
Said = Annotated[str | None, ReadValue(said)]
"""A word of Meta's in capitals, also where it came in small letters, in a list or an object."""
Part = Annotated[Element | None, ReadObjects(_object_reader)]
"""An object of its own model, also as a list of one; None for what is no object."""
Parts = Annotated[list[Element] | None, ReadObjects(_list_reader)]
"""A list of objects, also a single one; what is no object is left out of it."""


class _Model(NamedTuple):
    """What a model is made of, each by the name in what is sent.

    `readers` has the reader, and whether that takes the `Reading` too; `names_there` are the names
    of all fields, in their order.
    """

    readers: Mapping[str, tuple[Callable[..., Any], bool]]
    defaults: dict[str, object]
    names_there: Sequence[str]


class Kept:
    """What is kept of an object; false when that is nothing.

    A subclass names its fields with the types above. A field of another type is set by the `read`
    of the subclass. Given fields are in `__dict__`, named as in the payload, and nothing else
    is: so it is written as JSON without another step. The rest has the default of its class.
    """

    # Of subclasses, which set them in their `read`.
    __slots__ = ("__dict__", "_lost", "_more", "_sent")

    stored = property(attrgetter("__dict__"))
    """What is kept as it is written as JSON, in which other models are still objects of theirs."""

    def __bool__(self) -> bool:
        return bool(self.__dict__)

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """What is kept of an object, whatever is in it."""
        readers, defaults, _ = _MODELS.get(cls) or _described(cls)
        found = cls()
        values = found.__dict__ = defaults.copy()
        for name_there, part in value.items():
            if name_there in readers:
                reader, takes_reading = readers[name_there]
                kept = reader(part, reading) if takes_reading else reader(part)
                if kept is not None:
                    values[name_there] = kept
        return found

    def kept(self) -> dict[str, Any]:
        """The same as JSON, without what was not reported or was no such value."""
        return {name: _as_json(part) for name, part in self.stored.items()}


def _as_json(part: Any) -> Any:
    if isinstance(part, Kept):
        return part.kept()
    return [_as_json(each) for each in part] if isinstance(part, list) else part


_MODELS: dict[type[Kept], _Model] = {}


def _described(model: type[Kept]) -> _Model:
    readers: dict[str, tuple[Callable[..., Any], bool]] = {}
    names_there: list[str] = []
    defaults: dict[str, object] = {}
    for name, hint in get_type_hints(model, include_extras=True).items():
        if name.startswith("_") or get_origin(hint) is ClassVar:
            continue
        type_, *notes = get_args(hint) if get_origin(hint) is Annotated else [hint]
        default = getattr(model, name, None)
        if isinstance(default, _SentAs):
            name_there = default.name
        else:
            name_there = name
            if default is not None:
                defaults[name] = default
        names_there.append(name_there)
        for note in notes:
            if isinstance(note, ReadObjects):
                readers[name_there] = (note.reader_of(_model_in(type_)), True)
            elif isinstance(note, ReadValue | ReadText):
                readers[name_there] = (note.reader, isinstance(note, ReadText))
    _MODELS[model] = found = _Model(readers, defaults, names_there)
    return found


def _model_in(type_: Any) -> type[Kept]:
    """The model in `Model | None` or `list[Model] | None`."""
    while not isinstance(type_, type) or get_args(type_):
        type_ = get_args(type_)[0]
    return type_


class Compared(Kept):
    """An object of which nothing may be lost in silence: `lost` names what could not be read."""

    _lost: Sequence[str]

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """What is kept of an object, and the names of what is not."""
        found = super().read(value, reading)
        found._lost = found._left_out(value)
        return found

    @property
    def lost(self) -> list[str]:
        """The names of what was there and could not be read, as `ban_info.waba_ban_state`."""
        return list(self._lost)

    def _left_out(self, value: Mapping[str, Any]) -> list[str]:
        found: list[str] = []
        kept_of = self.__dict__.get
        for name in _MODELS[type(self)].names_there:
            there = value.get(name)
            if there is None or there == "":
                continue
            kept = kept_of(name)
            if kept is None:
                found.append(name)
            if kept is None or isinstance(there, str):
                continue
            parts = kept if isinstance(kept, list) else [kept]
            if isinstance(there, list) and len(there) > len(parts):
                found.append(name)
            for part in parts:
                if isinstance(part, Compared) and part._lost:
                    found += [f"{name}.{inner}" for inner in part._lost]
        return found


class Open(Kept):
    """Of such an object ids, types, times of unknown fields are kept too."""

    _more: Mapping[str, Any]

    def __bool__(self) -> bool:
        return super().__bool__() or bool(self._more)

    @classmethod
    def read(cls, value: Mapping[str, Any], reading: Reading) -> Self:
        """What is kept of an object, and of what is unknown in it."""
        found = super().read(value, reading)
        known = _MODELS[cls].readers
        found._more = _structure({name: part for name, part in value.items() if name not in known})
        return found

    @property
    def stored(self) -> dict[str, Any]:
        """What is kept, with what was unknown."""
        return {**vars(self), **self._more}


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
