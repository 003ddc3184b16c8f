"""Kills, pauses, faults, decisions and webhooks in any order: nobody twice, nobody lost.

Everything runs in this process: the pretend Meta and respond.io behind an ASGI transport, and an
event loop whose time leaps to the next thing that is due.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
import json
import selectors
import shutil
import zoneinfo
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.broadcast.stage import place_in_memory
from wacoex_cli.broadcast import reconcile
from wacoex_cli.broadcast.plan import PlanOrder, plan
from wacoex_cli.broadcast.reconcile import Inquiry, ask_meta, ask_respondio
from wacoex_cli.broadcast.send import pause
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.contacts.quiet_hours import QuietHours
from wacoex_cli.contacts.store import add_optout
from wacoex_cli.errors import UsageError
from wacoex_cli.events.pull import Person, PullLog, PullTally, Reader
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.model import (
    TRANSITIONS,
    Broadcast,
    Decision,
    RowState,
    Status,
    attempt_id,
)
from wacoex_cli.ledger.model import (
    Fate as Found,
)
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.platforms.respondio import RespondIO
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.webhooks import release
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.sending.guards import Canary, Guards, SendOrder
from wacoex_cli.sending.providers import MetaProvider, RespondIOProvider, SendingProvider
from wacoex_cli.sending.run import send

PARTS = 2
EXAMPLES, SLOW_EXAMPLES = (n // (PARTS * len(Provider)) for n in (200, 1_000))
URL = "http://127.0.0.1:4555"
RESPONDIO_URL = f"{URL}/respondio/v2"
COMMIT_SECONDS = 0.002
# What was claimed before an opt-out became known may still leave: two looks ahead.
ALREADY_CLAIMED_SECONDS = 1.3
LEGAL = {
    (before.value, after.value)
    for ways in TRANSITIONS.values()
    for after, sources in ways.items()
    for before in sources
}
RANKED = ("accepted", "held_by_meta", "paused_by_meta", "sent", "failed", "delivered", "read")
RANKS = {state: rank for rank, state in enumerate(RANKED)}
DONE = {*RANKS, "rejected", "ambiguous", "skipped"}
ANSWERS = {
    "throttled": Fault("throttled"),
    "server error": Fault("server_error"),
    "server error, but taken": Fault("server_error", accepts=True),
    "asked to wait": Fault("throttled", headers={"Retry-After": "60"}),
    "stop": Fault("expired_token"),
    "no body, but taken": Fault("empty_body"),
}
FAULTS = {
    Provider.META: {
        **ANSWERS,
        "perhaps taken": Fault("refuse", code=131000, accepts=True),
        "undeliverable": Fault("refuse", code=131026),
        "opted out": Fault("refuse", code=131050),
        "held": Fault("held"),
        "paused": Fault("paused"),
    },
    Provider.RESPONDIO: {
        **ANSWERS,
        "perhaps taken": Fault("html", status=502, accepts=True),
        "undeliverable": Fault("status_failed"),
        "opted out": Fault("status_failed", code=131050),
        "refused": Fault("refuse", code=400),
        "no such contact": Fault("refuse", code=404),
        "being processed": Fault("refuse", code=449),
        "firewall": Fault("html", status=403),
    },
}
LUCK = {
    provider: st.sampled_from(
        [
            "fine",
            *faults,
            "slow",
            "status before the answer",
            "no connection",
            "reset before",
            "reset after",
            "silence",
        ]
    )
    for provider, faults in FAULTS.items()
}


class Killed(BaseException):
    """The sender is gone, between one instant and the next."""


class Fate:
    """Kills the sender at an instant; from then on it can do nothing at all. None is never."""

    def __init__(self, kill_at: int | None) -> None:
        self.left, self.is_dead = kill_at, False

    def tick(self) -> None:
        if self.left is not None:
            self.left -= 1
            self.is_dead = self.is_dead or self.left <= 0
        if self.is_dead:
            raise Killed


class MortalState:
    """The state file of a sender that may die right before and right after each commit."""

    def __init__(self, inner: State, fate: Fate) -> None:
        self._inner, self._fate = inner, fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextlib.contextmanager
    def transaction(self):
        with self._inner.transaction():
            yield
            self._fate.tick()
        self._fate.tick()


class LoopClock:
    """The test's clock for programs on the leaping loop; a mortal one may die in its sleep."""

    def __init__(self, clock: Any, fate: Fate) -> None:
        self.now, self.monotonic, self.boot_id = clock.now, clock.monotonic, clock.boot_id
        self._fate = fate

    async def sleep(self, seconds: float) -> None:
        self._fate.tick()
        await asyncio.sleep(seconds)
        self._fate.tick()


