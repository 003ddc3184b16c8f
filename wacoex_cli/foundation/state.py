"""The one SQLite file that holds everything wacoex remembers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import StateError, TemporaryError, WacoexError
from wacoex_cli.foundation import migrations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_PATIENCE_SECONDS = 30.0
_TURN_SECONDS = 0.002
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700

Row = dict[str, Any]


class State:
    """An open state file: one connection, one transaction at a time, from any thread.

    Writers queue on a file lock beside the database: SQLite's own busy handler sleeps up to
    100 ms between tries, which would cost a broadcast its slots.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._writer = threading.RLock()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query, as dictionaries."""
        with self._writer, explained(self.path):
            cursor = self._connection.execute(sql, list(parameters))
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, values, strict=True)) for values in cursor]

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row, or None."""
        with self._writer, explained(self.path):
            found = self._connection.execute(sql, list(parameters)).fetchone()
            return found[0] if found else None

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one writing statement inside a `transaction`; returns the number of rows changed."""
        self._demand_transaction()
        return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> int:
        """Run a writing statement for each set of parameters inside a `transaction`."""
        self._demand_transaction()
        return self._connection.executemany(sql, parameters).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it is left without an exception.

        Raises:
            StateError: the file cannot be written (read-only, disk full, damaged).
            TemporaryError: another program held the file for half a minute.
        """
        with self._writer, self._outermost(), explained(self.path), write_queue(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def _outermost(self) -> Iterator[None]:
        if self._connection.in_transaction:
            raise RuntimeError("transactions do not nest")
        yield

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._connection.close()

    def _demand_transaction(self) -> None:
        if not self._connection.in_transaction:
            raise RuntimeError("writes belong inside State.transaction()")


def open_state(path: Path) -> State:
    """Open the state file, create it (0600 in a 0700 directory) and bring its schema up to date.

    Raises:
        StateError: not a SQLite file, damaged, unwritable, or written by a newer wacoex.
    """
    with explained(path):
        _prepare_files(path)
        connection = _connect(path)
        try:
            applied = _demand_ours(path, connection)
            _configure(path, connection)
            _migrate(path, connection, applied)
        except BaseException:
            connection.close()
            raise
    return State(path, connection)


def _prepare_files(path: Path) -> None:
    path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    if not path.exists():
        # Created here, not by SQLite, so that it is never readable by others, not even briefly.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE))
    elif path.is_dir():
        raise StateError(
            f"the state file {path} is a directory",
            hint="point `WACOEX_STATE` at a file in it",
        )
    elif not os.access(path, os.W_OK):
        raise StateError(
            f"the state file {path} is read-only",
            hint="make it writable for you, or point `WACOEX_STATE` at another file",
        )


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=_PATIENCE_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def _demand_ours(path: Path, connection: sqlite3.Connection) -> set[str]:
    """The migrations applied so far. Comes first: another program's file is left untouched."""
    # In this order: while another process creates the schema, both questions see it or neither.
    has_tables = bool(connection.execute("SELECT 1 FROM sqlite_master").fetchone())
    applied = _applied(connection)
    if has_tables and not applied:
        raise StateError(
            f"{path} is the database of another program",
            hint="point `WACOEX_STATE` at the state file of wacoex, or at a new path",
            code="state_foreign",
        )
    _refuse_newer(path, applied)
    return applied


def _configure(path: Path, connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        # SQLite gives up at once when another program makes the same change at this moment.
        with write_queue(path):
            connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a claim must have reached the disk before its request leaves.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _migrate(path: Path, connection: sqlite3.Connection, applied: set[str]) -> None:
    if all(step.__name__ in applied for step in migrations.STEPS):
        return
    # Imported only now: it takes longer than most commands, which find nothing to migrate.
    from sqlite_utils import Database, Migrations

    steps = Migrations(migrations.SET_NAME)
    for step in migrations.STEPS:
        steps(name=step.__name__)(step)
    db = Database(connection, execute_plugins=False)
    with write_queue(path):
        connection.execute("BEGIN IMMEDIATE")
        try:
            steps.apply(db)
        except BaseException:
            connection.rollback()
            raise
        connection.execute("COMMIT")


def _applied(connection: sqlite3.Connection) -> set[str]:
    table = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(table).fetchone():
        return set()
    names = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {str(name) for (name,) in connection.execute(names, [migrations.SET_NAME])}


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
def write_queue(path: Path) -> Iterator[None]:
    """Hold up every writer of a state file, in all processes, until it is left."""
    queue = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    try:
        _await_turn(path, queue)
        yield
    finally:
        os.close(queue)


def _await_turn(path: Path, queue: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise _locked(path) from None
        time.sleep(_TURN_SECONDS)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say about a state file into errors of ours.

    Raises:
        StateError: damaged, unwritable, no SQLite file, disk full.
        TemporaryError: another program holds it.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _state_error(path, error) from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _disk_full(path) from error
        raise StateError(
            f"cannot use the state file {path}: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions, or set `WACOEX_STATE`",
        ) from error


def _state_error(path: Path, error: sqlite3.Error) -> WacoexError:
    text = str(error).lower()
    if "full" in text:
        return _disk_full(path)
    if "locked" in text or "busy" in text:
        return _locked(path)
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
    if "i/o error" in text:
        return StateError(
            f"the disk refuses to read or write {path}",
            hint="check the disk, its quota and the limit on the size of files,"
            " then try again; what was recorded is kept",
            code="disk_error",
        )
    return StateError(
        f"the state file {path} is damaged or unusable: {error}",
        hint="keep a copy of it, then restore a backup",
    )


def _locked(path: Path) -> TemporaryError:
    return TemporaryError(
        f"the state file {path} is locked by another program",
        hint="try again in a minute",
        code="locked",
    )


def _disk_full(path: Path) -> StateError:
    return StateError(
        f"the disk is full: {path} cannot be written",
        hint="free some space, then try again; what was recorded is kept",
        code="disk_full",
    )
