"""When the next message of one number may leave: a pure decision.

A Coexistence number takes 20 messages in any second, inbound and outbound together (Meta:
throughput). Slots are spaced evenly, a little wider than the limit: the guard, by which jitter does
not push two windows into one. It follows how far answers and departures are measured to spread.

The pace is one number more, the slot interval. Stray refusals widen it a little. A crowd of them
cuts it: to what was really taken, or, when nothing was, by half and further. It comes back by quiet
seconds and by accepted answers, whichever is faster: at once to where refusals began last time
(`anchor`), from there slowly at first, then ever faster.

All times are seconds of one boot's monotonic clock. Nothing in here knows what time it is.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MESSAGES_PER_SECOND = 20.0
"""Meta's fixed throughput of a Coexistence number (Meta: throughput, coexistence onboarding)."""

UNREPORTED_MESSAGES_PER_SECOND = 5.0
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
"""Share by which a slot is at least wider than the limit allows; above a usual network's jitter."""

BUSY_GUARD = 0.090
"""The least where messages of many numbers wait for a processor, here or at Meta."""

WIDEST_GUARD = 0.100

_LATE_SHARE = 0.4
LATE_SECONDS = _LATE_SHARE * GUARD
"""A slot that is missed by more is given up: using it would put two close together. It grows with
the guard, which keeps so late ones apart."""

ANOTHER_BOOT_SECONDS = 1.0
_NEAR_SECONDS = 0.3
_COOL_DOWN_SECONDS = 1.0
_SLOWEST_INTERVAL = 5.0
_PROBING_INTERVAL = 1.0

# Refusals: how they are counted, and what they do.
_MEMORY = 0.07
_CROWDED_SHARE = 0.25
_STUBBORN_SHARE = 0.12
_STUBBORN_TAKEN = 0.85
_COUNTED_SECONDS = 3.0
_LEAST_COUNTED_SECONDS = 1.0
_FRESH_COUNT_AFTER_SECONDS = 2.0
_BELOW_LIMIT = 0.97
_STEP = 0.03
_SMALLEST_STEP = 0.003
_AT_ANCHOR = 1.02

# Strays come at any pace; refusals of a limit end as soon as the pace is below it.
_STRAY_SHARE = 0.17
_STRAY_MEMORY = 0.003
_STRAY_WITHIN_ANSWERS = 30
_MOST_STRAYS = 0.06
_STRAYS_WITHOUT_STEP = 0.05

# The way back.
_RELAX = 0.9997
_RECOVERY_ANSWERS = 320.0
_RECOVERY_SECONDS = 60.0
_DOUBLING_ANSWERS = 20.0
_DOUBLING_SECONDS = 1.5
_LONGEST_GAP_SECONDS = 2.0

# How departures and answers are measured.
_MEASURED = 100
_LEAST_MEASURED = 20
_LEFT_OUT = 2
# A server takes the first requests of a run later than they were written: it has to accept their
# connections first.
_AFTER_COLD_CONNECTIONS = 0.100

_GUARD_PER_SPREAD = 1.25
_GUARD_BY_ANSWERS = 0.050
_GUARD_RISE = 0.5
_GUARD_FALL = 0.002


class SendingPace(NamedTuple):
    """How fast a number (or one broadcast) may go now.

    Attributes:
        next_slot: earliest moment of the next slot.
        interval: seconds between two slots.
        anchor: the interval at which refusals began last time; never refused, the narrowest.
        refused_share: recent share of throttled answers, 0 to 1.
        quiet_answers: accepted answers since the last refusal.
        changed_at: answers to requests that left before this change nothing about the pace.
        hold_until: nothing leaves before this.
        stated_limit: messages per second that the other side said it allows; None if it did not.
        quiet_seconds: seconds of sending since the last refusal; a pause counts two at most.
        stray_share: long-term share of refusals that came although the pace had just been lowered.
        counted_from: answers to requests that left before this are not counted.
        last_left_at: when the last counted request left.
        taken: accepted answers counted, older ones less.
        counted_seconds: the seconds they are counted over, older ones less.
        guard: share by which a slot is wider than the limit allows.
    """

    next_slot: float
    interval: float
    anchor: float
    refused_share: float = 0.0
    quiet_answers: int = 0
    changed_at: float = 0.0
    hold_until: float = 0.0
    stated_limit: float | None = None
    quiet_seconds: float = 0.0
    stray_share: float = 0.0
    counted_from: float = 0.0
    last_left_at: float = 0.0
    taken: float = 0.0
    counted_seconds: float = 0.0
    guard: float = GUARD


