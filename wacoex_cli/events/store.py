"""The log in the state file: what was delivered, the events read out of it, and who read how far.

Methods that change something are called inside a transaction of the state, unless they say
otherwise. Tables:

payloads(payload_id, digest unique, source, via, received_at, size, body)
events(event_id, event_key unique, payload_id, kind, source, at, phone_number_id, phone, waba_id,
    respondio_channel_id, contact, message_id, data)           data: `EventData` as JSON
cursors(consumer, event_id)                                    the newest event a reader has seen
arrivals(source, hour, payloads, newest_at)                    what came in by itself, by the hour
active_contacts(month, address, contact, by_message, by_echo)  who counts as MAC
pull_watermarks(respondio_channel_id, contact, message_id, read_from, pulled_at)
pull_sweeps(respondio_channel_id, started_at, cursor, contacts_done, finished_at)

Moments are RFC 3339 in UTC.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.store import address_of_event
from wacoex_cli.contacts.persons import person_of
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import (
    Event,
    Kind,
    Payload,
    Projection,
    Source,
    Via,
    canonical,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State

# SQLite may be built to take no more than 999 values in one statement.
_VALUES_AT_ONCE = 900
_PAGE = 1_000
# One step of a reader, which holds up all writers, looks at no more events than this.
_LOOKED_AT_ONCE = 10_000
_PROJECTED_AT_ONCE = 500
_REMOVED_AT_ONCE = 500
# The countdown is over after 14 days; WX108 compares the last 28.
_NEEDED_WHOLE = timedelta(days=60)
_COLUMNS = (
    "event_id, event_key, kind, source, at, phone_number_id, phone, waba_id,"
    " respondio_channel_id, contact, message_id, data"
)
_KINDS = {kind.value: kind for kind in Kind}
_SOURCES = {source.value: source for source in Source}
_ADDRESS_NAMES = ("phone_number_id", "phone", "respondio_channel_id")
_ADDRESS_CONDITIONS = {
    "phone_number_id": "phone_number_id = ?",
    "phone": "phone = ?",
    "respondio_channel_id": "CAST(respondio_channel_id AS TEXT) = ?",
    # What is reported about a whole account, not about another number of it.
    "waba_id": "(waba_id = ? AND phone_number_id IS NULL AND phone IS NULL)",
}
_DAYS = (
    "SELECT phone_number_id, phone, respondio_channel_id, SUBSTR(at, 1, 10) AS day,"
    " COUNT(*) AS messages, MAX(at) AS newest_at FROM events WHERE kind = ? AND at >= ?{more}"
    " GROUP BY phone_number_id, phone, respondio_channel_id, SUBSTR(at, 1, 10)"
)
# Reading a message is neither sending nor receiving one, and may happen months later.
_REACHED = frozenset({"sent", "delivered"})
_INBOUND = """ AND data LIKE '%"direction":"in"%'"""
# What stands in a delivery status of an answer (Meta: pricing of non-template messages).
_ANSWERS = (
    "SELECT phone_number_id, phone, respondio_channel_id,"
    """ SUM(CASE WHEN data LIKE '%"type":"free_customer_service"%' THEN 1 ELSE 0 END) AS free,"""
    """ SUM(CASE WHEN data LIKE '%"type":"regular"%' THEN 1 ELSE 0 END) AS charged"""
    " FROM events WHERE kind = ? AND at >= ? AND at < ?"
    """ AND data LIKE '%"status":"delivered"%' AND data LIKE '%"category":"service"%'"""
    " GROUP BY phone_number_id, phone, respondio_channel_id"
)
_SAME_DAY_LATER = (
    "SELECT 1 FROM evidence AS later WHERE later.address = evidence.address"
    " AND later.kind = 'echo' AND later.at > evidence.at"
    " AND later.at < SUBSTR(evidence.at, 1, 10) || 'T24'"
)
_PERSON = person_of("active_contacts.contact")
_ACTIVE = "COUNT(*) AS contacts, COALESCE(SUM(CASE WHEN by_message = 0 THEN 1 ELSE 0 END), 0) AS n"


class Stored(NamedTuple):
    """What became of one payload: whether it was kept, and how many events of it are new."""

    is_new: bool
    events: Mapping[Kind, int]


class PricedAnswers(NamedTuple):
    """Delivered answers of one number, known by `addresses`: free ones, and charged ones."""

    addresses: frozenset[str]
    free: int
    charged: int


@dataclass
class Tally:
    """How many payloads were stored, or known before; `by_kind` counts events that are new."""

    stored: int = 0
    duplicates: int = 0
    by_kind: Counter[Kind] = field(default_factory=Counter)

    def add(self, outcomes: Iterable[Stored]) -> None:
        """Count what became of some payloads."""
        for outcome in outcomes:
            self.stored += outcome.is_new
            self.duplicates += not outcome.is_new
            self.by_kind.update(outcome.events)

    def to_json(self) -> dict[str, object]:
        """All of its figures, with every kind there is."""
        return {**vars(self), "by_kind": {kind.value: self.by_kind[kind] for kind in Kind}}


class Day(NamedTuple):
    """What came for one number on one day (`2026-11-07`, UTC): how much, and the newest."""

    addresses: frozenset[str]
    day: str
    messages: int
    newest_at: str


class OldEvents(NamedTuple):
    """How much of the log can go. `active_contacts` are those of the months that go."""

    payloads: int
    events: int
    active_contacts: int
    first_payload: int
    first_event: int
    month: str

    def __bool__(self) -> bool:
        return bool(self.payloads or self.events or self.active_contacts)

    def to_json(self) -> dict[str, int]:
        """What is removed, for `state prune --json`."""
        names = ("payloads", "events", "active_contacts")
        return {name: getattr(self, name) for name in names}


class Read(NamedTuple):
    """Events that follow a cursor, in order; `reached` is the newest that was looked at."""

    cursor: int
    events: Sequence[Event]
    reached: int

    def of(self, projection: Projection) -> list[Event]:
        """Those of the kinds of a projection."""
        return [event for event in self.events if event.kind in projection.kinds]


class EventLog:
    """Payloads, their events, and how far each reader is."""

    def __init__(self, state: State) -> None:
        self._state = state

    def store(self, payloads: Sequence[Payload], via: Via, now: datetime) -> list[Stored]:
        """Keep payloads and their events, each once; says of each, in order, what is new.

        A payload is not kept when it was delivered before or none of its events is new. What
        comes in by itself (listen, pull) is counted by the hour, whether it is new or not.
        """
        news = self.unknown_events(payloads)
        payload_id = self._highest("payloads", "payload_id")
        event_id = self._highest("events", "event_id")
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
        for table, new in (("payloads", kept), ("events", rows)):
            if new:
                self._state.execute_many(f"INSERT INTO {table} VALUES ({_marks(new[0])})", new)
        if via is not Via.IMPORT:
            self._count_arrivals(payloads, now)
        return [
            Stored(events is not None, Counter(event.kind for event in events or ()))
            for events in news
        ]

    def unknown_events(self, payloads: Sequence[Payload]) -> list[tuple[Event, ...] | None]:
        """Of each payload the events that are not in the log; None for a duplicate.

        Changes nothing. Payloads count as known to those that come after them.
        """
        digests = self._known("payloads", "digest", {payload.digest for payload in payloads})
        all_keys = {event.key for payload in payloads for event in payload.events}
        keys = self._known("events", "event_key", all_keys)
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

    def is_behind(self, consumer: str) -> bool:
        """Whether there are events a consumer has not looked at."""
        return self._highest("events", "event_id") > self.cursor(consumer)

    def cursor(self, consumer: str) -> int:
        """The newest event a consumer has looked at; 0 when none."""
        found = self._state.value("SELECT event_id FROM cursors WHERE consumer = ?", [consumer])
        return int(found or 0)

    def project(
        self, projection: Projection, now: datetime, most: int, read: Read | None = None
    ) -> int:
        """Give a projection the next events, `most` of them, and move its cursor.

        They are taken from what was `read` when that follows its cursor. Returns how many were
        given. In a transaction of its own.
        """
        with self._state.transaction():
            cursor = self.cursor(projection.name)
            if read is None or read.cursor != cursor:
                read = Read(cursor, *self.after(cursor, projection.kinds, most))
            events = read.of(projection)
            if events:
                projection.project(self._state, events, now)
            self._move(projection, read.reached)
        return len(events)

    def project_together(self, projections: Sequence[Projection], now: datetime, most: int) -> int:
        """Read the next events once for all projections that are the furthest behind.

        Each gets its own in a transaction of its own. Returns how many were given.
        """
        cursors = {projection: self.cursor(projection.name) for projection in projections}
        first = min(cursors.values())
        behind = [projection for projection, cursor in cursors.items() if cursor == first]
        kinds = frozenset[Kind]().union(*(projection.kinds for projection in behind))
        read = Read(first, *self.after(first, kinds, most))
        idle = [projection for projection in behind if not read.of(projection)]
        if idle:
            with self._state.transaction():
                for projection in idle:
                    if self.cursor(projection.name) == first:
                        self._move(projection, read.reached)
        return sum(
            self.project(projection, now, most, read)
            for projection in behind
            if projection not in idle
        )

    def _move(self, projection: Projection, reached: int) -> None:
        self._state.execute(
            "INSERT INTO cursors (consumer, event_id) VALUES (?, ?)"
            " ON CONFLICT (consumer) DO UPDATE SET event_id = excluded.event_id",
            [projection.name, reached],
        )

    def after(self, cursor: int, kinds: Collection[Kind], most: int) -> tuple[list[Event], int]:
        """Events of some kinds that come after a cursor, and the newest event that was looked at.

        There may be none although more follow: call again from there until `is_behind` says no.
        """
        first = self._state.value("SELECT MIN(event_id) FROM events WHERE event_id > ?", [cursor])
        if first is None:
            return [], cursor
        last = min(int(first) + _LOOKED_AT_ONCE - 1, self._highest("events", "event_id"))
        # As an expression, so that the kind's index, which is in another order, is left alone.
        rows = self._state.tuples(
            f"SELECT {_COLUMNS} FROM events WHERE event_id BETWEEN ? AND ?"
            f" AND kind || '' IN ({_marks(kinds)}) ORDER BY event_id LIMIT ?",
            [first, last, *sorted(kinds), most],
        )
        events = [_event(row) for row in rows]
        return events, events[-1].event_id if len(events) == most else last

    def with_key(self, prefix: str) -> list[Event]:
        """The events whose keys begin so; the prefix ends in a colon."""
        rows = self._state.tuples(
            f"SELECT {_COLUMNS} FROM events WHERE event_key > ? AND event_key < ?",
            [prefix, f"{prefix[:-1]};"],
        )
        return [_event(row) for row in rows]

    def find(
        self,
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
        conditions: dict[str, list[object]] = {}
        if since is not None:
            conditions["at >= ?"] = [to_text(since)]
        if addresses is not None:
            named = [address.partition(":") for address in sorted(addresses)]
            known = [(name, value) for name, _, value in named if name in _ADDRESS_CONDITIONS]
            either = " OR ".join(_ADDRESS_CONDITIONS[name] for name, _ in known)
            conditions[f"({either or '1 = 0'})"] = [value for _, value in known]
        if kinds is None:
            found = self._in_order(conditions, newest_first, most)
        else:
            # Kind by kind, because only so an index gives them in order.
            runs = [
                self._in_order({"kind = ?": [kind], **conditions}, newest_first, most)
                for kind in sorted(kinds)
            ]
            found = heapq.merge(
                *runs, key=lambda event: (event.at, event.event_id), reverse=newest_first
            )
        return itertools.islice(found, most)

    def _in_order(
        self, conditions: Mapping[str, list[object]], newest_first: bool, most: int | None
    ) -> Iterator[Event]:
        order, beyond = ("DESC", "<") if newest_first else ("ASC", ">")
        size = _PAGE if most is None else min(most, _PAGE)
        onward: dict[str, list[object]] = {"1 = 1": []}
        while True:
            wanted = {**conditions, **onward}
            rows = self._state.tuples(
                f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(wanted)}"
                f" ORDER BY at {order}, event_id {order} LIMIT ?",
                [*itertools.chain(*wanted.values()), size],
            )
            events = [_event(row) for row in rows]
            yield from events
            if len(events) < size:
                return
            onward = {f"(at, event_id) {beyond} (?, ?)": [events[-1].at, events[-1].event_id]}

    def oldest_at(self, kinds: Collection[Kind]) -> datetime | None:
        """When the first event of some kinds happened, UTC; None when there is none."""
        found = [
            self._state.value("SELECT MIN(at) FROM events WHERE kind = ?", [kind])
            for kind in sorted(kinds)
        ]
        return min((from_text(at) for at in found if at), default=None)

    def arrival_hours(self, source: Source, since: datetime) -> list[tuple[str, int, str]]:
        """The hours, oldest first, in which something came in by itself, how much, the newest.

        An hour is its first instant.
        """
        rows = self._state.rows(
            "SELECT hour, payloads, newest_at FROM arrivals WHERE source = ? AND hour >= ?"
            " ORDER BY hour",
            [source, _hour(since)],
        )
        return [(row["hour"], row["payloads"], row["newest_at"]) for row in rows]

    def newest_arrival(self, source: Source) -> datetime | None:
        """When something last came in by itself, UTC; None when nothing ever did."""
        found = self._state.value("SELECT MAX(newest_at) FROM arrivals WHERE source = ?", [source])
        return from_text(found) if found else None

    def days(self, kind: Kind, since: datetime) -> list[Day]:
        """The days with events of a kind, by number; of messages those of contacts count."""
        is_message = kind in (Kind.MESSAGE, Kind.STANDBY)
        sql = _DAYS.format(more=_INBOUND if is_message else "")
        found = []
        for row in self._state.rows(sql, [kind, to_text(since)]):
            known = [name for name in _ADDRESS_NAMES if row[name] is not None]
            own = frozenset(f"{name}:{row[name]}" for name in known)
            found.append(Day(own, row["day"], row["messages"], row["newest_at"]))
        return sorted(found, key=lambda day: day.newest_at)

    def answers(self, month: str) -> list[PricedAnswers]:
        """The answers (service messages) that were delivered in a month, such as `2026-11`, UTC.

        One for each of our numbers as Meta names it. Answers in the free window after an ad are
        neither free nor charged ones here (Meta: pricing of non-template messages).
        """
        rows = self._state.rows(_ANSWERS, [Kind.STATUS, f"{month}-", f"{month}-~"])
        found = []
        for row in rows:
            known = [name for name in _ADDRESS_NAMES if row[name] is not None]
            own = frozenset(f"{name}:{row[name]}" for name in known)
            found.append(PricedAnswers(own, row["free"], row["charged"]))
        return found

    def first_seen(self, contacts: Collection[str]) -> dict[str, str]:
        """When each of these contacts was first written to or wrote, as far as the log goes."""
        rows = self._tuples_of(
            "SELECT contact, MIN(at) FROM events WHERE kind IN (?, ?, ?, ?)"
            " AND contact IN ({}) GROUP BY contact",
            [Kind.ECHO, Kind.MESSAGE, Kind.UNSUPPORTED, Kind.STANDBY],
            contacts,
        )
        return dict(rows)

    def who_wrote(self, contacts: Collection[str], phone: str, waba_id: str | None) -> set[str]:
        """Those of these contacts (E.164) from whom a message came to a number or its WABA."""
        rows = self._tuples_of(
            "SELECT DISTINCT contact FROM events WHERE kind IN (?, ?)"
            " AND (phone = ? OR waba_id = ?) AND contact IN ({})",
            [Kind.MESSAGE, Kind.UNSUPPORTED, phone, waba_id],
            contacts,
        )
        return {contact for (contact,) in rows}

    def delivered_after_all(self, message_ids: Collection[str], since: datetime) -> set[str]:
        """Those of these messages that also came in as ordinary ones."""
        rows = self._tuples_of(
            "SELECT DISTINCT message_id FROM events WHERE kind = ? AND at >= ?"
            " AND message_id IN ({})",
            [Kind.MESSAGE, to_text(since)],
            message_ids,
        )
        return {message_id for (message_id,) in rows}

    def events_of_no_payload(self) -> int:
        """How many events belong to a payload that is not there."""
        found = self._state.value(
            "SELECT COUNT(*) FROM events e LEFT JOIN payloads p"
            " ON p.payload_id = e.payload_id WHERE p.payload_id IS NULL"
        )
        return int(found)

    def readers_ahead(self) -> list[Row]:
        """Consumers that claim to have read further than the log goes."""
        return self._state.rows(
            "SELECT consumer, event_id FROM cursors"
            " WHERE event_id > (SELECT COALESCE(MAX(event_id), 0) FROM events) ORDER BY consumer"
        )

    def choose_old(self, before: datetime, readers: Collection[str]) -> OldEvents:
        """Find what came in before a moment and was read by every reader (their names).

        The newest payload and event stay, so that no number is given out again.
        """
        value, month = self._state.value, to_text(before)[:7]
        read_by_all = min(map(self.cursor, readers), default=0)
        kept = value(
            "SELECT payload_id FROM payloads WHERE received_at >= ? ORDER BY payload_id LIMIT 1",
            [to_text(before)],
        ) or self._highest("payloads", "payload_id")
        unread = value(
            "SELECT payload_id FROM events WHERE event_id > ? ORDER BY event_id LIMIT 1",
            [read_by_all],
        )
        newest = value("SELECT payload_id FROM events ORDER BY event_id DESC LIMIT 1")
        first_payload = min(int(kept), int(unread or kept), int(newest or kept))
        first_event = value(
            "SELECT event_id FROM events WHERE payload_id >= ? ORDER BY event_id LIMIT 1",
            [first_payload],
        )
        return OldEvents(
            int(value("SELECT COUNT(*) FROM payloads WHERE payload_id < ?", [first_payload])),
            int(value("SELECT COUNT(*) FROM events WHERE event_id < ?", [first_event or 0])),
            int(value("SELECT COUNT(*) FROM active_contacts WHERE month < ?", [month])),
            *(first_payload, int(first_event or 0), month),
        )

    def remove_old(self, old: OldEvents, before: datetime, now: datetime) -> None:
        """Remove what was chosen, in transactions of some milliseconds.

        Evidence is thinned out to the last echo of a number and day, not removed; hours in which
        things came in are forgotten. What the countdown rests on stays.
        """
        state, thinned_before = self._state, to_text(min(before, now - _NEEDED_WHOLE))
        self._remove("events", "event_id", old.first_event)
        self._remove("payloads", "payload_id", old.first_payload)
        for row in state.rows(
            "SELECT DISTINCT month FROM active_contacts WHERE month < ?", [old.month]
        ):
            with state.transaction():
                state.execute("DELETE FROM active_contacts WHERE month = ?", [row["month"]])
        for row in state.rows("SELECT DISTINCT address FROM evidence WHERE kind = 'echo'"):
            with state.transaction():
                state.execute(
                    "DELETE FROM evidence WHERE address = ? AND kind = 'echo' AND at < ?"
                    f" AND EXISTS ({_SAME_DAY_LATER})",
                    [row["address"], thinned_before],
                )
        with state.transaction():
            state.execute("DELETE FROM arrivals WHERE hour < ?", [thinned_before])

    def _remove(self, table: str, column: str, first_kept: int) -> None:
        while True:
            lowest = self._state.value(f"SELECT MIN({column}) FROM {table}")
            if lowest is None or lowest >= first_kept:
                return
            with self._state.transaction():
                self._state.execute(
                    f"DELETE FROM {table} WHERE {column} < ?",
                    [min(lowest + _REMOVED_AT_ONCE, first_kept)],
                )
            self._state.give_way()

    def _known(self, table: str, column: str, values: Collection[str]) -> set[str]:
        sql = f"SELECT {column} FROM {table} WHERE {column} IN ({{}})"
        return {known for (known,) in self._tuples_of(sql, (), values)}

    def _tuples_of(
        self, sql: str, first: Sequence[object], values: Collection[str]
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of a query that ends in a list of values, `{}`, some hundred of them at a time."""
        wanted = sorted(values)
        for start in range(0, len(wanted), _VALUES_AT_ONCE):
            part = wanted[start : start + _VALUES_AT_ONCE]
            yield from self._state.tuples(sql.format(_marks(part)), [*first, *part])

    def _highest(self, table: str, column: str) -> int:
        return int(self._state.value(f"SELECT COALESCE(MAX({column}), 0) FROM {table}"))

    def _count_arrivals(self, payloads: Sequence[Payload], now: datetime) -> None:
        for source, count in Counter(payload.source for payload in payloads).items():
            self._state.execute(
                "INSERT INTO arrivals (source, hour, payloads, newest_at) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (source, hour) DO UPDATE SET"
                " payloads = arrivals.payloads + excluded.payloads,"
                " newest_at = CASE WHEN excluded.newest_at > arrivals.newest_at"
                " THEN excluded.newest_at ELSE arrivals.newest_at END",
                [source, _hour(now), count, to_text(now)],
            )


