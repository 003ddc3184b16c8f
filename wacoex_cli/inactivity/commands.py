"""`wacoex reminder`: how long the phone's app may still stay closed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import TemporaryError, UsageError, WacoexError, counted
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    LookedAtArgument,
    channel_argument,
    command,
    group,
)
from wacoex_cli.terminal.output import Working
from wacoex_cli.terminal.render import Block, Blocks, ForPerson, ForPipe, Line, Result, Verbatim

if TYPE_CHECKING:
    from wacoex_cli.inactivity.notify import Notice, NoticeTest
    from wacoex_cli.inactivity.schedule import ScheduleStatus

app = group(
    "reminder", "Never lose a channel: remind people to open the app on the phone every 14 days."
)


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
    """Show the days left for each channel, worst first. Sends no requests.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked. It is 1 at least when
    `reminder notify` ran before and does not run any more, or failed.
    """
    from wacoex_cli.inactivity import checks

    try:
        with invocation.open_workspace() as workspace:
            named = invocation.one_channel(channel)
            found = checks.check(workspace, named, workspace.clock.now())
    except WacoexError as error:
        if not nagios:
            raise
        return Result({}, [Verbatim(checks.nagios_failure(error))], exit_code=3, errors=[error])
    if nagios:
        text = [Verbatim(line) for line in found.nagios_lines()]
        return Result(found.to_json(), text, exit_code=found.exit_status)
    return Result(
        found.to_json(), found.parts(), exit_code=found.exit_status, beside_rows=found.warnings
    )


@command(
    app,
    "confirm",
    "wacoex reminder confirm shop",
    'wacoex reminder confirm shop --at "2026-11-20 09:30" --by Ana',
    "wacoex reminder confirm shop kiosk lab --by Ana",
)
def confirm(
    invocation: Invocation,
    channels: Annotated[
        list[str] | None, channel_argument("The channel, or several of them.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="When the app was open, in the channel's zone or with an offset; now if left out.",
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Who opened it; you if left out.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also record a time before the newest proof.")
    ] = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Record that somebody opened the WhatsApp Business app on the primary phone.

    The countdown of 14 days starts again. Messages through the API, messages from customers and
    broadcasts do not count as opening the app. Of several channels wacoex confirms all, or none.
    """
    from wacoex_cli.inactivity import confirm as operation
    from wacoex_cli.inactivity.checks import NO_EVIDENCE

    names = list(dict.fromkeys(channels or ()))
    if invocation.channel and names != [invocation.channel]:
        names = [invocation.one_channel(name) or "" for name in names or [invocation.channel]]
    with invocation.open_workspace() as workspace:
        meant = operation.chosen(workspace, invocation, names)
        done = operation.confirm(workspace, meant, at, by, force=force, dry_run=dry_run)
    text = [*(line for each in done for line in each.lines()), NO_EVIDENCE]
    if len(names) < 2:
        return Result(done[0].to_json(), text)
    data = {"channels": [each.to_json() for each in done], "dry_run": dry_run}
    return Result(data, text)


