"""What holds a broadcast back, or stops it: quiet hours, a canary, the breaker, repeats."""

from __future__ import annotations

import difflib
import json
from collections import Counter, deque
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.contacts.quiet_hours import (
    NEVER,
    QuietHours,
    demand_opening,
    ending_zone,
    held_until,
)
from wacoex_cli.errors import RefusedError, UsageError, counted
from wacoex_cli.findings.catalogue import finding_ids
from wacoex_cli.findings.model import Evidence, Finding, Severity
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import (
    Clock,
    SteadyClock,
    duration_from,
    duration_text,
    from_text,
    local_text,
    moment_ahead,
    to_text,
)
from wacoex_cli.foundation.phone_numbers import zones_of
from wacoex_cli.ledger.model import (
    HELD_BACK_WORDS,
    Broadcast,
    Claim,
    Counts,
    Held,
    Overlap,
    RepeatPolicy,
    RowState,
    Settled,
    Status,
    Stop,
    lock_purpose,
)
from wacoex_cli.ledger.repeats import MessageComparison
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.error_codes import Outcome, classify, is_known
from wacoex_cli.pressure.guard import DayGuard, PeopleGuard
from wacoex_cli.pressure.model import NO_PRESSURE, Pressure
from wacoex_cli.throughput.throttle import GUARD, MESSAGES_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from wacoex_cli.foundation.locks import Presence
    from wacoex_cli.foundation.state import State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import Dialogue

CANARY_WORD = "canary"
"""What the record of its success begins with."""

_ARRIVED = (RowState.DELIVERED, RowState.READ)
_REFUSED = (RowState.FAILED, RowState.REJECTED)
_NONE = "none"
_MOST_ROWS, _LONGEST_WAIT_SECONDS = 10_000, 24 * 3600.0
AMBIGUOUS, UNKNOWN = Outcome.AMBIGUOUS.value, "unknown"
CLASSES = frozenset({*(outcome.value for outcome in Outcome), UNKNOWN})
"""The words by which a limit may name errors, besides their codes."""

_LAST = 100
_LOOKED_AT = 200
_LOOK_EVERY_SECONDS = 0.5
_MOST_SECONDS_BETWEEN_LOOKS = 15.0
_CLOCK_WAS_SET = timedelta(minutes=1)
_LONGEST_WAIT_FOR_ROOM = timedelta(minutes=10)
_UNLIMITED = 1_000_000
_DECIDER = "wacoex"

ALREADY_SENT = "already_sent"
"""The code of a refusal, and what the reason of such a pause begins with."""

_OVERLAP_ID = "WX507"
_WAYS_ON = "`--skip-sent` leaves these people out, `--again` sends it to them again"
_PAGE_ROWS = 5_000


@dataclass(frozen=True)
class Canary:
    """Send to `rows` people, then wait up to `wait_seconds` for what becomes of it.

    The rest follows when less than the share `limit` of them failed.
    """

    rows: int
    wait_seconds: float = 600.0
    limit: float = 0.10


@dataclass(frozen=True)
class Wait:
    """Not known yet; meanwhile so many more may be sent to."""

    room: int


@dataclass(frozen=True)
class Go:
    """The rest may be sent; `why` is for the record."""

    why: str


def judge_canary(canary: Canary, counts: Counts, quiet_seconds: float) -> Wait | Go | Stop:
    """What becomes of the first rows leads to.

    `counts` are the rows that have left, or are about to; rows that wait for another try are none
    of them. `quiet_seconds` is how long ago the last of them was answered. Failed are those that
    failed or were rejected, and ambiguous ones as long as no status settles them. Once all are
    settled there is nothing left to wait for. What Meta holds back has not shown yet that it
    arrives: it settles nothing, and when most are held back or silent, the rest stays.
    """
    left = counts.total
    refused, ambiguous = counts.of(*_REFUSED), counts.of(RowState.AMBIGUOUS)
    if refused and refused >= canary.limit * canary.rows:
        return _went_wrong(canary, counts)
    if left < canary.rows or counts.of(RowState.SENDING):
        return Wait(canary.rows - left)
    is_settled = counts.of(*_ARRIVED) + refused == left
    if not is_settled and quiet_seconds < canary.wait_seconds:
        return Wait(0)
    if refused + ambiguous >= canary.limit * left:
        return _went_wrong(canary, counts)
    held = {words: n for state, words in HELD_BACK_WORDS.items() if (n := counts.of(state))}
    unheard = counts.of(RowState.ACCEPTED, RowState.AMBIGUOUS)
    if held and (unheard + sum(held.values())) * 2 > left:
        named = ", ".join(f"{words}: {n} of {left}" for words, n in held.items())
        reason = f"most of the canary has not arrived ({named}); `resume` looks at it again"
        return Stop(f"{reason}, `--canary 0` continues anyway", 6)
    if unheard * 2 > left:
        reason = (
            f"no status came for {unheard} of {counted(left, 'row')} of the canary"
            f" within {duration_text(canary.wait_seconds)}"
        )
        return Stop(f"{reason}: is anything listening? `--canary 0` continues anyway", 6)
    arrived = counts.of(RowState.SENT, *_ARRIVED)
    others = "".join(f", {words}: {n}" for words, n in held.items())
    return Go(f"{CANARY_WORD}: {arrived} of {left} confirmed, {refused + ambiguous} failed{others}")


