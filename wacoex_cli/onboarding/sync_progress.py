"""How far Meta has come with copying contacts and history, from the webhooks that came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Signs
from wacoex_cli.events.store import EventLog
from wacoex_cli.platforms.events import Kind
from wacoex_cli.platforms.meta_sync import NOT_SHARED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_DONE = 100


@dataclass(frozen=True)
class Progress:
    """What has come in. `phases` is the highest percentage told of each phase of the history.

    `declined_at` is when Meta told that the owner of the phone shares no history.
    """

    contacts: int = 0
    phases: Mapping[int, int] = field(default_factory=dict)
    declined_at: str | None = None

    @property
    def has_history(self) -> bool:
        """Whether anything about the history has come."""
        return bool(self.phases) or self.declined_at is not None

    @property
    def percent(self) -> int:
        """How far the history is; 100 ends it, whatever the phases say (Meta: history)."""
        return max(self.phases.values(), default=0)

    def sentence(self) -> str:
        """How far it is, in words."""
        history = "not shared on the phone" if self.declined_at else f"{self.percent} %"
        return f"copied so far: {self.contacts} contacts, history {history}"

    def to_json(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "contacts": self.contacts,
            "history_percent": self.percent,
            "history_phases": {str(one): self.phases[one] for one in sorted(self.phases)},
            "declined_at": self.declined_at,
        }


def progress_of(state: State, channel: Channel, since: datetime) -> Progress:
    """What webhooks told since that moment, in whatever order (Meta: history)."""
    addresses = Signs(state).addresses_for(channel)
    kinds = (Kind.CONTACT_SYNC, Kind.HISTORY)
    contacts = 0
    phases: dict[int, int] = {}
    declined_at: str | None = None
    for event in EventLog(state).find(
        kinds=kinds, since=since, addresses=addresses, newest_first=False
    ):
        if event.kind is Kind.CONTACT_SYNC:
            contacts += 1
        elif event.data.get("code") == NOT_SHARED:
            declined_at = event.at
        else:
            phase, percent = event.data.get("phase"), event.data.get("progress")
            if phase is not None and percent is not None:
                phases[phase] = max(min(percent, _DONE), phases.get(phase, 0))
    return Progress(contacts, phases, declined_at)
