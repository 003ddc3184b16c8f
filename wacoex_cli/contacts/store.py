"""The people who want no more messages, in the state file.

An entry grows by itself, from `marketing` to `all`, and never shrinks but by a person's hand.

Functions that change something are called inside a transaction of the state, but `add_by_hand`
and `import_file`, which open their own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.phone_numbers import check_country, normalise
from wacoex_cli.platforms.events import Kind, Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.events import Event

_BY_PREFERENCE = "meta-user_preferences"
_BY_REFUSAL = "meta-131050"
_BY_HAND = "operator"
_BY_FILE = "import"
_COLUMNS = "phone, scope, source, note, added_at"
_NO_MARKETING = ("UTILITY", "AUTHENTICATION")
_ADD = (
    "INSERT INTO optouts (phone, scope, source, note, added_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (phone) DO UPDATE SET scope = excluded.scope, source = excluded.source,"
    " note = excluded.note, added_at = excluded.added_at"
    " WHERE optouts.scope = 'marketing' AND excluded.scope = 'all'"
)


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
    """Somebody who wants no more messages. `added_at` is RFC 3339 in UTC."""

    phone: str
    scope: Scope
    source: str
    note: str | None
    added_at: str


@dataclass(frozen=True)
class ImportCounts:
    """What became of a file: new or wider entries, ones already known, lines without a number."""

    added: int
    known: int
    invalid_lines: tuple[int, ...] = ()


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


def one_spelling(phone: str) -> str:
    """The same E.164 number for both spellings of one WhatsApp number: the shorter of them.

    What `other_spelling` says in SQL.
    """
    digits = len(phone) - 1
    if (phone.startswith("+549") and digits == 13) or (phone.startswith("+521") and digits == 13):
        return phone[:3] + phone[4:]
    if phone.startswith("+55") and digits == 13 and phone[5] == "9" and phone[6] in "6789":
        return phone[:5] + phone[6:]
    return phone


EITHER_SPELLING = (
    f"(?, (SELECT {other_spelling('given.phone')} FROM (SELECT CAST(? AS TEXT) AS phone) given))"
)
"""SQL for `phone IN`: a number, given twice, and its other spelling."""


def holds_back(template: str, optout: str = "optouts") -> str:
    """SQL that is true when a row of `optouts` stands against a broadcast.

    `template` is the SQL of its frozen template, `optout` the table's name in the query. A new
    category counts as marketing.
    """
    welcome = " OR ".join(
        f'{template} LIKE \'%"category": "{category}"%\'' for category in _NO_MARKETING
    )
    return f"({optout}.scope = 'all' OR NOT ({welcome}))"


def add_optout(
    state: State,
    phone: str,
    source: str,
    note: str | None,
    now: datetime,
    scope: Scope = Scope.ALL,
) -> bool:
    """Put an E.164 number on the list; False when it is there already, which stays as it is.

    Only a wider scope takes the place of what is there.
    """
    return state.execute(_ADD, [phone, scope, source, note, to_text(now)]) == 1


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
    """Put one number on the list, or widen what it is not sent.

    Returns its E.164 form, what it is not sent afterwards, and whether the list changes for it.
    Raises UsageError when it is no phone number.
    """
    phone = _readable(text, country)
    with state.transaction():
        known = find_optout(state, phone)
        if known and known.scope.covers(scope):
            return phone, known.scope, False
        if not dry_run:
            add_optout(state, known.phone if known else phone, _BY_HAND, note, now, scope)
    return phone, scope, True


def add_stop(state: State, phone: str, stopped_at: str, now: datetime) -> None:
    """Put somebody on the list who told Meta to stop; of several times the first is noted.

    It says more than a message that Meta refused for it. What an operator or a file said before
    stays as it is, unless it was said of marketing only. `stopped_at` is RFC 3339 in UTC.
    """
    state.execute(
        "INSERT INTO optouts (phone, scope, source, note, added_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (phone) DO UPDATE SET scope = excluded.scope, source = excluded.source,"
        " note = excluded.note, added_at = CASE WHEN optouts.scope = 'all' THEN optouts.added_at"
        " ELSE excluded.added_at END"
        " WHERE optouts.scope = 'marketing' OR optouts.source = ?"
        " OR (optouts.source = excluded.source AND excluded.note < optouts.note)",
        [
            phone,
            Scope.ALL,
            _BY_PREFERENCE,
            f"stopped marketing messages at {stopped_at}",
            to_text(now),
            _BY_REFUSAL,
        ],
    )


def remove_optout(state: State, phone: str) -> bool:
    """Take a number off the list in either spelling; False when it was not there."""
    return (
        state.execute(f"DELETE FROM optouts WHERE phone IN {EITHER_SPELLING}", [phone, phone]) > 0
    )


def import_optouts(
    state: State, phones: Iterable[str], source: str, now: datetime, scope: Scope = Scope.ALL
) -> ImportCounts:
    """Put many E.164 numbers on the list, each once."""
    distinct = set(phones)
    rows = [(phone, scope, source, None, to_text(now)) for phone in distinct]
    added = state.execute_many(_ADD, rows) if rows else 0
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
    """Put everybody in a file on the list; `numbers` are its lines, each with its number as text.

    The file is read before the list is touched, so that a broadcast never waits for it.

    Raises:
        UsageError: the file cannot be read, or none of its numbers can; nothing changes then.
    """
    country = country and check_country(country)
    phones, invalid = set(), []
    for line, text in numbers:
        if phone := normalise(text, country):
            phones.add(phone)
        else:
            invalid.append(line)
    if invalid and not phones:
        raise UsageError(
            f"no number in the file can be read (first on line {invalid[0]})",
            hint="write numbers with `+` and country code, or name the country with `--country`",
            code="invalid_phone",
        )
    if dry_run:
        listed = {optout.phone for optout in list_optouts(state) if optout.scope.covers(scope)}
        counts = ImportCounts(added=len(phones - listed), known=len(phones & listed))
    else:
        with state.transaction():
            counts = import_optouts(state, phones, _BY_FILE, now, scope)
    return replace(counts, invalid_lines=tuple(invalid))


def find_optout(state: State, phone: str) -> OptOut | None:
    """The entry of an E.164 number, in either spelling; of two the wider."""
    found = state.row(
        f"SELECT {_COLUMNS} FROM optouts WHERE phone IN {EITHER_SPELLING} ORDER BY scope LIMIT 1",
        [phone, phone],
    )
    return OptOut(**{**found, "scope": Scope(found["scope"])}) if found else None


def is_opted_out(state: State, phone: str, scope: Scope = Scope.MARKETING) -> bool:
    """Whether an E.164 number is on the list, in either spelling, for what is in the scope."""
    found = find_optout(state, phone)
    return found is not None and found.scope.covers(scope)


def listed_phone(state: State, text: str, country: str | None) -> str:
    """The E.164 number of somebody on the list. Raises UsageError when they are not on it."""
    phone = _readable(text, country)
    if not is_opted_out(state, phone):
        raise UsageError(
            f"{phone} is not on the opt-out list",
            hint="`wacoex optout list` shows who is",
            code="not_opted_out",
        )
    return phone


def list_optouts(state: State) -> list[OptOut]:
    """Everybody on the list, the newest first."""
    rows = state.rows(f"SELECT {_COLUMNS} FROM optouts ORDER BY added_at DESC, phone")
    return [OptOut(**{**row, "scope": Scope(row["scope"])}) for row in rows]


def _readable(text: str, country: str | None) -> str:
    phone = normalise(text, country and check_country(country))
    if phone is None:
        raise UsageError(
            f"`{text}` is not a phone number",
            hint="write it with `+` and country code, such as `+6591234567`,"
            " or name the country with `--country`",
            code="invalid_phone",
        )
    return phone


def project(state: State, events: Sequence[Event], now: datetime) -> None:
    """Put everybody on the list who said stop (Meta: user_preferences webhook).

    A later "resume" takes nobody off: `wacoex optout remove` does. Who is known by a user id
    only cannot be put on a list of numbers; nobody sends to them by number either.
    """
    for event in events:
        if event.data.get("value") == "stop" and (event.contact or "").startswith("+"):
            add_stop(state, str(event.contact), event.at, now)


OPTOUTS = Projection("opt-outs", frozenset({Kind.USER_PREFERENCE}), project)
