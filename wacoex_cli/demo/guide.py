"""Prints each command of the tour, runs it as a child process, and checks how it ends."""

from __future__ import annotations

import contextlib
import csv
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO

import wacoex_cli
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.account import CONFIG_ID, SDK_PATH
from wacoex_cli.sandbox.respondio import PREFIX
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.terminal import render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.sandbox.world import World
    from wacoex_cli.terminal.dialogue import Dialogue

    Answers = Sequence[tuple[str, str | Callable[[str], None]]]

_INTERRUPT_AFTER_MESSAGES = 60
_INTERRUPTED = 130
_TERMINATED = 143
_LISTENS_WITHIN_SECONDS = 20.0
_MOST_BYTES = 4096


class Guide:
    """Prints each command, runs it as a child process, and checks how it ends."""

    def __init__(
        self, directory: Path, base_url: str, dialogue: Dialogue, *, is_json: bool
    ) -> None:
        self._steps = 0
        self._directory = directory
        self._dialogue = dialogue
        self._stdout = sys.stderr if is_json else None
        self._settings = {
            "WACOEX_META_BASE_URL": base_url,
            "WACOEX_META_TOKEN": pretend.DEFAULT_TOKEN,
            "WACOEX_META_APP_ID": pretend.APP_ID,
            "WACOEX_META_APP_SECRET": pretend.APP_SECRET,
            "WACOEX_META_CONFIG_ID": CONFIG_ID,
            "WACOEX_META_SDK_URL": f"{base_url}{SDK_PATH}",
            "WACOEX_RESPONDIO_BASE_URL": f"{base_url}{PREFIX.rstrip('/')}",
            "WACOEX_STATE": str(directory / "wacoex.db"),
            "WACOEX_CONFIG_DIR": str(directory),
            "WACOEX_KEYRING": "off",
            "PYTHONPATH": str(Path(wacoex_cli.__file__).parents[1]),
        }

    def use_respondio(self) -> None:
        """From now on commands have a token for respond.io."""
        self._settings["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN

    def introduce(self) -> None:
        self._dialogue.note("a pretend Meta runs on this machine; no message leaves it")
        self._dialogue.note("to repeat a command, run `wacoex sandbox start` in another terminal,")
        self._dialogue.note("export what it prints, and type what stands after each `$` here:")
        self._dialogue.note(f"  cd {shlex.quote(str(self._directory))}")

    def step(self, title: str) -> None:
        self._steps += 1
        self._dialogue.note(f"\n== {self._steps}. {title}")

    def write(self, name: str, rows: Iterable[tuple[str, str]]) -> None:
        with (self._directory / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("phone", "first_name"))
            writer.writerows(rows)

    def run(self, *arguments: str, expected: Sequence[int] = (0,)) -> None:
        """Run a command to its end. Raises WacoexError when it ends in another way."""
        with self._start(*arguments) as child:
            status = child.wait()
        if status not in expected:
            raise _unexpected(arguments, status)

    def keep_secret(self, name: str, value: str, *arguments: str) -> None:
        """Give a secret to `auth login` as a script does, on standard input.

        From then on commands find it where that keeps it, no longer in the environment.
        """
        self._settings.pop(SECRET_VARIABLES[name])
        with self._start("auth", "login", name, *arguments, stdin=subprocess.PIPE) as child:
            child.communicate(f"{value}\n".encode())
        if child.returncode:
            raise _unexpected(("auth", "login", name), child.returncode)

    def type(self, answers: Answers, *arguments: str, without: Sequence[str] = ()) -> None:
        """Run a command at a terminal of its own and answer its questions as they come."""
        self._dialogue.note(f"$ wacoex {shlex.join(arguments)}")
        settings = {name: text for name, text in self._environ().items() if name not in without}
        command = [sys.executable, "-m", "wacoex_cli", *arguments]
        status = Typist(answers, sys.stderr).run(command, self._directory, settings, self._stdout)
        if status:
            raise _unexpected(arguments, status)

    def interrupt(self, world: World, *arguments: str) -> None:
        """Run a command and press Ctrl-C in the middle."""
        with self._start(*arguments) as child:
            while child.poll() is None:
                if len(world.log.accepted()) >= _INTERRUPT_AFTER_MESSAGES:
                    self._dialogue.note("^C")
                    child.send_signal(signal.SIGINT)
                    break
                time.sleep(0.05)
            status = child.wait()
        if status != _INTERRUPTED:
            raise _unexpected(arguments, status)

    @contextlib.contextmanager
    def listening(self, world: World) -> Iterator[None]:
        """Receive the webhooks of the pretend Meta meanwhile. Raises WacoexError if it fails."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        arguments = ("events", "listen", "--port", str(port))
        with self._start(*arguments) as child:
            try:
                _wait_until_listening(child, port, arguments)
                world.callbacks = Callbacks(meta_url=f"http://127.0.0.1:{port}/webhooks/meta")
                yield
            finally:
                world.callbacks = Callbacks()
                child.terminate()
            status = child.wait()
        if status not in (0, _TERMINATED):
            raise _unexpected(arguments, status)

    def _start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        self._dialogue.note(f"$ wacoex {shlex.join(arguments)}")
        return subprocess.Popen(  # noqa: S603 - our own program with arguments of ours
            [sys.executable, "-m", "wacoex_cli", *arguments],
            cwd=self._directory,
            env=self._environ(),
            stdin=stdin,
            stdout=self._stdout,
        )

    def _environ(self) -> Mapping[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("WACOEX_")}
        return {**own, **self._settings}


def _wait_until_listening(
    child: subprocess.Popen[bytes], port: int, arguments: tuple[str, ...]
) -> None:
    until = time.monotonic() + _LISTENS_WITHIN_SECONDS
    while child.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise _unexpected(arguments, child.poll() or 1)


def _unexpected(arguments: tuple[str, ...], status: int) -> WacoexError:
    """The failure of a command that ended as it should not."""
    return WacoexError(
        f"`wacoex {shlex.join(arguments)}` ended with exit status {status}",
        hint="the lines above say why",
        code="demo_failed",
    )


class Typist:
    """Watches what a command writes; what fits a pattern is answered, each text once.

    An answer is typed, or a function that is given the text that fits.
    """

    def __init__(self, answers: Answers, screen: TextIO) -> None:
        self._answers = [(re.compile(pattern), answer) for pattern, answer in answers]
        self._screen = screen
        self._unread = ""

    def run(
        self,
        command: Sequence[str],
        directory: Path,
        environ: Mapping[str, str],
        stdout: IO[str] | None,
    ) -> int:
        """Run a command at a terminal to its end; returns its exit status."""
        keyboard, terminal = pty.openpty()
        # What is typed is shown by us, as part of the answer.
        settings = termios.tcgetattr(terminal)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        with subprocess.Popen(  # noqa: S603 - our own program with arguments of ours
            command,
            cwd=directory,
            env=environ,
            stdin=terminal,
            stdout=stdout,
            stderr=terminal,
        ) as child:
            os.close(terminal)
            with contextlib.closing(os.fdopen(keyboard, "rb+", buffering=0)) as line:
                self._watch(line)
        return child.returncode

    def _watch(self, line: IO[bytes]) -> None:
        # Reading from a terminal that its last program has left is an error on Linux.
        with contextlib.suppress(OSError):
            while piece := line.read(_MOST_BYTES):
                text = piece.decode("utf-8", "replace").replace("\r\n", "\n")
                render.write(self._screen, text)
                self._unread += text
                self._answer(line)

    def _answer(self, line: IO[bytes]) -> None:
        for pattern, answer in self._answers:
            found = pattern.search(self._unread)
            if found is None:
                continue
            self._unread = self._unread[found.end() :]
            if isinstance(answer, str):
                render.write(self._screen, f"{answer}\n")
                line.write(f"{answer}\n".encode())
            else:
                answer(found[0])
            return
