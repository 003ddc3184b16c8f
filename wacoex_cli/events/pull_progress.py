"""How far the messages of each contact were read from respond.io. Tables:

pull_watermarks(respondio_channel_id, contact, message_id, read_from, pulled_at)
pull_sweeps(respondio_channel_id, started_at, cursor, contacts_done, finished_at)

Methods that change something are called inside a transaction of the state. Moments are RFC 3339
in UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import State


class Watermark(NamedTuple):
    """Everything of a contact from `read_from` (RFC 3339, UTC) to `message_id` is in the log."""

    message_id: int
    read_from: str


class Sweep(NamedTuple):
    """A walk over all contacts that has not come to its end; `cursor` is of the next page.

    `started_at` is RFC 3339 in UTC; None for one that has not begun.
    """

    started_at: str | None
    cursor: str | None
    contacts_done: int


class PullProgress:
    """How far the messages of each contact of a respond.io channel were read, and the sweep."""

    def __init__(self, state: State, respondio_channel_id: int) -> None:
        self._state = state
        self._channel_id = respondio_channel_id

    def watermark(self, contact: str) -> Watermark | None:
        """How far a contact was read; None when never to the end."""
        row = self._state.row(
            "SELECT message_id, read_from FROM pull_watermarks"
            " WHERE respondio_channel_id = ? AND contact = ?",
            [self._channel_id, contact],
        )
        return Watermark(row["message_id"], row["read_from"]) if row else None

    def set_watermark(self, contact: str, reached: Watermark, now: datetime) -> None:
        """Remember how far a contact was read. What another process has read stays read."""
        self._state.execute(
            "INSERT INTO pull_watermarks"
            " (respondio_channel_id, contact, message_id, read_from, pulled_at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (respondio_channel_id, contact) DO UPDATE SET"
            " message_id = CASE WHEN excluded.message_id > pull_watermarks.message_id"
            " THEN excluded.message_id ELSE pull_watermarks.message_id END,"
            " read_from = CASE WHEN excluded.read_from < pull_watermarks.read_from"
            " THEN excluded.read_from ELSE pull_watermarks.read_from END,"
            " pulled_at = excluded.pulled_at",
            [self._channel_id, contact, *reached, to_text(now)],
        )

    def open_sweep(self) -> Sweep | None:
        """The sweep that was interrupted; None when the last one came to its end."""
        row = self._state.row(
            "SELECT started_at, cursor, contacts_done FROM pull_sweeps"
            " WHERE respondio_channel_id = ? AND finished_at IS NULL",
            [self._channel_id],
        )
        return Sweep(row["started_at"], row["cursor"], row["contacts_done"]) if row else None

    def begin_sweep(self, now: datetime) -> None:
        """Begin with the first contact, whatever was swept before."""
        self._state.execute(
            "INSERT INTO pull_sweeps (respondio_channel_id, started_at) VALUES (?, ?)"
            " ON CONFLICT (respondio_channel_id) DO UPDATE SET"
            " started_at = excluded.started_at, cursor = NULL, contacts_done = 0,"
            " finished_at = NULL",
            [self._channel_id, to_text(now)],
        )

    def advance_sweep(self, cursor: str | None, contacts: int, now: datetime) -> None:
        """Remember that so many more contacts are done and which page comes next, if any."""
        self._state.execute(
            "UPDATE pull_sweeps SET cursor = ?, contacts_done = contacts_done + ?,"
            " finished_at = ? WHERE respondio_channel_id = ?",
            [cursor, contacts, None if cursor else to_text(now), self._channel_id],
        )
