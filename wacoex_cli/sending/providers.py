"""The ways a broadcast can leave: Meta's Graph API, or respond.io's Developer API.

Plan, engine and store are the same for both. This file holds the differences: whom to ask for the
template, what a request looks like, what its answer leads to, and which limit the API states.
respond.io sends to contacts, which may have to be created first, and reports statuses only on
request. The last part says what forbids sending through either.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.channels.facts import Connection, ConnectionState
from wacoex_cli.channels.look import read_respondio
from wacoex_cli.channels.model import Channel, Fact, Provider
from wacoex_cli.channels.registry import meta_for, respondio_for
from wacoex_cli.contacts.persons import USER_ID_PREFIX
from wacoex_cli.errors import (
    RefusedError,
    TemporaryError,
    WacoexError,
)
from wacoex_cli.events.pull import Person, PullLog, PullTally, body_of
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation.clock import Clock, to_text
from wacoex_cli.foundation.workspace import meanwhile
from wacoex_cli.ledger.model import (
    HELD_BACK,
    LONGEST_RETRY_IN_RUN,
    OPEN_STATES,
    Broadcast,
    Claim,
    OnItsWay,
    RowState,
    Settled,
    Status,
    Stop,
    attempt_id,
    status_in,
)
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.media.links import LinkChecker, is_loopback
from wacoex_cli.media.places import NO_MEDIA, MediaPlaces, places_in, places_of
from wacoex_cli.media.store import MediaStore
from wacoex_cli.media.upload import MediaDesk
from wacoex_cli.partners.checks import check_drift
from wacoex_cli.partners.rule import at_respondio
from wacoex_cli.platforms.answers import (
    Declined,
    Lapsed,
    NotSent,
    Postponed,
    Refused,
    Reply,
    Taken,
    Unclear,
)
from wacoex_cli.platforms.error_codes import Outcome, classify, retry_delay_seconds
from wacoex_cli.platforms.events import Source, meta_code
from wacoex_cli.platforms.respondio import (
    NOT_FOUND,
    SENDING,
    Node,
    RespondIO,
    contact_by,
    each_page,
    identity,
)
from wacoex_cli.templates.components import MessageForm, direct, message_body, respondio_body
from wacoex_cli.templates.conversions import offer_in
from wacoex_cli.templates.model import OFFER_ENDS, Template
from wacoex_cli.templates.reading import RespondIOTemplates, find_versions
from wacoex_cli.templates.values import ParameterSource, values_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from wacoex_cli.channels.sending_reads import SendingReads
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta

WARM_CONNECTIONS = 4

Request = tuple[str, dict[str, Any]]
"""The URL that is posted to, and the body."""

MOST_ASKED_SINGLY = 300
"""Up to so many people are asked about one by one; for more, all contacts are listed."""

# The rates are kept by the client; side by side only hides the time each answer takes.
_AT_ONCE = 5
_WAIT_SECONDS, _PATIENCE_SECONDS = 5.0, 120.0
LAST_NEWS_SECONDS = 20.0
"""How long news is waited for after the last message has left."""

_MOST_IN_SIGHT = 1_000
_FIRST_ASKED_AFTER = timedelta(seconds=1)
_ASKED_AGAIN_AFTER_SECONDS, _LONGEST_WAIT_SECONDS = 10.0, 300.0
_IDLE_SECONDS = 0.5

_NOT_SENT_WAIT_SECONDS = 1.0
_POSTPONED_SECONDS = 1.0
_OPEN = [state.value for state in OPEN_STATES]

_TOO_MANY_REQUESTS, _BEING_PROCESSED, _UNKNOWN_CONTACT = 429, 449, 404

_TURNED_AWAY = frozenset({401, 403})

_NOT_TO_IDS = 131062
_SHORTEST_PAUSE_SECONDS, _PROCESSING_SECONDS = 1.0, 60.0


class SendingProvider(ABC):
    """One API that messages leave through, for one channel.

    `endpoint` names the limit that it keeps besides that of the number, shared by everybody who
    uses the same account there; None when it keeps none. `respondio` is respond.io's API, where
    that is the way; `meta` is Meta's, where it can be asked, and `limit_error` says why
    Meta gave no limit. `links` looks at links to files, where there is a network to do so.
    """

    kind: Provider
    base_url: str
    base_url_variable: str
    endpoint: str | None = None
    respondio: RespondIO | None = None
    meta: Meta | None = None
    limit_error: WacoexError | None = None
    links: LinkChecker | None = None

    def stated_limit(self) -> float | None:
        """Messages per second that the endpoint said it allows; None while it has not."""
        return None

    @abstractmethod
    async def find_versions(self, name: str, reads: SendingReads) -> list[Template]:
        """The template in each of its languages; raises like `templates.reading.find_versions`."""

    @abstractmethod
    async def phone_facts(
        self, fields: Sequence[str], now: datetime, reads: SendingReads
    ) -> Sequence[Fact]:
        """What Meta says about the number; empty when this access cannot ask it."""

    @abstractmethod
    async def check_channel(
        self, connection: Connection, now: datetime, reads: SendingReads
    ) -> list[Finding]:
        """What the provider itself says against the channel."""

    @abstractmethod
    async def warm_up(self) -> None:
        """Open a few connections: a cold one brings its message two round trips late."""

    @abstractmethod
    def mailer(self, broadcast: Broadcast, state_id: str, desk: MediaDesk | None = None) -> Mailer:
        """What makes and delivers the messages of one broadcast; `desk` has the ids of files."""

    def desk(self, state: State, clock: Clock, *, only_shows: bool = False) -> MediaDesk | None:
        """What uploads files for this channel; None where they cannot be uploaded."""
        return None


@dataclass(frozen=True)
class Mailer:
    """Makes and delivers the messages of one broadcast.

    `request` gives the exact request of one row, without its headers. Files of messages are those
    at `places`, with ids of the `desk`. `offer_ends` says when the offer of a row ends, if it has
    an offer.
    """

    request: Callable[[Claim], Request]
    post: Callable[[Claim, dict[str, Any]], Awaitable[Reply]]
    places: MediaPlaces = NO_MEDIA
    desk: MediaDesk | None = None
    offer_ends: Callable[[Claim], datetime | None] | None = None

    def is_ready(self, claim: Claim) -> bool:
        """Whether the files of a message have ids that can be used; they may be on their way."""
        return self.desk is None or not self.desk.lacks(self._files(claim))

    async def deliver(self, clock: Clock, claim: Claim) -> Reply:
        """Send one message in one single try; never raises for what the network does."""
        ends = self.offer_ends(claim) if self.offer_ends else None
        if ends is not None and ends <= clock.now():
            return Lapsed(f"the offer ended at {to_text(ends)}")
        files = self._files(claim) if self.desk else []
        if self.desk and self.desk.lacks(files):
            return Postponed("a file of it is being uploaded again")
        used = self.desk.used_in(files) if self.desk else {}
        _, body = self.request(claim)
        reply = await self.post(claim, body)
        if self.desk and await self.desk.has_ended(used, reply):
            return Postponed("the id of a file had ended at Meta; it is uploaded again")
        return reply

    def _files(self, claim: Claim) -> list[str]:
        return self.places.references(json.loads(claim.parameters))


class MetaProvider(SendingProvider):
    """Meta's Graph API, direct."""

    kind = Provider.META
    base_url_variable = "WACOEX_META_BASE_URL"

    def __init__(self, meta: Meta, channel: Channel, base_url: str) -> None:
        self.base_url = base_url
        self.meta = self._meta = meta
        self._channel = channel

    async def find_versions(self, name: str, reads: SendingReads) -> list[Template]:
        """The template as Meta has it; raises like `templates.reading.find_versions`."""
        listing = reads.templates(self._meta.caller, self._meta.templates)
        return await find_versions(listing, self._channel.demand_waba_id(), name)

    async def phone_facts(
        self, fields: Sequence[str], now: datetime, reads: SendingReads
    ) -> Sequence[Fact]:
        """Fields of the phone number. Raises as `Meta` does when one of them is refused."""
        number = self._channel.demand_phone_number_id()
        return await reads.number(self._meta, number, fields, now)

    async def check_channel(
        self, connection: Connection, now: datetime, reads: SendingReads
    ) -> list[Finding]:
        """Nothing beyond what the facts of the number say."""
        return []

    async def warm_up(self) -> None:
        """Read the number's id a few times at once."""
        number = self._channel.demand_phone_number_id()
        reads = (self._meta.phone_number(number, ("id",)) for _ in range(WARM_CONNECTIONS))
        await asyncio.gather(*reads, return_exceptions=True)

    def desk(self, state: State, clock: Clock, *, only_shows: bool = False) -> MediaDesk | None:
        """What uploads files for the messages of the number."""
        number = self._channel.demand_phone_number_id()
        return MediaDesk(state, self._meta, number, clock, only_shows=only_shows)

    def mailer(self, broadcast: Broadcast, state_id: str, desk: MediaDesk | None = None) -> Mailer:
        """What posts to the number's `messages`."""
        number = self._channel.demand_phone_number_id()
        template, sources = _frozen(broadcast)
        resolve = desk.resolve if desk else direct
        form, places = MessageForm(template), places_of(template, sources)
        meta, url = self._meta, self._meta.messages_url(number)

        def request(claim: Claim) -> Request:
            name = attempt_id(state_id, broadcast.broadcast_id, claim.row, claim.attempt)
            values = values_of(sources, json.loads(claim.parameters))
            return url, message_body(form, values, claim.phone, name, resolve)

        def offer(claim: Claim) -> datetime | None:
            return offer_in(values_of(sources, json.loads(claim.parameters)))

        has_offer = any(source.key == OFFER_ENDS for source in sources)
        return Mailer(
            request,
            lambda claim, body: meta.send_message(number, body),
            places,
            desk if places != NO_MEDIA else None,
            offer if has_offer else None,
        )


