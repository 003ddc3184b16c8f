"""How a run ends, whatever breaks: no row stays claimed, and the next run can continue."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.broadcast.test_never_twice import Fate, Killed, MortalState
from tests.broadcast.test_several import Agency
from tests.broadcast.test_side_by_side import cancel, send_here
from tests.support.trading import Trader
from wacoex_cli.errors import StateError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.ledger.model import RunProgress, Status, attempt_id, lock_purpose
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import PHONE
from wacoex_cli.sending.exchange import Report
from wacoex_cli.sending.guards import Run, SendOrder
from wacoex_cli.sending.run import NotBegun, SendJob, Sent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.broadcast.conftest import Shop
    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.model import Claim


@pytest.fixture
def agency(shop: Shop) -> Agency:
    return Agency(shop)


def test_the_last_report_of_a_run_claims_nothing(
    state: State, plan_rows: Callable[[int], int]
) -> None:
    clock, number = SystemClock(), plan_rows(5)
    presence = locks.Presence(state.path)
    with state.transaction():
        locks.acquire(state, lock_purpose(number), presence, clock)
        run_id = Broadcasts(state).start_run(number, presence.holder, 20.0, clock.now())
    run = Run(number, PHONE, run_id, clock.monotonic(), SendOrder(20.0))

    granted = Trader(state, presence, clock, run)(Report(room=64, is_last=True))

    assert (granted.claims, granted.slots) == ((), ())
    presence.leave()


def test_claims_are_given_back_when_the_counts_cannot_be_shown(agency: Agency) -> None:
    bad, good = planned = [agency.planned(number, 60) for number in (1, 2)]

    def show(shot: RunProgress) -> None:
        raise RuntimeError("nobody can be shown this")

    def fail(place: int, job: SendJob) -> SendJob:
        return job if place else replace(job, on_counts=show)

    outcomes = send_here(agency, planned, fail)

    assert [type(each) for each in outcomes] == [RuntimeError, Sent]
    assert agency.status(bad) is Status.PAUSED
    assert agency.shop.counts(bad).keys() <= {"accepted", "pending"}
    assert agency.shop.counts(good) == {"accepted": 60}


@contextlib.contextmanager
def no_answers_taken(state: State) -> Iterator[None]:
    """The state file takes no answer meanwhile."""
    with state.transaction():
        state.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF state ON recipients"
            " WHEN NEW.state = 'accepted' BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    yield
    with state.transaction():
        state.execute("DROP TRIGGER refuse")


def test_rows_whose_answers_are_not_taken_are_in_doubt_at_the_end(agency: Agency) -> None:
    [bad] = planned = [agency.planned(1, 60)]

    with no_answers_taken(agency.shop.state):
        send_here(agency, planned)

    counts = agency.shop.counts(bad)
    assert agency.status(bad) is Status.PAUSED
    assert counts.keys() == {"ambiguous", "pending"}
    assert counts["ambiguous"] == agency.taken().total()


def test_answers_are_recorded_at_the_end_when_only_another_part_of_a_tick_fails(
    agency: Agency,
) -> None:
    [bad] = planned = [agency.planned(1, 400)]
    with agency.shop.state.transaction():
        agency.shop.state.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE OF peak ON broadcast_runs"
            " WHEN NEW.peak > 1 BEGIN SELECT RAISE(ABORT, 'no'); END"
        )

    [outcome] = send_here(agency, planned)

    counts = agency.shop.counts(bad)
    assert isinstance(outcome, StateError)
    assert agency.status(bad) is Status.PAUSED
    assert counts.keys() == {"accepted", "pending"}
    assert counts["accepted"] == agency.taken().total()


class DiesWhilePausing(MortalState):
    """The state file of a sender that dies while it writes down that it failed."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        if any(str(value).startswith("it failed") for value in parameters):
            raise Killed
        return self._inner.execute(sql, parameters)


def test_a_sender_that_dies_while_it_pauses_blocks_nobody(agency: Agency) -> None:
    shop, [bad] = agency.shop, [agency.planned(1, 60)]
    state, dying = shop.state, DiesWhilePausing(shop.state, Fate(None))
    with no_answers_taken(state):
        shop.state = cast("State", dying)
        [outcome] = send_here(agency, [bad])
        shop.state = state
    assert isinstance(outcome, Killed)
    assert agency.status(bad) is Status.SENDING

    shop.resume(bad)

    assert agency.status(bad) is Status.COMPLETED
    assert shop.counts(bad).keys() <= {"accepted", "ambiguous"}
    assert shop.taken_twice() == []


def test_a_command_that_breaks_pauses_the_broadcasts_it_began(agency: Agency) -> None:
    first, cancelled = planned = [agency.planned(number, 60) for number in (1, 2)]
    cancel(agency, cancelled)

    def end(outcome: Sent | NotBegun | Exception) -> None:
        raise RuntimeError("nobody can be shown this")

    with pytest.raises(RuntimeError, match="nobody can be shown this"):
        send_here(agency, planned, lambda place, job: replace(job, on_end=end))

    assert agency.status(first) is Status.PAUSED
    assert agency.shop.resume(first).broadcast.status is Status.COMPLETED


def begun(shop: Shop, number: int) -> tuple[locks.Presence, Sequence[Claim]]:
    """A sender of this broadcast, and the two rows that it has claimed."""
    state, now = shop.state, shop.clock.now()
    presence = locks.Presence(state.path)
    with state.transaction():
        locks.acquire(state, lock_purpose(number), presence, shop.clock)
        Broadcasts(state).start_run(number, presence.holder, 20.0, now)
        claims = Rows(state, number).claim(presence.holder, 2, now, now)
    return presence, claims


@pytest.mark.parametrize(
    ("status", "verb"),
    [(Status.SENDING, "resume"), (Status.PAUSED, "resume"), (Status.CANCELLED, "reconcile")],
)
def test_rows_of_a_dead_sender_can_be_settled_in_every_status(
    shop: Shop, cli: Callable[..., Any], status: Status, verb: str
) -> None:
    broadcast = shop.planned(4)
    number, state = broadcast.broadcast_id, shop.state
    presence, (gone, _) = begun(shop, number)
    with state.transaction():
        Broadcasts(state).set_status(number, status)
    presence.note(attempt_id(Broadcasts(state).state_id, number, gone.row, gone.attempt))
    presence.abandon()

    checked = cli("state", "check")
    assert checked.code == 8
    assert f"wacoex broadcast {verb} {number} settles them" in checked.out
    assert f"wacoex broadcast {verb} {number}" in cli("broadcast", "show", number).out
    cli("broadcast", "reconcile", number)

    assert shop.counts(broadcast) == {"ambiguous": 1, "pending": 3}
    ended = Status.CANCELLED if status is Status.CANCELLED else Status.PAUSED
    assert shop.current(broadcast).status is ended
    assert cli("state", "check").code == 0


def test_the_claims_of_a_living_sender_are_left_alone(shop: Shop, cli: Callable[..., Any]) -> None:
    broadcast = shop.planned(4)
    presence, _ = begun(shop, broadcast.broadcast_id)

    cli("broadcast", "reconcile", broadcast.broadcast_id)

    assert shop.counts(broadcast) == {"sending": 2, "pending": 2}
    assert shop.current(broadcast).status is Status.SENDING
    presence.leave()
