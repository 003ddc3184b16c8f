"""An agency's board: `wacoex status` over 200 channels, whose every answer takes 300 ms.

    python -m tests.bench.board

Two worlds: all numbers in one account, and an account for each. Half a minute. What got there:

- Questions are asked side by side, at most 48 at a time, whatever channel they are about.
- Token, account and its apps are asked about once for all channels that share them.
- The state file is read once for all channels, not once for each, where that is more than a
  look-up by key.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from tests.bench.figures import Figure, finish, show
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, WABA_ID, Node, World

CHANNELS = 200
_ANSWER_SECONDS = 0.3
_PROGRAM = (sys.executable, "-m", "wacoex_cli")


def populate(world: World, count: int, *, accounts: int) -> list[str]:
    """Put numbers into this many accounts; returns the lines that `channel import` takes."""
    lines = ["name,phone,phone_number_id,waba_id"]
    number, account = world.nodes[PHONE_NUMBER_ID], world.nodes[WABA_ID]
    for place in range(count):
        node_id, waba_id, phone = str(10**14 + place), WABA_ID, f"+65800{place:05}"
        if accounts > 1:
            waba_id = str(2 * 10**14 + place % accounts)
        if waba_id not in world.nodes:
            world.nodes[waba_id] = Node(account.kind, waba_id, waba_id, dict(account.values))
            world.subscribed_apps[waba_id] = copy.deepcopy(world.subscribed_apps[WABA_ID])
        values = {**copy.deepcopy(number.values), "display_phone_number": phone}
        world.nodes[node_id] = Node(number.kind, node_id, waba_id, values)
        lines.append(f"shop-{place},{phone},{node_id},{waba_id}")
    world.patch_token(DEFAULT_TOKEN, {"waba_ids": frozenset(world.subscribed_apps)})
    return lines


def seconds_of_status(count: int, *, accounts: int) -> float:
    """How long `wacoex status` takes for this many channels, in a home of its own."""
    world = default_world()
    lines = populate(world, count, accounts=accounts)
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name, running(world) as base_url:
        home = Path(name)
        (home / "channels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        environ = environ_of(home, base_url)
        run(home, environ, "channel", "import", "channels.csv")
        world.faults.replace([Fault("latency", on="reads", seconds=_ANSWER_SECONDS)])
        started = time.monotonic()
        run(home, environ, "status")
        return time.monotonic() - started


def environ_of(home: Path, base_url: str) -> dict[str, str]:
    """The environment of commands in a home of their own that ask a sandbox."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "WACOEX_STATE": str(home / "wacoex.db"),
        "WACOEX_CONFIG_DIR": str(home),
        "WACOEX_KEYRING": "off",
        "WACOEX_META_BASE_URL": base_url,
        "WACOEX_META_TOKEN": DEFAULT_TOKEN,
    }


def run(
    home: Path,
    environ: dict[str, str],
    *words: str,
    stdin: str = "",
    statuses: Collection[int] = (0,),
) -> str:
    """What a command prints; the bench ends when it ends with another exit status than these."""
    done = subprocess.run(
        [*_PROGRAM, *words],
        cwd=home,
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in statuses:
        sys.exit(f"{words} ended with {done.returncode}: {done.stderr}{done.stdout[:500]}")
    return done.stdout


def main() -> None:
    """Measure a few channels and many, side by side."""
    shared = seconds_of_status(CHANNELS, accounts=1)
    apart = seconds_of_status(CHANNELS, accounts=CHANNELS)
    show(
        f"wacoex status, {CHANNELS} channels, each answer after {_ANSWER_SECONDS * 1000:.0f} ms",
        [
            Figure(f"{CHANNELS} channels of one account, seconds", shared, at_most=8, decimals=1),
            Figure(f"{CHANNELS} channels of {CHANNELS} accounts", apart, at_most=20, decimals=1),
        ],
    )


if __name__ == "__main__":
    main()
    finish()