class RespondIOProvider(SendingProvider):
    """respond.io's Developer API. It has no attempt ids, and reports statuses only on request.

    `meta` adds what Meta says about the number, where there is a token for it.
    """

    kind = Provider.RESPONDIO
    base_url_variable = "WACOEX_RESPONDIO_BASE_URL"

    def __init__(
        self, respondio: RespondIO, channel: Channel, base_url: str, meta: Meta | None = None
    ) -> None:
        self.base_url = base_url
        self.respondio = self._api = respondio
        self.endpoint = f"respondio {respondio.caller[:16]} {SENDING}"
        self._channel = channel
        self.meta = meta

    def stated_limit(self) -> float | None:
        """What `X-RateLimit-Limit` of the newest answer said (respond.io: rate limits)."""
        return self._api.stated_limit(SENDING)

    async def find_versions(self, name: str, reads: SendingReads) -> list[Template]:
        """The template as respond.io has it; raises like `templates.reading.find_versions`.

        Raises RefusedError when the workspace has no such channel either.
        """
        number = self._channel.demand_respondio_channel_id()
        # respond.io finds no template by its name.
        listing = reads.templates(
            self._api.caller, RespondIOTemplates(self._api).templates, most_names=0
        )
        try:
            return await find_versions(listing, str(number), name)
        except RefusedError as error:
            if error.code != NOT_FOUND:
                raise
            raise RefusedError(
                f"respond.io has no channel {number} in the workspace of this token",
                hint=f"`wacoex partner check {self._channel.name}` shows which it has",
                code=NOT_FOUND,
            ) from None

    async def phone_facts(
        self, fields: Sequence[str], now: datetime, reads: SendingReads
    ) -> Sequence[Fact]:
        """What Meta says, with a Meta token; respond.io itself says nothing about a number.

        Where Meta does not tell, `check_channel` says so: nothing is sent through it.
        """
        self.limit_error = None
        number = self._channel.phone_number_id
        if self.meta is None or number is None:
            return ()
        try:
            return await reads.number(self.meta, number, fields, now)
        except WacoexError as error:
            self.limit_error = error
            return ()

    async def check_channel(
        self, connection: Connection, now: datetime, reads: SendingReads
    ) -> list[Finding]:
        """WX207: the workspace has not got the channel; WX709: Meta said nothing about it."""
        self._channel.demand_respondio_channel_id()
        listed = await reads.once(
            (self._api.caller, "channels"), lambda: read_respondio(self._api, now)
        )
        drifts = at_respondio(self._channel, listed)
        found = check_drift(listed, drifts, connection, self._channel.name)
        if self.limit_error and connection.state is not ConnectionState.GONE:
            is_said = "code" in self.limit_error.details
            evidence = Evidence(self.limit_error.message, "meta", to_text(now), is_said)
            hints = self.limit_error.hint or "try again in a minute"
            found.append(
                Finding(
                    "WX709",
                    Severity.UNKNOWN,
                    self._channel.name,
                    evidence,
                    case="before_sending",
                    hints=hints,
                )
            )
        return found

    async def warm_up(self) -> None:
        """Nothing: at its rates a cold connection does not matter, and reads are rationed."""

    def mailer(self, broadcast: Broadcast, state_id: str, desk: MediaDesk | None = None) -> Mailer:
        """What posts to the `message` of each contact; files are links there."""
        number, respondio = self._channel.demand_respondio_channel_id(), self._api
        template, sources = _frozen(broadcast)
        form = MessageForm(template)

        def request(claim: Claim) -> Request:
            values = values_of(sources, json.loads(claim.parameters))
            body = respondio_body(form, values, number)
            return respondio.messages_url(contact_by(claim.phone)), body

        return Mailer(
            request, lambda claim, body: respondio.send_message(contact_by(claim.phone), body)
        )


