"""Evidence that the WhatsApp Business app was opened, and what events tell about channels.

There is no way to ask Meta when the app was last opened, so the countdown rests on dated facts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from wacoex_cli.channels.model import AccountEvent, EvidenceKind, Sign, address_of
from wacoex_cli.channels.store import AccountEvents, Signs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State


KINDS = frozenset({
    "message", "unsupported", "edit", "revoke", "status", "echo", "contact_sync", "history",
    "account_update", "user_preference", "other",
})  # fmt: skip
"""The kinds of events that say something about a channel, and those that name our number."""

_SIGNS = {"echo": EvidenceKind.ECHO, "contact_sync": EvidenceKind.PHONEBOOK}
_COLUMNS_OF_ITS_OWN = frozenset({"event", "entry_id", "reason", "initiated_by"})


class Told(Protocol):
    """An event, as far as this room looks at it."""

    @property
    def key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def phone_number_id(self) -> str | None: ...
    @property
    def phone(self) -> str | None: ...
    @property
    def waba_id(self) -> str | None: ...
    @property
    def respondio_channel_id(self) -> int | None: ...
    @property
    def data(self) -> Mapping[str, object]: ...


def project(state: State, events: Sequence[Told], now: datetime) -> None:
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
    AccountEvents(state).add([account_event(one) for one in events if one.kind == "account_update"])


def _sign(event: Told) -> Sign | None:
    kind = _SIGNS.get(event.kind)
    address = address_of(
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        respondio_channel_id=event.respondio_channel_id,
    )
    # Not told by which event: of many in a second one is enough, and the time finds them all.
    # An old archive without times would else prove that the phone was opened just now.
    is_dated = not event.data.get("undated")
    return (
        Sign(address, kind, event.at, str(event.source)) if kind and address and is_dated else None
    )


def account_event(event: Told) -> AccountEvent:
    """An `account_update` as it is kept."""
    rest = {name: one for name, one in event.data.items() if name not in _COLUMNS_OF_ITS_OWN}
    return AccountEvent(
        event_key=event.key,
        event=_text(event.data.get("event")) or "",
        at=event.at,
        source=str(event.source),
        waba_id=event.waba_id,
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        entry_id=_text(event.data.get("entry_id")),
        reason=_text(event.data.get("reason")),
        initiated_by=_text(event.data.get("initiated_by")),
        data=json.dumps(rest, sort_keys=True),
    )


def _text(value: object) -> str | None:
    return str(value) if value is not None else None
