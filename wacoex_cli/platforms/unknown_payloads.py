"""Signed payloads that nothing here reads: kept as one event `other`, without a text."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import (
    Event,
    Kind,
    Payload,
    Source,
    canonical,
    read_moment,
    reported,
)
from wacoex_cli.platforms.privacy import Open, Reading, key_names, number, word

_OURS = "whatsapp_business_account"


class _Anything(Open):
    """What is signed and no delivery that is known here."""

    object: keep.Word = None

    def event(self, source: Source, name: str, keys: list[str], received_at: str) -> Event:
        """Its one event, which has the name that it is given."""
        kept = self.kept()
        # Of a page or of Instagram nothing here hangs on it.
        is_about_us = source is Source.META and self.object in (None, _OURS)
        at = read_moment(kept.get("timestamp")) or read_moment(kept.get("time"))
        field = kept.get("field") or kept.get("event_type") or kept.get("object")
        return Event(
            key=f"{source}:{Kind.OTHER}:{name}",
            kind=Kind.OTHER,
            source=source,
            at=at or received_at,
            data=reported(
                field=word(field) or "unknown",
                type=word(kept.get("type") or kept.get("event")),
                code=number(kept.get("code")),
                keys=keys or None,
                unclear=["entry"] if is_about_us else None,
                undated=None if at else True,
            ),
        )


def unread(
    source: Source,
    body: Mapping[str, Any],
    raw: bytes,
    why: str,
    reading: Reading,
) -> Payload:
    """A payload that is kept as one event, and `why`.

    A hash of the bytes under the key of this installation tells it from all others.
    """
    read = _Anything.read(body, reading)
    mark = hmac.digest(reading.key, raw, "sha256").hex()
    event = read.event(source, mark, key_names(body), reading.received_at)
    return Payload(source, mark, len(raw), canonical(read), (event,), why)


def whole_of(body: Mapping[str, Any]) -> str | None:
    """The object with all of its content; None for one that is nested too deep."""
    try:
        return canonical(body)
    except RecursionError:
        return None
