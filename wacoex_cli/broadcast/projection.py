"""What events change about broadcasts: what became of each message, and when one must pause.

The findings about what went wrong with the broadcasts of a channel stand here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.model import (
    COOLING_DOWN,
    STATUS_STATES,
    Broadcast,
    RowState,
    Status,
    attempt_in,
)
from wacoex_cli.broadcast.rows import Rows
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import account_event
from wacoex_cli.channels.model import Channel, Provider, concerns
from wacoex_cli.contacts.stops import OPTOUTS, PERSONS, note_refusal
from wacoex_cli.contacts.store import is_marketing
from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.events.consumers import Interest
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst_first
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.platforms.events import Event, Kind, Projection, Source, read_moment
from wacoex_cli.templates.changes import (
    Omissions,
    check_category,
    check_coming,
    check_copy,
    check_gone,
    check_omissions,
    check_still_as_planned,
    check_unread,
)
from wacoex_cli.templates.model import Template
from wacoex_cli.throughput.throttle import MESSAGES_PER_SECOND, messaging_limit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State

# Nothing sent through the API arrives, or soon nothing will (Meta: account_update). A violation
# is the step before a block: to go on with what may have caused it is how one gets there.
_ACCOUNT_EVENTS = frozenset(
    {"PARTNER_REMOVED", "ACCOUNT_OFFBOARDED", "ACCOUNT_DELETED", "ACCOUNT_VIOLATION"}
)
# Any other state of a ban stops, also one that is not known here.
_NO_BAN = "REINSTATE"
# Without the second nobody who replies to a broadcast can be answered.
_RESTRICTIONS = frozenset(
    {"RESTRICTED_BIZ_INITIATED_MESSAGING", "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"}
)
_UTILITY_RESTRICTIONS = frozenset(
    {"RESTRICTED_UTILITY_TEMPLATES", "RESTRICTED_DIRECT_SEND_UTILITY_TEMPLATES"}
)
# Meta: message_template_status_update. APPROVED, REINSTATED, UNARCHIVED, LOCKED (against edits)
# and LIMIT_EXCEEDED (no more new templates) let a template be sent.
_TEMPLATE_STATUSES = frozenset(
    {"ARCHIVED", "DELETED", "DISABLED", "FLAGGED", "IN_APPEAL", "PAUSED", "PENDING"}
    | {"PENDING_DELETION", "REJECTED"}
)
_NUMBER_EVENTS = frozenset({"FLAGGED", "DOWNGRADE"})
_QUALITIES = ("RED", "YELLOW", "GREEN")
# Meta: account_alerts. These are about the badge, the picture, and a limit that does not rise.
_HARMLESS_ALERTS = ("OBA_", "PROFILE_PICTURE_", "INCREASED_CAPABILITIES_ELIGIBILITY_")

_SOURCES_OF_STATUSES = (Source.META, "meta-history", Source.RESPONDIO)
_EVENTS_AT_ONCE = 50
_RECENT = timedelta(days=7)
_MOST_MESSAGES = 500
_LOOK_EVERY_SECONDS, _REREAD_SECONDS = 1.0, 600.0


def why_stop(event: Event, template: Template) -> str | None:
    """Why a broadcast of that template must not go on after an event about its channel, or None.

    The answer names what was told; it ends without a full stop.
    """
    why = _REASONS.get(event.kind)
    reason = why(event, template) if why else None
    return f"Meta says {reason} at {event.at}" if reason else None


def _account(event: Event, template: Template) -> str | None:
    data, name = event.data, event.data.get("event") or ""
    if name in _ACCOUNT_EVENTS:
        reasons = (data.get("reason") or data.get("violation_type"), data.get("initiated_by"))
        why = ", ".join(str(reason) for reason in reasons if reason)
        return f"{name} ({why})" if why else name
    if name == "DISABLED_UPDATE":
        ban = (data.get("ban_info") or {}).get("waba_ban_state")
        return None if ban == _NO_BAN else f"{name} ({ban or 'its state could not be read'})"
    if name == "ACCOUNT_RESTRICTION":
        found = _restriction(event, template)
        return f"{name} ({found})" if found else None
    return None


def _restriction(event: Event, template: Template) -> str | None:
    is_utility = template.category == "UTILITY"
    stopping = _RESTRICTIONS | (_UTILITY_RESTRICTIONS if is_utility else frozenset())
    for restriction in event.data.get("restriction_info") or ():
        ends = read_moment(restriction.get("expiration"))
        if restriction.get("restriction_type") in stopping and (ends is None or ends > event.at):
            return restriction["restriction_type"]
    return None


def _template_status(event: Event, template: Template) -> str | None:
    status = (event.data.get("event") or "").upper()
    if status not in _TEMPLATE_STATUSES or not _is_about(event, template):
        return None
    reason = event.data.get("reason") or event.data.get("title")
    why = f" ({reason})" if reason and reason != "NONE" else ""
    return f"template {template.name} ({template.language}) is {status}{why}"


def _edited(event: Event, template: Template) -> str | None:
    if not _is_about(event, template):
        return None
    return f"template {template.name} ({template.language}) was edited"


def _quality(event: Event, template: Template) -> str | None:
    data = event.data
    if "new" in data:
        is_lower = _is_about(event, template) and _is_lower_quality(data.get("old"), data["new"])
        what = f"the quality of template {template.name} ({template.language})"
        return f"{what} is {data['new']}" if is_lower else None
    if data.get("event") in _NUMBER_EVENTS:
        return f"the quality of the number is lower ({data['event']})"
    before, now = messaging_limit(data.get("old_limit")), messaging_limit(data.get("limit"))
    if before is None or now is None or now >= before:
        return None
    return f"the messaging limit fell from {data['old_limit']} to {data['limit']}"


def _alert(event: Event, template: Template) -> str | None:
    """A critical alert of a kind that is not known to be harmless."""
    data, name = event.data, str(event.data.get("type"))
    is_critical = data.get("severity") == "CRITICAL" and data.get("status") != "NONE"
    if not is_critical or name.startswith(_HARMLESS_ALERTS):
        return None
    return f"there is a critical alert ({name})"


def _is_about(event: Event, template: Template) -> bool:
    """Languages are `en_US` in templates, and also `en-US` in webhooks."""
    language = (event.data.get("template_language") or "").replace("-", "_").casefold()
    return (
        event.data.get("template_name") == template.name
        and language == template.language.replace("-", "_").casefold()
    )


def _is_lower_quality(before: str | None, now: str | None) -> bool:
    if now not in _QUALITIES:
        return False
    is_fall = before in _QUALITIES and _QUALITIES.index(now) < _QUALITIES.index(before)
    return now == _QUALITIES[0] or is_fall


_REASONS: Mapping[Kind, Callable[[Event, Template], str | None]] = {
    Kind.ACCOUNT_UPDATE: _account,
    Kind.TEMPLATE_STATUS: _template_status,
    Kind.TEMPLATE_TEXT: _edited,
    Kind.QUALITY: _quality,
    Kind.ALERT: _alert,
}
KINDS = frozenset(_REASONS)
"""The kinds of events that may be a reason."""


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Move rows on by what statuses say, and pause what an event speaks against."""
    this_file = Broadcasts(state).state_id
    for event in events:
        if event.kind is Kind.STATUS:
            _move_on(state, event, this_file, now)
        elif event.kind is Kind.TEMPLATE_CATEGORY:
            for broadcast in Broadcasts(state).of_channel(None, Status.SENDING):
                _follow(state, broadcast, event)
        else:
            _pause(state, event)


