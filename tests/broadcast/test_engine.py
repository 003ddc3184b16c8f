"""The engine between the record and the network: what it does when one of them fails.

A sender that is killed at any moment: resume finds everybody, and nobody twice.
A network and a server that misbehave: where each row ends, and that nobody is sent to twice.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import WINDOW
from wacoex_cli.ledger.model import (
    Claim,
    RowState,
    Status,
    Stop,
    attempt_id,
    lock_purpose,
)
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.answers import Taken
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sending.engine import Engine, Hooks
from wacoex_cli.sending.exchange import Granted
from wacoex_cli.sending.guards import Breaker

if TYPE_CHECKING:
    from wacoex_cli.ledger.model import Broadcast

CLOCK = SystemClock()


class Record:
    """Stands for the state file: hands out claims once, remembers its reports."""

    def __init__(self, rows, *, slots_in=0.02, fails_at=0):
        self.claims = tuple(
            Claim(row, f"+6591{row:06}", "[]", 1, 1, CLOCK.now()) for row in range(1, rows + 1)
        )
        self.slots_in = slots_in
        self.fails_at = fails_at
        self.reports = []
        self.status = Status.SENDING

    def __call__(self, report):
        self.reports.append(report)
        if len(self.reports) == self.fails_at:
            raise StateError("the disk is full")
        given, self.claims = self.claims, ()
        start = CLOCK.monotonic() + self.slots_in
        slots = tuple(start + n / 1000 for n in range(report.waiting_claims + len(given)))
        return Granted(given, slots, self.status, True, 0.0, False, None)

    def given_back(self):
        return [claim.row for report in self.reports for claim in report.given_back]

    def settled(self):
        return {entry.row: entry for report in self.reports for entry, _ in report.settled}


class Network:
    """Stands for Meta: takes everything at once, or never answers."""

    def __init__(self, *, answers=True, error=None):
        self.answers = answers
        self.error = error
        self.left = []

    async def __call__(self, claim):
        self.left.append(claim.row)
        if self.error:
            raise self.error
        if not self.answers:
            await asyncio.Event().wait()
        return Taken(f"wamid.{claim.row}")


def run(record, network, *, note=lambda claim: None, window=64, meanwhile=None):
    async def exchange(report):
        return record(report)

    hooks = Hooks(exchange, note, network, lambda counts: None)

    async def both():
        engine = Engine(hooks, CLOCK, Breaker(), window=window)
        stop, _ = await asyncio.gather(engine.run(), (meanwhile or nothing)(engine))
        return stop

    return asyncio.run(both())


async def nothing(engine):
    """Leave the engine alone."""


def test_every_claim_leaves_once_and_is_settled():
    record, network = Record(5), Network()

    assert run(record, network) is None
    assert network.left == [1, 2, 3, 4, 5]
    assert [entry.message_id for entry in record.settled().values()] == [
        f"wamid.{row}" for row in network.left
    ]
    moments = [entry.left_at for entry in record.settled().values()]
    assert moments == sorted(moments)


def test_the_reports_say_how_many_left_in_the_last_second_and_which_is_the_last():
    record, network = Record(5), Network()
    run(record, network)

    assert [report.is_last for report in record.reports].index(True) == len(record.reports) - 1
    assert (record.reports[0].last_second, record.reports[0].peak) == (0, 0)
    assert record.reports[-1].peak == 5


def test_a_request_whose_departure_cannot_be_noted_does_not_leave():
    record, network = Record(3), Network()

    def note(claim):
        raise StateError("cannot note a departure")

    with pytest.raises(StateError, match="cannot note a departure"):
        run(record, network, note=note)
    assert network.left == []
    assert record.given_back() == [1, 2, 3]


def test_the_last_tick_records_what_a_failed_tick_could_not():
    record, network = Record(3, fails_at=2), Network()

    with pytest.raises(StateError, match="the disk is full"):
        run(record, network)
    assert record.reports[1].settled
    assert {entry.state for entry in record.settled().values()} == {RowState.ACCEPTED}
    assert len(record.reports[-1].settled) == 3


def test_an_unexpected_error_makes_the_row_ambiguous_and_is_raised():
    record, network = Record(3), Network(error=ValueError("odd"))

    with pytest.raises(ValueError, match="odd"):
        run(record, network)
    settled = record.settled()
    assert {settled[row].state for row in network.left} == {RowState.AMBIGUOUS}
    assert sorted([*network.left, *record.given_back()]) == [1, 2, 3]


def test_no_more_requests_are_under_way_than_the_window_allows():
    record, network = Record(5), Network(answers=False)

    async def stop_later(engine):
        await asyncio.sleep(0.4)
        engine.stop(Stop("enough", 1), at_once=True)

    run(record, network, window=2, meanwhile=stop_later)
    assert network.left == [1, 2]
    assert record.given_back() == [3, 4, 5]


def test_a_slot_that_has_passed_is_given_up_and_its_claim_kept():
    record, network = Record(2, slots_in=-5.0), Network()

    async def look_and_stop(engine):
        await asyncio.sleep(0.3)
        assert network.left == []
        engine.stop(Stop("enough", 1))

    run(record, network, meanwhile=look_and_stop)
    assert record.given_back() == [1, 2]


def test_stopping_at_once_makes_open_requests_ambiguous():
    record, network = Record(2), Network(answers=False)

    async def stop_twice(engine):
        while len(network.left) < 2:
            await asyncio.sleep(0.01)
        engine.stop(Stop("it was interrupted", 130))
        engine.stop(Stop("it was interrupted", 130), at_once=True)

    stop = run(record, network, meanwhile=stop_twice)
    assert stop == Stop("it was interrupted", 130)
    assert {entry.state for entry in record.settled().values()} == {RowState.AMBIGUOUS}


def test_answers_that_come_while_it_drains_are_recorded_at_once():
    record, network = Record(3), Network()

    async def last_never_answers(claim):
        reply = await network(claim)
        if claim.row == 3:
            await asyncio.Event().wait()
        await asyncio.sleep(0.3)
        return reply

    async def stop_and_then_kill(engine):
        while len(network.left) < 3:
            await asyncio.sleep(0.01)
        engine.stop(Stop("it was interrupted", 130))
        while len(record.settled()) < 2:
            await asyncio.sleep(0.01)
        assert not record.reports[-1].is_last
        engine.stop(Stop("it was interrupted", 130), at_once=True)

    run(record, last_never_answers, meanwhile=stop_and_then_kill)
    states = {row: entry.state for row, entry in record.settled().items()}
    assert states == {1: RowState.ACCEPTED, 2: RowState.ACCEPTED, 3: RowState.AMBIGUOUS}


def test_a_broadcast_that_somebody_cancelled_takes_no_new_rows():
    record, network = Record(0), Network()
    record.status = Status.CANCELLED

    stop = run(record, network)
    assert stop is not None
    assert "cancelled by another command" in stop.reason


DRIVER = Path(__file__).parents[1] / "support/sender_process.py"
MESSAGES_PER_SECOND = 200
STORMS = pytest.mark.parametrize(
    ("people", "kills"), [(280, 4), pytest.param(700, 10, marks=pytest.mark.slow)]
)


@dataclass
class Massacre:
    """Kills the sender of a broadcast again and again, and then lets it finish."""

    shop: Any
    broadcast: Broadcast
    exchange_seconds: float = 60.0
    in_flight: list[set[str]] = field(default_factory=list)

    def kill_after(self, seconds):
        """Start a sender and kill it this many seconds after it began; False when it had ended."""
        child = self.start()
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
        return self.has_died(child)

    def kill_when(self, is_time):
        """Start a sender and kill it as soon as it is time; False when it had ended."""
        child = self.start()
        while child.poll() is None and not is_time():
            time.sleep(0.01)
        child.kill()
        return self.has_died(child)

    def has_died(self, child):
        child.communicate()
        if child.returncode >= 0:
            return False
        self.in_flight.append(self.left_without_answer())
        return True

    def finish(self):
        """Let a last sender do the rest; returns its exit status."""
        child = self.start()
        child.communicate()
        return child.returncode

    def start(self):
        child = self.shop.start(
            DRIVER,
            self.shop.base_url,
            self.broadcast.broadcast_id,
            MESSAGES_PER_SECOND,
            self.exchange_seconds,
        )
        assert child.stdout.readline() == "sending\n"
        return child

    def left_without_answer(self):
        """The attempts that the dead sender let go, and whose answer is not recorded.

        One that died before it had taken over leaves those of the sender before it.
        """
        state, broadcast_id = self.shop.state, self.broadcast.broadcast_id
        purpose = lock_purpose(broadcast_id)
        held = state.row("SELECT holder FROM locks WHERE purpose = ?", [purpose])
        if held is None:
            return set()
        this_file, rows = Broadcasts(state).state_id, self.shop.rows(self.broadcast)
        return locks.remains_of(state.path, held["holder"], same_boot=True).notes & {
            attempt_id(this_file, broadcast_id, number, row["attempts"])
            for number, row in rows.items()
            if row["state"] == "sending"
        }

    def all_in_flight(self):
        """How many requests were in flight at all kills together."""
        return len(set().union(*self.in_flight))


def moments(seed, kills):
    """When to kill: most in the middle of sending, some while the sender still begins."""
    chance = random.Random(seed)
    return [chance.uniform(0.0, 0.05 if n % 4 == 3 else 0.5) for n in range(kills)]


def accepted_at_the_server(shop):
    return {arrival.recipient for arrival in shop.world.log.accepted()}


def phones(shop, broadcast, *states):
    rows = shop.rows(broadcast).values()
    return {row["phone"] for row in rows if row["state"] in states}


@STORMS
def test_killed_at_random_moments_everybody_is_sent_to_and_nobody_twice(shop, people, kills):
    broadcast = shop.planned(people)
    massacre = Massacre(shop, broadcast)
    struck = sum(massacre.kill_after(seconds) for seconds in moments(1, kills))
    status = massacre.finish()

    counts = shop.counts(broadcast)
    assert struck == kills
    assert shop.taken_twice() == []
    assert counts.get("ambiguous", 0) == massacre.all_in_flight()
    assert max(map(len, massacre.in_flight)) <= WINDOW + 1
    assert counts["accepted"] + counts.get("ambiguous", 0) == people
    at_the_server = accepted_at_the_server(shop)
    assert phones(shop, broadcast, "accepted") <= at_the_server
    assert at_the_server <= phones(shop, broadcast, "accepted", "ambiguous")
    assert status == (7 if "ambiguous" in counts else 0)


@STORMS
def test_killed_during_every_kind_of_fault_nobody_is_sent_to_twice(shop, cli, people, kills):
    shop.faults(
        *(
            Fault(kind, probability=0.01)
            for kind in ("hang", "reset_before", "reset_after", "server_error", "throttled")
        ),
        Fault("refuse", code=131026, probability=0.01),
        Fault("latency", seconds=0.0, seconds_max=0.1),
    )
    broadcast = shop.planned(people)
    massacre = Massacre(shop, broadcast, exchange_seconds=1.0)
    struck = sum(massacre.kill_after(seconds) for seconds in moments(2, kills))
    massacre.finish()

    counts = shop.counts(broadcast)
    assert struck == kills
    assert shop.taken_twice() == []
    assert counts.keys() <= {"accepted", "ambiguous", "rejected"}
    assert sum(counts.values()) == people
    at_the_server = accepted_at_the_server(shop)
    assert phones(shop, broadcast, "accepted") <= at_the_server
    assert at_the_server <= phones(shop, broadcast, "accepted", "ambiguous")
    answer = cli("broadcast", "reconcile", broadcast.broadcast_id, "--json").data
    assert {row["phone"] for row in answer["rows"]} == phones(shop, broadcast, "ambiguous")
    assert answer["ambiguous"] == counts["ambiguous"]


@pytest.mark.parametrize("decision", ["sent", "not-sent"])
def test_after_a_kill_a_person_settles_the_open_rows_and_the_broadcast_completes(
    shop, cli, decision
):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(20)
    massacre = Massacre(shop, broadcast)
    assert massacre.kill_when(lambda: len(shop.world.log.arrivals) > 5)
    shop.faults()
    massacre.finish()
    assert shop.counts(broadcast)["ambiguous"] == massacre.all_in_flight() > 0

    cli("broadcast", "reconcile", 1, "--as", decision, "--yes")
    assert "ambiguous" not in shop.counts(broadcast)
    attempts = [arrival.biz_opaque_callback_data for arrival in shop.world.log.arrivals]
    assert len(attempts) == len(set(attempts)) <= 20, "and nothing was sent again"


# The fault, and what the record says of the row that it struck.
UNUSABLE = [
    (Fault("reset_before", count=1), "the connection broke"),
    (Fault("reset_after", count=1), "the connection broke"),
    (Fault("truncated_json", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("invalid_json", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("empty_body", count=1), "HTTP 200 with an empty body"),
    (Fault("empty_object", count=1), "HTTP 200 without a message id and without an error code"),
    (Fault("html", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("html", status=502, count=1), "HTTP 502 with a body that is not JSON"),
    (Fault("server_error", count=1), "HTTP 500 with a body that is not JSON"),
    (Fault("server_error", status=503, count=1), "HTTP 503 with a body that is not JSON"),
    (Fault("redirect", count=1), "HTTP 302, a redirect to redirected.example"),
    (Fault("redirect", status=307, count=1), "HTTP 307, a redirect to redirected.example"),
]


def described(case):
    return f"{case.kind}-{case.status}" if isinstance(case, Fault) else ""


@pytest.mark.parametrize(("fault", "why"), UNUSABLE, ids=described)
def test_without_a_usable_answer_a_row_is_ambiguous_and_never_sent_again(shop, fault, why):
    shop.faults(fault)
    broadcast = shop.planned(5)
    sent = shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}
    [row] = [row for row in shop.rows(broadcast).values() if row["state"] == "ambiguous"]
    assert (row["detail"], row["code"], row["attempts"]) == (why, None, 1)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert len(shop.world.log.arrivals) == 5


def test_an_answer_that_does_not_come_in_time_is_ambiguous(shop):
    shop.faults(Fault("hang", arrivals=frozenset({3})))
    broadcast = shop.planned(5)
    sent = shop.send(broadcast, exchange_seconds=2.0)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}
    assert sent.exit_status == 7
    assert len(shop.world.log.accepted()) == 5, "and yet the message was taken"


def test_an_answer_that_drips_too_slowly_is_ambiguous(shop):
    shop.faults(Fault("slow_answer", seconds=30.0, arrivals=frozenset({3})))
    broadcast = shop.planned(5)
    shop.send(broadcast, exchange_seconds=2.0)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}


def test_a_slow_server_delays_nobody_and_causes_no_error(shop):
    shop.faults(Fault("latency", seconds=0.5))
    broadcast = shop.planned(40)
    sent = shop.send(broadcast)

    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 40}


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500, 503])
def test_the_code_decides_at_any_http_status(shop, status):
    shop.faults(
        *(
            Fault(
                "refuse", code=code, status=status, recipients=frozenset({shop.phone(row)}), count=1
            )
            for row, code in enumerate([131026, 131000], start=1)
        )
    )
    broadcast = shop.planned(3)
    shop.send(broadcast)

    assert shop.states(broadcast) == ["rejected", "ambiguous", "accepted"]


def test_an_error_inside_http_200_is_an_error(shop, eventually):
    shop.faults(Fault("error_in_200", count=1))
    broadcast = shop.planned(3)

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        assert "131016" in {str(row["code"]) for row in shop.rows(broadcast).values()}
        shop.clock.leap(5)

    assert shop.send(broadcast, during=leap).exit_status == 0
    assert shop.taken_twice() == []


def test_a_server_that_cannot_be_reached_pauses_the_broadcast_and_nobody_is_ambiguous(
    shop, eventually
):
    broadcast = shop.planned(30)
    base_url, shop.base_url = shop.base_url, "http://127.0.0.1:9"

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        while shop.current(broadcast).status.value == "sending":
            shop.clock.leap(31)
            await asyncio.sleep(0.2)

    sent = shop.send(broadcast, during=leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (6, "paused")
    assert "Meta cannot be reached" in str(sent.broadcast.reason)
    assert shop.counts(broadcast).keys() <= {"retry", "pending"}

    shop.base_url = base_url
    shop.clock.leap(600)
    assert shop.resume(broadcast).exit_status == 0
    assert shop.taken_twice() == []


def test_a_server_that_hangs_is_drained_for_ten_seconds_and_no_longer(shop, eventually):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(100)

    async def interrupt():
        await eventually(lambda: len(shop.world.log.arrivals) >= 5)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.5)
        assert shop.current(broadcast).status.value == "sending", "it waits for answers"
        shop.clock.leap(10)

    sent = shop.send(broadcast, rate=50.0, during=interrupt)
    left = len(shop.world.log.arrivals)
    assert (sent.exit_status, sent.broadcast.status.value) == (130, "paused")
    assert shop.counts(broadcast) == {"ambiguous": left, "pending": 100 - left}

    shop.faults()
    shop.resume(broadcast)
    assert shop.counts(broadcast) == {"ambiguous": left, "accepted": 100 - left}
    assert shop.taken_twice() == []


def test_five_thousand_people_and_every_kind_of_fault(shop):
    """One percent each of five faults, at known rows: everybody ends where they should."""
    people = 5_000
    row_of = {
        name: [*range(first, people + 1, 100)]
        for name, first in zip(
            ["hang", "reset_after", "server_error", "throttled", "undeliverable"],
            [7, 23, 41, 68, 92],
            strict=True,
        )
    }
    persons = {name: [shop.phone(row) for row in rows] for name, rows in row_of.items()}
    shop.faults(
        *(
            Fault(name, recipients=frozenset(persons[name]))
            for name in ("hang", "reset_after", "server_error")
        ),
        *(Fault("throttled", recipients=frozenset({who}), count=1) for who in persons["throttled"]),
        Fault("refuse", code=131026, recipients=frozenset(persons["undeliverable"])),
    )
    broadcast = shop.planned(people)
    sent = shop.send(broadcast, exchange_seconds=6.0)

    ends = {
        row: "ambiguous" for name in ("hang", "reset_after", "server_error") for row in row_of[name]
    }
    ends |= dict.fromkeys(row_of["undeliverable"], "rejected")
    expected = [ends.get(row, "accepted") for row in range(1, people + 1)]
    assert shop.states(broadcast) == expected
    assert shop.counts(broadcast) == Counter(expected)
    assert {state.value: n for state, n in sent.counts.by_state.items() if n} == Counter(expected)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert shop.taken_twice() == []
    tried_twice = [row for row, found in shop.rows(broadcast).items() if found["attempts"] > 1]
    assert tried_twice == row_of["throttled"]
