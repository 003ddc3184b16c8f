"""Payloads and events as rows of the log, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wacoex_cli.events.model import Event, Kind, Source

if TYPE_CHECKING:
    from wacoex_cli.events.model import Payload, Via
    from wacoex_cli.foundation.state import Row

COLUMNS = (
    "event_id, event_key, kind, source, at, phone_number_id, phone, waba_id,"
    " respondio_channel_id, contact, message_id, data"
)


def payload_row(
    payload_id: int, payload: Payload, via: Via, received_at: str
) -> tuple[object, ...]:
    """The row of the table `payloads`, all columns in order."""
    return (
        payload_id,
        payload.digest,
        payload.source,
        via,
        received_at,
        payload.size,
        payload.body,
    )


def event_row(event_id: int, payload_id: int, event: Event) -> tuple[object, ...]:
    """The row of the table `events`, all columns in order."""
    return (
        event_id,
        event.key,
        payload_id,
        event.kind,
        event.source,
        event.at,
        event.phone_number_id,
        event.phone,
        event.waba_id,
        event.respondio_channel_id,
        event.contact,
        event.message_id,
        json.dumps(event.data, sort_keys=True, separators=(",", ":")),
    )


def event_in(row: Row) -> Event:
    """The event that a row of `COLUMNS` holds."""
    return Event(
        key=row["event_key"],
        kind=Kind(row["kind"]),
        source=Source(row["source"]),
        at=row["at"],
        phone_number_id=row["phone_number_id"],
        phone=row["phone"],
        waba_id=row["waba_id"],
        respondio_channel_id=row["respondio_channel_id"],
        contact=row["contact"],
        message_id=row["message_id"],
        data=json.loads(row["data"]),
        event_id=row["event_id"],
    )
