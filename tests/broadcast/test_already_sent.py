"""Who has a message already, from another broadcast: what counts, who goes on, what is said."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.state_files import DRAFT
from wacoex_cli.broadcast.send import plan_test
from wacoex_cli.channels.model import Details, Fact
from wacoex_cli.channels.registry import add_channel
from wacoex_cli.channels.store import Facts
from wacoex_cli.contacts.persons import other_spelling
from wacoex_cli.errors import RefusedError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.message_key import message_key
from wacoex_cli.ledger.model import (
    Claim,
    RepeatPolicy,
    RowState,
    Settled,
    Status,
)
from wacoex_cli.ledger.repeats import MessageComparison
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.schema import migrations
from wacoex_cli.sending.guards import RunGuard
from wacoex_cli.sending.guards import SendOrder as Order
from wacoex_cli.sending.run import _LockedRun
from wacoex_cli.setup.state import choose
from wacoex_cli.templates.model import Template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.broadcast.conftest import Shop
    from wacoex_cli.ledger.model import Broadcast, Overlap

HOURS = 72.0
SPRING = {"name": "spring", "language": "en_US", "category": "UTILITY"}
TEMPLATE = json.dumps(Template.from_meta(SPRING).to_json())
SOURCES = json.dumps([{"key": "1", "column": "name", "text": None}])
PHONES = st.one_of(
    st.from_regex(r"\A\+(55[1-9]{2}9?[0-9]{8}|549?[0-9]{10}|521?[0-9]{10})\Z"),
    st.from_regex(r"\A\+[1-9][0-9]{6,14}\Z"),
)


def overlap(shop: Shop, broadcast: Broadcast, hours: float = HOURS) -> Overlap:
    return MessageComparison(shop.state, broadcast.broadcast_id, hours, shop.clock).look()


def said(shop: Shop, broadcast: Broadcast) -> list[str]:
    return overlap(shop, broadcast).sentences(shop.clock.now())


# The key of a message


@given(PHONES)
@settings(deadline=None)
def test_both_spellings_of_a_number_become_one(phone: str) -> None:
    import sqlite3

    sql = f"SELECT {other_spelling('phone')} FROM (SELECT ? AS phone)"
    [(other,)] = sqlite3.connect(":memory:").execute(sql, [phone])

    assert one_spelling(phone) in (phone, other)
    if other:
        assert one_spelling(other) == one_spelling(phone)


@given(PHONES, st.lists(st.text(), max_size=3))
def test_the_schema_step_gives_the_same_keys(phone: str, values: list[str]) -> None:
    parameters = json.dumps(values, ensure_ascii=False)
    base = migrations._m014_base(TEMPLATE, SOURCES)

    key = message_key(TEMPLATE, SOURCES)(phone, parameters)

    assert migrations._m014_key(base, phone, parameters) == key
    assert -(2**63) <= key < 2**63


def test_which_changes_make_another_message() -> None:
    key = message_key(TEMPLATE, SOURCES)("+5511987654321", '["Ana"]')
    spanish = TEMPLATE.replace("en_US", "es")
    header = SOURCES.replace('"1"', '"header.1"')

    assert message_key(spanish, SOURCES)("+551187654321", '["Ana"]') == key
    assert message_key(TEMPLATE, SOURCES)("+5511987654321", '["Bo"]') != key
    assert message_key(TEMPLATE, SOURCES)("+5511987654322", '["Ana"]') != key
    assert message_key(TEMPLATE, header)("+5511987654321", '["Ana"]') != key
    assert message_key(TEMPLATE.replace("spring", "fall"), SOURCES)("+5511987654321", "[]") != key


# What counts


def test_people_who_got_the_message_are_counted_for_72_hours(shop: Shop) -> None:
    shop.send(shop.planned(3))
    later = shop.planned(5)
    assert said(shop, later) == [
        "3 of 5 people already have this message (broadcast 1, just now)",
    ]

    shop.clock.leap(71 * 3600)
    assert overlap(shop, later).rows == 3
    assert overlap(shop, later, hours=24.0).rows == 0
    shop.clock.leap(2 * 3600)
    assert not overlap(shop, later)
    assert shop.send(later).exit_status == 0


@pytest.mark.parametrize(
    ("row_state", "counts"),
    [
        ("sending", True),
        ("accepted", True),
        ("sent", True),
        ("delivered", True),
        ("read", True),
        ("ambiguous", True),
        ("failed", False),
        ("rejected", False),
        ("skipped", False),
        ("pending", False),
        ("retry", False),
    ],
)
@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_the_state_of_the_other_row_decides(
    shop: Shop, row_state: str, counts: bool, status: str
) -> None:
    first, second = shop.planned(1), shop.planned(1)
    now = to_text(shop.clock.now())
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE recipients SET state = ?, claimed_at = ? WHERE broadcast_id = 1",
            [row_state, now],
        )
        shop.state.execute(
            "UPDATE broadcasts SET status = ?, started_at = ? WHERE broadcast_id = 1", [status, now]
        )

    assert bool(overlap(shop, second)) is counts
    assert not overlap(shop, first), "nothing was sent of the second"


@pytest.mark.parametrize(
    ("status", "counts"),
    [("sending", True), ("paused", True), ("completed", False), ("cancelled", False)],
)
def test_open_rows_count_while_their_broadcast_may_continue(
    shop: Shop, status: str, counts: bool
) -> None:
    shop.planned(2)
    second = shop.planned(3)
    assert not overlap(shop, second), "a broadcast that is only planned does not count"
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE broadcasts SET status = ?, started_at = ? WHERE broadcast_id = 1",
            [status, to_text(shop.clock.now())],
        )

    assert bool(overlap(shop, second)) is counts
    if counts:
        assert said(shop, second) == [
            "2 of 3 people will get this message from broadcast 1, which can go on:"
            " wacoex broadcast resume 1"
        ]


def test_a_test_message_does_not_count(shop: Shop) -> None:
    for _ in range(2):
        planned = shop.plan(2)
        assert planned.findings == ()
        shop.send(plan_test(shop.state, planned, shop.phone(1), shop.clock))
    assert len(shop.world.log.accepted()) == 2

    assert shop.send(planned.broadcast).exit_status == 0


def test_channels_of_one_business(state: State, clock: Any) -> None:
    def add(name: str, number: int, waba_id: str | None) -> int:
        details = Details(f"+6591{number:06}", f"10{number}", waba_id)
        return add_channel(state, name, details, clock.now()).channel_id

    def owned(channel_id: int, owner: str) -> None:
        value = {"id": owner, "name": f"seen as {channel_id}"}
        fact = Fact("waba.owner_business_info", value, "meta", to_text(clock.now()))
        with state.transaction():
            Facts(state).store(channel_id, [fact])

    shop, bakery = add("shop", 1, "201"), add("bakery", 2, "201")
    kiosk, other, unknown = add("kiosk", 3, "202"), add("other", 4, "203"), add("new", 5, None)
    assert Facts(state).of_one_business(shop) == [shop, bakery]
    assert Facts(state).of_one_business(unknown) == [unknown]

    owned(shop, "900")
    owned(kiosk, "900")
    owned(other, "901")
    assert Facts(state).of_one_business(shop) == [shop, bakery, kiosk]
    assert Facts(state).of_one_business(other) == [other]


def test_rows_from_before_get_their_keys_when_they_are_compared(shop: Shop) -> None:
    first, second = shop.planned(3), shop.planned(3)
    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET sent_key = NULL")
        shop.state.execute("UPDATE broadcasts SET has_keys = 0")
        shop.state.execute(
            "UPDATE broadcasts SET status = 'paused', started_at = planned_at, is_compared = 1"
            " WHERE broadcast_id = 1"
        )

    assert overlap(shop, second).open == {1: 3}
    assert not overlap(shop, first)
    assert shop.send(shop.current(first)).exit_status == 0
    with pytest.raises(RefusedError):
        shop.send(second)


def test_a_page_is_compared_by_the_indexes(shop: Shop) -> None:
    shop.send(shop.planned(2))
    plans: list[str] = []
    state = shop.state

    def explain(sql: str, values: Sequence[object]) -> None:
        if "mine" in sql:
            found = state.rows(f"EXPLAIN QUERY PLAN {sql}", values)
            plans.extend(str(row["detail"]) for row in found)

    def rows(sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        explain(sql, values)
        return state.rows(sql, values)

    def tuples(sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        explain(sql, values)
        return state.tuples(sql, values)

    number = shop.planned(2).broadcast_id
    compared = SimpleNamespace(rows=rows, tuples=tuples, value=state.value)
    looked = Rows(compared, number)  # type: ignore[arg-type]
    looked.sent_elsewhere("mine.row BETWEEN ? AND ?", (1, 5), shop.clock.now())
    looked.sent_elsewhere("mine.row IN (?, ?)", (1, 2), shop.clock.now())
    looked.open_elsewhere(1, 5, [1])

    theirs = [plan for plan in plans if plan.startswith("SEARCH theirs")]
    assert ["recipients_by_sent_key" in plan for plan in theirs] == [True, True, False]
    assert "one_row_per_person (broadcast_id=? AND phone=?)" in theirs[2]
    assert not [plan for plan in plans if plan.startswith("SCAN")]


# What follows


def test_a_refused_start_leaves_the_broadcast_as_it_was(shop: Shop) -> None:
    shop.send(shop.planned(2))
    second = shop.planned(3)

    with pytest.raises(RefusedError) as refused:
        shop.send(second)

    assert refused.value.code == "already_sent"
    assert shop.current(second) == second
    assert Rows(shop.state, second.broadcast_id).runs() == []
    assert Broadcasts(shop.state).sender(second.broadcast_id, shop.clock) is None
    assert shop.send(second, repeats=RepeatPolicy.SKIPPED).exit_status == 0
    assert shop.rows(second)[1]["reason"] == "already_sent"
    assert shop.taken_twice() == []


def test_a_refused_resume_stays_paused(shop: Shop) -> None:
    first = shop.planned(4)
    shop.faults(Fault("expired_token", arrivals=frozenset({2})))
    shop.send(first, rate=5.0)
    shop.faults()
    assert shop.current(first).status is Status.PAUSED
    shop.send(shop.planned(6), repeats=RepeatPolicy.SENT)

    with pytest.raises(RefusedError):
        shop.resume(first)
    assert shop.current(first).status is Status.PAUSED
    assert shop.resume(first, repeats=RepeatPolicy.SKIPPED).exit_status in (0, 7)
    assert shop.current(first).repeats is RepeatPolicy.SKIPPED


class Ledger:
    """Broadcasts of some people each, without Meta and without a file."""

    def __init__(self, state: State, clock: Any, lists: Sequence[Sequence[int]]) -> None:
        self.state, self.clock = state, clock
        self.channel = add_channel(state, "shop", Details("+6560000001", "1", "2"), clock.now())
        self.broadcasts = [self._plan(places) for places in lists]

    def _plan(self, places: Sequence[int]) -> Broadcast:
        store = Broadcasts(self.state)
        with self.state.transaction():
            number = store.start_draft(
                **{**DRAFT, "channel_id": self.channel.channel_id, "template": TEMPLATE},
                has_keys=True,
                now=self.clock.now(),
            )
            store.set_status(number, Status.PLANNED)
        rows = [
            PlannedRow(row, row + 1, f"+659100000{place}", "[]")
            for row, place in enumerate(places, start=1)
        ]
        Rows(self.state, number).add(rows, message_key(TEMPLATE, "[]"))
        return store.get(number)

    def claimed(self) -> list[str]:
        """Everybody whose row was claimed and not given back, as often as that."""
        found = self.state.rows("SELECT phone FROM recipients WHERE state = 'accepted'")
        return [row["phone"] for row in found]


class Sender:
    """One process that starts a broadcast and sends it, a transaction at a time."""

    def __init__(self, state: Any, ledger: Ledger, broadcast: Broadcast, order: Order) -> None:
        self.state = state
        self._process = _LockedRun(state, broadcast, ledger.clock)
        provider: Any = SimpleNamespace(endpoint=None, stated_limit=lambda: None)
        self.run = self._process.begin(provider, ledger.channel, order)
        self.guard = RunGuard(state, ledger.clock, self.run)
        self._now = ledger.clock.now

    def claim(self, wanted: int = 1) -> tuple[Claim, ...]:
        """Claim rows, and have them taken in the next transaction."""
        holder = self._process.presence.holder
        with self.state.transaction():
            claims = self.guard.claim(holder, wanted)
        with self.state.transaction():
            settled = [Settled(c.row, c.attempt, RowState.ACCEPTED, message_id="m") for c in claims]
            Rows(self.state, self.run.broadcast_id).record(holder, settled, self._now())
        return claims

    def close(self) -> None:
        self._process.close(self.run, self.guard.stop, ())
        self._process.presence.leave()


def test_a_hit_at_the_claim_pauses_the_broadcast(state: State, clock: Any) -> None:
    ledger = Ledger(state, clock, [[1, 2, 3], [3, 2, 1]])
    first, second = ledger.broadcasts
    running = Sender(state, ledger, second, Order())
    assert [claim.phone for claim in running.claim()] == ["+6591000003"]
    meant = Sender(state, ledger, first, Order(repeats=RepeatPolicy.SENT))
    assert len(meant.claim(2)) == 2

    assert running.claim(2) == ()
    assert running.guard.stop is not None
    assert running.guard.stop.reason.startswith("already_sent: ")
    running.close()

    after = Broadcasts(state).get(second.broadcast_id)
    assert (after.status, (after.reason or "")[:12]) == (Status.PAUSED, "already_sent")
    assert Rows(state, second.broadcast_id).counts().of(RowState.PENDING) == 2
    assert len(meant.claim(2)) == 1, "who is meant to get it again gets it"
    [decision] = Rows(state, first.broadcast_id).decisions()
    assert decision["decision"].startswith("again: 1 of 3 people already have this message")


def test_a_hit_at_the_claim_is_skipped_when_a_person_asked_for_that(
    state: State, clock: Any
) -> None:
    ledger = Ledger(state, clock, [[1, 2, 3], [3, 2, 1]])
    first, second = ledger.broadcasts
    running = Sender(state, ledger, second, Order(repeats=RepeatPolicy.SKIPPED))
    running.claim()
    Sender(state, ledger, first, Order(repeats=RepeatPolicy.SENT)).claim(1)

    assert [claim.phone for claim in running.claim(2)] == ["+6591000002"]
    running.close()

    rows = Rows(state, second.broadcast_id)
    assert rows.skip_reasons() == {"already_sent": 1}
    assert Broadcasts(state).get(second.broadcast_id).status is Status.COMPLETED


def test_recent_broadcasts_are_not_pruned(state: State, clock: Any) -> None:
    ledger = Ledger(state, clock, [[1], [2]])
    sender = Sender(state, ledger, ledger.broadcasts[0], Order())
    sender.claim()
    sender.close()

    for hours, kept in ((71, {"already_sent": 1}), (2, {})):
        clock.advance(hours * 3600.0)
        assert choose(state, clock.now(), clock.now(), HOURS).kept == kept | {"open": 1}


# Several that start at once


class Turns:
    """Programs of which one at a time goes on, from one look at the state file to the next."""

    def __init__(self) -> None:
        self._may_go: dict[int, threading.Semaphore] = {}
        self._waits = threading.Semaphore(0)

    def start(self, place: int, program: Callable[[], None]) -> threading.Thread:
        def work() -> None:
            try:
                self.wait(place)
                program()
            finally:
                del self._may_go[place]
                self._waits.release()

        self._may_go[place] = threading.Semaphore(0)
        thread = threading.Thread(target=work)
        thread.start()
        self._waits.acquire()
        return thread

    def wait(self, place: int) -> None:
        self._waits.release()
        self._may_go[place].acquire()

    def play(self, order: Iterator[int]) -> None:
        while self._may_go:
            living = sorted(self._may_go)
            self._may_go[living[next(order) % len(living)]].release()
            self._waits.acquire()


class SteppedState:
    """A state file of which each use outside a transaction, and each transaction, is a turn."""

    def __init__(self, path: Path, turns: Turns, place: int) -> None:
        self._inner, self._turns, self._place = open_state(path), turns, place
        self._is_inside = False

    def __getattr__(self, name: str) -> Any:
        if name in {"rows", "row", "value"} and not self._is_inside:
            self._turns.wait(self._place)
        return getattr(self._inner, name)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        self._turns.wait(self._place)
        self._is_inside = True
        try:
            with self._inner.transaction():
                yield
        finally:
            self._is_inside = False


LISTS = st.lists(
    st.lists(st.integers(1, 5), unique=True, min_size=1, max_size=4), min_size=2, max_size=3
)
SAME_LISTS = st.integers(2, 3).flatmap(
    lambda n: st.permutations([1, 2, 3]).map(lambda first: [first, *[[1, 2, 3]] * (n - 1)])
)


# Who goes on, and for how many turns: what matters happens between two looks at the state file.
STRETCHES = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), max_size=12)


class Starts:
    """Starts of broadcasts with the same people, each on a fresh state file."""

    def __init__(self, directory: Path, clock: Any) -> None:
        self._directory, self._clock, self._numbers = directory, clock, itertools.count()
        self._empty = directory / "empty.db"
        open_state(self._empty).close()

    def play(self, lists: Sequence[Sequence[int]], order: Iterator[int]) -> list[Status]:
        """Send all lists, in turns of that order; says how each broadcast ended.

        Nobody got it twice, and somebody went on.
        """
        directory = self._directory / f"{next(self._numbers)}"
        directory.mkdir()
        path = directory / "wacoex.db"
        shutil.copyfile(self._empty, path)
        with contextlib.closing(open_state(path)) as state:
            ledger, turns, failures = Ledger(state, self._clock, lists), Turns(), list[Any]()
            threads = [
                turns.start(place, sending(path, turns, place, ledger, failures))
                for place in range(len(lists))
            ]
            turns.play(order)
            for thread in threads:
                thread.join()
            ended = [Broadcasts(state).get(b.broadcast_id).status for b in ledger.broadcasts]
            claimed = ledger.claimed()
        shutil.rmtree(directory)
        assert failures == []
        assert len(claimed) == len(set(claimed)), "somebody got it twice"
        assert Status.COMPLETED in ended, "all wait for each other"
        return ended


def sending(
    path: Path, turns: Turns, place: int, ledger: Ledger, failures: list[Any]
) -> Callable[[], None]:
    stepped: Any = SteppedState(path, turns, place)

    def send() -> None:
        try:
            sender = Sender(stepped, ledger, ledger.broadcasts[place], Order())
            while sender.claim():
                pass
            sender.close()
        except BaseException as error:
            if getattr(error, "code", None) != "already_sent":
                failures.append(error)
        finally:
            stepped.close()

    return send


@pytest.fixture
def starts(tmp_path: Path, clock: Any) -> Starts:
    return Starts(tmp_path, clock)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_of_several_starts_at_once_one_continues_and_nobody_gets_it_twice(
    starts: Starts, examples: int
) -> None:
    @given(lists=LISTS | SAME_LISTS, order=STRETCHES)
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def play(lists: list[list[int]], order: list[tuple[int, int]]) -> None:
        stretches = (itertools.repeat(*stretch) for stretch in order)
        ended = starts.play(lists, itertools.chain(*stretches, itertools.cycle(range(3))))
        assert set(ended) <= {Status.COMPLETED, Status.PLANNED, Status.PAUSED}

    play()


@pytest.mark.parametrize("turns", range(1, 20))
def test_a_start_between_look_and_go_is_seen(starts: Starts, turns: int) -> None:
    """The second goes so far, then the first starts: at every moment one of the two is refused."""
    order = itertools.chain(itertools.repeat(1, turns), itertools.repeat(0, 20))

    ended = starts.play([[1, 2, 3], [3, 2, 1]], itertools.chain(order, itertools.cycle(range(2))))

    assert sorted(ended) == [Status.COMPLETED, Status.PLANNED]
