"""Journeys in the state file: their steps, and the calls that may be made only once.

Functions that change something are called inside a transaction of the state."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.model import Journey, JourneyKind, Record, Route, StepState

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.onboarding.model import Outcome

_JOURNEY = "SELECT journey_id, channel_id, kind, via, started_at, finished_at FROM journeys"


def open_journey(state: State, channel_id: int, kind: JourneyKind) -> Journey | None:
    """The journey of that kind that a channel has not finished."""
    row = state.row(
        f"{_JOURNEY} WHERE channel_id = ? AND kind = ? AND finished_at IS NULL"
        " ORDER BY journey_id DESC LIMIT 1",
        [channel_id, kind],
    )
    return _journey(row) if row else None


def newest_journey(state: State, channel_id: int, kind: JourneyKind) -> Journey | None:
    """The newest journey of that kind, finished or not."""
    row = state.row(
        f"{_JOURNEY} WHERE channel_id = ? AND kind = ? ORDER BY journey_id DESC LIMIT 1",
        [channel_id, kind],
    )
    return _journey(row) if row else None


def start(state: State, channel_id: int, kind: JourneyKind, via: Route, now: datetime) -> Journey:
    """Begin a journey."""
    journey_id = int(state.value("SELECT COALESCE(MAX(journey_id), 0) + 1 FROM journeys"))
    journey = Journey(journey_id, channel_id, kind, via, to_text(now))
    state.execute(
        "INSERT INTO journeys (journey_id, channel_id, kind, via, started_at)"
        " VALUES (?, ?, ?, ?, ?)",
        [journey_id, channel_id, kind, via, journey.started_at],
    )
    return journey


def change_route(state: State, journey: Journey, via: Route) -> Journey:
    """Go on with a journey through another signup."""
    state.execute("UPDATE journeys SET via = ? WHERE journey_id = ?", [via, journey.journey_id])
    return dataclasses.replace(journey, via=via)


def finish(state: State, journey_id: int, now: datetime) -> None:
    """End a journey."""
    state.execute(
        "UPDATE journeys SET finished_at = ? WHERE journey_id = ?", [to_text(now), journey_id]
    )


def record(state: State, journey_id: int, step: str, outcome: Outcome, now: datetime) -> None:
    """Keep what a step came to; a later outcome takes the place of the one before."""
    state.execute(
        "INSERT INTO journey_steps (journey_id, step, state, at, said_by, answer)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (journey_id, step) DO UPDATE SET"
        " state = excluded.state, at = excluded.at, said_by = excluded.said_by,"
        " answer = excluded.answer",
        [
            journey_id,
            step,
            outcome.state,
            to_text(now),
            outcome.said_by,
            json.dumps(dict(outcome.answer), sort_keys=True),
        ],
    )


def records(state: State, journey_id: int) -> dict[str, Record]:
    """What is kept of the steps of a journey, by step."""
    rows = state.rows(
        "SELECT step, state, at, said_by, answer FROM journey_steps WHERE journey_id = ?",
        [journey_id],
    )
    return {
        row["step"]: Record(
            row["step"],
            StepState(row["state"]),
            row["at"],
            row["said_by"],
            json.loads(row["answer"]),
        )
        for row in rows
    }


def claim_once(state: State, journey_id: int, action: str, now: datetime) -> bool:
    """Claim a call that may be made only once in a journey; False when it was claimed before."""
    return (
        state.execute(
            "INSERT INTO one_shots (journey_id, action, claimed_at) VALUES (?, ?, ?)"
            " ON CONFLICT (journey_id, action) DO NOTHING",
            [journey_id, action, to_text(now)],
        )
        == 1
    )


def give_back(state: State, journey_id: int, action: str) -> None:
    """Take back a claim whose request provably never left."""
    state.execute("DELETE FROM one_shots WHERE journey_id = ? AND action = ?", [journey_id, action])


def answer_once(
    state: State, journey_id: int, action: str, answer: dict[str, object], now: datetime
) -> None:
    """Keep the answer to such a call."""
    state.execute(
        "UPDATE one_shots SET answered_at = ?, answer = ? WHERE journey_id = ? AND action = ?",
        [to_text(now), json.dumps(answer, sort_keys=True), journey_id, action],
    )


def has_one_shots(state: State, journey_id: int) -> bool:
    """Whether a call that may be made only once was claimed in a journey."""
    found = "SELECT COUNT(*) FROM one_shots WHERE journey_id = ?"
    return int(state.value(found, [journey_id])) > 0


def one_shot(state: State, journey_id: int, action: str) -> Row | None:
    """What is kept of such a call: claimed_at, answered_at, answer (JSON text); None if never."""
    return state.row(
        "SELECT claimed_at, answered_at, answer FROM one_shots WHERE journey_id = ? AND action = ?",
        [journey_id, action],
    )


def _journey(row: Row) -> Journey:
    return Journey(**{**row, "kind": JourneyKind(row["kind"]), "via": Route(row["via"])})
