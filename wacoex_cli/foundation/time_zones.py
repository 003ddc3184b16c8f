"""Time zones (IANA names): moments as people there write and read them."""

import re
import zoneinfo
from datetime import UTC, datetime, timedelta

from wacoex_cli.errors import UsageError

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")


def is_known_zone(name: str) -> bool:
    """Whether this machine knows the zone, for example `Asia/Singapore`."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def local_text(moment: datetime, zone: str) -> str:
    """A moment as the clocks of a zone show it: `2026-11-20 09:30 Asia/Singapore`."""
    local = moment.astimezone(zoneinfo.ZoneInfo(zone))
    return f"{local:%Y-%m-%d %H:%M} {zone}"


def moment_from(text: str, zone: str) -> datetime:
    """The moment of an RFC 3339 text, or of a local one such as `2026-11-20 09:30` in a zone.

    An hour that the clocks show twice means the first time. Raises UsageError for a text that is
    no moment, and for an hour that the clocks skip.
    """
    try:
        told = datetime.fromisoformat(text.strip())
        if told.tzinfo is not None:
            return told.astimezone(UTC)
        moment = told.replace(tzinfo=zoneinfo.ZoneInfo(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(
            f"`{text}` is not a time",
            hint=f"write `2026-11-20T09:30:00Z`, or `2026-11-20 09:30` for the time in {zone}",
            code="bad_time",
        ) from None
    if moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None) != told:
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
