"""The log in the state file: what was delivered, the events read out of it, and who read how far.

Methods that change something are called inside a transaction of the state, unless they say
otherwise. Tables:

events(event_id, event_key unique, payload_id, kind, source, at, phone_number_id, phone, waba_id,
    respondio_channel_id, contact, message_id, data)           data: `EventData` as JSON
arrivals(source, hour, payloads, newest_at)                    what came in by itself, by the hour
active_contacts(month, address, contact, by_message, by_echo)  who counts as MAC
cursors(consumer, event_id)                                    the newest event a reader has seen
payloads(payload_id, digest unique, source, via, received_at, size, body)

Moments are RFC 3339 in UTC.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.store import Signs, address_of_event
from wacoex_cli.contacts.persons import person_of
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Event, Kind, Payload, Projection, Source, Via, canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

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
NUMBER = (
    "COALESCE(NULLIF(phone_number_id, ''), NULLIF(phone, ''), CAST(respondio_channel_id AS TEXT),"
    " waba_id)"
)
"""SQL for what an event stands under in the index by number: its number, else its account."""
_DECODER = json.JSONDecoder()
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
# CROSS JOIN: SQLite looks up each number in the index by number, and reads nobody else's events.
_OF_NUMBERS = (
    f"json_each(?) AS wanted CROSS JOIN events WHERE {NUMBER} = wanted.value AND kind = ?"
    " AND at >= ?"
)
_UP_TO = "SELECT COUNT(*) FROM (SELECT 1 FROM events WHERE kind = ? AND at >= ? LIMIT ?) AS first"
# All of a rare kind, or those of each number.
_ALL_OR = f"SELECT {_COLUMNS} FROM events WHERE ? AND kind = ? AND at >= ? UNION ALL"
_OF_EACH = f"{_ALL_OR} SELECT {_COLUMNS} FROM {_OF_NUMBERS} AND NOT ?"
_FEW_OF_EACH = (
    f"{_ALL_OR} SELECT {_COLUMNS} FROM json_each(?) AS wanted CROSS JOIN events ON event_id IN"
    f" (SELECT event_id FROM events WHERE {NUMBER} = wanted.value AND kind = ? AND at >= ?"
    " ORDER BY at DESC, event_id DESC LIMIT ?) WHERE NOT ?"
)
_DELIVERED_AFTER_ALL = (
    f"SELECT DISTINCT message_id FROM {_OF_NUMBERS}"
    " AND message_id IN (SELECT value FROM json_each(?))"
)
# Reading a message is neither sending nor receiving one, and may happen months later.
_REACHED = frozenset({"sent", "delivered"})
# What stands in a delivery status of an answer (Meta: pricing of non-template messages).
_ANSWERS = (
    "SELECT phone_number_id, phone, respondio_channel_id,"
    """ SUM(CASE WHEN data LIKE '%"type":"free_customer_service"%' THEN 1 ELSE 0 END) AS free,"""
    """ SUM(CASE WHEN data LIKE '%"type":"regular"%' THEN 1 ELSE 0 END) AS charged"""
    " FROM {of_whom} AND kind = ? AND at >= ? AND at < ?"
    """ AND data LIKE '%"status":"delivered"%' AND data LIKE '%"category":"service"%'"""
    " GROUP BY phone_number_id, phone, respondio_channel_id"
)
_ANSWERS_OF_ALL = _ANSWERS.format(of_whom="events WHERE 1 = 1")
_ANSWERS_OF_NUMBERS = _ANSWERS.format(
    of_whom=f"json_each(?) AS wanted CROSS JOIN events WHERE {NUMBER} = wanted.value"
)
# Each with an index of its own, which needs the kinds as they stand there.
_WROTE = "events INDEXED BY events_by_contact WHERE kind IN ('message', 'unsupported')"
_ECHOED = "events INDEXED BY echoes_by_contact WHERE kind IN ('echo', 'standby', 'edit')"
_OF_CONTACTS = "contact IN (SELECT value FROM json_each(?))"
_FIRST_SEEN = tuple(
    f"SELECT contact, MIN(at) AS first_at FROM {kinds} AND {_OF_CONTACTS} GROUP BY contact"
    for kinds in (_WROTE, f"{_ECHOED} AND kind <> 'edit'")
)
_EDITS = f"SELECT contact, at FROM {_ECHOED} AND kind = 'edit' AND {_OF_CONTACTS}"
_SAME_DAY_LATER = (
    "SELECT 1 FROM evidence AS later WHERE later.address = evidence.address"
    " AND later.kind = 'echo' AND later.at > evidence.at"
    " AND later.at < SUBSTR(evidence.at, 1, 10) || 'T24'"
)
_PERSON = person_of("active_contacts.contact")
_ACTIVE = (
    "SELECT place, COUNT(*) AS contacts, SUM(CASE WHEN by_message = 0 THEN 1 ELSE 0 END) AS n"
    f" FROM (SELECT json_extract(wanted.value, '$[0]') AS place, {_PERSON} AS person,"
    " MAX(by_message) AS by_message FROM json_each(?) AS wanted CROSS JOIN active_contacts"
    " ON active_contacts.month = ? AND active_contacts.address = json_extract(wanted.value, '$[1]')"
    f" GROUP BY json_extract(wanted.value, '$[0]'), {_PERSON}) AS people GROUP BY place"
)


class Stored(NamedTuple):
    """What happened to one payload: whether it was kept, and how many events of it are new."""

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
        """Count what happened to some payloads."""
        for outcome in outcomes:
            self.stored += outcome.is_new
            self.duplicates += not outcome.is_new
            for kind, count in outcome.events.items():
                self.by_kind[kind] += count

    def to_json(self) -> dict[str, object]:
        """All of its figures, with every kind there is."""
        return {**vars(self), "by_kind": {kind.value: self.by_kind[kind] for kind in Kind}}


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


class Numbers:
    """The keys under which the events of some owners are filed: `addresses` by owner.

    An event that names the id of a number and its phone is filed under the id.
    """

    def __init__(self, state: State, addresses: Mapping[int, Sequence[str]]) -> None:
        self.addresses = addresses
        self._addresses = {owner: frozenset(own) for owner, own in addresses.items()}
        self._owners: dict[str, list[int]] = defaultdict(list)
        of_phone: dict[str, list[int]] = defaultdict(list)
        for owner, own in self._addresses.items():
            for name, _, value in sorted(address.partition(":") for address in own):
                if name in _ADDRESS_CONDITIONS:
                    owners = self._owners[value]
                    # A value may be an id and a phone at once.
                    owners += [owner] if owner not in owners else []
                if name == "phone":
                    of_phone[value].append(owner)
        for phone, ids in Signs(state).ids_of_phones(of_phone).items():
            for phone_number_id in ids:
                owners = self._owners[phone_number_id]
                owners += [owner for owner in of_phone[phone] if owner not in owners]

    @property
    def all_numbers(self) -> list[str]:
        """All of them."""
        return list(self._owners)

    def of(self, owners: AbstractSet[int]) -> list[str]:
        """Those of some owners."""
        return [key for key, known in self._owners.items() if not owners.isdisjoint(known)]

    def by_owner(self) -> dict[int, list[str]]:
        """The numbers of each owner."""
        found: dict[int, list[str]] = {owner: [] for owner in self._addresses}
        for number, owners in self._owners.items():
            for owner in owners:
                found[owner].append(number)
        return found

    def owners(self, number: str, named: Collection[str]) -> list[int]:
        """The owners that an event with this key and these addresses is about."""
        known = self._owners.get(number, ())
        return [owner for owner in known if not self._addresses[owner].isdisjoint(named)]


def named_addresses(event: Event) -> set[str]:
    """The addresses that an event is about: numbers, else the whole account."""
    values = {name: getattr(event, name) for name in _ADDRESS_NAMES}
    found = {f"{name}:{value}" for name, value in values.items() if value is not None}
    if event.waba_id is not None and event.phone_number_id is None and event.phone is None:
        found.add(f"waba_id:{event.waba_id}")
    return found


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
            Stored(False, {}) if events is None else Stored(True, _by_kind(events))
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

    def behind(self, consumers: Iterable[str]) -> list[str]:
        """Those of some consumers that have not looked at the newest event."""
        newest = self._highest("events", "event_id")
        cursors = dict(self._state.tuples("SELECT consumer, event_id FROM cursors"))
        return [consumer for consumer in consumers if cursors.get(consumer, 0) < newest]

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

        There may be none although more follow: call again from there until it is not `behind`.
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

    def with_prefixes(self, prefixes: Sequence[str]) -> list[Event]:
        """The events whose keys begin so, in the order of the prefixes; each ends in a colon."""
        # Joined crosswise, so that each prefix is looked up in the index of the keys.
        rows = self._state.tuples(
            f"SELECT {_COLUMNS} FROM json_each(?) prefix CROSS JOIN events"
            " WHERE event_key > prefix.value"
            " AND event_key < substr(prefix.value, 1, length(prefix.value) - 1) || ';'"
            " ORDER BY prefix.key, event_id",
            [json.dumps(prefixes)],
        )
        return [_event(row) for row in rows]

    def with_keys(self, keys: Collection[str], since: datetime | None = None) -> list[Event]:
        """The events of these keys since a moment, newest first."""
        rows = self._state.tuples(
            f"SELECT {_COLUMNS} FROM events WHERE event_key IN (SELECT value FROM json_each(?))"
            " AND at >= ? ORDER BY at DESC, event_id DESC",
            [json.dumps(sorted(keys)), to_text(since) if since else ""],
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
        With addresses, the projection of the channels has caught up.
        """
        conditions: dict[str, list[object]] = {}
        if since is not None:
            conditions["at >= ?"] = [to_text(since)]
        numbers: list[dict[str, list[object]]] = [{}]
        if addresses is not None:
            named = [address.partition(":") for address in sorted(addresses)]
            known = [(name, value) for name, _, value in named if name in _ADDRESS_CONDITIONS]
            either = " OR ".join(_ADDRESS_CONDITIONS[name] for name, _ in known)
            conditions[f"({either or '1 = 0'})"] = [value for _, value in known]
            own = Numbers(self._state, {0: tuple(addresses)}).all_numbers
            numbers = [{f"{NUMBER} = ?": [number]} for number in own]
            kinds = frozenset(Kind) if kinds is None else kinds
        if kinds is None:
            return itertools.islice(self._in_order(conditions, newest_first, most), most)
        # Kind by kind, and number by number, because only so an index gives them in order.
        runs = [
            self._in_order({"kind = ?": [kind], **number, **conditions}, newest_first, most)
            for kind in sorted(kinds)
            for number in numbers
        ]
        found = heapq.merge(
            *runs, key=lambda event: (event.at, event.event_id), reverse=newest_first
        )
        return itertools.islice(found, most)

    def of_each(
        self, numbers: Numbers, kind: Kind, since: datetime, most: int | None = None
    ) -> dict[int, list[Event]]:
        """Events of a kind since a moment, newest first, by the owner of the numbers.

        At most this many of each. In one statement for all.
        """
        all_numbers, wanted = numbers.all_numbers, [kind, to_text(since)]
        # To read a few events of others is less work than to look for each number.
        is_rare = self._state.value(_UP_TO, [*wanted, len(all_numbers)]) < len(all_numbers)
        sought = [is_rare, *wanted, json.dumps(all_numbers), *wanted]
        if most is None:
            rows = self._state.tuples(_OF_EACH, [*sought, is_rare])
        else:
            rows = self._state.tuples(_FEW_OF_EACH, [*sought, most, is_rare])
        found: dict[int, list[Event]] = {owner: [] for owner in numbers.addresses}
        for event in sorted(map(_event, rows), key=lambda it: (it.at, it.event_id), reverse=True):
            for owner in numbers.owners(number_of(event), named_addresses(event)):
                found[owner].append(event)
        return {owner: events[:most] for owner, events in found.items()}

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

    def answers(self, month: str, numbers: Numbers | None = None) -> list[PricedAnswers]:
        """The answers (service messages) that were delivered in a month, such as `2026-11`, UTC.

        One for each of our numbers as Meta names it, or for those given. Answers in the free
        window after an ad are neither free nor charged ones here (Meta: pricing of non-template
        messages).
        """
        wanted = [Kind.STATUS, f"{month}-", f"{month}-~"]
        if numbers is None:
            rows = self._state.rows(_ANSWERS_OF_ALL, wanted)
        else:
            sought = json.dumps(numbers.all_numbers)
            rows = self._state.rows(_ANSWERS_OF_NUMBERS, [sought, *wanted])
        found = []
        for row in rows:
            known = [name for name in _ADDRESS_NAMES if row[name] is not None]
            own = frozenset(f"{name}:{row[name]}" for name in known)
            found.append(PricedAnswers(own, row["free"], row["charged"]))
        return found

    def first_seen(self, contacts: Collection[str]) -> dict[str, str]:
        """When each of these contacts was first written to or wrote, as far as the log goes."""
        found: dict[str, str] = {}
        for sql in _FIRST_SEEN:
            for row in self._state.rows(sql, [json.dumps(sorted(contacts))]):
                known = found.get(row["contact"], row["first_at"])
                found[row["contact"]] = min(known, row["first_at"])
        return found

    def who_wrote(self, contacts: Collection[str], phone: str, waba_id: str | None) -> set[str]:
        """Those of these contacts (E.164) from whom a message came to a number or its WABA."""
        rows = self._tuples_of(
            "SELECT DISTINCT contact FROM events WHERE kind IN (?, ?)"
            " AND (phone = ? OR waba_id = ?) AND contact IN ({})",
            [Kind.MESSAGE, Kind.UNSUPPORTED, phone, waba_id],
            contacts,
        )
        return {contact for (contact,) in rows}

    def edits(self, contacts: Collection[str], since: datetime) -> list[tuple[str, str]]:
        """When these contacts changed a message since a moment: contact and time."""
        wanted = [json.dumps(sorted(contacts)), to_text(since)]
        rows = self._state.rows(f"{_EDITS} AND at >= ?", wanted)
        return [(row["contact"], row["at"]) for row in rows]

    def delivered_after_all(
        self, message_ids: Collection[str], addresses: Collection[str], since: datetime
    ) -> set[str]:
        """Those of these messages that also came in as ordinary ones, for any of the addresses."""
        numbers = Numbers(self._state, {0: tuple(addresses)}).all_numbers
        rows = self._state.tuples(
            _DELIVERED_AFTER_ALL,
            [json.dumps(numbers), Kind.MESSAGE, to_text(since), json.dumps(sorted(message_ids))],
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
        self._remove_where("active_contacts", "month", old.month)
        for row in state.rows("SELECT DISTINCT address FROM evidence WHERE kind = 'echo'"):
            with state.transaction():
                state.execute(
                    "DELETE FROM evidence WHERE address = ? AND kind = 'echo' AND at < ?"
                    f" AND EXISTS ({_SAME_DAY_LATER})",
                    [row["address"], thinned_before],
                )
        self._remove_where("arrivals", "hour", thinned_before)
        self._remove_where("traffic", "day", thinned_before)

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

    def _remove_where(self, table: str, column: str, before: str) -> None:
        """Remove the rows before a time, which is text, a part of them in each transaction."""
        found = self._state.tuples(f"SELECT rowid FROM {table} WHERE {column} < ?", [before])
        for start in range(0, len(found), _REMOVED_AT_ONCE):
            with self._state.transaction():
                self._state.execute_many(
                    # A new row may have got the number of one that is gone.
                    f"DELETE FROM {table} WHERE rowid = ? AND {column} < ?",
                    [(rowid, before) for (rowid,) in found[start : start + _REMOVED_AT_ONCE]],
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
    log, given, by_name = EventLog(state), 0, {each.name: each for each in projections}
    while behind := log.behind(by_name):
        given += log.project_together([by_name[n] for n in behind], clock.now(), events_at_once)
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

    def addresses(self, month: str, among: Collection[str] | None = None) -> set[str]:
        """The addresses, or those of them that are given, under which somebody was active."""
        if among is None:
            sql, wanted = "SELECT DISTINCT address FROM active_contacts WHERE month = ?", [month]
        else:
            sql = (
                "SELECT value FROM json_each(?) AS wanted WHERE EXISTS (SELECT 1 FROM"
                " active_contacts WHERE month = ? AND address = wanted.value)"
            )
            wanted = [json.dumps(sorted(among)), month]
        return {address for (address,) in self._state.tuples(sql, wanted)}

    def count(self, month: str, groups: Sequence[Collection[str]]) -> list[tuple[int, int]]:
        """How many persons were active under the addresses of each group, how many by echoes only.

        A number in two spellings, or with the id that is joined to it now, is one person.
        """
        places = [(place, address) for place, own in enumerate(groups) for address in sorted(own)]
        rows = self._state.rows(_ACTIVE, [json.dumps(places), month])
        found = {row["place"]: (row["contacts"], row["n"]) for row in rows}
        return [found.get(place, (0, 0)) for place in range(len(groups))]


def _note_active_contacts(state: State, events: Sequence[Event], now: datetime) -> None:
    ActiveContacts(state).add(events)


MAC = Projection(
    "mac",
    frozenset({Kind.MESSAGE, Kind.UNSUPPORTED, Kind.STATUS, Kind.ECHO, Kind.STANDBY}),
    _note_active_contacts,
)
"""Which contacts were active in which month, and whether by echoes only."""


def payload_row(
    payload_id: int, payload: Payload, via: Via, received_at: str
) -> tuple[object, ...]:
    """The row of the table `payloads`, all columns in order."""
    # As mere text: sqlite3 takes three times as long for a member of an enumeration.
    came = (str(payload.source), str(via), received_at)
    return (payload_id, payload.digest, *came, payload.size, payload.body)


def event_row(event_id: int, payload_id: int, event: Event) -> tuple[object, ...]:
    """The row of the table `events`, all columns in order."""
    ours = (event.phone_number_id, event.phone, event.waba_id, event.respondio_channel_id)
    what = (event.at, *ours, event.contact, event.message_id, canonical(event.data))
    return (event_id, event.key, payload_id, str(event.kind), str(event.source), *what)


def _event(row: tuple[Any, ...]) -> Event:
    event_id, key, kind, source, *known, text = row
    data, _ = _DECODER.raw_decode(text)
    return Event._make((key, _KINDS[kind], _SOURCES[source], *known, data, event_id))


def number_of(event: Event) -> str:
    """What NUMBER is of an event; empty when it names nothing of ours."""
    channel_id = event.respondio_channel_id
    text = None if channel_id is None else str(channel_id)
    return event.phone_number_id or event.phone or text or event.waba_id or ""


def _by_kind(events: Iterable[Event]) -> dict[Kind, int]:
    kinds = [event.kind for event in events]
    return {kind: kinds.count(kind) for kind in set(kinds)}


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _hour(moment: datetime) -> str:
    return to_text(moment.replace(minute=0, second=0, microsecond=0))
