"""A shop that sends: a channel of the sandbox's number, and the sandbox behind a socket."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import wacoex_cli
from tests.support.state_files import DRAFT
from wacoex_cli.broadcast.plan import PlanOrder, plan
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.platforms.respondio import RespondIO
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import MetaProvider, RespondIOProvider
from wacoex_cli.sending.run import send
from wacoex_cli.templates.values import given_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.ledger.model import Broadcast, Planned, RunProgress
    from wacoex_cli.sandbox.faults import Fault
    from wacoex_cli.sending.providers import SendingProvider
    from wacoex_cli.sending.run import Sent

Found = TypeVar("Found")

CHECKOUT = Path(wacoex_cli.__file__).parents[1]
MESSAGES_PER_SECOND = 400.0
PATIENCE_SECONDS = 60.0


class LeapingClock(SystemClock):
    """The real clock, but a test can leap over the minutes it does not want to wait for."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.05))

    def leap(self, seconds: float) -> None:
        """Let that many seconds pass at once."""
        self.ahead += seconds


async def until(condition: Callable[[], Found]) -> Found:
    """Wait until a condition holds; returns what it gave."""
    waits = PATIENCE_SECONDS / 0.02
    while not (found := condition()):
        waits -= 1
        assert waits > 0, "what the test waits for never came"
        await asyncio.sleep(0.02)
    return found


async def nothing() -> None:
    """What happens meanwhile, when a test does not say."""


class Shop:
    """One channel, its state file, and the pretend Meta or respond.io that it talks to.

    `plan` and `send` run in this process, as fast as two cores allow; through respond.io as fast
    as it says, and people have to be its contacts (`befriend`).
    """

    def __init__(
        self,
        directory: Path,
        state: State,
        world: World,
        base_url: str,
        provider: Provider = Provider.META,
    ) -> None:
        self.directory = directory
        self.state = state
        self.world = world
        self.base_url = base_url
        self.clock = LeapingClock()
        self.shots: list[RunProgress] = []
        details = Details(phone=PHONE, phone_number_id=PHONE_NUMBER_ID, waba_id=WABA_ID)
        if provider is Provider.RESPONDIO:
            number = RESPONDIO_CHANNEL_ID
            details = replace(details, provider=provider, respondio_channel_id=number)
        self.channel = registry.add_channel(state, "shop", details, self.clock.now())
        self.environ = {
            "WACOEX_STATE": str(state.path),
            "WACOEX_META_BASE_URL": base_url,
            "WACOEX_META_TOKEN": DEFAULT_TOKEN,
            "WACOEX_KEYRING": "off",
        }
        if provider is Provider.RESPONDIO:
            self.environ |= {
                "WACOEX_RESPONDIO_BASE_URL": self.respondio_url,
                "WACOEX_RESPONDIO_TOKEN": DEFAULT_RESPONDIO_TOKEN,
            }

    @property
    def respondio_url(self) -> str:
        """Where the pretend respond.io is."""
        return f"{self.base_url}/respondio/v2"

    def befriend(self, people: int) -> None:
        """Let the first people be contacts at respond.io."""
        respondio = self.world.respondio
        for phone in map(self.phone, range(1, people + 1)):
            if respondio.find(f"phone:{phone}") is None:
                respondio.add_contact(phone, "Ana")

    def phone(self, row: int) -> str:
        """The number of the person in a row, counted from 1, of the lists that `people` makes."""
        return f"+6591{row:06}"

    def people(self, count: int) -> Path:
        """A list of different people."""
        return self.file("people.csv", [(self.phone(row),) for row in range(1, count + 1)])

    def file(
        self, name: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ("phone",)
    ) -> Path:
        """A CSV file with these rows."""
        path = self.directory / name
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
        return path

    def plan(self, people: int | Path, template: str = "opening_hours", **request: Any) -> Planned:
        """Plan for a file or this many people. `parameters` name columns, `texts` give texts."""
        source = self.people(people) if isinstance(people, int) else people
        given = given_by(request.pop("parameters", {}), request.pop("texts", {}))
        given = request.pop("sources", given)
        wanted = PlanOrder(source, template, "en_US", parameters=given, **request)
        return asyncio.run(self._plan(wanted))

    def planned(self, people: int | Path, **request: Any) -> Broadcast:
        """The broadcast that `plan` makes."""
        return self.plan(people, **request).broadcast

    def send(
        self,
        broadcast: Broadcast,
        *,
        during: Callable[[], Awaitable[None]] = nothing,
        exchange_seconds: float = 60.0,
        **request: Any,
    ) -> Sent:
        """Send, and let `during` happen meanwhile."""
        wanted = SendOrder(**{"rate": MESSAGES_PER_SECOND, "limit": 1_000.0, **request})
        return asyncio.run(self._send(broadcast, wanted, during, exchange_seconds))

    def resume(self, broadcast: Broadcast, **how: Any) -> Sent:
        """Continue a broadcast from its current state."""
        return self.send(self.current(broadcast), **how)

    def current(self, broadcast: Broadcast) -> Broadcast:
        """The broadcast as the state file knows it now."""
        return Broadcasts(self.state).get(broadcast.broadcast_id)

    def faults(self, *faults: Fault) -> None:
        """Set exactly these faults."""
        self.world.faults.replace(faults, seed=1)

    def rows(self, broadcast: Broadcast) -> dict[int, Row]:
        """Every row with all that is known about it, by its number."""
        sql = "SELECT * FROM recipients WHERE broadcast_id = ? ORDER BY row"
        return {row["row"]: row for row in self.state.rows(sql, [broadcast.broadcast_id])}

    def states(self, broadcast: Broadcast) -> list[str]:
        """The state of every row, in order."""
        return [row["state"] for row in self.rows(broadcast).values()]

    def counts(self, broadcast: Broadcast) -> dict[str, int]:
        """How many rows are in which state, without the zeros."""
        return dict(Counter(self.states(broadcast)))

    def taken_twice(self) -> list[str | None]:
        """The people for whom the sandbox has taken more than one message."""
        times = Counter(arrival.recipient for arrival in self.world.log.accepted())
        return [who for who, n in times.items() if n > 1]

    def start(self, *command: object) -> subprocess.Popen[str]:
        """Start a Python program, `-m wacoex_cli ...` for the command, in this shop."""
        return subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, **self.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    async def _plan(self, request: PlanOrder) -> Planned:
        http, provider = self._provider(60.0)
        try:
            return await plan(
                self.state,
                provider,
                self.channel,
                request,
                clock=self.clock,
                stdin=io.BytesIO(),
            )
        finally:
            await http.aclose()

    async def _send(
        self,
        broadcast: Broadcast,
        request: SendOrder,
        during: Callable[[], Awaitable[None]],
        exchange_seconds: float,
    ) -> Sent:
        http, provider = self._provider(exchange_seconds)
        sending = send(
            self.state,
            provider,
            self.channel,
            broadcast,
            request,
            clock=self.clock,
            on_counts=self.shots.append,
            on_signal=lambda text: None,
        )
        try:
            sent, _ = await asyncio.gather(sending, during())
        finally:
            await http.aclose()
        return sent

    def _provider(self, exchange_seconds: float) -> tuple[Http, SendingProvider]:
        http = Http(self.clock, log=lambda text: None, exchange_seconds=exchange_seconds)
        if self.channel.provider is Provider.RESPONDIO:
            token = Secret(DEFAULT_RESPONDIO_TOKEN, "the test")
            respondio = RespondIO(http, token, self.respondio_url, clock=self.clock)
            return http, RespondIOProvider(respondio, self.channel, self.respondio_url)
        meta = Meta(http, Secret(DEFAULT_TOKEN, "the test"), self.base_url, "v26.0")
        return http, MetaProvider(meta, self.channel, self.base_url)


