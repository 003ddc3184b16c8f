"""Meta's message history: what happened to one message of ours, as statuses.

Source: Meta, message history API.
"""

from __future__ import annotations

from collections.abc import Iterator

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import Event, Kind, Source, read_moment, reported
from wacoex_cli.platforms.privacy import Kept


class _Delivery(Kept):
    delivery_status: keep.Word = None
    timestamp: keep.Time = None


class _Deliveries(Kept):
    data: keep.Parts[_Delivery] = None


class _HistoryEntry(_Delivery):
    message_id: keep.Identifier = None
    events: keep.Part[_Deliveries] = None


class MetaMessageHistory(Kept):
    """An answer of the message history, with the message it was asked about; `data` is a list."""

    object: keep.Word = None
    phone_number_id: keep.Identifier = None
    message_id: keep.Identifier = None
    biz_opaque_callback_data: keep.Identifier = None
    data: keep.Parts[_HistoryEntry] = None

    def events(self, received_at: str) -> Iterator[Event]:
        """The statuses in it; `received_at` (RFC 3339) stands in for times that are missing."""
        for entry in self.data or ():
            message_id = entry.message_id or self.message_id
            inner = (entry.events.data or []) if entry.events else []
            for delivery in (entry, *inner):
                status = (delivery.delivery_status or "").lower()
                if not (message_id and status):
                    continue
                yield Event(
                    key=f"meta-history:{Kind.STATUS}:{message_id}:{status}",
                    kind=Kind.STATUS,
                    source=Source.META,
                    at=read_moment(delivery.timestamp) or received_at,
                    phone_number_id=self.phone_number_id,
                    message_id=message_id,
                    data=reported(status=status, attempt_id=self.biz_opaque_callback_data),
                )
