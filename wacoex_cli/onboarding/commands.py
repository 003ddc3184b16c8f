"""`wacoex connect`: bringing a number into Coexistence, step by step."""

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation, command, completing

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

# Without a callback of its own, so that its commands join those of the root.
app = typer.Typer(rich_markup_mode=None)


class RouteName(enum.StrEnum):
    """Through whose signup a number is connected, as the option spells it."""

    RESPONDIO = "respondio"
    SIGNUP = "signup"


@command(
    app,
    "connect",
    path=("connect",),
    examples=(
        "wacoex connect shop --check",
        "wacoex connect shop",
        "wacoex connect shop --via signup --port 8460",
        "wacoex connect shop --skip-proof --json",
    ),
    heading="Set up",
)
def connect(
    invocation: Invocation,
    channel: Annotated[
        str | None,
        typer.Argument(
            metavar="CHANNEL",
            help="The channel to connect; a new name is asked for its number.",
            autocompletion=completing("channel"),
        ),
    ] = None,
    via: Annotated[
        RouteName | None,
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
) -> "Result":
    """Connect a number to the WhatsApp Business Platform and keep the app.

    It asks, checks and does one step after the other, and keeps each with who and when. When it
    stops, run it again: it goes on where it stopped, and nothing is done twice.
    """
    from wacoex_cli.onboarding import connect as connecting
    from wacoex_cli.onboarding import view
    from wacoex_cli.onboarding.journey import Wishes
    from wacoex_cli.onboarding.model import Route
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    invocation.one_channel(channel)
    route = Route(via) if via else None
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        chosen = connecting.channel_to_connect(
            workspace, invocation, dialogue, channel, route or Route.RESPONDIO
        )
        done = connecting.connect(
            workspace,
            dialogue,
            chosen,
            Wishes(port=port or 0, skip_proof=skip_proof),
            via=route,
            is_check=check,
        )
        now = workspace.clock.now()
    return Result(
        view.receipt_data(done.receipt),
        list(view.receipt_text(done.receipt, now)),
        exit_code=done.exit_code,
        errors=[done.error] if done.error else (),
    )