@pytest.fixture
def world() -> World:
    """A pretend Meta that takes as many messages a second as it can."""
    made = default_world()
    made.set_limit(PHONE_NUMBER_ID, 1_000_000)
    made.patch_settings({"pair_rate": False})
    return made


@pytest.fixture
def provider() -> Provider:
    """The API that the shop sends through; a test can choose another one."""
    return Provider.META


@pytest.fixture
def shop(tmp_path: Path, state: State, world: World, provider: Provider) -> Iterator[Shop]:
    """A shop of this test's own."""
    with running(world) as base_url:
        yield Shop(tmp_path, state, world, base_url, provider)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Found]], Awaitable[Found]]:
    """`await eventually(condition)`: wait until it holds."""
    return until


@pytest.fixture
def cli(run: Callable[..., Any], shop: Shop) -> Callable[..., Any]:
    """Run the program in this shop: `cli("broadcast", "send", "--rate", "20", tty=True)`."""

    def call(*arguments: object, **more: Any) -> Any:
        return run(*map(str, arguments), env=shop.environ, **more)

    return call


@pytest.fixture
def plan_rows(state: State) -> Callable[[int], int]:
    """Plan this many rows without a file and without Meta; gives the broadcast's id."""
    now = SystemClock().now()

    def plan_them(rows: int) -> int:
        channel_id = _any_channel(state, now)
        with state.transaction():
            broadcast_id = Broadcasts(state).start_draft(
                **{**DRAFT, "channel_id": channel_id},
                now=now,
            )
            Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
        planned = [PlannedRow(n, n + 1, f"+6591{n:06}", "[]") for n in range(1, rows + 1)]
        Rows(state, broadcast_id).add(planned)
        return broadcast_id

    return plan_them


def _any_channel(state: State, now: datetime) -> int:
    if not state.row("SELECT 1 FROM channels"):
        registry.add_channel(state, "shop", Details(phone=PHONE), now)
    return registry.known(state, "shop").channel_id
