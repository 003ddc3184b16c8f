"""Random histories of consent: nobody is written to after a stop is stored, and nobody twice.

Numbers and ids change, numbers are given on, two processes work on one file, and what Meta tells
comes late, twice and in any order. A book of its own judges, see `history`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.broadcast.stage import make_home, place_in_memory
from tests.contacts.history import History
from wacoex_cli.contacts.store import OptOut, list_optouts
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.foundation.state import open_state

PARTS = 4
HISTORIES, SLOW_HISTORIES = 24 // PARTS, 1000 // PARTS


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose state file knows the channels and nothing else."""
    home = tmp_path_factory.mktemp("histories") / "home"
    make_home(home)
    return home


def play(seed: int, empty: Path) -> None:
    with place_in_memory() as directory:
        history = History(seed, directory, empty)
        try:
            history.play()
            with closing(open_state(history.path)) as state:
                found = list_optouts(state)
            history.judge_list(found)
            assert content(found) == content(history.in_order()), f"seed {seed}"
        finally:
            history.close()


def content(found: Sequence[OptOut]) -> list[str]:
    """Who is on the list for what and why; since when is another matter.

    An entry that says less than another one of the same name changes nothing: whether it is there
    depends on which came first.
    """
    return sorted(
        f"{one_spelling(entry.phone) if entry.phone.startswith('+') else entry.phone}"
        f" {entry.scope} {entry.source} {entry.note} {entry.account}"
        for entry in found
        if not any(covers(wider, entry) for wider in found)
    )


def covers(wider: OptOut, entry: OptOut) -> bool:
    """Whether another entry of every business says at least as much."""
    numbers = wider.phone.startswith("+") and entry.phone.startswith("+")
    is_same = wider.phone == entry.phone or (
        numbers and one_spelling(wider.phone) == one_spelling(entry.phone)
    )
    is_wider = wider.account == "" != entry.account
    return is_same and is_wider and wider.scope.covers(entry.scope)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(PARTS))
def test_nobody_is_written_to_after_a_stop_in_any_history(empty: Path, part: int) -> None:
    for seed in range(part, HISTORIES * PARTS, PARTS):
        play(seed, empty)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("part", range(PARTS))
def test_nobody_is_written_to_after_a_stop_in_a_thousand(empty: Path, part: int) -> None:
    for seed in range(1000 + part, 1000 + SLOW_HISTORIES * PARTS, PARTS):
        play(seed, empty)
