"""Channels, facts and evidence in the state file: all of their SQL. Writers need a transaction.

Meta does not say when the app was last opened, so the countdown rests on dated evidence.
"""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import (
    ID_NAMES,
    SUBSCRIBED_APPS,
    TOKEN_PREFIX,
    WABA_PREFIX,
    AccountEvent,
    Channel,
    Details,
    EvidenceKind,
    Fact,
    FormerId,
    Provider,
    Sign,
    address_of,
    addresses_of,
    by_channel,
    names_of,
)
from wacoex_cli.errors import StateError, UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import glimpse
from wacoex_cli.platforms.answers import AN_APP, PORTFOLIO

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.platforms.events import Event

OfKind = tuple[int, EvidenceKind]
"""A channel_id and a kind of evidence."""
# An id that another channel has now says nothing about this one any more: it was a slip.
_FORMER = (
    "SELECT channel_id, name, value, MAX(until) AS until FROM former_ids AS former"
    " WHERE (? IS NULL OR channel_id = ?) AND CASE name"
    " WHEN 'phone_number_id' THEN value NOT IN"
    " (SELECT phone_number_id FROM channels WHERE phone_number_id IS NOT NULL)"
    " WHEN 'respondio_channel_id' THEN value NOT IN (SELECT CAST(respondio_channel_id AS TEXT)"
    " FROM channels WHERE respondio_channel_id IS NOT NULL)"
    " WHEN 'waba_id' THEN NOT EXISTS (SELECT 1 FROM channels AS present"
    " WHERE present.channel_id = former.channel_id AND present.waba_id = former.value)"
    " ELSE 1 END"
    " GROUP BY channel_id, name, value ORDER BY channel_id, MAX(until), name, value"
)
# All facts of a channel as one text: rows of their own take half as long again.
_COLUMNS_OF_FACTS = (
    "'[' || JSON_GROUP_ARRAY(name) || ', [' || GROUP_CONCAT(value) || '], '"
    " || JSON_GROUP_ARRAY(source) || ', ' || JSON_GROUP_ARRAY(observed_at) || ', '"
    " || JSON_GROUP_ARRAY(reason) || ']'"
)
_OWNER = "owner_business_info"
_HOUR = "%Y-%m-%dT%H"
_COLUMNS = (
    "event_key, event, at, source, waba_id, phone_number_id, phone, entry_id, reason,"
    " initiated_by, data"
)
# For each search, by its place: one entry of the key, however much evidence there is.
_SEARCHED = (
    "WITH searched AS (SELECT json_extract(value, '$[0]') AS place,"
    " json_extract(value, '$[1]') AS address, json_extract(value, '$[2]') AS kind,"
    " json_extract(value, '$[3]') AS since, json_extract(value, '$[4]') AS until FROM json_each(?))"
    " SELECT searched.place, e.address, e.kind, e.at, e.source, e.said_by"
    " FROM searched JOIN evidence e ON e.rowid = (SELECT candidate.rowid"
    " FROM evidence AS candidate"
    " WHERE candidate.address = searched.address AND candidate.kind = searched.kind"
    " AND candidate.at >= searched.since AND candidate.at <= searched.until"
    " ORDER BY {order} LIMIT 1)"
)
_NEWEST = _SEARCHED.format(order="candidate.at DESC, candidate.source DESC, candidate.said_by DESC")
_FIRST = _SEARCHED.format(order="candidate.at, candidate.source, candidate.said_by")
FOR_EVER = "9999"
"""Later than any moment as text."""


