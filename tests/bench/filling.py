"""A state file with many channels and very many events, filled in bulk.

    python -m tests.bench.filling STATE [CHANNELS] [EVENTS]

The rows are what the listener and the projections would have left; only their making is short.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wacoex_cli.app import projections
from wacoex_cli.events.store import NUMBER, event_row, payload_row
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.platforms.events import Event, EventData, Kind, Payload, Source, Via

_MARKETING: EventData = {
    "status": "delivered",
    "pricing": {"billable": True, "category": "marketing"},
}
_SERVICE: EventData = {
    "status": "delivered",
    "pricing": {"billable": False, "category": "service", "type": "free_customer_service"},
}
_WRITTEN: EventData = {"direction": "in", "type": "text"}
_USUAL: tuple[tuple[Kind, EventData], ...] = (
    (Kind.MESSAGE, _WRITTEN),
    (Kind.ECHO, {"type": "text"}),
    (Kind.STATUS, _MARKETING),
    (Kind.MESSAGE, _WRITTEN),
    (Kind.STATUS, _SERVICE),
)
# Rare: what did not pass, and what another responder gets. The length has no factor in common with
# the number of channels, so each of them has all kinds.
KINDS = (
    *_USUAL * 399,
    (Kind.UNSUPPORTED, EventData(type="unsupported", code=131051)),
    (Kind.STANDBY, _WRITTEN),
)
BODY = json.dumps({"object": "whatsapp_business_account", "entry": [{"filling": "x" * 450}]})
SPAN = timedelta(days=60)
_AT_ONCE = 20_000


def fill(state_path: Path, channels: int = 1_000, events: int = 1_000_000) -> None:
    """Make a state file of this many channels, whose events are spread over the last 60 days."""
    state = open_state(state_path)
    with contextlib.closing(state):
        now = datetime.now(UTC)
        with state.transaction():
            _add_channels(state, channels, now)
        for start in range(1, events + 1, _AT_ONCE):
            with state.transaction():
                _add_events(state, range(start, min(start + _AT_ONCE, events + 1)), channels, now)
        with state.transaction():
            _project(state, events)


def _add_channels(state: State, channels: int, now: datetime) -> None:
    state.execute_many(
        "INSERT INTO channels (channel_id, name, phone, phone_number_id, waba_id, provider,"
        " created_at) VALUES (?, ?, ?, ?, ?, 'meta', ?)",
        [
            (
                entry,
                f"shop{entry}",
                _phone(entry),
                _phone_number_id(entry),
                str(500_000 + entry),
                to_text(now),
            )
            for entry in range(1, channels + 1)
        ],
    )
    state.execute_many(
        "INSERT INTO numbers_seen (phone_number_id, phone) VALUES (?, ?)",
        [(_phone_number_id(entry), _phone(entry)) for entry in range(1, channels + 1)],
    )


def _add_events(state: State, numbers: range, channels: int, now: datetime) -> None:
    """One event in each payload, as nearly all webhooks have."""
    made = list(_made(numbers, channels, now))
    state.execute_many(
        "INSERT INTO payloads VALUES (?, ?, ?, ?, ?, ?, ?)",
        [payload_row(number, payload, Via.LISTEN, entry.at) for number, payload, entry in made],
    )
    state.execute_many(
        f"INSERT INTO events VALUES ({', '.join('?' * 13)})",
        [event_row(number, number, entry) for number, _, entry in made],
    )


def _made(numbers: range, channels: int, now: datetime) -> Iterator[tuple[int, Payload, Event]]:
    for number in numbers:
        kind, data = KINDS[number % len(KINDS)]
        channel = number // len(_USUAL) % channels + 1
        # Newest last; the step has no common factor with the kinds and channels.
        at = to_text(now - SPAN + SPAN * (number % 999_983) / 999_983)
        event = Event(
            key=f"meta:{kind}:wamid.{number:048}",
            kind=kind,
            source=Source.META,
            at=at,
            phone_number_id=_phone_number_id(channel),
            phone=_phone(channel),
            waba_id=str(500_000 + channel),
            contact=f"+6591{number % 300_000:06}",
            message_id=f"wamid.{number:048}",
            data=data,
        )
        yield number, Payload(Source.META, f"{number:064x}", 600, BODY, (event,)), event


def _project(state: State, events: int) -> None:
    """What the projections make of these events."""
    state.execute(
        "INSERT INTO evidence (address, kind, at, source, said_by) SELECT"
        " 'phone_number_id:' || phone_number_id, 'echo', at, source, '' FROM events"
        " WHERE kind = 'echo' ON CONFLICT DO NOTHING"
    )
    state.execute(
        "INSERT INTO active_contacts (month, address, contact, by_message, by_echo)"
        " SELECT SUBSTR(at, 1, 7), 'phone_number_id:' || phone_number_id, contact,"
        " MAX(CASE WHEN kind = 'echo' THEN 0 ELSE 1 END), MAX(CASE WHEN kind = 'echo' THEN 1"
        " ELSE 0 END) FROM events GROUP BY 1, 2, 3"
    )
    state.execute(
        f"INSERT INTO traffic SELECT {NUMBER}, kind, SUBSTR(at, 1, 10), phone_number_id, phone, '',"
        " COUNT(*), MAX(at), MAX(event_id) FROM events WHERE kind IN ('echo', 'message', 'standby')"
        " GROUP BY 1, 2, 3"
    )
    state.execute_many(
        "INSERT INTO cursors (consumer, event_id) VALUES (?, ?)",
        [(projection.name, events) for projection in projections()],
    )


def _phone(channel: int) -> str:
    return f"+658{channel:07}"


def _phone_number_id(channel: int) -> str:
    return f"{100_000_000_000_000 + channel}"


if __name__ == "__main__":
    target, *sizes = sys.argv[1:]
    begun = time.monotonic()
    fill(Path(target), *map(int, sizes))
    print(f"filled in {time.monotonic() - begun:.0f} s, {Path(target).stat().st_size:,} bytes")
