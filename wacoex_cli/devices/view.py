"""Companions and probes as people and scripts see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.devices.model import MOST_LINKED, DeviceState
from wacoex_cli.devices.rule import (
    THE_PHONE,
    WordOutcome,
    is_silence_expected,
    relink_from,
    visibility,
)
from wacoex_cli.findings.model import finding_text
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.terminal.render import ForPerson, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.devices.model import Device, ListConfirmation
    from wacoex_cli.devices.registry import Inventory
    from wacoex_cli.devices.rule import Probe, ProbeWord
    from wacoex_cli.findings.model import Finding


NO_LONGER_STRONG = (
    "until now an echo could only come from the phone; from its link on it is weak evidence"
)
CONFIRM_NEXT = "then compare the list with the phone and run `wacoex device confirm -c {channel}`"
_COLUMNS = ("id", "kind", "name", "supported", "visible", "last_used_at", "state")
_EMPTY = "no companion is listed; add one: wacoex device add KIND"
PROBE_FINDINGS = frozenset({"WX301", "WX304"})
_PHONE = "the phone itself"
_PROBE_COLUMNS = ("device", "word", "result")
_WORDS = {
    WordOutcome.SEEN: "visible",
    WordOutcome.NOT_SEEN: "not seen",
    WordOutcome.NOT_SENT: "not sent",
}


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


def confirmed(
    said: ListConfirmation, found: Inventory, channel: str, *, dry_run: bool
) -> list[str]:
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


def name_of(device: Device | None) -> str:
    """`companion 2 (web, front desk)`, or the phone."""
    return _PHONE if device is None else described(device)


def instructions(probe: Probe, devices: Sequence[Device]) -> Iterator[str]:
    """What to send from where, a line for each word that has not come back."""
    known = {one.device_id: one for one in devices}
    for word in probe.waiting:
        yield (
            f"send  {word.word}  from {name_of(known.get(word.device_id))} to {probe.contact},"
            " as it stands"
        )


def not_probed(found: Inventory) -> Iterator[str]:
    """The companions that have to be linked again before they can be probed."""
    for device, state in found.devices:
        if state is not DeviceState.LINKED:
            yield f"{described(device)} is {state.value}, so it is left out"


def probe_data(
    probe: Probe, found: Inventory, channel: str, findings: Sequence[Finding]
) -> dict[str, object]:
    """The `data` of `device probe`."""
    words = {one.device_id: one for one in probe.words}
    phone = words[THE_PHONE]
    return {
        "channel": channel,
        "contact": probe.contact,
        "began_at": probe.began_at,
        "ended_at": probe.ended_at,
        "heard": probe.heard,
        "phone": {
            "visible": visibility(phone, heard=bool(probe.heard)),
            **_word_data(phone),
        },
        "devices": [
            {**device_data(device, state), **_word_data(words.get(device.device_id))}
            for device, state in found.devices
        ],
        "findings": [one.to_json() for one in findings],
    }


def probe_text(
    probe: Probe, found: Inventory, findings: Sequence[Finding], now: datetime
) -> Iterator[str | Table | ForPerson]:
    """Visible or not seen, for each device; for a person also what follows from it."""
    known = {device.device_id: device for device, _ in found.devices}
    rows = [
        (name_of(known.get(one.device_id)), one.word, _WORDS[one.outcome])
        for one in probe.words
        if one.outcome is not None
    ]
    yield Table(_PROBE_COLUMNS, rows)
    for word in probe.words:
        device = known.get(word.device_id)
        if device is not None and is_silence_expected(device, word):
            yield ForPerson(
                f"{described(device)}: to be expected, what is sent on {device.kind.value}"
                " reaches no partner"
            )
    if not probe.heard:
        yield ForPerson("no echo came in at all meanwhile, so nothing is learnt about any device")
    for finding in findings:
        yield ForPerson(f"\n{finding_text(finding, now)}")


def _word_data(word: ProbeWord | None) -> dict[str, object]:
    return {
        "word": word.word if word else None,
        "outcome": word.outcome.value if word and word.outcome else None,
        "seen_at": word.seen_at if word else None,
    }