class Channels:
    """Channels, archived ones too, and the ids they had before."""

    def __init__(self, state: State) -> None:
        self._state = state

    def all_channels(self) -> list[Channel]:
        """Every channel, archived ones too, by name."""
        rows = self._state.rows("SELECT * FROM channels ORDER BY name")
        former = self.former_ids()
        return [_channel(row, former.get(row["channel_id"], ())) for row in rows]

    def all_active(self) -> list[Channel]:
        """Every channel that is not archived, by name; raises UsageError when there is none."""
        known = self.all_channels()
        found = [channel for channel in known if not channel.archived_at]
        if known and not found:
            archived = ", ".join(f"`{channel.name}`" for channel in known)
            raise UsageError(
                f"no channel is in use in {self._state.path}; archived: {archived}",
                hint=f"bring one back with `wacoex channel restore {known[0].name}`, or add one",
                code="channel_missing",
            )
        if not found:
            raise UsageError(
                f"there is no channel in {self._state.path}",
                hint="add one with `wacoex channel add NAME --phone +65...`",
                code="channel_missing",
            )
        return found

    def names(self) -> list[str]:
        """The names of all channels, archived ones too."""
        return [
            str(row["name"]) for row in self._state.rows("SELECT name FROM channels ORDER BY name")
        ]

    def respondio_ids(self) -> frozenset[int]:
        """The ids that channels have at respond.io, archived ones too."""
        rows = self._state.tuples(
            "SELECT respondio_channel_id FROM channels WHERE respondio_channel_id IS NOT NULL"
        )
        return frozenset(number for (number,) in rows)

    def find(self, name: str) -> Channel | None:
        """The channel of exactly that name, archived or not."""
        row = self._state.row("SELECT * FROM channels WHERE name = ?", [name])
        if row is None:
            return None
        channel_id = int(row["channel_id"])
        return _channel(row, self.former_ids(channel_id).get(channel_id, ()))

    def insert(self, name: str, details: Details, now: datetime) -> None:
        """Add a channel."""
        self._state.execute(
            "INSERT INTO channels (channel_id, name, phone, phone_number_id, waba_id,"
            " respondio_channel_id, provider, owner, timezone, partner_app_id, created_at)"
            " SELECT COALESCE(MAX(channel_id), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM channels",
            [name, *_values(details), to_text(now)],
        )

    def update(self, channel_id: int, details: Details) -> None:
        """Replace what a person said about a channel."""
        self._state.execute(
            "UPDATE channels SET phone = ?, phone_number_id = ?, waba_id = ?,"
            " respondio_channel_id = ?, provider = ?, owner = ?, timezone = ?, partner_app_id = ?"
            " WHERE channel_id = ?",
            [*_values(details), channel_id],
        )

    def rename(self, channel_id: int, name: str) -> None:
        """Give a channel another name."""
        self._state.execute("UPDATE channels SET name = ? WHERE channel_id = ?", [name, channel_id])

    def set_archived(self, channel_id: int, moment: datetime | None) -> None:
        """Archive a channel, which is then no longer the one in use; None takes it back."""
        self._state.execute(
            "UPDATE channels SET archived_at = ?, is_in_use = 0 WHERE channel_id = ?",
            [to_text(moment) if moment else None, channel_id],
        )

    def set_in_use(self, channel_id: int) -> None:
        """Make this the channel that is meant when none is named."""
        self._state.execute(
            "UPDATE channels SET is_in_use = CASE WHEN channel_id = ? THEN 1 ELSE 0 END",
            [channel_id],
        )

    def former_ids(self, channel_id: int | None = None) -> dict[int, tuple[FormerId, ...]]:
        """The ids that one channel had before, or all of them, by channel_id, oldest first."""
        found: dict[int, tuple[FormerId, ...]] = {}
        for row in self._state.rows(_FORMER, [channel_id, channel_id]):
            former = FormerId(row["name"], row["value"], row["until"])
            own = int(row["channel_id"])
            found[own] = (*found.get(own, ()), former)
        return found

    def keep_replaced(
        self, channel_id: int, before: Details, after: Details, now: datetime
    ) -> None:
        """Keep each id that another takes the place of, and none that is only taken away."""
        changes = [(name, getattr(before, name), getattr(after, name)) for name in ID_NAMES]
        self._state.execute_many(
            "INSERT INTO former_ids (channel_id, name, value, until) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (channel_id, name, value, until) DO NOTHING",
            [
                (channel_id, name, str(old), to_text(now))
                for name, old, new in changes
                if None not in (old, new) and old != new
            ],
        )


