"""Findings about the token of a channel, the app secret and the Graph version. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.meta_answers import EXPIRES_SOON, NEEDED_SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_VERSION_ENDS_SOON = timedelta(days=90)
_STORE_IT = "create a new token and store it with `wacoex auth login meta-token`"

VERSION_ENDS = {
    20: date(2026, 9, 24),
    21: date(2027, 1, 21),
    22: date(2027, 5, 20),
    23: date(2027, 10, 8),
    24: date(2028, 2, 18),
    25: date(2028, 7, 29),
}
"""The day each Graph version ends; what is not listed is older or newer (Meta: versions)."""


def missing_token(channel: str, observed_at: str) -> Finding:
    """WX701: a channel that works through Meta has no token."""
    steps = ("create a token in Meta Business settings, System users", _STORE_IT)
    evidence = "no meta-token is configured for this channel"
    return _token_finding(
        channel, Severity.UNKNOWN, "there is no token", (evidence, "settings"), steps, observed_at
    )


def refused_token(channel: str, said: str, observed_at: str) -> Finding:
    """WX701: Meta refused the token, or a right it lacks; so nothing can be known."""
    steps = (_STORE_IT, f"its system user needs the WABA and the rights {_rights()}")
    title = "Meta refuses the token"
    return _token_finding(channel, Severity.UNKNOWN, title, (said, "meta"), steps, observed_at)


def check_token(
    values: Mapping[str, Any], channel: str, now: datetime, observed_at: str
) -> list[Finding]:
    """WX701 from what `debug_token` said: no longer valid, ends within 14 days, lacks a scope."""
    expires_at = _moment(values.get("token.expires_at"))
    if values.get("token.is_valid") is False or (expires_at and expires_at <= now):
        when = f"it expired at {to_text(expires_at)}" if expires_at else "is_valid is false"
        return [refused_token(channel, when, observed_at)]
    found = []
    if expires_at and expires_at - now < EXPIRES_SOON:
        told = (f"it expires at {to_text(expires_at)}", "meta")
        title = "the token expires within 14 days"
        found.append(
            _token_finding(channel, Severity.WARNING, title, told, (_STORE_IT,), observed_at)
        )
    scopes = values.get("token.scopes")
    lacking = [one for one in NEEDED_SCOPES if isinstance(scopes, list) and one not in scopes]
    if lacking:
        told = (f"it lacks {' and '.join(lacking)}", "meta")
        steps = (f"create a token with the rights {_rights()}", _STORE_IT)
        title = "the token lacks a right"
        found.append(_token_finding(channel, Severity.WARNING, title, told, steps, observed_at))
    return found


def check_app_secret(channels: Collection[str], observed_at: str) -> list[Finding]:
    """WX702: channels whose calls to Meta are not signed (Meta: secure requests)."""
    if not channels:
        return []
    names = ", ".join(sorted(channels)[:3]) + (", ..." if len(channels) > 3 else "")
    return [
        Finding(
            id="WX702",
            severity=Severity.INFO,
            channel=None,
            title="there is no app secret: calls to Meta are not signed",
            evidence=(
                Evidence(f"no meta-app-secret is configured for {names}", "settings", observed_at),
            ),
            remedy=(
                "nothing, unless the app demands it (App Dashboard, Settings, Advanced)",
                "else copy it there from Settings, Basic, into `wacoex auth login meta-app-secret`",
            ),
            verify="wacoex status",
        )
    ]


def check_version(version: str, now: datetime, observed_at: str) -> list[Finding]:
    """WX703: the Graph version in use has ended or ends within 90 days."""
    major = int(version.removeprefix("v").partition(".")[0])
    end = VERSION_ENDS.get(major)
    if end is None and major > min(VERSION_ENDS):
        return []
    left = (end - now.astimezone(UTC).date()) if end else timedelta(days=-1)
    if left >= _VERSION_ENDS_SOON:
        return []
    has_ended = left <= timedelta(0)
    when = f"{version} {'ended' if has_ended else 'ends'} on {end}" if end else f"{version} is gone"
    return [
        Finding(
            id="WX703",
            severity=Severity.WARNING,
            channel=None,
            title="the Graph version has ended" if has_ended else "the Graph version ends soon",
            evidence=(Evidence(when, "wacoex", observed_at),),
            remedy=(
                "remove `WACOEX_META_API_VERSION` from the settings, or raise it",
                "update wacoex: its default is a living version",
            ),
            verify="wacoex status",
        )
    ]


def _token_finding(
    channel: str,
    severity: Severity,
    title: str,
    said: tuple[str, str],
    remedy: tuple[str, ...],
    observed_at: str,
) -> Finding:
    text, source = said
    return Finding(
        id="WX701",
        severity=severity,
        channel=channel,
        title=title,
        evidence=(Evidence(text, source, observed_at),),
        remedy=remedy,
        verify="wacoex auth status",
    )


def _rights() -> str:
    return " and ".join(NEEDED_SCOPES)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
