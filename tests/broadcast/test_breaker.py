"""When a broadcast that goes wrong pauses by itself."""

from __future__ import annotations

import pytest

from wacoex_cli.broadcast.guards import CLASSES, Breaker
from wacoex_cli.broadcast.model import RowState, Settled, Stop
from wacoex_cli.foundation.settings_model import ERROR_CLASSES


def outcome(state: RowState, code: int | None = None) -> Settled:
    return Settled(1, 1, state, code=code)


GOOD = outcome(RowState.ACCEPTED)
BAD = outcome(RowState.REJECTED, 131026)


def opened(outcomes: list[Settled], breaker: Breaker | None = None) -> Stop | None:
    breaker = breaker or Breaker()
    for one in outcomes:
        breaker.saw(one)
    return breaker.verdict()


@pytest.mark.parametrize(
    ("outcomes", "opens"),
    [
        ([], False),
        ([BAD] * 19, False),
        ([BAD] * 20, True),
        ([BAD] * 5 + [GOOD] * 15, False),
        ([BAD] * 6 + [GOOD] * 14, True),
        ([GOOD] * 1000 + [BAD] * 29, False),
        ([GOOD] * 1000 + [BAD] * 30, True),
        ([BAD] * 6 + [GOOD] * 100, False),
        ([outcome(RowState.FAILED, 131026)] * 20, True),
        ([outcome(RowState.AMBIGUOUS)] * 20, True),
        ([outcome(RowState.RETRY, 130429)] * 500, False),
        ([outcome(RowState.RETRY, 130429)] * 19 + [BAD], False),
    ],
)
def test_the_breaker_opens_at_20_rows_of_which_30_in_100_went_wrong(outcomes, opens):
    assert (opened(outcomes) is not None) is opens


def test_the_breaker_names_the_codes_and_how_often_they_came():
    faults = [BAD] * 12 + [outcome(RowState.REJECTED, 4242)] * 6 + [outcome(RowState.AMBIGUOUS)] * 2
    stop = opened(faults)

    assert stop is not None
    assert stop.exit_status == 5
    assert "code 131026 (12 times), code 4242 (6 times), no usable answer (2 times)" in stop.reason


def test_the_breaker_can_be_set():
    assert opened([BAD] * 2 + [GOOD] * 2, Breaker(least_rows=4, share=0.5))
    assert not opened([BAD] * 2 + [GOOD] * 3, Breaker(least_rows=4, share=0.5))


def test_messages_that_fail_later_open_it_too():
    breaker = Breaker()
    breaker.saw_statuses({131026: 50}, well=0)
    breaker.saw_statuses({131026: 55, 131049: 2}, well=30)
    assert breaker.verdict() is None

    breaker.saw_statuses({131026: 62, 131049: 2}, well=30)

    stop = breaker.verdict()
    assert stop is not None
    assert stop.exit_status == 5
    assert stop.reason == (
        "14 of the last 44 messages failed after they were accepted:"
        " code 131026 (12 times), code 131049 (2 times)"
    )


def test_of_many_statuses_at_once_the_last_hundred_stand_for_all():
    breaker = Breaker()
    breaker.saw_statuses({}, well=0)
    breaker.saw_statuses({None: 200}, well=800)
    assert breaker.verdict() is None

    breaker.saw_statuses({None: 600}, well=1_400)

    stop = breaker.verdict()
    assert stop is not None
    assert stop.reason.startswith("40 of the last 100 messages failed")


def test_a_failure_that_turns_out_to_have_arrived_undoes_nothing():
    breaker = Breaker(least_rows=2)
    breaker.saw_statuses({131026: 5}, well=5)
    breaker.saw_statuses({131026: 4}, well=6)

    assert breaker.verdict() is None


@pytest.mark.parametrize(
    ("limits", "outcomes", "reason"),
    [
        ({"131049": 3}, [outcome(RowState.REJECTED, 131049)] * 2, None),
        (
            {"131049": 3},
            [outcome(RowState.REJECTED, 131049)] * 3,
            "code 131049 came 3 times; the limit is 3",
        ),
        ({"ambiguous": 2}, [outcome(RowState.AMBIGUOUS)], None),
        (
            {"ambiguous": 2},
            [outcome(RowState.AMBIGUOUS), outcome(RowState.AMBIGUOUS, 131000)],
            "ambiguous came 2 times; the limit is 2",
        ),
        (
            {"unknown": 1},
            [outcome(RowState.REJECTED, 999_999)],
            "unknown came 1 times; the limit is 1",
        ),
        ({"unknown": 1}, [BAD] * 3, None),
        (
            {"retry": 2},
            [outcome(RowState.RETRY, 130429)] * 2,
            "retry came 2 times; the limit is 2",
        ),
        ({"row": 0.2}, [BAD] * 3 + [GOOD] * 16, None),
        ({"row": 0.2}, [BAD] * 3 + [GOOD] * 17, None),
        (
            {"row": 0.2},
            [BAD] * 4 + [GOOD] * 16,
            "row came 4 times in the last 20; the limit is 20%",
        ),
    ],
)
def test_an_error_can_have_a_limit_of_its_own(limits, outcomes, reason):
    stop = opened(outcomes, Breaker(limits=limits))

    assert (stop and stop.reason) == reason


def test_a_limit_counts_late_failures_as_well():
    breaker = Breaker(limits={"131026": 0.1}, share=1.0)
    breaker.saw_statuses({}, well=0)
    breaker.saw_statuses({131026: 2}, well=18)

    stop = breaker.verdict()

    assert stop is not None
    assert stop.reason == "code 131026 came 2 times in the last 20; the limit is 10%"


def test_the_setting_knows_the_same_classes():
    assert ERROR_CLASSES == CLASSES
