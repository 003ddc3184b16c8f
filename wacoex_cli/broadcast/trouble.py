"""What went wrong with the broadcasts of a channel, as far as it still matters."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

RECENT = timedelta(hours=24)


@dataclass(frozen=True)
class Doubtful:
    """Rows of one broadcast of which nobody knows whether they went out, the newest `at`."""

    broadcast_id: int
    rows: int
    at: str


@dataclass(frozen=True)
class Throttled:
    """How often Meta answered 130429 while one broadcast was sent, the last time `at`."""

    broadcast_id: int
    times: int
    at: str


@dataclass(frozen=True)
class Trouble:
    """What is left of broadcasts. Times are RFC 3339 in UTC.

    `refused` are people by Meta's code, 131049 or 131050, the newest at `refused_at`. But for
    `doubtful`, which waits until it is decided, all is of the last 24 hours.
    """

    doubtful: tuple[Doubtful, ...] = ()
    throttled: tuple[Throttled, ...] = ()
    refused: Mapping[int, int] = field(default_factory=dict)
    refused_at: str = ""


def troubles(state: State, channels: Sequence[Channel], now: datetime) -> dict[int, Trouble]:
    """What went wrong with the broadcasts of each of these channels, by channel_id."""
    since = now - RECENT
    doubtful = figures.ambiguous(state)
    throttled = figures.throttled(state, since)
    refused = figures.refused(state, since)
    found = {}
    for one in channels:
        own = [row for row in refused if row["channel_id"] == one.channel_id]
        found[one.channel_id] = Trouble(
            doubtful=tuple(
                Doubtful(row["broadcast_id"], row["n"], row["at"])
                for row in doubtful
                if row["channel_id"] == one.channel_id
            ),
            throttled=tuple(
                Throttled(row["broadcast_id"], row["n"], row["at"])
                for row in throttled
                if row["channel_id"] == one.channel_id
            ),
            refused={row["code"]: row["n"] for row in own},
            refused_at=max((row["at"] for row in own), default=""),
        )
    return found
