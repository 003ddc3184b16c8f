"""`wacoex channel`: the numbers that wacoex looks after."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    command,
    completing,
    group,
)
from wacoex_cli.terminal.render import ForPerson, Result, Table

if TYPE_CHECKING:
    from wacoex_cli.channels.discover import Adopted, Found, FoundNumber
    from wacoex_cli.channels.import_file import ImportedChannels
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace

app = group("channel", "The phone numbers wacoex looks after.")

_NO_CHANNEL = "there is no channel; add one: wacoex channel add NAME --phone +65..."
_COLUMNS = (
    "channel",
    "phone",
    "phone_number_id",
    "waba_id",
    "provider",
    "owner",
    "timezone",
    "connection",
)


NewNameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A name for it: letters, digits, `-`, `_`, `.`.")
]
_NAME = typer.Argument(
    metavar="NAME", help="The name of the channel.", autocompletion=completing("channel")
)
NameArgument = Annotated[str, _NAME]
ArchivedNameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="The name of the channel.",
        autocompletion=completing("archived channel"),
    ),
]
PhoneNumberIdOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Meta's id of the phone number.")
]
WabaIdOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Meta's id of the WhatsApp Business Account.")
]
RespondioOption = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="respond.io's number of the channel.")
]
ProviderOption = Annotated[
    Provider | None, typer.Option(help="The API that wacoex sends and reads through.")
]
OwnerOption = Annotated[
    str | None, typer.Option(metavar="TEXT", help="Who holds the phone and answers for it.")
]
TimezoneOption = Annotated[
    str | None, typer.Option(metavar="TZ", help="Its time zone, such as Asia/Singapore.")
]
PartnerOption = Annotated[
    str | None, typer.Option(metavar="ID", help="Meta's app id of the connected partner.")
]


@command(
    app,
    "add",
    "wacoex channel add shop --phone +6560000001",
    "wacoex channel add shop --phone +6560000001 --phone-number-id 106540352242922",
)
def add(
    invocation: Invocation,
    name: NewNameArgument,
    phone: Annotated[str, typer.Option(metavar="+65...", help="With `+` and country code.")],
    phone_number_id: PhoneNumberIdOption = None,
    waba_id: WabaIdOption = None,
    respondio_channel_id: RespondioOption = None,
    provider: ProviderOption = None,
    owner: OwnerOption = None,
    timezone: TimezoneOption = None,
    partner_app_id: PartnerOption = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Add a phone number."""
    from wacoex_cli.channels.registry import add_channel

    details = Details(
        phone=phone,
        phone_number_id=phone_number_id,
        waba_id=waba_id,
        respondio_channel_id=respondio_channel_id,
        provider=provider or Provider.META,
        owner=owner,
        timezone=timezone,
        partner_app_id=partner_app_id,
    )
    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        channel = add_channel(workspace.state, name, details, now, dry_run=dry_run)
        return _changed(workspace, channel, "added", dry_run)


@command(app, "list", "wacoex channel list", "wacoex channel list --archived --json")
def list_channels(
    invocation: Invocation,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
) -> Result:
    """List the channels."""
    from wacoex_cli.channels import access
    from wacoex_cli.channels.store import Channels

    with invocation.open_workspace() as workspace:
        access.warn_about_unknown_tables(workspace)
        found = Channels(workspace.state).all_channels()
        entries = _entries(workspace, [one for one in found if archived or not one.archived_at])
    rows = [[entry[column] for column in _COLUMNS] for entry in entries]
    return Result({"channels": entries}, [Table(_COLUMNS, rows, _NO_CHANNEL)])


@command(app, "show", "wacoex channel show", "wacoex channel show shop --json")
def show(
    invocation: Invocation,
    name: Annotated[str | None, _NAME] = None,
) -> Result:
    """Show what is known about one channel."""

    from wacoex_cli.channels import access, registry

    with invocation.open_workspace() as workspace:
        channel = (
            registry.known(workspace.state, name)
            if name
            else access.choose_channel(workspace, invocation)
        )
        [entry] = _entries(workspace, [channel])
    former = [
        (f"former {one.name}", f"{one.value} until {one.until}") for one in channel.former_ids
    ]
    data = {**entry, "former_ids": [one._asdict() for one in channel.former_ids]}
    return Result(data, [Table(("field", "value"), [*entry.items(), *former])])


