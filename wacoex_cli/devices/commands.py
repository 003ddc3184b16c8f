"""`wacoex device`: the companions linked to the phone."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.devices.model import DeviceKind
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import Device, DeviceState
    from wacoex_cli.devices.probe import Prober
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.devices.rule import Probe, ProbeWord, WordOutcome
    from wacoex_cli.foundation.workspace import Workspace

app = group(
    "device", "The companions linked to the phone: no API lists them, so wacoex keeps the list."
)


IdArgument = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="The number `wacoex device list` shows.")
]


@command(
    app,
    "add",
    'wacoex device add web --name "front desk"',
    "wacoex device add second-phone --linked-at 2026-11-02T09:30:00Z",
)
def add(
    invocation: Invocation,
    kind: Annotated[
        DeviceKind,
        typer.Argument(
            metavar="KIND",
            help=f"{', '.join(DeviceKind)}. WhatsApp Web in a browser is `web`, on Windows too.",
        ),
    ],
    name: Annotated[str | None, typer.Option(metavar="TEXT", help="A name to know it by.")] = None,
    linked_at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When it was linked; now unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """List a companion that is linked to the phone."""
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view
    from wacoex_cli.devices.checks import check_supported

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        now = workspace.clock.now()
        before = registry.inventory(workspace.state, channel, now)
        device = registry.add_device(
            workspace.state,
            channel,
            kind,
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


@command(app, "list", "wacoex device list", "wacoex device list -c shop --json")
def list_devices(invocation: Invocation) -> Result:
    """List the companions of a channel, and what is wrong with them."""
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        now = workspace.clock.now()
        found = registry.inventory(workspace.state, channel, now)
    return Result(view.inventory_data(found, channel.name), list(view.inventory_text(found, now)))


@command(app, "remove", "wacoex device remove 2", "wacoex device remove 2 --yes")
def remove(
    invocation: Invocation,
    device_id: IdArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Take a companion off the list, once it is logged out on the phone."""
    from wacoex_cli.devices import registry, view

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


@command(app, "relink", "wacoex device relink 2")
def relink(invocation: Invocation, device_id: IdArgument, dry_run: DryRunOption = False) -> Result:
    """Say that a companion is linked, again or still, and in use as of now."""
    from wacoex_cli.devices import registry, view

    with invocation.open_workspace() as workspace:
        found, channel = _named(workspace, invocation, device_id)
        now = workspace.clock.now()
        device = registry.relink_device(workspace.state, channel, found, now, dry_run=dry_run)
        after = registry.inventory(workspace.state, channel, now)
    text = [view.relinked(device, channel.name, dry_run=dry_run)]
    return Result(_changed(device, after, channel, dry_run), text)


