"""The limits on messages to one person, and on messages in a day, as people write them."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.errors import UsageError, counted
from wacoex_cli.foundation.clock import duration_from, duration_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NO_LIMIT = "none"
"""What a person writes to lift a limit of the settings for one broadcast."""

LONGEST = timedelta(days=366)
_MOST = 1_000_000
_OF_A_NUMBER = "/number"
_COUNT = re.compile(r"[0-9]{1,7}")
_GROWTH = re.compile(r"\+([0-9]{1,4})%")


class Most(NamedTuple):
    """At most this many messages to one person in any window of this length."""

    messages: int
    window: timedelta


class PerDay(NamedTuple):
    """At most this many messages in any 24 hours, of the whole business or of one number."""

    messages: int
    of_number: bool = False


class Ramp(NamedTuple):
    """A number sends `first` messages on its first day; each day of sending adds a share."""

    first: int
    growth: float


class Pressure(NamedTuple):
    """The limits that hold for one broadcast; None where there is none.

    `unanswered` is how many messages in a row a person may leave without any answer.
    """

    most: Most | None = None
    rest: timedelta | None = None
    unanswered: int | None = None
    per_day: PerDay | None = None
    ramp: Ramp | None = None

    @property
    def of_people(self) -> bool:
        """Whether something limits the messages to one person."""
        return bool(self.most or self.rest or self.unanswered)

    @property
    def of_days(self) -> bool:
        """Whether something limits the messages in a day."""
        return bool(self.per_day or self.ramp)

    @property
    def window(self) -> timedelta | None:
        """How far back messages to a person count; None: for ever."""
        if self.unanswered:
            return None
        return max(self.most.window if self.most else timedelta(), self.rest or timedelta())

    def in_words(self) -> str:
        """In words, for the person who plans or sends; empty when there is no limit."""
        words = []
        if self.most:
            words.append(
                f"at most {counted(self.most.messages, 'message')} to a person"
                f" in {length_text(self.most.window)}"
            )
        if self.rest:
            words.append(f"{length_text(self.rest)} of rest between two messages to a person")
        if self.unanswered:
            words.append(
                f"nobody who never answered the last {counted(self.unanswered, 'message')}"
            )
        if self.per_day:
            whose = "this number" if self.per_day.of_number else "the business"
            words.append(f"{counted(self.per_day.messages, 'message')} of {whose} in 24 hours")
        if self.ramp:
            words.append(
                f"{self.ramp.first} on the first day of this number,"
                f" {self.ramp.growth * 100:g}% more after each day of sending"
            )
        return ", ".join(words)


NO_PRESSURE = Pressure()


def length_text(length: timedelta) -> str:
    """A length in days where it is whole days, else in hours, minutes and seconds."""
    days, rest = divmod(length, timedelta(days=1))
    return duration_text(length.total_seconds()) if rest or not days else counted(days, "day")


def _length(text: str) -> timedelta:
    length = duration_from(text)
    if length is None or not timedelta() < length <= LONGEST:
        raise ValueError
    return length


def _count(text: str, most: int = _MOST) -> int:
    if not (text.isascii() and _COUNT.fullmatch(text)) or not 1 <= int(text) <= most:
        raise ValueError
    return int(text)


def _most(text: str) -> Most:
    messages, _, window = text.partition("/")
    return Most(_count(messages, 1_000), _length(window))


def _unanswered(text: str) -> int:
    return _count(text, 1_000)


def _per_day(text: str) -> PerDay:
    return PerDay(_count(text.removesuffix(_OF_A_NUMBER)), text.endswith(_OF_A_NUMBER))


def _ramp(text: str) -> Ramp:
    first, _, growth = text.partition(",")
    share = _GROWTH.fullmatch(growth.strip())
    if share is None or int(share[1]) > 1_000:
        raise ValueError
    return Ramp(_count(first.strip()), int(share[1]) / 100)


_FORMS: Mapping[str, tuple[str, Callable[[str], object], str]] = {
    "max": ("most", _most, "write messages and time: `2/7d` is at most two in seven days"),
    "rest": ("rest", _length, "write a time such as `3d` or `12h`, at most a year"),
    "unanswered": ("unanswered", _unanswered, "write a number of messages such as `3`"),
    "per_day": (
        "per_day",
        _per_day,
        "write `250` for all numbers of the business, `250/number` for this one",
    ),
    "ramp": ("ramp", _ramp, "write the first day and the growth: `50,+50%`"),
}

LIMITS = tuple(_FORMS)
"""The names of the limits, as settings and options have them."""


def flag_of(name: str) -> str:
    """The option of a limit."""
    return f"--{name.replace('_', '-')}"


def pressure_from(texts: Mapping[str, str | None]) -> Pressure:
    """The limits that these texts mean; a name without a text, or with `none`, limits nothing.

    Raises:
        UsageError: a text is not understood.
    """
    found: dict[str, Any] = {}
    for name, (field, read, hint) in _FORMS.items():
        text = (texts.get(name) or NO_LIMIT).strip()
        if text.lower() == NO_LIMIT:
            continue
        try:
            found[field] = read(text)
        except ValueError:
            raise UsageError(
                f"`{flag_of(name)} {text}` is not valid",
                hint=f"{hint}; `none` for no limit",
                code="bad_pressure",
            ) from None
    return Pressure()._replace(**found)


def kept_text(options: Mapping[str, str | None]) -> str:
    """What a broadcast keeps (JSON): the limits that were given for it, as they were typed.

    Raises:
        UsageError: one of them is not understood.
    """
    pressure_from(options)
    return json.dumps({name: text for name in LIMITS if (text := options.get(name)) is not None})


def pressure_of(kept: str, settings: Mapping[str, str | None]) -> Pressure:
    """What holds for a broadcast now: what it keeps, and for the rest the settings of today.

    Raises:
        UsageError: a setting is not understood.
    """
    return pressure_from({**settings, **json.loads(kept)})
