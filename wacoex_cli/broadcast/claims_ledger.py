"""The record that a send is safe by: claims, and what became of them.

Every function here is called inside the one transaction of a tick, see `exchange`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import holds_back, other_spelling
from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.model import Claim, Settled, Status, attempt_id
from wacoex_cli.broadcast.rule import LONGEST_RETRY_IN_RUN, MOST_TRIES_IN_RUN
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.locks import Remains
    from wacoex_cli.foundation.state import Row, State

_CLAIM = (
    "UPDATE recipients SET state = 'sending', attempts = attempts + 1,"
    " tries_in_run = tries_in_run + 1, holder = ?, claimed_at = ?,"
    " first_try_in_run_at = COALESCE(first_try_in_run_at, ?),"
    " reason = CASE WHEN reason = 'quiet_hours' THEN NULL ELSE reason END"
    " WHERE broadcast_id = ? AND row IN ({choice})"
    " RETURNING row, phone, parameters, attempts, tries_in_run, first_try_in_run_at"
)
_UNCLAIM = (
    "UPDATE recipients SET holder = NULL, tries_in_run = tries_in_run - 1,"
    " state = CASE WHEN tries_in_run > 1 THEN 'retry' ELSE 'pending' END,"
    " first_try_in_run_at = CASE WHEN tries_in_run > 1 THEN first_try_in_run_at END"
)
_TEMPLATE = "(SELECT b.template FROM broadcasts b WHERE b.broadcast_id = recipients.broadcast_id)"
_NOT_OPTED_OUT = (
    "NOT EXISTS (SELECT 1 FROM optouts WHERE optouts.phone"
    f" IN (recipients.phone, {other_spelling('recipients.phone')}) AND {holds_back(_TEMPLATE)})"
)
_PENDING = (
    "SELECT {columns} FROM recipients WHERE broadcast_id = ? AND state = 'pending'"
    f" AND new_contact IS NULL AND {_NOT_OPTED_OUT} ORDER BY row LIMIT ?"
)
_DUE = (
    "SELECT {columns} FROM recipients WHERE broadcast_id = ? AND state = 'retry'"
    " AND not_before <= ? AND tries_in_run < ?"
    " AND (first_try_in_run_at IS NULL OR first_try_in_run_at > ?)"
    f" AND {_NOT_OPTED_OUT} ORDER BY not_before, row LIMIT ?"
)


def claim(
    state: State, broadcast_id: int, holder: str, most: int, now: datetime
) -> tuple[Claim, ...]:
    """Claim up to `most` rows: those due for another try first, then pending ones, in order.

    Who has opted out since the broadcast began is passed over, and skipped at its end.
    """
    due = [*_due(broadcast_id, now), most]
    claimed = _claim(state, broadcast_id, holder, now, _DUE, due)
    if len(claimed) < most:
        rest = [broadcast_id, most - len(claimed)]
        claimed += _claim(state, broadcast_id, holder, now, _PENDING, rest)
    if len(claimed) < most:
        skip_opted_out(state, broadcast_id)
    return claimed


def skip_opted_out(state: State, broadcast_id: int) -> None:
    """Skip who opted out meanwhile: nobody would ever claim their rows."""
    if ledger.skip_opted_out(state, broadcast_id):
        ledger.count_again(state, broadcast_id)


def next_rows(
    state: State, broadcast_id: int, now: datetime, most: int
) -> Iterator[tuple[int, str]]:
    """The rows that `claim` would take, and their numbers (E.164), in its order."""
    chosen = ((_DUE, _due(broadcast_id, now)), (_PENDING, [broadcast_id]))
    for choice, parameters in chosen:
        sql = choice.format(columns="row, phone")
        for row in state.rows(sql, [*parameters, most]):
            yield row["row"], row["phone"]
            most -= 1


def _due(broadcast_id: int, now: datetime) -> list[object]:
    return [broadcast_id, to_text(now), MOST_TRIES_IN_RUN, to_text(now - LONGEST_RETRY_IN_RUN)]


def _claim(
    state: State,
    broadcast_id: int,
    holder: str,
    now: datetime,
    choice: str,
    parameters: Sequence[object],
) -> tuple[Claim, ...]:
    moment = to_text(now)
    found = state.rows(
        _CLAIM.format(choice=choice.format(columns="row")),
        [holder, moment, moment, broadcast_id, *parameters],
    )
    return tuple(_as_claim(row) for row in sorted(found, key=lambda row: int(row["row"])))


def _as_claim(row: Row) -> Claim:
    return Claim(
        row=row["row"],
        phone=row["phone"],
        parameters=row["parameters"],
        attempt=row["attempts"],
        tries_in_run=row["tries_in_run"],
        first_try_in_run_at=from_text(row["first_try_in_run_at"]),
    )


def give_back(state: State, broadcast_id: int, holder: str, claims: Sequence[Claim]) -> None:
    """Return claims whose request never began, as if they had not been claimed."""
    state.execute_many(
        f"{_UNCLAIM} WHERE broadcast_id = ? AND row = ? AND state = 'sending' AND holder = ?"
        " AND attempts = ?",
        [(broadcast_id, one.row, holder, one.attempt) for one in claims],
    )


def record(
    state: State, broadcast_id: int, holder: str, settled: Sequence[Settled], now: datetime
) -> None:
    """Write what became of claims; a claim that was taken over meanwhile is left alone."""
    moment = to_text(now)
    state.execute_many(
        "UPDATE recipients SET state = ?, reason = ?, code = ?, detail = ?, not_before = ?,"
        " message_id = ?, message_status = ?, answered_at = ?,"
        " tries_in_run = CASE WHEN ? = 1 THEN ? ELSE tries_in_run END"
        " WHERE broadcast_id = ? AND row = ? AND state = 'sending' AND holder = ?"
        " AND attempts = ?",
        [
            (
                one.state,
                one.reason,
                one.code,
                one.detail,
                to_text(one.not_before) if one.not_before else None,
                one.message_id,
                one.message_status,
                moment,
                int(one.is_exhausted),
                MOST_TRIES_IN_RUN,
                broadcast_id,
                one.row,
                holder,
                one.attempt,
            )
            for one in settled
        ],
    )


def note_departures(state: State, broadcast_id: int, settled: Sequence[Settled]) -> None:
    """Write when requests began, also of rows that a status has moved on before their answer."""
    state.execute_many(
        "UPDATE recipients SET left_at = ? WHERE broadcast_id = ? AND row = ? AND attempts = ?",
        [
            (to_text(one.left_at), broadcast_id, one.row, one.attempt)
            for one in settled
            if one.left_at
        ],
    )


def status_of(state: State, broadcast_id: int) -> Status:
    """The status another process may just have set (`pause`, `cancel`)."""
    return Status(
        state.value("SELECT status FROM broadcasts WHERE broadcast_id = ?", [broadcast_id])
    )


def has_more(state: State, broadcast_id: int, now: datetime) -> bool:
    """Whether any row is still to be sent in this run, now or after its wait."""
    found = state.value(
        "SELECT EXISTS (SELECT 1 FROM recipients WHERE broadcast_id = ? AND state = 'pending')"
        " OR EXISTS (SELECT 1 FROM recipients WHERE broadcast_id = ? AND state = 'retry'"
        " AND not_before IS NOT NULL AND tries_in_run < ?"
        " AND (first_try_in_run_at IS NULL OR first_try_in_run_at > ?))",
        [broadcast_id, broadcast_id, MOST_TRIES_IN_RUN, to_text(now - LONGEST_RETRY_IN_RUN)],
    )
    return bool(found)


def take_over(
    state: State, broadcast_id: int, remains: Remains | None, state_id: str, now: datetime
) -> None:
    """Settle what a dead sender left in `sending`.

    Claimed but provably not left goes back to pending. What left, or may have, is ambiguous.
    """
    for row in state.rows(
        "SELECT row, attempts, holder FROM recipients WHERE broadcast_id = ? AND state = 'sending'",
        [broadcast_id],
    ):
        attempt = attempt_id(state_id, broadcast_id, row["row"], row["attempts"])
        stayed = (
            remains is not None
            and remains.is_complete
            and remains.holder == row["holder"]
            and attempt not in remains.notes
        )
        key = [broadcast_id, row["row"]]
        if stayed:
            state.execute(f"{_UNCLAIM} WHERE broadcast_id = ? AND row = ?", key)
        else:
            state.execute(
                "UPDATE recipients SET state = 'ambiguous', holder = NULL, answered_at = ?,"
                " detail = 'the sender died after the request left, or may have'"
                " WHERE broadcast_id = ? AND row = ?",
                [to_text(now), *key],
            )
