"""One holder per purpose, kept in the state file, with the kernel's word for who is alive.

Each process that holds locks has a presence: a small file beside the state file, locked with
flock for as long as the process lives. The kernel frees that lock when the process dies, however
it dies, so within one boot nobody has to wait to know. Across boots and hosts, and when somebody
removed that file, only silence shows it: a holder whose heartbeat is older than 30 seconds is dead.
Who sends a broadcast holds a lock file of its purpose as well, so that a row that was lost or is
not seen lets nobody else in.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import HeldElsewhereError
from wacoex_cli.foundation.clock import Clock, from_text, to_text
from wacoex_cli.foundation.state import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.state import Row, State

SILENCE_SECONDS = 30.0
_HOLDER = re.compile("[0-9a-f]{32}")
_CLOSED = -1


class Presence:
    """This process, for others to see. Its file may carry notes that survive a kill.

    Raises StateError when there cannot be such a file.
    """

    def __init__(self, state_path: Path) -> None:
        self._state_path = state_path
        self._locks: list[int] = []
        directory = presence_directory(state_path)
        with explained(directory):
            while True:
                directory.mkdir(mode=0o700, exist_ok=True)
                self.holder = uuid.uuid4().hex
                self.path = directory / self.holder
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
                try:
                    self._descriptor = os.open(self.path, flags, 0o600)
                except FileNotFoundError:
                    continue  # the directory was removed between the two calls
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                if self.is_seen():
                    break
                # Before it was locked somebody took it for a dead process's, and removed it.
                os.close(self._descriptor)

    def is_seen(self) -> bool:
        """Whether the file is still there for others to see."""
        return _is_open_at(self._descriptor, self.path)

    def note(self, line: str) -> None:
        """Append a line that outlives this process within one boot. Raises StateError."""
        data = f"{line}\n".encode()
        with explained(self.path):
            if os.write(self._descriptor, data) != len(data):
                raise OSError(errno.ENOSPC, "no room for the whole line")

    def remains(self) -> Remains:
        """What this process would leave if it died now. Raises StateError."""
        with explained(self.path):
            return _read_remains(self.holder, self._descriptor, is_complete=True)

    def lock(self, purpose: str) -> None:
        """Hold the lock file of a purpose until this process goes away.

        Raises:
            HeldElsewhereError: another process holds it.
            StateError: there cannot be such a file.
        """
        path = presence_directory(self._state_path) / f"{purpose.replace(' ', '-')}.lock"
        with explained(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise HeldElsewhereError(
                f"{purpose} is held by another process of this machine",
                hint="wait for it to end, or stop it first",
            ) from error
        self._locks.append(descriptor)

    def leave(self) -> None:
        """Go away for good: the file is removed, every note in it is void."""
        self.path.unlink(missing_ok=True)
        self.abandon()

    def abandon(self) -> None:
        """Go away but keep the notes for the process that takes over."""
        # Once only: the system gives the number of a closed descriptor to the next file.
        descriptors = (self._descriptor, *self._locks)
        self._descriptor, self._locks = _CLOSED, []
        for descriptor in descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)


@dataclass(frozen=True)
class Remains:
    """What a dead holder left: its notes, whether they are all there, and when the last was made.

    `at` is in UTC.
    """

    holder: str
    notes: frozenset[str]
    is_complete: bool
    at: datetime


def presence_directory(state_path: Path) -> Path:
    """Where the presence files of a state file lie."""
    return Path(f"{state_path}.presence")


def is_alive(state_path: Path, holder: str) -> bool | None:
    """Whether the process behind a holder of this boot still runs, by the kernel's word.

    None when its file is gone, so that the kernel cannot say.
    """
    with _locked_remains(presence_directory(state_path) / holder) as descriptor:
        return None if descriptor is None else descriptor < 0


@contextlib.contextmanager
def _locked_remains(path: Path) -> Iterator[int | None]:
    """The open file of a dead process, locked meanwhile; -1 of a living one, None without one."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        # Shared, so that two processes that look do not take each other for the living one.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        yield -1
    else:
        # It may have been removed since it was opened: its process left for good.
        yield descriptor if _is_open_at(descriptor, path) else None
    finally:
        os.close(descriptor)


def _is_open_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def remains_of(state_path: Path, holder: str, *, same_boot: bool) -> Remains:
    """The notes of a dead holder. They are complete only within the boot they were written in."""
    for remains in all_remains(state_path):
        if remains.holder == holder:
            return replace(remains, is_complete=same_boot)
    return Remains(holder, frozenset(), is_complete=False, at=datetime.fromtimestamp(0, UTC))


def all_remains(state_path: Path) -> list[Remains]:
    """What every dead process left, in the order of their last notes."""
    directory, found = presence_directory(state_path), []
    with explained(directory):
        for path in directory.iterdir() if directory.is_dir() else ():
            if not _HOLDER.fullmatch(path.name):
                continue
            with _locked_remains(path) as descriptor:
                if descriptor is not None and descriptor >= 0:
                    found.append(_read_remains(path.name, descriptor, is_complete=False))
    return sorted(found, key=lambda remains: remains.at)


def _read_remains(holder: str, descriptor: int, *, is_complete: bool) -> Remains:
    # A process of another boot, or the power, may have ended in the middle of a line.
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        lines = file.read().decode("ascii", errors="replace").splitlines()
    at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
    return Remains(holder, frozenset(lines), is_complete, at)


def forget(state_path: Path, holder: str) -> None:
    """Remove what a dead holder left, once everything in it has been acted upon."""
    path = presence_directory(state_path) / holder
    with _locked_remains(path) as descriptor:
        if descriptor is not None and descriptor >= 0:
            path.unlink(missing_ok=True)


def acquire(state: State, purpose: str, presence: Presence, clock: Clock) -> Row | None:
    """Take a lock inside a transaction; returns the row of the dead holder it was taken from.

    Raises:
        HeldElsewhereError: somebody who may be alive holds it.
    """
    # Imported only now: who only looks at what dead processes left takes no lock.
    import socket

    held = state.row("SELECT * FROM locks WHERE purpose = ?", [purpose])
    if held and held["holder"] != presence.holder and not _is_dead(state, held, clock):
        raise HeldElsewhereError(
            f"{purpose} is held by process {held['pid']} on {held['host']}",
            hint="wait for it to end, or stop it first",
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
    """Say "still here" inside a transaction; False when the lock is no longer ours.

    Nor is it when our file is gone: the kernel can no longer say to others that we are alive.
    """
    if not presence.is_seen():
        return False
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
    holders = [name for name in names if _HOLDER.fullmatch(name)]
    return sorted(holder for holder in holders if is_alive(state_path, holder))


def _is_dead(state: State, held: Row, clock: Clock) -> bool:
    is_here = held["boot_id"] == clock.boot_id()
    if is_here and (alive := is_alive(state.path, held["holder"])) is not None:
        return not alive
    silence = clock.now() - from_text(held["heartbeat_at"])
    return abs(silence) > timedelta(seconds=SILENCE_SECONDS)
