"""When somebody is not to be written to: hours of the night, where their number is from. Pure."""

from __future__ import annotations

import functools
import re
import zoneinfo
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError, counted
from wacoex_cli.foundation.clock import local_text

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = datetime.max.replace(tzinfo=UTC)
"""Said of a number whose zones leave no moment at which none of them is quiet."""

NEVER_OPEN = "never_open"
"""The code of a refusal because nothing could leave."""

_SHOWN_ZONES = 3
_FEWER_HOURS = "`--quiet-hours` with fewer hours, or `none`, lets messages leave"
_HOURS = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-3]):([0-5][0-9])")
_LOOKED_AHEAD = timedelta(hours=48)
# Clocks are changed, all over the world, at a quarter of an hour of UTC.
_STEP = timedelta(minutes=15)


@dataclass(frozen=True)
class QuietHours:
    """From `start` until `end`, which is no part of it; over midnight when `end` is earlier."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """The hours of a text such as `21:00-08:00`.

        Raises:
            UsageError: it is none, or both ends are the same.
        """
        found = _HOURS.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                f"`--quiet-hours {text}` is not a valid time",
                hint="write `21:00-08:00`, in the time of the recipient, or `none`",
                code="bad_quiet_hours",
            )
        hours, minutes, end_hours, end_minutes = map(int, found.groups())
        if (hours, minutes) == (end_hours, end_minutes):
            raise UsageError(
                f"`--quiet-hours {text}` ends when it begins: nothing could ever be sent",
                hint="write `21:00-08:00`, or `none` to send at any hour",
                code="bad_quiet_hours",
            )
        return cls(time(hours, minutes), time(end_hours, end_minutes))

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def includes(self, clock_time: time) -> bool:
        """Whether it is quiet when the clocks on the wall show that."""
        if self.start < self.end:
            return self.start <= clock_time < self.end
        return clock_time >= self.start or clock_time < self.end


def held_until(zones: tuple[str, ...], hours: QuietHours, now: datetime) -> datetime | None:
    """When somebody who may be in any of these zones may be written to; None: now.

    The strictest counts: it must be quiet in none of them. `NEVER` when that does not happen
    within 48 hours. Clocks that are changed in between are taken into account.
    """
    return _held_until(zones, hours, now.astimezone(UTC).replace(second=0, microsecond=0))


def ending_zone(zones: tuple[str, ...], hours: QuietHours, moment: datetime) -> str:
    """The one of these zones in which quiet hours end at that moment, else the first."""

    ends = (z for z in zones if moment.astimezone(zoneinfo.ZoneInfo(z)).time() == hours.end)
    return next(ends, zones[0])


def demand_opening(
    people: Iterable[tuple[str, ...]], hours: QuietHours, start: datetime, until: datetime | None
) -> None:
    """Refuse to begin when nobody could be written to from `start` on and before `until`.

    `people` are the zones in which each of them may be.

    Raises:
        UsageError: with the moments at which something could leave, in the zones of the people.
    """
    end = until or NEVER
    first: dict[tuple[str, ...], datetime] = {}
    counts = Counter[tuple[str, ...]]()
    for zones in people:
        moment = first.setdefault(zones, held_until(zones, hours, start) or start)
        if moment < end:
            return
        counts[zones] += 1
    if not first:
        return
    soonest = sorted(first, key=lambda zones: first[zones])[:_SHOWN_ZONES]
    texts = [_opening(zones, hours, first[zones], counts[zones]) for zones in soonest]
    if len(first) > _SHOWN_ZONES:
        texts.append(f"others in {counted(len(first) - _SHOWN_ZONES, 'more zone')} later")
    limit = " before `--until`" if until else ""
    raise UsageError(
        f"nothing could be sent{limit}: the quiet hours {hours} apply to everybody;"
        f" {'; '.join(texts)}",
        hint="give a later `--until`, or other `--quiet-hours`" if until else _FEWER_HOURS,
        code=NEVER_OPEN,
    )


def _opening(zones: tuple[str, ...], hours: QuietHours, moment: datetime, people: int) -> str:
    whom = counted(people, "person")
    if moment == NEVER:
        return f"{whom} in {', '.join(zones[:2])}{' and others' if zones[2:] else ''}: at no hour"
    zone = ending_zone(zones, hours, moment)
    return f"{whom} from {local_text(moment, zone)} on"


@functools.lru_cache(maxsize=10_000)
def _held_until(zones: tuple[str, ...], hours: QuietHours, minute: datetime) -> datetime | None:
    known = [zoneinfo.ZoneInfo(zone) for zone in zones]

    def is_allowed(moment: datetime) -> bool:
        return not any(hours.includes(moment.astimezone(zone).time()) for zone in known)

    if is_allowed(minute):
        return None
    candidates = sorted(_changes(known, hours, minute))
    return next((moment for moment in candidates if is_allowed(moment)), NEVER)


def _changes(zones: list[zoneinfo.ZoneInfo], hours: QuietHours, minute: datetime) -> set[datetime]:
    """Every moment in the next two days at which quiet hours may end somewhere."""
    quarter = minute.replace(minute=minute.minute // 15 * 15)
    moments = {quarter + n * _STEP for n in range(1, _LOOKED_AHEAD // _STEP + 1)}
    for zone in zones:
        today = minute.astimezone(zone).date()
        for days in range(4):
            day = today + timedelta(days=days)
            for fold in (0, 1):
                end = datetime.combine(day, hours.end, zone).replace(fold=fold)
                moments.add(end.astimezone(UTC))
    return {moment for moment in moments if minute < moment <= minute + _LOOKED_AHEAD}
