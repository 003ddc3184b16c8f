"""When somebody is not to be written to: hours of the night, where their number is from. Pure."""

from __future__ import annotations

import functools
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from wacoex_cli.errors import UsageError

NEVER = datetime.max.replace(tzinfo=UTC)
"""Said of a number whose zones leave no moment at which none of them is quiet."""

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
                f"`--quiet-hours {text}` is not understood",
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
