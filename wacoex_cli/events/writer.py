"""Many deliveries, few transactions: a thread that commits whatever is waiting, together."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.events import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.events.ledger import Stored
    from wacoex_cli.events.model import Payload, Via
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

MOST_AT_ONCE = 500
"""Payloads of one transaction."""

_Waiting = tuple["Payload", "asyncio.Future[Stored]"]


class Writer:
    """Stores payloads for one event loop. `on_stored` is called in the writer's own thread."""

    def __init__(
        self, state: State, via: Via, clock: Clock, *, on_stored: Callable[[], None]
    ) -> None:
        self._state = state
        self._via = via
        self._clock = clock
        self._on_stored = on_stored
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._loop = asyncio.get_running_loop()
        self.problem: Exception | None = None
        """Why the newest transaction failed; None when it did not."""

    @property
    def waiting(self) -> int:
        """How many payloads wait to be stored."""
        return self._waiting.qsize()

    def start(self) -> None:
        """Begin to store."""
        self._thread.start()

    async def store(self, payload: Payload) -> Stored:
        """Store a payload; returns when it is durable.

        Raises StateError or TemporaryError when the state file cannot be written.
        """
        stored: asyncio.Future[Stored] = self._loop.create_future()
        self._waiting.put((payload, stored))
        return await stored

    def close(self) -> None:
        """Store what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._take()
            if not batch:
                continue
            outcomes = self._commit([payload for payload, _ in batch])
            with contextlib.suppress(RuntimeError):  # the loop is gone, and who waited with it
                self._loop.call_soon_threadsafe(_answer, batch, outcomes)
            self._on_stored()

    def _take(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        with contextlib.suppress(queue.Empty):
            while len(batch) < MOST_AT_ONCE:
                one = self._waiting.get(block=not batch)
                if one is None:
                    return batch, False
                batch.append(one)
        return batch, True

    def _commit(self, payloads: Sequence[Payload]) -> Sequence[Stored | Exception]:
        try:
            with self._state.transaction():
                stored = ledger.store(self._state, payloads, self._via, self._clock.now())
        except WacoexError as error:
            self.problem = error
            return [error] * len(payloads)
        except Exception as error:
            # One that cannot be stored must not take the others with it.
            if len(payloads) > 1:
                return [outcome for one in payloads for outcome in self._commit([one])]
            return [error]
        self.problem = None
        return stored


def _answer(batch: Sequence[_Waiting], outcomes: Sequence[Stored | Exception]) -> None:
    for (_, future), outcome in zip(batch, outcomes, strict=True):
        if future.cancelled():
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
