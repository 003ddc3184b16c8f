"""What a probe is: a word for each device, and what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from wacoex_cli.devices.model import Device

THE_PHONE = 0
"""The number of the phone itself where companions have theirs."""

_CONSONANTS = "bdfgklmnprstvz"
_VOWELS = "aeiou"
_SYLLABLES = 4


class WordOutcome(StrEnum):
    """What became of a word. `not_sent` is what a person says: then nothing was learnt."""

    SEEN = "seen"
    NOT_SEEN = "not_seen"
    NOT_SENT = "not_sent"


@dataclass(frozen=True)
class ProbeWord:
    """The word for one device; `seen_at` is when it was sent, RFC 3339 in UTC.

    `outcome` is None as long as it is waited for.
    """

    device_id: int
    word: str
    outcome: WordOutcome | None = None
    seen_at: str | None = None


@dataclass(frozen=True)
class Probe:
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
        return tuple(one for one in self.words if one.outcome is not WordOutcome.SEEN)


@dataclass(frozen=True)
class Answer:
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
    """Whether the device is visible; None when the word does not tell.

    As long as nothing at all comes in, a word that is missing says nothing about its device.
    """
    if word.outcome is WordOutcome.SEEN:
        return True
    return False if word.outcome is WordOutcome.NOT_SEEN and heard else None


def is_silence_expected(device: Device | None, word: ProbeWord) -> bool:
    """Whether a word did not come back because its device is of an unsupported kind."""
    is_unsupported = device is not None and not device.kind.is_supported
    return is_unsupported and word.outcome is WordOutcome.NOT_SEEN
