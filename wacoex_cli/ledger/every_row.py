"""Every row of a broadcast, for a CSV file and for JSON: a page of columns at a time.

A million rows take no more memory than one page.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.delimited import csv_lines
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.platforms.error_codes import ErrorCode, classify, classify_open
from wacoex_cli.terminal.row_texts import JsonRows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    Page = Sequence[Sequence[Any]]

COLUMNS = (
    "row",
    "line",
    "phone",
    "state",
    "reason",
    "code",
    "meaning",
    "detail",
    "message_id",
    "attempts",
    "claimed_at",
    "answered_at",
    "user_id",
)
_STATE, _CODE, _MEANING = map(COLUMNS.index, ("state", "code", "meaning"))
_SORTED = sorted(COLUMNS)
_PLACES = [COLUMNS.index(name) for name in _SORTED]


def pages(path: Path, broadcast_id: int) -> Iterator[Page]:
    """Every row in order, from the state file at `path`; a page holds the columns of `COLUMNS`.

    It opens the file itself, because a result is written when its command has closed its own.
    """
    with contextlib.closing(open_state(path)) as state:
        for page in Rows(state, broadcast_id).pages():
            columns: list[Sequence[Any]] = list(zip(*page, strict=True))
            meanings = [
                None if code is None else meant(code, row_state).meaning
                for code, row_state in zip(columns[_CODE], columns[_STATE], strict=True)
            ]
            columns.insert(_MEANING, meanings)
            yield columns


def csv_header() -> str:
    """The first line of the CSV file."""
    return csv_lines([name] for name in COLUMNS)


def csv_text(page: Page) -> str:
    """The lines of a page, safe to open in a spreadsheet."""
    return csv_lines(page)


def json_texts(pages: Iterable[Page]) -> Iterator[str]:
    """The objects of each page, with `, ` between them; their names are sorted."""
    rows = JsonRows(_SORTED, ascii_only=True)
    for page in pages:
        yield ", ".join(rows.texts(page[place] for place in _PLACES))


@lru_cache
def meant(code: int, state: str) -> ErrorCode:
    """What Meta's code means for a row in that state."""
    return classify_open(code) if state == RowState.RETRY else classify(code)
