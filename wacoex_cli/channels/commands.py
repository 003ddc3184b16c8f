"""`wacoex channel`: the numbers that wacoex looks after."""

from pathlib import Path
from typing import Annotated

import typer

from wacoex_cli.channels.model import Details, Provider
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    command,
    completing,
    group,
)
from wacoex_cli.terminal.render import Result, Table

app = group("channel", "The phone numbers that wacoex manages.")

_ADD_ONE = "add one: wacoex channel add NAME --phone +65..."
_COLUMNS = (
    Column("channel", 9, least=12),
    Column("phone", 8, fit="keep"),
    Column("phone_number_id", 3, fit="keep", may_drop=True),
    Column("waba_id", 2, fit="keep", may_drop=True),
    Column("provider", 4, fit="keep", may_drop=True),
    Column("owner", 5, least=10, may_drop=True),
    Column("timezone", 1, fit="keep", may_drop=True),
    Column("connection", 7, fit="keep"),
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
    int | None, typer.Option(metavar="N", min=1, help="respond.io's id of the channel.")
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
    from wacoex_cli.channels.registry import add_channel, changed

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
        return changed(workspace, channel, "added", dry_run)


@command(app, "list", "wacoex channel list", "wacoex channel list --archived --json")
def list_channels(
    invocation: Invocation,
    archived: Annotated[
        bool, typer.Option("--archived", help="Also list archived channels.")
    ] = False,
) -> Result:
    """List the channels."""
    from wacoex_cli.channels.registry import listed
    from wacoex_cli.channels.store import Channels

    with invocation.open_workspace() as workspace:
        entries = listed(workspace, archived=archived)
        place, names = workspace.state.path, Channels(workspace.state).names()
    rows = [[entry[column.name] for column in _COLUMNS] for entry in entries]
    nothing = f"there is no channel in {place}; {_ADD_ONE}"
    if names:
        nothing = "every channel is archived; to see them: wacoex channel list --archived"
    return Result({"channels": entries}, [Table(_COLUMNS, rows, nothing, folds=True)])


@command(app, "show", "wacoex channel show", "wacoex channel show shop --json")
def show(
    invocation: Invocation,
    name: Annotated[str | None, _NAME] = None,
) -> Result:
    """Show what is known about one channel."""
    from wacoex_cli.channels.registry import choose_channel, entries_of, known

    with invocation.open_workspace() as workspace:
        channel = known(workspace.state, name) if name else choose_channel(workspace, invocation)
        [entry] = entries_of(workspace, [channel])
    former = [
        (f"former {old.name}", f"{old.value} until {old.until}") for old in channel.former_ids
    ]
    data = {**entry, "former_ids": [old._asdict() for old in channel.former_ids]}
    return Result(
        data,
        [
            Table(
                (Column("field", 9, fit="keep"), Column("value", fit="wrap")),
                [*entry.items(), *former],
            )
        ],
    )


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
    """Change a channel's details; an empty text removes a detail. wacoex keeps replaced ids."""
    from wacoex_cli.channels.registry import changed, edit_channel

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
        raise UsageError(
            "you gave nothing to change", hint="give an option, for example `--owner TEXT`"
        )
    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        channel = edit_channel(workspace.state, name, changes, now, dry_run=dry_run)
        return changed(workspace, channel, "changed", dry_run)


@command(
    app,
    "rename",
    "wacoex channel rename shop shop-berlin",
    "wacoex channel rename shop shop-berlin --dry-run",
)
def rename(
    invocation: Invocation,
    name: Annotated[
        str,
        typer.Argument(metavar="OLD", help="Its name now.", autocompletion=completing("channel")),
    ],
    new_name: Annotated[str, typer.Argument(metavar="NEW", help="Letters, digits, `-`, `_`, `.`.")],
    dry_run: DryRunOption = False,
) -> Result:
    """Rename a channel. Its secrets, broadcasts, events and history stay with it.

    You change the tables of config.toml and the environment variables that have the old name:
    the command names them.
    """
    from wacoex_cli.channels.rename import rename_channel

    with invocation.open_workspace() as workspace:
        return rename_channel(workspace, name, new_name, dry_run=dry_run)


@command(app, "remove", "wacoex channel remove shop", "wacoex channel remove shop --yes")
def remove(
    invocation: Invocation,
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Archive a channel. Its history stays, and `restore` brings it back."""
    from wacoex_cli.channels.registry import active, archive_channel, changed

    with invocation.open_workspace() as workspace:
        channel = active(workspace.state, name)
        if not dry_run:
            question = f"Archive channel `{name}` ({channel.phone})? Its history stays."
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            channel = archive_channel(workspace.state, name, workspace.clock.now())
        return changed(workspace, channel, "archived", dry_run)


@command(app, "restore", "wacoex channel restore shop")
def restore(
    invocation: Invocation, name: ArchivedNameArgument, dry_run: DryRunOption = False
) -> Result:
    """Bring an archived channel back."""
    from wacoex_cli.channels.registry import changed, restore_channel

    with invocation.open_workspace() as workspace:
        channel = restore_channel(workspace.state, name, dry_run=dry_run)
        return changed(workspace, channel, "restored", dry_run)


@command(app, "use", "wacoex channel use shop")
def use(invocation: Invocation, name: NameArgument, dry_run: DryRunOption = False) -> Result:
    """Make a channel the default for commands that name no channel."""
    from wacoex_cli.channels.registry import changed, use_channel

    with invocation.open_workspace() as workspace:
        channel = use_channel(workspace.state, name, dry_run=dry_run)
        return changed(workspace, channel, "in use", dry_run)


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
    from wacoex_cli.channels.discover import run_discovery

    with invocation.open_workspace() as workspace:
        return run_discovery(workspace, TerminalDialogue(invocation), yes=yes, dry_run=dry_run)


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
    from wacoex_cli.channels.import_file import run_import

    with invocation.open_workspace() as workspace:
        return run_import(workspace, file, TerminalDialogue(invocation), dry_run=dry_run)
