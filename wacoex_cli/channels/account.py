"""What Meta tells about an account (`account_update`), and which channels that concerns. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wacoex_cli.channels.model import Channel

RE_REGISTERED = "USER_RE_REGISTERED"
"""The reason of a removal that WhatsApp usually takes back by itself."""
OFFBOARDED_HERE = "WACOEX_OFFBOARDED"
"""No event of Meta's: `wacoex offboard` saw the proof, where Meta told of no removal."""


@dataclass(frozen=True, slots=True)
class AccountEvent:
    """One `account_update`. `at` is RFC 3339 in UTC; `data` is the rest of it as JSON."""

    event_key: str
    event: str
    at: str
    source: str = "meta"
    waba_id: str | None = None
    phone_number_id: str | None = None
    phone: str | None = None
    entry_id: str | None = None
    reason: str | None = None
    initiated_by: str | None = None
    data: str = "{}"


def concerns(channel: Channel, event: AccountEvent) -> bool:
    """Whether an account event is about that channel (Meta: account_update).

    A number that is named decides alone: a WABA may hold several, and a number gets another WABA
    when it is connected again. Else the WABA decides; the id of the webhook's entry is that of
    the WABA only where nothing else is told. An id that the channel had then counts like its own.
    """
    if event.phone:
        return event.phone == channel.phone
    if event.phone_number_id and channel.phone_number_id:
        return channel.has_or_had("phone_number_id", event.phone_number_id, event.at)
    account = event.waba_id or event.entry_id
    return account is not None and channel.has_or_had("waba_id", account, event.at)


def account_events_for(channel: Channel, rows: Iterable[AccountEvent]) -> tuple[AccountEvent, ...]:
    """Those of the events that are about one channel, in their order."""
    return tuple(one for one in rows if concerns(channel, one))


def by_channel(
    channels: Iterable[Channel], rows: Iterable[AccountEvent]
) -> dict[int, tuple[AccountEvent, ...]]:
    """The same for many channels at once, by channel_id; none is left out."""
    by_name: dict[str, list[AccountEvent]] = defaultdict(list)
    for event in rows:
        for name in _names(event):
            by_name[name].append(event)
    return {
        one.channel_id: account_events_for(
            one,
            dict.fromkeys(event for name in _own_names(one) for event in by_name.get(name, ())),
        )
        for one in channels
    }


def _own_names(channel: Channel) -> tuple[str, ...]:
    """What a channel is or was known by."""
    present = (channel.phone, channel.phone_number_id, channel.waba_id)
    former = (*channel.former("phone_number_id"), *channel.former("waba_id"))
    return tuple(filter(None, (*present, *former)))


def _names(event: AccountEvent) -> set[str]:
    """What a channel that the event is about is known by."""
    if event.phone:
        return {event.phone}
    named = (event.phone_number_id, event.waba_id or event.entry_id)
    return {one for one in named if one}
