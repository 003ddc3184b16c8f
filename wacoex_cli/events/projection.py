"""Events are a log; each room that cares reads it on from where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.events import ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.events.model import Event, Kind
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

EVENTS_AT_ONCE = 500


@dataclass(frozen=True)
class Projection:
    """What a room makes of events of some kinds.

    `project` is called inside a transaction, which also keeps the cursor. It must come to the
    same state whatever the order of the events, and however often it is given the same one.
    """

    name: str
    kinds: frozenset[Kind]
    project: Callable[[State, Sequence[Event], datetime], None]


def catch_up(
    state: State,
    projections: Iterable[Projection],
    clock: Clock,
    *,
    events_at_once: int = EVENTS_AT_ONCE,
) -> int:
    """Give each projection the events it has not seen; returns how many were given.

    Any number of processes may do so at the same time.
    Raises StateError when the state file cannot be written.
    """
    given = 0
    for one in projections:
        while ledger.is_behind(state, one.name):
            given += step(state, one, clock, events_at_once)
    return given


def step(state: State, projection: Projection, clock: Clock, most: int) -> int:
    """Give one projection the next events, `most` of them, in one transaction; returns how many.

    Raises StateError when the state file cannot be written.
    """
    with state.transaction():
        cursor = ledger.cursor(state, projection.name)
        events, reached = ledger.events_after(state, cursor, projection.kinds, most)
        if events:
            projection.project(state, events, clock.now())
        ledger.move_cursor(state, projection.name, reached)
    return len(events)
