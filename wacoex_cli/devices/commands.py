"""`wacoex device`: the companions linked to the phone."""

import enum
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import Device, DeviceState
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

app = group("The companions linked to the phone: no API lists them, so wacoex keeps the list.")


class KindName(enum.StrEnum):
    """The kinds of companions, as they are typed."""

    WEB = "web"
    DESKTOP_WINDOWS = "desktop-windows"
    DESKTOP_MAC = "desktop-mac"
    ANDROID_TABLET = "android-tablet"
    IPAD = "ipad"
    SECOND_PHONE = "second-phone"
    WEAR_OS = "wear-os"
    OTHER = "other"


IdArgument = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="The number `wacoex device list` shows.")
]


@command(
    app,
    "add",
    path=("device", "add"),
    examples=(
        'wacoex device add web --name "front desk"',
        "wacoex device add second-phone --linked-at 2026-11-02T09:30:00Z",
    ),
)
def add(
    invocation: Invocation,
    kind: Annotated[
        KindName,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(KindName)}. WhatsApp Web in a browser is `web`, on Windows too.",
        ),
    ],
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name to know it by.")] = None,
    linked_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it was linked; now unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> "Result":
    """List a companion that is linked to the phone."""
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view
    from wacoex_cli.devices.checks import check_supported
    from wacoex_cli.devices.model import DeviceKind
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        now = workspace.clock.now()
        before = registry.inventory(workspace.state, channel, now)
        device = registry.add_device(
            workspace.state,
            channel,
            DeviceKind(kind),
            name,
            _moment(workspace, channel, linked_at) if linked_at else now,
            now,
            dry_run=dry_run,
        )
        after = registry.inventory(workspace.state, channel, now)
    for finding in check_supported([device], channel.name):
        TerminalDialogue(invocation).warn(f"{finding.id}: {finding.title}")
    text = [view.added(device, channel.name, dry_run=dry_run)]
    if before.is_primary_only:
        text.append(view.NO_LONGER_STRONG)
    return Result(_changed(device, after, channel, dry_run), text)


@command(
    app,
    "list",
    path=("device", "list"),
    examples=("wacoex device list", "wacoex device list -c shop --json"),
)
def list_devices(invocation: Invocation) -> "Result":
    """List the companions of a channel, and what is wrong with them."""
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        now = workspace.clock.now()
        found = registry.inventory(workspace.state, channel, now)
    return Result(view.inventory_data(found, channel.name), list(view.inventory_text(found, now)))


@command(
    app,
    "remove",
    path=("device", "remove"),
    examples=("wacoex device remove 2", "wacoex device remove 2 --yes"),
)
def remove(
    invocation: Invocation,
    device_id: IdArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Take a companion off the list, once it is logged out on the phone."""
    from wacoex_cli.devices import registry, view
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        device, channel = _named(workspace, invocation, device_id)
        now = workspace.clock.now()
        if not dry_run:
            question = f"Is {view.described(device)} logged out on the phone (Linked devices)?"
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            registry.remove_device(workspace.state, device, now)
        after = registry.inventory(workspace.state, channel, now)
    text = [view.removed(device, dry_run=dry_run), view.CONFIRM_NEXT.format(channel=channel.name)]
    return Result(_changed(device, after, channel, dry_run), text)


@command(app, "relink", path=("device", "relink"), examples=("wacoex device relink 2",))
def relink(
    invocation: Invocation, device_id: IdArgument, dry_run: DryRunOption = False
) -> "Result":
    """Say that a companion is linked, again or still, and in use as of now."""
    from wacoex_cli.devices import registry, view
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        found, channel = _named(workspace, invocation, device_id)
        now = workspace.clock.now()
        device = registry.relink_device(workspace.state, channel, found, now, dry_run=dry_run)
        after = registry.inventory(workspace.state, channel, now)
    text = [view.relinked(device, channel.name, dry_run=dry_run)]
    return Result(_changed(device, after, channel, dry_run), text)


@command(
    app,
    "confirm",
    path=("device", "confirm"),
    examples=("wacoex device confirm", "wacoex device confirm -c shop --by Ana"),
)
def confirm(
    invocation: Invocation,
    by: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Who has looked; your login name unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> "Result":
    """Say that the list equals Linked devices on the phone.

    While it holds no companion, only the phone can send an echo: one then counts as strong
    evidence that the app was opened.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view
    from wacoex_cli.foundation.person import known_login_name
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        now = workspace.clock.now()
        said_by = (known_login_name() or "") if by is None else by
        said = registry.confirm_list(workspace.state, channel, said_by, now, dry_run=dry_run)
        found = registry.inventory(workspace.state, channel, now)
    data = view.inventory_data(found, channel.name) | {
        "confirmed_by": said.confirmed_by,
        "companions": said.companions,
        "dry_run": dry_run,
    }
    return Result(data, view.confirmed(said, found, channel.name, dry_run=dry_run))


def _named(
    workspace: "Workspace", invocation: Invocation, device_id: int
) -> tuple["Device", "Channel"]:
    """The companion of that number, and its channel; `--channel` only guards against a mix-up."""
    from wacoex_cli.channels import registry
    from wacoex_cli.channels.store import Channels
    from wacoex_cli.devices.registry import known_device

    named = registry.active(workspace.state, invocation.channel) if invocation.channel else None
    device = known_device(workspace.state, device_id, named)
    take_in_events(workspace)
    channels = Channels(workspace.state).all_channels()
    return device, next(one for one in channels if one.channel_id == device.channel_id)


def take_in_events(workspace: "Workspace") -> None:
    """What came in since the last look: connecting and offboarding unlink companions."""
    from wacoex_cli.channels.evidence import CHANNELS
    from wacoex_cli.events.store import catch_up

    catch_up(workspace.state, (CHANNELS,), workspace.clock)


def _moment(workspace: "Workspace", channel: "Channel", text: str) -> datetime:
    from wacoex_cli.foundation.time_zones import moment_from

    zone = channel.timezone or workspace.settings_for(channel.name).timezone or "UTC"
    return moment_from(text, zone)


def _changed(
    device: "Device", after: "Inventory", channel: "Channel", dry_run: bool
) -> dict[str, object]:
    from wacoex_cli.devices import view

    return {
        "channel": channel.name,
        "device": view.device_data(device, _state(device, after)),
        "free_slots": after.free_slots,
        "dry_run": dry_run,
    }


def _state(device: "Device", after: "Inventory") -> "DeviceState | None":
    """None for one that is not on the list: removed, or not added by a dry run."""
    listed = {one.device_id: state for one, state in after.devices}
    return listed.get(device.device_id)
