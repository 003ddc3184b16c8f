"""Which people of a broadcast have its message from another one, or will get it there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Facts
from wacoex_cli.ledger.figures import active_since
from wacoex_cli.ledger.message_key import message_key
from wacoex_cli.ledger.model import Broadcast, Claim, Overlap, SameMessage
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_PAGE_ROWS = 5_000


class MessageComparison:
    """The open rows of one broadcast beside those of all others of the same business.

    People who got the same message from another one in the last `hours` are repeats, and so are
    those who will: another one that is sending or paused has their rows still open, and its turn
    comes first. Reads only, but for rows of before that have no keys yet.
    """

    def __init__(self, state: State, broadcast_id: int, hours: float, clock: Clock) -> None:
        self._state = state
        self._number = broadcast_id
        self._window = timedelta(hours=hours)
        self._clock = clock
        self._rows = Rows(state, broadcast_id)
        self._broadcasts = Broadcasts(state)

    def look(self) -> Overlap:
        """How many people it is."""
        overlap = Overlap(self._rows.count_open())
        for page in self.pages():
            overlap.count(page, self._sending(page))
        return overlap

    def pages(self) -> Iterator[list[SameMessage]]:
        """Every repeat, some thousand rows at a time; no lock is held in between."""
        mine = self._broadcasts.get(self._number)
        since = self._clock.now() - self._window
        others = self._others(mine, since)
        if not others:
            return
        for each in (mine, *others):
            if not each.has_keys:
                key = message_key(each.template, each.parameter_sources)
                Rows(self._state, each.broadcast_id).give_keys(key)
        turns = {other.broadcast_id: other.comes_before(mine) for other in others}
        ahead = [number for number, is_first in turns.items() if is_first]
        key, where = message_key(mine.template, mine.parameter_sources), "mine.row BETWEEN ? AND ?"
        after = 0
        while (end := self._rows.page_end(after, _PAGE_ROWS)) is not None:
            ends, after = (after + 1, end), end
            found = self._rows.open_elsewhere(*ends, ahead) if ahead else []
            found += self._rows.sent_elsewhere(where, ends, since)
            found += self._rows.sent_by_id(where, ends, since, turns, key)
            if page := _each_once(found, turns):
                yield page

    def of_claims(self, claims: Sequence[Claim], *, has_ids: bool) -> list[SameMessage]:
        """Which of these rows somebody else has sent to; asked in the transaction of the claim.

        `has_ids` is what `People.has_ids` says there.
        """
        since = self._clock.now() - self._window
        where = f"mine.row IN ({', '.join('?' * len(claims))})"
        rows = [claim.row for claim in claims]
        found = self._rows.sent_elsewhere(where, rows, since)
        if not (found or has_ids):
            return []
        mine = self._broadcasts.get(self._number)
        numbers = dict.fromkeys((other.broadcast_id for other in self._others(mine, since)), False)
        key = message_key(mine.template, mine.parameter_sources)
        found += self._rows.sent_by_id(where, rows, since, numbers, key)
        return _each_once(found, numbers)

    def _others(self, mine: Broadcast, since: datetime) -> list[Broadcast]:
        channels = Facts(self._state).of_one_business(mine.channel_id)
        others = map(self._broadcasts.get, active_since(self._state, channels, since))
        return [other for other in others if mine.may_repeat(other)]

    def _sending(self, repeats: Iterable[SameMessage]) -> set[int]:
        numbers = {repeat.broadcast_id for repeat in repeats}
        return {number for number in numbers if self._broadcasts.sender(number, self._clock)}


def _each_once(repeats: Iterable[SameMessage], others: Collection[int]) -> list[SameMessage]:
    """Of each row the repeat that counts: the last that was sent, else one that is open."""
    found = [repeat for repeat in repeats if repeat.broadcast_id in others]
    found.sort(key=lambda repeat: repeat.claimed_at or "")
    return list({repeat.row: repeat for repeat in found}.values())
