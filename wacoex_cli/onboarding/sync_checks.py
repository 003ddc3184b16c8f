"""WX605: contacts and history are copied once, within 24 hours of connecting. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

_ANEW = (
    "go on without them: the channel works, and what comes from now on is mirrored",
    "if they are needed: disconnect in the app (Settings, Account, Business Platform),"
    " then connect again, and choose to share the chats",
)


def check_window(closes_at: datetime, channel: str, now: datetime, source: str) -> list[Finding]:
    """What there is to know about a copy that was not asked for yet (Meta: smb_app_data)."""
    closes = to_text(closes_at)
    if now < closes_at:
        steps = (f"copy them before that: `wacoex connect {channel}`",)
        title = f"contacts and history can be copied until {closes}"
        return [_finding(Severity.INFO, channel, title, _fact(closes, source, now), steps)]
    title = f"contacts and history can no longer be copied: the time for it ended {closes}"
    return [_finding(Severity.WARNING, channel, title, _fact(closes, source, now), _ANEW)]


def refused(code: int, meaning: str, channel: str, observed_at: str) -> Finding:
    """Meta refused to copy, or told by webhook that nothing is shared.

    Codes: 2593107 asked for more than once, 2593108 after 24 hours, 2593109 not shared.
    """
    fact = Evidence(f"code {code}: {meaning}", "meta", observed_at)
    title = "contacts or history are not copied, and cannot be asked for again"
    return _finding(Severity.WARNING, channel, title, fact, _ANEW)


def _fact(closes: str, source: str, now: datetime) -> Evidence:
    return Evidence(f"connecting opens 24 hours, which end {closes}", source, to_text(now))


def _finding(
    severity: Severity, channel: str, title: str, fact: Evidence, steps: tuple[str, ...]
) -> Finding:
    return Finding(
        id="WX605",
        severity=severity,
        channel=channel,
        title=title,
        evidence=(fact,),
        remedy=steps,
        verify=f"wacoex events list -c {channel} --kind history",
    )
