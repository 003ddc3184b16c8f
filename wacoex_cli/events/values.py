"""How the values that Meta and respond.io send are read: they come as text or as numbers."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

from wacoex_cli.foundation import phone_numbers
from wacoex_cli.foundation.clock import to_text

_PHONE = re.compile(r"\+?[0-9 ().-]{4,32}")
_NOT_DIGITS = re.compile(r"[^0-9]")
_LONGEST_PHONE = 15
_LONGEST_TIME = 40
# Seconds from 2001 on; the same moment in milli-, micro- or nanoseconds is larger.
_FIRST_SECOND = 1_000_000_000
_FIRST_MILLISECOND = 100_000_000_000
_TOO_LARGE = 1e20
_YEARS = range(2001, 5000)
_NAME_DIGITS = 32


def moment(value: object) -> str | None:
    """The moment as RFC 3339 in UTC, None when it is none.

    Takes seconds, milli-, micro- and nanoseconds since 1970, told apart by their size, and
    RFC 3339; both platforms document one and send another.
    """
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < _LONGEST_TIME):
            return _written_moment(value)
        value = int(value)
    if not isinstance(value, int | float) or not _FIRST_SECOND <= value < _TOO_LARGE:
        return None
    while value >= _FIRST_MILLISECOND:
        value /= 1000
    return to_text(datetime.fromtimestamp(value, UTC))


def _written_moment(text: str) -> str | None:
    if len(text) > _LONGEST_TIME:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    if found.year not in _YEARS:
        return None
    return to_text(found if found.tzinfo else found.replace(tzinfo=UTC))


def phone(value: object) -> str | None:
    """The E.164 form of a number that Meta writes as digits; None for what is no number.

    A number that no numbering plan knows is kept as it came: it is still the same person.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 < value < 10**_LONGEST_PHONE else ""
    if not isinstance(value, str) or not _PHONE.fullmatch(value):
        return None
    digits = _NOT_DIGITS.sub("", value)
    if not 0 < len(digits) <= _LONGEST_PHONE:
        return None
    written = f"+{digits}"
    return phone_numbers.normalise(written) or written


def canonical(value: Any) -> str:
    """JSON that is the same for the same content, however it was laid out."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(text: str) -> str:
    """The SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(told: object) -> str:
    """What names something that has no id of its own: 32 hex digits, by what it says."""
    return digest(canonical(told))[:_NAME_DIGITS]


def known(**values: object) -> dict[str, object]:
    """What was told of these values: the ones that are None are left out."""
    return {name: value for name, value in values.items() if value is not None}
