"""Names of time zones (IANA)."""

import zoneinfo


def is_known_zone(name: str) -> bool:
    """Whether this machine knows the zone, for example `Asia/Singapore`."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
