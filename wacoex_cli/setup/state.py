"""The state file as a whole: backups, restoring so that nobody gets a message twice, checks."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.errors import StateError, TemporaryError, UsageError, counted
from wacoex_cli.events import consumers
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import (
    COMPANIONS,
    SeenFile,
    both_files,
    compact_file,
    copy_file,
    demand_file,
    explained,
    look_at_file,
    new_private_file,
    open_state,
    problems_in,
    real_path,
    write_backup,
    write_queue,
)
from wacoex_cli.ledger.model import Status, lock_purpose
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts, newest_id
from wacoex_cli.schema import migrations
from wacoex_cli.sending import takeover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace

# One broadcast is the same in both files when it has the same number and was planned at the
# same moment; a number alone may have been given out twice after an earlier restore.
_SAME = "m.broadcast_id = c.broadcast_id AND m.planned_at = c.planned_at"
# Meta: error codes, 131049. The limit on new conversations looks as far back.
_COOLING_DOWN = timedelta(hours=24)
_WHY = "it was being sent when the backup was made"
# How much of the file that is `replaced` is missing in `main`.
_LOST = {
    "attempts": (
        "SELECT COUNT(*) FROM replaced.broadcasts c JOIN replaced.recipients old"
        " ON old.broadcast_id = c.broadcast_id WHERE old.attempts > 0 AND NOT EXISTS"
        " (SELECT 1 FROM main.broadcasts m JOIN main.recipients new"
        f" ON new.broadcast_id = m.broadcast_id WHERE {_SAME} AND new.row = old.row"
        " AND new.phone = old.phone AND new.attempts >= old.attempts"
        " AND COALESCE(new.answered_at, '') >= COALESCE(old.answered_at, ''))"
    ),
    "broadcasts": (
        "SELECT COUNT(*) FROM replaced.broadcasts c WHERE c.status <> 'draft' AND NOT EXISTS"
        f" (SELECT 1 FROM main.broadcasts m WHERE {_SAME}"
        " AND (m.status = c.status OR c.status NOT IN ('completed', 'cancelled')))"
    ),
    "decisions": (
        "SELECT COUNT(*) FROM replaced.decisions old WHERE NOT EXISTS"
        " (SELECT 1 FROM main.decisions new WHERE new.decision_id = old.decision_id"
        " AND new.decided_at = old.decided_at AND new.decision = old.decision)"
    ),
    "optouts": (
        "SELECT (SELECT COUNT(*) FROM replaced.optouts old WHERE NOT EXISTS"
        " (SELECT 1 FROM main.optouts new WHERE new.phone = old.phone"
        " AND new.account IN ('', old.account)))"
        " + (SELECT COUNT(*) FROM replaced.optouts_by_id old WHERE NOT EXISTS"
        " (SELECT 1 FROM main.optouts_by_id new WHERE new.user_id = old.user_id"
        " AND new.account IN ('', old.account)))"
    ),
}
_BROADCAST_IDS = "SELECT broadcast_id FROM broadcasts"
_FOR_OTHERS = 0o077
_RESTORE = "keep a copy of the file, then restore the last good backup: wacoex state restore FILE"


@dataclass(frozen=True)
class Comparison:
    """What the current state file knows and the backup does not.

    `lost` counts rows that were tried (`attempts`), `broadcasts`, `decisions` and `optouts`.
    `unreadable` says why the two could not be compared; None when they could.
    """

    lost: Mapping[str, int] = field(default_factory=dict)
    unreadable: str | None = None

    @property
    def is_safe(self) -> bool:
        """Whether the backup knows everything that the present file knows."""
        return self.unreadable is None and not any(self.lost.values())


class Restoration:
    """A backup that was found good, ready to be put in place."""

    def __init__(self, path: Path, copy: Path, damage: str | None, clock: Clock) -> None:
        self._path = path
        self._copy = copy
        self._damage = damage
        self._clock = clock
        self.comparison = self._compare()
        self.must_be_adopted = False

    def put(self) -> tuple[Path | None, int]:
        """Replace the state file's content; what it held is kept in a file beside it.

        Gives that file, None when there was nothing to keep, and the number of rows that were
        being sent when the backup was made: they become ambiguous, as what left after it was made
        is nowhere noted.

        Raises:
            TemporaryError: somebody began to use the state file meanwhile.
            StateError: the disk is full.
        """
        is_known = self._is_known()
        with write_queue(self._path):
            refuse_living(self._path, self._clock)
            if self._compare() != self.comparison:
                raise TemporaryError(
                    f"nothing was restored: {self._path} has changed meanwhile",
                    hint="run the command again",
                    code="state_changed",
                )
            now = self._clock.now()
            with contextlib.closing(open_state(self._copy)) as copy, copy.transaction():
                copy.execute("DELETE FROM locks")
                numbers = [row["broadcast_id"] for row in copy.rows(_BROADCAST_IDS)]
                closed = sum(Rows(copy, number).doubt_claims(_WHY, now) for number in numbers)
            kept = self._keep()
            with explained(self._path):
                self._path.touch(mode=0o600)
                copy_file(self._copy, self._path, is_in_use=True)
        with contextlib.closing(open_state(self._path)) as state:
            if is_known:
                _count_as_used(state)
            takeover.forget_settled(state)
            self.must_be_adopted = bool(takeover.check_state_file(state, now))
        return kept, closed

    def _is_known(self) -> bool:
        """Whether the backup knows all that was ever sent from the file that it replaces."""
        if not (self._path.exists() and self.comparison.is_safe):
            return False
        with contextlib.closing(open_state(self._path)) as present:
            lost = takeover.look_for_lost_track(present).count
            return generation.suspicion(present) is None and not lost

    def _compare(self) -> Comparison:
        if self._damage or not self._path.exists():
            return Comparison(unreadable=self._damage)
        try:
            with both_files(self._copy, self._path) as both:
                counts = {what: both.execute(sql).fetchone()[0] for what, sql in _LOST.items()}
                return Comparison(counts)
        except sqlite3.DatabaseError as error:
            return Comparison(unreadable=str(error))

    def _keep(self) -> Path | None:
        if not self._path.exists():
            return None
        kept = beside(self._path, "replaced", self._clock)
        if self.comparison.unreadable is None:
            with new_private_file(kept) as part, explained(kept):
                copy_file(self._path, part)
            return kept
        # Nobody living uses a file that cannot be read, so its files can be moved as they are.
        for ending in ("", *COMPANIONS):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").rename(f"{kept}{ending}")
        return kept


def _count_as_used(state: State) -> None:
    """Let a restored file be the one used last here, if it is the one that was."""
    before = generation.read_sidecar(state.path)
    if before and before.state_id == Broadcasts(state).state_id:
        with state.transaction():
            generation.raise_counter(state, before.generation)
        generation.seal(state, anew=True)


@contextlib.contextmanager
def prepare(path: Path, source: Path, clock: Clock) -> Iterator[Restoration]:
    """Check a backup and compare it with the current state file; nothing is changed yet.

    Raises:
        UsageError: the backup is missing, damaged, or no state file of wacoex.
        StateError: it was written by a newer wacoex.
        TemporaryError: a living process is using the current state file.
    """
    path = real_path(path)
    _check_source(path, source)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_living(path, clock)
    damage = next(iter(problems_in(path)), None) if path.exists() else None
    if path.exists() and not damage:
        # A newer file stays as it is: what of it cannot be compared makes it unreadable.
        with contextlib.suppress(StateError):
            open_state(path).close()
    with tempfile.TemporaryDirectory(prefix=".wacoex-restore-", dir=path.parent) as directory:
        copy = Path(directory) / "copy.db"
        try:
            copy_file(source, copy)
        except sqlite3.Error as error:
            raise UsageError(
                f"{source} cannot be read: {error}",
                hint="check its permissions, or copy it to another place first",
                code="unreadable_backup",
            ) from error
        open_state(copy).close()
        yield Restoration(path, copy, damage, clock)


@dataclass(frozen=True)
class Adoption:
    """What a state file may lack, before it becomes the one that is used from now on.

    `why` is None when nothing contradicts the file. `waiting` people are still to be sent to by
    `broadcasts` that are planned, paused or being sent.
    """

    workspace: Workspace
    why: str | None
    waiting: int
    broadcasts: int

    def settle(self) -> int:
        """Make rows ambiguous that were noted as sent and are not known; how many."""
        settled = takeover.settle_lost_track(self.workspace.state, self.workspace.clock)
        takeover.forget_settled(self.workspace.state)
        return settled

    def put(self, who: str) -> takeover.AdoptedFile:
        """Mark what may have gone out, and record who adopted the file, and why."""
        state, clock = self.workspace.state, self.workspace.clock
        return takeover.adopt(state, self.why or "", who, clock)


def look_at_adoption(workspace: Workspace) -> Adoption:
    """Find out whether the state file must be adopted before anybody is sent to from it.

    Raises:
        StateError: there is no state file, or it cannot be used.
        TemporaryError: a process of this machine is using it.
    """
    path = real_path(workspace.settings.state)
    demand_file(path)
    if locks.living_presences(path):
        raise _in_use(f"a process of this machine is using {path}")
    state = workspace.state
    why = generation.suspicion(state)
    if why is None and (lost := takeover.look_for_lost_track(state).missing):
        why = f"it does not know {counted(lost, 'sent message')}"
    rows, broadcasts = takeover.waiting(state)
    return Adoption(workspace, why, rows, broadcasts)


def usage(workspace: Workspace) -> tuple[SeenFile, list[dict[str, object]]]:
    """What the state file is, and the locks in it: purpose, pid, host, since, and alive or not."""
    seen = look_at_file(workspace.settings.state)
    try:
        found = locks.held(workspace.state, workspace.clock) if seen.schema else []
    except StateError as error:
        return replace(seen, problem=error), []
    return seen, [
        {
            "purpose": row["purpose"],
            "pid": row["pid"],
            "host": row["host"],
            "since": row["acquired_at"],
            "alive": is_alive,
        }
        for row, is_alive in found
    ]


def back_up(workspace: Workspace, file: Path | None) -> tuple[Path, SeenFile]:
    """Copy the state file to a new file, into a directory, or beside it (None); checks the copy.

    Raises:
        UsageError: the target exists or cannot be made.
        StateError: there is no state file, it is damaged, or the disk is full.
    """
    state = real_path(workspace.settings.state)
    demand_file(state)
    default = beside(state, "backup", workspace.clock)
    target = default if file is None else file / default.name if file.is_dir() else file
    return target, write_backup(state, target)


@dataclass(frozen=True)
class Old:
    """A broadcast that can go. `ended_at` is RFC 3339 text in UTC."""

    broadcast_id: int
    name: str | None
    status: str
    ended_at: str
    rows: int


@dataclass(frozen=True)
class Choice:
    """What can go, and for which reasons how many broadcasts of that age are kept."""

    removable: tuple[Old, ...]
    kept: Mapping[str, int]


def choose(state: State, before: datetime, now: datetime, repeat_hours: float) -> Choice:
    """Find the broadcasts that ended before a moment and that nothing needs any more.

    Kept is what is open, what has ambiguous rows or claims that nobody settled, and what was
    answered (`recent`), with 131049 (`cooling_down`) or otherwise, in the last 24 hours. Kept is
    what was sent in the last `repeat_hours`, or it could be sent again (`already_sent`). The newest
    is kept: its number would be given out again, and a late report about one of its messages would
    then be taken for news of another broadcast.
    """
    since, old = to_text(now - _COOLING_DOWN), to_text(before)
    repeats_since = to_text(now - timedelta(hours=repeat_hours))
    found = state.rows(
        "SELECT *, CASE WHEN status NOT IN ('completed', 'cancelled') THEN 'open'"
        " WHEN uncertain > 0 THEN 'ambiguous' WHEN cooling > 0 THEN 'cooling_down'"
        " WHEN last_answer_at > ? THEN 'recent' WHEN last_claim_at > ? THEN 'already_sent'"
        " WHEN broadcast_id = ? THEN 'newest' END AS kept"
        " FROM (SELECT b.broadcast_id, b.name, b.status, COUNT(r.row) AS row_count,"
        " COALESCE(MAX(r.answered_at), '') AS last_answer_at,"
        " COALESCE(MAX(r.claimed_at), '') AS last_claim_at,"
        " COALESCE(b.finished_at, b.started_at, b.planned_at) AS ended_at,"
        " COALESCE((SELECT MAX(d.decided_at) FROM decisions d"
        " WHERE d.broadcast_id = b.broadcast_id), '') AS last_decision_at,"
        " COUNT(CASE WHEN r.state IN ('ambiguous', 'sending') THEN 1 END) AS uncertain,"
        " COUNT(CASE WHEN r.code = 131049 AND r.answered_at > ? THEN 1 END) AS cooling"
        " FROM broadcasts b LEFT JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status <> 'draft' GROUP BY b.broadcast_id) AS found"
        " WHERE ended_at < ? AND last_answer_at < ? AND last_decision_at < ?"
        " ORDER BY broadcast_id",
        [since, repeats_since, newest_id(state), since, old, old, old],
    )
    removable = tuple(
        Old(
            broadcast_id=row["broadcast_id"],
            name=row["name"],
            status=row["status"],
            ended_at=max(row["ended_at"], row["last_answer_at"], row["last_decision_at"]),
            rows=row["row_count"],
        )
        for row in found
        if row["kept"] is None
    )
    return Choice(removable, dict(Counter(row["kept"] for row in found if row["kept"])))


class Pruning:
    """What can go: finished broadcasts that ended, and events that came in, before a moment (UTC).

    The space is given back to the disk in small steps, while others write; with `vacuum` all at
    once, which a file that an earlier version made needs the first time.

    Raises:
        StateError: there is no state file.
        TemporaryError: with `vacuum`, while a living process uses it.
    """

    def __init__(self, workspace: Workspace, before: datetime, *, vacuum: bool) -> None:
        self._path = real_path(workspace.settings.state)
        demand_file(self._path)
        if vacuum:
            refuse_living(self._path, workspace.clock)
        self._vacuum = vacuum
        self._clock, self._now = workspace.clock, workspace.clock.now()
        self._state = workspace.state
        self._store, self._log = Broadcasts(workspace.state), EventLog(workspace.state)
        self.before = before
        self.is_read = False
        self._bytes = self._path.stat().st_size
        hours = workspace.settings.repeat_hours
        self.broadcasts = choose(workspace.state, before, self._now, hours)
        self.events = self._log.choose_old(before, consumers.names)

    @property
    def returned_bytes(self) -> int:
        """How much smaller the file is now."""
        return max(0, self._bytes - self._path.stat().st_size)

    @property
    def unused_bytes(self) -> int:
        """How much of the file holds nothing, and waits for new rows."""
        return self._state.unused_bytes()

    def remove(self) -> None:
        """Remove it for good, and what a run that ended early left; what has changed stays.

        So do those that a dead process left notes of: without them nobody knows the notes.
        """
        takeover.forget_settled(self._state)
        noted = takeover.noted_broadcasts(self._state)
        chosen = [old for old in self.broadcasts.removable if old.broadcast_id not in noted]
        removed = [old for old in chosen if self._store.remove(old.broadcast_id)]
        self.broadcasts = replace(self.broadcasts, removable=tuple(removed))
        self._store.discard_abandoned(self._clock)
        if self.events:
            self._log.remove_old(self.events, self.before, self._now)
        if self._vacuum:
            compact_file(self._path)
        elif self._state.gives_back():
            self.is_read = not self._state.give_back()


def beside(path: Path, word: str, clock: Clock) -> Path:
    """A name beside the state file with a word and the time: `wacoex-backup-20261123T093000Z.db`.

    The time is in UTC, to the second.
    """
    return path.with_name(f"{path.stem}-{word}-{clock.now():%Y%m%dT%H%M%SZ}{path.suffix}")


def refuse_living(path: Path, clock: Clock) -> None:
    """Raise TemporaryError while a process that may be alive holds a lock of the state file."""
    users = [f"a process of this machine is using {path}"] if locks.living_presences(path) else []
    # Opening a file of another schema would write to it; of a damaged one presences say all.
    if not users and look_at_file(path).schema == _known_steps():
        with contextlib.suppress(StateError), contextlib.closing(open_state(path)) as state:
            users = [
                f"{row['purpose']} is held by process {row['pid']} on {row['host']}"
                for row, is_alive in locks.held(state, clock)
                if is_alive
            ]
    if users:
        raise _in_use(users[0])


def _in_use(what: str) -> TemporaryError:
    return TemporaryError(
        what,
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
    seen = look_at_file(source)
    is_sqlite = seen.problem is None or seen.problem.code != "state_not_sqlite"
    problems = problems_in(source) if is_sqlite else []
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


@dataclass(frozen=True)
class Problem:
    """Something that is wrong with the state file, and what to do about it."""

    problem: str
    remedy: str


def check(path: Path, clock: Clock) -> list[Problem]:
    """Everything that is wrong; a damaged file is not opened for more than that.

    Raises:
        StateError: there is no state file.
    """
    path = real_path(path)
    demand_file(path)
    found = [*_open_to_others(path)]
    damage = problems_in(path)
    if damage:
        return [*found, *(Problem(f"SQLite finds damage: {text}", _RESTORE) for text in damage)]
    try:
        state = open_state(path)
    except StateError as error:
        return [*found, Problem(error.message, error.hint or "look at the file")]
    with contextlib.closing(state):
        found += _findings(state, clock)
        found += _impossible(state)
        return [*found, *_wrong_sums(state), *_wrong_log(state), *_stranded(state, clock)]


def _findings(state: State, clock: Clock) -> Iterator[Problem]:
    mounts, now = generation.mounts_around(state.path), clock.now()
    for finding in (
        *takeover.check_state_file(state, now),
        *takeover.check_file_system(state, mounts, now),
    ):
        said = "; ".join(fact.text for fact in finding.evidence)
        yield Problem(f"{finding.id} {finding.title}: {said}", "; ".join(finding.remedy))


def _impossible(state: State) -> Iterator[Problem]:
    for row in takeover.impossible_rows(state):
        number = row["broadcast_id"]
        yield Problem(
            f"broadcast {number} has {counted(row['n'], 'row')} in an impossible state:"
            f" {row['what']}",
            "another program changed the file; send nothing of this broadcast before that program"
            f" has corrected them, or: wacoex broadcast cancel {number}",
        )


def _open_to_others(path: Path) -> Iterator[Problem]:
    presences = locks.presence_directory(path)
    endings = ("", *COMPANIONS, ".lock", ".turn", ".generation")
    files = [path.with_name(f"{path.name}{ending}") for ending in endings]
    for file in [*files, presences]:
        if file.exists() and file.stat().st_mode & _FOR_OTHERS:
            mode = "700" if file == presences else "600"
            yield Problem(f"others may use {file}", f"chmod {mode} {file}")


def _wrong_sums(state: State) -> Iterator[Problem]:
    for row in takeover.wrong_sums(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} counts {counted(row['recipients'], 'recipient')} and"
            f" {row['skipped']} skipped, but has {counted(row['found'], 'row')} of which"
            f" {row['found_skipped']} are skipped",
            "another program changed the file; sending or resuming it counts the rows again",
        )
    for row in takeover.people_twice(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} has {counted(row['people'], 'person')} more"
            " than once",
            f"do not send it: wacoex broadcast cancel {row['broadcast_id']}",
        )
    for row in takeover.taken_without_message_id(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} has {row['n']} accepted rows without a message id",
            "another program changed the file; these people are never sent to again:"
            f" wacoex broadcast show {row['broadcast_id']}",
        )
    for row in takeover.taken_after_optout(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} was sent to {counted(row['people'], 'person')} after"
            " they opted out",
            "was this file restored, or changed by another program? inform these people",
        )
    for row in takeover.completed_but_open(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} is completed, but not all its rows are settled:"
            f" {row['n']}",
            "another program changed the file; these people got nothing: plan a broadcast for them",
        )


def _wrong_log(state: State) -> Iterator[Problem]:
    lost = EventLog(state).events_of_no_payload()
    if lost:
        yield Problem(
            f"{counted(lost, 'event')} without a payload",
            "another program changed the file; wacoex still uses the events",
        )
    for row in EventLog(state).readers_ahead():
        yield Problem(
            f"`{row['consumer']}` has read events up to {row['event_id']}, but there are no"
            " events yet: it would skip new events",
            "another program changed the file; import the earlier webhooks: wacoex events import",
        )


def _stranded(state: State, clock: Clock) -> Iterator[Problem]:
    """Claims whose sender is dead. Read twice: a sender may end between two reads."""
    dead = [(row["broadcast_id"], row["holder"]) for row in _claims_of_the_dead(state, clock)]
    for row in _claims_of_the_dead(state, clock) if dead else ():
        number = row["broadcast_id"]
        if (number, row["holder"]) in dead:
            goes_on = row["status"] in (Status.SENDING, Status.PAUSED)
            yield Problem(
                f"{counted(row['n'], 'row')} of broadcast {number} left in the middle:"
                " its sender died",
                f"wacoex broadcast {'resume' if goes_on else 'reconcile'} {number} settles them",
            )


def _claims_of_the_dead(state: State, clock: Clock) -> list[Row]:
    claims = takeover.sending_rows(state)
    alive = {(row["purpose"], row["holder"]) for row, lives in locks.held(state, clock) if lives}
    return [
        row for row in claims if (lock_purpose(row["broadcast_id"]), row["holder"]) not in alive
    ]
