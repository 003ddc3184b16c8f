"""Recipients in NDJSON: one JSON object a line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.model import Sheet
from wacoex_cli.audience.text import header_name
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_HINT = 'write one object a line, such as `{"phone": "+6591234567", "first_name": "Ana"}`'


def read(title: str, first: str, rest: Iterator[str], before: int) -> Sheet:
    """Read JSON objects; the keys of the `first` one are the columns, `before` lines precede it.

    Numbers keep the digits they are written with. Raises UsageError, now or while reading, for a
    line that is no object of texts, numbers, booleans and nulls.
    """
    line = before + 1
    start = _values(title, line, first)
    return Sheet(tuple(start), _records(title, line, start, rest))


def refuse_array(title: str) -> UsageError:
    """For a file that holds one JSON array."""
    return UsageError(
        f"{title} is a JSON array", hint=f"{_HINT}: `jq -c '.[]' OLD > NEW`", code="bad_row"
    )


def _records(
    title: str, line: int, start: Mapping[str, str], rest: Iterator[str]
) -> Iterator[tuple[int, Mapping[str, str]]]:
    yield line, start
    for number, text in enumerate(rest, start=line + 1):
        if not text.isspace():
            yield number, _values(title, number, text)


def _values(title: str, line: int, text: str) -> dict[str, str]:
    try:
        # As texts: 19.90 must not become 19.9, nor a long number be rounded.
        found = json.loads(text, parse_int=str, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise _bad(title, line, "is not valid JSON") from error
    if not isinstance(found, dict):
        raise _bad(title, line, "is not a JSON object")
    return {header_name(key): _text(title, line, key, value) for key, value in found.items()}


def _text(title: str, line: int, key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    raise _bad(title, line, f"has a list or an object in `{key}`")


def _bad(title: str, line: int, fault: str) -> UsageError:
    return UsageError(f"line {line} of {title} {fault}", hint=_HINT, code="bad_row")
