"""Whether echoes still come in, beside the messages of contacts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Signs
from wacoex_cli.events import traffic_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.traffic_ledger import Day
    from wacoex_cli.foundation.state import State

FLOW_WINDOW = timedelta(days=28)
"""How far back echoes and messages are counted."""


@dataclass(frozen=True)
class EchoFlow:
    """The days (`2026-11-07`, UTC) of the last 28 with echoes, and with messages of contacts.

    `last_echo_at` is RFC 3339 in UTC; None when there was no echo.
    """

    echo_days: tuple[str, ...] = ()
    last_echo_at: str | None = None
    inbound: tuple[tuple[str, int], ...] = ()


def flows(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, EchoFlow]:
    """How echoes and messages of contacts came in, by channel_id."""
    since = now - FLOW_WINDOW
    echoes = traffic_ledger.echo_days(state, since)
    inbound = traffic_ledger.inbound_days(state, since) if echoes else []
    found = {}
    for one in channels:
        own = frozenset(Signs(state).addresses_for(one))
        found[one.channel_id] = _flow(
            [day for day in echoes if day.addresses & own],
            [day for day in inbound if day.addresses & own],
        )
    return found


def _flow(echoes: Sequence[Day], inbound: Sequence[Day]) -> EchoFlow:
    messages: dict[str, int] = {}
    for one in inbound:
        # Meta and respond.io may tell the same messages.
        messages[one.day] = max(messages.get(one.day, 0), one.messages)
    return EchoFlow(
        tuple(sorted({one.day for one in echoes})),
        max((one.newest_at for one in echoes), default=None),
        tuple(sorted(messages.items())),
    )
