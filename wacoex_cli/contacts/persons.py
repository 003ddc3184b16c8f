"""Persons: the numbers and user ids of somebody, joined by dated pairs.

Meta names a person by a phone number, by an id that is their own for each business, or by both.
What carries both is a pair. The newest pair holds: a number is given to somebody else, and a phone
is shared, so a number that comes with another id ends the older pair and merges nobody. A number
is one in each of its two spellings: here in SQL, as `phone_numbers.spellings` says it.

Source: Meta, business-scoped user ids; changelog of 2026-08-11 (changed numbers and ids).
Methods that change something are called inside a transaction of the state.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from wacoex_cli.channels.store import address_of_event
from wacoex_cli.foundation.phone_numbers import one_spelling

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event

USER_ID_PREFIX = "user_id:"
"""Before an id, where a number might stand too."""
EVERY_BUSINESS = ""
"""The account of what holds for all businesses."""
_AT_ONCE = 500
_MOST_RELATIVES = 1_000
_COLUMNS = "account, phone, user_id, source, since, seen_at, until"
_ACCOUNTS = (
    "SELECT account FROM channel_accounts WHERE channel_id IN"
    " (SELECT other_id FROM one_business WHERE channel_id IN ({channels}))"
)
# The pair `p`: it was not said to be over, and no rival in the same account is newer.
# The account is no way to look for a rival: all pairs may have the same.
_HOLDS = "(p.until IS NULL OR p.seen_at > p.until)" + "".join(
    f" AND NOT EXISTS (SELECT 1 FROM person_pairs q WHERE q.{name} = p.{name}"
    " AND q.account || '' = p.account AND q.seen_at > p.seen_at)"
    for name in ("phone", "user_id")
)
_SAME_BUSINESS = _ACCOUNTS.format(
    channels="SELECT channel_id FROM channel_accounts WHERE account = ?"
)


def other_spelling(phone: str) -> str:
    """SQL for the other spelling of one WhatsApp number, NULL where there is none.

    `phone` is the SQL of an E.164 number. Argentina's mobile numbers have a 9 after +54 that local
    writing leaves out, Mexico's had a 1 after +52 that WhatsApp's ids kept, and Brazil's got a
    ninth digit that older lists and ids lack. Brazil's landlines begin with 2 to 5 and have one.
    """
    ten = "_" * 10
    return (
        f"CASE WHEN {phone} LIKE '+549{ten}' THEN '+54' || substr({phone}, 5)"
        f" WHEN {phone} LIKE '+54{ten}' THEN '+549' || substr({phone}, 4)"
        f" WHEN {phone} LIKE '+521{ten}' THEN '+52' || substr({phone}, 5)"
        f" WHEN {phone} LIKE '+52{ten}' THEN '+521' || substr({phone}, 4)"
        f" WHEN {phone} LIKE '+55__9________' AND substr({phone}, 7, 1) IN ('6', '7', '8', '9')"
        f" THEN substr({phone}, 1, 5) || substr({phone}, 7)"
        f" WHEN {phone} LIKE '+55{ten}' AND substr({phone}, 6, 1) IN ('6', '7', '8', '9')"
        f" THEN substr({phone}, 1, 5) || '9' || substr({phone}, 6) END"
    )


def shorter_spelling(phone: str) -> str:
    """SQL for the shorter spelling of a number, as `one_spelling`; of anything else as it is."""
    other = other_spelling(phone)
    return f"CASE WHEN length({other}) < length({phone}) THEN {other} ELSE {phone} END"


EITHER_SPELLING = (
    f"(?, (SELECT {other_spelling('given.phone')} FROM (SELECT CAST(? AS TEXT) AS phone) given))"
)
"""SQL for `phone IN`: a number, given twice, and its other spelling."""


def person_of(contact: str) -> str:
    """SQL for what names the person of a contact: the number, in one spelling, else the id.

    `contact` is SQL of an E.164 number, of `user_id:...`, or of anything else, which stays.
    """
    number = (
        f"(SELECT p.phone FROM person_pairs p WHERE {contact} LIKE '{USER_ID_PREFIX}%'"
        f" AND p.user_id = substr({contact}, {len(USER_ID_PREFIX) + 1})"
        f" AND {_HOLDS} ORDER BY p.seen_at DESC LIMIT 1)"
    )
    return f"COALESCE({number}, {shorter_spelling(contact)})"


def numbers_of(whose: str) -> str:
    """SQL that selects the numbers that ids have now, in both spellings.

    `whose` follows the id: `= ...` or `IN (...)`.
    """
    has_it = f"FROM person_pairs p WHERE p.user_id {whose} AND {_HOLDS}"
    return f"SELECT p.phone {has_it} UNION ALL SELECT {other_spelling('p.phone')} {has_it}"


def ids_of(whose: str) -> str:
    """SQL that selects the ids that numbers have now, one for each business.

    `whose` follows the number and names both spellings: `IN (...)`.
    """
    return f"SELECT p.user_id FROM person_pairs p WHERE p.phone {whose} AND {_HOLDS}"


def accounts_of_channel(channel: str) -> str:
    """SQL for the accounts of the business that a channel belongs to; `channel` is SQL for it."""
    return _ACCOUNTS.format(channels=channel)


class Pair(NamedTuple):
    """A number (E.164) and a user id that were seen together.

    `account` is where: `waba_id:...`, else an address of our number. `since` is when it was first
    seen, `seen_at` when last, `until` when somebody was said to have left the number or the id
    (RFC 3339, UTC). `source` names what said it first.
    """

    account: str
    phone: str
    user_id: str
    source: str
    since: str
    seen_at: str
    until: str | None = None

    @property
    def identities(self) -> frozenset[str]:
        """Both, as they stand for a contact."""
        return frozenset({self.phone, f"{USER_ID_PREFIX}{self.user_id}"})

    @property
    def is_ended(self) -> bool:
        """Whether it was said to be over, and was not seen after that."""
        return self.until is not None and self.seen_at <= self.until


class PersonMove(NamedTuple):
    """A person who was known by `before` is known by `after` since `at` (RFC 3339, UTC)."""

    before: str
    after: str
    at: str


class Relatives:
    """Pairs and moves of one business, of a person and of who had the same numbers or ids."""

    def __init__(self, pairs: Iterable[Pair], moves: Iterable[PersonMove]) -> None:
        self._pairs: dict[str, list[Pair]] = {}
        self._moves: dict[str, list[PersonMove]] = {}
        for pair in pairs:
            for name in pair.identities:
                self._pairs.setdefault(name, []).append(pair)
        for move in moves:
            self._moves.setdefault(move.before, []).append(move)

    def pairs_of(self, name: str) -> Sequence[Pair]:
        """The pairs with this number or id."""
        return self._pairs.get(name, ())

    def moves_from(self, name: str) -> Sequence[PersonMove]:
        """The moves away from this number or id."""
        return self._moves.get(name, ())


def current(pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs that hold, of those of one business, the newest first.

    Of all that share a number, and of all that share an id, only the newest does.
    """
    taken: set[str] = set()
    found = []
    for pair in sorted(pairs, key=lambda it: (it.seen_at, it.since, it[:3]), reverse=True):
        mine = pair.identities
        if not pair.is_ended and not mine & taken:
            found.append(pair)
        taken |= mine
    return found


