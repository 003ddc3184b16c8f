"""A pretend Meta on a real socket, and channels in it."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    DEFAULT_TOKEN,
    PHONE,
    PHONE_NUMBER_ID,
    WABA_ID,
    Node,
    World,
)


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
            phone = f"+65800{number:05}"
            values = {**copy.deepcopy(pattern.values), "display_phone_number": phone}
            world.nodes[node_id] = Node(pattern.kind, node_id, WABA_ID, values)
            options = ["--phone-number-id", node_id, "--waba-id", WABA_ID]
            assert run("channel", "add", f"shop-{number}", "--phone", phone, *options).code == 0

    return add


class Clinic:
    """One channel with everything configured, in a world that can be broken."""

    def __init__(self, run: Callable[..., Any], world: World, state_path: Path) -> None:
        self.run = run
        self.world = world
        self.state_path = state_path

    def doctor(self, *arguments: str, **more: Any) -> Any:
        """Run it and give the outcome."""
        return self.run("doctor", *arguments, "--json", **more)

    def ids(self, *arguments: str, **more: Any) -> list[str]:
        """The ids of what it finds, in its order."""
        return [finding["id"] for finding in self.doctor(*arguments, **more).data["findings"]]

    def patch(self, **values: Any) -> None:
        """Change fields of the number."""
        self.world.nodes[PHONE_NUMBER_ID].patch(values)

    def onboarded(self, days_ago: float) -> None:
        """Let the number have been connected then."""
        moment = datetime.now(UTC) - timedelta(days=days_ago)
        self.patch(last_onboarded_time=f"{moment:%Y-%m-%dT%H:%M:%S+0000}")

    def open_state(self) -> State:
        """The state file; the caller closes it."""
        return open_state(self.state_path)

    def sql(self, text: str, *values: object) -> None:
        """Change the state file behind the program's back."""
        state = self.open_state()
        with state.transaction():
            state.execute(text, values)
        state.close()

    def account_update(self, event: str, *, days_ago: float = 0.1, **more: Any) -> None:
        """Let Meta send an update of the account."""
        answer = {"event": event, "phone_number": PHONE[1:], **more}
        self.tell("account_update", answer, days_ago)

    def message(self, days_ago: float = 0.1, **more: Any) -> None:
        """Let a message of a contact come in."""
        moment = int(time.time() - days_ago * 86_400)
        message = {"from": "6591000001", "id": f"wamid.{moment}", "timestamp": str(moment), **more}
        answer = {
            "messaging_product": "whatsapp",
            "metadata": {
                "display_phone_number": PHONE[1:],
                "phone_number_id": PHONE_NUMBER_ID,
            },
            "contacts": [{"wa_id": "6591000001"}],
            "messages": [message],
        }
        self.tell("messages", answer, days_ago)

    def tell(self, field: str, value: dict[str, Any], days_ago: float = 0.1) -> None:
        """Let a webhook of Meta come in through a file."""
        entry = {"id": WABA_ID, "time": int(time.time() - days_ago * 86_400)}
        change = {"field": field, "value": value}
        whole = {"object": "whatsapp_business_account", "entry": [{**entry, "changes": [change]}]}
        assert self.run("events", "import", "-", stdin=json.dumps(whole)).code == 0


@pytest.fixture
def clinic(
    world: World, run: Callable[..., Any], isolated_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Clinic:
    """A channel at Meta and at respond.io, all secrets, and a reminder that ran and is tested."""
    monkeypatch.setenv("WACOEX_META_APP_ID", APP_ID)
    monkeypatch.setenv("WACOEX_META_APP_SECRET", APP_SECRET)
    base = os.environ["WACOEX_META_BASE_URL"]
    monkeypatch.setenv("WACOEX_RESPONDIO_BASE_URL", f"{base}/respondio/v2")
    monkeypatch.setenv("WACOEX_RESPONDIO_TOKEN", DEFAULT_RESPONDIO_TOKEN)
    options = ["--phone-number-id", PHONE_NUMBER_ID, "--waba-id", WABA_ID]
    options += ["--respondio-channel-id", str(RESPONDIO_CHANNEL_ID)]
    assert run("channel", "add", "shop", "--phone", PHONE, *options).code == 0
    made = Clinic(run, world, isolated_home / ".local/state/wacoex/wacoex.db")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    made.sql("INSERT INTO reminder_runs (run_id, started_at, exit_status) VALUES (1, ?, 0)", now)
    columns = "target, shown_target, tried_at, taken_at"
    made.sql(f"INSERT INTO test_notices ({columns}) VALUES ('t', 'json://x', ?, ?)", now, now)
    return made
