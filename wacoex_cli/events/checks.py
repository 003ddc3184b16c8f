"""What came in over the last weeks, and the findings about it.

Webhooks that are off, silence, echoes that stopped, unsupported messages. The functions that
take the state read the log; the checks and `rank_causes` are pure.

Table traffic(number, kind, day, phone_number_id, phone, respondio_channel_id, messages, newest_at,
last_event_id): echoes, messages of contacts, and those of contacts to another responder. `number`
is the key of the index `events_by_number`. `day` is a date in UTC (`2026-11-07`). An id that the
event did not name is an empty text. The projection adds each event, so no command reads all events.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.facts import reconnections
from wacoex_cli.channels.model import EvidenceKind
from wacoex_cli.channels.store import Signs, SignSearch, read_once
from wacoex_cli.errors import counted
from wacoex_cli.events.store import NUMBER, EventLog, Numbers, number_of
from wacoex_cli.findings.model import SOURCE_NAMES, Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Event, Kind, Projection, Source

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.channels.store import ReadOnce
    from wacoex_cli.foundation.state import Row, State

_NAMES = ("phone_number_id", "phone", "respondio_channel_id")
_GROUP = f"number, {', '.join(_NAMES)}"
_ECHOES = (
    f"SELECT {_GROUP}, GROUP_CONCAT(day) AS days, MAX(newest_at) AS newest_at FROM traffic"
    " WHERE number IN (SELECT value FROM json_each(?)) AND kind = 'echo'"
    f" AND day >= ? AND newest_at >= ? GROUP BY {_GROUP}"
)
_MESSAGES_SINCE = (
    "SELECT t.number, t.phone_number_id, t.phone, t.respondio_channel_id, t.kind, t.day, t.messages"
    " FROM json_each(?) AS wanted CROSS JOIN traffic t"
    " ON t.number = json_extract(wanted.value, '$[0]')"
    " AND t.kind IN ('message', 'standby') AND t.day >= json_extract(wanted.value, '$[1]')"
)
# The day on which the time begins counts from that moment on only.
_HEARD = (
    f"SELECT {_GROUP}, messages, newest_at FROM traffic"
    " WHERE number IN (SELECT value FROM json_each(?)) AND kind = 'standby' AND day > ?"
    f" UNION ALL SELECT {NUMBER} AS number, COALESCE(phone_number_id, ''), COALESCE(phone, ''),"
    " COALESCE(CAST(respondio_channel_id AS TEXT), ''), COUNT(*), MAX(at)"
    " FROM json_each(?) AS wanted CROSS JOIN events"
    f" WHERE {NUMBER} = wanted.value AND kind = 'standby' AND at >= ?"
    """ AND at < ? AND data LIKE '%"direction":"in"%' GROUP BY 1, 2, 3, 4"""
)


def _project(state: State, events: Sequence[Event], now: datetime) -> None:
    del now
    state.execute_many(
        "INSERT INTO traffic (number, kind, day, phone_number_id, phone, respondio_channel_id,"
        " messages, newest_at, last_event_id) VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)"
        " ON CONFLICT (number, kind, day, phone_number_id, phone, respondio_channel_id)"
        " DO UPDATE SET messages = traffic.messages + 1,"
        " newest_at = CASE WHEN excluded.newest_at > traffic.newest_at"
        " THEN excluded.newest_at ELSE traffic.newest_at END,"
        " last_event_id = excluded.last_event_id"
        # An event that is given again is not counted again.
        " WHERE excluded.last_event_id > traffic.last_event_id",
        [
            (*_named(event), event.at, event.event_id)
            for event in events
            if event.kind is Kind.ECHO or event.data.get("direction") == "in"
        ],
    )


def _named(event: Event) -> tuple[str, ...]:
    channel_id = "" if event.respondio_channel_id is None else str(event.respondio_channel_id)
    names = (event.phone_number_id or "", event.phone or "", channel_id)
    return (number_of(event), event.kind.value, event.at[:10], *names)


TRAFFIC = Projection("traffic", frozenset({Kind.ECHO, Kind.MESSAGE, Kind.STANDBY}), _project)
"""How much came in for each number on each day."""


class Echoes(NamedTuple):
    """The days (`2026-11-07`, UTC) with echoes, in order; `newest_at` is RFC 3339 in UTC."""

    days: tuple[str, ...] = ()
    newest_at: str | None = None


class Heard(NamedTuple):
    """Messages of contacts that another responder gets; `newest_at` is RFC 3339 in UTC."""

    messages: int = 0
    newest_at: str | None = None


class Traffic:
    """The traffic of some numbers, by the key of their owner."""

    def __init__(self, state: State, numbers: Numbers) -> None:
        self._state = state
        self._numbers = numbers

    def echoes(self, since: datetime, owners: frozenset[int]) -> dict[int, Echoes]:
        """The days on which these owners had echoes since a moment, by owner."""
        moment, days, newest = to_text(since), defaultdict[int, set[str]](set), dict[int, str]()
        sought = json.dumps(self._numbers.of(owners))
        for row in self._state.rows(_ECHOES, [sought, moment[:10], moment]):
            for owner in owners.intersection(self._owners(row)):
                days[owner].update(row["days"].split(","))
                newest[owner] = max(newest.get(owner, ""), row["newest_at"])
        return {owner: Echoes(tuple(sorted(own)), newest[owner]) for owner, own in days.items()}

    def messages_since(self, days: Mapping[int, str]) -> dict[int, tuple[tuple[str, int], ...]]:
        """Days with messages of contacts, and how many, by owner: from its day on.

        What another responder gets was written by contacts too (Meta: Conversation Routing).
        """
        wanted: dict[str, str] = {}
        for owner, numbers in self._numbers.by_owner().items():
            for number in numbers if owner in days else ():
                wanted[number] = min(days[owner], wanted.get(number, days[owner]))
        found: dict[int, dict[str, int]] = defaultdict(dict)
        heard: dict[int, dict[str, int]] = defaultdict(dict)
        for row in self._state.rows(_MESSAGES_SINCE, [json.dumps(list(wanted.items()))]):
            day, messages = row["day"], row["messages"]
            for owner in self._owners(row):
                if owner not in days or day < days[owner]:
                    continue
                if row["kind"] == Kind.STANDBY:
                    heard[owner][day] = heard[owner].get(day, 0) + messages
                else:
                    # Meta and respond.io may report the same messages.
                    found[owner][day] = max(found[owner].get(day, 0), messages)
        return {
            owner: tuple(
                (day, found[owner].get(day, 0) + heard[owner].get(day, 0))
                for day in sorted({*found[owner], *heard[owner]})
            )
            for owner in days
        }

    def heard(self, since: datetime) -> dict[int, Heard]:
        """What another responder got since a moment, by owner."""
        moment, sought = to_text(since), json.dumps(self._numbers.all_numbers)
        first_day = moment[:10]
        found: dict[int, Heard] = {}
        for row in self._state.rows(_HEARD, [sought, first_day, sought, moment, f"{first_day}T24"]):
            for owner in self._owners(row):
                known = found.get(owner, Heard())
                found[owner] = Heard(
                    known.messages + row["messages"], max(known.newest_at or "", row["newest_at"])
                )
        return found

    def _owners(self, row: Row) -> list[int]:
        named = {f"{name}:{row[name]}" for name in _NAMES if row[name]}
        return self._numbers.owners(row["number"], named)


_FLOW_WINDOW = timedelta(days=28)


class EchoFlow(NamedTuple):
    """The days (`2026-11-07`, UTC) of the last 28 with echoes.

    `last_echo_at` is RFC 3339 in UTC; None when there was no echo. `inbound` are the days with
    messages of contacts, and how many, from the day of the last echo on. While that is younger
    than LEAST_ECHO_SILENCE nothing has stopped: then earlier days and messages are not read.
    """

    echo_days: tuple[str, ...] = ()
    last_echo_at: str | None = None
    inbound: tuple[tuple[str, int], ...] = ()


def flows(state: State, numbers: Numbers, now: datetime) -> dict[int, EchoFlow]:
    """How echoes and messages of contacts came in, by channel_id, whose numbers these are.

    The projections of channels and traffic have caught up.
    """
    traffic = Traffic(state, numbers)
    owners = frozenset(numbers.addresses)
    lately = traffic.echoes(now - LEAST_ECHO_SILENCE, owners)
    echoes = traffic.echoes(now - _FLOW_WINDOW, owners - lately.keys())
    messages = traffic.messages_since({key: seen.days[-1] for key, seen in echoes.items()})
    known = echoes | lately
    return {
        key: EchoFlow(*known.get(key, Echoes()), messages.get(key, ())) for key in numbers.addresses
    }


_LOOKED_AT = timedelta(days=7)
_MOST_PER_CHANNEL = 100
_SYNC_TAKES_AT_MOST = timedelta(hours=24)
_EDIT_COMES_WITHIN = timedelta(minutes=1)
_SAME_MESSAGE_WITHIN = timedelta(minutes=1)
# Whom the log has never seen is new only if the log had time to see the others.
_LOG_KNOWS_AFTER = timedelta(days=7)


class Unsupported(NamedTuple):
    """One message whose content did not pass. `at` is RFC 3339 in UTC.

    `code` and `type` are Meta's; respond.io says neither. `is_first` is whether the contact was
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


