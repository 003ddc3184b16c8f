"""One writer of the ledger for all broadcasts of a process: one transaction a tick."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from wacoex_cli.sending.exchange import trade_together

if TYPE_CHECKING:
    from collections.abc import Callable

    from wacoex_cli.foundation.state import State
    from wacoex_cli.sending.exchange import Exchange, Granted, Report

TICK_SECONDS = 0.1
_GATHERED_SECONDS = 0.002
_PHASES = 10
_LEAST_SECONDS = TICK_SECONDS / 2

Found = TypeVar("Found")


class LedgerWriter:
    """Commits what all broadcasts of this process report and claim, in a thread of its own.

    A slow disk delays no request that way. What is asked for within two milliseconds goes into
    one transaction: broadcasts that wait for `seconds_to_tick` ask at the same moment. When all
    that send here have asked, nobody is waited for.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting: list[tuple[Exchange, Report, asyncio.Future[Granted]]] = []
        self._sending: set[Exchange] = set()
        self._committing: asyncio.Task[None] | None = None
        self._commit_seconds = 0.0

    async def trade(self, exchange: Exchange, report: Report) -> Granted:
        """Trade for one broadcast, together with all others that ask now; durable when it returns.

        Raises:
            StateError: the state file cannot be written.
        """
        granted: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
        self._waiting.append((exchange, report, granted))
        (self._sending.discard if report.is_last else self._sending.add)(exchange)
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return await granted

    async def do(self, operation: Callable[[], Found]) -> Found:
        """Do something else with the state file, between two transactions."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, operation)

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            if self._sending - {exchange for exchange, _, _ in self._waiting}:
                await asyncio.sleep(_GATHERED_SECONDS)
            waiting, self._waiting = self._waiting, []
            trades = [(exchange, report) for exchange, report, _ in waiting]
            began = loop.time()
            outcomes: list[Granted | BaseException]
            try:
                outcomes = await loop.run_in_executor(
                    self._thread, trade_together, self._state, trades, self._commit_seconds
                )
            except BaseException as error:
                # Whatever it was, nobody waits for an answer that never comes.
                outcomes = [error for _ in waiting]
            self._commit_seconds = min(loop.time() - began, TICK_SECONDS)
            for (_, _, granted), outcome in zip(waiting, outcomes, strict=True):
                if granted.done():
                    continue
                if isinstance(outcome, BaseException):
                    granted.set_exception(outcome)
                else:
                    granted.set_result(outcome)
        self._committing = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()


def seconds_to_tick(now: float) -> float:
    """Seconds until the next tick, by the time of the event loop: half a tick at least.

    All broadcasts of one process tick together, and those of another process at another moment.
    """
    phase = os.getpid() % _PHASES * TICK_SECONDS / _PHASES
    seconds = TICK_SECONDS - (now - phase) % TICK_SECONDS
    return seconds if seconds >= _LEAST_SECONDS else seconds + TICK_SECONDS
