"""What a broadcast is made of: its states, its rows, its counts."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.audience.model import AudienceRule, ListNotes
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import counted
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.templates.values import ParameterSource, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wacoex_cli.errors import WacoexError
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import Row
    from wacoex_cli.templates.model import Template


MOST_TRIES_IN_RUN = 5
LONGEST_RETRY_IN_RUN = timedelta(minutes=10)
"""How often, and for how long, one row is tried in one run."""

COOLING_DOWN = timedelta(hours=24)
"""How long nobody is written to after a 131049 (Meta: per-user marketing limits)."""

SETTLES_AFTER = timedelta(minutes=10)
"""From this age on a list that lacks a message says something. Nearer than that, rows rival."""


class Status(StrEnum):
    """Where a broadcast stands. A draft is being planned and is shown to nobody."""

    DRAFT = "draft"
    PLANNED = "planned"
    SENDING = "sending"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class RowState(StrEnum):
    """Where one recipient stands."""

    PENDING = "pending"
    SENDING = "sending"
    ACCEPTED = "accepted"
    HELD_BY_META = "held_by_meta"
    PAUSED_BY_META = "paused_by_meta"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    REJECTED = "rejected"
    RETRY = "retry"
    AMBIGUOUS = "ambiguous"
    SKIPPED = "skipped"


UNDER_WAY_STATES = (
    RowState.ACCEPTED,
    RowState.HELD_BY_META,
    RowState.PAUSED_BY_META,
    RowState.SENT,
)
"""States of a row that was taken and has not come to an end.

Meta may hold a message back for a quality check, or pause it with its template. It goes out later,
or fails (Meta: template pacing).
"""

GOOD_STATES = (*UNDER_WAY_STATES, RowState.DELIVERED, RowState.READ)
"""States of a row that was taken and has not failed."""

TAKEN_STATES = (*GOOD_STATES, RowState.FAILED)
"""States of a row that Meta once accepted."""

SENT_STATES = (RowState.SENDING, *GOOD_STATES, RowState.AMBIGUOUS)
"""States of a row whose person has the message, or may have it."""

OPEN_STATES = (RowState.PENDING, RowState.SENDING, RowState.RETRY)
"""States of a row that still has to be sent."""


class Move(StrEnum):
    """What moves a row from one state to another."""

    SKIP = "skip"
    """A plan, the start of a run or an opt-out leaves the person out: nothing is sent to them."""
    HOLD = "hold"
    """Quiet hours: the row waits like one to be tried again."""
    REFUSE_CONTACT = "refuse_contact"
    """respond.io makes no contact of the person."""
    CLAIM = "claim"
    """A sender takes the row for itself alone, before the request leaves."""
    GIVE_BACK = "give_back"
    """The request provably never left: the row is as before the claim."""
    ANSWER = "answer"
    """The API answered the request, or gave no usable answer."""
    TAKE_OVER = "take_over"
    """The sender died after the request left, or may have."""
    LOST_TRACK = "lost_track"
    """The state file went back in time: it does not know of a try that may have gone out."""
    STATUS = "status"
    """A status event says how far the message came, or that it failed."""
    HISTORY = "history"
    """The provider's list of messages proves that the message went out."""
    DECISION = "decision"
    """A person says what happened to the row, or has it sent again."""


_NOT_HELD = (
    RowState.PENDING,
    RowState.SENDING,
    RowState.RETRY,
    RowState.REJECTED,
    RowState.AMBIGUOUS,
    RowState.ACCEPTED,
)
_BEFORE_STATUSES = (*_NOT_HELD, RowState.HELD_BY_META, RowState.PAUSED_BY_META)
_UNSENT = (RowState.PENDING, RowState.RETRY)
_CLAIMED = (RowState.SENDING,)
_IN_DOUBT = (RowState.AMBIGUOUS,)

