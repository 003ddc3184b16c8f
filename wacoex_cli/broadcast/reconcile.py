"""Ambiguous rows: the request left and no usable answer came.

A list of messages can lag, and clocks differ: what is proven to have gone out is moved on.
Everything else a person settles.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import report
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.channels.registry import known, meta_for, respondio_for
from wacoex_cli.errors import (
    DeclinedError,
    RefusedError,
    TemporaryError,
    UsageError,
    WacoexError,
    counted,
)
from wacoex_cli.foundation.clock import Clock, from_text, to_text
from wacoex_cli.foundation.workspace import Workspace, login_name
from wacoex_cli.ledger import figures
from wacoex_cli.ledger.model import (
    NOT_ASKED,
    SETTLES_AFTER,
    Availability,
    Broadcast,
    Decision,
    Doubt,
    Fate,
    Judgement,
    Reconciled,
    ReconciledRow,
    RowState,
    Status,
    status_in,
)
from wacoex_cli.ledger.projection import bring_up_to_date, project_known
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import read_moment
from wacoex_cli.platforms.respondio import (
    BEING_PROCESSED,
    NOT_FOUND,
    RespondIO,
    contact_by,
    each_page,
    identity,
)
from wacoex_cli.sending.takeover import settle_if_dead, settle_lost_track
from wacoex_cli.templates.model import Template
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.progress import ProgressUpdate, open_progress
from wacoex_cli.terminal.render import Result, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from wacoex_cli.foundation.state import State
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.options import Invocation

META, RESPONDIO = "Meta's message history", "respond.io's message list"
"""The two sources."""

_BEFORE, _AFTER = timedelta(seconds=5), timedelta(minutes=2)

_SENT = "sent"
_COLUMNS = (
    Column("row", 3, fit="keep", may_drop=True),
    Column("line", 8, fit="keep"),
    Column("phone", 9, fit="keep"),
    Column("tried", 4, fit="keep", may_drop=True),
    Column("happened", 2, least=16, fit="wrap", may_drop=True),
    Column("verdict", 7, fit="keep"),
    Column("why", 5, least=16, fit="wrap", may_drop=True),
)
_API, _TEMPLATE = "api", "whatsapp_template"
# Everybody else who writes for the business (respond.io: messages); an open set.
_OTHER_SENDERS = frozenset(
    {"user", "ai_agent", "workflow", "echo", "broadcast", "zapier", "make", "n8n", "bot"}
)
# A history of twenty thousand messages, and a thousand of one person.
MOST_PAGES, MOST_PAGES_OF_A_CONTACT = 200, 20
_CONTACTS_AT_ONCE = 5
_ONE_CONTACT_ONLY = {
    NOT_FOUND: "respond.io knows no such contact now; it may have been deleted or merged",
    BEING_PROCESSED: "respond.io is still busy with this contact; ask again in a few minutes",
    "respondio_400": "respond.io refused to list this contact's messages",
    "respondio_409": "respond.io refused to list this contact's messages",
}
_OFFLINE = "wacoex asked nobody"


@dataclass(frozen=True)
class Listed:
    """A message of Meta's history: when it was sent, and its earliest known event."""

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

        Rows are claimed a few at a time, and Meta gives times in whole seconds.
        """
        oldest = min((message.dated for message in self.messages if message.dated), default=None)
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
    if doubt.is_too_early(now):
        return _too_early()
    if not history.reaches_back(doubt):
        return unproven("the history does not reach back to then", META)
    near = [
        message_id
        for message_id, claimed_at in history.own.items()
        if doubt.since - _AFTER <= claimed_at <= doubt.until + _AFTER
    ]
    listed = {message.message_id for message in history.messages}
    missing = sum(message_id not in listed for message_id in near)
    if missing:
        return unproven(f"{missing} of our own messages of that time are missing in it too", META)
    if not near:
        return unproven("none of our messages from that time shows that the history works", META)
    others = sum(
        message.message_id not in history.own and history.can_be(message, doubt)
        for message in history.messages
    )
    if others:
        are = (
            "1 message of that moment is"
            if others == 1
            else f"{others} messages of that moment are"
        )
        return unproven(f"{are} not ours by id: it may have gone out", META)
    why = "the history holds our other messages of that time, and none that could be this one"
    return Judgement(Fate.DID_NOT, why, META)


@dataclass(frozen=True)
class Candidate:
    """An outgoing message to the person that can be the row's, for all that is said of it.

    `is_sure`: channel, sender, type and template are all known, and are the row's.
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


