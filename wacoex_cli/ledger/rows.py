"""The rows of a broadcast, and the one way in which they move.

Methods that change something are called inside a transaction of the state, unless they say that
they make their own. What reports and estimates read beside this stands in `figures`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts.persons import (
    EITHER_SPELLING,
    USER_ID_PREFIX,
    ids_of,
    numbers_of,
    other_spelling,
)
from wacoex_cli.contacts.store import holds_back
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.ledger.figures import (
    DUE,
    FAILED,
    IS_HELD,
    NOT_OPTED_OUT,
    OPEN,
    PENDING,
    sql_list,
)
from wacoex_cli.ledger.model import (
    LONGEST_RETRY_IN_RUN,
    MOST_TRIES_IN_RUN,
    SENT_STATES,
    TRANSITIONS,
    Broadcast,
    Claim,
    Move,
    RowState,
    SameMessage,
    Settled,
    Status,
)
from wacoex_cli.ledger.people import People

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

MessageKey = Callable[[str, str], int]
"""The key of a message, from a number (E.164) and its values (JSON)."""


class PlannedRow(NamedTuple):
    """A row of a draft. `phone` is E.164, or `user_id:...`; `parameters` is JSON."""

    row: int
    line: int
    phone: str
    parameters: str
    state: str = RowState.PENDING.value
    reason: str | None = None
    new_contact: str | None = None
    user_id: str | None = None


_BATCH = 5_000
_ABOUT_A_PERSON = frozenset({"opted_out", "excluded", "cooling_down"})
# What an earlier try left: it must not stand beside the present reason.
_NOTHING_OLD = "reason = NULL, code = NULL"
_WENT_OUT = "not_before = NULL, holder = NULL, answered_at = COALESCE(answered_at, claimed_at)"
_HAS_RETRY = "SELECT EXISTS (SELECT 1 FROM recipients WHERE broadcast_id = ? AND state = 'retry')"
_HAVE_GOT_IT = sql_list(SENT_STATES)
_INSERT_ROW = (
    "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state, reason,"
    " new_contact, user_id, sent_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)


@functools.cache
def moving(move: Move, to: RowState, changes: str = "", where: str = "") -> str:
    """The statement that moves rows of one broadcast; rows that may not move so stay as they are.

    `changes` and `where` are SQL with `?`; the broadcast's id comes between their values. No other
    statement changes the state of a row.

    Raises:
        ValueError: no row ever becomes that by this move.
    """
    sources = TRANSITIONS[move].get(to)
    if not sources:
        raise ValueError(f"no row becomes {to.value} by {move.value}")
    return (
        f"UPDATE recipients SET state = '{to.value}'{changes and f', {changes}'}"
        f" WHERE broadcast_id = ?{where and f' AND {where}'} AND state IN {sql_list(sources)}"
    )


_CLAIM = moving(
    Move.CLAIM,
    RowState.SENDING,
    "attempts = attempts + 1, tries_in_run = tries_in_run + 1, holder = ?, claimed_at = ?,"
    " first_try_in_run_at = COALESCE(first_try_in_run_at, ?),"
    " reason = CASE WHEN reason = 'quiet_hours' THEN NULL ELSE reason END",
    "row = ?",
)


class _Choice:
    """How rows to claim are chosen: among all people, and among those who have not opted out.

    The second costs several times as much, and hardly anybody has opted out.
    """

    def __init__(self, choice: str) -> None:
        columns = "row, phone, user_id, parameters, attempts, tries_in_run, first_try_in_run_at"
        self.among_all = choice.format(columns=columns, unlisted="TRUE")
        self.among_unlisted = choice.format(columns=columns, unlisted=NOT_OPTED_OUT)


_DUE, _PENDING = _Choice(DUE), _Choice(PENDING)


class Rows(People):
    """The rows of one broadcast: what they say, and what moves them."""

    def add(self, rows: Sequence[PlannedRow], key: MessageKey | None = None) -> None:
        """Write a batch of rows, in its own transaction; a second row of a person is skipped.

        `key` gives the keys of their messages; without it `give_keys` does so later.
        """
        if not rows:
            return
        with self.state.transaction():
            written = self._insert(rows, key)
            if written < len(rows):
                found = self.state.rows(
                    "SELECT row FROM recipients WHERE broadcast_id = ? AND row BETWEEN ? AND ?",
                    [self.broadcast_id, rows[0].row, rows[-1].row],
                )
                kept = {row["row"] for row in found}
                left_out = [row for row in rows if row.row not in kept]
                state, reason = RowState.SKIPPED.value, "duplicate"
                self._insert(
                    [row._replace(state=state, reason=reason, new_contact=None) for row in left_out]
                )

    def _insert(self, rows: Sequence[PlannedRow], key: MessageKey | None = None) -> int:
        number, pending = self.broadcast_id, RowState.PENDING.value
        keyed = [
            (number, *row, key(row.phone, row.parameters) if key and row.state == pending else None)
            for row in rows
        ]
        return self.state.execute_many(_INSERT_ROW, keyed)

    def give_keys(self, key: MessageKey) -> None:
        """Give their keys to rows that have none, in transactions of its own."""
        last = -1
        while page := self._rows(
            "SELECT row, phone, parameters FROM recipients WHERE broadcast_id = ? AND row > ?"
            " AND state <> 'skipped' AND sent_key IS NULL ORDER BY row LIMIT ?",
            last,
            _BATCH,
        ):
            with self.state.transaction():
                self.state.execute_many(
                    "UPDATE recipients SET sent_key = ? WHERE broadcast_id = ? AND row = ?",
                    [
                        (key(row["phone"], row["parameters"]), self.broadcast_id, row["row"])
                        for row in page
                    ],
                )
            last = page[-1]["row"]
        with self.state.transaction():
            sql = "UPDATE broadcasts SET has_keys = 1 WHERE broadcast_id = ?"
            self.state.execute(sql, [self.broadcast_id])

    def add_test(self, line: int, phone: str, parameters: str) -> None:
        """Write the one row of a test message, `parameters` as JSON."""
        self._insert([PlannedRow(1, line, phone, parameters)])

    def copy_failed(
        self,
        source: Broadcast,
        wanted: Sequence[tuple[RowState, int | None]],
        after_row: int,
        most: int,
    ) -> int:
        """Plan the next failed rows of another broadcast with these states and codes.

        They keep their numbers. Returns the last one's; 0 when there are no more.
        """
        if not wanted:
            return 0
        chosen = " OR ".join("(state = ? AND COALESCE(code, -1) = COALESCE(?, -1))" for _ in wanted)
        # Whether respond.io still has them as contacts is found out as for any plan.
        contact = "phone" if source.provider is Provider.RESPONDIO else "NULL"
        written = self.state.execute(
            "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, user_id, sent_key,"
            " state, new_contact) SELECT ?, row, line, phone, parameters, user_id, sent_key,"
            f" 'pending', {contact}"
            f" FROM recipients WHERE {FAILED} AND ({chosen}) AND row > ? ORDER BY row LIMIT ?",
            [
                self.broadcast_id,
                source.broadcast_id,
                *[value for state_and_code in wanted for value in state_and_code],
                after_row,
                most,
            ],
        )
        last = "SELECT MAX(row) FROM recipients WHERE broadcast_id = ?"
        return int(self._value(last)) if written else 0

    def explain(self, details: Sequence[tuple[str, int]]) -> None:
        """Write what is wrong beside rows: detail and row number."""
        self.state.execute_many(
            "UPDATE recipients SET detail = ? WHERE broadcast_id = ? AND row = ?",
            [(detail, self.broadcast_id, row) for detail, row in details],
        )

    def skip_opted_out(self) -> None:
        """Skip everybody who has opted out of it by now, and count again."""
        template, channel = (
            f"(SELECT {name} FROM broadcasts WHERE broadcast_id = ?)"
            for name in ("template", "channel_id")
        )
        stands = f"FROM optouts WHERE {holds_back(template, channel)}"
        by_id = f"FROM optouts_by_id WHERE {holds_back(template, channel, 'optouts_by_id')}"
        opted_out = (
            f"(SELECT phone {stands} UNION ALL SELECT {other_spelling('phone')} {stands}"
            f" UNION ALL {numbers_of(f'IN (SELECT user_id {by_id})')})"
        )
        where = (
            f"(phone IN {opted_out} OR (user_id IS NOT NULL AND user_id IN"
            f" (SELECT user_id {by_id} UNION ALL {ids_of(f'IN {opted_out}')})))"
        )
        if self._skip("opted_out", where, [self.broadcast_id] * where.count("?")):
            self.count_again()

    def skip_people(self, names: Iterable[str]) -> None:
        """Skip at once those of these people (see `new_optouts`) who have opted out of it.

        Opens transactions. What it costs depends on how many they are, not on the rows.
        """
        for name in sorted(names):
            if rows := self._rows_of(name):
                where = f"row IN ({', '.join('?' * len(rows))}) AND NOT ({NOT_OPTED_OUT})"
                with self.state.transaction():
                    skipped = self._skip("opted_out", where, rows)
                    self.state.execute(
                        "UPDATE broadcasts SET skipped = skipped + ?, recipients = recipients - ?"
                        " WHERE broadcast_id = ?",
                        [skipped, skipped, self.broadcast_id],
                    )

    def _rows_of(self, name: str) -> list[int]:
        """The rows, not skipped, of the person of a number (E.164) or an id (`user_id:...`)."""
        user_id = name.removeprefix(USER_ID_PREFIX)
        if user_id == name:
            phones, ids = EITHER_SPELLING, f"({ids_of(f'IN {EITHER_SPELLING}')})"
        else:
            phones, ids = f"({numbers_of('= ?')})", "(?)"
        # `broadcast_id + 0`: few rows have an id, many are in the broadcast.
        found = self.state.rows(
            "SELECT row FROM recipients WHERE broadcast_id = ? AND state <> 'skipped'"
            f" AND phone IN {phones} UNION"
            f" SELECT row FROM recipients WHERE broadcast_id + 0 = ? AND user_id IN {ids}",
            [
                *(self.broadcast_id, *[user_id] * phones.count("?")),
                *(self.broadcast_id, *[user_id] * ids.count("?")),
            ],
        )
        return [row["row"] for row in found]

    def skip_cooling_down(self, since: datetime) -> None:
        """Skip everybody for whom Meta answered 131049 after `since`."""
        cooling = "FROM recipients WHERE code = 131049 AND answered_at > ?"
        by_id = f"{cooling} AND user_id IS NOT NULL"
        where = (
            f"(phone IN (SELECT phone {cooling}"
            f" UNION ALL SELECT {other_spelling('phone')} {cooling}"
            f" UNION ALL {numbers_of(f'IN (SELECT user_id {by_id})')})"
            f" OR user_id IN (SELECT user_id {by_id}))"
        )
        self._skip("cooling_down", where, [to_text(since)] * where.count("?"))

    def skip_excluded(self, names: Iterable[str]) -> int:
        """Skip people by E.164 numbers and `user_id:...`, however the plan names them; how many."""
        # What is asked of the state is what the index of one row a person has.
        where = f"state <> 'skipped' AND phone IN {EITHER_SPELLING}"
        by_id = "state <> 'skipped' AND user_id = ?"
        phones, ids = [], []
        for name in names:
            if name.startswith(USER_ID_PREFIX):
                ids.append((self.broadcast_id, name.removeprefix(USER_ID_PREFIX)))
            else:
                phones.append((self.broadcast_id, name, name))
        skip = functools.partial(moving, Move.SKIP, RowState.SKIPPED, "reason = 'excluded'")
        searched = [(keys, part) for keys, part in ((phones, where), (ids, by_id)) if keys]
        return sum(self.state.execute_many(skip(part), keys) for keys, part in searched)

    def skip_respelled(self) -> None:
        """Of two rows that spell one person's number in two ways skip the later."""
        self._skip(
            "duplicate",
            "(phone LIKE '+52%' OR phone LIKE '+54%' OR phone LIKE '+55%')"
            " AND EXISTS (SELECT 1 FROM recipients first WHERE first.broadcast_id = ?"
            f" AND first.phone = {other_spelling('recipients.phone')}"
            " AND first.state <> 'skipped' AND first.row < recipients.row)",
            [self.broadcast_id],
            detail="an earlier row spells this number otherwise",
        )

    def skip_same_people(self) -> None:
        """Of rows that name one person by a number, an id or both keep the first that may go.

        What one of them is skipped for holds for all of them, where it is about the person.
        """
        detail = "another row names this person by the number or the id"
        for same in _by_person(self.named_twice()):
            reasons = {row["reason"] for row in same if row["reason"] in _ABOUT_A_PERSON}
            live = [row["row"] for row in same if row["state"] != RowState.SKIPPED.value]
            for row in live if reasons else live[1:]:
                self._skip(min(reasons, default="duplicate"), "row = ?", [row], detail=detail)

    def skip_twins(self, holder: str, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """The claims without those of people who have another row here that went or goes first.

        Their rows are skipped: a pair that came in after the plan shows that they are one person.
        """
        taken = {claim.row for claim in claims}
        marks = ", ".join("?" * len(claims))
        found = self.same_people(f"mine.row IN ({marks})", sorted(taken), [self.broadcast_id])
        late = {
            row["row"]
            for row in found
            if row["their_row"] < row["row"]
            or (row["claimed_at"] is not None and row["their_row"] not in taken)
        }
        if late:
            self.give_back(holder, [claim for claim in claims if claim.row in late])
            detail = "another row turned out to be of the same person"
            for row in sorted(late):
                self._skip("duplicate", "row = ?", [row], detail=detail)
        return tuple(claim for claim in claims if claim.row not in late)

    def skip_relatives(self, broadcast: Broadcast) -> None:
        """Skip whom another broadcast of the family was taken for, or will be sent to."""
        still = (
            f"(theirs.state IN {OPEN} AND b.status <> '{Status.CANCELLED.value}')"
            f" OR theirs.state IN {_HAVE_GOT_IT}"
        )
        self._skip_family(broadcast, still, "another broadcast has or had this row")

    def skip_sent_to(self, broadcast: Broadcast) -> None:
        """Skip who has the message after all: a failure was taken back, or a relative sent."""
        if broadcast.retry_of is not None:
            arrived = f"theirs.state IN {_HAVE_GOT_IT}"
            self._skip_family(broadcast, arrived, "the message arrived after all")

    def _skip_family(self, broadcast: Broadcast, condition: str, detail: str) -> None:
        for spelling in ("recipients.phone", other_spelling("recipients.phone")):
            self._skip(
                "duplicate",
                "EXISTS (SELECT 1 FROM broadcasts b JOIN recipients theirs"
                " ON theirs.broadcast_id = b.broadcast_id"
                " WHERE (b.broadcast_id = ? OR b.retry_of = ?) AND b.broadcast_id <> ?"
                f" AND theirs.state <> 'skipped' AND theirs.phone = {spelling} AND ({condition}))",
                [broadcast.family, broadcast.family, self.broadcast_id],
                detail=detail,
            )

    def skip_already_sent(self, repeats: Iterable[SameMessage]) -> None:
        """Skip rows whose person has the message from another broadcast, or will get it there."""
        self.state.execute_many(
            moving(Move.SKIP, RowState.SKIPPED, "reason = 'already_sent', detail = ?", "row = ?"),
            [(f"broadcast {r.broadcast_id}", self.broadcast_id, r.row) for r in repeats],
        )

    def skip_pressed(self, enough: Mapping[int, str]) -> None:
        """Skip rows whose people have had enough messages; of each row it is said why."""
        for row, why in enough.items():
            self._skip("pressure", "row = ?", [row], detail=why)

    def skip_without_contact(self) -> None:
        """Skip everybody who is no contact at respond.io (`no_contact`)."""
        self._skip("no_contact", "new_contact IS NOT NULL", [], changes=", new_contact = NULL")

    def _skip(
        self,
        reason: str,
        where: str,
        values: Sequence[object],
        *,
        detail: str | None = None,
        changes: str = "",
    ) -> int:
        new: list[object] = [reason]
        if detail:
            changes, new = f", detail = ?{changes}", [reason, detail]
        return self.state.execute(
            moving(Move.SKIP, RowState.SKIPPED, f"reason = ?, code = NULL{changes}", where),
            [*new, self.broadcast_id, *values],
        )

    # Contacts of respond.io: `new_contact` is the first name that one will get

    def note_contacts(self, phones: Sequence[str]) -> None:
        """Let the rows of these people (E.164) wait no longer: their contacts are there."""
        if phones:
            self.state.execute_many(
                "UPDATE recipients SET new_contact = NULL WHERE broadcast_id = ? AND phone = ?"
                " AND state <> 'skipped'",
                [(self.broadcast_id, phone) for phone in phones],
            )

    def refuse_contact(self, row: int, why: str) -> None:
        """Give up one row whose contact respond.io refuses to make."""
        changes, where = "detail = ?, new_contact = NULL", "new_contact IS NOT NULL AND row = ?"
        self.state.execute(
            moving(Move.REFUSE_CONTACT, RowState.REJECTED, changes, where),
            [why, self.broadcast_id, row],
        )

    def hold(self, held: Mapping[int, datetime | None]) -> None:
        """Hold rows back until a moment each, or at every hour (None).

        It is not a try: who waits for the morning has all tries left, and ten minutes for them.
        """
        changes = (
            "reason = 'quiet_hours', code = NULL, detail = NULL, not_before = ?, tries_in_run = 0,"
            " first_try_in_run_at = NULL"
        )
        self.state.execute_many(
            moving(Move.HOLD, RowState.RETRY, changes, "row = ?"),
            [(moment and to_text(moment), self.broadcast_id, row) for row, moment in held.items()],
        )

    def look_again(self, now: datetime) -> None:
        """Let every row that is held back be looked at anew: the quiet hours are others."""
        self.state.execute(
            f"UPDATE recipients SET not_before = ? WHERE broadcast_id = ? AND {IS_HELD}",
            [to_text(now), self.broadcast_id],
        )

    def renew_tries(self, now: datetime) -> None:
        """Before a run: rows in retry have all their tries again and wait ten minutes at most."""
        moment = to_text(now)
        self.state.execute(
            "UPDATE recipients SET tries_in_run = 0, first_try_in_run_at = NULL"
            " WHERE broadcast_id = ? AND state = 'retry' AND tries_in_run > 0",
            [self.broadcast_id],
        )
        # After the clock was set back waits would last hours, and quiet hours are others.
        self.state.execute(
            "UPDATE recipients SET not_before = ? WHERE broadcast_id = ? AND state = 'retry'"
            " AND not_before > ? AND (COALESCE(reason, '') <> 'quiet_hours' OR EXISTS (SELECT 1"
            " FROM broadcast_runs u WHERE u.broadcast_id = ? AND u.last_active_at > ?))",
            [
                moment,
                self.broadcast_id,
                to_text(now + LONGEST_RETRY_IN_RUN),
                self.broadcast_id,
                moment,
            ],
        )

    def claim(self, holder: str, most: int, now: datetime, steady: datetime) -> tuple[Claim, ...]:
        """Claim up to `most` rows: those due for another try first, then pending ones, in order.

        `now` is by the clock on the wall, `steady` by the one that nobody sets: waits end by it.

        Who has opted out since the broadcast began is passed over, and skipped at its end.
        """
        chosen = list[tuple[Any, ...]]()
        # Most ticks find none, and what is due takes longer to look for.
        if self._value(_HAS_RETRY):
            chosen = self._choose(_DUE, [*self.due_values(now, steady), most])
        if len(chosen) < most:
            chosen += self._choose(_PENDING, [self.broadcast_id, most - len(chosen)])
        begun = to_text(steady)
        claimed_by = (holder, to_text(now), begun, self.broadcast_id)
        self.state.execute_many(_CLAIM, [(*claimed_by, row) for row, *_ in chosen])
        if len(chosen) < most:
            self.skip_opted_out()
        return tuple(
            Claim(row, phone, parameters, attempts + 1, tries + 1, from_text(first_try_at or begun))
            for row, phone, _, parameters, attempts, tries, first_try_at in chosen
        )

    def _choose(self, choice: _Choice, values: Sequence[object]) -> list[tuple[Any, ...]]:
        chosen = self.state.tuples(choice.among_all, values)
        if self.may_have_opted_out([(phone, user_id) for _, phone, user_id, *_ in chosen]):
            chosen = self.state.tuples(choice.among_unlisted, values)
        return chosen

    def give_back(self, holder: str, claims: Iterable[Claim]) -> None:
        """Return claims whose request never began, as if they had not been claimed."""
        keys = [(self.broadcast_id, claim.row, claim.attempt, holder) for claim in claims]
        if keys:
            self._unclaim("row = ? AND attempts = ? AND holder = ?", keys)

    def _unclaim(self, where: str, keys: Sequence[Sequence[object]]) -> None:
        changes = "holder = NULL, tries_in_run = tries_in_run - 1"
        first = f"{changes}, first_try_in_run_at = NULL"
        for to, new, tries in ((RowState.RETRY, changes, "> 1"), (RowState.PENDING, first, "<= 1")):
            sql = moving(Move.GIVE_BACK, to, new, f"{where} AND tries_in_run {tries}")
            self.state.execute_many(sql, keys)

    def record(self, holder: str, settled: Sequence[Settled], now: datetime) -> None:
        """Write what became of claims; a claim that was taken over meanwhile is left alone.

        When requests began is written too, also of rows that a status has moved on meanwhile.
        """
        moment = to_text(now)
        changes = (
            "reason = ?, code = ?, detail = ?, not_before = ?, message_id = ?, answered_at = ?,"
            " left_at = COALESCE(?, left_at),"
            " tries_in_run = CASE WHEN ? = 1 THEN ? ELSE tries_in_run END"
        )
        written = 0
        for to in {answer.state for answer in settled}:
            written += self.state.execute_many(
                moving(Move.ANSWER, to, changes, "row = ? AND holder = ? AND attempts = ?"),
                [
                    (
                        answer.reason,
                        answer.code,
                        answer.detail,
                        answer.not_before and to_text(answer.not_before),
                        answer.message_id,
                        moment,
                        answer.left_at and to_text(answer.left_at),
                        int(answer.is_exhausted),
                        MOST_TRIES_IN_RUN,
                        self.broadcast_id,
                        answer.row,
                        holder,
                        answer.attempt,
                    )
                    for answer in settled
                    if answer.state is to
                ],
            )
        if written == len(settled):
            return
        self.state.execute_many(
            "UPDATE recipients SET left_at = ? WHERE broadcast_id = ? AND row = ? AND attempts = ?",
            [
                (to_text(answer.left_at), self.broadcast_id, answer.row, answer.attempt)
                for answer in settled
                if answer.left_at
            ],
        )

    def claims(self) -> list[Row]:
        """The rows that are being sent: row, attempts, holder."""
        return self._rows(
            "SELECT row, attempts, holder FROM recipients"
            " WHERE broadcast_id = ? AND state = 'sending'"
        )

    def unclaim(self, row: int) -> None:
        """Return the claim of a dead sender whose request provably never began."""
        self._unclaim("row = ?", [(self.broadcast_id, row)])

    def doubt_claims(self, why: str, now: datetime, row: int | None = None) -> int:
        """Make rows that are being sent ambiguous, all or one; how many. Now that is the reason."""
        changes = f"holder = NULL, answered_at = ?, detail = ?, {_NOTHING_OLD}"
        values: list[object] = [to_text(now), why, self.broadcast_id]
        where = ""
        if row is not None:
            where, values = "row = ?", [*values, row]
        return self.state.execute(
            moving(Move.TAKE_OVER, RowState.AMBIGUOUS, changes, where), values
        )

    def lose_track(
        self,
        reason: str,
        why: str,
        at: datetime,
        now: datetime,
        tried: tuple[int, int] | None = None,
    ) -> int:
        """Make open rows ambiguous, all or that of a noted try (row, attempt); how many.

        They may have gone out in a try that is not recorded, at `at` at the latest. Its number is
        used up, so that a status of it finds the row and no later try has the same name.
        """
        changes = (
            "holder = NULL, not_before = NULL, claimed_at = ?, answered_at = ?, detail = ?,"
            " code = NULL, reason = ?, attempts = "
        )
        values: list[object] = [to_text(at), to_text(now), why, reason]
        if tried is None:
            changes, where = f"{changes}attempts + 1", ""
            values += [self.broadcast_id]
        else:
            row, attempt = tried
            changes = f"{changes}CASE WHEN attempts < ? THEN ? ELSE attempts END"
            where = "row = ?"
            values += [attempt, attempt, self.broadcast_id, row]
        lost = self.state.execute(
            moving(Move.LOST_TRACK, RowState.AMBIGUOUS, changes, where), values
        )
        if lost:
            # What may have left has begun: other broadcasts are compared with it.
            begun = "UPDATE broadcasts SET started_at = COALESCE(started_at, ?)"
            self.state.execute(f"{begun} WHERE broadcast_id = ?", [to_text(at), self.broadcast_id])
        return lost

    def move_on(
        self,
        row: int,
        attempt: int,
        reached: RowState,
        *,
        code: int | None,
        message_id: str | None,
        detail: str | None = None,
    ) -> None:
        """Take a row to the state that a status event proves, never backwards.

        `detail` is what was said of a failure.
        """
        changes = f"message_id = COALESCE(message_id, ?), code = ?, detail = ?, {_WENT_OUT}"
        self.state.execute(
            moving(Move.STATUS, reached, changes, "row = ? AND attempts >= ?"),
            [message_id, code, detail, self.broadcast_id, row, attempt],
        )

    def prove(
        self, row: int, attempt: int, reached: RowState, message_id: str | None, detail: str | None
    ) -> bool:
        """Move a row to where its message came, as a list of messages proves.

        False when the row has moved on meanwhile. `detail` is what is said of a failure.
        """
        changes = f"message_id = ?, detail = ?, reason = NULL, code = NULL, {_WENT_OUT}"
        moved = self.state.execute(
            moving(Move.HISTORY, reached, changes, "row = ? AND attempts = ?"),
            [message_id, detail, self.broadcast_id, row, attempt],
        )
        return bool(moved)

    def settle(
        self, rows: Sequence[int], to: RowState, decision: str, who: str, now: datetime
    ) -> int:
        """Record a person's decision about ambiguous rows, in its own transaction.

        Returns for how many it was taken. Pending rows reopen a completed broadcast as paused.
        """
        changes = (
            "reason = ?, code = NULL, detail = NULL, holder = NULL, tries_in_run = 0,"
            " first_try_in_run_at = NULL"
        )
        statement = moving(Move.DECISION, to, changes, "row = ?")
        settled = 0
        with self.state.transaction():
            for row in rows:
                values = [f"{decision} (says {who})", self.broadcast_id, row]
                if self.state.execute(statement, values):
                    settled += 1
                    self.note_decision(row, decision, who, now)
            if settled and to is RowState.PENDING:
                self.state.execute(
                    "UPDATE broadcasts SET status = 'paused', reason = ?, reason_code = NULL"
                    " WHERE broadcast_id = ? AND status = 'completed'",
                    [f"{counted(settled, 'row')} will be sent again", self.broadcast_id],
                )
        return settled

    def note_decision(self, row: int | None, decision: str, who: str, now: datetime) -> None:
        """Write down who decided what; `row` None: about the whole broadcast."""
        self.state.execute(
            "INSERT INTO decisions (broadcast_id, row, decided_at, decided_by, decision)"
            " VALUES (?, ?, ?, ?, ?)",
            [self.broadcast_id, row, to_text(now), who, decision],
        )

    def count_again(self) -> None:
        """Store how many rows can be sent to and how many are skipped."""
        count = "(SELECT COUNT(*) FROM recipients r WHERE r.broadcast_id = ? AND r.state"
        self.state.execute(
            f"UPDATE broadcasts SET skipped = {count} = 'skipped'),"
            f" recipients = {count} <> 'skipped') WHERE broadcast_id = ?",
            [self.broadcast_id] * 3,
        )


def new_optouts(state: State, since: datetime) -> frozenset[str]:
    """Who came onto the list at or after a moment: numbers (E.164) and `user_id:...`."""
    sql = (
        "SELECT phone FROM optouts WHERE added_at >= ? UNION"
        f" SELECT '{USER_ID_PREFIX}' || user_id FROM optouts_by_id WHERE added_at >= ?"
    )
    return frozenset(row["phone"] for row in state.rows(sql, [to_text(since)] * 2))


def _by_person(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that a shared number or id joins, over others too, each group in its order."""
    leader: dict[str, str] = {}

    def first(name: str) -> str:
        while (above := leader.setdefault(name, name)) != name:
            name = above
        return name

    for row in rows:
        if row["number"] and row["user_id"]:
            leader[first(row["number"])] = first(row["user_id"])
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(first(row["user_id"] or row["number"]), []).append(row)
    return list(groups.values())
