"""The log: what was delivered, the events read out of it, and how far each room has read them.

Functions that change something are called inside a transaction of the state.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.events.model import Via
from wacoex_cli.events.rows import COLUMNS, event_in, event_row, payload_row
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.events.model import Event, Kind, Payload, Source
    from wacoex_cli.foundation.state import State

# SQLite may be built to take no more than 999 values in one statement.
_VALUES_AT_ONCE = 900
_PAGE = 1_000
# One step of a reader, which holds up all writers, looks at no more events than this.
_LOOKED_AT_ONCE = 10_000
_ADDRESS_CONDITIONS = {
    "phone_number_id": "phone_number_id = ?",
    "phone": "phone = ?",
    "respondio_channel_id": "CAST(respondio_channel_id AS TEXT) = ?",
    # What is told about a whole account, not what is told about another number of it.
    "waba_id": "(waba_id = ? AND phone_number_id IS NULL AND phone IS NULL)",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one payload: whether it was kept, and how many events of it are new."""

    is_new: bool
    events: Mapping[Kind, int]


def store(state: State, payloads: Sequence[Payload], via: Via, now: datetime) -> list[Stored]:
    """Keep payloads and their events, each once; says of each payload, in order, what is new.

    A payload is not kept when it was delivered before or none of its events is new. What comes in
    by itself (listen, pull) is counted by the hour, whether it is new or not.
    """
    news = unknown_events(state, payloads)
    payload_id = _highest(state, "payloads", "payload_id")
    event_id = _highest(state, "events", "event_id")
    kept: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    received_at = to_text(now)
    for payload, events in zip(payloads, news, strict=True):
        if events is None:
            continue
        payload_id += 1
        kept.append(payload_row(payload_id, payload, via, received_at))
        for event in events:
            event_id += 1
            rows.append(event_row(event_id, payload_id, event))
    _insert(state, "payloads", kept)
    _insert(state, "events", rows)
    if via is not Via.IMPORT:
        _count_arrivals(state, payloads, now)
    return [
        Stored(events is not None, Counter(event.kind for event in events or ())) for events in news
    ]


def unknown_events(state: State, payloads: Sequence[Payload]) -> list[tuple[Event, ...] | None]:
    """Of each payload the events that are not in the log; None for a duplicate. Changes nothing.

    Payloads count as known to those that come after them.
    """
    digests = _known(state, "payloads", "digest", {payload.digest for payload in payloads})
    keys = _known(
        state, "events", "event_key", {event.key for one in payloads for event in one.events}
    )
    found: list[tuple[Event, ...] | None] = []
    for payload in payloads:
        new = {event.key: event for event in payload.events if event.key not in keys}
        if payload.digest in digests or (payload.events and not new):
            found.append(None)
            continue
        digests.add(payload.digest)
        keys.update(new)
        found.append(tuple(new.values()))
    return found


def is_behind(state: State, consumer: str) -> bool:
    """Whether there are events a consumer has not looked at."""
    return _highest(state, "events", "event_id") > cursor(state, consumer)


def cursor(state: State, consumer: str) -> int:
    """The newest event a consumer has looked at; 0 when none."""
    found = state.value("SELECT event_id FROM cursors WHERE consumer = ?", [consumer])
    return int(found or 0)


def move_cursor(state: State, consumer: str, event_id: int) -> None:
    """Remember how far a consumer has read."""
    state.execute(
        "INSERT INTO cursors (consumer, event_id) VALUES (?, ?)"
        " ON CONFLICT (consumer) DO UPDATE SET event_id = excluded.event_id",
        [consumer, event_id],
    )


def events_after(
    state: State, cursor: int, kinds: Collection[Kind], most: int
) -> tuple[list[Event], int]:
    """Events of some kinds that come after a cursor, and the newest event that was looked at.

    There may be none although more follow: call again from there until `is_behind` says no.
    """
    first = state.value("SELECT MIN(event_id) FROM events WHERE event_id > ?", [cursor])
    if first is None:
        return [], cursor
    last = min(int(first) + _LOOKED_AT_ONCE - 1, _highest(state, "events", "event_id"))
    # As an expression, so that the kind's index, which is in another order, is left alone.
    wanted = f"kind || '' IN ({_marks(len(kinds))})"
    rows = state.rows(
        f"SELECT {COLUMNS} FROM events WHERE event_id BETWEEN ? AND ? AND {wanted}"
        " ORDER BY event_id LIMIT ?",
        [first, last, *sorted(kinds), most],
    )
    events = [event_in(row) for row in rows]
    return events, events[-1].event_id if len(events) == most else last


def events_with_key(state: State, prefix: str) -> list[Event]:
    """The events whose keys begin so; the prefix ends in a colon."""
    beyond = f"{prefix[:-1]};"
    rows = state.rows(
        f"SELECT {COLUMNS} FROM events WHERE event_key > ? AND event_key < ?", [prefix, beyond]
    )
    return [event_in(row) for row in rows]


