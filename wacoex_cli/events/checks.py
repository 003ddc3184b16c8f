"""Findings about what does and does not come in: webhooks, silence, echoes, unsupported. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.events.traffic import EchoFlow, Summary, Unsupported

SILENCE_WINDOW = timedelta(days=28)
"""How far back before the newest arrival the usual silence is looked for."""

_LEAST_SILENCE = timedelta(hours=24)
_LEAST_HISTORY = timedelta(days=3)
_SOURCE_NAMES = {Source.META: "Meta", Source.RESPONDIO: "respond.io"}


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
    Field("account_alerts", Severity.INFO, "Meta's alerts"),
    Field("business_capability_update", Severity.INFO, "messaging limits"),
    Field("user_preferences", Severity.INFO, "people who stop marketing messages"),
    Field("phone_number_name_update", Severity.INFO, "decisions on the display name"),
    Field("security", Severity.INFO, "changes of the two-step PIN"),
)
"""The fields an operations tool lives on. Source: "Meta: webhooks, overview"."""


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

    def add(severity: Severity, said: str, case: str = "", **values: str) -> None:
        evidence = Evidence(said, "meta", observed_at)
        found.append(Finding("WX210", severity, channel, evidence, case=case, **values))

    if seen.is_attached is False:
        text = f"app {seen.app_id} is not among the subscribed apps"
        add(Severity.CRITICAL, text, case="detached")
    if seen.fields and not seen.is_active:
        text = f"the subscription of app {seen.app_id} is not active"
        add(Severity.CRITICAL, text, case="switched_off")
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        off = [
            field
            for field in FIELDS
            if seen.fields is not None
            and field.severity is severity
            and field.name not in seen.fields
        ]
        if off:
            add(
                severity,
                "; ".join(f"{field.name} tells of {field.purpose}" for field in off),
                fields="field is" if len(off) == 1 else "fields are",
                names=", ".join(field.name for field in off),
            )
    if seen.is_attached is None or seen.fields is None:
        add(Severity.UNKNOWN, seen.why)
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
    return [
        Finding(
            "WX108",
            Severity.WARNING,
            None,
            Evidence(text, "wacoex", to_text(newest)),
            case="meta" if source is Source.META else "respondio",
            provider=_SOURCE_NAMES[source],
            duration=_in_hours(now - newest),
        )
    ]


def _in_hours(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} hour{'' if hours == 1 else 's'}"


_LEAST_DAYS_WITH_ECHOES = 5
_LEAST_ECHO_SILENCE = timedelta(days=3)
_LEAST_MESSAGES = 10


def check_missing(
    flow: EchoFlow,
    channel: str,
    now: datetime,
    *,
    is_asked: bool = False,
    must_wait: bool = False,
    unsupported: Sequence[str] = (),
) -> list[Finding]:
    """WX406: a person misses messages (`is_asked`), or echoes stopped while contacts go on writing.

    Unasked it is only worth knowing: the answers may come from the inbox now. With `must_wait`
    WhatsApp may reconnect by itself, so nobody is told to connect again. `unsupported` names the
    companions on the list whose messages never come through.
    """
    stopped = _stopped(flow, now)
    if not (is_asked or stopped):
        return []
    return [
        Finding(
            "WX406",
            Severity.WARNING if is_asked else Severity.INFO,
            channel,
            _missing_evidence(flow, stopped, unsupported, now),
            must_wait=must_wait,
        )
    ]


def _stopped(flow: EchoFlow, now: datetime) -> str | None:
    """What speaks for echoes having stopped; None while nothing does.

    There were echoes on five days at least, now there are none for three days and for longer than
    ever between two of those, and ten messages of contacts have come in since.
    """
    if flow.last_echo_at is None or len(flow.echo_days) < _LEAST_DAYS_WITH_ECHOES:
        return None
    days = [date.fromisoformat(one) for one in flow.echo_days]
    longest = max(after - before for before, after in pairwise(days))
    silence = now - from_text(flow.last_echo_at)
    messages = sum(count for day, count in flow.inbound if day > flow.echo_days[-1])
    if silence < _LEAST_ECHO_SILENCE or silence <= 2 * longest or messages < _LEAST_MESSAGES:
        return None
    return (
        f"the newest echo is {silence.days} days old; before, the longest time between two was"
        f" {longest.days} days, and {messages} messages of contacts came in since"
    )


def _missing_evidence(
    flow: EchoFlow, stopped: str | None, unsupported: Sequence[str], now: datetime
) -> tuple[Evidence, ...]:
    observed = flow.last_echo_at or to_text(now)
    if stopped is None:
        stopped = (
            "an echo came in last at that time"
            if flow.last_echo_at
            else "no echo came in within 28 days, as far as wacoex is told"
        )
    listed = [
        Evidence(f"{one} is on the list, and never comes through", "device list", to_text(now))
        for one in unsupported
    ]
    return (Evidence(stopped, "events", observed), *listed)


QUIET_DAYS = 10
"""After so many days without a sign of the app, what is unsupported is put down to catching up."""

_NOT_CARRIED = 131051
# They stand for the message as a whole, and say nothing about its type.
_NO_TYPES = frozenset({"media_placeholder", "errors", "unknown"})
_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT = "WX401", "WX402", "WX403", "WX404", "WX405"


def rank_causes(
    summary: Summary, channel: str, now: datetime, *, is_asked: bool = False
) -> list[Finding]:
    """The causes of the last 7 days' unsupported messages, the likeliest first.

    Each message is put down to the one cause that what is known speaks for. With `is_asked`,
    because a person sees such messages, the other causes follow, as possible.
    """
    found: dict[str, list[Unsupported]] = defaultdict(list)
    for one in summary.messages:
        found[likeliest_cause(one)].append(one)
    causes = (_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT)
    return [
        _cause_finding(cause, found[cause], summary, channel, now)
        for cause in sorted(causes, key=lambda cause: -len(found[cause]))
        if found[cause] or is_asked
    ]


def likeliest_cause(one: Unsupported) -> str:
    """The id of the cause that speaks most for itself in one message."""
    has_type = one.type is not None and one.type not in _NO_TYPES
    is_catching_up = one.is_after_connecting or (one.quiet_days or 0) >= QUIET_DAYS
    reasons = (
        (one.type == "edit" or one.is_edit, _EDIT),
        (one.code == _NOT_CARRIED and has_type, _TYPE),
        (one.is_referred, _FIRST),
        (one.code == _NOT_CARRIED, _TYPE),
        (is_catching_up, _CATCHING_UP),
        (one.is_first is True, _FIRST),
    )
    # The contact's device is what is left: nothing that comes in could ever speak for it.
    return next((cause for holds, cause in reasons if holds), _COMPANION)


def _cause_finding(
    cause: str, messages: Sequence[Unsupported], summary: Summary, channel: str, now: datetime
) -> Finding:
    of_all = f"of {summary.in_all} unsupported messages in 7 days"
    if not messages:
        nothing = Evidence(f"none {of_all} speaks for it", "wacoex", to_text(now))
        return Finding(cause, Severity.INFO, channel, nothing, case="possible")
    is_lead_lost = cause == _FIRST and any(message.is_referred for message in messages)
    severity = Severity.WARNING if is_lead_lost else Severity.INFO
    newest = max(messages, key=lambda message: message.at)
    text = f"{len(messages)} {of_all}: {_cause_reason(cause, messages)}"
    return Finding(cause, severity, channel, Evidence(text, newest.source.value, newest.at))


def _cause_reason(cause: str, messages: Sequence[Unsupported]) -> str:
    codes = ", ".join(f"code {code}" for code in sorted({one.code for one in messages if one.code}))
    if cause == _TYPE:
        types = Counter(one.type or "not named" for one in messages)
        named = ", ".join(f"{name} ({count})" for name, count in sorted(types.items()))
        return f"{codes}; {named}"
    if cause == _EDIT:
        return "an edit of the same contact came at that moment, or Meta says so"
    if cause == _FIRST:
        referred = sum(one.is_referred for one in messages)
        told = [f"{referred} through an ad or a link"] if referred else []
        if new := len(messages) - referred:
            told.append(f"{new} of contacts that were never seen before")
        return f"{codes or 'no code'}; {', '.join(told)}"
    if cause == _CATCHING_UP:
        days = max((one.quiet_days or 0 for one in messages), default=0)
        if days >= QUIET_DAYS:
            return f"no sign of the app for {days:.0f} days before"
        return "the number had been connected less than 24 hours before"
    return f"{codes or 'respond.io names no code'}; nothing at hand speaks for another cause"
