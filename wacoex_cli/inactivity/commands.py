"""`wacoex reminder`: how long the phone's app may still stay closed."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import WacoexError
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    LookedAtArgument,
    command,
    completing,
    group,
)

if TYPE_CHECKING:
    from wacoex_cli.inactivity.check import ReminderCheck
    from wacoex_cli.terminal.render import Result

app = group("Never lose a channel: the app must be opened on the phone every 14 days.")

ChannelArgument = Annotated[
    str | None,
    typer.Argument(metavar="CHANNEL", help="The channel.", autocompletion=completing("channel")),
]


@command(
    app,
    "check",
    path=("reminder", "check"),
    examples=(
        "wacoex reminder check",
        "wacoex reminder check shop --json",
        "wacoex reminder check --nagios",
    ),
    is_check=True,
)
def check(
    invocation: Invocation,
    channel: LookedAtArgument = None,
    nagios: Annotated[
        bool,
        typer.Option("--nagios", help="One status line with performance data, then the details."),
    ] = False,
) -> "Result":
    """Show the days left for each channel, worst first. Asks nobody.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.inactivity import nagios as plugin
    from wacoex_cli.terminal.render import Result

    try:
        return _checked(invocation, channel, is_plugin=nagios)
    except WacoexError as error:
        if not nagios:
            raise
        return Result({}, [plugin.nagios_failure(error)], exit_code=3, errors=[error])


@command(
    app,
    "confirm",
    path=("reminder", "confirm"),
    examples=(
        "wacoex reminder confirm shop",
        'wacoex reminder confirm shop --at "2026-11-20 09:30" --by Ana',
    ),
)
def confirm(
    invocation: Invocation,
    channel: ChannelArgument = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the app was open, in the channel's zone or with an offset; now if left out.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Who says so; you if left out.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also keep a time before the newest proof.")
    ] = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Say that the WhatsApp Business app was open on the primary phone.

    The countdown of 14 days begins anew. Messages through the API, messages of customers and
    broadcasts are no evidence that the app was opened.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.foundation.time_zones import moment_from
    from wacoex_cli.inactivity import confirm as confirming
    from wacoex_cli.inactivity import reading, view
    from wacoex_cli.terminal.render import Result

    named = invocation.one_channel(channel)
    with invocation.open_workspace() as workspace:
        chosen = choose_channel(workspace, dataclasses.replace(invocation, channel=named))
        now = workspace.clock.now()
        zone = reading.zone_of(workspace, chosen)
        moment = moment_from(at, zone) if at is not None else now
        said_by = confirming.login_name() if by is None else by
        done = confirming.confirm(workspace, chosen, moment, said_by, force=force, dry_run=dry_run)
        if done.connection.is_lost:
            workspace.warn(
                f"channel `{chosen.name}` is not connected any more: `wacoex status {chosen.name}`"
            )
    return Result(view.confirmed_data(done), list(view.confirmed_text(done, now)))


def _checked(invocation: Invocation, channel: str | None, *, is_plugin: bool) -> "Result":
    from wacoex_cli.findings.model import check_exit_status
    from wacoex_cli.inactivity import view
    from wacoex_cli.inactivity.check import check as look
    from wacoex_cli.inactivity.nagios import nagios_lines
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        found: ReminderCheck = look(workspace, invocation.one_channel(channel), now)
    text = list(nagios_lines(found, now)) if is_plugin else list(view.check_text(found, now))
    return Result(view.check_data(found), text, exit_code=check_exit_status(found.severity))
