"""One JSON object a line. A line that is none is refused by itself."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.delimited import too_long
from wacoex_cli.audience.formats import HEADER_IS_WITHIN, LONGEST_LINE, header_name
from wacoex_cli.audience.model import ListRecord, Sheet
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HINT = 'write one object a line, such as `{"phone": "+6591234567", "first_name": "Ana"}`'


def read_ndjson(title: str, first: str, rest: Iterator[str], before: int) -> Sheet:
    """Read JSON objects; the keys of the first one are the columns, `before` lines precede it.

    Numbers keep the digits they are written with.

    Raises:
        UsageError: none of the first lines is an object.
    """
    records = _records(itertools.chain([first], rest), before + 1)
    top = list(itertools.islice(records, HEADER_IS_WITHIN))
    columns = next((tuple(record.values) for record in top if record.fault is None), None)
    if columns is None:
        raise UsageError(
            f"line {top[0].line} of {title} cannot be read: {top[0].fault}",
            hint=_HINT,
            code="bad_row",
        )
    return Sheet(columns, itertools.chain(top, records))


def refuse_array(title: str) -> UsageError:
    """For a file that holds one JSON array."""
    return UsageError(
        f"{title} is a JSON array", hint=f"{_HINT}: `jq -c '.[]' OLD > NEW`", code="bad_row"
    )


def _records(lines: Iterator[str], first: int) -> Iterator[ListRecord]:
    for number, text in enumerate(lines, start=first):
        if text.isspace():
            continue
        if len(text) > LONGEST_LINE:
            yield ListRecord(number, {}, f"it has more than {LONGEST_LINE:,} characters")
            continue
        yield _record(number, text)


def _record(line: int, text: str) -> ListRecord:
    try:
        # As texts: 19.90 must not become 19.9, nor a long number be rounded.
        found = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_Pairs
        )
    except (ValueError, RecursionError):
        why = "it holds a NUL character" if "\0" in text else "it is not valid JSON"
        return ListRecord(line, {}, why)
    if not isinstance(found, _Pairs):
        return ListRecord(line, {}, "it is not a JSON object")
    values: dict[str, str] = {}
    kinds: dict[str, str] = {}
    fault = None
    for key, value in found.pairs:
        column = header_name(key)
        if column in values:
            fault = f"it has `{column}` twice"
        values[column], kind = _cell(value)
        if kind is not None:
            kinds[column] = kind
    if not _is_unicode(values):
        return ListRecord(line, {}, "it holds half a character (a lone surrogate)")
    return ListRecord(line, values, fault or too_long(values.values()), kinds)


class _Pairs:
    """An object with every key as often as it stands there."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _cell(value: Any) -> tuple[str, str | None]:
    if isinstance(value, str):
        return value, None
    if value is None:
        return "", None
    if isinstance(value, bool):
        word = "true" if value else "false"
        return word, f"a boolean ({word})"
    return "", "an object" if isinstance(value, _Pairs) else "a list"


def _is_unicode(values: dict[str, str]) -> bool:
    try:
        "".join(itertools.chain(values, values.values())).encode()
    except UnicodeEncodeError:
        return False
    return True
