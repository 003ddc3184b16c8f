"""Asking respond.io what became of messages while they are sent: it tells no statuses by itself.

Each message is asked about singly, within the limit that its endpoint tells. What is read goes
into the log of events too, as if somebody had pulled it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.evidence_reading import status_in
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.errors import WacoexError
from wacoex_cli.events.model import Source
from wacoex_cli.events.privacy import meta_code
from wacoex_cli.events.pull import Log, Person, Tally, body_of
from wacoex_cli.foundation.meanwhile import meanwhile
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from wacoex_cli.broadcast.model import OnItsWay
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.respondio import Node, RespondIO

LAST_NEWS_SECONDS = 20.0
"""How long news is waited for after the last message has left."""

# The rate is kept by the client; side by side only hides the time each answer takes.
_AT_ONCE = 5
_MOST_IN_SIGHT = 1_000
_FIRST_ASKED_AFTER = timedelta(seconds=1)
_ASKED_AGAIN_AFTER_SECONDS, _LONGEST_WAIT_SECONDS = 10.0, 300.0
_IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class _Asked:
    """How often a message was asked about, and when (monotonic seconds) it is its turn again."""

    times: int
    again_at: float


class Poller:
    """Asks about the messages of one broadcast: new ones first, the newest of them before others.

    A message that stays without news is asked about every 10 seconds at first, then ever more
    seldom, down to every 5 minutes.
    """

    def __init__(self, state: State, respondio: RespondIO, broadcast_id: int, clock: Clock) -> None:
        self._state = state
        self._respondio = respondio
        self._broadcast_id = broadcast_id
        self._clock = clock
        self._asked: dict[str, _Asked] = {}

    async def ask_for_ever(self) -> None:
        """Ask about whatever is due, until cancelled; nothing that goes wrong ends it."""
        while True:
            due: list[OnItsWay] = []
            # A state file that cannot be used stops the engine, which tells it.
            with contextlib.suppress(WacoexError):
                due = await asyncio.to_thread(self._due)
                items = await asyncio.gather(*map(self._ask, due))
                if told := [(one, item) for one, item in zip(due, items, strict=True) if item]:
                    await asyncio.to_thread(self._learn, told)
            if not due:
                await self._clock.sleep(_IDLE_SECONDS)

    async def wait_for_last_news(self, is_wanted: Callable[[], bool]) -> None:
        """Wait while messages are without an end, for `LAST_NEWS_SECONDS` at most."""
        deadline = self._clock.monotonic() + LAST_NEWS_SECONDS
        while (
            is_wanted()
            and self._clock.monotonic() < deadline
            and Broadcasts(self._state).status(self._broadcast_id) is Status.SENDING
            and Rows(self._state, self._broadcast_id).on_their_way(self._clock.now(), 1)
        ):
            await self._clock.sleep(_IDLE_SECONDS)

    def _due(self) -> list[OnItsWay]:
        before, now = self._clock.now() - _FIRST_ASKED_AFTER, self._clock.monotonic()
        rows = Rows(self._state, self._broadcast_id).on_their_way(before, _MOST_IN_SIGHT)
        in_sight = {one.message_id for one in rows}
        self._asked = {
            name: asked
            for name, asked in self._asked.items()
            if name in in_sight or asked.again_at > now
        }
        new = [one for one in rows if one.message_id not in self._asked]
        old = [one for one in rows if one.message_id in self._asked]
        again = [one for one in old if self._asked[one.message_id].again_at <= now]
        again.sort(key=lambda one: self._asked[one.message_id].again_at)
        return [*new, *again][:_AT_ONCE]

    async def _ask(self, one: OnItsWay) -> Node:
        """What respond.io tells of a message; empty when it tells nothing usable."""
        item: Node = {}
        # Whatever it is, the message is asked about again; what is wrong with the token or the
        # network, the sending itself tells.
        with contextlib.suppress(WacoexError):
            item = await self._respondio.get_message(
                Person.of_phone(one.phone).identifier, one.message_id
            )
        known = self._asked.get(one.message_id)
        times = known.times + 1 if known else 1
        wait = min(_ASKED_AGAIN_AFTER_SECONDS * 2.0 ** (times - 1), _LONGEST_WAIT_SECONDS)
        self._asked[one.message_id] = _Asked(times, self._clock.monotonic() + wait)
        return item if str(identity(item.get("messageId"))) == one.message_id else {}

    def _learn(self, told: Sequence[tuple[OnItsWay, Node]]) -> None:
        """Rows move before the log is written: what stands there already moves nothing anew."""
        with self._state.transaction():
            for one, item in told:
                self._move_on(one, item)
        # Without its text there is nothing in a message that would be kept under a key.
        log = Log(self._state, self._clock, Tally(), key=b"", store_bodies=False)
        bodies = [body_of(Person.of_phone(one.phone), _without_text(item)) for one, item in told]
        log.keep(Source.RESPONDIO, bodies)

    def _move_on(self, one: OnItsWay, item: Node) -> None:
        reached, failure = status_in(item.get("status"))
        if reached is not RowState.ACCEPTED:
            Rows(self._state, self._broadcast_id).move_on(
                one.row,
                one.attempt,
                reached,
                code=meta_code(failure, b""),
                detail=failure,
                message_id=one.message_id,
            )


def _without_text(item: Mapping[str, object]) -> dict[str, object]:
    message = item.get("message")
    kind = message.get("type") if isinstance(message, dict) else None
    return {**item, "message": {"type": kind}}


@contextlib.asynccontextmanager
async def polling(
    state: State,
    respondio: RespondIO | None,
    broadcast_id: int,
    clock: Clock,
    on_failure: Callable[[BaseException], None] | None = None,
) -> AsyncIterator[Poller | None]:
    """Meanwhile ask what becomes of the messages; nobody asks where statuses come by themselves."""
    if respondio is None:
        yield None
        return
    poller = Poller(state, respondio, broadcast_id, clock)
    async with meanwhile(poller.ask_for_ever(), on_failure):
        yield poller
