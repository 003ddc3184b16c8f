"""How fast many numbers send from one command, and what a message costs.

    python -m tests.bench.many_numbers [NUMBERS [MESSAGES]]

The command sends to a light server, so that what is measured is the command.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.bench.figures import Figure, most_in_a_second, show
from tests.bench.harness import CHECKOUT, TEMPLATE, Home, finished
from tests.bench.light import number_id, phone_of
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import WABA_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWER_SECONDS = 0.3
RATE = 20.0
LEAST_SHARE = 0.85


@contextlib.contextmanager
def light_server(numbers: int) -> Iterator[str]:
    """The address of a light server in a process of its own."""
    program = [sys.executable, "-m", "tests.bench.light", str(numbers), str(ANSWER_SECONDS)]
    process = subprocess.Popen(program, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def plan_all(home: Home, numbers: int, messages: int) -> list[int]:
    """A planned broadcast of every number, to different people."""
    now = SystemClock().now()
    with contextlib.closing(open_state(home.state)) as state:
        for number in range(numbers):
            details = Details(
                phone=phone_of(number), phone_number_id=number_id(number), waba_id=WABA_ID
            )
            registry.add_channel(state, f"n{number}", details, now)
    path = home.directory / "first.csv"
    path.write_text("phone,name,id\n+6590000001,Ana,1\n", encoding="utf-8")
    planned = finished(home.start("broadcast", "plan", str(path), *TEMPLATE, "--channel", "n0"))
    with contextlib.closing(open_state(home.state)) as state:
        model = Broadcasts(state).get(int(planned["broadcast_id"]))
        return [_like(state, model, number, messages) for number in range(numbers)]


def _like(state: Any, model: Any, number: int, messages: int) -> int:
    """Broadcasts of the same template: planning each by the command would take minutes."""
    from wacoex_cli.ledger.model import Status

    channel = registry.known(state, f"n{number}")
    store, now = Broadcasts(state), SystemClock().now()
    with state.transaction():
        own = model._replace(channel_id=channel.channel_id)
        broadcast_id = store.start_like(own, name=f"of {number}", rate=RATE, now=now)
    rows = [
        PlannedRow(n, n + 1, f"+65{90_100_000 + number * 1_000 + n}", json.dumps(["Ana", str(n)]))
        for n in range(1, messages + 1)
    ]
    Rows(state, broadcast_id).add(rows)
    with state.transaction():
        Rows(state, broadcast_id).count_again()
        store.set_status(broadcast_id, Status.PLANNED)
    return broadcast_id


def measure(numbers: int, messages: int) -> None:
    """Send all from one command and print how it went."""
    with (
        light_server(numbers) as base_url,
        tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name,
    ):
        home = Home(Path(name), base_url)
        ids = plan_all(home, numbers, messages)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = home.start(
            "broadcast",
            "send",
            *map(str, ids),
            "--rate",
            str(RATE),
            "--yes",
            "--again",
            stdout=subprocess.PIPE,
        )
        out, err = command.communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if command.returncode:
            print(out[-3000:], err[-3000:])
        seen = httpx.get(f"{base_url}/arrivals", trust_env=False).json()
    arrivals = seen["numbers"]
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sent = sum(map(len, arrivals.values()))
    moments = [at for each in arrivals.values() for at in each]
    rates = [(len(at) - 1) / (at[-1] - at[0]) for at in arrivals.values() if len(at) > 1]
    show(
        f"{numbers} numbers, {messages} messages each, answers after 300 ms",
        (
            Figure("messages that arrived", sent, numbers * messages, numbers * messages),
            Figure("sent twice", seen["twice"], at_most=0),
            Figure(
                "messages a second, all",
                (sent - 1) / (max(moments) - min(moments)),
                at_least=LEAST_SHARE * RATE * numbers,
                decimals=1,
            ),
            Figure("slowest number, a second", min(rates), at_least=LEAST_SHARE * RATE, decimals=2),
            Figure(
                "most of a number in a second",
                max(map(most_in_a_second, arrivals.values())),
                at_most=20,
            ),
            Figure("milliseconds of CPU a message", 1000 * cpu / sent, at_most=1.5, decimals=2),
            Figure("largest process, MB", after.ru_maxrss / 1024, at_most=200),
        ),
    )


if __name__ == "__main__":
    measure(
        int(sys.argv[1]) if len(sys.argv) > 1 else 50,
        int(sys.argv[2]) if len(sys.argv) > 2 else 200,
    )