def _went_wrong(canary: Canary, counts: Counts) -> Stop:
    wrong = ", ".join(
        f"{n} {state.value}" for state in (*_REFUSED, RowState.AMBIGUOUS) if (n := counts.of(state))
    )
    limit = f"{canary.limit * 100:g}%"
    reason = f"the canary of {canary.rows} went wrong: {wrong}; the limit is {limit}"
    return Stop(f"{reason}; `--canary 0` continues anyway", 5)


@dataclass(frozen=True)
class Guards:
    """Kept with the broadcast, so that `resume` keeps to them too.

    `canary_since` (RFC 3339, UTC) is when the canary was asked for: rows that left before are
    none of it.
    """

    canary: Canary | None = None
    canary_since: str | None = None
    quiet_hours: QuietHours | None = None

    @classmethod
    def from_json(cls, text: str) -> Guards:
        """The guards whose `to_json` this is; what is not given is not guarded."""
        kept = json.loads(text)
        canary, hours = kept.get("canary"), kept.get("quiet_hours")
        return cls(
            canary=Canary(**canary) if canary else None,
            canary_since=kept.get("canary_since"),
            quiet_hours=QuietHours.parse(hours) if hours else None,
        )

    def to_json(self) -> str:
        """As it is kept."""
        kept = {
            "canary": self.canary and asdict(self.canary),
            "canary_since": self.canary_since,
            "quiet_hours": self.quiet_hours and str(self.quiet_hours),
        }
        return json.dumps({name: value for name, value in kept.items() if value is not None})

    def in_words(self) -> str:
        """In words, for the person who sends; empty when there are none."""
        words = []
        if canary := self.canary:
            words.append(
                f"canary of {canary.rows} (waits up to {duration_text(canary.wait_seconds)}, fewer"
                f" than {canary.limit * 100:g}% may fail)"
            )
        if self.quiet_hours:
            words.append(f"quiet hours {self.quiet_hours} where each number is from")
        return ", ".join(words)


UNGUARDED = Guards()


@dataclass(frozen=True)
class GuardOptions:
    """What a person asks for in one command.

    `canary` 0 means none any more. `canary_changes` (`wait_seconds`, `limit`) and `hours`
    (`quiet_hours`) hold what was given. `not_before` and `until` are as they were typed.
    """

    canary: int | None = None
    canary_changes: Mapping[str, Any] = field(default_factory=dict)
    hours: Mapping[str, Any] = field(default_factory=dict)
    not_before: str | None = None
    until: str | None = None

    def applied_to(self, guards: Guards) -> Guards:
        """The guards as they are from now on; a canary that is asked for anew begins anew.

        Raises:
            UsageError: the wait or the limit of a canary is given, and there is none.
        """
        guards = replace(guards, **self.hours)
        if self.canary is not None:
            canary = Canary(self.canary) if self.canary else None
            guards = replace(guards, canary=canary, canary_since=None)
        if guards.canary is None and self.canary_changes:
            raise UsageError(
                "`--canary-wait` and `--canary-limit` need a canary",
                hint="give the number of people who get it first: --canary 10",
            )
        if guards.canary is None:
            return guards
        return replace(guards, canary=replace(guards.canary, **self.canary_changes))


