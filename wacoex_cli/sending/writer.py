"""One writer of the ledger for all broadcasts of a process: one transaction a tick."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from wacoex_cli.sending.exchange import trade_together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.sending.exchange import Exchange, Granted, Report

TICK_SECONDS = 0.1
_TICK_SECONDS_ALONE = 2 * TICK_SECONDS
_GATHERED_SECONDS = 0.002
_PHASES = 10

Found = TypeVar("Found")


class _Request(NamedTuple):
    """What one broadcast trades, and where it waits for what it is granted."""

    exchange: Exchange
    report: Report
    granted: asyncio.Future[Granted]


class LedgerWriter:
    """Commits what all broadcasts of this process report and claim, in a thread of its own.

    A slow disk delays no request that way. What is asked for within two milliseconds goes into
    one transaction: broadcasts that wait for `seconds_to_tick` ask at the same moment. When all
    that send here have asked, nobody is waited for. `others_wrote` is set when another connection
    has changed the file.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting: list[_Request] = []
        self._sending: set[Exchange] = set()
        self._missing: set[Exchange] = set()
        self._gathering: asyncio.TimerHandle | None = None
        self._is_committing = False
        self._commit_seconds = 0.0
        self.others_wrote = asyncio.Event()

    async def trade(self, exchange: Exchange, report: Report) -> Granted:
        """Trade for one broadcast, together with all others that ask now; durable when it returns.

        Raises:
            StateError: the state file cannot be written.
        """
        granted: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Request(exchange, report, granted))
        (self._sending.discard if report.is_last else self._sending.add)(exchange)
        self._missing.discard(exchange)
        self._commit_when_gathered()
        return await granted

    async def do(self, operation: Callable[[], Found]) -> Found:
        """Do something else with the state file, between two transactions."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, operation)

    def seconds_to_tick(self, now: float) -> float:
        """Seconds until the next tick, by the time of the event loop: half a tick at least.

        All broadcasts of one process tick together, and those of another process at another
        moment. A broadcast that is alone ticks half as often: else each of its messages would
        cost half a transaction.
        """
        tick = TICK_SECONDS if len(self._sending) > 1 else _TICK_SECONDS_ALONE
        phase = os.getpid() % _PHASES * tick / _PHASES
        seconds = tick - (now - phase) % tick
        return seconds if seconds >= tick / 2 else seconds + tick

    def _commit_when_gathered(self) -> None:
        if self._is_committing:
            return
        if not self._missing:
            self._commit()
        elif self._gathering is None:
            loop = asyncio.get_running_loop()
            self._gathering = loop.call_later(_GATHERED_SECONDS, self._commit)

    def _commit(self) -> None:
        # Callbacks, not a task: at the pace of one number waking a task costs as much as its work.
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        waiting, self._waiting = self._waiting, []
        self._missing, self._is_committing = set(self._sending), True
        trades = [(request.exchange, request.report) for request in waiting]
        loop = asyncio.get_running_loop()
        work = partial(self._trade_together, trades)
        committed = partial(self._committed, waiting, loop.time())
        try:
            loop.run_in_executor(self._thread, work).add_done_callback(committed)
        except BaseException as error:
            self._answer(waiting, [error for _ in waiting])

    def _trade_together(
        self, trades: Sequence[tuple[Exchange, Report]]
    ) -> tuple[list[Granted | BaseException], bool]:
        # First: what fails after a commit would hide what was granted.
        has_news = self._state.others_wrote()
        return trade_together(self._state, trades, self._commit_seconds), has_news

    def _committed(
        self,
        waiting: Sequence[_Request],
        began: float,
        done: asyncio.Future[tuple[list[Granted | BaseException], bool]],
    ) -> None:
        self._commit_seconds = min(asyncio.get_running_loop().time() - began, TICK_SECONDS)
        outcomes: list[Granted | BaseException]
        try:
            outcomes, has_news = done.result()
            if has_news:
                self.others_wrote.set()
        except BaseException as error:
            # Whatever it was, nobody waits for an answer that never comes.
            outcomes = [error for _ in waiting]
        self._answer(waiting, outcomes)

    def _answer(
        self, waiting: Sequence[_Request], outcomes: Sequence[Granted | BaseException]
    ) -> None:
        self._is_committing = False
        for request, outcome in zip(waiting, outcomes, strict=True):
            if request.granted.done():
                continue
            if isinstance(outcome, BaseException):
                request.granted.set_exception(outcome)
            else:
                request.granted.set_result(outcome)
        if self._waiting:
            self._commit_when_gathered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()
