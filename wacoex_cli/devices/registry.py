"""Listing companions, and confirming that the list is complete. Each call is one transaction."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.connection import connected_at
from wacoex_cli.channels.model import EvidenceKind, values_of
from wacoex_cli.channels.store import AccountEvents, Facts, Signs
from wacoex_cli.devices import rule
from wacoex_cli.devices.checks import check_devices, check_probes
from wacoex_cli.devices.model import MOST_LINKED, Break, Device, DeviceState, ListConfirmation
from wacoex_cli.devices.store import Devices, Probes
from wacoex_cli.errors import RefusedError, UsageError
from wacoex_cli.findings.model import worst_first
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.devices.model import DeviceKind
    from wacoex_cli.devices.rule import ProbeAnswer
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import State

_LONGEST_NAME = 64


@dataclass(frozen=True)
class Inventory:
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
        return rule.free_slots(state for _, state in self.devices)


def inventory(state: State, channel: Channel, now: datetime) -> Inventory:
    """What is known about the companions of a channel."""
    return inventories(state, [channel], now)[channel.channel_id]


def inventories(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Inventory]:
    """What is known about the companions of each of these channels, by channel_id."""
    breaks = _last_breaks(state, channels, now)
    return {one.channel_id: _inventory(state, one, breaks[one.channel_id], now) for one in channels}


def _inventory(
    state: State, channel: Channel, last_break: Break | None, now: datetime
) -> Inventory:
    listed = tuple(
        (one, rule.state_of(one, last_break, now))
        for one in Devices(state).listed(channel.channel_id)
    )
    intervals = Devices(state).primary_only_for(channel.channel_id)
    answers = Probes(state).answers(channel.channel_id)
    findings = [
        *check_devices(listed, last_break, channel.name, now),
        *check_probes(listed, answers, channel.name),
    ]
    return Inventory(
        devices=listed,
        last_break=last_break,
        confirmation=Devices(state).last_confirmation(channel.channel_id),
        is_primary_only=any(one.end is None for one in intervals),
        findings=tuple(worst_first(findings)),
        answers=answers,
    )


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

    Raises UsageError for an unfit name or a time in the future, RefusedError for a fifth one.
    """
    fit = (name or kind.value).strip()
    if not fit or len(fit) > _LONGEST_NAME:
        raise UsageError(
            "that name is empty or too long",
            hint=f"use up to {_LONGEST_NAME} letters",
            code="device_name",
        )
    if linked_at > now:
        raise UsageError(
            f"`--linked-at` lies in the future: {to_text(linked_at)}",
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
    return dataclasses.replace(device, relinked_at=moment, last_used_at=moment)


def remove_device(state: State, device: Device, now: datetime) -> None:
    """Take a companion off the list, since it is no longer linked on the phone."""
    with state.transaction():
        Devices(state).set_removed(device.device_id, to_text(now))


def confirm_list(
    state: State, channel: Channel, confirmed_by: str, now: datetime, *, dry_run: bool = False
) -> ListConfirmation:
    """Somebody says that the list is complete; keeps how many companions it holds.

    Those that wait to be linked again count: that they are unlinked is only concluded.
    Raises UsageError without a name.
    """
    if not confirmed_by.strip():
        raise UsageError(
            "who confirms that is not told", hint="add `--by WHO`", code="confirmed_by"
        )
    with state.transaction():
        confirmation = ListConfirmation(
            to_text(now),
            confirmed_by.strip(),
            len(Devices(state).listed(channel.channel_id)),
            Devices(state).highest_device_id(),
        )
        if not dry_run:
            Devices(state).add_confirmation(channel.channel_id, confirmation)
    return confirmation


def known_device(state: State, device_id: int, channel: Channel | None) -> Device:
    """The companion of that number, of that channel if one is named.

    Raises UsageError when there is none, or when it was removed.
    """
    device = Devices(state).find(device_id)
    is_there = device is not None and device.removed_at is None
    if device is None or not is_there or (channel and channel.channel_id != device.channel_id):
        whose = f" of channel `{channel.name}`" if channel else ""
        raise UsageError(
            f"there is no companion {device_id}{whose}",
            hint="`wacoex device list` shows their numbers",
            code="device_unknown",
        )
    return device


def _demand_slot(state: State, channel: Channel, device: Device, now: datetime) -> None:
    found = inventory(state, channel, now)
    others = [one for one in found.devices if one[0].device_id != device.device_id]
    if rule.free_slots(one for _, one in others) == 0:
        names = ", ".join(
            f"{one.device_id} {one.name}"
            for one, device_state in others
            if device_state is DeviceState.LINKED
        )
        raise RefusedError(
            f"{MOST_LINKED} companions are linked already, WhatsApp allows no more: {names}",
            hint="log one out on the phone, then `wacoex device remove ID`;"
            " more: `wacoex explain WX302`",
            code="device_limit",
        )


def _last_breaks(
    state: State, channels: Sequence[Channel], now: datetime
) -> dict[int, Break | None]:
    """When all companions were last unlinked, by connecting or by offboarding; by channel_id."""
    events = AccountEvents(state).of_channels(channels)
    facts = Facts(state).facts_by_channel(["last_onboarded_time"])
    found = {}
    for channel in channels:
        onboarded = connected_at(values_of(facts.get(channel.channel_id, ())))
        sign = Signs(state).newest(
            Signs(state).addresses_for(channel),
            EvidenceKind.CONNECTED,
            until=to_text(now),
        )
        breaks = rule.breaks(events[channel.channel_id])
        if onboarded:
            breaks.append(Break(to_text(onboarded), "connecting", "meta"))
        if sign:
            breaks.append(Break(sign.at, "connecting", sign.source))
        newest = max(breaks, key=lambda one: (one.at, one.because, one.source), default=None)
        found[channel.channel_id] = newest
    return found
