"""Ambiguous rows: the request left and no usable answer came.

What is proven to have gone out is moved on. Everything else a person settles.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import inquiry
from wacoex_cli.broadcast.evidence import (
    META,
    RESPONDIO,
    Fate,
    Judgement,
    is_too_early,
    unproven,
)
from wacoex_cli.broadcast.inquiry import Asked
from wacoex_cli.broadcast.model import Doubt, RowState, Status
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.access import meta_for, respondio_for
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.inquiry import Inquiry
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace

_OFFLINE = "nobody was asked"


class Decision(StrEnum):
    """What a person says of an ambiguous row."""

    SENT = "sent"
    NOT_SENT = "not-sent"
    RESEND = "resend"


_LEADS_TO = {
    Decision.SENT: RowState.ACCEPTED,
    Decision.NOT_SENT: RowState.REJECTED,
    Decision.RESEND: RowState.PENDING,
}


@dataclass(frozen=True)
class Told:
    """An ambiguous row and what was found out. `state` is where it stands now."""

    doubt: Doubt
    judgement: Judgement
    state: RowState

    def to_json(self, observed_at: str) -> dict[str, object]:
        """The entry in `rows` of the JSON output."""
        return {
            "row": self.doubt.row,
            "line": self.doubt.line,
            "phone": self.doubt.phone,
            "state": self.state.value,
            "verdict": self.judgement.fate.value,
            "why": self.judgement.why,
            "source": self.judgement.source,
            "observed_at": observed_at,
            "claimed_at": to_text(self.doubt.claimed_at),
            "detail": self.doubt.happened,
            "message_id": self.judgement.message_id,
        }


@dataclass(frozen=True)
class Reconciled:
    """What was found out about the ambiguous rows of a broadcast, in order.

    `by_webhooks` rows were settled by statuses that had come in but were not looked at yet.
    """

    rows: tuple[Told, ...]
    observed_at: str
    by_webhooks: int = 0
    asked: dict[Provider, Asked] = field(default_factory=dict)

    @property
    def left(self) -> tuple[Told, ...]:
        """The rows that are still ambiguous."""
        return tuple(one for one in self.rows if one.state is RowState.AMBIGUOUS)

    def of(self, fate: Fate) -> tuple[Told, ...]:
        """The rows with that fate."""
        return tuple(one for one in self.rows if one.judgement.fate is fate)

    def too_early(self, now: datetime) -> int:
        """How many rows that are left were tried so recently that a status may still come."""
        return sum(is_too_early(one.doubt, now) for one in self.left)

    def to_json(self, most_rows: int) -> dict[str, object]:
        """`rows` (the first `most_rows`), `asked` and the counts of the JSON output."""
        counts = Counter(one.judgement.fate for one in self.rows)
        nobody = Asked()
        return {
            "ambiguous": len(self.left),
            "settled_by_webhooks": self.by_webhooks,
            **{fate.value: counts[fate] for fate in Fate},
            "asked": {
                provider.value: self.asked.get(provider, nobody).to_json() for provider in Provider
            },
            "rows": [one.to_json(self.observed_at) for one in self.rows[:most_rows]],
        }


def choose_rows(state: State, broadcast_id: int, wanted: Sequence[int]) -> list[int]:
    """The ambiguous rows a person means: those named, or all when none is named.

    Raises:
        UsageError: a named row is not ambiguous.
    """
    ambiguous = Rows(state, broadcast_id).numbers(RowState.AMBIGUOUS)
    if not wanted:
        return ambiguous
    known = set(ambiguous)
    for row in wanted:
        if row not in known:
            raise UsageError(
                f"row {row} of broadcast {broadcast_id} is not waiting for a decision",
                hint=f"`wacoex broadcast reconcile {broadcast_id}` lists the rows that are",
                code="not_ambiguous",
            )
    return sorted(set(wanted))


def find_out(
    workspace: Workspace,
    channel: Channel,
    broadcast: Broadcast,
    wanted: Sequence[int],
    *,
    offline: bool,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Reconciled:
    """Look at stored statuses, then ask the API that the broadcast went through.

    A row that is proven to have gone out is moved on; no other row is changed. With `offline`
    nobody is asked. A source that cannot be asked is told in `asked`.

    Raises:
        UsageError: a row of `wanted` was not ambiguous before.
    """
    state, number = workspace.state, broadcast.broadcast_id
    before = choose_rows(state, number, wanted)
    bring_up_to_date(state, workspace.clock)
    doubts = Rows(state, number).doubts(before)
    if offline or not doubts:
        found = inquiry.nobody(doubts, _OFFLINE)
    else:
        found = _ask(workspace, channel, broadcast, doubts, on_progress)
    return Reconciled(
        settle(state, number, doubts, found, workspace.clock.now()),
        to_text(workspace.clock.now()),
        by_webhooks=len(before) - len(doubts),
        asked={broadcast.provider: found.asked},
    )


def _ask(
    workspace: Workspace,
    channel: Channel,
    broadcast: Broadcast,
    doubts: Sequence[Doubt],
    on_progress: Callable[[int], None],
) -> Inquiry:
    state, clock = workspace.state, workspace.clock
    is_respondio = broadcast.provider is Provider.RESPONDIO
    try:
        if is_respondio:
            return workspace.run(
                inquiry.ask_respondio(
                    state,
                    respondio_for(workspace, channel),
                    channel,
                    broadcast,
                    doubts,
                    clock,
                    on_progress,
                )
            )
        meta = meta_for(workspace, channel)
        return workspace.run(inquiry.ask_meta(state, meta, channel, doubts, clock))
    except WacoexError as error:  # no token, or the channel lacks an id
        return inquiry.nobody(doubts, error.message, source=RESPONDIO if is_respondio else META)


def settle(
    state: State, broadcast_id: int, doubts: Sequence[Doubt], found: Inquiry, now: datetime
) -> tuple[Told, ...]:
    """Move the rows on that went out; a row that somebody else settled meanwhile is left alone."""
    rows, told = Rows(state, broadcast_id), []
    for doubt in doubts:
        judgement = found.judgements[doubt.row]
        reached = RowState.AMBIGUOUS
        if judgement.fate is Fate.WENT_OUT:
            with state.transaction():
                _move_on(rows, doubt, judgement, now)
                reached = RowState(rows.one(doubt.row)["state"])
            if reached is RowState.AMBIGUOUS:
                judgement = unproven("the message found is another row's", judgement.source)
        told.append(Told(doubt, judgement, reached))
    return tuple(told)


def _move_on(rows: Rows, doubt: Doubt, judgement: Judgement, now: datetime) -> None:
    """Move a row to where its message came, unless that turned out to be another row's."""
    message_id = judgement.message_id
    taken, _ = rows.other_rows(doubt)
    if message_id not in taken and rows.prove(
        doubt.row, doubt.attempt, judgement.reached, message_id, judgement.failure
    ):
        rows.note_decision(
            doubt.row, f"went out: message {message_id}", judgement.source or "", now
        )