@dataclass(frozen=True)
class Answered:
    """One answer as the throttle sees it: when its request left, and whether it was throttled."""

    left_at: float
    was_throttled: bool


@dataclass(frozen=True)
class Spread:
    """How far apart the shortest and the longest lie of late, in seconds.

    `answers`: the time an answer took. `departures`: by how much a request left after its slot.
    """

    answers: float = 0.0
    departures: float = 0.0


NO_SPREAD = Spread()


@dataclass(eq=False)
class Departure:
    """One request: when it was to leave, and when it left.

    It leaves when it is written to its connection; until that is known, when it was begun.
    """

    due: float
    left_at: float


class Departures:
    """How the requests of one process leave under a limit in messages per second.

    `bunched` counts those that left less than half a slot after the one before.
    """

    def __init__(self, limit: float) -> None:
        self.bunched = 0
        self._close = 0.5 * slot_interval(limit)
        self._latest: deque[Departure] = deque(maxlen=max(2, int(limit)))
        self._cold = self._latest.maxlen or 0
        self._in_second: deque[Departure] = deque()
        self._answer_seconds: deque[float] = deque(maxlen=_MEASURED)
        self._late_seconds: deque[float] = deque(maxlen=_MEASURED)

    def next_at_earliest(self, guard: float = GUARD) -> float:
        """When the next may leave, whatever its slot: the limit holds for what really left.

        A request that was written late would else be within one second of as many later ones as
        the limit allows. After one that left at the end of its slot the rest of the guard is kept.
        """
        if len(self._latest) < (self._latest.maxlen or 0):
            return 0.0
        beyond = _AFTER_COLD_CONNECTIONS if self._cold else (1.0 - _LATE_SHARE) * guard
        return self._latest[0].left_at + 1.0 + beyond

    def add(self, due: float, now: float) -> Departure:
        """Note that one more begins."""
        if len(self._latest) >= 2:
            # It is known by now when the last one was written.
            gap = self._latest[-1].left_at - self._latest[-2].left_at
            self.bunched += gap < self._close
        departure = Departure(due, now)
        if len(self._latest) == self._latest.maxlen and self._cold:
            self._cold -= 1  # the oldest, which makes room, was one of the first
        self._latest.append(departure)
        self._in_second.append(departure)
        return departure

    def missed(self, due: float, now: float) -> None:
        """Measure one that would have left too late."""
        self._late_seconds.append(now - due)

    def answered(self, departure: Departure, now: float) -> None:
        """Measure one that was answered."""
        self._answer_seconds.append(now - departure.left_at)
        self._late_seconds.append(departure.left_at - departure.due)

    def in_second_before(self, now: float) -> int:
        """How many left in the second that ends now."""
        while self._in_second and self._in_second[0].left_at <= now - 1.0:
            self._in_second.popleft()
        return len(self._in_second)

    def spread(self) -> Spread:
        """How far the last hundred spread, but for two at either end; 0 for a few."""
        return Spread(_spread(self._answer_seconds), _spread(self._late_seconds))


def _spread(seconds: Iterable[float]) -> float:
    ordered = sorted(seconds)
    if len(ordered) < _LEAST_MEASURED:
        return 0.0
    return ordered[-1 - _LEFT_OUT] - ordered[_LEFT_OUT]


def slot_interval(messages_per_second: float, guard: float = GUARD) -> float:
    """Seconds between two slots at a limit in messages per second, the guard included."""
    return (1.0 + guard) / messages_per_second


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
    begins = now + ANOTHER_BOOT_SECONDS
    fresh_times = pace._replace(next_slot=begins, changed_at=now, hold_until=now, quiet_answers=0)
    return _counted_anew(fresh_times, begins)


