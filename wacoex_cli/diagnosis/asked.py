"""What came of asking about channels, and keeping it. Nothing here asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import values_of
from wacoex_cli.channels.store import Facts, Signs
from wacoex_cli.inactivity import reading as countdown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel, Fact
    from wacoex_cli.diagnosis.snapshot import Failed
    from wacoex_cli.errors import WacoexError
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.foundation.state import State
    from wacoex_cli.partners.model import Listed
    from wacoex_cli.templates.model import Template

    Pair = tuple[Template, Template]
    """A template as it was planned, and as Meta has it now."""


@dataclass
class Reading:
    """What came of asking about one channel.

    `facts` are those read now. `failures` are why something could not be read; `is_known` says
    whether the number itself was, or was read so short a while ago that it counts.
    """

    facts: list[Fact] = field(default_factory=list)
    failures: list[WacoexError] = field(default_factory=list)
    is_known: bool = False
    lacks_token: bool = False
    lacks_app_secret: bool = False


@dataclass
class Asked:
    """What came of asking. By channel_id, except `failed` and `asked`, the sources asked."""

    readings: dict[int, Reading] = field(default_factory=dict)
    subscriptions: dict[int, Subscription | None] = field(default_factory=dict)
    listed: dict[int, Listed] = field(default_factory=dict)
    templates: dict[int, tuple[Pair, ...]] = field(default_factory=dict)
    failed: list[Failed] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)
    clock_skew_seconds: float | None = None


def keep(
    state: State,
    channels: Sequence[Channel],
    readings: dict[int, Reading],
    calls: dict[str, int],
    now: datetime,
) -> None:
    """Store what was read, the evidence in it, and how many calls it took."""
    with state.transaction():
        for channel in channels:
            facts = readings[channel.channel_id].facts
            Facts(state).store(channel.channel_id, facts)
            Signs(state).add(countdown.onboarding(channel, values_of(facts), now))
        Facts(state).count_calls(calls, now)
