"""Companion devices and probes, and what the list of companions says about a moment. Pure."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from wacoex_cli.channels.model import OFFBOARDED_HERE
from wacoex_cli.foundation.clock import from_text

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import AccountEvent

MOST_LINKED = 4
"""Companions that one phone can have (Meta: onboarding business app users)."""
SYNC_TAKES_AT_MOST = timedelta(hours=24)
"""How long to wait before a companion is linked again (respond.io; Meta names no wait)."""
THE_PHONE = 0
"""The number of the phone itself where companions have theirs."""
_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_SYLLABLES = 4


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


_LETTERS = re.compile(r"[^a-z0-9]")
_SHORTEST_PART = 3


def kinds_like(text: str) -> list[DeviceKind]:
    """The kinds that a person may mean, near names too: `wearos`, `Wear OS`, `windows`.

    Upper case, spaces and punctuation make no difference. A part of a name of at least three
    letters is enough. Of several the person must choose.
    """
    wanted = _LETTERS.sub("", text.lower())
    plain = {_LETTERS.sub("", kind.value): kind for kind in DeviceKind}
    if wanted in plain:
        return [plain[wanted]]
    if len(wanted) < _SHORTEST_PART:
        return []
    return [kind for name, kind in plain.items() if wanted in name]


class DeviceState(StrEnum):
    """`waiting`: unlinked by connecting or offboarding, and not to be linked again yet."""

    LINKED = "linked"
    UNLINKED = "unlinked"
    WAITING = "waiting"


class Device(NamedTuple):
    """A companion as somebody described it. Times are RFC 3339 in UTC.

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

    @property
    def label(self) -> str:
        """`companion 2 (web, front desk)`; without a number where it has none yet."""
        kind = "" if self.name == self.kind.value else f"{self.kind.value}, "
        number = f" {self.device_id}" if self.device_id else ""
        return f"companion{number} ({kind}{self.name})"

    def to_json(self, state: DeviceState | None) -> dict[str, object]:
        """One entry of `devices`; without a state for one that is not on the list."""
        return {
            "id": self.device_id or None,
            "kind": self.kind.value,
            "name": self.name,
            "supported": self.kind.is_supported,
            "visible": self.visible,
            "linked_at": self.newest_link_at,
            "last_used_at": self.last_used_at,
            "state": state.value if state else None,
        }


class ListConfirmation(NamedTuple):
    """Somebody said that the list is complete; it held this many companions then.

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


class Interval(NamedTuple):
    """A stretch of time, RFC 3339 in UTC: from `start` on, before `end`; None is no end yet."""

    start: str
    end: str | None


def primary_only(
    devices: Iterable[Device], confirmations: Iterable[ListConfirmation]
) -> tuple[Interval, ...]:
    """The times at which only the phone can have sent an echo, in order, apart from each other.

    Such a time begins when somebody confirms that the list is complete while it holds no
    companion; that one was unlinked or removed is not enough. It ends when the next companion is
    linked. `devices` are all that were ever listed, removed ones too. One that is reported later
    but was linked before the confirmation shows that the list was not complete. Its number
    shows which one was reported later: a clock may go back.
    """
    known = list(devices)
    found: list[Interval] = []
    for said in sorted(confirmations, key=lambda said: said.confirmed_at):
        start = said.confirmed_at
        is_within = found and (found[-1].end is None or start < found[-1].end)
        if said.companions or is_within:
            continue
        later = [device.linked_at for device in known if device.device_id > said.last_device_id]
        end = min(later, default=None)
        if end is None or end > start:
            found.append(Interval(start, end))
    return tuple(found)


def state_of(device: Device, last_break: Break | None, now: datetime) -> DeviceState:
    """Whether a listed companion is linked, as far as anybody said."""
    if last_break is None or last_break.at <= device.newest_link_at:
        return DeviceState.LINKED
    return DeviceState.WAITING if now < relink_from(last_break) else DeviceState.UNLINKED


def relink_from(last_break: Break) -> datetime:
    """When companions can surely be linked again; Meta says at once, which may fail."""
    return from_text(last_break.at) + SYNC_TAKES_AT_MOST


def free_slots(states: Iterable[DeviceState]) -> int:
    """How many more companions can be linked."""
    linked = sum(state is DeviceState.LINKED for state in states)
    return max(0, MOST_LINKED - linked)


def breaks_in(events: Iterable[AccountEvent]) -> list[Break]:
    """The moments at which a loss of the connection unlinked all companions.

    Offboarding unlinks them (respond.io), and so does a registration of the number on another
    phone (Meta: reconnect offboarded clients). Coming back unlinks nothing more.
    """
    return [
        Break(event.at, "offboarding", event.source)
        for event in events
        if event.event in {"ACCOUNT_OFFBOARDED", OFFBOARDED_HERE}
        or (event.event == "PARTNER_REMOVED" and event.reason != "COMPANION_INACTIVITY")
    ]


class WordOutcome(StrEnum):
    """What happened to a word. `not_sent` is what a person says: then nothing was learnt."""

    SEEN = "seen"
    NOT_SEEN = "not_seen"
    NOT_SENT = "not_sent"


class ProbeWord(NamedTuple):
    """The word for one device; `seen_at` is when it was sent, RFC 3339 in UTC.

    `outcome` is None as long as it is waited for.
    """

    device_id: int
    word: str
    outcome: WordOutcome | None = None
    seen_at: str | None = None


class Probe(NamedTuple):
    """One probe of a channel. `heard` is whether any echo came in while it went on.

    `contact` (E.164) is whom the words are sent to. Times are RFC 3339 in UTC.
    """

    probe_id: int
    channel_id: int
    contact: str
    began_at: str
    words: tuple[ProbeWord, ...] = ()
    ended_at: str | None = None
    heard: bool | None = None

    @property
    def waiting(self) -> tuple[ProbeWord, ...]:
        """The words that have not come back."""
        return tuple(word for word in self.words if word.outcome is not WordOutcome.SEEN)


class ProbeAnswer(NamedTuple):
    """What the newest probe of a device came to. `asked_at` is when that probe began."""

    device_id: int
    word: str
    outcome: WordOutcome
    asked_at: str
    heard: bool


def new_word(taken: Container[str], choose: Callable[[Sequence[str]], str]) -> str:
    """A word of eight letters that can be said aloud, and that is not `taken`."""
    while True:
        word = "".join(choose(_CONSONANTS) + choose(_VOWELS) for _ in range(_SYLLABLES))
        if word not in taken:
            return word


def visibility(word: ProbeWord, *, heard: bool) -> bool | None:
    """Whether the device is visible; None when the word does not say.

    As long as nothing at all comes in, a word that is missing says nothing about its device.
    """
    if word.outcome is WordOutcome.SEEN:
        return True
    return False if word.outcome is WordOutcome.NOT_SEEN and heard else None