class Summary(NamedTuple):
    """The unsupported messages of one channel in the last 7 days, newest first.

    `in_all` counts those too that are too many to look at; `resolved` came through later.
    """

    messages: tuple[Unsupported, ...] = ()
    in_all: int = 0
    resolved: int = 0


def summaries(
    state: State,
    channels: Sequence[Channel],
    numbers: Numbers,
    now: datetime,
    known: ReadOnce | None = None,
) -> dict[int, Summary]:
    """What came in unsupported, by channel_id; `numbers` are those of the channels.

    `known` is what the caller has read of the channels. Their projection has caught up.
    """
    since, until = now - _LOOKED_AT, to_text(now)
    nothing = dict.fromkeys(numbers.addresses, Summary())
    came = EventLog(state).of_each(numbers, Kind.UNSUPPORTED, since)
    so_far = {key: [it for it in events if it.at <= until] for key, events in came.items()}
    reported = {key: _each_once(events) for key, events in so_far.items() if events}
    if not reported:
        return nothing
    concerned = {key: numbers.addresses[key] for key in reported}
    around = _Around(state, reported, concerned, since)
    left = {
        key: [event for event in events if event.message_id not in around.resolved]
        for key, events in reported.items()
    }
    looked_at = {key: events[:_MOST_PER_CHANNEL] for key, events in left.items()}
    known = known or read_once(state, channels)
    with_reports = [channel for channel in channels if channel.channel_id in reported]
    signs = _signs_before(state, with_reports, known, looked_at)
    return nothing | {
        key: Summary(
            tuple(
                _read(event, around, seen)
                for event, seen in zip(looked_at[key], signs[key], strict=True)
            ),
            len(left[key]),
            len(reported[key]) - len(left[key]),
        )
        for key in reported
    }


