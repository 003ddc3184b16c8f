"""What events change about broadcasts: what happened to each message, and when one must pause."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels import registry
from wacoex_cli.channels.facts import account_event
from wacoex_cli.channels.model import Channel, concerns
from wacoex_cli.contacts.stops import OPTOUTS, PERSONS, note_refusal
from wacoex_cli.contacts.store import is_marketing
from wacoex_cli.events.consumers import Interest
from wacoex_cli.events.store import EventLog, catch_up
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.ledger import figures
from wacoex_cli.ledger.model import (
    STATUS_STATES,
    Broadcast,
    RowState,
    Status,
    attempt_in,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.platforms.events import Event, Kind, Projection, Source, read_moment
from wacoex_cli.templates.model import Template
from wacoex_cli.throughput.throttle import messaging_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

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


def why_stop(event: Event, template: Template) -> str | None:
    """Why a broadcast of that template must not go on after an event about its channel, or None.

    The answer names what was reported; it ends without a full stop.
    """
    reason = reason_of(event, template)
    return f"Meta says {reason} at {event.at}" if reason else None


def reason_of(event: Event, template: Template) -> str | None:
    """What an event says against sending that template; None when it says nothing against it."""
    judge = _REASONS.get(event.kind)
    if judge is None:
        return None
    reasons = (judge(event, version) for version in template.versions)
    return next(filter(None, reasons), None)


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
    """Move rows on by what statuses say, and pause what an event forbids."""
    this_file = Broadcasts(state).state_id
    # Most statuses of an archive are about messages that left no broadcast.
    ids = {_known_as(event) for event in events if event.kind is Kind.STATUS}
    ours = Broadcasts(state).messages_among(ids - {None})
    for event in events:
        if event.kind is Kind.STATUS:
            if event.data.get("attempt_id") or _known_as(event) in ours:
                _move_on(state, event, this_file, now)
                # By its attempt id it may have become known under its message id.
                ours.add(event.message_id)
        elif event.kind is Kind.TEMPLATE_CATEGORY:
            for broadcast in Broadcasts(state).of_channel(None, Status.SENDING):
                _follow(state, broadcast, event)
        else:
            _pause(state, event)


def project_known(state: State, message_ids: Iterable[str], now: datetime) -> None:
    """Move rows on by statuses that had come in before their message was known.

    Inside a transaction.
    """
    prefixes = [
        f"{source}:{Kind.STATUS}:{message_id}:"
        for message_id in message_ids
        for source in _SOURCES_OF_STATUSES
    ]
    if prefixes and (known := EventLog(state).with_prefixes(prefixes)):
        project(state, known, now)


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
    known_as = _known_as(event)
    return Broadcasts(state).row_of_message(known_as) if known_as else None


def _known_as(event: Event) -> str | None:
    """The id of the message that a status is about, as its provider gave it when it was sent."""
    is_respondio = event.source is Source.RESPONDIO
    return event.data.get("respondio_message_id") if is_respondio else event.message_id


def _follow(state: State, broadcast: Broadcast, event: Event) -> None:
    """From now on the new category of the template decides who may be written to."""
    template, category = Template.from_json(json.loads(broadcast.template)), event.data.get("new")
    is_news = event.at > broadcast.category_known_at and _concerns(state, broadcast, event)
    if category and is_news and _is_news_of(event, template):
        note_category(state, broadcast, category, event.at, Source.META)


def _is_news_of(event: Event, template: Template) -> bool:
    """Whether an event is about the template in one of its languages.

    One language alone loosens nothing: the category of a broadcast is the strictest of them.
    """
    if _language_of(event, template) is None:
        return False
    is_category = event.kind is Kind.TEMPLATE_CATEGORY
    is_looser = is_category and not is_marketing(event.data.get("new") or "")
    return not (template.translations and is_looser)


def _language_of(event: Event, template: Template) -> str | None:
    """The language of the template that an event is about."""
    return next((each.language for each in template.versions if _is_about(event, each)), None)


def note_category(state: State, broadcast: Broadcast, category: str, at: str, who: str) -> None:
    """Let a category count for a broadcast from now on; one that changes is written down.

    `at` is when it was read or reported (RFC 3339, UTC), `who` the source. Inside a transaction.
    """
    before = json.loads(broadcast.template)["category"]
    Broadcasts(state).learn_category(broadcast.broadcast_id, category, at)
    if before != category:
        rows = Rows(state, broadcast.broadcast_id)
        rows.note_decision(None, f"category: {before} -> {category}", who, from_text(at))
        rows.skip_opted_out()


def follow_category(state: State, broadcast: Broadcast) -> None:
    """Let what events said of the category since it was read count. Inside a transaction."""
    current = Broadcasts(state).get(broadcast.broadcast_id)
    news = template_news(state, current)
    if news.category is not None:
        _follow(state, current, news.category)


@dataclass(frozen=True)
class TemplateNews:
    """The newest events about the template of a broadcast that its plan cannot know."""

    category: Event | None = None
    status: Event | None = None
    text: Event | None = None


def template_news(state: State, broadcast: Broadcast) -> TemplateNews:
    """The newest events about the template since the plan, or since its category was read."""
    template = Template.from_json(json.loads(broadcast.template))
    newest: dict[Kind, Event] = {}
    by_language: dict[tuple[Kind, str | None], Event] = {}
    kinds = (Kind.TEMPLATE_CATEGORY, Kind.TEMPLATE_STATUS, Kind.TEMPLATE_TEXT)
    since = from_text(min(broadcast.planned_at, broadcast.category_known_at))
    for event in EventLog(state).find(kinds=kinds, since=since, newest_first=False):
        is_category = event.kind is Kind.TEMPLATE_CATEGORY
        known_at = broadcast.category_known_at if is_category else broadcast.planned_at
        if (
            event.at > known_at
            and _is_news_of(event, template)
            and _concerns(state, broadcast, event)
        ):
            newest[event.kind] = event
            by_language[event.kind, _language_of(event, template)] = event
    # What forbids one language is not undone by good news of another.
    newest |= {
        kind: event for (kind, _), event in by_language.items() if reason_of(event, template)
    }
    return TemplateNews(*(newest.get(kind) for kind in kinds))


def _concerns(state: State, broadcast: Broadcast, event: Event) -> bool:
    return concerns(registry.known(state, broadcast.channel), account_event(event))


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
