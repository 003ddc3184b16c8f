"""One change out of a webhook of Meta, and how an event is made of a part of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.events import values
from wacoex_cli.events.model import Event, Kind, Source

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Change:
    """One element of `changes`, without content. `at` is when its entry is from (RFC 3339).

    Where the entry has no time either, `at` is when it was received: then it is not dated.
    """

    field: str
    value: Mapping[str, Any]
    entry_id: str | None
    entry_time: object
    at: str
    is_dated: bool
    phone_number_id: str | None
    phone: str | None

    def event(
        self,
        kind: Kind,
        part: object,
        *,
        name: str | None = None,
        time: object = None,
        contact: str | None = None,
        message_id: str | None = None,
        **data: object,
    ) -> Event:
        """An event about `part`, which its key is made of unless it has a `name` of its own."""
        at = values.moment(time)
        undated = None if at or self.is_dated else True
        return Event(
            key=f"{Source.META}:{kind}:{name or self.name_of(part)}",
            kind=kind,
            source=Source.META,
            at=at or self.at,
            phone_number_id=self.phone_number_id,
            phone=self.phone,
            waba_id=self.entry_id,
            contact=contact,
            message_id=message_id,
            data=values.known(**data, undated=undated),
        )

    def other(self, part: object, type_: object = None, code: object = None) -> Event:
        """An event that nothing more is known about."""
        field = self.field or "unknown"
        return self.event(Kind.OTHER, part, field=field, type=type_, code=code)

    def name_of(self, part: object) -> str:
        """What names a part that has no id: the same whenever the same entry is told again."""
        return values.name_of([part, self.entry_id, self.entry_time])


def read_change(entry: Mapping[str, Any], told: Mapping[str, Any], received_at: str) -> Change:
    """One change of an entry; `received_at` stands in where the entry has no time."""
    value = told["value"]
    metadata = value.get("metadata", {})
    at = values.moment(entry.get("time"))
    return Change(
        field=told["field"],
        value=value,
        entry_id=entry.get("id"),
        entry_time=entry.get("time"),
        at=at or received_at,
        is_dated=at is not None,
        phone_number_id=metadata.get("phone_number_id") or value.get("phone_number_id"),
        phone=metadata.get("display_phone_number") or value.get("display_phone_number"),
    )


def first_code(part: Mapping[str, Any]) -> int | None:
    """The code of the first error that has one."""
    codes = (error.get("code") for error in part.get("errors", ()))
    return next((code for code in codes if code is not None), None)


def contact_of(phone: str | None, *user_ids: str | None) -> str | None:
    """The other person: by number, else by the business-scoped user id."""
    if phone:
        return phone
    return next((f"user_id:{user_id}" for user_id in user_ids if user_id), None)
