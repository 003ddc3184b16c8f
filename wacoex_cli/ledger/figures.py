"""What the tables of broadcasts say: of one broadcast, and sums over all. Reads only."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from wacoex_cli.contacts.persons import (
    EITHER_SPELLING,
    ids_of,
    numbers_of,
    other_spelling,
    person_of,
)
from wacoex_cli.contacts.store import holds_back
from wacoex_cli.errors import StateError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.foundation.phone_numbers import region_of
from wacoex_cli.foundation.state import Row, State, glimpse
from wacoex_cli.ledger.model import (
    GOOD_STATES,
    LONGEST_RETRY_IN_RUN,
    MOST_TRIES_IN_RUN,
    OPEN_STATES,
    SENT_STATES,
    TAKEN_STATES,
    UNDER_WAY_STATES,
    Counts,
    Doubt,
    OnItsWay,
    RowState,
    SameMessage,
    attempt_id,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from wacoex_cli.channels.model import Channel


def sql_list(words: Iterable[StrEnum]) -> str:
    """SQL for what stands after `IN`."""
    return "({})".format(", ".join(f"'{word.value}'" for word in words))


_COUNTS = (
    "SELECT broadcast_id, state, COUNT(*) FROM recipients WHERE broadcast_id IN"
    " (SELECT value FROM json_each(?)) GROUP BY broadcast_id, state"
)
TAKEN = sql_list(TAKEN_STATES)
OPEN = sql_list(OPEN_STATES)
_UNDER_WAY = sql_list(UNDER_WAY_STATES)
_NOT_TAKEN = sql_list((RowState.FAILED, RowState.REJECTED, RowState.RETRY, RowState.AMBIGUOUS))
_TEMPLATE = "(SELECT b.template FROM broadcasts b WHERE b.broadcast_id = recipients.broadcast_id)"
_CHANNEL = "(SELECT b.channel_id FROM broadcasts b WHERE b.broadcast_id = recipients.broadcast_id)"
_STANDS = holds_back(_TEMPLATE, _CHANNEL)
_SPELLINGS = f"IN (recipients.phone, {other_spelling('recipients.phone')})"
NOT_OPTED_OUT = (
    f"NOT EXISTS (SELECT 1 FROM optouts WHERE optouts.phone {_SPELLINGS} AND {_STANDS})"
    " AND NOT EXISTS (SELECT 1 FROM optouts_by_id WHERE optouts_by_id.user_id"
    f" IN (SELECT recipients.user_id UNION ALL {ids_of(_SPELLINGS)})"
    f" AND {holds_back(_TEMPLATE, _CHANNEL, 'optouts_by_id')})"
    " AND (recipients.user_id IS NULL OR NOT EXISTS (SELECT 1 FROM optouts"
    f" WHERE optouts.phone IN ({numbers_of('= recipients.user_id')}) AND {_STANDS}))"
)
PENDING = (
    "SELECT {columns} FROM recipients WHERE broadcast_id = ? AND state = 'pending'"
    " AND new_contact IS NULL AND {unlisted} ORDER BY row LIMIT ?"
)
_HAS_TRIES = "tries_in_run < ? AND (first_try_in_run_at IS NULL OR first_try_in_run_at > ?)"
DUE = (
    "SELECT {columns} FROM recipients WHERE broadcast_id = ? AND state = 'retry'"
    " AND not_before <= ? AND not_before <= CASE WHEN reason = 'quiet_hours' THEN ? ELSE ? END"
    f" AND {_HAS_TRIES} AND {{unlisted}} ORDER BY not_before, row LIMIT ?"
)
_PAGE_ROWS = 5_000
LOST_RECORD, OTHER_COPY = "lost_record", "other_copy"
"""Reasons of ambiguous rows: a note says that they were tried, or another copy may have."""
LOST_TRACK_REASONS = f"('{LOST_RECORD}', '{OTHER_COPY}')"
IS_HELD = "state = 'retry' AND reason = 'quiet_hours'"
_WAITS_FOR_CONTACT = "broadcast_id = ? AND state = 'pending' AND new_contact IS NOT NULL"
# Named one by one: the index then leaves out a million rows that have not left.
_HAVE_LEFT = sql_list((RowState.SENDING, *TAKEN_STATES, RowState.REJECTED, RowState.AMBIGUOUS))
_SURE_FAILURES = sql_list((RowState.FAILED, RowState.REJECTED))
FAILED = (
    "broadcast_id = ? AND state IN ('failed', 'rejected')"
    # A person knows that they have not got it, and that it is not to be sent again.
    " AND NOT EXISTS (SELECT 1 FROM decisions d WHERE d.broadcast_id = recipients.broadcast_id"
    " AND d.row = recipients.row AND d.decision = 'not-sent')"
)
# Meta: error codes, 131049. The limit on new conversations looks as far back.
_COOLING_DOWN = timedelta(hours=24)
_PAGE = 2_000
_TRIED_AT = "COALESCE(left_at, answered_at, claimed_at)"
_TRIED = "broadcast_id = ? AND claimed_at IS NOT NULL AND state <> 'skipped'"
_HAS = 'data LIKE \'%"status":"{}"%\''
_IS_READ = f"({_HAS.format('read')} OR {_HAS.format('played')})"
_IS_DELIVERED = f"({_HAS.format('delivered')} OR {_IS_READ})"
_IS_SENT = f"({_HAS.format('sent')} OR {_IS_DELIVERED})"
# Meta's statuses name the attempt, or the message as the row has it; respond.io's have its own id.
_OF_RESPONDIO = ", ".join(
    f"'respondio:status:' || r.message_id || ':{status}'"
    for status in ("sent", "delivered", "read", "failed")
)
_REPORTED = (
    "SELECT e.message_id, e.at, e.data FROM events e WHERE e.kind = 'status' AND e.at >= ?"
    " AND e.message_id IS NOT NULL AND (e.data LIKE ? OR EXISTS (SELECT 1 FROM recipients r"
    " WHERE r.message_id = e.message_id AND r.broadcast_id = ?))"
    " UNION ALL SELECT r.message_id, e.at, e.data FROM recipients r"
    f" JOIN events e ON e.event_key IN ({_OF_RESPONDIO})"
    " WHERE r.broadcast_id = ? AND r.message_id NOT LIKE 'wamid.%'"
)
_REACHED = (
    "SELECT message_id,"
    f" MIN(CASE WHEN {_IS_SENT} THEN at END) AS sent_at,"
    f" MIN(CASE WHEN {_IS_DELIVERED} THEN at END) AS delivered_at,"
    f" MIN(CASE WHEN {_IS_READ} THEN at END) AS read_at,"
    f" MIN(CASE WHEN {_HAS.format('failed')} THEN at END) AS failed_at"
    f" FROM ({_REPORTED}) AS reported GROUP BY message_id"
)
_SERIES = (
    ("sent", " AND (failed_at IS NULL OR delivered_at IS NOT NULL)"),
    ("delivered", ""),
    ("read", ""),
    ("failed", " AND delivered_at IS NULL"),
)

_OTHER_ROWS = (
    "SELECT r.message_id, r.claimed_at FROM broadcasts b"
    " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    f" WHERE r.phone IN {EITHER_SPELLING} AND r.state <> 'skipped' AND r.claimed_at IS NOT NULL"
    " AND NOT (r.broadcast_id = ? AND r.row = ?)"
)

_NUMBERS = f"SELECT {person_of('active.phone')} AS number FROM active WHERE phone LIKE 'user_id:%'"
_SENT_TO = (
    "SELECT r.phone FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
    " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    " WHERE c.phone = ? AND b.started_at IS NOT NULL"
    f" AND r.state IN {sql_list(GOOD_STATES)} AND r.answered_at >= ?"
)
# Only the numbers of Mexico, Argentina and Brazil have two spellings; an id may have a number.
_BOTH_SPELLINGS = (
    "SELECT phone FROM active UNION ALL"
    f" SELECT {other_spelling('phone')} FROM active"
    f" WHERE phone LIKE '+5%' AND {other_spelling('phone')} IS NOT NULL"
    f" UNION ALL SELECT number FROM ({_NUMBERS}) UNION ALL SELECT {other_spelling('number')}"
    f" FROM ({_NUMBERS}) WHERE {other_spelling('number')} IS NOT NULL"
)

# Rows that were answered since a moment are in broadcasts that did not end before it.
_RECENT = (
    " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    " WHERE b.started_at IS NOT NULL AND (b.finished_at IS NULL OR b.finished_at > ?)"
    " AND r.answered_at > ?"
)


# In this order: of each row of ours the index of keys, or of people, finds that of another. CASE
# hides the states from SQLite, which would take the index of states instead.
_MINE_AND_THEIRS = (
    "SELECT mine.row, theirs.broadcast_id, theirs.claimed_at"
    " FROM recipients mine CROSS JOIN recipients theirs"
    f" WHERE mine.broadcast_id = ? AND mine.state IN {OPEN} AND theirs.sent_key = mine.sent_key"
)
_SENT_ELSEWHERE = (
    " AND theirs.sent_key IS NOT NULL AND theirs.claimed_at >= ?"
    " AND theirs.broadcast_id <> mine.broadcast_id"
    f" AND CASE WHEN theirs.state IN {sql_list(SENT_STATES)} THEN 1 ELSE 0 END = 1"
)
_OPEN_ELSEWHERE = (
    f" AND theirs.phone IN (mine.phone, {other_spelling('mine.phone')})"
    " AND theirs.state <> 'skipped'"
    f" AND CASE WHEN theirs.state IN {OPEN} THEN 1 ELSE 0 END = 1"
)


def counts_of(state: State, broadcast_ids: Iterable[int]) -> dict[int, Counts]:
    """How many rows of each of these broadcasts are in each state now.

    Raises StateError for a state that there is not.
    """
    found: dict[int, dict[RowState, int]] = {number: {} for number in broadcast_ids}
    try:
        for number, word, n in state.tuples(_COUNTS, [json.dumps(list(found))]):
            found[number][RowState(word)] = n
    except ValueError as error:
        raise StateError(
            f"broadcast {number} has rows in an unknown state: {error}",
            hint="another program changed the file; `wacoex state check` says more",
            code="impossible_row",
        ) from error
    return {number: Counts(counts) for number, counts in found.items()}


class Figures:
    """What the rows of one broadcast say."""

    def __init__(self, state: State, broadcast_id: int) -> None:
        self.state = state
        self.broadcast_id = broadcast_id

    def counts(self) -> Counts:
        """How many rows are in each state now. Raises StateError for a state that there is not."""
        return counts_of(self.state, [self.broadcast_id])[self.broadcast_id]

    def count_open(self) -> int:
        """Rows still to be sent."""
        return int(
            self._value(
                f"SELECT COUNT(*) FROM recipients WHERE broadcast_id = ? AND state IN {OPEN}"
            )
        )

    def count_open_us(self) -> int:
        """Rows still to be sent to numbers of the United States.

        Behind +1 are Canada and the Caribbean too; an area code belongs to one country. A user id
        begins with that of its number.
        """
        areas = self._rows(
            "SELECT SUBSTR(phone, 1, 5) AS area, COUNT(*) AS n FROM recipients"
            f" WHERE broadcast_id = ? AND state IN {OPEN} AND phone LIKE '+1%' GROUP BY area"
        )
        by_id = self._value(
            "SELECT COUNT(*) FROM recipients"
            f" WHERE broadcast_id = ? AND state IN {OPEN} AND phone LIKE 'user_id:US.%'"
        )
        us = [row["n"] for row in areas if region_of(f"{row['area']}2345678"[:12]) == "US"]
        return int(sum(us) + by_id)

    def open_numbers(self) -> Iterator[str]:
        """The numbers of the rows still to be sent, in order, some thousand read at a time."""
        last = -1
        while page := self._rows(
            f"SELECT row, phone FROM recipients WHERE broadcast_id = ? AND state IN {OPEN}"
            f" AND row > ? ORDER BY row LIMIT {_PAGE_ROWS}",
            last,
        ):
            yield from (row["phone"] for row in page)
            last = page[-1]["row"]

    def left_since(self, since: str) -> tuple[Counts, str]:
        """The rows that left since a moment, by state, and when the last of them was answered.

        Rows that wait for another try have not been taken, so they are none of them.
        """
        found = self._rows(
            "SELECT state, COUNT(*) AS n, MAX(answered_at) AS answered_at FROM recipients"
            f" WHERE broadcast_id = ? AND claimed_at >= ? AND state IN {_HAVE_LEFT}"
            " GROUP BY state",
            since,
        )
        last = max((str(row["answered_at"] or "") for row in found), default="")
        return Counts({RowState(row["state"]): row["n"] for row in found}), last

    def skip_reasons(self) -> dict[str, int]:
        """How many rows were skipped for which reason."""
        found = self._rows(
            "SELECT reason, COUNT(*) AS n FROM recipients"
            " WHERE broadcast_id = ? AND state = 'skipped' GROUP BY reason ORDER BY reason"
        )
        return {row["reason"]: row["n"] for row in found}

    def codes(self) -> list[Row]:
        """State, code and number of the rows that carry a code, most frequent first."""
        return self._rows(
            "SELECT state, code, COUNT(*) AS n FROM recipients WHERE broadcast_id = ?"
            f" AND state IN {_NOT_TAKEN} AND code IS NOT NULL"
            " GROUP BY state, code ORDER BY n DESC, code"
        )

    def failures(self) -> list[tuple[RowState, int | None, int]]:
        """State, code and number of the rows that failed or were rejected."""
        found = self._rows(
            f"SELECT state, code, COUNT(*) AS n FROM recipients WHERE {FAILED}"
            " GROUP BY state, code ORDER BY state, code"
        )
        return [(RowState(row["state"]), row["code"], row["n"]) for row in found]

    def handled(self) -> int:
        """How many failed rows a person has settled, or a later retry sends again."""
        failed = f"broadcast_id = ? AND state IN {_SURE_FAILURES}"
        resent = (
            "SELECT 1 FROM broadcasts mine JOIN broadcasts b ON b.broadcast_id > mine.broadcast_id"
            " AND b.retry_of = COALESCE(mine.retry_of, mine.broadcast_id) AND b.status <> 'draft'"
            " JOIN recipients r ON r.broadcast_id = b.broadcast_id AND r.phone = recipients.phone"
            " AND r.state <> 'skipped' AND NOT (b.status = 'cancelled' AND r.state IN"
            f" {OPEN}) WHERE mine.broadcast_id = recipients.broadcast_id"
        )
        return int(
            self._value(
                f"SELECT COUNT(*) FROM recipients WHERE {failed}"
                f" AND (EXISTS ({resent}) OR NOT ({FAILED}))",
                self.broadcast_id,
            )
        )

    def first(self, wanted: RowState, most: int, line: int = 0) -> list[Row]:
        """First rows in a state from a line on: what was planned, what happened to it, and when."""
        return self._rows(
            "SELECT row, line, phone, parameters, reason, code, detail, attempts, claimed_at,"
            " answered_at FROM recipients WHERE broadcast_id = ? AND state = ?"
            " AND line >= ? ORDER BY row LIMIT ?",
            wanted,
            line,
            most,
        )

    def numbers(self, wanted: RowState) -> list[int]:
        """The numbers of all rows in a state, in order."""
        found = self._rows(
            "SELECT row FROM recipients WHERE broadcast_id = ? AND state = ? ORDER BY row", wanted
        )
        return [row["row"] for row in found]

    def get(self, row: int) -> Row:
        """State, reason, detail, code and message id of a row that is there."""
        (found,) = self._rows(
            "SELECT state, reason, detail, code, message_id FROM recipients"
            " WHERE broadcast_id = ? AND row = ?",
            row,
        )
        return found

    def phone_of(self, row: int) -> str | None:
        """The number (E.164), or `user_id:...`, of a row to be sent to; None for any other row."""
        found = self._value(
            "SELECT phone FROM recipients WHERE broadcast_id = ? AND row = ?"
            " AND state <> 'skipped'",
            row,
        )
        return str(found) if found else None

    def has_more(self, steady: datetime) -> bool:
        """Whether any row is still to be sent in this run, now or after its wait.

        `steady` is the moment by the clock that nobody sets.
        """
        sql = (
            "SELECT EXISTS (SELECT 1 FROM recipients WHERE broadcast_id = ?"
            " AND state = 'pending') OR EXISTS (SELECT 1 FROM recipients"
            " WHERE broadcast_id = ? AND state = 'retry' AND not_before IS NOT NULL"
            f" AND {_HAS_TRIES})"
        )
        since = to_text(steady - LONGEST_RETRY_IN_RUN)
        return bool(self._value(sql, self.broadcast_id, MOST_TRIES_IN_RUN, since))

    def next_rows(self, now: datetime, steady: datetime, most: int) -> Iterator[tuple[int, str]]:
        """The rows that `claim` would take, and their numbers (E.164), in its order."""
        due = self.due_values(now, steady)
        for choice, values in ((DUE, due), (PENDING, [self.broadcast_id])):
            sql = choice.format(columns="row, phone", unlisted=NOT_OPTED_OUT)
            for row, phone in self.state.tuples(sql, [*values, most]):
                yield row, phone
                most -= 1

    def due_values(self, now: datetime, steady: datetime) -> list[object]:
        """The values of `DUE`, but for how many.

        Quiet hours end by the clock on the wall (`now`), other waits by the one that nobody sets.
        """
        ends = [to_text(moment) for moment in (max(now, steady), now, steady)]
        since = to_text(steady - LONGEST_RETRY_IN_RUN)
        return [self.broadcast_id, *ends, MOST_TRIES_IN_RUN, since]

    def held(self) -> list[tuple[datetime, int, str]]:
        """Rows that are held back: until when, how many, the number (E.164) of one of them."""
        found = self._rows(
            "SELECT not_before, COUNT(*) AS n, MIN(phone) AS phone FROM recipients"
            f" WHERE broadcast_id = ? AND {IS_HELD} AND not_before IS NOT NULL"
            " GROUP BY not_before ORDER BY not_before"
        )
        return [(from_text(row["not_before"]), row["n"], row["phone"]) for row in found]

    def at_no_hour(self) -> int:
        """Rows that can leave at no hour: it is always quiet in one of their zones."""
        return int(
            self._value(
                f"SELECT COUNT(*) FROM recipients WHERE broadcast_id = ? AND {IS_HELD}"
                " AND not_before IS NULL"
            )
        )

    def without_contact(self, most: int) -> list[tuple[int, str, str]]:
        """The first rows whose contact is not known to be there: row, phone (E.164), name."""
        found = self._rows(
            "SELECT row, phone, new_contact FROM recipients"
            f" WHERE {_WAITS_FOR_CONTACT} ORDER BY row LIMIT ?",
            most,
        )
        return [(row["row"], row["phone"], row["new_contact"]) for row in found]

    def count_without_contact(self) -> int:
        """How many rows wait for a contact."""
        return int(self._value(f"SELECT COUNT(*) FROM recipients WHERE {_WAITS_FOR_CONTACT}"))

    def on_their_way(self, before: datetime, most: int) -> list[OnItsWay]:
        """Rows taken before a moment and not known as delivered, read or failed, newest first."""
        sql = (
            "SELECT row, attempts, phone, message_id FROM recipients"
            " WHERE broadcast_id = ? AND state = ? AND message_id IS NOT NULL"
            " AND answered_at <= ? ORDER BY row DESC LIMIT ?"
        )
        found = []
        for state in UNDER_WAY_STATES:
            found += self._rows(sql, state, to_text(before), most)
        found.sort(key=lambda row: -row["row"])
        return [
            OnItsWay(row["row"], row["attempts"], row["phone"], row["message_id"])
            for row in found[:most]
        ]

    def pages(self) -> Iterator[list[tuple[Any, ...]]]:
        """Every row in order, a page at a time: a million rows take no more memory than one page.

        Each page is as things are when it is read. Between pages nothing is held, so that a slow
        reader keeps no sender from tidying its write-ahead log.
        """
        last = -1
        while page := self.state.tuples(
            "SELECT row, line, phone, state, reason, code, detail, message_id, attempts,"
            " claimed_at, answered_at, user_id FROM recipients"
            " WHERE broadcast_id = ? AND row > ? ORDER BY row LIMIT ?",
            [self.broadcast_id, last, _PAGE],
        ):
            yield page
            last = page[-1][0]

    def unsettled(self, most: int) -> list[Row]:
        """The first rows that were not taken, or of which nobody knows, but for the skipped."""
        return self._rows(
            "SELECT row, line, phone, state, code, detail FROM recipients WHERE broadcast_id = ?"
            f" AND state IN {_NOT_TAKEN} ORDER BY row LIMIT ?",
            most,
        )

    def runs(self) -> list[Row]:
        """The runs, first one first: who sent, how fast, for how many seconds, how it ended."""
        return self._rows(
            "SELECT run_id, host, pid, rate, started_at, last_active_at, active_seconds, ended_as"
            " FROM broadcast_runs WHERE broadcast_id = ? ORDER BY run_id"
        )

    def decisions(self) -> list[Row]:
        """What people decided, first one first; `row` is None when it was about the broadcast."""
        return self._rows(
            "SELECT decision_id, row, decided_at, decided_by, decision FROM decisions"
            " WHERE broadcast_id = ? ORDER BY decision_id"
        )

    def has_decision(self, word: str, since: str) -> bool:
        """Whether a decision about the whole broadcast begins with a word, since a moment."""
        return bool(
            self._value(
                "SELECT EXISTS (SELECT 1 FROM decisions WHERE broadcast_id = ? AND row IS NULL"
                " AND decision LIKE ? AND decided_at >= ?)",
                f"{word}: %",
                since,
            )
        )

    def active_seconds(self) -> float:
        """Seconds that all runs were active for."""
        sql = "SELECT COALESCE(SUM(active_seconds), 0) FROM broadcast_runs WHERE broadcast_id = ?"
        return float(self._value(sql))

    def last_started_at(self) -> str:
        """When the newest run began, as RFC 3339 text in UTC."""
        sql = "SELECT COALESCE(MAX(started_at), '') FROM broadcast_runs WHERE broadcast_id = ?"
        return str(self._value(sql))

    def dispatch_span(self) -> tuple[str, str] | None:
        """When the first and the last try left (RFC 3339 in UTC); None before the first."""
        (found,) = self._rows(
            f"SELECT MIN({_TRIED_AT}) AS first, MAX({_TRIED_AT}) AS last FROM recipients"
            f" WHERE {_TRIED}"
        )
        return (found["first"], found["last"]) if found["first"] else None

    def dispatch(self, width: int) -> list[Row]:
        """Tries by time: `at`, how many (`n`), and the most of them in one second (`busiest`).

        `width` is how many characters of a moment name its stretch: 19 a second, 16 a minute.
        """
        return self._rows(
            f"SELECT substr(second, 1, {width:d}) AS at, SUM(n) AS n, MAX(n) AS busiest FROM"
            f" (SELECT substr({_TRIED_AT}, 1, 19) AS second, COUNT(*) AS n FROM recipients"
            f" WHERE {_TRIED} GROUP BY 1) AS seconds GROUP BY 1 ORDER BY 1"
        )

    def deliveries_end(self, since: str, attempts: str) -> str | None:
        """When the newest status of a message of the broadcast came about; None without one.

        `since` bounds the search. `attempts` is what the attempt ids of the broadcast begin with.
        """
        newest = self.state.value(
            f"SELECT MAX(at) FROM ({_REPORTED}) AS reported",
            [since, f'%"attempt_id":"{attempts}%', self.broadcast_id, self.broadcast_id],
        )
        return None if newest is None else str(newest)

    def deliveries(self, since: str, attempts: str, width: int) -> list[Row]:
        """How many messages reached each status in each stretch of time: `status`, `at`, `n`.

        A message counts once for a status, when it first had it or a later one. One that arrived
        did not fail; one that failed counts as accepted and failed only, as its row does. `width`
        is as for `dispatch`, `since` and `attempts` as for `deliveries_end`.
        """
        return self.state.rows(
            f"WITH reached AS ({_REACHED})"
            f" SELECT 'accepted' AS status, substr(answered_at, 1, {width:d}) AS at, COUNT(*) AS n"
            " FROM recipients WHERE broadcast_id = ? AND answered_at IS NOT NULL"
            f" AND state IN {TAKEN} GROUP BY 2"
            + "".join(
                f" UNION ALL SELECT '{name}', substr({name}_at, 1, {width:d}), COUNT(*)"
                f" FROM reached WHERE {name}_at IS NOT NULL{more} GROUP BY 2"
                for name, more in _SERIES
            )
            + " ORDER BY 1, 2",
            [since, f'%"attempt_id":"{attempts}%', *[self.broadcast_id] * 3],
        )

    def page_end(self, after: int, most: int) -> int | None:
        """The last of the next `most` rows after a row; None when there are no more."""
        rows = "SELECT row FROM recipients WHERE broadcast_id = ? AND row > ? ORDER BY row LIMIT ?"
        end = self._value(f"SELECT MAX(row) FROM ({rows}) AS page", after, most)
        return None if end is None else int(end)

    def sent_elsewhere(
        self, where: str, values: Sequence[int], since: datetime
    ) -> list[SameMessage]:
        """Open rows whose message the same person got from another broadcast since a moment.

        `where` says which rows are looked at, in SQL about `mine.row` with its values.
        """
        sql = f"{_MINE_AND_THEIRS}{_SENT_ELSEWHERE} AND {where}"
        found = self.state.tuples(sql, [self.broadcast_id, to_text(since), *values])
        return [SameMessage._make(row) for row in found]

    def open_elsewhere(self, first: int, last: int, others: Sequence[int]) -> list[SameMessage]:
        """Open rows from one to another that are open in one of the other broadcasts too."""
        marks = ", ".join("?" * len(others))
        where = f" AND mine.row BETWEEN ? AND ? AND theirs.broadcast_id IN ({marks})"
        sql = f"{_MINE_AND_THEIRS}{_OPEN_ELSEWHERE}{where}"
        found = self._rows(sql, first, last, *others)
        return [SameMessage(row["row"], row["broadcast_id"]) for row in found]

    def doubts(self, wanted: Collection[int]) -> tuple[Doubt, ...]:
        """These rows of a broadcast as far as they are ambiguous, in order."""
        found = self._rows(
            "SELECT r.row, r.line, r.phone, r.attempts, r.claimed_at, r.detail, b.started_at,"
            f" CASE WHEN r.reason IN {LOST_TRACK_REASONS} THEN b.planned_at END AS lost_since,"
            # Who took a row over from a dead sender took its holder away.
            " CASE WHEN r.holder IS NOT NULL THEN r.answered_at END AS given_up_at"
            " FROM recipients r JOIN broadcasts b ON b.broadcast_id = r.broadcast_id"
            " WHERE r.broadcast_id = ? AND r.state = 'ambiguous' ORDER BY r.row"
        )
        chosen = set(wanted)
        return tuple(_doubt(row) for row in found if row["row"] in chosen)

    def other_rows(self, doubt: Doubt) -> tuple[frozenset[str], tuple[datetime, ...]]:
        """What other broadcasts sent to the person of a row, in either spelling of the number.

        The ids of their messages, and when rows were tried that have none.
        """
        found = self.state.rows(
            _OTHER_ROWS, [doubt.phone, doubt.phone, self.broadcast_id, doubt.row]
        )
        taken = frozenset(row["message_id"] for row in found if row["message_id"])
        rivals = tuple(from_text(row["claimed_at"]) for row in found if not row["message_id"])
        return taken, rivals

    def _rows(self, sql: str, *values: object) -> list[Row]:
        return self.state.rows(sql, [self.broadcast_id, *values])

    def _value(self, sql: str, *values: object) -> Any:
        return self.state.value(sql, [self.broadcast_id, *values])


def _doubt(row: Row) -> Doubt:
    since = row["claimed_at"]
    if row["attempts"] > 1:
        since = min(since, row["started_at"] or since)
    if row["lost_since"]:
        since = min(since, row["lost_since"])
    return Doubt(
        row=row["row"],
        line=row["line"],
        phone=row["phone"],
        attempt=row["attempts"],
        claimed_at=from_text(row["claimed_at"]),
        since=from_text(since),
        until=from_text(max(row["claimed_at"], row["given_up_at"] or "")),
        happened=row["detail"],
    )


def own_messages(
    state: State, channel_id: int, since: datetime, until: datetime
) -> dict[str, datetime]:
    """The messages of all broadcasts of a channel that were claimed in a time, by their ids."""
    first, last = to_text(since), to_text(until)
    found = state.rows(
        "SELECT r.message_id, r.claimed_at FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.channel_id = ? AND b.started_at <= ?"
        " AND (b.finished_at IS NULL OR b.finished_at >= ?)"
        " AND r.message_id IS NOT NULL AND r.claimed_at BETWEEN ? AND ?",
        [channel_id, last, first, first, last],
    )
    return {row["message_id"]: from_text(row["claimed_at"]) for row in found}


def taken_since(state: State, channel_ids: Sequence[int], since: datetime) -> Counter[int]:
    """Different people whom each number had messages accepted for since a moment, by channel_id.

    A person counts in the largest broadcast, so that the rows of that one, which may be a million,
    are looked for nowhere else.
    """
    moment = to_text(since)
    rows = state.rows(
        "WITH recent AS (SELECT b.channel_id, b.broadcast_id, b.recipients FROM broadcasts b"
        " WHERE b.channel_id IN (SELECT value FROM json_each(?)) AND b.started_at IS NOT NULL"
        " AND (b.finished_at IS NULL OR b.finished_at > ?))"
        " SELECT recent.channel_id, COUNT(*) AS n FROM recent"
        " JOIN recipients r ON r.broadcast_id = recent.broadcast_id"
        f" WHERE r.state IN {TAKEN} AND r.answered_at > ? AND NOT EXISTS"
        " (SELECT 1 FROM recent larger JOIN recipients same"
        " ON same.broadcast_id = larger.broadcast_id AND same.phone = r.phone"
        " WHERE larger.channel_id = recent.channel_id AND (larger.recipients > recent.recipients"
        " OR (larger.recipients = recent.recipients"
        " AND larger.broadcast_id < recent.broadcast_id))"
        # The index of people is the one to use; CASE keeps that of states out of it.
        " AND same.state <> 'skipped'"
        f" AND CASE WHEN same.state IN {TAKEN} AND same.answered_at > ? THEN 1 ELSE 0 END = 1)"
        " GROUP BY recent.channel_id",
        [json.dumps(channel_ids), moment, moment, moment],
    )
    return Counter({row["channel_id"]: row["n"] for row in rows})


def people_to_ask_about(state: State, channel_id: int, since: datetime) -> list[str]:
    """Numbers of the channel's broadcasts since a moment; those with ambiguous rows first.

    Then those whose message went through respond.io, which reports its end only on request.
    """
    found = state.rows(
        "SELECT r.phone, MAX(CASE WHEN r.state = 'ambiguous' THEN 2"
        f" WHEN b.provider = 'respondio' AND r.state IN {_UNDER_WAY} THEN 1"
        " ELSE 0 END) AS doubtful"
        " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.channel_id = ? AND r.attempts > 0 AND r.phone LIKE '+%'"
        " AND (r.state = 'ambiguous' OR r.answered_at >= ?)"
        " GROUP BY r.phone ORDER BY doubtful DESC, r.phone",
        [channel_id, to_text(since)],
    )
    return [str(row["phone"]) for row in found]


def messages_to_ask_about(
    state: State, channel_id: int, since: datetime, most: int, state_id: str
) -> dict[str, str]:
    """Message ids of Meta's whose fate is not final, newest first, each with its attempt id."""
    found = state.rows(
        "SELECT r.message_id, r.broadcast_id, r.row, r.attempts FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        f" WHERE b.channel_id = ? AND b.provider = 'meta' AND r.state IN {_UNDER_WAY}"
        " AND r.message_id IS NOT NULL AND r.answered_at >= ?"
        " ORDER BY r.answered_at DESC, r.broadcast_id, r.row LIMIT ?",
        [channel_id, to_text(since), most],
    )
    return {
        str(row["message_id"]): attempt_id(
            state_id, row["broadcast_id"], row["row"], row["attempts"]
        )
        for row in found
    }


