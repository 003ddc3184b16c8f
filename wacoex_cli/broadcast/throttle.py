"""When the next message of one number may leave: a pure decision.

A Coexistence number takes 20 messages in any second, inbound and outbound together (Meta:
throughput). Slots are spaced evenly, a little wider than the limit, so that network jitter does
not push two windows into one. The pace is one number, the slot interval: refusals widen it,
accepted answers shrink it again, faster the longer none was refused.

All times are seconds of one boot's monotonic clock. Nothing in here knows what time it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MESSAGES_PER_SECOND = 20.0
"""Meta's fixed throughput of a Coexistence number (Meta: throughput, coexistence onboarding)."""

UNTOLD_MESSAGES_PER_SECOND = 5.0
"""What an account is asked for until it says how much it allows (respond.io: rate limits)."""

_LIMITS = {
    "TIER_50": 50,
    "TIER_250": 250,
    "TIER_1K": 1_000,
    "TIER_2K": 2_000,
    "TIER_10K": 10_000,
    "TIER_100K": 100_000,
}

GUARD = 0.025
"""Share by which a slot is wider than the limit allows; above the jitter of a usual network."""

LATE_SECONDS = 0.010
"""A slot that is missed by more than this is given up: using it would put two close together."""

ANOTHER_BOOT_SECONDS = 1.0
_NEAR_SECONDS = 0.3
_WIDEN = 1.01
_WIDEST_BY_STRAYS = 1.25
_COOL_DOWN_SECONDS = 1.0
_MEMORY = 0.07
_CROWDED_SHARE = 0.25
_STUBBORN_SHARE = 0.12
_DEEPEST_CUT = 0.5
_RELAX = 0.999
_RECOVERY_ANSWERS = 320.0
_SLOWEST_INTERVAL = 5.0


@dataclass(frozen=True)
class SendingPace:
    """How fast a number (or one broadcast) may go now.

    Attributes:
        next_slot: earliest moment of the next slot.
        interval: seconds between two slots.
        anchor: the smallest interval since the last cut; strays widen only so far beyond it.
        refused_share: recent share of throttled answers, 0 to 1.
        quiet_answers: accepted answers since the last refusal.
        changed_at: answers to requests that left before this say nothing new about the pace.
        hold_until: nothing leaves before this.
        told_limit: messages per second that the other side said it allows; None if it did not.
    """

    next_slot: float
    interval: float
    anchor: float
    refused_share: float = 0.0
    quiet_answers: int = 0
    changed_at: float = 0.0
    hold_until: float = 0.0
    told_limit: float | None = None


@dataclass(frozen=True)
class Answered:
    """One answer as the throttle sees it: when its request left, and whether it was throttled."""

    left_at: float
    was_throttled: bool


def slot_interval(messages_per_second: float) -> float:
    """Seconds between two slots at a limit in messages per second, the guard included."""
    return (1.0 + GUARD) / messages_per_second


def sending_seconds(recipients: int, rate: float) -> float:
    """Seconds a broadcast takes at a rate in messages per second, the guard included."""
    return max(0, recipients - 1) * slot_interval(rate)


def messaging_limit(tier: object) -> float | None:
    """People per moving 24 hours that a limit allows; infinite, or None for an unknown word.

    The limit is the portfolio's, shared by all its numbers (Meta: messaging limits).
    """
    if tier == "TIER_UNLIMITED":
        return math.inf
    return _LIMITS.get(str(tier))


def fresh(messages_per_second: float, now: float) -> SendingPace:
    """The pace of a number that nothing is known about."""
    interval = slot_interval(messages_per_second)
    return SendingPace(next_slot=now, interval=interval, anchor=interval, changed_at=now)


def after_boot(pace: SendingPace, now: float) -> SendingPace:
    """The pace carried into another boot: its times are worthless, what it learned is not."""
    return replace(
        pace, next_slot=now + ANOTHER_BOOT_SECONDS, changed_at=now, hold_until=now, quiet_answers=0
    )


