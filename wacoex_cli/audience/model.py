"""Rows of a recipients file, and why a row is not sent to."""

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
    ALREADY_SENT = "already_sent"


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