class LeapingSelector(selectors.SelectSelector):
    """Nobody waits: when nothing is ready, the clock leaps to what is due next."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for somebody else"
        self._clock.advance(timeout)
        return super().select(0)


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop in the time of the test's clock, whose threads work at once."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        super().__init__(LeapingSelector(clock))
        self.set_exception_handler(lambda loop, context: None)  # the dead leave things undone

    def time(self) -> float:
        seconds: float = self._clock.monotonic()
        return seconds

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            settle, outcome = future.set_result, func(*args)
        except BaseException as error:
            settle, outcome = future.set_exception, error
        self.call_later(COMMIT_SECONDS, lambda: future.done() or settle(outcome))
        return future


class Network(httpx.AsyncBaseTransport):
    """The way to the pretend API; each message has the luck that is next in line.

    What is on its way arrives, even when the sender dies meanwhile.
    """

    def __init__(self, shop: Shop, fate: Fate, luck: list[str]) -> None:
        self._shop, self._fate, self._luck = shop, fate, iter(luck)
        self._inner = httpx.ASGITransport(application(shop.world))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        is_message = request.url.path.endswith(("/message", "/messages"))
        if request.method != "POST" or not is_message:
            return await self._inner.handle_async_request(request)
        self._fate.tick()
        try:
            return await self._message(request, next(self._luck, "fine"))
        except asyncio.CancelledError:
            self._shop.dropped += 1
            raise

    async def _message(self, request: httpx.Request, luck: str) -> httpx.Response:
        if luck == "no connection":
            raise httpx.ConnectError("refused")
        await asyncio.sleep(0.02)
        if luck == "reset before":
            raise httpx.ReadError("reset")
        faults = FAULTS[self._shop.provider]
        self._shop.world.faults.replace([faults[luck]] if luck in faults else [])
        response = await self._inner.handle_async_request(request)
        await self._come_back(luck, request)
        self._fate.tick()
        return response

    async def _come_back(self, luck: str, request: httpx.Request) -> None:
        if luck == "status before the answer":
            await asyncio.sleep(0.6)
            await self._shop.tell(request.url.path)
        if luck == "silence":
            await asyncio.sleep(100.0)
        await asyncio.sleep(1.0 if luck in {"slow", "status before the answer"} else 0.02)
        if luck == "reset after":
            raise httpx.ReadError("reset")


@dataclass
class Shop:
    """One channel on a state file of its own, and what happens to it.

    `dropped` counts requests whose answer the sender did not wait for.
    """

    state: State
    clock: Any
    provider: Provider = Provider.META
    dropped: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        clock = self.clock
        ids = (PHONE_NUMBER_ID, WABA_ID, RESPONDIO_CHANNEL_ID)
        details = Details(PHONE, *ids, self.provider)
        self.world = default_world(monotonic=clock.monotonic, now=lambda: clock.now().timestamp())
        self.world.callbacks = Callbacks(statuses=True)
        self.channel = registry.add_channel(self.state, "shop", details, clock.now())

    def run(self, program: Any) -> Any:
        with asyncio.Runner(loop_factory=lambda: LeapingLoop(self.clock)) as runner:
            return runner.run(program)

    def http(self, clock: Any, fate: Fate, luck: list[str]) -> Http:
        return Http(clock, log=lambda text: None, transport=Network(self, fate, luck))

    def meta(self, http: Http) -> Meta:
        return Meta(http, Secret(DEFAULT_TOKEN, "the test"), URL, "v26.0")

    def respondio(self, http: Http) -> RespondIO:
        token = Secret(DEFAULT_RESPONDIO_TOKEN, "the test")
        return RespondIO(http, token, RESPONDIO_URL, clock=http.clock)

    @contextlib.asynccontextmanager
    async def api(self, fate: Fate, luck: list[str]):
        clock = LoopClock(self.clock, fate)
        http = self.http(clock, fate, luck)
        provider: SendingProvider = MetaProvider(self.meta(http), self.channel, URL)
        if self.provider is Provider.RESPONDIO:
            provider = RespondIOProvider(self.respondio(http), self.channel, RESPONDIO_URL)
        yield clock, provider

    async def plan(self, people: Path) -> Broadcast:
        """People who are not contacts at respond.io become contacts."""
        is_respondio = self.provider is Provider.RESPONDIO
        async with self.api(Fate(None), []) as (clock, provider):
            planned = await plan(
                self.state,
                provider,
                self.channel,
                PlanOrder(people, "opening_hours", "en_US", create_contacts=is_respondio),
                clock=clock,
                stdin=io.BytesIO(),
            )
        return planned.broadcast

    async def ask(self, broadcast: Broadcast, doubts: Any) -> Inquiry:
        """Ask what happened to rows in doubt."""
        clock = LoopClock(self.clock, Fate(None))
        http = self.http(clock, Fate(None), [])
        if self.provider is Provider.META:
            return await ask_meta(self.state, self.meta(http), self.channel, doubts, clock)
        respondio = self.respondio(http)
        return await ask_respondio(self.state, respondio, self.channel, broadcast, doubts, clock)

    async def pull(self, phones: list[str]) -> None:
        """Read what respond.io lists of these people into the log of events."""
        clock = LoopClock(self.clock, Fate(None))
        respondio = self.respondio(self.http(clock, Fate(None), []))
        kept = PullLog(self.state, clock, PullTally(), key=b"k", store_bodies=False)
        a_month_ago = clock.now() - timedelta(days=30)
        reader = Reader(respondio, RESPONDIO_CHANNEL_ID, kept, since=a_month_ago)
        await reader.read([Person.of_phone(phone) for phone in phones], lambda done: None)

    async def send(self, broadcast: Broadcast, night: Night, acts: list[Any]) -> None:
        fate = Fate(night.kill_at)
        async with self.api(fate, night.luck) as (clock, provider):
            sending = asyncio.ensure_future(
                send(
                    MortalState(self.state, fate),  # type: ignore[arg-type]
                    provider,
                    self.channel,
                    broadcast,
                    SendOrder(rate=20.0, guards=guards_of(night.guards, self.clock.now())),
                    clock=clock,
                    on_counts=lambda counts: None,
                    on_signal=lambda text: None,
                )
            )
            beside = [asyncio.ensure_future(act) for act in acts]
            try:
                await sending
            except Killed:
                if night.ends_in_a_power_cut:
                    return
            await asyncio.gather(*beside)

    async def pause(self, broadcast: Broadcast, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with contextlib.suppress(UsageError):
            await pause(self.state, broadcast, "Ana", LoopClock(self.clock, Fate(None)))

    async def tell(self, path: str) -> None:
        """The result of the newest message is known here already."""
        if self.provider is Provider.META:
            self.deliver(self.reported())
        else:
            await self.pull([path.split("phone:")[1].removesuffix("/message")])
        bring_up_to_date(self.state, self.clock)

    def reported(self) -> list[Any]:
        return self.world.outbox.emitted(self.clock.monotonic())

    def deliver(self, bodies: list[Any]) -> None:
        """Webhooks come in, as by a listener in another process."""
        now = self.clock.now()
        payloads = [
            payload_of(Source.META, body, len(json.dumps(body)), key=b"k", received_at=now)
            for body in bodies
        ]
        for payload in payloads:
            with self.state.transaction():
                EventLog(self.state).store([payload], Via.LISTEN, now)


@dataclass(frozen=True)
class Night:
    """How one run goes: the luck of each message in turn, a kill, a pause, an opt-out, guards.

    `kill_at` counts instants, `pause_after` is in seconds, `opts_out` is a person.
    """

    luck: list[str]
    kill_at: int | None
    ends_in_a_power_cut: bool
    pause_after: float
    opts_out: int | None
    guards: str = "none"


def guards_of(word: str, now: datetime) -> Guards | None:
    """The limits that a person sets for the sender; None: the limits from before."""
    if word == "as before":
        return None
    canary = Canary(2, wait_seconds=2.0, limit=1.0) if word == "canary" else None
    local = now.astimezone(zoneinfo.ZoneInfo("Asia/Singapore"))
    ends = (local - timedelta(hours=1)).time(), (local + timedelta(hours=2)).time()
    hours = QuietHours(*(end.replace(second=0, microsecond=0) for end in ends))
    return Guards(canary=canary, quiet_hours=hours if word == "quiet hours" else None)


NIGHTS = {
    provider: st.builds(
        Night,
        luck=st.lists(luck, max_size=6),
        kill_at=st.none() | st.integers(1, 40),
        ends_in_a_power_cut=st.booleans(),
        pause_after=st.sampled_from([0.0, 0.1, 0.25, 0.5, 3.0]),
        opts_out=st.none() | st.integers(0, 4),
        guards=st.sampled_from(["none", "as before", "canary", "quiet hours"]),
    )
    for provider, luck in LUCK.items()
}
FAIR = Night([], kill_at=None, ends_in_a_power_cut=False, pause_after=30.0, opts_out=None)


class AnyNights(RuleBasedStateMachine):
    """One broadcast, whatever happens to it, and what may never happen."""

    def __init__(self, directory: Path, clock: Any, provider: Provider) -> None:
        super().__init__()
        self.directory, self.clock = directory, clock
        self.state = open_state(directory / "wacoex.db")
        # Only a power cut could tell the difference.
        self.state.value("PRAGMA synchronous = OFF")
        with self.state.transaction():
            self.state.execute("CREATE TABLE moves (before TEXT NOT NULL, after TEXT NOT NULL)")
            self.state.execute(
                "CREATE TRIGGER moves AFTER UPDATE OF state ON recipients"
                " WHEN OLD.state <> NEW.state BEGIN"
                " INSERT INTO moves VALUES (OLD.state, NEW.state); END"
            )
        self.shop = Shop(self.state, clock, provider)
        self.may_take: Counter[str] = Counter()
        self.doubted: set[str] = set()  # of whom a person said something
        self.silent_from: dict[str, float] = {}
        self.rank: dict[int, int] = {}

    @initialize(people=st.integers(1, 5), is_repeated=st.booleans())
    def plan(self, people: int, is_repeated: bool) -> None:
        self.phones = [f"+659100000{n}" for n in range(people)]
        lines = ["phone", *self.phones, *self.phones[: int(is_repeated)]]
        file = self.directory / "people.csv"
        file.write_text("\n".join(lines) + "\n")
        self.broadcast_id = self.shop.run(self.shop.plan(file)).broadcast_id
        self.size = len(lines) - 1
        self.may_take.update(self.phones)

    @property
    def broadcast(self) -> Broadcast:
        return Broadcasts(self.state).get(self.broadcast_id)

    def rows(self) -> list[Any]:
        return self.state.rows("SELECT * FROM recipients ORDER BY row")

    def has_more(self) -> bool:
        return self.broadcast.status in {Status.PLANNED, Status.SENDING, Status.PAUSED}

    @precondition(has_more)
    @rule(data=st.data())
    def send_in_any_night(self, data: Any) -> None:
        self.send(data.draw(NIGHTS[self.shop.provider]))

    def send(self, night: Night) -> None:
        bring_up_to_date(self.state, self.clock)
        broadcast = self.broadcast
        acts = [self.shop.pause(broadcast, night.pause_after)]
        if night.opts_out is not None:
            acts.append(self.opt_out_meanwhile(self.phones[night.opts_out % len(self.phones)]))
        arrived = len(self.shop.world.log.arrivals)
        self.shop.run(self.shop.send(broadcast, night, acts))
        if night.guards == "quiet hours":
            assert len(self.shop.world.log.arrivals) == arrived
        if night.ends_in_a_power_cut:
            self.another_boot()

    async def opt_out_meanwhile(self, phone: str) -> None:
        await asyncio.sleep(0.1)
        self.opt_out(phone, ALREADY_CLAIMED_SECONDS)

    @rule(data=st.data())
    def opt_out_by_day(self, data: Any) -> None:
        self.opt_out(data.draw(st.sampled_from(self.phones)), 0.0)

    def opt_out(self, phone: str, already_claimed: float) -> None:
        with self.state.transaction():
            add_optout(self.state, phone, "operator", None, self.clock.now())
        self.silent_from.setdefault(phone, self.clock.monotonic() + already_claimed)

    @precondition(lambda self: self.shop.reported())
    @rule(data=st.data())
    def webhooks_come_late_and_again(self, data: Any) -> None:
        answer = self.shop.reported()
        which = data.draw(st.lists(st.integers(0, len(answer) - 1), max_size=8))
        self.shop.deliver([answer[n] for n in which])
        bring_up_to_date(self.state, self.clock)

    def is_through_respondio(self) -> bool:
        return self.shop.provider is Provider.RESPONDIO

    def in_doubt(self) -> list[Any]:
        return [row for row in self.rows() if row["state"] == "ambiguous"]

    def is_in_doubt(self) -> bool:
        return bool(self.in_doubt())

    @precondition(is_through_respondio)
    @rule(data=st.data())
    def somebody_pulls(self, data: Any) -> None:
        self.pull(data.draw(st.lists(st.sampled_from(self.phones), unique=True)))

    def pull(self, phones: list[str]) -> None:
        self.shop.run(self.shop.pull(phones))
        bring_up_to_date(self.state, self.clock)

    @precondition(is_in_doubt)
    @rule(decision=st.sampled_from(Decision), data=st.data())
    def a_person_decides(self, decision: Decision, data: Any) -> None:
        row = data.draw(st.sampled_from(self.in_doubt()))
        number, phone = row["row"], row["phone"]
        reconcile.decide(self.state, self.broadcast, [number], decision, "Ana", self.clock)
        self.doubted.add(phone)
        self.may_take[phone] += decision is Decision.RESEND

    @precondition(is_in_doubt)
    @rule(is_resent=st.booleans())
    def the_api_is_asked_about_them(self, is_resent: bool) -> None:
        """What it says did not go out never did, so sending it again is nobody's second one."""
        numbers = [row["row"] for row in self.in_doubt()]
        doubts = Rows(self.state, self.broadcast_id).doubts(numbers)
        found = self.shop.run(self.shop.ask(self.broadcast, doubts))
        answer = reconcile.settle(self.state, self.broadcast_id, doubts, found, self.clock.now())
        if not self.is_through_respondio():
            assert {entry.state for entry in answer} == {RowState.AMBIGUOUS}
        unsent = [entry.doubt for entry in answer if entry.judgement.fate is Found.DID_NOT]
        taken = {entry.biz_opaque_callback_data for entry in self.shop.world.log.accepted()}
        this_file = Broadcasts(self.state).state_id
        for entry in unsent:
            attempts = range(1, entry.attempt + 1)
            names = {attempt_id(this_file, self.broadcast_id, entry.row, n) for n in attempts}
            assert not names & taken
        if is_resent:
            rows, resend = [entry.row for entry in unsent], Decision.RESEND
            reconcile.decide(self.state, self.broadcast, rows, resend, "Ana", self.clock)

    @rule(code=st.sampled_from([None, 132015]))
    def meta_lets_go_what_it_held_back(self, code: int | None) -> None:
        release(self.shop.world, code=code)

    @rule(seconds=st.sampled_from([1.0, 70.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def another_boot(self) -> None:
        """A power cut takes the notes of a sender, which are never synchronised."""
        self.clock.advance(locks.SILENCE_SECONDS + 1.0)
        self.clock.boot += "+"
        for notes in locks.presence_directory(self.state.path).glob("*"):
            notes.write_text("")

    @invariant()
    def nobody_is_sent_to_twice(self) -> None:
        taken = Counter(entry.recipient for entry in self.shop.world.log.accepted())
        assert taken <= self.may_take

    @invariant()
    def every_row_moves_as_the_table_says(self) -> None:
        """The state file itself notes each move; none is missed between two steps."""
        moves = self.state.rows("SELECT DISTINCT before, after FROM moves")
        assert {(move["before"], move["after"]) for move in moves} <= LEGAL

    @invariant()
    def nobody_is_lost(self) -> None:
        rows = self.rows()
        assert [row["row"] for row in rows] == list(range(1, self.size + 1))
        counts = Rows(self.state, self.broadcast_id).counts()
        assert counts.total == self.size
        assert counts.to_json() == {
            state.value: sum(row["state"] == state for row in rows) for state in RowState
        }

    @invariant()
    def what_is_recorded_is_what_happened(self) -> None:
        taken = {entry.recipient for entry in self.shop.world.log.accepted()}
        for row in self.rows():
            if row["phone"] in self.doubted or row["reason"] == "duplicate":
                continue
            if row["phone"] in taken:
                assert row["state"] in {*RANKS, "ambiguous", "sending"}
            else:
                assert row["state"] not in RANKS

    @invariant()
    def delivery_never_goes_backwards(self) -> None:
        for row in self.rows():
            before = self.rank.get(row["row"], -1)
            rank = self.rank[row["row"]] = RANKS.get(row["state"], -1)
            assert rank >= before

    @invariant()
    def nobody_hears_from_us_after_opting_out(self) -> None:
        late = [
            arrival
            for arrival in self.shop.world.log.arrivals
            if arrival.recipient in self.silent_from
            and arrival.at > self.silent_from[arrival.recipient]
        ]
        assert late == []

    def best_news(self) -> dict[str, int]:
        """The highest status of each person at Meta, or of each message at respond.io."""
        best: dict[str, int] = {}
        for body in self.shop.reported():
            for status in body["entry"][0]["changes"][0]["value"]["statuses"]:
                phone = f"+{status['recipient_id']}"
                best[phone] = max(best.get(phone, 0), RANKS[status["status"]])
        respondio = self.shop.world.respondio
        respondio.catch_up()
        for contact in respondio.contacts.values():
            for number, message in contact.messages.items():
                answer = [RANKS.get(entry["value"], 0) for entry in message.get("status", [])]
                best[str(number)] = max(answer, default=0)
        return best

    def teardown(self) -> None:
        """In a fair night at last everybody is dealt with, and the news comes once more."""
        try:
            if hasattr(self, "broadcast_id"):
                self.finish()
        finally:
            self.state.close()

    def finish(self) -> None:
        self.time_passes(700.0)
        if self.has_more():
            self.send(FAIR)
        release(self.shop.world)
        self.clock.advance(1.0)
        self.shop.deliver(self.shop.reported()[::-1])
        bring_up_to_date(self.state, self.clock)
        if self.is_through_respondio():
            self.pull(self.phones)
        assert self.broadcast.status is Status.COMPLETED
        news = self.best_news()
        for row in self.rows():
            assert row["state"] in DONE
            key = row["message_id"] if self.is_through_respondio() else row["phone"]
            if row["state"] != "skipped" and key in news:
                assert RANKS.get(row["state"]) == news[key]
            if row["state"] in {"rejected", "ambiguous", "skipped", "failed"}:
                assert row["reason"] or row["code"] or row["detail"]
        for check in (
            self.nobody_is_sent_to_twice,
            self.every_row_moves_as_the_table_says,
            self.nobody_is_lost,
            self.what_is_recorded_is_what_happened,
            self.delivery_never_goes_backwards,
            self.nobody_hears_from_us_after_opting_out,
        ):
            check()


@pytest.fixture
def new_machine(tmp_path: Path, clock: Any, monkeypatch: pytest.MonkeyPatch):
    """Machines, one after the other, each with a fresh state file and a clock of its own."""
    # A sender collects garbage before it starts; here it starts thousands of times.
    monkeypatch.setattr(gc, "collect", lambda *args: 0)
    empty = tmp_path / "empty.db"
    open_state(empty).close()
    with place_in_memory() as place:
        directory = place / "night"

        def make(provider: Provider) -> AnyNights:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            shutil.copyfile(empty, directory / "wacoex.db")
            return AnyNights(directory, type(clock)(clock.moment), provider)

        yield make


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "examples", [EXAMPLES, pytest.param(SLOW_EXAMPLES, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("provider", Provider)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_sequence_of_events_sends_anybody_twice_or_loses_one(
    new_machine, provider: Provider, part: int, examples: int
) -> None:
    make: Any = functools.partial(new_machine, provider)
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=examples,
            stateful_step_count=6,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_person_who_opts_out_while_meta_asks_to_wait_is_not_sent_to(
    tmp_path: Path, state, clock
) -> None:
    shop = Shop(state, clock)
    file = tmp_path / "people.csv"
    file.write_text("phone\n+6591000001\n+6591000002\n+6591000003\n")
    broadcast = shop.run(shop.plan(file))

    async def opt_out() -> None:
        await asyncio.sleep(10.0)
        with state.transaction():
            add_optout(state, "+6591000003", "operator", None, clock.now())

    night = Night(["asked to wait"], None, False, 0.0, None)
    shop.run(shop.send(broadcast, night, [opt_out()]))

    taken = {entry.recipient for entry in shop.world.log.accepted()}
    assert taken == {"+6591000001", "+6591000002"}
    assert Broadcasts(state).get(broadcast.broadcast_id).status is Status.COMPLETED
