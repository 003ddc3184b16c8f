"""`wacoex demo`: the real commands against a pretend Meta on this machine, each printed."""

from __future__ import annotations

import csv
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import wacoex_cli
from wacoex_cli.errors import WacoexError
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wacoex_cli.sandbox.world import World
    from wacoex_cli.terminal.dialogue import Dialogue

PEOPLE = 200
_ANSWER_SECONDS = 0.25
_INTERRUPT_AFTER_MESSAGES = 60
_INTERRUPTED = 130
_MESSY_ROWS = (
    ("+65 9100-0001", "Ana"),
    ("0065 9100 0002", "Ben"),
    ("(+65) 91000001", "Ana again"),
    ("not a number", "Chris"),
    ("+6591000003", ""),
    ("91000004", "Dana"),
)


@dataclass(frozen=True)
class Toured:
    """What the tour saw at the pretend Meta."""

    directory: Path
    accepted: int
    sent_twice: int
    most_in_one_second: int
    seconds: float


def tour(dialogue: Dialogue, *, is_json: bool) -> Toured:
    """Run the tour; takes well under 45 seconds. With `is_json` standard output stays free.

    Raises:
        WacoexError: a command of the tour ended as it should not.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="wacoex-demo-"))
    world = default_world()
    world.faults.replace([Fault("latency", seconds=_ANSWER_SECONDS)])
    with running(world) as base_url:
        guide = _Guide(directory, base_url, dialogue, is_json=is_json)
        guide.introduce()
        _walk(guide, world)
    summary = world.log.summary()
    return Toured(
        directory=directory,
        accepted=summary["accepted"],
        sent_twice=len(summary["duplicates"]),
        most_in_one_second=summary["most_arrivals_in_one_second"],
        seconds=round(time.monotonic() - began, 1),
    )


def _walk(guide: _Guide, world: World) -> None:
    guide.step("1. A channel: the number, and Meta's two ids for it")
    guide.run(
        "channel",
        "add",
        "practice",
        "--phone",
        pretend.PHONE,
        "--phone-number-id",
        pretend.PHONE_NUMBER_ID,
        "--waba-id",
        pretend.WABA_ID,
    )
    guide.step("2. How it stands, from what Meta says")
    guide.run("status", "practice")
    guide.step("3. A messy list is planned: what is skipped, and why")
    guide.write("messy.csv", _MESSY_ROWS)
    guide.run(*_plan("messy.csv"), "--country", "SG")
    guide.run("broadcast", "cancel", "1", "--yes")
    guide.step(f"4. {PEOPLE} people at 20 messages a second, and a Ctrl-C in the middle")
    guide.write("customers.csv", [(f"+65920{n:05d}", f"Guest {n}") for n in range(PEOPLE)])
    guide.run(*_plan("customers.csv"))
    guide.interrupt(world, "broadcast", "send", "--rate", "20", "--yes")
    guide.step("5. It goes on where it stopped; nobody is sent to twice")
    guide.run("broadcast", "resume", "2", "--yes")
    guide.step("6. What became of it, and the most messages in one second")
    guide.run("broadcast", "report", "2")
    guide.run("broadcast", "list")


def _plan(file: str) -> tuple[str, ...]:
    return ("broadcast", "plan", file, "--template", "spring_sale", "--lang", "en_US")


class _Guide:
    """Prints each command, runs it as a child process, and minds how it ends."""

    def __init__(
        self, directory: Path, base_url: str, dialogue: Dialogue, *, is_json: bool
    ) -> None:
        self._directory = directory
        self._dialogue = dialogue
        self._stdout = sys.stderr if is_json else None
        self._settings = {
            "WACOEX_META_BASE_URL": base_url,
            "WACOEX_META_TOKEN": pretend.DEFAULT_TOKEN,
            "WACOEX_STATE": str(directory / "wacoex.db"),
            "WACOEX_CONFIG_DIR": str(directory),
            "WACOEX_KEYRING": "off",
            "PYTHONPATH": str(Path(wacoex_cli.__file__).parents[1]),
        }

    def introduce(self) -> None:
        self._dialogue.note("a pretend Meta runs on this machine; no message leaves it")
        self._dialogue.note("to repeat a command, run `wacoex sandbox start` in another terminal,")
        self._dialogue.note("export what it prints, and type what stands after each `$` here:")
        self._dialogue.note(f"  cd {shlex.quote(str(self._directory))}")

    def step(self, title: str) -> None:
        self._dialogue.note(f"\n== {title}")

    def write(self, name: str, rows: Iterable[tuple[str, str]]) -> None:
        with (self._directory / name).open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("phone", "first_name"))
            writer.writerows(rows)

    def run(self, *arguments: str) -> None:
        """Run a command to its end. Raises WacoexError when it fails."""
        with self._start(arguments) as child:
            status = child.wait()
        if status:
            raise _unexpected(arguments, status)

    def interrupt(self, world: World, *arguments: str) -> None:
        """Run a command and press Ctrl-C in the middle."""
        with self._start(arguments) as child:
            while child.poll() is None:
                if len(world.log.accepted()) >= _INTERRUPT_AFTER_MESSAGES:
                    self._dialogue.note("^C")
                    child.send_signal(signal.SIGINT)
                    break
                time.sleep(0.05)
            status = child.wait()
        if status != _INTERRUPTED:
            raise _unexpected(arguments, status)

    def _start(self, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        self._dialogue.note(f"$ wacoex {shlex.join(arguments)}")
        return subprocess.Popen(  # noqa: S603 - our own program with arguments of ours
            [sys.executable, "-m", "wacoex_cli", *arguments],
            cwd=self._directory,
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
        )

    def _environ(self) -> Mapping[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("WACOEX_")}
        return {**own, **self._settings}


def _unexpected(arguments: tuple[str, ...], status: int) -> WacoexError:
    return WacoexError(
        f"`wacoex {shlex.join(arguments)}` ended with exit status {status}",
        hint="the lines above say why",
        code="demo_failed",
    )
