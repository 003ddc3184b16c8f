"""How long the program takes to start, as multiples of `python -c pass` on the same machine.

    python -m tests.bench.startup

Medians of interleaved runs, compiled, with a warm disk; about a minute. What got there:

- `--version` is answered before anything is imported.
- At module level commands import the standard library and typer only; each heavy library has one
  home, which is imported inside functions (ruff and tests/test_startup.py hold that).
- typer below 0.29, which would build a pydantic adapter for each parameter; no rich markup.
- The answers to zsh and fish are our own: Typer's load rich to format each description, which
  alone takes as long as everything else. fish asks once for a TAB, not twice.
- Names on TAB come from one read-only query with the standard library's sqlite3: no settings
  model and no migration. tomllib is imported when there is a config.toml.
- A state file whose schema is current is opened without sqlite-utils, whose import alone takes
  three times as long as bare Python.
- What is left for a command is imports: pydantic and pydantic-settings (with asyncio, which the
  latter brings) are about half of it. Looked at and left alone: the garbage collector switched
  off meanwhile, which gains nothing that can be measured, and pydantic's look for plugins, which
  costs less than the noise.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure, show

ROUNDS = 15
PROGRAM = (sys.executable, "-m", "wacoex_cli")
BARE = (sys.executable, "-c", "pass")
LINE = "wacoex channel show s"

Case = tuple[tuple[str, ...], dict[str, str]]

CASES: dict[str, tuple[Case, float | None]] = {
    "--version": (((*PROGRAM, "--version"), {}), 3),
    "--help": (((*PROGRAM, "--help"), {}), 12),
    "usage error": (((*PROGRAM, "chanel"), {}), 12),
    "TAB in bash": (
        (
            PROGRAM,
            {"_WACOEX_COMPLETE": "complete_bash", "COMP_WORDS": LINE, "COMP_CWORD": "3"},
        ),
        12,
    ),
    "TAB in zsh": (
        (PROGRAM, {"_WACOEX_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": LINE}),
        18,
    ),
    "TAB in fish": (
        (PROGRAM, {"_WACOEX_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": LINE}),
        18,
    ),
    "channel list --json": (((*PROGRAM, "channel", "list", "--json"), {}), None),
    "status --offline --json": (((*PROGRAM, "status", "--offline", "--json"), {}), 30),
}


def seconds(case: Case, home: Path) -> float:
    """One run, from fork to exit."""
    command, environ = case
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WACOEX_")}
    started = time.perf_counter()
    subprocess.run(
        command,
        env={
            **kept,
            **environ,
            "HOME": str(home),
            "WACOEX_STATE": str(home / "wacoex.db"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        cwd=home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return time.perf_counter() - started


def main() -> None:
    """Measure everything in turns, so that a busy moment meets all of them."""
    cases: dict[str, Case] = {"python": (BARE, {})}
    cases.update((name, case) for name, (case, _) in CASES.items())
    taken: dict[str, list[float]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        for number, name in enumerate(("shop", "shed", "kiosk")):
            phone = f"+656000000{number}"
            seconds(((*PROGRAM, "channel", "add", name, "--phone", phone), {}), home)
        for round_number in range(ROUNDS + 1):
            for name, case in cases.items():
                elapsed = seconds(case, home)
                if round_number:  # the first one warms the disk
                    taken[name].append(elapsed)
    bare = statistics.median(taken["python"])
    show(
        "Start-up, times `python -c pass`",
        [
            Figure("python -c pass, ms", bare * 1000, decimals=1),
            *(
                Figure(name, statistics.median(taken[name]) / bare, at_most=limit, decimals=1)
                for name, (_, limit) in CASES.items()
            ),
        ],
    )


if __name__ == "__main__":
    main()
