"""Monthly active contacts, counted from the events that are here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Channels, Signs
from wacoex_cli.errors import UsageError
from wacoex_cli.events import ledger, mac_ledger
from wacoex_cli.events.projections import MAC_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


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
    by_address = mac_ledger.by_address(state, month)
    chosen = Channels(state).all_channels() if channels is None else tuple(channels)
    counts = []
    seen: set[str] = set()
    for channel in chosen:
        own = by_address.keys() & set(Signs(state).addresses_for(channel))
        if own:
            counts.append(_count(state, month, channel.name, own))
            seen |= own
    unknown = by_address.keys() - seen if channels is None else set()
    if unknown:
        counts.append(_count(state, month, None, unknown))
    contacts, echo_only = mac_ledger.distinct(state, month, seen | unknown)
    since = ledger.oldest_event_at(state, MAC_KINDS)
    return Mac(month, contacts, echo_only, tuple(counts), since)


def _count(state: State, month: str, channel: str | None, addresses: set[str]) -> Count:
    return Count(channel, *mac_ledger.distinct(state, month, addresses))
