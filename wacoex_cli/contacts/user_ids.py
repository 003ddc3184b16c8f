"""User ids (BSUIDs) in what people write, and whom a row with one names.

Meta names a person by an id that holds for one business, such as `US.1234`: two letters of the
country, a point, letters and digits. The id of a parent business has `ENT` in it, and nobody can be
sent to by it. A username (`@ana`) is no address at all.

Source: Meta, business-scoped user ids.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.contacts.persons import USER_ID_PREFIX, current
from wacoex_cli.foundation.phone_numbers import one_spelling

if TYPE_CHECKING:
    from collections.abc import Collection

    from wacoex_cli.contacts.persons import Persons

_ID = re.compile(rf"(?:{USER_ID_PREFIX})?([A-Z]{{2}}\.[A-Za-z0-9]{{1,128}})")
_PARENT_ID = re.compile(rf"(?:{USER_ID_PREFIX})?[A-Z]{{2}}\.ENT\.[A-Za-z0-9]{{1,128}}")
_USERNAME = re.compile(r"@[\w.]{1,64}")

TWO_PEOPLE = (
    "Meta knows this number and this user id as two people: keep only the one that should get"
    " the message"
)
"""Why a row that names a number and an id is not sent to."""


def user_id_in(text: str) -> str | None:
    """The user id that a text is, with or without `user_id:` before it; None for anything else."""
    found = _ID.fullmatch(text.strip())
    return found[1] if found else None


def is_username(text: str) -> bool:
    """Whether a text is a username with its @."""
    return _USERNAME.fullmatch(text.strip()) is not None


def why_no_user_id(text: str) -> str | None:
    """What a text is that somebody took for a person, in words; None when it is nothing of these.

    A username, or the id of a parent business.
    """
    if is_username(text):
        return f"a username ({text.strip()}): wacoex cannot send to it"
    if _PARENT_ID.fullmatch(text.strip()):
        return f"the id of a parent business ({text.strip()}): wacoex cannot send to it"
    return None


class PersonInRow(NamedTuple):
    """Whom a row names. `phone` is a number (E.164), None where none is known.

    `why_not` says that its number and its id are of two people.
    """

    phone: str | None
    user_id: str
    why_not: str | None = None


def person_in_row(persons: Persons, account: str, phone: str | None, user_id: str) -> PersonInRow:
    """Whom a number (E.164), if there is one, and an id in one row of a list mean.

    An id that was changed counts as the one it became. The number that it has now by the pairs of
    the business is the person's; without one the number of the row is, unless a pair speaks
    against it. Of the list alone nothing is learnt for other lists.
    """
    name = _newest_id(persons, f"{USER_ID_PREFIX}{user_id}", account)
    user_id = name.removeprefix(USER_ID_PREFIX)
    mine = current(persons.around(name, account))
    known = next((pair.phone for pair in mine if pair.user_id == user_id), None)
    if phone is None:
        return PersonInRow(known, user_id)
    if known is not None:
        why_not = None if known == one_spelling(phone) else TWO_PEOPLE
        return PersonInRow(phone, user_id, why_not)
    number = one_spelling(phone)
    of_number = [pair for pair in persons.around(number, account) if pair.phone == number]
    # The number is somebody else's now, or this person is known to have left it.
    is_other = any(pair.user_id == user_id for pair in of_number) or bool(current(of_number))
    return PersonInRow(phone, user_id, TWO_PEOPLE if is_other else None)


def with_history(persons: Persons, user_ids: Collection[str], phones: Collection[str]) -> set[str]:
    """Those of these ids and numbers (in any spelling) of which a pair or a change is known."""
    names = {f"{USER_ID_PREFIX}{user_id}" for user_id in user_ids}
    numbers = {one_spelling(phone): phone for phone in phones}
    found = {f"{USER_ID_PREFIX}{row}" for row in persons.known("user_id", user_ids)}
    found |= {numbers[row] for row in persons.known("phone", numbers)}
    return found | persons.moved(names)


def _newest_id(persons: Persons, name: str, account: str) -> str:
    seen = {name}
    while (after := persons.id_after(name, account)) is not None and after not in seen:
        name = after
        seen.add(name)
    return name
