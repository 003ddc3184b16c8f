"""The engine between the record and the network: what it does when one of them fails."""

from __future__ import annotations

import asyncio

import pytest

from wacoex_cli.broadcast.engine import Engine, Granted, Hooks
from wacoex_cli.broadcast.guards import Breaker
from wacoex_cli.broadcast.model import Claim, RowState, Status, Stop
from wacoex_cli.errors import StateError
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.platforms.meta import Taken

CLOCK = SystemClock()


class Record:
    """Stands for the state file: hands out claims once, remembers what it was told."""

    def __init__(self, rows, *, slots_in=0.02, fails_at=0):
        self.claims = tuple(
            Claim(row, f"+6591{row:06}", "[]", 1, 1, CLOCK.now()) for row in range(1, rows + 1)
        )
        self.slots_in = slots_in
        self.fails_at = fails_at
        self.reports = []
        self.status = Status.SENDING

    def __call__(self, report):
        self.reports.append(report)
        if len(self.reports) == self.fails_at:
            raise StateError("the disk is full")
        given, self.claims = self.claims, ()
        start = CLOCK.monotonic() + self.slots_in
        slots = tuple(start + n / 1000 for n in range(report.waiting_claims + len(given)))
        return Granted(given, slots, self.status, True, 0.0, False, None)

    def given_back(self):
        return [claim.row for report in self.reports for claim in report.given_back]

    def settled(self):
        return {one.row: one for report in self.reports for one, _ in report.settled}


class Network:
    """Stands for Meta: takes everything at once, or never answers."""

    def __init__(self, *, answers=True, error=None):
        self.answers = answers
        self.error = error
        self.left = []

    async def __call__(self, claim):
        self.left.append(claim.row)
        if self.error:
            raise self.error
        if not self.answers:
            await asyncio.Event().wait()
        return Taken(f"wamid.{claim.row}")


def run(record, network, *, note=lambda claim: None, window=64, meanwhile=None):
    hooks = Hooks(record, note, network, lambda counts: None)

    async def both():
        engine = Engine(hooks, CLOCK, Breaker(), window=window)
        stop, _ = await asyncio.gather(engine.run(), (meanwhile or nothing)(engine))
        return stop

    return asyncio.run(both())


async def nothing(engine):
    """Leave the engine alone."""


def test_every_claim_leaves_once_and_is_settled():
    record, network = Record(5), Network()

    assert run(record, network) is None
    assert network.left == [1, 2, 3, 4, 5]
    assert [one.message_id for one in record.settled().values()] == [
        f"wamid.{row}" for row in network.left
    ]
    moments = [one.left_at for one in record.settled().values()]
    assert moments == sorted(moments)


def test_the_reports_say_how_many_left_in_the_last_second_and_which_is_the_last():
    record, network = Record(5), Network()
    run(record, network)

    assert [report.is_last for report in record.reports].index(True) == len(record.reports) - 1
    assert (record.reports[0].last_second, record.reports[0].peak) == (0, 0)
    assert record.reports[-1].peak == 5


def test_a_departure_that_cannot_be_noted_does_not_take_place():
    record, network = Record(3), Network()

    def note(claim):
        raise StateError("cannot note a departure")

    with pytest.raises(StateError, match="cannot note a departure"):
        run(record, network, note=note)
    assert network.left == []
    assert record.given_back() == [1, 2, 3]


def test_what_a_failed_tick_could_not_record_is_recorded_by_the_last_one():
    record, network = Record(3, fails_at=2), Network()

    with pytest.raises(StateError, match="the disk is full"):
        run(record, network)
    assert record.reports[1].settled
    assert {one.state for one in record.settled().values()} == {RowState.ACCEPTED}
    assert len(record.reports[-1].settled) == 3


def test_an_error_nobody_expected_makes_the_row_ambiguous_and_is_told():
    record, network = Record(3), Network(error=ValueError("odd"))

    with pytest.raises(ValueError, match="odd"):
        run(record, network)
    settled = record.settled()
    assert {settled[row].state for row in network.left} == {RowState.AMBIGUOUS}
    assert sorted([*network.left, *record.given_back()]) == [1, 2, 3]


def test_no_more_requests_are_under_way_than_the_window_allows():
    record, network = Record(5), Network(answers=False)

    async def stop_later(engine):
        await asyncio.sleep(0.4)
        engine.stop(Stop("enough", 1), at_once=True)

    run(record, network, window=2, meanwhile=stop_later)
    assert network.left == [1, 2]
    assert record.given_back() == [3, 4, 5]


def test_a_slot_that_has_passed_is_given_up_and_its_claim_kept():
    record, network = Record(2, slots_in=-5.0), Network()

    async def look_and_stop(engine):
        await asyncio.sleep(0.3)
        assert network.left == []
        engine.stop(Stop("enough", 1))

    run(record, network, meanwhile=look_and_stop)
    assert record.given_back() == [1, 2]


def test_stopping_at_once_leaves_what_is_under_way_ambiguous():
    record, network = Record(2), Network(answers=False)

    async def stop_twice(engine):
        while len(network.left) < 2:
            await asyncio.sleep(0.01)
        engine.stop(Stop("it was interrupted", 130))
        engine.stop(Stop("it was interrupted", 130), at_once=True)

    stop = run(record, network, meanwhile=stop_twice)
    assert stop == Stop("it was interrupted", 130)
    assert {one.state for one in record.settled().values()} == {RowState.AMBIGUOUS}


def test_a_broadcast_that_somebody_cancelled_takes_no_new_rows():
    record, network = Record(0), Network()
    record.status = Status.CANCELLED

    stop = run(record, network)
    assert stop is not None
    assert "cancelled by another command" in stop.reason