TRANSITIONS: Mapping[Move, Mapping[RowState, tuple[RowState, ...]]] = {
    Move.SKIP: {RowState.SKIPPED: _UNSENT},
    Move.HOLD: {RowState.RETRY: _UNSENT},
    Move.REFUSE_CONTACT: {RowState.REJECTED: (RowState.PENDING,)},
    Move.CLAIM: {RowState.SENDING: _UNSENT},
    Move.GIVE_BACK: {RowState.PENDING: _CLAIMED, RowState.RETRY: _CLAIMED},
    Move.ANSWER: {
        RowState.ACCEPTED: _CLAIMED,
        RowState.HELD_BY_META: _CLAIMED,
        RowState.PAUSED_BY_META: _CLAIMED,
        RowState.REJECTED: _CLAIMED,
        RowState.RETRY: _CLAIMED,
        RowState.AMBIGUOUS: _CLAIMED,
        RowState.SKIPPED: _CLAIMED,
    },
    Move.TAKE_OVER: {RowState.AMBIGUOUS: _CLAIMED},
    Move.LOST_TRACK: {RowState.AMBIGUOUS: OPEN_STATES},
    # In any order, never backwards. Proof that a message arrived outweighs a report that it
    # failed, and a row that waits, is refused or in doubt has gone out after all.
    Move.STATUS: {
        RowState.HELD_BY_META: _NOT_HELD,
        RowState.PAUSED_BY_META: (*_NOT_HELD, RowState.HELD_BY_META),
        RowState.SENT: _BEFORE_STATUSES,
        RowState.FAILED: (*_BEFORE_STATUSES, RowState.SENT),
        RowState.DELIVERED: (*_BEFORE_STATUSES, RowState.SENT, RowState.FAILED),
        RowState.READ: (*_BEFORE_STATUSES, RowState.SENT, RowState.FAILED, RowState.DELIVERED),
    },
    # A row that is pending again, because somebody had it resent, may have gone out the first time.
    Move.HISTORY: dict.fromkeys(TAKEN_STATES, (RowState.AMBIGUOUS, RowState.PENDING)),
    Move.DECISION: {
        RowState.ACCEPTED: _IN_DOUBT,
        RowState.REJECTED: _IN_DOUBT,
        RowState.PENDING: _IN_DOUBT,
    },
}
"""Every legal move of a row: what makes it, where it leads, and from which states.

A row never leaves `skipped` and `read`; the end of a broadcast moves none. Who failed is sent to
again by a broadcast of its own, with rows of its own.
"""


class RepeatPolicy(StrEnum):
    """What happens to people who have the message already, or will get it from elsewhere."""

    REFUSED = "refused"
    """Nothing is sent: somebody has to say what is meant."""
    SKIPPED = "skipped"
    """They are left out (`--skip-sent`)."""
    SENT = "sent"
    """They are sent to once more (`--again`)."""


