"""What every test gets: an empty home, no way to the outside, a clock of its own, the program."""

from __future__ import annotations

import gc
import io
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import wacoex_cli
from tests.support.state_files import make_empty
from wacoex_cli.__main__ import main
from wacoex_cli.foundation.state import State, open_state

# How fast the machine is must not decide whether a test passes.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# Under nohup every process that a test starts would ignore that a terminal closes, and in the
# background of a script Ctrl-C.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_TESTS_BETWEEN_COLLECTIONS = 200
_begun_tests = itertools.count(1)


def pytest_collection_finish() -> None:
    """Set the tests themselves apart from garbage collection: every sending begins with one."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Collect now and then what earlier tests left and what was set apart with it."""
    if next(_begun_tests) % _TESTS_BETWEEN_COLLECTIONS == 0:
        gc.unfreeze()
        gc.collect()
        gc.freeze()


_LOOPBACK = ("127.", "::1", "localhost")


@pytest.fixture(autouse=True)
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a working directory and an environment in which nobody has lived yet."""
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for name in list(os.environ):
        if name.startswith(("WACOEX_", "XDG_", "_WACOEX_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("NO_COLOR", "FORCE_COLOR", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    # The tests never use the keyring of the person who runs them.
    monkeypatch.setenv("WACOEX_KEYRING", "off")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local/state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    # Nothing here speaks TLS to the outside, and each client would read all authorities: 50 ms.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(home))
    # Child processes start elsewhere, and must run the very code that is tested here.
    monkeypatch.setenv("PYTHONPATH", str(Path(wacoex_cli.__file__).parents[1]))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(work)
    return home


@pytest.fixture(autouse=True)
def no_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this machine can be reached."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOOPBACK):
            raise AssertionError(f"a test wanted to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@dataclass(frozen=True)
class Outcome:
    """How the program ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The one JSON object on standard output."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def data(self) -> dict[str, Any]:
        """The `data` of the envelope."""
        found: dict[str, Any] = self.envelope["data"]
        return found


class Stream(io.TextIOWrapper):
    """A captured stream that may claim to be a terminal."""

    def __init__(self, content: bytes = b"", *, is_terminal: bool = False) -> None:
        self._is_terminal = is_terminal
        super().__init__(io.BytesIO(content), encoding="utf-8", newline="")

    def isatty(self) -> bool:
        return self._is_terminal

    def written(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


Run = Callable[..., Outcome]


@pytest.fixture
def make_stream() -> type[Stream]:
    """Makes streams that remember what was written: `make_stream(b"typed", is_terminal=True)`."""
    return Stream


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in this process: `run("channel", "list", tty=True, env={...})`."""

    def call(
        *arguments: str,
        stdin: str | bytes = "",
        tty: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> Outcome:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = Stream(is_terminal=tty), Stream(is_terminal=tty)
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["wacoex", *arguments])
            patch.setattr(sys, "stdin", Stream(content, is_terminal=tty))
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = main()
        return Outcome(code, out.written(), err.written())

    return call


class SettableClock:
    """A clock that moves only when a test moves it, or when somebody sleeps."""

    def __init__(self, now: datetime) -> None:
        self.moment = now
        self.seconds = 1000.0
        self.boot = "boot-1"
        self.slept: list[float] = []

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.seconds

    def boot_id(self) -> str:
        return self.boot

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass on both clocks."""
        self.seconds += seconds
        self.moment += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SettableClock:
    """Noon of 7 November 2026, UTC, until a test moves it."""
    return SettableClock(datetime(2026, 11, 7, 12, 0, tzinfo=UTC))


@pytest.fixture(scope="session")
def masked_texts() -> dict[str, str]:
    """Texts, and how each is shown where numbers are masked."""
    table = Path(__file__).parent / "support" / "masked_texts.json"
    return dict(json.loads(table.read_text()))


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    """An open state file of this test's own."""
    opened = open_state(make_empty(tmp_path / "state" / "wacoex.db"))
    yield opened
    opened.close()


@pytest.fixture
def keyring_entries(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A working keyring of this test's own: what it holds by service and user name."""
    import keyring
    from keyring.backend import KeyringBackend

    entries: dict[tuple[str, str], str] = {}

    class MemoryKeyring(KeyringBackend):
        priority = 5

        def get_password(self, service: str, username: str) -> str | None:
            return entries.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            entries[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del entries[service, username]

    monkeypatch.setattr(keyring.core, "_keyring_backend", None)  # puts the old one back
    keyring.set_keyring(MemoryKeyring())
    monkeypatch.delenv("WACOEX_KEYRING")
    return entries


_ATTACK = ("people", "twice", "wrong", "lost", "stuck")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for each attack on the program: what arrived decides."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    lines = [
        line
        for report in reports
        if report.when == "call"
        for name, line in report.user_properties
        if name == "attack"
    ]
    if not lines:
        return
    width = max(len(line["attack"]) for line in lines)
    terminalreporter.section("attacks")
    terminalreporter.write_line(f"{'attack':{width}}  " + "  ".join(_ATTACK))
    for line in sorted(lines, key=lambda line: str(line["attack"])):
        figures = "  ".join(f"{line[name]:{len(name)}}" for name in _ATTACK)
        terminalreporter.write_line(f"{line['attack']:{width}}  {figures}")
