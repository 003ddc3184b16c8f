"""The root command: its groups, in the order a person meets them."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from wacoex_cli import __version__
from wacoex_cli.audience import commands as audience
from wacoex_cli.broadcast import report_commands as broadcast
from wacoex_cli.channels import discover_commands as channels
from wacoex_cli.devices import probe_commands as devices
from wacoex_cli.diagnosis import commands as diagnosis
from wacoex_cli.diagnosis import doctor_commands as doctor
from wacoex_cli.events import consumers, mac_commands
from wacoex_cli.events import pull_commands as events
from wacoex_cli.inactivity import schedule_commands as reminder
from wacoex_cli.onboarding import offboard_commands as onboarding
from wacoex_cli.partners import commands as partners
from wacoex_cli.sandbox import commands as sandbox
from wacoex_cli.setup import auth_commands as auth
from wacoex_cli.setup import completion_commands as completion
from wacoex_cli.setup import config_commands as config
from wacoex_cli.setup import upkeep_commands as state
from wacoex_cli.setup import values
from wacoex_cli.templates import commands as templates
from wacoex_cli.terminal.options import (
    Invocation,
    accepting_global_options,
    command,
    group,
    offer_values,
)

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.consumers import Interest, Page
    from wacoex_cli.events.projection import Projection
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result


def projections() -> "Sequence[Projection]":
    """What each room makes of events."""
    from wacoex_cli.audience.projection import OPTOUTS
    from wacoex_cli.broadcast.projection import DELIVERIES
    from wacoex_cli.events.projections import CHANNELS, MAC

    return (CHANNELS, MAC, OPTOUTS, DELIVERIES)


def _pages(workspace: "Workspace") -> "Sequence[Page]":
    from wacoex_cli.inactivity.link_page import pages

    return pages(workspace)


def _interest(state: "State", channel: "Channel", now: "datetime") -> "Interest":
    from wacoex_cli.broadcast.projection import interest

    return interest(state, channel, now)


consumers.hand_over(projections, _pages, _interest)
offer_values(values.SOURCES)
app = group(
    "Run WhatsApp Coexistence channels: watch them, and send broadcasts that arrive once.",
    examples=(
        "wacoex demo",
        "wacoex channel add shop --phone +6560000001 --phone-number-id 106540352242922",
        "wacoex broadcast plan customers.csv --template spring_offer --lang en_US",
        "wacoex broadcast send --rate 20",
    ),
)
app.add_typer(auth.app, name="auth", rich_help_panel="Set up")
app.add_typer(channels.app, name="channel", rich_help_panel="Set up")
app.add_typer(onboarding.app)
app.add_typer(diagnosis.app)
app.add_typer(reminder.app, name="reminder", rich_help_panel="Watch")
app.add_typer(partners.app, name="partner", rich_help_panel="Watch")
app.add_typer(devices.app, name="device", rich_help_panel="Watch")
app.add_typer(events.app, name="events", rich_help_panel="Watch")
command(app, "mac", path=mac_commands.PATH, examples=mac_commands.EXAMPLES, heading="Watch")(
    mac_commands.mac
)
app.add_typer(doctor.app)
app.add_typer(templates.app, name="template", rich_help_panel="Send")
app.add_typer(broadcast.app, name="broadcast", rich_help_panel="Send")
app.add_typer(audience.app, name="optout", rich_help_panel="Send")
app.add_typer(config.app, name="config", rich_help_panel="State")
app.add_typer(state.app, name="state", rich_help_panel="State")
command(app, "completion", path=completion.PATH, examples=completion.EXAMPLES, heading="State")(
    completion.completion
)


@command(
    app,
    "demo",
    path=("demo",),
    examples=("wacoex demo",),
    heading="Try it",
)
def demo(invocation: Invocation) -> "Result":
    """A tour of the real commands against a pretend Meta on this machine."""
    from wacoex_cli.demo.tour import tour
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    seen = tour(TerminalDialogue(invocation), is_json=invocation.json)
    text = (
        f"the pretend Meta accepted {seen.accepted} messages, {seen.sent_twice} people got two,"
        f" at most {seen.most_in_one_second} messages arrived in one second",
        f"files of this tour: {seen.directory}",
    )
    return Result(dataclasses.asdict(seen), text)


app.add_typer(sandbox.app, name="sandbox", rich_help_panel="Try it")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"wacoex {__version__}")
        raise typer.Exit


@app.callback()
@accepting_global_options
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """Run WhatsApp Coexistence channels: watch them, and send broadcasts that arrive once."""


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit status, raises for whoever reports failures."""
    from wacoex_cli.terminal.completion import answer_shells

    command = get_command(app)
    answer_shells()
    # Typer's own options to write into a shell's start-up files; completion itself stays on.
    unwanted = {"install_completion", "show_completion"}
    command.params = [one for one in command.params if one.name not in unwanted]
    status = command.main(list(arguments), prog_name="wacoex", standalone_mode=False)
    return status if isinstance(status, int) else 0
