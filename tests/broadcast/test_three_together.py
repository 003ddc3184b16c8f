"""Three broadcasts in one process: kills, signals, pauses and failures in any order.

Nobody is sent to twice, nobody is lost, and no more rows are in doubt than were on their way.
No row is claimed any more when its sender has ended in order.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import shutil
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
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
from wacoex_cli.ledger.model import OPEN_STATES, Status, attempt_id
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID, Node
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import MetaProvider
from wacoex_cli.sending.run import NotBegun, SendJob, Sent, send_together
from wacoex_cli.sending.takeover import settle_if_dead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.model import Broadcast

NUMBERS = 3
MOST_RUNS = 30
CLEAR = {
    "fine",
    "slow",
    "status before the answer",
    "no connection",
    "throttled",
    "asked to wait",
    "stop",
    "undeliverable",
    "opted out",
    "held",
    "paused",
}
"""After such an answer everybody knows what became of the message."""
WAITS = {Status.PLANNED, Status.SENDING, Status.PAUSED}
ENDS = {"pause": Status.PAUSED, "cancel": Status.CANCELLED}
REFUSALS = {"refuse", "fill the disk"}
MOST_PAGES = 1_000_000
CLAIMED = "FROM recipients WHERE state = 'sending'"


class Trouble(NamedTuple):
    """What happens to one of the broadcasts after a number of commits."""

    kind: str
    after: int
    place: int


class TroubledState(MortalState):
    """The state file of a sender that may die, and that somebody else uses meanwhile."""

    def __init__(self, inner: State, fate: Fate, troubles: list[Trouble]) -> None:
        super().__init__(inner, fate)
        self._commits = 0
        self._troubles = troubles

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
        self._commits += 1
        for trouble in self._troubles:
            if trouble.after == self._commits:
                apply(self._inner, trouble)


def apply(state: State, trouble: Trouble) -> None:
    """End a broadcast by another command, or all by Ctrl-C, or let what is written be refused."""
    number = trouble.place + 1
    if trouble.kind == "interrupt":
        signal.raise_signal(signal.SIGINT)
    elif trouble.kind == "fill the disk":
        state.value(f"PRAGMA max_page_count = {state.value('PRAGMA page_count')}")
    elif trouble.kind == "refuse":
        with state.transaction():
            state.execute(
                f"CREATE TRIGGER IF NOT EXISTS refuse_{number} BEFORE UPDATE OF state ON recipients"
                f" WHEN NEW.broadcast_id = {number} AND OLD.state = 'sending'"
                " BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
    elif Broadcasts(state).status(number) is Status.SENDING:
        with state.transaction():
            Broadcasts(state).set_status(number, ENDS[trouble.kind], reason="somebody said so")


def allow_writes(state: State) -> None:
    """Let everything be written again."""
    state.value(f"PRAGMA max_page_count = {MOST_PAGES}")
    with state.transaction():
        for number in range(1, NUMBERS + 1):
            state.execute(f"DROP TRIGGER IF EXISTS refuse_{number}")


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

    async def send_all(
        self, luck: list[str], kill_at: int | None, troubles: list[Trouble] | None = None
    ) -> list[Any]:
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
        state: Any = TroubledState(self.state, fate, troubles or [])
        return await send_together(state, jobs, clock, lambda text: None)

    def on_their_way(self, *, is_known: bool) -> int:
        """How many rows a dead sender left that may have gone out; all, if no note `is_known`."""
        state_id = Broadcasts(self.state).state_id
        notes = {note for left in locks.all_remains(self.state.path) for note in left.notes}
        sql = f"SELECT broadcast_id, row, attempts {CLAIMED}"
        claims = [attempt_id(state_id, *values) for values in self.state.tuples(sql)]
        return sum(not is_known or claim in notes for claim in claims)

    def another_boot(self) -> None:
        self.clock.advance(locks.SILENCE_SECONDS + 1.0)
        self.clock.boot += "+"
        for notes in locks.presence_directory(self.state.path).glob("*"):
            notes.write_text("")


class SenderRun(NamedTuple):
    """One run of the sender: its luck, when it is killed, how it ends, and what comes between."""

    luck: list[str]
    kill_at: int | None
    ends_in_a_power_cut: bool
    troubles: list[Trouble]


def any_run() -> st.SearchStrategy[SenderRun]:
    luck = st.lists(LUCK[Provider.META], max_size=10)
    kinds = st.sampled_from(["interrupt", *ENDS, *REFUSALS])
    places = st.integers(0, NUMBERS - 1)
    troubles = st.lists(st.builds(Trouble, kinds, st.integers(1, 30), places), max_size=2)
    kill_at = st.none() | st.integers(1, 90)
    return st.builds(SenderRun, luck, kill_at, st.booleans(), troubles)


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


def check_ends(state: State, outcomes: list[Any]) -> None:
    """A process that ended in order has let go of every row."""
    claimed = {number for (number,) in state.tuples(f"SELECT broadcast_id {CLAIMED}")}
    ended = {outcome.broadcast.broadcast_id for outcome in outcomes if isinstance(outcome, Sent)}
    assert not claimed & ended


def in_doubt(state: State) -> int:
    return int(state.value("SELECT COUNT(*) FROM recipients WHERE state = 'ambiguous'"))


def send_in_any_runs(directory: Path, sizes: list[int], runs: list[SenderRun]) -> None:
    clock = SettableClock(from_text("2026-11-02T03:00:00.000Z"))
    state = open_state(directory / "wacoex.db")
    state.value("PRAGMA synchronous = OFF")
    shop = ThreeNumbers(state, clock)
    shop.plan_all(directory, sizes)
    most_in_doubt = 0
    for run in runs:
        settled_before, dropped_before = in_doubt(state), shop.dropped
        try:
            outcomes = shop.run(shop.send_all(run.luck, run.kill_at, run.troubles))
        except Killed:
            outcomes = []
        kinds = (Sent, NotBegun, Killed, WacoexError)
        assert all(isinstance(outcome, kinds) for outcome in outcomes), outcomes
        allow_writes(state)
        check_ends(state, outcomes)
        kinds_of_trouble = [trouble.kind for trouble in run.troubles]
        if kinds_of_trouble.count("interrupt") == 2:
            # The second Ctrl-C waits for no answer.
            most_in_doubt += shop.dropped - dropped_before
        if REFUSALS & set(kinds_of_trouble):
            # Their results were known, and could not be written.
            most_in_doubt += in_doubt(state) - settled_before
        most_in_doubt += sum(each not in CLEAR for each in run.luck)
        most_in_doubt += shop.on_their_way(is_known=not run.ends_in_a_power_cut)
        if run.ends_in_a_power_cut:
            shop.another_boot()
        check(shop, sum(sizes))
    for _ in range(MOST_RUNS):
        clock.advance(700.0)
        shop.run(shop.send_all([], None))
        if not Broadcasts(state).in_status(WAITS):
            break
    for cancelled in Broadcasts(state).in_status([Status.CANCELLED]):
        settle_if_dead(state, cancelled.broadcast_id, clock)
    check(shop, sum(sizes))
    assert in_doubt(state) <= most_in_doubt
    left = state.rows("SELECT status, state FROM recipients JOIN broadcasts USING (broadcast_id)")
    assert "sending" not in {row["state"] for row in left}
    assert not {row["state"] for row in left if row["status"] != "cancelled"} & {*OPEN_STATES}
    state.close()


SIZES = st.lists(st.integers(1, 4), min_size=NUMBERS, max_size=NUMBERS)
RUNS = st.lists(any_run(), min_size=1, max_size=4)
STOPPED_AT_ONCE = SenderRun(
    ["fine", "slow", "slow"],
    None,
    ends_in_a_power_cut=False,
    troubles=[Trouble("interrupt", 9, 0), Trouble("interrupt", 14, 0)],
)
"""The second Ctrl-C comes while the first one still waits for answers."""


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
        @example(sizes=[1, 1, 1], runs=[STOPPED_AT_ONCE])
        @given(sizes=SIZES, runs=RUNS)
        def any_runs(sizes: list[int], runs: list[SenderRun]) -> None:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            shutil.copyfile(empty, directory / "wacoex.db")
            send_in_any_runs(directory, sizes, runs)

        any_runs()