def guard_options(
    *,
    canary: int | None = None,
    canary_wait: str | None = None,
    canary_limit: str | None = None,
    quiet_hours: str | None = None,
    not_before: str | None = None,
    until: str | None = None,
) -> GuardOptions:
    """The options as they were typed.

    Raises:
        UsageError: one of them is not understood.
    """
    if canary is not None and not 0 <= canary <= _MOST_ROWS:
        raise UsageError(
            f"`--canary` must be from 0 to {_MOST_ROWS}, not {canary}",
            hint="10 is a good number; 0 means no canary",
        )
    hours: dict[str, Any] = {}
    if quiet_hours is not None:
        is_off = quiet_hours.strip().lower() == _NONE
        hours["quiet_hours"] = None if is_off else QuietHours.parse(quiet_hours)
    changes = {}
    if canary_wait is not None:
        wait = duration_from(canary_wait)
        if wait is None or not 0 < wait.total_seconds() <= _LONGEST_WAIT_SECONDS:
            raise UsageError(
                f"`--canary-wait {canary_wait}` is not valid",
                hint="write `90s`, `10m` or `2h`, at most a day",
            )
        changes["wait_seconds"] = wait.total_seconds()
    if canary_limit is not None:
        digits = canary_limit.strip().removesuffix("%")
        share = int(digits) / 100 if digits.isascii() and digits.isdigit() else 0.0
        if not 0 < share <= 1:
            raise UsageError(
                f"`--canary-limit {canary_limit}` is not valid",
                hint="write a share from `1%` to `100%`",
            )
        changes["limit"] = share
    return GuardOptions(canary, changes, hours, not_before, until)


def check_times(not_before: datetime | None, until: datetime | None, now: datetime) -> None:
    """Whether one run can begin and end when it is to.

    Raises:
        UsageError: a time is over, or the end is not after the beginning.
    """
    for name, moment in (("--not-before", not_before), ("--until", until)):
        if moment is not None and moment <= now:
            raise UsageError(
                f"the time of `{name}` is in the past",
                hint="times are in the zone of the channel; write a `Z` at the end for UTC",
                code="bad_time",
            )
    if not_before and until and until <= not_before:
        raise UsageError(
            "`--until` is not after `--not-before`: nothing could leave",
            hint="give a later `--until`",
            code="bad_time",
        )


@dataclass(frozen=True)
class _Fault:
    """What went wrong with one row: for people, and by which names a limit may mean it."""

    text: str
    names: frozenset[str]


def _window() -> deque[_Fault | None]:
    return deque(maxlen=_LAST)


@dataclass
class Breaker:
    """Pauses a broadcast that mostly fails, or fails too often in one way.

    It opens when at least `least_rows` answers came and at least `share` of the last 100 were
    rejected, or brought no usable answer; when the same holds for the last 100 messages of which
    we know that they arrived or failed; and at a limit of `limits`. A limit is by code or by
    one of `CLASSES`: a number of rows in this run, or a share of the last 100.
    """

    least_rows: int = 20
    share: float = 0.30
    limits: Mapping[str, int | float] = field(default_factory=dict)
    _outcomes: deque[_Fault | None] = field(default_factory=_window)
    _answers: deque[_Fault | None] = field(default_factory=_window)
    _statuses: deque[_Fault | None] = field(default_factory=_window)
    _times: Counter[str] = field(default_factory=Counter)
    _failed: Counter[int | None] | None = None
    _well: int = 0

    def saw(self, settled: Settled) -> None:
        """Count one answer. A row that will be tried again is no outcome; a limit may mean it."""
        fault = _fault(settled)
        self._answers.append(fault)
        if fault:
            self._times.update(fault.names)
        if settled.state is not RowState.RETRY:
            self._outcomes.append(fault)

    def saw_statuses(self, failed: Mapping[int | None, int], well: int) -> None:
        """Learn how many messages have failed after all, by code, and how many arrived, by now.

        What was so at the first call is from before this run and does not count.
        """
        before, arrived = self._failed, well - self._well
        self._failed, self._well = Counter(failed), well
        if before is None:
            return
        new = self._failed - before
        faults = {code: _failure(code) for code in new}
        for code, n in new.items():
            self._times.update(dict.fromkeys(faults[code].names, n))
        groups = [(None, arrived), *((faults[code], n) for code, n in new.items())]
        self._statuses.extend(_mixed(groups))

    def verdict(self) -> Stop | None:
        """The stop to make, naming codes and numbers, or None."""
        if not self._times:  # nothing has gone wrong yet
            return None
        return (
            self._mostly(self._outcomes, "rows went wrong")
            or self._mostly(self._statuses, "messages failed after they were accepted")
            or self._at_a_limit()
        )

    def _mostly(self, window: deque[_Fault | None], what: str) -> Stop | None:
        if len(window) < self.least_rows or not any(window):
            return None
        faults = [fault.text for fault in window if fault]
        if len(faults) < self.share * len(window):
            return None
        named = ", ".join(f"{fault} ({n} times)" for fault, n in Counter(faults).most_common(5))
        return Stop(f"{len(faults)} of the last {len(window)} {what}: {named}", 5)

    def _at_a_limit(self) -> Stop | None:
        for name, limit in self.limits.items():
            called = f"code {name}" if name.isdigit() else name
            if isinstance(limit, int):
                if (n := self._times[name]) >= limit:
                    return Stop(f"{called} came {n} times; the limit is {limit}", 5)
                continue
            for window in (self._answers, self._statuses):
                n = sum(fault is not None and name in fault.names for fault in window)
                if n and len(window) >= self.least_rows and n >= limit * len(window):
                    came = f"{called} came {n} times in the last {len(window)}"
                    return Stop(f"{came}; the limit is {limit * 100:g}%", 5)
        return None


