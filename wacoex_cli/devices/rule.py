"""What the list of companions says about a moment: who could have sent an echo. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import OFFBOARDED_HERE
from wacoex_cli.devices.model import MOST_LINKED, Break, DeviceState
from wacoex_cli.foundation.clock import from_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wacoex_cli.channels.model import AccountEvent
    from wacoex_cli.devices.model import Confirmation, Device

SYNC_TAKES_AT_MOST = timedelta(hours=24)
"""How long to wait before a companion is linked again (respond.io; Meta names no wait)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of time, RFC 3339 in UTC: from `start` on, before `end`; None is no end yet."""

    start: str
    end: str | None


def primary_only(
    devices: Iterable[Device], confirmations: Iterable[Confirmation]
) -> tuple[Interval, ...]:
    """The times at which only the phone can have sent an echo, in order, apart from each other.

    Such a time begins when somebody confirms that the list is complete while it holds no
    companion; that one was unlinked or removed is not enough. It ends when the next companion is
    linked. `devices` are all that were ever listed, removed ones too. One that is told of later
    but was linked before the confirmation shows that the list was not complete. Which one was told
    of later is seen by its number: a clock may go back.
    """
    known = list(devices)
    found: list[Interval] = []
    for one in sorted(confirmations, key=lambda one: one.confirmed_at):
        start = one.confirmed_at
        is_within = found and (found[-1].end is None or start < found[-1].end)
        if one.companions or is_within:
            continue
        later = [device.linked_at for device in known if device.device_id > one.last_device_id]
        end = min(later, default=None)
        if end is None or end > start:
            found.append(Interval(start, end))
    return tuple(found)


def state_of(device: Device, last_break: Break | None, now: datetime) -> DeviceState:
    """Whether a listed companion is linked, as far as anybody told."""
    if last_break is None or last_break.at <= device.newest_link_at:
        return DeviceState.LINKED
    return DeviceState.WAITING if now < relink_from(last_break) else DeviceState.UNLINKED


def relink_from(last_break: Break) -> datetime:
    """When companions can surely be linked again; Meta says at once, which may fail."""
    return from_text(last_break.at) + SYNC_TAKES_AT_MOST


def free_slots(states: Iterable[DeviceState]) -> int:
    """How many more companions can be linked."""
    linked = sum(one is DeviceState.LINKED for one in states)
    return max(0, MOST_LINKED - linked)


def breaks(events: Iterable[AccountEvent]) -> list[Break]:
    """The moments at which a loss of the connection unlinked all companions.

    Offboarding unlinks them (respond.io), and so does a registration of the number on another
    phone (Meta: reconnect offboarded clients). Coming back unlinks nothing more.
    """
    return [
        Break(one.at, "offboarding", one.source)
        for one in events
        if one.event in {"ACCOUNT_OFFBOARDED", OFFBOARDED_HERE}
        or (one.event == "PARTNER_REMOVED" and one.reason != "COMPANION_INACTIVITY")
    ]
