"""A draft: filled from a list, row by row, and taken away again when its planner is gone."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

from wacoex_cli.audience.header_names import first_name
from wacoex_cli.audience.invalid import why_invalid
from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast.model import RowState
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.templates import rule as template_rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.audience.files import RecipientsFile
    from wacoex_cli.broadcast.store import PlannedRow
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.templates.rule import Source

# Small enough that a broadcast running beside it gets its turn at the state file in time.
_BATCH_ROWS = 5_000


def read_rows(
    state: State,
    broadcast_id: int,
    recipients: RecipientsFile,
    sources: tuple[Source, ...],
    country: str | None,
    provider: Provider,
) -> None:
    """Write every record of a list as a row of a draft: to be sent, or skipped with its reason.

    `country` is that of numbers without a plus. Raises UsageError for a list that is unfit.
    """
    rows = _planned_rows(recipients, sources, country, provider)
    while batch := list(itertools.islice(rows, _BATCH_ROWS)):
        Rows(state, broadcast_id).add(batch)
        invalid = [row for row in batch if row[5] == SkipReason.INVALID]
        if invalid:
            details = [(why_invalid(row[2], country), row[0]) for row in invalid]
            with state.transaction():
                Rows(state, broadcast_id).explain(details)


def _planned_rows(
    recipients: RecipientsFile,
    sources: tuple[Source, ...],
    country: str | None,
    provider: Provider,
) -> Iterator[PlannedRow]:
    needs_contact = provider is Provider.RESPONDIO
    for number, source_row in enumerate(recipients, start=1):
        phone = normalise(source_row.phone, country)
        values = template_rule.fill(sources, source_row.values) if phone else None
        state, reason = RowState.PENDING, None
        if phone is None:
            state, reason = RowState.SKIPPED, SkipReason.INVALID.value
        elif values is None:
            state, reason = RowState.SKIPPED, SkipReason.MISSING_PARAMETER.value
        yield (
            number,
            source_row.line,
            phone or source_row.phone,
            json.dumps(values or (), ensure_ascii=False),
            state.value,
            reason,
            first_name(source_row.values) or phone if needs_contact and phone else None,
        )


def tidy(state: State, presence: locks.Presence, clock: Clock) -> None:
    """Release this plan's lock and remove every draft whose planner is gone: a dry run's too."""
    presence.leave()
    for broadcast_id in Broadcasts(state).drafts():
        if Broadcasts(state).sender(broadcast_id, clock) is None:
            Broadcasts(state).discard(broadcast_id)
    with state.transaction():
        locks.release_all(state, presence)
