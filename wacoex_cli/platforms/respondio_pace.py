"""How fast respond.io's Developer API may be asked. Pure; times are seconds of one clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_RATE = 5.0
"""Calls per second of an endpoint until its headers say otherwise."""
HIGHEST_LIMIT = 20
"""More is never asked for, whatever the headers say; the limit is shared by the organisation."""
# Calls arrive less evenly than they leave; at the very limit that would cost refusals.
_SHARE_OF_LIMIT = 0.9
_WINDOW_SECONDS = 1.0
_JITTER_SECONDS = 0.2


@dataclass(frozen=True)
class Pace:
    """What is known of one endpoint: the rate, its limit, when the next call may leave.

    `left_at` are the times of the newest calls, as many as the limit. `is_told`: whether the
    limit is what an answer said.
    """

    calls_per_second: float = UNKNOWN_RATE
    limit: int = int(UNKNOWN_RATE)
    free_at: float = 0.0
    left_at: tuple[float, ...] = ()
    is_told: bool = False


def take_slot(pace: Pace, now: float) -> tuple[Pace, float]:
    """The pace after one more call, and the seconds this call has to wait before it leaves."""
    at = max(now, pace.free_at)
    left_at = (*pace.left_at, at)[-pace.limit :]
    return replace(pace, free_at=at + 1.0 / pace.calls_per_second, left_at=left_at), at - now


def learn(pace: Pace, headers: Mapping[str, str], now: float) -> Pace:
    """The pace after an answer that came at `now`.

    `X-RateLimit-Limit` is read as calls per second. At `X-RateLimit-Remaining: 0` the next call
    waits for a second, unless it was we who used this one up (respond.io: rate limits).
    """
    told = _number(headers.get("x-ratelimit-limit"))
    if told:
        limit = min(max(int(told), 1), HIGHEST_LIMIT)
        rate = max(limit * _SHARE_OF_LIMIT, 1.0)
        pace = replace(pace, calls_per_second=rate, limit=limit, is_told=True)
    if _number(headers.get("x-ratelimit-remaining")) == 0 and not _is_of_our_making(pace):
        pace = replace(pace, free_at=max(pace.free_at, now + _WINDOW_SECONDS))
    return pace


def _is_of_our_making(pace: Pace) -> bool:
    """Whether our own calls explain that nothing remains; the rate then sees to the rest."""
    ours = pace.left_at[-pace.limit :]
    return len(ours) == pace.limit and ours[-1] - ours[0] <= _WINDOW_SECONDS + _JITTER_SECONDS


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
