"""What the rooms up to here make of events: evidence and connection, and who was active."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.channels.evidence import KINDS, project
from wacoex_cli.channels.model import address_of
from wacoex_cli.events import mac_ledger
from wacoex_cli.events.model import Kind
from wacoex_cli.events.projection import Projection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.events.model import Event
    from wacoex_cli.foundation.state import State

# Reading a message is neither sending nor receiving one, and may happen months later.
_REACHED = frozenset({"sent", "delivered"})
_MESSAGES = frozenset({Kind.MESSAGE, Kind.UNSUPPORTED, Kind.STATUS})
MAC_KINDS = _MESSAGES | {Kind.ECHO}


def count_active(state: State, events: Sequence[Event], now: datetime) -> None:
    """Remember which contacts were active in which month, and whether by echoes only.

    respond.io: a monthly active contact sends or receives a message; echoes count.
    """
    mac_ledger.add(state, _active(events))


def _active(events: Sequence[Event]) -> Iterator[tuple[str, str, str, bool, bool]]:
    for one in events:
        if one.contact is None:
            continue
        if one.kind is Kind.STATUS and one.data.get("status") not in _REACHED:
            continue
        address = address_of(
            phone_number_id=one.phone_number_id,
            phone=one.phone,
            respondio_channel_id=one.respondio_channel_id,
        )
        is_echo = one.kind is Kind.ECHO
        yield one.at[:7], address or "", one.contact, not is_echo, is_echo


CHANNELS = Projection("channels", frozenset(Kind(kind) for kind in KINDS), project)
MAC = Projection("mac", MAC_KINDS, count_active)
