"""`events pull`: reading messages and statuses where no webhook delivers them.

There is no list of messages over all contacts (respond.io: messages), so each contact is paged
back, newest first, to where the last pull began. Meta is asked for the fate of our own messages.

How far the messages of each contact were read stands in two tables:
pull_watermarks(respondio_channel_id, contact, message_id, read_from, pulled_at)
pull_sweeps(respondio_channel_id, started_at, cursor, contacts_done, finished_at)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.channels.registry import choose_channel, meta_for, respondio_for
from wacoex_cli.contacts.stops import follow, words_of
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    TemporaryError,
    UsageError,
    WacoexError,
    counted,
)
from wacoex_cli.events import consumers
from wacoex_cli.events.store import EventLog, Tally, catch_up
from wacoex_cli.foundation.clock import moment_ago, to_text
from wacoex_cli.foundation.phone_numbers import normalise
from wacoex_cli.foundation.settings import ways_to_give
from wacoex_cli.platforms import respondio as api
from wacoex_cli.platforms.events import Source, UnreadablePayload, Via, read_moment, read_phone
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.platforms.respondio import (
    identity,
)
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import ProgressUpdate, open_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.events import Payload
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.platforms.stop_words import StopWords
    from wacoex_cli.terminal.options import Invocation

# The rate is kept by the client; side by side only hides the time each answer takes.
CONTACTS_AT_ONCE = 5
_PARTIAL = 7
# Without these permissions there is no history either, but nothing else is wrong.
_PERMISSIONS = frozenset({3, 10, *range(200, 300)})
_CURSOR_IS_GONE = "respondio_400"
_ONE_CONTACT_ONLY = frozenset({"respondio_400", "respondio_409"})


class Watermark(NamedTuple):
    """Everything of a contact from `read_from` (RFC 3339, UTC) to `message_id` is in the log."""

    message_id: int
    read_from: str


class Sweep(NamedTuple):
    """A walk over all contacts that has not come to its end; `cursor` is of the next page.

    `started_at` is RFC 3339 in UTC; None for one that has not begun.
    """

    started_at: str | None
    cursor: str | None
    contacts_done: int


class PullProgress:
    """How far the messages of each contact of a respond.io channel were read, and the sweep.

    Methods that change something are called inside a transaction of the state.
    """

    def __init__(self, state: State, respondio_channel_id: int) -> None:
        self._state = state
        self._channel_id = respondio_channel_id

    def watermark(self, contact: str) -> Watermark | None:
        """How far a contact was read; None when never to the end."""
        row = self._state.row(
            "SELECT message_id, read_from FROM pull_watermarks"
            " WHERE respondio_channel_id = ? AND contact = ?",
            [self._channel_id, contact],
        )
        return Watermark(row["message_id"], row["read_from"]) if row else None

    def set_watermark(self, contact: str, reached: Watermark, now: datetime) -> None:
        """Remember how far a contact was read. What another process has read stays read."""
        self._state.execute(
            "INSERT INTO pull_watermarks"
            " (respondio_channel_id, contact, message_id, read_from, pulled_at)"
            " VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (respondio_channel_id, contact) DO UPDATE SET"
            " message_id = CASE WHEN excluded.message_id > pull_watermarks.message_id"
            " THEN excluded.message_id ELSE pull_watermarks.message_id END,"
            " read_from = CASE WHEN excluded.read_from < pull_watermarks.read_from"
            " THEN excluded.read_from ELSE pull_watermarks.read_from END,"
            " pulled_at = excluded.pulled_at",
            [self._channel_id, contact, *reached, to_text(now)],
        )

    def open_sweep(self) -> Sweep | None:
        """The sweep that was interrupted; None when the last one came to its end."""
        row = self._state.row(
            "SELECT started_at, cursor, contacts_done FROM pull_sweeps"
            " WHERE respondio_channel_id = ? AND finished_at IS NULL",
            [self._channel_id],
        )
        return Sweep(row["started_at"], row["cursor"], row["contacts_done"]) if row else None

    def begin_sweep(self, now: datetime) -> None:
        """Begin with the first contact, whatever was swept before."""
        self._state.execute(
            "INSERT INTO pull_sweeps (respondio_channel_id, started_at) VALUES (?, ?)"
            " ON CONFLICT (respondio_channel_id) DO UPDATE SET"
            " started_at = excluded.started_at, cursor = NULL, contacts_done = 0,"
            " finished_at = NULL",
            [self._channel_id, to_text(now)],
        )

    def advance_sweep(self, cursor: str | None, contacts: int, now: datetime) -> None:
        """Remember that this many more contacts are done and which page comes next, if any."""
        self._state.execute(
            "UPDATE pull_sweeps SET cursor = ?, contacts_done = contacts_done + ?,"
            " finished_at = ? WHERE respondio_channel_id = ?",
            [cursor, contacts, None if cursor else to_text(now), self._channel_id],
        )


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
        return cls(api.contact_by(phone), phone, phone)

    @classmethod
    def of_contact(cls, contact: api.Node) -> Person | None:
        """A contact out of respond.io's list; None for one without an id."""
        contact_id = identity(contact.get("id"))
        if contact_id is None:
            return None
        phone = read_phone(contact.get("phone"))
        return cls(f"id:{contact_id}", phone or f"contact:{contact_id}", phone, contact_id)


