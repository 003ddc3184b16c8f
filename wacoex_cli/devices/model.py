"""Companion devices: what is linked to the phone with the WhatsApp Business app."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

MOST_LINKED = 4
"""Companions that one phone can have (Meta: onboarding business app users)."""


class DeviceKind(StrEnum):
    """The kinds of companions. WhatsApp Web is `web` on every system, Windows too."""

    WEB = "web"
    DESKTOP_WINDOWS = "desktop-windows"
    DESKTOP_MAC = "desktop-mac"
    ANDROID_TABLET = "android-tablet"
    IPAD = "ipad"
    SECOND_PHONE = "second-phone"
    WEAR_OS = "wear-os"
    OTHER = "other"

    @property
    def is_supported(self) -> bool:
        """All but WhatsApp for Windows and Wear OS (Meta: onboarding business app users)."""
        return self not in {DeviceKind.DESKTOP_WINDOWS, DeviceKind.WEAR_OS}


class DeviceState(StrEnum):
    """`waiting`: unlinked by connecting or offboarding, and not to be linked again yet."""

    LINKED = "linked"
    UNLINKED = "unlinked"
    WAITING = "waiting"


@dataclass(frozen=True)
class Device:
    """A companion as somebody told about it. Times are RFC 3339 in UTC.

    `linked_at` is when it was first linked. `visible` is whether its messages reach the partner,
    None until that was tried.
    """

    device_id: int
    channel_id: int
    kind: DeviceKind
    name: str
    linked_at: str
    relinked_at: str | None = None
    last_used_at: str | None = None
    visible: bool | None = None
    removed_at: str | None = None

    @property
    def newest_link_at(self) -> str:
        """When it was linked, the last time that is known."""
        return max(self.linked_at, self.relinked_at or "")


class ListConfirmation(NamedTuple):
    """Somebody said that the list is complete; it held so many companions then.

    `last_device_id` is the highest number that any companion had by then.
    """

    confirmed_at: str
    confirmed_by: str
    companions: int
    last_device_id: int


class Break(NamedTuple):
    """A moment at which all companions were unlinked, and what did that."""

    at: str
    because: str
    source: str
