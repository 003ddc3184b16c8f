"""`wacoex connect` and `offboard`: into Coexistence and out of it, step by step."""

from typing import Annotated

import typer

from wacoex_cli.onboarding.model import JourneyOptions, Route
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    channel_argument,
    command,
    group,
)
from wacoex_cli.terminal.render import Result

root = group("", "Commands outside the groups.")


@command(
    root,
    "connect",
    "wacoex connect shop --check",
    "wacoex connect shop",
    "wacoex connect shop --via signup --port 8460",
    "wacoex connect shop --skip-proof --json",
)
def connect(
    invocation: Invocation,
    channel: Annotated[
        str | None,
        channel_argument("The channel to connect; for a new name wacoex asks for the number."),
    ] = None,
    via: Annotated[
        Route | None,
        typer.Option(help="Sign up in respond.io (the default), or with a Meta app of your own."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only ask questions and check whether it can be connected."),
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=65535,
            help="Port of the signup page; any free one unless given.",
        ),
    ] = None,
    skip_proof: Annotated[
        bool, typer.Option("--skip-proof", help="Do not wait for a message from the phone.")
    ] = False,
) -> Result:
    """Connect a number to the WhatsApp Business Platform and keep the app.

    It asks, checks and does one step after the other, and records who did each and when. When it
    stops, run it again: it continues where it stopped, and does nothing twice.
    """
    from wacoex_cli.onboarding.connect import connect_named

    options = JourneyOptions(via=via, is_check=check, port=port or 0, skip_proof=skip_proof)
    invocation.one_channel(channel)
    return connect_named(invocation, channel, options)


@command(
    root,
    "offboard",
    "wacoex offboard shop --dry-run",
    "wacoex offboard shop",
    "wacoex offboard shop --unsubscribe --json",
)
def offboard(
    invocation: Invocation,
    channel: Annotated[str | None, channel_argument("The channel to disconnect.")] = None,
    unsubscribe: Annotated[
        bool, typer.Option("--unsubscribe", help="Also detach your own Meta app from the account.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Disconnect a channel from its partner, wait for the proof, and archive it.

    Neither the WhatsApp Business Account nor the number is deleted. wacoex records the steps: after
    an interruption the same command continues where it stopped.
    """
    from wacoex_cli.onboarding.offboard import offboard_named

    options = JourneyOptions(dry_run=dry_run, unsubscribe=unsubscribe, is_confirmed=yes)
    return offboard_named(invocation, invocation.one_channel(channel), options)
