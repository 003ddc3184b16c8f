"""The header of a recipients file: which column holds the phone number."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from wacoex_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

# From the most to the least specific; within a group no name says more than another.
_PHONE_NAMES = (
    (
        "whatsapp",
        "whatsapp_number",
        "whatsapp_phone",
        "whatsapp_phone_number",
        "wa_id",
        "wa_number",
    ),
    ("mobile", "mobile_number", "mobile_phone", "cell", "cell_phone", "cell_number", "msisdn"),
    ("phone", "phone_number", "telephone", "telephone_number", "tel", "e164"),
    ("number", "to"),
)
_SHOWN_NAMES = ("phone", "phone_number", "mobile", "whatsapp", "msisdn", "tel", "number", "to")
_FILLERS = re.compile(r"[\s_.\-]+")
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


def phone_column(title: str, columns: Sequence[str]) -> str:
    """The column with the phone numbers: the one with the most specific of the known names.

    Raises:
        UsageError: no column has a known name, or two of them are equally good.
    """
    for names in _PHONE_NAMES:
        known = {_plain(name) for name in names}
        found = [column for column in columns if _plain(column) in known]
        if len(found) == 1:
            return found[0]
        if found:
            listed = " and ".join(f"`{column}`" for column in found)
            raise UsageError(
                f"{title} has more than one phone column: {listed}",
                hint="keep the one to send to, and rename or remove the others",
                code="several_phone_columns",
            )
    raise _no_phone_column(title, columns)


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
        hint=f"name the column with the numbers one of {names};"
        " columns are separated by comma, semicolon or tab",
        code="no_phone_column",
    )


def _plain(name: str) -> str:
    return _FILLERS.sub("", name).casefold()
