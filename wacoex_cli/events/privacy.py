"""What of a payload may be kept: a list of what is allowed, never one of what is forbidden.

A rule is given a value and the key of this installation, and returns what is kept of it, or None.
Rules are put together to the shape of a payload; whatever the shape does not name is dropped, so
a field that is new tomorrow cannot leak a text. The depth of the rules bounds the depth of the
work, whatever is sent.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from wacoex_cli.events import values

Rule = Callable[[Any, bytes], Any]

LONGEST_HASHED_TEXT = 40
_IDENTIFIER = re.compile(r"[A-Za-z0-9_.:+=/@|-]{1,256}")
_WORD = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_TIME = re.compile(r"[0-9TZ:.+-]{1,40}")
_DAY = re.compile(r"[A-Za-z0-9 ,:.+-]{1,40}")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
_META_CODE = re.compile(r"(?<![0-9])1[0-9]{5}(?![0-9])")
_LARGEST = 2**63
_STRUCTURAL_NAME = re.compile(
    r"(?:[a-z0-9_]*_)?(?:ids?|type|event|status|code|field|action|time|timestamp|date|at)"
    r"|[a-z][A-Za-z0-9]*(?:Id|Ids|Type|Status|Time|Timestamp|At)"
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_DEEPEST = 6


def record(fields: Mapping[str, Rule]) -> Rule:
    """Of an object, the fields that are named, each by its own rule."""

    def keep(value: Any, key: bytes) -> Any:
        if not isinstance(value, dict):
            return None
        kept = {}
        for name, part in value.items():
            rule = fields.get(name)
            if rule is not None and (clean := rule(part, key)) is not None:
                kept[name] = clean
        return kept

    return keep


def open_record(fields: Mapping[str, Rule]) -> Rule:
    """Of an object, the named fields by their rules and the `structure` of all others."""
    named = record(fields)

    def keep(value: Any, key: bytes) -> Any:
        if not isinstance(value, dict):
            return None
        rest = {name: part for name, part in value.items() if name not in fields}
        return {**structure(rest, key), **named(value, key)}

    return keep


def each(rule: Rule) -> Rule:
    """Of a list, what the rule keeps of each element."""

    def keep(value: Any, key: bytes) -> Any:
        if not isinstance(value, list):
            return None
        return [clean for one in value if (clean := rule(one, key)) is not None]

    return keep


def identifier(value: Any, key: bytes) -> str | None:
    """An id: text without spaces, or a number, which becomes text."""
    if isinstance(value, str):
        return value if _IDENTIFIER.fullmatch(value) else None
    whole = number(value, key)
    return None if whole is None else str(whole)


def word(value: Any, key: bytes) -> str | None:
    """One value of an enumeration, known or not."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def constant(value: Any, key: bytes) -> str | None:
    """A value in capitals, where the same field may also hold a sentence."""
    return value if isinstance(value, str) and _CONSTANT.fullmatch(value) else None


def number(value: Any, key: bytes) -> int | None:
    """A whole number, also when it was sent as text."""
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value < _LARGEST:
        return value
    return None


def flag(value: Any, key: bytes) -> bool | None:
    """True or false."""
    return value if isinstance(value, bool) else None


def time(value: Any, key: bytes) -> str | int | float | None:
    """A moment in whatever form it came."""
    if isinstance(value, str):
        return value if _TIME.fullmatch(value) else None
    if isinstance(value, float):
        return value if isfinite(value) else None
    return number(value, key)


def day(value: Any, key: bytes) -> str | int | None:
    """A date, also one with the month in letters (Meta: `waba_ban_date`)."""
    if isinstance(value, str):
        return value if _DAY.fullmatch(value) else None
    return number(value, key)


def phone(value: Any, key: bytes) -> str | None:
    """A phone number, in E.164 form."""
    return values.phone(value)


def hashed_text(value: Any, key: bytes) -> dict[str, str] | None:
    """Of a short text its keyed hash only: a word that we know can be found, no other read."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not 0 < len(text) <= LONGEST_HASHED_TEXT:
        return None
    return {"hash": text_hash(text, key)}


def text_hash(text: str, key: bytes) -> str:
    """The keyed hash under which a short text is kept; case and outer spaces do not matter."""
    plain = text.strip().casefold().encode("utf-8", "surrogatepass")
    return hmac.digest(key, plain, "sha256").hex()


def meta_code(value: Any, key: bytes) -> int | None:
    """Of an error text its six-digit Meta code (respond.io: status `failed`)."""
    found = _META_CODE.search(value) if isinstance(value, str) else None
    return int(found[0]) if found else None


def structure(value: Any, key: bytes) -> Any:
    """Of something unknown: ids, types, times and the like, and where they stood."""
    return _structure(value, key, _DEEPEST)


def _structure(value: Any, key: bytes, depth: int) -> Any:
    if depth == 0:
        return None
    if isinstance(value, list):
        return [kept for one in value if (kept := _structure(one, key, depth - 1))]
    if not isinstance(value, dict):
        return None
    kept = {}
    for name, part in value.items():
        if isinstance(part, dict | list) and _NAME.fullmatch(name):
            clean: Any = _structure(part, key, depth - 1) or _ids(name, part, key)
        elif _STRUCTURAL_NAME.fullmatch(name):
            clean = identifier(part, key)
        else:
            continue
        if clean:
            kept[name] = clean
    return kept


def _ids(name: str, part: Any, key: bytes) -> Any:
    return each(identifier)(part, key) if name.endswith(("_ids", "Ids")) else None
