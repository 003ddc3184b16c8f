"""Who of a planned broadcast is a monthly active contact already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wacoex_cli.audience.ledger import other_spelling
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import State

_SENT_TO = (
    "SELECT r.phone FROM broadcasts b JOIN channels c ON c.channel_id = b.channel_id"
    " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
    " WHERE c.phone = ? AND b.started_at IS NOT NULL"
    " AND r.state IN ('accepted', 'sent', 'delivered', 'read') AND r.answered_at >= ?"
)
# Only the numbers of Mexico, Argentina and Brazil have two spellings.
_BOTH_SPELLINGS = (
    "SELECT phone FROM active UNION ALL"
    f" SELECT {other_spelling('phone')} FROM active"
    f" WHERE phone LIKE '+5%' AND {other_spelling('phone')} IS NOT NULL"
)


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
            " AND r.state = 'pending' AND r.new_contact IS NULL"
            f" AND r.phone NOT IN ({_BOTH_SPELLINGS}) ORDER BY r.row LIMIT ?",
            [*self._given, self._broadcast_id, most],
        )
        return [row["phone"] for row in found]