def provider_for(workspace: Workspace, channel: Channel) -> SendingProvider:
    """The API that a channel sends through.

    Raises:
        CredentialError: there is no token for it.
    """
    settings = workspace.settings_for(channel.name)
    made: SendingProvider
    if channel.provider is Provider.META:
        made = MetaProvider(meta_for(workspace, channel), channel, settings.meta_base_url)
    else:
        meta = None
        if workspace.secrets.find("meta-token", channel.name) is not None:
            meta = meta_for(workspace, channel)
        respondio = respondio_for(workspace, channel)
        made = RespondIOProvider(respondio, channel, settings.respondio_base_url, meta)
    made.links = LinkChecker(workspace.http, only_loopback=is_loopback(made.base_url))
    return made


@dataclass(frozen=True)
class Means:
    """What there is besides the way that a channel sends: `others` could send too.

    `respondio` can be asked when somebody's last message was.
    """

    others: tuple[SendingProvider, ...] = ()
    respondio: RespondIO | None = None


def means_of(workspace: Workspace, channel: Channel) -> Means:
    """What is configured for a channel besides the way it sends."""
    has_token = {
        Provider.META: workspace.secrets.find("meta-token", channel.name) is not None,
        Provider.RESPONDIO: workspace.secrets.find("respondio-token", channel.name) is not None,
    }
    can_send = {
        Provider.META: channel.phone_number_id is not None,
        Provider.RESPONDIO: channel.respondio_channel_id is not None,
    }
    others = tuple(
        provider_for(workspace, replace(channel, provider=kind))
        for kind in Provider
        if kind is not channel.provider and has_token[kind] and can_send[kind]
    )
    respondio = respondio_for(workspace, channel) if has_token[Provider.RESPONDIO] else None
    return Means(others, respondio)