def _fault(settled: Settled) -> _Fault | None:
    code = settled.code
    if settled.state is RowState.AMBIGUOUS:
        names = {AMBIGUOUS} if code is None else {AMBIGUOUS, str(code)}
        return _Fault("no usable answer", frozenset(names))
    is_retried = settled.state is RowState.RETRY and code is not None
    return _failure(code) if is_retried or settled.state in _REFUSED else None


def _failure(code: int | None) -> _Fault:
    if code is None:
        return _Fault("refused", frozenset({Outcome.ROW.value, UNKNOWN}))
    names = {classify(code).outcome.value, str(code)}
    return _Fault(f"code {code}", frozenset(names if is_known(code) else {*names, UNKNOWN}))


def _mixed(groups: Iterable[tuple[_Fault | None, int]]) -> Iterable[_Fault | None]:
    """All of them, evenly mixed: nobody knows in which order they came."""
    places = [
        ((n + 0.5) / count, order, fault)
        for order, (fault, count) in enumerate(groups)
        for n in range(count)
    ]
    return [fault for _, _, fault in sorted(places, key=lambda place: place[:2])]


def check_overlap(overlap: Overlap, channel: str, now: datetime) -> list[Finding]:
    """WX507: people of a broadcast have its message already, or will get it from another one."""
    if not overlap:
        return []
    evidence = [Evidence(text, "ledger", to_text(now)) for text in overlap.sentences(now)]
    return [Finding(_OVERLAP_ID, Severity.CRITICAL, channel, evidence)]


def refusal_of(overlap: Overlap, channel: str, now: datetime) -> RefusedError:
    """Why nothing was sent, and what can be meant."""
    return RefusedError(
        f"nothing was sent: {'; '.join(overlap.sentences(now))}",
        hint=_WAYS_ON,
        code=ALREADY_SENT,
        details={
            "findings": [finding.to_json() for finding in check_overlap(overlap, channel, now)],
            ALREADY_SENT: overlap.to_json(),
        },
    )


