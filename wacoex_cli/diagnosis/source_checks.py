"""Findings about the sources themselves: one that did not answer, and its webhooks. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from wacoex_cli.diagnosis import apps
from wacoex_cli.events.checks import check_subscription
from wacoex_cli.findings.model import Evidence, Finding, Severity, worst_first
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from wacoex_cli.diagnosis.snapshot import ChannelView, Failed

_NAMES = {"meta": "Meta", "respondio": "respond.io"}
_SHOWN = 3


def check_sources(failed: Iterable[Failed], now: datetime) -> list[Finding]:
    """WX709: a source could not be asked, or gave no usable answer; once for each source.

    What depends on it is not known, which is no sign of a fault (and none of health).
    """
    by_source: dict[str, list[Failed]] = defaultdict(list)
    for one in failed:
        by_source[one.source].append(one)
    return [_not_asked(source, told, now) for source, told in by_source.items()]


def check_webhooks(view: ChannelView, now: datetime) -> list[Finding]:
    """WX210 as one finding.

    What only the app secret could tell is left out where there is none: that is WX702.
    """
    if view.subscription is None:
        return apps.check_attached(view.facts, view.own_app_id, view.channel)
    seen = view.subscription.seen
    found = check_subscription(seen, view.name, to_text(now))
    is_out_of_reach = view.reading.lacks_app_secret and seen.is_attached is not None
    if is_out_of_reach:
        found = [one for one in found if one.severity is not Severity.UNKNOWN]
    return _as_one(found)


def _as_one(found: list[Finding]) -> list[Finding]:
    """The worst of several about the same thing, with what all of them rest on and advise."""
    if len(found) < 2:
        return found
    ordered = worst_first(found)
    evidence = tuple(fact for one in ordered for fact in one.evidence)
    remedy = tuple(dict.fromkeys(step for one in ordered for step in one.remedy))
    return [ordered[0].replace(evidence=evidence, remedy=remedy)]


def _not_asked(source: str, told: list[Failed], now: datetime) -> Finding:
    channels = list(dict.fromkeys(one.channel for one in told))
    reasons: dict[str, list[str]] = defaultdict(list)
    for one in told:
        reasons[one.error.message].append(one.channel)
    hints = dict.fromkeys(one.error.hint or "try again in a minute" for one in told)
    return Finding(
        "WX709",
        Severity.UNKNOWN,
        channels[0] if len(channels) == 1 else None,
        [
            Evidence(f"{message} (asked about {_some(names)})", source, to_text(now))
            for message, names in reasons.items()
        ],
        source=_NAMES.get(source, source),
        hints=list(hints),
    )


def _some(names: list[str]) -> str:
    different = list(dict.fromkeys(names))
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return ", ".join(different[:_SHOWN]) + more
