"""Rows of a recipients file, and why a row is not sent to."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LONGEST_CELL = 32_767
"""Characters of a cell: what Excel takes. In other files a longer value is an accident too."""


class SkipReason(StrEnum):
    """Why a row of the file is not sent to."""

    INVALID = "invalid"
    USERNAME = "username"
    UNKNOWN_RANGE = "unknown_range"
    DUPLICATE = "duplicate"
    OPTED_OUT = "opted_out"
    MISSING_PARAMETER = "missing_parameter"
    BAD_PARAMETER = "bad_parameter"
    TOO_LONG = "too_long"
    EXCLUDED = "excluded"
    NOT_CHOSEN = "not_chosen"
    COOLING_DOWN = "cooling_down"
    NO_CONTACT = "no_contact"
    NO_NUMBER = "no_number"
    ALREADY_SENT = "already_sent"
    PRESSURE = "pressure"
    OFFER_OVER = "offer_over"


class SourceRow(NamedTuple):
    """One record of a recipients file. `line` is where it starts, counted from 1.

    `fault` says why nobody can be sent to by this record, whatever its number reads like.
    `user_id` is what stands in the column of user ids. `is_chosen`: `--where` does not leave it
    out.
    """

    line: int
    phone: str
    values: Mapping[str, str]
    fault: str | None = None
    user_id: str = ""
    is_chosen: bool = True


class AudienceRule(NamedTuple):
    """A rule of a plan (`--where ...`, `--exclude ...`) and how many rows it left out.

    `doubts` are lines about cells that the rule could not read.
    """

    rule: str
    left_out: int
    doubts: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The same for a program."""
        return {"rule": self.rule, "left_out": self.left_out, "doubts": list(self.doubts)}


def audience_text(audience: Mapping[str, Any]) -> Iterator[str]:
    """To whom a broadcast was meant, for a person, where that was more than a list."""
    listed = [audience["list"]] if audience.get("list") else []
    if audience.get("from"):
        yield f"people of {' + '.join([*listed, *audience['from']])}"
    for rule in audience.get("rules", ()):
        yield f"{rule['rule']}: left out {counted(rule['left_out'], 'row')}"


class ListRecord(NamedTuple):
    """One record before it is known which column holds the numbers.

    `kinds` says of a column what its cell is where it is no text and no whole number, such as
    `a date`. `fault` is what is wrong with the record as a whole.
    """

    line: int
    values: Mapping[str, str]
    fault: str | None = None
    kinds: Mapping[str, str] = {}


class TitleLine(NamedTuple):
    """A line above the header, which is left out."""

    line: int
    text: str

    @classmethod
    def of(cls, line: int, cells: Iterable[str]) -> TitleLine:
        """The filled cells of a line, side by side."""
        return cls(line, " ".join(filter(None, map(str.strip, cells))))


class OtherSheet(NamedTuple):
    """A sheet of a workbook that is not read."""

    name: str
    hidden: bool


@dataclass(frozen=True)
class Sheet:
    """A file that is being read: the names in its header, then its records.

    A name may be empty, as spreadsheets leave it; values may lack a column, never have one more.
    `hidden_rows` is how many rows of a workbook are hidden, and the numbers of the first ones.
    """

    columns: tuple[str, ...]
    records: Iterator[ListRecord]
    title_lines: tuple[TitleLine, ...] = ()
    name: str | None = None
    other_sheets: tuple[OtherSheet, ...] = ()
    hidden_rows: tuple[int, tuple[int, ...]] = (0, ())


@dataclass(frozen=True)
class ListNotes:
    """What a person should know about how a list was read.

    `encoding` is that of a text file, `sheet` the name of the one read of a workbook.
    `other_phone_columns` hold numbers too and were not taken. `user_id_column` holds user ids; it
    is the phone column too where there is no other.
    """

    phone_column: str = ""
    user_id_column: str | None = None
    other_phone_columns: tuple[str, ...] = ()
    encoding: str | None = None
    title_lines: tuple[TitleLine, ...] = ()
    sheet: str | None = None
    other_sheets: tuple[OtherSheet, ...] = ()
    hidden_rows: int = 0
    first_hidden_rows: tuple[int, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "phone_column": self.phone_column,
            "user_id_column": self.user_id_column,
            "other_phone_columns": list(self.other_phone_columns),
            "encoding": self.encoding,
            "title_lines": [line._asdict() for line in self.title_lines],
            "sheet": self.sheet,
            "other_sheets": [sheet._asdict() for sheet in self.other_sheets],
            "hidden_rows": {"rows": self.hidden_rows, "first": list(self.first_hidden_rows)},
        }
