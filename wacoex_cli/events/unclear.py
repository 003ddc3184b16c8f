"""What Meta reported where access or money hangs on it, and no rule here could read or judge.

Table unclear_events(event_key, phone_number_id, phone, waba_id, respondio_channel_id, kind,
subject, what, at, unclear, look): also what was understood of the same subjects, because the
newest word on a subject counts. Moments are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.facts import CONNECTING
from wacoex_cli.events.unplaced import COUNTS_FOR, Named, Places, named_by
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.events import Event, Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.foundation.state import State

_FIELDS: Mapping[Kind, str] = {
    Kind.ACCOUNT_UPDATE: "account_update",
    Kind.TEMPLATE_STATUS: "message_template_status_update",
    Kind.TEMPLATE_CATEGORY: "template_category_update",
    Kind.TEMPLATE_TEXT: "message_template_components_update",
    Kind.QUALITY: "quality_update",
    Kind.CAPABILITY: "business_capability_update",
    Kind.ALERT: "account_alerts",
    Kind.HISTORY: "history",
    Kind.USER_PREFERENCE: "user_preferences",
}
# These are of interest only when something in them was not understood.
_MOSTLY_CLEAR = frozenset({Kind.OTHER, Kind.HISTORY, Kind.USER_PREFERENCE})
# Each flow, and each person, counts for itself.
_ONLY_FOR_ITSELF = frozenset({"flows", "user_preferences"})


class NotUnderstood(NamedTuple):
    """One event: the webhook field with its word, when (RFC 3339, UTC), and what is unclear.

    `parts` could not be read; without any a rule that judges the word is missing.
    """

    what: str
    at: str
    parts: tuple[str, ...]


def _project(state: State, events: Sequence[Event], now: datetime) -> None:
    del now
    state.execute_many(
        "INSERT INTO unclear_events (event_key, phone_number_id, phone, waba_id,"
        " respondio_channel_id, kind, subject, what, at, unclear, look)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_key) DO NOTHING",
        [
            (
                *(event.key, *named_by(event), event.kind.value),
                *(_subject(event), _what(event), event.at),
                *(" ".join(event.data.get("unclear") or ()), int(bool(event.data.get("look")))),
            )
            for event in events
            if _is_watched(event)
        ],
    )


def _is_watched(event: Event) -> bool:
    data = event.data
    if event.kind in _MOSTLY_CLEAR:
        return bool(data.get("decision") or data.get("unclear") or data.get("look"))
    return True


def _what(event: Event) -> str:
    """The webhook field, with its word."""
    data = event.data
    field = data.get("field") or _FIELDS.get(event.kind, event.kind.value)
    names = (
        "template_name",
        "event",
        "decision",
        "type",
        "severity",
        "old",
        "new",
        "category",
        "value",
    )
    words = (data.get(name) for name in names)
    return " ".join((field, *(text for text in words if isinstance(text, str))))


def _subject(event: Event) -> str:
    """What it is the last word on, until something newer of the same subject comes."""
    data = event.data
    field = data.get("field") or _FIELDS.get(event.kind, event.kind.value)
    template = data.get("template_id") or data.get("template_name")
    if template:
        return f"{field}:{template}"
    if event.kind is Kind.ACCOUNT_UPDATE:
        return f"{field}:{data.get('event')}"
    if event.kind is Kind.ALERT:
        return f"{field}:{data.get('type')}"
    return f"{field}:{event.key}" if field in _ONLY_FOR_ITSELF else field


UNCLEAR = Projection("unclear", frozenset({*_FIELDS, Kind.OTHER}), _project)
"""What a person has to look at, because nothing here understood it."""


def unclear_events(
    state: State, places: Places, now: datetime
) -> dict[str | None, list[NotUnderstood]]:
    """What was not understood within 30 days, and nothing newer has settled; newest first.

    By the name of each channel that it is about; under None what is about no channel. An account
    update says nothing about a number that was connected later.
    """
    rows = state.tuples(
        "SELECT subject, kind, at, event_key, what, unclear, look,"
        f" {', '.join(Named._fields)} FROM unclear_events WHERE at > ? AND at <= ?"
        " ORDER BY at, event_key",
        [to_text(now - COUNTS_FOR), to_text(now)],
    )
    newest: dict[tuple[str, ...], str] = {}
    connected: dict[tuple[str, ...], str] = {}
    for subject, kind, at, event_key, _, _, _, *names in rows:
        newest[subject, *names] = event_key
        if subject.partition(":")[2] in CONNECTING:
            connected[places.of(Named(*names), Kind(kind), at)] = at
    found: dict[str | None, list[NotUnderstood]] = defaultdict(list)
    for subject, kind, at, event_key, what, unclear, look, *names in reversed(rows):
        if not (unclear or look) or newest[subject, *names] != event_key:
            continue
        channels = places.of(Named(*names), Kind(kind), at)
        if kind == Kind.ACCOUNT_UPDATE and at < connected.get(channels, ""):
            continue
        for channel in channels or (None,):
            found[channel].append(NotUnderstood(what, at, tuple(unclear.split())))
    return dict(found)


def check_understood(own: Sequence[NotUnderstood], channel: str | None) -> list[Finding]:
    """WX213: what Meta reported about a channel, or (None) about none, was not understood here."""
    if not own:
        return []
    evidence = [Evidence(_text(each), "meta", each.at) for each in own]
    is_unread = any(each.parts for each in own)
    severity = Severity.UNKNOWN if is_unread else Severity.WARNING
    leading = next(each for each in own if bool(each.parts) is is_unread)
    words = {"what": leading.what, "place": f" -c {channel}" if channel else ""}
    return [Finding("WX213", severity, channel, evidence, **words)]


def _text(each: NotUnderstood) -> str:
    if each.parts:
        return f"{each.what}: {', '.join(each.parts)} could not be read"
    return f"{each.what}: this version has no rule for it"
