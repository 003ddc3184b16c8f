"""`wacoex reminder notify`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import TemporaryError
from wacoex_cli.inactivity.commands import app
from wacoex_cli.terminal.options import DryRunOption, Invocation, command

if TYPE_CHECKING:
    from wacoex_cli.inactivity.notify import Notified, Told
    from wacoex_cli.inactivity.outbox import NotDue
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]


@command(
    app,
    "notify",
    path=("reminder", "notify"),
    examples=(
        "wacoex reminder notify",
        "wacoex reminder notify --to ntfys://ntfy.sh/our-phones --dry-run",
    ),
)
def notify(
    invocation: Invocation,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="URL",
            help="An Apprise URL to tell instead of WACOEX_NOTIFY_URLS; may be repeated.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
) -> "Result":
    """Tell people which phones must be opened; made for cron.

    Nothing due: silent, exit status 0. A notice is due when the stage of a channel changes, every
    24 hours while it is critical or overdue, and once when all is well again. Exit status 7 when
    some notices could not be sent, 6 when none could.
    """
    from wacoex_cli.inactivity import notify as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    with invocation.open_workspace() as workspace:
        urls, channel = to or [], invocation.channel
        if dry_run:
            return _previewed(*operation.preview(workspace, urls, channel))
        log = TerminalDialogue(invocation).detail
        return _notified(operation.notify(workspace, urls, channel, log=log))


def _notified(done: "Notified") -> "Result":
    from wacoex_cli.terminal.render import Result

    data = {
        "sent": [one.to_json() for one in done.sent],
        "failed": [one.to_json() for one in done.failed],
        "skipped": [one.to_json() for one in done.skipped],
        "dry_run": False,
    }
    lines = [f"{_what(one)}: told {one.notice.target.shown}" for one in done.sent]
    lines += [
        f"{_what(one)}: not told {one.notice.target.shown}: {one.reason}" for one in done.failed
    ]
    errors = [_failure(done)] if done.failed else []
    return Result(data, lines, exit_code=done.exit_status, errors=errors)


def _failure(done: "Notified") -> TemporaryError:
    total = len(done.sent) + len(done.failed)
    return TemporaryError(
        f"{len(done.failed)} of {total} notices could not be sent",
        hint="the next run tries them again; check the URL and the network if it stays so",
        code="notify_failed",
    )


def _what(one: "Told") -> str:
    on = one.notice.occasion
    return f"{on.channel.name} {on.standing.stage.value} ({one.message.kind.value})"


def _previewed(due: "list[Told]", others: "list[NotDue]") -> "Result":
    from wacoex_cli.terminal.render import Result

    data = {
        "sent": [],
        "failed": [],
        "skipped": [one.to_json() for one in others],
        "would_send": [
            {**one.to_json(), "title": one.message.title, "text": one.message.body} for one in due
        ],
        "dry_run": True,
    }
    lines = []
    for one in due:
        lines += [f"{_what(one)}: would tell {one.notice.target.shown}"]
        lines += [f"  | {line}".rstrip() for line in _message_lines(one)]
    return Result(data, lines or ["nothing is due"])


def _message_lines(one: "Told") -> list[str]:
    return [one.message.title, "", *one.message.body.splitlines()]