def book(
    number: SendingPace, others: Sequence[SendingPace], now: float, horizon: float, most: int
) -> tuple[SendingPace, tuple[SendingPace, ...], tuple[float, ...]]:
    """Book up to `most` slots before `horizon`, each free for the number and for all `others`.

    The others are the broadcast's own pace, and that of the account it leaves through. Missed
    time is never made up: the first slot is `now` at the earliest. Returns the paces with their
    `next_slot` moved on, and the moments of the slots.
    """
    slots: list[float] = []
    next_slot, free_others = number.next_slot, [pace.next_slot for pace in others]
    held = max(now, number.hold_until)
    all_held = max((pace.hold_until for pace in others), default=held)
    while len(slots) < most:
        free = max(held, next_slot)
        slot = max(free, all_held, *free_others)
        # A slow broadcast that books far ahead would take what a fast one beside it could use.
        leaves_gap = slot > free + number.interval
        if slot > (min(horizon, now + _NEAR_SECONDS) if leaves_gap else horizon):
            break
        slots.append(slot)
        next_slot = slot + number.interval
        free_others = [slot + pace.interval for pace in others]
    booked = (
        pace._replace(next_slot=free_at) for pace, free_at in zip(others, free_others, strict=True)
    )
    return number._replace(next_slot=next_slot), tuple(booked), tuple(slots)


def is_late(slot: float, now: float, guard: float = GUARD) -> bool:
    """Whether a slot must be given up."""
    return now - slot > _LATE_SHARE * guard


def learn(
    pace: SendingPace, answer: Answered, messages_per_second: float, now: float
) -> SendingPace:
    """The pace after one more answer from the API.

    A refusal counts once per round trip. A stray one widens the slots a little, the less the more
    strays there always are. A crowd of them means that the limit is lower than ours: the pace
    becomes what was taken of late, and the number cools down for a second.
    """
    share = pace.refused_share + _MEMORY * (answer.was_throttled - pace.refused_share)
    pace, gap = _count(pace._replace(refused_share=share), answer)
    if answer.left_at < pace.changed_at:
        return pace
    pace = _learn_strays(pace, answer)
    if not answer.was_throttled:
        return _recover(pace, slot_interval(messages_per_second, pace.guard), gap)
    taken_rate = pace.taken / max(_LEAST_COUNTED_SECONDS, pace.counted_seconds)
    is_counted = pace.counted_seconds >= _LEAST_COUNTED_SECONDS or not pace.taken
    is_stubborn = (
        share >= _STUBBORN_SHARE + 1.5 * pace.stray_share
        and taken_rate * pace.interval <= _STUBBORN_TAKEN
    )
    if is_counted and (share >= _CROWDED_SHARE or is_stubborn):
        return _cut(pace, taken_rate, now)
    return _step_back(pace, now)


def with_spread(
    pace: SendingPace,
    spread: Spread,
    answers: int,
    messages_per_second: float,
    least: float = GUARD,
) -> SendingPace:
    """The pace with a guard of `least` or more for this spread, after this many new answers.

    It widens quickly and narrows slowly. Answers alone widen it to 50 ms a second at most: what
    they differ by is mostly the work at the other side, and not the way there.
    """
    wanted = _GUARD_PER_SPREAD * max(
        spread.departures, min(spread.answers, _GUARD_BY_ANSWERS / _GUARD_PER_SPREAD)
    )
    wanted = min(max(wanted, least), WIDEST_GUARD)
    guard = max(wanted, pace.guard * (1.0 - _GUARD_FALL) ** answers)
    if wanted > pace.guard:
        guard = pace.guard + _GUARD_RISE * (wanted - pace.guard)
    narrowest = slot_interval(messages_per_second, guard)
    was_narrowest = pace.interval <= slot_interval(messages_per_second, pace.guard) * 1.000001
    interval = narrowest if was_narrowest else max(narrowest, pace.interval)
    return pace._replace(guard=guard, interval=interval, anchor=max(narrowest, pace.anchor))


def with_limit(pace: SendingPace, messages_per_second: float, now: float) -> SendingPace:
    """The pace after the other side said how much it allows; what it said before changes nothing.

    A limit that was learned from refusals stays below it: others share the account.
    """
    if messages_per_second == pace.stated_limit:
        return pace
    interval = slot_interval(messages_per_second)
    return pace._replace(
        interval=interval, anchor=interval, stated_limit=messages_per_second, changed_at=now
    )


