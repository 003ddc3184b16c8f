"""`wacoex events subscribe | listen`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, WacoexError
from wacoex_cli.events.commands import app
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import ForPerson, Result, Table

__all__ = ["app"]

_UNKNOWN = 3


@command(
    app,
    "subscribe",
    path=("events", "subscribe"),
    examples=(
        "wacoex events subscribe",
        "wacoex events subscribe --channel shop --yes",
        "wacoex events subscribe --check --json",
    ),
)
def subscribe(
    invocation: Invocation,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: tell what is and is not on.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Attach your own Meta app to the channel's account, and show which webhooks are on.

    The webhook fields are switched on by hand: the clicks are shown. With --check the exit
    status is 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        if check:
            return _checked(workspace, invocation)
        channel = choose_channel(workspace, invocation)
        return _attached(workspace, channel, dialogue, yes=yes, dry_run=dry_run)


@command(
    app,
    "listen",
    path=("events", "listen"),
    examples=(
        "wacoex events listen",
        "wacoex events listen --host 0.0.0.0 --port 8080",
        "wacoex events listen --insecure --json",
    ),
)
def listen(
    invocation: Invocation,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Take unsigned deliveries, from this machine only."),
    ] = False,
) -> "Result":
    """Receive the webhooks of Meta and respond.io until Ctrl-C or SIGTERM.

    Each delivery is answered once it lies in the state file, and worked on afterwards. It needs
    a meta-app-secret or a respondio-signing-key, and for Meta's handshake a
    webhook-verify-token. Put a reverse proxy with TLS before it. With --json each delivery is
    one object a line.
    """
    from wacoex_cli.events.listener import ListenReport
    from wacoex_cli.events.listener import listen as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        report = ListenReport(dialogue, workspace.clock, streams_json=invocation.json)
        signal_number = workspace.run(
            operation(workspace, host, port, dialogue, report, insecure=insecure)
        )
    text = (
        f"{report.stored} deliveries stored, {report.duplicates} known before,"
        f" {report.refused} requests refused"
    )
    return Result(report.to_json(), (text,), exit_code=128 + signal_number)


def _checked(workspace: "Workspace", invocation: Invocation) -> "Result":
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.events import subscribe as operation
    from wacoex_cli.findings.model import check_exit_status, worst
    from wacoex_cli.terminal.render import Result

    found: Subscription | None = None
    failures: tuple[WacoexError, ...] = ()
    try:
        channel = choose_channel(workspace, invocation)
        found = workspace.run(operation.look_if_ours(workspace, channel))
    except WacoexError as error:
        failures = (error,)
    now = workspace.clock.now()
    findings = operation.findings(workspace.state, found, now)
    status = check_exit_status(worst(one.severity for one in findings))
    data = {
        **(found.to_json() if found else {}),
        "findings": [one.to_json() for one in findings],
    }
    text = tuple(_told(found, findings, now))
    return Result(data, text, _UNKNOWN if failures else status, failures)


def _attached(
    workspace: "Workspace",
    channel: "Channel",
    dialogue: "TerminalDialogue",
    *,
    yes: bool,
    dry_run: bool,
) -> "Result":
    from wacoex_cli.events import subscribe as operation
    from wacoex_cli.terminal.render import Result

    found = workspace.run(operation.look(workspace, channel))
    what = f"app {found.seen.app_id or '(unknown)'} to WABA {found.waba_id} ({channel.name})"
    is_needed = found.seen.is_attached is not True
    if not is_needed:
        done = "already attached: " + what
    elif dry_run:
        done = f"would attach {what}"
    else:
        if not yes and not dialogue.confirm(f"attach {what}?", flag="--yes"):
            raise DeclinedError("nothing changed")
        found = workspace.run(operation.attach(workspace, channel))
        done = f"attached {what}"
    now = workspace.clock.now()
    findings = [one for one in operation.findings(workspace.state, found, now) if one.id == "WX210"]
    data = {**found.to_json(), "changed": is_needed and not dry_run, "dry_run": dry_run}
    return Result(data, (done, *_told(found, findings, now)))


def _told(
    found: "Subscription | None", findings: "Sequence[Finding]", now: "datetime"
) -> "Iterator[str | Table | ForPerson]":
    from wacoex_cli.events.checks import FIELDS
    from wacoex_cli.findings.model import finding_text
    from wacoex_cli.terminal.render import ForPerson, Table

    if found is not None:
        on = found.seen.fields
        rows = [(one.name, None if on is None else one.name in on, one.purpose) for one in FIELDS]
        yield Table(("webhook field", "on", "needed for"), rows)
        if found.callback_url:
            yield ForPerson(f"\nMeta delivers to {found.callback_url}")
        if found.override:
            yield ForPerson(f"but messages of this WABA go to {found.override} (an override)")
    for finding in findings:
        yield ForPerson(f"\n{finding_text(finding, now)}")
