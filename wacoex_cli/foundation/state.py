"""The one SQLite file that holds everything wacoex remembers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import StateError, TemporaryError, WacoexError
from wacoex_cli.foundation import migrations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlite_utils import Database

_BUSY_MILLISECONDS = 30_000
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700

Row = dict[str, Any]


class State:
    """An open state file: one connection, one transaction at a time, from any thread.

    Writers queue on a file lock beside the database: SQLite's own busy handler sleeps up to
    100 ms between tries, which would cost a broadcast its slots.
    """

    def __init__(self, path: Path, db: Database) -> None:
        self.path = path
        self._db = db
        self._writer = threading.RLock()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query, as dictionaries."""
        with self._writer, _explained(self.path):
            cursor = self._db.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, values, strict=True)) for values in cursor]

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row, or None."""
        with self._writer, _explained(self.path):
            found = self._db.execute(sql, list(parameters)).fetchone()
            return found[0] if found else None

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one writing statement inside a `transaction`; returns the number of rows changed."""
        self._demand_transaction()
        return self._db.conn.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> int:
        """Run a writing statement for each set of parameters inside a `transaction`."""
        self._demand_transaction()
        return self._db.conn.executemany(sql, parameters).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it is left without an exception.

        Raises:
            StateError: the file cannot be written (read-only, disk full, damaged).
            TemporaryError: another program held the file for half a minute.
        """
        with self._writer, _explained(self.path), _write_queue(self.path):
            self._db.conn.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.rollback()
                raise
            self._db.conn.execute("COMMIT")

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._db.close()

    def _demand_transaction(self) -> None:
        if not self._db.conn.in_transaction:
            raise RuntimeError("writes belong inside State.transaction()")


def open_state(path: Path) -> State:
    """Open the state file, create it (0600 in a 0700 directory) and bring its schema up to date.

    Raises:
        StateError: not a SQLite file, damaged, unwritable, or written by a newer wacoex.
    """
    with _explained(path):
        _prepare_files(path)
        db = _connect(path)
        try:
            _migrate(path, db)
        except BaseException:
            db.close()
            raise
    return State(path, db)


def _prepare_files(path: Path) -> None:
    path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if not path.exists():
        # Created here, not by SQLite, so that it is never readable by others, not even briefly.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE))
    elif not os.access(path, os.W_OK):
        raise StateError(
            f"the state file {path} is read-only",
            hint="make it writable for you, or point `WACOEX_STATE` at another file",
        )


def _connect(path: Path) -> Database:
    from sqlite_utils import Database

    connection = sqlite3.connect(
        path,
        timeout=_BUSY_MILLISECONDS / 1000,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    db = Database(connection, execute_plugins=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a claim must have reached the disk before its request leaves.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        db.close()
        raise
    return db


def _migrate(path: Path, db: Database) -> None:
    from sqlite_utils import Migrations

    steps = Migrations(migrations.SET_NAME)
    for step in migrations.STEPS:
        steps(name=step.__name__)(step)
    _refuse_newer(path, {applied.name for applied in steps.applied(db)})
    if not steps.pending(db):
        return
    with _write_queue(path):
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            steps.apply(db)
        except BaseException:
            db.rollback()
            raise
        db.conn.execute("COMMIT")


def _refuse_newer(path: Path, applied: set[str]) -> None:
    unknown = applied - {step.__name__ for step in migrations.STEPS}
    if unknown:
        raise StateError(
            f"the state file {path} was written by a newer wacoex",
            hint="update wacoex, or point `WACOEX_STATE` at another file",
            code="state_newer",
            details={"unknown_migrations": sorted(unknown)},
        )


@contextlib.contextmanager
def _write_queue(path: Path) -> Iterator[None]:
    queue = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    try:
        fcntl.flock(queue, fcntl.LOCK_EX)
        yield
    finally:
        os.close(queue)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _state_error(path, error) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _disk_full(path) from error
        raise StateError(
            f"cannot use the state file {path}: {error.strerror or error}",
            hint="check the path and its permissions, or set `WACOEX_STATE`",
        ) from error


def _state_error(path: Path, error: sqlite3.Error) -> WacoexError:
    text = str(error).lower()
    if "full" in text:
        return _disk_full(path)
    if "locked" in text or "busy" in text:
        return TemporaryError(
            f"the state file {path} is locked by another program",
            hint="try again in a minute",
        )
    if "readonly" in text or "read-only" in text or "unable to open" in text:
        return StateError(
            f"the state file {path} cannot be written",
            hint="make it and its directory writable for you, or set `WACOEX_STATE`",
        )
    if "not a database" in text:
        return StateError(
            f"{path} is not a SQLite file",
            hint="point `WACOEX_STATE` at the state file of wacoex, or at a new path",
            code="state_not_sqlite",
        )
    return StateError(
        f"the state file {path} is damaged or unusable: {error}",
        hint="keep a copy of it, then restore a backup",
    )


def _disk_full(path: Path) -> StateError:
    return StateError(
        f"the disk is full: {path} cannot be written",
        hint="free some space and run the command again; what was recorded is kept",
        code="disk_full",
    )
