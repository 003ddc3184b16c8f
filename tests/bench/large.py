"""A million rows: planning them, memory while sending, and what the last rows cost.

    python -m tests.bench.large [plan] [memory] [ledger]

Without words all three, about six minutes. Memory is read from /proc (Linux).
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.bench.figures import Figure, show
from tests.bench.harness import Home, bench
from tests.bench.ticks import Ticks
from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.model import RowState
from wacoex_cli.broadcast.send import SendRequest, send
from wacoex_cli.channels.registry import active
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import open_state
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.sandbox.world import DEFAULT_TOKEN

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Counts

MILLION = 1_000_000
MEMORY_ROWS = 100_000
SETTLED_ROWS = 10_000
SAMPLED_EVERY = 5_000
MEASURED_ROWS = 10_000
UNCAPPED = 1_000_000.0
MEMORY_RATE = 600.0
"""Thirty times Meta's limit, and about what 64 requests at once and ten ticks a second let by."""


def plan(home: Home) -> None:
    """Plan a million rows with the real command."""
    started = time.monotonic()
    planning = home.start_planning(MILLION)
    written = time.monotonic()
    # Not `communicate`: only `wait4` tells the memory of this one process.
    assert planning.stdout is not None
    said = planning.stdout.read()
    _, status, usage = os.wait4(planning.pid, 0)
    seconds = time.monotonic() - written
    planning.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"planning failed: {said}")
    show(
        "`broadcast plan` of a million rows",
        (
            Figure("seconds", seconds, at_most=60, decimals=1),
            Figure("peak memory, MB", usage.ru_maxrss / 1024, at_most=200),
            Figure("CPU seconds", usage.ru_utime + usage.ru_stime, decimals=1),
            Figure("state file, MB", home.state.stat().st_size / 1e6),
            Figure("seconds to write the list before", written - started, decimals=1),
        ),
    )


class Instantly(httpx.AsyncBaseTransport):
    """A Meta inside this process, which takes everything at once; keeps memory samples."""

    def __init__(self) -> None:
        self.messages = 0
        self.samples: list[tuple[int, float]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Taken."""
        if request.method != "POST":
            return httpx.Response(200, json={"id": "1"})
        self.messages += 1
        if self.messages % SAMPLED_EVERY == 0:
            self.samples.append((self.messages, resident_megabytes()))
        return httpx.Response(200, json={"messages": [{"id": f"wamid.{self.messages}"}]})


def resident_megabytes() -> float:
    """What this process holds in memory."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(one for one in status.splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def memory(home: Home) -> None:
    """Send a hundred thousand rows far above the cap, inside this process."""
    broadcast_id = int(home.plan(MEMORY_ROWS))
    transport = Instantly()
    started = time.monotonic()
    counts = asyncio.run(_send_all(home, broadcast_id, transport))
    seconds = time.monotonic() - started
    settled = dict(transport.samples)[SETTLED_ROWS]
    later = [megabytes for rows, megabytes in transport.samples if rows > SETTLED_ROWS]
    print("\n  rows: MB ", ", ".join(f"{n}: {mb:.1f}" for n, mb in transport.samples))
    show(
        "engine and throttle far above the cap, 100,000 rows",
        (
            Figure("accepted", counts.of(RowState.ACCEPTED), MEMORY_ROWS, MEMORY_ROWS),
            Figure("messages sent", transport.messages, MEMORY_ROWS, MEMORY_ROWS),
            Figure("rows per second", MEMORY_ROWS / seconds),
            Figure("memory after 10,000, MB", settled, decimals=1),
            Figure("most growth after that, MB", max(later) - settled, at_most=20, decimals=1),
            Figure("growth at the end, MB", later[-1] - settled, -20, 20, decimals=1),
        ),
    )


async def _send_all(home: Home, broadcast_id: int, transport: httpx.AsyncBaseTransport) -> Counts:
    clock, state = SystemClock(), open_state(home.state)
    http = Http(clock, log=lambda line: None, transport=transport)
    meta = Meta(http, Secret(DEFAULT_TOKEN, "the benchmark"), "http://127.0.0.1", "v26.0")
    sent = await send(
        state,
        meta,
        active(state, "first"),
        ledger.get(state, broadcast_id),
        SendRequest(rate=MEMORY_RATE, limit=MEMORY_RATE),
        clock=clock,
        on_counts=lambda counts: None,
        on_signal=lambda text: None,
    )
    await http.aclose()
    state.close()
    return sent.counts


def ledger_costs(home: Home, broadcast_id: int) -> None:
    """Claim and record a million rows; compare the first and the last ten thousand."""
    ticks = Ticks(home.state, broadcast_id, UNCAPPED)
    first = ticks.measure(MEASURED_ROWS)
    ticks.pass_over(MILLION - 2 * MEASURED_ROWS)
    last = ticks.measure(MEASURED_ROWS)
    open_rows = ticks.close()
    show(
        "claim and record in ticks of two rows, a million rows in one broadcast",
        (
            Figure("rows left open", open_rows, at_most=0),
            Figure("first 10,000: CPU ms a row", first.cpu, decimals=3),
            Figure("last 10,000: CPU ms a row", last.cpu, decimals=3),
            Figure("last to first, CPU", last.cpu / first.cpu, 0.7, 1.3, decimals=2),
            Figure("first 10,000: ms a row, median tick", first.median, decimals=3),
            Figure("last 10,000: ms a row, median tick", last.median, decimals=3),
            Figure("last to first, median tick", last.median / first.median, 0.7, 1.3, decimals=2),
            Figure("first 10,000: ms a row, all", first.wall, decimals=3),
            Figure("last 10,000: ms a row, all", last.wall, decimals=3),
            Figure("last to first, all", last.wall / first.wall, 0.7, 1.3, decimals=2),
        ),
    )


def main() -> None:
    """What was asked for, or everything."""
    asked = set(sys.argv[1:]) or {"plan", "memory", "ledger"}
    if asked & {"plan", "ledger"}:
        with bench() as (_, home):
            plan(home)
            if "ledger" in asked:
                ledger_costs(home, 1)
    if "memory" in asked:
        with bench() as (_, home):
            memory(home)


if __name__ == "__main__":
    main()
