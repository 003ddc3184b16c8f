"""Holds the limits of one broadcast against what its business has sent to everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.channels.store import Facts
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger.past_messages import EVER, DayMessages, PastMessages
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.pressure.rule import (
    DAY,
    DayLimit,
    Room,
    days_for,
    ramp_limit,
    room_of,
    tightest,
    why_enough,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.ledger.model import Broadcast, Claim
    from wacoex_cli.pressure.model import Pressure


_LONGEST_SILENCE = timedelta(days=30)
"""A business that heard nothing for longer probably does not receive its messages."""


def outlook(
    state: State, broadcast: Broadcast, pressure: Pressure, clock: Clock
) -> dict[str, int | str | None]:
    """What the limits mean for a plan: the keys of `estimate` that `outlook_text` puts in words."""
    days = DayGuard(state, broadcast, pressure, clock).days_for(broadcast.recipients)
    doubt = PeopleGuard(state, broadcast, pressure, clock).doubt()
    return {"days": days, "limits": pressure.in_words(), "limits_doubt": doubt}


def outlook_text(estimate: Mapping[str, object]) -> Iterator[str]:
    """The limits of a plan, how many days it takes, and the doubts about them."""
    if limits := estimate["limits"]:
        yield f"limits: {limits}"
    if (days := estimate["days"]) != 1:
        yield f"  it takes {days} days at least; `send --wait` continues by itself each day"
    if doubt := estimate["limits_doubt"]:
        yield f"  {doubt}"


class PeopleGuard:
    """Which people of a broadcast have had enough messages from its business."""

    def __init__(
        self, state: State, broadcast: Broadcast, pressure: Pressure, clock: Clock
    ) -> None:
        self._state = state
        self._clock = clock
        # A test goes to a number that somebody named for it.
        self._holds = pressure.of_people and broadcast.test_of is None
        self._pressure = pressure
        self._rows = Rows(state, broadcast.broadcast_id)
        channels = Facts(state).of_one_business(broadcast.channel_id) if self._holds else ()
        self._past = PastMessages(state, broadcast.broadcast_id, channels)

    def leave_out(self) -> None:
        """Skip the open rows of people who have had enough, in transactions of its own."""
        if not self._holds:
            return
        since = self._since()
        for page in self._past.pages(since):
            enough = self._judge(self._past.of_page(page, since))
            if enough:
                with self._state.transaction():
                    self._rows.skip_pressed(enough)

    def without_enough(self, holder: str, claims: Sequence[Claim]) -> tuple[Claim, ...]:
        """The claims without those of people who have had enough, whose rows are skipped.

        Asked in the transaction of the claim: a process that claims after it sees this one.
        """
        if not (self._holds and claims):
            return tuple(claims)
        rows = [claim.row for claim in claims]
        enough = self._judge(self._past.of_claims(rows, self._since()))
        self._rows.give_back(holder, [claim for claim in claims if claim.row in enough])
        self._rows.skip_pressed(enough)
        return tuple(claim for claim in claims if claim.row not in enough)

    def doubt(self) -> str | None:
        """What contradicts the count of people who never answered; None when nothing does."""
        if not (self._holds and self._pressure.unanswered):
            return None
        newest = self._past.newest_answer()
        if newest is not None and self._clock.now() - newest <= _LONGEST_SILENCE:
            return None
        known = f"since {to_text(newest)[:10]}" if newest else "at all"
        return (
            f"no message from people is known here {known}, so `--unanswered` may leave out people"
            " who did answer: `wacoex events listen` receives their messages"
        )

    def _since(self) -> datetime:
        window = self._pressure.window
        return EVER if window is None else self._clock.now() - window

    def _judge(self, sent: Mapping[int, Sequence[datetime]]) -> dict[int, str]:
        now, enough = self._clock.now(), dict[int, str]()
        for row, moments in sent.items():

            def answered_since(moment: datetime, row: int = row) -> bool:
                return self._past.answered_since(row, moment)

            why = why_enough(self._pressure, moments, answered_since, now)
            if why is not None:
                enough[row] = why
        return enough


class DayGuard:
    """How many more messages of a broadcast may leave today, and when the next one may."""

    def __init__(
        self, state: State, broadcast: Broadcast, pressure: Pressure, clock: Clock
    ) -> None:
        self._clock = clock
        self._pressure = pressure
        self._holds = pressure.of_days and broadcast.test_of is None
        channels = Facts(state).of_one_business(broadcast.channel_id) if self._holds else ()
        self._of_number = DayMessages(state, [broadcast.channel_id])
        self._of_business = DayMessages(state, channels)
        self._ramp_day: tuple[datetime, int, DayLimit] | None = None

    def room(self) -> Room | None:
        """What all limits leave now, None without any; asked in the transaction of the claim."""
        if not self._holds:
            return None
        now, rooms = self._clock.now(), list[Room]()
        if per_day := self._pressure.per_day:
            of = self._of_number if per_day.of_number else self._of_business
            whose = "this number" if per_day.of_number else "the business"
            most = counted(per_day.messages, "message")
            why = f"the limit of {most} of {whose} in 24 hours is reached"
            rooms.append(_room(DayLimit(per_day.messages), of, why, now))
        if self._pressure.ramp:
            limit = self._ramp_limit(now)
            most = counted(limit.most, "message")
            why = f"the ramp of a new number allows {most} in 24 hours now"
            rooms.append(_room(limit, self._of_number, why, now))
        return tightest(rooms)

    def days_for(self, people: int) -> int:
        """On how many days this many messages leave at the earliest; 1 without any limit."""
        before = 0
        if self._holds and self._pressure.ramp:
            first_at = self._of_number.first_at()
            if first_at is not None:
                day = max(0, (self._clock.now() - first_at) // DAY)
                before = self._of_number.days_before(first_at, day)
        return days_for(self._pressure, people, before) if self._holds else 1

    def _ramp_limit(self, now: datetime) -> DayLimit:
        ramp = self._pressure.ramp
        if ramp is None:
            raise ValueError("there is no ramp")
        # Anew each time: what seemed to be the first message may have been refused.
        first_at = self._of_number.first_at()
        if first_at is None or now < first_at:
            return ramp_limit(ramp, 0, None)
        day = (now - first_at) // DAY
        if self._ramp_day is None or self._ramp_day[:2] != (first_at, day):
            days = self._of_number.days_before(first_at, day)
            limit = ramp_limit(ramp, days, first_at + (day + 1) * DAY)
            self._ramp_day = first_at, day, limit
        return self._ramp_day[2]


def _room(limit: DayLimit, messages: DayMessages, why: str, now: datetime) -> Room:
    since = now - DAY

    def time_of(place: int) -> datetime:
        return messages.time_of(place, since)

    return room_of(limit, messages.sent_after(since), time_of, why)
