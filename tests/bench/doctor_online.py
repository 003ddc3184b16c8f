"""`wacoex doctor` over 1,000 channels of one account, whose every answer takes 300 ms.

    python -m tests.bench.doctor_online

Two minutes. Beside it, in the same run: what `doctor` would take that asks about each channel by
itself (its number, the webhooks of our app and the templates of its account), 48 at a time, with
the same client, and then works as long as `doctor` does where nobody keeps it waiting.

- The list of the account gives 100 numbers a page; account, apps, templates and webhooks are asked
  about once for all channels.
- At 100 channels `doctor` asks as often as at 10, and one page more for each further hundred.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.board import populate
from tests.bench.figures import Figure, show
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
_ANSWER_SECONDS = 0.3
_PROGRAM = (sys.executable, "-m", "wacoex_cli")


def seconds_of_doctor(world: World, count: int, *, slow: bool) -> tuple[float, dict[str, Any], int]:
    """How long `doctor` takes for that many channels, what it says, and how often it asked."""
    lines = populate(world, count, own_accounts=False)
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name, running(world) as base_url:
        home = Path(name)
        (home / "channels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": name,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "WACOEX_STATE": str(home / "wacoex.db"),
            "WACOEX_CONFIG_DIR": name,
            "WACOEX_KEYRING": "off",
            "WACOEX_META_BASE_URL": base_url,
            "WACOEX_META_TOKEN": DEFAULT_TOKEN,
            "WACOEX_META_APP_ID": APP_ID,
            "WACOEX_META_APP_SECRET": APP_SECRET,
        }
        _run(home, environ, "channel", "import", "channels.csv")
        world.log.reads.clear()
        delay = [Fault("latency", on="reads", seconds=_ANSWER_SECONDS)] if slow else []
        world.faults.replace(delay)
        started = time.monotonic()
        said = _run(home, environ, "doctor", "--json")
        return time.monotonic() - started, json.loads(said)["data"], world.log.reads.total()


def seconds_of_each_channel(world: World) -> float:
    """How long three reads for each channel take, with the same client."""
    numbers = [node.id for node in world.phone_numbers(WABA_ID)][-CHANNELS:]
    with running(world) as base_url:
        world.faults.replace([Fault("latency", on="reads", seconds=_ANSWER_SECONDS)])

        async def ask() -> float:
            clock, turn = SystemClock(), asyncio.Semaphore(AT_ONCE)
            http = Http(clock, log=lambda text: None)
            token, app = Secret(DEFAULT_TOKEN, "bench"), Secret(f"{APP_ID}|{APP_SECRET}", "bench")
            meta = Meta(http, token, base_url, "v26.0", Secret(APP_SECRET, "bench"))
            as_app = Meta(http, app, base_url, "v26.0")

            async def of_channel(number: str) -> None:
                async with turn:
                    await read_phone_number(meta, number, clock.now())
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


def _run(home: Path, environ: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [*_PROGRAM, *words], cwd=home, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{words} ended with {done.returncode}: {done.stderr}{done.stdout[:500]}")
    return done.stdout


def main() -> None:
    """Measure `doctor`, and asking about each channel by itself."""
    world = default_world()
    together, said, reads = seconds_of_doctor(world, CHANNELS, slow=True)
    without_waiting, _, _ = seconds_of_doctor(default_world(), CHANNELS, slow=False)
    apart = seconds_of_each_channel(world)
    unknown = sum(channel["verdict"] == "unknown" for channel in said["channels"])
    show(
        f"wacoex doctor, {CHANNELS} channels of one account, each answer after"
        f" {_ANSWER_SECONDS * 1000:.0f} ms",
        [
            Figure(
                "doctor, to three reads for each channel and its own work",
                together / (apart + without_waiting),
                at_most=0.2,
                decimals=2,
            ),
            Figure(
                "reads for each hundred channels", reads / CHANNELS * 100, at_most=40, decimals=1
            ),
            Figure("channels without a verdict", unknown, at_most=0),
        ],
    )


if __name__ == "__main__":
    main()
