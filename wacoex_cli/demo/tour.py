"""The tour: what is shown, in which order; from a messy list to a channel that comes back."""

from __future__ import annotations

import gc
import re
import tempfile
import time
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.demo.guide import Guide
from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.account import companion_echo, open_phone, remove_partner
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import meta_time

if TYPE_CHECKING:
    from wacoex_cli.sandbox.world import World
    from wacoex_cli.terminal.dialogue import Dialogue

_CHECKED = (0, 1, 2)  # a check that finds something says so by its exit status
_DAY_SECONDS = 86_400.0
# When the numbers were connected: nobody has opened the app on their phones since.
_PRACTICE_DAYS_AGO = 10.5
_CORNER_DAYS_AGO = 12.5
_OFFBOARD = ("offboard", "corner", "--yes")
_TYPED = (
    (r"Help, App info\): $", "2.26.10"),
    (r"Meta Verified badge for this business\? \[y/N\] $", "n"),
    (r"pay for it\? \[y/N\] $", "n"),
    (r"go through it one by one: $", "yes"),
    (r"\[y/N\] $", "y"),
)

_PEOPLE = 160
_ANSWERS_AFTER = Fault("latency", seconds=0.25)
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
_FINISHED = "FINISH_WHATSAPP_BUSINESS_APP_ONBOARDING"


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
    world.faults.replace([_ANSWERS_AFTER])
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


def _connect(guide: Guide) -> None:
    guide.step("A channel: the number, and Meta's two ids for it")
    guide.run(*_channel("practice", pretend.PHONE, pretend.PHONE_NUMBER_ID))
    guide.step("How it stands, from what Meta says")
    guide.run("status", "practice", expected=_CHECKED)
    guide.step("Meta's webhooks are received, their signatures checked, in the background")


def _send_broadcasts(guide: Guide, world: World) -> None:
    """Plan, try, send, interrupt, resume, report, reconcile, retry; then through respond.io."""
    guide.step("A messy list is planned: what is skipped and why; one message goes to oneself")
    guide.write("messy.csv", _MESSY_ROWS)
    guide.run(*_plan("messy.csv"), "--country", "SG", "--preview", "2", "--test", _MYSELF, "--yes")
    guide.run("broadcast", "cancel", "1", "--yes")
    guide.step(f"{_PEOPLE} people at 20 messages a second, ten first; and a Ctrl-C in the middle")
    guide.write("customers.csv", [(_guest(n), f"Guest {n}") for n in range(_PEOPLE)])
    guide.run(*_plan("customers.csv"))
    world.faults.replace([_ANSWERS_AFTER, *_bad_luck()])
    guide.interrupt(world, "broadcast", "send", "--canary", "10", "--yes")
    guide.step("It goes on where it stopped; nobody is sent to twice")
    guide.run("broadcast", "resume", "3", "--yes", expected=(_PARTIAL,))
    world.faults.replace([_ANSWERS_AFTER])
    guide.step("What became of it, as webhooks tell, also as a page to look at")
    _let_it_tell(world)
    guide.run("broadcast", "report", "3")
    guide.run("broadcast", "report", "3", "--html", "report.html")
    _settle(guide)
    _through_respondio(guide)
    guide.run("broadcast", "list")


def _let_it_tell(world: World) -> None:
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


def _watch(guide: Guide, world: World) -> None:
    guide.step("A second phone that nobody has opened for 12 days: Meta disconnects after 14")
    guide.run(*_channel("corner", pretend.SECOND_PHONE, pretend.SECOND_PHONE_NUMBER_ID))
    guide.run("status", "corner", expected=_CHECKED)
    guide.step("Somebody writes from a computer: told by webhook, but no proof of the phone")
    companion_echo(world)
    _let_it_tell(world)
    guide.run("events", "list", "--kind", "echo")
    guide.run("reminder", "check", expected=_CHECKED)
    guide.step("Whom a cron job would tell, and what")
    guide.run("reminder", "notify", "--to", "ntfys://ntfy.sh/bakery-phones", "--dry-run")
    guide.step("Ana opens the app on that phone and says so: the countdown begins anew")
    guide.run("reminder", "confirm", "corner", "--by", "Ana")
    guide.run("reminder", "check", expected=_CHECKED)
    guide.step("The month's active contacts")
    guide.run("mac")


def _let_go_and_come_back(guide: Guide, world: World, base_url: str) -> None:
    number = pretend.SECOND_PHONE_NUMBER_ID
    guide.step("The corner shop leaves: what changes, both ways to disconnect, and the proof")

    def disconnect(seen: str) -> None:
        remove_partner(world, initiated_by="USER", phone_number_id=number)

    guide.type([("waiting until the disconnection shows", disconnect)], *_OFFBOARD)
    guide.step("It comes back, by the signup page of an own Meta app, with a message as proof")
    guide.run("channel", "restore", "corner")
    guide.keep_secret("meta-app-secret", pretend.APP_SECRET, "-c", "corner", "--insecure-file")

    def in_the_browser(seen: str) -> None:
        _sign_up(seen, base_url, pretend.SECOND_PHONE)

    def on_the_phone(seen: str) -> None:
        open_phone(world, phone_number_id=number)

    guide.type(
        [
            (r"http://localhost:\d+/\S+", in_the_browser),
            ("send any message from the phone now", on_the_phone),
            *_TYPED,
        ],
        *("connect", "corner", "--via", "signup"),
        without=("WACOEX_META_TOKEN",),
    )
    guide.run("reminder", "check", "corner", expected=_CHECKED)


def _sign_up(page_url: str, meta_url: str, phone: str) -> None:
    """Open the page, go through the pretend Facebook window for a number, and report its end.

    The page works once, and hears only whoever it was shown to.
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


def _channel(name: str, phone: str, phone_number_id: str) -> tuple[str, ...]:
    ids = ("--phone-number-id", phone_number_id, "--waba-id", pretend.WABA_ID)
    return ("channel", "add", name, "--phone", phone, *ids)
