"""The `console` blocks of README and docs: read, run in order, compared, and printed again.

Each page has a fresh sandbox, home and state file. `python -m tests.support.consoles` (part of
`make docs`) writes into the pages what the commands print now, where more changed than times.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wacoex_cli.foundation.secrets import write_secret
from wacoex_cli.sandbox import defaults
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import World

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")))
COLUMNS = 88
_SECONDS = 40.0
_ANYTHING = "..."
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_BANNER = "sandbox: talking to"

# Every page but these begins with the channel that the README adds.
ADD_SHOP = (
    f"wacoex channel add shop --phone {pretend.PHONE}"
    f" --phone-number-id {pretend.PHONE_NUMBER_ID} --waba-id {pretend.WABA_ID}"
)
ADDS_ITS_CHANNEL = ("README.md", "docs/start.md", "docs/agency.md")

_WEEKDAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_ZONE = r"(?:Z| ?UTC| [A-Z]\w+/\w+| ?[+-]\d\d:?\d\d)?"
# What differs between two runs of the same command, and the word that stands for it.
_VARIABLE = (
    (re.compile(rf"\d{{4}}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?{_ZONE}"), "TIME"),
    (
        re.compile(rf"(?:{_WEEKDAY},? )?\d{{1,2}} {_MONTH}(?: \d{{4}})?(?:,? \d\d:\d\d)?{_ZONE}"),
        "TIME",
    ),
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "TIME"),
    (re.compile(r"\b\d{4}-\d\d\b"), "MONTH"),
    (re.compile(r"\bin \d+ (?:second|minute|hour|day|week)s?\b"), "WHEN"),
    (re.compile(r"\b\d+ (?:second|minute|min|hour|day|week)s? ago\b|\b(?:just )?now\b"), "WHEN"),
    (re.compile(r"\b\d+(?:\.\d+)? ?s\b"), "SECONDS"),
    (re.compile(r"\b\d\d?:\d\d(?::\d\d)?\b"), "CLOCK"),
    (re.compile(r"\b\d+(?:\.\d+)?/s\b"), "RATE"),
    (re.compile(r"\b\d+ most in one second|\bat most \d+ in one second"), "MOST"),
    (re.compile(r"\bprocess \d+ on \S+(?=[),])"), "PROCESS"),
    (re.compile(r"127\.0\.0\.1:\d+"), "ADDRESS"),
    (re.compile(r"\d{8}T\d{6}Z"), "STAMP"),
    (re.compile(r"=-?\d+\.\d+;"), "=DAYS;"),
    (re.compile(r"\b\d+(?:\.\d+)? (?:k?B|[kKM]iB|bytes)\b"), "SIZE"),
    # A plan looks up as many people as it can in a few seconds.
    (re.compile(r"(?<=respond\.io: )\d+\b"), "SEVERAL"),
)


class Shown(NamedTuple):
    """One command of a block, and the lines below it."""

    command: str
    output: tuple[str, ...]


class Block(NamedTuple):
    """One `console` block: its page, the line it begins on, and its commands."""

    page: str
    line: int
    shown: tuple[Shown, ...]

    @property
    def first(self) -> str:
        """The first command, by which lists name the block."""
        return self.shown[0].command.splitlines()[0]


def blocks(page: str) -> list[Block]:
    """The console blocks of a page, in order. Raises ValueError for output without a command."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, tuple(_commands(found[1])))
        for found in _BLOCK.finditer(text)
    ]


def _commands(text: str) -> Iterator[Shown]:
    command: list[str] = []
    output: list[str] = []
    for line in text.splitlines():
        continues = bool(command) and command[-1].endswith("\\") and not output
        if line.startswith("$ ") and not continues:
            if command:
                yield Shown("\n".join(command), tuple(output))
            command, output = [line.removeprefix("$ ")], []
        elif continues:
            command.append(line)
        elif command:
            output.append(line)
        else:
            raise ValueError(f"no command stands above `{line}`")
    if command:
        yield Shown("\n".join(command), tuple(output))


def plain(text: str) -> str:
    """A printed text without what differs between two runs: times, speeds, ports, line ends.

    Where a line ends follows from the length of the times and paths in it.
    """
    text = " ".join(text.split())
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return text


def agrees(printed: Sequence[str], stands: Sequence[str]) -> bool:
    """Whether a page shows what was printed; `...` stands for any text.

    A command without lines below it may print what it likes, but no error.
    """
    if not stands:
        return not any(line.startswith("error:") for line in printed)
    parts = plain("\n".join(stands)).split(_ANYTHING)
    pattern = ".*".join(re.escape(part.strip()) for part in parts)
    return bool(re.fullmatch(pattern, plain("\n".join(printed))))