class Facts:
    """What was read about channels, and how many reads that cost."""

    def __init__(self, state: State) -> None:
        self._state = state

    def facts_by_channel(
        self, names: Sequence[str] = (), channels: Iterable[Channel] | None = None
    ) -> dict[int, dict[str, Fact]]:
        """Everything that is stored, or the facts of those names or channels.

        By channel_id, and by name in no order. Raises StateError for a value that is no JSON.
        """
        found = {}
        among: list[tuple[str, Sequence[object]]] = [("name", names)] if names else []
        if channels is not None:
            among.append(("channel_id", [channel.channel_id for channel in channels]))
        where = " AND ".join(f"{column} IN (SELECT value FROM json_each(?))" for column, _ in among)
        for channel_id, text in self._state.tuples(
            f"SELECT channel_id, {_COLUMNS_OF_FACTS} FROM facts WHERE {where or '1 = 1'}"
            " GROUP BY channel_id",
            [json.dumps(list(values)) for _, values in among],
        ):
            found[channel_id] = _facts(channel_id, text)
        return found

    def of_one_business(self, channel_id: int) -> list[int]:
        """That channel and those of the same WABA, or of a WABA of the same portfolio."""
        owners = {
            number: fact.value["id"]
            for number, facts in self.facts_by_channel([f"{WABA_PREFIX}{_OWNER}"]).items()
            for fact in facts.values()
            if fact.reason is None and isinstance(fact.value, dict) and fact.value.get("id")
        }
        found = self._state.rows("SELECT channel_id, waba_id FROM channels ORDER BY channel_id")
        accounts = {row["channel_id"]: row["waba_id"] for row in found}
        return [
            number
            for number in accounts
            if number == channel_id
            or (accounts[number] and accounts[number] == accounts[channel_id])
            or (number in owners and owners[number] == owners.get(channel_id))
        ]

    def other_ids(self) -> dict[str, str]:
        """The ids of portfolios and apps that Meta named, each with what it belongs to."""
        owners, apps = (_OWNER, "on_behalf_of_business_info"), SUBSCRIBED_APPS
        names = [f"{WABA_PREFIX}{name}" for name in (*owners, apps)]
        found: dict[str, str] = {}
        for facts in self.facts_by_channel([*names, f"{TOKEN_PREFIX}app_id"]).values():
            for fact in facts.values():
                rows = fact.value if isinstance(fact.value, list) else [fact.value]
                ids = (row.get("id") if isinstance(row, dict) else row for row in rows)
                is_owner = fact.name in names[: len(owners)]
                found |= {str(it): PORTFOLIO if is_owner else AN_APP for it in ids if it}
        return found

    def store(self, channel_id: int, facts: Iterable[Fact]) -> None:
        """Keep what was read; a newer observation takes the place of the one before."""
        self._state.execute_many(
            "INSERT INTO facts (channel_id, name, value, source, observed_at, reason)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (channel_id, name) DO UPDATE SET"
            " value = excluded.value, source = excluded.source,"
            " observed_at = excluded.observed_at, reason = excluded.reason",
            [(channel_id, name, json.dumps(value), *rest) for name, value, *rest in facts],
        )

    def calls_in_hour(self, now: datetime) -> dict[str, int]:
        """Reads made in the present clock hour, by waba_id."""
        rows = self._state.rows(
            "SELECT waba_id, calls FROM reads WHERE hour = ?", [now.strftime(_HOUR)]
        )
        return {row["waba_id"]: int(row["calls"]) for row in rows}

    def count_calls(self, calls: Mapping[str, int], now: datetime) -> None:
        """Add reads to the present clock hour, and forget the hours before."""
        hour = now.strftime(_HOUR)
        self._state.execute("DELETE FROM reads WHERE hour <> ?", [hour])
        self._state.execute_many(
            "INSERT INTO reads (waba_id, hour, calls) VALUES (?, ?, ?)"
            " ON CONFLICT (waba_id, hour) DO UPDATE SET calls = reads.calls + excluded.calls",
            [(waba_id, hour, count) for waba_id, count in calls.items()],
        )