class _Around:
    """What the log says about the same messages and the same people."""

    def __init__(
        self,
        state: State,
        reported: Mapping[int, Sequence[Event]],
        addresses: Mapping[int, Collection[str]],
        since: datetime,
    ) -> None:
        log, events = EventLog(state), [it for events in reported.values() for it in events]
        message_ids = {event.message_id for event in events if event.message_id}
        all_addresses = {address for own in addresses.values() for address in own}
        self.resolved = log.delivered_after_all(message_ids, all_addresses, since)
        contacts = {event.contact for event in events if event.contact}
        self.first_seen = log.first_seen(contacts)
        self.log_began_at = log.oldest_at((Kind.ECHO, Kind.MESSAGE))
        self.edits: dict[str, list[datetime]] = defaultdict(list)
        for contact, at in log.edits(contacts, since - _EDIT_COMES_WITHIN):
            self.edits[contact].append(from_text(at))

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


class _SeenBefore(NamedTuple):
    """What was seen of the app before a message: see `Unsupported`."""

    quiet_days: float | None
    is_after_connecting: bool


def _signs_before(
    state: State,
    channels: Sequence[Channel],
    known: ReadOnce,
    events: Mapping[int, Sequence[Event]],
) -> dict[int, list[_SeenBefore]]:
    """What was seen of the app before each of these events, by channel_id."""
    searches = []
    for channel in channels:
        own = known.addresses[channel.channel_id]
        for event in events[channel.channel_id]:
            # What ends a silence comes within a day of the messages that are then caught up with.
            until = to_text(from_text(event.at) - _SYNC_TAKES_AT_MOST)
            searches += [SignSearch(own, kind, until=until) for kind in EvidenceKind]
            searches.append(SignSearch(own, EvidenceKind.CONNECTED, until=event.at))
    found = iter(Signs(state).newest_of(searches))
    seen: dict[int, list[_SeenBefore]] = {channel.channel_id: [] for channel in channels}
    for channel in channels:
        again = [
            sign.at for sign in reconnections(channel, known.account_events[channel.channel_id])
        ]
        for event in events[channel.channel_id]:
            at, until = from_text(event.at), to_text(from_text(event.at) - _SYNC_TAKES_AT_MOST)
            kept = [sign.at for sign in itertools.islice(found, len(EvidenceKind)) if sign]
            signs = [*kept, *(moment for moment in again if moment <= until)]
            quiet_days = (at - from_text(max(signs))).total_seconds() / 86_400 if signs else None
            connected = [*again, *(sign.at for sign in itertools.islice(found, 1) if sign)]
            is_after = any(until <= moment <= event.at for moment in connected)
            seen[channel.channel_id].append(_SeenBefore(quiet_days, is_after))
    return seen


