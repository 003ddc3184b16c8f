"""What a broadcast is made of: its states, its rows, its counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.channels.model import Provider

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Status(StrEnum):
    """Where a broadcast stands. A draft is being planned and is shown to nobody."""

    DRAFT = "draft"
    PLANNED = "planned"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RowState(StrEnum):
    """Where one recipient stands."""

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    REJECTED = "rejected"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    SKIPPED = "skipped"


TAKEN_STATES = (
    RowState.ACCEPTED,
    RowState.SENT,
    RowState.DELIVERED,
    RowState.READ,
    RowState.FAILED,
)
"""States of a row that Meta once accepted."""

OPEN_STATES = (RowState.PENDING, RowState.SENDING, RowState.RETRY)
"""States of a row that still has to be sent."""


@dataclass(frozen=True)
class Broadcast:
    """One planned send, as the state file knows it. Times are RFC 3339 text in UTC.

    `provider` is the API it was planned for, `guards` (JSON) is what `send` was told to mind.
    `retry_of` is the first broadcast whose failed rows it sends again, also when they failed in
    other such ones since; `test_of` the broadcast that it is a test message of.
    """

    broadcast_id: int
    channel_id: int
    channel: str
    phone: str
    name: str | None
    status: Status
    reason: str | None
    reason_code: int | None
    template: str
    parameter_sources: str
    recipients_file: str
    api_base_url: str
    provider: Provider
    guards: str
    rate: float
    recipients: int
    skipped: int
    planned_at: str
    started_at: str | None
    finished_at: str | None
    peak_in_one_second: int
    retry_of: int | None = None
    test_of: int | None = None


@dataclass(frozen=True)
class Claim:
    """A row that this process alone may send, in this attempt."""

    row: int
    phone: str
    parameters: str
    attempt: int
    tries_in_run: int
    first_try_in_run_at: datetime


@dataclass(frozen=True)
class Settled:
    """What became of one claim.

    `is_exhausted`: not to be tried again in this run. `left_at` is when its request began.
    """

    row: int
    attempt: int
    state: RowState
    reason: str | None = None
    code: int | None = None
    detail: str | None = None
    not_before: datetime | None = None
    message_id: str | None = None
    message_status: str | None = None
    opts_out: bool = False
    is_exhausted: bool = False
    left_at: datetime | None = None


@dataclass(frozen=True)
class Counts:
    """How many rows are in each state; their sum is all rows of the file."""

    by_state: Mapping[RowState, int] = field(default_factory=dict)

    def of(self, *states: RowState) -> int:
        """Rows in any of these states."""
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def taken(self) -> int:
        """Rows that were ever accepted."""
        return self.of(*TAKEN_STATES)

    @property
    def open(self) -> int:
        """Rows that still have to be sent."""
        return self.of(*OPEN_STATES)

    @property
    def total(self) -> int:
        """All rows, the skipped ones included."""
        return sum(self.by_state.values())

    def to_json(self) -> dict[str, int]:
        """Every state with its count, zeros included."""
        return {state.value: self.by_state.get(state, 0) for state in RowState}


def attempt_id(state_id: str, broadcast_id: int, row: int, attempt: int) -> str:
    """The name of one attempt; travels as `biz_opaque_callback_data` and comes back in webhooks."""
    return f"wacoex-{state_id}-{broadcast_id}-{row}-{attempt}"