def find_events(
    state: State,
    *,
    kinds: Collection[Kind] | None = None,
    since: datetime | None = None,
    addresses: Collection[str] | None = None,
    newest_first: bool = True,
    most: int | None = None,
) -> Iterator[Event]:
    """Events in the order of their time, read a page at a time.

    `kinds` and `addresses` None mean all. An address is one of `phone_number_id:...`,
    `phone:...`, `respondio_channel_id:...`, or `waba_id:...` for what concerns a whole account.
    """
    conditions, values = _conditions(since, addresses)
    if kinds is None:
        found = _in_order(state, conditions, values, newest_first, most)
    else:
        # Kind by kind, because only so an index gives them in order.
        found = heapq.merge(
            *(
                _in_order(state, ["kind = ?", *conditions], [kind, *values], newest_first, most)
                for kind in sorted(kinds)
            ),
            key=lambda event: (event.at, event.event_id),
            reverse=newest_first,
        )
    return itertools.islice(found, most)


def _in_order(
    state: State,
    conditions: Sequence[str],
    values: Sequence[object],
    newest_first: bool,
    most: int | None,
) -> Iterator[Event]:
    order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
    size = _PAGE if most is None else min(most, _PAGE)
    last: list[object] = []
    while True:
        onward = [f"(at, event_id) {beyond} (?, ?)"] if last else []
        where = " AND ".join([*conditions, *onward, "1 = 1"])
        rows = state.rows(
            f"SELECT {COLUMNS} FROM events WHERE {where}"
            f" ORDER BY at {order}, event_id {order} LIMIT ?",
            [*values, *last, size],
        )
        yield from map(event_in, rows)
        if len(rows) < size:
            return
        last = [rows[-1]["at"], rows[-1]["event_id"]]


def oldest_event_at(state: State, kinds: Collection[Kind]) -> datetime | None:
    """When the first event of some kinds happened, UTC; None when there is none."""
    found = [
        state.value("SELECT MIN(at) FROM events WHERE kind = ?", [kind]) for kind in sorted(kinds)
    ]
    return min((from_text(at) for at in found if at), default=None)


def arrival_hours(state: State, source: Source, since: datetime) -> list[tuple[str, int, str]]:
    """The hours, oldest first, in which something came in by itself, how much, and the newest.

    An hour is its first instant, RFC 3339 in UTC, as is the moment of the newest.
    """
    rows = state.rows(
        "SELECT hour, payloads, newest_at FROM arrivals WHERE source = ? AND hour >= ?"
        " ORDER BY hour",
        [source, _hour(since)],
    )
    return [(row["hour"], row["payloads"], row["newest_at"]) for row in rows]


def newest_arrival(state: State, source: Source) -> datetime | None:
    """When something last came in by itself, UTC; None when nothing ever did."""
    found = state.value("SELECT MAX(newest_at) FROM arrivals WHERE source = ?", [source])
    return from_text(found) if found else None


def _known(state: State, table: str, column: str, values: Collection[str]) -> set[str]:
    wanted = list(values)
    found: set[str] = set()
    for start in range(0, len(wanted), _VALUES_AT_ONCE):
        part = wanted[start : start + _VALUES_AT_ONCE]
        rows = state.rows(
            f"SELECT {column} AS known FROM {table} WHERE {column} IN ({_marks(len(part))})", part
        )
        found.update(row["known"] for row in rows)
    return found


def _highest(state: State, table: str, column: str) -> int:
    return int(state.value(f"SELECT COALESCE(MAX({column}), 0) FROM {table}"))


def _insert(state: State, table: str, rows: Sequence[Sequence[object]]) -> None:
    if rows:
        state.execute_many(f"INSERT INTO {table} VALUES ({_marks(len(rows[0]))})", rows)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


def _conditions(
    since: datetime | None, addresses: Collection[str] | None
) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if since is not None:
        conditions.append("at >= ?")
        values.append(to_text(since))
    if addresses is not None:
        named = [one.partition(":") for one in sorted(addresses)]
        known = [(name, value) for name, _, value in named if name in _ADDRESS_CONDITIONS]
        either = " OR ".join(_ADDRESS_CONDITIONS[name] for name, _ in known)
        conditions.append(f"({either or '1 = 0'})")
        values += [value for _, value in known]
    return conditions, values


def _count_arrivals(state: State, payloads: Sequence[Payload], now: datetime) -> None:
    for source, count in Counter(payload.source for payload in payloads).items():
        state.execute(
            "INSERT INTO arrivals (source, hour, payloads, newest_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (source, hour) DO UPDATE SET"
            " payloads = arrivals.payloads + excluded.payloads,"
            " newest_at = CASE WHEN excluded.newest_at > arrivals.newest_at"
            " THEN excluded.newest_at ELSE arrivals.newest_at END",
            [source, _hour(now), count, to_text(now)],
        )


def _hour(moment: datetime) -> str:
    return to_text(moment.replace(minute=0, second=0, microsecond=0))
