"""The first minute: five acts of real commands against a pretend Meta, about two screens long."""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.demo.tour import (
    ANSWERS_AFTER,
    CHECKED,
    PARTIAL,
    Guide,
    add_channel,
    plan_of,
    wait_for_webhooks,
)
from wacoex_cli.errors import counted
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import PEOPLE, default_world, guest
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.serve import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.sandbox.world import World
    from wacoex_cli.terminal.dialogue import TerminalDialogue

_PAUSE_SECONDS = 2.0
_LOOKS_EVERY_SECONDS = 0.05
# With the nine days of the last act more than 12 of the 14 days are over: critical.
_CONNECTED_DAYS_AGO = 3.5
# After the Ctrl-C, which comes at the 60th.
_BROKEN = guest(120)
_SENT = "2"


class Shown(NamedTuple):
    """What came of the five acts, as the pretend Meta saw it."""

    directory: Path
    report: Path
    people: int
    left: int
    arrived: int
    sent_twice: int
    most_in_one_second: int
    seconds: float

    def lines(self) -> Iterator[str]:
        """The verdict and what to type next, for a person."""
        yield f"left:    {self.left} messages, at most {self.most_in_one_second} in one second"
        twice = "nobody" if not self.sent_twice else counted(self.sent_twice, "person")
        yield f"arrived: at {self.arrived} of {self.people} people, {twice} got it twice"
        yield f"report:  {self.report}"
        yield "what to type next:"
        yield "  wacoex sandbox start   this pretend world, to try everything yourself"
        yield "  wacoex connect shop    your own number"
        if shutil.which("wacoex") is None:
            yield "to type `wacoex` anywhere, install it first: pipx install ."


def show_acts(dialogue: TerminalDialogue, *, is_json: bool, opens_report: bool) -> Shown:
    """Run the five acts; takes under 45 seconds. With `is_json` standard output stays free.

    Before each act but the first, Enter or two seconds go on; without a terminal nothing waits.

    Raises:
        WacoexError: a command ended as it should not.
    """
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="wacoex-demo-"))
    world = default_world(onboarded_days_ago=_CONNECTED_DAYS_AGO)
    world.faults.replace([ANSWERS_AFTER])
    # A full garbage collection here would date an arrival late, and two would seem to come at once.
    gc.collect()
    gc.freeze()
    with running(world) as base_url:
        guide = Guide(directory, base_url, dialogue, is_json=is_json)
        goes_on = " (Enter goes on, or 2 seconds)" if dialogue.can_ask() else ""
        guide.say(f"a pretend Meta runs here; no message leaves{goes_on}")
        guide.step("A channel and its countdown: Meta ends it after 14 days without the app.")
        _show_channel(guide)
        with guide.listening(world, is_shown=False):
            guide.step("A messy list becomes a plan: who gets what, who does not, and why.")
            _pause(dialogue)
            guide.run(*plan_of("messy.csv"), "--country", "SG")
            guide.step(f"Send to {PEOPLE} people, stop with Ctrl-C in the middle, and go on.")
            _pause(dialogue)
            _send(guide, world)
            guide.step("A connection broke. You look: it did not arrive. You say: send it again.")
            _pause(dialogue)
            _settle(guide, world)
            guide.step("Nine days later nobody has opened the app. You hear of it in time.")
            _pause(dialogue)
            _watch(guide)
    guide.say("")
    report = directory / "report.html"
    if opens_report:
        webbrowser.open(report.as_uri())
    summary = world.log.summary()
    return Shown(
        directory=directory,
        report=report,
        people=PEOPLE,
        left=summary["accepted"],
        arrived=len({person for person, *_ in world.inbox}),
        sent_twice=len(summary["duplicates"]),
        most_in_one_second=summary["most_arrivals_in_one_second"],
        seconds=round(time.monotonic() - began, 1),
    )


def _pause(dialogue: TerminalDialogue) -> None:
    """Wait for Enter, two seconds at most; not at all where nobody could press it."""
    until = time.monotonic() + _PAUSE_SECONDS
    while dialogue.can_ask() and time.monotonic() < until and not dialogue.is_enter_pressed():
        time.sleep(_LOOKS_EVERY_SECONDS)


def _show_channel(guide: Guide) -> None:
    guide.run(*add_channel("shop", pretend.PHONE, pretend.PHONE_NUMBER_ID), "-q")
    guide.run("status", "shop", expected=CHECKED)


def _send(guide: Guide, world: World) -> None:
    broken = Fault("reset_before", recipients=frozenset({_BROKEN}))
    world.faults.replace([ANSWERS_AFTER, broken])
    guide.interrupt(world, "broadcast", "send", "--to", *plan_of("customers.csv")[2:], "--yes")
    guide.run("broadcast", "resume", _SENT, "--yes", expected=(0, PARTIAL))
    world.faults.replace([ANSWERS_AFTER])


def _settle(guide: Guide, world: World) -> None:
    guide.run("broadcast", "reconcile", _SENT, "--resend", "--expect", "1", "-q")
    guide.run("broadcast", "resume", _SENT, "--yes", "-q")
    wait_for_webhooks(world)
    guide.run("broadcast", "report", _SENT, "--html", "report.html")


def _watch(guide: Guide) -> None:
    guide.run("sandbox", "time", "+9d")
    guide.run("reminder", "notify", "--to", "ntfys://ntfy.sh/bakery-phones", "--dry-run")
    guide.run("reminder", "confirm", "shop", "--by", "Ana")
