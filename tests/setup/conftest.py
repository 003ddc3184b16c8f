"""A pretend Meta that commands can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The pretend Meta that every command of the test talks to."""
    world = default_world()
    with running(world) as base_url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", base_url)
        yield world
