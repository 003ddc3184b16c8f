"""The header of a recipients file: which column holds the phone number."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import TYPE_CHECKING

from wacoex_cli.audience.header_names import PHONE_NAMES, plain
from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_NAMES = ("phone", "phone_number", "mobile", "whatsapp", "msisdn", "tel", "number", "to")
_LIKE_DATA = re.compile(r"\d{6}")


def check_header(title: str, columns: Sequence[str]) -> None:
    """Raise UsageError when the header is empty or names a column twice."""
    if not any(columns):
        raise UsageError(
            f"{title} has no header",
            hint="the first line names the columns, for example `phone,first_name`",
            code="no_header",
        )
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise UsageError(
            f"{title} has two columns named `{twice[0]}`",
            hint="rename or remove one of them",
            code="duplicate_column",
        )


def phone_column(title: str, columns: Sequence[str], wanted: str | None = None) -> str:
    """The column with the phone numbers: the `wanted` one, else that with the most specific name.

    Raises:
        UsageError: there is no such column, no name is known, or two are equally good.
    """
    if wanted is not None:
        return _named(title, columns, wanted)
    for names in PHONE_NAMES:
        found = [column for column in columns if plain(column) in names]
        if len(found) == 1:
            return found[0]
        if found:
            listed = " and ".join(f"`{column}`" for column in found)
            raise UsageError(
                f"{title} has more than one phone column: {listed}",
                hint="name the one to send to with `--phone-column`, or rename the others",
                code="several_phone_columns",
            )
    raise _no_phone_column(title, columns)


def has_column(columns: Sequence[str], wanted: str) -> bool:
    """Whether a column has this name, upper and lower case and signs apart."""
    return wanted in columns or any(plain(column) == plain(wanted) for column in columns)


def _named(title: str, columns: Sequence[str], wanted: str) -> str:
    if wanted in columns:
        return wanted
    found = [column for column in columns if plain(column) == plain(wanted)]
    if len(found) == 1:
        return found[0]
    near = difflib.get_close_matches(wanted, columns, n=1)
    listed = ", ".join(f"`{column}`" for column in columns)
    raise UsageError(
        f"{title} has no column `{wanted}` for `--phone-column`",
        hint=f"did you mean `{near[0]}`?" if near else f"its columns are {listed}",
        code="no_phone_column",
    )


def _no_phone_column(title: str, columns: Sequence[str]) -> UsageError:
    if any(_LIKE_DATA.search(column) for column in columns):
        return UsageError(
            f"{title} has no header: its first line holds data",
            hint="put the names of the columns on the first line, for example `phone,first_name`",
            code="no_header",
        )
    found = ", ".join(f"`{column}`" for column in columns if column)
    names = ", ".join(f"`{name}`" for name in _SHOWN_NAMES)
    return UsageError(
        f"{title} has no phone column among {found}",
        hint=f"say which it is with `--phone-column`, or name it one of {names};"
        " columns are separated by comma, semicolon, tab or |",
        code="no_phone_column",
    )
