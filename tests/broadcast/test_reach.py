"""Whom a broadcast reached: three parts that sum, one sentence, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wacoex_cli.broadcast.report import (
    NOT_REACHED,
    REACHED,
    UNKNOWN,
    Reach,
    next_steps,
    percent,
)
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.ledger.model import RowState, Status
from wacoex_cli.ledger.rows import Rows

COUNTS = st.dictionaries(st.sampled_from(list(RowState)), st.integers(0, 10**6))
STATUSES = st.sampled_from([status for status in Status if status is not Status.DRAFT])


def reach(status: Status = Status.COMPLETED, handled: int = 0, **counts: int) -> Reach:
    return Reach.of(counts, status, handled)


def test_each_state_belongs_to_one_part_and_the_skipped_to_none() -> None:
    parts = [*REACHED, *NOT_REACHED, *UNKNOWN]

    assert len(parts) == len(set(parts))
    assert set(parts) == set(RowState) - {RowState.SKIPPED}


@given(COUNTS, STATUSES, st.integers(0, 10))
def test_reached_and_not_reached_and_unknown_sum_to_the_recipients(
    counts: Mapping[str, int], status: Status, handled: int
) -> None:
    made = Reach.of(counts, status, handled)
    skipped = counts.get(RowState.SKIPPED, 0)

    assert made.recipients == sum(counts.values()) - skipped
    assert made.reached + made.not_reached + made.unknown == made.recipients
    for n, group in ((made.reached, REACHED), (made.unknown, UNKNOWN)):
        assert sum(many for _, _, many in made.kinds(group)) == n
    assert 0 <= made.need_you <= made.not_reached + made.unknown
    assert made.read <= made.reached
    assert made.sentence()


@given(COUNTS, STATUSES, st.booleans())
@example({RowState.SENDING: 1}, Status.COMPLETED, False)
def test_nothing_to_do_is_shown_only_without_open_work(
    counts: Mapping[str, int], status: Status, is_being_sent: bool
) -> None:
    made = Reach.of(counts, status)
    steps = next_steps(1, made, is_being_sent=is_being_sent)

    if made.parts.get(RowState.AMBIGUOUS):
        assert any("reconcile 1" in step.command for step in steps)
    if status is Status.COMPLETED:
        is_left_by_the_dead = made.parts.get(RowState.SENDING) and not is_being_sent
        assert bool(steps) == bool(made.need_you or is_left_by_the_dead)
    assert all(step.command.startswith("wacoex broadcast ") for step in steps)


@pytest.mark.parametrize("state", UNKNOWN)
def test_a_row_without_a_receipt_is_neither_reached_nor_failed(state: RowState) -> None:
    made = Reach.of({state.value: 5, "delivered": 1}, Status.COMPLETED)

    assert (made.reached, made.not_reached, made.unknown) == (1, 0, 5)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            reach(delivered=54, read=103, rejected=1, failed=1, ambiguous=1),
            "157 of 160 reached, 103 read (64 %), 3 need you",
        ),
        (reach(read=1), "1 of 1 reached, 1 read (100 %)"),
        (reach(rejected=1), "0 of 1 reached, 1 needs you"),
        (reach(handled=1, rejected=1, delivered=1), "1 of 2 reached, 0 read (0 %)"),
        (
            reach(accepted=2, held_by_meta=1, paused_by_meta=1),
            "0 of 4 reached, 4 not known yet",
        ),
        (
            reach(Status.PAUSED, delivered=1, pending=2, retry=1),
            "1 of 4 reached, 0 read (0 %), 3 not sent yet",
        ),
        (
            reach(Status.CANCELLED, delivered=1, pending=2),
            "1 of 3 reached, 0 read (0 %), 2 not sent",
        ),
        (reach(Status.PLANNED, pending=1), "nothing was sent to 1 recipient yet"),
        (reach(Status.CANCELLED, pending=2), "nothing was sent to 2 recipients"),
        (reach(skipped=3), "nobody on the list could be sent to"),
    ],
)
def test_the_sentence_of_a_broadcast(made: Reach, sentence: str) -> None:
    assert made.sentence() == sentence


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 0, "0 %"),
        (0, 7, "0 %"),
        (1, 3, "33 %"),
        (3, 3, "100 %"),
        (9_999, 10_000, "over 99 %"),
        (1, 10**6, "under 1 %"),
    ],
)
def test_a_share_is_whole_only_when_it_is(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text


def test_plural_forms() -> None:
    assert [counted(n, "recipient") for n in (0, 1, 2)] == [
        "0 recipients",
        "1 recipient",
        "2 recipients",
    ]
    assert [counted(n, "person") for n in (1, 1_200)] == ["1 person", "1,200 people"]


def test_the_suggested_commands_fit_the_status_of_the_broadcast() -> None:
    def commands(made: Reach, *, is_being_sent: bool = False) -> list[str]:
        steps = next_steps(7, made, is_being_sent=is_being_sent)
        return [step.command.removeprefix("wacoex broadcast ") for step in steps]

    assert commands(reach(Status.PLANNED, pending=2)) == ["send 7"]
    assert commands(reach(Status.PAUSED, pending=2, failed=1)) == ["resume 7"]
    assert commands(reach(Status.SENDING, pending=2)) == ["resume 7"]
    assert commands(reach(Status.SENDING, pending=2), is_being_sent=True) == []
    assert commands(reach(ambiguous=1, failed=1, read=3)) == ["reconcile 7", "retry 7"]
    assert commands(reach(failed=1, handled=1)) == []


def test_failures_that_are_sent_again_or_settled_need_no_action(state, plan_rows) -> None:
    first, again = plan_rows(4), plan_rows(2)
    with state.transaction():
        state.execute(
            "UPDATE recipients SET state = 'rejected' WHERE broadcast_id = ? AND row <= 3", [first]
        )
        Rows(state, first).note_decision(3, "not-sent", "Ana", SystemClock().now())
    assert Rows(state, first).handled() == 1

    with state.transaction():
        state.execute("UPDATE broadcasts SET retry_of = ? WHERE broadcast_id = ?", [first, again])
    assert Rows(state, first).handled() == 3

    with state.transaction():
        state.execute("UPDATE broadcasts SET status = 'cancelled' WHERE broadcast_id = ?", [again])
    assert Rows(state, first).handled() == 1
