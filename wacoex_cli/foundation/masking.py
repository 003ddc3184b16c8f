"""What is shown to others: pages with escaped values; numbers, ids and secrets masked."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from wacoex_cli.foundation.phone_numbers import calling_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jinja2 import Environment

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# With a plus sign, in one piece or with spaces; or as Meta writes it, bare digits. Meta's ids have
# more of them, Unix times begin with 1 and have 10, a fraction stands behind its point.
_NUMBER = re.compile(
    r"(?:\+|%2B)(?:[1-9][0-9]{6,14}|[1-9](?:[ ().-]{0,2}[0-9]){6,14})(?![0-9])"
    r"|(?<![0-9A-Za-z])(?<![0-9][.])(?:1[2-9][0-9]{9}|[2-9][0-9]{7,13})(?![0-9A-Za-z])"
)
# A person's id for one business, or for a parent of it: country, a point, letters and digits.
_USER_ID = re.compile(
    r"(?<![0-9A-Za-z._-])(?P<named>user_id:)?(?P<country>[A-Z]{2}\.(?:ENT\.)?)"
    r"(?P<rest>(?(named)[0-9A-Za-z]{1,128}|[0-9A-Za-z]{0,127}[0-9]{4}[0-9A-Za-z]{0,124}))"
    r"(?![0-9A-Za-z_])"
)
# It holds the number of the person in Base64, at its beginning.
_MESSAGE_ID = re.compile(r"wamid\.([A-Za-z0-9+/_-]*)=*")
# What every number without a plus sign, and every user id, holds.
_EIGHT_DIGITS = re.compile("[0-9][0-9]{7}")
_LIKE_A_USER_ID = re.compile("[A-Z][A-Z][.]")
# Nothing above matches it or looks past it.
_BETWEEN_TEXTS = "\x1f"
_TIMES = re.compile("(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z\x1f?)*+")
_SHOWN_DIGITS = 4
_SHOWN_OF_MESSAGE_ID = 8
_SHORTEST_SECRET = 6


def mask(phone: str) -> str:
    """A number that may be shown to others: `+60*****4321`, or a user id: `user_id:US.****4321`.

    Hides whatever is neither.
    """
    if found := _USER_ID.fullmatch(phone):
        return _masked_user_id(found)
    if not _E164.fullmatch(phone):
        return "*" * len(phone)
    shown = len(calling_code(phone)) + 1
    hidden = max(0, len(phone) - shown - _SHOWN_DIGITS)
    return phone[:shown] + "*" * hidden + phone[shown + hidden :]


def masked_text(text: str) -> str:
    """A text with every phone number, user id and message id of Meta in it masked."""
    # Most texts hold none: to see that takes a tenth of the time.
    if "wamid." in text:
        text = _MESSAGE_ID.sub(_masked_id, text)
    if _LIKE_A_USER_ID.search(text):
        text = _USER_ID.sub(_masked_user_id, text)
    if "+" in text or "%2B" in text or _EIGHT_DIGITS.search(text):
        text = _NUMBER.sub(_masked_number, text)
    return text


def masked_texts(texts: Sequence[str]) -> list[str]:
    """`masked_text` of each, all at once."""
    joined = _BETWEEN_TEXTS.join(texts)
    if joined.count(_BETWEEN_TEXTS) != len(texts) - 1:
        return [masked_text(text) for text in texts]
    if _TIMES.fullmatch(joined):
        return list(texts)
    return masked_text(joined).split(_BETWEEN_TEXTS)


def masked(value: Any, secrets: Iterable[str] = ()) -> Any:
    """A JSON value with every number, message id and secret in its texts and keys masked.

    A secret may be a list: its parts are masked too.
    """
    parts = {part for secret in secrets for part in (secret, *re.split(r"[,\s]+", secret))}
    hidden = sorted((part for part in parts if len(part) >= _SHORTEST_SECRET), key=len)
    return _masked(value, hidden[::-1])


def _masked(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, dict):
        return {_masked(key, hidden): _masked(part, hidden) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(part, hidden) for part in value]
    if not isinstance(value, str):
        return value
    for secret in hidden:
        value = value.replace(secret, "****")
    return masked_text(value)


def _masked_number(found: re.Match[str]) -> str:
    return mask(f"+{re.sub('[^0-9]', '', found[0].removeprefix('%2B'))}")


def _masked_user_id(found: re.Match[str]) -> str:
    # Of a short one the end would be almost all of it.
    end = found["rest"][-_SHOWN_DIGITS:] if len(found["rest"]) > 2 * _SHOWN_DIGITS else ""
    return f"{found['named'] or ''}{found['country']}****{end}"


def _masked_id(found: re.Match[str]) -> str:
    # Of a short one the end may hold digits of the number too.
    return f"wamid.*{found[1][-_SHOWN_OF_MESSAGE_ID:] if len(found[1]) > 24 else ''}"


def rendered(package: str, template: str, **values: object) -> str:
    """The page that `template`, a file in `package`, makes of these values.

    Values are escaped; a name that the template uses and nobody gives raises an error.
    """
    return _pages(package).get_template(template).render(values)


@cache
def _pages(package: str) -> Environment:
    """The files of a package, each compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
