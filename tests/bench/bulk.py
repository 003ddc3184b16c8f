"""What the commands cost that read or write everything, as a multiple of the least work there is.

    python -m tests.bench.bulk [ROWS]

The least work: the same rows read with sqlite3 and written with `csv` or `json`, one by one; of
an import: the lines parsed, and a row inserted for each. With 100,000 rows it takes a minute.
"""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.figures import Figure, finish, show
from tests.bench.filling import fill
from tests.bench.many_events import run
from tests.support.state_files import DRAFT
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 100_000
CHANNELS = 100
TICK_SECONDS = 0.1
TRIES = 3
_AGO = timedelta(days=60)
_AT_ONCE = 10_000
_STATES = ("accepted", "delivered", "read", "failed", "rejected", "pending", "skipped")


def fill_broadcast(state: State, rows: int, now: datetime) -> int:
    """A finished broadcast of this many people, in all states; gives its number."""
    with state.transaction():
        template = json.dumps({"name": "news", "language": "en", "category": "MARKETING"})
        number = Broadcasts(state).start_draft(**{**DRAFT, "template": template}, now=now)
    for start in range(1, rows + 1, _AT_ONCE):
        with state.transaction():
            state.execute_many(
                "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, reason,"
                " code, detail, attempts, message_id, claimed_at, answered_at, user_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_row(number, row, now) for row in range(start, min(start + _AT_ONCE, rows + 1))],
            )
    with state.transaction():
        Rows(state, number).count_again()
        state.execute(
            "UPDATE broadcasts SET status = 'completed', finished_at = ? WHERE broadcast_id = ?",
            [to_text(now), number],
        )
    return number


def _row(number: int, row: int, now: datetime) -> tuple[object, ...]:
    state = _STATES[row % len(_STATES)]
    is_taken = state in ("accepted", "delivered", "read", "failed")
    is_tried = is_taken or state == "rejected"
    at = to_text(now + timedelta(milliseconds=50 * row))
    words = json.dumps([f"Person {row}", f"{row}"])
    return (
        *(number, row, row + 1, f"+659{row * 7919 % 10_000_000:07}", words, state),
        "opted_out" if state == "skipped" else None,
        131026 if state in ("failed", "rejected") else None,
        'Message undeliverable: "+6591234567", try later' if state == "rejected" else None,
        int(is_tried),
        f"wamid.HBgKNjU5{row:010}FQIAERgSQUJDREVGR0hJSktMTU5PUA" if is_taken else None,
        *((at, at) if is_tried else (None, None)),
        f"SG.{row:016}" if row % 10 == 0 else None,
    )