def by_conversation(doubt: Doubt, listed: Conversation, now: datetime) -> Judgement:
    """What the message list of a contact proves of a row (respond.io: messages)."""
    free = [found for found in listed.candidates if str(found.message_id) not in listed.taken]
    first, last = doubt.claimed_at - _BEFORE, doubt.until + _AFTER
    then = [found for found in free if found.sent_at and first <= found.sent_at <= last]
    has_rival = any(abs(at - doubt.claimed_at) <= SETTLES_AFTER for at in listed.rivals)
    if len(then) == 1 and then[0].is_sure and not has_rival:
        found = then[0]
        why = f"message {found.message_id} went to this person with this template at that moment"
        return Judgement(
            Fate.WENT_OUT, why, RESPONDIO, str(found.message_id), found.reached, found.failure
        )
    earliest = earliest_of(doubt)
    if then or any(found.sent_at is None or found.sent_at >= earliest for found in free):
        return unproven(_why_open(then, has_rival=has_rival), RESPONDIO)
    if doubt.is_too_early(now):
        return _too_early()
    if not listed.reaches_back:
        return unproven("the list is too long to read back to that time", RESPONDIO)
    why = "the list reaches back to before then and holds no such message"
    return Judgement(Fate.DID_NOT, why, RESPONDIO)


def earliest_of(doubt: Doubt) -> datetime:
    """How far back a list must be read for a row, with room for clocks that differ."""
    return doubt.since - SETTLES_AFTER


def unproven(why: str, source: str | None = None) -> Judgement:
    """The judgement where a source does not settle it, or nobody could be asked."""
    return Judgement(Fate.UNKNOWN, why, source)


def _too_early() -> Judgement:
    minutes = SETTLES_AFTER.seconds // 60
    return unproven(f"too early: it was tried less than {minutes} minutes ago")


def _why_open(then: Sequence[Candidate], *, has_rival: bool) -> str:
    if then and has_rival:
        return "a message went out then, but another row for this person is in doubt too"
    if len(then) > 1:
        return f"{len(then)} messages to this person could be it"
    if then:
        return "a message went out then, but the list does not show enough to prove which one"
    return "a message like it went to this person, but at another moment"


def listed(entry: Mapping[str, Any]) -> Listed | None:
    """An entry of Meta's message history; None for one without a message id."""
    message_id = entry.get("message_id")
    if not isinstance(message_id, str) or not message_id:
        return None
    events = _mapping(entry.get("events")).get("data")
    dated: list[tuple[str, datetime]] = []
    for event in map(_mapping, events if isinstance(events, list) else []):
        if (at := _moment(event.get("timestamp"))) is not None:
            dated.append((str(event.get("delivery_status")).lower(), at))
    return Listed(
        message_id,
        sent_at=min((at for status, at in dated if status == _SENT), default=None),
        first_event_at=min((at for _, at in dated), default=None),
    )


def candidate(
    item: Mapping[str, Any], respondio_channel_id: int, template: str, languages: Collection[str]
) -> Candidate | None:
    """An item of a contact's message list; None when it cannot be a broadcast's message."""
    message = _mapping(item.get("message"))
    used = _mapping(message.get("template"))
    source = _mapping(item.get("sender")).get("source")
    channel_id = identity(item.get("channelId"))
    pairs = (
        (channel_id, respondio_channel_id),
        (message.get("type"), _TEMPLATE),
        (used.get("name"), template),
    )
    is_excluded = (
        item.get("traffic") == "incoming"
        or source in _OTHER_SENDERS
        or used.get("languageCode") not in (None, *languages)
        or any(given is not None and given != wanted for given, wanted in pairs)
    )
    if is_excluded:
        return None
    number = identity(item.get("messageId"))
    is_ours = source == _API and all(given == wanted for given, wanted in pairs)
    reached, failure = status_in(item.get("status"))
    return Candidate(
        number,
        _moment(number),
        is_sure=number is not None and is_ours,
        reached=reached,
        failure=failure,
    )


