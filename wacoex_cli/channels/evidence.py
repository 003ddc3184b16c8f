"""Evidence that the WhatsApp Business app was opened, and what events tell about channels.

There is no way to ask Meta when the app was last opened, so the countdown rests on dated facts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import AccountEvent, EvidenceKind, Sign, address_of
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.platforms.events import Event, Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State


_SIGNS = {Kind.ECHO: EvidenceKind.ECHO, Kind.CONTACT_SYNC: EvidenceKind.PHONEBOOK}
# The kinds of events that say something about a channel, and those that name our number.
_KINDS = frozenset(
    {
        Kind.MESSAGE,
        Kind.UNSUPPORTED,
        Kind.EDIT,
        Kind.REVOKE,
        Kind.STATUS,
        Kind.ECHO,
        Kind.CONTACT_SYNC,
        Kind.HISTORY,
        Kind.ACCOUNT_UPDATE,
        Kind.USER_PREFERENCE,
        Kind.OTHER,
    }
)
_COLUMNS_OF_ITS_OWN = frozenset({"event", "entry_id", "reason", "initiated_by"})


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Keep what the events tell; in whatever order, however often, it comes to the same.

    Called inside a transaction. `now` does not matter: each event has its own time.
    """
    del now
    Signs(state).note_numbers(
        sorted(
            {
                (one.phone_number_id, one.phone)
                for one in events
                if one.phone_number_id and one.phone
            }
        ),
    )
    Signs(state).add([sign for one in events if (sign := _sign(one))])
    AccountEvents(state).add(
        [account_event(event) for event in events if event.kind is Kind.ACCOUNT_UPDATE]
    )


def _sign(event: Event) -> Sign | None:
    kind = _SIGNS.get(event.kind)
    address = address_of_event(event)
    # Not told by which event: of many in a second one is enough, and the time finds them all.
    # An old archive without times would else prove that the phone was opened just now.
    is_dated = not event.data.get("undated")
    return (
        Sign(address, kind, event.at, str(event.source)) if kind and address and is_dated else None
    )


def address_of_event(event: Event) -> str | None:
    """The address of our number that an event is about; None when it names none."""
    return address_of(
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        respondio_channel_id=event.respondio_channel_id,
    )


def account_event(event: Event) -> AccountEvent:
    """An `account_update` as it is kept."""
    rest = {name: one for name, one in event.data.items() if name not in _COLUMNS_OF_ITS_OWN}
    return AccountEvent(
        event_key=event.key,
        event=event.data.get("event") or "",
        at=event.at,
        source=str(event.source),
        waba_id=event.waba_id,
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        entry_id=event.data.get("entry_id"),
        reason=event.data.get("reason"),
        initiated_by=event.data.get("initiated_by"),
        data=json.dumps(rest, sort_keys=True),
    )


CHANNELS = Projection("channels", _KINDS, project)
