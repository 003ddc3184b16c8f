"""A machine to play on: real commands in processes of their own, in time that leaps.

Each command is a child process (fork) that works on real files and may be killed at any instant.
Time, the network and the pretend Meta are here, in the parent. A child that waits or sends asks
its parent and waits until it gets its turn: one runs at a time, in an order that the test
chooses, so a run is the same each time it is played.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import functools
import gc
import importlib
import io
import itertools
import json
import os
import pkgutil
import selectors
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from typer._click.exceptions import ClickException

import wacoex_cli
from wacoex_cli.app import app
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.settings import read_sources
from wacoex_cli.foundation.state import State
from wacoex_cli.foundation.workspace import Workspace
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    TEMPLATE,
    WABA_ID,
    Node,
    World,
)
from wacoex_cli.terminal.options import Invocation, forget_running, report_failure

URL = "http://127.0.0.1:4555"
TRAVEL_SECONDS = 0.02
PATIENCE_SECONDS = 100.0
STUCK_SECONDS = 3600.0
"""A command that takes longer than this, in the time of the machine, is stuck."""
CHANNELS = {
    "first": (PHONE, PHONE_NUMBER_ID, WABA_ID),
    "second": (SECOND_PHONE, SECOND_PHONE_NUMBER_ID, WABA_ID),
    "client": ("+6560000009", FOREIGN_PHONE_NUMBER_ID, FOREIGN_WABA_ID),
}
"""Our numbers, of two businesses: phone, phone_number_id, waba_id."""
_ONBOARDED = "2025-11-07T12:00:00+0000"

FAULTS = {
    "undeliverable": Fault("refuse", code=131026),
    "perhaps taken": Fault("refuse", code=131000, accepts=True),
    "server error, but taken": Fault("server_error", accepts=True),
    "throttled": Fault("throttled"),
    "stop": Fault("expired_token"),
    "fails later": Fault("status_failed"),
}
LUCK = ("fine", *FAULTS, "no connection", "reset before", "reset after")
STOPPED_MARKETING = "stopped marketing"
FAULTS[STOPPED_MARKETING] = Fault("refuse", code=131050)
"""What may happen to one message on its way."""


class Taken(NamedTuple):
    """A message that the pretend Meta took; `at` is what the machine's clock said.

    `attempt` is the name that the sender gave it, `command` the number of the command that sent.
    """

    to: str
    phone_number_id: str
    message: str
    at: datetime
    attempt: str
    command: int
    message_id: str
    fails: bool


@dataclass(frozen=True)
class Kill:
    """When a command is killed: before the n-th instant of a kind.

    A `commit` is one of the state file, a `file` something done to a file beside it, a `message`
    leaves, and an `answer` comes back.
    """

    kind: str
    n: int


@dataclass(frozen=True)
class Ended:
    """How a command ended, and when by the machine; `code` is None when it was killed."""

    number: int
    code: int | None
    envelope: dict[str, Any] = field(default_factory=dict)
    said: str = ""
    seconds: float = 0.0

    @property
    def data(self) -> dict[str, Any]:
        """What the command found out."""
        found: dict[str, Any] = self.envelope.get("data") or {}
        return found

    @property
    def errors(self) -> list[str]:
        """The codes of its errors."""
        return [error["code"] for error in self.envelope.get("errors", ())]


@dataclass(frozen=True)
class Command:
    """One command line on the state file at `path`, the luck of its messages, and its end."""

    path: Path
    arguments: tuple[str, ...]
    luck: tuple[str, ...] = ()
    kill: Kill | None = None


@dataclass
class _Child:
    number: int
    pid: int
    pipe: Connection
    wakes_at: float = 0.0
    asks: tuple[Any, ...] = ()
    ended: Ended | None = None


class Machine:
    """The clocks of one machine, the pretend Meta, and what it took."""

    def __init__(self) -> None:
        self.seconds, self.boot = 1000.0, 1
        self.moment = datetime(2025, 11, 7, 12, 0, tzinfo=UTC)  # before the dates of real files
        self.world = _world(lambda: self.seconds, lambda: self.moment.timestamp())
        self.taken: list[Taken] = []
        self.commands = 0
        self._runner = asyncio.Runner()
        self._network = httpx.AsyncClient(
            transport=httpx.ASGITransport(application(self.world)), base_url=URL
        )

    def close(self) -> None:
        """Shut the machine down."""
        self._runner.run(self._network.aclose())
        self._runner.close()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)

    def run(
        self,
        *commands: Command,
        turns: Sequence[int] = (),
        late: int = 0,
        meanwhile: Callable[[], None] = lambda: None,
        most_seconds: float = STUCK_SECONDS,
    ) -> list[Ended]:
        """Run commands side by side; `turns` chooses who of those that could go on does so.

        The others begin when the first has had `late` turns or has ended; before that `meanwhile`
        happens. A command that is to wait for days has `most_seconds` of the machine's time.
        """
        programs = [functools.partial(_command, each) for each in commands]
        return self._play(programs, turns, late, meanwhile, most_seconds)

    def do(self, path: Path, deed: Callable[[Workspace], object]) -> None:
        """Do something in a process of its own that is never killed, as a listener does."""
        (ended,) = self._play([functools.partial(_deed, path, deed)])
        assert ended.code == 0, ended.said

    def _play(
        self,
        programs: Sequence[_Program],
        turns: Sequence[int] = (),
        late: int = 0,
        meanwhile: Callable[[], None] = lambda: None,
        most_seconds: float = STUCK_SECONDS,
    ) -> list[Ended]:
        children = [self._start(programs[0])]
        order, began = itertools.chain(turns, itertools.repeat(0)), self.seconds
        for turn in itertools.count():
            waiting = [child for child in children if child.ended is None]
            if len(children) < len(programs) and (turn >= late or not waiting):
                meanwhile()
                children += [self._start(program) for program in programs[1:]]
                continue
            if not waiting:
                break
            if self.seconds > began + most_seconds:
                for child in waiting:
                    os.kill(child.pid, signal.SIGKILL)
                raise AssertionError("a command goes on and on")
            soonest = min(child.wakes_at for child in waiting)
            if soonest > self.seconds:
                self.advance(soonest - self.seconds)
            ready = [child for child in waiting if child.wakes_at <= self.seconds]
            child = ready[next(order) % len(ready)] if len(ready) > 1 else ready[0]
            answer = self._deliver(child) if child.asks[0] == "request" else None
            child.pipe.send((self._time(), answer))
            self._listen(child)
        return [child.ended for child in children if child.ended]

    def _start(self, program: _Program) -> _Child:
        self.commands += 1
        ours, theirs = Pipe()
        with warnings.catch_warnings():
            # Other threads of a test run only wait for a pipe.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            ours.close()
            _live(program, theirs, self._time())
        theirs.close()
        child = _Child(self.commands, pid, ours)
        self._listen(child)
        return child

    def _listen(self, child: _Child) -> None:
        """Let a child run until it asks for something, or ends."""
        try:
            child.asks = child.pipe.recv()
        except EOFError:
            os.waitpid(child.pid, 0)
            child.ended = Ended(child.number, None)
            return
        child.wakes_at = self.seconds
        if child.asks[0] == "sleep":
            child.wakes_at += child.asks[1]
        if child.asks[0] == "end":
            os.waitpid(child.pid, 0)
            _, code, envelope, said = child.asks
            assert code != 70, said
            child.ended = Ended(child.number, code, envelope, said, self.seconds)
            child.pipe.close()

    def _time(self) -> tuple[float, datetime, str]:
        return self.seconds, self.moment, f"boot-{self.boot}"

    def _deliver(self, child: _Child) -> tuple[int, list[tuple[str, str]], bytes]:
        _, luck, method, url, headers, body = child.asks
        self.world.faults.replace([FAULTS[luck]] if luck in FAULTS else [])
        before = len(self.world.log.arrivals)
        sending = self._network.request(method, url, headers=headers, content=body)
        response = self._runner.run(sending)
        for arrival in self.world.log.arrivals[before:]:
            if arrival.accepted:
                template = json.loads(body)["template"]
                self.taken.append(
                    Taken(
                        to=str(arrival.recipient),
                        phone_number_id=arrival.phone_number_id,
                        message=json.dumps([template["name"], template.get("components")]),
                        at=self.moment,
                        attempt=str(arrival.biz_opaque_callback_data),
                        command=child.number,
                        message_id=str(arrival.message_id),
                        fails=luck == "fails later",
                    )
                )
        return response.status_code, list(response.headers.items()), response.content


def furnish(world: World) -> None:
    """All three numbers can send; the client's account has the same templates."""
    token = world.tokens[DEFAULT_TOKEN]
    world.patch_token(DEFAULT_TOKEN, {"waba_ids": token.waba_ids | {FOREIGN_WABA_ID}})
    world.subscribed_apps[FOREIGN_WABA_ID] = world.subscribed_apps[WABA_ID]
    for _, number, _ in CHANNELS.values():
        node = world.nodes[number]
        world.patch_node(node, {"is_on_biz_app": True, "last_onboarded_time": _ONBOARDED})
    for node in world.templates(WABA_ID):
        copy = f"{node.id}9"
        world.nodes[copy] = Node(TEMPLATE, copy, FOREIGN_WABA_ID, node.values)


