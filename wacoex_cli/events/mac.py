"""Monthly active contacts, counted from the events that are here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Channels, Signs, address_of_event
from wacoex_cli.errors import UsageError
from wacoex_cli.events.store import ActiveContacts, EventLog
from wacoex_cli.platforms.events import Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")
# Reading a message is neither sending nor receiving one, and may happen months later.
_REACHED = frozenset({"sent", "delivered"})
_KINDS = frozenset({Kind.MESSAGE, Kind.UNSUPPORTED, Kind.STATUS, Kind.ECHO})


@dataclass(frozen=True)
class Count:
    """Contacts that were active, and those of them that only echoes made active.

    `channel` is None for numbers that belong to no channel here.
    """

    channel: str | None
    contacts: int
    echo_only: int


@dataclass(frozen=True)
class Mac:
    """One month. A contact that several channels share is one contact in the whole.

    `counted_since` is the oldest event of the log that counts, UTC; None when there is none.
    """

    month: str
    contacts: int
    echo_only: int
    by_channel: tuple[Count, ...]
    counted_since: datetime | None


def month_named(text: str | None, now: datetime) -> str:
    """A month such as `2026-11`, the present one (UTC) for None. Raises UsageError."""
    present = now.isoformat()[:7]
    if text is None:
        return present
    if not _MONTH.fullmatch(text):
        raise UsageError(
            f"`--month {text}` is not a month", hint=f"write it as {present}", code="bad_month"
        )
    if text > present:
        raise UsageError(
            f"`--month {text}` lies in the future",
            hint=f"the present month is {present} (UTC)",
            code="bad_month",
        )
    return text


def count(state: State, month: str, channels: Iterable[Channel] | None = None) -> Mac:
    """Count the active contacts of a month; with `channels` only those of their numbers."""
    active = ActiveContacts(state)
    addresses = active.addresses(month)
    chosen = Channels(state).all_channels() if channels is None else tuple(channels)
    counts = []
    seen: set[str] = set()
    for channel in chosen:
        own = addresses & set(Signs(state).addresses_for(channel))
        if own:
            counts.append(Count(channel.name, *active.count(month, own)))
            seen |= own
    unknown = addresses - seen if channels is None else set()
    if unknown:
        counts.append(Count(None, *active.count(month, unknown)))
    in_all = active.count(month, seen | unknown)
    return Mac(month, *in_all, tuple(counts), EventLog(state).oldest_at(_KINDS))


def _project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Remember which contacts were active in which month, and whether by echoes only.

    respond.io: a monthly active contact sends or receives a message; echoes count.
    """
    ActiveContacts(state).add(_active(events))


def _active(events: Sequence[Event]) -> Iterator[tuple[str, str, str, bool, bool]]:
    for event in events:
        if event.contact is None:
            continue
        if event.kind is Kind.STATUS and event.data.get("status") not in _REACHED:
            continue
        is_echo = event.kind is Kind.ECHO
        yield event.at[:7], address_of_event(event) or "", event.contact, not is_echo, is_echo


MAC = Projection("mac", _KINDS, _project)
