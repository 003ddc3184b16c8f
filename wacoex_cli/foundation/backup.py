"""Copies of the state file, and whether a file is sound: what only SQLite itself can do."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, WacoexError
from wacoex_cli.foundation import migrations
from wacoex_cli.foundation.new_file import new_private_file
from wacoex_cli.foundation.state import explained, write_queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_PROBLEMS = 20
COMPANIONS = ("-wal", "-shm", "-journal")
_BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Seen:
    """What a file is: its size in bytes with its write-ahead log, its schema, what is wrong."""

    exists: bool
    bytes: int
    schema: tuple[str, ...]
    problem: WacoexError | None


def look(path: Path) -> Seen:
    """Look at a state file without changing it, whatever it is."""
    if not path.exists():
        return Seen(exists=False, bytes=0, schema=(), problem=None)
    try:
        with explained(path), reading(path) as connection:
            return Seen(True, _size(path), _schema(connection), None)
    except WacoexError as error:
        return Seen(True, _size(path), (), error)


def demand_file(path: Path) -> None:
    """Raise StateError when there is no state file yet; opening it would make one."""
    if not path.exists():
        raise StateError(
            f"there is no state file {path}",
            hint="the first command that keeps something makes it; or set `WACOEX_STATE`",
            code="no_state",
        )


def problems_in(path: Path) -> list[str]:
    """What SQLite finds wrong with a file and its references, the first twenty; none when sound."""
    try:
        with reading(path) as connection:
            damage = [
                str(told)
                for (told,) in connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})")
                if told != "ok"
            ]
            orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(MOST_PROBLEMS)
    except sqlite3.DatabaseError as error:
        return [str(error)]
    return damage + [f"row {row} of {table} refers to no {to}" for table, row, to, _ in orphans]


def write_backup(source: Path, target: Path) -> Seen:
    """Copy a state file into a new one (0600), also while others write; the copy is checked.

    Raises:
        UsageError: the target exists or cannot be made.
        StateError: the source is damaged, so that the copy is too, or the disk is full.
    """
    seen = look(source)
    if seen.problem:
        raise seen.problem
    with new_private_file(target) as part:
        with explained(target):
            copy(source, part)
        if problems := problems_in(part):
            raise StateError(
                f"nothing was written: the state file {source} is damaged ({problems[0]})",
                hint="`wacoex state check` tells more; then restore the last good backup",
                code="state_damaged",
            )
    return look(target)


def copy(source: Path, target: Path) -> None:
    """Make the target's content that of the source, all or nothing, in a file of its own.

    Other programs that have the target open see the new content from their next read on.
    Raises sqlite3.Error.
    """
    with reading(source) as old, contextlib.closing(_open(target)) as new:
        old.backup(new)
        # A write-ahead log beside it would be a second file that can get lost.
        new.execute("PRAGMA journal_mode = DELETE")


def replace_content(source: Path, target: Path) -> None:
    """Like `copy`, for a state file that is in use and keeps its write-ahead log."""
    with reading(source) as old, contextlib.closing(_open(target)) as new:
        old.backup(new)


def compact(path: Path) -> None:
    """Give the space of removed rows back to the disk. Writers wait meanwhile.

    Raises:
        StateError: there is not enough space for the work.
    """
    with explained(path), write_queue(path), contextlib.closing(_open(path)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def both(copy: Path, current: Path) -> Iterator[sqlite3.Connection]:
    """Two state files to be compared in one query: `main`, and `replaced` for the current one."""
    with reading(copy) as connection:
        connection.execute("ATTACH DATABASE ? AS replaced", [f"{_uri(current)}?mode=ro"])
        yield connection


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing. Raises sqlite3.Error."""
    uri = f"{_uri(path)}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    with contextlib.closing(connection):
        yield connection


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _size(path: Path) -> int:
    files = [path, path.with_name(f"{path.name}-wal")]
    return sum(file.stat().st_size for file in files if file.exists())


def _schema(connection: sqlite3.Connection) -> tuple[str, ...]:
    known = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if connection.execute(known).fetchone() is None:
        return ()
    steps = connection.execute(
        "SELECT name FROM _sqlite_migrations WHERE migration_set = ? ORDER BY name",
        [migrations.SET_NAME],
    )
    return tuple(name for (name,) in steps)
