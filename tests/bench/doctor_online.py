"""`wacoex doctor` over 1,000 channels, where every answer of Meta takes 300 ms.

    python -m tests.bench.doctor_online

Two minutes. The channels are in one account, in 200 and in 1,000.

- In one account: its list gives 100 numbers a page; account, apps, templates and webhooks are
  asked about once for all channels. Reads are those that Meta counts, as the state file keeps
  them: each number of a request for several is one. Beside it, in the same run:
  a `doctor` that asks about each channel by itself, which makes three reads (its number, the
  webhooks of our app, the template of its broadcast). They are made with the same client and as
  many at once (48), in a process of their own; what `doctor` does beside asking comes on top.
- In many accounts: nobody is `unknown` because the time ran out, and the time is near what
  this many reads take, 48 at once.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.board import environ_of, populate, run
from tests.bench.figures import Figure, finish, show
from wacoex_cli.channels.look import AT_ONCE, read_phone_number
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.secrets import Secret
from wacoex_cli.platforms.meta import Meta
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import APP_ID, APP_SECRET, DEFAULT_TOKEN, WABA_ID, World

CHANNELS = 1_000
MANY_ACCOUNTS = (200, 1_000)
_ANSWER_SECONDS = 0.3
_DELAY = Fault("latency", on="reads", seconds=_ANSWER_SECONDS)
_ENDS = (0, 1)
_PLAN = ("broadcast", "plan", "-c", "shop-0", "--template", "opening_hours", "--lang", "en_US", "-")


class Course(NamedTuple):
    """How `doctor` went: `seconds`, and `at_once` where Meta's answers take no time."""

    seconds: float
    at_once: float
    reads: int
    unknown: int

    @property
    def least_seconds(self) -> float:
        """What this many reads take, 48 at once, and what else there is to do."""
        return self.at_once + self.reads / AT_ONCE * _ANSWER_SECONDS


def course_of_doctor(world: World, accounts: int) -> Course:
    """Let `doctor` look at all channels, with the delay and without it.

    In one account each channel has a planned broadcast.
    """
    lines = populate(world, CHANNELS, accounts=accounts)
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name, running(world) as base_url:
        home = Path(name)
        environ = environ_of(home, base_url) | {
            "WACOEX_META_APP_ID": APP_ID,
            "WACOEX_META_APP_SECRET": APP_SECRET,
        }
        run(home, environ, "channel", "import", "-", stdin="\n".join(lines) + "\n", statuses=_ENDS)
        if accounts == 1:
            run(home, environ, *_PLAN, stdin="phone\n+6591234567\n", statuses=_ENDS)
            _plan_alike(home / "wacoex.db")
        world.faults.replace([_DELAY])
        seconds, said = _timed_doctor(home, environ)
        reads = _counted_reads(home / "wacoex.db")
        unknown = sum(channel["verdict"] == "unknown" for channel in said["channels"])
        missing = CHANNELS - len(said["channels"])
        world.faults.replace([])
        at_once, _ = _timed_doctor(home, environ)
        return Course(seconds, at_once, reads, unknown + missing)


def _counted_reads(path: Path) -> int:
    with closing(sqlite3.connect(path)) as state:
        [(calls,)] = state.execute("SELECT SUM(calls) FROM reads")
        return int(calls)


def _timed_doctor(home: Path, environ: dict[str, str]) -> tuple[float, dict[str, Any]]:
    started = time.monotonic()
    said = run(home, environ, "doctor", "--json", statuses=_ENDS)
    return time.monotonic() - started, json.loads(said)["data"]


def _plan_alike(path: Path) -> None:
    """Plan the one broadcast for every other channel too."""
    with closing(sqlite3.connect(path)) as state, state:
        columns = [name for _, name, *_ in state.execute("PRAGMA table_info(broadcasts)")]
        copied = [name for name in columns if name not in ("broadcast_id", "channel_id")]
        state.execute(
            f"INSERT INTO broadcasts (channel_id, {', '.join(copied)})"
            f" SELECT c.channel_id, {', '.join(f'b.{name}' for name in copied)}"
            " FROM channels c, broadcasts b WHERE c.channel_id <> b.channel_id"
        )


def seconds_of_each_channel(numbers: list[str], base_url: str) -> float:
    """How long three reads for each channel take, with the same client and as many at once."""

    async def ask() -> float:
        clock, turn = SystemClock(), asyncio.Semaphore(AT_ONCE)
        http = Http(clock, log=lambda text: None)
        token, app = Secret(DEFAULT_TOKEN, "bench"), Secret(f"{APP_ID}|{APP_SECRET}", "bench")
        meta = Meta(http, token, base_url, "v26.0", Secret(APP_SECRET, "bench"))
        as_app = Meta(http, app, base_url, "v26.0")

        async def of_channel(number: str) -> None:
            async with turn:
                await read_phone_number(meta.phone_number, number, clock.now())
            async with turn:
                await as_app.app_subscriptions(APP_ID)
            async with turn:
                await meta.templates(WABA_ID, name="opening_hours")

        started = time.monotonic()
        await asyncio.gather(*map(of_channel, numbers))
        seconds = time.monotonic() - started
        await http.aclose()
        return seconds

    return asyncio.run(ask())


def _seconds_apart(world: World) -> float:
    numbers = [node.id for node in world.phone_numbers(WABA_ID)][-CHANNELS:]
    world.faults.replace([_DELAY])
    with running(world) as base_url, multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(_warm_up)
        return pool.apply(seconds_of_each_channel, (numbers, base_url))


def _warm_up() -> None:
    """The process has started and imported everything."""


def main() -> None:
    """Measure `doctor` in one account and in many, and asking about each channel by itself."""
    world = default_world()
    together = course_of_doctor(world, 1)
    apart = _seconds_apart(world)
    figures = [
        Figure(
            "one account: seconds, to those of three reads a channel",
            together.seconds / (apart + together.at_once),
            at_most=0.2,
            decimals=2,
        ),
        Figure(
            "one account: reads for each hundred channels",
            together.reads / CHANNELS * 100,
            at_most=40,
            decimals=1,
        ),
        Figure("one account: channels without a verdict", together.unknown, at_most=0),
    ]
    for accounts in MANY_ACCOUNTS:
        course = course_of_doctor(default_world(), accounts)
        figures += [
            Figure(
                f"{accounts} accounts: seconds, to what its reads take",
                course.seconds / course.least_seconds,
                at_most=1.5,
                decimals=2,
            ),
            Figure(f"{accounts} accounts: channels without a verdict", course.unknown, at_most=0),
        ]
    title = f"wacoex doctor, {CHANNELS} channels, each answer after {_ANSWER_SECONDS * 1000:.0f} ms"

    show(title, figures)


if __name__ == "__main__":
    main()
    finish()
