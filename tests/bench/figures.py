"""What a benchmark measured: figures over the arrivals, and the table that is printed."""

from __future__ import annotations

import bisect
import os
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

THROTTLED = 130429


class Arrivals:
    """Attempts to send, in order of arrival; `at` is `time.monotonic` of this machine."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows
        self.at: list[float] = [row["at"] for row in rows]
        self.accepted_at: list[float] = [row["at"] for row in rows if row["accepted"]]

    def between(self, start: float, end: float) -> Arrivals:
        """Those in [start, end)."""
        return Arrivals([row for row in self.rows if start <= row["at"] < end])

    def of(self, phone_number_id: str) -> Arrivals:
        """Those of one phone number."""
        return Arrivals([row for row in self.rows if row["phone_number_id"] == phone_number_id])

    def throttled(self) -> int:
        """How many were answered with 130429."""
        return sum(row["code"] == THROTTLED for row in self.rows)

    def accepted_rate(self) -> float:
        """Accepted per second between the first and the last accepted one."""
        return (len(self.accepted_at) - 1) / (self.accepted_at[-1] - self.accepted_at[0])

    def most_in_a_second(self) -> int:
        """The most arrivals in any second, wherever it begins."""
        return most_in_a_second(self.at)

    def duplicates(self) -> int:
        """Messages that were taken for somebody who already had one."""
        taken = [row["recipient"] for row in self.rows if row["accepted"]]
        return len(taken) - len(set(taken))


def most_in_a_second(moments: Iterable[float]) -> int:
    """The most of these moments, in seconds, that lie within any second."""
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def seconds_until_rate(
    accepted_at: Sequence[float], since: float, rate: float, window: float
) -> float:
    """Seconds from a moment until a `window` had more than `rate` a second; infinite if none had.

    `accepted_at` is in order and begins after that moment.
    """
    for end, moment in enumerate(accepted_at):
        start = bisect.bisect_right(accepted_at, moment - window)
        if (end - start + 1) / window > rate:
            return moment - since
    return float("inf")


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, and the bounds it has to keep.

    Raises ValueError without a bound: nobody can tell from such a line whether all is well.
    """

    what: str
    measured: float
    at_least: float | None = None
    at_most: float | None = None
    decimals: int = 0

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise ValueError(f"{self.what}: a figure needs a bound")

    @property
    def is_missed(self) -> bool:
        """Whether a bound is not kept."""
        return (self.at_least is not None and self.measured < self.at_least) or (
            self.at_most is not None and self.measured > self.at_most
        )

    def cells(self) -> tuple[str, str, str]:
        """What, measured, wanted."""
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        wanted = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
        return self.what, f"{self.measured:.{self.decimals}f}", wanted + " MISSED" * self.is_missed


_missed: list[str] = []


def show(title: str, figures: Iterable[Figure], machine: str = "") -> None:
    """Print a table, with the machine it was measured on; `machine` says more about that.

    A bound that is missed lets `finish` end the program with status 1.
    """
    facts = (
        f"{os.cpu_count()} cores",
        f"load {os.getloadavg()[0]:.1f}",
        f"CPython {platform.python_version()}",
        *([machine] if machine else []),
    )
    print(f"\n{title}")
    print(f"  ({', '.join(facts)})")
    shown = list(figures)
    _missed.extend(figure.what for figure in shown if figure.is_missed)
    rows = [("what", "measured", "wanted"), *(figure.cells() for figure in shown)]
    width = max(len(row[0]) for row in rows)
    for what, measured, wanted in rows:
        print(f"  {what:<{width}}  {measured:>9}  {wanted}".rstrip(), flush=True)


def finish() -> NoReturn:
    """End the program: with status 1 when it has shown a figure that misses its bound."""
    sys.exit(bool(_missed))
