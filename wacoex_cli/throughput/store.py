"""The paces that all processes share, in the state file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.throughput.throttle import SendingPace, after_boot, fresh

if TYPE_CHECKING:
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

# The other fields of a pace are columns of the same name.
_COLUMN_OF = {"interval": "slot_interval", "anchor": "anchor_interval"}
_FIELDS = tuple(SendingPace.__dataclass_fields__)
_COLUMNS = ("boot_id", *(_COLUMN_OF.get(name, name) for name in _FIELDS))
_SAVE = (
    f"INSERT INTO paces (pace_key, {', '.join(_COLUMNS)})"
    f" VALUES (?{', ?' * len(_COLUMNS)}) ON CONFLICT (pace_key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)
)


class Paces:
    """The pace of each number, each account and each broadcast of a state file."""

    def __init__(self, state: State) -> None:
        self.state = state

    def find(self, key: str, clock: Clock) -> SendingPace | None:
        """The pace that all processes share: of a number, an account, or one broadcast.

        None while there is none.
        """
        row = self.state.row("SELECT * FROM paces WHERE pace_key = ?", [key])
        if row is None:
            return None
        pace = SendingPace(**{name: row[_COLUMN_OF.get(name, name)] for name in _FIELDS})
        is_of_this_boot = row["boot_id"] == clock.boot_id()
        return pace if is_of_this_boot else after_boot(pace, clock.monotonic())

    def load(self, key: str, messages_per_second: float, clock: Clock) -> SendingPace:
        """The pace as it is stored, or a fresh one at that many messages a second."""
        return self.find(key, clock) or fresh(messages_per_second, clock.monotonic())

    def save(self, key: str, pace: SendingPace, clock: Clock) -> None:
        """Store a pace for all processes."""
        values = [getattr(pace, name) for name in _FIELDS]
        self.state.execute(_SAVE, [key, clock.boot_id(), *values])
