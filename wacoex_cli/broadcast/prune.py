"""Old broadcasts go; what may still matter to somebody stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.store import Broadcasts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_COOLING_DOWN = timedelta(hours=24)
"""Meta: error codes, 131049. The limit on new conversations looks as far back."""


@dataclass(frozen=True)
class Old:
    """A broadcast that can go. `ended_at` is RFC 3339 text in UTC."""

    broadcast_id: int
    name: str | None
    status: str
    ended_at: str
    rows: int


@dataclass(frozen=True)
class Choice:
    """What can go, and for which reasons how many broadcasts of that age are kept."""

    removable: tuple[Old, ...]
    kept: Mapping[str, int]


def choose(state: State, before: datetime, now: datetime) -> Choice:
    """Find the broadcasts that ended before a moment and that nothing needs any more."""
    newest = Broadcasts(state).newest_id()
    kept: Counter[str] = Counter()
    removable = []
    for row in figures.older_than(state, before, now - _COOLING_DOWN):
        if reason := why_kept(row, newest):
            kept[reason] += 1
        else:
            ended_at = max(row["ended_at"], row["last_answer_at"], row["last_decision_at"])
            removable.append(
                Old(row["broadcast_id"], row["name"], row["status"], ended_at, row["row_count"])
            )
    return Choice(tuple(removable), dict(kept))


def why_kept(row: Row, newest_id: int) -> str | None:
    """Why a broadcast stays although it is old; None when it can go."""
    if row["status"] not in (Status.COMPLETED, Status.CANCELLED):
        return "open"
    if row["uncertain"]:
        return "ambiguous"
    if row["cooling"]:
        return "cooling_down"
    if row["recent"]:
        return "recent"
    # Its number would be given out again, and a late report about one of its messages
    # would then be taken for news of another broadcast.
    return "newest" if row["broadcast_id"] == newest_id else None


def remove(state: State, choice: Choice) -> tuple[Old, ...]:
    """Remove what was chosen; returns what was, without what has changed meanwhile."""
    return tuple(one for one in choice.removable if Broadcasts(state).remove(one.broadcast_id))
