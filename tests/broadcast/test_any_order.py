"""Whatever happens, in whatever order: nobody is sent to twice, nobody is forgotten."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from wacoex_cli.broadcast.engine import Exchange, Report, judge
from wacoex_cli.broadcast.guards import Run, SendOrder
from wacoex_cli.broadcast.model import MOST_TRIES_IN_RUN, RowState, attempt_id, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.foundation import locks
from wacoex_cli.platforms.meta import NotSent, Refused, Taken, Unclear

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
            Broadcasts(state).take_lock(broadcast_id, self.presence, clock)
            run_id = Broadcasts(state).start_run(
                broadcast_id, self.presence.holder, 20.0, clock.now()
            )
        run = Run(broadcast_id, "+6560000001", run_id, clock.monotonic(), SendOrder(20.0))
        self.exchange = Exchange(state, self.presence, clock, run)

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
        waiting = {one.row for one, _ in self.process.settled}
        ambiguous = {row["row"] for row in self.rows() if row["state"] == "ambiguous"}
        assert ambiguous == self.undecided - waiting

    @invariant()
    def only_what_this_process_holds_is_being_sent(self):
        holds = {claim.row for claim in [*self.process.held, *self.process.under_way]}
        holds |= {one.row for one, _ in self.process.settled}
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
