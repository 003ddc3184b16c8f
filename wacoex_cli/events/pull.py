"""Reading respond.io's messages contact by contact, where no webhook delivers them.

There is no list of messages over all contacts (respond.io: messages), so each contact is paged
back, newest first, to where the last pull began.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.access import respondio_for
from wacoex_cli.errors import RefusedError, TemporaryError, WacoexError
from wacoex_cli.events import ledger, pull_ledger, values
from wacoex_cli.events.model import Source, UnfitPayload, Via
from wacoex_cli.events.payloads import payload_of
from wacoex_cli.events.pull_ledger import Watermark
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.platforms.respondio import BEING_PROCESSED, NOT_FOUND, contact_by, each_page
from wacoex_cli.platforms.respondio_replies import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.model import Kind, Payload
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.respondio import Node, RespondIO

# The rate is kept by the client; side by side only hides the time each answer takes.
CONTACTS_AT_ONCE = 5
_ONE_CONTACT_ONLY = frozenset({"respondio_400", "respondio_409"})


@dataclass(frozen=True, slots=True)
class Person:
    """A contact: what respond.io is asked for, and the name under which it is remembered."""

    identifier: str
    name: str
    phone: str | None = None
    contact_id: int | None = None

    @classmethod
    def of_phone(cls, phone: str) -> Person:
        """The contact with that number (E.164)."""
        return cls(contact_by(phone), phone, phone)

    @classmethod
    def of_contact(cls, contact: Node) -> Person | None:
        """A contact out of respond.io's list; None for one without an id."""
        contact_id = identity(contact.get("id"))
        if contact_id is None:
            return None
        phone = values.phone(contact.get("phone"))
        return cls(f"id:{contact_id}", phone or f"contact:{contact_id}", phone, contact_id)


@dataclass
class Tally:
    """What a pull has come to so far. `elsewhere` are messages of other channels, left alone."""

    contacts: int = 0
    stored: int = 0
    duplicates: int = 0
    elsewhere: int = 0
    not_found: int = 0
    not_ready: int = 0
    refused: int = 0
    by_kind: Counter[Kind] = field(default_factory=Counter)