def _frozen(broadcast: Broadcast) -> tuple[Template, list[ParameterSource]]:
    template = Template.from_json(json.loads(broadcast.template))
    return template, list(map(ParameterSource.from_json, json.loads(broadcast.parameter_sources)))


@dataclass(frozen=True)
class ReplyEffect:
    """What one answer leads to.

    Attributes:
        settled: the row's new state.
        throttled: True for a refusal of the rate, False for a usable answer, None for neither.
        hold_seconds: for how long nothing more may leave for this number.
        stop: set when the whole broadcast must pause.
    """

    settled: Settled
    throttled: bool | None = None
    hold_seconds: float = 0.0
    stop: Stop | None = None


def judge(claim: Claim, reply: Reply, now: datetime) -> ReplyEffect:
    """What a reply to a claim means."""
    if isinstance(reply, Taken):
        word = reply.message_status
        state = HELD_BACK.get(word or "", RowState.ACCEPTED)
        detail = f"Meta says: {word}" if word not in (None, "accepted", *HELD_BACK) else None
        settled = _settled(claim, state, message_id=reply.message_id, detail=detail)
        return ReplyEffect(settled, throttled=False)
    if isinstance(reply, Unclear):
        settled = _settled(claim, RowState.AMBIGUOUS, detail=reply.reason)
        return ReplyEffect(settled, hold_seconds=reply.retry_after_seconds or 0.0)
    if isinstance(reply, NotSent):
        wait = _NOT_SENT_WAIT_SECONDS * 4 ** (claim.tries_in_run - 1)
        return ReplyEffect(_retry(claim, now + timedelta(seconds=wait), detail=reply.reason))
    if isinstance(reply, Postponed):
        wait = _POSTPONED_SECONDS * claim.tries_in_run
        return ReplyEffect(_retry(claim, now + timedelta(seconds=wait), detail=reply.reason))
    if isinstance(reply, Lapsed):
        reason = SkipReason.OFFER_OVER.value
        return ReplyEffect(_settled(claim, RowState.SKIPPED, reason=reason, detail=reply.reason))
    if isinstance(reply, Declined):
        return _judge_declined(claim, reply, now)
    return _judge_refusal(claim, reply, now)


