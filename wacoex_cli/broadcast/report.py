"""What became of a broadcast: totals, runs, decisions, and each row, as JSON or CSV."""

from __future__ import annotations

import csv
import io
import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import view
from wacoex_cli.broadcast.model import RowState
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.foundation.new_file import new_private_file
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.render import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.foundation.state import Row, State

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
    "message_status",
    "attempts",
    "claimed_at",
    "answered_at",
)
_MOST_SHOWN = 20
_LINES_AT_ONCE = 1_000
# Spreadsheets run a cell that begins like this; the wide forms count in East Asian versions.
_BEGINS_A_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def totals(state: State, broadcast: Broadcast) -> dict[str, Any]:
    """The JSON of a report without its rows. Rates are messages per second."""
    broadcast_id = broadcast.broadcast_id
    data = view.summary(state, broadcast, Rows(state, broadcast_id).counts())
    codes = [{**entry, "meaning": _meaning(entry["code"])} for entry in data["codes"]]
    return {
        **data,
        "codes": codes,
        "funnel": funnel(data["counts"]),
        "runs": Rows(state, broadcast_id).runs(),
        "decisions": Rows(state, broadcast_id).decisions(),
    }


def funnel(counts: Mapping[str, int]) -> dict[str, int]:
    """How many messages came how far; who read a message also counts as delivered and sent."""
    read = counts[RowState.READ]
    delivered = counts[RowState.DELIVERED] + read
    sent = counts[RowState.SENT] + delivered
    failed = counts[RowState.FAILED]
    return {
        "recipients": sum(counts.values()) - counts[RowState.SKIPPED],
        "accepted": counts[RowState.ACCEPTED] + sent + failed,
        "sent": sent,
        "delivered": delivered,
        "read": read,
        "failed": failed,
    }


def share(part: int, whole: int) -> str:
    """A part in percent with one decimal; it says 100.0 % and 0.0 % only when that is so."""
    if not whole or part in (0, whole):
        return "100.0 %" if part else "0.0 %"
    return f"{min(99.9, max(0.1, 100 * part / whole)):.1f} %"


def text(state: State, data: dict[str, Any]) -> Iterator[str | Table]:
    """The same for a person, with the first rows that did not go well."""
    yield from view.sentences(data)
    steps = dict(data["funnel"])
    people = steps.pop("recipients")
    if data["started_at"]:
        told = ", ".join(f"{n} {name} ({share(n, people)})" for name, n in steps.items())
        yield f"  how far the {people} came: {told}"
    for run in data["runs"]:
        yield (
            f"  run {run['run_id']}: {run['started_at']} to {run['last_active_at']},"
            f" {run['active_seconds']:.1f} s at {run['rate']:g}/s asked,"
            f" ended as {run['ended_as'] or 'unknown'} (process {run['pid']} on {run['host']})"
        )
    decisions = data["decisions"]
    for one in decisions[:_MOST_SHOWN]:
        about = "" if one["row"] is None else f"row {one['row']}: "
        yield f"  decided {one['decided_at']} by {one['decided_by']}: {about}{one['decision']}"
    if len(decisions) > _MOST_SHOWN:
        yield f"  and {len(decisions) - _MOST_SHOWN} more decisions: --json has them all"
    yield from _unsettled(state, data["broadcast_id"])


def _unsettled(state: State, broadcast_id: int) -> Iterator[str | Table]:
    rows = Rows(state, broadcast_id).unsettled(_MOST_SHOWN + 1)
    if not rows:
        return
    columns = ("row", "line", "phone", "state", "code", "detail")
    yield Table(columns, [[row[name] for name in columns] for row in rows[:_MOST_SHOWN]])
    if len(rows) > _MOST_SHOWN:
        yield f"and more: wacoex broadcast report {broadcast_id} --csv FILE has every row"


def rows(path: Path, broadcast_id: int) -> Iterator[Row]:
    """Every row of a broadcast in order, from the state file at `path`, in flat memory.

    It opens the file itself, because a result is written when its command has closed its own.
    """
    state = open_state(path)
    try:
        for row in Rows(state, broadcast_id).every_row():
            code = row["code"]
            yield {**row, "meaning": None if code is None else _meaning(code)}
    finally:
        state.close()


def csv_text(rows: Iterable[Row]) -> Iterator[str]:
    """A CSV file in pieces of a thousand lines, safe to open in a spreadsheet."""
    yield _lines([COLUMNS])
    cells = ([safe_cell(row[name]) for name in COLUMNS] for row in rows)
    while piece := list(itertools.islice(cells, _LINES_AT_ONCE)):
        yield _lines(piece)


def write_csv(target: Path, rows: Iterable[Row]) -> int:
    """Write a new CSV file that only its owner may read; returns the number of its rows.

    Raises:
        UsageError: the file exists or cannot be made.
        StateError: the disk is full.
    """
    numbers = itertools.count()
    counted = (row for row, _ in zip(rows, numbers, strict=False))
    with (
        new_private_file(target) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        file.writelines(csv_text(counted))
    return next(numbers)


def safe_cell(value: object) -> str:
    """The text of a cell that no spreadsheet takes for a formula.

    A text that would be one, a phone number too, gets an apostrophe in front. Spreadsheets then
    keep it as text, and wacoex reads `'+6591234567` as the number that it is.
    """
    cell = "" if value is None else str(value)
    is_formula = cell.lstrip(" ")[:1] in _BEGINS_A_FORMULA
    return f"'{cell}" if is_formula else cell


def _lines(rows: Iterable[Iterable[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


@lru_cache
def _meaning(code: int) -> str:
    return classify(code).meaning
