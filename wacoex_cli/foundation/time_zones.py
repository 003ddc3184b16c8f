"""Time zones (IANA names): moments as people there write and read them."""

import zoneinfo
from datetime import UTC, datetime

from wacoex_cli.errors import UsageError


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
