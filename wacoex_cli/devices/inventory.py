"""The list of companions: keeping it, confirming that it is complete, and showing it.

Each call that changes something is one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import CHANNELS, connected_at
from wacoex_cli.channels.model import EvidenceKind, values_of
from wacoex_cli.channels.store import Channels, Facts, read_once
from wacoex_cli.devices.checks import check_devices, check_probes
from wacoex_cli.devices.model import (
    MOST_LINKED,
    Break,
    Device,
    DeviceState,
    ListConfirmation,
    breaks_in,
    free_slots,
    relink_from,
    state_of,
)
from wacoex_cli.devices.store import Devices, Probes
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.events.store import catch_up
from wacoex_cli.findings.model import finding_blocks, worst_first
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.workspace import known_login_name
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.channels.store import ReadOnce
    from wacoex_cli.devices.model import DeviceKind, ProbeAnswer
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.options import Invocation

_LONGEST_NAME = 64
_COLUMNS = (
    Column("id", 9, fit="keep"),
    Column("kind", 8, fit="keep"),
    Column("name", 6, least=10),
    Column("supported", 4, fit="keep", may_drop=True),
    Column("visible", 3, fit="keep", may_drop=True),
    Column("last_used_at", 2, fit="keep", may_drop=True),
    Column("state", 7, fit="keep"),
)
_EMPTY = "no companion is listed; add one: wacoex device add KIND"


class Inventory(NamedTuple):
    """The companions of a channel, each with its state, and what there is to say about them.

    `answers` are what the newest probes of them came to.
    """

    devices: tuple[tuple[Device, DeviceState], ...]
    last_break: Break | None
    confirmation: ListConfirmation | None
    is_primary_only: bool
    findings: tuple[Finding, ...]
    answers: tuple[ProbeAnswer, ...] = ()

    @property
    def free_slots(self) -> int:
        """How many more companions can be linked."""
        return free_slots(state for _, state in self.devices)

    def to_json(self, channel: str) -> dict[str, object]:
        """The `data` of `device list`."""
        cut, said = self.last_break, self.confirmation
        return {
            "channel": channel,
            "devices": [device.to_json(state) for device, state in self.devices],
            "free_slots": self.free_slots,
            "confirmed_at": said.confirmed_at if said else None,
            "confirmed_by": said.confirmed_by if said else None,
            "echo_is_strong": self.is_primary_only,
            "unlinked_at": cut.at if cut else None,
            "relink_from": to_text(relink_from(cut)) if cut else None,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def change_data(self, device: Device, channel: str, *, dry_run: bool) -> dict[str, object]:
        """The `data` of a command that changed a companion of this list."""
        states = {listed.device_id: state for listed, state in self.devices}
        return {
            "channel": channel,
            "device": device.to_json(states.get(device.device_id)),
            "free_slots": self.free_slots,
            "dry_run": dry_run,
        }


def chosen_channel(workspace: Workspace, invocation: Invocation) -> Channel:
    """The channel that is meant, with the events that came in: connecting unlinks companions."""
    channel = registry.choose_channel(workspace, invocation)
    catch_up(workspace.state, (CHANNELS,), workspace.clock)
    return channel


def named_device(
    workspace: Workspace, invocation: Invocation, device_id: int
) -> tuple[Device, Channel]:
    """The companion of that number, and its channel; `--channel` only guards against a mix-up.

    Raises UsageError when there is no such companion, when it was removed or is of another channel.
    """
    state, name = workspace.state, invocation.channel
    named = registry.active(state, name) if name else None
    device = Devices(state).find(device_id)
    is_there = device is not None and device.removed_at is None
    if device is None or not is_there or (named and named.channel_id != device.channel_id):
        whose = f" of channel `{named.name}`" if named else ""
        raise UsageError(
            f"there is no companion {device_id}{whose} in {state.path}",
            hint="`wacoex device list` shows their ids",
            code="device_unknown",
        )
    catch_up(state, (CHANNELS,), workspace.clock)
    channels = {channel.channel_id: channel for channel in Channels(state).all_channels()}
    return device, channels[device.channel_id]


def inventory(state: State, channel: Channel, now: datetime) -> Inventory:
    """What is known about the companions of a channel."""
    return inventories(state, [channel], now)[channel.channel_id]


def inventories(
    state: State,
    channels: Sequence[Channel],
    now: datetime,
    known: ReadOnce | None = None,
    values: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[int, Inventory]:
    """What is known about the companions of each of these channels, by channel_id.

    `known` and `values`, those of its facts, are what the caller has read of each channel.
    """
    keys = [channel.channel_id for channel in channels]
    if values is None:
        facts = Facts(state).facts_by_channel(["last_onboarded_time"], channels)
        values = {key: values_of(own.values()) for key, own in facts.items()}
    breaks = _last_breaks(channels, now, known or read_once(state, channels), values)
    answers = Probes(state).answers(keys)
    devices, said = Devices(state).listed_by_channel(keys), Devices(state).last_confirmations(keys)
    alone = Devices(state).primary_only_by_channel(keys)
    found = {}
    for channel in channels:
        key = channel.channel_id
        listed = tuple((device, state_of(device, breaks[key], now)) for device in devices[key])
        findings = [
            *check_devices(listed, breaks[key], channel.name, now),
            *check_probes(listed, answers[key], channel.name),
        ]
        found[key] = Inventory(
            listed,
            breaks[key],
            said.get(key),
            any(interval.end is None for interval in alone.get(key, ())),
            tuple(worst_first(findings)),
            answers[key],
        )
    return found


def add_device(
    state: State,
    channel: Channel,
    kind: DeviceKind,
    name: str | None,
    linked_at: datetime,
    now: datetime,
    *,
    dry_run: bool = False,
) -> Device:
    """List a companion; with `dry_run` only check that it could be.

    Raises UsageError for an invalid name or a time in the future, RefusedError for a fifth one.
    """
    fit = (name or kind.value).strip()
    if not fit or len(fit) > _LONGEST_NAME:
        raise UsageError(
            "the name is empty or too long",
            hint=f"use up to {_LONGEST_NAME} letters",
            code="device_name",
        )
    if linked_at > now:
        raise UsageError(
            f"`--linked-at` is in the future: {to_text(linked_at)}",
            hint=f"it is {to_text(now)} now",
            code="bad_time",
        )
    moment = to_text(linked_at)
    device = Device(0, channel.channel_id, kind, fit, moment, last_used_at=moment)
    with state.transaction():
        _demand_slot(state, channel, device, now)
        return device if dry_run else Devices(state).insert(device)


def relink_device(
    state: State, channel: Channel, device: Device, now: datetime, *, dry_run: bool = False
) -> Device:
    """A companion is linked and in use as of now. Raises RefusedError when it would be a fifth."""
    moment = to_text(now)
    with state.transaction():
        _demand_slot(state, channel, device, now)
        if not dry_run:
            Devices(state).set_relinked(device.device_id, moment)
    return device._replace(relinked_at=moment, last_used_at=moment)


def remove_device(state: State, device: Device, now: datetime) -> None:
    """Take a companion off the list, since it is no longer linked on the phone."""
    with state.transaction():
        Devices(state).set_removed(device.device_id, to_text(now))


def confirm_list(
    state: State, channel: Channel, by: str | None, now: datetime, *, dry_run: bool = False
) -> ListConfirmation:
    """Somebody (the login name unless given) says that the list is complete; keeps its length.

    Those that wait to be linked again count: that they are unlinked is only concluded.
    Raises UsageError without a name.
    """
    confirmed_by = ((known_login_name() or "") if by is None else by).strip()
    if not confirmed_by:
        raise UsageError(
            "wacoex does not know who confirms the list", hint="add `--by WHO`", code="confirmed_by"
        )
    with state.transaction():
        companions = len(Devices(state).listed(channel.channel_id))
        highest = Devices(state).highest_device_id()
        confirmation = ListConfirmation(to_text(now), confirmed_by, companions, highest)
        if not dry_run:
            Devices(state).add_confirmation(channel.channel_id, confirmation)
    return confirmation


def _demand_slot(state: State, channel: Channel, device: Device, now: datetime) -> None:
    others = [
        (other, its_state)
        for other, its_state in inventory(state, channel, now).devices
        if other.device_id != device.device_id
    ]
    if free_slots(its_state for _, its_state in others) == 0:
        linked = [other for other, its_state in others if its_state is DeviceState.LINKED]
        names = ", ".join(f"{other.device_id} {other.name}" for other in linked)
        raise RefusedError(
            f"{MOST_LINKED} companions are linked already, WhatsApp allows no more: {names}",
            hint="log one out on the phone, then `wacoex device remove ID`;"
            " more: `wacoex explain WX302`",
            code="device_limit",
        )


def _last_breaks(
    channels: Sequence[Channel],
    now: datetime,
    known: ReadOnce,
    values: Mapping[int, Mapping[str, Any]],
) -> dict[int, Break | None]:
    """When all companions were last unlinked, by connecting or by offboarding; by channel_id."""
    connected = EvidenceKind.CONNECTED
    signs = known.newest.up_to(to_text(now), {connected})
    found = {}
    for channel in channels:
        sign = signs.get((channel.channel_id, connected))
        onboarded = connected_at(values.get(channel.channel_id, {}))
        breaks = breaks_in(known.account_events[channel.channel_id])
        if onboarded:
            breaks.append(Break(to_text(onboarded), "connecting", "meta"))
        if sign:
            breaks.append(Break(sign.at, "connecting", sign.source))
        found[channel.channel_id] = max(breaks, default=None)
    return found


def inventory_text(found: Inventory, now: datetime) -> Iterator[Table | ForPerson]:
    """A line for each companion; for a person also what the list means, and what was found."""
    rows = [
        (
            device.device_id,
            device.kind.value,
            device.name,
            device.kind.is_supported,
            device.visible,
            from_text(device.last_used_at) if device.last_used_at else None,
            state.value,
        )
        for device, state in found.devices
    ]
    yield Table(_COLUMNS, rows, _EMPTY)
    said = found.confirmation
    if said is None:
        meaning = "nobody has confirmed that the list is complete, so an echo is weak evidence"
    elif found.is_primary_only:
        meaning = "an echo counts as strong evidence that the app was opened"
    else:
        meaning = "an echo is weak evidence, a companion may have sent it"
    who = f"confirmed by {said.confirmed_by} at {said.confirmed_at}: " if said else ""
    yield ForPerson(f"\n{found.free_slots} of {MOST_LINKED} places are free; {who}{meaning}")
    yield ForPerson(finding_blocks(found.findings, now))


def added(device: Device, before: Inventory, channel: str, *, dry_run: bool) -> list[str]:
    """What `device add` says."""
    lines = [f"{device.label} {'would be ' if dry_run else ''}added to channel {channel}"]
    if before.is_primary_only:
        lines.append(
            "until now only the phone could send an echo; from now on an echo is weak evidence"
        )
    return lines


def removed(device: Device, channel: str, *, dry_run: bool) -> list[str]:
    """What `device remove` says."""
    return [
        f"{device.label} {'would be ' if dry_run else ''}removed from the list",
        f"then compare the list with the phone and run `wacoex device confirm -c {channel}`",
    ]


def confirmed(
    said: ListConfirmation, found: Inventory, channel: str, *, dry_run: bool
) -> list[str]:
    """What `device confirm` says, above all what it changes about an echo."""
    who = f"{said.confirmed_by} {'would confirm' if dry_run else 'confirms'}"
    line = f"{who} at {said.confirmed_at}: the list of channel {channel} is complete"
    if said.companions == 0:
        return [line, "an echo now counts as strong evidence that the app was opened"]
    names = ", ".join(device.label for device, _ in found.devices)
    verb = "companion is" if said.companions == 1 else "companions are"
    return [
        line,
        f"an echo stays weak evidence, because {said.companions} {verb} on the list and may have"
        f" sent it: {names}",
    ]