def make_home(home: Path) -> None:
    """A home whose state file knows the channels and nothing else."""
    # What commands import must be there before they begin: each is a fork of this process.
    for module in pkgutil.walk_packages(wacoex_cli.__path__, "wacoex_cli."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    home.mkdir()
    machine = Machine()
    for name, (phone, number, waba) in CHANNELS.items():
        ids = ("--phone", phone, "--phone-number-id", number, "--waba-id", waba)
        (ended,) = machine.run(Command(home / "wacoex.db", ("channel", "add", name, *ids)))
        assert ended.code == 0, ended
    machine.close()


@contextlib.contextmanager
def place_in_memory() -> Iterator[Path]:
    """An empty directory on a disk in memory, where there is one."""
    memory = Path("/dev/shm")  # noqa: S108 - only a place
    where = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="wacoex-night-", dir=where) as name:
        yield Path(name)


def _world(monotonic: Callable[[], float], now: Callable[[], float]) -> World:
    world = default_world(monotonic=monotonic, now=now)
    world.callbacks = Callbacks(statuses=True)
    world.patch_settings({"pair_rate": False})
    return world


# Here begins what runs in the child.


class _Parent:
    """What a child asks of its parent: the time, the network, and its turn."""

    def __init__(self, pipe: Connection, time: tuple[float, datetime, str]) -> None:
        self._pipe = pipe
        self.time = time
        self.kill: Kill | None = None
        self._left = 0

    def will_kill(self, kill: Kill | None) -> None:
        self.kill, self._left = kill, kill.n if kill else 0

    def instant(self, kind: str) -> None:
        """Here the process may vanish; nothing at all is tidied up."""
        if self.kill and self.kill.kind == kind:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def ask(self, *question: object) -> Any:
        self._pipe.send(question)
        self.time, answer = self._pipe.recv()
        return answer

    def end(self, code: int, envelope: dict[str, Any], said: str) -> None:
        self._pipe.send(("end", code, envelope, said))

    # The clock of the program

    def now(self) -> datetime:
        return self.time[1]

    def monotonic(self) -> float:
        return self.time[0]

    def boot_id(self) -> str:
        return self.time[2]

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


