"""`wacoex reminder`: how long the phone's app may still stay closed."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import TemporaryError, UsageError, WacoexError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    LookedAtArgument,
    channel_argument,
    command,
    group,
)
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from wacoex_cli.inactivity.check import ReminderCheck
    from wacoex_cli.inactivity.notify import Notified, Told
    from wacoex_cli.inactivity.outbox import NotDue
    from wacoex_cli.inactivity.schedule import Shown

app = group("reminder", "Never lose a channel: the app must be opened on the phone every 14 days.")


@command(
    app,
    "check",
    "wacoex reminder check",
    "wacoex reminder check shop --json",
    "wacoex reminder check --nagios",
    is_check=True,
)
def check(
    invocation: Invocation,
    channel: LookedAtArgument = None,
    nagios: Annotated[
        bool,
        typer.Option("--nagios", help="One status line with performance data, then the details."),
    ] = False,
) -> Result:
    """Show the days left for each channel, worst first. Asks nobody.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.inactivity import nagios as plugin

    try:
        return _checked(invocation, channel, is_plugin=nagios)
    except WacoexError as error:
        if not nagios:
            raise
        return Result({}, [plugin.nagios_failure(error)], exit_code=3, errors=[error])


@command(
    app,
    "confirm",
    "wacoex reminder confirm shop",
    'wacoex reminder confirm shop --at "2026-11-20 09:30" --by Ana',
)
def confirm(
    invocation: Invocation,
    channel: Annotated[str | None, channel_argument("The channel.")] = None,
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
) -> Result:
    """Say that the WhatsApp Business app was open on the primary phone.

    The countdown of 14 days begins anew. Messages through the API, messages of customers and
    broadcasts are no evidence that the app was opened.
    """
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.foundation.clock import moment_from
    from wacoex_cli.inactivity import confirm as confirming
    from wacoex_cli.inactivity import reading, view

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


def _checked(invocation: Invocation, channel: str | None, *, is_plugin: bool) -> Result:
    from wacoex_cli.findings.model import check_exit_status
    from wacoex_cli.inactivity import view
    from wacoex_cli.inactivity.check import check as look
    from wacoex_cli.inactivity.nagios import nagios_lines

    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        found: ReminderCheck = look(workspace, invocation.one_channel(channel), now)
    text = list(nagios_lines(found, now)) if is_plugin else list(view.check_text(found, now))
    return Result(view.check_data(found), text, exit_code=check_exit_status(found.severity))


@command(
    app,
    "notify",
    "wacoex reminder notify",
    "wacoex reminder notify --to ntfys://ntfy.sh/our-phones --dry-run",
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
) -> Result:
    """Tell people which phones must be opened; made for cron.

    Nothing due: silent, exit status 0. A notice is due when the stage of a channel changes, every
    24 hours while it is critical or overdue, and once when all is well again. Exit status 7 when
    some notices could not be sent, 6 when none could.
    """
    from wacoex_cli.inactivity import notify as operation

    with invocation.open_workspace() as workspace:
        urls, channel = to or [], invocation.channel
        if dry_run:
            return _previewed(*operation.preview(workspace, urls, channel))
        log = TerminalDialogue(invocation).detail
        return _notified(operation.notify(workspace, urls, channel, log=log))


def _notified(done: "Notified") -> Result:

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


def _previewed(due: "list[Told]", others: "list[NotDue]") -> Result:

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


schedule_group = group(
    "reminder schedule", "Have `reminder notify` started each hour, by cron or systemd."
)
app.add(schedule_group)

CronOption = Annotated[bool, typer.Option("--cron", help="A line in your crontab.")]
SystemdOption = Annotated[bool, typer.Option("--systemd", help="A timer of your own systemd.")]


@command(
    schedule_group, "show", "wacoex reminder schedule show", "wacoex reminder schedule show --cron"
)
def show(
    invocation: Invocation, cron: CronOption = False, systemd: SystemdOption = False
) -> Result:
    """Show what is installed, and what would be."""
    from wacoex_cli.inactivity import schedule

    with invocation.open_workspace() as workspace:
        found = schedule.show(workspace, _kind(cron, systemd))
    text = [line for one in found for line in _shown(one)]
    return Result({"schedules": [one.to_json() for one in found]}, text)


@command(
    schedule_group,
    "install",
    "wacoex reminder schedule install",
    "wacoex reminder schedule install --cron --dry-run",
    "wacoex reminder schedule install --env-file /etc/wacoex/env",
)
def install(
    invocation: Invocation,
    cron: CronOption = False,
    systemd: SystemdOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Install a systemd timer where that works, else a line in your crontab.

    It starts `reminder notify` each hour, with the state file and the settings that are in force
    here, and without any secret. Installing it again changes nothing.
    """
    from wacoex_cli.inactivity import schedule

    with invocation.open_workspace() as workspace:
        done = schedule.install(workspace, _kind(cron, systemd), dry_run=dry_run)
    data = {
        "kind": done.kind,
        "changed": done.changed,
        "texts": done.texts,
        "also_installed": done.others,
        "dry_run": dry_run,
    }
    would = "would be " if dry_run else ""
    what = f"{would}installed" if done.changed else "installed already, nothing changed"
    also = [
        f"{one} starts it too: `wacoex reminder schedule remove --{one}`" for one in done.others
    ]
    text = [f"{done.kind}: {what}", *_texts(done.texts), *done.hints, *also]
    return Result(data, text)


@command(
    schedule_group,
    "remove",
    "wacoex reminder schedule remove",
    "wacoex reminder schedule remove --cron -n",
)
def remove(
    invocation: Invocation,
    cron: CronOption = False,
    systemd: SystemdOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Remove what `install` added, and nothing else."""
    from wacoex_cli.inactivity import schedule

    with invocation.open_workspace() as workspace:
        removed = schedule.remove(workspace, _kind(cron, systemd), dry_run=dry_run)
    would = "would be " if dry_run else ""
    text = [f"{kind}: {would}removed" for kind in removed] or ["nothing is installed"]
    return Result({"removed": removed, "dry_run": dry_run}, text)


def _kind(cron: bool, systemd: bool) -> str | None:
    if cron and systemd:
        raise UsageError("`--cron` and `--systemd` exclude each other", hint="give one, or none")
    return "cron" if cron else "systemd" if systemd else None


def _shown(one: "Shown") -> "Iterator[str]":
    if one.there:
        is_current = dict(one.there) == dict(one.would_be)
        yield f"{one.kind}: installed" if is_current else f"{one.kind}: installed, and is outdated"
        yield from _texts(one.there)
    else:
        why = f", and cannot be used here: {one.problem}" if one.problem else ""
        yield f"{one.kind}: not installed{why}"
    if one.problem is None and dict(one.there) != dict(one.would_be):
        yield "  would be:"
        yield from _texts(one.would_be)


def _texts(texts: "Mapping[str, str]") -> "Iterator[str]":
    for place, text in texts.items():
        yield f"  {place}:"
        for line in text.splitlines():
            yield f"    {line}".rstrip()
