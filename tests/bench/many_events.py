"""What commands cost with 1,000 channels and 1,000,000 stored events: time and memory.

    python -m tests.bench.many_events

About two minutes, most of them for filling the state file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, show

CHANNELS = 1_000
EVENTS = 1_000_000
MOST_MIB = 150
TRIES = 3

_CHECKOUT = Path(__file__).parents[2]
_IMPORTED = 20_000
_TIMED = ("reminder check", "reminder check --json")
_OTHERS = (
    "reminder notify --dry-run --to json://127.0.0.1:9",
    "events list",
    "events list --json --limit 10000",
    "events import webhooks.ndjson --json",
    "mac",
    "status --offline",
    "device list --channel shop1",
    "state check",
    "state export --out all.ndjson",
    "state backup copy.db",
    "state prune --older-than 365 --dry-run",
)
_CHECKS = ("reminder check", "status", "doctor")  # any exit status of theirs is an answer


class Cost(NamedTuple):
    """What a command cost: seconds on the clock and of the processor, MiB of memory at most."""

    seconds: float
    processor_seconds: float
    mib: float


def run(directory: Path, *words: str, out: Path = Path(os.devnull)) -> Cost:
    """Run a module of Python with these words, to its end; what it prints goes to a file."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "PYTHONPATH": str(_CHECKOUT),
        "WACOEX_CONFIG_DIR": str(directory),
        "WACOEX_STATE": str(directory / "wacoex.db"),
        "WACOEX_KEYRING": "off",
    }
    with out.open("wb") as printed, (directory / "said.txt").open("w+", encoding="utf-8") as said:
        started = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=directory,
            env=environ,
            stdout=printed,
            stderr=said,
        )
        _, status, used = os.wait4(child.pid, 0)
        seconds = time.monotonic() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        first = said.readline()
    if child.returncode and not " ".join(words[1:]).startswith(_CHECKS):
        sys.exit(f"{words} ended with {child.returncode}: {first}")
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / unit)


def write_archive(path: Path) -> None:
    """An archive of payloads that are not in the log."""
    metadata = {"display_phone_number": "6580000001", "phone_number_id": "100000000000001"}
    with path.open("w", encoding="utf-8") as file:
        for number in range(_IMPORTED):
            status = {
                "id": f"wamid.new{number}",
                "status": "delivered",
                "timestamp": "1790000000",
                "recipient_id": f"659{number:07}",
            }
            change = {"field": "messages", "value": {"metadata": metadata, "statuses": [status]}}
            entry = {"id": "500001", "time": 1_790_000_000, "changes": [change]}
            body = {"object": "whatsapp_business_account", "entry": [entry]}
            file.write(f"{json.dumps(body)}\n")


def main() -> None:
    """Fill a state file, then run each command."""
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        directory = Path(name)
        state = directory / "wacoex.db"
        # As a child like the commands: the memory of a child counts from what its parent has.
        filled = run(directory, "tests.bench.filling", str(state), str(CHANNELS), str(EVENTS))
        write_archive(directory / "webhooks.ndjson")
        figures = [
            Figure("seconds to fill the state file", filled.seconds),
            Figure("MiB of the state file", state.stat().st_size / 2**20),
        ]
        for words in (*_TIMED, *_OTHERS):
            is_timed = words in _TIMED
            costs = [
                run(directory, "wacoex_cli", *words.split())
                for _ in range(TRIES if is_timed else 1)
            ]
            seconds = statistics.median(cost.seconds for cost in costs)
            processor = statistics.median(cost.processor_seconds for cost in costs)
            memory = max(cost.mib for cost in costs)
            at_most = 1.5 if is_timed else None
            figures += (
                Figure(f"seconds, {words}", seconds, at_most=at_most, decimals=2),
                Figure("  of the processor", processor, decimals=2),
                Figure("  MiB", memory, at_most=MOST_MIB),
            )
        show(f"{CHANNELS} channels, {EVENTS} events", figures)


if __name__ == "__main__":
    main()