class Log:
    """Where what was pulled goes to: the log, each thing once."""

    def __init__(
        self, state: State, clock: Clock, tally: Tally, *, key: bytes, store_bodies: bool
    ) -> None:
        self.state = state
        self.clock = clock
        self.tally = tally
        self._key = key
        self._store_bodies = store_bodies

    def keep(self, source: Source, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Store what is new of these bodies; it is durable when this returns."""
        payloads = [one for body in bodies if (one := self._payload(source, body)) is not None]
        news = ledger.unknown_events(self.state, payloads)
        # What is known did not arrive just now, so it must not count as an arrival.
        fresh = [one for one, events in zip(payloads, news, strict=True) if events is not None]
        self.tally.duplicates += len(payloads) - len(fresh)
        if not fresh:
            return
        with self.state.transaction():
            outcomes = ledger.store(self.state, fresh, Via.PULL, self.clock.now())
        for outcome in outcomes:
            self.tally.stored += outcome.is_new
            self.tally.duplicates += not outcome.is_new
            self.tally.by_kind.update(outcome.events)

    def _payload(self, source: Source, body: Mapping[str, Any]) -> Payload | None:
        try:
            return payload_of(
                source,
                body,
                len(json.dumps(body)),
                key=self._key,
                received_at=self.clock.now(),
                store_bodies=self._store_bodies,
            )
        except (UnfitPayload, RecursionError):
            return None


class Reader:
    """Reads contacts of one respond.io channel into the log, back to `since` the first time."""

    def __init__(
        self, respondio: RespondIO, respondio_channel_id: int, log: Log, *, since: datetime
    ) -> None:
        self.respondio = respondio
        self.respondio_channel_id = respondio_channel_id
        self.log = log
        self._since = to_text(since)

    async def read(self, people: Sequence[Person], on_progress: Callable[[int], None]) -> None:
        """Read these contacts; `on_progress` is told how many are done.

        A contact that is unknown, not ready, or refused is counted, and the others go on. Raises
        CredentialError and TemporaryError; what was stored before stays stored.
        """
        for start in range(0, len(people), CONTACTS_AT_ONCE):
            part = people[start : start + CONTACTS_AT_ONCE]
            outcomes = await asyncio.gather(
                *(self._read_or_count(person) for person in part), return_exceptions=True
            )
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
            on_progress(start + len(part))

    async def _read_or_count(self, person: Person) -> None:
        tally = self.log.tally
        try:
            await self._read(person)
        except (RefusedError, TemporaryError) as error:
            if not self._count(error):
                raise
        else:
            tally.contacts += 1

    def _count(self, error: WacoexError) -> bool:
        """Count a failure that concerns one contact only; says whether it was one."""
        tally = self.log.tally
        if error.code == NOT_FOUND:
            tally.not_found += 1
        elif error.code == BEING_PROCESSED:
            tally.not_ready += 1
        elif error.code in _ONE_CONTACT_ONLY:
            tally.refused += 1
        else:
            return False
        return True

    async def _read(self, person: Person) -> None:
        """Page back to the watermark. It moves only when everything above it is durable."""
        log = self.log
        known = pull_ledger.watermark(log.state, self.respondio_channel_id, person.name)
        if known is not None and known.read_from > self._since:
            known = None  # this time more is wanted
        newest = 0
        ask = partial(self.respondio.list_messages, person.identifier)
        async with contextlib.aclosing(each_page(ask)) as pages:
            async for page in pages:
                numbers = [number for one in page.items if (number := _number(one)) is not None]
                newest = max([newest, *numbers])
                self._keep(person, page.items, known)
                if self._is_far_enough(numbers, known):
                    break
        if newest:
            reached = Watermark(newest, known.read_from if known else self._since)
            with log.state.transaction():
                pull_ledger.set_watermark(
                    log.state, self.respondio_channel_id, person.name, reached, log.clock.now()
                )

    def _keep(self, person: Person, items: Sequence[Node], known: Watermark | None) -> None:
        ours = [one for one in items if identity(one.get("channelId")) == self.respondio_channel_id]
        self.log.tally.elsewhere += len(items) - len(ours)
        wanted = [one for one in ours if self._is_wanted(_number(one), known)]
        self.log.keep(Source.RESPONDIO, [body_of(person, one) for one in wanted])

    def _is_wanted(self, number: int | None, known: Watermark | None) -> bool:
        if known is not None and number is not None and number > known.message_id:
            return True
        # Older ones on the same page are free, and their status may have changed.
        at = values.moment(number)
        return at is None or at >= self._since

    def _is_far_enough(self, numbers: Sequence[int], known: Watermark | None) -> bool:
        if not numbers:
            return False
        if known is not None:
            return min(numbers) <= known.message_id
        at = values.moment(min(numbers))
        return at is not None and at < self._since


def _number(item: Node) -> int | None:
    """The message id, which is also its time in microseconds (respond.io: messages)."""
    return identity(item.get("messageId"))


def body_of(person: Person, item: Mapping[str, Any]) -> dict[str, Any]:
    """A message of a list in the shape in which a webhook would have delivered it."""
    is_incoming = item.get("traffic") == "incoming"
    return {
        "event_type": "message.received" if is_incoming else "message.sent",
        "event_id": f"pull:{item.get('messageId')}",
        "contact": {"id": person.contact_id or item.get("contactId"), "phone": person.phone},
        "message": item,
        "channel": {"id": item.get("channelId")},
    }


def reader_of(workspace: Workspace, channel: Channel, since: datetime) -> Reader | None:
    """Reads a channel's messages at respond.io; None without a token or a channel id there."""
    token = workspace.secrets.find("respondio-token", channel.name)
    if token is None or channel.respondio_channel_id is None:
        return None
    kept = Log(
        workspace.state,
        workspace.clock,
        Tally(),
        key=workspace.secrets.local_key(),
        store_bodies=workspace.settings.events.store_bodies,
    )
    respondio = respondio_for(workspace, channel)
    return Reader(respondio, channel.respondio_channel_id, kept, since=since)
