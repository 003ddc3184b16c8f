"""Time as an argument: the wall clock, the pacing clock, and which boot they belong to."""

import contextlib
import functools
import os
import re
import sys
import time
import zoneinfo
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from wacoex_cli.errors import UsageError

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the rest of the program may know about time."""

    def now(self) -> datetime:
        """The wall clock, aware, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; comparable between processes of one boot."""
        ...

    def boot_id(self) -> str:
        """Names the boot that `monotonic` counts in."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of `monotonic`."""
        ...


class SystemClock:
    """The real clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def boot_id(self) -> str:
        return _system_boot_id()

    async def sleep(self, seconds: float) -> None:
        # Imported only here: most commands read the time and never wait.
        import asyncio

        await asyncio.sleep(seconds)


class SteadyClock:
    """The wall clock as it would go on if nobody set it: for waits that begin and end in a run.

    It follows the monotonic clock of the given one from the moment at which it is made.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_at = clock.now()
        self._began = clock.monotonic()

    def now(self) -> datetime:
        """The moment it is by this clock, aware, UTC."""
        return self._began_at + timedelta(seconds=self._clock.monotonic() - self._began)

    def set_by(self) -> timedelta:
        """By how much the wall clock has been set since; negative when it was set back."""
        return self._clock.now() - self.now()


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: sorts as text; state file and JSON hold it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_text(text: str) -> datetime:
    """The aware UTC moment of an RFC 3339 text written by `to_text`."""
    return datetime.fromisoformat(text).astimezone(UTC)


@functools.cache
def _system_boot_id() -> str:
    with contextlib.suppress(OSError):
        return _LINUX_BOOT_ID.read_text(encoding="ascii").strip()
    if sys.platform == "darwin":
        import subprocess  # only needed here, and slow to load

        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(
                ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"],
                capture_output=True,
                text=True,
                timeout=2,
                check=True,
            )
            return answer.stdout.strip()
    # No way to tell one boot from the next: every process then counts as another boot,
    # and what it left behind is treated as uncertain rather than guessed.
    return f"unknown-{os.urandom(16).hex()}"


_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration_from(text: str) -> timedelta | None:
    """The length of `90s`, `30m`, `24h`, `7d` or `2w`; None for anything else."""
    found = _DURATION.fullmatch(text.strip())
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def moment_ago(text: str, zone: str, now: datetime) -> datetime:
    """A moment written as the time since it (`24h`), or as a time, in a zone when it names none.

    UTC. Raises UsageError for a text that is neither.
    """
    duration = duration_from(text)
    if duration is None:
        return moment_from(text, zone)
    first = datetime.min.replace(tzinfo=UTC)
    return now - duration if now - first > duration else first


# Not strftime: its names change with the language of the machine.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_WRITTEN = re.compile(
    r"(?P<typed>`[^`\n]*`|--[a-z-]+[ =]\S+)"
    r"|\b(?P<day>\d{4}-\d\d-\d\d)(?:T(?P<time>\d\d:\d\d):\d\d(?:\.\d+)?(?:Z|\+00:?00)"
    r"| (?P<local>\d\d:\d\d) (?P<zone>UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z_+-]+)+))"
)
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")


def is_known_zone(name: str) -> bool:
    """Whether this machine knows the zone, for example `Asia/Singapore`."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def duration_text(seconds: float) -> str:
    """Hours and minutes, minutes and seconds, or seconds; what is 0 at the end is left out."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    parts = [(hours, "h"), (minutes, "min")] if hours else [(minutes, "min"), (whole % 60, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"


def local_text(moment: datetime, zone: str) -> str:
    """A moment as the clocks of a zone show it: `2026-11-20 09:30 Asia/Singapore`."""
    local = moment.astimezone(zoneinfo.ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M} {zone}"


def spoken(moment: datetime, zone: str, now: datetime) -> str:
    """A moment as people say it in a zone: `Mon 30 Nov 20:00`, with its year unless it is this."""
    local, today = (each.astimezone(zoneinfo.ZoneInfo(zone)) for each in (moment, now))
    year = "" if local.year == today.year else f" {local.year}"
    return f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}{year} {local:%H:%M}"


def spoken_within(text: str, zone: str, now: datetime) -> str:
    """The text with its RFC 3339 moments as people say them, and the times that `local_text` wrote.

    Moments in UTC are said in `zone`; all are followed by their zone. Text between
    backticks or behind an option is for typing, and stays.
    """

    def said(found: re.Match[str]) -> str:
        day, hour, own = found["day"], found["time"] or found["local"], found["zone"]
        if found["typed"] or not (own is None or is_known_zone(own)):
            return found[0]
        try:
            moment = moment_from(f"{day} {hour}", own or "UTC")
            return f"{spoken(moment, own or zone, now)} {own or zone}"
        except (UsageError, OverflowError):
            return found[0]

    return _WRITTEN.sub(said, text)


def calendar_text(moment: datetime, zone: str) -> str:
    """The same for pages, which name the zone once: `Fri 20 Nov 2026, 09:30`."""
    local = moment.astimezone(zoneinfo.ZoneInfo(zone))
    day = f"{_DAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]}"
    return f"{day} {local:%Y, %H:%M}"


def moment_from(text: str, zone: str) -> datetime:
    """The moment of an RFC 3339 text, or of a local one such as `2026-11-20 09:30` in a zone.

    An hour that the clocks show twice means the first time. Raises UsageError for a text that is
    no moment, and for an hour that the clocks skip.
    """
    try:
        given = datetime.fromisoformat(text.strip())
        if given.tzinfo is not None:
            return given.astimezone(UTC)
        moment = given.replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"`{text}` is not a time",
            hint=f"write `2026-11-20T09:30:00Z`, or `2026-11-20 09:30` for the time in {zone}",
            code="bad_time",
        ) from None
    if moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None) != given:
        raise UsageError(
            f"`{text}` does not exist in {zone}: the clocks skip that hour",
            hint="give an hour earlier or later, or the time in UTC with a `Z` at its end",
            code="bad_time",
        )
    return moment


def moment_ahead(text: str, zone: str, now: datetime) -> datetime:
    """A moment to come: a time of day such as `21:00` means the next one; else `moment_from`.

    Raises UsageError like `moment_from`.
    """
    if not _CLOCK.fullmatch(text.strip()):
        return moment_from(text, zone)
    today = now.astimezone(zoneinfo.ZoneInfo(zone)).date()
    hour = text.strip().zfill(5)
    moment = moment_from(f"{today} {hour}", zone)
    return moment if moment > now else moment_from(f"{today + timedelta(days=1)} {hour}", zone)
