"""Nobody gets more messages than the limits allow, whichever channel and process sends."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.broadcast.stage import place_in_memory
from tests.support.state_files import DRAFT
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import Claim, RepeatPolicy, RowState, Settled, Status
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.pressure.model import Pressure, pressure_from
from wacoex_cli.pressure.rule import days_for
from wacoex_cli.sending.guards import Run, RunGuard, SendOrder

FEW, MANY = 42, 1_000
LISTED = ["+5491123456789", "+541123456789", "+6591000001", "+6591000002"]
PERSONS = {"+541123456789": "+5491123456789"}
NUMBERS = ["+6561234567", "+6561234568"]
LIMITS = [
    {"max": "2/7d"},
    {"rest": "3d"},
    {"unanswered": "3"},
    {"per_day": "3"},
    {"per_day": "2/number"},
    {"ramp": "1,+50%"},
    {"max": "1/2d", "per_day": "2", "unanswered": "2"},
]
STEPS, DAY = 16, timedelta(days=1)
OUTCOMES = [
    *(RowState.ACCEPTED, RowState.ACCEPTED, RowState.AMBIGUOUS),
    *(RowState.REJECTED, RowState.RETRY, RowState.FAILED),
]


class Message(NamedTuple):
    """What a channel sent to a person, as the test knows it."""

    at: datetime
    channel: int
    person: str
    state: RowState = RowState.SENDING

    @property
    def is_received(self) -> bool:
        """The person has the message, or may have it."""
        return self.state not in (RowState.REJECTED, RowState.RETRY, RowState.FAILED)

    @property
    def has_left(self) -> bool:
        """Meta took it, or may have taken it."""
        return self.state not in (RowState.REJECTED, RowState.RETRY)


class Sender(NamedTuple):
    """One broadcast while it is sent, by a process with a connection of its own."""

    channel: int
    number: int
    guard: RunGuard


class Business:
    """Two channels of one business, sent from through two connections to one state file."""

    def __init__(self, place: Path) -> None:
        self.states = [open_state(place / "wacoex.db") for _ in NUMBERS]
        self.now = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)
        self.seconds = 1_000.0
        self.clock: Any = SimpleNamespace(
            now=lambda: self.now, monotonic=lambda: self.seconds, boot_id=lambda: "boot"
        )
        self.keys = itertools.count()
        for name, phone in zip(("shop", "cafe"), NUMBERS, strict=True):
            details = Details(phone=phone, waba_id="100")
            registry.add_channel(self.states[0], name, details, self.now)

    def advance(self, seconds: float) -> None:
        """Let that much time pass."""
        self.seconds += seconds
        self.now += timedelta(seconds=seconds)

    def clear(self) -> None:
        """Forget what was sent and answered."""
        with self.states[0].transaction():
            for table in ("recipients", "broadcast_runs", "broadcasts", "events"):
                self.states[0].execute(f"DELETE FROM {table}")

    def start(self, channel: int, people: list[str], pressure: Pressure) -> Sender:
        """Start a broadcast to these people."""
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
        order = SendOrder(pressure=pressure)
        run = Run(number, NUMBERS[channel], run_id, self.seconds, order)
        return Sender(channel, number, RunGuard(state, self.clock, run))

    def claim(self, sender: Sender, wanted: int) -> tuple[Claim, ...]:
        """Claim up to this many rows, as a tick of a sender does."""
        with self.states[sender.channel].transaction():
            leave = sender.guard.leave()
            rows = 0 if leave.stop else min(leave.rows, wanted)
            return sender.guard.claim("me", rows) if rows else ()

    def settle(self, sender: Sender, claim: Claim, state: RowState) -> None:
        """Write the result of a claim; a failure comes after Meta took it."""
        rows = Rows(self.states[sender.channel], sender.number)
        fails = state is RowState.FAILED
        answer = RowState.ACCEPTED if fails else state
        due = self.now if state is RowState.RETRY else None
        with self.states[sender.channel].transaction():
            settled = Settled(claim.row, claim.attempt, answer, not_before=due)
            rows.record("me", [settled], self.now)
            if fails:
                rows.move_on(claim.row, claim.attempt, state, code=131026, message_id=None)

    def answer(self, person: str, channel: int) -> None:
        """Let a person write to a channel."""
        with self.states[0].transaction():
            self.states[0].execute(
                "INSERT INTO events (event_key, payload_id, kind, source, at, phone, waba_id,"
                " contact, data) VALUES (?, 0, 'message', 'meta', ?, ?, '100', ?, '{}')",
                [f"k{next(self.keys)}", to_text(self.now), NUMBERS[channel], person],
            )


@pytest.fixture(scope="module")
def business() -> Iterator[Business]:
    with place_in_memory() as place:
        yield Business(place)


def test_no_limit_is_exceeded_in_random_histories(business: Business) -> None:
    assert sum(_play(business, seed) for seed in range(FEW)) > 3 * FEW


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_limit_is_exceeded_in_a_thousand_random_histories(business: Business) -> None:
    assert sum(_play(business, seed) for seed in range(FEW, FEW + MANY)) > 3 * MANY


def _play(business: Business, seed: int) -> int:
    """Play one history, and hold each claim against all before it; how many messages left."""
    chance, texts = random.Random(seed), LIMITS[seed % len(LIMITS)]
    pressure = pressure_from(texts)
    business.clear()
    sent: list[Message] = []
    answers: list[tuple[datetime, str]] = []
    senders: dict[int, Sender] = {}
    under_way: list[tuple[int, Sender, Claim]] = []
    for _ in range(STEPS):
        channel = chance.randrange(2)
        if channel not in senders or chance.random() < 0.4:
            senders[channel] = business.start(channel, chance.sample(LISTED, 3), pressure)
        claims = business.claim(senders[channel], chance.randint(1, 3))
        for claim in claims:
            person = PERSONS.get(claim.phone, claim.phone)
            under_way.append((len(sent), senders[channel], claim))
            sent.append(Message(business.now, channel, person))
        _check(sent, len(claims), answers, texts)
        chance.shuffle(under_way)
        for _ in range(chance.randint(0, len(under_way))):
            place, sender, claim = under_way.pop()
            state = chance.choice(OUTCOMES)
            business.settle(sender, claim, state)
            sent[place] = sent[place]._replace(state=state)
        if chance.random() < 0.25:
            # A person may write from the other spelling than the list has.
            written = chance.choice(LISTED)
            business.answer(written, chance.randrange(2))
            answers.append((business.now, PERSONS.get(written, written)))
        business.advance(chance.choice([0, 1, 3_600, 86_399, 86_400, 200_000]))
    return len(sent)


def _check(
    sent: list[Message], new: int, answers: list[tuple[datetime, str]], texts: dict[str, str]
) -> None:
    """Hold the last `new` messages against the limits, each with all that came before it."""
    for last in range(len(sent) - new, len(sent)):
        now, channel, person, _ = sent[last]
        before = sent[: last + 1]
        theirs = [m.at for m in before if m.person == person and m.is_received]
        left = [m for m in before if m.has_left]
        ours = [m.at for m in left if m.channel == channel]
        lately = [m for m in left if m.at > now - DAY]
        if "max" in texts:
            most, days = (2, 7) if texts["max"] == "2/7d" else (1, 2)
            assert sum(at > now - days * DAY for at in theirs) <= most
        if "rest" in texts:
            assert sum(at > now - 3 * DAY for at in theirs) == 1
        if "unanswered" in texts:
            # The last messages before this one, as many as the limit, have an answer to them.
            *earlier, _ = theirs
            unanswered = earlier[-int(texts["unanswered"]) :]
            assert len(unanswered) < int(texts["unanswered"]) or any(
                at >= unanswered[0] and who == person for at, who in answers
            )
        match texts.get("per_day"):
            case "2/number":
                assert sum(m.channel == channel for m in lately) <= 2
            case str(most_of_all):
                assert len(lately) <= int(most_of_all)
        if "ramp" in texts:
            assert sum(at > now - DAY for at in ours) <= _ramped(ours, now)


def _ramped(ours: list[datetime], now: datetime) -> int:
    """What a ramp of 1,+50% allows a number on its day, which is 24 hours long."""
    today = (now - ours[0]) // DAY
    days = {(at - ours[0]) // DAY for at in ours} - {today}
    most = 1
    for _ in days:
        most = max(most + 1, int(most * 1.5))
    return most


@pytest.mark.parametrize(
    ("name", "text"),
    [("max", "2"), ("rest", "soon"), ("unanswered", "0"), ("per_day", "9/week"), ("ramp", "50")],
)
def test_a_limit_that_is_not_understood_is_refused(name, text):
    with pytest.raises(UsageError, match="is not valid"):
        pressure_from({name: text})


def test_the_second_list_leaves_out_people_who_reached_the_limit(cli, shop):
    plan = ("broadcast", "plan", shop.people(3), "--template", "opening_hours", "--lang", "en_US")
    assert cli(*plan).code == 0
    assert cli("broadcast", "send", "1", "--yes").code == 0
    planned = cli(*plan, "--max", "1/7d")
    assert "pressure 3" in planned.err


def test_a_limit_of_a_day_pauses_and_says_when_it_continues(cli, shop):
    plan = ("broadcast", "plan", shop.people(20), "--template", "opening_hours", "--lang", "en_US")
    planned = cli(*plan, "--per-day", "8")
    assert "it takes 3 days at least" in planned.out

    sent = cli("broadcast", "send", "1", "--yes")

    assert sent.code == 7
    assert "the limit of 8 messages of the business in 24 hours is reached" in sent.out
    shown = cli("broadcast", "show", "1", "--json").data
    assert shown["status"] == "paused"
    assert shown["continues_at"]
    assert len(shop.world.log.accepted()) == 8


def test_a_plan_doubts_silence_when_no_message_of_people_is_known(cli, shop):
    plan = ("broadcast", "plan", shop.people(2), "--template", "opening_hours", "--lang", "en_US")

    doubted = cli(*plan, "--unanswered", "3")

    assert "no message from people is known here at all" in doubted.out
    assert "no message from people" not in cli(*plan).out


@pytest.mark.parametrize(
    ("texts", "people", "before", "days"),
    [
        ({}, 1_000_000, 0, 1),
        ({"per_day": "250"}, 1_000, 0, 4),
        ({"per_day": "1"}, 1_000_000, 0, 1_000_000),
        ({"ramp": "50,+50%"}, 238, 0, 4),
        ({"ramp": "50,+50%"}, 238, 2, 2),
        ({"ramp": "50,+0%"}, 101, 9, 3),
        ({"ramp": "50,+50%", "per_day": "60"}, 170, 0, 3),
        ({"ramp": "1,+1%"}, 1_000_000, 0, 617),
    ],
)
def test_a_plan_knows_how_many_days_it_takes_at_least(texts, people, before, days):
    assert days_for(pressure_from(texts), people, before) == days
