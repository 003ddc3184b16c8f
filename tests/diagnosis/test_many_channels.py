"""A command asks the state file as often for a hundred channels as for ten."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from tests.support.many_channels import fill
from tests.support.state_files import make_empty
from wacoex_cli.foundation.state import open_state

NOW = datetime(2026, 11, 7, 12, 30, tzinfo=UTC)
COMMANDS = (
    "status --offline",
    "status shop3 --offline",
    "doctor --offline",
    "doctor shop3 --offline",
    "reminder check",
    "reminder check --nagios",
    "events list",
    "events list --channel shop3",
    "channel list",
    "mac",
    "mac --channel shop3",
    # Without a token nobody is asked, and what comes before and after it happens.
    "status",
    "doctor",
    "reminder notify --dry-run --to json://127.0.0.1:9",
    "partner check",
    "channel show shop3",
    "device list --channel shop3",
    "optout list",
)
_VALUE = re.compile(r"'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b")
_STEPS_AT_ONCE = 100
_VALUES = re.compile(r"\?(?:, \?)+")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """State files of ten channels and of a hundred."""
    paths = {}
    for channels in (10, 100):
        paths[channels] = make_empty(tmp_path_factory.mktemp("many") / f"{channels}.db")
        with closing(open_state(paths[channels])) as state:
            fill(state, channels, NOW, events=20)
    return paths


class Work:
    """Every statement that SQLite is given, with its values, and how many steps all took."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps = 0

    def count_steps(self) -> None:
        self.steps += _STEPS_AT_ONCE

    def begin(self) -> None:
        self.statements.clear()
        self.steps = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What the state file is asked for from now on."""
    seen, connect = Work(), sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.statements.append)
        connection.set_progress_handler(seen.count_steps, _STEPS_AT_ONCE)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return seen


def shapes(statements: list[str]) -> Counter[str]:
    """How often each statement came, whatever its values."""
    return Counter(_VALUES.sub("?", _VALUE.sub("?", statement)) for statement in statements)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_hundred_channels_take_as_many_statements_as_ten(
    words: str,
    filled: dict[int, Path],
    work: Work,
    run: Callable[..., Any],
) -> None:
    counts, steps = {}, {}
    with freeze_time(NOW):
        for channels, path in filled.items():
            environ = {"WACOEX_STATE": str(path)}
            run("status", "--offline", env=environ)  # brings the projections up to date
            work.begin()
            outcome = run(*words.split(), "--json", env=environ)
            assert outcome.envelope["data"], outcome.err
            counts[channels], steps[channels] = shapes(work.statements), work.steps

    assert counts[10]
    assert counts[100] - counts[10] == counts[10] - counts[100] == Counter()
    # No statement compares all channels with all: a hundred take ten times as much at most.
    assert steps[100] < 11 * steps[10]