def _judge_declined(claim: Claim, reply: Declined, now: datetime) -> ReplyEffect:
    """Source: "respond.io: errors". None of these was taken."""
    detail = f"HTTP {reply.status}{f': {reply.said}' if reply.said else ''}"
    if reply.status in _TURNED_AWAY or not reply.from_api:
        cause = 4 if reply.status in _TURNED_AWAY else 6
        stop = Stop(f"respond.io refused the request: {detail}", cause)
        return ReplyEffect(_retry(claim, now, detail=detail), throttled=False, stop=stop)
    if reply.status == _TOO_MANY_REQUESTS:
        wait = max(reply.retry_after_seconds or 0.0, _SHORTEST_PAUSE_SECONDS)
        settled = _retry(claim, now + timedelta(seconds=wait), detail=detail)
        return ReplyEffect(settled, throttled=True, hold_seconds=wait)
    if reply.status == _BEING_PROCESSED:
        wait = reply.retry_after_seconds or _PROCESSING_SECONDS * claim.tries_in_run
        settled = _retry(claim, now + timedelta(seconds=wait), detail=detail)
    elif reply.status == _UNKNOWN_CONTACT:
        reason = SkipReason.NO_CONTACT.value
        settled = _settled(claim, RowState.SKIPPED, reason=reason, detail=detail)
    else:
        settled = _settled(claim, RowState.REJECTED, detail=detail)
    return ReplyEffect(settled, throttled=False)


def _judge_refusal(claim: Claim, reply: Refused, now: datetime) -> ReplyEffect:
    known = classify(reply.code, reply.subcode)
    code, detail = reply.code, reply.details or reply.message
    if known.outcome is Outcome.AMBIGUOUS:
        settled = _settled(claim, RowState.AMBIGUOUS, code=code, detail=detail)
        return ReplyEffect(settled, throttled=False)
    if code == _NOT_TO_IDS and claim.phone.startswith(USER_ID_PREFIX):
        reason = SkipReason.NO_NUMBER.value
        settled = _settled(claim, RowState.SKIPPED, reason=reason, code=code, detail=detail)
        return ReplyEffect(settled, throttled=False)
    if known.outcome is Outcome.ROW:
        settled = _settled(
            claim, RowState.REJECTED, code=code, detail=detail, opts_out=known.opts_out
        )
        return ReplyEffect(settled, throttled=False)
    if known.outcome is Outcome.STOP:
        cause = 4 if known.is_credential else 5
        stop = Stop(f"Meta refused with code {code}: {known.meaning}", cause, code, known.hint)
        return ReplyEffect(_retry(claim, now, code, detail), throttled=False, stop=stop)
    wanted = max(reply.retry_after_seconds or 0.0, (reply.regain_minutes or 0.0) * 60.0)
    wait = max(retry_delay_seconds(known, claim.tries_in_run), wanted)
    settled = _retry(claim, now + timedelta(seconds=wait), code, detail)
    held = known.wait_seconds if known.holds_number else 0.0
    return ReplyEffect(settled, throttled=known.slows_down, hold_seconds=max(wanted, held))


def _settled(claim: Claim, state: RowState, **more: Any) -> Settled:
    return Settled(claim.row, claim.attempt, state, **more)


def _retry(
    claim: Claim, not_before: datetime, code: int | None = None, detail: str | None = None
) -> Settled:
    return _settled(
        claim,
        RowState.RETRY,
        code=code,
        detail=detail,
        not_before=not_before,
        is_exhausted=not_before - claim.first_try_in_run_at >= LONGEST_RETRY_IN_RUN,
    )


