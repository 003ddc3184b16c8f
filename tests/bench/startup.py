"""How long the program takes to start, as multiples of `python -c pass` on the same machine.

    python -m tests.bench.startup

On a state file with 3 channels and 1,000 events, 10 of them not yet projected, which is put back
before each run. Medians of interleaved runs, compiled, with a warm disk; about three minutes.
Each figure is given twice: in seconds on the clock, which the limits are about, and in seconds
of the processor, which a busy machine disturbs less. What got there:

- `--version` is answered before anything is imported.
- `app` is a table. A group or a command is imported when it is used, and only the command that
  is used is made from its function; help and TAB take names and first lines from the table.
- At module level commands import the standard library, typer and their package's model only;
  each heavy library has one home, which is imported inside functions (ruff and
  tests/test_startup.py hold that).
- typer below 0.29, which would build a pydantic adapter for each parameter; no rich markup.
- The answers to zsh and fish are our own: Typer's load rich to format each description, which
  alone takes as long as everything else. fish asks once for a TAB, not twice.
- Names on TAB come from one read-only query with the standard library's sqlite3: no settings
  model and no migration. tomllib is imported when there is a config.toml.
- A state file whose schema is current is opened without sqlite-utils, whose import alone takes
  three times as long as bare Python.
- The settings are validated by pydantic once: an unchanged configuration is read back from the
  cache directory. "cold" is the same command without that file.
- Looked at and left alone: the garbage collector switched off meanwhile, which gains nothing
  that can be measured, and pydantic's look for plugins, which costs less than the noise.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.bench.figures import Figure, finish, show
from tests.bench.filling import fill
from wacoex_cli.foundation.state import open_state

ROUNDS = int(os.environ.get("ROUNDS", "15"))
CHANNELS, EVENTS, UNSEEN = 3, 1_000, 10
PROGRAM = (sys.executable, "-m", "wacoex_cli")
LINE = "wacoex channel show s"


class Case(NamedTuple):
    """A command line, or with `environ` a TAB, and how often bare Python it may take.

    A cold one reads its settings again.
    """

    words: tuple[str, ...]
    at_most: float
    environ: Mapping[str, str] = MappingProxyType({})
    is_cold: bool = False


_BARE = Case((), 1)
CASES = {
    "--version": Case(("--version",), 2.2),
    "--help": Case(("--help",), 10.5),
    "usage error": Case(("chanel",), 10.5),
    "TAB in bash": Case(
        (), 10.5, {"_WACOEX_COMPLETE": "complete_bash", "COMP_WORDS": LINE, "COMP_CWORD": "3"}
    ),
    "TAB in zsh": Case(
        (), 10.5, {"_WACOEX_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": LINE}
    ),
    "TAB in fish": Case(
        (), 10.5, {"_WACOEX_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": LINE}
    ),
    "reminder check": Case(("reminder", "check"), 19),
    "broadcast list": Case(("broadcast", "list"), 19),
    "status --offline --json": Case(("status", "--offline", "--json"), 23),
    "channel list --json": Case(("channel", "list", "--json"), 19),
    "reminder check, cold": Case(("reminder", "check"), 40, is_cold=True),
    "broadcast list, cold": Case(("broadcast", "list"), 40, is_cold=True),
    "status --offline --json, cold": Case(("status", "--offline", "--json"), 44, is_cold=True),
}


class Cost(NamedTuple):
    """What one run took, from fork to exit: seconds on the clock and of the processor."""

    clock: float
    processor: float


def measure(command: tuple[str, ...], case: Case, home: Path) -> Cost:
    """Put the state file back and run the command to its end."""
    shutil.copy(home / "filled.db", home / "wacoex.db")
    if case.is_cold:
        shutil.rmtree(home / "cache", ignore_errors=True)
    # Somebody's wish that Python keep no compiled files would have each run compile everything.
    unwanted = ("WACOEX_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    environ = {
        **kept,
        **case.environ,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "WACOEX_STATE": str(home / "wacoex.db"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    started = time.perf_counter()
    child = subprocess.Popen(
        command, env=environ, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    elapsed = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    return Cost(elapsed, used.ru_utime + used.ru_stime)


def main() -> None:
    """Measure everything in turns, so that a busy moment meets all of them."""
    taken: dict[str, list[Cost]] = {name: [] for name in ("python", *CASES)}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        fill(home / "filled.db", CHANNELS, EVENTS)
        with contextlib.closing(open_state(home / "filled.db")) as state, state.transaction():
            state.execute("UPDATE cursors SET event_id = ?", [EVENTS - UNSEEN])
        for round_number in range(ROUNDS + 1):
            costs = {"python": measure((sys.executable, "-c", "pass"), _BARE, home)}
            for name, case in CASES.items():
                costs[name] = measure((*PROGRAM, *case.words), case, home)
            if round_number:  # the first one warms the disk
                for name, cost in costs.items():
                    taken[name].append(cost)
    for number, measured in enumerate(("clock", "processor")):
        median = {name: statistics.median(cost[number] for cost in taken[name]) for name in taken}
        figures = [
            Figure(name, median[name] / median["python"], at_most=case.at_most, decimals=1)
            for name, case in CASES.items()
        ]
        title = f"Start-up, times the {1000 * median['python']:.1f} ms of `python -c pass`"
        show(f"{title}, by the {measured}", figures)


if __name__ == "__main__":
    main()
    finish()
