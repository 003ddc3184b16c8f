"""A thread that lets the rooms read the log on while others write it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from wacoex_cli.errors import WacoexError
from wacoex_cli.events import ledger
from wacoex_cli.events.projection import step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wacoex_cli.events.projection import Projection
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_EVENTS_AT_ONCE = 200
# Between steps the writer gets its turn; after a commit a few more come, to be read together.
_PAUSE_SECONDS = 0.02
_GATHERING_SECONDS = 0.2
_AFTER_FAILURE_SECONDS = 5.0
_CLOSING_SECONDS = 5.0


class Projector:
    """Gives each projection the events it has not seen, in turns and in small steps.

    It works on a state file of its own, so that it holds up nobody who reads. A projection that
    fails is told and tried again later; the others go on.
    """

    def __init__(
        self,
        state: State,
        projections: Sequence[Projection],
        clock: Clock,
        *,
        on_failure: Callable[[str, str], None],
    ) -> None:
        """`on_failure` is told the name of the projection and why it failed."""
        self._state = state
        self._projections = projections
        self._clock = clock
        self._on_failure = on_failure
        self._news = threading.Event()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._work, name="projector", daemon=True)

    def start(self) -> None:
        """Begin, with what an earlier process may have left."""
        self._news.set()
        self._thread.start()

    def wake(self) -> None:
        """There are new events."""
        self._news.set()

    def close(self) -> None:
        """Let the projections catch up, five seconds at most, then end.

        Whoever reads the log next goes on where this stopped.
        """
        self._give_up_at = self._clock.monotonic() + _CLOSING_SECONDS
        self._closing.set()
        self._news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._news.wait()
            self._news.clear()
            if not self._catch_up():
                self._closing.wait(_AFTER_FAILURE_SECONDS)
                self._news.set()
            self._closing.wait(_GATHERING_SECONDS)
        self._catch_up()

    def _catch_up(self) -> bool:
        """False when a projection failed; the others are up to date then, if there was time."""
        remaining = list(self._projections)
        has_failed = False
        while remaining and self._clock.monotonic() < self._give_up_at:
            for one in tuple(remaining):
                try:
                    if self._is_up_to_date(one):
                        remaining.remove(one)
                except Exception as error:
                    has_failed = True
                    remaining.remove(one)
                    self._on_failure(one.name, _reason(error))
            self._closing.wait(_PAUSE_SECONDS)
        return not has_failed

    def _is_up_to_date(self, projection: Projection) -> bool:
        if ledger.is_behind(self._state, projection.name):
            step(self._state, projection, self._clock, _EVENTS_AT_ONCE)
            return False
        return True


def _reason(error: Exception) -> str:
    # Only our own errors are worded so that they quote nothing of an event.
    return error.message if isinstance(error, WacoexError) else type(error).__name__
