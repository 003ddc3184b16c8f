"""Old events go; what the countdown and the counts of today rest on stays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.events import upkeep_ledger
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from wacoex_cli.foundation.state import State

_NEEDED_WHOLE = timedelta(days=60)
"""The countdown is over after 14 days; WX108 compares the last 28."""


@dataclass(frozen=True)
class OldEvents:
    """How much of the log can go. `active_contacts` are those of the months that go."""

    payloads: int
    events: int
    active_contacts: int
    first_payload: int
    first_event: int
    month: str

    def __bool__(self) -> bool:
        return bool(self.payloads or self.events or self.active_contacts)

    def to_json(self) -> dict[str, int]:
        """What is removed, for `state prune --json`."""
        told = asdict(self)
        return {name: told[name] for name in ("payloads", "events", "active_contacts")}


def choose(state: State, before: datetime, readers: Collection[str]) -> OldEvents:
    """Find what came in before a moment and was read by every reader (their names)."""
    first_payload, first_event = upkeep_ledger.end_of_old(state, to_text(before), readers)
    month = to_text(before)[:7]
    counts = upkeep_ledger.count_old(state, first_payload, first_event, month)
    return OldEvents(*counts, first_payload, first_event, month)


def remove(state: State, old: OldEvents, before: datetime, now: datetime) -> None:
    """Remove what was chosen. Evidence is thinned out to one echo a day, not removed."""
    upkeep_ledger.remove_old(state, old.first_payload, old.first_event, old.month)
    upkeep_ledger.thin_out(state, to_text(min(before, now - _NEEDED_WHOLE)))
