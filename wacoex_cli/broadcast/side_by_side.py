"""Runs several broadcasts at once: in this process, or, above some twenty numbers, in several.

Each process has one event loop and one writer of the ledger. More numbers than that keep one
core busy, so they are divided over as many processes as there are cores. These are children of
the command: they get their broadcasts through a pipe and report through another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import resource
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wacoex_cli.broadcast.send_task import SendTask
from wacoex_cli.channels.registry import active
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.workspace import STOPPING, ending_signals, interruptible
from wacoex_cli.ledger.model import RunProgress
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.engine import WINDOW
from wacoex_cli.sending.process import NotBegun, SendJob, Sent, send_together
from wacoex_cli.sending.providers import provider_for
from wacoex_cli.sending.takeover import settle_dead
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import explained
from wacoex_cli.terminal.render import Invocation, log_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.sending.guards import SendOrder

    Outcome = Sent | NotBegun | WacoexError
    News = RunProgress | Outcome
    Hear = Callable[[int, News], None]

MOST_NUMBERS_IN_A_PROCESS = 20
_MOST_PROCESSES = 16
_OTHER_FILES = 256
_CHILD = "wacoex_cli.broadcast.side_by_side"


def run_side_by_side(
    workspace: Workspace, invocation: Invocation, tasks: Sequence[SendTask], hear: Hear
) -> list[Outcome]:
    """Send all; how each ended, or why it did not. `hear` gets the place of a task and its news.

    Its last news are how it ended.
    """
    outcomes: dict[int, Outcome] = {}

    def note(place: int, news: News) -> None:
        if not isinstance(news, RunProgress):
            outcomes[place] = news
        hear(place, news)

    shares = divide(tasks, _cores())
    say = TerminalDialogue(invocation).note
    if len(shares) == 1:
        workspace.run(_run_here(workspace, invocation, tasks, note, say))
    else:
        workspace.run(_run_in_processes(workspace, invocation, tasks, shares, note, say))
    return [outcomes[place] for place in range(len(tasks))]


def divide(tasks: Sequence[SendTask], cores: int) -> list[list[int]]:
    """The places of the tasks that each process gets: one process for up to twenty numbers.

    All broadcasts of one number go to the same process, and each process gets about as many
    messages a second.
    """
    of_number: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        of_number.setdefault(task.channel.phone, []).append(place)
    count = 1
    if len(of_number) > MOST_NUMBERS_IN_A_PROCESS:
        # With fewer numbers a process costs more memory than it saves time.
        useful = len(of_number) // max(1, MOST_NUMBERS_IN_A_PROCESS // 2)
        count = min(cores, useful, _MOST_PROCESSES)
    shares: list[list[int]] = [[] for _ in range(count)]
    for number, places in enumerate(of_number.values()):
        shares[number % count] += places
    return shares


def _cores() -> int:
    """How many processors this process may use: a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


async def _run_here(
    workspace: Workspace,
    invocation: Invocation,
    tasks: Sequence[SendTask],
    hear: Hear,
    on_signal: Callable[[str], None],
) -> None:
    def job(place: int, task: SendTask) -> SendJob:
        context = contextvars.copy_context()
        subject = f"{task.channel.name} broadcast {task.broadcast.broadcast_id}"
        context.run(log_subject.set, subject)

        def end(outcome: Sent | NotBegun | Exception) -> None:
            if isinstance(outcome, NotBegun):
                outcome = NotBegun(explained(outcome.error, invocation))
            hear(place, _known(outcome, invocation))

        return SendJob(
            task.provider,
            task.channel,
            task.broadcast,
            task.order,
            lambda shot: hear(place, shot),
            end,
            context,
        )

    jobs = [job(place, task) for place, task in enumerate(tasks)]
    # With the places of one number, each of twenty could have three requests under way.
    workspace.http.widen(places_for(len({task.channel.phone for task in tasks})))
    async with contextlib.AsyncExitStack() as stack:
        for task in tasks:
            await stack.enter_async_context(task.reading())
        for outcome in await send_together(workspace.state, jobs, workspace.clock, on_signal):
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome


def _known(outcome: Sent | NotBegun | Exception, invocation: Invocation) -> Outcome:
    return explained(outcome, invocation) if isinstance(outcome, Exception) else outcome


def places_for(numbers: int) -> int:
    """How many requests may be open at once for so many numbers, as the system allows it.

    Each number has what it has when it sends alone. Every request needs a file of its own.
    """
    files = WINDOW * numbers + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
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
    verbose: int
    debug: bool