def _moment(value: object) -> datetime | None:
    text = read_moment(value)
    return from_text(text) if text else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Inquiry:
    """What was found out about each row, by its number, and whether the source could be asked."""

    judgements: Mapping[int, Judgement]
    availability: Availability = NOT_ASKED


def nobody(doubts: Sequence[Doubt], why: str, *, source: str | None = None) -> Inquiry:
    """The inquiry in which nobody could be asked (a source), or was meant to be (None)."""
    unknown = unproven(why, source)
    availability = Availability(False, why) if source else Availability(None, why)
    return Inquiry(dict.fromkeys((doubt.row for doubt in doubts), unknown), availability)


async def ask_meta(
    state: State, meta: Meta, channel: Channel, doubts: Sequence[Doubt], clock: Clock
) -> Inquiry:
    """Read the message history of the number back to the first row in doubt.

    It is not read for rows that are too young. Never raises for what Meta or the network does.
    """
    now = clock.now()
    old = [doubt for doubt in doubts if not doubt.is_too_early(now)]
    if not old:
        return Inquiry({doubt.row: _too_early() for doubt in doubts})
    try:
        history = await _history(state, meta, channel, old)
    except WacoexError as error:
        return nobody(doubts, f"Meta: {error.message}", source=META)
    found = {doubt.row: by_history(doubt, history, now) for doubt in doubts}
    return Inquiry(found, Availability(available=True))


async def _history(state: State, meta: Meta, channel: Channel, doubts: Sequence[Doubt]) -> History:
    first = min(earliest_of(doubt) for doubt in doubts)
    last = max(doubt.until for doubt in doubts) + SETTLES_AFTER
    entries: list[Listed] = []
    pages, is_whole = 0, True
    async with contextlib.aclosing(
        meta.listed_messages(channel.demand_phone_number_id())
    ) as listing:
        async for page in listing:
            part = [entry for node in page if (entry := listed(node)) is not None]
            entries += part
            pages += 1
            newest = max((message.dated for message in part if message.dated), default=None)
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
    """Read the messages of each person in doubt; `on_progress` receives how many are read.

    Never raises for what respond.io or the network does: what was found before it stays.
    """
    channel_id = channel.demand_respondio_channel_id()
    template = Template.from_json(json.loads(broadcast.template))
    languages = {version.language for version in template.versions}

    async def judge(doubt: Doubt) -> Judgement:
        try:
            candidates, reaches_back = await _read(
                respondio, doubt, channel_id, template.name, languages
            )
        except (RefusedError, TemporaryError) as error:
            why = _ONE_CONTACT_ONLY.get(error.code or "")
            if why is None:
                raise
            return unproven(why, RESPONDIO)
        taken, rivals = Rows(state, broadcast.broadcast_id).other_rows(doubt)
        listed = Conversation(candidates, reaches_back, taken, rivals)
        return by_conversation(doubt, listed, clock.now())

    found: dict[int, Judgement] = {}
    for start in range(0, len(doubts), _CONTACTS_AT_ONCE):
        part = doubts[start : start + _CONTACTS_AT_ONCE]
        outcomes = await asyncio.gather(*map(judge, part), return_exceptions=True)
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
            return Inquiry({**rest.judgements, **found}, rest.availability)
        on_progress(start + len(part))
    return Inquiry(found, Availability(available=True))


