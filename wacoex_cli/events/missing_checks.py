"""Messages that are sent in the app and do not appear at the partner (WX406). Pure."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.events.traffic import EchoFlow

_LEAST_DAYS_WITH_ECHOES = 5
_LEAST_SILENCE = timedelta(days=3)
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
            _evidence(flow, stopped, unsupported, now),
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
    if silence < _LEAST_SILENCE or silence <= 2 * longest or messages < _LEAST_MESSAGES:
        return None
    return (
        f"the newest echo is {silence.days} days old; before, the longest time between two was"
        f" {longest.days} days, and {messages} messages of contacts came in since"
    )


def _evidence(
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