class AccountEvents:
    """What Meta said about accounts."""

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, events: Iterable[AccountEvent]) -> None:
        """Keep account events; one that is there already stays as it is."""
        self._state.execute_many(
            f"INSERT INTO account_events ({_COLUMNS})"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_key) DO NOTHING",
            list(events),
        )

    def of_channels(self, channels: Iterable[Channel]) -> dict[int, tuple[AccountEvent, ...]]:
        """Those about each of these channels, by channel_id, oldest first."""
        known = list(channels)
        names = json.dumps([name for channel in known for name in names_of(channel)])
        rows = self._state.rows(
            "WITH names AS (SELECT value FROM json_each(?))"
            f" SELECT {_COLUMNS} FROM account_events WHERE phone IN names"
            " OR phone_number_id IN names OR COALESCE(NULLIF(waba_id, ''), entry_id) IN names"
            " ORDER BY at, event_key",
            [names],
        )
        return by_channel(known, [AccountEvent(**row) for row in rows])


class SignSearch(NamedTuple):
    """Evidence of a kind under some addresses; `since` and `until` (RFC 3339, UTC) are included."""

    addresses: Sequence[str]
    kind: EvidenceKind
    since: str = ""
    until: str = FOR_EVER


class Signs:
    """Evidence that the app was opened, by address.

    Every reader looks up single entries of the primary key, however much evidence there is, and
    asks about any number of channels in one statement.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def add(self, signs: Iterable[Sign]) -> None:
        """Keep evidence; what is there already stays as it is."""
        self._state.execute_many(
            "INSERT INTO evidence (address, kind, at, source, said_by) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (address, kind, at, source, said_by) DO NOTHING",
            list(signs),
        )

    def note_numbers(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Keep which phone_number_id Meta uses for which phone (E.164)."""
        self._state.execute_many(
            "INSERT INTO numbers_seen (phone_number_id, phone) VALUES (?, ?)"
            " ON CONFLICT (phone, phone_number_id) DO NOTHING",
            list(pairs),
        )

    def ids_of_phones(self, phones: Collection[str]) -> dict[str, list[str]]:
        """Every phone_number_id that Meta has used for these phones (E.164), by phone, in order."""
        ids: dict[str, list[str]] = {phone: [] for phone in phones}
        for phone, key in self._state.tuples(
            "SELECT phone, phone_number_id FROM numbers_seen"
            " WHERE phone IN (SELECT value FROM json_each(?)) ORDER BY phone, phone_number_id",
            [json.dumps(list(ids))],
        ):
            ids[phone].append(str(key))
        return ids

    def addresses_for(self, channel: Channel) -> tuple[str, ...]:
        """Every address under which something about that channel may be kept."""
        return self.addresses_by_channel([channel])[channel.channel_id]

    def addresses_by_channel(self, channels: Iterable[Channel]) -> dict[int, tuple[str, ...]]:
        """The same for each of these channels, by channel_id."""
        known = list(channels)
        ids = self.ids_of_phones({channel.phone for channel in known})
        return {it.channel_id: addresses_of(it, tuple(ids[it.phone])) for it in known}

    def newest(
        self,
        addresses: Sequence[str],
        kind: EvidenceKind,
        *,
        until: str,
        since: str | None = None,
    ) -> Sign | None:
        """The newest evidence of that kind; `since` and `until` (RFC 3339, UTC) are included."""
        return self.newest_of([SignSearch(addresses, kind, since or "", until)])[0]

    def newest_of(self, searches: Sequence[SignSearch]) -> list[Sign | None]:
        """The newest evidence of each search, in their order."""
        # Of two at the same moment always the same, whichever came in first.
        return [max(found, key=_in_time, default=None) for found in self._found(_NEWEST, searches)]

    def first_of(self, searches: Sequence[SignSearch]) -> list[Sign | None]:
        """The first evidence of each search, in their order."""
        return [min(found, key=_in_time, default=None) for found in self._found(_FIRST, searches)]

    def _found(self, query: str, searches: Sequence[SignSearch]) -> list[list[Sign]]:
        found: list[list[Sign]] = [[] for _ in searches]
        keys = [
            (place, address, search.kind, search.since, search.until)
            for place, search in enumerate(searches)
            for address in search.addresses
        ]
        found_rows = self._state.tuples(query, [json.dumps(keys)]) if keys else ()
        for place, address, kind, at, source, said_by in found_rows:
            found[place].append(Sign(address, EvidenceKind(kind), at, source, said_by))
        return found