async def _read(
    respondio: RespondIO, doubt: Doubt, channel_id: int, template: str, languages: Collection[str]
) -> tuple[list[Candidate], bool]:
    """Messages that may be the row's, and whether the list was read back to before its time."""
    earliest = earliest_of(doubt)
    candidates: list[Candidate] = []
    read = 0
    ask = partial(respondio.list_messages, contact_by(doubt.phone))
    async with contextlib.aclosing(each_page(ask)) as pages:
        async for page in pages:
            read += 1
            listed = (candidate(item, channel_id, template, languages) for item in page.items)
            candidates += filter(None, listed)
            # A message's id is the time at which it was written (respond.io: messages).
            ids = (identity(item.get("messageId")) for item in page.items)
            moments = [at for number in ids if (at := _moment(number)) is not None]
            if page.next_cursor is None or (moments and min(moments) < earliest):
                return candidates, True
            if read == MOST_PAGES_OF_A_CONTACT:
                break
    return candidates, False


_LEADS_TO = {
    Decision.SENT: RowState.ACCEPTED,
    Decision.NOT_SENT: RowState.REJECTED,
    Decision.RESEND: RowState.PENDING,
}


@dataclass
class Reconciliation:
    """One broadcast whose ambiguous rows are looked into, and settled by a person.

    `wanted` are the rows that are meant, all when it is empty. With `offline` nobody is asked.
    `expect` is how many rows there are, instead of typing it.

    Raises:
        UsageError: there is no such broadcast.
    """

    workspace: Workspace
    invocation: Invocation
    broadcast_id: int
    wanted: Sequence[int]
    expect: int | None
    offline: bool

    def __post_init__(self) -> None:
        self.state, self.clock = self.workspace.state, self.workspace.clock
        self.dialogue = TerminalDialogue(self.invocation)
        settle_if_dead(self.state, self.broadcast_id, self.clock)
        self.broadcast = Broadcasts(self.state).get(self.broadcast_id)
        self.rows = Rows(self.state, self.broadcast_id)
        settle_lost_track(self.state, self.clock)

    def show(self) -> Result:
        """What was found out; nothing but what is proven is settled."""
        found = self._find_out()
        number = self.broadcast_id
        text = reconciled_text(self.state, number, found, self.clock.now())
        return Result({"broadcast_id": number, **found.to_json(MOST_RECONCILED)}, text)

    def record(self, word: str, *, yes: bool) -> Result:
        """Record what a person knows of the rows, `sent` or `not-sent`, after a yes.

        Raises:
            DeclinedError: nobody said yes, or there are not as many rows as expected.
            UsageError: it is another word, or a row is not ambiguous.
            TemporaryError: the broadcast is being sent right now.
        """
        bring_up_to_date(self.state, self.clock)
        if word not in (Decision.SENT, Decision.NOT_SENT):
            hint = "look at the person's chat on the phone, then choose one of them"
            if word == Decision.RESEND:
                hint = "to send rows again: `--resend`"
            raise UsageError(
                f"`--as {word}` is neither sent nor not-sent", hint=hint, code="bad_decision"
            )
        rows = self._choose_rows()
        if rows and self.expect is not None:
            self._check_number(len(rows), str(self.expect))
        elif rows and not yes:
            question = f"record {counted(len(rows), 'row')} as {word}?"
            if not self.dialogue.confirm(question, flag="--yes"):
                raise DeclinedError("nothing changed")
        return self._decide(rows, Decision(word), {})

    def send_again(self) -> Result:
        """Make the rows pending that are not known to have gone out; `resume` sends them.

        Asks first: who has the message by then is no longer among those it is sent to again.

        Raises:
            DeclinedError: the number of rows was not typed, or is another.
            UsageError: the broadcast was cancelled, or a row is not ambiguous.
            TemporaryError: the broadcast is being sent right now.
        """
        _check_can_decide(self.state, self.broadcast, Decision.RESEND, self.clock)
        if self.expect is None and self._choose_rows():
            self.dialogue.demand_person("--expect N")
        found = self._find_out()
        rows = [row.doubt.row for row in found.left]
        if rows:
            for line in reconciled_sentences(found, self.clock.now()):
                self.dialogue.note(line)
            typed = str(self.expect)
            if self.expect is None:
                unknown = len(found.of(Fate.UNKNOWN))
                doubt = (
                    f"{counted(unknown, 'person')} may get the message twice; " if unknown else ""
                )
                question = f"{doubt}type {len(rows)} to send it again"
                typed = self.dialogue.ask(question, flag="--expect N")
            self._check_number(len(rows), typed)
        return self._decide(rows, Decision.RESEND, found.to_json(MOST_RECONCILED))

    def _check_number(self, rows: int, typed: str) -> None:
        if typed != str(rows):
            raise DeclinedError(
                f"nothing changed: you typed {typed}, but this is about {counted(rows, 'row')}",
                hint=f"look at them first: wacoex broadcast reconcile {self.broadcast_id}",
            )

    def _choose_rows(self) -> list[int]:
        """The ambiguous rows that are meant: those named, or all when none is named."""
        ambiguous, number = self.rows.numbers(RowState.AMBIGUOUS), self.broadcast_id
        for row in self.wanted:
            if row not in ambiguous:
                raise UsageError(
                    f"row {row} of broadcast {number} is not waiting for a decision",
                    hint=f"`wacoex broadcast reconcile {number}` lists the rows that are",
                    code="not_ambiguous",
                )
        return sorted(set(self.wanted)) or ambiguous

    def _find_out(self) -> Reconciled:
        """Look at stored statuses, then ask the API that the broadcast went through.

        A row that is proven to have gone out is moved on; no other row is changed. A source that
        cannot be asked is in `availability`.
        """
        before = self._choose_rows()
        bring_up_to_date(self.state, self.clock)
        doubts = self.rows.doubts(before)
        found = nobody(doubts, _OFFLINE)
        if doubts and not self.offline:
            found = self._ask(doubts)
        rows = settle(self.state, self.broadcast_id, doubts, found, self.clock.now())
        if found.availability.available is False:
            self.dialogue.warn(f"not asked: {found.availability.why_not}")
        return Reconciled(
            rows,
            to_text(self.clock.now()),
            by_webhooks=len(before) - len(doubts),
            availability={self.broadcast.provider: found.availability},
        )

    def _ask(self, doubts: Sequence[Doubt]) -> Inquiry:
        source, channel = META, known(self.state, self.broadcast.channel)
        try:
            if self.broadcast.provider is Provider.META:
                meta = meta_for(self.workspace, channel)
                return self.workspace.run(ask_meta(self.state, meta, channel, doubts, self.clock))
            source = RESPONDIO
            respondio = respondio_for(self.workspace, channel)
            # People are asked about one by one; Meta has one list for all.
            title, clock = "people asked about", self.clock
            with open_progress(self.invocation, title, len(doubts), clock=clock) as progress:

                def show(done: int) -> None:
                    progress.update(ProgressUpdate(done, "", {}))

                asking = ask_respondio(
                    self.state, respondio, channel, self.broadcast, doubts, clock, show
                )
                return self.workspace.run(asking)
        except WacoexError as error:  # no token, or the channel lacks an id
            return nobody(doubts, error.message, source=source)

    def _decide(
        self, rows: Sequence[int], decision: Decision, more: Mapping[str, object]
    ) -> Result:
        state, who = self.state, login_name()
        settled = decide(state, self.broadcast, rows, decision, who, self.clock)
        result = {"settled": settled, "decision": decision.value, **more}
        return report.show(state, self.broadcast_id, **result)


