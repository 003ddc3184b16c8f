"""The engine between the record and the network: what it does when one of them fails.

One tick with the state file: results in, slots and claims out, for every process at once.
A sender that is killed at any moment: resume finds everybody, and nobody twice.
A network and a server that misbehave: where each row ends, and that nobody is sent to twice.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.figures import most_in_a_second
from tests.support.trading import Trader
from wacoex_cli.contacts.store import add_optout, is_opted_out
from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import SystemClock, from_text
from wacoex_cli.foundation.http import WINDOW
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import (
    Claim,
    Counts,
    RowState,
    RunProgress,
    Settled,
    Status,
    Stop,
    attempt_id,
    lock_purpose,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.answers import Taken
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE
from wacoex_cli.sending.engine import Engine, Hooks
from wacoex_cli.sending.exchange import Course, Granted, Report, trade_together
from wacoex_cli.sending.guards import Breaker, Run, SendOrder
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.throttle import Answered

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


def test_a_broadcast_that_somebody_cancelled_takes_no_new_rows():
    record, network = Record(0), Network()
    record.status = Status.CANCELLED

    stop = run(record, network)
    assert stop is not None
    assert "cancelled by another command" in stop.reason


ROOM = Report(room=64)


@pytest.fixture
def join(state, clock):
    """Become the sender of a broadcast, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, rate=20.0, *, through=None, **order):
        own = through or open_state(state.path)
        if through is None:
            opened.append(own)
        presence = locks.Presence(own.path)
        with own.transaction():
            locks.acquire(own, lock_purpose(broadcast_id), presence, clock)
            Rows(own, broadcast_id).renew_tries(clock.now())
            run_id = Broadcasts(own).start_run(broadcast_id, presence.holder, rate, clock.now())
        return Trader(
            own,
            presence,
            clock,
            Run(broadcast_id, PHONE, run_id, clock.monotonic(), SendOrder(rate, **order)),
        )

    yield become_sender
    for entry in opened:
        entry.close()


def test_granted_rows_are_on_disk_as_claimed(state, clock, join, plan_rows):
    broadcast_id = plan_rows(100)
    granted = join(broadcast_id)(ROOM)

    assert len(granted.claims) == len(granted.slots) > 5
    assert Rows(state, broadcast_id).counts().of(RowState.SENDING) == len(granted.claims)
    assert min(granted.slots) > clock.monotonic()


def test_no_more_is_claimed_than_there_is_room_for(join, plan_rows):
    assert len(join(plan_rows(100))(Report(room=3)).claims) == 3


def test_a_sender_that_still_holds_claims_gets_slots_for_them_and_no_new_ones(join, plan_rows):
    granted = join(plan_rows(100))(Report(room=4, waiting_claims=4))

    assert (len(granted.slots), granted.claims) == (4, ())


@pytest.mark.parametrize("waiting", range(0, 16, 3))
def test_no_slot_is_later_than_the_end_of_sending(clock, join, plan_rows, waiting):
    sender = join(plan_rows(100), until=clock.now() + timedelta(seconds=0.2))

    granted = sender(Report(room=12, waiting_claims=waiting))

    assert granted.slots
    assert max(granted.slots) <= clock.monotonic() + 0.2


def test_slow_counts_are_spread_over_several_ticks(state, clock, join, plan_rows, monkeypatch):
    exchanges = [join(plan_rows(3), through=state).exchange for _ in range(4)]

    def slow_clock():
        clock.seconds += 0.012
        return clock.seconds

    monkeypatch.setattr(clock, "monotonic", slow_clock)

    def tick(report):
        granted: list[Any] = trade_together(state, [(each, report) for each in exchanges])
        return [each.snapshot is not None for each in granted]

    seen = [tick(Report()) for _ in range(4)]

    assert [sum(counted) for counted in seen] == [1] * 4
    assert all(map(any, zip(*seen, strict=True)))
    assert tick(Report(is_last=True)) == [True] * 4


def test_a_tick_with_no_room_grants_nothing(state, join, plan_rows):
    broadcast_id = plan_rows(9)
    granted = join(broadcast_id)(Report())

    assert (granted.claims, granted.slots) == ((), ())
    assert Rows(state, broadcast_id).counts().of(RowState.PENDING) == 9


def test_broadcasts_of_one_number_share_its_slots_and_keep_their_own_rates(clock, join, plan_rows):
    fast, slow = join(plan_rows(300), rate=20.0), join(plan_rows(300), rate=5.0)
    slots: dict[Trader, list[float]] = {fast: [], slow: []}
    for _ in range(60):
        for sender in (slow, fast):
            granted = sender(ROOM)
            slots[sender] += granted.slots
        clock.advance(0.1)

    together = slots[fast] + slots[slow]
    assert most_in_a_second(together) == 20
    assert most_in_a_second(slots[slow]) == 5
    assert len(together) > 6 * 15, "and few slots are wasted"
    assert len(slots[slow]) > 6 * 4, "and the slow one is not starved"


def test_a_hold_stops_every_broadcast_of_the_number(clock, join, plan_rows):
    struck, other = join(plan_rows(9)), join(plan_rows(9))
    until = clock.monotonic() + 30.0
    struck(Report(hold_until=until))

    granted = other(ROOM)
    assert (granted.hold_until, granted.slots) == (until, ())
    clock.advance(29.9)
    assert other(ROOM).slots[0] == until