def check_can_decide(state: State, broadcast: Broadcast, decision: Decision, clock: Clock) -> None:
    """Refuse what cannot be decided now.

    Raises:
        TemporaryError: the broadcast is being sent right now.
        UsageError: `resend` for a broadcast that was cancelled.
    """
    broadcast_id = broadcast.broadcast_id
    if decision is Decision.RESEND and broadcast.status is Status.CANCELLED:
        raise UsageError(
            f"broadcast {broadcast_id} was cancelled; nothing of it is sent again",
            hint="settle its rows as sent or not-sent, and plan a new broadcast",
            code="wrong_status",
        )
    hint = f"pause it first: wacoex broadcast pause {broadcast_id}"
    Broadcasts(state).demand_idle(broadcast_id, hint, clock)


def decide(
    state: State,
    broadcast: Broadcast,
    rows: Sequence[int],
    decision: Decision,
    who: str,
    clock: Clock,
) -> int:
    """Record a decision; returns for how many rows it was taken.

    `resend` makes the rows pending; `broadcast resume` then sends them.

    Raises:
        TemporaryError: the broadcast is being sent right now.
        UsageError: `resend` for a broadcast that was cancelled.
    """
    check_can_decide(state, broadcast, decision, clock)
    return Rows(state, broadcast.broadcast_id).settle(
        rows, _LEADS_TO[decision], decision.value, who, clock.now()
    )
