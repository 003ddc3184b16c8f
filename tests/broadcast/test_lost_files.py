"""Random lives of state files: killed, copied, put back, without their logs, and adopted.

What left is counted outside of the files. A message leaves when its note is made; whatever becomes
of the files after that, nobody is sent to twice.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import SettableClock
from tests.support.state_files import DRAFT
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.errors import RefusedError, StateError, WacoexError
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.state import State, open_state
from wacoex_cli.ledger.model import RowState, Settled, Status, attempt_id, lock_purpose
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending import takeover

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PEOPLE = 6
FILES = 3
ENDINGS = ("-wal", "-shm")

places = st.integers(0, FILES - 1)
ACTIONS = st.one_of(
    st.tuples(st.just("plan"), places),
    st.tuples(st.just("send"), places, st.integers(0, 6), st.integers(0, 6), st.booleans()),
    st.tuples(st.just("lose_log"), places, st.floats(0, 1)),
    st.tuples(st.just("copy"), places, places, st.booleans()),
    st.tuples(st.just("keep"), places),
    st.tuples(st.just("put_back"), places, st.booleans()),
    st.tuples(st.just("adopt"), places),
)


class Life:
    """Some state files on one machine, and everybody to whom a message left."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = SettableClock(NOW)
        self.left: Counter[str] = Counter()
        self.people = 0
        self.kept: dict[int, bytes] = {}
        with closing(open_state(self.path(0))) as state:
            registry.add_channel(state, "shop", Details(phone="+6560000001"), NOW)

    def path(self, place: int) -> Path:
        return self.directory / str(place) / "wacoex.db"

    def do(self, name: str, place: int, *how: object) -> None:
        if self.path(place).exists():
            with_file = getattr(self, name)
            try:
                with_file(place, *how)
            except (RefusedError, StateError):
                pass  # refused, or damaged beyond reading: nobody got it
            except WacoexError as error:
                raise AssertionError(error.message) from error

    def plan(self, place: int) -> None:
        with closing(open_state(self.path(place))) as state:
            takeover.demand_own_file(state)
            store = Broadcasts(state)
            with state.transaction():
                number = store.start_draft(
                    **DRAFT,
                    now=NOW,
                )
            first = self.people
            self.people += PEOPLE
            rows = [
                PlannedRow(row, row, f"+6591{first + row:06}", "[]") for row in range(1, PEOPLE + 1)
            ]
            Rows(state, number).add(rows)
            with state.transaction():
                store.set_status(number, Status.PLANNED)
                generation.raise_counter(state)
            generation.seal(state)

    def send(self, place: int, depart: int, settle: int, is_killed: bool) -> None:
        """Take over each waiting broadcast in turn; the last one is killed, or ends well."""
        state = open_state(self.path(place))
        try:
            for number in self._waiting(state):
                self._send(state, number, depart, settle, is_killed)
        finally:
            self._end(state, place, is_killed)

    def _waiting(self, state: State) -> Iterator[int]:
        store = Broadcasts(state)
        for status in (Status.PLANNED, Status.SENDING, Status.PAUSED):
            yield from (each.broadcast_id for each in store.of_channel(None, status))

    def _send(self, state: State, number: int, depart: int, settle: int, is_killed: bool) -> None:
        takeover.demand_own_file(state)
        presence, rows = locks.Presence(state.path), Rows(state, number)
        with state.transaction():
            takeover.take_lock(state, number, presence, self.clock)
            Broadcasts(state).start_run(number, presence.holder, 20.0, NOW)
            generation.raise_counter(state)
        generation.seal(state)
        takeover.forget_settled(state)
        with state.transaction():
            claims = rows.claim(presence.holder, PEOPLE, NOW, NOW)
        state_id = Broadcasts(state).state_id
        for claim in claims[:depart]:
            presence.note(attempt_id(state_id, number, claim.row, claim.attempt))
            self.left[claim.phone] += 1
        answered = claims[: min(depart, settle) if is_killed else depart]
        with state.transaction():
            taken = [
                Settled(
                    claim.row, claim.attempt, RowState.ACCEPTED, message_id=f"wamid.{claim.row}"
                )
                for claim in answered
            ]
            rows.record(presence.holder, taken, NOW)
        if is_killed:
            presence.abandon()
            return
        with state.transaction():
            rows.give_back(presence.holder, claims[depart:])
            Broadcasts(state).finish(number, Status.PAUSED, NOW, None)
            locks.release(state, lock_purpose(number), presence)
        presence.leave() if takeover.forget_settled(state, presence) else presence.abandon()

    def _end(self, state: State, place: int, is_killed: bool) -> None:
        """Close the file; SQLite tidies up when it is closed, but not when it is killed."""
        files = [Path(f"{self.path(place)}{ending}") for ending in ("", "-wal")]
        found = {file: file.read_bytes() for file in files if is_killed and file.exists()}
        state.close()
        for file, content in found.items():
            file.write_bytes(content)

    def lose_log(self, place: int, share: float) -> None:
        log = Path(f"{self.path(place)}-wal")
        if log.exists():
            content = log.read_bytes()
            log.write_bytes(content[: int(len(content) * share)])
        Path(f"{self.path(place)}-shm").unlink(missing_ok=True)

    def copy(self, place: int, other: int, with_all: bool) -> None:
        if self.path(other).parent.exists():
            return
        if with_all:
            shutil.copytree(self.path(place).parent, self.path(other).parent)
        else:
            self.path(other).parent.mkdir()
            shutil.copy(self.path(place), self.path(other))

    def keep(self, place: int) -> None:
        """Keep what the file holds now, as `state backup` does."""
        with closing(open_state(self.path(place))) as state:
            state.checkpoint()
        self.kept[place] = self.path(place).read_bytes()

    def put_back(self, place: int, is_new_file: bool) -> None:
        if place not in self.kept:
            return
        for ending in ENDINGS:
            Path(f"{self.path(place)}{ending}").unlink(missing_ok=True)
        target = self.path(place)
        if is_new_file:
            target = target.with_name("new.db")
        target.write_bytes(self.kept[place])
        target.replace(self.path(place))

    def adopt(self, place: int) -> None:
        with closing(open_state(self.path(place))) as state:
            why = generation.suspicion(state)
            if why is None and takeover.look_for_lost_track(state).missing:
                why = "it does not know what was sent"
            if why is not None:
                takeover.adopt(state, why, "ana", self.clock)


def lives(examples: int):
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(ACTIONS, min_size=3, max_size=25))
    def live(actions) -> None:
        with tempfile.TemporaryDirectory() as name:
            life = Life(Path(name))
            life.do("plan", 0)
            for action in actions:
                life.do(*action)
                life.clock.advance(40)
            for place in range(FILES):
                life.do("adopt", place)
                life.do("send", place, PEOPLE, PEOPLE, False)
            twice = {phone: n for phone, n in life.left.items() if n > 1}
            assert not twice, twice

    return live


def test_nobody_is_sent_to_twice_when_files_are_lost() -> None:
    lives(30)()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_thousand_lives_of_files() -> None:
    lives(1_000)()