def project_known(state: State, message_ids: Iterable[str], now: datetime) -> None:
    """Move rows on by statuses that had come in before their message was known.

    Inside a transaction.
    """
    for message_id in message_ids:
        for source in _SOURCES_OF_STATUSES:
            told = EventLog(state).with_key(f"{source}:{Kind.STATUS}:{message_id}:")
            project(state, told, now)


def _move_on(state: State, event: Event, this_file: str, now: datetime) -> None:
    reached = STATUS_STATES.get(event.data.get("status") or "")
    target = _target(state, event, this_file)
    if reached is None or target is None:
        return
    broadcast_id, row, attempt = target
    code = event.data.get("code") if reached is RowState.FAILED else None
    message_id, find = event.message_id or "", Broadcasts(state).row_of_message
    was_known = find(message_id) is not None
    Rows(state, broadcast_id).move_on(row, attempt, reached, code=code, message_id=event.message_id)
    if not was_known and find(message_id):
        # Statuses of it that named no attempt may have come before this one.
        project_known(state, [message_id], now)
    if code is not None and classify(code).opts_out:
        # Whether or not the row moved: which status comes first must not decide it.
        phone = Rows(state, broadcast_id).phone_of(row)
        if phone is not None:
            channel_id = Broadcasts(state).get(broadcast_id).channel_id
            note_refusal(state, phone, channel_id, event.at, now)


