"""Findings about the token of a channel, the app secret and the Graph version. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.access_token import EXPIRES_SOON, NEEDED_SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_VERSION_ENDS_SOON = timedelta(days=90)

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
    said = Evidence("no meta-token is configured for this channel", "settings", observed_at)
    return Finding("WX701", Severity.UNKNOWN, channel, said, case="missing")


def refused_token(channel: str, said: str, observed_at: str) -> Finding:
    """WX701: Meta refused the token, or a right it lacks; so nothing can be known."""
    evidence = Evidence(said, "meta", observed_at)
    return Finding("WX701", Severity.UNKNOWN, channel, evidence, case="refused", rights=_rights())


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
        said = Evidence(f"it expires at {to_text(expires_at)}", "meta", observed_at)
        found.append(Finding("WX701", Severity.WARNING, channel, said, case="expires"))
    scopes = values.get("token.scopes")
    lacking = [scope for scope in NEEDED_SCOPES if isinstance(scopes, list) and scope not in scopes]
    if lacking:
        said = Evidence(f"it lacks {' and '.join(lacking)}", "meta", observed_at)
        found.append(
            Finding("WX701", Severity.WARNING, channel, said, case="lacks_right", rights=_rights())
        )
    return found


def check_app_secret(channels: Collection[str], observed_at: str) -> list[Finding]:
    """WX702: channels whose calls to Meta are not signed (Meta: secure requests)."""
    if not channels:
        return []
    names = ", ".join(sorted(channels)[:3]) + (", ..." if len(channels) > 3 else "")
    said = f"no meta-app-secret is configured for {names}"
    return [Finding("WX702", Severity.INFO, None, Evidence(said, "settings", observed_at))]


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
    evidence = Evidence(when, "wacoex", observed_at)
    case = "ended" if has_ended else "ends"
    return [Finding("WX703", Severity.WARNING, None, evidence, case=case)]


def _rights() -> str:
    return " and ".join(NEEDED_SCOPES)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
