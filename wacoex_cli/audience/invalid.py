"""Why a number of a list cannot be sent to, as its row in a plan and a report says it."""

from __future__ import annotations

import re

_SHORTENED = re.compile(r"'?\+?[0-9](?:[.,][0-9]*)?[eE]\+?[0-9]{1,2}")
_NATIONAL = re.compile(r"'?[0-9 ().\-/]+")


def why_invalid(text: str, country: str | None) -> str:
    """What is wrong with a text that is no phone number; `country` is the one of `--country`."""
    text = text.strip()
    if not text:
        return "no number in this row"
    if _SHORTENED.fullmatch(text):
        return (
            f"a spreadsheet shortened this number to {text} and its digits are lost:"
            " format the column as text and enter or export it again"
        )
    if country is None and _NATIONAL.fullmatch(text):
        return "neither + and country code nor --country"
    where = f" of {country}" if country else ""
    return f"not a phone number{where}"