async def _run_in_processes(
    workspace: Workspace,
    invocation: Invocation,
    tasks: Sequence[SendTask],
    shares: Sequence[Sequence[int]],
    hear: Hear,
    on_signal: Callable[[str], None],
) -> None:
    children: list[_Child] = []

    def pass_on(number: int) -> None:
        for child in children:
            child.signal(number)

    def drain(number: int) -> None:
        on_signal(STOPPING)
        pass_on(number)

    async def follow(child: _Child, share: Sequence[int]) -> None:
        ended = {place for place, _ in await child.follow(_at(share, hear))}
        for place in set(range(len(share))) - ended:
            error = await asyncio.to_thread(_bury, workspace, tasks[share[place]], child.status)
            hear(share[place], error)

    with interruptible(drain, pass_on), contextlib.ExitStack() as stack:
        for share in shares:
            with _signals_held_back():
                child = _Child(invocation, [tasks[place] for place in share])
            children.append(stack.enter_context(child))
        await asyncio.gather(
            *(follow(child, share) for child, share in zip(children, shares, strict=True))
        )


def _at(share: Sequence[int], hear: Hear) -> Hear:
    """What hears of a task by its place in a share."""
    return lambda place, news: hear(share[place], news)


def _bury(workspace: Workspace, task: SendTask, status: int) -> WacoexError:
    """Settle what a process that died has left of a broadcast; what is said of it."""
    number = task.broadcast.broadcast_id
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    why = f"the process that sent it ended unexpectedly ({how})"
    with contextlib.suppress(WacoexError):
        settle_dead(workspace.state, number, workspace.clock, why)
    return WacoexError(
        why,
        hint="`wacoex broadcast list` shows each of them; `resume` sends to nobody twice",
        code="sender_died",
    )


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """A process that starts meanwhile gets no ending signal before it can drain."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Child:
    """One process with a share of the broadcasts, as a context manager: it ends with the block."""

    def __init__(self, invocation: Invocation, tasks: Sequence[SendTask]) -> None:
        orders = tuple((task.broadcast.broadcast_id, task.order) for task in tasks)
        (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
        self._orders = Connection(ours_out, readable=False)
        self._news = Connection(ours_in, writable=False)
        self._is_followed = False
        try:
            self._process = subprocess.Popen(  # noqa: S603
                # -P: a file of the working directory must not take the place of a module.
                [sys.executable, "-P", "-m", _CHILD, str(theirs_in), str(theirs_out)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Only this process hears a keystroke; it passes the signal on.
                start_new_session=True,
                pass_fds=(theirs_in, theirs_out),
                env=_environ(),
            )
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        # One that has died already is found out by whoever follows it.
        with contextlib.suppress(BrokenPipeError):
            self._orders.send(
                _Share(orders, invocation.env_file, invocation.verbose, invocation.debug)
            )

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def status(self) -> int:
        """Its exit status, or the negative number of the signal that killed it."""
        return self._process.wait()

    async def follow(self, hear: Hear) -> list[tuple[int, Outcome]]:
        """Hear what it reports until it ends; how those of its broadcasts ended that did."""
        loop = asyncio.get_running_loop()
        self._is_followed = True
        ended: list[tuple[int, Outcome]] = []

        def read() -> None:
            with contextlib.suppress(EOFError, OSError):
                while True:
                    place, news = self._news.recv()
                    if not isinstance(news, RunProgress):
                        ended.append((place, news))
                    loop.call_soon_threadsafe(hear, place, news)

        await asyncio.to_thread(read)
        await asyncio.to_thread(self._process.wait)
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It drains when this pipe ends, should it still run.
        self._orders.close()
        if not self._is_followed:
            self._news.close()
        self._process.wait()
        self._news.close()


def _environ() -> dict[str, str]:
    environ, here = dict(os.environ), Path.cwd()
    if here == Path(__file__).parents[2]:
        # A checkout that runs in its own directory is found by that only.
        paths = (str(here), environ.get("PYTHONPATH"))
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environ


def _be_child(orders: Connection, news: Connection) -> None:
    try:
        share = orders.recv()
    except (EOFError, OSError):
        return  # the command has ended already
    threading.Thread(target=_end_with_parent, args=(orders,), daemon=True).start()

    ended: set[int] = set()

    def hear(place: int, about: News) -> None:
        if not isinstance(about, RunProgress):
            ended.add(place)
        # Without the command nobody hears it; what is under way is recorded all the same.
        with contextlib.suppress(OSError):
            news.send((place, about))

    # The command has said the rest.
    invocation = Invocation(
        env_file=share.env_file, quiet=2, verbose=share.verbose, debug=share.debug, no_input=True
    )
    invocation.begin_log()
    try:
        with invocation.open_workspace() as workspace:
            tasks = {}
            for place, (number, order) in enumerate(share.broadcasts):
                try:
                    tasks[place] = _task(workspace, number, order)
                except WacoexError as error:
                    hear(place, NotBegun(error))
            places = list(tasks)
            run = _run_here(
                workspace, invocation, list(tasks.values()), _at(places, hear), lambda text: None
            )
            workspace.run(run)
    except WacoexError as error:
        for place in set(range(len(share.broadcasts))) - ended:
            hear(place, NotBegun(error))
    except Exception as error:
        explained(error, invocation)
        sys.exit(1)  # the command settles what is left


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
