"""Everything in the state file as NDJSON, a page of each table at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wacoex_cli.foundation.masking import mask, masked, masked_texts
from wacoex_cli.foundation.state import demand_file, new_private_file
from wacoex_cli.terminal.row_texts import JsonRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

_PAGE = 2_000
_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%'"
    " ESCAPE '!' ORDER BY name"
)
_USER_IDS = frozenset({"user_id", "previous_user_id"})
# In the body of a webhook a number is bare digits, among ids and times alike.
_LEFT_OUT = ("payloads", "body")
_encoded = json.JSONEncoder(ensure_ascii=False).encode


def export(
    workspace: Workspace, out: Path | None, show: Callable[[str], None], *, show_numbers: bool
) -> int:
    """Write every row as a line of JSON, its table under `table`; returns the number of lines.

    They go to a new file that only its owner may read, or without one to `show`, a page at once;
    numbers are masked unless `show_numbers`.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: there is no state file, or the disk is full.
    """
    demand_file(workspace.settings.state)
    pages = _pages_of_lines(workspace.state, show_numbers=show_numbers)
    if out is None:
        return _write(pages, show)
    with new_private_file(out) as part, part.open("w", encoding="utf-8") as file:
        return _write(pages, file.write)


def _write(pages: Iterable[list[str]], write: Callable[[str], object]) -> int:
    count = 0
    for lines in pages:
        write("\n".join([*lines, ""]))
        count += len(lines)
    return count


def _pages_of_lines(state: State, *, show_numbers: bool) -> Iterator[list[str]]:
    for (table,) in state.tuples(_TABLES):
        names = [row["name"] for row in state.rows(f'PRAGMA table_info("{table}")')]
        rows = JsonRows(names, ascii_only=False, fixed={"table": table})
        for columns in _pages(state, table, names):
            shown: Sequence[Sequence[Any]] = columns
            if not show_numbers:
                shown = [
                    [None] * len(column) if (table, name) == _LEFT_OUT else _masked(name, column)
                    for name, column in zip(names, columns, strict=True)
                ]
            yield rows.texts(shown)


def _pages(state: State, table: str, names: Sequence[str]) -> Iterator[Sequence[Sequence[Any]]]:
    """The columns of a table, a page of rows at a time, each page as it is when it is read."""
    last = -1
    columns = ", ".join(f'"{name}"' for name in names)
    while page := state.tuples(
        f'SELECT rowid, {columns} FROM "{table}" WHERE rowid > ? ORDER BY rowid LIMIT ?',
        [last, _PAGE],
    ):
        last = page[-1][0]
        yield list(zip(*page, strict=True))[1:]


def _masked(name: str, column: Sequence[Any]) -> list[Any]:
    """The values of a column without numbers, user ids and message ids."""
    # Most values of a page are the same, or are times; each different one is masked once.
    texts = list({value for value in column if isinstance(value, str)})
    if not texts:
        return list(column)
    shown = _masked_texts(name, texts)
    return [shown[value] if isinstance(value, str) else value for value in column]


def _masked_texts(name: str, texts: Sequence[str]) -> Mapping[str, str]:
    if name == "phone":
        return {text: mask(text) for text in texts}
    if name in _USER_IDS:
        return {text: mask(f"user_id:{text}").removeprefix("user_id:") for text in texts}
    shown = dict(zip(texts, masked_texts(texts), strict=True))
    return {
        text: _masked_json(text, plain) if text.startswith(("{", "[")) else plain
        for text, plain in shown.items()
    }


def _masked_json(text: str, masked_as_text: str) -> str:
    """The JSON with its texts and keys masked, where it is JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return masked_as_text
    # Without escapes its texts stand in it as they are: nothing in them was masked.
    is_open = masked_as_text == text and "\\" not in text
    return _encoded(value if is_open else masked(value))
