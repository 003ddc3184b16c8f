"""What holds a broadcast back, or stops it: quiet hours, a canary, the breaker."""

from __future__ import annotations

import difflib
import functools
import json
import re
import zoneinfo
from collections import Counter, deque
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast.model import Claim, Counts, Held, RowState, Settled, Stop
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.broadcast.throttle import MESSAGES_PER_SECOND
from wacoex_cli.errors import UsageError
from wacoex_cli.findings.catalogue import finding_ids
from wacoex_cli.foundation.clock import (
    Clock,
    SteadyClock,
    duration_from,
    from_text,
    local_text,
)
from wacoex_cli.foundation.phone_numbers import zones_of
from wacoex_cli.platforms.error_codes import Outcome, classify, is_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from wacoex_cli.foundation.state import State

NEVER = datetime.max.replace(tzinfo=UTC)
"""Said of a number whose zones leave no moment at which none of them is quiet."""

_HOURS = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])-([01]?[0-9]|2[0-3]):([0-5][0-9])")
_LOOKED_AHEAD = timedelta(hours=48)
# Clocks are changed, all over the world, at a quarter of an hour of UTC.
_STEP = timedelta(minutes=15)

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
_CLOCK_WAS_SET = timedelta(minutes=1)
_UNLIMITED = 1_000_000
_DECIDER = "wacoex"


