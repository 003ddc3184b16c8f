"""What commands cost with 1,000 channels and 1,000,000 stored events: time and memory.

    python -m tests.bench.many_events

Of the processor's time, as multiples of what `reminder check` takes in the same run, and of memory.
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

from tests.bench.figures import Figure, finish, show

CHANNELS = 1_000
EVENTS = 1_000_000
MOST_MIB = 150
TRIES = 3

_CHECKOUT = Path(__file__).parents[2]
_IMPORTED = 20_000
_CHECK = "reminder check"
MOST_SECONDS = 1.5
# Most of these times the processor's time of `reminder check`.
_OTHERS = {
    "reminder check --json": 1.5,
    "reminder notify --dry-run --to json://127.0.0.1:9": 4,
    "channel list": 1.5,
    "events list": 1.5,
    "events list --json --limit 10000": 3,
    "events import webhooks.ndjson --json": 30,
    "mac": 8,
    "status --offline": 2.5,
    "device list --channel shop1": 1.2,
    "state check": 50,
    "state export --out all.ndjson": 100,
    "state backup copy.db": 60,
    "state prune --older-than 365 --dry-run": 3,
}
_CHECKS = ("reminder check", "status", "doctor")  # any exit status is an answer


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
        run(directory, "tests.bench.filling", str(state), str(CHANNELS), str(EVENTS))
        write_archive(directory / "webhooks.ndjson")
        checks = [run(directory, "wacoex_cli", *_CHECK.split()) for _ in range(TRIES)]
        seconds = statistics.median(cost.seconds for cost in checks)
        least = statistics.median(cost.processor_seconds for cost in checks)
        figures = [
            Figure(f"seconds, {_CHECK}", seconds, at_most=MOST_SECONDS, decimals=2),
            Figure("  MiB", max(cost.mib for cost in checks), at_most=MOST_MIB),
        ]
        for words, most in _OTHERS.items():
            cost = run(directory, "wacoex_cli", *words.split())
            times = cost.processor_seconds / least
            figures += (
                Figure(f"{words}, to {_CHECK}", times, at_most=most, decimals=1),
                Figure("  MiB", cost.mib, at_most=MOST_MIB),
            )
        show(f"{CHANNELS} channels, {EVENTS} events", figures)


if __name__ == "__main__":
    main()
    finish()
