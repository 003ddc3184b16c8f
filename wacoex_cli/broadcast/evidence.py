"""What became of a row in doubt, as far as a platform's list of messages can prove it. Pure.

A list can lag, and clocks differ: what is not proven stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wacoex_cli.broadcast.model import Doubt

META, RESPONDIO = "Meta's message history", "respond.io's message list"
"""The two sources."""

SETTLES_AFTER = timedelta(minutes=10)
"""From this age on a list that lacks a message says something. Nearer than that, rows rival."""

_BEFORE, _AFTER = timedelta(seconds=5), timedelta(minutes=2)


class Fate(StrEnum):
    """What became of a row in doubt."""

    WENT_OUT = "went_out"
    DID_NOT = "did_not"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Judgement:
    """A row's fate, why, and says who; None when nobody was asked.

    `reached` is how far the message came, `failure` what the platform says if it failed.
    """

    fate: Fate
    why: str
    source: str | None = None
    message_id: str | None = None
    reached: RowState = RowState.ACCEPTED
    failure: str | None = None


@dataclass(frozen=True)
class Listed:
    """A message of Meta's history: when it was sent, and its earliest event, as far as told."""

    message_id: str
    sent_at: datetime | None = None
    first_event_at: datetime | None = None

    @property
    def dated(self) -> datetime | None:
        """The earliest moment known of it."""
        return self.sent_at or self.first_event_at


@dataclass(frozen=True)
class History:
    """What Meta listed, newest first; `is_whole`: to the end. `own`: our ids, when claimed.

    `ahead_seconds` is how far Meta's clock is ahead of ours.
    """

    messages: Sequence[Listed]
    is_whole: bool
    own: Mapping[str, datetime]
    ahead_seconds: float = 0.0

    def reaches_back(self, doubt: Doubt) -> bool:
        """Whether something older than the row is in it, or of the same moment at its end.

        Rows are claimed a few at a time, and Meta tells times in whole seconds.
        """
        oldest = min((one.dated for one in self.messages if one.dated), default=None)
        if oldest is None:
            return False
        return oldest < self.begin(doubt) or (self.is_whole and oldest <= doubt.since + _BEFORE)

    def begin(self, doubt: Doubt) -> datetime:
        """From when on, by Meta's clock, the row's message can have been sent."""
        return doubt.since - _BEFORE - timedelta(seconds=max(0.0, -self.ahead_seconds))

    def can_be(self, message: Listed, doubt: Doubt) -> bool:
        """Whether a message that is not ours by id is of the row's moment.

        Without an event that says `sent`, a message may be older than its first event.
        """
        if message.sent_at is not None:
            late = _AFTER + timedelta(seconds=max(0.0, self.ahead_seconds))
            return self.begin(doubt) <= message.sent_at <= doubt.until + late
        first = message.first_event_at
        return first is None or first >= self.begin(doubt)


def by_history(doubt: Doubt, history: History, now: datetime) -> Judgement:
    """What Meta's history proves of a row: that it did not go out, or nothing.

    It names no attempt and no recipient, so that it cannot prove of one row that it went out
    (Meta: message history API).
    """
    if is_too_early(doubt, now):
        return too_early()
    if not history.reaches_back(doubt):
        return unproven("the history does not reach back to then", META)
    near = [
        message_id
        for message_id, claimed_at in history.own.items()
        if doubt.since - _AFTER <= claimed_at <= doubt.until + _AFTER
    ]
    listed = {one.message_id for one in history.messages}
    missing = sum(message_id not in listed for message_id in near)
    if missing:
        return unproven(f"{missing} of our own messages of that time are missing in it too", META)
    if not near:
        return unproven("no message of ours from that time shows that the history works", META)
    others = sum(
        one.message_id not in history.own and history.can_be(one, doubt) for one in history.messages
    )
    if others:
        are = "1 message of that moment is"
        if others > 1:
            are = f"{others} messages of that moment are"
        return unproven(f"{are} not ours by id: it may have gone out", META)
    why = "the history holds our other messages of that time, and none that could be this one"
    return Judgement(Fate.DID_NOT, why, META)


@dataclass(frozen=True)
class Candidate:
    """An outgoing message to the person that can be the row's, for all that is told of it.

    `is_sure`: channel, sender, type and template are all told, and are the row's.
    """

    message_id: int | None
    sent_at: datetime | None
    is_sure: bool
    reached: RowState = RowState.ACCEPTED
    failure: str | None = None


@dataclass(frozen=True)
class Conversation:
    """What respond.io listed of a contact, and what else was sent to the person.

    `reaches_back`: it was read to before the row's time. `taken` are the message ids of our other
    rows, `rivals` the moments at which rows without a message id were tried.
    """

    candidates: Sequence[Candidate]
    reaches_back: bool
    taken: Collection[str] = ()
    rivals: Sequence[datetime] = ()


def by_conversation(doubt: Doubt, told: Conversation, now: datetime) -> Judgement:
    """What the message list of a contact proves of a row (respond.io: messages)."""
    free = [one for one in told.candidates if str(one.message_id) not in told.taken]
    then = [one for one in free if _is_of_that_moment(one, doubt)]
    has_rival = any(abs(at - doubt.claimed_at) <= SETTLES_AFTER for at in told.rivals)
    if len(then) == 1 and then[0].is_sure and not has_rival:
        found = then[0]
        why = f"message {found.message_id} went to this person with this template at that moment"
        return Judgement(
            Fate.WENT_OUT, why, RESPONDIO, str(found.message_id), found.reached, found.failure
        )
    if then or any(_is_not_before(one, earliest_of(doubt)) for one in free):
        return unproven(_why_open(then, has_rival=has_rival), RESPONDIO)
    if is_too_early(doubt, now):
        return too_early()
    if not told.reaches_back:
        return unproven("the list was not read back to then, it is too long", RESPONDIO)
    why = "the list reaches back to before then and holds no such message"
    return Judgement(Fate.DID_NOT, why, RESPONDIO)


def earliest_of(doubt: Doubt) -> datetime:
    """How far back a list must be read for a row, with room for clocks that differ."""
    return doubt.since - SETTLES_AFTER


def unproven(why: str, source: str | None = None) -> Judgement:
    """The judgement where a source does not settle it, or nobody could be asked."""
    return Judgement(Fate.UNKNOWN, why, source)


def is_too_early(doubt: Doubt, now: datetime) -> bool:
    """Whether a list may not have the message of a row yet."""
    return now - doubt.until < SETTLES_AFTER


def too_early() -> Judgement:
    """The judgement on a row that was tried so recently that a list may not have it yet."""
    minutes = SETTLES_AFTER.seconds // 60
    return unproven(f"too early: it was tried less than {minutes} minutes ago", None)


def _why_open(then: Sequence[Candidate], *, has_rival: bool) -> str:
    if then and has_rival:
        return "a message went out then, but another row for this person is in doubt too"
    if len(then) > 1:
        return f"{len(then)} messages to this person could be it"
    if then:
        return "a message went out then, but not all that would prove it is told of it"
    return "a message like it went to this person, but at another moment"


def _is_of_that_moment(one: Candidate, doubt: Doubt) -> bool:
    at = one.sent_at
    return at is not None and doubt.claimed_at - _BEFORE <= at <= doubt.until + _AFTER


def _is_not_before(one: Candidate, moment: datetime) -> bool:
    return one.sent_at is None or one.sent_at >= moment
