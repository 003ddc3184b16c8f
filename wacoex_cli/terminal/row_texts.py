"""Many rows as JSON objects, written column by column: an object for each row costs far more."""

from __future__ import annotations

import json
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SAMPLE = 64
# Equal values of these types are written alike; 1, 1.0 and True are equal too, and are not.
_COMPARABLE = frozenset({str, int, type(None)})


class JsonRows:
    """Writes rows as `json.dumps` would write a dictionary of each, with `names` in their order.

    `ascii_only` is its `ensure_ascii`. The entries of `fixed` come first in every row.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        ascii_only: bool,
        fixed: Mapping[str, object] | None = None,
    ) -> None:
        self._encode = json.JSONEncoder(ensure_ascii=ascii_only).encode
        self._quote = encode_basestring_ascii if ascii_only else encode_basestring
        entries = [
            f"{self._quote(name)}: {self._encode(value)}" for name, value in (fixed or {}).items()
        ]
        self._start = "".join(f"{entry}, " for entry in entries)
        self._names = [f"{self._quote(name)}: " for name in names]

    def texts(self, columns: Iterable[Sequence[object]]) -> list[str]:
        """The object of each row; the columns come in the order of the names."""
        start = self._start
        entries = [self._entries(*each) for each in zip(self._names, columns, strict=True)]
        return [f"{{{start}{row}}}" for row in map(", ".join, zip(*entries, strict=True))]

    def _entries(self, name: str, column: Sequence[object]) -> list[str]:
        """A column, its name before each value; what repeats in it is written once."""
        if _repeats(column):
            different = list(set(column))
            entries = dict(zip(different, self._each(name, different), strict=True))
            return [entries[value] for value in column]
        return self._each(name, column)

    def _each(self, name: str, values: Iterable[object]) -> list[str]:
        quote, encode = self._quote, self._encode
        null = f"{name}null"
        return [
            name + quote(value)
            if isinstance(value, str)
            else null
            if value is None
            else f"{name}{value}"
            if type(value) is int
            else name + encode(value)
            for value in values
        ]


def _repeats(column: Sequence[object]) -> bool:
    """Whether the values at the top of a column repeat, and all can be compared."""
    top = column[:_SAMPLE]
    return len(set(top)) < len(top) / 2 and _COMPARABLE.issuperset(map(type, column))