class Broadcast(NamedTuple):
    """One planned send, as the state file knows it. Times are RFC 3339 text in UTC.

    `provider` is the API it was planned for, `guards` (JSON) is what `send` must respect.
    `retry_of` is the first broadcast whose failed rows it sends again, also when they failed in
    other such ones since; `test_of` the broadcast that it is a test message of. `is_compared`: it
    was compared with the others and may send; `has_keys`: its open rows have what it takes. Of the
    template everything is frozen but its category, which is the newest known (`category_at`).
    `pressure` (JSON) holds the limits that were given for it; it is paused until `continues_at`.
    `audience` (JSON) is to whom it is meant: list, sources, and how many rows each rule left out.
    """

    broadcast_id: int
    channel_id: int
    channel: str
    phone: str
    name: str | None
    status: Status
    reason: str | None
    reason_code: int | None
    template: str
    parameter_sources: str
    recipients_file: str
    api_base_url: str
    provider: Provider
    guards: str
    rate: float
    recipients: int
    skipped: int
    planned_at: str
    started_at: str | None
    finished_at: str | None
    peak_in_one_second: int
    retry_of: int | None = None
    test_of: int | None = None
    repeats: RepeatPolicy = RepeatPolicy.REFUSED
    is_compared: bool = False
    has_keys: bool = False
    category_at: str | None = None
    pressure: str = "{}"
    continues_at: str | None = None
    audience: str = "{}"

    @property
    def category_known_at(self) -> str:
        """When the category of the frozen template was read, or reported by an event."""
        return self.category_at or self.planned_at

    @property
    def template_name(self) -> str:
        """Name and languages of the frozen template."""
        template = json.loads(self.template)
        versions = (template, *template.get("translations", ()))
        return f"{template['name']} ({', '.join(each['language'] for each in versions)})"

    @property
    def family(self) -> int:
        """The broadcast that it began with: itself, or the one whose failed rows it sends again."""
        return self.retry_of or self.broadcast_id

    @property
    def turn(self) -> tuple[bool, int]:
        """Of two with the same open rows the one with the smaller turn goes on."""
        return not self.is_compared, self.broadcast_id

    def comes_before(self, other: Broadcast) -> bool:
        """Whether its open rows are sent, and those of the other left out."""
        return self.status in (Status.SENDING, Status.PAUSED) and self.turn < other.turn

    def may_repeat(self, other: Broadcast) -> bool:
        """Whether the two may send somebody the same message, if they are of one business.

        A test never counts: it goes to a number that somebody named for it. Neither does a retry
        of the same rows.
        """
        names = {json.loads(each.template)["name"] for each in (self, other)}
        is_test = self.test_of is not None or other.test_of is not None
        return len(names) == 1 and self.family != other.family and not is_test


class SameMessage(NamedTuple):
    """A row whose person has the message from another broadcast, or will get it from there.

    `claimed_at` (RFC 3339, UTC) is None while it is open there.
    """

    row: int
    broadcast_id: int
    claimed_at: str | None = None


class Overlap:
    """How many people of a broadcast have its message already, or will get it, and from where."""

    def __init__(self, people: int) -> None:
        self.people = people
        self.have: Counter[int] = Counter()
        self.open: Counter[int] = Counter()
        self.last_claimed_at = ""
        self._sending: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.have or self.open)

    @property
    def rows(self) -> int:
        """How many people it is."""
        return self.have.total() + self.open.total()

    def count(self, repeats: Iterable[SameMessage], sending: Iterable[int]) -> None:
        """Count rows, each once; `sending` are broadcasts that a process sends now."""
        self._sending.update(sending)
        for repeat in repeats:
            (self.open if repeat.claimed_at is None else self.have)[repeat.broadcast_id] += 1
            self.last_claimed_at = max(self.last_claimed_at, repeat.claimed_at or "")

    def sentences(self, now: datetime) -> list[str]:
        """For people: who has it, who will get it, and how to go on."""
        said = []
        if have := self.have.total():
            ago = _ago(now - from_text(self.last_claimed_at))
            whose = _numbered(self.have)
            said.append(
                f"{have} of {counted(self.people, 'person')} already have this message"
                f" ({whose}, {ago})"
            )
        for number, n in sorted(self.open.items()):
            way = "is sending to them now" if number in self._sending else "can go on"
            command = "show" if number in self._sending else "resume"
            if have:
                said.append(f"{n} are open: wacoex broadcast {command} {number}")
            else:
                whom = (
                    f"{n} of {counted(self.people, 'person')} will get this message from broadcast"
                )
                said.append(f"{whom} {number}, which {way}: wacoex broadcast {command} {number}")
        return said

    def to_json(self) -> dict[str, object]:
        """The same for a program: how many people, by broadcast."""
        return {
            "people": self.people,
            "have": {str(number): n for number, n in sorted(self.have.items())},
            "open": {str(number): n for number, n in sorted(self.open.items())},
            "last_claimed_at": self.last_claimed_at or None,
        }


def _numbered(numbers: Iterable[int]) -> str:
    *others, last = map(str, sorted(numbers))
    return f"broadcasts {', '.join(others)} and {last}" if others else f"broadcast {last}"


def _ago(age: timedelta) -> str:
    minutes = round(age.total_seconds() / 60)
    if minutes < 1:
        return "just now"
    return f"{round(minutes / 60)} h ago" if minutes >= 60 else f"{minutes} min ago"