class Month:
    """The people of one broadcast as a month knows them, through one channel's number."""

    def __init__(
        self,
        state: State,
        broadcast_id: int,
        channel: Channel,
        addresses: Sequence[str],
        begins: datetime,
    ) -> None:
        self._state = state
        self._broadcast_id = broadcast_id
        marks = ", ".join("?" * len(addresses))
        self._active = (
            f"WITH active AS (SELECT contact AS phone FROM active_contacts WHERE month = ?"
            f" AND address IN ({marks}) UNION ALL {_SENT_TO})"
        )
        moment = to_text(begins)
        self._given = [moment[:7], *addresses, channel.phone, moment]

    def count_active(self) -> int:
        """How many of those to be sent to wrote, were sent a message or had an echo."""
        return int(
            self._state.value(
                f"{self._active} SELECT COUNT(*) FROM recipients WHERE broadcast_id = ?"
                f" AND state = 'pending' AND phone IN ({_BOTH_SPELLINGS})",
                [*self._given, self._broadcast_id],
            )
        )

    def unknown(self, most: int) -> list[str]:
        """The first of the others (E.164), but for those who are no contacts anywhere yet."""
        found = self._state.rows(
            f"{self._active} SELECT r.phone FROM recipients r WHERE r.broadcast_id = ?"
            " AND r.state = 'pending' AND r.new_contact IS NULL AND r.phone LIKE '+%'"
            f" AND r.phone NOT IN ({_BOTH_SPELLINGS}) ORDER BY r.row LIMIT ?",
            [*self._given, self._broadcast_id, most],
        )
        return [row["phone"] for row in found]


