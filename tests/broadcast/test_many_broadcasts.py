"""A command asks the state file as often for a hundred broadcasts as for ten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.bench.bulk import fill_broadcast
from tests.support.state_files import make_empty
from tests.support.statements import shapes, watched
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.foundation.state import open_state

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """State files of ten broadcasts and of a hundred, of seven people each."""
    paths = {}
    for broadcasts in (10, 100):
        paths[broadcasts] = make_empty(tmp_path_factory.mktemp("many") / f"{broadcasts}.db")
        with closing(open_state(paths[broadcasts])) as state:
            registry.add_channel(state, "shop", Details(phone="+6560000001"), NOW)
            for _ in range(broadcasts):
                fill_broadcast(state, 7, NOW - timedelta(days=2))
    return paths


@pytest.mark.parametrize(
    "words",
    [
        "broadcast list",
        "broadcast list --tests",
        "broadcast list --channel shop",
        "broadcast show 5",
        "broadcast report 5",
    ],
)
def test_a_hundred_broadcasts_take_as_many_statements_as_ten(
    words: str,
    filled: dict[int, Path],
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., Any],
) -> None:
    statements = watched(monkeypatch).statements
    counts = {}
    for broadcasts, path in filled.items():
        environ = {"WACOEX_STATE": str(path)}
        run("status", "--offline", env=environ)  # brings the projections up to date
        statements.clear()
        outcome = run(*words.split(), "--json", env=environ)
        assert outcome.envelope["data"], (outcome.envelope, outcome.err)
        counts[broadcasts] = shapes(statements)

    assert counts[10]
    assert counts[100] - counts[10] == counts[10] - counts[100] == Counter()


def test_the_list_says_of_each_broadcast_how_many_were_taken(
    filled: dict[int, Path], run: Callable[..., Any]
) -> None:
    listed = run("broadcast", "list", "--json", env={"WACOEX_STATE": str(filled[10])}).data

    assert [entry["broadcast_id"] for entry in listed["broadcasts"]] == list(range(10, 0, -1))
    # Accepted, delivered, read and failed were taken; rejected, pending and skipped were not.
    assert {entry["taken"] for entry in listed["broadcasts"]} == {4}
