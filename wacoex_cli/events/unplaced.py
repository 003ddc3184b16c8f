"""Events that fit no channel: which number they named, what they were about, and how many.

Table unplaced_events(phone_number_id, phone, waba_id, respondio_channel_id, source, kind, said,
events, newest_at, last_event_id): a row for each number and sort of event; what was not named is
empty. Whether a row still fits no channel is decided when it is read, so that a channel which is
added later ends it. Moments are RFC 3339 in UTC.
"""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import WABA_PREFIX, AccountEvent, concerns, names_of
from wacoex_cli.channels.store import Channels, Facts, Signs
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.masking import mask
from wacoex_cli.platforms.events import Event, Kind, Projection, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

COUNTS_FOR = timedelta(days=30)
"""How long an event counts that fits no channel, or was not understood."""
_OWNER = f"{WABA_PREFIX}owner_business_info"
_MOST_SHOWN = 5
_SHOWN_DIGITS = 4
_KEY = ("phone_number_id", "phone", "waba_id", "respondio_channel_id", "source", "kind", "said")


class Named(NamedTuple):
    """What an event named of us; empty where it named nothing."""

    phone_number_id: str = ""
    phone: str = ""
    waba_id: str = ""
    respondio_channel_id: str = ""

    @property
    def address(self) -> str:
        """The number it is about, as far as one is named, for a person: masked."""
        parts = [mask(self.phone)] if self.phone else []
        ids = {
            "phone number id": self.phone_number_id,
            "WABA": self.waba_id,
            "respond.io channel": self.respondio_channel_id,
        }
        parts += [f"{name} {_masked_id(value)}" for name, value in ids.items() if value]
        return ", ".join(parts) or "neither a number nor an account"


def named_by(event: Event) -> Named:
    """What an event named of us; the id of the entry is that of the WABA where no other is named.

    Source: "Meta: account_update".
    """
    channel_id = event.respondio_channel_id
    return Named(
        event.phone_number_id or "",
        event.phone or "",
        event.waba_id or event.data.get("entry_id") or "",
        "" if channel_id is None else str(channel_id),
    )


def _masked_id(text: str) -> str:
    """The last four digits of an id."""
    hidden = max(0, len(text) - _SHOWN_DIGITS)
    return f"{'*' * min(hidden, _SHOWN_DIGITS)}{text[hidden:]}"


