"""How fast many numbers send from one command, and what a message costs.

    python -m tests.bench.many_numbers [SECONDS]

The commands send to a light server, so that what is measured is the commands; first, a loop of
aiohttp and nothing else sends there as much. Each of them sends for about SECONDS, 15 if nothing
is said; three minutes in all. One number sends beside such a loop, five times. What a message costs
is counted from two seconds after the first one to the last one, in all processes of the command:
the start is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import httpx
import psutil

from tests.bench.figures import Figure, finish, most_in_a_second, show
from tests.bench.harness import CHECKOUT, TEMPLATE, Home, finished
from tests.bench.light import MOST_IN_A_SECOND, number_id, phone_of
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import open_state
from wacoex_cli.foundation.workspace import loop_factory
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.world import WABA_ID
from wacoex_cli.throughput.throttle import slot_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.model import Broadcast

ANSWER_SECONDS = 0.3
RATE = 20.0
SECONDS = 15.0
MOST_CPU_MILLISECONDS = 1.5
MOST_CPU_OF_ONE_NUMBER_TO_BARE = 2.0
"""Half of what the version before many numbers took: four times as much as aiohttp alone at the
same time (3.0 to 4.3 times in seven runs)."""

_WARM_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 0.25
_PAIRS = 5


class Used(NamedTuple):
    """What processes had used at a moment: seconds of CPU, and bytes of memory."""

    at: float
    cpu_seconds: float
    memory: int


@dataclass(frozen=True)
class Run:
    """What came to the server, and what the processes used meanwhile.

    `longest_stall` is how long, in seconds, the server itself was held up.
    """

    numbers: dict[str, list[float]]
    refused: int
    twice: int
    longest_stall: float
    used: list[Used]

    @property
    def moments(self) -> list[float]:
        return sorted(at for each in self.numbers.values() for at in each)

    def rate(self) -> float:
        """Messages a second, all numbers together."""
        return _rate(self.moments)

    def slowest(self) -> float:
        """Messages a second of the slowest number."""
        return min(map(_rate, self.numbers.values()))

    def most_in_a_second(self) -> int:
        """The most of one number in any second."""
        return max(map(most_in_a_second, self.numbers.values()))

    def cpu_milliseconds(self) -> float:
        """For one message, the start left out."""
        moments = self.moments
        counted = [used for used in self.used if moments[0] + _WARM_SECONDS < used.at < moments[-1]]
        first, last = counted[0], counted[-1]
        messages = sum(first.at < at <= last.at for at in moments)
        return 1000 * (last.cpu_seconds - first.cpu_seconds) / messages

    def megabytes(self) -> float:
        """The most that all processes together needed."""
        return max(used.memory for used in self.used) / 1024**2

    def machine(self) -> str:
        """What the machine did meanwhile: beyond the guard it puts messages together."""
        return f"server held up for {1000 * self.longest_stall:.0f} ms at most"

    def arrivals(self, expected: int, refused: float = 0) -> tuple[Figure, ...]:
        """Whether all have come, each once, and at most this many of them were refused."""
        return (
            Figure("messages that arrived", len(self.moments), expected, expected),
            Figure("sent twice", self.twice, at_most=0),
            Figure("refused", self.refused, at_most=refused),
        )

    def figures(self, expected: int) -> tuple[Figure, ...]:
        """What holds however many numbers send."""
        return (
            *self.arrivals(expected),
            Figure(
                "most of a number in a second", self.most_in_a_second(), at_most=MOST_IN_A_SECOND
            ),
        )


def _rate(moments: Sequence[float]) -> float:
    return (len(moments) - 1) / (moments[-1] - moments[0])


@contextlib.contextmanager
def light_server(numbers: int) -> Iterator[str]:
    """The address of a light server in a process of its own."""
    program = [sys.executable, "-m", "tests.bench.light", str(numbers), str(ANSWER_SECONDS)]
    process = subprocess.Popen(program, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        if not (base_url := process.stdout.readline().strip()):
            sys.exit("the light server did not start")
        yield base_url
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def watched(processes: Sequence[subprocess.Popen[str]]) -> Iterator[list[Used]]:
    """Meanwhile note what these processes and their children use."""
    roots = [psutil.Process(process.pid) for process in processes]
    found: list[Used] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_LOOK_EVERY_SECONDS):
            with contextlib.suppress(psutil.Error):
                found.append(_used([each for root in roots for each in _family(root)]))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        is_over.set()
        thread.join()


def _family(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _used(processes: Sequence[psutil.Process]) -> Used:
    cpu, memory = 0.0, 0
    for process in processes:
        times = process.cpu_times()
        cpu += times.user + times.system
        known = process.memory_full_info()
        # What several processes share counts once, where the system can tell.
        memory += getattr(known, "pss", known.rss)
    return Used(time.monotonic(), cpu, memory)


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


def _like(state: State, model: Broadcast, number: int, messages: int) -> int:
    """Broadcasts of the same template: planning each by the command would take minutes."""
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


def sent(numbers: int, messages: int, commands: int = 1) -> Run:
    """Send `messages` of every number, from this many commands at once."""
    with (
        light_server(numbers) as base_url,
        _started(base_url, numbers, messages, commands) as running,
        watched(running) as used,
    ):
        _wait_for(running)
        return _seen(base_url, used)


def sent_bare(numbers: int, messages: int) -> Run:
    """The same, by aiohttp and nothing else."""
    with light_server(numbers) as base_url:
        bare = _started_bare(base_url, range(numbers), messages)
        with watched([bare]) as used:
            _wait_for([bare])
        return _seen(base_url, used)


def sent_beside_bare(messages: int) -> tuple[Run, Run]:
    """`messages` of one number by the command, and meanwhile as many of another by aiohttp alone.

    What a message costs at this pace depends on how cold the caches of the processor are each time
    it wakes up: the same code took from 3 to 8 ms. Only who runs at the same time can be compared.
    """
    with (
        light_server(2) as base_url,
        _started(base_url, 1, messages) as running,
        watched(running) as used,
    ):
        bare = _started_bare(base_url, range(1, 2), messages)
        with watched([bare]) as used_by_bare:
            _wait_for([*running, bare])
        seen = _seen(base_url, used)
    ours, theirs = ({name: seen.numbers[name]} for name in (number_id(0), number_id(1)))
    return replace(seen, numbers=ours), replace(seen, numbers=theirs, used=used_by_bare)


@contextlib.contextmanager
def _started(
    base_url: str, numbers: int, messages: int, commands: int = 1
) -> Iterator[list[subprocess.Popen[str]]]:
    """Commands that send this many messages of every number."""
    with tempfile.TemporaryDirectory(prefix="wacoex-bench-") as name:
        home = Home(Path(name), base_url)
        ids = [str(number) for number in plan_all(home, numbers, messages)]
        options = ("--rate", str(RATE), "--yes", "--again")
        try:
            yield [
                home.start("broadcast", "send", *ids[place::commands], *options)
                for place in range(commands)
            ]
        finally:
            home.end_all()


def _started_bare(base_url: str, numbers: range, messages: int) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "tests.bench.many_numbers", "bare", base_url]
    counts = [str(count) for count in (numbers.start, numbers.stop, messages)]
    return subprocess.Popen([*program, *counts], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)


def _wait_for(running: Sequence[subprocess.Popen[str]]) -> None:
    for process in running:
        out, err = process.communicate()
        if process.returncode:
            sys.exit(f"a process failed with status {process.returncode}\n{out}{err or ''}")


def _seen(base_url: str, used: list[Used]) -> Run:
    seen = httpx.get(f"{base_url}/arrivals", trust_env=False, timeout=30.0).json()
    return Run(seen["numbers"], seen["refused"], seen["twice"], seen["longest_stall"], used)


async def send_bare(base_url: str, numbers: range, messages: int) -> None:
    """Post in an open loop, at the rate at which wacoex books its slots."""
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Authorization": "Bearer " + "x" * 200}
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post(number: int, message: int) -> None:
            body = _message(f"+65{90_100_000 + number * 1_000 + message}", str(message))
            url = f"{base_url}/v26.0/{number_id(number)}/messages"
            async with session.post(url, headers=headers, json=body) as answer:
                assert json.loads(await answer.read())

        async def post_all(number: int) -> None:
            begin = time.monotonic() + number / numbers.stop * slot_interval(RATE)
            async with asyncio.TaskGroup() as group:
                for message in range(messages):
                    due = begin + message * slot_interval(RATE)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    group.create_task(post(number, message))

        async with asyncio.TaskGroup() as group:
            for number in numbers:
                group.create_task(post_all(number))


def _message(phone: str, name: str) -> dict[str, Any]:
    parameters = [{"type": "text", "text": "Ana"}, {"type": "text", "text": name}]
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": phone,
        "type": "template",
        "template": {
            "name": "order_ready",
            "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": parameters}],
        },
    }


def main(seconds: float) -> None:
    """Fifty numbers against a bare loop, twenty, one, and two commands of ten."""
    messages = round(seconds * RATE)
    bare = sent_bare(50, messages)
    # A loop that keeps no room between its messages is refused now and then.
    show("50 numbers, aiohttp alone", bare.arrivals(50 * messages, 0.01 * 50 * messages))
    fifty = sent(50, messages)
    show(
        "50 numbers, one command, answers after 300 ms",
        (
            *fifty.figures(50 * messages),
            Figure(
                "messages a second, to aiohttp alone", fifty.rate() / bare.rate(), 0.9, decimals=2
            ),
            Figure("slowest number, a second", fifty.slowest(), at_least=0.85 * RATE, decimals=2),
            _cpu(fifty, MOST_CPU_MILLISECONDS),
            Figure("CPU a message, to aiohttp alone", _times(fifty, bare), at_most=4.0, decimals=2),
            Figure("memory of all processes, MB", fifty.megabytes(), at_most=200),
        ),
        fifty.machine(),
    )
    twenty = sent(20, messages)
    show(
        "20 numbers in one process",
        (
            *twenty.figures(20 * messages),
            Figure("slowest number, a second", twenty.slowest(), at_least=19.0, decimals=2),
            _cpu(twenty, MOST_CPU_MILLISECONDS),
            Figure("memory, MB", twenty.megabytes(), at_most=200),
        ),
        twenty.machine(),
    )
    pairs = [sent_beside_bare(messages) for _ in range(_PAIRS)]
    of_one = _in_all([one_number for one_number, _ in pairs])
    slowest = min(one_number.slowest() for one_number, _ in pairs)
    show(
        f"one number, {_PAIRS} times",
        (
            *of_one.figures(_PAIRS * messages),
            Figure("messages a second", slowest, at_least=19.0, decimals=2),
            Figure(
                "CPU a message, to aiohttp alone at the same time, median",
                statistics.median(_times(*pair) for pair in pairs),
                at_most=MOST_CPU_OF_ONE_NUMBER_TO_BARE,
                decimals=2,
            ),
        ),
        of_one.machine(),
    )
    two = sent(20, messages, commands=2)
    show(
        "two commands of ten numbers each, one state file",
        (
            *two.figures(20 * messages),
            Figure("slowest number, a second", two.slowest(), at_least=19.0, decimals=2),
            _cpu(two, MOST_CPU_MILLISECONDS),
            Figure("memory of both, MB", two.megabytes(), at_most=200),
        ),
        two.machine(),
    )


def _in_all(runs: Sequence[Run]) -> Run:
    """What came of the same numbers in runs that followed each other."""
    numbers = {name: [at for run in runs for at in run.numbers[name]] for name in runs[0].numbers}
    return Run(
        numbers,
        refused=sum(run.refused for run in runs),
        twice=sum(run.twice for run in runs),
        longest_stall=max(run.longest_stall for run in runs),
        used=[used for run in runs for used in run.used],
    )


def _cpu(run: Run, at_most: float) -> Figure:
    return Figure("ms of CPU a message", run.cpu_milliseconds(), at_most=at_most, decimals=2)


def _times(run: Run, bare: Run) -> float:
    return run.cpu_milliseconds() / bare.cpu_milliseconds()


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare"]:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            start, stop, count = map(int, sys.argv[3:])
            runner.run(send_bare(sys.argv[2], range(start, stop), count))
    else:
        main(float(sys.argv[1]) if sys.argv[1:] else SECONDS)
        finish()
