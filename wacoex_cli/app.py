"""The command table: what there is, in the order a person meets it, and where it is made."""

import functools
import importlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli import __version__
from wacoex_cli.terminal.help import ListedCommand, PlainCommand, PlainGroup
from wacoex_cli.terminal.options import Candidate, group, offer_values, parameters

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.consumers import Interest, WebPage
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.events import Projection

# Under each heading: name, `package:group` (the group itself, or the one that holds the command)
# and what a list says about it. The package's commands.py is imported when it is used.
TABLE = {
    "Set up": (
        (
            "auth",
            "setup:auth",
            "Tokens and other secrets: store them, delete them, see whether they work.",
        ),
        ("channel", "channels:app", "The phone numbers that wacoex manages."),
        (
            "connect",
            "onboarding:root",
            "Connect a number to the WhatsApp Business Platform and keep the app.",
        ),
        (
            "offboard",
            "onboarding:root",
            "Disconnect a channel from its partner, wait for the proof, and archive it.",
        ),
    ),
    "Watch": (
        (
            "status",
            "diagnosis:root",
            "Show the channels: what Meta says, what wacoex found, and what to do.",
        ),
        (
            "reminder",
            "inactivity:app",
            "Never lose a channel: remind people to open the app on the phone every 14 days.",
        ),
        (
            "partner",
            "partners:app",
            "Who is connected to the WhatsApp Business Account (WABA), as far as wacoex can see.",
        ),
        (
            "device",
            "devices:app",
            "The companions linked to the phone: no API lists them, so wacoex keeps the list.",
        ),
        ("events", "events:app", "Receive the webhooks of Meta and respond.io, and look at them."),
        (
            "mac",
            "events:root",
            "Count the contacts that were active in a month, and those that only echoes made"
            " active.",
        ),
        (
            "doctor",
            "diagnosis:root",
            "Find what is wrong, why wacoex thinks so, what to do, and how to check that it"
            " helped.",
        ),
        ("explain", "diagnosis:root", "Explain a finding, an error code of Meta, or a topic."),
    ),
    "Send": (
        (
            "template",
            "templates:app",
            "The message templates of a channel's WhatsApp Business Account.",
        ),
        (
            "media",
            "media:app",
            "Pictures, videos and documents that messages show: their ids at Meta.",
        ),
        (
            "broadcast",
            "broadcast:app",
            "Plan a broadcast, send it at a safe pace, and see what happened to every recipient.",
        ),
        ("optout", "audience:app", "The people who want no more messages."),
    ),
    "State": (
        ("config", "setup:config", "The settings in use, and the files they come from."),
        (
            "state",
            "setup:state",
            "The state file: the one file in which wacoex remembers everything.",
        ),
        ("completion", "setup:root", "Print the completion script of a shell."),
    ),
    "Read": (
        ("docs", "diagnosis:root", "The guides and topics: list them, or read one here."),
        ("help", "diagnosis:root", "The help of a command, or the page about a topic."),
    ),
    "Try it": (
        (
            "demo",
            "demo:root",
            "See in a minute what wacoex does, against a pretend Meta on this machine.",
        ),
        ("sandbox", "sandbox:app", "A pretend Meta on this machine."),
    ),
}


# By name, in this order: `package.module:projection`. A module is imported to project events.
PROJECTIONS = {
    "channels": "channels.facts:CHANNELS",
    "persons": "contacts.stops:PERSONS",
    "opt-outs": "contacts.stops:OPTOUTS",
    "deliveries": "ledger.projection:DELIVERIES",
    "mac": "events.store:MAC",
    "traffic": "events.checks:TRAFFIC",
    "unplaced": "events.unplaced:UNPLACED",
    "unclear": "events.unclear:UNCLEAR",
}


def projections() -> "Sequence[Projection]":
    """What each package makes of events."""
    places = (place.partition(":") for place in PROJECTIONS.values())
    return tuple(
        getattr(importlib.import_module(f"wacoex_cli.{module}"), name) for module, _, name in places
    )


def _pages(workspace: "Workspace") -> "Sequence[WebPage]":
    from wacoex_cli.inactivity.confirm import pages

    return pages(workspace)


def _interest(state: "State", channel: "Channel", now: "datetime") -> "Interest":
    from wacoex_cli.ledger.projection import interest

    return interest(state, channel, now)


def _load(name: str, place: str) -> PlainCommand | PlainGroup:
    from wacoex_cli.events import consumers

    consumers.names, consumers.projections = tuple(PROJECTIONS), projections
    consumers.pages, consumers.interest = _pages, _interest
    package, _, attribute = place.partition(":")
    module = importlib.import_module(f"wacoex_cli.{package}.commands")
    found: PlainGroup = getattr(module, attribute)
    return found if found.name == name else found.entries[name].make()


def _channel_names(env_file: "Path | None", *, archived: bool) -> Iterable[Candidate]:
    from wacoex_cli.channels.store import channel_names

    return channel_names(archived=archived, env_file=env_file)


def _broadcast_ids(env_file: "Path | None") -> Iterable[Candidate]:
    from wacoex_cli.ledger import figures

    return figures.newest(env_file=env_file)


def _topics(env_file: "Path | None") -> Iterable[Candidate]:
    from wacoex_cli.diagnosis import explain

    return explain.candidates()


offer_values(
    {
        "channel": functools.partial(_channel_names, archived=False),
        "archived channel": functools.partial(_channel_names, archived=True),
        "broadcast": _broadcast_ids,
        "topic": _topics,
    }
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"wacoex {__version__}")
        raise typer.Exit


def _root_options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_show_version,
            is_eager=True,
            expose_value=False,
            help="Show the version.",
        ),
    ] = False,
) -> None:
    """What only the program itself takes."""


app = group(
    "",
    "Run WhatsApp Coexistence channels: watch them, and send broadcasts that arrive once.",
    "wacoex demo",
    "wacoex channel add shop --phone +6560000001 --phone-number-id 106540352242922",
    "wacoex broadcast plan customers.csv --template spring_offer --lang en_US",
    "wacoex broadcast send --rate 20",
    more=parameters(_root_options)[0],
)
app.entries.update(
    (name, ListedCommand(line, functools.cache(functools.partial(_load, name, place)), heading))
    for heading, rows in TABLE.items()
    for name, place, line in rows
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit status. Raises failures for the caller to report."""
    if "_WACOEX_COMPLETE" in os.environ:
        from wacoex_cli.terminal.completion import answer_shells

        answer_shells()
    status = app.main(list(arguments), prog_name="wacoex", standalone_mode=False)
    return status if isinstance(status, int) else 0
