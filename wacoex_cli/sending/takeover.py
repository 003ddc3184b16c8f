"""Becoming the sender of a broadcast, and what is wrong with the rows of senders before it.

A dead sender leaves claims in the ledger, and notes of what left in its presence file. The notes
outlive a ledger that went back in time, because its write-ahead log was lost or an older file was
put in its place: a try that they name and the ledger does not know may have gone out.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.contacts.persons import other_spelling
from wacoex_cli.contacts.store import holds_back
from wacoex_cli.errors import HeldElsewhereError, RefusedError, StateError, counted
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation import generation, locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.state import explained
from wacoex_cli.ledger.figures import LOST_RECORD, OPEN, OTHER_COPY, TAKEN, sql_list
from wacoex_cli.ledger.model import (
    TAKEN_STATES,
    Attempt,
    RowState,
    Status,
    attempt_id,
    attempt_in,
    lock_purpose,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts, newest_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.generation import Mount
    from wacoex_cli.foundation.locks import Presence, Remains
    from wacoex_cli.foundation.state import Row, State

_ROOM_FOR_ANSWERS = 4 * 1024**2
"""Bytes in which the answers to all that senders have under way can be recorded."""
_ROWS_AT_ONCE = 500
_UNSURE_IDS = 100
# The processes that claims and locks name, dead ones too.
_HOLDERS = (
    "SELECT holder FROM locks UNION SELECT r.holder FROM broadcasts b JOIN recipients r"
    " ON r.broadcast_id = b.broadcast_id WHERE r.state = 'sending'"
)
_DIED = "the sender died, perhaps after the request left"
_NOT_RECORDED = "the request may have left; the state file did not take its result"
_NOTED = "it left in a try that is not recorded: the state file went back in time"
_ADOPTED = "another copy of the state file may have sent it"

_IMPOSSIBLE = (
    ("an unknown state", f"state NOT IN {sql_list(RowState)}"),
    (
        "waiting for a sender that is gone",
        "state = 'sending' AND (holder IS NULL OR claimed_at IS NULL OR attempts < 1)",
    ),
    ("ambiguous, but never tried", "state = 'ambiguous' AND claimed_at IS NULL"),
    ("skipped for no reason", "state = 'skipped' AND reason IS NULL"),
    ("a number of tries below 0", "attempts < 0 OR tries_in_run < 0"),
)


class NotedTry(NamedTuple):
    """A try that a dead process noted and the ledger does not know; `at` is when, at the latest."""

    attempt: Attempt
    at: datetime


@dataclass(frozen=True)
class LostTrack:
    """What dead processes noted and the ledger does not know.

    `tries` are of rows that are still open. `missing` counts those of rows, broadcasts or state
    files that are not here at all.
    """

    tries: tuple[NotedTry, ...] = ()
    missing: int = 0

    @property
    def count(self) -> int:
        """How many tries the ledger does not know."""
        return len(self.tries) + self.missing


def look_for_lost_track(state: State) -> LostTrack:
    """Compare the notes of all dead processes, of all broadcasts, with the ledger. Reads only."""
    return _compare(state, locks.all_remains(state.path))


def _compare(state: State, found: Sequence[Remains]) -> LostTrack:
    this_file = Broadcasts(state).state_id
    noted: dict[int, dict[int, NotedTry]] = defaultdict(dict)
    missing = 0
    for remains in found:
        for attempt in filter(None, map(attempt_in, remains.notes)):
            if attempt.state_id != this_file:
                missing += 1
                continue
            of_row = noted[attempt.broadcast_id].get(attempt.row)
            if of_row is None or of_row.attempt.number < attempt.number:
                noted[attempt.broadcast_id][attempt.row] = NotedTry(attempt, remains.at)
    tries: list[NotedTry] = []
    for broadcast_id, of_rows in noted.items():
        for known in _known(state, broadcast_id, sorted(of_rows)):
            noted_try = of_rows.pop(known["row"])
            if known["attempts"] < noted_try.attempt.number and known["is_open"]:
                tries.append(noted_try)
        missing += len(of_rows)
    return LostTrack(tuple(tries), missing)


def _known(state: State, broadcast_id: int, rows: Sequence[int]) -> Iterator[Row]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = rows[start : start + _ROWS_AT_ONCE]
        yield from state.rows(
            f"SELECT row, attempts, state IN {OPEN} AS is_open FROM recipients"
            f" WHERE broadcast_id = ? AND row IN ({', '.join('?' * len(part))})",
            [broadcast_id, *part],
        )


def demand_own_file(state: State) -> None:
    """Refuse to plan or send from a file that is a copy, or that lost track of what was sent.

    A table of rows that does not fit its indexes is refused too: a log that was cut short can leave
    one behind without any other sign, and it is looked for when a process died.

    Raises:
        RefusedError: `state adopt` must come first.
        StateError: the file is damaged, or has a second name.
    """
    generation.demand_own(state)
    found = locks.all_remains(state.path)
    if any(remains.notes for remains in found):
        state.demand_sound("recipients")
    if missing := _compare(state, found).missing:
        raise RefusedError(
            f"wacoex plans and sends nothing: {counted(missing, 'message')} went to people whom"
            " the state file"
            f" {state.path} does not know: it went back in time",
            hint="if there is a newer file, restore it; otherwise: wacoex state adopt",
            code="state_went_back",
            details={"unknown_messages": missing},
        )


def demand_room(state: State) -> None:
    """Refuse to send where there may be no room to record the answers.

    Raises:
        StateError: less than 4 MiB of the disk are free, or nobody can tell.
    """
    with explained(state.path):
        disk = os.statvfs(state.path)
    # Some file systems do not say how large they are.
    if disk.f_blocks and disk.f_bavail * disk.f_frsize < _ROOM_FOR_ANSWERS:
        raise StateError(
            f"the disk is nearly full: {state.path} may not take the answers to what is sent",
            hint="free some space, then try again; wacoex keeps what it recorded",
            code="disk_full",
        )


def take_lock(state: State, broadcast_id: int, presence: Presence, clock: Clock) -> None:
    """Become the sender of a broadcast, inside a transaction.

    The rows of a dead one are settled in it: nobody ever sees them without an owner. So are rows
    of any broadcast that somebody noted as sent and the ledger does not know.

    Raises:
        TemporaryError: somebody who may be alive is sending it.
    """
    purpose = lock_purpose(broadcast_id)
    former = locks.acquire(state, purpose, presence, clock)
    presence.lock(purpose)
    remains = None
    if former:
        same_boot = former["boot_id"] == clock.boot_id()
        remains = locks.remains_of(state.path, former["holder"], same_boot=same_boot)
    # First what the ledger does not know: a claim that it has lost can be another try of a row.
    _doubt(state, look_for_lost_track(state).tries, clock.now())
    _take_over(state, broadcast_id, remains, clock.now())


def settle_own(state: State, broadcast_id: int, presence: Presence, now: datetime) -> None:
    """Settle the rows that this process has claimed and sends no more, inside a transaction."""
    if Rows(state, broadcast_id).claims():
        _take_over(state, broadcast_id, presence.remains(), now, _NOT_RECORDED)


def _take_over(
    state: State, broadcast_id: int, remains: Remains | None, now: datetime, why: str = _DIED
) -> None:
    """Settle what a sender that is gone left in `sending`.

    Claimed but provably not left goes back to pending. What left, or may have, is ambiguous.
    """
    state_id, rows = Broadcasts(state).state_id, Rows(state, broadcast_id)
    for claim in rows.claims():
        name = attempt_id(state_id, broadcast_id, claim["row"], claim["attempts"])
        stayed = (
            remains is not None
            and remains.is_complete
            and remains.holder == claim["holder"]
            and name not in remains.notes
        )
        if stayed:
            rows.unclaim(claim["row"])
        else:
            rows.doubt_claims(why, now, claim["row"])


def _doubt(state: State, tries: Sequence[NotedTry], now: datetime) -> int:
    changed = 0
    for attempt, at in tries:
        rows = Rows(state, attempt.broadcast_id)
        tried = (attempt.row, attempt.number)
        changed += rows.lose_track(LOST_RECORD, _NOTED, min(at, now), now, tried)
    return changed


def settle_dead(state: State, broadcast_id: int, clock: Clock, reason: str | None = None) -> None:
    """Settle the rows of a sender that died, in its own transaction, without sending.

    With a `reason` a broadcast that it was sending is paused for it.
    """
    presence, broadcasts = locks.Presence(state.path), Broadcasts(state)
    try:
        with state.transaction():
            take_lock(state, broadcast_id, presence, clock)
            if reason and broadcasts.status(broadcast_id) is Status.SENDING:
                broadcasts.set_status(broadcast_id, Status.PAUSED, reason=reason)
            locks.release(state, lock_purpose(broadcast_id), presence)
    finally:
        presence.leave()
    forget_settled(state)


def settle_if_dead(state: State, broadcast_id: int, clock: Clock) -> None:
    """Settle the rows of a sender that died, and pause its broadcast; a living one is left alone.

    Of a broadcast that was cancelled too, which nobody resumes.
    """
    if Rows(state, broadcast_id).claims():
        with contextlib.suppress(HeldElsewhereError):
            settle_dead(state, broadcast_id, clock, "its sender died")


def settle_lost_track(state: State, clock: Clock) -> int:
    """Make open rows ambiguous that were noted as sent and are not known; how many."""
    if not look_for_lost_track(state).tries:
        return 0
    with state.transaction():
        return _doubt(state, look_for_lost_track(state).tries, clock.now())


def forget_settled(state: State, own: Presence | None = None) -> bool:
    """Remove what dead processes left, and `own`, as far as the file itself knows it all.

    The counter is raised first: an older file that comes in its place afterwards lacks what the
    notes said, and is known by that. False when the log could not be emptied just now, or the file
    is not the one used last, so that everything stays.
    """
    found = locks.all_remains(state.path)
    if not found and own is None:
        return True
    if generation.suspicion(state) is not None:
        return False
    with state.transaction():
        generation.raise_counter(state)
    if not generation.seal(state):
        return False
    needed = {row["holder"] for row in state.rows(_HOLDERS)}
    for remains in found:
        if remains.holder not in needed and not _compare(state, [remains]).count:
            locks.forget(state.path, remains.holder)
    return True


def waiting(state: State) -> tuple[int, int]:
    """People whom planned, paused or running broadcasts still have to send to; and the latter."""
    found = state.rows(
        "SELECT COUNT(*) AS n FROM broadcasts b JOIN recipients r"
        " ON r.broadcast_id = b.broadcast_id"
        f" WHERE b.status IN ('planned', 'sending', 'paused') AND r.state IN {OPEN}"
        " GROUP BY b.broadcast_id"
    )
    return sum(row["n"] for row in found), len(found)


@dataclass(frozen=True)
class AdoptedFile:
    """What was marked when a state file was adopted: broadcasts with their rows in doubt."""

    rows: Mapping[int, int]

    @property
    def ambiguous(self) -> int:
        """How many rows are in doubt now."""
        return sum(self.rows.values())


def adopt(state: State, why: str, who: str, clock: Clock) -> AdoptedFile:
    """Make this the file that is used from now on; what another may have sent is in doubt.

    Every open row becomes ambiguous, and its broadcast paused. Numbers of broadcasts that another
    file may have given out are not given out again.
    """
    found, before = locks.all_remains(state.path), generation.read_sidecar(state.path)
    store, now = Broadcasts(state), clock.now()
    with state.transaction():
        lost = _compare(state, found)
        _doubt(state, lost.tries, now)
        marked = {attempt.broadcast_id: 0 for attempt, _ in lost.tries}
        for attempt, _ in lost.tries:
            marked[attempt.broadcast_id] += 1
        waits = (Status.PLANNED, Status.SENDING, Status.PAUSED)
        for broadcast in [each for status in waits for each in store.of_channel(None, status)]:
            number = broadcast.broadcast_id
            rows = Rows(state, number)
            in_doubt = rows.lose_track(OTHER_COPY, _ADOPTED, now, now)
            marked[number] = marked.get(number, 0) + in_doubt
            store.set_status(number, Status.PAUSED, reason=f"the state file was adopted: {why}")
            rows.note_decision(None, f"adopted: {why}", who, now)
        noted = [0, *(attempt.broadcast_id for attempt in _attempts(found))]
        adopted = AdoptedFile({number: n for number, n in sorted(marked.items()) if n})
        # Of a file that nobody uses here they name processes of elsewhere.
        state.execute("DELETE FROM locks")
        last = max(*noted, newest_id(state, drafts=True) + _UNSURE_IDS)
        state.execute("DELETE FROM about WHERE key = 'last_broadcast_id'")
        state.execute("INSERT INTO about VALUES ('last_broadcast_id', ?)", [str(last)])
        state.execute(
            "INSERT INTO adoptions (adopted_at, adopted_by, reason, ambiguous) VALUES (?, ?, ?, ?)",
            [to_text(now), who, why, adopted.ambiguous],
        )
        generation.raise_counter(state, before.generation if before else 0)
    generation.seal(state, anew=True)
    for remains in found:
        locks.forget(state.path, remains.holder)
    return adopted


def noted_broadcasts(state: State) -> set[int]:
    """The broadcasts that notes of dead processes name."""
    return {attempt.broadcast_id for attempt in _attempts(locks.all_remains(state.path))}


def _attempts(found: Sequence[Remains]) -> Iterator[Attempt]:
    for remains in found:
        yield from filter(None, map(attempt_in, remains.notes))


def check_state_file(state: State, now: datetime) -> list[Finding]:
    """WX711: the state file is a copy or went back in time, so that nobody is sent to from it."""
    said = []
    if (why := generation.suspicion(state)) is not None:
        said.append(f"{state.path}: {why}")
    if lost := look_for_lost_track(state).count:
        said.append(f"{state.path} does not know {counted(lost, 'sent message')}")
    if not said:
        return []
    evidence = [Evidence(text, "machine", to_text(now)) for text in said]
    return [Finding("WX711", Severity.CRITICAL, None, evidence)]


def check_file_system(state: State, mounts: Sequence[Mount], now: datetime) -> list[Finding]:
    """WX710: the state file lies on a network file system, where two senders may both get in."""
    name = generation.network_file_system(state.path, mounts)
    if name is None:
        return []
    said = Evidence(f"{state.path} is on {name}", "machine", to_text(now))
    place = generation.local_path_for(state.path, mounts)
    return [Finding("WX710", Severity.CRITICAL, None, said, place=str(place))]


def wrong_sums(state: State) -> list[Row]:
    """Broadcasts whose rows are not the recipients and the skipped that they count."""
    return state.rows(
        "SELECT b.broadcast_id, b.recipients, b.skipped, COUNT(r.row) AS found,"
        " COALESCE(SUM(CASE WHEN r.state = 'skipped' THEN 1 ELSE 0 END), 0) AS found_skipped"
        " FROM broadcasts b LEFT JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status <> 'draft' GROUP BY b.broadcast_id, b.recipients, b.skipped"
        " HAVING COUNT(r.row) <> b.recipients + b.skipped OR"
        " COALESCE(SUM(CASE WHEN r.state = 'skipped' THEN 1 ELSE 0 END), 0) <> b.skipped"
        " ORDER BY b.broadcast_id"
    )


def people_twice(state: State) -> list[Row]:
    """Broadcasts with people who have more than one row that can be sent to, and how many."""
    return state.rows(
        "SELECT broadcast_id, COUNT(*) AS people FROM ("
        " SELECT broadcast_id, phone FROM recipients WHERE state <> 'skipped'"
        " GROUP BY broadcast_id, phone HAVING COUNT(*) > 1) AS twice"
        " GROUP BY broadcast_id ORDER BY broadcast_id"
    )


def sending_rows(state: State) -> list[Row]:
    """How many rows each holder has claimed in each broadcast, and its status."""
    return state.rows(
        "SELECT r.broadcast_id, b.status, r.holder, COUNT(*) AS n FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE r.state = 'sending'"
        " GROUP BY r.broadcast_id, r.holder ORDER BY r.broadcast_id, r.holder"
    )


def impossible_rows(state: State) -> list[Row]:
    """Rows in states that no command leads to: broadcast_id, what is wrong, and how many (`n`)."""
    what = " ".join(f"WHEN {condition} THEN '{word}'" for word, condition in _IMPOSSIBLE)
    return state.rows(
        "SELECT broadcast_id, what, COUNT(*) AS n FROM"
        f" (SELECT broadcast_id, CASE {what} END AS what FROM recipients) AS looked_at"
        " WHERE what IS NOT NULL GROUP BY broadcast_id, what ORDER BY broadcast_id, what"
    )


def taken_without_message_id(state: State) -> list[Row]:
    """Broadcasts with rows that Meta took but gave no id for; those a person settled left out."""
    return state.rows(
        "SELECT r.broadcast_id, COUNT(*) AS n FROM recipients r"
        f" WHERE r.state IN {TAKEN}"
        " AND r.message_id IS NULL AND NOT EXISTS (SELECT 1 FROM decisions d"
        " WHERE d.broadcast_id = r.broadcast_id AND d.row = r.row AND d.decision = 'sent')"
        " GROUP BY r.broadcast_id ORDER BY r.broadcast_id"
    )


def taken_after_optout(state: State) -> list[Row]:
    """Broadcasts that sent to people who were on the opt-out list already, by number or user id."""
    named = (
        ("optouts", f"r.phone IN (o.phone, {other_spelling('o.phone')})"),
        ("optouts_by_id", "r.user_id = o.user_id"),
    )
    sent = " UNION ".join(
        f"SELECT r.broadcast_id, r.row FROM {table} o JOIN recipients r ON {is_person}"
        " JOIN broadcasts b ON b.broadcast_id = r.broadcast_id"
        f" WHERE r.state IN {sql_list((RowState.SENDING, *TAKEN_STATES))}"
        f" AND r.claimed_at > o.added_at AND {holds_back('b.template', 'b.channel_id', 'o')}"
        for table, is_person in named
    )
    return state.rows(
        f"SELECT broadcast_id, COUNT(*) AS people FROM ({sent}) AS sent"
        " GROUP BY broadcast_id ORDER BY broadcast_id"
    )


def completed_but_open(state: State) -> list[Row]:
    """Completed broadcasts with rows that are still to be sent."""
    return state.rows(
        "SELECT b.broadcast_id, COUNT(*) AS n FROM broadcasts b"
        " JOIN recipients r ON r.broadcast_id = b.broadcast_id"
        " WHERE b.status = 'completed' AND r.state IN ('pending', 'retry', 'sending')"
        " GROUP BY b.broadcast_id ORDER BY b.broadcast_id"
    )
