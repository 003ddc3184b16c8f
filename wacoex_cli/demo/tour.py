"""The tour: from a messy list to a channel that comes back; each command is a child process."""

from __future__ import annotations

import contextlib
import csv
import gc
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
import webbrowser
from html import unescape
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import wacoex_cli
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.onboarding import connect
from wacoex_cli.sandbox import defaults
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.account import companion_echo, open_phone, remove_partner
from wacoex_cli.sandbox.defaults import PEOPLE, default_world, guest
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
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
_LINES = 40
CHECKED = (0, 1, 2)  # a check that finds something says so by its exit status
_DAY_SECONDS = 86_400.0
# When the numbers were connected: nobody has opened the app on their phones since.
_SHOP_DAYS_AGO = 10.5
_CORNER_DAYS_AGO = 12.5
_OFFBOARD = ("offboard", "corner", "--yes")
# The questions as the command asks them, so that a new wording cannot part the two.
TYPED = (
    (re.escape(connect.VERSION), "2.26.10"),
    (re.escape(connect.BADGE), "n"),
    (re.escape(connect.OTHER_PARTNER.format(partner="your own app")), "n"),
    (re.escape(connect.TYPE_YES), "yes"),
    (r"\[y/N\] $", "y"),
)
_ANSWERED_WITHIN_SECONDS = 60.0

ANSWERS_AFTER = Fault("latency", seconds=0.25)
_REPORTED_WITHIN_SECONDS = 10.0
PARTIAL = 7
_MYSELF = "+6591000099"
# Ana and Ben are contacts of the pretend respond.io; Eva is none yet.
_CONTACTS = (("+6591000001", "Ana"), ("+6591000002", "Ben"), ("+6591000005", "Eva"))
_FINISHED = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"


class Toured(NamedTuple):
    """What the tour saw at the pretend Meta."""

    directory: Path
    accepted: int
    sent_twice: int
    most_in_one_second: int
    seconds: float


