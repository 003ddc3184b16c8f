"""Whether a channel is connected, or has just been and Meta's data still lags. Pure."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.checks import CANNOT_SEND
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SETTLES_WITHIN = timedelta(hours=24)
_CLOCKS_DIFFER_AT_MOST = timedelta(minutes=5)
_LAGS = frozenset({"WX201", "WX206"})
# These are decisions of somebody, no lag.
_FINAL = CANNOT_SEND - {"PENDING", "DISCONNECTED", "UNVERIFIED"}


def connected_at(values: Mapping[str, Any]) -> datetime | None:
    """When the number was last onboarded, as Meta tells it; None without a usable time."""
    told = values.get("last_onboarded_time")
    try:
        if isinstance(told, int | float):
            return datetime.fromtimestamp(told, UTC)
        moment = datetime.fromisoformat(str(told))
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_settling(values: Mapping[str, Any], now: datetime) -> bool:
    """Connected less than 24 hours ago: what Meta says of such a number lags behind."""
    moment = connected_at(values)
    return moment is not None and -_CLOCKS_DIFFER_AT_MOST <= now - moment < SETTLES_WITHIN


def connection(values: Mapping[str, Any], now: datetime) -> str | None:
    """`settling`, `connected`, or None where the facts do not prove either."""
    if is_settling(values, now):
        return "settling"
    is_connected = (
        values.get("is_on_biz_app") is True
        and values.get("status") == "CONNECTED"
        and values.get("platform_type", "CLOUD_API") == "CLOUD_API"
    )
    return "connected" if is_connected else None


def allow_for_settling(
    findings: Iterable[Finding], values: Mapping[str, Any], channel: str, now: datetime, seen: str
) -> list[Finding]:
    """WX208 beside what was found, which counts as information while the number settles.

    A number that was banned, restricted, migrated or deleted is not excused. `seen` is when the
    facts were read.
    """
    moment = connected_at(values)
    if moment is None or not is_settling(values, now):
        return list(findings)
    is_excused = values.get("status") not in _FINAL
    softened = [
        dataclasses.replace(one, severity=Severity.INFO) if is_excused and one.id in _LAGS else one
        for one in findings
    ]
    return [*softened, _settling(moment, channel, seen)]


def _settling(moment: datetime, channel: str, seen: str) -> Finding:
    return Finding(
        id="WX208",
        severity=Severity.INFO,
        channel=channel,
        title="connected a short while ago, Meta's data may lag",
        evidence=(Evidence(f"last_onboarded_time is {to_text(moment)}", "meta", seen),),
        remedy=(
            "leave the app open and online until its sync is done",
            f"look again after {to_text(moment + SETTLES_WITHIN)}",
        ),
        verify="wacoex status",
    )
