"""`wacoex demo`: the real commands against a pretend Meta on this machine, each printed."""

from __future__ import annotations

import contextlib
import csv
import os
import shlex
import signal
import socket
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
from wacoex_cli.sandbox.nodes import meta_time
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.travel import companion_echo
from wacoex_cli.sandbox.webhooks import Callbacks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.sandbox.world import World
    from wacoex_cli.terminal.dialogue import Dialogue

PEOPLE = 200
_ANSWER_SECONDS = 0.25
_INTERRUPT_AFTER_MESSAGES = 60
_INTERRUPTED = 130
_TERMINATED = 143
_CHECKED = (0, 1, 2)  # a check that finds something says so by its exit status
_LISTENS_WITHIN_SECONDS = 20.0
_TOLD_WITHIN_SECONDS = 10.0
_DAY_SECONDS = 86_400.0
# When the numbers were connected: nobody has opened the app on their phones since.
_PRACTICE_DAYS_AGO = 10.5
_CORNER_DAYS_AGO = 12.5
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
    world = _neglected_world()
    world.faults.replace([Fault("latency", seconds=_ANSWER_SECONDS)])
    with running(world) as base_url:
        guide = _Guide(directory, base_url, dialogue, is_json=is_json)
        guide.introduce()
        _connect(guide)
        with guide.listening(world):
            _broadcast(guide, world)
            _watch(guide, world)
    summary = world.log.summary()
    return Toured(
        directory=directory,
        accepted=summary["accepted"],
        sent_twice=len(summary["duplicates"]),
        most_in_one_second=summary["most_arrivals_in_one_second"],
        seconds=round(time.monotonic() - began, 1),
    )


def _neglected_world() -> World:
    """Two numbers that were connected a while ago, and not opened on the phone since."""
    world = default_world(onboarded_days_ago=_PRACTICE_DAYS_AGO)
    world.nodes[pretend.SECOND_PHONE_NUMBER_ID].patch(
        {
            "is_on_biz_app": True,
            "last_onboarded_time": meta_time(world.now() - _CORNER_DAYS_AGO * _DAY_SECONDS),
        }
    )
    return world


def _connect(guide: _Guide) -> None:
    guide.step("1. A channel: the number, and Meta's two ids for it")
    guide.run(*_channel("practice", pretend.PHONE, pretend.PHONE_NUMBER_ID))
    guide.step("2. How it stands, from what Meta says")
    guide.run("status", "practice", expected=_CHECKED)
    guide.step("3. Meta's webhooks are received, their signatures checked, in the background")


def _broadcast(guide: _Guide, world: World) -> None:
    guide.step("4. A messy list is planned: what is skipped, and why")
    guide.write("messy.csv", _MESSY_ROWS)
    guide.run(*_plan("messy.csv"), "--country", "SG")
    guide.run("broadcast", "cancel", "1", "--yes")
    guide.step(f"5. {PEOPLE} people at 20 messages a second, and a Ctrl-C in the middle")
    guide.write("customers.csv", [(f"+65920{n:05d}", f"Guest {n}") for n in range(PEOPLE)])
    guide.run(*_plan("customers.csv"))
    guide.interrupt(world, "broadcast", "send", "--rate", "20", "--yes")
    guide.step("6. It goes on where it stopped; nobody is sent to twice")
    guide.run("broadcast", "resume", "2", "--yes")
    guide.step("7. What became of it, as webhooks tell, and the most messages in one second")
    _let_it_tell(world)
    guide.run("broadcast", "report", "2")
    guide.run("broadcast", "list")


def _watch(guide: _Guide, world: World) -> None:
    guide.step("8. A second phone that nobody has opened for 12 days: Meta disconnects after 14")
    guide.run(*_channel("corner", pretend.SECOND_PHONE, pretend.SECOND_PHONE_NUMBER_ID))
    guide.run("status", "corner", expected=_CHECKED)
    guide.step("9. Somebody writes from a computer: told by webhook, but no proof of the phone")
    companion_echo(world)
    _let_it_tell(world)
    guide.run("events", "list", "--kind", "echo")
    guide.run("reminder", "check", expected=_CHECKED)
    guide.step("10. Whom a cron job would tell, and what")
    guide.run("reminder", "notify", "--to", "ntfys://ntfy.sh/bakery-phones", "--dry-run")
    guide.step("11. Ana opens the app on that phone and says so: the countdown begins anew")
    guide.run("reminder", "confirm", "corner", "--by", "Ana")
    guide.run("reminder", "check", expected=_CHECKED)
    guide.step("12. The month's active contacts")
    guide.run("mac")


def _let_it_tell(world: World) -> None:
    """Wait until what has happened was told by webhook, if that does not take long."""
    until = time.monotonic() + _TOLD_WITHIN_SECONDS
    while world.outbox.waiting() and time.monotonic() < until:
        time.sleep(0.05)


def _channel(name: str, phone: str, phone_number_id: str) -> tuple[str, ...]:
    ids = ("--phone-number-id", phone_number_id, "--waba-id", pretend.WABA_ID)
    return ("channel", "add", name, "--phone", phone, *ids)


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
            "WACOEX_META_APP_ID": pretend.APP_ID,
            "WACOEX_META_APP_SECRET": pretend.APP_SECRET,
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

    def run(self, *arguments: str, expected: Sequence[int] = (0,)) -> None:
        """Run a command to its end. Raises WacoexError when it ends in another way."""
        with self._start(arguments) as child:
            status = child.wait()
        if status not in expected:
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

    @contextlib.contextmanager
    def listening(self, world: World) -> Iterator[None]:
        """Receive the webhooks of the pretend Meta meanwhile. Raises WacoexError if it fails."""
        port = _free_port()
        arguments = ("events", "listen", "--port", str(port))
        with self._start(arguments) as child:
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
    return WacoexError(
        f"`wacoex {shlex.join(arguments)}` ended with exit status {status}",
        hint="the lines above say why",
        code="demo_failed",
    )
