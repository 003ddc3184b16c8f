"""A command asks the state file as often for a hundred channels as for ten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from tests.bench.populating import populate
from tests.support.many_channels import fill
from tests.support.state_files import make_empty
from tests.support.statements import shapes, watched
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


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """State files of ten channels and of a hundred, of which each has everything there is."""
    paths = {}
    for channels in (10, 100):
        paths[channels] = make_empty(tmp_path_factory.mktemp("many") / f"{channels}.db")
        with closing(open_state(paths[channels])) as state:
            fill(state, channels, NOW, events=20)
            populate(state, NOW)
    return paths


@pytest.mark.parametrize("words", COMMANDS)
def test_a_hundred_channels_take_as_many_statements_as_ten(
    words: str,
    filled: dict[int, Path],
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> None:
    work = watched(monkeypatch)
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
