"""Journeys in the state file: their steps, and the calls that may be made only once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wacoex_cli.foundation.clock import to_text
from wacoex_cli.onboarding.model import Journey, JourneyKind, Record, Route, StepState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.onboarding.model import StepResult


class Journeys:
    """The tables `journeys`, `journey_steps` and `one_shots` of a state file.

    Methods that change something are called inside a transaction of the state.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def newest(self, channel_id: int, kind: JourneyKind) -> Journey | None:
        """The newest journey of that kind, finished or not."""
        return self.newest_by_channel([channel_id], kind).get(channel_id)

    def newest_by_channel(
        self, channel_ids: Sequence[int], kind: JourneyKind
    ) -> dict[int, Journey]:
        """The newest journey of that kind of each of these channels that has any."""
        rows = self._state.rows(
            "SELECT journey_id, channel_id, kind, via, started_at, finished_at FROM journeys"
            " WHERE channel_id IN (SELECT value FROM json_each(?)) AND kind = ?"
            " ORDER BY journey_id",
            [json.dumps(channel_ids), kind],
        )
        return {
            row["channel_id"]: Journey(**{**row, "kind": kind, "via": Route(row["via"])})
            for row in rows
        }

    def unfinished(self, channel_id: int, kind: JourneyKind) -> Journey | None:
        """The newest journey of that kind, unless it is finished."""
        newest = self.newest(channel_id, kind)
        return newest if newest and newest.finished_at is None else None

    def start(self, channel_id: int, kind: JourneyKind, via: Route, now: datetime) -> Journey:
        """Begin a journey."""
        number = int(self._state.value("SELECT COALESCE(MAX(journey_id), 0) + 1 FROM journeys"))
        journey = Journey(number, channel_id, kind, via, to_text(now))
        self._state.execute(
            "INSERT INTO journeys (journey_id, channel_id, kind, via, started_at)"
            " VALUES (?, ?, ?, ?, ?)",
            [number, channel_id, kind, via, journey.started_at],
        )
        return journey

    def change_route(self, journey: Journey, via: Route) -> Journey:
        """Go on with a journey through another signup."""
        update = "UPDATE journeys SET via = ? WHERE journey_id = ?"
        self._state.execute(update, [via, journey.journey_id])
        return journey._replace(via=via)

    def finish(self, journey_id: int, now: datetime) -> None:
        """End a journey."""
        update = "UPDATE journeys SET finished_at = ? WHERE journey_id = ?"
        self._state.execute(update, [to_text(now), journey_id])

    def record(self, journey_id: int, step: str, result: StepResult, now: datetime) -> None:
        """Keep what a step came to; a later result takes the place of the one before."""
        answer = json.dumps(dict(result.answer), sort_keys=True)
        self._state.execute(
            "INSERT INTO journey_steps (journey_id, step, state, at, said_by, answer)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (journey_id, step) DO UPDATE SET"
            " state = excluded.state, at = excluded.at, said_by = excluded.said_by,"
            " answer = excluded.answer",
            [journey_id, step, result.state, to_text(now), result.said_by, answer],
        )

    def records(self, journey_id: int) -> dict[str, Record]:
        """What is kept of the steps of a journey, by step."""
        return self.records_of([journey_id])[journey_id]

    def records_of(self, journey_ids: Sequence[int]) -> dict[int, dict[str, Record]]:
        """The same for each of these journeys."""
        found: dict[int, dict[str, Record]] = {journey_id: {} for journey_id in journey_ids}
        for row in self._state.rows(
            "SELECT journey_id, step, state, at, said_by, answer FROM journey_steps"
            " WHERE journey_id IN (SELECT value FROM json_each(?))",
            [json.dumps(journey_ids)],
        ):
            steps = found[row.pop("journey_id")]
            steps[row["step"]] = Record(
                **{**row, "state": StepState(row["state"]), "answer": json.loads(row["answer"])}
            )
        return found

    def claim_call(self, journey_id: int, action: str, now: datetime) -> bool:
        """Claim a call that may be made only once in a journey; False when it is claimed."""
        insert = (
            "INSERT INTO one_shots (journey_id, action, claimed_at) VALUES (?, ?, ?)"
            " ON CONFLICT (journey_id, action) DO NOTHING"
        )
        return self._state.execute(insert, [journey_id, action, to_text(now)]) == 1

    def give_back(self, journey_id: int, action: str) -> None:
        """Take back a claim whose request provably never left."""
        delete = "DELETE FROM one_shots WHERE journey_id = ? AND action = ?"
        self._state.execute(delete, [journey_id, action])

    def answer_call(
        self, journey_id: int, action: str, answer: Mapping[str, object], now: datetime
    ) -> None:
        """Keep the answer to such a call, and claim it if it is not."""
        at = to_text(now)
        self._state.execute(
            "INSERT INTO one_shots (journey_id, action, claimed_at, answered_at, answer)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (journey_id, action) DO UPDATE SET"
            " answered_at = excluded.answered_at, answer = excluded.answer",
            [journey_id, action, at, at, json.dumps(dict(answer), sort_keys=True)],
        )

    def has_calls(self, journey_id: int) -> bool:
        """Whether a call that may be made only once was claimed in a journey."""
        count = "SELECT COUNT(*) FROM one_shots WHERE journey_id = ?"
        return int(self._state.value(count, [journey_id])) > 0

    def call(self, journey_id: int, action: str) -> Row | None:
        """Such a call: claimed_at, answered_at, answer (JSON text); None when never claimed."""
        return self._state.row(
            "SELECT claimed_at, answered_at, answer FROM one_shots"
            " WHERE journey_id = ? AND action = ?",
            [journey_id, action],
        )
