"""Findings about what does and does not come in. Pure."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

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
