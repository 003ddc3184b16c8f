"""WX605: contacts and history are copied once, within 24 hours of connecting. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime


def check_window(closes_at: datetime, channel: str, now: datetime, source: str) -> list[Finding]:
    """What there is to know about a copy that was not asked for yet (Meta: smb_app_data)."""
    closes = to_text(closes_at)
    text = f"connecting opens 24 hours, which end {closes}"
    fact = Evidence(text, source, to_text(now))
    severity = Severity.INFO if now < closes_at else Severity.WARNING
    return [Finding("WX605", severity, channel, fact, closes=closes)]


def refused(code: int, meaning: str, channel: str, observed_at: str) -> Finding:
    """Meta refused to copy, or told by webhook that nothing is shared.

    Codes: 2593107 asked for more than once, 2593108 after 24 hours, 2593109 not shared.
    """
    fact = Evidence(f"code {code}: {meaning}", "meta", observed_at)
    return Finding("WX605", Severity.WARNING, channel, fact, case="refused")
