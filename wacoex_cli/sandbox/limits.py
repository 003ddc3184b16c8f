"""The two rates Meta keeps: messages of one number, and messages to one user."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

COEXISTENCE_LIMIT = 20  # messages per second (Meta: throughput)
PAIR_SECONDS = 6.0  # one message to the same user in that time (Meta: pair rate limits)
PAIR_BURST = 45  # messages to the same user within PAIR_SECONDS, on credit


class SlidingSecond:
    """Counts what happened in the second that ends now; times are monotonic seconds.

    Two moments exactly one second apart are in different seconds.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque()
        self.most = 0

    def count(self, now: float) -> int:
        """How many moments lie in the second up to `now`."""
        while self._times and now - self._times[0] >= 1.0:
            self._times.popleft()
        return len(self._times)

    def add(self, now: float) -> None:
        """Note one more moment, and the most that any second has held."""
        self._times.append(now)
        self.most = max(self.most, self.count(now))


@dataclass(slots=True)
class _Credit:
    burst_began: float
    burst_size: int
    paid_at: float


class PairRate:
    """One message to a user every six seconds, or a burst that is paid back by waiting.

    A burst of up to 45 within six seconds is allowed; afterwards nothing is, until the time
    has passed that these messages would have needed (Meta: pair rate limits).
    """

    def __init__(self) -> None:
        self._credits: dict[str, _Credit] = {}

    def allows(self, recipient: str, now: float) -> bool:
        """Whether one more message to `recipient` may be taken at `now` (monotonic seconds)."""
        credit = self._credits.get(recipient)
        if credit is None or now >= credit.paid_at:
            return True
        return now - credit.burst_began < PAIR_SECONDS and credit.burst_size < PAIR_BURST

    def add(self, recipient: str, now: float) -> None:
        """Note a message that was taken."""
        credit = self._credits.get(recipient)
        if credit is None or now >= credit.paid_at:
            self._credits[recipient] = _Credit(now, 1, now + PAIR_SECONDS)
            return
        credit.burst_size += 1
        credit.paid_at += PAIR_SECONDS
