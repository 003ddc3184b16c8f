"""What came back over HTTP, or why nothing did; free of the HTTP library itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Answer:
    """A whole HTTP answer. `json` is None when the body, `size` bytes long, is not JSON."""

    status: int
    headers: Mapping[str, str]
    json: object | None
    size: int


class NotSentError(Exception):
    """The request provably never left this machine; it may be sent again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnansweredError(Exception):
    """The request may have left and no usable answer came; nobody knows what it did."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def retry_after_seconds(headers: Mapping[str, str], now: datetime) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date; None without one."""
    text = headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(text: str, now: datetime) -> float | None:
    # Imported only here: it takes longer to load than all the rest of a short command.
    import email.utils

    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
