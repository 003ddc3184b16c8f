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

root = group("", "Commands that stand beside the groups.")


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
        str | None, channel_argument("The channel to connect; a new name is asked for its number.")
    ] = None,
    via: Annotated[
        Route | None,
        typer.Option(help="Sign up in respond.io (the default), or with a Meta app of your own."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only ask and look whether it can be connected.")
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

    It asks, checks and does one step after the other, and keeps each with who and when. When it
    stops, run it again: it goes on where it stopped, and nothing is done twice.
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
    channel: Annotated[str | None, channel_argument("The channel to let go.")] = None,
    unsubscribe: Annotated[
        bool, typer.Option("--unsubscribe", help="Detach the own Meta app from the account, too.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Disconnect a channel from its partner, wait for the proof, and archive it.

    Neither the WhatsApp Business Account nor the number is deleted. The steps are kept: after an
    interruption the same command goes on where it stopped.
    """
    from wacoex_cli.onboarding.offboard import offboard_named

    options = JourneyOptions(dry_run=dry_run, unsubscribe=unsubscribe, is_confirmed=yes)
    return offboard_named(invocation, invocation.one_channel(channel), options)
