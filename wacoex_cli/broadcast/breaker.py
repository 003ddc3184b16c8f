"""When so much goes wrong that a broadcast pauses by itself. Pure."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import RowState, Settled
from wacoex_cli.broadcast.rule import Stop
from wacoex_cli.platforms.error_codes import Outcome, classify, is_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AMBIGUOUS, UNKNOWN = Outcome.AMBIGUOUS.value, "unknown"
CLASSES = frozenset({*(one.value for one in Outcome), UNKNOWN})
"""The words by which a limit may name errors, besides their codes."""

_LAST = 100


@dataclass(frozen=True)
class _Fault:
    """What went wrong with one row: for people, and by which names a limit may mean it."""

    told: str
    names: frozenset[str]


def _window() -> deque[_Fault | None]:
    return deque(maxlen=_LAST)


@dataclass
class Breaker:
    """Pauses a broadcast that mostly fails, or fails too often in one way.

    It opens when at least `least_rows` answers came and at least `share` of the last 100 were
    rejected, or brought no usable answer; when the same holds for the last 100 messages of which
    it was told that they arrived or failed; and at a limit of `limits`. A limit is by code or by
    one of `CLASSES`: a number of rows in this run, or a share of the last 100.
    """

    least_rows: int = 20
    share: float = 0.30
    limits: Mapping[str, int | float] = field(default_factory=dict)
    _outcomes: deque[_Fault | None] = field(default_factory=_window)
    _answers: deque[_Fault | None] = field(default_factory=_window)
    _statuses: deque[_Fault | None] = field(default_factory=_window)
    _times: Counter[str] = field(default_factory=Counter)
    _failed: Counter[int | None] | None = None
    _well: int = 0

    def saw(self, settled: Settled) -> None:
        """Count one answer. A row that will be tried again is no outcome; a limit may mean it."""
        fault = _fault(settled)
        self._answers.append(fault)
        if fault:
            self._times.update(fault.names)
        if settled.state is not RowState.RETRY:
            self._outcomes.append(fault)

    def saw_statuses(self, failed: Mapping[int | None, int], well: int) -> None:
        """Learn how many messages have failed after all, by code, and how many arrived, by now.

        What was so at the first call is from before this run and does not count.
        """
        before, arrived = self._failed, well - self._well
        self._failed, self._well = Counter(failed), well
        if before is None:
            return
        new = self._failed - before
        faults = {code: _failure(code) for code in new}
        for code, n in new.items():
            self._times.update(dict.fromkeys(faults[code].names, n))
        groups = [(None, arrived), *((faults[code], n) for code, n in new.items())]
        self._statuses.extend(_mixed(groups))

    def verdict(self) -> Stop | None:
        """The stop to make, naming codes and numbers, or None."""
        return (
            self._mostly(self._outcomes, "rows went wrong")
            or self._mostly(self._statuses, "messages failed after they were accepted")
            or self._at_a_limit()
        )

    def _mostly(self, window: deque[_Fault | None], what: str) -> Stop | None:
        faults = [fault.told for fault in window if fault]
        if len(window) < self.least_rows or len(faults) < self.share * len(window):
            return None
        named = ", ".join(f"{fault} ({n} times)" for fault, n in Counter(faults).most_common(5))
        return Stop(f"{len(faults)} of the last {len(window)} {what}: {named}", 5)

    def _at_a_limit(self) -> Stop | None:
        for name, limit in self.limits.items():
            called = f"code {name}" if name.isdigit() else name
            if isinstance(limit, int):
                if (n := self._times[name]) >= limit:
                    return Stop(f"{called} came {n} times; the limit is {limit}", 5)
                continue
            for window in (self._answers, self._statuses):
                n = sum(fault is not None and name in fault.names for fault in window)
                if n and len(window) >= self.least_rows and n >= limit * len(window):
                    told = f"{called} came {n} times in the last {len(window)}"
                    return Stop(f"{told}; the limit is {limit * 100:g}%", 5)
        return None


def _fault(settled: Settled) -> _Fault | None:
    code = settled.code
    if settled.state is RowState.AMBIGUOUS:
        return _Fault("no usable answer", frozenset({AMBIGUOUS, *_code_names(code)}))
    if settled.state in (RowState.REJECTED, RowState.FAILED):
        return _failure(code)
    if settled.state is RowState.RETRY and code is not None:
        return _failure(code)
    return None


def _failure(code: int | None) -> _Fault:
    if code is None:
        return _Fault("refused", frozenset({Outcome.ROW.value, UNKNOWN}))
    names = {classify(code).outcome.value, *_code_names(code)}
    return _Fault(f"code {code}", frozenset(names if is_known(code) else {*names, UNKNOWN}))


def _code_names(code: int | None) -> tuple[str, ...]:
    return () if code is None else (str(code),)


def _mixed(groups: Iterable[tuple[_Fault | None, int]]) -> Iterable[_Fault | None]:
    """All of them, evenly mixed: nobody knows in which order they came."""
    places = [
        ((n + 0.5) / count, order, fault)
        for order, (fault, count) in enumerate(groups)
        for n in range(count)
    ]
    return [fault for _, _, fault in sorted(places, key=lambda one: one[:2])]
