"""`wacoex auth`, `config`, `completion` and `state`."""

import enum
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    StateError,
    UsageError,
    counted,
)
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.settings import SECRET_VARIABLES
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import ForPerson, ForPipe, Result, Table, Verbatim, write

if TYPE_CHECKING:
    from wacoex_cli.events.store import OldEvents
    from wacoex_cli.setup.state import Comparison, Pruning

root = group("", "Commands outside the groups.")
auth = group("auth", "Tokens and other secrets: store them, delete them, see whether they work.")
config = group("config", "The settings in use, and the files they come from.")
state = group("state", "The state file: the one file in which wacoex remembers everything.")

_SETTING_COLUMNS = (
    Column("name", 9, least=24, fit="wrap"),
    Column("value", 8, least=16, fit="wrap"),
    Column("source", 4, least=10, may_drop=True),
)
_PATH_COLUMNS = (
    Column("name", 8, fit="keep"),
    Column("path", 9, fit="wrap"),
    Column("exists", 4, fit="keep", may_drop=True),
)
_SECRET_COLUMNS = (
    Column("name", 9, fit="keep"),
    Column("channel", 8, least=16, fit="wrap"),
    Column("source", 3, least=12, may_drop=True),
    Column("ends in", 4, fit="keep", may_drop=True),
    Column("works", 7, fit="keep"),
    Column("expires", 6, fit="keep", may_drop=True),
)


def _names(incomplete: str) -> list[str]:
    return [name for name in SECRET_VARIABLES if name.startswith(incomplete)]


NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        autocompletion=_names,
        help=f"{', '.join([*SECRET_VARIABLES][:-1])} or {[*SECRET_VARIABLES][-1]}.",
    ),
]
# Catches what should never be typed, so that no message repeats it; shown as where it belongs.
MoreArgument = Annotated[list[str] | None, typer.Argument(metavar="< FILE", hidden=True)]


@command(
    auth,
    "login",
    "wacoex auth login meta-token",
    "wacoex auth login meta-token --channel shop < token.txt",
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
) -> Result:
    """Store a secret in the system's keyring.

    wacoex asks for it without showing it, or reads it from standard input. With `--channel` it
    is for that channel alone, otherwise for every channel without one of its own.
    """
    from wacoex_cli.setup.auth import check_name, log_in

    check_name(name)
    if more:
        raise UsageError(
            "a secret is never given as an argument: others could read it in the process list",
            hint=f"run `wacoex auth login {name}` and paste it when asked; others may have seen"
            " this one, so better create a new one",
            code="secret_in_arguments",
        )
    dialogue, channel = TerminalDialogue(invocation), invocation.channel
    label = f"{name}{_owner(channel)}"
    with invocation.open_workspace() as workspace:
        done = log_in(
            workspace,
            name,
            channel,
            lambda: dialogue.secret(label),
            insecure_file=insecure_file,
            is_interactive=dialogue.can_ask(),
            dry_run=dry_run,
        )
    for warning in done.warnings:
        dialogue.warn(f"{name}: {warning}")
    where = f"stored in {done.stored_in}" if done.stored_in else "would be stored"
    return Result(done.to_json(), [f"{label} ({done.secret}) {where}"])