def settle(
    state: State, broadcast_id: int, doubts: Sequence[Doubt], found: Inquiry, now: datetime
) -> tuple[ReconciledRow, ...]:
    """Move the rows on that went out; a row that somebody else settled meanwhile is left alone."""
    rows, reconciled = Rows(state, broadcast_id), []
    for doubt in doubts:
        judgement, reached = found.judgements[doubt.row], RowState.AMBIGUOUS
        if judgement.fate is Fate.WENT_OUT:
            message_id, source = judgement.message_id, judgement.source
            with state.transaction():
                taken, _ = rows.other_rows(doubt)
                if message_id not in taken and rows.prove(
                    doubt.row, doubt.attempt, judgement.reached, message_id, judgement.failure
                ):
                    project_known(state, filter(None, [message_id]), now)
                    went_out = f"went out: message {message_id}"
                    rows.note_decision(doubt.row, went_out, source or "", now)
                reached = RowState(rows.get(doubt.row)["state"])
            if reached is RowState.AMBIGUOUS:
                judgement = unproven("the message found is another row's", source)
        reconciled.append(ReconciledRow(doubt, judgement, reached))
    return tuple(reconciled)


def _check_can_decide(state: State, broadcast: Broadcast, decision: Decision, clock: Clock) -> None:
    number = broadcast.broadcast_id
    if decision is Decision.RESEND and broadcast.status is Status.CANCELLED:
        raise UsageError(
            f"broadcast {number} was cancelled; nothing of it is sent again",
            hint="settle its rows as sent or not-sent, and plan a new broadcast",
            code="wrong_status",
        )
    hint = f"pause it first: wacoex broadcast pause {number}"
    Broadcasts(state).demand_idle(number, hint, clock)


