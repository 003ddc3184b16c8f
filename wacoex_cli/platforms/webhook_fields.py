"""What the models of Meta's webhook fields share: the place of a change, and our number in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self, Unpack

from wacoex_cli.platforms import privacy as keep
from wacoex_cli.platforms.events import Event, EventData, Kind, Source, of_reported, read_moment
from wacoex_cli.platforms.privacy import (
    Compared,
    Kept,
    Open,
    Reading,
    key_names,
    name_of,
    number,
    only_object,
)

NOT_SHARED = 2593109
"""The owner of the phone shares no history; it comes in any of a webhook's lists of errors."""
_ERRORS = ("errors", "error")
_DEEPEST_ERROR = 8
_NESTED = (dict, list)
_TAKES_AWAY = re.compile(
    "BAN|BLOCK|COMPROMI|DECLIN|DELET|DISABL|DISCONNECT|EXPIR|FAIL|LIMIT|OFFBOARD|PAUSE|REJECT"
    "|REMOV|RESTRICT|REVOK|SUSPEND|UNINSTALL|VIOLAT"
)
"""What stands in a word of Meta's, whatever its field, that takes access or money away."""


class Origin(NamedTuple):
    """Where in a webhook something stands. `at` is when its entry is from (RFC 3339).

    Where the entry has no time either, `at` is when it was received: then it is not dated.
    """

    field: str
    entry_id: str | None
    entry_time: object
    at: str
    is_dated: bool
    phone_number_id: str | None
    phone: str | None

    def event(
        self,
        kind: Kind,
        part: Kept | Sequence[Kept],
        name: str | None = None,
        time: object = None,
        contact: str | None = None,
        message_id: str | None = None,
        **data: Unpack[EventData],
    ) -> Event:
        """An event about `part`, which its key is made of unless it has a `name` of its own."""
        at = read_moment(time)
        data["undated"] = None if at or self.is_dated else True
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
            data=of_reported(data),
        )

    def other(
        self,
        part: Kept,
        type_: str | None = None,
        code: int | None = None,
        keys: list[str] | None = None,
    ) -> Event:
        """An event that nothing more is known about."""
        field = self.field or "unknown"
        return self.event(Kind.OTHER, part, field=field, type=type_, code=code, keys=keys)

    def name_of(self, part: Kept | Sequence[Kept]) -> str:
        """What names a part that has no id: the same whenever the same entry is sent again."""
        return name_of([part, self.entry_id, self.entry_time])


class CodedError(Compared):
    code: keep.Number = None


class NumberMetadata(Kept):
    display_phone_number: keep.Phone = None
    phone_number_id: keep.Identifier = None


class FieldValue(Kept):
    """The `value` of a change, one class for each webhook field."""

    _sent: object

    @property
    def names_sent(self) -> list[str]:
        """The names of the keys in it as it came."""
        return key_names(self._sent)

    @property
    def declines(self) -> bool:
        """Whether an error in it, wherever it stands, says that no history is shared."""
        return is_declined(self._sent)

    @classmethod
    def read_sent(cls, sent: object, reading: Reading) -> Self:
        """The value as it came, which may be no object."""
        found = cls.read(only_object(sent) or {}, reading)
        found._sent = sent
        return found

    def number(self) -> tuple[str | None, str | None]:
        """The phone number id and the phone number of ours that it names."""
        return None, None

    def events(self, origin: Origin) -> Iterator[Event]:
        yield from ()

    @property
    def said_word(self) -> str | None:
        """The word that decides, where the field comes down to one."""
        return None

    def unclear(self) -> list[str]:
        """What of it could not be read although access or money hangs on it."""
        return []

    def to_look_at(self) -> bool:
        """Whether a person has to look, because no rule here judges what it says."""
        return False


class NumberValue(FieldValue):
    metadata: keep.Part[NumberMetadata] = None
    display_phone_number: keep.Phone = None
    phone_number_id: keep.Identifier = None

    def number(self) -> tuple[str | None, str | None]:
        number_id, phone = self.phone_number_id, self.display_phone_number
        if self.metadata is None:
            return number_id, phone
        return (
            self.metadata.phone_number_id or number_id,
            self.metadata.display_phone_number or phone,
        )


class UnknownField(NumberValue, Open):
    """A field of tomorrow: ids, types, times and the like, and where they stood."""

    def to_look_at(self) -> bool:
        words = (self.kept().get(name) for name in ("event", "type", "status"))
        return any(isinstance(text, str) and _TAKES_AWAY.search(text.upper()) for text in words)


def is_declined(value: Any) -> bool:
    """Whether a list of errors in it, wherever it stands, says that no history is shared."""
    level = [value]
    for deepest in reversed(range(_DEEPEST_ERROR)):
        below: list[Any] = []
        for part in level:
            # Of what came as JSON nothing is a subclass, and most parts are texts.
            if type(part) is list:
                below += part
            elif type(part) is dict:
                for name in _ERRORS:
                    if name in part and _has_not_shared(part[name], deepest):
                        return True
                below += part.values()
        if not below:
            return False
        level = below
    return False


def _has_not_shared(error: Any, deepest: int) -> bool:
    if not isinstance(error, _NESTED):
        return number(error) == NOT_SHARED
    parts = error.values() if isinstance(error, dict) else error
    return deepest > 0 and any(_has_not_shared(part, deepest - 1) for part in parts)
