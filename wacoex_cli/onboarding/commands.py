"""`wacoex connect` and `offboard`: into Coexistence and out of it, step by step."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.onboarding.model import Route
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    channel_argument,
    command,
    group,
)
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace

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
        str | None,
        channel_argument("The channel to connect; a new name is asked for its number."),
    ] = None,
    via: Annotated[
        Route | None,
        typer.Option(
            help="Sign up in respond.io (the default), or with a Meta app of your own.",
        ),
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
    from wacoex_cli.onboarding import connect as connecting
    from wacoex_cli.onboarding import view
    from wacoex_cli.onboarding.journey import Wishes

    invocation.one_channel(channel)
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        chosen = connecting.channel_to_connect(
            workspace, invocation, dialogue, channel, via or Route.RESPONDIO
        )
        done = connecting.connect(
            workspace,
            dialogue,
            chosen,
            Wishes(port=port or 0, skip_proof=skip_proof),
            via=via,
            is_check=check,
        )
        now = workspace.clock.now()
    return Result(
        view.receipt_data(done.receipt),
        list(view.receipt_text(done.receipt, now)),
        exit_code=done.exit_code,
        errors=[done.error] if done.error else (),
    )


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
        bool,
        typer.Option("--unsubscribe", help="Detach the own Meta app from the account, too."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Disconnect a channel from its partner, wait for the proof, and archive it.

    Neither the WhatsApp Business Account nor the number is deleted. The steps are kept: after an
    interruption the same command goes on where it stopped.
    """
    from wacoex_cli.onboarding.journey import Wishes
    from wacoex_cli.onboarding.offboard import offboard as operation
    from wacoex_cli.onboarding.view import offboard_data, offboard_text

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


def _previewed(workspace: "Workspace", channel: "Channel", unsubscribe: bool) -> Result:
    from wacoex_cli.onboarding.offboard import preview
    from wacoex_cli.onboarding.view import offboard_data, preview_text

    receipt = workspace.run(preview(workspace, channel, unsubscribe=unsubscribe))
    now = workspace.clock.now()
    return Result(
        offboard_data(receipt, channel, dry_run=True), list(preview_text(receipt, channel, now))
    )


def _chosen(workspace: "Workspace", invocation: Invocation, name: str | None) -> "Channel":
    """The channel that is meant; one that is named may be archived already."""
    from wacoex_cli.channels.registry import choose_channel, known

    named = invocation.one_channel(name)
    return known(workspace.state, named) if named else choose_channel(workspace, invocation)
