"""The exchange of a sender with its state file, tick by tick, without an engine around it."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.trading import Trader
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState, Settled, lock_purpose
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.exchange import Report
from wacoex_cli.sending.guards import Run, SendOrder

if TYPE_CHECKING:
    from pathlib import Path

    from wacoex_cli.ledger.model import Claim

ROWS_IN_A_TICK = 2
"""At 20 messages per second and a tick every 100 ms."""

ID_DIGITS = 54
"""Meta's message ids are about 60 characters long."""

_ROWS_IN_A_LEAP = 5_000


@dataclass(frozen=True)
class Cost:
    """Milliseconds for each row: of CPU, of the median tick, and of all ticks together."""

    cpu: float
    median: float
    wall: float


class Ticks:
    """A sender that gets every message accepted in the same tick."""

    def __init__(self, state_path: Path, broadcast_id: int, rate: float) -> None:
        self._clock = clock = SystemClock()
        self._state = open_state(state_path)
        self._presence = locks.Presence(state_path)
        self._broadcast_id = broadcast_id
        with self._state.transaction():
            locks.acquire(self._state, lock_purpose(broadcast_id), self._presence, clock)
            run_id = Broadcasts(self._state).start_run(
                broadcast_id, self._presence.holder, rate, clock.now()
            )
        started_at = clock.monotonic()
        # A number of its own: the pace is not what is measured.
        run = Run(broadcast_id, "+6560000009", run_id, started_at, SendOrder(rate, limit=rate))
        self._exchange = Trader(self._state, self._presence, clock, run)
        self._claims: tuple[Claim, ...] = ()

    def measure(self, rows: int) -> Cost:
        """Claim and record that many rows in ticks of the size that the engine uses."""
        self._tick(0)  # records what was claimed before
        os.sync()  # what leaps left to the disk is not these ticks' cost
        seconds, cpu_before = [], time.process_time()
        for _ in range(rows // ROWS_IN_A_TICK):
            before = time.perf_counter()
            self._tick(ROWS_IN_A_TICK)
            seconds.append(time.perf_counter() - before)
        cpu = time.process_time() - cpu_before
        median = statistics.median(seconds) / ROWS_IN_A_TICK
        return Cost(1000 * cpu / rows, 1000 * median, 1000 * sum(seconds) / rows)

    def pass_over(self, rows: int) -> None:
        """The same in leaps, as fast as it goes."""
        for _ in range(rows // _ROWS_IN_A_LEAP):
            self._tick(_ROWS_IN_A_LEAP)

    def close(self) -> int:
        """Record what is left and close the file; returns how many rows are still open."""
        self._tick(0)
        counts = Rows(self._state, self._broadcast_id).counts()
        self._presence.leave()
        self._state.close()
        return counts.open

    def _tick(self, rows: int) -> None:
        left_at = self._clock.now()
        settled = tuple(
            (
                Settled(
                    claim.row,
                    claim.attempt,
                    RowState.ACCEPTED,
                    message_id=f"wamid.{claim.row:0{ID_DIGITS}}",
                    left_at=left_at,
                ),
                claim.phone,
            )
            for claim in self._claims
        )
        granted = self._exchange(Report(settled=settled, room=rows))
        self._claims = granted.claims
        if len(self._claims) != rows:
            raise RuntimeError(f"{len(self._claims)} rows were claimed instead of {rows}")
