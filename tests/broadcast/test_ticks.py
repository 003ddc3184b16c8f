"""One tick with the state file: who is claimed, what it looks through, what a failure leaves."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.trading import Trader
from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import spellings
from wacoex_cli.ledger.model import RowState, Settled, lock_purpose
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.exchange import Report, trade_together
from wacoex_cli.sending.guards import Run, SendOrder

NUMBERS = ("+5491155550001", "+525555550002", "+5511987650003", "+6591000004", "+6591000005")
IDS = ("SG.1", "SG.2", "SG.3")
EVERY_SPELLING = sorted({name for number in NUMBERS for name in spellings(number)})

a_number, an_id = st.sampled_from(EVERY_SPELLING), st.sampled_from(IDS)
# What one business was told holds for no other, and a pair that ended joins nobody.
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


@pytest.fixture
def join(state, clock):
    """Become the sender of a broadcast."""

    def become_sender(broadcast_id):
        presence = locks.Presence(state.path)
        with state.transaction():
            locks.acquire(state, lock_purpose(broadcast_id), presence, clock)
            run_id = Broadcasts(state).start_run(broadcast_id, presence.holder, 20.0, clock.now())
        order = SendOrder(20.0)
        run = Run(broadcast_id, f"+656000000{broadcast_id}", run_id, clock.monotonic(), order)
        return Trader(state, presence, clock, run).exchange

    return become_sender


@pytest.mark.parametrize("others", [0, 1])
def test_of_a_broadcast_that_fails_in_a_tick_nothing_is_written_and_others_go_on(
    state, clock, join, plan_rows, others
):
    broken, *sound = numbers = [plan_rows(9) for _ in range(1 + others)]
    exchanges = [join(number) for number in numbers]
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