class NewestSigns:
    """The newest evidence of each kind of some channels, whose `addresses` by channel_id these are.

    It is read in one statement for all.
    """

    def __init__(self, state: State, addresses: Mapping[int, Sequence[str]]) -> None:
        self._signs, self._addresses = Signs(state), addresses
        sought = [(key, kind) for key in addresses for kind in EvidenceKind]
        self.of_all_times = self._search(sought, FOR_EVER)

    def up_to(self, until: str, kinds: Collection[EvidenceKind]) -> dict[OfKind, Sign]:
        """The newest of these kinds that is not later than `until` (RFC 3339, UTC)."""
        known = {sought: it for sought, it in self.of_all_times.items() if sought[1] in kinds}
        late = [sought for sought, sign in known.items() if sign.at > until]
        for sought in late:
            del known[sought]
        return known | self._search(late, until)

    def _search(self, sought: Sequence[OfKind], until: str) -> dict[OfKind, Sign]:
        searches = [SignSearch(self._addresses[key], kind, until=until) for key, kind in sought]
        found = zip(sought, self._signs.newest_of(searches), strict=True)
        return {pair: sign for pair, sign in found if sign}


class ReadOnce(NamedTuple):
    """What several readers need of the same channels, by channel_id: read once for all of them.

    `addresses` are those of `Signs`, `account_events` those of `AccountEvents`.
    """

    addresses: Mapping[int, tuple[str, ...]]
    account_events: Mapping[int, tuple[AccountEvent, ...]]
    newest: NewestSigns


def read_once(state: State, channels: Sequence[Channel]) -> ReadOnce:
    """Read it."""
    addresses, events = Signs(state).addresses_by_channel(channels), AccountEvents(state)
    return ReadOnce(addresses, events.of_channels(channels), NewestSigns(state, addresses))


def _in_time(sign: Sign) -> tuple[str, ...]:
    return sign.order


def _values(details: Details) -> list[object]:
    return [getattr(details, field.name) for field in dataclasses.fields(Details)]


def _channel(row: Row, former: tuple[FormerId, ...]) -> Channel:
    are_texts = isinstance(row["name"], str) and isinstance(row["phone"], str)
    if not are_texts or row["provider"] not in list(Provider):
        raise StateError(
            f"channel {row['channel_id']} in the state file has an impossible name, phone or"
            " provider",
            hint="another program has changed the state file; correct that row with it",
            code="state_row",
        )
    fields = {**row, "provider": Provider(row["provider"]), "is_in_use": bool(row["is_in_use"])}
    return Channel(**fields, former_ids=former)


def _facts(channel_id: int, text: str) -> dict[str, Fact]:
    try:
        columns = json.loads(text)
    except ValueError:
        columns = []
    # A value such as `1, 2` would move those of all other facts.
    if len(set(map(len, columns))) != 1:
        raise StateError(
            f"a fact of channel {channel_id} in the state file has an impossible value",
            hint="another program has changed the state file; remove that row of `facts` with it",
            code="state_row",
        )
    return dict(zip(columns[0], map(Fact, *columns), strict=True))


def channel_names(*, archived: bool, env_file: Path | None = None) -> list[tuple[str, str]]:
    """Name and phone number of each channel, the archived ones or the others, by name."""
    condition = "IS NOT NULL" if archived else "IS NULL"
    query = f"SELECT name, phone FROM channels WHERE archived_at {condition} ORDER BY name"
    return [(str(name), str(phone)) for name, phone in glimpse(query, env_file=env_file)]


def address_of_event(event: Event) -> str | None:
    """The address of our number that an event is about; None when it names none."""
    return address_of(
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        respondio_channel_id=event.respondio_channel_id,
    )
