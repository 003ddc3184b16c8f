"""The messages that people of a business got, and how many left in a day. Reads only.

A message counts from its claim, while it is being sent, was taken, or is ambiguous. One that was
rejected or failed reached nobody; one that waits for another try has not left.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from wacoex_cli.contacts.persons import USER_ID_PREFIX, ids_of, numbers_of, other_spelling
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.ledger.figures import OPEN, active_since, sql_list
from wacoex_cli.ledger.model import SENT_STATES, TAKEN_STATES, RowState
from wacoex_cli.ledger.people import People
from wacoex_cli.platforms.events import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.state import Row, State

EVER = datetime.min.replace(tzinfo=UTC)
_PAGE_ROWS = 5_000
_HAS_IT = sql_list(SENT_STATES)
_HAS_LEFT = sql_list((*TAKEN_STATES, RowState.AMBIGUOUS))
_WENT_OUT = sql_list((*TAKEN_STATES, RowState.AMBIGUOUS, RowState.SENDING))
_IS_ANSWER = f"e.kind IN {sql_list((Kind.MESSAGE, Kind.UNSUPPORTED))}"
# `+ 0` keeps the broadcast out of the choice of an index: all its rows would be read.
_SAME_NUMBER = (
    "SELECT mine.row, theirs.row AS their_row, theirs.claimed_at, theirs.broadcast_id"
    " FROM recipients mine"
    " CROSS JOIN recipients theirs"
    f" ON theirs.phone IN (mine.phone, {other_spelling('mine.phone')})"
    f" WHERE mine.broadcast_id = ? AND mine.state IN {OPEN}"
    f" AND theirs.claimed_at >= ? AND theirs.state IN {_HAS_IT}"
    " AND theirs.broadcast_id + 0 IN ({marks}) AND {where}"
    " AND NOT (theirs.broadcast_id = mine.broadcast_id AND theirs.row = mine.row)"
)


class PastMessages:
    """What a business sent to the people of one broadcast before, over all its channels.

    Tests of a broadcast do not count for people: somebody named the number for them.
    """

    def __init__(self, state: State, broadcast_id: int, channels: Sequence[int]) -> None:
        self._state = state
        self._number = broadcast_id
        self._channels = channels
        self._people = People(state, broadcast_id)

    def pages(self, since: datetime) -> list[tuple[int, int]]:
        """First and last row of each page of the open rows; none when nothing was sent since."""
        pages, after = list[tuple[int, int]](), 0
        if not self._broadcasts(since):
            return pages
        while (end := self._people.page_end(after, _PAGE_ROWS)) is not None:
            pages.append((after + 1, end))
            after = end
        return pages

    def of_page(self, page: tuple[int, int], since: datetime) -> dict[int, list[datetime]]:
        """When the people of these open rows were sent something at or after a moment."""
        return self._sent("mine.row BETWEEN ? AND ?", page, since, frozenset())

    def of_claims(self, rows: Sequence[int], since: datetime) -> dict[int, list[datetime]]:
        """The same for rows that were just claimed; asked in the transaction of their claim.

        A person may have two of them: for the second the first counts, not the other way round.
        """
        return self._sent(f"mine.row IN ({_marks(rows)})", rows, since, frozenset(rows))

    def _sent(
        self, where: str, values: Sequence[int], since: datetime, claimed: frozenset[int]
    ) -> dict[int, list[datetime]]:
        broadcasts, moment = self._broadcasts(since), to_text(since)
        if not broadcasts:
            return {}
        sql = _SAME_NUMBER.format(marks=_marks(broadcasts), where=where)
        found = self._state.rows(sql, [self._number, moment, *broadcasts, *values])
        for row in self._people.same_people(where, values, broadcasts):
            if RowState(row["state"]) in SENT_STATES and (row["claimed_at"] or "") >= moment:
                found.append(row)
        messages = {
            (row["row"], row["broadcast_id"], row["their_row"]): row["claimed_at"]
            for row in found
            if not (
                row["broadcast_id"] == self._number
                and row["their_row"] in claimed
                and row["their_row"] > row["row"]
            )
        }
        sent = defaultdict[int, list[datetime]](list)
        for (row_number, _, _), claimed_at in messages.items():
            sent[row_number].append(from_text(claimed_at))
        return sent

    def _broadcasts(self, since: datetime) -> list[int]:
        tests = self._state.rows("SELECT broadcast_id FROM broadcasts WHERE test_of IS NOT NULL")
        left_out = {row["broadcast_id"] for row in tests}
        found = active_since(self._state, self._channels, since)
        return [number for number in found if number not in left_out]

    def newest_answer(self) -> datetime | None:
        """When the last message of anybody to the business came that is known here."""
        found = self._state.value(
            f"SELECT MAX(e.at) FROM events e WHERE {_IS_ANSWER} AND {self._to_the_business()}",
            self._channels,
        )
        return from_text(found) if found else None

    def _to_the_business(self) -> str:
        return (
            f"EXISTS (SELECT 1 FROM channels c WHERE c.channel_id IN ({_marks(self._channels)})"
            " AND (c.phone = e.phone OR c.waba_id = e.waba_id))"
        )

    def answered_since(self, row: int, moment: datetime) -> bool:
        """Whether the person of a row wrote to the business at or after a moment."""
        contacts = (
            f"SELECT mine.phone {{mine}} UNION SELECT {other_spelling('mine.phone')} {{mine}}"
            f" UNION SELECT '{USER_ID_PREFIX}' || mine.user_id {{mine}}"
            f" UNION {numbers_of('= (SELECT mine.user_id {mine})')}"
            f" UNION SELECT '{USER_ID_PREFIX}' || user_id FROM ("
            f"{ids_of('IN (SELECT mine.phone {mine})')})"
        ).format(mine="FROM recipients mine WHERE mine.broadcast_id = ? AND mine.row = ?")
        values: list[object] = [self._number, row] * contacts.count("mine.row = ?")
        found = self._state.value(
            f"SELECT 1 FROM events e WHERE {_IS_ANSWER} AND e.at >= ? AND e.contact IN ({contacts})"
            f" AND {self._to_the_business()} LIMIT 1",
            [to_text(moment), *values, *self._channels],
        )
        return found is not None


class DayMessages:
    """How many messages left from some channels in 24 hours. Tests and failures count too."""

    def __init__(self, state: State, channels: Sequence[int]) -> None:
        self._state = state
        self._channels = channels

    def _select(self, what: str, condition: str, values: Sequence[object], since: datetime) -> Row:
        numbers = active_since(self._state, self._channels, since)
        found = self._state.row(
            f"SELECT {what} FROM recipients WHERE broadcast_id IN ({_marks(numbers)})"
            f" AND state IN {_WENT_OUT} AND {condition}",
            [*numbers, *values],
        )
        return found or {}

    def sent_after(self, moment: datetime) -> int:
        """How many were claimed after a moment."""
        count = self._select("COUNT(*) AS n", "claimed_at > ?", [to_text(moment)], moment)
        return int(count["n"])

    def time_of(self, place: int, moment: datetime) -> datetime:
        """When the message of a place was claimed, of those after a moment; the oldest is 0."""
        order = "claimed_at > ? ORDER BY claimed_at LIMIT 1 OFFSET ?"
        found = self._select("claimed_at", order, [to_text(moment), place], moment)
        return from_text(found["claimed_at"])

    def first_at(self) -> datetime | None:
        """When the first message was claimed that the state file still knows, in whole seconds."""
        first = self._first_from(EVER, _WENT_OUT)
        return first.replace(microsecond=0) if first else None

    def days_before(self, first_at: datetime, day: int) -> int:
        """On how many days before that one something left; days are 24 hours from `first_at`.

        What is still being sent since such a day does not make it one: it may be refused yet.
        """
        end, days, at = first_at + timedelta(days=day), 0, first_at
        while (left := self._first_from(at, _HAS_LEFT)) is not None and left < end:
            days += 1
            at = first_at + timedelta(days=(left - first_at) // timedelta(days=1) + 1)
        return days

    def _first_from(self, moment: datetime, states: str) -> datetime | None:
        sql = (
            "SELECT claimed_at FROM recipients WHERE broadcast_id = ? AND claimed_at >= ?"
            f" AND state IN {states} ORDER BY claimed_at LIMIT 1"
        )
        numbers = active_since(self._state, self._channels, moment)
        found = (self._state.value(sql, [number, to_text(moment)]) for number in numbers)
        first = min(filter(None, found), default=None)
        return from_text(first) if first else None


def _marks(values: Sequence[int]) -> str:
    return ", ".join("?" * len(values))
