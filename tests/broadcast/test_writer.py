"""The one writer of the ledger: who waits for whom, and when it ticks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools

import pytest

from wacoex_cli.contacts.store import add_optout
from wacoex_cli.errors import StateError
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import Status
from wacoex_cli.sending.exchange import Granted, Report
from wacoex_cli.sending.writer import LedgerWriter

LAST = Report(is_last=True)


class Trades:
    """What broadcasts traded: the names of those in each transaction."""

    def __init__(self, clock):
        self.clock = clock
        self.transactions = []
        self.failure = None
        self.is_new = True

    def of(self, name):
        return Broadcast(name, self)


class Broadcast:
    """Stands for the exchange of one broadcast."""

    keys = ()
    next_snapshot = float("inf")

    def __init__(self, name, trades):
        self.name = name
        self.clock = trades.clock
        self._trades = trades

    def foresee(self, known, report, lead):
        """All are asked this before the first one trades."""
        if self._trades.failure:
            raise self._trades.failure
        if self._trades.is_new:
            self._trades.transactions.append([])
            self._trades.is_new = False

    def trade(self, known, report, outlook):
        self._trades.transactions[-1].append(self.name)
        self._trades.is_new = True
        return {}, Granted((), (), Status.SENDING, True, 0.0, True, None)

    def snapshot(self, report, together):
        return None


@pytest.fixture
def trades(clock):
    return Trades(clock)


@pytest.fixture
def writer(state):
    with LedgerWriter(state) as made:
        yield made


def together(writer, broadcasts):
    trades = (writer.trade(broadcast, Report()) for broadcast in broadcasts)
    return asyncio.gather(*trades, return_exceptions=True)


def test_requests_of_the_same_moment_share_one_transaction(trades, writer):
    broadcasts = [trades.of(name) for name in "ABC"]

    async def send():
        await together(writer, broadcasts)
        trades.transactions.clear()
        return await together(writer, broadcasts)

    granted = asyncio.run(send())

    assert all(isinstance(each, Granted) for each in granted)
    assert trades.transactions == [["A", "B", "C"]]


def test_idle_and_ended_senders_delay_nobody(trades, writer):
    first, second = trades.of("A"), trades.of("B")

    async def send():
        await together(writer, [first, second])
        trades.transactions.clear()
        await writer.trade(first, Report())
        await writer.trade(second, LAST)
        await writer.trade(first, Report())

    asyncio.run(send())

    assert trades.transactions == [["A"], ["B"], ["A"]]


def test_a_failure_reaches_all_waiting_senders_and_the_next_request_works(trades, writer):
    broadcasts = [trades.of(name) for name in "AB"]

    async def send():
        await together(writer, broadcasts)
        trades.failure = StateError("the disk is full")
        failed = await together(writer, broadcasts)
        trades.failure = None
        return failed, await writer.trade(broadcasts[0], Report())

    failed, granted = asyncio.run(send())

    assert [str(error) for error in failed] == ["the disk is full"] * 2
    assert isinstance(granted, Granted)


def test_a_tick_sees_what_another_connection_has_written(trades, writer, state):
    broadcast = trades.of("A")

    async def sees():
        writer.others_wrote.clear()
        await writer.trade(broadcast, Report())
        return writer.others_wrote.is_set()

    async def send():
        first, later = await sees(), await sees()
        with contextlib.closing(open_state(state.path)) as other, other.transaction():
            add_optout(other, "+6591112222", "by hand", None, trades.clock.now())
        return first, later, await sees(), await sees()

    assert asyncio.run(send()) == (True, False, True, False)


def test_a_broadcast_that_is_alone_ticks_half_as_often(trades, writer):
    broadcasts = [trades.of(name) for name in "AB"]

    async def ticks():
        now, moments = 1000.0, []
        for _ in range(5):
            now += writer.seconds_to_tick(now)
            moments.append(now)
        return [later - sooner for sooner, later in itertools.pairwise(moments)]

    async def send():
        await writer.trade(broadcasts[0], Report())
        alone = await ticks()
        await together(writer, broadcasts)
        both = await ticks()
        await writer.trade(broadcasts[1], LAST)
        return alone, both, await ticks()

    alone, both, alone_again = asyncio.run(send())

    assert alone == alone_again == pytest.approx([0.2] * 4)
    assert both == pytest.approx([0.1] * 4)
