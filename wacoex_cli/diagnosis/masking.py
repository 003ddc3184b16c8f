"""Masking what is meant to be shown to others: numbers, ids of messages, secrets. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wacoex_cli.foundation.phone_numbers import mask

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}(?![0-9])")
# As Meta shows it: `+65 6000 0001`.
_SPACED_NUMBER = re.compile(r"\+[1-9][0-9]{0,3}(?:[ ()-]{1,2}[0-9]{2,5}){2,5}")
_MESSAGE_ID = re.compile(r"\bwamid\.[A-Za-z0-9+/=_-]+")
_SHOWN_OF_ID = 4
_SHORTEST_PART = 6


def masked(value: Any, secrets: Iterable[str] = ()) -> Any:
    """A JSON value with every number, message id and secret in its texts masked.

    A secret may be a list: its parts are masked too.
    """
    parts = {part for one in secrets for part in (one, *re.split(r"[,\s]+", one))}
    hidden = sorted((one for one in parts if len(one) >= _SHORTEST_PART), key=len, reverse=True)
    return _masked(value, hidden)


def masked_text(text: str) -> str:
    """A text with every number and message id in it masked."""
    text = _MESSAGE_ID.sub(lambda found: f"wamid.****{found[0][-_SHOWN_OF_ID:]}", text)
    text = _SPACED_NUMBER.sub(lambda found: mask(f"+{re.sub('[^0-9]', '', found[0])}"), text)
    return _NUMBER.sub(lambda found: mask(found[0]), text)


def _masked(value: Any, hidden: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _masked(one, hidden) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(one, hidden) for one in value]
    if not isinstance(value, str):
        return value
    for secret in hidden:
        value = value.replace(secret, "****")
    return masked_text(value)