def _each_once(events: Iterable[Event]) -> list[Event]:
    """Newest first. Meta and respond.io may report the same message; Meta says more about it."""
    found: dict[str, Event] = {}
    for event in events:
        name = event.message_id or event.key
        if name not in found or event.source is Source.META:
            found[name] = event
    return sorted(found.values(), key=lambda event: (event.at, event.key), reverse=True)


def _read(event: Event, around: _Around, seen: _SeenBefore) -> Unsupported:
    data = event.data
    return Unsupported(
        at=event.at,
        source=event.source,
        code=data.get("code"),
        type=data.get("unsupported_type"),
        is_referred=bool(data.get("from_ad") or data.get("has_referral")),
        is_first=around.is_first(event),
        quiet_days=seen.quiet_days,
        is_after_connecting=seen.is_after_connecting,
        is_edit=around.is_edit(event),
    )


SILENCE_WINDOW = timedelta(days=28)
"""How far back before the newest arrival the usual silence is looked for."""
_LEAST_SILENCE = timedelta(hours=24)
_LEAST_HISTORY = timedelta(days=3)


class Field(NamedTuple):
    """A webhook field, how bad it is to miss it, and what it is needed for."""

    name: str
    severity: Severity
    purpose: str


FIELDS = (
    Field("account_update", Severity.CRITICAL, "disconnects, restrictions, bans"),
    Field("messages", Severity.WARNING, "inbound messages, delivery statuses"),
    Field("smb_message_echoes", Severity.WARNING, "echoes: signs that the app is in use"),
    Field("smb_app_state_sync", Severity.INFO, "changes in the app's contacts"),
    Field("history", Severity.INFO, "the history sync after connecting"),
    Field("phone_number_quality_update", Severity.INFO, "quality and limits of the number"),
    Field("message_template_status_update", Severity.INFO, "templates paused or disabled"),
    Field("template_category_update", Severity.INFO, "templates that become marketing"),
    Field("message_template_components_update", Severity.INFO, "templates that were edited"),
    Field("account_alerts", Severity.INFO, "Meta's alerts"),
    Field("business_capability_update", Severity.INFO, "messaging limits"),
    Field("user_preferences", Severity.INFO, "people who stop marketing messages"),
    Field("phone_number_name_update", Severity.INFO, "decisions on the display name"),
    Field("security", Severity.INFO, "changes of the two-step PIN"),
    Field("standby", Severity.INFO, "conversations that another responder handles"),
    Field("messaging_handovers", Severity.INFO, "conversations that change their responder"),
)
"""The fields that an operations tool needs.

Sources: "Meta: webhooks, overview"; "Meta: prepare for Conversation Routing" (the last two).
"""


class Subscribed(NamedTuple):
    """What Meta says about the subscription of one app.

    `is_attached` (the app to the WABA) and `fields` are None when they cannot be known; `why`
    then says why. `is_active` is false when Meta has switched the webhook off.
    """

    app_id: str | None
    is_attached: bool | None
    fields: frozenset[str] | None
    is_active: bool = True
    why: str = ""


def check_subscription(seen: Subscribed, channel: str, observed_at: str) -> list[Finding]:
    """WX210: the WABA is not attached to the app, fields are off, or that cannot be known."""
    found = []

    def add(severity: Severity, text: str, case: str = "", **values: str) -> None:
        evidence = Evidence(text, "meta", observed_at)
        found.append(Finding("WX210", severity, channel, evidence, case=case, **values))

    if seen.is_attached is False:
        text = f"app {seen.app_id} is not among the subscribed apps"
        add(Severity.CRITICAL, text, case="detached")
    if seen.fields and not seen.is_active:
        text = f"the subscription of app {seen.app_id} is not active"
        add(Severity.CRITICAL, text, case="switched_off")
    on = frozenset(field.name for field in FIELDS) if seen.fields is None else seen.fields
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        off = [field for field in FIELDS if field.severity is severity and field.name not in on]
        if off:
            add(
                severity,
                "; ".join(f"{field.name} reports {field.purpose}" for field in off),
                fields="field is" if len(off) == 1 else "fields are",
                names=", ".join(field.name for field in off),
            )
    if seen.is_attached is None or seen.fields is None:
        add(Severity.UNKNOWN, seen.why)
    return found