def identities_of(identity: str, pairs: Iterable[Pair]) -> frozenset[str]:
    """The number and the id of a person, by either of them; alone when no pair of theirs holds."""
    held = (pair.identities for pair in current(pairs) if identity in pair.identities)
    return next(held, frozenset({identity}))


def account_of(event: Event) -> str:
    """Whose an event is: the account of the business, else our number.

    `EVERY_BUSINESS` when it names neither: what nobody can place holds everywhere.
    """
    if event.waba_id:
        return f"waba_id:{event.waba_id}"
    return address_of_event(event) or EVERY_BUSINESS


def account_of_channel(state: State, channel_id: int) -> str:
    """The account of the business that a channel belongs to, else an address of its number."""
    account = state.value(
        "SELECT account FROM channel_accounts WHERE channel_id = ?"
        " ORDER BY CASE WHEN account LIKE 'waba_id:%' THEN 0 ELSE 1 END, account DESC LIMIT 1",
        [channel_id],
    )
    return str(account or EVERY_BUSINESS)


class Persons:
    """Pairs and moves in the state file; made for one transaction."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._alike: dict[str, frozenset[str]] = {}

    def is_known_well(self, pair: Pair) -> bool:
        """Whether a pair was seen before, earlier, and nothing contradicts it."""
        sql = (
            "SELECT account, user_id, phone, since, until FROM person_pairs"
            " WHERE phone = ? UNION SELECT account, user_id, phone, since, until"
            " FROM person_pairs WHERE user_id = ?"
        )
        rows = self.state.rows(sql, [pair.phone, pair.user_id])
        if len(rows) != 1:
            return False
        [known] = rows
        is_same = all(
            known[name] == getattr(pair, name) for name in ("account", "phone", "user_id")
        )
        return is_same and known["until"] is None and bool(known["since"] <= pair.since)

    def note(self, pairs: Iterable[Pair]) -> None:
        """Keep that these were seen; the order in which they come makes no difference."""
        self.state.execute_many(
            f"INSERT INTO person_pairs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (account, phone, user_id) DO UPDATE SET"
            " source = CASE WHEN excluded.since < person_pairs.since"
            " THEN excluded.source ELSE person_pairs.source END,"
            " since = CASE WHEN excluded.since < person_pairs.since"
            " THEN excluded.since ELSE person_pairs.since END,"
            " seen_at = CASE WHEN excluded.seen_at > person_pairs.seen_at"
            " THEN excluded.seen_at ELSE person_pairs.seen_at END",
            list(pairs),
        )

    def end(self, pair: Pair) -> None:
        """Keep that somebody left this number or id at `until`, also when it was never seen."""
        self.state.execute(
            f"INSERT INTO person_pairs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (account, phone, user_id) DO UPDATE SET"
            " until = CASE WHEN person_pairs.until > excluded.until"
            " THEN person_pairs.until ELSE excluded.until END",
            list(pair),
        )

    def note_account(self, events: Iterable[Event]) -> None:
        """Keep which of our numbers these events say belongs to which account."""
        seen = {
            (address, event.waba_id)
            for event in events
            if event.waba_id and (address := address_of_event(event))
        }
        self.state.execute_many(
            "INSERT INTO accounts_seen (address, waba_id) VALUES (?, ?)"
            " ON CONFLICT (address, waba_id) DO NOTHING",
            sorted(seen),
        )

    def accounts_like(self, account: str) -> frozenset[str]:
        """The accounts of the same business, this one too."""
        if account not in self._alike:
            rows = self.state.rows(_SAME_BUSINESS, [account])
            self._alike[account] = frozenset({account, *(row["account"] for row in rows)})
        return self._alike[account]

    def around(self, identity: str, account: str) -> list[Pair]:
        """The pairs of one business with a number (one spelling) or id, and all their rivals."""
        accounts = self.accounts_like(account)
        found: dict[tuple[str, str], Pair] = {}
        wanted, found_for = {identity}, set[str]()
        # A person, then who had the number or the id before or after them.
        for _ in range(2):
            for name in sorted(wanted - found_for):
                for pair in self._with(name):
                    if pair.account in accounts:
                        known = found.get((pair.phone, pair.user_id))
                        found[pair.phone, pair.user_id] = _merged(known, pair)
            found_for |= wanted
            wanted = {name for pair in found.values() for name in pair.identities}
        return list(found.values())

    def known(self, column: Literal["user_id", "phone"], values: Iterable[str]) -> set[str]:
        """Those of these ids, or numbers (one spelling), that are in any pair."""
        return self._found(f"SELECT {column} FROM person_pairs WHERE {column}", values)

    def moved(self, names: Iterable[str]) -> set[str]:
        """Those of these `user_id:...` that a person had before a change."""
        return self._found("SELECT before FROM person_moves WHERE before", names)

    def _found(self, sql: str, values: Iterable[str]) -> set[str]:
        wanted, found = sorted(values), set[str]()
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            rows = self.state.rows(f"{sql} IN ({', '.join('?' * len(part))})", part)
            found |= {str(value) for row in rows for value in row.values()}
        return found

    def id_after(self, name: str, account: str) -> str | None:
        """The `user_id:...` that a person got in place of another one; None when it was kept."""
        accounts = self.accounts_like(account)
        rows = self.state.rows(
            "SELECT account, after FROM person_moves"
            f" WHERE before = ? AND after LIKE '{USER_ID_PREFIX}%' ORDER BY at DESC, after",
            [name],
        )
        return next((str(row["after"]) for row in rows if row["account"] in accounts), None)

    def _with(self, identity: str) -> list[Pair]:
        column, value = "phone", identity
        if identity.startswith(USER_ID_PREFIX):
            column, value = "user_id", identity.removeprefix(USER_ID_PREFIX)
        sql = f"SELECT {_COLUMNS} FROM person_pairs WHERE {column} = ? ORDER BY account"
        return [Pair(**row) for row in self.state.rows(sql, [value])]

    def of(self, identity: str, account: str) -> frozenset[str]:
        """The number and the ids of a person now, by any; numbers in one spelling.

        With `EVERY_BUSINESS` as `account` the ids of all businesses, else that of one.
        """
        if account != EVERY_BUSINESS:
            return identities_of(identity, self.around(identity, account))
        names = self._at_each_business(identity)
        # Who is named by an id has one at other businesses too.
        for phone in [name for name in names - {identity} if name.startswith("+")]:
            names |= self._at_each_business(phone)
        return names

    def _at_each_business(self, identity: str) -> frozenset[str]:
        accounts = {pair.account for pair in self._with(identity)}
        found = (self.of(identity, account) for account in accounts)
        return frozenset({identity}).union(*found)

    def note_move(self, account: str, before: str, after: str, at: str) -> None:
        """Keep that a person who was known as `before` is known as `after` from `at` on."""
        self.state.execute(
            "INSERT INTO person_moves (account, before, after, at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (account, before, after, at) DO NOTHING",
            [account, before, after, at],
        )

    def relatives(
        self, identity: str, accounts: frozenset[str]
    ) -> tuple[frozenset[str], list[Relatives]]:
        """All that pairs and moves lead to from a number or id: the names, and what joins them.

        Of one business (its accounts), or with `EVERY_BUSINESS` of each. The nearest come first,
        and no more than a real person can have.
        """
        is_everywhere = EVERY_BUSINESS in accounts
        pairs: dict[tuple[frozenset[str], str, str], Pair] = {}
        moves = set[tuple[str, PersonMove]]()
        names, waiting = {identity}, deque([identity])
        while waiting and len(names) <= _MOST_RELATIVES:
            name = waiting.popleft()
            reached = set[str]()
            for pair in self._with(name):
                if is_everywhere or pair.account in accounts:
                    key = (self.accounts_like(pair.account), pair.phone, pair.user_id)
                    pairs[key] = _merged(pairs.get(key), pair)
                    reached |= pair.identities
            for where, move in self._moves_of(name):
                if is_everywhere or where in accounts:
                    moves.add((where, move))
                    reached |= {move.before, move.after}
            waiting.extend(sorted(reached - names))
            names |= reached
        businesses = {self.accounts_like(where) for where, _ in moves} | {key[0] for key in pairs}
        found = [
            Relatives(
                [pair for key, pair in pairs.items() if key[0] == business],
                sorted({move for where, move in moves if where in business}),
            )
            for business in sorted(businesses, key=sorted)
        ]
        return frozenset(names), found

    def _moves_of(self, name: str) -> list[tuple[str, PersonMove]]:
        rows = self.state.rows(
            "SELECT account, before, after, at FROM person_moves WHERE before = ?"
            " UNION SELECT account, before, after, at FROM person_moves WHERE after = ?",
            [name, name],
        )
        return [(row.pop("account"), PersonMove(**row)) for row in rows]


def identity_of(contact: str) -> str | None:
    """A contact as persons know it: a number in one spelling, or an id; None for anything else."""
    if contact.startswith("+"):
        return one_spelling(contact)
    return contact if contact.startswith(USER_ID_PREFIX) else None


def _merged(known: Pair | None, pair: Pair) -> Pair:
    """The same pair, seen in two accounts of one business."""
    if known is None:
        return pair
    return known._replace(
        since=min(known.since, pair.since),
        seen_at=max(known.seen_at, pair.seen_at),
        until=max(filter(None, (known.until, pair.until)), default=None),
    )
