"""`wacoex reminder schedule show | install | remove`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import UsageError
from wacoex_cli.inactivity.commands import app
from wacoex_cli.terminal.options import DryRunOption, Invocation, command, group

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wacoex_cli.inactivity.schedule import Shown
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

_schedule = group("Have `reminder notify` started each hour, by cron or systemd.")
app.add_typer(_schedule, name="schedule")

CronOption = Annotated[bool, typer.Option("--cron", help="A line in your crontab.")]
SystemdOption = Annotated[bool, typer.Option("--systemd", help="A timer of your own systemd.")]


@command(
    _schedule,
    "show",
    path=("reminder", "schedule", "show"),
    examples=("wacoex reminder schedule show", "wacoex reminder schedule show --cron"),
)
def show(
    invocation: Invocation, cron: CronOption = False, systemd: SystemdOption = False
) -> "Result":
    """Show what is installed, and what would be."""
    from wacoex_cli.inactivity import schedule
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        found = schedule.show(workspace, _kind(cron, systemd))
    text = [line for one in found for line in _shown(one)]
    return Result({"schedules": [one.to_json() for one in found]}, text)


@command(
    _schedule,
    "install",
    path=("reminder", "schedule", "install"),
    examples=(
        "wacoex reminder schedule install",
        "wacoex reminder schedule install --cron --dry-run",
        "wacoex reminder schedule install --env-file /etc/wacoex/env",
    ),
)
def install(
    invocation: Invocation,
    cron: CronOption = False,
    systemd: SystemdOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Install a systemd timer where that works, else a line in your crontab.

    It starts `reminder notify` each hour, with the state file and the settings that are in force
    here, and without any secret. Installing it again changes nothing.
    """
    from wacoex_cli.inactivity import schedule
    from wacoex_cli.terminal.render import Result

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
    _schedule,
    "remove",
    path=("reminder", "schedule", "remove"),
    examples=("wacoex reminder schedule remove", "wacoex reminder schedule remove --cron -n"),
)
def remove(
    invocation: Invocation,
    cron: CronOption = False,
    systemd: SystemdOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Remove what `install` added, and nothing else."""
    from wacoex_cli.inactivity import schedule
    from wacoex_cli.terminal.render import Result

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