def tour(dialogue: Dialogue, *, is_json: bool, opens_report: bool = False) -> Toured:
    """Run all chapters; takes about a minute. With `is_json` standard output stays free.

    `opens_report` shows the report of the broadcast in the browser at the end.

    Raises:
        WacoexError: a command of the tour ended as it should not.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="wacoex-demo-"))
    world = _neglected_world()
    world.faults.replace([ANSWERS_AFTER])
    # A full garbage collection here would date an arrival late, and two would seem to come at once.
    gc.collect()
    gc.freeze()
    with running(world) as base_url:
        guide = Guide(directory, base_url, dialogue, is_json=is_json)
        guide.introduce()
        _connect(guide)
        with guide.listening(world):
            _send_broadcasts(guide, world)
            _watch(guide, world)
            _let_go_and_come_back(guide, world, base_url)
    if opens_report:
        webbrowser.open((directory / "report.html").as_uri())
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
    world = default_world(onboarded_days_ago=_SHOP_DAYS_AGO)
    world.nodes[pretend.SECOND_PHONE_NUMBER_ID].patch(
        {
            "is_on_biz_app": True,
            "last_onboarded_time": pretend.meta_time(world.now() - _CORNER_DAYS_AGO * _DAY_SECONDS),
        }
    )
    return world


def _connect(guide: Guide) -> None:
    guide.step("A channel: the number, and Meta's two ids for it")
    guide.run(*add_channel("shop", pretend.PHONE, pretend.PHONE_NUMBER_ID))
    guide.step("The state of the channel, from what Meta says")
    guide.run("status", "shop", expected=CHECKED)
    guide.step("Meta's webhooks are received, their signatures checked, in the background")


def _send_broadcasts(guide: Guide, world: World) -> None:
    """Plan, try, send, interrupt, resume, report, reconcile, retry; then through respond.io."""
    guide.step("A messy list is planned: what is skipped and why; one message goes to yourself")
    guide.run(
        *plan_of("messy.csv"), "--country", "SG", "--preview", "2", "--test", _MYSELF, "--yes"
    )
    guide.run("broadcast", "cancel", "1", "--yes")
    guide.step(f"{PEOPLE} people at 20 messages a second, ten first; and a Ctrl-C in the middle")
    guide.run(*plan_of("customers.csv"))
    # One connection breaks, and two people cannot be reached.
    broken = Fault("reset_before", recipients=frozenset({guest(80)}))
    unreachable = frozenset({guest(60), guest(100)})
    refused = Fault("refuse", code=131026, recipients=unreachable)
    world.faults.replace([ANSWERS_AFTER, broken, refused])
    guide.interrupt(world, "broadcast", "send", "--canary", "10", "--yes")
    guide.step("It continues where it stopped; nobody gets it twice")
    guide.run("broadcast", "resume", "3", "--yes", expected=(PARTIAL,))
    world.faults.replace([ANSWERS_AFTER])
    guide.step("What happened to it, from the webhooks, also as a page")
    wait_for_webhooks(world)
    guide.run("broadcast", "report", "3")
    guide.run("broadcast", "report", "3", "--html", "report.html")
    _settle(guide)
    _through_respondio(guide)
    guide.run("broadcast", "list")


def wait_for_webhooks(world: World) -> None:
    """Wait until a webhook reported what happened, if that does not take long."""
    until = time.monotonic() + _REPORTED_WITHIN_SECONDS
    while world.outbox.waiting() and time.monotonic() < until:
        time.sleep(0.05)


def _settle(guide: Guide) -> None:
    guide.step("One connection broke: did that message go out? Meta's history is asked, then you")
    guide.run("broadcast", "reconcile", "3")
    guide.run("broadcast", "reconcile", "3", "--resend", "--expect", "1")
    guide.run("broadcast", "resume", "3", "--yes", expected=(PARTIAL,))
    guide.step("The people whom Meta could not reach, once more, in a broadcast of their own")
    guide.run("broadcast", "retry", "3", "--only", "131026", "--yes")


def _through_respondio(guide: Guide) -> None:
    guide.step("The same through respond.io: its contacts, its pace, its statuses")
    guide.use_respondio()
    number = str(RESPONDIO_CHANNEL_ID)
    respondio = ("--provider", "respondio", "--respondio-channel-id", number)
    guide.run("channel", "edit", "shop", *respondio)
    guide.write("contacts.csv", _CONTACTS)
    guide.run(*plan_of("contacts.csv"), "--create-contacts")
    guide.run("broadcast", "send", "--yes")
    guide.run("channel", "edit", "shop", "--provider", "meta")


def plan_of(file: str) -> tuple[str, ...]:
    return ("broadcast", "plan", file, "--template", "spring_sale", "--lang", "en_US")


def _watch(guide: Guide, world: World) -> None:
    guide.step("A second phone that nobody has opened for 12 days: Meta disconnects after 14")
    guide.run(*add_channel("corner", pretend.SECOND_PHONE, pretend.SECOND_PHONE_NUMBER_ID))
    guide.run("status", "corner", expected=CHECKED)
    guide.step("Somebody writes from a computer: a webhook reports it, but no phone was opened")
    companion_echo(world)
    wait_for_webhooks(world)
    guide.run("events", "list", "--kind", "echo")
    guide.run("reminder", "check", expected=CHECKED)
    guide.step("Who would get a notice from cron, and what it says")
    guide.run("reminder", "notify", "--to", "ntfys://ntfy.sh/bakery-phones", "--dry-run")
    guide.step("Ana opens the app on that phone and records it: the countdown starts again")
    guide.run("reminder", "confirm", "corner", "--by", "Ana")
    guide.run("reminder", "check", expected=CHECKED)
    guide.step("The month's active contacts")
    guide.run("mac")


def _let_go_and_come_back(guide: Guide, world: World, base_url: str) -> None:
    number = pretend.SECOND_PHONE_NUMBER_ID
    guide.step("The corner shop leaves: what changes, both ways to disconnect, and the proof")

    def disconnect(seen: str) -> None:
        remove_partner(world, initiated_by="USER", phone_number_id=number)

    guide.type([("waiting until the disconnection shows", disconnect)], *_OFFBOARD)
    guide.step("It comes back, by the signup page of your own Meta app, with a message as proof")
    guide.run("channel", "restore", "corner")
    guide.keep_secret("meta-app-secret", pretend.APP_SECRET, "-c", "corner", "--insecure-file")

    def in_the_browser(seen: str) -> None:
        _sign_up(seen, base_url, pretend.SECOND_PHONE)

    def on_the_phone(seen: str) -> None:
        open_phone(world, phone_number_id=number)

    guide.type(
        [
            (r"http://localhost:\d+/\S+(?=\s)", in_the_browser),
            (re.escape(connect.SEND), on_the_phone),
            *TYPED,
        ],
        *("connect", "corner", "--via", "signup"),
        without="WACOEX_META_TOKEN",
    )
    guide.run("reminder", "check", "corner", expected=CHECKED)


def _sign_up(page_url: str, meta_url: str, phone: str) -> None:
    """Open the page, go through the pretend Facebook window for a number, and report its end.

    The page works once, and only in the browser that opened it.
    """
    import httpx

    origin, _, path = page_url.rpartition("/")
    with httpx.Client(trust_env=False, timeout=30.0) as browser:
        page = browser.get(f"{origin}/{path}")
        data = {
            name: unescape(value)
            for name, value in re.findall(r'data-([a-z-]+)="([^"]*)"', page.text)
        }
        window = browser.post(f"{meta_url}/dialog/finish", json={"phone": phone}).json()
        report = {"state": data["state"], "kind": "finished", "event": _FINISHED, **window}
        browser.post(f"{origin}{data['report-path']}", json=report, headers={"Origin": origin})


def add_channel(name: str, phone: str, phone_number_id: str) -> tuple[str, ...]:
    ids = ("--phone-number-id", phone_number_id, "--waba-id", pretend.WABA_ID)
    return ("channel", "add", name, "--phone", phone, *ids)


# Not given to the commands from the start: respond.io comes later, and notices stay shown.
_LATER = frozenset({"WACOEX_RESPONDIO_TOKEN", "WACOEX_NOTIFY_URLS"})


class Guide:
    """Prints each command, runs it as a child process, and checks how it ends."""

    def __init__(
        self, directory: Path, base_url: str, dialogue: Dialogue, *, is_json: bool
    ) -> None:
        self._steps = 0
        self._directory = directory
        self._dialogue = dialogue
        self._stdout = sys.stderr if is_json else None
        settings = defaults.settings(base_url, directory)
        self._settings = {
            **{name: text for name, text in settings.items() if name not in _LATER},
            "WACOEX_META_TOKEN": pretend.DEFAULT_TOKEN,
            # The introduction says it once for all commands.
            render.SANDBOX_SAID: base_url,
            "PYTHONPATH": str(Path(wacoex_cli.__file__).parents[1]),
        }
        for name, content in defaults.practice_files().items():
            (directory / name).write_bytes(content)

    def use_respondio(self) -> None:
        """From now on commands have a token for respond.io."""
        self._settings["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN

    def introduce(self) -> None:
        self.say("a pretend Meta runs on this machine; no message leaves it")
        self._dialogue.note("to repeat a command, run `wacoex sandbox start` in another terminal,")
        self._dialogue.note("type what it prints, and then what is after each `$` here:")
        self._dialogue.note(f"  cd {shlex.quote(str(self._directory))}")

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        self._dialogue.note(text)

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

    def type(self, answers: Answers, *arguments: str, without: str = "") -> None:
        """Run a command at a terminal of its own; what fits a pattern is answered, once each text.

        An answer is typed, or a function that is given the text that fits. A pattern sees one
        blank where a line wraps. `without` is a variable that the command does not get.

        Raises:
            WacoexError: the command asked something else, or failed.
        """
        keyboard, terminal = pty.openpty()
        # What is typed is shown by us, as part of the answer.
        settings = termios.tcgetattr(terminal)
        settings[3] &= ~termios.ECHO
        termios.tcsetattr(terminal, termios.TCSANOW, settings)
        termios.tcsetwinsize(terminal, (_LINES, render.columns_of(sys.stderr)))
        environ = {name: text for name, text in self._environ().items() if name != without}
        with self._start(*arguments, stdin=terminal, stderr=terminal, environ=environ) as child:
            os.close(terminal)
            with contextlib.closing(os.fdopen(keyboard, "rb+", buffering=0)) as line:
                try:
                    _type(answers, line)
                except WacoexError:
                    child.terminate()
                    raise
        if child.returncode:
            raise _unexpected(arguments, child.returncode)

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
    def listening(self, world: World, *, is_shown: bool = True) -> Iterator[None]:
        """Receive the webhooks of the pretend Meta meanwhile. Raises WacoexError if it fails.

        What the listener prints is shown only if `is_shown`.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        arguments = ("events", "listen", "--port", str(port))
        hidden = None if is_shown else subprocess.DEVNULL
        with self._start(*arguments, stdout=hidden, stderr=hidden) as child:
            try:
                until = time.monotonic() + _LISTENS_WITHIN_SECONDS
                while not _is_open(port):
                    if child.poll() is not None or time.monotonic() > until:
                        raise _unexpected(arguments, child.poll() or 1)
                    time.sleep(0.05)
                world.callbacks = Callbacks(meta_url=f"http://127.0.0.1:{port}/webhooks/meta")
                yield
            finally:
                world.callbacks = Callbacks()
                child.terminate()
            status = child.wait()
        if status not in (0, _TERMINATED):
            raise _unexpected(arguments, status)

    def _start(
        self,
        *arguments: str,
        stdin: int = subprocess.DEVNULL,
        stdout: int | None = None,
        stderr: int | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        if stdout != subprocess.DEVNULL:
            self._dialogue.note(f"$ wacoex {shlex.join(arguments)}")
        return subprocess.Popen(  # noqa: S603 - our own program with arguments of ours
            [sys.executable, "-m", "wacoex_cli", *arguments],
            cwd=self._directory,
            env=environ or self._environ(),
            stdin=stdin,
            stdout=self._stdout if stdout is None else stdout,
            stderr=stderr,
        )

    def _environ(self) -> Mapping[str, str]:
        own = {name: text for name, text in os.environ.items() if not name.startswith("WACOEX_")}
        return {**own, **self._settings}


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _unexpected(arguments: tuple[str, ...], status: int) -> WacoexError:
    """The failure of a command that ended as it should not."""
    return WacoexError(
        f"`wacoex {shlex.join(arguments)}` ended with exit status {status}",
        hint="the lines above say why",
        code="demo_failed",
    )


def _type(answers: Answers, line: IO[bytes]) -> None:
    """Show what a command writes at its terminal, and answer it, until it ends."""
    unread = ""
    # Reading from a terminal that its last program has left is an error on Linux.
    with contextlib.suppress(OSError):
        while piece := _read(line, unread):
            text = piece.decode("utf-8", "replace").replace("\r\n", "\n")
            render.write(sys.stderr, text)
            unread = re.sub(r"\s+", " ", unread + text)
            found = ((re.search(pattern, unread), answer) for pattern, answer in answers)
            match, answer = next(((match, answer) for match, answer in found if match), (None, ""))
            if match is None:
                continue
            if callable(answer):
                unread = unread[match.end() :]
                answer(match[0])
            elif unread.endswith((": ", "] ")):
                unread = ""
                render.write(sys.stderr, f"{answer}\n")
                line.write(f"{answer}\n".encode())


def _read(line: IO[bytes], unread: str) -> bytes:
    if not select.select([line], [], [], _ANSWERED_WITHIN_SECONDS)[0]:
        raise WacoexError(
            f"a command of the demo waits for something that the demo does not do: {unread[-200:]}",
            hint="report this as a fault of wacoex; `wacoex demo` shows the five acts",
            code="demo_failed",
        )
    return line.read(_MOST_BYTES)
