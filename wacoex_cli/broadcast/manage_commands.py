"""`wacoex broadcast list | show | pause | cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.commands import app
from wacoex_cli.errors import DeclinedError
from wacoex_cli.terminal.options import Invocation, YesOption, command, completing

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

IdArgument = Annotated[
    int,
    typer.Argument(
        metavar="ID", help="The broadcast's number.", autocompletion=completing("broadcast")
    ),
]


@command(
    app,
    "list",
    path=("broadcast", "list"),
    examples=("wacoex broadcast list", "wacoex broadcast list --channel shop --json"),
)
def list_broadcasts(invocation: Invocation) -> "Result":
    """List the broadcasts, newest first; with --channel those of one channel."""
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.report import template_name
    from wacoex_cli.broadcast.store import Broadcasts, Rows
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.foundation.clock import from_text
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        channel = choose_channel(workspace, invocation) if invocation.channel else None
        found = Broadcasts(workspace.state).of_channel(
            channel.channel_id if channel else None, status=None
        )
        rows = [
            {
                "broadcast_id": one.broadcast_id,
                "channel": one.channel,
                "name": one.name,
                "status": one.status.value,
                "reason": one.reason,
                "template": template_name(one),
                "recipients": one.recipients,
                "taken": Rows(workspace.state, one.broadcast_id).counts().taken,
                "planned_at": one.planned_at,
            }
            for one in found
        ]
    columns = ("id", "channel", "status", "taken", "recipients", "template", "planned", "name")
    table = Table(
        columns,
        [
            (
                row["broadcast_id"],
                row["channel"],
                row["status"],
                row["taken"],
                row["recipients"],
                row["template"],
                from_text(str(row["planned_at"])),
                row["name"],
            )
            for row in rows
        ],
        "there is no broadcast; plan one: wacoex broadcast plan RECIPIENTS ...",
    )
    return Result({"broadcasts": rows}, (table,))


@command(
    app,
    "show",
    path=("broadcast", "show"),
    examples=("wacoex broadcast show 7", "wacoex broadcast show 7 --json"),
)
def show(invocation: Invocation, broadcast_id: IdArgument) -> "Result":
    """Show where a broadcast stands, what went wrong, and what to do next."""
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.store import Broadcasts

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        sender = Broadcasts(workspace.state).sender(broadcast_id, workspace.clock)
        return shown(workspace, broadcast, is_being_sent=sender is not None)


@command(
    app,
    "pause",
    path=("broadcast", "pause"),
    examples=("wacoex broadcast pause 7",),
)
def pause(invocation: Invocation, broadcast_id: IdArgument) -> "Result":
    """Pause a broadcast that is being sent, here or in another process."""
    from wacoex_cli.broadcast import send
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.foundation.person import login_name

    with invocation.open_workspace() as workspace:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        paused = workspace.run(
            send.pause(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return shown(workspace, paused)


@command(
    app,
    "cancel",
    path=("broadcast", "cancel"),
    examples=("wacoex broadcast cancel 7", "wacoex broadcast cancel 7 --yes"),
)
def cancel(invocation: Invocation, broadcast_id: IdArgument, yes: YesOption = False) -> "Result":
    """End a broadcast for good. What was sent stays sent; the rest is never sent."""
    from wacoex_cli.broadcast import send
    from wacoex_cli.broadcast.store import Broadcasts, Rows
    from wacoex_cli.foundation.person import login_name
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    with invocation.open_workspace() as workspace:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        waiting = Rows(workspace.state, broadcast_id).count_open()
        question = f"cancel broadcast {broadcast_id}; {waiting} people will never be sent to?"
        if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
            raise DeclinedError("nothing changed")
        cancelled = workspace.run(
            send.cancel(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return shown(workspace, cancelled)


def shown(workspace: "Workspace", broadcast: "Broadcast", **more: object) -> "Result":
    """Where a broadcast stands; `more` is added to the JSON output."""
    from wacoex_cli.broadcast.report import sentences, summary
    from wacoex_cli.broadcast.store import Rows
    from wacoex_cli.terminal.render import Result

    counts = Rows(workspace.state, broadcast.broadcast_id).counts()
    data = {**summary(workspace.state, broadcast, counts), **more}
    return Result(data, tuple(sentences(data)))