_Program = Callable[[_Parent], int]


def _live(program: _Program, pipe: Connection, time: tuple[float, datetime, str]) -> None:
    faulthandler.dump_traceback_later(PATIENCE_SECONDS, exit=True, file=2)
    gc.disable()
    gc.freeze()  # else a sender goes through everything that its parent has made
    sys.stdin = io.TextIOWrapper(io.BytesIO())
    sys.stdout, sys.stderr = out, said = io.StringIO(), io.StringIO()
    parent = _Parent(pipe, time)
    try:
        code = program(parent)
    except BaseException:
        code = 70
        traceback.print_exc()
    lines = out.getvalue().strip().splitlines()
    envelope = json.loads(lines[-1]) if lines and code != 70 else {}
    with contextlib.suppress(OSError):
        parent.end(code, envelope, said.getvalue())
    os._exit(0)


def _command(command: Command, parent: _Parent) -> int:
    parent.will_kill(command.kill)
    _watch_files(command.path, parent)
    arguments = [*command.arguments, "--json", "--no-input"]
    forget_running()
    try:
        obj = _Invocation(path=command.path, parent=parent, luck=command.luck)
        status = app.main(arguments, prog_name="wacoex", standalone_mode=False, obj=obj)
        return status if isinstance(status, int) else 0
    except BaseException as error:
        code = report_failure(error, arguments, app, debug=False)
        if not isinstance(error, WacoexError | ClickException):
            raise
        return code


