"""A running broadcast as it goes: lines for a person, one for a log, data for a program.

Everything is counted. No phone number, name or text of an answer comes in here.
"""

from __future__ import annotations

import zoneinfo
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.model import RowState
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.error_codes import classify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from wacoex_cli.broadcast.model import Counts

REMEMBERED_SECONDS = 60.0
_LEAST_SECONDS = 5.0
_MOST_CODES = 5
_MOST_HELD = 2
_ACCEPTED = (RowState.ACCEPTED, RowState.SENT, RowState.DELIVERED, RowState.READ)
_ALWAYS_SHOWN = frozenset({"failed", "ambiguous"})


@dataclass(frozen=True)
class CodeCount:
    """How many rows are in a state because of an error code."""

    code: int
    state: RowState
    n: int


@dataclass(frozen=True)
class Held:
    """Rows that quiet hours hold back until a moment, in the zone of their recipients."""

    rows: int
    until: datetime
    zone: str


@dataclass(frozen=True)
class Snapshot:
    """What is known about a broadcast at one moment. Rates are messages per second.

    `held` comes soonest first. `told_limit` is what the API says that it takes, `finished_rate`
    how many rows a second were done with over the last minute; None while it is not known.
    """

    counts: Counts
    last_second: int
    peak: int
    codes: tuple[CodeCount, ...] = ()
    held: tuple[Held, ...] = ()
    told_limit: float | None = None
    finished_rate: float | None = None

    @property
    def held_rows(self) -> int:
        """Rows that quiet hours hold back; their state is `retry`."""
        return sum(one.rows for one in self.held)

    @property
    def seconds_left(self) -> float | None:
        """Until the rows that are not held back are done with, at the rate of the last minute."""
        waiting = self.counts.open - self.held_rows
        if waiting <= 0 or not self.finished_rate:
            return None
        return waiting / self.finished_rate


class Course:
    """How many rows were done with over the last minute. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def rate(self, done: int, now: float) -> float | None:
        """Rows a second since a minute ago, given those done by now; None in the first seconds."""
        self._seen.append((now, done))
        # The newest one that is old enough stays, else the minute would never be full.
        while len(self._seen) > 1 and self._seen[1][0] <= now - REMEMBERED_SECONDS:
            self._seen.popleft()
        since, before = self._seen[0]
        if now - since < _LEAST_SECONDS:
            return None
        return max(0, done - before) / (now - since)


def line(shot: Snapshot) -> str:
    """One line for a log: what became of the rows, how fast, how long still."""
    parts = [_states(shot)]
    if shot.counts.open:
        parts.append(f"{shot.last_second}/s now")
    parts.append(f"at most {shot.peak} in one second")
    parts += _codes_in_short(shot)
    parts += [_held_text(one) for one in shot.held[:_MOST_HELD]]
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def lines(shot: Snapshot) -> tuple[str, ...]:
    """What stands below the bar: rate, outcomes, errors by code with meaning, quiet hours."""
    return (_rate(shot), *_below(shot))


def to_json(shot: Snapshot) -> dict[str, Any]:
    """The same for a program; rates in messages per second, times in UTC."""
    left = shot.seconds_left
    return {
        "counts": shot.counts.to_json(),
        "rate": {
            "now": shot.last_second,
            "last_minute": None if shot.finished_rate is None else round(shot.finished_rate, 2),
            "peak_in_one_second": shot.peak,
            "told_limit": shot.told_limit,
        },
        "codes": [
            {
                "code": one.code,
                "state": one.state.value,
                "n": one.n,
                "meaning": classify(one.code).meaning,
            }
            for one in shot.codes
        ],
        "held": [
            {"rows": one.rows, "until": to_text(one.until), "timezone": one.zone}
            for one in shot.held
        ],
        "seconds_left": None if left is None else round(left),
    }


def about(seconds: float) -> str:
    """An estimate no finer than it deserves: tens of seconds, minutes, hours and minutes."""
    if seconds < 55:
        return f"about {max(1, round(seconds / 10)) * 10} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def _rate(shot: Snapshot) -> str:
    parts = [f"{shot.last_second}/s now"] if shot.counts.open else []
    parts.append(f"most in one second: {shot.peak}")
    if shot.told_limit is not None:
        parts.append(f"the API takes {shot.told_limit:g}/s")
    if (left := shot.seconds_left) is not None:
        parts.append(f"{about(left)} left")
    return ", ".join(parts)


def _below(shot: Snapshot) -> Iterator[str]:
    yield _states(shot)
    for held in shot.held[:_MOST_HELD]:
        yield _held_text(held)
    if later := sum(held.rows for held in shot.held[_MOST_HELD:]):
        yield f"{later} held until later"
    for one in shot.codes[:_MOST_CODES]:
        yield f"code {one.code} ({one.n} {one.state.value}): {classify(one.code).meaning}"
    if more := sum(one.n for one in shot.codes[_MOST_CODES:]):
        yield f"and {more} with other codes"


def _states(shot: Snapshot) -> str:
    """Accepted stands for every row that was taken and did not fail later."""
    counts = shot.counts
    accepted = f"{counts.of(*_ACCEPTED)} accepted"
    arrived = {
        "delivered": counts.of(RowState.DELIVERED, RowState.READ),
        "read": counts.of(RowState.READ),
    }
    if any(arrived.values()):
        accepted += f" ({', '.join(f'{n} {name}' for name, n in arrived.items())})"
    others = {
        "failed": counts.of(RowState.FAILED),
        "rejected": counts.of(RowState.REJECTED),
        "ambiguous": counts.of(RowState.AMBIGUOUS),
        "retry": counts.of(RowState.RETRY) - shot.held_rows,
    }
    told = [f"{n} {name}" for name, n in others.items() if n or name in _ALWAYS_SHOWN]
    return ", ".join((accepted, *told))


def _codes_in_short(shot: Snapshot) -> Iterator[str]:
    for one in shot.codes[:_MOST_CODES]:
        yield f"{one.n} {one.state.value} with code {one.code}"


def _held_text(held: Held) -> str:
    local = held.until.astimezone(zoneinfo.ZoneInfo(held.zone))
    return f"{held.rows} held until {local:%H:%M} in {held.zone}"