def catch_up(
    state: State,
    projections: Iterable[Projection],
    clock: Clock,
    *,
    events_at_once: int = _PROJECTED_AT_ONCE,
) -> int:
    """Give each projection the events it has not seen; returns how many were given.

    Any number of processes may do so at the same time.
    Raises StateError when the state file cannot be written.
    """
    log, given, behind = EventLog(state), 0, list(projections)
    while behind := [projection for projection in behind if log.is_behind(projection.name)]:
        given += log.project_together(behind, clock.now(), events_at_once)
    return given


class ActiveContacts:
    """Who was active in which month. respond.io: MAC are those who send or receive a message."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, events: Iterable[Event]) -> None:
        """Remember the contacts of these events, and whether an echo made them active.

        Of statuses only `sent` and `delivered` count.
        """
        rows = []
        for event in events:
            if event.contact is None:
                continue
            status = event.data.get("status")
            is_status = event.kind is Kind.STATUS or status is not None
            if is_status and status not in _REACHED:
                continue
            is_echo = event.kind is Kind.ECHO
            address = address_of_event(event) or ""
            rows.append((event.at[:7], address, event.contact, int(not is_echo), int(is_echo)))
        self._state.execute_many(
            "INSERT INTO active_contacts (month, address, contact, by_message, by_echo)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (month, address, contact) DO UPDATE SET"
            " by_message = active_contacts.by_message | excluded.by_message,"
            " by_echo = active_contacts.by_echo | excluded.by_echo"
            " WHERE active_contacts.by_message < excluded.by_message"
            " OR active_contacts.by_echo < excluded.by_echo",
            list(dict.fromkeys(rows)),
        )

    def addresses(self, month: str) -> set[str]:
        """The addresses under which somebody was active."""
        rows = self._state.rows(
            "SELECT DISTINCT address FROM active_contacts WHERE month = ?", [month]
        )
        return {row["address"] for row in rows}

    def count(self, month: str, addresses: Collection[str]) -> tuple[int, int]:
        """How many persons were active under any of these, and how many by echoes only.

        A number in two spellings, or with the id that is joined to it now, is one person.
        """
        row = self._state.row(
            f"SELECT {_ACTIVE} FROM (SELECT {_PERSON} AS person, MAX(by_message) AS by_message"
            f" FROM active_contacts WHERE month = ? AND address IN ({_marks(addresses)})"
            f" GROUP BY {_PERSON}) AS people",
            [month, *sorted(addresses)],
        )
        return (row["contacts"], row["n"]) if row else (0, 0)


def _note_active_contacts(state: State, events: Sequence[Event], now: datetime) -> None:
    ActiveContacts(state).add(events)


MAC = Projection(
    "mac",
    frozenset({Kind.MESSAGE, Kind.UNSUPPORTED, Kind.STATUS, Kind.ECHO, Kind.STANDBY}),
    _note_active_contacts,
)
"""Which contacts were active in which month, and whether by echoes only."""


class Watermark(NamedTuple):
    """Everything of a contact from `read_from` (RFC 3339, UTC) to `message_id` is in the log."""

    message_id: int
    read_from: str


class Sweep(NamedTuple):
    """A walk over all contacts that has not come to its end; `cursor` is of the next page.

    `started_at` is RFC 3339 in UTC; None for one that has not begun.
    """

    started_at: str | None
    cursor: str | None
    contacts_done: int


class PullProgress:
    """How far the messages of each contact of a respond.io channel were read, and the sweep."""

    def __init__(self, state: State, respondio_channel_id: int) -> None:
        self._state = state
        self._channel_id = respondio_channel_id

    def watermark(self, contact: str) -> Watermark | None:
        """How far a contact was read; None when never to the end."""
        row = self._state.row(
            "SELECT message_id, read_from FROM pull_watermarks"
            " WHERE respondio_channel_id = ? AND contact = ?",
            [self._channel_id, contact],
        )
        return Watermark(row["message_id"], row["read_from"]) if row else None

    def set_watermark(self, contact: str, reached: Watermark, now: datetime) -> None:
        """Remember how far a contact was read. What another process has read stays read."""
        self._state.execute(
            "INSERT INTO pull_watermarks"
            " (respondio_channel_id, contact, message_id, read_from, pulled_at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (respondio_channel_id, contact) DO UPDATE SET"
            " message_id = CASE WHEN excluded.message_id > pull_watermarks.message_id"
            " THEN excluded.message_id ELSE pull_watermarks.message_id END,"
            " read_from = CASE WHEN excluded.read_from < pull_watermarks.read_from"
            " THEN excluded.read_from ELSE pull_watermarks.read_from END,"
            " pulled_at = excluded.pulled_at",
            [self._channel_id, contact, *reached, to_text(now)],
        )

    def open_sweep(self) -> Sweep | None:
        """The sweep that was interrupted; None when the last one came to its end."""
        row = self._state.row(
            "SELECT started_at, cursor, contacts_done FROM pull_sweeps"
            " WHERE respondio_channel_id = ? AND finished_at IS NULL",
            [self._channel_id],
        )
        return Sweep(row["started_at"], row["cursor"], row["contacts_done"]) if row else None

    def begin_sweep(self, now: datetime) -> None:
        """Begin with the first contact, whatever was swept before."""
        self._state.execute(
            "INSERT INTO pull_sweeps (respondio_channel_id, started_at) VALUES (?, ?)"
            " ON CONFLICT (respondio_channel_id) DO UPDATE SET"
            " started_at = excluded.started_at, cursor = NULL, contacts_done = 0,"
            " finished_at = NULL",
            [self._channel_id, to_text(now)],
        )

    def advance_sweep(self, cursor: str | None, contacts: int, now: datetime) -> None:
        """Remember that so many more contacts are done and which page comes next, if any."""
        self._state.execute(
            "UPDATE pull_sweeps SET cursor = ?, contacts_done = contacts_done + ?,"
            " finished_at = ? WHERE respondio_channel_id = ?",
            [cursor, contacts, None if cursor else to_text(now), self._channel_id],
        )


def payload_row(
    payload_id: int, payload: Payload, via: Via, received_at: str
) -> tuple[object, ...]:
    """The row of the table `payloads`, all columns in order."""
    came = (payload.source, via, received_at)
    return (payload_id, payload.digest, *came, payload.size, payload.body)


def event_row(event_id: int, payload_id: int, event: Event) -> tuple[object, ...]:
    """The row of the table `events`, all columns in order."""
    ours = (event.phone_number_id, event.phone, event.waba_id, event.respondio_channel_id)
    data = canonical(event.data)
    what = (event.kind, event.source, event.at, *ours, event.contact, event.message_id, data)
    return (event_id, event.key, payload_id, *what)


def _event(row: tuple[Any, ...]) -> Event:
    event_id, key, kind, source, *known, data = row
    values: list[Any] = [key, _KINDS[kind], _SOURCES[source], *known, json.loads(data), event_id]
    return Event(*values)


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _hour(moment: datetime) -> str:
    return to_text(moment.replace(minute=0, second=0, microsecond=0))
