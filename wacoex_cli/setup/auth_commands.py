"""`wacoex auth`: giving wacoex its secrets, and seeing whether they work."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group

if TYPE_CHECKING:
    from wacoex_cli.setup.login import LoggedIn
    from wacoex_cli.terminal.render import Result

app = group("Tokens and other secrets: store them, delete them, see whether they work.")

_COLUMNS = ("name", "channel", "source", "ends in", "works", "expires")


def _names(incomplete: str) -> list[str]:
    from wacoex_cli.foundation.settings import SECRET_VARIABLES

    return [name for name in SECRET_VARIABLES if name.startswith(incomplete)]


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=_names,
        help="meta-token, meta-app-secret, respondio-token, respondio-signing-key"
        " or webhook-verify-token.",
    ),
]
# Catches what should never be typed, so that no message repeats it; shown as where it belongs.
MoreArgument = Annotated[list[str] | None, typer.Argument(metavar="< FILE", hidden=True)]


@command(
    app,
    "login",
    path=("auth", "login"),
    examples=(
        "wacoex auth login meta-token",
        "wacoex auth login meta-token --channel shop < token.txt",
    ),
)
def login(
    invocation: Invocation,
    name: NameArgument,
    more: MoreArgument = None,
    insecure_file: Annotated[
        bool,
        typer.Option(
            "--insecure-file", help="Keep it unencrypted in a file that only you may read."
        ),
    ] = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Store a secret in the system's keyring.

    It is asked for without being shown, or read from standard input. With `--channel` it is for
    that channel alone, else for every channel without one of its own.
    """
    from wacoex_cli.errors import UsageError
    from wacoex_cli.setup import login as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    operation.check_name(name)
    if more:
        raise UsageError(
            "a secret is never given as an argument: others could read it in the process list",
            hint=f"run `wacoex auth login {name}` and paste it when asked; this one was seen,"
            " so better make a new one",
            code="secret_in_arguments",
        )
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        operation.check_free(workspace, name, invocation.channel, insecure_file=insecure_file)
        done = operation.log_in(
            workspace,
            name,
            invocation.channel,
            dialogue.secret(f"{name}{_owner(invocation.channel)}"),
            insecure_file=insecure_file,
            dry_run=dry_run,
        )
    for warning in done.warnings:
        dialogue.warn(f"{name}: {warning}")
    return _logged_in(name, invocation.channel, done)


@command(
    app,
    "logout",
    path=("auth", "logout"),
    examples=("wacoex auth logout meta-token", "wacoex auth logout meta-token -c shop --yes"),
)
def logout(
    invocation: Invocation,
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Delete a stored secret from this machine. It stays valid elsewhere."""
    from wacoex_cli.errors import DeclinedError
    from wacoex_cli.setup import login as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    operation.check_name(name)
    owner = _owner(invocation.channel)
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        question = f"Delete the stored {name}{owner}?"
        if not (yes or dry_run or dialogue.confirm(question, flag="--yes")):
            raise DeclinedError("declined", hint="nothing was changed")
        places = operation.log_out(workspace, name, invocation.channel, dry_run=dry_run)
        left = workspace.secrets.given(name, invocation.channel)
    if left is not None:
        dialogue.warn(f"{name}{owner} still comes from {left.source}")
    data = {"name": name, "channel": invocation.channel, "removed": places, "dry_run": dry_run}
    would = "would be deleted" if dry_run else "deleted"
    text = [f"{name}{owner} {would}: {place}" for place in places]
    return Result(data, text or [f"there was no stored {name}{owner}"])


@command(
    app,
    "status",
    path=("auth", "status"),
    examples=("wacoex auth status", "wacoex auth status --channel shop --offline --json"),
)
def status(
    invocation: Invocation,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Meta whether tokens work.")
    ] = False,
) -> "Result":
    """Show where each secret comes from and whether it works."""
    from wacoex_cli.channels import access, registry
    from wacoex_cli.channels.store import Channels
    from wacoex_cli.setup import status as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result, Table

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        access.warn_about_unknown_tables(workspace)
        only = invocation.channel
        channels = (
            [registry.active(workspace.state, only)]
            if only
            else [one for one in Channels(workspace.state).all_channels() if not one.archived_at]
        )
        found = operation.entries(workspace, channels, only=only, offline=offline)
        now = workspace.clock.now()
    shown = [one.to_json(now) for one in found]
    if not invocation.json:
        for one in found:
            for warning in one.warnings(now):
                dialogue.warn(f"{one.name}{_owner(one.channel)}: {warning}")
    if not found:
        dialogue.note("there is no secret yet; `wacoex auth login meta-token` stores one")
    return Result(
        {"secrets": shown},
        [Table(_COLUMNS, [one.to_row() for one in found])],
        operation.exit_status(found),
        [error for one in found if (error := one.error) is not None],
    )


def _logged_in(name: str, channel: str | None, done: "LoggedIn") -> "Result":
    from wacoex_cli.platforms.meta_answers import AccessToken
    from wacoex_cli.terminal.render import Result

    token = done.examined.token if done.examined else AccessToken()
    data = {
        "name": name,
        "channel": channel,
        "stored_in": done.stored_in,
        "tail": done.secret.tail,
        "is_valid": token.is_valid,
        "expires_at": token.expires_at,
        "scopes": None if token.scopes is None else list(token.scopes),
        "warnings": list(done.warnings),
        "dry_run": done.stored_in is None,
    }
    where = f"stored in {done.stored_in}" if done.stored_in else "would be stored"
    return Result(data, [f"{name}{_owner(channel)} ({done.secret}) {where}"])


def _owner(channel: str | None) -> str:
    return f" of channel `{channel}`" if channel else ""
