"""Broadcasts that are being planned: shown to nobody until they are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.model import Provider
    from wacoex_cli.foundation.state import State

_INSERT_ROW = (
    "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, reason,"
    " new_contact) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)

PlannedRow = tuple[int, int, int, str, str, str, str | None, str | None]
"""broadcast_id, row, line, phone, parameters, state, reason, new_contact."""


def start_draft(
    state: State,
    *,
    channel_id: int,
    name: str | None,
    template: str,
    parameter_sources: str,
    recipients_file: str,
    provider: Provider,
    api_base_url: str,
    rate: float,
    now: datetime,
    retry_of: int | None = None,
    test_of: int | None = None,
) -> int:
    """Create a broadcast that is still being planned; returns its id. Inside a transaction."""
    broadcast_id = int(state.value("SELECT COALESCE(MAX(broadcast_id), 0) + 1 FROM broadcasts"))
    state.execute(
        "INSERT INTO broadcasts (broadcast_id, channel_id, name, status, template,"
        " parameter_sources, recipients_file, provider, api_base_url, rate, planned_at, retry_of,"
        " test_of) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            broadcast_id,
            channel_id,
            name,
            Status.DRAFT,
            template,
            parameter_sources,
            recipients_file,
            provider,
            api_base_url,
            rate,
            to_text(now),
            retry_of,
            test_of,
        ],
    )
    return broadcast_id


def start_like(
    state: State,
    model: Broadcast,
    *,
    name: str,
    rate: float,
    now: datetime,
    retry_of: int | None = None,
    test_of: int | None = None,
) -> int:
    """Start a draft that sends the same from the same channel, without any rows yet."""
    return start_draft(
        state,
        channel_id=model.channel_id,
        name=name,
        template=model.template,
        parameter_sources=model.parameter_sources,
        recipients_file=model.recipients_file,
        provider=model.provider,
        api_base_url=model.api_base_url,
        rate=rate,
        now=now,
        retry_of=retry_of,
        test_of=test_of,
    )


def add_rows(state: State, rows: Sequence[PlannedRow]) -> None:
    """Write a batch of planned rows; a person's second row becomes `skipped(duplicate)`."""
    if not rows:
        return
    with state.transaction():
        written = state.execute_many(_INSERT_ROW, rows)
        if written < len(rows):
            _add_duplicates(state, rows)


def _add_duplicates(state: State, rows: Sequence[PlannedRow]) -> None:
    broadcast_id, first, last = rows[0][0], rows[0][1], rows[-1][1]
    kept = {
        found["row"]
        for found in state.rows(
            "SELECT row FROM recipients WHERE broadcast_id = ? AND row BETWEEN ? AND ?",
            [broadcast_id, first, last],
        )
    }
    state.execute_many(
        _INSERT_ROW,
        [
            (*row[:5], RowState.SKIPPED.value, "duplicate", None)
            for row in rows
            if row[1] not in kept
        ],
    )


def discard(state: State, broadcast_id: int) -> None:
    """Remove a draft and its rows, as if it had never been planned; what is no draft stays."""
    draft = "(SELECT broadcast_id FROM broadcasts WHERE broadcast_id = ? AND status = 'draft')"
    with state.transaction():
        for table in ("recipients", "broadcasts"):
            state.execute(f"DELETE FROM {table} WHERE broadcast_id IN {draft}", [broadcast_id])


def drafts(state: State) -> list[int]:
    """Broadcasts whose planning has not ended."""
    found = state.rows("SELECT broadcast_id FROM broadcasts WHERE status = 'draft'")
    return [row["broadcast_id"] for row in found]
