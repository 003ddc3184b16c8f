"""A channel: one phone number in use with the WhatsApp Business app and the Cloud API at once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from wacoex_cli.errors import UsageError

ID_NAMES = ("phone_number_id", "waba_id", "respondio_channel_id")
"""The ids of a channel that change when its number is connected again."""


class Provider(StrEnum):
    """The API through which wacoex sends and reads."""

    META = "meta"
    RESPONDIO = "respondio"

    @property
    def known_as(self) -> str:
        """Its name for people."""
        return "respond.io" if self is Provider.RESPONDIO else "Meta"


@dataclass(frozen=True)
class Details:
    """What a person tells about a channel; ids are spelt as Meta and respond.io spell them."""

    phone: str
    phone_number_id: str | None = None
    waba_id: str | None = None
    respondio_channel_id: int | None = None
    provider: Provider = Provider.META
    owner: str | None = None
    timezone: str | None = None
    partner_app_id: str | None = None


@dataclass(frozen=True)
class FormerId:
    """An id that a channel had `until` then (RFC 3339, UTC); `name` is one of `ID_NAMES`."""

    name: str
    value: str
    until: str


@dataclass(frozen=True)
class Channel(Details):
    """A channel as the state file knows it. Times are RFC 3339 in UTC."""

    channel_id: int = 0
    name: str = ""
    is_in_use: bool = False
    created_at: str = ""
    archived_at: str | None = None
    former_ids: tuple[FormerId, ...] = ()

    def has_or_had(self, name: str, value: str, at: str) -> bool:
        """Whether that id is the channel's now, or still was at that moment (RFC 3339, UTC)."""
        return value == getattr(self, name) or any(
            (one.name, one.value) == (name, value) and at <= one.until for one in self.former_ids
        )

    def former(self, name: str) -> tuple[str, ...]:
        """The values an id had before, oldest first."""
        return tuple(one.value for one in self.former_ids if one.name == name)

    def demand_phone_number_id(self) -> str:
        """The id of the phone number; raises UsageError when it is not known."""
        return self._demanded(self.phone_number_id, "phone_number_id", "--phone-number-id")

    def demand_waba_id(self) -> str:
        """The id of the WhatsApp Business Account; raises UsageError when it is not known."""
        return self._demanded(self.waba_id, "waba_id", "--waba-id")

    def demand_respondio_channel_id(self) -> int:
        """The id of the channel at respond.io; raises UsageError when it is not known."""
        number = self.respondio_channel_id
        text = None if number is None else str(number)
        return int(self._demanded(text, "respondio_channel_id", "--respondio-channel-id"))

    def to_json(self) -> dict[str, object]:
        """The entry of `channel list`, without how it is connected."""
        return {
            "channel": self.name,
            "phone": self.phone,
            "phone_number_id": self.phone_number_id,
            "waba_id": self.waba_id,
            "respondio_channel_id": self.respondio_channel_id,
            "provider": self.provider.value,
            "owner": self.owner,
            "timezone": self.timezone,
            "partner_app_id": self.partner_app_id,
            "is_in_use": self.is_in_use,
            "archived_at": self.archived_at,
        }

    def _demanded(self, value: str | None, name: str, option: str) -> str:
        if value is None:
            raise UsageError(
                f"channel `{self.name}` has no {name}",
                hint=f"run `wacoex channel edit {self.name} {option} ID`",
                code="channel_incomplete",
            )
        return value