def let_pass(
    state: State, broadcast: Broadcast, order: SendOrder, presence: Presence, clock: Clock
) -> None:
    """Let a broadcast that was just started send, unless it would repeat another one.

    Of several that start at once with the same people one goes on: each is `sending` before it
    looks, and looks again when another one has started meanwhile.

    Raises:
        RefusedError: it would, and nobody said what is meant (`already_sent`).
        UsageError: somebody paused or cancelled it meanwhile.
    """
    number, store = broadcast.broadcast_id, Broadcasts(state)
    rows = Rows(state, number)
    repeats = order.repeats or broadcast.repeats
    comparison = MessageComparison(state, number, order.repeat_hours, clock)
    is_let = False
    while not is_let:
        starts, overlap = store.starts(), Overlap(0)
        if repeats is RepeatPolicy.SKIPPED:
            for page in comparison.pages():
                with state.transaction():
                    locks.beat(state, lock_purpose(number), presence, clock)
                    rows.skip_already_sent(page)
        elif repeats is RepeatPolicy.REFUSED or order.repeats is RepeatPolicy.SENT:
            overlap = comparison.look()
        if overlap and repeats is RepeatPolicy.REFUSED:
            raise refusal_of(overlap, broadcast.channel, clock.now())
        with state.transaction():
            is_let = store.starts() == starts or repeats is RepeatPolicy.SENT
            if store.status(number) is not Status.SENDING:
                raise UsageError(
                    f"broadcast {number} has become {store.status(number).value} meanwhile",
                    hint=f"look at it: wacoex broadcast show {number}",
                    code="wrong_status",
                )
            if is_let:
                rows.count_again()
                store.mark_compared(number, repeats)
                for finding in order.overrule:
                    rows.note_decision(None, f"overruled {finding}", order.who, clock.now())
                if order.repeats is RepeatPolicy.SENT:
                    said = "; ".join(overlap.sentences(clock.now())) or "nobody got it yet"
                    rows.note_decision(None, f"again: {said}", order.who, clock.now())


@dataclass(frozen=True)
class SendOrder:
    """How one broadcast is to be sent, from the command line to the engine.

    `rate` and `limit` are messages per second; `rate` None: as planned. With `expect` nothing is
    sent unless so many people would be sent to. `guards` and `repeats` stay with the broadcast;
    None: as they are. Who got the same message less than `repeat_hours` ago has it already.
    `zone` is the channel's, for numbers of no known zone; nothing leaves from `until` on.
    `least_guard` is the share by which slots are at least wider than the limit allows.
    With `waits` a broadcast that a limit of a day has paused goes on by itself.
    """

    rate: float | None = None
    expect: int | None = None
    overrule: tuple[str, ...] = ()
    yes: bool = False
    resume: bool = False
    options: GuardOptions = field(default_factory=GuardOptions)
    who: str = "unknown"
    limit: float = MESSAGES_PER_SECOND
    least_guard: float = GUARD
    breaker_rows: int = 20
    breaker_share: float = 0.30
    breaker_limits: Mapping[str, int | float] = field(default_factory=dict)
    guards: Guards | None = None
    zone: str = "UTC"
    until: datetime | None = None
    repeats: RepeatPolicy | None = None
    repeat_hours: float = 72.0
    pressure: Pressure = NO_PRESSURE
    waits: bool = False


def send_order(
    *,
    rate: float | None,
    expect: int | None,
    overrule: Sequence[str] | None,
    yes: bool,
    resume: bool = False,
    skip_sent: bool = False,
    again: bool = False,
    wait: bool = False,
    **guards: Any,
) -> SendOrder:
    """The order that the options of `send` and `resume` give, as they were typed.

    `guards` are those of `guard_options`.

    Raises:
        UsageError: one of them is not understood.
    """
    options = guard_options(**guards)
    known = finding_ids()
    for name in overrule or ():
        if name not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            raise UsageError(
                f"`--overrule {name}` names no finding",
                hint=f"did you mean `{near[0]}`?" if near else "the refusal names the ids",
                code="unknown_finding",
            )
    if _OVERLAP_ID in (overrule or ()):
        raise UsageError(
            f"`--overrule {_OVERLAP_ID}` does not say what happens to people who have the message",
            hint=_WAYS_ON,
            code="say_what_is_meant",
        )
    if skip_sent and again:
        raise UsageError(
            "`--skip-sent` and `--again` say the opposite of each other",
            hint=_WAYS_ON,
            code="say_what_is_meant",
        )
    repeats = RepeatPolicy.SKIPPED if skip_sent else RepeatPolicy.SENT if again else None
    overruled = tuple(overrule or ())
    return SendOrder(rate, expect, overruled, yes, resume, options, repeats=repeats, waits=wait)


def times_of(
    workspace: Workspace, order: SendOrder, zone: str
) -> tuple[datetime | None, datetime | None]:
    """When sending is to begin and to end, as the options say; raises UsageError."""
    options, now = order.options, workspace.clock.now()
    not_before = moment_ahead(options.not_before, zone, now) if options.not_before else None
    until = moment_ahead(options.until, zone, not_before or now) if options.until else None
    check_times(not_before, until, now)
    return not_before, until