def _target(state: State, event: Event, this_file: str) -> tuple[int, int, int] | None:
    """The broadcast, row and attempt that a status is about.

    An attempt id of this file comes first: an ambiguous row has no message id. Whatever hands
    webhooks on may leave it out, another program may have sent its own, and respond.io knows none.
    """
    attempt = attempt_in(event.data.get("attempt_id") or "")
    if attempt is not None and attempt.state_id == this_file:
        return attempt.broadcast_id, attempt.row, attempt.number
    is_respondio = event.source is Source.RESPONDIO
    known_as = event.data.get("respondio_message_id") if is_respondio else event.message_id
    return Broadcasts(state).row_of_message(known_as) if known_as else None


def _follow(state: State, broadcast: Broadcast, event: Event) -> None:
    """From now on the new category of the template decides who may be written to."""
    template, category = Template.from_json(json.loads(broadcast.template)), event.data.get("new")
    is_news = event.at > broadcast.category_known_at and _concerns(state, broadcast, event)
    if category and is_news and _is_about(event, template):
        note_category(state, broadcast, category, event.at, Source.META)


def note_category(state: State, broadcast: Broadcast, category: str, at: str, who: str) -> None:
    """Let a category count for a broadcast from now on; one that changes is written down.

    `at` is when it was read or told (RFC 3339, UTC), `who` the source. Inside a transaction.
    """
    before = json.loads(broadcast.template)["category"]
    Broadcasts(state).learn_category(broadcast.broadcast_id, category, at)
    if before != category:
        rows = Rows(state, broadcast.broadcast_id)
        rows.note_decision(None, f"category: {before} -> {category}", who, from_text(at))
        rows.skip_opted_out()


def follow_category(state: State, broadcast: Broadcast) -> None:
    """Let what events told of the category since it was read count. Inside a transaction."""
    current = Broadcasts(state).get(broadcast.broadcast_id)
    told = _told_since(state, current)
    if told.category is not None:
        _follow(state, current, told.category)


@dataclass(frozen=True)
class _Told:
    """The newest events about the template of a broadcast that its plan cannot know."""

    category: Event | None = None
    status: Event | None = None
    text: Event | None = None


def _told_since(state: State, broadcast: Broadcast) -> _Told:
    template = Template.from_json(json.loads(broadcast.template))
    newest: dict[Kind, Event] = {}
    kinds = (Kind.TEMPLATE_CATEGORY, Kind.TEMPLATE_STATUS, Kind.TEMPLATE_TEXT)
    since = from_text(min(broadcast.planned_at, broadcast.category_known_at))
    for event in EventLog(state).find(kinds=kinds, since=since, newest_first=False):
        is_category = event.kind is Kind.TEMPLATE_CATEGORY
        known_at = broadcast.category_known_at if is_category else broadcast.planned_at
        if (
            event.at > known_at
            and _is_about(event, template)
            and _concerns(state, broadcast, event)
        ):
            newest[event.kind] = event
    return _Told(*(newest.get(kind) for kind in kinds))


def _concerns(state: State, broadcast: Broadcast, event: Event) -> bool:
    return concerns(registry.known(state, broadcast.channel), account_event(event))


