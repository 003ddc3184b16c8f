"""The guards at work: how many rows may leave at this tick, who is held back, when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import canary
from wacoex_cli.broadcast.canary import Go, Wait
from wacoex_cli.broadcast.live import Held
from wacoex_cli.broadcast.quiet_hours import NEVER, ending_zone, held_until
from wacoex_cli.broadcast.rule import Stop
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.foundation.phone_numbers import zones_of
from wacoex_cli.foundation.time_zones import local_text

if TYPE_CHECKING:
    from wacoex_cli.broadcast.exchange import Run
    from wacoex_cli.broadcast.model import Claim
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_LOOKED_AT = 200
_LOOK_EVERY_SECONDS = 0.5
_UNLIMITED = 1_000_000
_DECIDER = "wacoex"


@dataclass(frozen=True)
class Leave:
    """How many more rows may leave now, until when (monotonic seconds), or why none may."""

    rows: int = _UNLIMITED
    before: float = float("inf")
    stop: Stop | None = None


class Warden:
    """Watches over one run. Everything is called inside the transaction of a tick."""

    def __init__(self, state: State, clock: Clock, run: Run) -> None:
        self._rows = Rows(state, run.broadcast_id)
        self._clock = clock
        self._run = run
        guards, since = run.guards, run.guards.canary_since
        self._hours = guards.quiet_hours
        is_open = since and not Broadcasts(state).has_decision(run.broadcast_id, canary.WORD, since)
        self._canary = guards.canary if is_open else None
        self._next_look = self._next_sweep = float("-inf")

    def leave(self) -> Leave:
        """What may leave at this tick."""
        until = self._run.until
        if until is None:
            return self._after_canary(float("inf"))
        left = (until - self._clock.now()).total_seconds()
        if left <= 0:
            told = local_text(until, self._run.zone)
            return Leave(0, stop=Stop(f"`--until {told}` is reached", 6))
        return self._after_canary(self._clock.monotonic() + left)

    def _after_canary(self, before: float) -> Leave:
        run, now = self._run, self._clock.monotonic()
        if self._canary is None or run.guards.canary_since is None:
            return Leave(before=before)
        if now < self._next_look:
            return Leave(0, before)
        counts, answered_at = self._rows.left_since(run.guards.canary_since)
        quiet = timedelta()
        if answered_at:
            quiet = self._clock.now() - from_text(answered_at)
        found = canary.verdict(self._canary, counts, quiet.total_seconds())
        if isinstance(found, Stop):
            return Leave(0, before, found)
        if isinstance(found, Go):
            self._record(found)
            return Leave(before=before)
        if found == Wait(0):
            self._next_look = _next_time(now, self._clock.monotonic())
        return Leave(found.room, before)

    def _record(self, go: Go) -> None:
        self._canary = None
        self._rows.note_decision(None, go.told, _DECIDER, self._clock.now())

    def claim(self, holder: str, wanted: int) -> tuple[Claim, ...]:
        """Claim up to `wanted` rows of people whose quiet hours it is not; hold the others back."""
        hours, now = self._hours, self._clock.now()
        if not (hours and wanted):
            return self._rows.claim(holder, wanted, now)
        free, held = 0, dict[int, datetime | None]()
        for row, phone in self._rows.next_rows(now, max(_LOOKED_AT, wanted)):
            if free == wanted:
                break
            until = held_until(self._zones(phone), hours, now)
            if until is None:
                free += 1
            else:
                held[row] = None if until == NEVER else until
        self._rows.hold(held)
        if free < wanted:
            self._skip_opted_out()
        return self._rows.claim(holder, free, now)

    def _skip_opted_out(self) -> None:
        """Now and then: with a million rows held back it takes longer than a tick."""
        began = self._clock.monotonic()
        if began >= self._next_sweep:
            self._rows.skip_opted_out()
            self._next_sweep = _next_time(began, self._clock.monotonic())

    def held(self) -> tuple[Held, ...]:
        """What is held back, soonest first, each in a zone in which it is over at that moment."""
        hours = self._hours
        if hours is None:
            return ()
        return tuple(
            Held(rows, until, ending_zone(self._zones(phone), hours, until))
            for until, rows, phone in self._rows.held()
        )

    def _zones(self, phone: str) -> tuple[str, ...]:
        """A number of no known zone goes by the clocks of the channel."""
        return zones_of(phone) or (self._run.zone,)


def _next_time(began: float, ended: float) -> float:
    """Looking through a million rows takes a while; it may cost a twentieth of the time."""
    return began + max(_LOOK_EVERY_SECONDS, 20 * (ended - began))