class Claim(NamedTuple):
    """A row that this process alone may send, in this attempt."""

    row: int
    phone: str
    parameters: str
    attempt: int
    tries_in_run: int
    first_try_in_run_at: datetime


class Settled(NamedTuple):
    """What happened to one claim.

    `is_exhausted`: not to be tried again in this run. `left_at` is when its request began.
    """

    row: int
    attempt: int
    state: RowState
    reason: str | None = None
    code: int | None = None
    detail: str | None = None
    not_before: datetime | None = None
    message_id: str | None = None
    opts_out: bool = False
    is_exhausted: bool = False
    left_at: datetime | None = None


class OnItsWay(NamedTuple):
    """A row whose message was taken and has not come to an end."""

    row: int
    attempt: int
    phone: str
    message_id: str


class Doubt(NamedTuple):
    """An ambiguous row. `happened` is why it is in doubt.

    `since` is from when on a message of it can have gone out: its claim, or the beginning of the
    broadcast when it was tried before. `until` is when its sender gave up waiting for the answer,
    or its claim when the sender died.
    """

    row: int
    line: int
    phone: str
    attempt: int
    claimed_at: datetime
    since: datetime
    until: datetime
    happened: str | None = None

    def is_too_early(self, now: datetime) -> bool:
        """Whether a list of messages may not have the row's message yet."""
        return now - self.until < SETTLES_AFTER


@dataclass(frozen=True)
class Counts:
    """How many rows are in each state; their sum is all rows of the file."""

    by_state: Mapping[RowState, int] = field(default_factory=dict)

    def of(self, *states: RowState) -> int:
        """Rows in any of these states."""
        return sum(self.by_state.get(state, 0) for state in states)

    @property
    def taken(self) -> int:
        """Rows that were ever accepted."""
        return self.of(*TAKEN_STATES)

    @property
    def open(self) -> int:
        """Rows that still have to be sent."""
        return self.of(*OPEN_STATES)

    @property
    def total(self) -> int:
        """All rows, the skipped ones included."""
        return sum(self.by_state.values())

    def to_json(self) -> dict[str, int]:
        """Every state with its count, zeros included."""
        return {state.value: self.by_state.get(state, 0) for state in RowState}


class CodeCount(NamedTuple):
    """How many rows are in a state because of an error code."""

    code: int
    state: RowState
    n: int


class Held(NamedTuple):
    """Rows that quiet hours hold back until a moment, in the zone of their recipients."""

    rows: int
    until: datetime
    zone: str


class RunProgress(NamedTuple):
    """What is known about a broadcast at one moment. Rates are messages per second.

    `held` comes soonest first. `stated_limit` is what the API says that it takes, `finished_rate`
    how many rows a second were done with over the last minute; None while it is not known.
    """

    counts: Counts
    last_second: int
    peak: int
    codes: tuple[CodeCount, ...] = ()
    held: tuple[Held, ...] = ()
    stated_limit: float | None = None
    finished_rate: float | None = None
    canary_rows: int = 0

    @property
    def canary_text(self) -> str:
        """That a canary holds back all others; empty where none does."""
        rows = self.canary_rows
        return f"canary of {rows}: the others wait until it went well" if rows else ""

    @property
    def held_rows(self) -> int:
        """Rows that quiet hours hold back; their state is `retry`."""
        return sum(held.rows for held in self.held)

    @property
    def seconds_left(self) -> float | None:
        """Until the rows that are not held back are done with, at the rate of the last minute."""
        waiting = self.counts.open - self.held_rows
        if waiting <= 0 or not self.finished_rate:
            return None
        return waiting / self.finished_rate


