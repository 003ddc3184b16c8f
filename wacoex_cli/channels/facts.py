"""What is known of a channel: its facts, how it is connected, and what could not be asked."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from wacoex_cli.channels.model import (
    BUSINESS_NAME,
    RE_REGISTERED,
    SUBSCRIBED_APPS,
    VISIBLE,
    WABA_PREFIX,
    WABA_VISIBLE,
    AccountEvent,
    EvidenceKind,
    Sighting,
    Sign,
    channel_address,
    in_order,
    values_of,
)
from wacoex_cli.channels.store import AccountEvents, Facts, Signs, address_of_event
from wacoex_cli.errors import WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.answers import App
from wacoex_cli.platforms.events import Event, Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.answers import ListedNumber, User
    from wacoex_cli.platforms.respondio import WorkspaceChannel

_SIGNS = {Kind.ECHO: EvidenceKind.ECHO, Kind.CONTACT_SYNC: EvidenceKind.PHONEBOOK}
# All others say something about a channel, or name our number.
_OTHER_KINDS = {
    *(Kind.TEMPLATE_STATUS, Kind.TEMPLATE_CATEGORY, Kind.TEMPLATE_TEXT),
    *(Kind.QUALITY, Kind.CAPABILITY, Kind.ALERT),
}
_COLUMNS_OF_ITS_OWN = frozenset({"event", "entry_id", "reason", "initiated_by"})
FACTS = ("last_onboarded_time", "is_on_biz_app", "status", "platform_type")
"""The facts that `connection_of` looks at."""
SETTLES_WITHIN = timedelta(hours=24)
CANNOT_SEND = frozenset(
    {"DISCONNECTED", "UNVERIFIED", "RESTRICTED", "BANNED", "MIGRATED", "DELETED", "PENDING"}
)
"""Values of `status` of a number that cannot send (Meta: phone number)."""
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_OFFBOARDED = "ACCOUNT_OFFBOARDED"
_REMOVED = "PARTNER_REMOVED"
_RECONNECTED = "ACCOUNT_RECONNECTED"
CONNECTING = frozenset({"PARTNER_ADDED", _RECONNECTED})
"""The account events that tell of a connection."""
Part = Literal["number", "token", "account", "apps", "respondio"]
"""What may fail when it is asked about a channel."""
_APPS = f"{WABA_PREFIX}{SUBSCRIBED_APPS}"
# What `ChannelFacts` makes of its facts once, and again when there are others.
_MADE_OF_FACTS = frozenset({"values", "seen"})


class ConnectionState(StrEnum):
    """How a channel is connected."""

    SETTLING = "settling"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    REMOVED = "removed"
    GONE = "gone"
    ARCHIVED = "archived"


_LOSSES = {
    ConnectionState.RECONNECTING: "WX204",
    ConnectionState.REMOVED: "WX203",
    ConnectionState.GONE: "WX215",
}


class Connection(NamedTuple):
    """How a channel is connected and since when (RFC 3339, UTC); None where nothing says.

    `reason` and `initiated_by` are Meta's words for a loss, where it gave them.
    """

    state: ConnectionState | None = None
    since: str | None = None
    reason: str | None = None
    initiated_by: str | None = None

    @property
    def is_lost(self) -> bool:
        """Nothing can be sent or received through the API."""
        return self.state in _LOSSES

    @property
    def loss_finding(self) -> str:
        """The id of the finding that says what to do about a loss; empty when there is none."""
        return _LOSSES.get(self.state, "") if self.state else ""

    def to_json(self) -> dict[str, object]:
        """The keys that commands show about it."""
        return {
            "connection": self.state.value if self.state else None,
            "connection_since": self.since,
            "connection_reason": self.reason,
            "connection_initiated_by": self.initiated_by,
        }


def connection_of(
    channel: Channel,
    events: Iterable[AccountEvent],
    values: Mapping[str, Any],
    now: datetime,
    gone_since: str | None = None,
) -> Connection:
    """How a channel is connected, from the account events about it and its stored facts.

    A loss holds until Meta reports a connection that is not older: facts may look well for a
    while after one (Meta: account_update). The order of the events does not matter. `gone_since`
    is when Meta stopped showing the number (RFC 3339, UTC); an event knows more about a loss.
    """
    if channel.archived_at:
        return Connection(ConnectionState.ARCHIVED, channel.archived_at)
    ordered = sorted(
        events, key=lambda it: (it.at, it.event, it.reason or "", it.initiated_by or "")
    )
    onboarded = connected_at(values)
    gained = max((event.at for event in ordered if event.event in CONNECTING), default="")
    connected = max(gained, to_text(onboarded) if onboarded else "")
    # Of the same moment: a number comes back after it was lost, so coming back is the later.
    loss = _loss([event for event in ordered if event.at > connected])
    if loss:
        return loss
    if gone_since and gone_since > connected:
        return Connection(ConnectionState.GONE, gone_since)
    state = connection(values, now)
    # Facts that were given and prove no connection are believed once they cannot lag.
    may_lag = bool(gained) and now - from_text(gained) < SETTLES_WITHIN
    if state is None and gained and (may_lag or "status" not in values):
        state = ConnectionState.CONNECTED
    return Connection(state, connected or None) if state else Connection()


def reconnections(channel: Channel, events: Iterable[AccountEvent]) -> tuple[Sign, ...]:
    """Evidence that the app was open: WhatsApp brought the partner back after a registration."""
    address = channel_address(channel.channel_id)
    return tuple(
        Sign(address, EvidenceKind.CONNECTED, event.at, event.source, event.event)
        for event in events
        if event.event == _RECONNECTED
    )


def _loss(events: Sequence[AccountEvent]) -> Connection | None:
    """What happened since the number was last connected; None when it was not lost."""
    removals = [event for event in events if event.event == _REMOVED]
    offboarded = next((event for event in reversed(events) if event.event == _OFFBOARDED), None)
    removed = removals[-1] if removals else None
    # Meta did not always give a reason; beside an offboarding the registration is the likely one.
    healing = {None, RE_REGISTERED}
    if offboarded and not any(
        removal.at >= offboarded.at and removal.reason not in healing for removal in removals
    ):
        beside = removed if removed and removed.reason in healing else offboarded
        return Connection(
            ConnectionState.RECONNECTING, offboarded.at, beside.reason, beside.initiated_by
        )
    if removed:
        return Connection(ConnectionState.REMOVED, removed.at, removed.reason, removed.initiated_by)
    return None


def connected_at(values: Mapping[str, Any]) -> datetime | None:
    """When the number was last onboarded, as Meta says; None without a usable time."""
    return moment_of(values.get("last_onboarded_time"))


def moment_of(value: object) -> datetime | None:
    """A moment that Meta gives as Unix seconds or as ISO 8601; None when it is neither."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_settling(values: Mapping[str, Any], now: datetime) -> bool:
    """Connected less than 24 hours ago: what Meta says of such a number lags behind."""
    moment = connected_at(values)
    return moment is not None and -_CLOCKS_DIFFER_AT_MOST <= now - moment < SETTLES_WITHIN


