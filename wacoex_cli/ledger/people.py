"""Rows of the same people: by numbers in each spelling, by user ids, and by pairs of both."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from wacoex_cli.contacts.persons import (
    USER_ID_PREFIX,
    ids_of,
    numbers_of,
    other_spelling,
    shorter_spelling,
)
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import spellings
from wacoex_cli.ledger.figures import OPEN, Figures
from wacoex_cli.ledger.model import OPEN_STATES, SENT_STATES, RowState, SameMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row

_HAS_IDS = "SELECT EXISTS (SELECT 1 FROM recipients WHERE user_id IS NOT NULL)"
_HAS_IDS_OR_MOVES = f"{_HAS_IDS} OR EXISTS (SELECT 1 FROM person_moves)"
# `+ 0` keeps the broadcast out of the choice of an index: all its rows would be read.
# The other row of a person has the id, or the number, that a row of ours has now.
_MY_SPELLINGS = f"IN (mine.phone, {other_spelling('mine.phone')})"
_ONE_PERSON = (
    "theirs.user_id = mine.user_id AND theirs.broadcast_id + 0 {among}",
    f"mine.phone LIKE '+%' AND theirs.user_id IN ({ids_of(_MY_SPELLINGS)})"
    " AND theirs.broadcast_id + 0 {among}",
    f"theirs.phone IN ({numbers_of('= mine.user_id')}) AND theirs.broadcast_id {{among}}",
)
_THEIR_COLUMNS = (
    "SELECT mine.row, mine.parameters, theirs.row AS their_row, theirs.broadcast_id, theirs.phone,"
    " theirs.sent_key, theirs.state, theirs.claimed_at"
)
_ANOTHER_ROW = (
    f"mine.broadcast_id = ? AND mine.state IN {OPEN} AND theirs.state <> 'skipped'"
    " AND NOT (theirs.broadcast_id = mine.broadcast_id AND theirs.row = mine.row)"
)
_MINE_AND_THEIRS_BY_ID = (
    f"{_THEIR_COLUMNS} FROM recipients mine CROSS JOIN recipients theirs WHERE {_ANOTHER_ROW}"
)
_MOST_CHANGES = 50
# Who changed the number or id, once or again, has what came before the change; later the old
# number may be another person's.
_MINE_BEFORE_CHANGES = (
    "WITH RECURSIVE earlier (row, name, at, changes) AS (SELECT mine.row, m.before, m.at, 1"
    f" FROM recipients mine CROSS JOIN person_moves m ON m.after IN (mine.phone,"
    f" {other_spelling('mine.phone')}, '{USER_ID_PREFIX}' || mine.user_id)"
    f" WHERE mine.broadcast_id = ? AND mine.state IN {OPEN} AND {{where}}"
    " UNION SELECT earlier.row, m.before, m.at, changes + 1 FROM earlier CROSS JOIN person_moves m"
    f" ON m.after IN (earlier.name, {other_spelling('earlier.name')})"
    f" AND m.at <= earlier.at WHERE changes < {_MOST_CHANGES})"
    f" {_THEIR_COLUMNS} FROM earlier CROSS JOIN recipients mine ON mine.row = earlier.row"
    " CROSS JOIN recipients theirs ON theirs.broadcast_id IN ({marks})"
    f" AND theirs.phone IN (earlier.name, {other_spelling('earlier.name')})"
    f" WHERE {_ANOTHER_ROW} AND theirs.claimed_at <= earlier.at"
)


@functools.cache
def _listed(names: int) -> str:
    marks = ", ".join(f"?{place}" for place in range(1, names + 1))
    # Crosswise: the pairs of few people are looked up, and not those of the whole list.
    return (
        f"SELECT EXISTS (SELECT 1 FROM optouts WHERE phone IN ({marks}))"
        " OR EXISTS (SELECT 1 FROM person_pairs p CROSS JOIN optouts_by_id o"
        f" ON o.user_id = p.user_id WHERE p.phone IN ({marks}))"
    )


class People(Figures):
    """The rows of one broadcast beside the other rows of the same people. Reads only."""

    def named_twice(self) -> list[Row]:
        """Rows that share their number or id with others of the broadcast, if one has an id.

        Each with row, state, reason, `number` (one spelling, None where none is known), user_id.
        """
        number = f"CASE WHEN phone LIKE '+%' THEN {shorter_spelling('phone')} END"
        return self._rows(
            f"WITH mine AS (SELECT row, state, reason, user_id, {number} AS number"
            " FROM recipients WHERE broadcast_id = ?) SELECT * FROM mine"
            f" WHERE ({_HAS_IDS}) AND (number IN (SELECT number FROM mine WHERE number IS NOT NULL"
            " GROUP BY number HAVING COUNT(*) > 1 AND COUNT(user_id) > 0) OR user_id IN"
            " (SELECT user_id FROM mine WHERE user_id IS NOT NULL GROUP BY user_id"
            " HAVING COUNT(*) > 1)) ORDER BY row"
        )

    def may_have_opted_out(self, people: Sequence[tuple[str, str | None]]) -> bool:
        """Whether any of these people (number, id) may be on the list: only False is certain.

        Looks for their names alone: not at what an entry is about, nor at whether a pair holds.
        """
        if any(user_id is not None for _, user_id in people):
            return True
        names = [name for phone, _ in people for name in spellings(phone)]
        return bool(names and self.state.value(_listed(len(names)), names))

    def has_ids(self) -> bool:
        """Whether a row of any broadcast names a user id, or somebody changed the number or id."""
        return bool(self.state.value(_HAS_IDS_OR_MOVES))

    def same_people(
        self, where: str, values: Sequence[int], broadcasts: Sequence[int]
    ) -> list[Row]:
        """Open rows and others of the same people in these broadcasts, by ids and pairs.

        `where` is as for `sent_elsewhere`. Each with row, parameters, `their_row`, and of the other
        row broadcast_id, phone, sent_key, state and claimed_at.
        """
        if not (broadcasts and self.has_ids()):
            return []
        marks = ", ".join("?" * len(broadcasts))
        found: list[Row] = []
        for link in _ONE_PERSON:
            found += self._rows(
                f"{_MINE_AND_THEIRS_BY_ID} AND {where} AND {link.format(among=f'IN ({marks})')}",
                *values,
                *broadcasts,
            )
        changed = _MINE_BEFORE_CHANGES.format(where=where, marks=marks)
        return found + self._rows(changed, *values, *broadcasts, self.broadcast_id)

    def sent_by_id(
        self,
        where: str,
        values: Sequence[int],
        since: datetime,
        others: Mapping[int, bool],
        key: Callable[[str, str], int],
    ) -> list[SameMessage]:
        """What `sent_elsewhere` and `open_elsewhere` find where the other row has another name.

        Of other broadcasts it is said whether their turn comes first; `key` gives the keys of
        messages of this one.
        """
        moment, repeats = to_text(since), []
        for row in self.same_people(where, values, list(others)):
            number, state = row["broadcast_id"], RowState(row["state"])
            if row["sent_key"] != key(row["phone"], row["parameters"]):
                continue
            if state in SENT_STATES and (row["claimed_at"] or "") >= moment:
                repeats.append(SameMessage(row["row"], number, row["claimed_at"]))
            elif state in OPEN_STATES and others[number]:
                repeats.append(SameMessage(row["row"], number))
        return repeats
