"""Asking Meta or respond.io what became of rows in doubt. Nothing is sent and nothing stored."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import evidence, figures
from wacoex_cli.broadcast.evidence import META, RESPONDIO, SETTLES_AFTER, Conversation, History
from wacoex_cli.broadcast.evidence_reading import candidate, listed, moment_of
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.errors import RefusedError, TemporaryError, WacoexError
from wacoex_cli.platforms.respondio import BEING_PROCESSED, NOT_FOUND, contact_by, each_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wacoex_cli.broadcast.evidence import Candidate, Judgement, Listed
    from wacoex_cli.broadcast.model import Broadcast, Doubt
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.respondio import RespondIO

# A history of twenty thousand messages, and a thousand of one person.
MOST_PAGES, MOST_PAGES_OF_A_CONTACT = 200, 20
_CONTACTS_AT_ONCE = 5
_ONE_CONTACT_ONLY = {
    NOT_FOUND: "respond.io knows no such contact now; it may have been deleted or merged",
    BEING_PROCESSED: "respond.io is still busy with this contact; ask again in a few minutes",
    "respondio_400": "respond.io refused to list this contact's messages",
    "respondio_409": "respond.io refused to list this contact's messages",
}


@dataclass(frozen=True)
class Asked:
    """Whether a source could be asked; `available` is None when there was no need to."""

    available: bool | None = None
    why_not: str | None = None

    def to_json(self) -> dict[str, object]:
        """The entry in `asked` of the JSON output."""
        return {"available": self.available, "why_not": self.why_not}


@dataclass(frozen=True)
class Inquiry:
    """What was found out about each row, by its number, and whether the source could be asked."""

    judgements: Mapping[int, Judgement]
    asked: Asked = Asked()


def nobody(doubts: Sequence[Doubt], why: str, *, source: str | None = None) -> Inquiry:
    """The inquiry in which nobody could be asked (a source), or was meant to be (None)."""
    unknown = evidence.unproven(why, source)
    asked = Asked(False, why) if source else Asked(None, why)
    return Inquiry(dict.fromkeys((one.row for one in doubts), unknown), asked)


async def ask_meta(
    state: State, meta: Meta, channel: Channel, doubts: Sequence[Doubt], clock: Clock
) -> Inquiry:
    """Read the message history of the number back to the first row in doubt.

    It is not read for rows that are too young. Never raises for what Meta or the network does.
    """
    now = clock.now()
    old = [one for one in doubts if not evidence.is_too_early(one, now)]
    if not old:
        return Inquiry({one.row: evidence.too_early() for one in doubts})
    try:
        history = await _history(state, meta, channel, old)
    except WacoexError as error:
        return nobody(doubts, f"Meta: {error.message}", source=META)
    found = {one.row: evidence.by_history(one, history, now) for one in doubts}
    return Inquiry(found, Asked(available=True))


async def _history(state: State, meta: Meta, channel: Channel, doubts: Sequence[Doubt]) -> History:
    first = min(evidence.earliest_of(one) for one in doubts)
    last = max(one.until for one in doubts) + SETTLES_AFTER
    entries: list[Listed] = []
    pages, is_whole = 0, True
    async with contextlib.aclosing(
        meta.listed_messages(channel.demand_phone_number_id())
    ) as listing:
        async for page in listing:
            part = [entry for node in page if (entry := listed(node)) is not None]
            entries += part
            pages += 1
            newest = max((one.dated for one in part if one.dated), default=None)
            if (newest is not None and newest < first) or pages == MOST_PAGES:
                is_whole = False
                break
    own = figures.own_messages(state, channel.channel_id, first, last)
    return History(entries, is_whole, own, ahead_seconds=meta.clock_skew_seconds or 0.0)


async def ask_respondio(
    state: State,
    respondio: RespondIO,
    channel: Channel,
    broadcast: Broadcast,
    doubts: Sequence[Doubt],
    clock: Clock,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Inquiry:
    """Read the messages of each person in doubt; `on_progress` is told how many are read.

    Never raises for what respond.io or the network does: what was found before it stays.
    """
    asking = _Conversations(state, respondio, channel, broadcast, clock)
    found: dict[int, Judgement] = {}
    for start in range(0, len(doubts), _CONTACTS_AT_ONCE):
        part = doubts[start : start + _CONTACTS_AT_ONCE]
        outcomes = await asyncio.gather(*map(asking.judge, part), return_exceptions=True)
        failures = []
        for doubt, outcome in zip(part, outcomes, strict=True):
            if isinstance(outcome, WacoexError):
                failures.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found[doubt.row] = outcome
        if failures:
            rest = nobody(doubts, f"respond.io: {failures[0].message}", source=RESPONDIO)
            return Inquiry({**rest.judgements, **found}, rest.asked)
        on_progress(start + len(part))
    return Inquiry(found, Asked(available=True))


class _Conversations:
    def __init__(
        self,
        state: State,
        respondio: RespondIO,
        channel: Channel,
        broadcast: Broadcast,
        clock: Clock,
    ) -> None:
        self._state = state
        self._respondio = respondio
        self._channel_id = channel.demand_respondio_channel_id()
        self._broadcast_id = broadcast.broadcast_id
        template = json.loads(broadcast.template)
        self._template, self._language = template["name"], template["language"]
        self._clock = clock

    async def judge(self, doubt: Doubt) -> Judgement:
        """Raises as `RespondIO` does, but for what concerns this contact alone."""
        try:
            candidates, reaches_back = await self._read(doubt)
        except (RefusedError, TemporaryError) as error:
            why = _ONE_CONTACT_ONLY.get(error.code or "")
            if why is None:
                raise
            return evidence.unproven(why, RESPONDIO)
        taken, rivals = Rows(self._state, self._broadcast_id).other_rows(doubt)
        told = Conversation(candidates, reaches_back, taken, rivals)
        return evidence.by_conversation(doubt, told, self._clock.now())

    async def _read(self, doubt: Doubt) -> tuple[list[Candidate], bool]:
        earliest = evidence.earliest_of(doubt)
        candidates: list[Candidate] = []
        read = 0
        ask = partial(self._respondio.list_messages, contact_by(doubt.phone))
        async with contextlib.aclosing(each_page(ask)) as pages:
            async for page in pages:
                read += 1
                for item in page.items:
                    one = candidate(item, self._channel_id, self._template, self._language)
                    if one is not None:
                        candidates.append(one)
                moments = [at for item in page.items if (at := moment_of(item)) is not None]
                if page.next_cursor is None or (moments and min(moments) < earliest):
                    return candidates, True
                if read == MOST_PAGES_OF_A_CONTACT:
                    break
        return candidates, False