@command(app, "confirm", "wacoex device confirm", "wacoex device confirm -c shop --by Ana")
def confirm(
    invocation: Invocation,
    by: Annotated[
        str | None,
        typer.Option(metavar="WHO", help="Who has looked; your login name unless given."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Say that the list equals Linked devices on the phone.

    While it holds no companion, only the phone can send an echo: one then counts as strong
    evidence that the app was opened.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry, view
    from wacoex_cli.foundation.workspace import known_login_name

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
    from wacoex_cli.foundation.clock import moment_from

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


_SETTING = "events.probe_contact"


@command(
    app,
    "probe",
    "wacoex device probe",
    "wacoex device probe -c shop --json",
    "wacoex device probe --dry-run",
)
def probe(invocation: Invocation, dry_run: DryRunOption = False) -> Result:
    """Try out which devices the partner hears.

    Each linked companion and the phone get a short word, to be sent to a test contact: the probe
    contact of config.toml, or one that is asked for. The echo that comes back, through
    `wacoex events listen` in another terminal or read at respond.io, shows that the device is
    visible. Waits 5 minutes; Enter ends it earlier, and after Ctrl-C the same command goes on.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.devices import registry
    from wacoex_cli.devices.model import DeviceState
    from wacoex_cli.devices.probe import Prober
    from wacoex_cli.devices.view import PROBE_FINDINGS, not_probed, probe_data, probe_text

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        take_in_events(workspace)
        before = registry.inventory(workspace.state, channel, workspace.clock.now())
        devices = [one for one, state in before.devices if state is DeviceState.LINKED]
        for line in not_probed(before):
            dialogue.note(line)
        if dry_run:
            return _planned(channel, devices)
        prober = Prober(workspace, channel, devices)
        contact = _contact(workspace, prober, dialogue)
        ended = _go_through(workspace, prober, prober.begin(contact), devices, dialogue)
        now = workspace.clock.now()
        after = registry.inventory(workspace.state, channel, now)
    findings = [one for one in after.findings if one.id in PROBE_FINDINGS]
    return Result(
        probe_data(ended, after, channel.name, findings),
        list(probe_text(ended, after, findings, now)),
    )


def _contact(workspace: "Workspace", prober: "Prober", dialogue: TerminalDialogue) -> str:
    """Whom the words are sent to: as the interrupted probe says, the settings, or the person."""
    from wacoex_cli.foundation.phone_numbers import normalise

    unfinished = prober.unfinished()
    if unfinished is not None:
        dialogue.note(f"going on with the probe that began at {unfinished.began_at}")
        return unfinished.contact
    if told := workspace.settings.events.probe_contact:
        return told
    if not dialogue.can_ask():
        raise UsageError(
            "it is not known to whom the words are to be sent",
            hint=f"set `{_SETTING}` in config.toml to a test number, such as `+6591234567`",
            code="needs_answer",
        )
    text = dialogue.ask("to which number, not of a customer, will the words go", flag=_SETTING)
    phone = normalise(text)
    if phone is None:
        raise UsageError(
            f"`{text}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="bad_contact",
        )
    return phone


def _go_through(
    workspace: "Workspace",
    prober: "Prober",
    begun: "Probe",
    devices: "Sequence[Device]",
    dialogue: TerminalDialogue,
) -> "Probe":
    from wacoex_cli.devices.view import instructions

    known = {one.device_id: one for one in devices}

    def tell(word: "ProbeWord") -> None:
        dialogue.banner(f"{word.word} came back: {_name(known, word)} is visible")

    begun = prober.look(begun)
    for line in instructions(begun, devices):
        dialogue.banner(line)
    reader = prober.reader(begun)
    if reader is None and not prober.is_told():
        dialogue.warn(
            "nothing has come in for a day, and there is no respondio-token to read with; start"
            " `wacoex events listen` in another terminal"
        )
    dialogue.note(f"{_WAITING}{_ENTER if dialogue.can_ask() else ''}")
    try:
        waited = workspace.run(
            prober.wait(begun, reader, on_seen=tell, is_over=dialogue.is_enter_pressed)
        )
    except KeyboardInterrupt:
        dialogue.note("what came back is kept; the same command goes on from there")
        raise
    return prober.finish(waited, _asked(waited, known, dialogue))


def _asked(
    probe: "Probe", known: "Mapping[int, Device]", dialogue: TerminalDialogue
) -> "dict[int, WordOutcome]":
    """What a person says about the words that have not come back; nobody asked, nothing said."""
    from wacoex_cli.devices.rule import WordOutcome

    if not dialogue.can_ask():
        return {}
    said = {}
    for word in probe.waiting:
        question = f"{word.word}: did you send it from {_name(known, word)}?"
        is_sent = dialogue.confirm(question, flag="--no-input")
        said[word.device_id] = WordOutcome.NOT_SEEN if is_sent else WordOutcome.NOT_SENT
    return said


def _name(known: "Mapping[int, Device]", word: "ProbeWord") -> str:
    from wacoex_cli.devices.view import name_of

    return name_of(known.get(word.device_id))


def _planned(channel: "Channel", devices: "Sequence[Device]") -> Result:
    from wacoex_cli.devices.view import name_of

    names = [name_of(None), *map(name_of, devices)]
    data = {
        "channel": channel.name,
        "devices": [{"id": one.device_id, "kind": one.kind.value} for one in devices],
        "dry_run": True,
    }
    return Result(data, [f"{name} of channel {channel.name} would get a word" for name in names])


_WAITING = "waiting up to 5 minutes for them to come back"
_ENTER = "; press Enter when all are sent and you want to wait no longer"
