"""Notes of dead senders against a ledger that may have gone back; and adopting a file."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import sqlite3
from contextlib import closing

import pytest

from wacoex_cli.broadcast.send import pause
from wacoex_cli.errors import RefusedError, StateError, TemporaryError
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import (
    Attempt,
    RowState,
    Status,
    attempt_id,
    attempt_in,
    lock_purpose,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending import takeover


def dead(state, *attempts, state_id=None):
    """What a dead process left: the ids of these tries (broadcast, row, attempt)."""
    presence = locks.Presence(state.path)
    for attempt in attempts:
        presence.note(attempt_id(state_id or Broadcasts(state).state_id, *attempt))
    presence.abandon()
    return presence


def row(state, number, broadcast_id=1):
    [found] = state.rows(
        "SELECT * FROM recipients WHERE broadcast_id = ? AND row = ?", [broadcast_id, number]
    )
    return found


def change(state, sql, *values):
    with state.transaction():
        state.execute(sql, values)


def test_an_attempt_id_can_be_read_back():
    assert attempt_in(attempt_id("abc0", 7, 12, 3)) == Attempt("abc0", 7, 12, 3)
    assert attempt_in("wacoex-abc0-7-12") is None
    assert attempt_in("something else") is None


@pytest.mark.parametrize("reached", ["pending", "retry", "sending"])
def test_a_noted_try_that_the_ledger_does_not_know_is_ambiguous(state, clock, plan_rows, reached):
    number = plan_rows(3)
    change(state, "UPDATE recipients SET state = ?, code = 130429, reason = 'x'", reached)
    dead(state, (number, 2, 1))
    assert takeover.settle_lost_track(state, clock) == 1

    found = row(state, 2)
    assert (found["state"], found["attempts"]) == ("ambiguous", 1)
    assert (found["code"], found["reason"]) == (None, "lost_record")
    assert "went back in time" in found["detail"]
    assert (row(state, 1)["state"], row(state, 3)["state"]) == (reached, reached)
    [doubt] = Rows(state, number).doubts([2])
    assert doubt.since <= doubt.claimed_at


def test_a_try_that_the_ledger_knows_changes_nothing(state, clock, plan_rows):
    number = plan_rows(2)
    change(state, "UPDATE recipients SET attempts = 2, state = 'retry' WHERE row = 1")
    change(state, "UPDATE recipients SET attempts = 1, state = 'accepted' WHERE row = 2")
    dead(state, (number, 1, 2), (number, 1, 1), (number, 2, 1))

    assert takeover.settle_lost_track(state, clock) == 0
    assert row(state, 1)["state"] == "retry"


def test_every_broadcast_is_compared_before_one_is_sent(state, clock, plan_rows):
    first, second = plan_rows(2), plan_rows(2)
    dead(state, (first, 1, 1))
    presence = locks.Presence(state.path)
    with state.transaction():
        takeover.take_lock(state, second, presence, clock)
    presence.leave()

    assert row(state, 1, first)["state"] == "ambiguous"


@pytest.mark.parametrize(
    ("attempt", "state_id"),
    [((99, 1, 1), None), ((1, 99, 1), None), ((1, 1, 1), "0123456789ab")],
    ids=["no such broadcast", "no such row", "of another state file"],
)
def test_a_noted_try_of_an_unknown_row_is_refused(state, plan_rows, attempt, state_id):
    plan_rows(2)
    dead(state, attempt, state_id=state_id)

    with pytest.raises(RefusedError, match="does not know") as refused:
        takeover.demand_own_file(state)
    assert (refused.value.code, refused.value.exit_status) == ("state_went_back", 5)


def test_torn_lines_and_other_files_are_not_read_as_notes(state, plan_rows):
    plan_rows(1)
    presence = dead(state)
    presence.path.write_bytes(b"wacoex-\xff\x00\nwacoex-ab-1-1\n\n")
    (presence.path.parent / "README").write_text("wacoex-ab-9-9-9\n")

    takeover.demand_own_file(state)


def test_notes_go_when_the_file_itself_knows_them(state, clock, plan_rows):
    number = plan_rows(2)
    settled, open_try = dead(state, (number, 1, 1)), dead(state, (number, 2, 1))
    change(state, "UPDATE recipients SET state = 'accepted', attempts = 1 WHERE row = 1")

    assert takeover.forget_settled(state)
    assert not settled.path.exists()
    assert open_try.path.exists()


def test_notes_stay_while_somebody_reads_the_log(state, plan_rows):
    number = plan_rows(1)
    left = dead(state, (number, 1, 1))
    with closing(sqlite3.connect(state.path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT row FROM recipients").fetchall()
        change(state, "UPDATE recipients SET state = 'accepted', attempts = 1")
        assert not takeover.forget_settled(state)
        assert left.path.exists()
    assert takeover.forget_settled(state)


def test_a_living_process_keeps_its_file(state):
    living = locks.Presence(state.path)
    takeover.forget_settled(state)

    assert living.is_seen()
    living.leave()


def test_notes_of_a_sender_that_can_be_taken_over_stay(state, clock, plan_rows):
    number = plan_rows(2)
    presence = locks.Presence(state.path)
    with state.transaction():
        takeover.take_lock(state, number, presence, clock)
        Rows(state, number).claim(presence.holder, 1, clock.now(), clock.now())
    presence.abandon()
    takeover.forget_settled(state)
    assert presence.path.exists()

    takeover.settle_dead(state, number, clock)
    assert row(state, 1)["state"] == "pending", "claimed, and provably not left"
    assert not presence.path.exists()


def test_a_lost_row_of_the_lock_admits_no_other_sender(state, clock, plan_rows):
    number = plan_rows(1)
    first, second = locks.Presence(state.path), locks.Presence(state.path)
    with state.transaction():
        takeover.take_lock(state, number, first, clock)
    change(state, "DELETE FROM locks")

    with pytest.raises(TemporaryError, match="held by another process"), state.transaction():
        takeover.take_lock(state, number, second, clock)
    first.abandon()
    with state.transaction():
        takeover.take_lock(state, number, second, clock)
    second.leave()


def test_a_removed_directory_admits_no_sender_for_thirty_seconds(state, clock, plan_rows):
    number = plan_rows(1)
    first = locks.Presence(state.path)
    with state.transaction():
        takeover.take_lock(state, number, first, clock)
    shutil.rmtree(locks.presence_directory(state.path))
    second = locks.Presence(state.path)
    with pytest.raises(TemporaryError), state.transaction():
        takeover.take_lock(state, number, second, clock)

    with state.transaction():
        purpose = f"broadcast {number}"
        assert not locks.beat(state, purpose, first, clock), "the first one ends at its next beat"
    clock.advance(31)
    with state.transaction():
        takeover.take_lock(state, number, second, clock)
    second.leave()


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(state, monkeypatch):
    made: list[int] = []

    def unlinked_once(descriptor, operation):
        if not made:
            for path in locks.presence_directory(state.path).iterdir():
                path.unlink()
        made.append(descriptor)

    monkeypatch.setattr(fcntl, "flock", unlinked_once)
    presence = locks.Presence(state.path)

    assert len(made) == 2
    assert presence.is_seen()
    presence.leave()


def test_a_table_that_contradicts_its_index_is_refused_after_a_death(state, plan_rows):
    number = plan_rows(3)
    dead(state, (number, 1, 1))
    page = state.value("SELECT rootpage FROM sqlite_master WHERE name = 'recipients_by_state'")
    state.checkpoint()
    state.close()
    with state.path.open("r+b") as file:
        # An index that knows no row, as an older page of it would.
        file.seek((page - 1) * 4096)
        file.write(b"\x0a" + bytes(4) + b"\x10\x00" + bytes(4089))

    with closing(open_state(state.path)) as again, pytest.raises(StateError, match="damaged"):
        takeover.demand_own_file(again)


class TestAdopting:
    @pytest.fixture
    def copy(self, state, plan_rows):
        """A copy of a file with a planned, a paused and a completed broadcast."""
        for _ in range(3):
            plan_rows(2)
        change(state, "UPDATE recipients SET state = 'accepted', attempts = 1 WHERE row = 1")
        change(state, "UPDATE recipients SET state = 'accepted' WHERE broadcast_id = 3")
        for number, status in ((1, "planned"), (2, "paused"), (3, "completed")):
            sql = "UPDATE broadcasts SET status = ? WHERE broadcast_id = ?"
            change(state, sql, status, number)
        with state.transaction():
            generation.raise_counter(state)
        generation.seal(state)
        path = state.path.parent / "elsewhere" / "wacoex.db"
        path.parent.mkdir()
        shutil.copy(state.path, path)
        with closing(open_state(path)) as copy:
            yield copy

    def test_rows_that_another_copy_may_have_sent_are_ambiguous(self, copy, clock):
        why = generation.suspicion(copy)
        adopted = takeover.adopt(copy, str(why), "ana", clock)

        assert dict(adopted.rows) == {1: 1, 2: 1}
        for number in (1, 2):
            assert Broadcasts(copy).get(number).status is Status.PAUSED
            assert "adopted" in str(Broadcasts(copy).get(number).reason)
            counts = Rows(copy, number).counts()
            assert counts.of(RowState.AMBIGUOUS) == 1
            [decision] = Rows(copy, number).decisions()
            assert (decision["decided_by"], decision["row"]) == ("ana", None)
        assert Broadcasts(copy).get(3).status is Status.COMPLETED
        [record] = copy.rows("SELECT * FROM adoptions")
        assert (record["adopted_by"], record["reason"], record["ambiguous"]) == ("ana", why, 2)

    def test_an_adopted_file_counts_as_the_file_used_last(self, copy, clock):
        takeover.adopt(copy, "a copy", "ana", clock)

        takeover.demand_own_file(copy)
        assert takeover.check_state_file(copy, clock.now()) == []

    def test_a_status_of_the_other_copys_try_settles_the_row(self, copy, clock):
        takeover.adopt(copy, "a copy", "ana", clock)
        with copy.transaction():
            Rows(copy, 1).move_on(2, 1, RowState.DELIVERED, code=None, message_id="wamid.1")

        assert row(copy, 2)["state"] == "delivered"

    def test_numbers_that_another_copy_may_have_given_out_are_passed_over(self, copy, clock):
        dead(copy, (250, 1, 1))
        takeover.adopt(copy, "a copy", "ana", clock)

        with copy.transaction():
            number = Broadcasts(copy).start_like(Broadcasts(copy).get(1), now=clock.now(), rate=1.0)
        assert number > 250
        assert [*locks.presence_directory(copy.path).iterdir()] == []


def test_adoption_is_refused_while_a_process_uses_the_file(run, state):
    living = locks.Presence(state.path)
    refused = run("state", "adopt", "--yes", "--json", env={"WACOEX_STATE": str(state.path)})
    living.leave()

    assert (refused.code, refused.envelope["errors"][0]["code"]) == (6, "locked")


def test_the_file_used_last_needs_no_adoption(run, state):
    outcome = run("state", "adopt", "--json", env={"WACOEX_STATE": str(state.path)})

    assert (outcome.code, outcome.data["adopted"]) == (0, False)


def test_adopting_asks_and_a_no_changes_nothing(run, state, plan_rows):
    plan_rows(2)
    change(state, "UPDATE broadcasts SET status = 'planned'")
    with state.transaction():
        generation.raise_counter(state)
    env = {"WACOEX_STATE": str(state.path)}

    requests = run("state", "adopt", env=env, tty=True, stdin="n\n")
    assert requests.code == 1
    assert "mark 2 waiting people of 1 broadcast as ambiguous" in requests.err
    assert run("state", "adopt", env=env).code == 2, "without a terminal it needs --yes"
    assert run("state", "adopt", "--yes", env=env).code == 0
    assert row(state, 1)["state"] == "ambiguous"
    assert generation.sidecar_path(state.path).exists()


def test_a_row_in_doubt_shows_its_own_reason_and_no_older_code(state, clock, plan_rows):
    number = plan_rows(1)
    first = locks.Presence(state.path)
    with state.transaction():
        takeover.take_lock(state, number, first, clock)
        Rows(state, number).claim(first.holder, 1, clock.now(), clock.now())
    change(state, "UPDATE recipients SET code = 130429, reason = 'throttled', detail = 'slow down'")
    first.note(attempt_id(Broadcasts(state).state_id, number, 1, 1))
    first.abandon()
    takeover.settle_dead(state, number, clock)

    found = row(state, 1)
    assert (found["state"], found["code"], found["reason"]) == ("ambiguous", None, None)
    assert "the sender died" in found["detail"]
    Rows(state, number).settle([1], RowState.REJECTED, "not-sent", "ana", clock.now())
    assert (row(state, 1)["detail"], row(state, 1)["reason"]) == (None, "not-sent (says ana)")


def test_a_value_that_is_too_big_is_reported_as_such(state):
    too_big = pytest.raises(StateError, match="too big")
    with too_big as refused, state.transaction():
        state.execute("INSERT INTO about VALUES ('x', zeroblob(2000000000))")

    assert refused.value.code == "state_refused"
    assert "damage" not in refused.value.message
    assert "restore" not in str(refused.value.hint)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("UPDATE recipients SET state = 'banana'", "an unknown state"),
        ("UPDATE recipients SET state = 'sending'", "waiting for a sender that is gone"),
        ("UPDATE recipients SET state = 'ambiguous'", "ambiguous, but never tried"),
    ],
)
def test_check_knows_impossible_states_of_rows(run, state, plan_rows, harm, words):
    plan_rows(1)
    change(state, harm)
    env = {"WACOEX_STATE": str(state.path)}

    checked = run("state", "check", "--json", env=env)
    assert checked.code == 8
    said = f"impossible state: {words}"
    assert [said in problem["problem"] for problem in checked.data["problems"]].count(True) == 1
    assert "restore" not in checked.out


def test_an_unknown_state_of_a_row_is_an_error_of_the_file(state, plan_rows):
    rows = Rows(state, plan_rows(1))
    change(state, "UPDATE recipients SET state = 'banana'")

    with pytest.raises(StateError, match="banana") as refused:
        rows.counts()
    assert refused.value.code == "impossible_row"


def test_a_pause_waits_for_a_sender_that_still_keeps_the_file_of_its_lock(state, plan_rows):
    number = plan_rows(1)
    with state.transaction():
        Broadcasts(state).set_status(number, Status.SENDING)
    leaving = locks.Presence(state.path)
    leaving.lock(lock_purpose(number))

    async def pause_meanwhile():
        asyncio.get_running_loop().call_later(0.3, leaving.leave)
        return await pause(state, Broadcasts(state).get(number), "ana", SystemClock())

    paused = asyncio.run(pause_meanwhile())

    assert (paused.status, paused.reason) == (Status.PAUSED, "paused by ana")
