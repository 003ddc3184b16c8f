"""`wacoex device`: the companions linked to the phone."""

import difflib
from typing import Annotated

import typer

from wacoex_cli.devices.model import DeviceKind, DeviceState, kinds_like
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.foundation.clock import moment_from
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import Result

app = group(
    "device", "The companions linked to the phone: no API lists them, so wacoex keeps the list."
)


IdArgument = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="The id that `wacoex device list` shows.")
]


def _kinds_beginning(incomplete: str) -> list[str]:
    return [kind.value for kind in DeviceKind if kind.value.startswith(incomplete)]


def _kind(text: str) -> DeviceKind:
    """The kind of device that is meant; raises UsageError unless it is clear."""
    found = kinds_like(text)
    if len(found) == 1:
        return found[0]
    near = found or difflib.get_close_matches(text.lower(), list(DeviceKind), n=1, cutoff=0.75)
    hint = f"there are {', '.join(DeviceKind)}"
    if near:
        hint = f"did you mean {' or '.join(f'`{kind}`' for kind in near)}?"
    raise UsageError(f"`{text}` is not a kind of device", hint=hint, code="unknown_kind")


@command(
    app,
    "add",
    'wacoex device add web --name "front desk"',
    "wacoex device add second-phone --linked-at 2026-11-02T09:30:00Z",
)
def add(
    invocation: Invocation,
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(DeviceKind)}. WhatsApp Web in a browser is `web`, on Windows too.",
            autocompletion=_kinds_beginning,
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A name to recognise it by.")
    ] = None,
    linked_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it was linked; now unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """List a companion that is linked to the phone."""
    from wacoex_cli.devices.checks import check_supported
    from wacoex_cli.devices.inventory import add_device, added, chosen_channel, inventory

    meant = _kind(kind)
    with invocation.open_workspace() as workspace:
        channel = chosen_channel(workspace, invocation)
        now = workspace.clock.now()
        zone = channel.timezone or workspace.settings_for(channel.name).timezone or "UTC"
        linked = moment_from(linked_at, zone) if linked_at else now
        before = inventory(workspace.state, channel, now)
        device = add_device(workspace.state, channel, meant, name, linked, now, dry_run=dry_run)
        after = inventory(workspace.state, channel, now)
    for finding in check_supported([device], channel.name):
        TerminalDialogue(invocation).warn(f"{finding.id}: {finding.title}")
    text = added(device, before, channel.name, dry_run=dry_run)
    return Result(after.change_data(device, channel.name, dry_run=dry_run), text)


@command(app, "list", "wacoex device list", "wacoex device list -c shop --json")
def list_devices(invocation: Invocation) -> Result:
    """List the companions of a channel, and what is wrong with them."""
    from wacoex_cli.devices.inventory import chosen_channel, inventory, inventory_text

    with invocation.open_workspace() as workspace:
        channel = chosen_channel(workspace, invocation)
        now = workspace.clock.now()
        found = inventory(workspace.state, channel, now)
    return Result(found.to_json(channel.name), list(inventory_text(found, now)))


@command(app, "remove", "wacoex device remove 2", "wacoex device remove 2 --yes")
def remove(
    invocation: Invocation,
    device_id: IdArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Remove a companion from the list, once it is logged out on the phone."""
    from wacoex_cli.devices.inventory import inventory, named_device, remove_device, removed

    with invocation.open_workspace() as workspace:
        device, channel = named_device(workspace, invocation, device_id)
        now = workspace.clock.now()
        if not dry_run:
            question = f"Is {device.label} logged out on the phone (Linked devices)?"
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            remove_device(workspace.state, device, now)
        after = inventory(workspace.state, channel, now)
    text = removed(device, channel.name, dry_run=dry_run)
    return Result(after.change_data(device, channel.name, dry_run=dry_run), text)


@command(app, "relink", "wacoex device relink 2")
def relink(invocation: Invocation, device_id: IdArgument, dry_run: DryRunOption = False) -> Result:
    """Record that a companion is linked (again or still) and in use now."""
    from wacoex_cli.devices.inventory import inventory, named_device, relink_device

    with invocation.open_workspace() as workspace:
        found, channel = named_device(workspace, invocation, device_id)
        now = workspace.clock.now()
        device = relink_device(workspace.state, channel, found, now, dry_run=dry_run)
        after = inventory(workspace.state, channel, now)
    counts = "would count" if dry_run else "counts"
    text = f"{device.label} of channel {channel.name} {counts} as linked and in use now"
    return Result(after.change_data(device, channel.name, dry_run=dry_run), [text])


@command(app, "confirm", "wacoex device confirm", "wacoex device confirm -c shop --by Ana")
def confirm(
    invocation: Invocation,
    by: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Who looked at the phone; your login name unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Confirm that the list equals Linked devices on the phone.

    While the list is empty, only the phone can send an echo (a copy of a message sent in the
    app). An echo is then strong evidence (a sign) that the app was open.
    """
    from wacoex_cli.devices.inventory import chosen_channel, confirm_list, confirmed, inventory

    with invocation.open_workspace() as workspace:
        channel = chosen_channel(workspace, invocation)
        now = workspace.clock.now()
        said = confirm_list(workspace.state, channel, by, now, dry_run=dry_run)
        found = inventory(workspace.state, channel, now)
    data = found.to_json(channel.name) | {
        "confirmed_by": said.confirmed_by,
        "companions": said.companions,
        "dry_run": dry_run,
    }
    return Result(data, confirmed(said, found, channel.name, dry_run=dry_run))


@command(
    app,
    "probe",
    "wacoex device probe",
    "wacoex device probe -c shop --json",
    "wacoex device probe --dry-run",
)
def probe(invocation: Invocation, dry_run: DryRunOption = False) -> Result:
    """Find out which devices the partner sees.

    Each linked companion and the phone get a short word, to send to a test contact: the probe
    contact of config.toml, or one that you enter. The echo that comes back, through
    `wacoex events listen` in another terminal or read at respond.io, shows that the device is
    visible. Waits 5 minutes; Enter ends it earlier, and after Ctrl-C the same command continues.
    """
    from wacoex_cli.devices.inventory import chosen_channel, inventory
    from wacoex_cli.devices.probe import PROBE_FINDINGS, planned, probe_data, probe_text, run_probe

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        channel = chosen_channel(workspace, invocation)
        before = inventory(workspace.state, channel, workspace.clock.now())
        linked = [device for device, state in before.devices if state is DeviceState.LINKED]
        for device, state in before.devices:
            if state is not DeviceState.LINKED:
                dialogue.note(f"{device.label} is {state.value}, so wacoex leaves it out")
        if dry_run:
            return planned(channel, linked)
        ended = run_probe(workspace, channel, linked, dialogue)
        now = workspace.clock.now()
        after = inventory(workspace.state, channel, now)
    findings = [finding for finding in after.findings if finding.id in PROBE_FINDINGS]
    return Result(
        probe_data(ended, after, channel.name, findings),
        list(probe_text(ended, after, findings, now)),
    )
