"""The record of claims: who may send a row now, and what happens to it when a sender dies.

The table of a row's moves: nothing else moves a row, and who may not move stays.
Whatever happens, in whatever order: nobody is sent to twice, nobody is forgotten.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import wacoex_cli
from tests.support.trading import Trader
from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger.model import (
    MOST_TRIES_IN_RUN,
    TAKEN_STATES,
    TRANSITIONS,
    Move,
    RowState,
    Settled,
    attempt_id,
    lock_purpose,
)
from wacoex_cli.ledger.rows import Rows, moving
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.answers import NotSent, Refused, Taken, Unclear
from wacoex_cli.sending import takeover
from wacoex_cli.sending.exchange import Report
from wacoex_cli.sending.guards import Run, SendOrder
from wacoex_cli.sending.providers import judge

PENDING, RETRY, AMBIGUOUS = "pending", "retry", "ambiguous"


class Sender:
    """One process that sends a broadcast, as far as the record sees it."""

    def __init__(self, state, broadcast_id, clock):
        self.state = state
        self.broadcast_id = broadcast_id
        self.clock = clock
        self.presence = locks.Presence(state.path)
        with state.transaction():
            takeover.take_lock(state, broadcast_id, self.presence, clock)
            Rows(state, broadcast_id).renew_tries(clock.now())
            Broadcasts(state).start_run(
                broadcast_id, self.presence.holder, rate=20.0, now=clock.now()
            )

    def claim(self, most=1):
        with self.state.transaction():
            return Rows(self.state, self.broadcast_id).claim(
                self.presence.holder, most, self.clock.now(), self.clock.now()
            )

    def depart(self, claim):
        this_file = Broadcasts(self.state).state_id
        self.presence.note(attempt_id(this_file, self.broadcast_id, claim.row, claim.attempt))

    def settle(self, claim, state, *, seconds=0.0, **more):
        not_before = self.clock.now() + timedelta(seconds=seconds) if state == RETRY else None
        settled = Settled(claim.row, claim.attempt, RowState(state), not_before=not_before, **more)
        with self.state.transaction():
            Rows(self.state, self.broadcast_id).record(
                self.presence.holder, [settled], self.clock.now()
            )

    def give_back(self, *claims):
        with self.state.transaction():
            Rows(self.state, self.broadcast_id).give_back(self.presence.holder, claims)

    def has_more(self):
        return Rows(self.state, self.broadcast_id).has_more(self.clock.now())

    def die(self):
        self.presence.abandon()


def rows_of(state, broadcast_id):
    found = state.rows("SELECT * FROM recipients WHERE broadcast_id = ?", [broadcast_id])
    return {row["row"]: row for row in found}


@pytest.fixture
def sender(state, clock, plan_rows):
    """A sender of three rows, and a way to see one row."""
    return Sender(state, plan_rows(3), clock)


@pytest.fixture
def row(state, sender):
    return lambda number: rows_of(state, sender.broadcast_id)[number]


def test_rows_are_claimed_in_order_each_once(sender):
    assert [entry.row for entry in sender.claim(2)] == [1, 2]
    assert [entry.row for entry in sender.claim(9)] == [3]
    assert sender.claim(9) == ()


def test_a_claim_is_on_disk_with_its_attempt_before_anything_leaves(sender, row):
    (claim,) = sender.claim()

    assert row(1)["state"] == "sending"
    assert (row(1)["attempts"], claim.attempt) == (1, 1)
    assert row(1)["holder"] == sender.presence.holder


def test_a_claim_given_back_leaves_only_its_attempt_number(sender, row):
    sender.give_back(*sender.claim())

    assert row(1)["state"] == PENDING
    assert (row(1)["tries_in_run"], row(1)["first_try_in_run_at"]) == (0, None)
    assert sender.claim()[0].attempt == 2


def test_a_second_try_given_back_waits_as_a_retry_again(sender, row, clock):
    sender.settle(*sender.claim(), RETRY, seconds=5)
    clock.advance(5)
    sender.give_back(*sender.claim())

    assert row(1)["state"] == RETRY
    assert [entry.row for entry in sender.claim()] == [1], "and is due at once"


def test_a_retry_waits_for_its_time_and_then_comes_before_new_rows(sender, clock):
    sender.settle(*sender.claim(), RETRY, seconds=10, code=130429)
    clock.advance(9.9)
    assert [entry.row for entry in sender.claim()] == [2]
    clock.advance(0.1)
    assert [entry.row for entry in sender.claim(2)] == [1, 3]


def test_a_row_is_tried_five_times_in_one_run(sender, row, clock):
    for _ in range(4):
        sender.settle(*sender.claim(), RETRY)
    assert sender.has_more()
    (fifth,) = sender.claim()
    assert fifth.tries_in_run == 5
    sender.settle(fifth, RETRY)

    assert [entry.row for entry in sender.claim(9)] == [2, 3]
    assert row(1)["state"] == RETRY, "the next run may try it again"
    assert not sender.has_more()


def test_a_row_is_tried_for_ten_minutes_in_one_run(sender, clock):
    sender.settle(*sender.claim(), RETRY, seconds=1)
    clock.advance(599)
    sender.settle(*sender.claim(), RETRY, seconds=1)
    clock.advance(1)

    assert [entry.row for entry in sender.claim(9)] == [2, 3]
    assert not sender.has_more()


def test_the_next_run_gives_every_retry_its_tries_again(state, sender, clock):
    for _ in range(5):
        sender.settle(*sender.claim(), RETRY)
    sender.die()

    (claim,) = Sender(state, sender.broadcast_id, clock).claim()
    assert (claim.row, claim.tries_in_run, claim.attempt) == (1, 1, 6)


def test_an_ambiguous_row_is_never_claimed_again(sender, row):
    sender.settle(*sender.claim(), AMBIGUOUS, detail="no answer")

    assert [entry.row for entry in sender.claim(9)] == [2, 3]
    assert (row(1)["state"], row(1)["detail"]) == (AMBIGUOUS, "no answer")


def test_only_the_attempt_that_was_claimed_can_be_settled(sender, row):
    (first,) = sender.claim()
    sender.give_back(first)
    sender.claim()
    sender.settle(first, "accepted", message_id="wamid.late")

    assert (row(1)["state"], row(1)["message_id"]) == ("sending", None)


def test_after_a_crash_in_this_boot_only_what_had_left_is_ambiguous(state, sender, row, clock):
    left, stayed = sender.claim(2)
    sender.depart(left)
    sender.die()
    Sender(state, sender.broadcast_id, clock)

    assert [row(number)["state"] for number in (1, 2, 3)] == [AMBIGUOUS, PENDING, PENDING]
    assert row(stayed.row)["tries_in_run"] == 0


def test_after_another_boot_every_claim_is_ambiguous(state, sender, row, clock):
    sender.claim(2)
    sender.die()
    clock.boot = "boot-2"
    clock.advance(31)
    Sender(state, sender.broadcast_id, clock)

    assert [row(number)["state"] for number in (1, 2, 3)] == [AMBIGUOUS, AMBIGUOUS, PENDING]


def test_when_the_notes_of_the_dead_are_gone_every_claim_is_ambiguous(state, sender, row, clock):
    sender.claim()
    sender.die()
    sender.presence.path.unlink()
    clock.advance(31)
    Sender(state, sender.broadcast_id, clock)

    assert row(1)["state"] == AMBIGUOUS


def test_within_a_boot_a_living_sender_keeps_its_lock_however_long_it_is_silent(
    state, sender, clock
):
    clock.advance(3600)
    with pytest.raises(TemporaryError, match="held by process") as caught:
        Sender(state, sender.broadcast_id, clock)
    assert (caught.value.code, caught.value.exit_status) == ("locked", 6)


def test_a_sender_of_another_boot_is_dead_after_30_seconds_of_silence(state, sender, clock):
    sender.die()
    clock.boot = "boot-2"
    clock.advance(29.9)
    with pytest.raises(TemporaryError):
        Sender(state, sender.broadcast_id, clock)
    clock.advance(0.2)
    Sender(state, sender.broadcast_id, clock)


def test_a_sender_that_lost_its_lock_can_write_nothing_more(state, sender, row, clock):
    first, second = sender.claim(2)
    sender.die()
    clock.boot = "boot-2"
    clock.advance(31)
    Sender(state, sender.broadcast_id, clock)
    sender.settle(first, "accepted", message_id="wamid.1")
    sender.give_back(second)

    assert [row(1)["state"], row(2)["state"]] == [AMBIGUOUS, AMBIGUOUS]
    with state.transaction():
        assert not locks.beat(state, lock_purpose(sender.broadcast_id), sender.presence, clock)


def test_a_row_to_be_sent_again_has_all_its_tries_and_survives_being_given_back(
    state, sender, row, clock
):
    sender.settle(*sender.claim(), AMBIGUOUS)
    Rows(state, sender.broadcast_id).settle([1], RowState.PENDING, "resend", "Ana", clock.now())
    clock.advance(3600)
    (again,) = sender.claim()
    assert (again.tries_in_run, again.first_try_in_run_at) == (1, clock.now())
    sender.give_back(again)

    assert [entry.row for entry in sender.claim()] == [1]


def test_when_a_message_left_is_kept_though_its_status_came_before_the_answer(sender, state, clock):
    [claim] = sender.claim()
    left_at = clock.now() + timedelta(seconds=0.4)
    with state.transaction():
        Rows(state, sender.broadcast_id).move_on(
            claim.row,
            claim.attempt,
            RowState.DELIVERED,
            code=None,
            message_id="wamid.1",
        )
    sender.settle(claim, "accepted", left_at=left_at)

    row = rows_of(state, sender.broadcast_id)[claim.row]
    assert (row["state"], row["left_at"]) == ("delivered", to_text(left_at))


LEGAL = [
    (move, before, after)
    for move, ways in TRANSITIONS.items()
    for after, sources in ways.items()
    for before in sources
]


def in_state(state, broadcast_id, row_state):
    with state.transaction():
        state.execute(
            "UPDATE recipients SET state = ? WHERE broadcast_id = ?", [row_state, broadcast_id]
        )


def moved(state, broadcast_id, move, to):
    with state.transaction():
        return state.execute(moving(move, to), [broadcast_id])


@pytest.mark.parametrize("move", Move)
def test_a_row_moves_from_the_states_that_the_table_names_and_from_no_other(state, plan_rows, move):
    broadcast_id = plan_rows(1)
    for to in TRANSITIONS[move]:
        for before in RowState:
            in_state(state, broadcast_id, before)
            is_legal = (move, before, to) in LEGAL
            assert moved(state, broadcast_id, move, to) == is_legal, (before, to)
            now = state.value("SELECT state FROM recipients")
            assert now == (to if is_legal else before)


@pytest.mark.parametrize("move", Move)
def test_a_move_to_an_unlisted_state_is_refused(move):
    for to in set(RowState) - set(TRANSITIONS[move]):
        with pytest.raises(ValueError, match=f"no row becomes {to.value} by {move.value}"):
            moving(move, to)


def test_only_a_person_or_a_claim_that_stayed_lets_a_row_be_sent_again():
    again = {
        (move, before)
        for move, before, after in LEGAL
        if after in (RowState.PENDING, RowState.RETRY)
    }
    assert again == {
        (Move.GIVE_BACK, RowState.SENDING),
        (Move.ANSWER, RowState.SENDING),
        (Move.DECISION, RowState.AMBIGUOUS),
        (Move.HOLD, RowState.PENDING),
        (Move.HOLD, RowState.RETRY),
    }


def test_a_row_that_was_taken_moves_by_statuses_only_and_one_that_was_skipped_by_nothing():
    assert {move for move, before, _ in LEGAL if before in TAKEN_STATES} == {Move.STATUS}
    assert not [move for move, before, _ in LEGAL if before is RowState.SKIPPED]


def test_rows_are_written_in_one_file_and_their_state_in_one_statement():
    package = Path(wacoex_cli.__file__).parent
    texts = {path: path.read_text() for path in package.rglob("*.py")}
    writers = [path.name for path, text in texts.items() if "UPDATE recipients" in text]
    # A step of the schema fills a column that it adds, and names a state that there was not.
    assert sorted(writers) == ["migrations.py", "rows.py"]
    steps = texts[package / "schema" / "migrations.py"]
    changed = re.findall("UPDATE recipients SET (.+?) =", steps)
    assert changed == ["sent_key", "state"]
    rows = texts[package / "ledger" / "rows.py"]
    assert rows.count("UPDATE recipients SET state") == 1


ROWS = 6
REPLIES = {
    "accepted": Taken("wamid.1"),
    "no answer": Unclear("the connection broke"),
    "no connection": NotSent("refused"),
    "throttled": Refused(130429),
    "pair rate": Refused(131056),
    "stop": Refused(190),
    "undeliverable": Refused(131026),
    "perhaps taken": Refused(131000),
}
FINAL = {"accepted", "rejected", "ambiguous"}


class Process:
    """A sender without a network: what left and what came back is up to the test."""

    def __init__(self, state, clock, broadcast_id):
        self.state, self.clock, self.broadcast_id = state, clock, broadcast_id
        self.presence = locks.Presence(state.path)
        self.held, self.under_way, self.settled = [], [], []
        with state.transaction():
            takeover.take_lock(state, broadcast_id, self.presence, clock)
            Rows(state, broadcast_id).renew_tries(clock.now())
            run_id = Broadcasts(state).start_run(
                broadcast_id, self.presence.holder, 20.0, clock.now()
            )
        run = Run(broadcast_id, "+6560000001", run_id, clock.monotonic(), SendOrder(20.0))
        self.exchange = Trader(state, self.presence, clock, run)

    def tick(self, room, given_back=()):
        report = Report(
            settled=tuple(self.settled),
            given_back=tuple(given_back),
            waiting_claims=len(self.held),
            room=room,
        )
        self.settled.clear()
        granted = self.exchange(report)
        self.held += granted.claims
        return granted

    def depart(self):
        claim = self.held.pop(0)
        this_file = Broadcasts(self.state).state_id
        self.presence.note(attempt_id(this_file, self.broadcast_id, claim.row, claim.attempt))
        self.under_way.append(claim)
        return claim

    def answer(self, reply):
        claim = self.under_way.pop(0)
        settled = judge(claim, reply, self.clock.now()).settled
        self.settled.append((settled, claim.phone))
        return settled

    def end(self):
        given_back, self.held = self.held, []
        self.tick(0, given_back)
        with self.state.transaction():
            locks.release(self.state, lock_purpose(self.broadcast_id), self.presence)
        self.presence.leave()


class AnyOrder(RuleBasedStateMachine):
    def __init__(self, state, clock, broadcast_id):
        super().__init__()
        self.state, self.clock, self.broadcast_id = state, clock, broadcast_id
        self.left: Counter[tuple[int, int]] = (
            Counter()
        )  # (row, attempt) -> how often its request left
        self.may_leave = dict.fromkeys(range(1, ROWS + 1), True)
        self.undecided = set()  # rows that only a person may move
        self.process = Process(state, clock, broadcast_id)

    def rows(self):
        sql = "SELECT * FROM recipients WHERE broadcast_id = ? ORDER BY row"
        return self.state.rows(sql, [self.broadcast_id])

    @rule(room=st.integers(0, ROWS), seconds=st.sampled_from([0.1, 0.6, 5.0, 70.0, 700.0]))
    def tick(self, room, seconds):
        self.clock.advance(seconds)
        self.process.tick(room + len(self.process.held))

    @precondition(lambda self: self.process.held)
    @rule()
    def depart(self):
        claim = self.process.depart()
        assert self.may_leave[claim.row], "the last answer forbids another attempt"
        self.may_leave[claim.row] = False
        self.left[claim.row, claim.attempt] += 1

    @precondition(lambda self: self.process.under_way)
    @rule(reply=st.sampled_from(sorted(REPLIES)))
    def answer(self, reply):
        settled = self.process.answer(REPLIES[reply])
        self.note(settled)
        self.process.tick(0)

    @rule()
    def pause_and_resume(self):
        while self.process.under_way:
            self.note(self.process.answer(REPLIES["no answer"]))
        self.process.end()
        self.process = Process(self.state, self.clock, self.broadcast_id)

    @rule(other_boot=st.booleans())
    def crash_and_resume(self, other_boot):
        unanswered = {claim.row for claim in self.process.under_way}
        claimed = {claim.row for claim in self.process.held}
        self.process.presence.abandon()
        if other_boot:
            self.clock.boot += "+"
            self.clock.advance(31)
        self.undecided |= unanswered | (claimed if other_boot else set())
        self.process = Process(self.state, self.clock, self.broadcast_id)

    @precondition(lambda self: self.undecided)
    @rule(decision=st.sampled_from(["sent", "not-sent", "resend"]))
    def decide(self, decision):
        row = min(self.undecided)
        self.undecided.remove(row)
        new_state = {"sent": RowState.ACCEPTED, "not-sent": RowState.REJECTED}.get(
            decision, RowState.PENDING
        )
        self.may_leave[row] = decision == "resend"
        Rows(self.state, self.broadcast_id).settle(
            [row], new_state, decision, "Ana", self.clock.now()
        )

    def note(self, settled):
        if settled.state is RowState.AMBIGUOUS:
            self.undecided.add(settled.row)
        self.may_leave[settled.row] = settled.state is RowState.RETRY

    @invariant()
    def every_row_is_in_one_state(self):
        assert [row["row"] for row in self.rows()] == list(range(1, ROWS + 1))
        assert Rows(self.state, self.broadcast_id).counts().total == ROWS

    @invariant()
    def no_attempt_left_twice(self):
        assert not [attempt for attempt, times in self.left.items() if times > 1]

    @invariant()
    def ambiguous_rows_stay_until_a_person_decides(self):
        waiting = {entry.row for entry, _ in self.process.settled}
        ambiguous = {row["row"] for row in self.rows() if row["state"] == "ambiguous"}
        assert ambiguous == self.undecided - waiting

    @invariant()
    def only_what_this_process_holds_is_being_sent(self):
        holds = {claim.row for claim in [*self.process.held, *self.process.under_way]}
        holds |= {entry.row for entry, _ in self.process.settled}
        assert {row["row"] for row in self.rows() if row["state"] == "sending"} == holds

    @invariant()
    def nobody_is_tried_more_often_than_a_run_allows(self):
        assert all(row["tries_in_run"] <= MOST_TRIES_IN_RUN for row in self.rows())

    def teardown(self):
        """One more run, in which Meta takes everything, leaves nobody behind."""
        self.pause_and_resume()
        for _ in range(40):
            self.tick(ROWS, 700.0)
            while self.process.held:
                self.depart()
                self.answer("accepted")
        assert {row["state"] for row in self.rows()} <= FINAL
        self.process.end()


def test_any_order_of_claims_answers_and_crashes(state, clock, plan_rows):
    run_state_machine_as_test(  # it takes whatever makes a machine
        lambda: AnyOrder(state, clock, plan_rows(ROWS)),  # type: ignore[arg-type]
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
