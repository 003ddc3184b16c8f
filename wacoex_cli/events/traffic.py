"""What came in for channels over the last weeks: echoes, messages, and unsupported ones."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.connection import reconnections
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Kind, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.store import Day
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event

FLOW_WINDOW = timedelta(days=28)
"""How far back echoes and messages are counted."""


@dataclass(frozen=True)
class EchoFlow:
    """The days (`2026-11-07`, UTC) of the last 28 with echoes, and with messages of contacts.

    `last_echo_at` is RFC 3339 in UTC; None when there was no echo.
    """

    echo_days: tuple[str, ...] = ()
    last_echo_at: str | None = None
    inbound: tuple[tuple[str, int], ...] = ()


def flows(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, EchoFlow]:
    """How echoes and messages of contacts came in, by channel_id."""
    since = now - FLOW_WINDOW
    echoes = EventLog(state).echo_days(since)
    inbound = EventLog(state).inbound_days(since) if echoes else []
    found = {}
    for one in channels:
        own = frozenset(Signs(state).addresses_for(one))
        found[one.channel_id] = _flow(
            [day for day in echoes if day.addresses & own],
            [day for day in inbound if day.addresses & own],
        )
    return found


def _flow(echoes: Sequence[Day], inbound: Sequence[Day]) -> EchoFlow:
    messages: dict[str, int] = {}
    for one in inbound:
        # Meta and respond.io may tell the same messages.
        messages[one.day] = max(messages.get(one.day, 0), one.messages)
    return EchoFlow(
        tuple(sorted({one.day for one in echoes})),
        max((one.newest_at for one in echoes), default=None),
        tuple(sorted(messages.items())),
    )


LOOKED_AT = timedelta(days=7)
"""How far back unsupported messages are looked at."""

_MOST_PER_CHANNEL = 100
_SYNC_TAKES_AT_MOST = timedelta(hours=24)
_EDIT_COMES_WITHIN = timedelta(minutes=1)
_SAME_MESSAGE_WITHIN = timedelta(minutes=1)
# Whom the log has never seen is new only if the log had time to see the others.
_LOG_KNOWS_AFTER = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """One message whose content did not pass. `at` is RFC 3339 in UTC.

    `code` and `type` are Meta's; respond.io tells neither. `is_first` is whether the contact was
    never seen before, None when the log is too young to tell. `quiet_days` is for how long no sign
    of the app was seen before it, not counting the last day; None when no sign was ever seen.
    `is_after_connecting` is within 24 hours of it. `is_edit` is whether an edit came with it.
    """

    at: str
    source: Source
    code: int | None = None
    type: str | None = None
    is_referred: bool = False
    is_first: bool | None = None
    quiet_days: float | None = None
    is_after_connecting: bool = False
    is_edit: bool = False


@dataclass(frozen=True)
class Summary:
    """The unsupported messages of one channel in the last 7 days, newest first.

    `in_all` counts those too that are too many to look at; `resolved` came through later.
    """

    messages: tuple[Unsupported, ...] = ()
    in_all: int = 0
    resolved: int = 0


def summaries(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Summary]:
    """What came in unsupported, by channel_id; the projection of the channels has caught up."""
    since = now - LOOKED_AT
    told = list(EventLog(state).find(kinds=(Kind.UNSUPPORTED,), since=since))
    told = [one for one in told if one.at <= to_text(now)]
    if not told:
        return {one.channel_id: Summary() for one in channels}
    around = _Around.of(state, told, since)
    account = AccountEvents(state).of_channels(channels)
    found = {}
    for channel in channels:
        addresses = frozenset(Signs(state).addresses_for(channel))
        own = [one for one in told if addresses & _addresses(one)]
        reconnected = reconnections(channel, account[channel.channel_id])
        signs = _Signs(state, tuple(sorted(addresses)), tuple(one.at for one in reconnected))
        found[channel.channel_id] = _summary(own, around, signs)
    return found


@dataclass(frozen=True)
class _Around:
    """What the log says about the same messages and the same people."""

    resolved: set[str]
    first_seen: Mapping[str, str]
    log_began_at: datetime | None
    edits: Mapping[str, list[datetime]]

    @classmethod
    def of(cls, state: State, told: Sequence[Event], since: datetime) -> _Around:
        edits: dict[str, list[datetime]] = defaultdict(list)
        for one in EventLog(state).find(kinds=(Kind.EDIT,), since=since - _EDIT_COMES_WITHIN):
            edits[one.contact or ""].append(from_text(one.at))
        message_ids = {one.message_id for one in told if one.message_id}
        return cls(
            EventLog(state).delivered_after_all(message_ids, since),
            EventLog(state).first_seen({one.contact for one in told if one.contact}),
            EventLog(state).oldest_at((Kind.ECHO, Kind.MESSAGE)),
            edits,
        )

    def is_first(self, one: Event) -> bool | None:
        at, began = from_text(one.at), self.log_began_at
        first = self.first_seen.get(one.contact or "")
        if first is None:
            return None
        if from_text(first) < at - _SAME_MESSAGE_WITHIN:
            return False
        return True if began is not None and at - began >= _LOG_KNOWS_AFTER else None

    def is_edit(self, one: Event) -> bool:
        at = from_text(one.at)
        edits = self.edits.get(one.contact or "", ())
        return bool(one.contact) and any(abs(at - edit) <= _EDIT_COMES_WITHIN for edit in edits)


@dataclass(frozen=True)
class _Signs:
    """When the app of one channel was seen to be in use, or was connected."""

    state: State
    addresses: tuple[str, ...]
    reconnected: tuple[str, ...]

    def quiet_days(self, at: datetime) -> float | None:
        # What ends a silence comes within a day of the messages that are then caught up with.
        until = to_text(at - _SYNC_TAKES_AT_MOST)
        kept = (self._newest(kind, until) for kind in EvidenceKind)
        signs = [*filter(None, kept), *(one for one in self.reconnected if one <= until)]
        return (at - from_text(max(signs))).total_seconds() / 86_400 if signs else None

    def is_after_connecting(self, at: datetime) -> bool:
        since, until = to_text(at - _SYNC_TAKES_AT_MOST), to_text(at)
        kept = self._newest(EvidenceKind.CONNECTED, until)
        connected = [*self.reconnected, *([kept] if kept else [])]
        return any(since <= one <= until for one in connected)

    def _newest(self, kind: EvidenceKind, until: str) -> str | None:
        found = Signs(self.state).newest(self.addresses, kind, until=until)
        return found.at if found else None


def _summary(told: Iterable[Event], around: _Around, signs: _Signs) -> Summary:
    once = _each_once(told)
    left = [one for one in once if one.message_id not in around.resolved]
    messages = tuple(_read(one, around, signs) for one in left[:_MOST_PER_CHANNEL])
    return Summary(messages, in_all=len(left), resolved=len(once) - len(left))


def _each_once(told: Iterable[Event]) -> list[Event]:
    """Meta and respond.io may tell the same message; Meta says more about it."""
    found: dict[str, Event] = {}
    for one in told:
        name = one.message_id or one.key
        if name not in found or one.source is Source.META:
            found[name] = one
    return sorted(found.values(), key=lambda one: (one.at, one.key), reverse=True)


def _read(one: Event, around: _Around, signs: _Signs) -> Unsupported:
    data, at = one.data, from_text(one.at)
    return Unsupported(
        at=one.at,
        source=one.source,
        code=data.get("code"),
        type=data.get("unsupported_type"),
        is_referred=bool(data.get("from_ad") or data.get("has_referral")),
        is_first=around.is_first(one),
        quiet_days=signs.quiet_days(at),
        is_after_connecting=signs.is_after_connecting(at),
        is_edit=around.is_edit(one),
    )


def _addresses(one: Event) -> frozenset[str]:
    known = {
        "phone_number_id": one.phone_number_id,
        "phone": one.phone,
        "respondio_channel_id": one.respondio_channel_id,
    }
    return frozenset(f"{name}:{value}" for name, value in known.items() if value is not None)
