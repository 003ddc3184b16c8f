"""Everything in the state file, table by table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.state import Row, State

_PAGE = 2_000


def tables(state: State) -> list[str]:
    """The names of all tables but SQLite's own, in order."""
    found = state.rows(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
        " ESCAPE '!' ORDER BY name"
    )
    return [row["name"] for row in found]


def rows(state: State, table: str) -> Iterator[Row]:
    """Every row of a table, read a page at a time, each page as things are when it is read."""
    last = -1
    while page := state.rows(
        f'SELECT rowid AS export_place, * FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT ?',
        [last, _PAGE],
    ):
        last = page[-1]["export_place"]
        for row in page:
            del row["export_place"]
            yield row