@dataclass(frozen=True)
class Reread:
    """The template of a broadcast as it is known now, and what changed against the plan.

    `category_at` is when the category was read or told (RFC 3339, UTC), `said_by` by whom.
    `left_out` are people of the plan who are not written to any more.
    """

    category: str
    category_at: str
    said_by: str
    left_out: Omissions
    findings: tuple[Finding, ...]


def reread(
    state: State,
    broadcast: Broadcast,
    read: Template | WacoexError,
    source: Provider,
    now: datetime,
) -> Reread:
    """Compare the plan with what is known now: the template that was read, and newer events.

    `read` may be the error that kept it from being read, `source` is who was asked. A copy at
    respond.io may lag behind what Meta told.
    """
    planned = Template.from_json(json.loads(broadcast.template))
    told, channel, seen = _told_since(state, broadcast), broadcast.channel, to_text(now)
    category, at, said_by = planned.category, broadcast.category_known_at, "plan"
    found: list[Finding] = []
    is_copy = source is not Provider.META
    if isinstance(read, Template):
        category, at, said_by = read.category, seen, source.value
        found += check_still_as_planned(planned, read, channel, seen, source)
    elif isinstance(read, UsageError):
        found.append(check_gone(planned, read.message, channel, seen, source))
    else:
        why = Evidence(f"the template was not read: {read.message}", source, seen)
        known = f"{planned.category}, status APPROVED and its text are known from then"
        found.append(check_unread(why, Evidence(known, "plan", at), channel))
    news = told.category.data.get("new") if told.category else None
    # A copy may loosen nothing that Meta itself has told.
    is_newer = not isinstance(read, Template) or (is_copy and is_marketing(news or category))
    if told.category and news and is_newer:
        category, at, said_by = news, told.category.at, Source.META.value
    if is_copy or not isinstance(read, Template):
        found += _by_events(told, planned, channel)
    if is_copy and isinstance(read, Template):
        copied = f"category {category} as the copy at {source.known_as} has it; Meta was not asked"
        found.append(check_copy(Evidence(copied, source, seen), channel))
    left_out = _left_out(state, broadcast, category, now)
    consequences = _consequences(state, broadcast, planned.category, category, left_out, seen)
    words = "an event" if told.category and at == told.category.at else "as it is read now"
    fact = Evidence(words, said_by, at)
    changed = check_category(planned.category, category, channel, fact, consequences)
    found += changed or check_omissions(left_out, channel, seen)
    coming = told.category.data.get("category") if told.category else None
    if told.category and coming and coming != category:
        said = Evidence("Meta said so ahead", Source.META, told.category.at)
        found += check_coming(category, coming, channel, said)
    return Reread(category, at, said_by, left_out, tuple(found))


def follow_reread(state: State, broadcast_id: int, found: Reread) -> None:
    """Let the category that was found count from now on, in a transaction of its own."""
    with state.transaction():
        broadcast = Broadcasts(state).get(broadcast_id)
        if found.category_at >= broadcast.category_known_at:
            note_category(state, broadcast, found.category, found.category_at, found.said_by)


async def keep_reading(
    state: State,
    broadcast_id: int,
    read: Callable[[], Awaitable[Template | WacoexError]],
    source: Provider,
    overruled: Collection[str],
    clock: Clock,
) -> None:
    """Read the template of a running broadcast every ten minutes: rows may wait for hours.

    A new category is followed; what speaks against sending pauses the broadcast.
    """
    next_look = clock.monotonic() + _REREAD_SECONDS
    while True:
        await asyncio.sleep(_LOOK_EVERY_SECONDS)
        if clock.monotonic() < next_look:
            continue
        # What cannot be asked or written, the sending itself says.
        with contextlib.suppress(WacoexError):
            current = await read()
            await asyncio.to_thread(
                _apply, state, broadcast_id, current, source, overruled, clock.now()
            )
        next_look = clock.monotonic() + _REREAD_SECONDS


