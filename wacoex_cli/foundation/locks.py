"""One holder per purpose, kept in the state file, with the kernel's word for who is alive.

Each process that holds locks has a presence: a small file beside the state file, locked with
flock for as long as the process lives. The kernel frees that lock when the process dies, however
it dies, so within one boot nobody has to wait to know. Across boots and hosts only silence tells:
a holder whose heartbeat is older than 30 seconds is dead.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import TemporaryError
from wacoex_cli.foundation.clock import Clock, from_text, to_text
from wacoex_cli.foundation.state import explained

if TYPE_CHECKING:
    from wacoex_cli.foundation.state import Row, State

SILENCE_SECONDS = 30.0


class Presence:
    """This process, for others to see. Its file may carry notes that survive a kill.

    Raises StateError when there cannot be such a file.
    """

    def __init__(self, state_path: Path) -> None:
        directory = presence_directory(state_path)
        self.holder = uuid.uuid4().hex
        self.path = directory / self.holder
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        with explained(directory):
            directory.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(self.path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def note(self, line: str) -> None:
        """Append a line that outlives this process within one boot. Raises StateError."""
        data = f"{line}\n".encode()
        with explained(self.path):
            if os.write(self._descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "no room for the whole line")

    def leave(self) -> None:
        """Go away for good: the file is removed, every note in it is void."""
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Go away but keep the notes for whoever takes over."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)


@dataclass(frozen=True)
class Remains:
    """What a dead holder left: its notes, and whether they can be trusted to be complete."""

    holder: str
    notes: frozenset[str]
    is_complete: bool


def presence_directory(state_path: Path) -> Path:
    """Where the presence files of a state file lie."""
    return Path(f"{state_path}.presence")


def is_alive(state_path: Path, holder: str) -> bool:
    """Whether the process behind a holder of this boot still runs, by the kernel's word."""
    try:
        descriptor = os.open(presence_directory(state_path) / holder, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def remains_of(state_path: Path, holder: str, *, same_boot: bool) -> Remains:
    """The notes of a dead holder. They are complete only within the boot they were written in."""
    path = presence_directory(state_path) / holder
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return Remains(holder, frozenset(), is_complete=False)
    return Remains(holder, frozenset(lines), is_complete=same_boot)


def forget(state_path: Path, holder: str) -> None:
    """Remove what a dead holder left, once everything in it has been acted upon."""
    (presence_directory(state_path) / holder).unlink(missing_ok=True)


def acquire(state: State, purpose: str, presence: Presence, clock: Clock) -> Row | None:
    """Take a lock inside a transaction; returns the row of the dead holder it was taken from.

    Raises:
        TemporaryError: somebody who may be alive holds it.
    """
    held = state.row("SELECT * FROM locks WHERE purpose = ?", [purpose])
    if held and held["holder"] != presence.holder and not _is_dead(state, held, clock):
        raise TemporaryError(
            f"{purpose} is held by process {held['pid']} on {held['host']}",
            hint="wait for it to end, or stop it first",
            code="locked",
        )
    now = to_text(clock.now())
    state.execute(
        "INSERT INTO locks (purpose, holder, host, pid, boot_id, acquired_at, heartbeat_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (purpose) DO UPDATE SET holder = excluded.holder, host = excluded.host,"
        " pid = excluded.pid, boot_id = excluded.boot_id, acquired_at = excluded.acquired_at,"
        " heartbeat_at = excluded.heartbeat_at",
        [purpose, presence.holder, socket.gethostname(), os.getpid(), clock.boot_id(), now, now],
    )
    return held


def beat(state: State, purpose: str, presence: Presence, clock: Clock) -> bool:
    """Say "still here" inside a transaction; False when the lock is no longer ours."""
    changed = state.execute(
        "UPDATE locks SET heartbeat_at = ? WHERE purpose = ? AND holder = ?",
        [to_text(clock.now()), purpose, presence.holder],
    )
    return changed == 1


def is_held_by(state: State, purpose: str, presence: Presence) -> bool:
    """Whether the lock is still this process's."""
    holder = state.value("SELECT holder FROM locks WHERE purpose = ?", [purpose])
    return bool(holder == presence.holder)


def release(state: State, purpose: str, presence: Presence) -> None:
    """Give a lock back inside a transaction."""
    state.execute("DELETE FROM locks WHERE purpose = ? AND holder = ?", [purpose, presence.holder])


def release_all(state: State, presence: Presence) -> None:
    """Give every lock of this process back inside a transaction."""
    state.execute("DELETE FROM locks WHERE holder = ?", [presence.holder])


def living_holder(state: State, purpose: str, clock: Clock) -> Row | None:
    """The lock's row when somebody who may be alive holds it, else None."""
    held = state.row("SELECT * FROM locks WHERE purpose = ?", [purpose])
    return held if held and not _is_dead(state, held, clock) else None


def held(state: State, clock: Clock) -> list[tuple[Row, bool]]:
    """Every lock, and whether its holder may be alive."""
    found = state.rows("SELECT * FROM locks ORDER BY purpose")
    return [(row, not _is_dead(state, row, clock)) for row in found]


def living_presences(state_path: Path) -> list[str]:
    """The holders of this machine that are alive, known without reading the state file."""
    directory = presence_directory(state_path)
    names = [file.name for file in directory.iterdir()] if directory.is_dir() else []
    return sorted(name for name in names if is_alive(state_path, name))


def _is_dead(state: State, held: Row, clock: Clock) -> bool:
    if held["boot_id"] == clock.boot_id():
        return not is_alive(state.path, held["holder"])
    silence = clock.now() - from_text(held["heartbeat_at"])
    return abs(silence) > timedelta(seconds=SILENCE_SECONDS)