@command(
    app,
    "notify",
    "wacoex reminder notify",
    "wacoex reminder notify --to ntfys://ntfy.sh/our-phones --dry-run",
    "wacoex reminder notify --test",
)
def notify(
    invocation: Invocation,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="URL",
            help="An Apprise URL to notify instead of WACOEX_NOTIFY_URLS; may be repeated.",
        ),
    ] = None,
    test: Annotated[
        bool,
        typer.Option("--test", help="Send a test notice to each address, whatever is due."),
    ] = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Notify people which phones they must open; made for cron.

    When nothing is due, it prints nothing and ends with 0. A notice is due when the stage of a
    channel changes, every 24 hours while it is critical or overdue, and once when all is well
    again. Exit status 7 when some notices could not be sent, 6 when none could. After --test
    `doctor` knows whether notices arrive.
    """
    from wacoex_cli.inactivity import notify as operation

    with invocation.open_workspace() as workspace:
        urls, named = to or [], invocation.channel
        if test:
            with Working():
                tests = operation.send_tests(workspace, urls, named, dry_run=dry_run)
            return _tested(tests, dry_run=dry_run)
        if dry_run:
            due, skipped = operation.find_due(workspace, urls, named)
            data = {
                "sent": [],
                "failed": [],
                "skipped": [entry.to_json() for entry in skipped],
                "would_send": [
                    {**notice.to_json(), "title": notice.title, "text": notice.body}
                    for notice in due
                ],
                "dry_run": True,
            }
            return Result(data, list(_previews(due)) or ["nothing is due"])
        log = TerminalDialogue(invocation).detail
        with Working():
            done = operation.notify(workspace, urls, named, log=log)
    data = {
        "sent": [notice.to_json() for notice in done.sent],
        "failed": [notice.to_json() for notice in done.failed],
        "skipped": [entry.to_json() for entry in done.skipped],
        "dry_run": False,
    }
    lines = [f"{_subject(notice)}: notified {notice.target.shown}" for notice in done.sent]
    lines += [
        f"{_subject(notice)}: not notified {notice.target.shown}: {notice.reason}"
        for notice in done.failed
    ]
    failure = TemporaryError(
        f"{len(done.failed)} of {counted(len(done.sent) + len(done.failed), 'notice')}"
        " could not be sent",
        hint="the next run tries again; if it still fails, check the URL and the network",
        code="notify_failed",
    )
    errors = [failure] if done.failed else []
    return Result(data, lines, exit_code=done.exit_status, errors=errors)


def _previews(due: "Sequence[Notice]") -> "Iterator[ForPerson | ForPipe]":
    """Every notice in a pipe; on a terminal the first one to each address of those of a kind."""
    from wacoex_cli.findings.model import several

    same: dict[tuple[str, ...], list[Notice]] = {}
    for notice in due:
        kind = (notice.stage.value, notice.kind.value, notice.target.shown)
        same.setdefault(kind, []).append(notice)
        yield ForPipe(_preview(notice, notice.about.channel.name))
    if due:
        shown = [
            _preview(notices[0], several(notice.about.channel.name for notice in notices))
            for notices in same.values()
        ]
        whole = [_preview(notice, notice.about.channel.name) for notice in due]
        yield ForPerson(Blocks(shown, whole, "notices"))


def _preview(notice: "Notice", channels: str) -> Block:
    subject = f"{channels} {notice.stage.value} ({notice.kind.value})"
    lines = (notice.title, "", *notice.body.splitlines())
    return Block(
        (
            Line(f"{subject}: would notify {notice.target.shown}", "heading"),
            *(Line(f"  | {line}".rstrip()) for line in lines),
        )
    )


def _tested(tests: "Sequence[NoticeTest]", *, dry_run: bool) -> Result:
    failed = [test for test in tests if test.reason]
    sent = [test.to_json() for test in tests if not test.reason]
    data = {
        "sent": [] if dry_run else sent,
        "failed": [test.to_json() for test in failed],
        "skipped": [],
        "dry_run": dry_run,
        **({"would_send": sent} if dry_run else {}),
    }
    took = "would get a test" if dry_run else "took the test: look whether it has arrived"
    lines = [f"{test.target.shown} {took}" for test in tests if not test.reason]
    lines += [f"{test.target.shown} did not take the test: {test.reason}" for test in failed]
    if not failed:
        return Result(data, lines)
    failure = TemporaryError(
        f"{len(failed)} of {len(tests)} tests could not be sent",
        hint="check the address and the network, then send the test again",
        code="notify_failed",
    )
    status = 7 if sent else failure.exit_status
    return Result(data, lines, exit_code=status, errors=[failure])


def _subject(notice: "Notice") -> str:
    return f"{notice.about.channel.name} {notice.stage.value} ({notice.kind.value})"


schedule_group = group(
    "reminder schedule", "Start `reminder notify` each hour, by cron or systemd."
)
app.add(schedule_group)

CronOption = Annotated[bool, typer.Option("--cron", help="A line in your crontab.")]
SystemdOption = Annotated[bool, typer.Option("--systemd", help="A systemd user timer.")]


@command(
    schedule_group, "show", "wacoex reminder schedule show", "wacoex reminder schedule show --cron"
)
def show(
    invocation: Invocation, cron: CronOption = False, systemd: SystemdOption = False
) -> Result:
    """Show what is installed, and what `install` would add."""
    from wacoex_cli.inactivity import schedule

    with invocation.open_workspace() as workspace:
        found = schedule.show(workspace, _kind(cron, systemd))
    text = [line for status in found for line in _status_lines(status)]
    return Result({"schedules": [status.to_json() for status in found]}, text)


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
    """Install a systemd timer where that works, otherwise a line in your crontab.

    It starts `reminder notify` each hour, with the state file and the settings in use here, and
    without any secret. Installing it again changes nothing. If nobody would receive a notice, it
    asks for an address; without a terminal it warns.
    """
    from wacoex_cli.inactivity import schedule

    dialogue = TerminalDialogue(invocation)
    ask = dialogue.secret if dialogue.can_ask() and not dry_run else None
    with invocation.open_workspace() as workspace:
        done = schedule.install(workspace, _kind(cron, systemd), ask, dry_run=dry_run)
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
        f"{kind} starts it too: `wacoex reminder schedule remove --{kind}`" for kind in done.others
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
        raise UsageError(
            "`--cron` and `--systemd` cannot be used together", hint="give one, or none"
        )
    return "cron" if cron else "systemd" if systemd else None


def _status_lines(status: "ScheduleStatus") -> Iterator[str]:
    if status.there:
        yield f"{status.kind}: installed{'' if status.is_current else ', and is outdated'}"
        yield from _texts(status.there)
    else:
        why = f", and cannot be used here: {status.problem}" if status.problem else ""
        yield f"{status.kind}: not installed{why}"
    if status.problem is None and not status.is_current:
        yield "  would be:"
        yield from _texts(status.would_be)


def _texts(texts: Mapping[str, str]) -> Iterator[str]:
    for place, text in texts.items():
        yield f"  {place}:"
        for line in text.splitlines():
            yield f"    {line}".rstrip()