class Console:
    """A terminal in a home of its own, with the sandbox as the world."""

    def __init__(self, directory: Path, base_url: str, page: str) -> None:
        self._top = directory
        self._home = directory / "home" / "ana"
        self.work = self._home / "shop"
        self.work.mkdir(parents=True)
        program = directory / "bin" / "wacoex"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m wacoex_cli "$@"\n')
        program.chmod(0o755)
        for name, content in defaults.practice_files().items():
            (self.work / name).write_bytes(content)
        self._environ = {
            **{name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ},
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self._home),
            "USER": "ana",
            "LOGNAME": "ana",
            "TZ": "UTC",
            "TERM": "dumb",
            "COLUMNS": str(COLUMNS),
            **defaults.settings(base_url, self.work),
        }
        secret = self.work / "sandbox-config" / "secrets" / "meta-token"
        write_secret(secret, pretend.DEFAULT_TOKEN)
        if page not in ADDS_ITS_CHANNEL:
            self.enter(Shown(ADD_SHOP, ()))

    def enter(self, shown: Shown) -> list[str]:
        """What a command prints, as the lines of a page. What the page answers is typed.

        Raises TimeoutError when it does not end.
        """
        text = _ESCAPES.sub("", self.screen(shown)).replace(str(self._top), "")
        lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
        return [line for line in _without_ends(lines) if not line.startswith(_BANNER)]

    @contextlib.contextmanager
    def beside(self, command: str) -> Iterator[None]:
        """Let a command run meanwhile, such as a listener."""
        process = subprocess.Popen(
            shlex.split(command),
            cwd=self.work,
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def screen(self, shown: Shown, **environ: str) -> str:
        """The same as a terminal gets it, with its colours; `environ` is set for this command."""
        master, slave = os.openpty()
        termios.tcsetwinsize(slave, (50, COLUMNS))
        process = subprocess.Popen(
            ["bash", "-c", shown.command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=self.work,
            env={**self._environ, **environ},
            start_new_session=True,
        )
        os.close(slave)
        try:
            text = _follow(master, process, shown)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            os.close(master)
        return text.replace("\r\n", "\n")


def _follow(master: int, process: subprocess.Popen[bytes], shown: Shown) -> str:
    seen, answered, until = b"", 0, time.monotonic() + _SECONDS
    while True:
        if time.monotonic() > until:
            raise TimeoutError(f"`{shown.command}` does not end: {seen.decode()[-500:]}")
        if select.select([master], [], [], 0.1)[0]:
            try:
                read = os.read(master, 65536)
            except OSError:  # the error of Linux when the last writer has closed the terminal
                read = b""
            if not read:
                return seen.decode()
            seen += read
            continue
        if process.poll() is not None:
            return seen.decode()
        waiting = seen.decode(errors="replace").replace("\r\n", "\n").rpartition("\n")[2]
        answer = _answer(waiting, shown.output)
        if answer is not None and len(seen) != answered:
            os.write(master, f"{answer}\n".encode())
            answered = len(seen) + len(answer) + 2


def _answer(waiting: str, output: Sequence[str]) -> str | None:
    """What the page shows typed behind the question on which the command waits."""
    if not waiting.endswith((": ", "? ", "] ")):
        return None
    # A page may hold a question on one line that the terminal wraps, or the other way round.
    words = r"\s+".join(map(re.escape, plain(waiting).split()))
    page = "\n".join(map(plain, output))
    if found := re.search(rf"(?:^|\s){words} ?([^\n]*)", page):
        return found[1].strip()
    if re.search(r"\[[^\]]+\]: $", waiting):
        return ""  # Enter takes the answer in brackets
    return "y" if waiting.endswith("[y/N] ") else None


def _without_ends(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


@contextlib.contextmanager
def opened(page: str, world: World | None = None) -> Iterator[Console]:
    """A console for one page, beside a fresh sandbox or that world."""
    world = world or defaults.practice_world()
    # A listener of somebody else on this machine must not get what happens here.
    world.callbacks = Callbacks()
    with (
        tempfile.TemporaryDirectory(prefix="w", dir="/tmp") as directory,
        running(world) as base_url,
    ):
        yield Console(Path(directory).resolve(), base_url, page)


def words_of(command: str) -> list[str]:
    """The words of a `wacoex` command without what the shell does with its output.

    Other programs give an empty list. Raises ValueError for quotes that do not end.
    """
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    words = list(lexer)
    end = next((i for i, word in enumerate(words) if set(word) <= set("|&;<>")), len(words))
    return words[1:end] if words[:1] == ["wacoex"] else []


def print_again(page: str, skipped: Sequence[str]) -> int:
    """Write into a page what its commands print now; returns how many of them changed."""
    path, changed = ROOT / page, 0
    text = path.read_text(encoding="utf-8")
    with opened(page) as console:
        for block in blocks(page):
            for shown in block.shown if block.first not in skipped else ():
                printed = console.enter(shown)
                if agrees(printed, shown.output):
                    continue
                before = "\n".join((f"$ {shown.command}", *shown.output))
                after = "\n".join((f"$ {shown.command}", *printed))
                text = text.replace(f"{before}\n", f"{after}\n", 1)
                path.write_text(text, encoding="utf-8")
                changed += 1
    return changed


def _main() -> None:
    from tests.test_docs import CANNOT_RUN

    for page in sys.argv[1:] or PAGES:
        skipped = [first for name, first in CANNOT_RUN if name == page]
        if changed := print_again(page, skipped):
            print(f"{page}: {changed} commands print something else now; look at the difference")


if __name__ == "__main__":
    _main()
