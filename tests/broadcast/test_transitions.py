"""The table of a row's moves: nothing else moves a row, and who may not move stays."""

from __future__ import annotations

from pathlib import Path

import pytest

import wacoex_cli
from wacoex_cli.broadcast.model import TAKEN_STATES, TRANSITIONS, Move, RowState
from wacoex_cli.broadcast.store import moving

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
def test_the_mover_refuses_a_state_that_a_move_never_leads_to(move):
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
    assert [path.name for path, text in texts.items() if "UPDATE recipients" in text] == [
        "store.py"
    ]
    store = texts[package / "broadcast" / "store.py"]
    assert store.count("UPDATE recipients SET state") == 1
