"""Runs several broadcasts at once: in this process, or, above some twenty numbers, in several.

Each process has one event loop and one writer of the ledger. More numbers than that keep one
core busy, so they are divided over as many processes as there are cores. These are children of
the command: they get their broadcasts through a pipe and report through another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.send_task import SendTask
from wacoex_cli.channels.registry import active
from wacoex_cli.errors import StateError
from wacoex_cli.foundation.workspace import STOPPING, interruptible
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.engine import WINDOW
from wacoex_cli.sending.process import SendJob, send_together
from wacoex_cli.sending.providers import provider_for
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.render import SANDBOX_SAID, Invocation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.ledger.model import RunProgress
    from wacoex_cli.sending.guards import SendOrder
    from wacoex_cli.sending.process import Sent

    Hear = Callable[[int, RunProgress], None]
    Outcome = Sent | BaseException

MOST_NUMBERS_IN_A_PROCESS = 20
_OTHER_FILES = 256
_CHILD = "wacoex_cli.broadcast.side_by_side"


def run_side_by_side(
    workspace: Workspace, invocation: Invocation, tasks: Sequence[SendTask], hear: Hear
) -> list[Outcome]:
    """Send all; how each ended, or why it did not. `hear` gets the place of a task and its news."""
    shares = divide(tasks, os.cpu_count() or 1)
    note = TerminalDialogue(invocation).note
    if len(shares) == 1:
        return workspace.run(_run_here(workspace, tasks, hear, note))
    return workspace.run(_run_in_processes(invocation, tasks, shares, hear, note))


def divide(tasks: Sequence[SendTask], cores: int) -> list[list[int]]:
    """The places of the tasks that each process gets: one process for up to twenty numbers.

    All broadcasts of one number go to the same process, and each process gets about as many
    messages a second.
    """
    of_number: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        of_number.setdefault(task.channel.phone, []).append(place)
    count = cores if len(of_number) > MOST_NUMBERS_IN_A_PROCESS else 1
    shares: list[list[int]] = [[] for _ in range(min(count, len(of_number)))]
    for number, places in enumerate(of_number.values()):
        shares[number % len(shares)] += places
    return shares


async def _run_here(
    workspace: Workspace,
    tasks: Sequence[SendTask],
    hear: Hear,
    on_signal: Callable[[str], None],
) -> list[Outcome]:
    def hears(place: int) -> Callable[[RunProgress], None]:
        return lambda shot: hear(place, shot)

    jobs = [
        SendJob(task.provider, task.channel, task.broadcast, task.order, hears(place))
        for place, task in enumerate(tasks)
    ]
    # With the places of one number, each of twenty could have three requests under way.
    workspace.http.widen(places_for(len({task.channel.phone for task in tasks})))
    async with contextlib.AsyncExitStack() as stack:
        for task in tasks:
            await stack.enter_async_context(task.reading())
        return await send_together(workspace.state, jobs, workspace.clock, on_signal)


def places_for(numbers: int) -> int:
    """How many requests may be open at once for so many numbers, as the system allows it.

    Each number has what it has when it sends alone. Every request needs a file of its own.
    """
    files = WINDOW * numbers + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, max(soft, files)) or soft >= files:
        return WINDOW * numbers
    more = files if hard == resource.RLIM_INFINITY else min(files, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
        soft = more
    return soft - _OTHER_FILES


@dataclass(frozen=True)
class _Share:
    """What one process is to send: ids with their orders, and the options that concern it."""

    broadcasts: tuple[tuple[int, SendOrder], ...]
    env_file: Path | None
    quiet: int
    verbose: int


async def _run_in_processes(
    invocation: Invocation,
    tasks: Sequence[SendTask],
    shares: Sequence[Sequence[int]],
    hear: Hear,
    on_signal: Callable[[str], None],
) -> list[Outcome]:
    children = [_Child(invocation, [tasks[place] for place in share]) for share in shares]

    def pass_on(number: int) -> None:
        for child in children:
            child.signal(number)

    def drain(number: int) -> None:
        on_signal(STOPPING)
        pass_on(number)

    outcomes: list[Outcome | None] = [None] * len(tasks)
    try:
        with interruptible(drain, pass_on):
            ends = await asyncio.gather(
                *(
                    child.follow(_at(share, hear))
                    for child, share in zip(children, shares, strict=True)
                )
            )
    finally:
        for child in children:
            child.close()
    for share, ended in zip(shares, ends, strict=True):
        for place, outcome in zip(share, ended, strict=True):
            outcomes[place] = outcome
    return [outcome for outcome in outcomes if outcome is not None]


def _at(share: Sequence[int], hear: Hear) -> Hear:
    """What hears of a task by its place in a share."""
    return lambda place, shot: hear(share[place], shot)


class _Child:
    """One process with a share of the broadcasts."""

    def __init__(self, invocation: Invocation, tasks: Sequence[SendTask]) -> None:
        orders = tuple((task.broadcast.broadcast_id, task.order) for task in tasks)
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        self._count = len(tasks)
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", _CHILD, str(theirs_in), str(theirs_out)],
            stdin=subprocess.DEVNULL,
            # Only this process hears a keystroke; it passes the signal on.
            start_new_session=True,
            pass_fds=(theirs_in, theirs_out),
            env={**os.environ, **_said(invocation)},
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._orders = Connection(ours_out, readable=False)
        self._news = Connection(ours_in, writable=False)
        self._orders.send(_Share(orders, invocation.env_file, invocation.quiet, invocation.verbose))

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    async def follow(self, hear: Hear) -> list[Outcome]:
        """Hear what it reports until it ends; how each of its broadcasts ended."""
        loop = asyncio.get_running_loop()
        ended: list[Outcome] = []

        def read() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    news = self._news.recv()
                    if isinstance(news, list):
                        ended.extend(news)
                        return
                    loop.call_soon_threadsafe(hear, *news)

        await asyncio.to_thread(read)
        status = await asyncio.to_thread(self._process.wait)
        if len(ended) == self._count:
            return ended
        return [_died(status) for _ in range(self._count)]

    def close(self) -> None:
        """End it, should it still run: it drains when its pipe ends."""
        self._orders.close()
        self._process.wait()
        self._news.close()


def _said(invocation: Invocation) -> dict[str, str]:
    url = invocation.learnt.sandbox_url
    return {SANDBOX_SAID: url} if url else {}


def _died(status: int) -> StateError:
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return StateError(
        f"the process that sent it ended unexpectedly ({how})",
        hint="`wacoex broadcast list` shows each; `resume` sends to nobody twice",
        code="sender_died",
    )


def _be_child(orders: Connection, news: Connection) -> None:
    share = orders.recv()
    threading.Thread(target=_end_with_parent, args=(orders,), daemon=True).start()
    invocation = Invocation(
        env_file=share.env_file, quiet=share.quiet, verbose=share.verbose, no_input=True
    )
    with invocation.open_workspace() as workspace:
        tasks = [_task(workspace, number, order) for number, order in share.broadcasts]

        def hear(place: int, shot: RunProgress) -> None:
            with contextlib.suppress(OSError):
                news.send((place, shot))

        ended = workspace.run(_run_here(workspace, tasks, hear, lambda text: None))
    news.send(ended)


def _end_with_parent(orders: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        orders.recv()
    os.kill(os.getpid(), signal.SIGTERM)


def _task(workspace: Workspace, number: int, order: SendOrder) -> SendTask:
    broadcast = Broadcasts(workspace.state).get(number)
    channel = active(workspace.state, broadcast.channel)
    return SendTask(workspace, provider_for(workspace, channel), channel, broadcast, order)


if __name__ == "__main__":
    incoming, outgoing = map(int, sys.argv[1:])
    _be_child(Connection(incoming, writable=False), Connection(outgoing, readable=False))
