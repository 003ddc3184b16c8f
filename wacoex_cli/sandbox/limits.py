"""How fast messages may come, and what came: every attempt to send and its figures."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import asdict, dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class Arrival:
    """One attempt to send; `at` is monotonic seconds, `number` counts from 1 since the reset.

    `outcome` is `accepted`, `refused`, or the kind of fault that spoilt the answer;
    `accepted` says whether the message was taken, whatever the sender got to read. `api` is
    `meta`, or `respondio`: there `code` is the HTTP status of a refusal, and `message_id` the
    one of respond.io.
    """

    number: int
    at: float
    phone_number_id: str
    recipient: str | None
    biz_opaque_callback_data: str | None
    outcome: str
    accepted: bool
    code: int | None
    message_id: str | None
    without_plus: bool = False
    api: str = "meta"


@dataclass(frozen=True, slots=True)
class SyncCall:
    """One call to copy contacts or history; `onboarding` is when the number was connected.

    `code` is that of the refusal, None when it was taken.
    """

    phone_number_id: str
    sync_type: str
    onboarding: str
    code: int | None


class ArrivalFigures:
    """Running figures, so that a summary stays cheap after many thousand messages."""

    def __init__(self) -> None:
        self.by_recipient: Counter[str] = Counter()
        self._outcomes: Counter[str] = Counter()
        self._codes: Counter[int] = Counter()
        self._arrived = SlidingSecond()
        self._taken = SlidingSecond()
        self._total = 0
        self._without_plus = 0
        self._first_at: float | None = None
        self._last_at: float | None = None

    def add(self, arrival: Arrival) -> None:
        """Count one arrival."""
        self._total += 1
        self._outcomes[arrival.outcome] += 1
        self._without_plus += arrival.without_plus
        self._arrived.add(arrival.at)
        self._first_at = arrival.at if self._first_at is None else self._first_at
        self._last_at = arrival.at
        if arrival.code is not None:
            self._codes[arrival.code] += 1
        if arrival.accepted:
            self._taken.add(arrival.at)
            self.by_recipient[arrival.recipient or ""] += 1

    def figures(self) -> dict[str, Any]:
        """The figures as JSON values; times in monotonic seconds."""
        duplicates = {who: times for who, times in self.by_recipient.items() if times > 1}
        return {
            "arrivals": self._total,
            "accepted": self.by_recipient.total(),
            "duplicates": duplicates,
            "refusals_by_code": {str(code): times for code, times in sorted(self._codes.items())},
            "outcomes": dict(sorted(self._outcomes.items())),
            "most_arrivals_in_one_second": self._arrived.most,
            "most_accepted_in_one_second": self._taken.most,
            "first_at": self._first_at,
            "last_at": self._last_at,
            "recipients_without_plus": self._without_plus,
        }


class ArrivalLog:
    """Every arrival in order, and the figures: over all numbers, and for each."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.violations: list[str] = []
        self.syncs: list[SyncCall] = []
        self._all = ArrivalFigures()
        self._each: dict[str, ArrivalFigures] = {}

    def __len__(self) -> int:
        return len(self.arrivals)

    def add(self, arrival: Arrival) -> None:
        """Keep one arrival."""
        self.arrivals.append(arrival)
        self._all.add(arrival)
        self._each.setdefault(arrival.phone_number_id, ArrivalFigures()).add(arrival)

    def since(self, number: int) -> list[Arrival]:
        """The arrivals after the one with that number; 0 gives all."""
        return self.arrivals[max(number, 0) :]

    def accepted(self) -> list[Arrival]:
        """The arrivals whose message was taken."""
        return [arrival for arrival in self.arrivals if arrival.accepted]

    def summary(self) -> dict[str, Any]:
        """All figures as JSON values, with `accepted_by_recipient` over all numbers.

        `violations` are requests that nobody may make of a Coexistence number, `syncs` the
        calls to copy contacts and history.
        """
        return {
            **self._all.figures(),
            "accepted_by_recipient": dict(self._all.by_recipient),
            "violations": list(self.violations),
            "syncs": [asdict(sync) for sync in self.syncs],
            "phone_numbers": {number: each.figures() for number, each in self._each.items()},
        }
