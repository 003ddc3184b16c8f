"""`wacoex channel discover` and `import`: many channels at once."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.channels.commands import app
from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command

if TYPE_CHECKING:
    from wacoex_cli.channels.discover import Adopted, Found, FoundNumber
    from wacoex_cli.channels.import_file import ImportedChannels
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import ForPerson, Result, Table

__all__ = ["app"]

_PARTIAL = 7
_PROBLEMS_TOLD = 20
_COLUMNS = ("source", "phone", "id", "account", "name", "coexistence", "channel")


@command(
    app,
    "discover",
    path=("channel", "discover"),
    examples=(
        "wacoex channel discover",
        "wacoex channel discover --yes",
        "wacoex channel discover --dry-run --json",
    ),
)
def discover(
    invocation: Invocation, yes: YesOption = False, dry_run: DryRunOption = False
) -> "Result":
    """List what the tokens can see, and offer to add new Coexistence numbers."""
    from wacoex_cli.channels.discover import look_around
    from wacoex_cli.channels.store import Channels
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channels = Channels(workspace.state).all_channels()
        found = workspace.run(look_around(workspace, channels))
        taken = _taken(workspace, found, TerminalDialogue(invocation), yes=yes, dry_run=dry_run)
    data = {
        **found.to_json(),
        "added": [one.name for one in taken.added],
        "linked": [one.name for one in taken.linked],
        "dry_run": dry_run,
    }
    exit_code = 0
    if found.failures:
        exit_code = _PARTIAL if found.answers else found.failures[0].exit_status
    return Result(data, _shown(found, taken, dry_run), exit_code, errors=found.failures)


@command(
    app,
    "import",
    path=("channel", "import"),
    examples=(
        "wacoex channel import channels.csv --dry-run",
        "wacoex channel import channels.csv",
        "wacoex channel import -",
    ),
)
def import_list(
    invocation: Invocation,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV or NDJSON; - is standard input.")
    ],
    dry_run: DryRunOption = False,
) -> "Result":
    """Add the channels of a list, all of them or none. Columns are named as in `channel list`."""
    from wacoex_cli.channels.import_file import import_channels, read_list
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    title = "standard input" if str(file) == "-" else f"`{file}`"
    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        listing = read_list(title, _content(file))
        if listing.ignored:
            dialogue.note(f"columns without a meaning here: {', '.join(listing.ignored)}")
        now = workspace.clock.now()
        done = import_channels(workspace.state, listing, now, dry_run=dry_run)
    for name in done.archived:
        dialogue.note(f"channel {name} is archived: `wacoex channel restore {name}`")
    return _imported(done, dialogue, dry_run)


def _taken(
    workspace: "Workspace",
    found: "Found",
    dialogue: "TerminalDialogue",
    *,
    yes: bool,
    dry_run: bool,
) -> "Adopted":
    """What is added: all with `--yes`; else what a person picks, where there is one."""
    from wacoex_cli.channels.discover import Adopted, add_all, offer

    now = workspace.clock.now()
    if yes:
        return add_all(workspace.state, found, now, dry_run=dry_run)
    try:
        dialogue.demand_person("--yes")
    except UsageError:
        return Adopted()
    return Adopted() if dry_run else offer(workspace.state, found, dialogue, now)


def _shown(found: "Found", taken: "Adopted", dry_run: bool) -> "list[str | Table | ForPerson]":
    from wacoex_cli.terminal.render import ForPerson, Table

    names: dict[str | None, str] = {one.phone: one.name for one in taken.added}
    linked = {one.respondio_channel_id: one.name for one in taken.linked}
    rows: list[list[object]] = [
        [
            "meta",
            one.phone,
            one.phone_number_id,
            one.waba_id,
            one.verified_name,
            "unknown" if one.is_on_biz_app is None else one.is_coexistence,
            one.known_as or names.get(one.phone),
        ]
        for one in found.numbers
    ]
    rows += [
        ["respondio", None, one.id, one.source, one.name, None, one.known_as or linked.get(one.id)]
        for one in found.respondio
    ]
    would = "would be " if dry_run else ""
    told = [f"channel {one.name} ({one.phone}) {would}added" for one in taken.added]
    told += [
        f"channel {one.name} is respond.io's channel {one.respondio_channel_id}"
        for one in taken.linked
    ]
    hints = [*told, *_hints(found, taken)]
    table = Table(_COLUMNS, rows, "the tokens can see no number and no channel")
    return [table, *(ForPerson(line) for line in hints)]


def _hints(found: "Found", taken: "Adopted") -> list[str]:
    """What is left to do, as commands."""
    by_name = {one.name: one for one in found.channels}
    lines = []
    left = len(found.new) - len(taken.added)
    if left:
        lines.append(f"{left} new in Coexistence: `wacoex channel discover --yes` adds them all")
    linked = {one.respondio_channel_id for one in taken.linked}
    lines += [
        f"respond.io's channel {other.id} is none of yours yet:"
        f" `wacoex channel edit NAME --respondio-channel-id {other.id}`"
        for other in found.respondio
        if other.may_be_whatsapp and other.known_as is None and other.id not in linked
    ]
    for one in found.numbers:
        channel = by_name.get(one.known_as or "")
        if channel and _is_told_wrong(channel, one):
            lines.append(
                f"channel {channel.name} has other ids here: `wacoex channel edit {channel.name}"
                f" --phone-number-id {one.phone_number_id} --waba-id {one.waba_id}`"
            )
    return lines


def _is_told_wrong(channel: "Channel", number: "FoundNumber") -> bool:
    """Whether Meta has other ids for a channel's number now than are known here."""
    if channel.archived_at or channel.phone != number.phone:
        return False
    if number.phone_number_id in channel.former("phone_number_id"):
        return False
    ids = (number.phone_number_id, number.waba_id)
    return (channel.phone_number_id, channel.waba_id) != ids


def _content(file: Path) -> bytes:
    if str(file) == "-":
        if sys.stdin.isatty():
            raise UsageError(
                "no list on standard input: it is a terminal",
                hint="pipe a list into wacoex, or name a file instead of `-`",
                code="unreadable_file",
            )
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"cannot read `{file}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error


def _imported(done: "ImportedChannels", dialogue: "TerminalDialogue", dry_run: bool) -> "Result":

    from wacoex_cli.terminal.render import Result

    told = done.problems[:_PROBLEMS_TOLD]
    data = {
        "read": done.read,
        "added": len(done.added),
        "known": len(done.known),
        "channels": [one.name for one in done.added],
        "problems": [one._asdict() for one in told],
        "dry_run": dry_run,
    }
    if not done.problems:
        would = "would be " if dry_run else ""
        return Result(data, [f"{len(done.added)} {would}added, {len(done.known)} known already"])
    for one in told:
        dialogue.warn(f"line {one.line}: {one.message}" + (f"; {one.hint}" if one.hint else ""))
    if len(done.problems) > len(told):
        dialogue.warn(f"and {len(done.problems) - len(told)} more")
    error = UsageError(
        f"{len(done.problems)} of {done.read} rows cannot be added, so none was",
        hint="correct the lines named above, then run it again",
        code="rows_unfit",
    )
    return Result(data, exit_code=error.exit_status, errors=[error])
