"""Whom a row of a list names: by a number, by a user id, by both, or nobody."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.audience.phone_cells import shortened, why_invalid
from wacoex_cli.contacts.persons import EVERY_BUSINESS, USER_ID_PREFIX
from wacoex_cli.contacts.user_ids import (
    is_username,
    person_in_row,
    user_id_in,
    why_no_user_id,
    with_history,
)
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wacoex_cli.audience.model import SourceRow
    from wacoex_cli.contacts.persons import Persons

_AT_ONCE = 2_000
_EXAMPLE = "US.13491208655302741918"


class NamedPerson(NamedTuple):
    """A person as a list names them: a number (E.164), a user id, or both.

    Without either, `reason` and `detail` say what stands there instead.
    """

    phone: str | None = None
    user_id: str | None = None
    reason: SkipReason | None = None
    detail: str | None = None


def named_in(row: SourceRow, country: str | None) -> NamedPerson:
    """Whom a row names; `country` is that of numbers without a country code.

    An id may stand in its own column or in that of the numbers. What stands in a column of ids and
    is none does not matter beside a number: programs number their own users too.
    """
    if not row.is_chosen:
        return NamedPerson(reason=SkipReason.NOT_CHOSEN)
    if row.fault is not None:
        return NamedPerson(reason=SkipReason.INVALID, detail=row.fault)
    phone = normalise(row.phone, country)
    user_id = None
    if row.user_id or phone is None:
        user_id = user_id_in(row.user_id) or user_id_in(row.phone)
    if phone or user_id:
        return NamedPerson(phone, user_id)
    for text in (row.phone, row.user_id):
        if why := why_no_user_id(text):
            reason = SkipReason.USERNAME if is_username(text) else SkipReason.INVALID
            return NamedPerson(reason=reason, detail=why)
    stands_there = row.user_id.strip()
    if stands_there and row.phone.strip() in ("", stands_there):
        detail = f"not a user id of Meta ({shortened(stands_there)}), such as {_EXAMPLE}"
    else:
        detail = why_invalid(row.phone, country)
    return NamedPerson(reason=SkipReason.INVALID, detail=detail)


def names_in(row: SourceRow) -> list[str]:
    """The texts that name the person of a row: the number, the user id, or both."""
    other = row.user_id if user_id_in(row.user_id) and row.user_id != row.phone else None
    if other is None:
        return [row.phone]
    return [row.phone, other] if row.phone.strip() else [other]


def people_in(
    rows: Iterable[SourceRow], country: str | None, persons: Persons, account: str
) -> Iterator[tuple[SourceRow, NamedPerson]]:
    """Each row and whom it names, with the number of an id as far as pairs of the business tell.

    A number and an id in one row that Meta knows as two people name nobody.
    """
    source = iter(rows)
    while part := list(itertools.islice(source, _AT_ONCE)):
        named = [named_in(row, country) for row in part]
        by_id = [person for person in named if person.user_id]
        ids = {person.user_id for person in by_id if person.user_id}
        phones = {person.phone for person in by_id if person.phone}
        known = with_history(persons, ids, phones) if ids else set()
        for row, person in zip(part, named, strict=True):
            yield row, _looked_up(persons, account, person, known)


def _looked_up(persons: Persons, account: str, named: NamedPerson, known: set[str]) -> NamedPerson:
    if named.user_id is None or not known & {f"{USER_ID_PREFIX}{named.user_id}", named.phone}:
        return named
    person = person_in_row(persons, account, named.phone, named.user_id)
    if person.why_not:
        return NamedPerson(reason=SkipReason.INVALID, detail=person.why_not)
    return NamedPerson(person.phone, person.user_id)


def excluded_names(
    title: str, rows: Iterable[SourceRow], country: str | None, persons: Persons
) -> Iterator[str]:
    """The numbers (E.164) and `user_id:...` of people to leave out; `title` names their source.

    Raises:
        UsageError: a row cannot be read: it might be somebody who is to be sent to.
    """
    for row in rows:
        if not (row.phone.strip() or row.user_id.strip()) and row.fault is None:
            continue
        named = named_in(row, country)
        if named.reason is not None:
            raise UsageError(
                f"line {row.line} of {title} to exclude cannot be read: {named.detail}",
                hint="correct or remove that line; nothing was planned",
                code="invalid_phone",
            )
        if named.phone:
            yield named.phone
        if named.user_id:
            yield from persons.of(f"{USER_ID_PREFIX}{named.user_id}", EVERY_BUSINESS)
