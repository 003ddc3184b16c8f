"""The part of the tour that sends: from a messy list to what became of every row, both ways."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID

if TYPE_CHECKING:
    from wacoex_cli.demo.guide import Guide
    from wacoex_cli.sandbox.world import World

PEOPLE = 160
ANSWERS_AFTER = Fault("latency", seconds=0.25)
_TOLD_WITHIN_SECONDS = 10.0
_PARTIAL = 7
_MYSELF = "+6591000099"
_MESSY_ROWS = (
    ("+65 9100-0001", "Ana"),
    ("0065 9100 0002", "Ben"),
    ("(+65) 91000001", "Ana again"),
    ("not a number", "Chris"),
    ("+6591000003", ""),
    ("91000004", "Dana"),
)
# Ana and Ben are contacts of the pretend respond.io; Eva is none yet.
_CONTACTS = (("+6591000001", "Ana"), ("+6591000002", "Ben"), ("+6591000005", "Eva"))


def send_broadcasts(guide: Guide, world: World) -> None:
    """Plan, try, send, interrupt, resume, report, reconcile, retry; then through respond.io."""
    guide.step("A messy list is planned: what is skipped and why; one message goes to oneself")
    guide.write("messy.csv", _MESSY_ROWS)
    guide.run(*_plan("messy.csv"), "--country", "SG", "--preview", "2", "--test", _MYSELF, "--yes")
    guide.run("broadcast", "cancel", "1", "--yes")
    guide.step(f"{PEOPLE} people at 20 messages a second, ten first; and a Ctrl-C in the middle")
    guide.write("customers.csv", [(_guest(n), f"Guest {n}") for n in range(PEOPLE)])
    guide.run(*_plan("customers.csv"))
    world.faults.replace([ANSWERS_AFTER, *_bad_luck()])
    guide.interrupt(world, "broadcast", "send", "--canary", "10", "--yes")
    guide.step("It goes on where it stopped; nobody is sent to twice")
    guide.run("broadcast", "resume", "3", "--yes", expected=(_PARTIAL,))
    world.faults.replace([ANSWERS_AFTER])
    guide.step("What became of it, as webhooks tell, also as a page to look at")
    let_it_tell(world)
    guide.run("broadcast", "report", "3")
    guide.run("broadcast", "report", "3", "--html", "report.html")
    _settle(guide)
    _through_respondio(guide)
    guide.run("broadcast", "list")


def let_it_tell(world: World) -> None:
    """Wait until what has happened was told by webhook, if that does not take long."""
    until = time.monotonic() + _TOLD_WITHIN_SECONDS
    while world.outbox.waiting() and time.monotonic() < until:
        time.sleep(0.05)


def _settle(guide: Guide) -> None:
    guide.step("One connection broke: did that message go out? Meta's history is asked, then you")
    guide.run("broadcast", "reconcile", "3")
    guide.run("broadcast", "reconcile", "3", "--resend", "--expect", "1")
    guide.run("broadcast", "resume", "3", "--yes", expected=(_PARTIAL,))
    guide.step("Whom Meta could not reach, tried once more, in a broadcast of its own")
    guide.run("broadcast", "send", "3", "--retry-failed", "131026", "--yes")


def _through_respondio(guide: Guide) -> None:
    guide.step("The same through respond.io: its contacts, its pace, its statuses")
    guide.use_respondio()
    number = str(RESPONDIO_CHANNEL_ID)
    respondio = ("--provider", "respondio", "--respondio-channel-id", number)
    guide.run("channel", "edit", "practice", *respondio)
    guide.write("contacts.csv", _CONTACTS)
    guide.run(*_plan("contacts.csv"), "--create-contacts")
    guide.run("broadcast", "send", "--yes")
    guide.run("channel", "edit", "practice", "--provider", "meta")


def _bad_luck() -> tuple[Fault, ...]:
    """One connection breaks, and two people cannot be reached."""
    unreachable = frozenset({_guest(60), _guest(100)})
    return (
        Fault("reset_before", recipients=frozenset({_guest(80)})),
        Fault("refuse", code=131026, recipients=unreachable),
    )


def _guest(number: int) -> str:
    return f"+65920{number:05d}"


def _plan(file: str) -> tuple[str, ...]:
    return ("broadcast", "plan", file, "--template", "spring_sale", "--lang", "en_US")
