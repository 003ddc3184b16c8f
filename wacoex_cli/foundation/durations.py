"""Lengths of time as people type them."""

import re
from datetime import UTC, datetime, timedelta

from wacoex_cli.foundation.time_zones import moment_from

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
