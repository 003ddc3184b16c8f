"""Who a broadcast is meant for, who it leaves out and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class SkipReason(StrEnum):
    """Why a row of the file is not sent to."""

    INVALID = "invalid"
    DUPLICATE = "duplicate"
    OPTED_OUT = "opted_out"
    MISSING_PARAMETER = "missing_parameter"
    EXCLUDED = "excluded"
    COOLING_DOWN = "cooling_down"
    NO_CONTACT = "no_contact"


class Scope(StrEnum):
    """What somebody on the opt-out list is not sent.

    `MARKETING` lets templates of the categories UTILITY and AUTHENTICATION through.
    """

    ALL = "all"
    MARKETING = "marketing"

    def covers(self, other: Scope) -> bool:
        """Whether nothing of the other scope is missing in this one."""
        return self in (Scope.ALL, other)


class SourceRow(NamedTuple):
    """One record of a recipients file. `line` is where it starts, counted from 1."""

    line: int
    phone: str
    values: Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """A file that is being read: the names in its header, then line and values of each record.

    A name may be empty, as spreadsheets leave it; values may lack a column, never have one more.
    """

    columns: tuple[str, ...]
    records: Iterator[tuple[int, Mapping[str, str]]]


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
    """What became of a list of opt-outs: new or wider ones, and ones already known."""

    added: int
    known: int
