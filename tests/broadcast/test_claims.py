"""The record of claims: who may send a row now, and what becomes of it when a sender dies."""

from __future__ import annotations

from datetime import timedelta

import pytest

from wacoex_cli.broadcast.model import RowState, Settled, attempt_id, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text

PENDING, RETRY, AMBIGUOUS = "pending", "retry", "ambiguous"


class Sender:
    """One process that sends a broadcast, as far as the record sees it."""

    def __init__(self, state, broadcast_id, clock):
        self.state = state
        self.broadcast_id = broadcast_id
        self.clock = clock
        self.presence = locks.Presence(state.path)
        with state.transaction():
            Broadcasts(state).take_lock(broadcast_id, self.presence, clock)
            Broadcasts(state).start_run(
                broadcast_id, self.presence.holder, rate=20.0, now=clock.now()
            )

    def claim(self, most=1):
        with self.state.transaction():
            return Rows(self.state, self.broadcast_id).claim(
                self.presence.holder, most, self.clock.now()
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
    assert [one.row for one in sender.claim(2)] == [1, 2]
    assert [one.row for one in sender.claim(9)] == [3]
    assert sender.claim(9) == ()


def test_a_claim_is_on_disk_with_its_attempt_before_anything_leaves(sender, row):
    (claim,) = sender.claim()

    assert row(1)["state"] == "sending"
    assert (row(1)["attempts"], claim.attempt) == (1, 1)
    assert row(1)["holder"] == sender.presence.holder


def test_a_claim_given_back_is_as_if_it_had_not_been_made_but_for_its_attempt(sender, row):
    sender.give_back(*sender.claim())

    assert row(1)["state"] == PENDING
    assert (row(1)["tries_in_run"], row(1)["first_try_in_run_at"]) == (0, None)
    assert sender.claim()[0].attempt == 2


def test_a_second_try_given_back_waits_as_a_retry_again(sender, row, clock):
    sender.settle(*sender.claim(), RETRY, seconds=5)
    clock.advance(5)
    sender.give_back(*sender.claim())

    assert row(1)["state"] == RETRY
    assert [one.row for one in sender.claim()] == [1], "and is due at once"


def test_a_retry_waits_for_its_time_and_then_comes_before_new_rows(sender, clock):
    sender.settle(*sender.claim(), RETRY, seconds=10, code=130429)
    clock.advance(9.9)
    assert [one.row for one in sender.claim()] == [2]
    clock.advance(0.1)
    assert [one.row for one in sender.claim(2)] == [1, 3]


def test_a_row_is_tried_five_times_in_one_run(sender, row, clock):
    for _ in range(4):
        sender.settle(*sender.claim(), RETRY)
    assert sender.has_more()
    (fifth,) = sender.claim()
    assert fifth.tries_in_run == 5
    sender.settle(fifth, RETRY)

    assert [one.row for one in sender.claim(9)] == [2, 3]
    assert row(1)["state"] == RETRY, "the next run may try it again"
    assert not sender.has_more()


def test_a_row_is_tried_for_ten_minutes_in_one_run(sender, clock):
    sender.settle(*sender.claim(), RETRY, seconds=1)
    clock.advance(599)
    sender.settle(*sender.claim(), RETRY, seconds=1)
    clock.advance(1)

    assert [one.row for one in sender.claim(9)] == [2, 3]
    assert not sender.has_more()


def test_the_next_run_gives_every_retry_its_tries_again(state, sender, clock):
    for _ in range(5):
        sender.settle(*sender.claim(), RETRY)
    sender.die()

    (claim,) = Sender(state, sender.broadcast_id, clock).claim()
    assert (claim.row, claim.tries_in_run, claim.attempt) == (1, 1, 6)


def test_an_ambiguous_row_is_never_claimed_again(sender, row):
    sender.settle(*sender.claim(), AMBIGUOUS, detail="no answer")

    assert [one.row for one in sender.claim(9)] == [2, 3]
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
    clock.boot = "boot-2"
    clock.advance(29.9)
    with pytest.raises(TemporaryError):
        Sender(state, sender.broadcast_id, clock)
    clock.advance(0.2)
    Sender(state, sender.broadcast_id, clock)


def test_a_sender_that_lost_its_lock_can_write_nothing_more(state, sender, row, clock):
    first, second = sender.claim(2)
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

    assert [one.row for one in sender.claim()] == [1]


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