def _apply(
    state: State,
    broadcast_id: int,
    read: Template | WacoexError,
    source: Provider,
    overruled: Collection[str],
    now: datetime,
) -> None:
    found = reread(state, Broadcasts(state).get(broadcast_id), read, source, now)
    follow_reread(state, broadcast_id, found)
    if standing := critical(found.findings, overruled):
        with state.transaction():
            if Broadcasts(state).status(broadcast_id) is Status.SENDING:
                why = in_one_sentence(standing)
                Broadcasts(state).set_status(broadcast_id, Status.PAUSED, reason=why)


def critical(findings: Iterable[Finding], overruled: Collection[str]) -> list[Finding]:
    """What forbids to send, worst first: critical, and overruled by nobody."""
    return [
        finding
        for finding in worst_first(findings)
        if finding.severity is Severity.CRITICAL and finding.id not in overruled
    ]


def in_one_sentence(findings: Iterable[Finding]) -> str:
    """Ids, titles and evidence of findings, for a refusal or the reason of a pause."""
    return "; ".join(
        f"{finding.id} {finding.title} ({', '.join(fact.text for fact in finding.evidence)})"
        for finding in findings
    )


def _by_events(told: _Told, planned: Template, channel: str) -> list[Finding]:
    """What Meta told of status and text, where its own list was not read."""
    found = []
    if told.status and (why := _template_status(told.status, planned)):
        fact = Evidence(why, Source.META, told.status.at)
        found.append(Finding("WX504", Severity.CRITICAL, channel, fact, template=planned.name))
    if told.text and (why := _edited(told.text, planned)):
        fact = Evidence(f"{why}; what it says now was not read", Source.META, told.text.at)
        found.append(Finding("WX509", Severity.CRITICAL, channel, fact, case="text"))
    return found


class _TakenBack(Exception):
    """Ends a transaction of which nothing is to be kept."""


def _left_out(state: State, broadcast: Broadcast, category: str, now: datetime) -> Omissions:
    """Whom the start of a run would skip: done, counted, and taken back."""
    rows, counts = Rows(state, broadcast.broadcast_id), list[dict[str, int]]()
    with contextlib.suppress(_TakenBack), state.transaction():
        counts.append(rows.skip_reasons())
        Broadcasts(state).learn_category(broadcast.broadcast_id, category, to_text(now))
        rows.skip_opted_out()
        rows.skip_cooling_down(now - COOLING_DOWN)
        counts.append(rows.skip_reasons())
        raise _TakenBack
    before, after = counts
    return Omissions(
        {
            reason: n - before.get(reason, 0)
            for reason, n in after.items()
            if n > before.get(reason, 0)
        }
    )


def _consequences(
    state: State, broadcast: Broadcast, before: str, now: str, left_out: Omissions, seen: str
) -> list[Evidence]:
    """What follows from another category, for people and for the price."""
    texts = [
        f"{n} of the planned people are left out now: {reason}"
        for reason, n in left_out.by_reason.items()
    ]
    texts.append(f"each message is charged at Meta's price for {now}")
    skipped = Rows(state, broadcast.broadcast_id).skip_reasons().get("opted_out", 0)
    if is_marketing(before) and not is_marketing(now) and skipped:
        texts.append(f"{skipped} people stay skipped: opted_out when it was {before}")
    return [Evidence(text, "ledger", seen) for text in texts]


def _pause(state: State, event: Event) -> None:
    """Only what came after the newest run began counts: who resumes has seen the rest."""
    about = account_event(event)
    for broadcast in Broadcasts(state).of_channel(None, Status.SENDING):
        why = why_stop(event, Template.from_json(json.loads(broadcast.template)))
        if (
            why
            and concerns(registry.known(state, broadcast.channel), about)
            and event.at >= Rows(state, broadcast.broadcast_id).last_started_at()
        ):
            Broadcasts(state).set_status(broadcast.broadcast_id, Status.PAUSED, reason=why)


DELIVERIES = Projection("deliveries", KINDS | {Kind.STATUS, Kind.TEMPLATE_CATEGORY}, project)


def bring_up_to_date(state: State, clock: Clock) -> None:
    """Let broadcasts and the opt-out list learn what has come in, a little at a time."""
    catch_up(state, (PERSONS, OPTOUTS, DELIVERIES), clock, events_at_once=_EVENTS_AT_ONCE)