@command(
    app,
    "edit",
    "wacoex channel edit shop --waba-id 102290129340398",
    'wacoex channel edit shop --owner ""',
)
def edit(
    invocation: Invocation,
    name: NameArgument,
    phone: Annotated[
        str | None, typer.Option(metavar="+65...", help="With `+` and country code.")
    ] = None,
    phone_number_id: PhoneNumberIdOption = None,
    waba_id: WabaIdOption = None,
    respondio_channel_id: RespondioOption = None,
    provider: ProviderOption = None,
    owner: OwnerOption = None,
    timezone: TimezoneOption = None,
    partner_app_id: PartnerOption = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Change a channel's details; an empty text removes one. Replaced ids are kept."""
    from wacoex_cli.channels.registry import edit_channel

    given = {
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "respondio_channel_id": respondio_channel_id,
        "provider": provider,
        "owner": owner,
        "timezone": timezone,
        "partner_app_id": partner_app_id,
    }
    changes = {field: value or None for field, value in given.items() if value is not None}
    if phone is not None:
        changes["phone"] = phone
    if not changes:
        raise UsageError("nothing to change is given", hint="name it, for example `--owner TEXT`")
    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        channel = edit_channel(workspace.state, name, changes, now, dry_run=dry_run)
        return _changed(workspace, channel, "changed", dry_run)


@command(app, "remove", "wacoex channel remove shop", "wacoex channel remove shop --yes")
def remove(
    invocation: Invocation,
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Archive a channel. Its history is kept, and `restore` takes it back."""
    from wacoex_cli.channels import registry

    with invocation.open_workspace() as workspace:
        channel = registry.active(workspace.state, name)
        if not dry_run:
            question = f"Archive channel `{name}` ({channel.phone})? Its history is kept."
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            channel = registry.archive_channel(workspace.state, name, workspace.clock.now())
        return _changed(workspace, channel, "archived", dry_run)


@command(app, "restore", "wacoex channel restore shop")
def restore(
    invocation: Invocation, name: ArchivedNameArgument, dry_run: DryRunOption = False
) -> Result:
    """Take an archived channel back."""
    from wacoex_cli.channels.registry import restore_channel

    with invocation.open_workspace() as workspace:
        channel = restore_channel(workspace.state, name, dry_run=dry_run)
        return _changed(workspace, channel, "restored", dry_run)


@command(app, "use", "wacoex channel use shop")
def use(invocation: Invocation, name: NameArgument, dry_run: DryRunOption = False) -> Result:
    """Make a channel the one that is meant when none is named."""
    from wacoex_cli.channels.registry import use_channel

    with invocation.open_workspace() as workspace:
        channel = use_channel(workspace.state, name, dry_run=dry_run)
        return _changed(workspace, channel, "in use", dry_run)


def _entries(workspace: "Workspace", channels: list["Channel"]) -> list[dict[str, object]]:
    """What is told about each channel, and how it is connected as far as is stored."""
    from wacoex_cli.channels.connection import FACTS
    from wacoex_cli.channels.facts import stored_facts

    found = stored_facts(workspace.state, channels, workspace.clock.now(), FACTS)
    return [one.to_json() | found[one.channel_id].connection.to_json() for one in channels]


def _changed(workspace: "Workspace", channel: "Channel", what: str, dry_run: bool) -> Result:

    would = "would be " if dry_run else ""
    [entry] = _entries(workspace, [channel])
    return Result(
        {**entry, "dry_run": dry_run},
        [f"channel {channel.name} ({channel.phone}) {would}{what}"],
    )


_PARTIAL = 7
_PROBLEMS_TOLD = 20
_FOUND_COLUMNS = ("source", "phone", "id", "account", "name", "coexistence", "channel")


@command(
    app,
    "discover",
    "wacoex channel discover",
    "wacoex channel discover --yes",
    "wacoex channel discover --dry-run --json",
)
def discover(
    invocation: Invocation, yes: YesOption = False, dry_run: DryRunOption = False
) -> Result:
    """List what the tokens can see, and offer to add new Coexistence numbers."""
    from wacoex_cli.channels.discover import look_around
    from wacoex_cli.channels.store import Channels

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
    "wacoex channel import channels.csv --dry-run",
    "wacoex channel import channels.csv",
    "wacoex channel import -",
)
def import_list(
    invocation: Invocation,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV or NDJSON; - is standard input.")
    ],
    dry_run: DryRunOption = False,
) -> Result:
    """Add the channels of a list, all of them or none. Columns are named as in `channel list`."""
    from wacoex_cli.channels.import_file import import_channels, read_list

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
    dialogue: TerminalDialogue,
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
    table = Table(_FOUND_COLUMNS, rows, "the tokens can see no number and no channel")
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


def _imported(done: "ImportedChannels", dialogue: TerminalDialogue, dry_run: bool) -> Result:

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
