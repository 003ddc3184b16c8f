"""What came in for channels over the last weeks: echoes, messages, and unsupported ones."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.facts import reconnections
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import AccountEvents, Signs
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Kind, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
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
    log, since = EventLog(state), now - FLOW_WINDOW
    all_echoes = log.echo_days(since)
    all_inbound = log.inbound_days(since) if all_echoes else []
    found = {}
    for channel in channels:
        own = frozenset(Signs(state).addresses_for(channel))
        echoes = [day for day in all_echoes if day.addresses & own]
        messages: dict[str, int] = {}
        for day in all_inbound:
            if day.addresses & own:
                # Meta and respond.io may report the same messages.
                messages[day.day] = max(messages.get(day.day, 0), day.messages)
        found[channel.channel_id] = EchoFlow(
            tuple(sorted({day.day for day in echoes})),
            max((day.newest_at for day in echoes), default=None),
            tuple(sorted(messages.items())),
        )
    return found


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
    found = EventLog(state).find(kinds=(Kind.UNSUPPORTED,), since=since)
    unsupported = [event for event in found if event.at <= to_text(now)]
    if not unsupported:
        return {channel.channel_id: Summary() for channel in channels}
    around = _Around.of(state, unsupported, since)
    account = AccountEvents(state).of_channels(channels)
    summed_up = {}
    for channel in channels:
        addresses = frozenset(Signs(state).addresses_for(channel))
        own = _each_once(event for event in unsupported if addresses & _addresses(event))
        left = [event for event in own if event.message_id not in around.resolved]
        reconnected = reconnections(channel, account[channel.channel_id])
        signs = _Signs(state, tuple(sorted(addresses)), tuple(sign.at for sign in reconnected))
        messages = tuple(_read(event, around, signs) for event in left[:_MOST_PER_CHANNEL])
        summed_up[channel.channel_id] = Summary(messages, len(left), len(own) - len(left))
    return summed_up


class _Around(NamedTuple):
    """What the log says about the same messages and the same people."""

    resolved: set[str]
    first_seen: Mapping[str, str]
    log_began_at: datetime | None
    edits: Mapping[str, list[datetime]]

    @classmethod
    def of(cls, state: State, events: Sequence[Event], since: datetime) -> _Around:
        log, edits = EventLog(state), defaultdict(list)
        for edit in log.find(kinds=(Kind.EDIT,), since=since - _EDIT_COMES_WITHIN):
            edits[edit.contact or ""].append(from_text(edit.at))
        return cls(
            log.delivered_after_all({one.message_id for one in events if one.message_id}, since),
            log.first_seen({one.contact for one in events if one.contact}),
            log.oldest_at((Kind.ECHO, Kind.MESSAGE)),
            edits,
        )

    def is_first(self, event: Event) -> bool | None:
        at, began = from_text(event.at), self.log_began_at
        first = self.first_seen.get(event.contact or "")
        if first is None:
            return None
        if from_text(first) < at - _SAME_MESSAGE_WITHIN:
            return False
        return True if began is not None and at - began >= _LOG_KNOWS_AFTER else None

    def is_edit(self, event: Event) -> bool:
        at = from_text(event.at)
        edits = self.edits.get(event.contact, ()) if event.contact else ()
        return any(abs(at - edit) <= _EDIT_COMES_WITHIN for edit in edits)


class _Signs(NamedTuple):
    """When the app of one channel was seen to be in use, or was connected."""

    state: State
    addresses: tuple[str, ...]
    reconnected: tuple[str, ...]

    def quiet_days(self, at: datetime) -> float | None:
        # What ends a silence comes within a day of the messages that are then caught up with.
        until = to_text(at - _SYNC_TAKES_AT_MOST)
        kept = (self._newest(kind, until) for kind in EvidenceKind)
        signs = [*filter(None, kept), *(moment for moment in self.reconnected if moment <= until)]
        return (at - from_text(max(signs))).total_seconds() / 86_400 if signs else None

    def is_after_connecting(self, at: datetime) -> bool:
        since, until = to_text(at - _SYNC_TAKES_AT_MOST), to_text(at)
        kept = self._newest(EvidenceKind.CONNECTED, until)
        return any(since <= moment <= until for moment in (*self.reconnected, kept) if moment)

    def _newest(self, kind: EvidenceKind, until: str) -> str | None:
        found = Signs(self.state).newest(self.addresses, kind, until=until)
        return found.at if found else None


def _each_once(events: Iterable[Event]) -> list[Event]:
    """Newest first. Meta and respond.io may report the same message; Meta says more about it."""
    found: dict[str, Event] = {}
    for event in events:
        name = event.message_id or event.key
        if name not in found or event.source is Source.META:
            found[name] = event
    return sorted(found.values(), key=lambda event: (event.at, event.key), reverse=True)


def _read(event: Event, around: _Around, signs: _Signs) -> Unsupported:
    data, at = event.data, from_text(event.at)
    return Unsupported(
        at=event.at,
        source=event.source,
        code=data.get("code"),
        type=data.get("unsupported_type"),
        is_referred=bool(data.get("from_ad") or data.get("has_referral")),
        is_first=around.is_first(event),
        quiet_days=signs.quiet_days(at),
        is_after_connecting=signs.is_after_connecting(at),
        is_edit=around.is_edit(event),
    )


def _addresses(event: Event) -> frozenset[str]:
    names = ("phone_number_id", "phone", "respondio_channel_id")
    known = {name: getattr(event, name) for name in names}
    return frozenset(f"{name}:{value}" for name, value in known.items() if value is not None)
