"""When a person has had enough messages, and when a day has. Nothing here reads or writes."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.errors import counted
from wacoex_cli.pressure.model import length_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from wacoex_cli.pressure.model import Pressure, Ramp

DAY = timedelta(hours=24)
_NO_LIMIT = 1_000_000


def why_enough(
    pressure: Pressure,
    sent: Sequence[datetime],
    answered_since: Callable[[datetime], bool],
    now: datetime,
) -> str | None:
    """Why a person gets no more now, in words; None when they may get one more.

    `sent` is when messages to them were claimed, in any order; `answered_since` says whether a
    message of theirs came at or after a moment. A window has its end and lacks its beginning: what
    was sent exactly seven days ago is not in the last seven days. A message from the future, after
    a clock was set back, counts as new.
    """
    latest = sorted(sent, reverse=True)
    if most := pressure.most:
        in_window = sum(at > now - most.window for at in latest)
        if in_window >= most.messages:
            return f"got {counted(in_window, 'message')} in {length_text(most.window)}"
    if pressure.rest and latest and latest[0] > now - pressure.rest:
        return f"got a message less than {length_text(pressure.rest)} ago"
    n = pressure.unanswered
    if n and len(latest) >= n and not answered_since(latest[n - 1]):
        return f"answered none of the last {counted(n, 'message')}"
    return None


class DayLimit(NamedTuple):
    """At most `most` messages in 24 hours; `grows_at` is when a ramp allows more."""

    most: int
    grows_at: datetime | None = None


def ramp_limit(ramp: Ramp, days: int, grows_at: datetime | None) -> DayLimit:
    """The limit of a number that has sent on this many days before this one.

    `grows_at` is when its present day ends; None while it has sent nothing.
    """
    most = ramp.first
    for _ in range(days):
        # At least one more: 1 and 50% would stay 1 for ever.
        most = max(most + 1, int(most * (1 + ramp.growth))) if ramp.growth else most
        if most >= _NO_LIMIT:
            return DayLimit(_NO_LIMIT)
    return DayLimit(most, grows_at if ramp.growth else None)


def days_for(pressure: Pressure, people: int, days_before: int) -> int:
    """On how many days this many messages leave at the earliest, one message a person."""
    most = min(pressure.per_day.messages if pressure.per_day else people, people)
    days = left = 0
    while left < people:
        ramp = pressure.ramp
        limit = ramp_limit(ramp, days_before + days, None).most if ramp else most
        if limit >= most or (ramp and not ramp.growth):
            # From now on each day has the same limit.
            return days + math.ceil((people - left) / min(limit, most))
        left += limit
        days += 1
    return max(1, days)


class Room(NamedTuple):
    """How many more messages may leave now; none: when the next one may, and why so late."""

    messages: int
    next_at: datetime | None = None
    why: str = ""


def room_of(limit: DayLimit, sent: int, time_of: Callable[[int], datetime], why: str) -> Room:
    """What a limit leaves after `sent` messages of the last 24 hours.

    `time_of` gives when the message of that place was claimed, the oldest of them being 0.
    """
    if sent < limit.most:
        return Room(limit.most - sent)
    next_at = time_of(sent - limit.most) + DAY
    # A day of a ramp ends with more room, if one more is enough to let a message go.
    if limit.grows_at is not None and sent == limit.most:
        next_at = min(next_at, limit.grows_at)
    return Room(0, next_at, why)


def tightest(rooms: Sequence[Room]) -> Room:
    """What all limits leave together: the least room, or the latest moment."""
    shut = [room for room in rooms if room.next_at is not None]
    if shut:
        return max(shut, key=lambda room: (room.next_at, room.messages))
    return min(rooms, key=lambda room: room.messages, default=Room(_NO_LIMIT))
