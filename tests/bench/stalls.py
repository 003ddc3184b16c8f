"""When the machine itself stood still: more than a slot's guard of that explains a refusal."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAP_SECONDS = 0.005
_NOTED_SECONDS = 0.025
"""The guard of 20 messages in a second: slots are (1 s + 25 ms) / 20 apart."""


class Stalls:
    """How long naps took beyond their time, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.beyond_guard = 0

    def add(self, overslept: float) -> None:
        """Note one nap."""
        self.longest = max(self.longest, overslept)
        self.beyond_guard += overslept > _NOTED_SECONDS

    def __str__(self) -> str:
        times = f"{self.beyond_guard} stalls beyond {1000 * _NOTED_SECONDS:.0f} ms"
        return f"{times}, the longest {1000 * self.longest:.0f} ms"


@contextlib.contextmanager
def watched_stalls() -> Iterator[Stalls]:
    """Nap in a thread while the block runs, and see how late it wakes up."""
    seen, is_over = Stalls(), threading.Event()

    def nap() -> None:
        while not is_over.is_set():
            before = time.monotonic()
            time.sleep(_NAP_SECONDS)
            seen.add(time.monotonic() - before - _NAP_SECONDS)

    thread = threading.Thread(target=nap, name="naps")
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()
