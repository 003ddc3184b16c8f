"""Rows as JSON, column by column: byte for byte what `json.dumps` writes of each."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wacoex_cli.terminal.row_texts import JsonRows

VALUES = st.none() | st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans()
NAMES = ("plain", "50 %", 'a "quote"', "caf\u00e9")


@example(rows=[(1, True, 1.0, 0.0), (True, 1, 1, -0.0), (1.0, 1.0, True, 0)], ascii_only=True)
@example(rows=[(row, "same", row % 2, None) for row in range(100)], ascii_only=True)
@given(rows=st.lists(st.tuples(*(VALUES for _ in NAMES)), min_size=1), ascii_only=st.booleans())
def test_a_row_is_written_as_json_dumps_writes_it(rows, ascii_only) -> None:
    columns = list(zip(*rows, strict=True))

    texts = JsonRows(NAMES, ascii_only=ascii_only, fixed={"%s": "50 %"}).texts(columns)

    assert texts == [
        json.dumps({"%s": "50 %", **dict(zip(NAMES, row, strict=True))}, ensure_ascii=ascii_only)
        for row in rows
    ]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        JsonRows(("a", "b"), ascii_only=True).texts([[1, 2], [1]])
