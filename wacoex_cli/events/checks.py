"""Findings about what does and does not come in. Pure."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

SILENCE_WINDOW = timedelta(days=28)
"""How far back before the newest arrival the usual silence is looked for."""

_LEAST_SILENCE = timedelta(hours=24)
_LEAST_HISTORY = timedelta(days=3)
_SOURCE_NAMES = {Source.META: "Meta", Source.RESPONDIO: "respond.io"}

_SILENCE_REMEDY: Mapping[Source, tuple[str, ...]] = {
    Source.META: (
        "see whether `wacoex events listen` runs and is reached: open its `/healthz` from outside",
        "see whether Meta delivers: `wacoex events subscribe --check`",
        "send a message to the number from another phone, and look: `wacoex events list`",
    ),
    Source.RESPONDIO: (
        "see whether `wacoex events listen` runs and is reached: open its `/healthz` from outside",
        "in respond.io open Workspace Settings, Integrations, Webhooks: a webhook that failed"
        " too often is switched off there",
        "fetch what was missed: `wacoex events pull`",
    ),
}


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


CLICKS = (
    "App Dashboard (developers.facebook.com/apps), your app, WhatsApp, Configuration,"
    " Webhook fields, Manage",
    "switch each of these fields on (Subscribe)",
)
"""The way to the webhook fields, which no command of ours switches."""


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
    return [
        Finding(
            id="WX210",
            severity=one.severity,
            channel=channel,
            title=one.title,
            evidence=(Evidence(one.said, "meta", observed_at),),
            remedy=one.remedy,
            verify=f"wacoex events subscribe --check --channel {channel}",
        )
        for one in (*_nothing_comes(seen, channel), *_fields_off(seen), *_not_known(seen))
    ]


class _Problem(NamedTuple):
    severity: Severity
    title: str
    said: str
    remedy: tuple[str, ...]


def _nothing_comes(seen: Subscribed, channel: str) -> Iterator[_Problem]:
    if seen.is_attached is False:
        yield _Problem(
            Severity.CRITICAL,
            "Meta delivers nothing: the WABA is not attached to our app",
            f"app {seen.app_id} is not among the subscribed apps",
            (f"run `wacoex events subscribe --channel {channel}`",),
        )
    if seen.fields and not seen.is_active:
        yield _Problem(
            Severity.CRITICAL,
            "Meta delivers nothing: the webhook is switched off",
            f"the subscription of app {seen.app_id} is not active",
            (f"{CLICKS[0].removesuffix(', Webhook fields, Manage')}: verify and save again",),
        )


def _fields_off(seen: Subscribed) -> Iterator[_Problem]:
    on = seen.fields
    missing = [one for one in FIELDS if on is not None and one.name not in on]
    for severity in (Severity.CRITICAL, Severity.WARNING, Severity.INFO):
        fields = [one for one in missing if one.severity is severity]
        if fields:
            names = ", ".join(one.name for one in fields)
            yield _Problem(
                severity,
                f"webhook {'field is' if len(fields) == 1 else 'fields are'} off: {names}",
                "; ".join(f"{one.name} tells of {one.purpose}" for one in fields),
                CLICKS,
            )


def _not_known(seen: Subscribed) -> Iterator[_Problem]:
    if seen.is_attached is None or seen.fields is None:
        yield _Problem(
            Severity.UNKNOWN,
            "it cannot be read which webhooks are on",
            seen.why,
            (
                "set `WACOEX_META_APP_ID`, and the app secret with"
                " `wacoex auth login meta-app-secret`",
                f"or look by eye: {CLICKS[0]}",
            ),
        )


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
    name = _SOURCE_NAMES[source]
    return [
        Finding(
            id="WX108",
            severity=Severity.WARNING,
            channel=None,
            title=f"nothing has come in from {name} for {_in_hours(now - newest)}",
            evidence=(
                Evidence(
                    f"the newest arrival was at {to_text(newest)}; the longest silence of the 28"
                    f" days before it was {_in_hours(longest)}",
                    "wacoex",
                    to_text(newest),
                ),
            ),
            remedy=_SILENCE_REMEDY[source],
            verify="wacoex events subscribe --check",
        )
    ]


def _in_hours(length: timedelta) -> str:
    hours = int(length.total_seconds() // 3600)
    return f"{hours} hour{'' if hours == 1 else 's'}"