@dataclass
class PullTally(Tally):
    """What a pull has come to so far. `elsewhere` are messages of other channels, left alone."""

    contacts: int = 0
    elsewhere: int = 0
    not_found: int = 0
    not_ready: int = 0
    refused: int = 0


@dataclass
class PullLog:
    """Where what was pulled goes to: the log, each thing once."""

    state: State
    clock: Clock
    tally: PullTally
    key: bytes = field(repr=False)
    store_bodies: bool
    stop_words: StopWords | None = None

    @classmethod
    def of(cls, workspace: Workspace, tally: PullTally | None = None) -> PullLog:
        """The log of the installation; what it comes to is counted in `tally`."""
        key, store_bodies = workspace.secrets.local_key(), workspace.settings.events.store_bodies
        consent = workspace.settings.consent
        follow(workspace.state, consent, workspace.clock.now())
        counted = tally or PullTally()
        return cls(workspace.state, workspace.clock, counted, key, store_bodies, words_of(consent))

    def keep(self, source: Source, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Store what is new of these bodies; it is durable when this returns."""
        payloads: list[Payload] = []
        for body in bodies:
            with contextlib.suppress(UnreadablePayload, RecursionError):
                payload = payload_of(
                    *(source, body, len(json.dumps(body))),
                    key=self.key,
                    received_at=self.clock.now(),
                    store_bodies=self.store_bodies,
                    stop_words=self.stop_words,
                )
                payloads.append(payload)
        news = EventLog(self.state).unknown_events(payloads)
        # What is known did not arrive just now, so it must not count as an arrival.
        fresh = [new for new, events in zip(payloads, news, strict=True) if events is not None]
        self.tally.duplicates += len(payloads) - len(fresh)
        if not fresh:
            return
        with self.state.transaction():
            outcomes = EventLog(self.state).store(fresh, Via.PULL, self.clock.now())
        self.tally.add(outcomes)


class Reader:
    """Reads contacts of one respond.io channel into the log, back to `since` the first time."""

    def __init__(
        self, respondio: api.RespondIO, respondio_channel_id: int, log: PullLog, *, since: datetime
    ) -> None:
        self.respondio = respondio
        self.respondio_channel_id = respondio_channel_id
        self.log = log
        self.progress = PullProgress(log.state, respondio_channel_id)
        self._since = to_text(since)

    async def read(self, people: Sequence[Person], on_progress: Callable[[int], None]) -> None:
        """Read these contacts; `on_progress` gets how many are done.

        A contact that is unknown, not ready, or refused is counted, and the others go on. Raises
        CredentialError and TemporaryError; what was stored before stays stored.
        """
        for start in range(0, len(people), CONTACTS_AT_ONCE):
            part = people[start : start + CONTACTS_AT_ONCE]
            reading = map(self._read_or_count, part)
            for outcome in await asyncio.gather(*reading, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
            on_progress(start + len(part))

    async def _read_or_count(self, person: Person) -> None:
        tally = self.log.tally
        try:
            await self._read(person)
        except (RefusedError, TemporaryError) as error:
            if error.code == api.NOT_FOUND:
                tally.not_found += 1
            elif error.code == api.BEING_PROCESSED:
                tally.not_ready += 1
            elif error.code in _ONE_CONTACT_ONLY:
                tally.refused += 1
            else:
                raise
        else:
            tally.contacts += 1

    async def _read(self, person: Person) -> None:
        """Page back to the watermark. It moves only when everything above it is durable."""
        log = self.log
        known = self.progress.watermark(person.name)
        if known is not None and known.read_from > self._since:
            known = None  # this time more is wanted
        newest = 0
        ask = partial(self.respondio.list_messages, person.identifier)
        async with contextlib.aclosing(api.each_page(ask)) as pages:
            async for page in pages:
                numbers = [n for item in page.items if (n := _number(item)) is not None]
                newest = max([newest, *numbers])
                self._keep(person, page.items, known)
                if not numbers:
                    continue
                oldest_at = read_moment(min(numbers)) or self._since
                if min(numbers) <= known.message_id if known else oldest_at < self._since:
                    break
        if newest:
            reached = Watermark(newest, known.read_from if known else self._since)
            with log.state.transaction():
                self.progress.set_watermark(person.name, reached, log.clock.now())

    def _keep(self, person: Person, items: Sequence[api.Node], known: Watermark | None) -> None:
        wanted = []
        for item in items:
            number = _number(item)
            is_new = known and number is not None and number > known.message_id
            if identity(item.get("channelId")) != self.respondio_channel_id:
                self.log.tally.elsewhere += 1
            # Older ones on the same page are free, and their status may have changed.
            elif is_new or (read_moment(number) or self._since) >= self._since:
                wanted.append(item)
        self.log.keep(Source.RESPONDIO, [body_of(person, item) for item in wanted])


def _number(item: api.Node) -> int | None:
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


def reader_of(
    workspace: Workspace, channel: Channel, since: datetime, tally: PullTally | None = None
) -> Reader | None:
    """Reads a channel's messages at respond.io; None without a token or a channel id there.

    What it comes to is counted in `tally`.
    """
    token = workspace.secrets.find("respondio-token", channel.name)
    if token is None or channel.respondio_channel_id is None:
        return None
    log = PullLog.of(workspace, tally)
    return Reader(respondio_for(workspace, channel), channel.respondio_channel_id, log, since=since)


class MessageHistory(NamedTuple):
    """Whether this number has a message history (None: never asked), and how many were asked."""

    available: bool | None = None
    checked: int = 0
    why_not: str | None = None


async def read_statuses(
    meta: Meta,
    phone_number_id: str,
    messages: Mapping[str, str],
    log: PullLog,
    on_progress: Callable[[int], None],
) -> MessageHistory:
    """Store the statuses of messages of ours, each given with the attempt id it was sent under.

    The edge is documented and not offered everywhere, so the first refusal ends it quietly.
    Raises CredentialError for a dead token, TemporaryError when Meta cannot be reached.
    Source: "Meta: message history API".
    """
    checked = 0
    for message_id, attempt_id in messages.items():
        try:
            entries = await meta.message_history(phone_number_id, message_id)
        except (RefusedError, CredentialError) as error:
            is_refusal = isinstance(error, RefusedError)
            if not (is_refusal or error.details.get("code") in _PERMISSIONS):
                raise
            if not checked:
                return MessageHistory(False, 0, error.message)
            entries = []
        checked += 1
        if entries:
            body = {
                "object": "message_history",
                "phone_number_id": phone_number_id,
                "message_id": message_id,
                "biz_opaque_callback_data": attempt_id,
                "data": entries,
            }
            log.keep(Source.META, [body])
        on_progress(checked)
    return MessageHistory(True if checked else None, checked)


class Survey(NamedTuple):
    """What is left to read: contacts, the fewest calls and seconds that takes, at what rate.

    `begun` is the sweep that was interrupted and goes on; without a start there is none.
    """

    contacts: int
    calls: int
    seconds: float
    calls_per_second: float
    begun: Sweep = Sweep(None, None, 0)

    def sentence(self) -> str:
        """What it will take, in words."""
        text = (
            f"contacts to read: {self.contacts}, at least {self.calls} calls,"
            f" about {max(1, math.ceil(self.seconds / 60))} min"
            f" at {self.calls_per_second:g} message lists a second"
        )
        started_at, _, done = self.begun
        if started_at is None:
            return text
        return f"{text}; continues the sweep of {started_at}, {done} are done"

    def to_json(self) -> dict[str, object]:
        """The `estimate` of the JSON output."""
        figures = self._replace(seconds=round(self.seconds, 1))._asdict()
        del figures["begun"]
        return figures


async def survey(reader: Reader) -> Survey:
    """Count the contacts, which takes a call for each hundred, and learn the rate.

    Raises as `RespondIO` does.
    """
    begun = reader.progress.open_sweep()
    if begun is not None and begun.cursor:
        try:
            return await _survey(reader.respondio, begun)
        except RefusedError as error:
            if error.code != _CURSOR_IS_GONE:
                raise
    return await _survey(reader.respondio, Sweep(None, None, 0))


async def _survey(respondio: api.RespondIO, begun: Sweep) -> Survey:
    contacts = pages = 0
    first: Person | None = None
    async for page in api.each_page(respondio.list_contacts, begun.cursor):
        pages += 1
        contacts += len(page.items)
        if first is None and page.items:
            first = Person.of_contact(page.items[0])
    if first is not None:
        # Only an answer states the limit; that this contact cannot be read does not matter here.
        with contextlib.suppress(RefusedError, TemporaryError):
            await respondio.list_messages(first.identifier)
    rate = respondio.calls_per_second(api.MESSAGES)
    seconds = contacts / rate + pages / respondio.calls_per_second(api.CONTACTS)
    return Survey(contacts, contacts + pages, seconds, rate, begun)


async def sweep(
    reader: Reader,
    survey: Survey,
    on_progress: Callable[[int], None],
    on_page: Callable[[], None],
) -> None:
    """Read every contact that the survey counted; `on_page` is called after each hundred.

    How far it has come is kept, so that after an interruption the next sweep goes on there.
    Raises as `Reader.read` does.
    """
    state, clock = reader.log.state, reader.log.clock
    if survey.begun.started_at is None:
        with state.transaction():
            reader.progress.begin_sweep(clock.now())
    done = 0

    def show(of_this_page: int) -> None:
        on_progress(done + of_this_page)

    async for page in api.each_page(reader.respondio.list_contacts, survey.begun.cursor):
        people = [person for person in map(Person.of_contact, page.items) if person is not None]
        await reader.read(people, show)
        done += len(people)
        with state.transaction():
            reader.progress.advance_sweep(page.next_cursor, len(people), clock.now())
        on_page()


class PullRequest(NamedTuple):
    """What a person wants: contacts beside those that matter anyway (phone numbers), since when.

    Both as they were written; `since` counts for contacts that were never read before.
    """

    contacts: tuple[str, ...]
    since: str
    all_contacts: bool
    dry_run: bool = False
    is_confirmed: bool = False


@dataclass
class Pulled:
    """What a pull came to. `worked` counts the platforms that were read to the end.

    `statuses_wanted` are messages of ours whose fate Meta may know.
    """

    tally: PullTally = field(default_factory=PullTally)
    history: MessageHistory = field(default_factory=MessageHistory)
    estimate: Survey | None = None
    statuses_wanted: int = 0
    calls: int = 0
    worked: int = 0
    errors: list[WacoexError] = field(default_factory=list)

    @property
    def exit_status(self) -> int:
        """0, 7 when only a part could be read, or the status of what made it impossible."""
        if self.errors and not self.worked:
            return self.errors[0].exit_status
        is_whole = not (self.errors or self.tally.not_ready or self.tally.refused)
        return 0 if is_whole else _PARTIAL

    def to_json(self) -> dict[str, object]:
        """The `data` of the JSON output."""
        return {
            **self.tally.to_json(),
            "calls": self.calls,
            "history": self.history._asdict(),
            "estimate": self.estimate.to_json() if self.estimate else None,
            "resumed": bool(self.estimate and self.estimate.begun.started_at),
            "finished": self.exit_status == 0,
        }


class Pull:
    """One run for one channel.

    Raises UsageError for a contact that is no phone number, and when no channel is meant.
    """

    def __init__(self, workspace: Workspace, invocation: Invocation, request: PullRequest) -> None:
        self._phones = [_phone(text) for text in request.contacts]
        self._workspace = workspace
        self._invocation = invocation
        self._dialogue = TerminalDialogue(invocation)
        self._request = request
        self.channel = choose_channel(workspace, invocation)
        zone = self.channel.timezone or workspace.settings.timezone or "UTC"
        self._since = moment_ago(request.since, zone, workspace.clock.now())
        self._pulled = Pulled()
        self._log = PullLog.of(workspace, self._pulled.tally)

    def run(self) -> Pulled:
        """Read what matters, or everything, and let every projection learn from it.

        Raises:
            CredentialError: there is neither a token for respond.io nor one for Meta.
            UsageError: the channel lacks the ids that the tokens need.
            DeclinedError: a person did not want to read all contacts.
        """
        workspace, pulled = self._workspace, self._pulled
        reader, meta = self._readers()
        interest = consumers.interest(workspace.state, self.channel, workspace.clock.now())
        probe = workspace.settings.events.probe_contact
        phones = dict.fromkeys((*self._phones, *([probe] if probe else []), *interest.phones))
        try:
            if reader is not None:
                with self._failing():
                    self._read_respondio(reader, list(phones))
            if meta is not None and interest.message_ids:
                with self._failing():
                    self._read_meta(meta, interest.message_ids)
        except KeyboardInterrupt:
            if pulled.tally.contacts:
                self._dialogue.note(
                    "wacoex keeps what it read; the same command continues from there"
                )
            raise
        self._catch_up()
        pulled.calls = (reader.respondio.calls if reader else 0) + (meta.calls if meta else 0)
        return pulled

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """What fails on one platform is kept, so that the other is read anyway."""
        try:
            yield
        except (CredentialError, RefusedError, TemporaryError) as error:
            self._pulled.errors.append(error)

    def _readers(self) -> tuple[Reader | None, Meta | None]:
        workspace, channel, secrets = self._workspace, self.channel, self._workspace.secrets
        has_token = secrets.find("respondio-token", channel.name) is not None
        needs_respondio = bool(self._phones) or self._request.all_contacts
        if needs_respondio:
            secrets.need("respondio-token", channel.name)
        has_meta_token = secrets.find("meta-token", channel.name) is not None
        reader = reader_of(workspace, channel, self._since, self._pulled.tally)
        meta = meta_for(workspace, channel) if has_meta_token and channel.phone_number_id else None
        if reader or (meta and not needs_respondio):
            return reader, meta
        if has_token:
            hint = f"run `wacoex channel edit {channel.name} --respondio-channel-id N`"
            with contextlib.suppress(WacoexError):
                found = workspace.run(respondio_for(workspace, channel).list_channels())
                # Which `source` a Coexistence channel shows is not documented.
                known = [f"{each.id} ({each.name})" for each in found if each.is_whatsapp]
                hint += f"; N is one of {', '.join(known)}" if known else ""
            raise UsageError(
                f"channel `{channel.name}` has no respondio_channel_id",
                hint=hint,
                code="channel_incomplete",
            )
        if has_meta_token:
            channel.demand_phone_number_id()
        raise CredentialError(
            f"there is neither a respondio-token nor a meta-token for channel `{channel.name}`",
            hint=f"{ways_to_give('respondio-token')}; for Meta {ways_to_give('meta-token')}",
            code="credentials_missing",
        )

    def _read_respondio(self, reader: Reader, phones: Sequence[str]) -> None:
        if self._request.all_contacts:
            self._sweep(reader)
        elif phones and self._request.dry_run:
            rate, count = reader.respondio.calls_per_second(api.MESSAGES), len(phones)
            self._pulled.estimate = Survey(count, count, count / rate, rate)
        elif phones:
            with self._progress("contacts read", len(phones)) as show:
                self._workspace.run(reader.read([*map(Person.of_phone, phones)], show))
            self._pulled.worked += 1

    def _sweep(self, reader: Reader) -> None:
        dialogue = self._dialogue
        must_ask = not (self._request.is_confirmed or self._request.dry_run)
        if must_ask:
            dialogue.demand_person("--yes")  # before the contacts are counted, not after
        found = self._workspace.run(survey(reader))
        self._pulled.estimate = found
        if self._request.dry_run:
            return
        dialogue.note(found.sentence())
        question = f"read {counted(found.contacts, 'contact')}?"
        if must_ask and not dialogue.confirm(question, flag="--yes"):
            raise DeclinedError("nothing was read")
        with self._progress("contacts read", found.contacts) as show:
            self._workspace.run(sweep(reader, found, show, self._catch_up))
        self._pulled.worked += 1

    def _read_meta(self, meta: Meta, messages: Mapping[str, str]) -> None:
        self._pulled.statuses_wanted = len(messages)
        if self._request.dry_run:
            return
        phone_number_id = self.channel.demand_phone_number_id()
        with self._progress("statuses asked for", len(messages)) as show:
            reading = read_statuses(meta, phone_number_id, messages, self._log, show)
            self._pulled.history = self._workspace.run(reading)
        self._pulled.worked += self._pulled.history.available is True

    @contextlib.contextmanager
    def _progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        with open_progress(self._invocation, title, total, clock=self._workspace.clock) as shown:
            tally = self._log.tally

            def show(done: int) -> None:
                counts = {"stored": tally.stored}
                shown.update(ProgressUpdate(done, f"{tally.stored} stored", counts))

            yield show

    def _catch_up(self) -> None:
        catch_up(self._workspace.state, consumers.projections(), self._workspace.clock)


def _phone(text: str) -> str:
    phone = normalise(text)
    if phone is None:
        raise UsageError(
            f"`--contact {text}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="bad_contact",
        )
    return phone
