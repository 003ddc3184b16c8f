"""People of an earlier broadcast by what happened to their messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wacoex_cli.audience.model import SourceRow
from wacoex_cli.audience.sources import PeopleSet
from wacoex_cli.contacts.persons import USER_ID_PREFIX, Persons, identity_of
from wacoex_cli.foundation.phone_numbers import one_spelling
from wacoex_cli.ledger.model import TAKEN_STATES, RowState
from wacoex_cli.platforms.events import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wacoex_cli.audience.sources import BroadcastSource
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.ledger.model import Broadcast

_BATCH = 5_000
_REACHED = (RowState.DELIVERED, RowState.READ)
_STATES: Mapping[str, tuple[RowState, ...]] = {
    "all": tuple(state for state in RowState if state is not RowState.SKIPPED),
    "sent": TAKEN_STATES,
    "delivered": _REACHED,
    "read": (RowState.READ,),
    "failed": (RowState.FAILED,),
    "rejected": (RowState.REJECTED,),
    "ambiguous": (RowState.AMBIGUOUS,),
}
_REPLIED = "replied"


def people_of_broadcast(
    state: State, broadcast: Broadcast, channel: Channel, account: str, source: BroadcastSource
) -> PeopleSet:
    """The people of a broadcast that a source chooses, with the columns it was filled from.

    Somebody replied who wrote to the number after the message left, by whichever of their numbers
    and ids of the business `account`; events that are no longer stored say nothing. `sent` is what
    was once accepted, `delivered` holds `read` too.
    """
    columns = [
        (place, str(each["column"]))
        for place, each in enumerate(json.loads(broadcast.parameter_sources))
        if each.get("column")
    ]
    names = tuple(dict.fromkeys(("phone", "user_id", *(name for _, name in columns))))
    uses_replies = _REPLIED in (*source.wanted, *source.unwanted)
    replies = _replies(state, broadcast, channel, account) if uses_replies else {}

    def rows() -> Iterator[SourceRow]:
        line = 0
        for row in _rows(state, broadcast.broadcast_id):
            if _is(row, source.wanted, replies) and not _is(row, source.unwanted, replies):
                line += 1
                yield _source_row(line, row, columns)

    return PeopleSet(f"broadcast {broadcast.broadcast_id}", names, rows())


def _rows(state: State, broadcast_id: int) -> Iterator[Row]:
    last = -1
    while page := state.rows(
        "SELECT row, phone, user_id, parameters, state, claimed_at FROM recipients"
        " WHERE broadcast_id = ? AND row > ? AND state <> 'skipped' ORDER BY row LIMIT ?",
        [broadcast_id, last, _BATCH],
    ):
        yield from page
        last = page[-1]["row"]


def _source_row(line: int, row: Row, columns: list[tuple[int, str]]) -> SourceRow:
    values = json.loads(row["parameters"])
    phone = "" if row["phone"].startswith(USER_ID_PREFIX) else row["phone"]
    user_id = row["user_id"] or row["phone"].removeprefix(USER_ID_PREFIX) * (not phone)
    cells = {"phone": phone, "user_id": user_id or ""}
    for place, name in columns:
        if place < len(values):
            cells.setdefault(name, values[place])
    return SourceRow(line, phone, cells, None, user_id or "")


def _is(row: Row, words: tuple[str, ...], replies: Mapping[str, str]) -> bool:
    for word in words:
        if word == _REPLIED:
            if _has_replied(row, replies):
                return True
        elif row["state"] in _STATES[word]:
            return True
    return False


def _has_replied(row: Row, replies: Mapping[str, str]) -> bool:
    names = [one_spelling(row["phone"]) if row["phone"].startswith("+") else row["phone"]]
    if row["user_id"]:
        names.append(f"{USER_ID_PREFIX}{row['user_id']}")
    since = row["claimed_at"]
    return since is not None and any(replies.get(name, "") > since for name in names)


def _replies(state: State, broadcast: Broadcast, channel: Channel, account: str) -> dict[str, str]:
    """When each person last wrote to the number since the broadcast began, by all their names."""
    found = state.rows(
        "SELECT contact, MAX(at) AS at FROM events WHERE kind IN (?, ?) AND at >= ?"
        " AND contact IS NOT NULL AND (phone = ? OR phone_number_id = ?"
        " OR respondio_channel_id = ?) GROUP BY contact",
        [
            Kind.MESSAGE,
            Kind.UNSUPPORTED,
            broadcast.started_at or broadcast.planned_at,
            channel.phone,
            channel.phone_number_id,
            channel.respondio_channel_id,
        ],
    )
    persons, replies = Persons(state), dict[str, str]()
    for row in found:
        identity = identity_of(row["contact"])
        for name in persons.of(identity, account) if identity else ():
            replies[name] = max(replies.get(name, ""), row["at"])
    return replies