def _deed(path: Path, deed: Callable[[Workspace], object], parent: _Parent) -> int:
    with _Invocation(path=path, parent=parent).open_workspace() as workspace:
        deed(workspace)
    return 0


def _watch_files(path: Path, parent: _Parent) -> None:
    """Each time that the program opens, renames or removes a file beside the state is an instant.

    SQLite's own work on its files is not among them.
    """
    beside = str(path.parent)

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        watched = event in {"open", "os.rename", "os.remove", "os.truncate"}
        if watched and str(arguments[0]).startswith(beside):
            parent.instant("file")

    sys.addaudithook(hear)


@dataclass(frozen=True)
class _Invocation(Invocation):
    """A command line whose workspace is on the stage."""

    path: Path = Path()
    parent: Any = None
    luck: tuple[str, ...] = ()

    def open_workspace(self) -> Workspace:
        environ = {
            "HOME": str(self.path.parent),
            "WACOEX_CONFIG_DIR": str(self.path.parent / "config"),
            "WACOEX_STATE": str(self.path),
            "WACOEX_META_BASE_URL": URL,
            "WACOEX_META_TOKEN": DEFAULT_TOKEN,
            "WACOEX_KEYRING": "off",
        }

        def say(text: str) -> None:
            sys.stderr.write(f"{text}\n")

        workspace = _Workspace(
            read_sources(env_file=None, environ=environ),
            self.parent,
            warn=say,
            log=lambda text: None,
            detail=say,
            announce=lambda settings: None,
        )
        workspace.luck = iter(self.luck)
        return workspace


class _Workspace(Workspace):
    """A workspace in the time and on the network of the stage."""

    luck: Iterator[str]

    @functools.cached_property
    def state(self) -> State:
        opened = Workspace.state.func(self)  # type: ignore[attr-defined]
        return _Mortal(opened, self.clock)  # type: ignore[return-value]

    @functools.cached_property
    def http(self) -> Http:
        transport = _Network(self.clock, self.luck)  # type: ignore[arg-type]
        return Http(self.clock, log=lambda text: None, transport=transport)

    @functools.cached_property
    def _runner(self) -> asyncio.Runner:
        loop = functools.partial(_Loop, self.clock)  # type: ignore[arg-type]
        return asyncio.Runner(loop_factory=loop)


class _Mortal:
    """A state file whose process may die before and after each commit.

    After one, another task may get its turn.
    """

    def __init__(self, inner: State, parent: Any) -> None:
        self._inner, self._parent = inner, parent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with self._inner.transaction():
            yield
            self._parent.instant("commit")
        self._parent.instant("commit")
        self._parent.ask("turn")


class _Network(httpx.AsyncBaseTransport):
    """The way to the pretend Meta; each message has the luck that is next in line."""

    def __init__(self, parent: _Parent, luck: Iterator[str]) -> None:
        self._parent, self._luck = parent, luck

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if request.method != "POST" or not request.url.path.endswith("/messages"):
            return self._answer("fine", request)
        luck = next(self._luck, "fine")
        if luck == "no connection":
            raise httpx.ConnectError("refused")
        self._parent.instant("message")
        await asyncio.sleep(TRAVEL_SECONDS)
        if luck == "reset before":
            raise httpx.ReadError("reset")
        response = self._answer(luck, request)
        self._parent.instant("answer")
        await asyncio.sleep(TRAVEL_SECONDS)
        if luck == "reset after":
            raise httpx.ReadError("reset")
        return response

    def _answer(self, luck: str, request: httpx.Request) -> httpx.Response:
        headers = list(request.headers.items())
        method, url = request.method, str(request.url)
        status, heads, body = self._parent.ask(
            "request", luck, method, url, headers, request.content
        )
        return httpx.Response(status, headers=heads, content=body)


class _Selector(selectors.PollSelector):
    """Nobody waits: when nothing is ready, time leaps to what is due next."""

    def __init__(self, parent: _Parent) -> None:
        super().__init__()
        self._parent = parent

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits for somebody else"
        if timeout > 0:
            self._parent.ask("sleep", timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop in the time of the stage, whose threads work at once."""

    def __init__(self, parent: _Parent) -> None:
        self._parent = parent
        super().__init__(_Selector(parent))

    def time(self) -> float:
        return self._parent.monotonic()

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except BaseException as error:
            future.set_exception(error)
        return future