def ambiguous(state: State) -> list[Row]:
    """Ambiguous rows by broadcast: channel_id, broadcast_id, n, and `at`, the newest of them."""
    return state.rows(
        "SELECT b.channel_id, b.broadcast_id, COUNT(*) AS n,"
        " MAX(COALESCE(r.answered_at, r.claimed_at, b.planned_at)) AS at"
        " FROM broadcasts b JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE r.state = 'ambiguous' AND b.status <> 'draft'"
        " GROUP BY b.channel_id, b.broadcast_id ORDER BY b.broadcast_id"
    )


def throttled(state: State, since: datetime) -> list[Row]:
    """How often 130429 came, by broadcast: channel_id, broadcast_id, n, and `at`, the last time.

    What the runs counted, or the rows that show it: a row that was taken later does not. Beside it
    how our own messages left: `peak`, the most in a second, and `bunched`, too close together.
    """
    moment = to_text(since)
    return state.rows(
        "SELECT channel_id, broadcast_id, MAX(n) AS n, MAX(at) AS at, MAX(peak) AS peak,"
        " MAX(bunched) AS bunched FROM ("
        " SELECT b.channel_id, b.broadcast_id, SUM(u.throttled) AS n, MAX(u.throttled_at) AS at,"
        " MAX(u.peak) AS peak, SUM(u.bunched) AS bunched"
        " FROM broadcasts b JOIN broadcast_runs u ON u.broadcast_id = b.broadcast_id"
        " WHERE u.throttled_at > ? GROUP BY b.channel_id, b.broadcast_id"
        " UNION ALL"
        " SELECT b.channel_id, b.broadcast_id, COUNT(*) AS n, MAX(r.answered_at) AS at,"
        " 0 AS peak, 0 AS bunched"
        f"{_RECENT} AND r.state IN ('retry', 'failed', 'rejected') AND r.code = 130429"
        " GROUP BY b.channel_id, b.broadcast_id"
        ") AS seen GROUP BY channel_id, broadcast_id ORDER BY broadcast_id",
        [moment, moment, moment],
    )