def decide(
    state: State,
    broadcast: Broadcast,
    rows: Sequence[int],
    decision: Decision,
    who: str,
    clock: Clock,
) -> int:
    """Record a decision; returns for how many rows it was taken.

    `resend` makes the rows pending; `broadcast resume` then sends them.

    Raises:
        TemporaryError: the broadcast is being sent right now.
        UsageError: `resend` for a broadcast that was cancelled.
    """
    _check_can_decide(state, broadcast, decision, clock)
    return Rows(state, broadcast.broadcast_id).settle(
        rows, _LEADS_TO[decision], decision.value, who, clock.now()
    )


def reconciled_text(
    state: State, number: int, found: Reconciled, now: datetime
) -> list[str | Table]:
    """What `broadcast reconcile` found out, row by row, and what can be done next."""
    sentences = reconciled_sentences(found, now)
    if not found.rows:
        return [*sentences, f"broadcast {number} has no row that waits for a decision"]
    table = Table(
        _COLUMNS,
        [
            (
                row.doubt.row,
                row.doubt.line,
                row.doubt.phone,
                row.doubt.claimed_at,
                row.doubt.happened,
                row.judgement.fate.value.replace("_", " "),
                row.judgement.why,
            )
            for row in found.rows[:MOST_RECONCILED]
        ],
    )
    steps = []
    if found.left:
        steps = [
            "for the others, look at the chats on the phone, then settle them:",
            f"  wacoex broadcast reconcile {number} --as sent --row ROW",
            f"  wacoex broadcast reconcile {number} --as not-sent --row ROW",
            f"to send again what may not have gone out:"
            f" wacoex broadcast reconcile {number} --resend",
        ]
    if Broadcasts(state).get(number).status is Status.PAUSED:
        steps.append(f"to continue: wacoex broadcast resume {number}")
    return [table, *sentences, *steps]


def reconciled_sentences(found: Reconciled, now: datetime) -> list[str]:
    """How many rows went out, did not, or are unknown: one sentence each."""
    counted = (
        (found.by_webhooks, "settled by statuses that had come in"),
        (len(found.of(Fate.WENT_OUT)), "went out, and has a newer status"),
        (len(found.of(Fate.DID_NOT)), "did not go out, by what the list shows; not sent again"),
        (len(found.of(Fate.UNKNOWN)), "still unknown"),
    )
    lines = [f"{number} {text}" for number, text in counted if number]
    early = sum(row.doubt.is_too_early(now) for row in found.left)
    if early:
        minutes = SETTLES_AFTER.seconds // 60
        lines.append(f"{early} tried less than {minutes} minutes ago: a status may still come")
    return lines


MOST_RECONCILED = 1_000
"""Rows that `broadcast reconcile` lists."""
