"""Three broadcasts in one process, killed at any instant: nobody twice, nobody lost."""

from __future__ import annotations

import copy
import gc
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.broadcast.stage import place_in_memory
from tests.broadcast.test_never_twice import (
    LUCK,
    RANKS,
    URL,
    Fate,
    Killed,
    LoopClock,
    MortalState,
    Shop,
)
from tests.conftest import SettableClock
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import OPEN_STATES, Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.process import SendJob, Sent, send_together
from wacoex_cli.sending.providers import MetaProvider

if TYPE_CHECKING:
    from pathlib import Path

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.ledger.model import Broadcast

NUMBERS = 3
MOST_RUNS = 30
WAITS = {Status.PLANNED, Status.SENDING, Status.PAUSED}


@dataclass
class ThreeNumbers(Shop):
    """Three channels on one state file, with a broadcast each."""

    channels: list[Channel] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.channels.append(self.channel)
        model = self.world.nodes[PHONE_NUMBER_ID]
        for number in range(1, NUMBERS):
            name, phone = f"{PHONE_NUMBER_ID}{number}", f"+65610000{number:02}"
            values = copy.deepcopy(model.values) | {"display_phone_number": phone}
            self.world.nodes[name] = Node(model.kind, name, WABA_ID, values)
            details = Details(phone, name, WABA_ID)
            now = self.clock.now()
            self.channels.append(registry.add_channel(self.state, f"n{number}", details, now))

    def plan_all(self, directory: Path, sizes: list[int]) -> list[Broadcast]:
        planned = []
        for number, (channel, size) in enumerate(zip(self.channels, sizes, strict=True)):
            self.channel = channel
            file = directory / f"people{number}.csv"
            file.write_text("\n".join(["phone", *(f"+65910{number}000{n}" for n in range(size))]))
            planned.append(self.run(self.plan(file)))
        return planned

    async def send_all(self, luck: list[str], kill_at: int | None) -> list[Any]:
        fate = Fate(kill_at)
        clock = LoopClock(self.clock, fate)
        http = self.http(clock, fate, luck)
        store = Broadcasts(self.state)
        jobs = [
            SendJob(
                MetaProvider(self.meta(http), channel, URL),
                channel,
                broadcast,
                SendOrder(rate=20.0),
                lambda counts: None,
            )
            for channel in self.channels
            for broadcast in store.of_channel(channel.channel_id, None)
            if broadcast.status in WAITS
        ]
        state: Any = MortalState(self.state, fate)
        return await send_together(state, jobs, clock, lambda text: None)

    def another_boot(self) -> None:
        self.clock.advance(locks.SILENCE_SECONDS + 1.0)
        self.clock.boot += "+"
        for notes in locks.presence_directory(self.state.path).glob("*"):
            notes.write_text("")


def any_run() -> st.SearchStrategy[tuple[list[str], int | None, bool]]:
    luck = st.lists(LUCK[Provider.META], max_size=10)
    return st.tuples(luck, st.none() | st.integers(1, 90), st.booleans())


def check(shop: ThreeNumbers, people: int) -> None:
    taken = Counter(entry.recipient for entry in shop.world.log.accepted())
    assert set(taken.values()) <= {1}
    rows = shop.state.rows("SELECT phone, state FROM recipients")
    assert len(rows) == people
    for row in rows:
        if row["phone"] in taken:
            assert row["state"] in {*RANKS, "ambiguous", "sending"}
        else:
            assert row["state"] not in RANKS


def send_in_any_runs(
    directory: Path, sizes: list[int], runs: list[tuple[list[str], int | None, bool]]
) -> None:
    clock = SettableClock(from_text("2026-11-02T03:00:00.000Z"))
    state = open_state(directory / "wacoex.db")
    state.value("PRAGMA synchronous = OFF")
    shop = ThreeNumbers(state, clock)
    shop.plan_all(directory, sizes)
    for luck, kill_at, ends_in_a_power_cut in runs:
        try:
            outcomes = shop.run(shop.send_all(luck, kill_at))
        except Killed:
            outcomes = []
        kinds = (Sent, Killed, WacoexError)
        assert all(isinstance(outcome, kinds) for outcome in outcomes), outcomes
        if ends_in_a_power_cut:
            shop.another_boot()
        check(shop, sum(sizes))
    for _ in range(MOST_RUNS):
        clock.advance(700.0)
        shop.run(shop.send_all([], None))
        if all(
            each.status is Status.COMPLETED for each in Broadcasts(state).of_channel(None, None)
        ):
            break
    check(shop, sum(sizes))
    left = state.rows("SELECT state FROM recipients")
    assert not {row["state"] for row in left} & {*OPEN_STATES, "sending"}
    state.close()


SIZES = st.lists(st.integers(1, 4), min_size=NUMBERS, max_size=NUMBERS)
RUNS = st.lists(any_run(), min_size=1, max_size=4)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("examples", [10, pytest.param(1_000, marks=pytest.mark.slow)])
def test_nobody_is_sent_to_twice_and_nobody_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int
) -> None:
    # A sender collects garbage before it starts; here it starts hundreds of times.
    monkeypatch.setattr(gc, "collect", lambda *args: 0)
    empty = tmp_path / "empty.db"
    open_state(empty).close()
    with place_in_memory() as place:
        directory = place / "three"

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(sizes=SIZES, runs=RUNS)
        def any_runs(sizes: list[int], runs: list[tuple[list[str], int | None, bool]]) -> None:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            shutil.copyfile(empty, directory / "wacoex.db")
            send_in_any_runs(directory, sizes, runs)

        any_runs()