def connection(values: Mapping[str, Any], now: datetime) -> ConnectionState | None:
    """`settling`, `connected`, or None where the facts do not prove either."""
    if is_settling(values, now):
        return ConnectionState.SETTLING
    is_connected = (
        values.get("is_on_biz_app") is True
        and values.get("status") == "CONNECTED"
        and values.get("platform_type", "CLOUD_API") == "CLOUD_API"
    )
    return ConnectionState.CONNECTED if is_connected else None


class AppsSeen(NamedTuple):
    """What Meta shows of a WABA's partners beside its fields. `observed_at` is RFC 3339 in UTC.

    `apps` is None where that could not be read; `why` says why, and without an `error` the
    configured access cannot give it at all. `users` is None where they are not shown.
    """

    observed_at: str
    apps: tuple[App, ...] | None = None
    users: tuple[User, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None

    @property
    def is_available(self) -> bool:
        """Whether Meta could be asked at all."""
        return self.apps is not None or self.error is not None


class WorkspaceList(NamedTuple):
    """The channels of a respond.io workspace. `channels` is None where they could not be read."""

    observed_at: str
    channels: tuple[WorkspaceChannel, ...] | None = None
    why: str | None = None
    error: WacoexError | None = None


@dataclass
class ChannelFacts:
    """What is known of one channel at `now`, from the state file and from asking just now.

    `facts` are the newest known, by name in the order of lists, `read` those of just now,
    `failures` what could not be asked.
    `is_known` is whether the number itself was read, or so short a while ago that it counts.
    `apps` and `listed` are None where they were not asked for, `numbers` (those of the WABA)
    unless Meta hides the channel's own. `sightings` say when Meta showed number and account, by the
    name of the fact. `moved_to` is the account and the id that the number was found under instead.
    """

    channel: Channel
    now: datetime
    facts: dict[str, Fact] = field(default_factory=dict)
    account_events: tuple[AccountEvent, ...] = ()
    read: list[Fact] = field(default_factory=list)
    failures: dict[Part, WacoexError] = field(default_factory=dict)
    is_known: bool = False
    lacks_token: bool = False
    lacks_app_secret: bool = False
    apps: AppsSeen | None = None
    numbers: tuple[ListedNumber, ...] | None = None
    listed: WorkspaceList | None = None
    sightings: dict[str, Sighting] = field(default_factory=dict)
    moved_to: tuple[str, str] | None = None

    @property
    def name(self) -> str:
        """The channel's name."""
        return self.channel.name

    @functools.cached_property
    def now_text(self) -> str:
        """`now` as RFC 3339 in UTC."""
        return to_text(self.now)

    @functools.cached_property
    def values(self) -> Mapping[str, Any]:
        """The values of the facts that were given, by name."""
        return values_of(self.facts.values())

    @property
    def connection(self) -> Connection:
        """How the channel is connected; facts of a number that is not known now do not count."""
        values = self.values if self.is_known else {}
        sighting = self.sighting(VISIBLE)
        gone_since = sighting.gone_since if sighting and not self.moved_to else None
        return connection_of(self.channel, self.account_events, values, self.now, gone_since)

    def sighting(self, name: str) -> Sighting | None:
        """When Meta showed the number (VISIBLE) or the account (WABA_VISIBLE) that is stored now.

        None where it never did, under the present id.
        """
        found, channel = self.sightings.get(name), self.channel
        object_id = channel.phone_number_id if name == VISIBLE else channel.waba_id
        return found if found and found.object_id == object_id else None

    @property
    def lost_account(self) -> Sighting | None:
        """The account, where Meta showed it before and hides it now."""
        found = self.sighting(WABA_VISIBLE)
        return found if found and found.gone_since else None

    @functools.cached_property
    def seen(self) -> AppsSeen | None:
        """The apps among the facts, as they were last read; None where they never were."""
        fact = self.facts.get(_APPS)
        if fact is None:
            return None
        if not (fact.is_available and isinstance(fact.value, list)):
            return AppsSeen(fact.observed_at, why=fact.reason)
        apps = (App(app.get("id"), app.get("name"), app.get("override")) for app in fact.value)
        return AppsSeen(fact.observed_at, apps=tuple(apps))

    def observed_at(self, names: Collection[str]) -> str:
        """When the oldest of the facts of these names was read; now where there is none."""
        facts = [self.facts[name] for name in names if name in self.facts]
        return min((fact.observed_at for fact in facts if fact.observed_at), default=self.now_text)

    def take(self, part: Part, answer: list[Fact] | WacoexError) -> None:
        """Take in the answer about a part, or why there is none."""
        if isinstance(answer, list):
            self.add(answer)
        else:
            self.failures[part] = answer

    def add(self, facts: Sequence[Fact]) -> None:
        """Take in what was read just now."""
        found = self.facts | {fact.name: fact for fact in facts}
        self.read += facts
        # Those that were known keep their places.
        self.facts = in_order(found) if len(found) > len(self.facts) else found
        for name in _MADE_OF_FACTS & vars(self).keys():
            del vars(self)[name]


def note_shown(facts: ChannelFacts, name: str, object_id: str, caller: str) -> None:
    """Note that Meta showed the number (VISIBLE) or the account (WABA_VISIBLE) to that token."""
    facts.sightings[name] = Sighting(object_id, caller, to_text(facts.now))


def note_hidden(facts: ChannelFacts, name: str, caller: str) -> bool:
    """Note that Meta shows it no more; whether it is gone: that token was shown it before."""
    before = facts.sighting(name)
    if before is None or before.caller != caller:
        return False
    if not before.gone_since:
        facts.sightings[name] = before._replace(gone_since=to_text(facts.now))
    return True


def cannot_check(
    failures: Iterable[tuple[str, WacoexError]], listed: Callable[[list[str]], str] = ", ".join
) -> list[WacoexError]:
    """Why channels could not be checked, each reason once with the channels it is about.

    `failures` are names of channels, each with an error; `listed` puts several into words.
    """
    names: dict[tuple[str, str, str | None], dict[str, None]] = {}
    for name, error in failures:
        names.setdefault((error.code, error.message, error.hint), {})[name] = None
    return [
        WacoexError(
            f"cannot check {listed(list(channels))}: {message}",
            hint=hint,
            code=code,
            details={"channels": list(channels)},
        )
        for (code, message, hint), channels in names.items()
    ]


def stored_facts(
    state: State, channels: Sequence[Channel], now: datetime, names: Sequence[str] = ()
) -> dict[int, ChannelFacts]:
    """What the state file knows of each of these channels, by channel_id. Asks nobody.

    With `names` only the facts of those names.
    """
    seen = (VISIBLE, WABA_VISIBLE)
    facts = Facts(state).facts_by_channel((*names, *seen) if names else (), channels)
    events = AccountEvents(state).of_channels(channels)
    found = {}
    for channel in channels:
        stored = facts.get(channel.channel_id, {})
        shown = [stored.pop(name) for name in seen if name in stored]
        found[channel.channel_id] = ChannelFacts(
            channel,
            now,
            in_order(stored),
            events[channel.channel_id],
            # The name alone says nothing of the connection.
            is_known=bool(stored.keys() - {BUSINESS_NAME}),
            sightings={fact.name: Sighting.from_fact(fact) for fact in shown},
        )
    return found


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Keep what the events say; in whatever order, however often, it comes to the same.

    Called inside a transaction. `now` does not matter: each event has its own time.
    """
    del now
    pairs = {(event.phone_number_id, event.phone) for event in events}
    Signs(state).note_numbers(sorted((key, phone) for key, phone in pairs if key and phone))
    Signs(state).add([sign for event in events if (sign := _sign(event))])
    AccountEvents(state).add(
        [account_event(event) for event in events if event.kind is Kind.ACCOUNT_UPDATE]
    )


def _sign(event: Event) -> Sign | None:
    kind = _SIGNS.get(event.kind)
    address = address_of_event(event) if kind else None
    # An old archive without times would prove that the phone was opened just now.
    if kind is None or address is None or event.data.get("undated"):
        return None
    # Without the event's key: of many in a second one is enough, and the time finds them all.
    return Sign(address, kind, event.at, str(event.source))


def account_event(event: Event) -> AccountEvent:
    """An `account_update` as it is kept."""
    rest = {name: it for name, it in event.data.items() if name not in _COLUMNS_OF_ITS_OWN}
    return AccountEvent(
        event_key=event.key,
        event=event.data.get("event") or "",
        at=event.at,
        source=str(event.source),
        waba_id=event.waba_id,
        phone_number_id=event.phone_number_id,
        phone=event.phone,
        entry_id=event.data.get("entry_id"),
        reason=event.data.get("reason"),
        initiated_by=event.data.get("initiated_by"),
        data=json.dumps(rest, sort_keys=True),
    )


CHANNELS = Projection("channels", frozenset(Kind) - _OTHER_KINDS, project)
