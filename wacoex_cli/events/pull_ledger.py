"""How far the messages of each respond.io contact were read, and the sweep under way.

Functions that change something are called inside a transaction of the state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import State


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything of a contact from `read_from` (RFC 3339, UTC) to `message_id` is in the log."""

    message_id: int
    read_from: str


@dataclass(frozen=True, slots=True)
class Sweep:
    """A walk over all contacts that has not come to its end; `cursor` is of the next page."""

    started_at: str
    cursor: str | None
    contacts_done: int


def watermark(state: State, respondio_channel_id: int, contact: str) -> Watermark | None:
    """How far a contact was read; None when never to the end."""
    row = state.row(
        "SELECT message_id, read_from FROM pull_watermarks"
        " WHERE respondio_channel_id = ? AND contact = ?",
        [respondio_channel_id, contact],
    )
    return Watermark(row["message_id"], row["read_from"]) if row else None


def set_watermark(
    state: State, respondio_channel_id: int, contact: str, reached: Watermark, now: datetime
) -> None:
    """Remember how far a contact was read. What another process has read stays read."""
    state.execute(
        "INSERT INTO pull_watermarks"
        " (respondio_channel_id, contact, message_id, read_from, pulled_at)"
        " VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (respondio_channel_id, contact) DO UPDATE SET"
        " message_id = CASE WHEN excluded.message_id > pull_watermarks.message_id"
        " THEN excluded.message_id ELSE pull_watermarks.message_id END,"
        " read_from = CASE WHEN excluded.read_from < pull_watermarks.read_from"
        " THEN excluded.read_from ELSE pull_watermarks.read_from END,"
        " pulled_at = excluded.pulled_at",
        [respondio_channel_id, contact, reached.message_id, reached.read_from, to_text(now)],
    )


def open_sweep(state: State, respondio_channel_id: int) -> Sweep | None:
    """The sweep that was interrupted; None when the last one came to its end."""
    row = state.row(
        "SELECT started_at, cursor, contacts_done FROM pull_sweeps"
        " WHERE respondio_channel_id = ? AND finished_at IS NULL",
        [respondio_channel_id],
    )
    return Sweep(row["started_at"], row["cursor"], row["contacts_done"]) if row else None


def begin_sweep(state: State, respondio_channel_id: int, now: datetime) -> None:
    """Begin with the first contact, whatever was swept before."""
    state.execute(
        "INSERT INTO pull_sweeps (respondio_channel_id, started_at) VALUES (?, ?)"
        " ON CONFLICT (respondio_channel_id) DO UPDATE SET"
        " started_at = excluded.started_at, cursor = NULL, contacts_done = 0, finished_at = NULL",
        [respondio_channel_id, to_text(now)],
    )


def advance_sweep(
    state: State, respondio_channel_id: int, cursor: str | None, contacts: int, now: datetime
) -> None:
    """Remember that so many more contacts are done and which page comes next, if any."""
    state.execute(
        "UPDATE pull_sweeps SET cursor = ?, contacts_done = contacts_done + ?, finished_at = ?"
        " WHERE respondio_channel_id = ?",
        [cursor, contacts, None if cursor else to_text(now), respondio_channel_id],
    )
