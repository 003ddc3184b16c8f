"""Putting a backup in the place of the state file, without making anybody get a message twice."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, TemporaryError, UsageError
from wacoex_cli.foundation import backup, locks, migrations
from wacoex_cli.foundation.new_file import new_private_file
from wacoex_cli.foundation.state import explained, open_state, write_queue
from wacoex_cli.setup import restore_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row


@dataclass(frozen=True)
class Comparison:
    """What the present state file knows and the backup does not.

    `lost` counts rows that were tried (`attempts`), `broadcasts`, `decisions` and `optouts`.
    `unreadable` says why the two could not be compared; None when they could.
    """

    lost: Mapping[str, int] = field(default_factory=dict)
    unreadable: str | None = None

    @property
    def is_safe(self) -> bool:
        """Whether the backup knows everything that the present file knows."""
        return self.unreadable is None and not any(self.lost.values())


@dataclass(frozen=True)
class Restored:
    """What was done. `kept` is where the replaced file is now, None when there was none."""

    kept: Path | None
    closed_claims: int


class Restoration:
    """A backup that was found good, ready to be put in place."""

    def __init__(self, path: Path, copy: Path, damage: str | None, clock: Clock) -> None:
        self._path = path
        self._copy = copy
        self._damage = damage
        self._clock = clock
        self.comparison = self._compare()

    def put(self) -> Restored:
        """Replace the state file's content; what it held is kept in a file beside it.

        Raises:
            TemporaryError: somebody began to use the state file meanwhile.
            StateError: the disk is full.
        """
        with write_queue(self._path):
            refuse_living(self._path, self._clock)
            if self._compare() != self.comparison:
                raise TemporaryError(
                    f"nothing was restored: {self._path} has changed meanwhile",
                    hint="run the command again",
                    code="state_changed",
                )
            with contextlib.closing(open_state(self._copy)) as copy:
                closed = restore_ledger.close_claims(copy, self._clock.now())
            dead = self._holders()
            kept = self._keep()
            with explained(self._path):
                self._path.touch(mode=0o600)
                backup.replace_content(self._copy, self._path)
            for holder in dead:
                locks.forget(self._path, holder)
        return Restored(kept, closed)

    def _compare(self) -> Comparison:
        if self._damage or not self._path.exists():
            return Comparison(unreadable=self._damage)
        try:
            with backup.both(self._copy, self._path) as both:
                return Comparison(restore_ledger.lost(both))
        except sqlite3.DatabaseError as error:
            return Comparison(unreadable=str(error))

    def _holders(self) -> list[str]:
        if self.comparison.unreadable or not self._path.exists():
            return []
        with explained(self._path), backup.reading(self._path) as replaced:
            return restore_ledger.holders(replaced)

    def _keep(self) -> Path | None:
        if not self._path.exists():
            return None
        kept = beside(self._path, "replaced", self._clock)
        if self.comparison.unreadable is None:
            with new_private_file(kept) as part, explained(kept):
                backup.copy(self._path, part)
            return kept
        # Nobody living uses a file that cannot be read, so its files can be moved as they are.
        for ending in ("", *backup.COMPANIONS):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").rename(f"{kept}{ending}")
        return kept


@contextlib.contextmanager
def prepare(path: Path, source: Path, clock: Clock) -> Iterator[Restoration]:
    """Check a backup and compare it with the present state file; nothing is changed yet.

    Raises:
        UsageError: the backup is missing, damaged, or no state file of wacoex.
        StateError: it was written by a newer wacoex.
        TemporaryError: a living process is using the present state file.
    """
    _check_source(path, source)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_living(path, clock)
    damage = next(iter(backup.problems_in(path)), None) if path.exists() else None
    if path.exists() and not damage:
        # A newer file stays as it is: what of it cannot be compared makes it unreadable.
        with contextlib.suppress(StateError):
            open_state(path).close()
    with tempfile.TemporaryDirectory(prefix=".wacoex-restore-", dir=path.parent) as directory:
        copy = Path(directory) / "copy.db"
        _copy_up_to_date(source, copy)
        yield Restoration(path, copy, damage, clock)


def beside(path: Path, word: str, clock: Clock) -> Path:
    """A name beside the state file with a word and the time: `wacoex-backup-20261123T093000Z.db`.

    The time is in UTC, to the second.
    """
    return path.with_name(f"{path.stem}-{word}-{clock.now():%Y%m%dT%H%M%SZ}{path.suffix}")


def refuse_living(path: Path, clock: Clock) -> None:
    """Raise TemporaryError while a process that may be alive holds a lock of the state file."""
    if locks.living_presences(path):
        raise _in_use(f"a process of this machine is using {path}")
    for row in _living_holders(path, clock):
        raise _in_use(f"{row['purpose']} is held by process {row['pid']} on {row['host']}")


def _living_holders(path: Path, clock: Clock) -> list[Row]:
    if backup.look(path).schema != _known_steps():
        return []  # opening it would write to it
    with contextlib.suppress(StateError), contextlib.closing(open_state(path)) as state:
        return [row for row, is_alive in locks.held(state, clock) if is_alive]
    return []  # damaged: presences are all there is to know


def _in_use(message: str) -> TemporaryError:
    return TemporaryError(
        message,
        hint="wait for it to end, or pause the broadcast: wacoex broadcast pause ID",
        code="locked",
    )


def _check_source(path: Path, source: Path) -> None:
    if not source.is_file():
        raise UsageError(
            f"there is no file {source}",
            hint="give the path of a file that `wacoex state backup` wrote",
            code="no_backup",
        )
    if path.exists() and source.samefile(path):
        raise UsageError(
            f"{source} is the state file itself", hint="give a backup of it", code="same_file"
        )
    seen = backup.look(source)
    is_sqlite = seen.problem is None or seen.problem.code != "state_not_sqlite"
    problems = backup.problems_in(source) if is_sqlite else []
    if problems:
        raise UsageError(
            f"{source} is damaged: {problems[0]}",
            hint="restore another backup",
            code="damaged_backup",
        )
    if not seen.schema:
        raise UsageError(
            f"{source} is not a state file of wacoex",
            hint="give the path of a file that `wacoex state backup` wrote",
            code="not_a_state",
        ) from seen.problem
    if set(seen.schema) - set(_known_steps()):
        raise StateError(
            f"{source} was written by a newer wacoex",
            hint="update wacoex, then restore it",
            code="state_newer",
        )


def _known_steps() -> tuple[str, ...]:
    return tuple(step.__name__ for step in migrations.STEPS)


def _copy_up_to_date(source: Path, copy: Path) -> None:
    try:
        backup.copy(source, copy)
    except sqlite3.Error as error:
        raise UsageError(
            f"{source} cannot be read: {error}",
            hint="check its permissions, or copy it to another place first",
            code="unreadable_backup",
        ) from error
    open_state(copy).close()
