"""The guards at work: how many rows may leave at this tick, who is held back, when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import canary, claims_ledger, guards_ledger, ledger
from wacoex_cli.broadcast.canary import Go, Wait
from wacoex_cli.broadcast.live import Held
from wacoex_cli.broadcast.quiet_hours import ending_zone, held_until
from wacoex_cli.broadcast.rule import Stop
from wacoex_cli.foundation.clock import from_text, to_text
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
        self._state = state
        self._clock = clock
        self._run = run
        guards, since = run.guards, run.guards.canary_since
        self._hours = guards.quiet_hours
        is_open = since and not guards_ledger.has_decided(state, run.broadcast_id, since)
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
        counts, answered_at = guards_ledger.first_rows(
            self._state, run.broadcast_id, run.guards.canary_since
        )
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
        moment = to_text(self._clock.now())
        ledger.record_decision(self._state, self._run.broadcast_id, None, go.told, _DECIDER, moment)

    def claim(self, holder: str, wanted: int) -> tuple[Claim, ...]:
        """Claim up to `wanted` rows of people whose quiet hours it is not; hold the others back."""
        state, broadcast_id, now = self._state, self._run.broadcast_id, self._clock.now()
        hours = self._hours
        if not (hours and wanted):
            return claims_ledger.claim(state, broadcast_id, holder, wanted, now)
        free = guards_ledger.hold_back(
            state,
            broadcast_id,
            now,
            lambda phone: held_until(self._zones(phone), hours, now),
            wanted=wanted,
            most=max(_LOOKED_AT, wanted),
        )
        if free < wanted:
            self._skip_opted_out()
        return claims_ledger.claim(state, broadcast_id, holder, free, now)

    def _skip_opted_out(self) -> None:
        """Now and then: with a million rows held back it takes longer than a tick."""
        began = self._clock.monotonic()
        if began >= self._next_sweep:
            claims_ledger.skip_opted_out(self._state, self._run.broadcast_id)
            self._next_sweep = _next_time(began, self._clock.monotonic())

    def held(self) -> tuple[Held, ...]:
        """What is held back, soonest first, each in a zone in which it is over at that moment."""
        hours = self._hours
        if hours is None:
            return ()
        return tuple(
            Held(rows, until, ending_zone(self._zones(phone), hours, until))
            for until, rows, phone in guards_ledger.held(self._state, self._run.broadcast_id)
        )

    def _zones(self, phone: str) -> tuple[str, ...]:
        """A number of no known zone goes by the clocks of the channel."""
        return zones_of(phone) or (self._run.zone,)


def _next_time(began: float, ended: float) -> float:
    """Looking through a million rows takes a while; it may cost a twentieth of the time."""
    return began + max(_LOOK_EVERY_SECONDS, 20 * (ended - began))
