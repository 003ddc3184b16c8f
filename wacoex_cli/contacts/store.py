"""The people who want no more messages, in the state file.

An entry grows by itself, from `marketing` to `all`, and never shrinks but by a person's hand. It
holds for the messages of one business, or of all. How people say stop stands in `stops`.

Functions that change something are called inside a transaction of the state, but `add_by_hand`
and `import_file`, which open their own.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.contacts.persons import (
    EITHER_SPELLING,
    EVERY_BUSINESS,
    USER_ID_PREFIX,
    Persons,
    accounts_of_channel,
    identity_of,
)
from wacoex_cli.contacts.user_ids import user_id_in, why_no_user_id
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import check_country, normalise

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from wacoex_cli.foundation.state import Row, State

_BY_HAND = "operator"
_BY_FILE = "import"
_COLUMNS = "phone, scope, source, note, added_at, account"
_NO_MARKETING = ("UTILITY", "AUTHENTICATION")
_WIDER = (
    " DO UPDATE SET scope = excluded.scope, source = excluded.source, note = excluded.note,"
    " added_at = excluded.added_at WHERE {table}.scope = 'marketing' AND excluded.scope = 'all'"
)
SAID_AT = "said at "
"""How the note of a stop that came in by itself begins; a moment follows (RFC 3339, UTC)."""
_MARKS = "VALUES (?, ?, ?, ?, ?, ?)"
_ADD = f"INSERT INTO optouts ({_COLUMNS}) {_MARKS} ON CONFLICT (phone, account)" + _WIDER.format(
    table="optouts"
)
_ADD_ID = (
    f"INSERT INTO optouts_by_id (user_id, scope, source, note, added_at, account) {_MARKS}"
    " ON CONFLICT (user_id, account)" + _WIDER.format(table="optouts_by_id")
)
_BY_ID = f"'{USER_ID_PREFIX}' || user_id AS {_COLUMNS}"


class Scope(StrEnum):
    """What somebody on the opt-out list is not sent.

    `MARKETING` lets templates of the categories UTILITY and AUTHENTICATION through.
    """

    ALL = "all"
    MARKETING = "marketing"

    def covers(self, other: Scope) -> bool:
        """Whether nothing of the other scope is missing in this one."""
        return self in (Scope.ALL, other)


@dataclass(frozen=True)
class OptOut:
    """Somebody who wants no more messages. `added_at` is RFC 3339 in UTC.

    `phone` is a number (E.164), or `user_id:...` where Meta names nothing else. `account` is whose
    messages: those of its business; empty for those of every business.
    """

    phone: str
    scope: Scope
    source: str
    note: str | None
    added_at: str
    account: str = EVERY_BUSINESS


@dataclass(frozen=True)
class ImportCounts:
    """The result of an import: new or wider entries, ones already known, lines without a number."""

    added: int
    known: int
    invalid_lines: tuple[int, ...] = ()


def is_marketing(category: str) -> bool:
    """Whether an opt-out of marketing holds for a category; one that is not known counts too."""
    return category not in _NO_MARKETING


def holds_back(template: str, channel: str, optout: str = "optouts") -> str:
    """SQL that is true when a row of `optouts` stands against a broadcast.

    `template` is the SQL of its frozen template, `channel` that of its channel's id, `optout` the
    table's name in the query. A new category counts as marketing.
    """
    welcome = " OR ".join(
        f'{template} LIKE \'%"category": "{category}"%\'' for category in _NO_MARKETING
    )
    return (
        f"(({optout}.scope = 'all' OR NOT ({welcome})) AND ({optout}.account = '{EVERY_BUSINESS}'"
        f" OR {optout}.account IN ({accounts_of_channel(channel)})))"
    )


def add_optout(
    state: State,
    phone: str,
    source: str,
    note: str | None,
    now: datetime,
    scope: Scope = Scope.ALL,
    account: str = EVERY_BUSINESS,
) -> bool:
    """Put a number (E.164) or `user_id:...` on the list; False when it is there already.

    Only a wider scope takes the place of what is there.
    """
    return add_entry(state, OptOut(phone, scope, source, note, to_text(now), account))


def add_entry(state: State, entry: OptOut) -> bool:
    """Put an entry on the list; False when it says nothing that the list does not say."""
    known = entries_of(state, entry.phone, {entry.account})
    if any(other.scope.covers(entry.scope) for other in known):
        return False
    statement, name = _ADD, entry.phone
    if name.startswith(USER_ID_PREFIX):
        statement, name = _ADD_ID, name.removeprefix(USER_ID_PREFIX)
    return state.execute(statement, [name, *astuple(entry)[1:]]) == 1


def remove_entry(state: State, entry: OptOut) -> None:
    """Take one entry off the list, as it stands there."""
    table, column, name = "optouts", "phone", entry.phone
    if name.startswith(USER_ID_PREFIX):
        table, column, name = "optouts_by_id", "user_id", name.removeprefix(USER_ID_PREFIX)
    state.execute(f"DELETE FROM {table} WHERE {column} = ? AND account = ?", [name, entry.account])


def entries_of(state: State, phone: str, accounts: Collection[str]) -> list[OptOut]:
    """The entries of a number, in either spelling, or of a `user_id:...`, the widest first.

    Those of every business, and those of these accounts.
    """
    columns, table = _COLUMNS, "optouts"
    where, values = f"phone IN {EITHER_SPELLING}", [phone, phone]
    if phone.startswith(USER_ID_PREFIX):
        columns, table = _BY_ID, "optouts_by_id"
        where, values = "user_id = ?", [phone.removeprefix(USER_ID_PREFIX)]
    wanted = sorted({EVERY_BUSINESS, *accounts})
    rows = state.rows(
        f"SELECT {columns} FROM {table} WHERE {where}"
        f" AND account IN ({', '.join('?' * len(wanted))}) ORDER BY scope, account",
        [*values, *wanted],
    )
    return list(map(_entry, rows))


def add_by_hand(
    state: State,
    text: str,
    country: str | None,
    note: str | None,
    now: datetime,
    scope: Scope,
    *,
    dry_run: bool,
) -> tuple[str, Scope, bool]:
    """Put one number or user id on the list, or widen what it is not sent.

    Returns its E.164 form or `user_id:...`, what it is not sent afterwards, and whether the list
    changes for it. Raises UsageError when it is neither.
    """
    phone = _readable(text, country)
    with state.transaction():
        known = next(iter(entries_of(state, phone, ())), None)
        if known and known.scope.covers(scope):
            return phone, known.scope, False
        if not dry_run:
            add_optout(state, known.phone if known else phone, _BY_HAND, note, now, scope)
    return phone, scope, True


def remove_optout(state: State, phone: str, now: datetime) -> bool:
    """Take a person off the list, for every business; False when they were not there.

    By a number in either spelling, or by `user_id:...`; what is joined to it now goes with it. A
    stop from before `now` that comes in later does not put them back.
    """
    identity = identity_of(phone)
    everyone = Persons(state).of(identity, EVERY_BUSINESS) if identity else {phone}
    removed = 0
    for who in sorted({phone, *everyone}):
        removed += _remove(state, who)
        state.execute(
            "INSERT INTO optouts_removed (who, removed_at) VALUES (?, ?)"
            " ON CONFLICT (who) DO UPDATE SET removed_at = excluded.removed_at",
            [who, to_text(now)],
        )
    return removed > 0


def _remove(state: State, who: str) -> int:
    if who.startswith(USER_ID_PREFIX):
        user_id = who.removeprefix(USER_ID_PREFIX)
        return state.execute("DELETE FROM optouts_by_id WHERE user_id = ?", [user_id])
    return state.execute(f"DELETE FROM optouts WHERE phone IN {EITHER_SPELLING}", [who, who])


def import_optouts(
    state: State, phones: Iterable[str], source: str, now: datetime, scope: Scope = Scope.ALL
) -> ImportCounts:
    """Put many E.164 numbers and `user_id:...` on the list, each once."""
    distinct, added = set(phones), 0
    ids = {name for name in distinct if name.startswith(USER_ID_PREFIX)}
    for statement, names in ((_ADD, distinct - ids), (_ADD_ID, ids)):
        keys = (name.removeprefix(USER_ID_PREFIX) for name in names)
        rows = [(key, scope, source, None, to_text(now), EVERY_BUSINESS) for key in keys]
        added += state.execute_many(statement, rows) if rows else 0
    return ImportCounts(added=added, known=len(distinct) - added)


def import_file(
    state: State,
    numbers: Iterable[tuple[int, str]],
    country: str | None,
    now: datetime,
    scope: Scope,
    *,
    dry_run: bool,
) -> ImportCounts:
    """Put everybody in a file on the list; `numbers` are its lines, each with a number or user id.

    The file is read before the list is touched, so that a broadcast never waits for it.

    Raises:
        UsageError: the file cannot be read, or none of its numbers can; nothing changes then.
    """
    country = country and check_country(country)
    phones, invalid = set(), []
    for line, text in numbers:
        if name := _named(text, country):
            phones.add(name)
        else:
            invalid.append(line)
    if invalid and not phones:
        raise UsageError(
            f"no number in the file can be read (first on line {invalid[0]})",
            hint="write numbers with `+` and country code, or name the country with `--country`",
            code="invalid_phone",
        )
    if dry_run:
        listed = {
            optout.phone
            for optout in list_optouts(state)
            if optout.scope.covers(scope) and optout.account == EVERY_BUSINESS
        }
        counts = ImportCounts(added=len(phones - listed), known=len(phones & listed))
    else:
        with state.transaction():
            counts = import_optouts(state, phones, _BY_FILE, now, scope)
    return replace(counts, invalid_lines=tuple(invalid))


def find_optout(state: State, phone: str) -> OptOut | None:
    """The entry of a number, in either spelling, or of a `user_id:...`; of several the widest."""
    found = list_optouts(state, phone)
    return min(found, key=lambda optout: (optout.scope, optout.account), default=None)


def is_opted_out(state: State, phone: str, scope: Scope = Scope.MARKETING) -> bool:
    """Whether an E.164 number is on the list, in either spelling, for what is in the scope."""
    found = find_optout(state, phone)
    return found is not None and found.scope.covers(scope)


def listed_phone(state: State, text: str, country: str | None) -> str:
    """The E.164 number, or the `user_id:...`, of somebody on the list.

    Raises UsageError when they are not on it.
    """
    phone = _readable(text, country)
    if find_optout(state, phone) is None:
        raise UsageError(
            f"{phone} is not on the opt-out list",
            hint="`wacoex optout list` shows who is",
            code="not_opted_out",
        )
    return phone


def list_optouts(state: State, phone: str | None = None) -> list[OptOut]:
    """Everybody on the list, or the entries of one person, the newest first.

    `phone` is a number, in either spelling, or a `user_id:...`.
    """
    where, values = "", []
    if phone is not None:
        where, values = f"WHERE phone IN {EITHER_SPELLING}", [phone, phone]
    rows = state.rows(
        f"SELECT {_COLUMNS} FROM (SELECT {_COLUMNS} FROM optouts UNION ALL"
        f" SELECT {_BY_ID} FROM optouts_by_id) AS listed {where} ORDER BY added_at DESC, phone",
        values,
    )
    return list(map(_entry, rows))


def _entry(row: Row) -> OptOut:
    return OptOut(**{**row, "scope": Scope(row["scope"])})


def _named(text: str, country: str | None) -> str | None:
    """A number (E.164), or `user_id:...`; None for any other text."""
    user_id = user_id_in(text)
    return f"{USER_ID_PREFIX}{user_id}" if user_id else normalise(text, country)


def _readable(text: str, country: str | None) -> str:
    phone = _named(text, country and check_country(country))
    if phone is None and (what := why_no_user_id(text)):
        raise UsageError(
            f"`{text}` is {what}",
            hint="give the phone number, or the user id such as US.13491208655302741918",
            code="invalid_phone",
        )
    if phone is None:
        raise UsageError(
            f"`{text}` is not a phone number",
            hint="write it with `+` and country code, such as `+6591234567`,"
            " or name the country with `--country`",
            code="invalid_phone",
        )
    return phone