def interest(state: State, channel: Channel, now: datetime) -> Interest:
    """People whose fate is unclear, then those sent to within a week; messages without an end."""
    since = now - _RECENT
    phones = figures.people_to_ask_about(state, channel.channel_id, since)
    messages = figures.messages_to_ask_about(
        state, channel.channel_id, since, _MOST_MESSAGES, Broadcasts(state).state_id
    )
    return Interest(tuple(phones), messages)


RECENT = timedelta(hours=24)


@dataclass(frozen=True)
class Incident:
    """What happened to `times` rows, or so many times, in one broadcast, the last time `at`.

    `peak` is the most of our messages that left in any second of it, `bunched` how many left less
    than half a slot after the one before; both 0 where nobody counted.
    """

    broadcast_id: int
    times: int
    at: str
    peak: int = 0
    bunched: int = 0


@dataclass(frozen=True)
class Trouble:
    """What is left of broadcasts. Times are RFC 3339 in UTC.

    `doubtful` are rows of which nobody knows whether they went out, `throttled` answers 130429,
    `refused` people by Meta's code, 131049 or 131050, the newest at `refused_at`. But for
    `doubtful`, which waits until it is decided, all is of the last 24 hours.
    """

    doubtful: tuple[Incident, ...] = ()
    throttled: tuple[Incident, ...] = ()
    refused: Mapping[int, int] = field(default_factory=dict)
    refused_at: str = ""


def troubles(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Trouble]:
    """What went wrong with the broadcasts of each of these channels, by channel_id."""
    since = now - RECENT
    doubtful, throttled = figures.ambiguous(state), figures.throttled(state, since)
    refused = figures.refused(state, since)

    def incidents(rows: Sequence[Row], channel: Channel) -> tuple[Incident, ...]:
        return tuple(
            Incident(
                row["broadcast_id"],
                row["n"],
                row["at"],
                row.get("peak", 0),
                row.get("bunched", 0),
            )
            for row in rows
            if row["channel_id"] == channel.channel_id
        )

    found = {}
    for channel in channels:
        own = [row for row in refused if row["channel_id"] == channel.channel_id]
        found[channel.channel_id] = Trouble(
            incidents(doubtful, channel),
            incidents(throttled, channel),
            refused={row["code"]: row["n"] for row in own},
            refused_at=max((row["at"] for row in own), default=""),
        )
    return found


_REFUSED = {
    131049: "Meta holds marketing messages back for now",
    131050: "marketing messages were stopped; on the opt-out list",
}


def check_trouble(trouble: Trouble, channel: str) -> list[Finding]:
    """Everything that went wrong with the broadcasts of a channel."""
    checks = (check_throttled, check_doubtful, check_refused_people)
    return [finding for check in checks for finding in check(trouble, channel)]


def check_throttled(trouble: Trouble, channel: str) -> list[Finding]:
    """WX503: Meta answered 130429 in the last 24 hours.

    How our own messages left comes first; what was within 20 a second leaves others to blame. Less
    than a second's worth of refusals is told, and is no fault (Meta: throughput).
    """
    if not trouble.throttled:
        return []
    times = sum(incident.times for incident in trouble.throttled)
    severity = Severity.WARNING if times >= MESSAGES_PER_SECOND else Severity.INFO
    own = [Evidence(_how_ours_left(row), "ledger", row.at) for row in trouble.throttled if row.peak]
    evidence = [
        Evidence(
            f"130429 came {'once' if row.times == 1 else f'{row.times} times'}"
            f" while broadcast {row.broadcast_id} was sent",
            "meta",
            row.at,
        )
        for row in trouble.throttled
    ]
    too_many = any(row.peak > MESSAGES_PER_SECOND for row in trouble.throttled)
    case = "bunched" if too_many else ""
    return [Finding("WX503", severity, channel, [*own, *evidence], case=case)]


def _how_ours_left(row: Incident) -> str:
    bunched = f"{row.bunched or 'none'} left less than half a slot after the one before"
    return (
        f"of our own messages of broadcast {row.broadcast_id} at most {row.peak} left in one"
        f" second; {bunched}"
    )