async def wait_until(workspace: Workspace, broadcast: Broadcast, moment: datetime) -> None:
    """Wait, by the wall clock: a computer may sleep meanwhile. Ends when it was cancelled."""
    seconds = _LOOK_EVERY_SECONDS
    while (left := (moment - workspace.clock.now()).total_seconds()) > 0:
        if Broadcasts(workspace.state).status(broadcast.broadcast_id) is not broadcast.status:
            return
        await workspace.clock.sleep(min(left, seconds))
        seconds = min(2 * seconds, _MOST_SECONDS_BETWEEN_LOOKS)


def demand_open_hours(rows: Rows, order: SendOrder, start: datetime, dialogue: Dialogue) -> None:
    """Refuse guards under which nothing could leave, and say where the rest may not."""
    guards, until = order.guards or UNGUARDED, order.until
    if guards.quiet_hours:
        zones = (zones_of(phone) or (order.zone,) for phone in rows.open_numbers())
        demand_opening(zones, guards.quiet_hours, start, until)
    if guards.canary and until and until - start <= timedelta(seconds=guards.canary.wait_seconds):
        dialogue.warn(
            f"`--until` ({local_text(until, order.zone)}) may come before the canary's wait ends:"
            " then the rest leaves only if all statuses come sooner"
        )


@dataclass(frozen=True)
class Run:
    """One process sending one broadcast.

    `endpoint` is the account whose limit is kept besides that of the number, and `stated_limit`
    gives what it says it allows, in messages per second.
    """

    broadcast_id: int
    phone: str
    run_id: int
    started_at: float
    order: SendOrder
    endpoint: str | None = None
    stated_limit: Callable[[], float | None] = lambda: None

    @property
    def guards(self) -> Guards:
        """The limits that hold while it runs."""
        return self.order.guards or UNGUARDED

    @property
    def rate(self) -> float:
        """The most messages per second of this broadcast."""
        return self.order.rate or self.order.limit


@dataclass(frozen=True)
class Leave:
    """How many more rows may leave now, until when (monotonic seconds), or why none may."""

    rows: int = _UNLIMITED
    before: float = float("inf")
    stop: Stop | None = None


