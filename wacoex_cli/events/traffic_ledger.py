"""Who wrote when, counted over the log. Reads only; the sender's number stays inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.events.model import Kind
from wacoex_cli.foundation.clock import to_text

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_VALUES_AT_ONCE = 900
_DAYS = (
    "SELECT phone_number_id, phone, respondio_channel_id, SUBSTR(at, 1, 10) AS day,"
    " COUNT(*) AS messages, MAX(at) AS newest_at FROM events WHERE kind = ? AND at >= ?{more}"
    " GROUP BY phone_number_id, phone, respondio_channel_id, SUBSTR(at, 1, 10)"
)
_INBOUND = """ AND data LIKE '%"direction":"in"%'"""


@dataclass(frozen=True, slots=True)
class Day:
    """What came for one number on one day (`2026-11-07`, UTC): how much, and the newest."""

    addresses: frozenset[str]
    day: str
    messages: int
    newest_at: str


def echo_days(state: State, since: datetime) -> list[Day]:
    """The days with echoes, by number."""
    return _days(state, Kind.ECHO, since, "")


def inbound_days(state: State, since: datetime) -> list[Day]:
    """The days with messages of contacts, by number."""
    return _days(state, Kind.MESSAGE, since, _INBOUND)


def first_seen(state: State, contacts: Collection[str]) -> dict[str, str]:
    """When each of these contacts was first written to or wrote, as far as the log goes."""
    kinds = [Kind.ECHO, Kind.MESSAGE, Kind.UNSUPPORTED]
    found: dict[str, str] = {}
    for part in _parts(contacts):
        rows = state.rows(
            f"SELECT contact, MIN(at) AS first_at FROM events WHERE kind IN ({_marks(kinds)})"
            f" AND contact IN ({_marks(part)}) GROUP BY contact",
            [*kinds, *part],
        )
        found.update({row["contact"]: row["first_at"] for row in rows})
    return found


def delivered_after_all(state: State, message_ids: Collection[str], since: datetime) -> set[str]:
    """Those of these messages that also came in as ordinary ones."""
    found: set[str] = set()
    for part in _parts(message_ids):
        rows = state.rows(
            "SELECT DISTINCT message_id FROM events WHERE kind = ? AND at >= ?"
            f" AND message_id IN ({_marks(part)})",
            [Kind.MESSAGE, to_text(since), *part],
        )
        found.update(row["message_id"] for row in rows)
    return found


def _days(state: State, kind: Kind, since: datetime, more: str) -> list[Day]:
    rows = state.rows(_DAYS.format(more=more), [kind, to_text(since)])
    found = [Day(_addresses(row), row["day"], row["messages"], row["newest_at"]) for row in rows]
    return sorted(found, key=lambda one: one.newest_at)


def _addresses(row: Row) -> frozenset[str]:
    names = ("phone_number_id", "phone", "respondio_channel_id")
    return frozenset(f"{name}:{row[name]}" for name in names if row[name] is not None)


def _parts(values: Collection[str]) -> Iterator[list[str]]:
    wanted = sorted(values)
    for start in range(0, len(wanted), _VALUES_AT_ONCE):
        yield wanted[start : start + _VALUES_AT_ONCE]


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
