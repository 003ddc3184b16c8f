"""One holder per purpose; within a boot the kernel says who is alive, across boots only silence."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wacoex_cli.errors import StateError, TemporaryError
from wacoex_cli.foundation import locks

PURPOSE = "broadcast 7"
HOLDER = """
import sys, time
from pathlib import Path
from wacoex_cli.foundation.locks import Presence
presence = Presence(Path(sys.argv[1]))
presence.note("attempt-1")
print(presence.holder, flush=True)
time.sleep(60)
"""


def acquire(state, presence, clock):
    with state.transaction():
        return locks.acquire(state, PURPOSE, presence, clock)


@pytest.fixture
def two(state):
    first, second = locks.Presence(state.path), locks.Presence(state.path)
    yield first, second
    first.leave()
    second.leave()


def test_a_second_holder_is_refused_with_the_process_of_the_first(state, clock, two):
    acquire(state, two[0], clock)

    with pytest.raises(TemporaryError, match=r"broadcast 7 is held by process \d+ on ") as refused:
        acquire(state, two[1], clock)
    assert refused.value.code == "locked"


def test_the_holder_may_take_the_lock_again(state, clock, two):
    acquire(state, two[0], clock)

    assert acquire(state, two[0], clock)["holder"] == two[0].holder


def test_a_released_lock_is_free(state, clock, two):
    acquire(state, two[0], clock)
    with state.transaction():
        locks.release(state, PURPOSE, two[0])

    assert acquire(state, two[1], clock) is None


def test_a_killed_process_is_known_to_be_dead_at_once_and_its_notes_remain(state):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    with child.stdout as out:
        holder = out.readline().strip()
        assert locks.is_alive(state.path, holder)
        child.kill()
        child.wait()

    assert not locks.is_alive(state.path, holder)
    remains = locks.remains_of(state.path, holder, same_boot=True)
    assert remains.notes == {"attempt-1"}
    assert remains.is_complete


def test_a_process_that_leaves_while_somebody_looks_left_nothing(state, monkeypatch):
    leaving = locks.Presence(state.path)
    leaving.note("attempt-1")
    lock = fcntl.flock

    def leave_first(descriptor: int, how: int) -> None:
        leaving.leave()
        lock(descriptor, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", leave_first)
        assert locks.all_remains(state.path) == []


def test_the_notes_of_another_boot_are_not_complete(state, two):
    two[0].note("attempt-1")

    assert not locks.remains_of(state.path, two[0].holder, same_boot=False).is_complete


def test_a_holder_of_another_boot_is_dead_after_thirty_seconds_of_silence(state, clock, two):
    acquire(state, two[0], clock)
    clock.boot = "boot-2"
    clock.advance(29)
    with pytest.raises(TemporaryError):
        acquire(state, two[1], clock)

    clock.advance(2)
    assert acquire(state, two[1], clock)["holder"] == two[0].holder


def test_a_heartbeat_keeps_a_lock_across_boots(state, clock, two):
    acquire(state, two[0], clock)
    clock.advance(29)
    with state.transaction():
        assert locks.beat(state, PURPOSE, two[0], clock)
    clock.boot = "boot-2"
    clock.advance(29)

    with pytest.raises(TemporaryError):
        acquire(state, two[1], clock)


def test_a_stopped_process_of_this_boot_is_not_dead_however_silent(state, clock, two):
    acquire(state, two[0], clock)
    clock.advance(3600)

    with pytest.raises(TemporaryError):
        acquire(state, two[1], clock)


def test_presence_files_are_private_and_go_when_their_owner_leaves(state):
    presence = locks.Presence(state.path)
    assert presence.path.stat().st_mode & 0o777 == 0o600

    presence.leave()
    assert not presence.path.exists()


def test_going_away_twice_closes_no_file_of_somebody_else(state):
    presence = locks.Presence(state.path)
    presence.abandon()
    with Path(os.devnull).open("rb") as other:
        presence.abandon()
        assert os.fstat(other.fileno())
    with pytest.raises(StateError):
        presence.note("what left after that")
