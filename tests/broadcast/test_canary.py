"""What becomes of the first few messages decides about the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.broadcast.guards import Canary, Go, Wait, judge_canary
from wacoex_cli.broadcast.model import Counts, RowState, Stop

TEN = Canary(10, wait_seconds=600)


def seen(**counts: int) -> Counts:
    return Counts({RowState(state): n for state, n in counts.items()})


@pytest.mark.parametrize(
    ("counts", "quiet_seconds", "expected"),
    [
        ({}, 0.0, Wait(10)),
        ({"accepted": 3, "sending": 2}, 0.0, Wait(5)),
        ({"accepted": 9, "sending": 1}, 900.0, Wait(0)),
        ({"accepted": 10}, 0.0, Wait(0)),
        ({"sent": 10}, 599.0, Wait(0)),
        ({"delivered": 9, "accepted": 1}, 599.0, Wait(0)),
        ({"delivered": 9, "ambiguous": 1}, 10.0, Wait(0)),
        # Once all are settled nothing is waited for.
        ({"delivered": 6, "read": 4}, 1.0, Go("canary: 10 of 10 well, 0 failed")),
        ({"sent": 5, "accepted": 5}, 600.0, Go("canary: 5 of 10 well, 0 failed")),
    ],
)
def test_it_waits_for_statuses_and_then_goes_on(counts, quiet_seconds, expected):
    assert judge_canary(TEN, seen(**counts), quiet_seconds) == expected


@pytest.mark.parametrize(
    ("counts", "quiet_seconds", "told"),
    [
        ({"failed": 1, "accepted": 2, "sending": 1}, 0.0, "1 failed"),
        ({"rejected": 1, "delivered": 9}, 0.0, "1 rejected"),
        ({"ambiguous": 1, "delivered": 9}, 600.0, "1 ambiguous"),
    ],
)
def test_it_stops_when_too_many_went_wrong(counts, quiet_seconds, told):
    stop = judge_canary(TEN, seen(**counts), quiet_seconds)

    assert isinstance(stop, Stop)
    assert stop.exit_status == 5
    assert stop.reason == (
        f"the canary of 10 went wrong: {told}; the limit is 10%; `--canary 0` goes on all the same"
    )


def test_without_any_word_it_does_not_go_on():
    stop = judge_canary(TEN, seen(accepted=8, delivered=2), 600.0)

    assert isinstance(stop, Stop)
    assert stop.reason == (
        "no status came for 8 of the 10 rows of the canary within 10 min: is anything listening?"
        " `--canary 0` goes on all the same"
    )


def test_a_higher_limit_lets_some_fail():
    canary = Canary(10, limit=0.3)

    assert isinstance(judge_canary(canary, seen(delivered=8, failed=2), 1.0), Go)
    assert isinstance(judge_canary(canary, seen(delivered=7, failed=3), 1.0), Stop)


@given(
    counts=st.dictionaries(
        st.sampled_from([one for one in RowState if one not in ("pending", "skipped", "retry")]),
        st.integers(0, 10),
    ),
    quiet_seconds=st.floats(0, 1_000),
    limit=st.floats(0.01, 1.0),
)
def test_it_never_goes_on_over_its_limit_or_without_a_word(counts, quiet_seconds, limit):
    found = judge_canary(Canary(10, limit=limit), Counts(counts), quiet_seconds)

    left = sum(counts.values())
    bad = sum(counts.get(RowState(one), 0) for one in ("failed", "rejected", "ambiguous"))
    unheard = sum(counts.get(RowState(one), 0) for one in ("accepted", "ambiguous"))
    if isinstance(found, Go):
        assert left >= 10
        assert bad < limit * left
        assert 2 * unheard <= left
    if isinstance(found, Wait):
        assert left + found.room <= max(left, 10)