class Places:
    """Which channels the events are about. Archived channels have their place too.

    The channels are read when the first event is looked for.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def of(self, named: Named, kind: Kind, at: str) -> tuple[str, ...]:
        """The names of the channels that an event of that moment (RFC 3339, UTC) is about."""
        if kind is Kind.ACCOUNT_UPDATE:
            names = (named.waba_id or None, named.phone_number_id or None, named.phone or None)
            event = AccountEvent("", "", at, "meta", *names)
            near = {it.channel_id: it for name in names if name for it in self._by_name[name]}
            found = sorted(it.name for it in near.values() if concerns(it, event))
            if found or named.phone or named.phone_number_id:
                return tuple(found)
        addresses = [
            f"{name}:{value}"
            for name, value in named._asdict().items()
            if value and name != "waba_id"
        ]
        places = [channel for each in addresses for channel in self._by_address[each]]
        if not addresses:
            places = self._by_account[named.waba_id]
        return tuple(dict.fromkeys(channel.name for channel in places))

    @functools.cached_property
    def _channels(self) -> list[Channel]:
        return Channels(self._state).all_channels()

    @functools.cached_property
    def _by_name(self) -> dict[str, list[Channel]]:
        """By each number and id that an account event may name."""
        found = defaultdict(list)
        for channel in self._channels:
            for name in names_of(channel):
                found[name].append(channel)
        return found

    @functools.cached_property
    def _by_address(self) -> dict[str, list[Channel]]:
        addresses = Signs(self._state).addresses_by_channel(self._channels)
        found = defaultdict(list)
        for channel in self._channels:
            for address in addresses[channel.channel_id]:
                found[address].append(channel)
        return found

    @functools.cached_property
    def _by_account(self) -> dict[str, list[Channel]]:
        """By the accounts that a channel has or had, and by the portfolio that owns it."""
        owners, found = Facts(self._state).facts_by_channel([_OWNER]), defaultdict(list)
        for channel in self._channels:
            owner = owners.get(channel.channel_id, {}).get(_OWNER)
            named = owner.value if owner else None
            portfolio = named.get("id") if isinstance(named, dict) else None
            for account in {channel.waba_id, *channel.former("waba_id"), portfolio} - {None}:
                found[str(account)].append(channel)
        return found


class _Present:
    """Numbers that channels have now: nearly all events name one, and need no other search."""

    def __init__(self, state: State) -> None:
        rows = state.tuples("SELECT phone, phone_number_id, respondio_channel_id FROM channels")
        self._phones = {phone for phone, _, _ in rows}
        self._ids = {number_id for _, number_id, _ in rows}
        self._respondio_ids = {str(channel_id) for _, _, channel_id in rows}

    def has(self, named: Named) -> bool:
        """Whether an event that named this is about one of them; the phone decides."""
        if named.phone:
            return named.phone in self._phones
        if named.phone_number_id:
            return named.phone_number_id in self._ids
        return named.respondio_channel_id in self._respondio_ids


def _project(state: State, events: Sequence[Event], now: datetime) -> None:
    del now
    places, present = Places(state), _Present(state)
    new: dict[tuple[str, ...], list[Event]] = defaultdict(list)
    # Only for an account update the moment matters too.
    places_of_others: dict[Named, tuple[str, ...]] = {}
    for event in events:
        named = named_by(event)
        if present.has(named):
            continue
        if event.kind is Kind.ACCOUNT_UPDATE:
            found = places.of(named, event.kind, event.at)
        elif named in places_of_others:
            found = places_of_others[named]
        else:
            found = places_of_others[named] = places.of(named, event.kind, event.at)
        if found or _says_nothing_of_us(event, named):
            continue
        new[(*named, event.source.value, event.kind.value, _said(event))].append(event)
    for key, same in new.items():
        where = " AND ".join(f"{name} = ?" for name in _KEY)
        row = state.row(
            f"SELECT events, newest_at, last_event_id FROM unplaced_events WHERE {where}", key
        )
        count, newest, last = (
            (row["events"], row["newest_at"], row["last_event_id"]) if row else (0, "", 0)
        )
        # An event that is given again is not counted again.
        fresh = [event for event in same if event.event_id > last]
        state.execute(
            f"INSERT INTO unplaced_events ({', '.join(_KEY)}, events, newest_at, last_event_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            f" ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET events = excluded.events,"
            " newest_at = excluded.newest_at, last_event_id = excluded.last_event_id",
            [
                *key,
                count + len(fresh),
                max(newest, *(event.at for event in same)),
                max(last, *(event.event_id for event in same)),
            ],
        )


def _says_nothing_of_us(event: Event, named: Named) -> bool:
    """Whether it is about no number at all, such as a test call or a new contact."""
    is_vague = event.kind is Kind.OTHER and not event.data.get("unclear")
    return not any(named) and (is_vague or event.source is Source.RESPONDIO)


def _said(event: Event) -> str:
    """The word or the field that says what it is about."""
    data = event.data
    if event.kind is Kind.OTHER:
        return data.get("field") or ""
    return data.get("event") or "" if event.kind is Kind.ACCOUNT_UPDATE else ""


UNPLACED = Projection("unplaced", frozenset(Kind), _project)
"""Events that fit no channel."""


class Unplaced(NamedTuple):
    """What came for one number that is no channel here. `newest_at` is RFC 3339 in UTC."""

    named: Named
    counts: Mapping[str, int]
    newest_at: str
    source: str


def unplaced_events(state: State, places: Places, now: datetime) -> list[Unplaced]:
    """What came within 30 days for numbers that are no channel now, the newest first."""
    counts: dict[Named, Counter[str]] = defaultdict(Counter)
    newest: dict[Named, tuple[str, str]] = {}
    for row in state.rows(
        "SELECT * FROM unplaced_events WHERE newest_at > ? AND newest_at <= ?",
        [to_text(now - COUNTS_FOR), to_text(now)],
    ):
        named = Named(*(row[name] for name in Named._fields))
        if places.of(named, Kind(row["kind"]), row["newest_at"]):
            continue
        counts[named][" ".join(filter(None, (row["kind"], row["said"])))] += row["events"]
        newest[named] = max(newest.get(named, ("", "")), (row["newest_at"], row["source"]))
    found = [Unplaced(named, counts[named], *newest[named]) for named in newest]
    return sorted(found, key=lambda each: (each.newest_at, each.named), reverse=True)


def check_placed(unplaced: Sequence[Unplaced]) -> list[Finding]:
    """WX212: events came for numbers or accounts that are no channel here."""
    if not unplaced:
        return []
    evidence = []
    for each in unplaced[:_MOST_SHOWN]:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(each.counts.items()))
        text = f"{counts}: about {each.named.address}"
        evidence.append(Evidence(text, each.source, each.newest_at))
    for first_left_out in unplaced[_MOST_SHOWN:][:1]:
        text = f"and about {len(unplaced) - _MOST_SHOWN} numbers or accounts more"
        evidence.append(Evidence(text, "wacoex", first_left_out.newest_at))
    count = sum(sum(each.counts.values()) for each in unplaced)
    events = "1 event fits" if count == 1 else f"{count} events fit"
    return [Finding("WX212", Severity.WARNING, None, evidence, events=events)]