def check_doubtful(trouble: Trouble, channel: str) -> list[Finding]:
    """WX505: the answer to some messages never came, and nobody has decided what to do."""
    if not trouble.doubtful:
        return []
    rows = sum(incident.times for incident in trouble.doubtful)
    evidence = [
        Evidence(
            f"broadcast {row.broadcast_id}: {row.times} ambiguous, not sent again by itself",
            "ledger",
            row.at,
        )
        for row in trouble.doubtful
    ]
    return [
        Finding(
            "WX505",
            Severity.WARNING,
            channel,
            evidence,
            messages=f"{rows} message{'' if rows == 1 else 's'}",
            broadcasts=[row.broadcast_id for row in trouble.doubtful],
        )
    ]


def check_refused_people(trouble: Trouble, channel: str) -> list[Finding]:
    """WX506: in the last 24 hours Meta refused marketing messages for some people.

    The number is well: this is between Meta and these people (Meta: per-user marketing limits).
    """
    if not trouble.refused:
        return []
    evidence = [
        Evidence(
            f"{'1 person' if people == 1 else f'{people} people'}, {code}: {_REFUSED[code]}",
            "meta",
            trouble.refused_at,
        )
        for code, people in trouble.refused.items()
    ]
    return [Finding("WX506", Severity.INFO, channel, evidence)]


def check_limit_used_up(
    tier: object, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502 for a channel: nothing is left of the portfolio's 24 hour limit.

    `None` and UNTIERED say nothing about a limit (Meta: messaging limits).
    """
    if tier is None or tier == "UNTIERED":
        return []
    limit = messaging_limit(tier)
    if limit is not None and taken_in_24_hours < limit:
        return []
    said = (
        (f"the portfolio's messaging limit is {tier}", "meta"),
        (f"{taken_in_24_hours} people were messaged from this number in the last 24 h", "ledger"),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    severity = Severity.UNKNOWN if limit is None else Severity.WARNING
    return [Finding("WX502", severity, channel, evidence)]


def check_messaging_limit(
    tier: object, recipients: int, taken_in_24_hours: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX502: more people than the portfolio's 24 hour limit leaves room for.

    What other numbers of the portfolio sent is invisible here, so the room is "at most".
    """
    limit = messaging_limit(tier)
    if limit is None or recipients + taken_in_24_hours <= limit:
        return []
    room = max(0, int(limit) - taken_in_24_hours)
    said = (
        (f"the portfolio may message {int(limit)} people in 24 h", "meta"),
        (f"{taken_in_24_hours} were messaged from this number in the last 24 h", "ledger"),
        (f"the plan holds {recipients}, there is room for at most {room}", "plan"),
    )
    evidence = [Evidence(text, source, observed_at) for text, source in said]
    return [Finding("WX502", Severity.CRITICAL, channel, evidence, room=room)]


def check_us_marketing(
    category: str, us_recipients: int, channel: str, observed_at: str
) -> list[Finding]:
    """WX506: marketing templates are not delivered to US numbers (Meta: per-user limits)."""
    if category != "MARKETING" or not us_recipients:
        return []
    evidence = (
        Evidence(f"{us_recipients} recipients have a US number", "plan", observed_at),
        Evidence("the template's category is MARKETING", "meta", observed_at),
    )
    return [Finding("WX506", Severity.WARNING, channel, evidence)]


def check_audience(
    rows: Rows,
    channel: Channel,
    category: str,
    tier: object,
    taken: int,
    now: datetime,
    left_out: int = 0,
) -> list[Finding]:
    """What the recipients of a planned broadcast mean for the limits, after `taken` others.

    `left_out` of the rows will be skipped.
    """
    name, observed_at = channel.name, to_text(now)
    us_recipients = rows.count_open_us() if category == "MARKETING" else 0
    return [
        *check_messaging_limit(tier, rows.count_open() - left_out, taken, name, observed_at),
        *check_us_marketing(category, us_recipients, name, observed_at),
    ]
