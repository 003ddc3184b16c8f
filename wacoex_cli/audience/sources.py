"""Where people come from beside a list: an earlier broadcast, or respond.io's contacts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from wacoex_cli.audience.model import SourceRow
from wacoex_cli.errors import UsageError

OUTCOMES = ("all", "sent", "delivered", "read", "replied", "failed", "rejected", "ambiguous")
"""What may be said of people of a broadcast; with `-` before it they are taken away."""

_BROADCAST = "broadcast:"
_RESPONDIO = "respondio:"
_CONDITION = re.compile(r"(-?)([^=,]+)=([^,]+)")
_LARGEST_ID = 2**63
# respond.io: contacts. Names of the API's fields, and what a column is called here.
_FIELDS = {
    "firstName": "first_name",
    "lastName": "last_name",
    "email": "email",
    "language": "language",
    "countryCode": "country_code",
    "lifecycle": "lifecycle",
}
_FILTERED_FIELDS = {"language": "language", "country": "countryCode", "email": "email"}


class FileSource(NamedTuple):
    """A file of people."""

    path: Path


class BroadcastSource(NamedTuple):
    """People of an earlier broadcast: all of `wanted`, without those of `unwanted`."""

    broadcast_id: int
    wanted: tuple[str, ...] = ("sent",)
    unwanted: tuple[str, ...] = ()


class ContactCondition(NamedTuple):
    """What must hold of a contact, or must not: its tag, its lifecycle, or a field."""

    key: str
    value: str
    is_not: bool = False

    def to_json(self) -> dict[str, object]:
        """The condition as respond.io's API takes it (respond.io: contacts, list)."""
        if self.key == "tag":
            operator = "hasNoneOf" if self.is_not else "hasAnyOf"
            return {
                "category": "contactTag",
                "field": None,
                "operator": operator,
                "value": [self.value],
            }
        operator = "isNotEqualTo" if self.is_not else "isEqualTo"
        category, name = "contactField", _FILTERED_FIELDS.get(self.key, self.key)
        if self.key == "lifecycle":
            return {
                "category": "lifecycle",
                "field": None,
                "operator": operator,
                "value": self.value,
            }
        return {"category": category, "field": name, "operator": operator, "value": self.value}

    def holds_for(self, contact: Mapping[str, Any]) -> bool:
        """Whether a contact is as the condition says; upper and lower case are alike."""
        found = {value.casefold() for value in _values(contact, self.key)}
        return (self.value.casefold() in found) is not self.is_not


class RespondIOSource(NamedTuple):
    """Contacts of respond.io for whom every condition holds."""

    conditions: tuple[ContactCondition, ...]

    def filter(self) -> dict[str, object]:
        """The `filter` of the request (respond.io: contacts, list)."""
        return {"$and": [condition.to_json() for condition in self.conditions]}


Source = FileSource | BroadcastSource | RespondIOSource


@dataclass(frozen=True)
class PeopleSet:
    """People from one source, with columns like those of a list. Lines count from 1."""

    title: str
    columns: tuple[str, ...]
    rows: Iterable[SourceRow] = field(default=())


def parse_source(text: str, option: str) -> Source:
    """What an option means: `broadcast:7:read,-replied`, `respondio:tag=vip`, or a file.

    Raises:
        UsageError: it begins like a source and is not one.
    """
    if text.startswith(_BROADCAST):
        return _broadcast(text, option)
    if text.startswith(_RESPONDIO):
        return _respondio(text, option)
    return FileSource(Path(text))


def _broadcast(text: str, option: str) -> BroadcastSource:
    number, colon, words = text.removeprefix(_BROADCAST).partition(":")
    is_number = number.isascii() and number.isdecimal() and len(number) < len(str(_LARGEST_ID))
    # After a colon nothing is not everybody: a script's variable may be empty.
    given = [word.strip() for word in words.split(",")] if colon else []
    wanted = tuple(word for word in given if not word.startswith("-"))
    unwanted = tuple(word[1:] for word in given if word.startswith("-"))
    unknown = [word for word in (*wanted, *unwanted) if word not in OUTCOMES]
    if not is_number or unknown:
        what = f": `{unknown[0]}` is not known" if is_number and unknown else ""
        raise UsageError(
            f"`{option} {text}` does not name people of a broadcast{what}",
            hint=f"for example: {option} broadcast:7:delivered,-replied;"
            f" the words are {', '.join(OUTCOMES)}",
            code="bad_source",
        )
    return BroadcastSource(int(number), wanted or ("sent",), unwanted)


def _respondio(text: str, option: str) -> RespondIOSource:
    parts = text.removeprefix(_RESPONDIO).split(",")
    found = [_CONDITION.fullmatch(part.strip()) for part in parts]
    conditions = tuple(
        ContactCondition(match[2].strip(), match[3].strip(), match[1] == "-")
        for match in found
        if match is not None
    )
    is_filled = all(condition.key and condition.value for condition in conditions)
    if len(conditions) < len(parts) or not is_filled:
        raise UsageError(
            f"`{option} {text}` does not name contacts of respond.io",
            hint=f"for example: {option} respondio:tag=vip, or respondio:tag=vip,-tag=staff,"
            "lifecycle=Customer,language=es",
            code="bad_source",
        )
    return RespondIOSource(conditions)


def people_of_contacts(title: str, contacts: Iterable[Mapping[str, Any]]) -> PeopleSet:
    """Contacts of respond.io as rows: `phone`, their fields, `tags`, and each custom field."""
    records = [{"phone": _text(contact.get("phone")), **_cells(contact)} for contact in contacts]
    columns = tuple(dict.fromkeys(column for record in records for column in record))
    rows = [
        SourceRow(line, record["phone"], record) for line, record in enumerate(records, start=1)
    ]
    return PeopleSet(title, columns or ("phone", *_FIELDS.values(), "tags"), rows)


def _cells(contact: Mapping[str, Any]) -> dict[str, str]:
    cells = {column: _text(contact.get(name)) for name, column in _FIELDS.items()}
    cells["tags"] = ", ".join(_values(contact, "tag"))
    for custom in _customs(contact):
        cells.setdefault(_text(custom.get("name")), _text(custom.get("value")))
    return cells


def _values(contact: Mapping[str, Any], key: str) -> list[str]:
    """The values of a contact that a condition is about."""
    if key == "tag":
        tags = contact.get("tags")
        return [_text(tag) for tag in tags] if isinstance(tags, list) else []
    name = _FILTERED_FIELDS.get(key, key)
    if name in contact:
        return [_text(contact[name])]
    return [_text(custom.get("value")) for custom in _customs(contact) if custom.get("name") == key]


def _customs(contact: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    customs = contact.get("custom_fields")
    return [each for each in customs if isinstance(each, dict)] if isinstance(customs, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value)
