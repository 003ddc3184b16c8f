"""`wacoex state prune | export`."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.setup.state_commands import app
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command

if TYPE_CHECKING:
    from wacoex_cli.broadcast.figures import Choice
    from wacoex_cli.events.prune import OldEvents
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

_KEPT_WORDS = {
    "open": "not finished",
    "ambiguous": "has rows whose fate is unknown",
    "cooling_down": "has people to be left alone for 24 hours",
    "recent": "was sent in the last 24 hours",
    "newest": "is the newest, so that its number is not given out again",
}


@command(
    app,
    "prune",
    path=("state", "prune"),
    examples=(
        "wacoex state prune --older-than 400 --dry-run",
        "wacoex state prune --before 2026-01-01 --vacuum --yes",
    ),
)
def prune(
    invocation: Invocation,
    before: Annotated[
        str | None,
        typer.Option(
            "--before", metavar="TIME", help="Ended or came in before, such as 2026-01-01."
        ),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option("--older-than", metavar="DAYS", min=1, max=36_500, help="So many days ago."),
    ] = None,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Then give the space back; senders must wait.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Remove old finished broadcasts and all of their rows, and events that came in long ago.

    Kept whatever their age: broadcasts that are not finished, have ambiguous rows, or people who
    are cooling down, the newest one, all opt-outs, and the evidence of when each app was opened.
    """
    from dataclasses import replace

    from wacoex_cli.broadcast.figures import choose
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.events import consumers
    from wacoex_cli.events import prune as log
    from wacoex_cli.foundation import backup

    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        moment = _cutoff(before, older_than, now)
        backup.demand_file(workspace.settings.state)
        readers = [one.name for one in consumers.projections()]
        choice = choose(workspace.state, moment, now)
        old = log.choose(workspace.state, moment, readers)
        if not dry_run:
            if vacuum:
                _demand_alone(workspace)
            if choice.removable or old:
                _confirm(invocation, choice, old, yes)
            store = Broadcasts(workspace.state)
            # What has changed meanwhile stays.
            removed = [old for old in choice.removable if store.remove(old.broadcast_id)]
            choice = replace(choice, removable=tuple(removed))
            if old:
                log.remove(workspace.state, old, moment, now)
            if vacuum:
                backup.compact(workspace.settings.state)
        return _pruned(choice, old, moment, dry_run=dry_run, vacuumed=vacuum and not dry_run)


def _cutoff(before: str | None, older_than: int | None, now: datetime) -> datetime:
    from datetime import UTC, timedelta

    if (before is None) == (older_than is None):
        raise UsageError(
            "give `--before` or `--older-than`",
            hint="for example: wacoex state prune --older-than 400 --dry-run",
            code="missing_age",
        )
    if before is None:
        return now - timedelta(days=older_than or 0)
    try:
        moment = datetime.fromisoformat(before)
    except ValueError:
        raise UsageError(
            f"`--before {before}` is not a time",
            hint="write it as 2026-01-01 or 2026-01-01T12:00:00Z",
            code="bad_time",
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    if moment > now:
        raise UsageError(
            f"`--before {before}` lies in the future", hint="give a time that has passed"
        )
    return moment


def _demand_alone(workspace: "Workspace") -> None:
    from wacoex_cli.setup.restore import refuse_living

    refuse_living(workspace.settings.state, workspace.clock)


def _confirm(invocation: Invocation, choice: "Choice", old: "OldEvents", yes: bool) -> None:
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    rows = sum(one.rows for one in choice.removable)
    things = [f"{len(choice.removable)} broadcasts with {rows} rows"] if choice.removable else []
    if old:
        things.append(_told(old))
    question = f"remove {' and '.join(things)} for good?"
    if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
        raise DeclinedError("declined", hint="nothing was changed")


def _told(old: "OldEvents") -> str:
    return (
        f"{old.events} events in {old.payloads} payloads"
        f" and {old.active_contacts} active contacts of old months"
    )


def _pruned(
    choice: "Choice", old: "OldEvents", moment: datetime, *, dry_run: bool, vacuumed: bool
) -> "Result":
    from dataclasses import asdict

    from wacoex_cli.foundation.clock import from_text
    from wacoex_cli.terminal.render import Result, Table

    data = {
        "before": moment,
        "removed": [asdict(one) for one in choice.removable],
        "kept": dict(choice.kept),
        "removed_events": old.to_json(),
        "dry_run": dry_run,
        "vacuumed": vacuumed,
    }
    rows = [
        (one.broadcast_id, one.status, from_text(one.ended_at), one.rows, one.name)
        for one in choice.removable
    ]
    would = "would be " if dry_run else ""
    kept = [f"kept: {n}, {_KEPT_WORDS[reason]}" for reason, n in choice.kept.items()]
    table = Table(("id", "status", "ended", "rows", "name"), rows)
    events = [f"{_told(old)} {would}removed"] if old else []
    return Result(data, (table, f"{len(rows)} broadcasts {would}removed", *kept, *events))


@command(
    app,
    "export",
    path=("state", "export"),
    examples=(
        "wacoex state export --out wacoex.ndjson",
        "wacoex state export --show-numbers | grep optouts",
    ),
)
def export(
    invocation: Invocation,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; else stdout.")
    ] = None,
    show_numbers: Annotated[
        bool, typer.Option("--show-numbers", help="Do not mask or leave out anything.")
    ] = False,
) -> "Result":
    """Write everything in the state file as NDJSON: one object a line, its table under `table`.

    Phone numbers are masked, and message ids too, which hold one; the bodies of webhooks are left
    out. There are no secrets in it.
    """
    from wacoex_cli.foundation import backup
    from wacoex_cli.setup import export as operation
    from wacoex_cli.terminal import streams
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        backup.demand_file(workspace.settings.state)
        lines = operation.lines(workspace.state, show_numbers=show_numbers)
        if out is None:
            for piece in operation.pieces(lines):
                streams.write(sys.stdout, piece)
            return Result({"masked": not show_numbers})
        written = operation.write(out, lines)
    data = {"file": out, "lines": written, "masked": not show_numbers}
    return Result(data, (f"{written} lines written to {out}",))
