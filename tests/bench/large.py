"""A million rows: planning them, taking them up again, memory, and what the last rows cost.

    python -m tests.bench.large [plan] [repeat] [resume] [memory] [ledger]

Without words all five, about nine minutes. Memory is read from /proc (Linux).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.bench.figures import Figure, finish, show
from tests.bench.harness import Home, Sandbox, bench, finished, used_by
from tests.bench.ticks import Ticks
from wacoex_cli.channels.registry import active
from wacoex_cli.foundation import generation
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.sandbox.world import DEFAULT_TOKEN
from wacoex_cli.sending.guards import SendOrder
from wacoex_cli.sending.providers import MetaProvider
from wacoex_cli.sending.run import send

if TYPE_CHECKING:
    from wacoex_cli.ledger.model import Counts

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
    planning = home.start_planning(MILLION)
    written = time.monotonic()
    said, usage = used_by(planning)
    if planning.returncode:
        sys.exit(f"a command failed: {said}")
    seconds = time.monotonic() - written
    show(
        "`broadcast plan` of a million rows",
        (
            Figure("seconds", seconds, at_most=60, decimals=1),
            Figure("peak memory, MB", usage.ru_maxrss / 1024, at_most=200),
        ),
    )


def put_back(planned: Path, home: Home) -> None:
    """Let the state file be as it was after planning, and be known as the one used last."""
    for path in home.directory.glob("wacoex.db-*"):
        path.unlink()
    shutil.copyfile(planned, home.state)
    with contextlib.closing(open_state(home.state)) as state:
        generation.seal(state, anew=True)


def repeat(home: Home) -> None:
    """Plan a million rows again, half of which have been sent and half of which are open."""
    with contextlib.closing(open_state(home.state)) as state, state.transaction():
        now = to_text(SystemClock().now())
        state.execute(
            "UPDATE recipients SET state = 'accepted', claimed_at = ? WHERE row <= ?",
            [now, MILLION // 2],
        )
        state.execute(
            "UPDATE broadcasts SET status = 'paused', started_at = ?, is_compared = 1", [now]
        )
    started = time.monotonic()
    planning = home.start_planning(MILLION)
    said, usage = used_by(planning)
    # Nobody is left of its million, and it reports that.
    if planning.returncode:
        sys.exit(f"a command failed: {said}")
    show(
        "`broadcast plan` of a million people who have the message, or will get it",
        (
            Figure("seconds", time.monotonic() - started, at_most=90, decimals=1),
            Figure("peak memory, MB", usage.ru_maxrss / 1024, at_most=150),
            Figure("CPU seconds", usage.ru_utime + usage.ru_stime, at_most=38.5, decimals=1),
        ),
    )


def resume(home: Home, sandbox: Sandbox, broadcast_id: int) -> None:
    """Take up a broadcast again of which half is done."""
    ticks = Ticks(home.state, broadcast_id, UNCAPPED)
    ticks.pass_over(MILLION // 2)
    ticks.close()
    started = time.monotonic()
    sending = home.start("broadcast", "resume", str(broadcast_id), "--yes")
    sandbox.await_first_arrival()
    first = sandbox.arrivals().at[0]
    sending.send_signal(signal.SIGTERM)
    finished(sending, interrupted=True)
    show(
        "`broadcast resume` of a million rows, half of them done",
        (Figure("seconds to the first arrival", first - started, at_most=2, decimals=2),),
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
    line = next(splitline for splitline in status.splitlines() if splitline.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def memory(home: Home) -> None:
    """Send a hundred thousand rows far above the cap, inside this process."""
    broadcast_id = int(home.plan(MEMORY_ROWS))
    transport = Instantly()
    counts = asyncio.run(_send_all(home, broadcast_id, transport))
    settled = dict(transport.samples)[SETTLED_ROWS]
    later = [megabytes for rows, megabytes in transport.samples if rows > SETTLED_ROWS]
    show(
        "engine and throttle far above the cap, 100,000 rows",
        (
            Figure("accepted", counts.of(RowState.ACCEPTED), MEMORY_ROWS, MEMORY_ROWS),
            Figure("messages sent", transport.messages, MEMORY_ROWS, MEMORY_ROWS),
            Figure("most growth after 10,000, MB", max(later) - settled, at_most=20, decimals=1),
            Figure("growth at the end, MB", later[-1] - settled, -20, 20, decimals=1),
        ),
    )


async def _send_all(home: Home, broadcast_id: int, transport: httpx.AsyncBaseTransport) -> Counts:
    clock, state = SystemClock(), open_state(home.state)
    http = Http(clock, log=lambda line: None, transport=transport)
    meta = Meta(http, Secret(DEFAULT_TOKEN, "the benchmark"), "http://127.0.0.1", "v26.0")
    channel = active(state, "first")
    sent = await send(
        state,
        MetaProvider(meta, channel, "http://127.0.0.1"),
        channel,
        Broadcasts(state).get(broadcast_id),
        SendOrder(rate=MEMORY_RATE, limit=MEMORY_RATE),
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
    state_file = home.state.stat().st_size / 1e6
    show(
        "claim and record in ticks of two rows, a million rows in one broadcast",
        (
            Figure("rows left open", open_rows, at_most=0),
            Figure("state file, MB", state_file, at_most=600),
            Figure("last to first 10,000, CPU", last.cpu / first.cpu, 0.7, 1.3, decimals=2),
            Figure(
                "last to first 10,000, median tick",
                last.median / first.median,
                0.7,
                1.3,
                decimals=2,
            ),
            Figure("last to first 10,000, all", last.wall / first.wall, 0.7, 1.3, decimals=2),
        ),
    )


def main() -> None:
    """The measurements that are named, or all."""
    chosen = set(sys.argv[1:]) or {"plan", "repeat", "resume", "memory", "ledger"}
    if chosen & {"plan", "repeat", "resume", "ledger"}:
        with bench() as (sandbox, home):
            plan(home)
            planned = home.directory / "planned.db"
            shutil.copyfile(home.state, planned)
            if "ledger" in chosen:
                ledger_costs(home, 1)
            if "resume" in chosen:
                put_back(planned, home)
                resume(home, sandbox, 1)
            if "repeat" in chosen:
                put_back(planned, home)
                repeat(home)
    if "memory" in chosen:
        with bench() as (_, home):
            memory(home)


if __name__ == "__main__":
    main()
    finish()