def hold(pace: SendingPace, until: float) -> SendingPace:
    """Let nothing leave before `until` (`Retry-After`, `estimated_time_to_regain_access`)."""
    return pace._replace(
        hold_until=max(pace.hold_until, until), changed_at=max(pace.changed_at, until)
    )


def _count(pace: SendingPace, answer: Answered) -> tuple[SendingPace, float]:
    """The pace that has counted one more answer, and the seconds since the departure before."""
    if answer.left_at < pace.counted_from:
        return pace, 0.0
    if answer.was_throttled and pace.quiet_seconds >= _FRESH_COUNT_AFTER_SECONDS:
        # What was taken before the limit fell says nothing about the limit.
        return _counted_anew(pace, answer.left_at), 0.0
    gap = min(max(0.0, answer.left_at - pace.last_left_at), _LONGEST_GAP_SECONDS)
    kept = math.exp(-gap / _COUNTED_SECONDS)
    counted = pace._replace(
        taken=pace.taken * kept + (not answer.was_throttled),
        counted_seconds=pace.counted_seconds * kept + _COUNTED_SECONDS * (1.0 - kept),
        last_left_at=max(pace.last_left_at, answer.left_at),
    )
    return counted, gap


def _counted_anew(pace: SendingPace, since: float) -> SendingPace:
    return pace._replace(
        quiet_seconds=0.0,
        counted_from=since,
        last_left_at=since,
        taken=0.0,
        counted_seconds=0.0,
    )


def _learn_strays(pace: SendingPace, answer: Answered) -> SendingPace:
    if pace.refused_share >= _STRAY_SHARE or pace.quiet_answers >= _STRAY_WITHIN_ANSWERS:
        return pace
    share = pace.stray_share + _STRAY_MEMORY * (answer.was_throttled - pace.stray_share)
    return pace._replace(stray_share=min(share, _MOST_STRAYS))


def _recover(pace: SendingPace, narrowest: float, gap: float) -> SendingPace:
    answers, seconds = pace.quiet_answers + 1, pace.quiet_seconds + gap
    # The anchor relaxes even when strays keep the growth at bay; else they would ratchet down.
    anchor = max(narrowest, pace.anchor * _RELAX)
    interval = pace.interval
    if interval > anchor:
        doublings = max(gap / _DOUBLING_SECONDS, 1.0 / _DOUBLING_ANSWERS)
        interval = max(anchor, interval * 0.5**doublings)
    # Cubic growth: slow around the last refusal, where the limit most likely is, then ever faster.
    gain = max(
        (answers**3 - pace.quiet_answers**3) / _RECOVERY_ANSWERS**3,
        (seconds**3 - pace.quiet_seconds**3) / _RECOVERY_SECONDS**3,
    )
    interval = max(narrowest, interval * (1.0 - min(gain, 0.5)))
    return pace._replace(
        interval=interval, anchor=anchor, quiet_answers=answers, quiet_seconds=seconds
    )


def _step_back(pace: SendingPace, now: float) -> SendingPace:
    step = _STEP
    if pace.refused_share < _STRAY_SHARE:
        step = max(_SMALLEST_STEP, _STEP * (1.0 - pace.stray_share / _STRAYS_WITHOUT_STEP))
    interval = min(_SLOWEST_INTERVAL, pace.interval * (1.0 + step))
    is_at_anchor = pace.interval <= pace.anchor * _AT_ANCHOR
    return pace._replace(
        interval=max(pace.interval, interval),
        anchor=interval if is_at_anchor else pace.anchor,
        quiet_answers=0,
        quiet_seconds=0.0,
        changed_at=now,
    )


def _cut(pace: SendingPace, taken_rate: float, now: float) -> SendingPace:
    if taken_rate:
        anchor = min(_SLOWEST_INTERVAL, 1.0 / (taken_rate * _BELOW_LIMIT))
        interval = anchor = max(pace.interval, anchor)
    else:
        # Nothing gets through: that says nothing about a limit, so where it was is kept.
        interval, anchor = min(2.0 * pace.interval, _PROBING_INTERVAL), pace.anchor
    until = now + _COOL_DOWN_SECONDS
    cut = pace._replace(
        interval=max(pace.interval, interval),
        anchor=anchor,
        refused_share=0.0,
        quiet_answers=0,
        changed_at=until,
        hold_until=max(pace.hold_until, until),
    )
    return _counted_anew(cut, until)
