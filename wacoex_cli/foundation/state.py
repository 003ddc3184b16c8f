"""The one SQLite file that holds everything wacoex remembers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from wacoex_cli.errors import StateError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.settings import default_state_path, read_sources, user_path
from wacoex_cli.schema import migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_PATIENCE_SECONDS = 30.0
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700
_LARGE_CACHE_KIB = 8_000
_GIVE_WAY_SECONDS = 0.01
_PAGES_AT_ONCE = 200
# SQLite: PRAGMA auto_vacuum.
_INCREMENTAL = 2
_CHECKPOINT_TRIES = 5
_CHECKPOINT_PAUSE_SECONDS = 0.02

Row = dict[str, Any]


class State:
    """An open state file: one connection, one transaction at a time, from any thread.

    Writers queue on a file lock beside the database: SQLite's own busy handler sleeps up to
    100 ms between tries, which would cost a broadcast its slots. `is_new`: this process made it.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, is_new: bool = False) -> None:
        self.path = path
        self.is_new = is_new
        self._connection = connection
        self._writer = threading.RLock()
        self._version: int | None = None
        self._explained = explained(path)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """All rows of a query, as dictionaries."""
        with self._writer, self._explained:
            cursor = self._connection.execute(sql, parameters)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, values, strict=True)) for values in cursor]

    def tuples(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query, each with its values in the order of the columns."""
        with self._writer, self._explained:
            return self._connection.execute(sql, parameters).fetchall()

    def row(self, sql: str, parameters: Sequence[object] = ()) -> Row | None:
        """The first row of a query, or None."""
        found = self.rows(sql, parameters)
        return found[0] if found else None

    def value(self, sql: str, parameters: Sequence[object] = ()) -> Any:
        """The first column of the first row, or None."""
        with self._writer, self._explained:
            found = self._connection.execute(sql, parameters).fetchone()
            return found[0] if found else None

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one writing statement inside a `transaction`; returns the number of rows changed."""
        self._demand_transaction()
        return self._connection.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> int:
        """Run a writing statement for each set of parameters inside a `transaction`."""
        self._demand_transaction()
        return self._connection.executemany(sql, parameters).rowcount

    def keep_more_pages(self) -> None:
        """Keep 8 MB of the file in memory from now on, for large batches of writing.

        In SQLite's own 2 MB their pages do not fit: it reads and writes them several times. Where
        much is read once, more memory only takes time.
        """
        with self._writer, self._explained:
            self._connection.execute(f"PRAGMA cache_size = -{_LARGE_CACHE_KIB}")

    def others_wrote(self) -> bool:
        """Whether another connection has changed the file since this was asked last."""
        known, self._version = self._version, self.value("PRAGMA data_version")
        return bool(known != self._version)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable when it is left without an exception.

        Raises:
            StateError: the file cannot be written (read-only, disk full, damaged).
            TemporaryError: another program held the file for half a minute.
        """
        with self._writer:
            if self._connection.in_transaction:
                raise RuntimeError("transactions do not nest")
            with self._explained, write_queue(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    self._connection.rollback()
                    raise

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; SQLite ends one by itself when the disk fails."""
        return self._connection.in_transaction

    @contextlib.contextmanager
    def part_of_transaction(self) -> Iterator[None]:
        """Undo only what the block wrote when it fails; the transaction around it goes on.

        Raises:
            StateError: the file could not be written.
        """
        self._demand_transaction()
        with self._explained:
            self._connection.execute("SAVEPOINT part")
            try:
                yield
            except BaseException:
                if self.in_transaction:
                    self._connection.execute("ROLLBACK TO part")
                    self._connection.execute("RELEASE part")
                raise
            self._connection.execute("RELEASE part")

    def checkpoint(self) -> bool:
        """Move the write-ahead log into the file itself, synced; False while somebody reads.

        After True nothing that was committed before depends on the log any more: the log is empty.
        It waits for a reader a tenth of a second at most, so that senders beside it keep their
        pace.

        Raises:
            StateError: the file cannot be written.
            TemporaryError: another program held the file for half a minute.
        """
        for _ in range(_CHECKPOINT_TRIES):
            with self._writer, self._explained, write_queue(self.path):
                self._connection.execute("PRAGMA busy_timeout = 0")
                try:
                    # Emptied, not only copied: an old log cut short would hide newer pages.
                    sql = "PRAGMA wal_checkpoint(TRUNCATE)"
                    is_busy = bool(self._connection.execute(sql).fetchone()[0])
                except sqlite3.OperationalError as error:
                    if _primary_code(error) not in _BUSY:
                        raise
                    is_busy = True
                finally:
                    self._connection.execute(
                        f"PRAGMA busy_timeout = {_PATIENCE_SECONDS * 1000:.0f}"
                    )
            if not is_busy:
                return True
            time.sleep(_CHECKPOINT_PAUSE_SECONDS)
        return False

    def unused_bytes(self) -> int:
        """How much of the file holds nothing now."""
        return int(self.value("PRAGMA freelist_count") * self.value("PRAGMA page_size"))

    def gives_back(self) -> bool:
        """Whether unused space can be given back a little at a time: not in every older file."""
        return bool(self.value("PRAGMA auto_vacuum") == _INCREMENTAL)

    def give_back(self) -> bool:
        """Give unused space back to the disk in small steps, so that senders keep their pace.

        False while somebody reads: the file gets smaller later, when nobody does.

        Raises:
            StateError: the file cannot be written.
            TemporaryError: another program held the file for half a minute.
        """
        while self.value("PRAGMA freelist_count"):
            with self._writer, self._explained, write_queue(self.path):
                # Python 3.11 ends it after a page, unless it is a script: a transaction of its own.
                self._connection.executescript(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
            self.give_way()
        return self.checkpoint()

    def give_way(self) -> None:
        """Let others write for a moment, between two steps of a long work."""
        time.sleep(_GIVE_WAY_SECONDS)

    def demand_sound(self, table: str) -> None:
        """Refuse a table that does not fit its indexes.

        Raises:
            StateError: it is damaged.
        """
        found = self.value(f"PRAGMA integrity_check('{table}')")
        if found != "ok":
            raise StateError(
                f"the state file {self.path} is damaged: {found}",
                hint="`wacoex state check` says more; keep a copy of it, then restore a backup",
                code="state_damaged",
            )

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._connection.close()

    def _demand_transaction(self) -> None:
        if not self._connection.in_transaction:
            raise RuntimeError("writes belong inside State.transaction()")


class AbsentState(State):
    """A state file that does not exist, for a command that only reads: empty, never written."""

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, in memory."""
        with self._writer:
            if self._connection.in_transaction:
                raise RuntimeError("transactions do not nest")
            self._connection.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.execute("COMMIT")

    def checkpoint(self) -> bool:
        """Nothing has to reach the disk."""
        return True


def absent_state(path: Path) -> AbsentState:
    """The state of a file that does not exist; nothing is created."""
    state = AbsentState(real_path(path), _connect(":memory:"))
    with state.transaction():
        _apply_migrations(state._connection)
    return state


def real_path(path: Path) -> Path:
    """Where a state file really is: all that is kept beside it must be found by every name."""
    return Path(os.path.realpath(path))


def open_state(path: Path, *, on_update: Callable[[int], None] = lambda size: None) -> State:
    """Open the state file, create it (0600 in a 0700 directory) and bring its schema up to date.

    `on_update` is given the bytes of a file that an older version wrote, before it is changed: a
    large one takes a while. That is one transaction: a process that ends in it changes nothing.
    Symbolic links are followed once, here: `State.path` is the real place.

    Raises:
        StateError: not a SQLite file, damaged, unwritable, or written by a newer wacoex; or it has
            a second name (a hard link).
    """
    path = real_path(path)
    with explained(path):
        is_new = not path.exists()
        _prepare_files(path)
        connection = _connect(path)
        try:
            applied = _demand_ours(path, connection)
            if not applied:
                # Only before there are tables: later it needs a VACUUM (SQLite: auto_vacuum).
                connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                # SQLite gives up at once when another program makes this change just now.
                with write_queue(path):
                    connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a claim must have reached the disk before its request leaves.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            if applied and _is_older(applied):
                on_update(_file_size(path))
            _migrate(path, connection, applied)
        except BaseException:
            connection.close()
            raise
    return State(path, connection, is_new=is_new)


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
    else:
        demand_one_name(path)


def demand_one_name(path: Path) -> None:
    """Refuse a file with a second name: what is beside the other name is not seen from here.

    Raises:
        StateError: it has more than one hard link.
    """
    if (names := path.stat().st_nlink) > 1:
        raise StateError(
            f"the state file {path} has {names} names (hard links):"
            " two senders could use it without seeing each other",
            hint=f"`find DIRECTORY -samefile {path}` lists them; keep one, remove the others,"
            " and copy the file with `wacoex state backup`",
            code="state_linked",
        )


def _connect(path: Path | str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=_PATIENCE_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
        uri=uri,
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
    unknown = applied - {step.__name__ for step in migrations.STEPS}
    if unknown:
        raise StateError(
            f"the state file {path} was written by a newer wacoex",
            hint="update wacoex, or point `WACOEX_STATE` at another file",
            code="state_newer",
            details={"unknown_migrations": sorted(unknown)},
        )
    return applied


def _is_older(applied: set[str]) -> bool:
    return any(step.__name__ not in applied for step in migrations.STEPS)


def _migrate(path: Path, connection: sqlite3.Connection, applied: set[str]) -> None:
    if not _is_older(applied):
        return
    with State(path, connection).transaction():
        _apply_migrations(connection)


def _apply_migrations(connection: sqlite3.Connection) -> None:
    # Imported only now: it takes longer than most commands, which find nothing to migrate.
    from sqlite_utils import Database, Migrations

    steps = Migrations(migrations.SET_NAME)
    for step in migrations.STEPS:
        steps(name=step.__name__)(step)
    steps.apply(Database(connection, execute_plugins=False))


def _applied(connection: sqlite3.Connection) -> set[str]:
    table = "SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'"
    if not connection.execute(table).fetchone():
        return set()
    names = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    found = {name for (name,) in connection.execute(names, [migrations.SET_NAME])}
    if not all(isinstance(name, str) for name in found):
        raise StateError(
            "the state file names a migration that is not text: another program has changed it",
            hint="point `WACOEX_STATE` at another file",
            code="state_foreign",
        )
    return found


class write_queue:
    """Hold up every writer of a state file, in all processes, until it is left.

    Waiting writers get the lock in the order in which they came. Only a writer that arrives at the
    moment it is free can get in between. A class, as `explained` is.

    Raises:
        TemporaryError: it was not free for half a minute.
    """

    __slots__ = ("_lock", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Wait for the lock and take it."""
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            if not _is_taken_at_once(self._path, self._lock):
                _wait_in_turn(self._path, self._lock)
        except BaseException:
            os.close(self._lock)
            raise

    def __exit__(self, *_: object) -> None:
        """Let the next writer in."""
        os.close(self._lock)


def _is_taken_at_once(path: Path, lock: int) -> bool:
    """Take the lock when it is free and nobody waits for it."""
    try:
        turn = os.open(f"{path}.turn", os.O_RDWR)
    except FileNotFoundError:
        return _is_locked(lock, fcntl.LOCK_EX)
    try:
        return _is_locked(turn, fcntl.LOCK_SH) and _is_locked(lock, fcntl.LOCK_EX)
    finally:
        os.close(turn)


def _is_locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_in_turn(path: Path, lock: int) -> None:
    """Only who has the turn waits for the lock; the others wait for the turn."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    turn = os.open(f"{path}.turn", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    try:
        for descriptor in (turn, lock):
            if not _is_locked_until(descriptor, deadline):
                raise _locked(path)
    finally:
        os.close(turn)


def _is_locked_until(descriptor: int, deadline: float) -> bool:
    """Wait for a lock without asking again and again, in a thread: the call has no time limit."""
    if _is_locked(descriptor, fcntl.LOCK_EX):
        return True
    # A second name of the same open file: when it comes too late, the lock goes with it.
    waiting, is_locked = os.dup(descriptor), threading.Event()

    def wait() -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(waiting, fcntl.LOCK_EX)
            is_locked.set()
        os.close(waiting)

    threading.Thread(target=wait, name="waits for a lock", daemon=True).start()
    return is_locked.wait(max(0.0, deadline - time.monotonic()))


class explained:
    """Turn what SQLite and the system say about a state file into errors of ours.

    A class, because it stands around every statement of a broadcast.

    Raises:
        StateError: damaged, unwritable, no SQLite file, disk full.
        TemporaryError: another program holds it.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing has to begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None:
            return
        if isinstance(error, sqlite3.Error):
            raise _state_error(self._path, error) from error
        if isinstance(error, OSError):
            if error.errno in _NO_ROOM:
                raise _disk_full(self._path) from error
            raise StateError(
                f"cannot use the state file {self._path}: {(error.strerror or str(error)).lower()}",
                hint="check the path and its permissions, or set `WACOEX_STATE`",
            ) from error


_FULL = frozenset({sqlite3.SQLITE_FULL})
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_UNWRITABLE = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def _primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension (SQLite: result codes); -1 where it has none."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file itself is wrong: no other error does."""
    return _primary_code(error) in _DAMAGE


def _state_error(path: Path, error: sqlite3.Error) -> WacoexError:
    code = _primary_code(error)
    if code in _FULL:
        return _disk_full(path)
    if code in _BUSY:
        return _locked(path)
    if code in _UNWRITABLE:
        return StateError(
            f"the state file {path} cannot be written",
            hint="make it and its directory writable for you, or set `WACOEX_STATE`",
        )
    if code == sqlite3.SQLITE_NOTADB:
        return StateError(
            f"{path} is not a SQLite file",
            hint="point `WACOEX_STATE` at the state file of wacoex, or at a new path",
            code="state_not_sqlite",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StateError(
            f"the disk refuses to read or write {path}",
            hint="check the disk, its quota and the limit on the size of files,"
            " then try again; wacoex keeps what it recorded",
            code="disk_error",
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return StateError(
            f"the state file {path} is damaged: {error}",
            hint="keep a copy of it and of the files beside it, then restore a backup",
        )
    return StateError(
        f"the state file {path} does not take or give this: {error}",
        hint="nothing was changed; `wacoex state check` says whether the file itself is sound",
        code="state_refused",
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
        hint="free some space, then try again; wacoex keeps what it recorded",
        code="disk_full",
    )


_GLIMPSE_SECONDS = 0.1
_STEPS_BETWEEN_LOOKS_AT_THE_CLOCK = 1000


def glimpse(
    sql: str, *, env_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of a query, or none when the file is missing, busy, damaged or slow (100 ms).

    Nothing is created, checked or migrated, and the settings are not validated: only the path of
    the state file is read.
    """
    environ = os.environ if environ is None else environ
    try:
        sources = read_sources(env_file=env_file, environ=environ)
        name = "WACOEX_STATE"
        given = environ.get(name) or sources.dotenv.get(name) or sources.toml.get("state")
        path = real_path(user_path(str(given)) if given else default_state_path())
        # Without a log beside it nobody is writing, and a reader need not leave one behind.
        is_at_rest = not Path(f"{path}-wal").exists()
        uri = f"{path.as_uri()}?mode=ro{'&immutable=1' if is_at_rest else ''}"
        reader = sqlite3.connect(uri, uri=True, timeout=_GLIMPSE_SECONDS)
        with contextlib.closing(reader) as connection:
            end = time.monotonic() + _GLIMPSE_SECONDS
            connection.set_progress_handler(
                lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS_AT_THE_CLOCK
            )
            return connection.execute(sql).fetchall()
    except (sqlite3.Error, OSError, ValueError, WacoexError):
        return []


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or a device, which may never end, is no file.

    Raises:
        OSError: there is no such file, or it is none.
    """
    # Without O_NONBLOCK a pipe would wait here until somebody writes into it.
    found = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(found).st_mode
    if not stat.S_ISREG(mode):
        os.close(found)
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
    return os.fdopen(found, "rb")


@contextlib.contextmanager
def new_private_file(path: Path) -> Iterator[Path]:
    """Yield an empty file (0600) to be filled; left without an exception, it becomes `path`.

    Raises:
        UsageError: `path` exists, or cannot be made.
        StateError: the disk is full.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        # The name is taken first, so that nobody else's file can come into it meanwhile.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE))
        try:
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE))
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            raise
    except FileExistsError as error:
        raise UsageError(
            f"{path} exists already", hint="choose another name", code="file_exists"
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StateError(
                f"the disk is full: {path} cannot be written",
                hint="free some space, or choose a place on another disk",
                code="disk_full",
            ) from error
        raise UsageError(
            f"{path} cannot be written: {error.strerror or error}",
            hint="check the directory and its permissions, or choose another place",
            code="unwritable_file",
        ) from error


COMPANIONS = ("-wal", "-shm", "-journal")
"""How the names of the files end that SQLite puts beside a database."""
_MOST_PROBLEMS = 20


@dataclass(frozen=True)
class SeenFile:
    """What a file is: its size in bytes with its write-ahead log, its schema, what is wrong."""

    exists: bool
    bytes: int
    schema: tuple[str, ...]
    problem: WacoexError | None


def look_at_file(path: Path) -> SeenFile:
    """Look at a state file without changing it, whatever it is."""
    if not path.exists():
        return SeenFile(exists=False, bytes=0, schema=(), problem=None)
    try:
        with explained(path), reading_file(path) as connection:
            return SeenFile(True, _file_size(path), tuple(sorted(_applied(connection))), None)
    except WacoexError as error:
        return SeenFile(True, _file_size(path), (), error)


def demand_file(path: Path) -> None:
    """Raise StateError when there is no state file yet; opening it would make one."""
    if not path.exists():
        raise StateError(
            f"there is no state file {path}",
            hint="the first command that stores something creates it; or set `WACOEX_STATE`",
            code="no_state",
        )


def problems_in(path: Path) -> list[str]:
    """What SQLite finds wrong with a file and its references, the first twenty; none when sound.

    Raises:
        StateError, TemporaryError: it cannot be looked at, for a reason other than damage.
    """
    with explained(path):
        try:
            with reading_file(path) as connection:
                found = connection.execute(f"PRAGMA integrity_check({_MOST_PROBLEMS})")
                damage = [str(text) for (text,) in found if text != "ok"]
                orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST_PROBLEMS)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return [str(error)]
    return damage + [f"row {row} of {table} refers to no {to}" for table, row, to, _ in orphans]


def write_backup(source: Path, target: Path) -> SeenFile:
    """Copy a state file into a new one (0600), also while others write; the copy is checked.

    Raises:
        UsageError: the target exists or cannot be made.
        StateError: the source is damaged, so that the copy is too, or the disk is full.
    """
    seen = look_at_file(source)
    if seen.problem:
        raise seen.problem
    with new_private_file(target) as part:
        with explained(target):
            copy_file(source, part)
        if problems := problems_in(part):
            raise StateError(
                f"nothing was written: the state file {source} is damaged ({problems[0]})",
                hint="`wacoex state check` says more; then restore the last good backup",
                code="state_damaged",
            )
    return look_at_file(target)


def copy_file(source: Path, target: Path, *, is_in_use: bool = False) -> None:
    """Make the target's content that of the source, all or nothing.

    Other programs that have the target open see the new content from their next read on. One that
    `is_in_use` keeps its write-ahead log; any other becomes one file of its own.
    Raises sqlite3.Error.
    """
    with reading_file(source) as old, contextlib.closing(_connect(target)) as new:
        old.backup(new)
        if not is_in_use:
            new.execute("PRAGMA journal_mode = DELETE")


def compact_file(path: Path) -> None:
    """Give the space of removed rows back to the disk. Writers wait meanwhile.

    From then on it can be given back in small steps, also in a file of an earlier version.

    Raises:
        StateError: there is not enough space for the work.
    """
    with explained(path), write_queue(path), contextlib.closing(_connect(path)) as connection:
        connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def both_files(copy: Path, current: Path) -> Iterator[sqlite3.Connection]:
    """Two state files to be compared in one query: `main`, and `replaced` for the current one."""
    with reading_file(copy) as connection:
        uri = f"{current.absolute().as_uri()}?mode=ro"
        connection.execute("ATTACH DATABASE ? AS replaced", [uri])
        yield connection


@contextlib.contextmanager
def reading_file(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that can change nothing. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(_connect(uri, uri=True)) as connection:
        yield connection


def _file_size(path: Path) -> int:
    files = [path, path.with_name(f"{path.name}-wal")]
    return sum(file.stat().st_size for file in files if file.exists())
