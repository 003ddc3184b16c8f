"""A limit that the API tells in its headers: found, kept to, shared, and followed when it moves."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from wacoex_cli.broadcast import throttle
from wacoex_cli.broadcast.engine import Exchange, Report
from wacoex_cli.broadcast.guards import Run, SendOrder
from wacoex_cli.broadcast.model import Claim, RowState, Settled, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.broadcast.throttle import Answered, fresh, slot_interval, told
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.respondio import SENDING
from wacoex_cli.sandbox.respondio_world import RespondIOWorld
from wacoex_cli.sandbox.world import PHONE

TICK_SECONDS = 0.1
ANSWER_SECONDS = 0.3
ACCOUNT = "an account"


@dataclass
class Account:
    """The sandbox's limit of one account, with a clock that follows the arrivals."""

    limit: int
    now: float = 0.0
    arrived: list[float] = field(default_factory=list)
    refused: int = 0
    told: float | None = None
    is_silent: bool = False

    def __post_init__(self) -> None:
        self._world = RespondIOWorld(lambda: self.now, lambda: self.now)
        self.allow(self.limit)

    def allow(self, limit: int) -> None:
        """Take so many a second from now on."""
        self._world.set_limit(SENDING, limit)

    def take(self, at: float) -> bool:
        """Whether a message that arrives at that moment is taken."""
        self.now = at
        is_taken, headers = self._world.admit(SENDING)
        self.arrived += [at] if is_taken else []
        self.refused += not is_taken
        if not self.is_silent:
            self.told = float(headers["X-RateLimit-Limit"])
        return is_taken


class Sender:
    """One process that sends through the account; a request travels up to `jitter` seconds."""

    def __init__(self, exchange: Exchange, account: Account, jitter: float) -> None:
        self._exchange = exchange
        self._account = account
        self._random = random.Random(1)
        self._jitter = jitter
        self._claims: deque[Claim] = deque()
        self._slots: deque[float] = deque()
        self._on_the_way: list[tuple[float, float, int, Claim]] = []
        self._answers: list[tuple[float, float, Claim, bool]] = []

    def tick(self, now: float) -> None:
        """What has arrived by now, then one trade with the ledger."""
        self._until(now)
        due = [one for one in self._answers if one[0] <= now]
        self._answers = [one for one in self._answers if one[0] > now]
        hold = max((at + 1.0 for at, _, _, is_taken in due if not is_taken), default=0.0)
        if hold:
            self._slots.clear()
        granted = self._exchange(
            Report(
                settled=tuple((_settled(claim, is_taken), "") for _, _, claim, is_taken in due),
                answers=tuple(Answered(left, not is_taken) for _, left, _, is_taken in due),
                hold_until=hold,
                waiting_claims=len(self._claims),
                waiting_slots=len(self._slots),
                room=64,
            )
        )
        self._claims.extend(granted.claims)
        self._slots.extend(granted.slots)

    def _until(self, now: float) -> None:
        while self._slots and self._slots[0] < now and self._claims:
            left, claim = self._slots.popleft(), self._claims.popleft()
            at = left + self._random.uniform(0.0, self._jitter)
            heapq.heappush(self._on_the_way, (at, left, claim.row, claim))
        while self._on_the_way and self._on_the_way[0][0] < now:
            at, left, _, claim = heapq.heappop(self._on_the_way)
            self._answers.append((at + ANSWER_SECONDS, left, claim, self._account.take(at)))


def _settled(claim: Claim, is_taken: bool) -> Settled:
    state = RowState.ACCEPTED if is_taken else RowState.REJECTED
    return Settled(claim.row, claim.attempt, state)


@pytest.fixture
def join(state, clock):
    """Become a sender, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, account, jitter=0.0):
        own = open_state(state.path)
        opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            locks.acquire(own, lock_purpose(broadcast_id), presence, clock)
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, 20.0, clock.now())
        run = Run(
            broadcast_id=broadcast_id,
            phone=PHONE,
            run_id=run_id,
            started_at=clock.monotonic(),
            order=SendOrder(20.0),
            endpoint=ACCOUNT,
            told_limit=lambda: account.told,
        )
        return Sender(Exchange(own, presence, clock, run), account, jitter)

    yield become_sender
    for one in opened:
        one.close()


def pass_time(clock, seconds: float, *senders: Sender) -> None:
    for _ in range(round(seconds / TICK_SECONDS)):
        for sender in senders:
            sender.tick(clock.monotonic())
        clock.advance(TICK_SECONDS)


@pytest.mark.parametrize("jitter", [0.0, 0.02])
@pytest.mark.parametrize("limit", [5, 10, 20])
def test_the_sender_settles_at_the_limit_and_is_hardly_ever_refused(
    clock, join, plan_rows, limit, jitter
):
    account = Account(limit)
    pass_time(clock, 60.0, join(plan_rows(1_300), account, jitter))

    taken = len(account.arrived)
    assert account.refused * 200 < taken + account.refused
    assert taken >= 0.94 * 60 * limit


def test_processes_that_use_one_account_share_its_limit(clock, join, plan_rows):
    account = Account(10)
    pass_time(clock, 30.0, join(plan_rows(400), account), join(plan_rows(400), account))

    assert account.refused == 0
    assert len(account.arrived) >= 0.94 * 30 * 10


def test_until_a_limit_is_told_five_a_second_are_sent(clock, join, plan_rows):
    account = Account(20)
    account.is_silent = True
    pass_time(clock, 10.0, join(plan_rows(100), account))

    assert 45 <= len(account.arrived) <= 50


def test_a_limit_that_falls_and_rises_is_followed(clock, join, plan_rows):
    account = Account(10)
    sender = join(plan_rows(1_000), account)
    pass_time(clock, 20.0, sender)
    account.allow(5)
    pass_time(clock, 20.0, sender)
    fallen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]
    refused = account.refused
    account.allow(10)
    pass_time(clock, 20.0, sender)
    risen = [at for at in account.arrived if clock.monotonic() - 10.0 <= at]

    assert refused <= 5, "those that were on their way when it fell"
    assert account.refused == refused
    assert 46 <= len(fallen) <= 50
    assert 92 <= len(risen) <= 100


def test_a_limit_that_is_told_again_undoes_nothing_that_refusals_taught():
    pace = told(fresh(5.0, 0.0), 10.0, 1.0)
    assert pace.interval == slot_interval(10.0)

    widened = throttle.learn(pace, Answered(2.0, was_throttled=True), 10.0, 2.0)
    assert told(widened, 10.0, 3.0) == widened
    assert told(widened, 8.0, 3.0).interval == slot_interval(8.0)