def book(
    number: SendingPace, others: Sequence[SendingPace], now: float, horizon: float, most: int
) -> tuple[SendingPace, tuple[SendingPace, ...], tuple[float, ...]]:
    """Book up to `most` slots before `horizon`, each free for the number and for all `others`.

    The others are the broadcast's own pace, and that of the account it leaves through. Missed
    time is never made up: the first slot is `now` at the earliest. Returns the paces with their
    `next_slot` moved on, and the moments of the slots.
    """
    slots: list[float] = []
    paces = tuple(others)
    while len(slots) < most:
        free = max(now, number.next_slot, number.hold_until)
        slot = max(free, *(max(one.next_slot, one.hold_until) for one in paces))
        # A slow broadcast that books far ahead would take what a fast one beside it could use.
        leaves_gap = slot > free + number.interval
        if slot > (min(horizon, now + _NEAR_SECONDS) if leaves_gap else horizon):
            break
        slots.append(slot)
        number = replace(number, next_slot=slot + number.interval)
        paces = tuple(replace(one, next_slot=slot + one.interval) for one in paces)
    return number, paces, tuple(slots)


def is_late(slot: float, now: float) -> bool:
    """Whether a slot must be given up."""
    return now - slot > LATE_SECONDS


def learn(
    pace: SendingPace, answer: Answered, messages_per_second: float, now: float
) -> SendingPace:
    """The pace after one more answer from the API.

    A refusal counts once per round trip. A stray one widens the slots by one percent, at most to
    a quarter beyond the anchor; a crowd of them means the limit is lower than ours: the rate is
    cut by their share, and the number cools down for a second.
    """
    share = pace.refused_share + _MEMORY * (answer.was_throttled - pace.refused_share)
    pace = replace(pace, refused_share=share)
    if answer.left_at < pace.changed_at:
        return pace
    if not answer.was_throttled:
        return _shrink(pace, slot_interval(messages_per_second))
    is_at_widest = pace.interval >= pace.anchor * _WIDEST_BY_STRAYS * 0.999
    if share >= _CROWDED_SHARE or (share >= _STUBBORN_SHARE and is_at_widest):
        return _cut(pace, now)
    widened = min(pace.interval * _WIDEN, pace.anchor * _WIDEST_BY_STRAYS)
    return replace(pace, interval=widened, quiet_answers=0, changed_at=now)


def with_limit(pace: SendingPace, messages_per_second: float, now: float) -> SendingPace:
    """The pace after the other side said how much it allows; what it said before changes nothing.

    A limit that was learned from refusals stays below it: others share the account.
    """
    if messages_per_second == pace.told_limit:
        return pace
    interval = slot_interval(messages_per_second)
    return replace(
        pace, interval=interval, anchor=interval, told_limit=messages_per_second, changed_at=now
    )


def hold(pace: SendingPace, until: float) -> SendingPace:
    """Let nothing leave before `until` (`Retry-After`, `estimated_time_to_regain_access`)."""
    return replace(
        pace, hold_until=max(pace.hold_until, until), changed_at=max(pace.changed_at, until)
    )


def _shrink(pace: SendingPace, narrowest: float) -> SendingPace:
    quiet = pace.quiet_answers + 1
    # Cubic growth: slow around the last refusal, where the limit most likely is, then ever faster.
    gain = (quiet**3 - (quiet - 1) ** 3) / _RECOVERY_ANSWERS**3
    interval = pace.interval * (1.0 - min(gain, 0.5))
    # The anchor relaxes even when strays keep the growth at bay; else they would ratchet down.
    anchor = max(narrowest, min(pace.anchor * _RELAX, interval))
    interval = max(narrowest, min(interval, anchor * _WIDEST_BY_STRAYS))
    return replace(pace, interval=interval, anchor=anchor, quiet_answers=quiet)


def _cut(pace: SendingPace, now: float) -> SendingPace:
    kept = 1.0 - min(pace.refused_share, _DEEPEST_CUT)
    interval = min(pace.interval / kept, _SLOWEST_INTERVAL)
    until = now + _COOL_DOWN_SECONDS
    return replace(
        pace,
        interval=interval,
        anchor=interval,
        refused_share=0.0,
        quiet_answers=0,
        changed_at=until,
        hold_until=max(pace.hold_until, until),
    )