@dataclass(frozen=True)
class QuietHours:
    """From `start` until `end`, which is no part of it; over midnight when `end` is earlier."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> QuietHours:
        """The hours of a text such as `21:00-08:00`.

        Raises:
            UsageError: it is none, or both ends are the same.
        """
        found = _HOURS.fullmatch(text.strip())
        if found is None:
            raise UsageError(
                f"`--quiet-hours {text}` is not understood",
                hint="write `21:00-08:00`, in the time of the recipient, or `none`",
                code="bad_quiet_hours",
            )
        hours, minutes, end_hours, end_minutes = map(int, found.groups())
        if (hours, minutes) == (end_hours, end_minutes):
            raise UsageError(
                f"`--quiet-hours {text}` ends when it begins: nothing could ever be sent",
                hint="write `21:00-08:00`, or `none` to send at any hour",
                code="bad_quiet_hours",
            )
        return cls(time(hours, minutes), time(end_hours, end_minutes))

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"

    def includes(self, clock_time: time) -> bool:
        """Whether it is quiet when the clocks on the wall show that."""
        if self.start < self.end:
            return self.start <= clock_time < self.end
        return clock_time >= self.start or clock_time < self.end


def held_until(zones: tuple[str, ...], hours: QuietHours, now: datetime) -> datetime | None:
    """When somebody who may be in any of these zones may be written to; None: now.

    The strictest counts: it must be quiet in none of them. `NEVER` when that does not happen
    within 48 hours. Clocks that are changed in between are taken into account.
    """
    return _held_until(zones, hours, now.astimezone(UTC).replace(second=0, microsecond=0))


def ending_zone(zones: tuple[str, ...], hours: QuietHours, moment: datetime) -> str:
    """The one of these zones in which quiet hours end at that moment, else the first."""

    ends = (z for z in zones if moment.astimezone(zoneinfo.ZoneInfo(z)).time() == hours.end)
    return next(ends, zones[0])


@functools.lru_cache(maxsize=10_000)
def _held_until(zones: tuple[str, ...], hours: QuietHours, minute: datetime) -> datetime | None:
    known = [zoneinfo.ZoneInfo(zone) for zone in zones]

    def is_allowed(moment: datetime) -> bool:
        return not any(hours.includes(moment.astimezone(zone).time()) for zone in known)

    if is_allowed(minute):
        return None
    candidates = sorted(_changes(known, hours, minute))
    return next((moment for moment in candidates if is_allowed(moment)), NEVER)


def _changes(zones: list[zoneinfo.ZoneInfo], hours: QuietHours, minute: datetime) -> set[datetime]:
    """Every moment in the next two days at which quiet hours may end somewhere."""
    quarter = minute.replace(minute=minute.minute // 15 * 15)
    moments = {quarter + n * _STEP for n in range(1, _LOOKED_AHEAD // _STEP + 1)}
    for zone in zones:
        today = minute.astimezone(zone).date()
        for days in range(4):
            day = today + timedelta(days=days)
            for fold in (0, 1):
                end = datetime.combine(day, hours.end, zone).replace(fold=fold)
                moments.add(end.astimezone(UTC))
    return {moment for moment in moments if minute < moment <= minute + _LOOKED_AHEAD}


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
    settled there is nothing left to wait for.
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
    unheard = counts.of(RowState.ACCEPTED, RowState.AMBIGUOUS)
    if unheard * 2 > left:
        reason = (
            f"no status came for {unheard} of the {left} rows of the canary"
            f" within {canary.wait_seconds / 60:g} min"
        )
        return Stop(f"{reason}: is anything listening? `--canary 0` goes on all the same", 6)
    arrived = counts.of(RowState.SENT, *_ARRIVED)
    return Go(f"{CANARY_WORD}: {arrived} of {left} well, {refused + ambiguous} failed")


def _went_wrong(canary: Canary, counts: Counts) -> Stop:
    wrong = ", ".join(
        f"{n} {state.value}" for state in (*_REFUSED, RowState.AMBIGUOUS) if (n := counts.of(state))
    )
    limit = f"{canary.limit * 100:g}%"
    reason = f"the canary of {canary.rows} went wrong: {wrong}; the limit is {limit}"
    return Stop(f"{reason}; `--canary 0` goes on all the same", 5)


@dataclass(frozen=True)
class Guards:
    """Kept with the broadcast, so that `resume` minds them too.

    `canary_since` (RFC 3339, UTC) is when the canary was asked for: rows that left before are
    none of it.
    """

    canary: Canary | None = None
    canary_since: str | None = None
    quiet_hours: QuietHours | None = None

    @classmethod
    def from_json(cls, text: str) -> Guards:
        """The guards whose `to_json` this is; what is not told is not guarded."""
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
                f"canary of {canary.rows} (waits up to {canary.wait_seconds / 60:g} min, fewer"
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
                hint="say how many are sent to first: --canary 10",
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
            hint="10 is a good number; 0 means none any more",
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
                f"`--canary-wait {canary_wait}` is not understood",
                hint="write `90s`, `10m` or `2h`, at most a day",
            )
        changes["wait_seconds"] = wait.total_seconds()
    if canary_limit is not None:
        digits = canary_limit.strip().removesuffix("%")
        share = int(digits) / 100 if digits.isascii() and digits.isdigit() else 0.0
        if not 0 < share <= 1:
            raise UsageError(
                f"`--canary-limit {canary_limit}` is not understood",
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
                f"the time of `{name}` is over",
                hint="times are in the zone of the channel; write a `Z` at the end for UTC",
                code="bad_time",
            )
    if not_before and until and until <= not_before:
        raise UsageError("`--until` is not after `--not-before`", code="bad_time")


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
    it was told that they arrived or failed; and at a limit of `limits`. A limit is by code or by
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
        return (
            self._mostly(self._outcomes, "rows went wrong")
            or self._mostly(self._statuses, "messages failed after they were accepted")
            or self._at_a_limit()
        )

    def _mostly(self, window: deque[_Fault | None], what: str) -> Stop | None:
        faults = [fault.text for fault in window if fault]
        if len(window) < self.least_rows or len(faults) < self.share * len(window):
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


@dataclass(frozen=True)
class SendOrder:
    """How one broadcast is to be sent, from the command line to the engine.

    `rate` and `limit` are messages per second; `rate` None: as planned. With `expect` nothing is
    sent unless so many people would be sent to. `guards` stay with the broadcast; None: as they
    are. `zone` is the channel's, for numbers of no known zone; nothing leaves from `until` on.
    """

    rate: float | None = None
    expect: int | None = None
    overrule: tuple[str, ...] = ()
    yes: bool = False
    resume: bool = False
    options: GuardOptions = field(default_factory=GuardOptions)
    who: str = "unknown"
    limit: float = MESSAGES_PER_SECOND
    breaker_rows: int = 20
    breaker_share: float = 0.30
    breaker_limits: Mapping[str, int | float] = field(default_factory=dict)
    guards: Guards | None = None
    zone: str = "UTC"
    until: datetime | None = None


def send_order(
    *,
    rate: float | None,
    expect: int | None,
    overrule: Sequence[str] | None,
    yes: bool,
    resume: bool = False,
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
    return SendOrder(rate, expect, tuple(overrule or ()), yes, resume, options)


@dataclass(frozen=True)
class Run:
    """One process sending one broadcast.

    `endpoint` is the account whose limit is kept besides that of the number, and `told_limit`
    gives what it says it allows, in messages per second.
    """

    broadcast_id: int
    phone: str
    run_id: int
    started_at: float
    order: SendOrder
    endpoint: str | None = None
    told_limit: Callable[[], float | None] = lambda: None

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
        self._steady = SteadyClock(clock)
        self._set_by = timedelta()
        self._answered = ("", 0.0)
        self._run = run
        guards, since = run.guards, run.guards.canary_since
        self._hours = guards.quiet_hours
        is_open = since and not Broadcasts(state).has_decision(run.broadcast_id, CANARY_WORD, since)
        self._canary = guards.canary if is_open else None
        self._next_look = self._next_sweep = float("-inf")

    def leave(self) -> Leave:
        """What may leave at this tick."""
        until = self._run.order.until
        if until is None:
            return self._after_canary(float("inf"))
        left = (until - self._clock.now()).total_seconds()
        if left <= 0:
            reached = f"`--until {local_text(until, self._run.order.zone)}` is reached"
            return Leave(0, stop=Stop(reached, 6))
        return self._after_canary(self._clock.monotonic() + left)

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
        """Claim up to `wanted` rows of people whose quiet hours it is not; hold the others back."""
        hours, now, steady = self._hours, self._clock.now(), self._steady.now()
        if not (hours and wanted):
            return self._rows.claim(holder, wanted, now, steady)
        if abs(self._steady.set_by() - self._set_by) > _CLOCK_WAS_SET:
            self._set_by = self._steady.set_by()
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
        """A number of no known zone goes by the clocks of the channel."""
        return zones_of(phone) or (self._run.order.zone,)


def _next_time(began: float, ended: float) -> float:
    """Looking through a million rows takes a while; it may cost a twentieth of the time."""
    return began + max(_LOOK_EVERY_SECONDS, 20 * (ended - began))
