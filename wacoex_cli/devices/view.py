"""Companions as people and scripts see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.devices.model import MOST_LINKED
from wacoex_cli.devices.rule import relink_from
from wacoex_cli.findings.model import finding_text
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.devices.model import Confirmation, Device, DeviceState
    from wacoex_cli.devices.registry import Inventory

NO_LONGER_STRONG = (
    "until now an echo could only come from the phone; from its link on it is weak evidence"
)
CONFIRM_NEXT = "then compare the list with the phone and run `wacoex device confirm -c {channel}`"
_COLUMNS = ("id", "kind", "name", "supported", "visible", "last_used_at", "state")
_EMPTY = "no companion is listed; add one: wacoex device add KIND"


def inventory_data(found: Inventory, channel: str) -> dict[str, object]:
    """The `data` of `device list`."""
    cut = found.last_break
    return {
        "channel": channel,
        "devices": [device_data(device, state) for device, state in found.devices],
        "free_slots": found.free_slots,
        "confirmed_at": found.confirmation.confirmed_at if found.confirmation else None,
        "confirmed_by": found.confirmation.confirmed_by if found.confirmation else None,
        "echo_is_strong": found.is_primary_only,
        "unlinked_at": cut.at if cut else None,
        "relink_from": to_text(relink_from(cut)) if cut else None,
        "findings": [one.to_json() for one in found.findings],
    }


def device_data(device: Device, state: DeviceState | None) -> dict[str, object]:
    """One entry of `devices`."""
    return {
        "id": device.device_id or None,
        "kind": device.kind.value,
        "name": device.name,
        "supported": device.kind.is_supported,
        "visible": device.visible,
        "linked_at": device.newest_link_at,
        "last_used_at": device.last_used_at,
        "state": state.value if state else None,
    }


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
    yield ForPerson(f"\n{found.free_slots} of {MOST_LINKED} places are free; {_meaning(found)}")
    for finding in found.findings:
        yield ForPerson(f"\n{finding_text(finding, now)}")


def _meaning(found: Inventory) -> str:
    said = found.confirmation
    if said is None:
        return "nobody has confirmed that the list is complete, so an echo is weak evidence"
    who = f"confirmed by {said.confirmed_by} at {said.confirmed_at}"
    if found.is_primary_only:
        return f"{who}: an echo counts as strong evidence that the app was opened"
    return f"{who}: an echo is weak evidence, a companion may have sent it"


def described(device: Device) -> str:
    """`companion 2 (web, front desk)`."""
    told = device.kind.value if device.name == device.kind.value else device.name
    kind = "" if told == device.kind.value else f"{device.kind.value}, "
    number = f" {device.device_id}" if device.device_id else ""
    return f"companion{number} ({kind}{told})"


def added(device: Device, channel: str, *, dry_run: bool) -> str:
    """What `device add` says."""
    return f"{described(device)} {_would(dry_run)}added to channel {channel}"


def removed(device: Device, *, dry_run: bool) -> str:
    """What `device remove` says."""
    return f"{described(device)} {_would(dry_run)}removed from the list"


def relinked(device: Device, channel: str, *, dry_run: bool) -> str:
    """What `device relink` says."""
    verb = "would count" if dry_run else "counts"
    return f"{described(device)} of channel {channel} {verb} as linked and in use as of now"


def confirmed(said: Confirmation, found: Inventory, channel: str, *, dry_run: bool) -> list[str]:
    """What `device confirm` says, above all what it changes about an echo."""
    lines = [
        f"{said.confirmed_by} {'would confirm' if dry_run else 'confirms'} at"
        f" {said.confirmed_at}: the list of channel {channel} is complete"
    ]
    if said.companions == 0:
        return [*lines, "an echo now counts as strong evidence that the app was opened"]
    names = ", ".join(described(device) for device, _ in found.devices)
    verb = "companion is" if said.companions == 1 else "companions are"
    return [
        *lines,
        f"an echo stays weak evidence, because {said.companions} {verb} on the list and may have"
        f" sent it: {names}",
    ]


def _would(dry_run: bool) -> str:
    return "would be " if dry_run else ""