@command(
    auth, "logout", "wacoex auth logout meta-token", "wacoex auth logout meta-token -c shop --yes"
)
def logout(
    invocation: Invocation,
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Delete a stored secret from this machine. Elsewhere it still works."""
    from wacoex_cli.setup.auth import check_name, log_out

    check_name(name)
    owner = _owner(invocation.channel)
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        question = f"Delete the stored {name}{owner}?"
        if not (yes or dry_run or dialogue.confirm(question, flag="--yes")):
            raise DeclinedError("declined", hint="nothing was changed")
        places = log_out(workspace, name, invocation.channel, dry_run=dry_run)
        try:
            left = workspace.secrets.given(name, invocation.channel)
        except (CredentialError, UsageError) as error:
            # What was deleted stays deleted, whatever is wrong with another one.
            left = None
            dialogue.warn(error.message)
    if left is not None:
        dialogue.warn(f"{name}{owner} still comes from {left.source}")
    data = {"name": name, "channel": invocation.channel, "removed": places, "dry_run": dry_run}
    would = "would be deleted" if dry_run else "deleted"
    text = [f"{name}{owner} {would}: {place}" for place in places]
    return Result(data, text or [f"no {name}{owner} was stored"])


@command(auth, "status", "wacoex auth status", "wacoex auth status --channel shop --offline --json")
def status(
    invocation: Invocation,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Meta whether tokens work.")
    ] = False,
) -> Result:
    """Show where each secret comes from and whether it works."""
    from wacoex_cli.setup.auth import common_errors, common_rows, common_warnings, entries

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        found = entries(workspace, invocation.channel, offline=offline)
        now = workspace.clock.now()
    if not invocation.json:
        for warning in common_warnings(found, now):
            dialogue.warn(warning)
    if not found:
        dialogue.note("there is no secret yet; `wacoex auth login meta-token` stores one")
    errors = [error for entry in found if (error := entry.error) is not None]
    rows = [entry.to_row() for entry in found]
    on_screen = rows if invocation.verbose else common_rows(found)
    return Result(
        {"secrets": [entry.to_json(now) for entry in found]},
        [
            ForPerson(Table(_SECRET_COLUMNS, on_screen, folds=True)),
            ForPipe(Table(_SECRET_COLUMNS, rows)),
        ],
        # A missing or refused secret (4) before a Meta that is not reached (6).
        min((error.exit_status for error in errors), default=0),
        errors if invocation.json else common_errors(found),
    )


def _owner(channel: str | None) -> str:
    return f" of channel `{channel}`" if channel else ""


@command(config, "show", "wacoex config show", "wacoex config show --channel shop --json")
def show(invocation: Invocation) -> Result:
    """Show every setting and secret with its source, and the last four characters of a secret."""
    from wacoex_cli.setup.config import secrets_in_force, settings_in_force

    flags: dict[str, object] = {
        name: value
        for name in ("channel", "no_input", "debug")
        if (value := getattr(invocation, name))
    }
    with invocation.open_workspace() as workspace:
        settings = settings_in_force(workspace, invocation.channel, flags)
        secrets = secrets_in_force(workspace, invocation.channel)
    data = {
        "settings": [setting._asdict() for setting in settings],
        "secrets": [secret._asdict() for secret in secrets],
    }
    return Result(data, [Table(_SETTING_COLUMNS, [*settings, *secrets])])


@command(config, "path", "wacoex config path", "wacoex config path --json")
def config_path(invocation: Invocation) -> Result:
    """Show where wacoex keeps and looks for its files."""
    from wacoex_cli.setup.config import locations

    with invocation.open_workspace() as workspace:
        found = locations(workspace)
    data = {"paths": [place._asdict() for place in found]}
    return Result(data, [Table(_PATH_COLUMNS, found)])


class ShellName(enum.StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(
    root,
    "completion",
    "wacoex completion bash > ~/.local/share/bash-completion/completions/wacoex",
    'wacoex completion zsh > "${fpath[1]}/_wacoex"',
    "wacoex completion fish > ~/.config/fish/completions/wacoex.fish",
)
def completion(
    invocation: Invocation,
    shell: Annotated[ShellName, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> Result:
    """Print the completion script of a shell.

    It completes commands, options, channels and broadcasts. Put it where the examples say and
    open a new shell; an installer that takes over a program's shared files has done so already.
    """
    from wacoex_cli.terminal.completion import script

    text = script(shell.value)
    return Result({"shell": shell.value, "script": text}, [Verbatim(text)])


_HOLDER_COLUMNS = (
    Column("purpose", 9, fit="keep"),
    Column("process", 8, fit="keep"),
    Column("host", 5, least=10, may_drop=True),
    Column("since", 4, fit="keep", may_drop=True),
    Column("is_alive", 7, fit="keep"),
)
_PRUNED_COLUMNS = (
    Column("id", 9, fit="keep"),
    Column("status", 6, fit="keep", may_drop=True),
    Column("ended", 7, fit="keep"),
    Column("rows", 5, fit="keep", may_drop=True),
    Column("name", 8, least=10),
)
_LOST_WORDS = {
    "attempts": "people who got messages since",
    "broadcasts": "broadcasts, or how they ended",
    "decisions": "decisions of people",
    "optouts": "people who opted out",
}


@command(state, "path", "wacoex state path", "wacoex state path --json")
def state_path(invocation: Invocation) -> Result:
    """Show where the state file is, how large it is, and which processes use it."""
    from wacoex_cli.setup.state import usage

    with invocation.open_workspace() as workspace:
        file = workspace.settings.state
        seen, holders = usage(workspace)
    data = {
        "path": str(file),
        "exists": seen.exists,
        "bytes": seen.bytes,
        "schema": seen.schema[-1] if seen.schema else None,
        "locks": holders,
    }
    if not seen.exists:
        return Result(data, (str(file), "it does not exist yet"))
    schema = data["schema"] or "not a state file of wacoex"
    rows = [[row[name] for name in ("purpose", "pid", "host", "since", "alive")] for row in holders]
    table = Table(_HOLDER_COLUMNS, rows)
    text = (str(file), f"{seen.bytes} bytes, schema {schema}", table)
    if seen.problem:
        return Result(data, text, exit_code=seen.problem.exit_status, errors=[seen.problem])
    return Result(data, text)


@command(state, "backup", "wacoex state backup", "wacoex state backup /backups/wacoex-monday.db")
def backup(
    invocation: Invocation,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A new file, or a directory; beside the state file if left out."
        ),
    ] = None,
) -> Result:
    """Copy the state file, also while a broadcast runs, and check the copy.

    Without FILE its name holds the time in UTC. wacoex never overwrites a file. The copy holds
    phone numbers and no secrets; only you may read it.
    """
    from wacoex_cli.setup.state import back_up

    with invocation.open_workspace() as workspace:
        target, seen = back_up(workspace, file)
    data = {"file": target, "bytes": seen.bytes, "schema": seen.schema[-1], "integrity": "ok"}
    text = (
        f"{target}: {seen.bytes} bytes, checked",
        "it holds phone numbers and no secrets; keep it private",
    )
    return Result(data, text)


@command(
    state,
    "restore",
    "wacoex state restore wacoex-backup-20261123T093000Z.db",
    "wacoex state restore wacoex-backup-20261123T093000Z.db --dry-run",
)
def restore(
    invocation: Invocation,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `state backup` wrote.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Restore an older file, although people may get a message twice."
        ),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Put a backup in the place of the state file, and keep the old file beside it.

    wacoex refuses while a process uses the state file, and when the backup lacks what the state
    file knows: wacoex would send that again. Rows that were being sent when the backup was made
    become ambiguous (they may have gone out). wacoex sends nothing from a backup that was forced,
    or brought to another machine, before `wacoex state adopt`.
    """
    from wacoex_cli.setup.state import prepare

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
                _confirm_restore(invocation, state, file, found)
            kept, closed = restoration.put()
    text = [f"{state} restored from {file}", *_losses(found)]
    text += [f"its old content is in {kept}"] if kept else []
    text += [f"{counted(closed, 'row')} in the middle of sending, now ambiguous"] if closed else []
    if restoration.must_be_adopted:
        text.append("before you send anything from it: wacoex state adopt")
    data = {**data, "must_be_adopted": restoration.must_be_adopted}
    return Result({**data, "kept": kept, "ambiguous": closed}, text)


def _too_old(file: Path, found: "Comparison") -> RefusedError:
    if found.unreadable:
        return RefusedError(
            "nothing was restored: the current state file cannot be read, so nobody knows what"
            f" {file} lacks ({found.unreadable})",
            hint="if it is the newest backup, add `--force`; before you send anything,"
            " settle what was sent after it",
            code="state_unreadable",
        )
    return RefusedError(
        f"nothing was restored: {file} is older than the current state file and lacks"
        f" {', '.join(_lacks(found))}",
        hint="restore a newer backup; with `--force` people may get a message twice",
        code="older_state",
        details={"lost": dict(found.lost)},
    )


def _lacks(found: "Comparison") -> Iterator[str]:
    return (f"{n} {_LOST_WORDS[what]}" for what, n in found.lost.items() if n)


def _losses(found: "Comparison") -> Iterator[str]:
    if found.unreadable:
        yield f"the file it replaces could not be read: {found.unreadable}"
    yield from (f"it lacks {lack}" for lack in _lacks(found))


def _confirm_restore(invocation: Invocation, state: Path, file: Path, found: "Comparison") -> None:
    dialogue = TerminalDialogue(invocation)
    for loss in _losses(found):
        dialogue.warn(loss)
    twice = found.lost.get("attempts", 0)
    if twice:
        question = (
            f"{counted(twice, 'person')} may get a message twice; type {twice} to restore {file}"
        )
        is_sure = dialogue.ask(question, flag="--yes") == str(twice)
    else:
        is_sure = dialogue.confirm(f"replace {state} with {file}?", flag="--yes")
    if not is_sure:
        raise DeclinedError("declined", hint="nothing was changed")


@command(state, "adopt", "wacoex state adopt", "wacoex state adopt --yes")
def adopt(invocation: Invocation, yes: YesOption = False) -> Result:
    """Use a copy, or a file that went back in time, as the state file from now on.

    wacoex does not know what another copy sent after this file's last moment. So everybody who
    still waits for a message becomes ambiguous (may have got it), and wacoex pauses their
    broadcasts: `broadcast reconcile` settles the rows, then `broadcast resume` continues. wacoex
    records who adopted it, when and why.
    """
    from wacoex_cli.foundation.workspace import login_name
    from wacoex_cli.setup.state import look_at_adoption

    with invocation.open_workspace() as workspace:
        path = workspace.settings.state
        adoption = look_at_adoption(workspace)
        data = {"path": path, "adopted": adoption.why is not None, "reason": adoption.why}
        if adoption.why is None:
            settled = adoption.settle()
            text = [f"{path} is the file that was used last: you need not adopt it"]
            text += (
                [f"{counted(settled, 'row')} sent but not recorded, now ambiguous"]
                if settled
                else []
            )
            return Result({**data, "ambiguous": settled, "broadcasts": []}, text)
        if not yes:
            dialogue = TerminalDialogue(invocation)
            dialogue.warn(f"{path}: {adoption.why}")
            dialogue.warn(
                "wacoex does not know what another copy sent after this file's last moment"
            )
            question = (
                f"adopt it, and mark {counted(adoption.waiting, 'waiting person')} of"
                f" {counted(adoption.broadcasts, 'broadcast')} as ambiguous?"
            )
            if not dialogue.confirm(question, flag="--yes"):
                raise DeclinedError("declined", hint="nothing was changed")
        adopted = adoption.put(login_name())
    rows = [{"broadcast_id": number, "ambiguous": n} for number, n in adopted.rows.items()]
    text = [f"{path} is the state file from now on; ambiguous: {counted(adopted.ambiguous, 'row')}"]
    text += [
        f"  broadcast {number}: {counted(n, 'row')}; settle them: wacoex broadcast"
        f" reconcile {number}"
        for number, n in adopted.rows.items()
    ]
    return Result({**data, "ambiguous": adopted.ambiguous, "broadcasts": rows}, text)


@command(state, "check", "wacoex state check", "wacoex state check --json")
def check(invocation: Invocation) -> Result:
    """Check the state file: SQLite's own check, file modes, and sums that must hold.

    Exit status 0 when all is well, 8 when something is not.
    """
    from wacoex_cli.setup.state import check as look_for_problems

    with invocation.open_workspace() as workspace:
        state = workspace.settings.state
        problems = look_for_problems(state, workspace.clock)
    data = {"path": state, "problems": [asdict(problem) for problem in problems]}
    if not problems:
        return Result(data, (f"{state} is sound",))
    text = [line for found in problems for line in (found.problem, f"  {found.remedy}")]
    error = StateError(
        f"the state file {state} has {counted(len(problems), 'problem')}",
        hint="the line below each problem says what to do",
        code="state_unsound",
    )
    return Result(data, text, exit_code=error.exit_status, errors=[error])


_MEGABYTE = 1_000_000
_KEPT_WORDS = {
    "open": "not finished",
    "ambiguous": "has rows that may or may not have gone out",
    "cooling_down": "has people whom nobody may write to for 24 hours",
    "recent": "was sent in the last 24 hours",
    "already_sent": "was sent less than `repeat_hours` ago, and must not be sent again",
    "newest": "is the newest: its number must not be used again",
}


@command(
    state,
    "prune",
    "wacoex state prune --older-than 400 --dry-run",
    "wacoex state prune --before 2026-01-01 --vacuum --yes",
)
def prune(
    invocation: Invocation,
    before: Annotated[
        str | None,
        typer.Option(
            "--before",
            metavar="TIME",
            help="Ended or arrived before this time, such as 2026-01-01.",
        ),
    ] = None,
    older_than: Annotated[
        int | None,
        typer.Option(
            "--older-than", metavar="DAYS", min=1, max=36_500, help="Older than this many days."
        ),
    ] = None,
    vacuum: Annotated[
        bool,
        typer.Option(
            "--vacuum",
            help="Return all unused space at once, when nothing else uses the file.",
        ),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Remove old finished broadcasts and all of their rows, and events that came in long ago.

    The space goes back to the disk a little at a time, so that broadcasts go on meanwhile. A file
    that an earlier version made needs `--vacuum` once.

    wacoex keeps, whatever their age: broadcasts that are not finished, have ambiguous rows (may
    have gone out), or people who are cooling down; the newest broadcast; all opt-outs; and the
    evidence of when each app was opened.
    """
    from wacoex_cli.setup.state import Pruning

    with invocation.open_workspace() as workspace:
        moment = _cutoff(before, older_than, workspace.clock.now())
        pruning = Pruning(workspace, moment, vacuum=vacuum and not dry_run)
        if not dry_run:
            if pruning.broadcasts.removable or pruning.events:
                _confirm_prune(invocation, pruning, yes)
            pruning.remove()
        return _pruned(pruning, dry_run=dry_run, vacuumed=vacuum and not dry_run)


def _cutoff(before: str | None, older_than: int | None, now: datetime) -> datetime:
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
            f"`--before {before}` is in the future", hint="give a time that has passed"
        )
    return moment


def _confirm_prune(invocation: Invocation, pruning: "Pruning", yes: bool) -> None:
    removable = pruning.broadcasts.removable
    rows = sum(broadcast.rows for broadcast in removable)
    things = (
        [f"{counted(len(removable), 'broadcast')} with {counted(rows, 'row')}"] if removable else []
    )
    things += [_in_words(pruning.events)] if pruning.events else []
    question = f"remove {' and '.join(things)} for good?"
    if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
        raise DeclinedError("declined", hint="nothing was changed")


def _in_words(old: "OldEvents") -> str:
    return (
        f"{counted(old.events, 'event')} in {counted(old.payloads, 'payload')}"
        f" and {counted(old.active_contacts, 'active contact')} of old months"
    )


def _pruned(pruning: "Pruning", *, dry_run: bool, vacuumed: bool) -> Result:
    removed, events = pruning.broadcasts.removable, pruning.events
    data = {
        "before": pruning.before,
        "removed": [asdict(broadcast) for broadcast in removed],
        "kept": dict(pruning.broadcasts.kept),
        "removed_events": events.to_json(),
        "dry_run": dry_run,
        "vacuumed": vacuumed,
        "returned_bytes": pruning.returned_bytes,
        "unused_bytes": pruning.unused_bytes,
    }
    rows = [
        (old.broadcast_id, old.status, from_text(old.ended_at), old.rows, old.name)
        for old in removed
    ]
    would = "would be " if dry_run else ""
    kept = [f"kept: {n}, {_KEPT_WORDS[why]}" for why, n in pruning.broadcasts.kept.items()]
    table = Table(_PRUNED_COLUMNS, rows)
    gone = [f"{_in_words(events)} {would}removed"] if events else []
    text = [f"{counted(len(rows), 'broadcast')} {would}removed", *kept, *gone]
    text += [] if dry_run else _space(pruning)
    return Result(data, (table, *text))


def _space(pruning: "Pruning") -> Iterator[str]:
    """How much space went back to the disk, and how much is unused, from one megabyte on."""
    if returned := round(pruning.returned_bytes / _MEGABYTE):
        yield f"{returned:,} MB returned to the disk"
    if unused := round(pruning.unused_bytes / _MEGABYTE):
        yield (
            f"{unused:,} MB of the file are unused; new rows will fill them. To return them now,"
            " run again with `--vacuum` when nothing is being sent: nothing can write to the file"
            " meanwhile, about a second for each 50 MB of it"
        )
    if pruning.is_read:
        yield "the file gets smaller as soon as no other command reads it"


@command(
    state,
    "export",
    "wacoex state export --out wacoex.ndjson",
    "wacoex state export --show-numbers | grep optouts",
)
def export(
    invocation: Invocation,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A new file; stdout if left out.")
    ] = None,
    show_numbers: Annotated[
        bool, typer.Option("--show-numbers", help="Show everything, also phone numbers.")
    ] = False,
) -> Result:
    """Write everything in the state file as NDJSON: one object a line, its table under `table`.

    wacoex masks phone numbers and the message ids that contain them, and leaves out the bodies
    of webhooks. The file has no secrets.
    """
    from wacoex_cli.setup.export import export as write_all

    with invocation.open_workspace() as workspace:
        written = write_all(
            workspace, out, lambda text: write(sys.stdout, text), show_numbers=show_numbers
        )
    if out is None:
        return Result({"masked": not show_numbers})
    data = {"file": out, "lines": written, "masked": not show_numbers}
    return Result(data, (f"{counted(written, 'line')} written to {out}",))
