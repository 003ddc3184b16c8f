"""The paces that all processes share, in the state file."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from wacoex_cli.throughput.throttle import SendingPace, after_boot, fresh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

# The other fields of a pace are columns of the same name.
_COLUMN_OF = {
    "interval": "slot_interval",
    "anchor": "anchor_interval",
    "stated_limit": "told_limit",
}
_COLUMNS = ("boot_id", *(_COLUMN_OF.get(name, name) for name in SendingPace._fields))
_SAVE = (
    f"INSERT INTO paces (pace_key, {', '.join(_COLUMNS)})"
    f" VALUES (?{', ?' * len(_COLUMNS)}) ON CONFLICT (pace_key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
)


@functools.cache
def _find(keys: int) -> str:
    marks = ", ".join("?" * keys)
    return f"SELECT pace_key, {', '.join(_COLUMNS)} FROM paces WHERE pace_key IN ({marks})"


class Paces:
    """The pace of each number, each account and each broadcast of a state file."""

    def __init__(self, state: State) -> None:
        self.state = state

    def find(self, keys: Sequence[str], clock: Clock) -> dict[str, SendingPace]:
        """The paces that all processes share: of numbers, accounts, or broadcasts.

        A key without a pace is left out.
        """
        boot_id, now = clock.boot_id(), clock.monotonic()
        found = {}
        for key, boot, *values in self.state.tuples(_find(len(keys)), keys):
            pace = SendingPace._make(values)
            found[key] = pace if boot == boot_id else after_boot(pace, now)
        return found

    def load(self, key: str, messages_per_second: float, clock: Clock) -> SendingPace:
        """The pace as it is stored, or a fresh one at that many messages a second."""
        found = self.find([key], clock)
        return found.get(key) or fresh(messages_per_second, clock.monotonic())

    def save(self, paces: Mapping[str, SendingPace], clock: Clock) -> None:
        """Store the paces of these keys for all processes."""
        boot_id = clock.boot_id()
        self.state.execute_many(_SAVE, [(key, boot_id, *pace) for key, pace in paces.items()])
