"""`wacoex mac`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation

if TYPE_CHECKING:
    from wacoex_cli.events.mac import Mac
    from wacoex_cli.terminal.render import Result

PATH = ("mac",)
EXAMPLES = ("wacoex mac", "wacoex mac --month 2026-11 --json", "wacoex mac --channel shop")


def mac(
    invocation: Invocation,
    month: Annotated[
        str | None,
        typer.Option("--month", metavar="YYYY-MM", help="The month, in UTC; else the present one."),
    ] = None,
) -> "Result":
    """Count the contacts that were active in a month, and those that only echoes made active.

    respond.io charges by monthly active contacts (MAC) and gives its own figure to no program.
    This one is counted from the events that are here.
    """
    from wacoex_cli.channels import registry
    from wacoex_cli.channels.evidence import CHANNELS
    from wacoex_cli.events import mac as operation
    from wacoex_cli.events.mac import MAC
    from wacoex_cli.events.store import catch_up

    with invocation.open_workspace() as workspace:
        state = workspace.state
        named = operation.month_named(month, workspace.clock.now())
        catch_up(state, (CHANNELS, MAC), workspace.clock)
        only = [registry.known(state, invocation.channel)] if invocation.channel else None
        return _counted(operation.count(state, named, only))


def _counted(counted: "Mac") -> "Result":
    from dataclasses import asdict

    from wacoex_cli.foundation.clock import to_text
    from wacoex_cli.terminal.render import ForPerson, Result, Table

    table = Table(
        ("channel", "contacts", "echoes only"),
        [
            (one.channel or "(no channel)", one.contacts, one.echo_only)
            for one in counted.by_channel
        ],
        "no contact was active, as far as the events tell",
    )
    total = (
        f"{counted.month}: {counted.contacts} contacts were active,"
        f" {counted.echo_only} of them through echoes only"
    )
    since = counted.counted_since
    told = to_text(since)[:10] if since else None
    begins = (
        f"counted from events since {told} (UTC); what came before them is not in it"
        if told
        else "no event that counts is here; take some in: wacoex events import FILE"
    )
    more = (
        "counted: who wrote, was sent a message or was written to in the app (an echo)",
        "not counted: edits and deletions by a contact, of which respond.io says nothing",
        "respond.io shows its own figure under Organization Settings, Billing & Usage",
    )
    return Result(asdict(counted), (total, table, begins, *map(ForPerson, more)))
