"""The record that a send is safe by: claims, what became of them, runs, and the shared pace.

Every function here is called inside the one transaction of a tick, see `exchange`.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import other_spelling
from wacoex_cli.broadcast import ledger
from wacoex_cli.broadcast.model import Claim, Settled, Status, attempt_id
from wacoex_cli.broadcast.rule import LONGEST_RETRY_IN_RUN, MOST_TRIES_IN_RUN
from wacoex_cli.broadcast.throttle import Pace, after_boot, fresh
from wacoex_cli.foundation.clock import from_text, to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.locks import Remains
    from wacoex_cli.foundation.state import Row, State

_CLAIM = (
    "UPDATE recipients SET state = 'sending', attempts = attempts + 1,"
    " tries_in_run = tries_in_run + 1, holder = ?, claimed_at = ?,"
    " first_try_in_run_at = COALESCE(first_try_in_run_at, ?)"
    " WHERE broadcast_id = ? AND row IN ({choice})"
    " RETURNING row, phone, parameters, attempts, tries_in_run, first_try_in_run_at"
)
_UNCLAIM = (
    "UPDATE recipients SET holder = NULL, tries_in_run = tries_in_run - 1,"
    " state = CASE WHEN tries_in_run > 1 THEN 'retry' ELSE 'pending' END,"
    " first_try_in_run_at = CASE WHEN tries_in_run > 1 THEN first_try_in_run_at END"
)
_NOT_OPTED_OUT = (
    "NOT EXISTS (SELECT 1 FROM optouts WHERE optouts.phone"
    f" IN (recipients.phone, {other_spelling('recipients.phone')}))"
)
_PENDING = (
    "SELECT row FROM recipients WHERE broadcast_id = ? AND state = 'pending'"
    f" AND {_NOT_OPTED_OUT} ORDER BY row LIMIT ?"
)
_DUE = (
    "SELECT row FROM recipients WHERE broadcast_id = ? AND state = 'retry' AND not_before <= ?"
    " AND tries_in_run < ? AND (first_try_in_run_at IS NULL OR first_try_in_run_at > ?)"
    f" AND {_NOT_OPTED_OUT} ORDER BY row LIMIT ?"
)


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
    )
    return pace if row["boot_id"] == clock.boot_id() else after_boot(pace, now)


def save_pace(state: State, key: str, pace: Pace, clock: Clock) -> None:
    """Store a pace for all processes."""
    state.execute(
        "INSERT INTO paces (pace_key, boot_id, next_slot, slot_interval, anchor_interval,"
        " refused_share, quiet_answers, changed_at, hold_until)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (pace_key) DO UPDATE SET boot_id = excluded.boot_id,"
        " next_slot = excluded.next_slot, slot_interval = excluded.slot_interval,"
        " anchor_interval = excluded.anchor_interval, refused_share = excluded.refused_share,"
        " quiet_answers = excluded.quiet_answers, changed_at = excluded.changed_at,"
        " hold_until = excluded.hold_until",
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
        ],
    )


def claim(
    state: State, broadcast_id: int, holder: str, most: int, now: datetime
) -> tuple[Claim, ...]:
    """Claim up to `most` rows: those due for another try first, then pending ones, in order.

    Who has opted out since the broadcast began is passed over, and skipped at its end.
    """
    due = [broadcast_id, to_text(now), MOST_TRIES_IN_RUN, to_text(now - LONGEST_RETRY_IN_RUN)]
    claimed = _claim(state, broadcast_id, holder, now, _DUE, [*due, most])
    if len(claimed) < most:
        rest = [broadcast_id, most - len(claimed)]
        claimed += _claim(state, broadcast_id, holder, now, _PENDING, rest)
    if len(claimed) < most and ledger.skip_opted_out(state, broadcast_id):
        ledger.count_again(state, broadcast_id)
    return claimed


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
        _CLAIM.format(choice=choice), [holder, moment, moment, broadcast_id, *parameters]
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
        " AND tries_in_run < ? AND (first_try_in_run_at IS NULL OR first_try_in_run_at > ?))",
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


def start_run(state: State, broadcast_id: int, holder: str, rate: float, now: datetime) -> int:
    """Open a run: the broadcast is `sending`, and every row in retry has all its tries again."""
    moment = to_text(now)
    state.execute(
        "UPDATE broadcasts SET status = 'sending', reason = NULL, reason_code = NULL, rate = ?,"
        " started_at = COALESCE(started_at, ?), finished_at = NULL WHERE broadcast_id = ?",
        [rate, moment, broadcast_id],
    )
    state.execute(
        "UPDATE recipients SET tries_in_run = 0, first_try_in_run_at = NULL"
        " WHERE broadcast_id = ? AND state = 'retry'",
        [broadcast_id],
    )
    run_id = int(state.value("SELECT COALESCE(MAX(run_id), 0) + 1 FROM broadcast_runs"))
    state.execute(
        "INSERT INTO broadcast_runs (run_id, broadcast_id, holder, host, pid, rate, started_at,"
        " last_active_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [run_id, broadcast_id, holder, socket.gethostname(), os.getpid(), rate, moment, moment],
    )
    return run_id


def mark_run(
    state: State,
    broadcast_id: int,
    run_id: int,
    *,
    active_seconds: float,
    peak: int,
    throttled: int,
    now: datetime,
) -> None:
    """Note how long a run has been active, its most messages in one second, and new refusals.

    `throttled` is how many were refused for being too fast since the last call.
    """
    moment = to_text(now)
    state.execute(
        "UPDATE broadcast_runs SET last_active_at = ?, active_seconds = ? WHERE run_id = ?",
        [moment, active_seconds, run_id],
    )
    if throttled:
        state.execute(
            "UPDATE broadcast_runs SET throttled = throttled + ?, throttled_at = ?"
            " WHERE run_id = ?",
            [throttled, moment, run_id],
        )
    state.execute(
        "UPDATE broadcasts SET peak_in_one_second = ? WHERE broadcast_id = ?"
        " AND peak_in_one_second < ?",
        [peak, broadcast_id, peak],
    )


def end_run(state: State, run_id: int, ended_as: str) -> None:
    """Note how a run ended."""
    state.execute("UPDATE broadcast_runs SET ended_as = ? WHERE run_id = ?", [ended_as, run_id])


def active_seconds(state: State, broadcast_id: int) -> float:
    """Seconds that all runs of a broadcast were active for."""
    return float(
        state.value(
            "SELECT COALESCE(SUM(active_seconds), 0) FROM broadcast_runs WHERE broadcast_id = ?",
            [broadcast_id],
        )
    )


def finish(
    state: State,
    broadcast_id: int,
    status: Status,
    now: datetime,
    *,
    reason: str | None,
    code: int | None,
) -> None:
    """Close a run: completed, or paused with a reason; what another process decided stands."""
    state.execute(
        "UPDATE broadcasts SET status = ?, reason = ?, reason_code = ?"
        " WHERE broadcast_id = ? AND status = 'sending'",
        [status, reason, code, broadcast_id],
    )
    state.execute(
        "UPDATE broadcasts SET finished_at = ? WHERE broadcast_id = ?",
        [to_text(now), broadcast_id],
    )
