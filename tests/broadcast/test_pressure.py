"""Nobody gets more messages than the limits allow, whichever channel and process sends."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from tests.broadcast.stage import place_in_memory
from tests.support.state_files import DRAFT
from wacoex_cli.broadcast.guards import Run, RunGuard, SendOrder
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RepeatPolicy, RowState, Settled, Status
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.pressure.model import pressure_from

HISTORIES = 1_000
PEOPLE = ["+5491123456789", "+541123456789", "+6591000001", "+6591000002"]
SAME = {"+541123456789": "+5491123456789"}


class Business:
    """Two channels of one business, each sent from by a process with its own connection."""

    def __init__(self, place: Any) -> None:
        self.states = [open_state(place / "wacoex.db") for _ in range(2)]
        self.now = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
        self.seconds = 1_000.0
        self.clock: Any = SimpleNamespace(
            now=lambda: self.now, monotonic=lambda: self.seconds, boot_id=lambda: "boot"
        )
        for name, phone in (("shop", "+6561234567"), ("cafe", "+6561234568")):
            registry.add_channel(
                self.states[0], name, Details(phone=phone, waba_id="100"), self.now
            )

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)

    def clear(self) -> None:
        with self.states[0].transaction():
            for table in ("recipients", "broadcast_runs", "broadcasts"):
                self.states[0].execute(f"DELETE FROM {table}")

    def start(self, channel: int, people: list[str], pressure: Any) -> RunGuard:
        state, store = self.states[channel], Broadcasts(self.states[channel])
        with state.transaction():
            columns = {**DRAFT, "channel_id": channel + 1}
            number = store.start_draft(**columns, now=self.now)
            store.set_status(number, Status.PLANNED)
        Rows(state, number).add(
            [PlannedRow(n, n, phone, "[]") for n, phone in enumerate(people, start=1)]
        )
        with state.transaction():
            run_id = store.start_run(number, "me", 20.0, self.now)
            store.mark_compared(number, RepeatPolicy.SENT)
        run = Run(number, "+6561234567", run_id, self.seconds, SendOrder(pressure=pressure))
        return RunGuard(state, self.clock, run)

    def send(self, guard: RunGuard, channel: int, wanted: int, chance: random.Random) -> list[str]:
        state = self.states[channel]
        with state.transaction():
            leave = guard.leave()
            rows = 0 if leave.stop else min(leave.rows, wanted)
            claims = guard.claim("me", rows) if rows else ()
        results = chance.choices([RowState.ACCEPTED, RowState.AMBIGUOUS], k=len(claims))
        with state.transaction():
            Rows(state, guard._run.broadcast_id).record(
                "me",
                [Settled(c.row, c.attempt, to) for c, to in zip(claims, results, strict=True)],
                self.now,
            )
        return [claim.phone for claim in claims]


LIMITS = [
    {"max": "2/7d"},
    {"rest": "3d"},
    {"unanswered": "3"},
    {"per_day": "3"},
    {"ramp": "1,+50%"},
    {"max": "1/2d", "per_day": "2", "unanswered": "2"},
]


def test_no_limit_is_exceeded_in_random_histories_over_two_channels_and_connections():
    with place_in_memory() as place:
        business = Business(place)
        for seed in range(HISTORIES):
            chance, texts = random.Random(seed), LIMITS[seed % len(LIMITS)]
            business.clear()
            sent = _history(business, chance, pressure_from(texts))
            _check(sent, texts)


def _history(business: Business, chance: random.Random, pressure: Any) -> list[Any]:
    sent, guards = list[Any](), dict[int, RunGuard]()
    for _ in range(8):
        channel = chance.randrange(2)
        if channel not in guards or chance.random() < 0.5:
            people = chance.sample(PEOPLE, 3)
            guards[channel] = business.start(channel, people, pressure)
        phones = business.send(guards[channel], channel, chance.randint(1, 3), chance)
        sent += [(business.now, channel, SAME.get(phone, phone)) for phone in phones]
        business.advance(chance.choice([0, 1, 3_600, 86_399, 86_400, 200_000]))
    return sent


def _check(sent: list[Any], texts: dict[str, str]) -> None:
    windows = {"2/7d": (2, 7), "1/2d": (1, 2)}
    for now, channel, person in sent:
        before = [each for each in sent if each[0] <= now]
        mine = [at for at, _, who in before if who == person]
        lately = [each for each in before if each[0] > now - timedelta(days=1)]
        if "max" in texts:
            most, days = windows[texts["max"]]
            assert sum(at > now - timedelta(days=days) for at in mine) <= most
        if "rest" in texts:
            assert sum(at > now - timedelta(days=3) for at in mine) <= 1
        if "unanswered" in texts:
            assert len(mine) <= int(texts["unanswered"])
        if "per_day" in texts:
            assert len(lately) <= int(texts["per_day"])
        if "ramp" in texts:
            own = [at for at, of, _ in before if of == channel]
            day = (now - own[0]) // timedelta(days=1)
            days = {(at - own[0]) // timedelta(days=1) for at in own} - {day}
            most = 1
            for _ in days:
                most = max(most + 1, int(most * 1.5))
            assert sum(at > now - timedelta(days=1) for at in own) <= most


@pytest.mark.parametrize(
    ("name", "text"),
    [("max", "2"), ("rest", "soon"), ("unanswered", "0"), ("per_day", "9/week"), ("ramp", "50")],
)
def test_a_limit_that_is_not_understood_is_refused(name, text):
    with pytest.raises(UsageError, match="is not valid"):
        pressure_from({name: text})


def test_the_second_list_leaves_out_who_has_had_enough(cli, shop):
    plan = ("broadcast", "plan", shop.people(3), "--template", "opening_hours", "--lang", "en_US")
    assert cli(*plan).code == 0
    assert cli("broadcast", "send", "1", "--yes").code == 0
    planned = cli(*plan, "--max", "1/7d")
    assert "pressure 3" in planned.err


def test_a_limit_of_a_day_pauses_and_says_when_it_goes_on(cli, shop):
    plan = ("broadcast", "plan", shop.people(3), "--template", "opening_hours", "--lang", "en_US")
    assert cli(*plan, "--per-day", "2").code == 0
    sent = cli("broadcast", "send", "1", "--yes", "--json")
    assert sent.code == 7
    shown = cli("broadcast", "show", "1", "--json").data
    assert shown["status"] == "paused"
    assert shown["continues_at"]
    assert len(shop.world.log.accepted()) == 2
