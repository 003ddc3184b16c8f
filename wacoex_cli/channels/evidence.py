"""Evidence that the WhatsApp Business app was opened: what it is, and where it belongs.

There is no way to ask Meta when the app was last opened, so the countdown rests on dated facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel


class EvidenceKind(StrEnum):
    """What happened. How much an echo proves depends on the companion devices of its time."""

    CONFIRMED = "confirmed"
    CONNECTED = "connected"
    ECHO = "echo"
    PHONEBOOK = "phonebook"


@dataclass(frozen=True, slots=True)
class Sign:
    """One dated fact. `at` is RFC 3339 in UTC, `source` is `meta`, `respondio` or `person`.

    `said_by` names the person who confirmed, or the event that told it.
    """

    address: str
    kind: EvidenceKind
    at: str
    source: str
    said_by: str = ""


def channel_address(channel_id: int) -> str:
    """The address of what is known about a channel itself, whatever its ids are."""
    return f"channel:{channel_id}"


def address_of(
    *, phone_number_id: str | None, phone: str | None, respondio_channel_id: int | None
) -> str | None:
    """The address of a number that something was told about; None when it named none."""
    if phone_number_id:
        return f"phone_number_id:{phone_number_id}"
    if phone:
        return f"phone:{phone}"
    if respondio_channel_id is not None:
        return f"respondio_channel_id:{respondio_channel_id}"
    return None


def addresses_of(channel: Channel, phone_number_ids: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Every address under which something about a channel may be kept.

    `phone_number_ids` are those that Meta has used for its number. The ids that it had before
    count like those it has.
    """
    known = (channel.phone_number_id, *channel.former("phone_number_id"), *phone_number_ids)
    ids = dict.fromkeys(filter(None, known))
    found = [channel_address(channel.channel_id)]
    found += [f"phone_number_id:{one}" for one in ids]
    found.append(f"phone:{channel.phone}")
    if channel.respondio_channel_id is not None:
        found.append(f"respondio_channel_id:{channel.respondio_channel_id}")
    found += [f"respondio_channel_id:{one}" for one in channel.former("respondio_channel_id")]
    return tuple(found)