def refused(state: State, since: datetime) -> list[Row]:
    """People who got nothing for 131049 or 131050: channel_id, code, n, and `at`, the newest."""
    moment = to_text(since)
    return state.rows(
        "SELECT b.channel_id, r.code, COUNT(DISTINCT r.phone) AS n, MAX(r.answered_at) AS at"
        f"{_RECENT} AND r.state IN ('failed', 'rejected') AND r.code IN (131049, 131050)"
        " GROUP BY b.channel_id, r.code ORDER BY r.code",
        [moment, moment],
    )


def newest(*, env_file: Path | None = None) -> list[tuple[str, str]]:
    """Id, and status with name or file, of the newest hundred broadcasts, newest first."""
    return [
        (str(broadcast_id), f"{status}, {name}")
        for broadcast_id, status, name in glimpse(
            "SELECT broadcast_id, status, COALESCE(name, recipients_file) FROM broadcasts"
            " ORDER BY broadcast_id DESC LIMIT 100",
            env_file=env_file,
        )
    ]


def active_since(state: State, channels: Sequence[int], since: datetime) -> list[int]:
    """Broadcasts of these channels that have begun and may have sent since a moment, or yet may."""
    marks = ", ".join("?" * len(channels))
    # A clock that was set back dates the end of a broadcast before its messages.
    runs = "SELECT broadcast_id FROM broadcast_runs WHERE started_at >= ? OR last_active_at >= ?"
    found = state.rows(
        f"SELECT broadcast_id FROM broadcasts WHERE channel_id IN ({marks})"
        " AND started_at IS NOT NULL AND status <> 'draft' AND (finished_at IS NULL"
        " OR finished_at >= ? OR status IN ('sending', 'paused')"
        f" OR broadcast_id IN ({runs})) ORDER BY broadcast_id",
        [*channels, *[to_text(since)] * 3],
    )
    return [row["broadcast_id"] for row in found]
