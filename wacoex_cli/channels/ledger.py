"""Channels in the state file: the only SQL about them. Writers need a transaction."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING

from wacoex_cli.channels.former_ledger import former_ids
from wacoex_cli.channels.model import Channel, Details, FormerId, Provider
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import Row, State


def all_channels(state: State) -> list[Channel]:
    """Every channel, archived ones too, by name."""
    rows = state.rows("SELECT * FROM channels ORDER BY name")
    former = former_ids(state)
    return [_channel(row, former.get(row["channel_id"], ())) for row in rows]


def find(state: State, name: str) -> Channel | None:
    """The channel of exactly that name, archived or not."""
    row = state.row("SELECT * FROM channels WHERE name = ?", [name])
    if row is None:
        return None
    channel_id = int(row["channel_id"])
    return _channel(row, former_ids(state, channel_id).get(channel_id, ()))


def insert(state: State, name: str, details: Details, now: datetime) -> None:
    """Add a channel."""
    state.execute(
        "INSERT INTO channels (channel_id, name, phone, phone_number_id, waba_id,"
        " respondio_channel_id, provider, owner, timezone, partner_app_id, created_at)"
        " SELECT COALESCE(MAX(channel_id), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM channels",
        [name, *_values(details), to_text(now)],
    )


def update(state: State, channel_id: int, details: Details) -> None:
    """Replace what a person told about a channel."""
    state.execute(
        "UPDATE channels SET phone = ?, phone_number_id = ?, waba_id = ?,"
        " respondio_channel_id = ?, provider = ?, owner = ?, timezone = ?, partner_app_id = ?"
        " WHERE channel_id = ?",
        [*_values(details), channel_id],
    )


def set_archived(state: State, channel_id: int, moment: datetime | None) -> None:
    """Archive a channel, which is then no longer the one in use; None takes it back."""
    state.execute(
        "UPDATE channels SET archived_at = ?, is_in_use = 0 WHERE channel_id = ?",
        [to_text(moment) if moment else None, channel_id],
    )


def set_in_use(state: State, channel_id: int) -> None:
    """Make this the channel that is meant when none is named."""
    state.execute(
        "UPDATE channels SET is_in_use = CASE WHEN channel_id = ? THEN 1 ELSE 0 END", [channel_id]
    )


def _values(details: Details) -> list[object]:
    return [
        details.phone,
        details.phone_number_id,
        details.waba_id,
        details.respondio_channel_id,
        details.provider.value,
        details.owner,
        details.timezone,
        details.partner_app_id,
    ]


def _channel(row: Row, former: tuple[FormerId, ...]) -> Channel:
    names = {field.name for field in dataclasses.fields(Channel)} - {"former_ids"}
    fields = {name: row[name] for name in names}
    fields["provider"] = Provider(row["provider"])
    fields["is_in_use"] = bool(row["is_in_use"])
    return Channel(**fields, former_ids=former)
