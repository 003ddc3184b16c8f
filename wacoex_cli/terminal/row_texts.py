"""Many rows as JSON objects, written column by column: an object for each row costs far more."""

from __future__ import annotations

import json
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


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
        entries = [(name, self._encode(value)) for name, value in (fixed or {}).items()]
        parts = [f"{self._quote(name)}: {value}".replace("%", "%%") for name, value in entries]
        parts += [f"{self._quote(name).replace('%', '%%')}: %s" for name in names]
        self._template = f"{{{', '.join(parts)}}}"

    def texts(self, columns: Iterable[Sequence[object]]) -> list[str]:
        """The object of each row; the columns come in the order of the names."""
        template = self._template
        cells = map(self._cells, columns)
        return [template % row for row in zip(*cells, strict=True)]

    def _cells(self, column: Iterable[object]) -> list[object]:
        quote, encode = self._quote, self._encode
        return [
            quote(value)
            if isinstance(value, str)
            else "null"
            if value is None
            else value
            if type(value) is int
            else encode(value)
            for value in column
        ]
