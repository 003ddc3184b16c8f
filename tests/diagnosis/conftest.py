"""A pretend Meta on a real socket, and channels in it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.nodes import Node
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The default world, which the program talks to with a good token."""
    world = default_world()
    with running(world) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        monkeypatch.setenv("WACOEX_KEYRING", "off")
        yield world


@pytest.fixture
def shop(world: World, run: Callable[..., Any]) -> str:
    """One healthy channel."""
    options = ["--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID]
    assert run("channel", "add", "shop", "--phone", PHONE, *options).code == 0
    return "shop"


@pytest.fixture
def configure(isolated_home: Path) -> Callable[[str], None]:
    """Write config.toml."""

    def write(text: str) -> None:
        path = isolated_home / ".config/wacoex/config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture
def add_numbers(world: World, run: Callable[..., Any]) -> Callable[[int], None]:
    """Add copies of the default number to the world, and a channel for each."""

    def add(count: int) -> None:
        pattern = world.nodes[PHONE_NUMBER_ID]
        for number in range(count):
            node_id = str(106000000001000 + number)
            values = copy.deepcopy(pattern.values)
            world.nodes[node_id] = Node(pattern.kind, node_id, WABA_ID, values)
            options = ["--phone-number-id", node_id, "--waba-id", WABA_ID]
            phone = f"+65800{number:05}"
            assert run("channel", "add", f"shop-{number}", "--phone", phone, *options).code == 0

    return add