async def find_contacts(
    state: State, respondio: RespondIO, broadcast_id: int, *, create: bool
) -> int:
    """Find out which people of a draft are contacts; returns how many are to be created.

    Without `create` the others are skipped (`no_contact`).

    Raises:
        CredentialError, RefusedError, TemporaryError: respond.io could not be asked.
    """
    rows = Rows(state, broadcast_id)
    people = rows.without_contact(MOST_ASKED_SINGLY + 1)
    if len(people) > MOST_ASKED_SINGLY:
        async for page in each_page(respondio.list_contacts):
            with state.transaction():
                rows.note_contacts([str(row["phone"]) for row in page.items if row.get("phone")])
    else:
        for start in range(0, len(people), _AT_ONCE):
            phones = [phone for _, phone, _ in people[start : start + _AT_ONCE]]
            known = await asyncio.gather(*(respondio.has_contact(contact_by(p)) for p in phones))
            with state.transaction():
                rows.note_contacts(
                    [p for p, is_known in zip(phones, known, strict=True) if is_known]
                )
    if not create:
        with state.transaction():
            rows.skip_without_contact()
    return rows.count_without_contact()


@contextlib.asynccontextmanager
async def creating(
    state: State,
    provider: SendingProvider,
    broadcast: Broadcast,
    clock: Clock,
    on_stop: Callable[[Stop], None],
    on_failure: Callable[[BaseException], None],
) -> AsyncIterator[None]:
    """Meanwhile make the contacts that rows wait for; what makes that impossible stops."""
    if provider.respondio is None:
        yield
        return
    making = _create_all(state, provider.respondio, broadcast.broadcast_id, clock, on_stop)
    async with meanwhile(making, on_failure):
        yield


@contextlib.asynccontextmanager
async def carrying(
    state: State,
    desk: MediaDesk | None,
    broadcast: Broadcast,
    stopped: asyncio.Event,
    on_stop: Callable[[Stop], None],
    on_failure: Callable[[BaseException], None],
) -> AsyncIterator[None]:
    """First upload the files of the rows that are to be sent, then keep their ids alive.

    What makes that impossible stops the broadcast, before its first row if it can. `stopped` ends
    the uploading too.
    """
    places = places_in(broadcast.template, broadcast.parameter_sources)
    if desk is None or places == NO_MEDIA:
        yield
        return

    async def guarded(work: Awaitable[None]) -> None:
        try:
            await work
        except WacoexError as error:
            on_stop(Stop(error.message, error.exit_status, None, error.hint or ""))

    store, number = MediaStore(state), broadcast.broadcast_id
    # The state file may be busy for long: nothing of it is read or written on the event loop.
    held = await asyncio.to_thread(store.named_in, number, places.in_rows, _OPEN)
    preparing = asyncio.create_task(guarded(desk.prepare(places.hashes | held)))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait((preparing, waiting), return_when=asyncio.FIRST_COMPLETED)
    left = [task for task in (preparing, waiting) if task.cancel()]
    await asyncio.gather(*left, return_exceptions=True)
    if stopped.is_set():
        yield
        return
    preparing.result()
    async with meanwhile(guarded(desk.keep_alive()), on_failure):
        yield


async def _create_all(
    state: State,
    respondio: RespondIO,
    broadcast_id: int,
    clock: Clock,
    on_stop: Callable[[Stop], None],
) -> None:
    rows = Rows(state, broadcast_id)

    def note(outcome: Callable[[], None]) -> None:
        with state.transaction():
            outcome()

    async def create(row: int, phone: str, first_name: str) -> WacoexError | None:
        """Make one contact; returns the failure that concerns more than this one."""
        try:
            await respondio.create_contact(contact_by(phone), first_name)
        except RefusedError as error:
            await asyncio.to_thread(note, partial(rows.refuse_contact, row, error.message))
        except WacoexError as error:
            return error
        else:
            await asyncio.to_thread(note, partial(rows.note_contacts, [phone]))
        return None

    failing_since: float | None = None
    while people := await asyncio.to_thread(rows.without_contact, _AT_ONCE):
        outcomes = await asyncio.gather(*(create(*person) for person in people))
        failures = [error for error in outcomes if error is not None]
        if not failures:
            failing_since = None
            continue
        failing_since = clock.monotonic() if failing_since is None else failing_since
        is_hopeless = clock.monotonic() - failing_since >= _PATIENCE_SECONDS
        worst = next((e for e in failures if not isinstance(e, TemporaryError)), failures[0])
        if is_hopeless or not isinstance(worst, TemporaryError):
            on_stop(Stop(f"contacts cannot be created: {worst.message}", worst.exit_status))
            return
        await clock.sleep(_WAIT_SECONDS)


