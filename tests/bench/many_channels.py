"""What 1,000 channels with 1,000,000 events cost beside what must be done anyway, as ratios.

    python -m tests.bench.many_channels

Of the processor's time, in one run. `status` and `doctor` are compared with `reminder check`, which
reads the evidence of all channels and no events, plus what it takes to write their own JSON: of
channels of which nothing is known but their events, and of the same channels when each has facts,
companions and broadcasts.
What is about one channel is compared with the same where everybody has a tenth of the events. About
three minutes, most of them for filling the state files.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, finish, show
from tests.bench.many_events import CHANNELS, EVENTS, TRIES, run

FEWER = 10
"""This many times fewer events has the state file that is compared with."""
_OF_ALL_CHANNELS = {"status --offline --json": 1.3, "doctor --offline --json": 1.5}
_OF_POPULATED_CHANNELS = {"status --offline --json": 2.1, "doctor --offline --json": 2.2}
_OF_A_CHANNEL = (
    "status shop1 --offline --json",
    "doctor shop1 --offline --json",
    "events list --channel shop1 --json",
    "mac --channel shop1 --json",
)
_STATES = (EVENTS // FEWER, EVENTS)


class Spent(NamedTuple):
    """Seconds of the processor: for a whole command, and for writing what it printed as JSON."""

    whole: float
    writing: float


def cost(directory: Path, words: str) -> Spent:
    """What a command costs this time."""
    out = directory / "out.json"
    whole = run(directory, "wacoex_cli", *words.split(), out=out).processor_seconds
    found = json.loads(out.read_text(encoding="utf-8"))
    began = time.process_time()
    json.dumps(found)
    return Spent(whole, time.process_time() - began)


def to_check(of_command: Spent, of_check: Spent) -> float:
    """A command's cost, to that of `reminder check` plus writing the command's JSON."""
    return of_command.whole / (of_check.whole - of_check.writing + of_command.writing)


def to_whole(of_command: Spent, of_other: Spent) -> float:
    """A command's cost to that of another."""
    return of_command.whole / of_other.whole


def median_of(
    compared: Callable[[Spent, Spent], float], these: tuple[Path, str], those: tuple[Path, str]
) -> float:
    """The median of some tries; the two take turns, so that what else runs here slows down both."""
    return statistics.median(compared(cost(*these), cost(*those)) for _ in range(TRIES))


def beside_check(directory: Path, bounds: Mapping[str, float], which: str = "") -> list[Figure]:
    """The figures of commands about all channels; `which` says what these have."""
    return [
        Figure(
            f"{words} to reminder check plus its JSON{which}",
            median_of(to_check, (directory, words), (directory, "reminder check --json")),
            at_most=most,
            decimals=2,
        )
        for words, most in bounds.items()
    ]


def main() -> None:
    """Fill two state files, then run each command."""
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        places = {events: Path(name, str(events)) for events in _STATES}
        for events, place in places.items():
            place.mkdir()
            state = str(place / "wacoex.db")
            run(place, "tests.bench.filling", state, str(CHANNELS), str(events))
        fewer, place = places.values()
        figures = beside_check(place, _OF_ALL_CHANNELS)
        figures += [
            Figure(
                f"{words}, to {FEWER} times fewer events",
                median_of(to_whole, (place, words), (fewer, words)),
                at_most=1.2,
                decimals=2,
            )
            for words in _OF_A_CHANNEL
        ]
        run(place, "tests.bench.populating", str(place / "wacoex.db"))
        figures += beside_check(place, _OF_POPULATED_CHANNELS, ", populated")
        show(f"{CHANNELS} channels, {EVENTS} events", figures)


if __name__ == "__main__":
    main()
    finish()
