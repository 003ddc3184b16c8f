"""`wacoex state path | backup | restore | check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, RefusedError, StateError
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.setup.restore import Comparison
    from wacoex_cli.terminal.render import Result

app = group("The one file that wacoex remembers everything in.")

_LOST_WORDS = {
    "attempts": "people who were sent to since",
    "broadcasts": "broadcasts, or how they ended",
    "decisions": "decisions of people",
    "optouts": "people who opted out",
}


@command(
    app,
    "path",
    path=("state", "path"),
    examples=("wacoex state path", "wacoex state path --json"),
)
def path(invocation: Invocation) -> "Result":
    """Say where the state file is, how large, and which processes are using it."""
    from wacoex_cli.foundation import backup
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        file = workspace.settings.state
        seen = backup.look(file)
        problem = seen.problem
        holders: list[dict[str, object]] = []
        try:
            holders = _holders(workspace) if seen.schema else []
        except StateError as error:
            problem = error
    data = {
        "path": str(file),
        "exists": seen.exists,
        "bytes": seen.bytes,
        "schema": seen.schema[-1] if seen.schema else None,
        "locks": holders,
    }
    if not seen.exists:
        return Result(data, (str(file), "it does not exist yet"))
    schema = data["schema"] or "no state file of wacoex"
    columns = ("purpose", "process", "host", "since", "is_alive")
    rows = [[one[name] for name in ("purpose", "pid", "host", "since", "alive")] for one in holders]
    told = (str(file), f"{seen.bytes} bytes, schema {schema}", Table(columns, rows))
    if problem:
        return Result(data, told, exit_code=problem.exit_status, errors=[problem])
    return Result(data, told)


def _holders(workspace: "Workspace") -> list[dict[str, object]]:
    from wacoex_cli.foundation import locks

    found = locks.held(workspace.state, workspace.clock)
    return [
        {
            "purpose": row["purpose"],
            "pid": row["pid"],
            "host": row["host"],
            "since": row["acquired_at"],
            "alive": is_alive,
        }
        for row, is_alive in found
    ]


@command(
    app,
    "backup",
    path=("state", "backup"),
    examples=("wacoex state backup", "wacoex state backup /backups/wacoex-monday.db"),
)
def backup(
    invocation: Invocation,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A new file, or a directory; else beside the state."),
    ] = None,
) -> "Result":
    """Copy the state file, also while a broadcast runs, and check the copy.

    Without FILE its name holds the time in UTC. Nothing is ever overwritten. The copy holds phone
    numbers and no secrets; only you may read it.
    """
    from wacoex_cli.foundation import backup as operation
    from wacoex_cli.setup.restore import beside
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        state = workspace.settings.state
        operation.demand_file(state)
        default = beside(state, "backup", workspace.clock)
        target = default if file is None else file / default.name if file.is_dir() else file
        seen = operation.write_backup(state, target)
    data = {"file": target, "bytes": seen.bytes, "schema": seen.schema[-1], "integrity": "ok"}
    told = (
        f"{target}: {seen.bytes} bytes, checked",
        "it holds phone numbers and no secrets; keep it private",
    )
    return Result(data, told)


@command(
    app,
    "restore",
    path=("state", "restore"),
    examples=(
        "wacoex state restore wacoex-backup-20261123T093000Z.db",
        "wacoex state restore wacoex-backup-20261123T093000Z.db --dry-run",
    ),
)
def restore(
    invocation: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `state backup` wrote.")],
    force: Annotated[
        bool,
        typer.Option("--force", help="Although it is older and people may get a message twice."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Put a backup in the place of the state file, which is kept beside it.

    Refused while a process uses the state file, and for a backup that lacks what the state file
    knows: what it never heard of would be sent again. Rows that were being sent when the backup
    was made become ambiguous.
    """
    from wacoex_cli.setup.restore import prepare
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        state = workspace.settings.state
        with prepare(state, file, workspace.clock) as restoration:
            found = restoration.comparison
            if not (found.is_safe or force):
                raise _too_old(file, found)
            data = {"path": state, "file": file, "lost": found.lost, "dry_run": dry_run}
            if dry_run:
                would = f"{state} would be replaced by {file}"
                return Result(data, (would, *_losses(found)))
            if not yes:
                _confirm(invocation, state, file, found)
            restored = restoration.put()
    closed = restored.closed_claims
    text = [f"{state} restored from {file}", *_losses(found)]
    text += [f"what it held is in {restored.kept}"] if restored.kept else []
    text += [f"{closed} rows were being sent then and are now ambiguous"] if closed else []
    return Result({**data, "kept": restored.kept, "ambiguous": closed}, text)


def _too_old(file: Path, found: "Comparison") -> RefusedError:
    if found.unreadable:
        return RefusedError(
            "nothing was restored: the present state file cannot be read, so nobody knows what"
            f" {file} lacks ({found.unreadable})",
            hint="if it is the newest backup there is, add `--force`; before you send anything,"
            " settle what was sent after it",
            code="state_unreadable",
        )
    return RefusedError(
        f"nothing was restored: {file} is older than the present state file and lacks"
        f" {', '.join(_lacks(found))}",
        hint="restore a newer backup; with `--force` people may get a message twice",
        code="older_state",
        details={"lost": dict(found.lost)},
    )


def _lacks(found: "Comparison") -> "Iterator[str]":
    return (f"{n} {_LOST_WORDS[what]}" for what, n in found.lost.items() if n)


def _losses(found: "Comparison") -> "Iterator[str]":
    if found.unreadable:
        yield f"what it replaces could not be read: {found.unreadable}"
    yield from (f"it lacks {told}" for told in _lacks(found))


def _confirm(invocation: Invocation, state: Path, file: Path, found: "Comparison") -> None:
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    dialogue = TerminalDialogue(invocation)
    for told in _losses(found):
        dialogue.warn(told)
    twice = found.lost.get("attempts", 0)
    if twice:
        question = f"{twice} people may get a message twice; type {twice} to restore {file}"
        is_sure = dialogue.ask(question, flag="--yes") == str(twice)
    else:
        is_sure = dialogue.confirm(f"replace {state} with {file}?", flag="--yes")
    if not is_sure:
        raise DeclinedError("declined", hint="nothing was changed")


@command(
    app,
    "check",
    path=("state", "check"),
    examples=("wacoex state check", "wacoex state check --json"),
)
def check(invocation: Invocation) -> "Result":
    """Check the state file: SQLite's own check, file modes, and sums that must hold.

    Exit status 0 when all is well, 8 when something is not.
    """
    from dataclasses import asdict

    from wacoex_cli.setup.state_check import check as look_for_problems
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        state = workspace.settings.state
        problems = look_for_problems(state, workspace.clock)
    data = {"path": state, "problems": [asdict(one) for one in problems]}
    if not problems:
        return Result(data, (f"{state} is sound",))
    text = [line for one in problems for line in (one.problem, f"  {one.remedy}")]
    error = StateError(
        f"the state file {state} has {len(problems)} problems",
        hint="the line below each problem says what to do",
        code="state_unsound",
    )
    return Result(data, text, exit_code=error.exit_status, errors=[error])