def arrivals(state: State) -> dict[Source, list[tuple[str, int, str]]]:
    """The hours in which something came in, by source, over the 28 days before the newest one."""
    log, found = EventLog(state), {}
    for source in Source:
        newest = log.newest_arrival(source)
        if newest is not None:
            found[source] = log.arrival_hours(source, newest - SILENCE_WINDOW)
    return found


def check_silence(
    hours: Sequence[tuple[str, int, str]], now: datetime, source: Source
) -> list[Finding]:
    """WX108: nothing has come in for longer than usual.

    `hours` are those in which something came in, oldest first: the hour, how much, the newest
    moment. Usual is the longest silence of the 28 days before the newest arrival, at least 24
    hours. With less than three days between the first and the newest arrival nothing is usual
    yet, and nothing is found.
    """
    newest_of_each = [from_text(newest_at) for _, _, newest_at in hours]
    if not newest_of_each or newest_of_each[-1] - newest_of_each[0] < _LEAST_HISTORY:
        return []
    newest = newest_of_each[-1]
    seen = [moment for moment in newest_of_each if newest - moment <= SILENCE_WINDOW]
    longest = max((after - before for before, after in pairwise(seen)), default=timedelta())
    usual = max(longest, _LEAST_SILENCE)
    if now - newest <= usual:
        return []
    text = (
        f"the newest arrival was at {to_text(newest)}; the longest silence of the 28"
        f" days before it was {_in_hours(longest)}"
    )
    evidence = Evidence(text, "wacoex", to_text(newest))
    values = {"provider": SOURCE_NAMES[source.value], "duration": _in_hours(now - newest)}
    return [Finding("WX108", Severity.WARNING, None, evidence, case=source.value, **values)]


def _in_hours(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} hour{'' if hours == 1 else 's'}"


_LEAST_DAYS_WITH_ECHOES = 5
LEAST_ECHO_SILENCE = timedelta(days=3)
_LEAST_MESSAGES = 10


def check_missing(
    flow: EchoFlow,
    channel: str,
    now: datetime,
    *,
    is_reported: bool = False,
    must_wait: bool = False,
    is_partner_seen: bool = False,
    unsupported: Sequence[str] = (),
) -> list[Finding]:
    """WX406: a person misses messages (`is_reported`), or echoes stop while contacts go on writing.

    Unasked it is only worth knowing: the answers may come from the inbox now. With `must_wait`
    WhatsApp may reconnect by itself, so nobody is advised to connect again; with `is_partner_seen`
    the partner's app gets the webhooks, so nobody is advised to delete the channel. `unsupported`
    names the companions on the list whose messages never come through.
    """
    stopped = _stopped(flow, now)
    if not (is_reported or stopped):
        return []
    if flow.last_echo_at:
        words = stopped or "the last echo arrived at that time"
    else:
        words = "wacoex received no echo within 28 days"
    evidence = [Evidence(words, "events", flow.last_echo_at or to_text(now))]
    for name in unsupported:
        text = f"{name} is on the list, and its messages never arrive"
        evidence.append(Evidence(text, "device list", to_text(now)))
    severity = Severity.WARNING if is_reported else Severity.INFO
    return [
        Finding(
            "WX406",
            severity,
            channel,
            tuple(evidence),
            must_wait=must_wait,
            is_seen=is_partner_seen and not must_wait,
            may_delete=not (must_wait or is_partner_seen),
        )
    ]


