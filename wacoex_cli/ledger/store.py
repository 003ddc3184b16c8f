"""The broadcasts of a state file: themselves, their runs, their senders.

Methods that change something are called inside a transaction of the state, unless they say that
they make their own. The rows of a broadcast stand in `rows`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import HeldElsewhereError, UsageError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.ledger.figures import OPEN
from wacoex_cli.ledger.model import (
    Broadcast,
    RepeatPolicy,
    Status,
    Stop,
    lock_purpose,
    pace_key,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_BATCH = 5_000
_REMOVED_AT_ONCE = 500
# SQLite may be built to take no more than 999 values in one statement.
_VALUES_AT_ONCE = 900
_SAME = (
    *("channel_id", "template", "parameter_sources", "recipients_file", "provider"),
    *("api_base_url", "pressure", "audience"),
)
_OF_CHANNEL = {"channel": "c.name AS channel", "phone": "c.phone"}
_BROADCAST = (
    "SELECT "
    + ", ".join(_OF_CHANNEL.get(name, f"b.{name}") for name in Broadcast._fields)
    + " FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
)


def newest_id(state: State, *, drafts: bool = False) -> int:
    """The highest number of a planned broadcast; 0 when there is none.

    With `drafts` the highest that is taken: a draft's, or one that another file gave out.
    """
    where = "" if drafts else " WHERE status <> 'draft'"
    newest = int(state.value(f"SELECT COALESCE(MAX(broadcast_id), 0) FROM broadcasts{where}"))
    sql = "SELECT CAST(value AS INTEGER) FROM about WHERE key = 'last_broadcast_id'"
    return max(newest, int(state.value(sql) or 0)) if drafts else newest


class Broadcasts:
    """All broadcasts of a state file: themselves, their runs, decisions and senders."""

    def __init__(self, state: State) -> None:
        self.state = state

    @property
    def state_id(self) -> str:
        """What makes the attempt ids of this state file unique."""
        return str(self.state.value("SELECT value FROM about WHERE key = 'state_id'"))

    def get(self, broadcast_id: int) -> Broadcast:
        """A broadcast by its id, drafts too.

        Raises:
            UsageError: there is none.
        """
        found = self.state.row(f"{_BROADCAST} WHERE b.broadcast_id = ?", [broadcast_id])
        if found is None:
            raise UsageError(
                f"there is no broadcast {broadcast_id} in {self.state.path}",
                hint="`wacoex broadcast list` shows them",
                code="unknown_broadcast",
            )
        return _broadcast(found)

    def of_channel(self, channel_id: int | None, status: Status | None) -> list[Broadcast]:
        """Broadcasts, newest first, of one channel or all, in one status or any."""
        found = self.state.rows(
            f"{_BROADCAST} WHERE b.status <> 'draft'"
            " AND (? IS NULL OR b.channel_id = ?) AND (? IS NULL OR b.status = ?)"
            " ORDER BY b.broadcast_id DESC",
            [channel_id, channel_id, status, status],
        )
        return [_broadcast(row) for row in found]

    def in_status(
        self, statuses: Collection[Status], channel_ids: Collection[int] | None = None
    ) -> list[Broadcast]:
        """Broadcasts in one of these statuses, newest first: of all channels, or of these."""
        among = [json.dumps(sorted(statuses))]
        condition = "b.status IN (SELECT value FROM json_each(?))"
        if channel_ids is not None:
            among.append(json.dumps(sorted(channel_ids)))
            condition += " AND b.channel_id IN (SELECT value FROM json_each(?))"
        found = self.state.rows(
            f"{_BROADCAST} WHERE {condition} ORDER BY b.broadcast_id DESC", among
        )
        return [_broadcast(row) for row in found]

    def row_of_message(self, message_id: str) -> tuple[int, int, int] | None:
        """The broadcast, the row and the attempt whose message has that id, of either provider."""
        sql = "SELECT broadcast_id, row, attempts FROM recipients WHERE message_id = ?"
        found = self.state.row(sql, [message_id])
        return (found["broadcast_id"], found["row"], found["attempts"]) if found else None

    def messages_among(self, message_ids: Iterable[str | None]) -> set[str | None]:
        """Those of these ids that a row has."""
        wanted, found = list(message_ids), set[str | None]()
        for start in range(0, len(wanted), _VALUES_AT_ONCE):
            part = wanted[start : start + _VALUES_AT_ONCE]
            sql = (
                "SELECT message_id FROM recipients WHERE message_id IS NOT NULL"
                f" AND message_id IN ({', '.join('?' * len(part))})"
            )
            found.update(message_id for (message_id,) in self.state.tuples(sql, part))
        return found

    def status(self, broadcast_id: int) -> Status:
        """The status another process may just have set (`pause`, `cancel`)."""
        sql = "SELECT status FROM broadcasts WHERE broadcast_id = ?"
        return Status(self.state.value(sql, [broadcast_id]))

    def set_status(self, broadcast_id: int, status: Status, *, reason: str | None = None) -> None:
        """Move a broadcast to a status, with the reason for it."""
        self.state.execute(
            "UPDATE broadcasts SET status = ?, reason = ?, reason_code = NULL, continues_at = NULL"
            " WHERE broadcast_id = ?",
            [status, reason, broadcast_id],
        )

    def start_draft(self, *, now: datetime, **columns: object) -> int:
        """Create a broadcast that is still being planned, with these columns; returns its id."""
        broadcast_id = newest_id(self.state, drafts=True) + 1
        own = {"broadcast_id": broadcast_id, "status": Status.DRAFT, "planned_at": to_text(now)}
        self._insert("broadcasts", **own, **columns)
        return broadcast_id

    def start_like(self, model: Broadcast, *, now: datetime, **columns: object) -> int:
        """Start a draft that sends the same from the same channel, without any rows yet."""
        same = {name: getattr(model, name) for name in _SAME}
        same["category_at"] = model.category_known_at
        return self.start_draft(now=now, **same, **columns)

    def drafts(self) -> list[int]:
        """Broadcasts whose planning has not ended."""
        found = self.state.rows("SELECT broadcast_id FROM broadcasts WHERE status = 'draft'")
        return [row["broadcast_id"] for row in found]

    def discard(self, broadcast_id: int) -> None:
        """Remove a draft and its rows; what is no draft stays."""
        if self.state.value(
            "SELECT 1 FROM broadcasts WHERE broadcast_id = ? AND status = 'draft'", [broadcast_id]
        ):
            self._remove_rows(broadcast_id)

    def discard_abandoned(self, clock: Clock) -> None:
        """Remove the drafts that no living process plans: what a crash left, or a dry run."""
        for broadcast_id in self.drafts():
            if self.sender(broadcast_id, clock) is None:
                self.discard(broadcast_id)

    def take_back(self, broadcast_id: int) -> None:
        """Remove a plan that never began to be sent; any other broadcast stays."""
        with self.state.transaction():
            self.state.execute(
                "UPDATE broadcasts SET status = 'draft' WHERE broadcast_id = ?"
                " AND status = 'planned' AND started_at IS NULL",
                [broadcast_id],
            )
        self.discard(broadcast_id)

    def remove(self, broadcast_id: int) -> bool:
        """Remove a finished broadcast and all that is known about it; False when it is none now.

        From the first transaction on it is a draft: what a crash leaves, the next plan, or the
        next `state prune`, removes.
        """
        state = self.state
        with state.transaction():
            changed = state.execute(
                "UPDATE broadcasts SET status = 'draft' WHERE broadcast_id = ?"
                " AND status IN ('completed', 'cancelled') AND NOT EXISTS (SELECT 1"
                " FROM recipients WHERE broadcast_id = ? AND state IN ('ambiguous', 'sending'))",
                [broadcast_id, broadcast_id],
            )
            if changed != 1:
                return False
            for table in ("decisions", "broadcast_runs"):
                state.execute(f"DELETE FROM {table} WHERE broadcast_id = ?", [broadcast_id])
            state.execute("DELETE FROM paces WHERE pace_key = ?", [pace_key(broadcast_id)])
            state.execute("DELETE FROM locks WHERE purpose = ?", [lock_purpose(broadcast_id)])
        self._remove_rows(broadcast_id)
        return True

    def _remove_rows(self, broadcast_id: int) -> None:
        """In transactions of some milliseconds, so that a sender beside us keeps its pace."""
        removed = _REMOVED_AT_ONCE
        while removed:
            with self.state.transaction():
                removed = self.state.execute(
                    "DELETE FROM recipients WHERE broadcast_id = ? AND row IN (SELECT row"
                    " FROM recipients WHERE broadcast_id = ? ORDER BY row LIMIT ?)",
                    [broadcast_id, broadcast_id, _REMOVED_AT_ONCE],
                )
            self.state.give_way()
        with self.state.transaction():
            self.state.execute("DELETE FROM broadcasts WHERE broadcast_id = ?", [broadcast_id])

    def learn_category(self, broadcast_id: int, category: str, at: str) -> None:
        """Let the newest category of the template count: for opt-outs, limits and reports.

        `at` is when it was read or reported (RFC 3339, UTC).
        """
        template = json.loads(self.get(broadcast_id).template)
        for version in (template, *template.get("translations", ())):
            version["category"] = category
        text = json.dumps(template, ensure_ascii=False)
        sql = "UPDATE broadcasts SET template = ?, category_at = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [text, at, broadcast_id])

    def freeze_template(self, broadcast_id: int, template: str) -> None:
        """Keep the template (JSON) of a draft as it is known after all rows were read."""
        sql = "UPDATE broadcasts SET template = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [template, broadcast_id])

    def keep_guards(self, broadcast_id: int, guards: str) -> None:
        """Keep the guards (JSON) of a broadcast for all its runs."""
        sql = "UPDATE broadcasts SET guards = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [guards, broadcast_id])

    def keep_audience(self, broadcast_id: int, audience: str) -> None:
        """Keep to whom a broadcast is meant (JSON)."""
        sql = "UPDATE broadcasts SET audience = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [audience, broadcast_id])

    def start_run(self, broadcast_id: int, holder: str, rate: float, now: datetime) -> int:
        """Open a run: the broadcast is `sending`."""
        moment = to_text(now)
        self.state.execute(
            "UPDATE broadcasts SET status = 'sending', reason = NULL, reason_code = NULL, rate = ?,"
            " continues_at = NULL, started_at = COALESCE(started_at, ?), finished_at = NULL"
            " WHERE broadcast_id = ?",
            [rate, moment, broadcast_id],
        )
        self.state.execute(
            "UPDATE about SET value = CAST(CAST(value AS INTEGER) + 1 AS TEXT) WHERE key = 'starts'"
        )
        run_id = int(self.state.value("SELECT COALESCE(MAX(run_id), 0) + 1 FROM broadcast_runs"))
        self._insert(
            "broadcast_runs",
            run_id=run_id,
            broadcast_id=broadcast_id,
            holder=holder,
            host=socket.gethostname(),
            pid=os.getpid(),
            rate=rate,
            started_at=moment,
            last_active_at=moment,
        )
        return run_id

    def starts(self) -> str:
        """Another text after each start of a broadcast."""
        return str(self.state.value("SELECT value FROM about WHERE key = 'starts'"))

    def mark_compared(self, broadcast_id: int, repeats: RepeatPolicy) -> None:
        """Let a broadcast that was started send, after it was compared with the others."""
        sql = "UPDATE broadcasts SET is_compared = 1, repeats = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [repeats, broadcast_id])

    def withdraw(self, before: Broadcast, run_id: int) -> None:
        """Undo a start: the broadcast is as it was before, or paused when its sender died then."""
        died = before.status is Status.SENDING
        kept = (
            *("reason", "reason_code", "rate", "started_at", "finished_at", "guards"),
            "continues_at",
        )
        self.state.execute(
            f"UPDATE broadcasts SET status = ?, {', '.join(f'{name} = ?' for name in kept)}"
            " WHERE broadcast_id = ? AND status = 'sending'",
            [
                Status.PAUSED if died else before.status,
                *(getattr(before, name) for name in kept),
                before.broadcast_id,
            ],
        )
        self.state.execute("DELETE FROM broadcast_runs WHERE run_id = ?", [run_id])

    def mark_run(
        self,
        broadcast_id: int,
        run_id: int,
        *,
        active_seconds: float,
        peak: int,
        throttled: int,
        bunched: int,
        now: datetime,
    ) -> None:
        """Note how long a run has been active, its most messages in one second, new refusals.

        `throttled` is how many were refused for being too fast since the last call, `bunched` how
        many left too close to the message before.
        """
        moment = to_text(now)
        self.state.execute(
            "UPDATE broadcast_runs SET last_active_at = ?, active_seconds = ?, peak = ?,"
            " bunched = bunched + ? WHERE run_id = ?",
            [moment, active_seconds, peak, bunched, run_id],
        )
        if throttled:
            self.state.execute(
                "UPDATE broadcast_runs SET throttled = throttled + ?, throttled_at = ?"
                " WHERE run_id = ?",
                [throttled, moment, run_id],
            )
        self.state.execute(
            "UPDATE broadcasts SET peak_in_one_second = ? WHERE broadcast_id = ?"
            " AND peak_in_one_second < ?",
            [peak, broadcast_id, peak],
        )

    def end_run(self, run_id: int, ended_as: str) -> None:
        """Note how a run ended."""
        sql = "UPDATE broadcast_runs SET ended_as = ? WHERE run_id = ?"
        self.state.execute(sql, [ended_as, run_id])

    def finish(self, broadcast_id: int, status: Status, now: datetime, why: Stop | None) -> None:
        """Close a run: completed, or paused with a reason; what another process decided stands."""
        reason, code = (why.reason, why.code) if why else (None, None)
        continues_at = to_text(why.continues_at) if why and why.continues_at else None
        self.state.execute(
            "UPDATE broadcasts SET status = ?, reason = ?, reason_code = ?, continues_at = ?"
            " WHERE broadcast_id = ? AND status = 'sending'",
            [status, reason, code, continues_at, broadcast_id],
        )
        sql = "UPDATE broadcasts SET finished_at = ? WHERE broadcast_id = ?"
        self.state.execute(sql, [to_text(now), broadcast_id])

    def _insert(self, table: str, **columns: object) -> None:
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"
        self.state.execute(sql, list(columns.values()))

    def sender(self, broadcast_id: int, clock: Clock) -> Row | None:
        """The lock of the process that is sending (or planning) a broadcast now, else None."""
        return locks.living_holder(self.state, lock_purpose(broadcast_id), clock)

    def demand_idle(self, broadcast_id: int, hint: str, clock: Clock) -> None:
        """Refuse what must wait until nobody sends a broadcast; `hint` says how to go about it.

        Raises:
            HeldElsewhereError: somebody is sending it right now.
        """
        if holder := self.sender(broadcast_id, clock):
            raise HeldElsewhereError(
                f"broadcast {broadcast_id} is being sent by process {holder['pid']}", hint=hint
            )


def count_open_among(state: State, broadcast_id: int, rows: Sequence[int]) -> int:
    """How many of these rows of a broadcast are still to be sent."""
    sql = (
        "SELECT COUNT(*) FROM recipients WHERE broadcast_id = ?"
        f" AND row IN (SELECT value FROM json_each(?)) AND state IN {OPEN}"
    )
    batches = (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
    counts = (state.value(sql, (broadcast_id, json.dumps(list(batch)))) for batch in batches)
    return sum(map(int, counts))


def _broadcast(row: Row) -> Broadcast:
    kinds: dict[str, Callable[[Any], object]] = {
        "status": Status,
        "provider": Provider,
        "repeats": RepeatPolicy,
    }
    kinds |= {"is_compared": bool, "has_keys": bool}
    return Broadcast(**{**row, **{name: kind(row[name]) for name, kind in kinds.items()}})