class RunGuard:
    """Watches over one run. Everything is called inside the transaction of a tick."""

    def __init__(self, state: State, clock: Clock, run: Run) -> None:
        self._rows = Rows(state, run.broadcast_id)
        self._clock = clock
        self.steady = SteadyClock(clock)
        self._set_by = timedelta()
        self._answered = ("", 0.0)
        self._run = run
        guards, since = run.guards, run.guards.canary_since
        self._hours = guards.quiet_hours
        is_open = since and not self._rows.has_decision(CANARY_WORD, since)
        self._canary = guards.canary if is_open else None
        hours = run.order.repeat_hours
        self._comparison = MessageComparison(state, run.broadcast_id, hours, clock)
        broadcast = Broadcasts(state).get(run.broadcast_id)
        self._repeats = broadcast.repeats
        self._people = PeopleGuard(state, broadcast, run.order.pressure, clock)
        self._days = DayGuard(state, broadcast, run.order.pressure, clock)
        self.stop: Stop | None = None
        self._next_look = self._next_sweep = float("-inf")

    def leave(self) -> Leave:
        """What may leave at this tick."""
        until, zone = self._run.order.until, self._run.order.zone
        before = float("inf")
        if until is not None:
            left = (until - self._clock.now()).total_seconds()
            if left <= 0:
                return Leave(0, stop=Stop(f"`--until {local_text(until, zone)}` is reached", 6))
            before = self._clock.monotonic() + left
        leave = self._after_canary(before)
        room = self._days.room() if leave.rows and leave.stop is None else None
        if room is None:
            return leave
        if not room.messages and self._rows.claims():
            # What has used up the room has not left yet, and a stop would call it back.
            return Leave(0, before)
        if room.next_at and room.next_at - self._clock.now() > _LONGEST_WAIT_FOR_ROOM:
            # The minute after: what it names has begun then.
            shown = local_text(room.next_at + timedelta(minutes=1), zone)
            why = f"{room.why}; it can go on at {shown}"
            return Leave(0, before, Stop(why, 6, continues_at=room.next_at))
        return replace(leave, rows=min(leave.rows, room.messages))

    def _after_canary(self, before: float) -> Leave:
        run, now = self._run, self._clock.monotonic()
        if self._canary is None or run.guards.canary_since is None:
            return Leave(before=before)
        if now < self._next_look:
            return Leave(0, before)
        counts, answered_at = self._rows.left_since(run.guards.canary_since)
        found = judge_canary(self._canary, counts, self._quiet_seconds(answered_at, now))
        if isinstance(found, Stop):
            return Leave(0, before, found)
        if isinstance(found, Go):
            self._canary = None
            self._rows.note_decision(None, found.why, _DECIDER, self._clock.now())
            return Leave(before=before)
        if found == Wait(0):
            self._next_look = _next_time(now, self._clock.monotonic())
        return Leave(found.room, before)

    def _quiet_seconds(self, answered_at: str | None, now: float) -> float:
        """For how long no row was answered: the clock may be set while this run waits."""
        if not answered_at:
            return 0.0
        if self._answered[0] != answered_at:
            before = (self._clock.now() - from_text(answered_at)).total_seconds()
            self._answered = (answered_at, now - max(0.0, before))
        return now - self._answered[1]

    def claim(self, holder: str, wanted: int) -> tuple[Claim, ...]:
        """Claim up to `wanted` rows of people who may be sent to now.

        Those whose quiet hours it is are held back. Those who have the message from another
        broadcast are skipped, or `stop` says that they are there.
        """
        claims = self._claim(holder, wanted)
        has_ids = bool(claims) and self._rows.has_ids()
        if has_ids:
            claims = self._rows.skip_twins(holder, claims)
        claims = self._people.without_enough(holder, claims)
        if not claims or self._repeats is RepeatPolicy.SENT:
            return claims
        found = self._comparison.of_claims(claims, has_ids=has_ids)
        if not found:
            return claims
        repeats = {repeat.row: repeat for repeat in found}
        if self._repeats is RepeatPolicy.SKIPPED:
            self._rows.give_back(holder, [claim for claim in claims if claim.row in repeats])
            self._rows.skip_already_sent(repeats.values())
            return tuple(claim for claim in claims if claim.row not in repeats)
        self._rows.give_back(holder, claims)
        numbers = ", ".join(
            str(n) for n in sorted({each.broadcast_id for each in repeats.values()})
        )
        self.stop = Stop(f"{ALREADY_SENT}: people got this message from broadcast {numbers}", 5)
        return ()

    def _claim(self, holder: str, wanted: int) -> tuple[Claim, ...]:
        hours, now, steady = self._hours, self._clock.now(), self.steady.now()
        if not (hours and wanted):
            return self._rows.claim(holder, wanted, now, steady)
        if abs(self.steady.set_by() - self._set_by) > _CLOCK_WAS_SET:
            self._set_by = self.steady.set_by()
            self._rows.look_again(now)
        free, held = 0, dict[int, datetime | None]()
        for row, phone in self._rows.next_rows(now, steady, max(_LOOKED_AT, wanted)):
            if free == wanted:
                break
            until = held_until(self._zones(phone), hours, now)
            if until is None:
                free += 1
            else:
                held[row] = None if until == NEVER else until
        self._rows.hold(held)
        if free < wanted:
            self._skip_opted_out()
        return self._rows.claim(holder, free, now, steady)

    def _skip_opted_out(self) -> None:
        """Now and then: with a million rows held back it takes longer than a tick."""
        began = self._clock.monotonic()
        if began >= self._next_sweep:
            self._rows.skip_opted_out()
            self._next_sweep = _next_time(began, self._clock.monotonic())

    @property
    def canary_rows(self) -> int:
        """The size of the canary that has not gone well yet; 0 when none holds anything back."""
        return self._canary.rows if self._canary else 0

    def held(self) -> tuple[Held, ...]:
        """What is held back, soonest first, each in a zone in which it is over at that moment."""
        hours = self._hours
        if hours is None:
            return ()
        return tuple(
            Held(rows, until, ending_zone(self._zones(phone), hours, until))
            for until, rows, phone in self._rows.held()
        )

    def _zones(self, phone: str) -> tuple[str, ...]:
        """A number of no known zone, and a user id, go by the clocks of the channel."""
        known = zones_of(phone) if phone.startswith("+") else ()
        return known or (self._run.order.zone,)


def _next_time(began: float, ended: float) -> float:
    """Looking through a million rows takes a while; it may cost a twentieth of the time."""
    return began + max(_LOOK_EVERY_SECONDS, 20 * (ended - began))