def _stopped(flow: EchoFlow, now: datetime) -> str | None:
    """Why echoes seem to have stopped; None while nothing does.

    There were echoes on five days at least, now there are none for three days and for longer than
    ever between two of those, and ten messages of contacts have come in since.
    """
    if flow.last_echo_at is None or len(flow.echo_days) < _LEAST_DAYS_WITH_ECHOES:
        return None
    longest = max(
        after - before for before, after in pairwise(map(date.fromisoformat, flow.echo_days))
    )
    silence = now - from_text(flow.last_echo_at)
    messages = sum(count for day, count in flow.inbound if day > flow.echo_days[-1])
    if silence < LEAST_ECHO_SILENCE or silence <= 2 * longest or messages < _LEAST_MESSAGES:
        return None
    return (
        f"the newest echo is {silence.days} days old; before, the longest time between two was"
        f" {longest.days} days, and {counted(messages, 'message')} from contacts arrived since"
    )


QUIET_DAYS = 10
"""After this many days without a sign of the app, the cause is taken to be catching up."""

_NOT_CARRIED = 131051
# They stand for the message as a whole, and say nothing about its type.
_NO_TYPES = frozenset({"media_placeholder", "errors", "unknown"})
_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT = "WX401", "WX402", "WX403", "WX404", "WX405"


def rank_causes(
    summary: Summary, channel: str, now: datetime, *, is_reported: bool = False
) -> list[Finding]:
    """The causes of the last 7 days' unsupported messages, the likeliest first.

    Each message gets the cause that the known facts point to. With `is_reported`,
    because a person sees such messages, the other causes follow, as possible.
    """
    found: dict[str, list[Unsupported]] = defaultdict(list)
    for message in summary.messages:
        found[likeliest_cause(message)].append(message)
    causes = (_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT)
    return [
        _cause_finding(cause, found[cause], summary, channel, now)
        for cause in sorted(causes, key=lambda cause: -len(found[cause]))
        if found[cause] or is_reported
    ]


def likeliest_cause(message: Unsupported) -> str:
    """The id of the cause that speaks most for itself in a message."""
    has_type = message.type is not None and message.type not in _NO_TYPES
    is_catching_up = message.is_after_connecting or (message.quiet_days or 0) >= QUIET_DAYS
    reasons = (
        (message.type == "edit", _EDIT),
        # What Meta names as the type says more than an edit that came at the same moment.
        (has_type, _TYPE),
        (message.is_edit, _EDIT),
        (message.is_referred, _FIRST),
        (message.code == _NOT_CARRIED, _TYPE),
        (is_catching_up, _CATCHING_UP),
        (message.is_first is True, _FIRST),
    )
    # The contact's device is what is left: nothing that comes in could ever point to it.
    return next((cause for holds, cause in reasons if holds), _COMPANION)


def _cause_finding(
    cause: str, messages: Sequence[Unsupported], summary: Summary, channel: str, now: datetime
) -> Finding:
    of_all = f"of {counted(summary.in_all, 'unsupported message')} in 7 days"
    if not messages:
        text = f"none {of_all} points to this cause"
        if not summary.in_all:
            text = "no unsupported message arrived within 7 days"
        nothing = Evidence(text, "wacoex", to_text(now))
        return Finding(cause, Severity.INFO, channel, nothing, case="possible")
    is_lead_lost = cause == _FIRST and any(message.is_referred for message in messages)
    severity = Severity.WARNING if is_lead_lost else Severity.INFO
    newest = max(messages, key=lambda message: message.at)
    text = f"{len(messages)} {of_all}: {_cause_reason(cause, messages)}"
    return Finding(cause, severity, channel, Evidence(text, "wacoex", newest.at))


def _cause_reason(cause: str, messages: Sequence[Unsupported]) -> str:
    named = sorted({message.code for message in messages if message.code})
    codes = ", ".join(f"code {code}" for code in named)
    if cause == _TYPE:
        types = Counter(message.type or "not named" for message in messages)
        return f"{codes}; {', '.join(f'{name} ({n})' for name, n in sorted(types.items()))}"
    if cause == _EDIT:
        return "an edit by the same contact arrived at that moment, or Meta says that it is an edit"
    if cause == _FIRST:
        referred = sum(message.is_referred for message in messages)
        parts = [f"{referred} through an ad or a link"] if referred else []
        if new := len(messages) - referred:
            parts.append(f"{new} of contacts that were never seen before")
        return f"{codes or 'no code'}; {', '.join(parts)}"
    if cause == _CATCHING_UP:
        days = max((message.quiet_days or 0 for message in messages), default=0)
        if days >= QUIET_DAYS:
            return f"no sign of the app for {days:.0f} days before"
        return "the number had been connected less than 24 hours before"
    return f"{codes or 'respond.io names no code'}; nothing points to another cause"
