"""Companions in the state file, and who confirmed the list. Writers need a transaction."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import TYPE_CHECKING

from wacoex_cli.devices.model import Confirmation, Device, DeviceKind
from wacoex_cli.devices.rule import primary_only

if TYPE_CHECKING:
    from wacoex_cli.devices.rule import Interval
    from wacoex_cli.foundation.state import Row, State

_DEVICES = "SELECT * FROM devices"
_CONFIRMATIONS = "SELECT * FROM device_confirmations"
_HIGHEST = "SELECT COALESCE(MAX(device_id), 0) FROM devices"


def listed(state: State, channel_id: int) -> list[Device]:
    """The companions of a channel that were not removed, in the order they were added."""
    rows = state.rows(
        f"{_DEVICES} WHERE channel_id = ? AND removed_at IS NULL ORDER BY device_id", [channel_id]
    )
    return [_device(row) for row in rows]


def find(state: State, device_id: int) -> Device | None:
    """The companion of that number, removed or not."""
    row = state.row(f"{_DEVICES} WHERE device_id = ?", [device_id])
    return _device(row) if row else None


def insert(state: State, device: Device) -> Device:
    """List a companion; returns it with its number, the number it came with is ignored."""
    device_id = 1 + highest_device_id(state)
    numbered = dataclasses.replace(device, device_id=device_id)
    values = {field.name: getattr(numbered, field.name) for field in dataclasses.fields(Device)}
    state.execute(
        f"INSERT INTO devices ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
        list(values.values()),
    )
    return numbered


def highest_device_id(state: State) -> int:
    """The highest number that any companion ever had; 0 when there is none."""
    return int(state.value(_HIGHEST))


def set_removed(state: State, device_id: int, moment: str) -> None:
    """Take a companion off the list; what is known of it is kept."""
    state.execute("UPDATE devices SET removed_at = ? WHERE device_id = ?", [moment, device_id])


def set_relinked(state: State, device_id: int, moment: str) -> None:
    """A companion is linked again, and in use, as of that moment."""
    state.execute(
        "UPDATE devices SET relinked_at = ?, last_used_at = ? WHERE device_id = ?",
        [moment, moment, device_id],
    )


def set_visible(state: State, device_id: int, visible: bool) -> None:
    """Keep whether what is sent from a companion comes through to the partner."""
    state.execute("UPDATE devices SET visible = ? WHERE device_id = ?", [int(visible), device_id])


def note_used(state: State, device_id: int, moment: str) -> None:
    """A companion was in use at that moment; what is newer already stays."""
    state.execute(
        "UPDATE devices SET last_used_at = ? WHERE device_id = ?"
        " AND (last_used_at IS NULL OR last_used_at < ?)",
        [moment, device_id, moment],
    )


def add_confirmation(state: State, channel_id: int, confirmation: Confirmation) -> None:
    """Keep that somebody said the list is complete."""
    state.execute(
        "INSERT INTO device_confirmations"
        " (channel_id, confirmed_at, confirmed_by, companions, last_device_id)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (channel_id, confirmed_at) DO UPDATE SET"
        " confirmed_by = excluded.confirmed_by, companions = excluded.companions,"
        " last_device_id = excluded.last_device_id",
        [channel_id, *dataclasses.astuple(confirmation)],
    )


def last_confirmation(state: State, channel_id: int) -> Confirmation | None:
    """Who last said that the list is complete, and when."""
    row = state.row(
        f"{_CONFIRMATIONS} WHERE channel_id = ? ORDER BY confirmed_at DESC LIMIT 1", [channel_id]
    )
    return _confirmation(row) if row else None


def primary_only_for(state: State, channel_id: int) -> tuple[Interval, ...]:
    """The times at which only the phone of a channel can have sent an echo."""
    devices = state.rows(f"{_DEVICES} WHERE channel_id = ?", [channel_id])
    said = state.rows(f"{_CONFIRMATIONS} WHERE channel_id = ?", [channel_id])
    return primary_only(map(_device, devices), map(_confirmation, said))


def primary_only_by_channel(state: State) -> dict[int, tuple[Interval, ...]]:
    """The same for all channels, by channel_id; one without such a time is left out."""
    devices: dict[int, list[Device]] = defaultdict(list)
    for row in state.rows(_DEVICES):
        devices[row["channel_id"]].append(_device(row))
    said: dict[int, list[Confirmation]] = defaultdict(list)
    for row in state.rows(_CONFIRMATIONS):
        said[row["channel_id"]].append(_confirmation(row))
    found = {one: primary_only(devices.get(one, ()), said[one]) for one in said}
    return {channel_id: intervals for channel_id, intervals in found.items() if intervals}


def _device(row: Row) -> Device:
    visible = None if row["visible"] is None else bool(row["visible"])
    return Device(**{**row, "kind": DeviceKind(row["kind"]), "visible": visible})


def _confirmation(row: Row) -> Confirmation:
    fields = {field.name: row[field.name] for field in dataclasses.fields(Confirmation)}
    return Confirmation(**fields)
