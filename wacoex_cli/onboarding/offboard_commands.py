"""`wacoex offboard`: let a channel go, with proof."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.onboarding.commands import app
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    command,
    completing,
)

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]


@command(
    app,
    "offboard",
    path=("offboard",),
    examples=(
        "wacoex offboard shop --dry-run",
        "wacoex offboard shop",
        "wacoex offboard shop --unsubscribe --json",
    ),
    heading="Set up",
)
def offboard(
    invocation: Invocation,
    channel: Annotated[
        str | None,
        typer.Argument(
            metavar="CHANNEL",
            help="The channel to let go.",
            autocompletion=completing("channel"),
        ),
    ] = None,
    unsubscribe: Annotated[
        bool,
        typer.Option("--unsubscribe", help="Detach the own Meta app from the account, too."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Disconnect a channel from its partner, wait for the proof, and archive it.

    Neither the WhatsApp Business Account nor the number is deleted. The steps are kept: after an
    interruption the same command goes on where it stopped.
    """
    from wacoex_cli.onboarding.journey import Wishes
    from wacoex_cli.onboarding.offboard import offboard as operation
    from wacoex_cli.onboarding.view import offboard_data, offboard_text
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    wishes = Wishes(unsubscribe=unsubscribe, is_confirmed=yes)
    with invocation.open_workspace() as workspace:
        chosen = _chosen(workspace, invocation, channel)
        if dry_run:
            return _previewed(workspace, chosen, unsubscribe)
        dialogue = TerminalDialogue(invocation)
        ended = operation(workspace, dialogue, chosen, wishes)
        now = workspace.clock.now()
    return Result(
        offboard_data(ended.receipt, chosen, dry_run=False),
        list(offboard_text(ended.receipt, chosen, now)) if ended.receipt.records else (),
        exit_code=ended.exit_code,
        errors=[ended.error] if ended.error else [],
    )


def _previewed(workspace: "Workspace", channel: "Channel", unsubscribe: bool) -> "Result":
    from wacoex_cli.onboarding.offboard import preview
    from wacoex_cli.onboarding.view import offboard_data, preview_text
    from wacoex_cli.terminal.render import Result

    receipt = workspace.run(preview(workspace, channel, unsubscribe=unsubscribe))
    now = workspace.clock.now()
    return Result(
        offboard_data(receipt, channel, dry_run=True), list(preview_text(receipt, channel, now))
    )


def _chosen(workspace: "Workspace", invocation: Invocation, name: str | None) -> "Channel":
    """The channel that is meant; one that is named may be archived already."""
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.channels.registry import known

    named = invocation.one_channel(name)
    return known(workspace.state, named) if named else choose_channel(workspace, invocation)
