"""One tick with the state file: results in, slots and claims out, for every process at once."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bench.figures import most_in_a_second
from tests.support.trading import Trader
from wacoex_cli.contacts.store import add_optout, is_opted_out
from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.phone_numbers import spellings
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import (
    Counts,
    RowState,
    RunProgress,
    Settled,
    Status,
    lock_purpose,
)
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import PHONE
from wacoex_cli.sending.exchange import Course, Report, trade_together
from wacoex_cli.sending.guards import Run, SendOrder
from wacoex_cli.throughput import throttle
from wacoex_cli.throughput.throttle import Answered

ROOM = Report(room=64)


@pytest.fixture
def join(state, clock):
    """Become the sender of a broadcast, through a connection of its own to the state file."""
    opened = []

    def become_sender(broadcast_id, rate=20.0, *, through=None, phone=PHONE, **order):
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
            Run(broadcast_id, phone, run_id, clock.monotonic(), SendOrder(rate, **order)),
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


NUMBERS = ("+5491155550001", "+525555550002", "+5511987650003", "+6591000004", "+6591000005")
IDS = ("SG.1", "SG.2", "SG.3")
EVERY_SPELLING = sorted({name for number in NUMBERS for name in spellings(number)})

a_number, an_id = st.sampled_from(EVERY_SPELLING), st.sampled_from(IDS)
# A stop for one business applies to no other, and a pair that ended joins nobody.
an_account = st.sampled_from(["", "", "", "waba_id:9"])
seen_and_until = st.sampled_from([("2", "0"), ("2", "0"), ("2", "0"), ("2", "3")])
own_ids = st.lists(an_id, min_size=len(NUMBERS), max_size=len(NUMBERS))


@given(
    numbers=st.lists(st.tuples(a_number, an_account), max_size=2),
    ids=st.lists(st.tuples(an_id, an_account), max_size=2),
    pairs=st.lists(st.tuples(a_number, an_id, seen_and_until), max_size=4),
    own_ids=st.just([None] * len(NUMBERS)) | own_ids,
    most=st.integers(1, len(NUMBERS)),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_those_are_claimed_who_have_not_opted_out(
    state, clock, plan_rows, numbers, ids, pairs, own_ids, most
):
    rows, now = Rows(state, plan_rows(0)), clock.now()
    rows.add(
        [
            PlannedRow(place, place + 1, number, "[]", user_id=user_id)
            for place, (number, user_id) in enumerate(zip(NUMBERS, own_ids, strict=True), 1)
        ]
    )
    with state.transaction():
        for table, listed in (("optouts", numbers), ("optouts_by_id", ids)):
            state.execute(f"DELETE FROM {table}")
            state.execute_many(
                f"INSERT OR IGNORE INTO {table} VALUES (?, 'hand', NULL, ?, 'all', ?)",
                [(name, to_text(now), account) for name, account in listed],
            )
        state.execute("DELETE FROM person_pairs")
        state.execute_many(
            "INSERT OR IGNORE INTO person_pairs VALUES ('waba_id:1', ?, ?, 'meta', '0', ?, ?)",
            [(number, user_id, *moments) for number, user_id, moments in pairs],
        )
    wanted = [row for row, _ in rows.next_rows(now, now, most)]

    with state.transaction():
        claims = rows.claim("me", most, now, now)

    assert [claim.row for claim in claims] == wanted


def test_a_claim_reads_neither_all_rows_nor_the_whole_list(state, clock, plan_rows):
    plans: list[str] = []

    def tuples(sql, values=()):
        plans.extend(row["detail"] for row in state.rows(f"EXPLAIN QUERY PLAN {sql}", values))
        return state.tuples(sql, values)

    def value(sql, values=()):
        found = tuples(sql, values)
        return found[0][0] if found else None

    watched = SimpleNamespace(tuples=tuples, value=value, execute_many=state.execute_many)
    number, now = plan_rows(3), clock.now()
    with state.transaction():
        [first, second] = Rows(state, number).claim("me", 2, now, now)
        due = Settled(first.row, first.attempt, RowState.RETRY, not_before=now)
        Rows(state, number).record("me", [due], now)
        looked = Rows(watched, number)  # type: ignore[arg-type]
        claims = looked.claim("me", 2, now + timedelta(seconds=1), now)

    assert [claim.row for claim in claims] == [first.row, second.row + 1]
    assert not [plan for plan in plans if "SCAN" in plan.replace("SCAN CONSTANT ROW", "")]
    assert any("recipients_due" in plan for plan in plans)
    assert any("recipients_by_state" in plan for plan in plans)


@pytest.mark.parametrize("others", [0, 1])
def test_of_a_broadcast_that_fails_in_a_tick_nothing_is_written_and_others_go_on(
    state, clock, join, plan_rows, others
):
    broken, *sound = numbers = [plan_rows(9) for _ in range(1 + others)]
    exchanges = [
        join(number, through=state, phone=f"+656000000{number}").exchange for number in numbers
    ]
    first = [granted.claims[0] for granted in trade(state, exchanges, [Report(room=1)] * 2)]
    with state.transaction():
        state.execute(
            "CREATE TEMP TRIGGER refuse BEFORE UPDATE ON recipients"
            f" WHEN NEW.state = 'sending' AND NEW.broadcast_id = {broken}"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    reports = [
        Report(
            settled=(
                (Settled(claim.row, claim.attempt, RowState.ACCEPTED, message_id="m"), claim.phone),
            ),
            room=1,
        )
        for claim in first
    ]

    clock.advance(0.2)
    failed, *granted = trade(state, exchanges, reports)

    assert isinstance(failed, StateError)
    assert states_of(state, broken) == {"sending": 1, "pending": 8}
    assert [len(each.claims) for each in granted] == [1] * others
    for number in sound:
        assert states_of(state, number) == {"accepted": 1, "sending": 1, "pending": 7}


def trade(state, exchanges, reports):
    return trade_together(state, list(zip(exchanges, reports, strict=False)))


def states_of(state, broadcast_id):
    counts = Rows(state, broadcast_id).counts()
    return {each.value: n for each in RowState if (n := counts.of(each))}