class Planned(NamedTuple):
    """A planned broadcast and what to know before it is sent.

    `notes` say how the list was read, `unknown_ranges` are the first rows skipped for that reason,
    `rules` how many rows each rule of the audience left out.
    `wording` says what happened to cells: defaults, formats, what was cut (`CellWording.to_json`).
    `file_names` are by the references to the files, `row` is the line of the list in doubt.
    """

    broadcast: Broadcast
    template: Template
    sources: tuple[ParameterSource, ...]
    skipped: Mapping[str, int]
    skipped_rows: tuple[Row, ...]
    first_rows: tuple[Row, ...]
    estimate: Mapping[str, object]
    findings: tuple[Finding, ...]
    dry_run: bool
    notes: ListNotes = ListNotes()
    unknown_ranges: tuple[tuple[int, str], ...] = ()
    new_contacts: int = 0
    wording: Mapping[str, object] = {}
    rules: tuple[AudienceRule, ...] = ()
    file_names: Mapping[str, str] = {}
    row: int | None = None

    def values_in(self, row: Row) -> dict[str, Any]:
        """The values of the message of one row, by the keys of the template's placeholders."""
        return values_of(self.sources, json.loads(row["parameters"]))


class Stop(NamedTuple):
    """Why a broadcast takes no new rows. `exit_status` is the cause's, were nothing taken.

    `code` is Meta's, `hint` what to do about it with its subcode. `continues_at` is when the
    broadcast may go on, where a limit of a day stopped it.
    """

    reason: str
    exit_status: int
    code: int | None = None
    hint: str = ""
    continues_at: datetime | None = None


