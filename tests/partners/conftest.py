"""A pretend Meta and respond.io on a real socket, and a channel in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The default world, which the program talks to with good tokens."""
    world = default_world()
    with running(world) as url:
        monkeypatch.setenv("WACOEX_META_BASE_URL", url)
        monkeypatch.setenv("WACOEX_META_TOKEN", DEFAULT_TOKEN)
        monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{url}/respondio/v2")
        monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)
        yield world


@pytest.fixture
def shop(world: World, run: Callable[..., Any]) -> str:
    """One healthy channel, at Meta and at respond.io."""
    options = ["--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID]
    options += ["--respondio-channel-id", str(RESPONDIO_CHANNEL_ID)]
    assert run("channel", "add", "shop", "--phone", PHONE, *options).code == 0
    return "shop"
