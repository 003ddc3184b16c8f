"""Why messages of contacts came in as unsupported: the five causes (WX401 to WX405). Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.events.traffic import Summary, Unsupported

QUIET_DAYS = 10
"""After so many days without a sign of the app, what is unsupported is put down to catching up."""

_NOT_CARRIED = 131051
# They stand for the message as a whole, and say nothing about its type.
_NO_TYPES = frozenset({"media_placeholder", "errors", "unknown"})
_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT = "WX401", "WX402", "WX403", "WX404", "WX405"


def rank(summary: Summary, channel: str, now: datetime, *, is_asked: bool = False) -> list[Finding]:
    """The causes of the last 7 days' unsupported messages, the likeliest first.

    Each message is put down to the one cause that what is known speaks for. With `is_asked`,
    because a person sees such messages, the other causes follow, as possible.
    """
    found: dict[str, list[Unsupported]] = defaultdict(list)
    for one in summary.messages:
        found[likeliest(one)].append(one)
    causes = (_COMPANION, _CATCHING_UP, _TYPE, _FIRST, _EDIT)
    return [
        _finding(cause, found[cause], summary, channel, now)
        for cause in sorted(causes, key=lambda cause: -len(found[cause]))
        if found[cause] or is_asked
    ]


def likeliest(one: Unsupported) -> str:
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


def _finding(
    cause: str, messages: Sequence[Unsupported], summary: Summary, channel: str, now: datetime
) -> Finding:
    of_all = f"of {summary.in_all} unsupported messages in 7 days"
    if not messages:
        nothing = Evidence(f"none {of_all} speaks for it", "wacoex", to_text(now))
        return Finding(cause, Severity.INFO, channel, nothing, case="possible")
    is_lead_lost = cause == _FIRST and any(message.is_referred for message in messages)
    severity = Severity.WARNING if is_lead_lost else Severity.INFO
    newest = max(messages, key=lambda message: message.at)
    text = f"{len(messages)} {of_all}: {_reason(cause, messages)}"
    return Finding(cause, severity, channel, Evidence(text, newest.source.value, newest.at))


def _reason(cause: str, messages: Sequence[Unsupported]) -> str:
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
