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
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Self

from wacoex_cli.broadcast.send_task import SendTask
from wacoex_cli.channels.registry import active
from wacoex_cli.channels.sending_reads import RecentReads
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.http import WINDOW
from wacoex_cli.foundation.workspace import (
    STOPPING,
    allow_files,
    ending_signals,
    interruptible,
)
from wacoex_cli.ledger.model import RunProgress, Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.providers import provider_for
from wacoex_cli.sending.run import NotBegun, SendJob, Sent, send_together
from wacoex_cli.sending.takeover import settle_dead
from wacoex_cli.terminal import output
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import explained
from wacoex_cli.terminal.render import Invocation, log_subject
from wacoex_cli.throughput.throttle import BUSY_GUARD

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

    if _numbers(tasks) > MOST_NUMBERS_IN_A_PROCESS:
        tasks = [replace(task, order=replace(task.order, least_guard=BUSY_GUARD)) for task in tasks]
    shares = divide(tasks, _cores())
    say = TerminalDialogue(invocation).note
    if len(shares) == 1:
        workspace.run(_run_here(workspace, invocation, tasks, note, say))
    else:
        workspace.run(_run_in_processes(workspace, invocation, tasks, shares, note, say))
    return [outcomes[place] for place in range(len(tasks))]


def divide(tasks: Sequence[SendTask], cores: int) -> list[list[int]]:
    """The places of the tasks that each process gets: one process for up to twenty numbers.

    All broadcasts of one number go to the same process; the numbers are dealt out evenly.
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


def _numbers(tasks: Sequence[SendTask]) -> int:
    return len({task.channel.phone for task in tasks})


def _cores() -> int:
    """The processors this process may run on; a CPU quota is not seen."""
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
    recent = RecentReads(workspace.clock)

    def job(place: int, task: SendTask) -> SendJob:
        context = contextvars.copy_context()
        subject = f"{task.channel.name} broadcast {task.broadcast.broadcast_id}"
        context.run(log_subject.set, subject)

        def end(outcome: Sent | NotBegun | Exception) -> None:
            if isinstance(outcome, NotBegun):
                outcome = NotBegun(explained(outcome.error, invocation))
            hear(place, _as_error(outcome, invocation))

        return SendJob(
            task.provider,
            task.channel,
            task.broadcast,
            task.order,
            lambda shot: hear(place, shot),
            end,
            context,
            partial(task.reading, recent),
        )

    jobs = [job(place, task) for place, task in enumerate(tasks)]
    # With the places of one number, each of twenty could have three requests under way.
    workspace.http.widen(places_for(_numbers(tasks)))
    for outcome in await send_together(workspace.state, jobs, workspace.clock, on_signal):
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome


def _as_error(outcome: Sent | NotBegun | Exception, invocation: Invocation) -> Outcome:
    return explained(outcome, invocation) if isinstance(outcome, Exception) else outcome


def places_for(numbers: int) -> int:
    """How many requests may be open at once for this many numbers, as the system allows it.

    Each number has what it has when it sends alone.
    """
    return allow_files(WINDOW * numbers + _OTHER_FILES) - _OTHER_FILES


@dataclass(frozen=True)
class _Share:
    """What one process is to send, and the options that concern it.

    Of each broadcast the id, the status that was checked, and the order.
    """

    broadcasts: tuple[tuple[int, Status, SendOrder], ...]
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

    async def send(child: _Child, share: Sequence[int]) -> None:
        ended = await child.hear_all(_hear_by_place(share, hear))
        for place in set(range(len(share))) - ended:
            task, status = tasks[share[place]], child.status
            error = await asyncio.to_thread(_settle_dead, workspace, task, status)
            hear(share[place], error)

    with (
        interruptible(drain, pass_on),
        _stopped_together(pass_on),
        contextlib.ExitStack() as stack,
    ):
        sending = []
        for share in shares:
            try:
                with _signals_held_back():
                    child = _Child(invocation, [tasks[place] for place in share])
            except OSError as error:
                for place in share:
                    hear(place, NotBegun(_no_process(error)))
                continue
            children.append(stack.enter_context(child))
            sending.append(send(child, share))
        await asyncio.gather(*sending)


def _hear_by_place(share: Sequence[int], hear: Hear) -> Hear:
    """What hears of a task by its place in a share."""
    return lambda place, news: hear(share[place], news)


def _no_process(error: OSError) -> WacoexError:
    return WacoexError(
        f"no further process can be started: {(error.strerror or str(error)).lower()}",
        hint="end other programs, or send fewer numbers with one command",
        code="no_process",
    )


def _settle_dead(workspace: Workspace, task: SendTask, status: int) -> WacoexError:
    """Settle what a process that died has left of a broadcast; what is said of it."""
    number = task.broadcast.broadcast_id
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    why = f"the process that sent it ended unexpectedly ({how})"
    with contextlib.suppress(WacoexError):
        settle_dead(workspace.state, number, workspace.clock, why)
    return WacoexError(
        why,
        hint=f"to continue: wacoex broadcast resume {number}; nobody gets it twice",
        code="sender_died",
    )


@contextlib.contextmanager
def _stopped_together(pass_on: Callable[[int], None]) -> Iterator[None]:
    """Ctrl-Z stops all processes until the command goes on, as it stops a single one."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        pass_on(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)

    before = signal.getsignal(signal.SIGTSTP)
    if before == signal.SIG_IGN:
        yield
        return
    loop.add_signal_handler(signal.SIGTSTP, stop)
    loop.add_signal_handler(signal.SIGCONT, pass_on, signal.SIGCONT)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_signal_handler(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, before)


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
        """Start it. Raises OSError when the system allows no further process."""
        self._share = _Share(
            tuple(
                (task.broadcast.broadcast_id, task.broadcast.status, task.order) for task in tasks
            ),
            invocation.env_file,
            invocation.verbose,
            invocation.debug,
        )
        self._is_heard = False
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            orders_in, orders_out = os.pipe()
            theirs.callback(os.close, orders_in)
            self._orders = ours.enter_context(Connection(orders_out, readable=False))
            news_in, news_out = os.pipe()
            theirs.callback(os.close, news_out)
            self._news = ours.enter_context(Connection(news_in, writable=False))
            self._process = subprocess.Popen(  # noqa: S603
                # -P: a file of the working directory must not take the place of a module.
                [sys.executable, "-P", "-m", _CHILD, str(orders_in), str(news_out)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Only this process hears a keystroke; it passes the signal on.
                start_new_session=True,
                pass_fds=(orders_in, news_out),
                env=_environ(),
            )
            ours.pop_all()

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self._process.poll() is None:
            self._process.send_signal(number)

    @property
    def status(self) -> int:
        """Its exit status, or the negative number of the signal that killed it."""
        return self._process.wait()

    async def hear_all(self, hear: Hear) -> set[int]:
        """Say what it is to send, and hear what it reports until it ends; what of it ended."""
        loop = asyncio.get_running_loop()
        self._is_heard = True
        ended: set[int] = set()

        def read() -> None:
            # One that has died already reads nothing, and says nothing.
            with contextlib.suppress(EOFError, OSError):
                self._orders.send(self._share)
                while True:
                    place, news = self._news.recv()
                    if not isinstance(news, RunProgress):
                        ended.add(place)
                    loop.call_soon_threadsafe(hear, place, news)

        # A large share, or a process that was stopped, must not hold up the others.
        await asyncio.to_thread(read)
        await asyncio.to_thread(self._process.wait)
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # It drains when this pipe ends, should it still run.
        self._orders.close()
        if not self._is_heard:
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


class Reporter:
    """Reports to the command, in a thread of its own: the command may be stopped, or gone.

    Of each broadcast it keeps the newest news only.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._newest: dict[int, News] = {}
        self._is_over = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._report_all, name="reports")
        self._thread.start()

    def hear(self, place: int, news: News) -> None:
        """Report this soon; never waits."""
        with self._change:
            self._newest[place] = news
            self._change.notify()

    def _report_all(self) -> None:
        # Without the command nobody hears it; what is under way is recorded anyway.
        with contextlib.suppress(OSError):
            while newest := self._next():
                for place, news in newest.items():
                    self._pipe.send((place, news))

    def _next(self) -> dict[int, News]:
        """What is to be reported; empty at the end."""
        with self._change:
            self._change.wait_for(lambda: self._newest or self._is_over)
            newest, self._newest = self._newest, {}
            return newest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._is_over = True
            self._change.notify()
        self._thread.join()


def _be_child(orders: Connection, news: Connection) -> int:
    """Send what the command orders; the exit status. At 1 the command settles what is left."""
    try:
        share = orders.recv()
    except (EOFError, OSError):
        return 0  # the command has ended already
    threading.Thread(target=_end_with_parent, args=(orders,), daemon=True).start()
    # The command has said the rest.
    invocation = Invocation(
        env_file=share.env_file, quiet=2, verbose=share.verbose, debug=share.debug, no_input=True
    )
    invocation.begin_log()
    with output.Working(), Reporter(news) as reporter:
        try:
            _send_share(invocation, share, reporter.hear)
        except KeyboardInterrupt:
            return 1
        except Exception as error:
            explained(error, invocation)
            return 1
    return 0


def _send_share(invocation: Invocation, share: _Share, hear: Hear) -> None:
    """Send a share. Raises what ends it after broadcasts may have begun."""
    with contextlib.ExitStack() as opened:
        try:
            workspace = opened.enter_context(invocation.open_workspace())
            tasks = _tasks(workspace, share, hear)
        except WacoexError as error:
            for place in range(len(share.broadcasts)):
                hear(place, NotBegun(error))
            return
        by_place = _hear_by_place(list(tasks), hear)
        run = _run_here(workspace, invocation, list(tasks.values()), by_place, lambda text: None)
        workspace.run(run)


def _tasks(workspace: Workspace, share: _Share, hear: Hear) -> dict[int, SendTask]:
    """The tasks by their places; `hear` gets why one is missing. Raises StateError."""
    state, tasks = workspace.state, {}
    for place, (number, status, order) in enumerate(share.broadcasts):
        try:
            # With the status of the check: what changed since then is found at the start.
            broadcast = Broadcasts(state).get(number)._replace(status=status)
            channel = active(state, broadcast.channel)
            provider = provider_for(workspace, channel)
            tasks[place] = SendTask(workspace, provider, channel, broadcast, order)
        except WacoexError as error:
            hear(place, NotBegun(error))
    return tasks


def _end_with_parent(orders: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        orders.recv()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    incoming, outgoing = map(int, sys.argv[1:])
    # Before anything is opened, which could get the number of a closed stream.
    output.protect()
    sys.exit(_be_child(Connection(incoming, writable=False), Connection(outgoing, readable=False)))