@dataclass(frozen=True)
class _PollTimes:
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
        self._polls: dict[str, _PollTimes] = {}

    async def ask_without_end(self) -> None:
        """Ask about whatever is due, until cancelled; nothing that goes wrong ends it."""
        while True:
            due: list[OnItsWay] = []
            # A state file that cannot be used stops the engine, which reports it.
            with contextlib.suppress(WacoexError):
                due = await asyncio.to_thread(self._due)
                items = await asyncio.gather(*map(self._ask, due))
                if answers := [(row, item) for row, item in zip(due, items, strict=True) if item]:
                    await asyncio.to_thread(self._learn, answers)
            if not due:
                await self._clock.sleep(_IDLE_SECONDS)

    async def wait_for_last_news(self, is_wanted: Callable[[], bool]) -> None:
        """Wait while messages are without an end, for `LAST_NEWS_SECONDS` at most."""
        deadline = self._clock.monotonic() + LAST_NEWS_SECONDS
        while (
            is_wanted()
            and self._clock.monotonic() < deadline
            and await asyncio.to_thread(self._waits_for_news)
        ):
            await self._clock.sleep(_IDLE_SECONDS)

    def _waits_for_news(self) -> bool:
        if Broadcasts(self._state).status(self._broadcast_id) is not Status.SENDING:
            return False
        return bool(Rows(self._state, self._broadcast_id).on_their_way(self._clock.now(), 1))

    def _due(self) -> list[OnItsWay]:
        before, now = self._clock.now() - _FIRST_ASKED_AFTER, self._clock.monotonic()
        rows = Rows(self._state, self._broadcast_id).on_their_way(before, _MOST_IN_SIGHT)
        in_sight = {message.message_id for message in rows}
        self._polls = {
            name: poll
            for name, poll in self._polls.items()
            if name in in_sight or poll.again_at > now
        }
        new = [message for message in rows if message.message_id not in self._polls]
        old = [message for message in rows if message.message_id in self._polls]
        again = [message for message in old if self._polls[message.message_id].again_at <= now]
        again.sort(key=lambda message: self._polls[message.message_id].again_at)
        return [*new, *again][:_AT_ONCE]

    async def _ask(self, message: OnItsWay) -> Node:
        """What respond.io says of a message; empty when it says nothing usable."""
        item: Node = {}
        # Whatever it is, the message is asked about again; what is wrong with the token or the
        # network, the sending itself shows it.
        with contextlib.suppress(WacoexError):
            item = await self._respondio.get_message(
                Person.of_phone(message.phone).identifier, message.message_id
            )
        known = self._polls.get(message.message_id)
        times = known.times + 1 if known else 1
        wait = min(_ASKED_AGAIN_AFTER_SECONDS * 2.0 ** (times - 1), _LONGEST_WAIT_SECONDS)
        self._polls[message.message_id] = _PollTimes(times, self._clock.monotonic() + wait)
        return item if str(identity(item.get("messageId"))) == message.message_id else {}

    def _learn(self, answers: Sequence[tuple[OnItsWay, Node]]) -> None:
        """Rows move before the log is written: what stands there already moves nothing anew."""
        rows = Rows(self._state, self._broadcast_id)
        with self._state.transaction():
            for row, item in answers:
                reached, failure = status_in(item.get("status"))
                if reached is not RowState.ACCEPTED:
                    rows.move_on(
                        row.row,
                        row.attempt,
                        reached,
                        code=meta_code(failure),
                        detail=failure,
                        message_id=row.message_id,
                    )
        # Without its text there is nothing in a message that would be kept under a key.
        log = PullLog(self._state, self._clock, PullTally(), key=b"", store_bodies=False)
        bodies = []
        for row, item in answers:
            message = item.get("message")
            kind = message.get("type") if isinstance(message, dict) else None
            person = Person.of_phone(row.phone)
            bodies.append(body_of(person, {**item, "message": {"type": kind}}))
        log.keep(Source.RESPONDIO, bodies)


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
    async with meanwhile(poller.ask_without_end(), on_failure):
        yield poller
