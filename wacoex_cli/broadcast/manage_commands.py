"""`wacoex broadcast list | show | pause | cancel | reconcile`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.commands import app
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.options import Invocation, YesOption, command, completing

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.reconcile import Decision
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
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.view import template_name
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.foundation.clock import from_text
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        channel = choose_channel(workspace, invocation) if invocation.channel else None
        found = ledger.of_channel(
            workspace.state, channel.channel_id if channel else None, status=None
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
                "taken": ledger.counts(workspace.state, one.broadcast_id).taken,
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
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.recovery import sender_of

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = ledger.get(workspace.state, broadcast_id)
        sender = sender_of(workspace.state, broadcast_id, workspace.clock)
        return _shown(workspace, broadcast, is_being_sent=sender is not None)


@command(
    app,
    "pause",
    path=("broadcast", "pause"),
    examples=("wacoex broadcast pause 7",),
)
def pause(invocation: Invocation, broadcast_id: IdArgument) -> "Result":
    """Pause a broadcast that is being sent, here or in another process."""
    from wacoex_cli.broadcast import control, ledger
    from wacoex_cli.foundation.person import login_name

    with invocation.open_workspace() as workspace:
        broadcast = ledger.get(workspace.state, broadcast_id)
        paused = workspace.run(
            control.pause(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return _shown(workspace, paused)


@command(
    app,
    "cancel",
    path=("broadcast", "cancel"),
    examples=("wacoex broadcast cancel 7", "wacoex broadcast cancel 7 --yes"),
)
def cancel(invocation: Invocation, broadcast_id: IdArgument, yes: YesOption = False) -> "Result":
    """End a broadcast for good. What was sent stays sent; the rest is never sent."""
    from wacoex_cli.broadcast import control, ledger
    from wacoex_cli.foundation.person import login_name
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    with invocation.open_workspace() as workspace:
        broadcast = ledger.get(workspace.state, broadcast_id)
        waiting = ledger.open_rows(workspace.state, broadcast_id)
        question = f"cancel broadcast {broadcast_id}; {waiting} people will never be sent to?"
        if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
            raise DeclinedError("nothing changed")
        cancelled = workspace.run(
            control.cancel(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return _shown(workspace, cancelled)


@command(
    app,
    "reconcile",
    path=("broadcast", "reconcile"),
    examples=(
        "wacoex broadcast reconcile 7",
        "wacoex broadcast reconcile 7 --as sent --row 12 --row 80",
        "wacoex broadcast reconcile 7 --as resend --expect 3",
    ),
)
def reconcile(
    invocation: Invocation,
    broadcast_id: IdArgument,
    decision: Annotated[
        str | None,
        typer.Option("--as", metavar="WORD", help="What they are: sent, not-sent or resend."),
    ] = None,
    row: Annotated[
        list[int] | None, typer.Option("--row", metavar="ROW", help="Only this row; repeatable.")
    ] = None,
    expect: Annotated[
        int | None,
        typer.Option("--expect", metavar="N", help="The number of rows, instead of typing it."),
    ] = None,
    yes: YesOption = False,
) -> "Result":
    """List the rows whose fate is unknown, and settle them.

    `sent`: the person has the message. `not-sent`: they have not, and it is not sent again.
    `resend`: send it again, which needs the number of rows typed.
    """
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast import reconcile as operation
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.foundation.person import login_name

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = ledger.get(workspace.state, broadcast_id)
        wanted = row or []
        rows = operation.choose_rows(workspace.state, broadcast_id, wanted)
        if decision is None:
            return _listed(workspace, broadcast, len(rows))
        chosen = _decision(decision)
        if rows:
            _confirm(invocation, chosen, len(rows), expect, yes)
        settled = operation.decide(
            workspace.state, broadcast, rows, chosen, login_name(), workspace.clock
        )
        settled_broadcast = ledger.get(workspace.state, broadcast_id)
        return _shown(workspace, settled_broadcast, settled=settled, decision=chosen.value)


def _decision(word: str) -> "Decision":
    from wacoex_cli.broadcast.reconcile import Decision

    try:
        return Decision(word)
    except ValueError:
        raise UsageError(
            f"`--as {word}` is none of sent, not-sent, resend",
            hint="look at the person's chat on the phone, then choose one of the three",
            code="bad_decision",
        ) from None


def _confirm(
    invocation: Invocation, decision: "Decision", rows: int, expect: int | None, yes: bool
) -> None:
    from wacoex_cli.broadcast.reconcile import Decision
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    dialogue = TerminalDialogue(invocation)
    if decision is not Decision.RESEND and expect is None:
        if not yes and not dialogue.confirm(
            f"record {rows} rows as {decision.value}?", flag="--yes"
        ):
            raise DeclinedError("nothing changed")
        return
    typed = str(expect) if expect is not None else None
    if typed is None:
        typed = dialogue.ask(
            f"{rows} people may get the message twice; type {rows} to send it again",
            flag="--expect N",
        )
    if typed != str(rows):
        raise DeclinedError(
            f"nothing changed: {rows} rows are meant, not {typed}",
            hint="look at them first: wacoex broadcast reconcile ID",
        )


def _listed(workspace: "Workspace", broadcast: "Broadcast", total: int) -> "Result":
    from wacoex_cli.broadcast.reconcile import open_rows
    from wacoex_cli.foundation.clock import from_text
    from wacoex_cli.terminal.render import Result, Table

    number = broadcast.broadcast_id
    rows = open_rows(workspace.state, number)
    data = {
        "broadcast_id": number,
        "ambiguous": total,
        "rows": [
            {
                "row": row["row"],
                "line": row["line"],
                "phone": row["phone"],
                "why": row["detail"],
                "claimed_at": row["claimed_at"],
            }
            for row in rows
        ],
    }
    if not total:
        return Result(data, (f"broadcast {number} has no row that waits for a decision",))
    table = Table(
        ("row", "line", "phone", "tried", "why"),
        [
            (row["row"], row["line"], row["phone"], from_text(row["claimed_at"]), row["detail"])
            for row in rows
        ],
    )
    steps = (
        "look at these chats on the phone, then settle them:",
        f"  wacoex broadcast reconcile {number} --as sent --row ROW",
        f"  wacoex broadcast reconcile {number} --as not-sent --row ROW",
        f"  wacoex broadcast reconcile {number} --as resend --row ROW",
    )
    return Result(data, (table, *steps))


def _shown(workspace: "Workspace", broadcast: "Broadcast", **more: object) -> "Result":
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast.view import sentences, summary
    from wacoex_cli.terminal.render import Result

    counts = ledger.counts(workspace.state, broadcast.broadcast_id)
    data = {**summary(workspace.state, broadcast, counts), **more}
    return Result(data, tuple(sentences(data)))
