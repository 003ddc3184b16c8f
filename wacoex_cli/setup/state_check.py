"""Is the state file sound? SQLite's own check, the files' modes, and sums that must hold."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.model import lock_purpose
from wacoex_cli.errors import StateError
from wacoex_cli.events import upkeep_ledger as log_ledger
from wacoex_cli.foundation import backup, locks
from wacoex_cli.foundation.state import open_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State

_FOR_OTHERS = 0o077
_RESTORE = "keep a copy of the file, then restore the last good backup: wacoex state restore FILE"


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
    backup.demand_file(path)
    found = [*_open_to_others(path)]
    damage = backup.problems_in(path)
    if damage:
        return [*found, *(Problem(f"SQLite finds damage: {one}", _RESTORE) for one in damage)]
    try:
        state = open_state(path)
    except StateError as error:
        return [*found, Problem(error.message, error.hint or _RESTORE)]
    with contextlib.closing(state):
        return [
            *found,
            *_wrong_sums(state),
            *_wrong_log(state),
            *_stranded(state, clock),
        ]


def _open_to_others(path: Path) -> Iterator[Problem]:
    presences = locks.presence_directory(path)
    endings = ("", *backup.COMPANIONS, ".lock")
    files = [path.with_name(f"{path.name}{ending}") for ending in endings]
    for file in [*files, presences]:
        if file.exists() and file.stat().st_mode & _FOR_OTHERS:
            mode = "700" if file == presences else "600"
            yield Problem(f"others may use {file}", f"chmod {mode} {file}")


def _wrong_sums(state: State) -> Iterator[Problem]:
    for row in figures.wrong_sums(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} counts {row['recipients']} recipients and"
            f" {row['skipped']} skipped, but has {row['found']} rows of which"
            f" {row['found_skipped']} are skipped",
            _RESTORE,
        )
    for row in figures.people_twice(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} has {row['people']} people more than once",
            f"do not send it: wacoex broadcast cancel {row['broadcast_id']}",
        )
    for row in figures.taken_without_message_id(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} has {row['n']} accepted rows without a message id",
            _RESTORE,
        )
    for row in figures.taken_after_optout(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} was sent to {row['people']} people after they opted"
            " out",
            "was this file restored, or changed by another program? tell these people",
        )
    for row in figures.completed_but_open(state):
        yield Problem(
            f"broadcast {row['broadcast_id']} is completed, but {row['n']} rows are still open",
            _RESTORE,
        )


def _wrong_log(state: State) -> Iterator[Problem]:
    lost = log_ledger.events_of_no_payload(state)
    if lost:
        yield Problem(f"{lost} events belong to no payload", _RESTORE)
    for row in log_ledger.readers_ahead(state):
        yield Problem(
            f"`{row['consumer']}` has read events up to {row['event_id']}, but there are none so"
            " far: it would pass over what comes in",
            _RESTORE,
        )


def _stranded(state: State, clock: Clock) -> Iterator[Problem]:
    """Claims whose sender is dead. Read twice: a sender may end between two reads."""
    dead = _claims_of_the_dead(state, clock)
    for number, holder, rows in _claims_of_the_dead(state, clock) if dead else ():
        if any((number, holder) == one[:2] for one in dead):
            yield Problem(
                f"{rows} rows of broadcast {number} are being sent by nobody: its sender died",
                f"wacoex broadcast resume {number} settles them",
            )


def _claims_of_the_dead(state: State, clock: Clock) -> list[tuple[int, str, int]]:
    claims = figures.sending_rows(state)
    alive = {(row["purpose"], row["holder"]) for row, lives in locks.held(state, clock) if lives}
    return [
        (row["broadcast_id"], row["holder"], row["n"])
        for row in claims
        if (lock_purpose(row["broadcast_id"]), row["holder"]) not in alive
    ]