def test_refusals_slow_every_broadcast_of_the_number_down(clock, join, plan_rows):
    struck, other = join(plan_rows(99)), join(plan_rows(99))
    clock.advance(10)
    for _ in range(10):
        clock.advance(0.1)
        struck(Report(answers=(Answered(clock.monotonic(), was_throttled=True),)))
    clock.advance(2)

    slots = other(ROOM).slots
    assert slots[1] - slots[0] > throttle.slot_interval(20.0) * 1.2


def test_a_pause_by_another_process_is_seen_and_stops_the_claims(state, join, plan_rows):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    with state.transaction():
        Broadcasts(state).set_status(broadcast_id, Status.PAUSED)

    granted = sender(ROOM)
    assert (granted.status, granted.claims, granted.slots) == (Status.PAUSED, (), ())


def test_a_sender_whose_lock_was_taken_gets_nothing_and_records_nothing(
    state, clock, join, plan_rows
):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    claim = sender(Report(room=1)).claims[0]
    clock.boot = "boot-2"
    clock.advance(31)
    join(broadcast_id)
    accepted = Settled(claim.row, claim.attempt, RowState.ACCEPTED, message_id="wamid.1")
    with state.transaction():
        Rows(state, broadcast_id).doubt_claims("its sender died", clock.now())

    granted = sender(Report(settled=((accepted, claim.phone),), room=64))
    assert (granted.is_ours, granted.claims) == (False, ())
    assert Rows(state, broadcast_id).counts().by_state == {
        RowState.AMBIGUOUS: 1,
        RowState.PENDING: 8,
    }


def test_somebody_who_opts_out_by_their_answer_is_on_the_list_with_the_result(
    state, join, plan_rows
):
    sender = join(plan_rows(1))
    claim = sender(Report(room=1)).claims[0]
    gone = Settled(claim.row, claim.attempt, RowState.REJECTED, code=131050, opts_out=True)
    sender(Report(settled=((gone, claim.phone),)))

    assert is_opted_out(state, claim.phone)


def test_somebody_who_opts_out_while_a_broadcast_runs_is_not_sent_to(state, clock, join, plan_rows):
    broadcast_id = plan_rows(3)
    sender = join(broadcast_id)
    sender(Report(room=1))
    with state.transaction():
        add_optout(state, "+6591000002", "person", None, clock.now())
    clock.advance(1)

    granted = sender(ROOM)
    assert [claim.row for claim in granted.claims] == [3]
    clock.advance(1)
    assert not sender(ROOM).has_more
    assert Rows(state, broadcast_id).skip_reasons() == {"opted_out": 1}
    assert Broadcasts(state).get(broadcast_id).recipients == 2


def test_after_another_boot_a_broadcast_continues_within_two_seconds(clock, join, plan_rows):
    broadcast_id = plan_rows(99)
    join(broadcast_id)(ROOM)
    clock.boot = "boot-2"
    clock.seconds = 5.0
    clock.moment = clock.moment.replace(hour=18)
    sender = join(broadcast_id)
    slots = []
    for _ in range(20):
        slots += sender(ROOM).slots
        clock.advance(0.1)

    assert 6.0 <= min(slots) < 7.0


def test_counts_come_about_once_a_second(clock, join, plan_rows):
    sender = join(plan_rows(99))
    seen = []
    for _ in range(30):
        seen.append(sender(ROOM).snapshot)
        clock.advance(0.1)

    assert seen[0] is not None
    assert 2 <= sum(entry is not None for entry in seen) <= 4


@pytest.mark.parametrize("rate", [1, 7.5, 20, 80])
@pytest.mark.parametrize("total", [200, 2_000, 100_000])
def test_the_time_left_is_right_within_a_fifth_after_the_first_tenth(
    rate: float, total: int
) -> None:
    course, whole = Course(), total / rate

    for step in range(1, 60):
        now = step * whole / 60
        done = int(now * rate)
        counts = Counts({RowState.ACCEPTED: done, RowState.PENDING: total - done})
        shot = RunProgress(counts, 0, 0, finished_rate=course.rate(done, now))
        if done >= total / 10 and now >= 10:
            assert shot.seconds_left == pytest.approx(whole - now, rel=0.2, abs=1.0)


def test_the_reported_rate_comes_from_the_sender_and_the_last_minute(clock, join, plan_rows):
    sender = join(plan_rows(2_000))
    for _ in range(90):
        claims = sender(Report(room=10)).claims
        taken = [Settled(claim.row, claim.attempt, RowState.ACCEPTED) for claim in claims]
        sender(Report(settled=tuple((entry, "") for entry in taken)))
        clock.advance(1.0)
    answer = sender(Report(last_second=7, peak=9, is_last=True)).snapshot

    assert (answer.last_second, answer.peak) == (7, 9)
    assert answer.finished_rate == pytest.approx(answer.counts.of(RowState.ACCEPTED) / 90, rel=0.1)
    assert answer.seconds_left == pytest.approx(answer.counts.open / answer.finished_rate)


def test_a_sender_at_work_renews_its_heartbeat(state, clock, join, plan_rows):
    sender = join(plan_rows(99))
    for _ in range(120):
        sender(ROOM)
        clock.advance(0.5)

    beat = from_text(state.row("SELECT heartbeat_at FROM locks")["heartbeat_at"])
    assert (clock.now() - beat).total_seconds() <= 6


def test_a_run_notes_how_long_it_was_active_and_its_busiest_second(state, clock, join, plan_rows):
    broadcast_id = plan_rows(9)
    sender = join(broadcast_id)
    for peak in (3, 7, 2):
        clock.advance(10)
        sender(Report(peak=peak))

    assert Rows(state, broadcast_id).active_seconds() == 30
    assert Broadcasts(state).get(broadcast_id).peak_in_one_second == 7


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
    assert massacre.kill_after(1.0)
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
