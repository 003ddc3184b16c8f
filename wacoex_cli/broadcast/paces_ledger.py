"""The paces that all processes share: of a number, of an account, of one broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.throttle import Pace, after_boot, fresh

if TYPE_CHECKING:
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State


def load_pace(state: State, key: str, messages_per_second: float, clock: Clock) -> Pace:
    """The pace shared by all processes under a key (a phone number, or one broadcast)."""
    now = clock.monotonic()
    row = state.row("SELECT * FROM paces WHERE pace_key = ?", [key])
    if row is None:
        return fresh(messages_per_second, now)
    pace = Pace(
        next_slot=row["next_slot"],
        interval=row["slot_interval"],
        anchor=row["anchor_interval"],
        refused_share=row["refused_share"],
        quiet_answers=row["quiet_answers"],
        changed_at=row["changed_at"],
        hold_until=row["hold_until"],
        told_limit=row["told_limit"],
    )
    return pace if row["boot_id"] == clock.boot_id() else after_boot(pace, now)


def save_pace(state: State, key: str, pace: Pace, clock: Clock) -> None:
    """Store a pace for all processes."""
    state.execute(
        "INSERT INTO paces (pace_key, boot_id, next_slot, slot_interval, anchor_interval,"
        " refused_share, quiet_answers, changed_at, hold_until, told_limit)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (pace_key) DO UPDATE SET boot_id = excluded.boot_id,"
        " next_slot = excluded.next_slot, slot_interval = excluded.slot_interval,"
        " anchor_interval = excluded.anchor_interval, refused_share = excluded.refused_share,"
        " quiet_answers = excluded.quiet_answers, changed_at = excluded.changed_at,"
        " hold_until = excluded.hold_until, told_limit = excluded.told_limit",
        [
            key,
            clock.boot_id(),
            pace.next_slot,
            pace.interval,
            pace.anchor,
            pace.refused_share,
            pace.quiet_answers,
            pace.changed_at,
            pace.hold_until,
            pace.told_limit,
        ],
    )
