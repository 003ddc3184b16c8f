"""Many channels: side by side with a bound, in a bounded time, within Meta's hourly limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from wacoex_cli.channels.facts import ChannelFacts
from wacoex_cli.channels.look import AT_ONCE, CALLS_PER_HOUR, Look
from wacoex_cli.channels.model import Channel, Fact
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import WABA_ID, World

NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


class SlowMeta(httpx.AsyncBaseTransport):
    """Answers each read after a moment and counts how many were open at once."""

    def __init__(self) -> None:
        self.open = self.most = self.asked = 0
        self.of_token = self.of_account = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        self.of_token += "debug_token" in request.url.path
        self.of_account += request.url.path.endswith("/900")
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.005)
        self.open -= 1
        data: object = [] if request.url.path.endswith("/subscribed_apps") else {}
        return httpx.Response(200, json={"id": "1", "status": "CONNECTED", "data": data})


@pytest.fixture
def meta() -> SlowMeta:
    return SlowMeta()


@pytest.fixture
def workspace(meta: SlowMeta) -> Iterator[Workspace]:
    with open_workspace(
        environ={"WACOEX_META_TOKEN": "token-0123456789", "WACOEX_KEYRING": "off"},
        warn=print,
        log=lambda text: None,
        announce=lambda settings: None,
    ) as opened:
        opened.http = Http(SystemClock(), log=lambda text: None, transport=meta)
        yield opened


def channels(count: int) -> list[Channel]:
    return [
        Channel(
            phone=f"+65800{number:05}",
            phone_number_id=str(1000 + number),
            waba_id="900",
            channel_id=number,
            name=f"shop-{number}",
        )
        for number in range(count)
    ]


def test_two_hundred_channels_are_read_side_by_side_with_a_bound(
    workspace: Workspace, meta: SlowMeta
) -> None:
    look = Look(workspace, NOW, {})
    found = [ChannelFacts(one, NOW) for one in channels(200)]

    workspace.run(look.read(found))

    assert all(one.is_known and not one.failures for one in found)
    # One read of each number; token, account and its apps are asked about once, for all of them.
    assert meta.most == AT_ONCE
    assert (meta.asked, meta.of_token, meta.of_account) == (203, 1, 1)
    assert look.calls == {"900": 203}


def test_beyond_half_of_the_hourly_limit_what_is_stored_counts(
    workspace: Workspace, meta: SlowMeta
) -> None:
    found = [ChannelFacts(one, NOW) for one in channels(2)]
    found[0].facts = [Fact("status", "CONNECTED", "meta", to_text(NOW))]
    look = Look(workspace, NOW, {"900": CALLS_PER_HOUR})

    workspace.run(look.read(found))

    # The second channel was never read, so it is asked about all the same.
    assert found[0].is_known
    assert found[0].read == []
    assert found[1].read
    assert look.calls == {"900": 4}


def test_a_hanging_server_hangs_no_status(
    run: Callable[..., Any],
    world: World,
    add_numbers: Callable[[int], None],
    configure: Callable[[str], None],
) -> None:
    add_numbers(AT_ONCE + 2)
    configure("status_seconds_per_channel = 1.2\nstatus_seconds = 2\n")
    world.faults.replace([Fault("hang", on="reads")])

    outcome = run("status", "--json")

    reasons = {one["failures"][0]["message"] for one in outcome.data["channels"]}
    assert outcome.code == 3
    assert [one["verdict"] for one in outcome.data["channels"]] == ["unknown"] * (AT_ONCE + 2)
    assert reasons == {
        "no answer within 1.2 seconds",
        "no answer within 2 seconds, the limit for all channels together",
    }


def test_one_channel_that_fails_spoils_no_other(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(3)
    world.faults.replace([Fault("html", on="reads", path="/106000000001001")])

    outcome = run("status", "--json")

    verdicts = {one["channel"]: one["verdict"] for one in outcome.data["channels"]}
    assert outcome.code == 3
    assert verdicts == {"shop-0": "ok", "shop-1": "unknown", "shop-2": "ok"}
    assert outcome.envelope["errors"][0]["details"] == {"channels": ["shop-1"]}


def test_a_board_of_many_channels_fits_one_screen_of_100_columns(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(40)
    long = "a-shop-with-a-name-that-would-fill-the-whole-line-of-a-terminal"
    options = ["--phone-number-id", "106000000009999", "--waba-id", WABA_ID]
    run("channel", "add", long, "--phone", "+6580099999", *options)
    run("device", "add", "desktop-windows", "--channel", long)
    for number in (3, 5):
        world.nodes[str(106000000001000 + number)].patch({"quality_rating": "RED"})

    outcome = run("status", tty=True)

    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 40
    rows = [line.split()[:2] for line in lines[1:4]]
    assert rows[0] == ["unknown", "a-shop-with-a-name-th..."]
    assert rows[1:] == [["warning", "shop-3"], ["warning", "shop-5"]]
    assert lines[4] == "and 38 more: 38 ok"
    assert any(line.split()[:3] == ["warning", "WX501", "2"] for line in lines)


def test_a_pipe_gets_a_row_for_each_of_many_channels(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(30)

    rows = run("status").out.splitlines()

    assert len(rows) == 30
    assert all(len(row.split("\t")) == 7 for row in rows)
