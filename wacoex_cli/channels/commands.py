"""`wacoex channel`: the numbers that wacoex looks after."""

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    YesOption,
    command,
    completing,
    group,
)

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

app = group("The phone numbers wacoex looks after.")

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


class ProviderName(enum.StrEnum):
    """The APIs a channel can be reached through, as options spell them."""

    META = "meta"
    RESPONDIO = "respondio"


NewNameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A name for it: letters, digits, `-`, `_`, `.`.")
]
NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The name of the channel.", autocompletion=completing("channel")
    ),
]
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
    ProviderName | None, typer.Option(help="The API that wacoex sends and reads through.")
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
    path=("channel", "add"),
    examples=(
        "wacoex channel add shop --phone +6560000001",
        "wacoex channel add shop --phone +6560000001 --phone-number-id 106540352242922",
    ),
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
) -> "Result":
    """Add a phone number."""
    from wacoex_cli.channels.model import Details, Provider
    from wacoex_cli.channels.registry import add_channel

    details = Details(
        phone=phone,
        phone_number_id=phone_number_id,
        waba_id=waba_id,
        respondio_channel_id=respondio_channel_id,
        provider=Provider(provider or ProviderName.META),
        owner=owner,
        timezone=timezone,
        partner_app_id=partner_app_id,
    )
    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        channel = add_channel(workspace.state, name, details, now, dry_run=dry_run)
        return _changed(workspace, channel, "added", dry_run)


@command(
    app,
    "list",
    path=("channel", "list"),
    examples=("wacoex channel list", "wacoex channel list --archived --json"),
)
def list_channels(
    invocation: Invocation,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
) -> "Result":
    """List the channels."""
    from wacoex_cli.channels import access
    from wacoex_cli.channels.store import Channels
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        access.warn_about_unknown_tables(workspace)
        found = Channels(workspace.state).all_channels()
        entries = _entries(workspace, [one for one in found if archived or not one.archived_at])
    rows = [[entry[column] for column in _COLUMNS] for entry in entries]
    return Result({"channels": entries}, [Table(_COLUMNS, rows, _NO_CHANNEL)])


@command(
    app,
    "show",
    path=("channel", "show"),
    examples=("wacoex channel show", "wacoex channel show shop --json"),
)
def show(
    invocation: Invocation,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="The name of the channel.", autocompletion=completing("channel")
        ),
    ] = None,
) -> "Result":
    """Show what is known about one channel."""

    from wacoex_cli.channels import access, registry
    from wacoex_cli.terminal.render import Result, Table

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
    path=("channel", "edit"),
    examples=(
        "wacoex channel edit shop --waba-id 102290129340398",
        'wacoex channel edit shop --owner ""',
    ),
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
) -> "Result":
    """Change a channel's details; an empty text removes one. Replaced ids are kept."""
    from wacoex_cli.channels.model import Provider
    from wacoex_cli.channels.registry import edit_channel
    from wacoex_cli.errors import UsageError

    given = {
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "respondio_channel_id": respondio_channel_id,
        "provider": Provider(provider) if provider else None,
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


@command(
    app,
    "remove",
    path=("channel", "remove"),
    examples=("wacoex channel remove shop", "wacoex channel remove shop --yes"),
)
def remove(
    invocation: Invocation,
    name: NameArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Archive a channel. Its history is kept, and `restore` takes it back."""
    from wacoex_cli.channels import registry
    from wacoex_cli.errors import DeclinedError
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    with invocation.open_workspace() as workspace:
        channel = registry.active(workspace.state, name)
        if not dry_run:
            question = f"Archive channel `{name}` ({channel.phone})? Its history is kept."
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            channel = registry.archive_channel(workspace.state, name, workspace.clock.now())
        return _changed(workspace, channel, "archived", dry_run)


@command(app, "restore", path=("channel", "restore"), examples=("wacoex channel restore shop",))
def restore(
    invocation: Invocation, name: ArchivedNameArgument, dry_run: DryRunOption = False
) -> "Result":
    """Take an archived channel back."""
    from wacoex_cli.channels.registry import restore_channel

    with invocation.open_workspace() as workspace:
        channel = restore_channel(workspace.state, name, dry_run=dry_run)
        return _changed(workspace, channel, "restored", dry_run)


@command(app, "use", path=("channel", "use"), examples=("wacoex channel use shop",))
def use(invocation: Invocation, name: NameArgument, dry_run: DryRunOption = False) -> "Result":
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


def _changed(workspace: "Workspace", channel: "Channel", what: str, dry_run: bool) -> "Result":
    from wacoex_cli.terminal.render import Result

    would = "would be " if dry_run else ""
    [entry] = _entries(workspace, [channel])
    return Result(
        {**entry, "dry_run": dry_run},
        [f"channel {channel.name} ({channel.phone}) {would}{what}"],
    )