class Trial(NamedTuple):
    """What happened to a test message. `state` is None when none was sent.

    `exit_status` and `errors` say why it is not known to have gone out, if so.
    """

    phone: str
    broadcast_id: int | None = None
    state: RowState | None = None
    code: int | None = None
    message_id: str | None = None
    exit_status: int = 0
    errors: tuple[WacoexError, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The `test` of `broadcast plan`."""
        return {
            "phone": self.phone,
            "broadcast_id": self.broadcast_id,
            "state": self.state.value if self.state else None,
            "code": self.code,
            "message_id": self.message_id,
        }


class Fate(StrEnum):
    """What happened to a row in doubt."""

    WENT_OUT = "went_out"
    DID_NOT = "did_not"
    UNKNOWN = "unknown"


class Judgement(NamedTuple):
    """A row's fate, why, and says who; None when nobody was asked.

    `reached` is how far the message came, `failure` what the platform says if it failed.
    """

    fate: Fate
    why: str
    source: str | None = None
    message_id: str | None = None
    reached: RowState = RowState.ACCEPTED
    failure: str | None = None


class Availability(NamedTuple):
    """Whether a source could be asked; `available` is None when there was no need to."""

    available: bool | None = None
    why_not: str | None = None


class Decision(StrEnum):
    """What a person says of an ambiguous row."""

    SENT = "sent"
    NOT_SENT = "not-sent"
    RESEND = "resend"


NOT_ASKED = Availability()


class ReconciledRow(NamedTuple):
    """An ambiguous row and what was found out. `state` is where it stands now."""

    doubt: Doubt
    judgement: Judgement
    state: RowState

    def to_json(self, observed_at: str) -> dict[str, object]:
        """The entry in `rows` of the JSON output."""
        return {
            "row": self.doubt.row,
            "line": self.doubt.line,
            "phone": self.doubt.phone,
            "state": self.state.value,
            "verdict": self.judgement.fate.value,
            "why": self.judgement.why,
            "source": self.judgement.source,
            "observed_at": observed_at,
            "claimed_at": to_text(self.doubt.claimed_at),
            "detail": self.doubt.happened,
            "message_id": self.judgement.message_id,
        }


class Reconciled(NamedTuple):
    """What was found out about the ambiguous rows of a broadcast, in order.

    `by_webhooks` rows were settled by statuses that had come in but were not looked at yet.
    """

    rows: tuple[ReconciledRow, ...]
    observed_at: str
    by_webhooks: int = 0
    availability: Mapping[Provider, Availability] = MappingProxyType({})

    @property
    def left(self) -> tuple[ReconciledRow, ...]:
        """The rows that are still ambiguous."""
        return tuple(row for row in self.rows if row.state is RowState.AMBIGUOUS)

    def of(self, fate: Fate) -> tuple[ReconciledRow, ...]:
        """The rows with that fate."""
        return tuple(row for row in self.rows if row.judgement.fate is fate)

    def to_json(self, most_rows: int) -> dict[str, object]:
        """`rows` (the first `most_rows`), `asked` and the counts of the JSON output."""
        counts = Counter(row.judgement.fate for row in self.rows)
        return {
            "ambiguous": len(self.left),
            "settled_by_webhooks": self.by_webhooks,
            **{fate.value: counts[fate] for fate in Fate},
            "asked": {
                provider.value: self.availability.get(provider, NOT_ASKED)._asdict()
                for provider in Provider
            },
            "rows": [row.to_json(self.observed_at) for row in self.rows[:most_rows]],
        }


def attempt_id(state_id: str, broadcast_id: int, row: int, attempt: int) -> str:
    """The name of one attempt; travels as `biz_opaque_callback_data` and comes back in webhooks."""
    return f"wacoex-{state_id}-{broadcast_id}-{row}-{attempt}"


_ATTEMPT = re.compile(r"wacoex-([0-9a-f]+)-([0-9]{1,18})-([0-9]{1,18})-([0-9]{1,9})")


class Attempt(NamedTuple):
    """The try that an attempt id names."""

    state_id: str
    broadcast_id: int
    row: int
    number: int


def attempt_in(text: str) -> Attempt | None:
    """What an attempt id says; None for any other text."""
    found = _ATTEMPT.fullmatch(text)
    return Attempt(found[1], int(found[2]), int(found[3]), int(found[4])) if found else None


HELD_BACK = {
    "held_for_quality_assessment": RowState.HELD_BY_META,
    "paused": RowState.PAUSED_BY_META,
}
"""What Meta says of a message that it took and has not sent yet (Meta: `message_status`)."""

HELD_BACK_WORDS = {
    RowState.HELD_BY_META: "held by Meta for a quality check",
    RowState.PAUSED_BY_META: "paused by Meta",
}
"""The same for people."""

STATUS_STATES = {
    **HELD_BACK,
    "sent": RowState.SENT,
    "delivered": RowState.DELIVERED,
    "read": RowState.READ,
    "played": RowState.READ,
    "failed": RowState.FAILED,
}

_STATUS_ORDER = [
    *UNDER_WAY_STATES,
    RowState.FAILED,
    RowState.DELIVERED,
    RowState.READ,
]

_LONGEST_FAILURE = 300


def status_in(answer: object) -> tuple[RowState, str | None]:
    """How far the message came by its list of statuses, and what is said of a failure."""
    entries = (
        [entry for entry in answer if isinstance(entry, dict)] if isinstance(answer, list) else []
    )
    reached = max(
        (STATUS_STATES.get(str(entry.get("value")), RowState.ACCEPTED) for entry in entries),
        key=_STATUS_ORDER.index,
        default=RowState.ACCEPTED,
    )
    if reached is not RowState.FAILED:
        return reached, None
    said = [entry.get("message") for entry in entries if entry.get("value") == "failed"]
    text = next((entry for entry in said if isinstance(entry, str) and entry), None)
    return reached, text[:_LONGEST_FAILURE] if text else None


def lock_purpose(broadcast_id: int) -> str:
    """The lock that makes one process the sender of a broadcast."""
    return f"broadcast {broadcast_id}"


def pace_key(broadcast_id: int) -> str:
    """Where the pace of one broadcast is kept, beside that of its number."""
    return f"broadcast {broadcast_id}"


def exit_status(counts: Counts, stop: Stop | None) -> int:
    """The exit status of `broadcast send` and `resume`.

    0 when every row is accepted or skipped, 7 as soon as one row was taken or is ambiguous and
    any row is something else, otherwise by cause.
    """
    if counts.of(*GOOD_STATES, RowState.SKIPPED) == counts.total:
        return 0
    if counts.taken or counts.of(RowState.AMBIGUOUS):
        return 7
    if stop:
        return stop.exit_status
    return 6 if counts.of(RowState.RETRY) else 5
