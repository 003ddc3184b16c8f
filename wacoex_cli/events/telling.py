"""What the listener says: lines for a person, or one JSON object a line for a program."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.terminal import render

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.events.ledger import Stored
    from wacoex_cli.events.model import Kind, Payload, Source
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.terminal.dialogue import Dialogue

_SAME_TROUBLE_SECONDS = 60.0


class Telling:
    """Counts and tells what comes in. Never the content of a message, a number or a key."""

    def __init__(self, dialogue: Dialogue, clock: Clock, *, streams_json: bool) -> None:
        self._dialogue = dialogue
        self._clock = clock
        self._streams_json = streams_json
        self._told_at: dict[str, float] = {}
        self._lock = threading.Lock()
        self.stored = 0
        self.duplicates = 0
        self.refused = 0
        self.events: Counter[Kind] = Counter()
        """New events by kind."""
        self.newest_at: datetime | None = None
        """When something last came in; None while nothing has."""

    def ready(self, url: str) -> None:
        """Requests are answered from now on."""
        self._stream({"event": "ready", "url": url})

    def took(self, payload: Payload, stored: Stored) -> None:
        """A delivery is in the log, or was already."""
        self.newest_at = self._clock.now()
        events = {kind.value: count for kind, count in sorted(stored.events.items())}
        self.events.update(stored.events)
        if stored.is_new:
            self.stored += 1
        else:
            self.duplicates += 1
        what = "stored" if stored.is_new else "duplicate"
        self._stream({"event": what, "source": payload.source.value, "events": events})
        counts = ", ".join(f"{count} {kind}" for kind, count in events.items())
        self._dialogue.detail(f"{payload.source.value}: {what}{f' ({counts})' if counts else ''}")

    def turned_away(self, source: Source | None, request: str, status: int, why: str) -> None:
        """A request was refused; `request` names method and place without what was asked for."""
        self.refused += 1
        self._stream(
            {"event": "refused", "source": source, "events": {}, "status": status, "why": why}
        )
        if status == 503 and self._was_told_lately(why):
            return
        self._dialogue.warn(f"{to_text(self._clock.now())} {request}: {status}, {why}")

    def trouble(self, text: str) -> None:
        """Something of our own does not work; the same is told once a minute."""
        if not self._was_told_lately(text):
            self._dialogue.warn(f"{to_text(self._clock.now())} {text}")

    def _was_told_lately(self, text: str) -> bool:
        now = self._clock.monotonic()
        with self._lock:
            is_lately = now < self._told_at.get(text, float("-inf")) + _SAME_TROUBLE_SECONDS
            if not is_lately:
                self._told_at[text] = now
        return is_lately

    def _stream(self, entry: dict[str, object]) -> None:
        if self._streams_json:
            told = {**entry, "at": to_text(self._clock.now())}
            render.write(sys.stdout, f"{json.dumps(told, sort_keys=True)}\n")
