"""Changing the list of people who want no more messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wacoex_cli.audience.model import ImportCounts, Scope
from wacoex_cli.contacts import store
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import check_country, normalise

if TYPE_CHECKING:
    from datetime import datetime

    from wacoex_cli.audience.recipients_file import RecipientsFile
    from wacoex_cli.foundation.state import State

_BY_HAND = "operator"
_BY_FILE = "import"


@dataclass(frozen=True)
class Change:
    """One number, what it is not sent afterwards, and whether the list changes for it."""

    phone: str
    scope: Scope
    is_change: bool


@dataclass(frozen=True)
class Imported:
    """What an import did; `invalid_lines` are those whose number could not be read."""

    counts: ImportCounts
    invalid_lines: tuple[int, ...]


def add(
    state: State,
    text: str,
    country: str | None,
    note: str | None,
    now: datetime,
    *,
    scope: Scope = Scope.ALL,
    dry_run: bool = False,
) -> Change:
    """Put one number on the list, or widen what it is not sent.

    Raises UsageError when it is no phone number.
    """
    phone = _readable(text, country)
    with state.transaction():
        known = store.find_optout(state, phone)
        if known and known.scope.covers(scope):
            return Change(phone, known.scope, is_change=False)
        if not dry_run:
            stored = known.phone if known else phone
            store.add_optout(state, stored, _BY_HAND, note, now, scope)
    return Change(phone, scope, is_change=True)


def find(state: State, text: str, country: str | None) -> str:
    """The E.164 number of somebody on the list. Raises UsageError when they are not on it."""
    phone = _readable(text, country)
    if not store.is_opted_out(state, phone):
        raise UsageError(
            f"{phone} is not on the opt-out list",
            hint="`wacoex optout list` shows who is",
            code="not_opted_out",
        )
    return phone


def remove(state: State, phone: str) -> None:
    """Take an E.164 number off the list."""
    with state.transaction():
        store.remove_optout(state, phone)


def import_file(
    state: State,
    recipients: RecipientsFile,
    country: str | None,
    now: datetime,
    *,
    scope: Scope = Scope.ALL,
    dry_run: bool = False,
) -> Imported:
    """Put everybody in a file on the list.

    The file is read before the list is touched, so that a broadcast never waits for it.

    Raises:
        UsageError: the file cannot be read, or none of its numbers can; nothing changes then.
    """
    phones, invalid = _numbers(recipients, country and check_country(country))
    if invalid and not phones:
        raise UsageError(
            f"no number in the file can be read (first on line {invalid[0]})",
            hint="write numbers with `+` and country code, or name the country with `--country`",
            code="invalid_phone",
        )
    if dry_run:
        listed = store.list_optouts(state)
        known = len(phones & {one.phone for one in listed if one.scope.covers(scope)})
        return Imported(ImportCounts(added=len(phones) - known, known=known), invalid)
    with state.transaction():
        return Imported(store.import_optouts(state, phones, _BY_FILE, now, scope), invalid)


def _numbers(recipients: RecipientsFile, country: str | None) -> tuple[set[str], tuple[int, ...]]:
    phones: set[str] = set()
    invalid = []
    for row in recipients:
        phone = normalise(row.phone, country)
        if phone is None:
            invalid.append(row.line)
        else:
            phones.add(phone)
    return phones, tuple(invalid)


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
