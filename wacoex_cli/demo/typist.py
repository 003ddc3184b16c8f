"""Somebody at the keyboard: a terminal for one command, whose questions are answered."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import termios
from typing import IO, TYPE_CHECKING, TextIO

from wacoex_cli.terminal import render

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    Answers = Sequence[tuple[str, str | Callable[[str], None]]]

_MOST_BYTES = 4096


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