def write_archive(path: Path, payloads: int) -> None:
    """An archive of payloads as they come: statuses, messages and echoes."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(payloads):
            file.write(f"{json.dumps(_payload(number))}\n")


def _payload(number: int) -> dict[str, object]:
    channel = number % CHANNELS + 1
    phone = f"658{channel:07}"
    metadata = {
        "display_phone_number": phone,
        "phone_number_id": f"{100_000_000_000_000 + channel}",
    }
    person, at = f"659{number % 30_000:07}", str(1_790_000_000 + number)
    value: dict[str, object] = {"messaging_product": "whatsapp", "metadata": metadata}
    field = "messages"
    message = {"id": f"wamid.new{number:040}", "timestamp": at, "type": "text"}
    if number % 5 in (0, 3):
        value["contacts"] = [{"profile": {"name": f"Person {number}"}, "wa_id": person}]
        text = {"body": f"Is table {number} free tonight? We are three."}
        value["messages"] = [{**message, "from": person, "text": text}]
    elif number % 5 == 1:
        field = "smb_message_echoes"
        text = {"body": "Yes, it is free from eight o'clock on."}
        value["message_echoes"] = [{**message, "from": phone, "to": person, "text": text}]
    else:
        value["statuses"] = [
            {
                "id": f"wamid.new{number:040}",
                "status": "delivered",
                "timestamp": at,
                "recipient_id": person,
                "pricing": {
                    "billable": True,
                    "pricing_model": "PMP",
                    "category": "marketing",
                    "type": "regular",
                },
            }
        ]
    entry = {"id": f"{500_000 + channel}", "changes": [{"field": field, "value": value}]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def processor_seconds(work: Callable[[], None]) -> float:
    """What a piece of work in this process takes of the processor."""
    started = time.process_time()
    work()
    return time.process_time() - started


def least_csv(state: Path, target: Path) -> None:
    """Every row of the broadcast with `csv`."""
    with contextlib.closing(sqlite3.connect(state)) as reader, target.open("w") as file:
        csv.writer(file).writerows(reader.execute("SELECT * FROM recipients ORDER BY row"))


def least_json(state: Path, target: Path, *tables: str) -> None:
    """Every row of some tables with `json`, each an object."""
    with contextlib.closing(sqlite3.connect(state)) as reader, target.open("w") as file:
        for table in tables:
            cursor = reader.execute(f"SELECT * FROM {table}")
            names = [column[0] for column in cursor.description]
            for row in cursor:
                file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n")


def least_import(archive: Path, target: Path) -> None:
    """Every line parsed, and kept in a table."""
    with (
        contextlib.closing(sqlite3.connect(target)) as writer,
        archive.open(encoding="utf-8") as file,
    ):
        writer.execute("CREATE TABLE payloads (payload_id INTEGER PRIMARY KEY, body TEXT)")
        with writer:
            for line in file:
                body = json.dumps(json.loads(line), sort_keys=True)
                writer.execute("INSERT INTO payloads (body) VALUES (?)", [body])


def outputs(directory: Path, rows: int) -> None:
    """Report and export of all rows, and an import."""
    state = directory / "wacoex.db"
    scratch = directory / "least"
    number = str(_filled(state, rows))
    write_archive(directory / "webhooks.ndjson", rows // 5)
    start = run(directory, "wacoex_cli", "state", "path").processor_seconds
    tables = ("recipients", "payloads", "events", "active_contacts")
    commands = {
        f"broadcast report {number} --csv rows.csv": (
            2.0, processor_seconds(lambda: least_csv(state, scratch)),
        ),
        f"broadcast report {number} --json": (
            0.5, processor_seconds(lambda: least_json(state, scratch, "recipients")),
        ),
        "state export --out all.ndjson": (
            2.0, processor_seconds(lambda: least_json(state, scratch, *tables)),
        ),
        "state export --show-numbers --out open.ndjson": (
            1.0, processor_seconds(lambda: least_json(state, scratch, *tables)),
        ),
        "events import webhooks.ndjson": (
            8.5,
            processor_seconds(
                lambda: least_import(directory / "webhooks.ndjson", directory / "least.db")
            ),
        ),
    }  # fmt: skip
    figures: list[Figure] = []
    for words, (at_most, least) in commands.items():
        cost = run(directory, "wacoex_cli", *words.split())
        spent = cost.processor_seconds - start
        figures += (
            Figure(f"times the least work, {words}", spent / least, at_most=at_most, decimals=1),
            Figure("  MiB", cost.mib, at_most=150),
        )
    show(f"{rows} rows of a broadcast, {rows} events, {rows // 5} payloads to import", figures)


def many_broadcasts(directory: Path, rows: int) -> None:
    """List and report where there are 1,000 broadcasts, and a large one, against ten."""
    costs: dict[int, list[float]] = {}
    commands = ("broadcast list --json", "broadcast show 5 --json", "broadcast report 5 --json")
    for broadcasts in (10, 1_000):
        place = directory / f"{broadcasts}"
        place.mkdir()
        fill(place / "wacoex.db", 1, 100)
        with contextlib.closing(open_state(place / "wacoex.db")) as state:
            for _ in range(broadcasts):
                fill_broadcast(state, 10, datetime.now(UTC) - _AGO)
            if broadcasts > 10:
                fill_broadcast(state, rows, datetime.now(UTC) - _AGO)
        run(place, "wacoex_cli", "status", "--offline")
        costs[broadcasts] = [
            min(run(place, "wacoex_cli", *words.split()).processor_seconds for _ in range(TRIES))
            for words in commands
        ]
    show(
        f"1,000 broadcasts of 10 rows and one of {rows}, against ten broadcasts",
        [
            Figure(f"times the processor, {words}", many / few, at_most=at_most, decimals=2)
            for words, at_most, few, many in zip(
                commands, (2.0, 1.3, 1.3), costs[10], costs[1_000], strict=True
            )
        ],
    )


def _filled(path: Path, rows: int) -> int:
    fill(path, CHANNELS, rows)
    with contextlib.closing(open_state(path)) as state:
        return fill_broadcast(state, rows, datetime.now(UTC) - _AGO)


class OtherWriter(threading.Thread):
    """Another writer, which commits ten times a second as a sender does."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.ended = threading.Event()
        self.waits: list[float] = []

    def run(self) -> None:
        """Commit until it is ended."""
        with contextlib.closing(open_state(self._path)) as state:
            due = time.monotonic()
            while not self.ended.wait(max(0.0, due - time.monotonic())):
                started = time.monotonic()
                with state.transaction():
                    state.execute("UPDATE about SET value = value WHERE key = 'state_id'")
                self.waits.append(time.monotonic() - started)
                due += TICK_SECONDS


def ticks_beside(directory: Path, longest: float, *words: str) -> tuple[Figure, Figure]:
    """Run a command beside another writer: how many ticks that had, and the longest of them.

    `longest` is how many seconds that may take.
    """
    other = OtherWriter(directory / "wacoex.db")
    other.start()
    started = time.monotonic()
    run(directory, "wacoex_cli", *words)
    wanted = (time.monotonic() - started) / TICK_SECONDS
    other.ended.set()
    other.join()
    return (
        Figure("ticks to wanted", len(other.waits) / wanted, at_least=0.95, decimals=2),
        Figure("longest tick, s", max(other.waits), at_most=longest, decimals=2),
    )


def importing(directory: Path, rows: int) -> None:
    """An import, and what the projections make of it, beside a writer."""
    _filled(directory / "wacoex.db", rows)
    write_archive(directory / "webhooks.ndjson", rows // 5)
    show(
        f"`events import` of {rows // 5} payloads beside a writer, ten times a second",
        ticks_beside(directory, 0.2, "events", "import", "webhooks.ndjson"),
    )


def pruning(directory: Path, rows: int) -> None:
    """Old events and a broadcast removed, and their space given back, beside a writer."""
    state = directory / "wacoex.db"
    _filled(state, rows)
    with contextlib.closing(open_state(state)) as opened:
        fill_broadcast(opened, 1, datetime.now(UTC) - _AGO)
    before = state.stat().st_size
    ticks = ticks_beside(directory, 0.5, "state", "prune", "--older-than", "1", "--yes")
    with contextlib.closing(open_state(state)) as opened:
        left = opened.value("SELECT COUNT(*) FROM recipients")
    show(
        f"`state prune` of {rows} rows and {rows} events beside a writer, ten times a second",
        (
            Figure("rows left, of the newest broadcast", left, at_most=1),
            Figure("size after to before", state.stat().st_size / before, at_most=0.5, decimals=2),
            *ticks,
        ),
    )


def main() -> None:
    """All measurements."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    for measure in (outputs, importing, pruning, many_broadcasts):
        with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
            measure(Path(name), rows)


if __name__ == "__main__":
    main()
    finish()
