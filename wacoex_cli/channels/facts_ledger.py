"""Facts in the state file, and how many reads they cost. Writers need a transaction."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wacoex_cli.channels.facts import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State

_HOUR = "%Y-%m-%dT%H"


def facts_by_channel(state: State, names: Sequence[str] = ()) -> dict[int, list[Fact]]:
    """Everything that is stored, or the facts of those names, by channel_id."""
    found: dict[int, list[Fact]] = {}
    among = f" WHERE name IN ({', '.join('?' * len(names))})" if names else ""
    for row in state.rows(
        "SELECT channel_id, name, value, source, observed_at, reason"
        f" FROM facts{among} ORDER BY name",
        names,
    ):
        channel_id = int(row.pop("channel_id"))
        fact = Fact(**{**row, "value": json.loads(row["value"])})
        found.setdefault(channel_id, []).append(fact)
    return found


def store(state: State, channel_id: int, facts: Iterable[Fact]) -> None:
    """Keep what was read; a newer observation takes the place of the one before."""
    state.execute_many(
        "INSERT INTO facts (channel_id, name, value, source, observed_at, reason)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (channel_id, name) DO UPDATE SET"
        " value = excluded.value, source = excluded.source,"
        " observed_at = excluded.observed_at, reason = excluded.reason",
        [
            (channel_id, one.name, json.dumps(one.value), one.source, one.observed_at, one.reason)
            for one in facts
        ],
    )


def calls_in_hour(state: State, now: datetime) -> dict[str, int]:
    """Reads made in the present clock hour, by waba_id."""
    rows = state.rows("SELECT waba_id, calls FROM reads WHERE hour = ?", [now.strftime(_HOUR)])
    return {row["waba_id"]: int(row["calls"]) for row in rows}


def count_calls(state: State, calls: Mapping[str, int], now: datetime) -> None:
    """Add reads to the present clock hour, and forget the hours before."""
    hour = now.strftime(_HOUR)
    state.execute("DELETE FROM reads WHERE hour <> ?", [hour])
    state.execute_many(
        "INSERT INTO reads (waba_id, hour, calls) VALUES (?, ?, ?)"
        " ON CONFLICT (waba_id, hour) DO UPDATE SET calls = reads.calls + excluded.calls",
        [(waba_id, hour, count) for waba_id, count in calls.items()],
    )
