"""Send a planned broadcast, or go on with one: check, ask, take the lock, run, close."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.engine import Engine, Exchange, Hooks, exit_status
from wacoex_cli.broadcast.guards import (
    CANARY_WORD,
    UNGUARDED,
    Breaker,
    Guards,
    Run,
    SendOrder,
    Wishes,
    check_times,
)
from wacoex_cli.broadcast.model import (
    Claim,
    RowState,
    Status,
    Stop,
    Trial,
    attempt_id,
    lock_purpose,
)
from wacoex_cli.broadcast.preflight import (
    check_before_sending,
    check_can_start,
    refuse_critical,
    standing_check,
    way_through,
)
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.providers import creating, polling, provider_for
from wacoex_cli.broadcast.report import template_name
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.channels.registry import active, choose_channel
from wacoex_cli.contacts.store import Scope, is_opted_out
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    StateError,
    TemporaryError,
    UsageError,
    WacoexError,
)
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import local_text, moment_ahead, to_text
from wacoex_cli.foundation.phone_numbers import check_country, normalise
from wacoex_cli.foundation.workspace import STOPPING, interruptible, login_name, meanwhile
from wacoex_cli.inactivity.checks import zone_of
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import open_progress
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from wacoex_cli.broadcast.model import Broadcast, Counts, Planned, Snapshot
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.options import Invocation

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 15.0
_WARM_UP_SECONDS = 3.0
_LOOK_EVERY_SECONDS = 0.5
_KINDS: dict[int, type[WacoexError]] = {
    kind.exit_status: kind for kind in (CredentialError, RefusedError, TemporaryError)
}
_SIGNALS = {130: "interrupted", 143: "terminated"}


def chosen(
    workspace: Workspace, invocation: Invocation, broadcast_id: int | None
) -> tuple[Broadcast, Channel]:
    """The broadcast of that number, or else the only planned one of the channel in use.

    Raises UsageError when `--channel` names another channel, or when not exactly one is planned.
    """
    if broadcast_id is None:
        channel = choose_channel(workspace, invocation)
        return _only_planned(workspace, channel), channel
    broadcast = Broadcasts(workspace.state).get(broadcast_id)
    channel = active(workspace.state, broadcast.channel)
    if invocation.channel not in (None, channel.name):
        raise UsageError(
            f"broadcast {broadcast_id} belongs to channel {channel.name},"
            f" not to {invocation.channel}",
            hint="leave `--channel` out",
            code="other_channel",
        )
    return broadcast, channel


def _only_planned(workspace: Workspace, channel: Channel) -> Broadcast:
    found = Broadcasts(workspace.state).of_channel(channel.channel_id, Status.PLANNED)
    # A test whose sender was killed before it began is nothing that anybody planned.
    planned = [row for row in found if row.test_of is None]
    if len(planned) == 1:
        return planned[0]
    if not planned:
        raise UsageError(
            f"no broadcast of channel {channel.name} is planned",
            hint="plan one: wacoex broadcast plan RECIPIENTS --template NAME --lang CODE",
            code="nothing_planned",
        )
    listed = ", ".join(
        f"{row.broadcast_id} ({row.name or row.recipients_file}, {row.recipients} recipients)"
        for row in reversed(planned)
    )
    raise UsageError(
        f"several broadcasts of channel {channel.name} are planned: {listed}",
        hint=f"name one: wacoex broadcast send {planned[-1].broadcast_id}",
        code="several_planned",
    )


_SHOWN_REQUESTS = 3

WAITS_SECONDS = 60.0
"""How long the status of a test message is waited for."""

_TEST_RATE = 1.0
_ENDED_BY_SIGNAL = 128
_NOT_YET_CERTAIN = (RowState.ACCEPTED, RowState.SENT, RowState.AMBIGUOUS)


async def pause(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """Pause a broadcast that is being sent, and wait until its requests under way have ended.

    Raises:
        UsageError: it is not being sent.
    """
    return await _end(state, broadcast, Status.PAUSED, {Status.SENDING}, who, clock)


async def cancel(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """End a broadcast for good; rows that were not sent stay as they are and are never sent.

    Raises:
        UsageError: it has already ended.
    """
    can_be = {Status.PLANNED, Status.SENDING, Status.PAUSED}
    return await _end(state, broadcast, Status.CANCELLED, can_be, who, clock)


async def _end(
    state: State, broadcast: Broadcast, status: Status, can_be: set[Status], who: str, clock: Clock
) -> Broadcast:
    broadcast_id = broadcast.broadcast_id
    with state.transaction():
        now = Broadcasts(state).get(broadcast_id).status
        if now not in can_be:
            raise UsageError(
                f"broadcast {broadcast_id} is {now.value} and cannot be {status.value}",
                hint="`wacoex broadcast list` shows where each one stands",
                code="wrong_status",
            )
        Broadcasts(state).set_status(broadcast_id, status, reason=f"{status.value} by {who}")
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while Broadcasts(state).sender(broadcast_id, clock) and clock.monotonic() < deadline:
        await clock.sleep(_POLL_SECONDS)
    if not Broadcasts(state).sender(broadcast_id, clock):
        Broadcasts(state).settle_dead(broadcast_id, clock)
    return Broadcasts(state).get(broadcast_id)


@dataclass(frozen=True)
class Sent:
    """How a run ended. `signal_number` is set when a person or the system ended it."""

    broadcast: Broadcast
    counts: Counts
    stop: Stop | None
    signal_number: int | None
    exit_status: int


async def send(
    state: State,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
    *,
    clock: Clock,
    on_counts: Callable[[Snapshot], None],
    on_signal: Callable[[str], None],
) -> Sent:
    """Send every row that is still open, at most once each.

    Raises:
        TemporaryError: another process is sending this broadcast.
        StateError: the state file could not be written; nothing left after that.
    """
    sender = _Sender(state, broadcast, clock)
    presence = sender.presence
    try:
        run = sender.begin(provider, channel, order)
    except BaseException:
        presence.leave()
        raise
    try:
        engine = Engine(
            sender.hooks(provider, run, on_counts),
            clock,
            Breaker(order.breaker_rows, order.breaker_share, order.breaker_limits),
        )
        with _interruptible(engine, on_signal) as received:
            # A cold TLS connection arrives two round trips late: it would put messages together.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WARM_UP_SECONDS):
                    await provider.warm_up()
            async with (
                meanwhile(_learn(state, clock), engine.fail),
                creating(state, provider, broadcast, clock, engine.stop, engine.fail),
                polling(state, provider.respondio, run.broadcast_id, clock, engine.fail) as poller,
            ):
                stop = await engine.run()
                if poller and stop is None:
                    await poller.wait_for_last_news(lambda: not received)
        sent = sender.close(run, stop, received)
    except BaseException as error:
        # The notes stay: whoever resumes learns from them what had left.
        presence.abandon()
        if isinstance(error, StateError):
            error.hint = f"{error.hint}; to continue: wacoex broadcast resume {run.broadcast_id}"
        raise
    presence.leave()
    return sent


class _Sender:
    """This process as the one sender of a broadcast: it takes the lock, and gives it back."""

    def __init__(self, state: State, broadcast: Broadcast, clock: Clock) -> None:
        self.state = state
        self.broadcast = broadcast
        self.clock = clock
        self.presence = locks.Presence(state.path)
        self.broadcasts = Broadcasts(state)
        self.rows = Rows(state, broadcast.broadcast_id)

    def begin(self, provider: SendingProvider, channel: Channel, order: SendOrder) -> Run:
        """Take the lock, settle what the sender before left, and open a run."""
        number, now = self.broadcast.broadcast_id, self.clock.now()
        rate = order.rate or self.broadcast.rate
        with self.state.transaction():
            former = self.broadcasts.take_lock(number, self.presence, self.clock)
            # Between the checks and the lock somebody may have sent or cancelled it.
            status = self.broadcasts.status(number)
            if status is not self.broadcast.status:
                raise UsageError(
                    f"broadcast {number} has become {status.value} meanwhile",
                    hint=f"look at it: wacoex broadcast show {number}",
                    code="wrong_status",
                )
            self.rows.skip_opted_out()
            self.rows.skip_sent_to(self.broadcast)
            self.rows.count_again()
            for finding in order.overrule:
                self.rows.note_decision(None, f"overruled {finding}", order.who, now)
            guards = self._keep_guards(order.guards, now)
            run_id = self.broadcasts.start_run(number, self.presence.holder, rate, now)
        if former and former["holder"] != self.presence.holder:
            locks.forget(self.state.path, former["holder"])
        return Run(
            broadcast_id=number,
            phone=channel.phone,
            run_id=run_id,
            started_at=self.clock.monotonic(),
            order=replace(order, rate=rate, guards=guards),
            endpoint=provider.endpoint,
            told_limit=provider.told_limit,
        )

    def _keep_guards(self, wanted: Guards | None, now: datetime) -> Guards:
        kept = Guards.from_json(self.broadcast.guards)
        if wanted is None:
            return kept
        if wanted.canary and wanted.canary_since is None:
            wanted = replace(wanted, canary_since=to_text(now))
        if wanted.quiet_hours != kept.quiet_hours:
            self.rows.look_again(now)
        self.broadcasts.keep_guards(self.broadcast.broadcast_id, wanted.to_json())
        return wanted

    def hooks(
        self, provider: SendingProvider, run: Run, on_counts: Callable[[Snapshot], None]
    ) -> Hooks:
        """What the engine trades with."""
        this_file, presence = self.broadcasts.state_id, self.presence
        mailer = provider.mailer(self.broadcast, this_file)
        exchange = Exchange(self.state, presence, self.clock, run)

        def note_departure(claim: Claim) -> None:
            presence.note(attempt_id(this_file, run.broadcast_id, claim.row, claim.attempt))

        return Hooks(exchange, note_departure, mailer.deliver, on_counts, provider.kind.known_as)

    def close(self, run: Run, stop: Stop | None, received: Collection[int]) -> Sent:
        """End the run: completed, or paused for a reason; `received` are signals."""
        number = run.broadcast_id
        with self.state.transaction():
            # respond.io may have said of a planned row that there is no such contact any more.
            self.rows.count_again()
        counts = self.rows.counts()
        if stop is None and counts.open:
            stop = self._nothing_left_to_try(counts)
        status, why = Status.COMPLETED, None
        if counts.open:
            status, why = Status.PAUSED, stop
        with self.state.transaction():
            self.broadcasts.end_run(run.run_id, status.value)
            if locks.is_held_by(self.state, lock_purpose(number), self.presence):
                self.broadcasts.finish(
                    number,
                    status,
                    self.clock.now(),
                    reason=why.reason if why else None,
                    code=why.code if why else None,
                )
                locks.release(self.state, lock_purpose(number), self.presence)
        first = next(iter(received), None)
        closed = self.broadcasts.get(number)
        if stop and closed.status is Status.PAUSED and closed.reason:
            # Whoever paused it, a person or an event, said why.
            stop = replace(stop, reason=closed.reason)
        status_code = 128 + first if first else exit_status(counts, stop)
        return Sent(closed, counts, stop, first, status_code)

    def _nothing_left_to_try(self, counts: Counts) -> Stop:
        if n := self.rows.at_no_hour():
            why = f"{n} rows can leave at no hour: in one of their time zones it is always quiet"
            return Stop(f"{why}; `--quiet-hours` with fewer hours, or none, lets them go", 5)
        return Stop(f"{counts.of(RowState.RETRY)} rows used up their tries of this run", 6)


async def _learn(state: State, clock: Clock) -> None:
    """Project what a listener stores: opt-outs, statuses, and what must pause us."""
    while True:
        # A state file that cannot be used stops the engine, which tells it.
        with contextlib.suppress(WacoexError):
            await asyncio.to_thread(bring_up_to_date, state, clock)
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _interruptible(
    engine: Engine, on_signal: Callable[[str], None]
) -> AbstractContextManager[list[int]]:
    """First Ctrl-C or SIGTERM: drain and record. Second: stop now."""

    def drain(number: int) -> None:
        on_signal(STOPPING)
        engine.stop(Stop("it was interrupted", 128 + number))

    def drop(number: int) -> None:
        engine.stop(Stop("it was interrupted", 128 + number), at_once=True)

    return interruptible(drain, drop)


def send_broadcast(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
) -> Result:
    """Check, ask, send, and say how it ended.

    Raises:
        WacoexError: nothing was sent, or the state file failed while sending.
    """
    state, number, dialogue = workspace.state, broadcast.broadcast_id, TerminalDialogue(invocation)
    zone = zone_of(workspace, channel)
    not_before, until = _times(workspace, order.wishes, zone)
    settings = workspace.settings_for(channel.name)
    order = replace(
        order,
        rate=order.rate or broadcast.rate,
        who=login_name(),
        breaker_rows=settings.breaker_rows,
        breaker_share=settings.breaker_share,
        breaker_limits=settings.breaker_limits,
        guards=order.wishes.applied_to(Guards.from_json(broadcast.guards)),
        zone=zone,
        until=until,
    )
    provider = provider_for(workspace, channel)
    findings = _check(workspace, provider, channel, broadcast, order)
    for line in report.findings_text(tuple(findings)):
        dialogue.note(line)
    if guards := _guards_in_words(workspace, broadcast, order):
        dialogue.note(f"guards: {guards}")
    if not order.yes:
        question = _question(workspace, provider, channel, broadcast, order)
        if not dialogue.confirm(question, flag="--yes"):
            raise DeclinedError("nothing was sent", hint=f"broadcast {number} stays as it is")
    if not_before:
        dialogue.note(f"waiting until {local_text(not_before, zone)}; Ctrl-C leaves it as it is")
        workspace.run(_wait_until(workspace, broadcast, not_before))
        findings = _check(workspace, provider, channel, broadcast, order)
    people = broadcast.recipients
    done = people - Rows(state, number).count_open()
    title, clock = f"broadcast {number}", workspace.clock
    with open_progress(invocation, title, people, done=done, clock=clock) as progress:

        def show(shot: Snapshot) -> None:
            done = people - shot.counts.open
            progress.update(done, report.line(shot), report.to_json(shot), report.lines(shot))

        sending = send(
            state,
            provider,
            channel,
            broadcast,
            order,
            clock=clock,
            on_counts=show,
            on_signal=dialogue.note,
        )
        sent = workspace.run(sending)
    data = report.summary(state, sent.broadcast, sent.counts)
    data["stopped_by"] = sent.stop.reason if sent.stop else None
    data["findings"] = [finding.to_json() for finding in findings]
    return Result(data, tuple(report.sentences(data)), sent.exit_status, tuple(_failures(sent)))


def _guards_in_words(workspace: Workspace, broadcast: Broadcast, order: SendOrder) -> str:
    """The guards, without a canary that has let the rest go."""
    guards = order.guards or UNGUARDED
    since, store = guards.canary_since, Broadcasts(workspace.state)
    if since and store.has_decision(broadcast.broadcast_id, CANARY_WORD, since):
        guards = replace(guards, canary=None)
    return guards.told()


def check_wishes(workspace: Workspace, channel: Channel, wishes: Wishes) -> None:
    """Whether a new broadcast can be sent as asked. Called before anything is planned.

    Raises:
        UsageError: a time is none or over, or a canary is told how to be and there is none.
    """
    wishes.applied_to(UNGUARDED)
    _times(workspace, wishes, zone_of(workspace, channel))


def _times(
    workspace: Workspace, wishes: Wishes, zone: str
) -> tuple[datetime | None, datetime | None]:
    now = workspace.clock.now()
    not_before = moment_ahead(wishes.not_before, zone, now) if wishes.not_before else None
    until = moment_ahead(wishes.until, zone, not_before or now) if wishes.until else None
    check_times(not_before, until, now)
    return not_before, until


def _check(
    workspace: Workspace,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
) -> Sequence[Finding]:
    state, clock, number = workspace.state, workspace.clock, broadcast.broadcast_id
    bring_up_to_date(state, clock)
    check_can_start(Broadcasts(state).get(number), resume=order.resume)
    planned = Rows(state, number).count_open()
    if order.expect not in (None, planned):
        raise RefusedError(
            f"nothing was sent: {planned} people would be sent to, not {order.expect}",
            hint=f"look at it: wacoex broadcast show {number}",
            code="unexpected_count",
        )
    standing = standing_check(workspace, channel)
    checking = check_before_sending(state, provider, channel, broadcast, clock, standing)
    findings = workspace.run(checking)
    refuse_critical(findings, order.overrule)
    return findings


async def _wait_until(workspace: Workspace, broadcast: Broadcast, moment: datetime) -> None:
    """Wait, by the wall clock: a computer may sleep meanwhile. Ends when it was cancelled."""
    while (left := (moment - workspace.clock.now()).total_seconds()) > 0:
        if Broadcasts(workspace.state).status(broadcast.broadcast_id) is not broadcast.status:
            return
        await workspace.clock.sleep(min(left, _LOOK_EVERY_SECONDS))


def _question(
    workspace: Workspace,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
) -> str:
    rows = Rows(workspace.state, broadcast.broadcast_id)
    people, contacts = rows.count_open(), rows.count_without_contact()
    rate = order.rate or broadcast.rate
    way = way_through(workspace.state, provider, people, rate, contacts, workspace.clock)
    holds = " beside what quiet hours hold" if order.guards and order.guards.quiet_hours else ""
    return (
        f"send template {template_name(broadcast)} to {people} people"
        f" from {channel.phone} ({channel.name}) at {way.messages_per_second:g}/s,"
        f" about {report.duration(way.seconds)}{holds}?"
    )


def _failures(sent: Sent) -> Iterator[WacoexError]:
    """Why rows are left to be sent, or why nobody was sent to."""
    if not (sent.counts.open or sent.exit_status in _KINDS):
        return
    broadcast, stop = sent.broadcast, sent.stop
    exit_status = stop.exit_status if stop else sent.exit_status
    code, meta_code = _SIGNALS.get(exit_status), stop.code if stop else None
    hint = f"look at it: wacoex broadcast show {broadcast.broadcast_id}"
    if broadcast.status is Status.PAUSED:
        hint = f"to continue: wacoex broadcast resume {broadcast.broadcast_id}"
    if meta_code is not None:
        code, hint = f"meta_{meta_code}", f"{classify(meta_code).hint}; {hint}"
    yield _KINDS.get(exit_status, WacoexError)(
        f"broadcast {broadcast.broadcast_id} is {broadcast.status.value}:"
        f" {stop.reason if stop else 'nobody was sent to'}",
        hint=hint,
        code=code,
    )


def show_requests(
    workspace: Workspace, channel: Channel, broadcast: Broadcast, rows: Sequence[Row] | None
) -> Result:
    """The exact requests of the first three rows, with the token hidden. Nothing is sent."""
    state, broadcast_id = workspace.state, broadcast.broadcast_id
    if rows is None:
        rows = [
            *Rows(state, broadcast_id).first(RowState.RETRY, _SHOWN_REQUESTS),
            *Rows(state, broadcast_id).first(RowState.PENDING, _SHOWN_REQUESTS),
        ][:_SHOWN_REQUESTS]
    mailer = provider_for(workspace, channel).mailer(broadcast, Broadcasts(state).state_id)
    requests: list[dict[str, Any]] = []
    for row in rows:
        url, body = mailer.request(_next_claim(row, workspace.clock.now()))
        headers = {"Authorization": "Bearer ****", "Content-Type": "application/json"}
        request = {"method": "POST", "url": url, "headers": headers, "body": body}
        requests.append({"line": row["line"], **request})
    text = [f"would send to {broadcast.recipients} people; the first {len(requests)} requests:"]
    for request in requests:
        text += [
            f"line {request['line']}: POST {request['url']}",
            json.dumps(request["body"], ensure_ascii=False, indent=2),
        ]
    data = {"dry_run": True, "recipients": broadcast.recipients, "requests": requests}
    return Result(data, tuple(text))


def _next_claim(row: Row, now: datetime) -> Claim:
    return Claim(row["row"], row["phone"], row["parameters"], row["attempts"] + 1, 1, now)


def check_wanted(
    state: State,
    invocation: Invocation,
    phone: str,
    country: str | None,
    *,
    may_ask: bool,
    dry_run: bool,
) -> str:
    """The E.164 form of the number that a test goes to. Called before anything is planned.

    Raises:
        UsageError: it is no number, `country` is no country, the number opted out, nobody could be
            asked, or nothing may be sent in a dry run.
    """
    if dry_run:
        raise UsageError(
            "`--test` sends a message, which `--dry-run` forbids", hint="leave one of them out"
        )
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")
    found = normalise(phone, check_country(country) if country else None)
    if found is None:
        raise UsageError(
            f"`--test {phone}` is not a phone number",
            hint="write it with + and the country code: --test +6591234567",
            code="bad_phone",
        )
    if is_opted_out(state, found, Scope.ALL):
        raise UsageError(
            f"{found} is on the opt-out list, so no test is sent to it",
            hint=f"use another number, or: wacoex optout remove {found}",
            code="opted_out",
        )
    return found


def try_out(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    planned: Planned,
    phone: str,
    reading: str,
    *,
    yes: bool,
) -> Trial:
    """Ask, send the first row's message to `phone` (E.164), and wait for its status.

    It is a broadcast of one row of its own. `reading` is what will be read, shown before the
    question. The planned broadcast stays as it is, whatever becomes of the test.

    Raises:
        StateError: the state file cannot be used.
    """
    if not yes and not _agrees(invocation, channel, planned, phone, reading):
        number = planned.broadcast.broadcast_id
        declined = DeclinedError("no test was sent", hint=f"broadcast {number} stays planned")
        return Trial(phone, exit_status=declined.exit_status, errors=(declined,))
    test = plan_test(workspace.state, planned, phone, workspace.clock)
    try:
        return _send(workspace, invocation, channel, test, phone)
    finally:
        with workspace.state.transaction():
            Broadcasts(workspace.state).forget_unsent(test.broadcast_id)


def _send(
    workspace: Workspace, invocation: Invocation, channel: Channel, test: Broadcast, phone: str
) -> Trial:
    state, number = workspace.state, test.broadcast_id
    order = SendOrder(rate=_TEST_RATE, yes=True)
    try:
        sent = send_broadcast(workspace, invocation, channel, test, order)
    except WacoexError as error:
        if _reached(state, number) is not RowState.PENDING:
            raise
        if error.code == "preflight":
            error.hint = "the plan says what to do first; a test cannot overrule a finding"
        return Trial(phone, exit_status=error.exit_status, errors=(error,))
    if sent.exit_code > _ENDED_BY_SIGNAL:
        errors = tuple(sent.errors)
        return Trial(phone, number, _reached(state, number), None, None, sent.exit_code, errors)
    if _reached(state, number) in _NOT_YET_CERTAIN:
        TerminalDialogue(invocation).note(f"waiting for its status, {WAITS_SECONDS:g} s at most")
        workspace.run(_wait(workspace, channel, number))
    return outcome(state, number, phone, sent.exit_code, sent.errors)


async def _wait(workspace: Workspace, channel: Channel, broadcast_id: int) -> None:
    respondio = provider_for(workspace, channel).respondio
    async with polling(workspace.state, respondio, broadcast_id, workspace.clock):
        await wait_for_status(workspace.state, broadcast_id, workspace.clock)


def _reached(state: State, broadcast_id: int) -> RowState:
    return RowState(Rows(state, broadcast_id).one(1)["state"])


def _agrees(
    invocation: Invocation, channel: Channel, planned: Planned, phone: str, reading: str
) -> bool:
    dialogue = TerminalDialogue(invocation)
    dialogue.note("the test would read:")
    for line in reading.splitlines():
        dialogue.note(f"  | {line}")
    return dialogue.confirm(
        f"send template {template_name(planned.broadcast)} once to {phone}"
        f" from {channel.phone} ({channel.name})?",
        flag="--yes",
    )


def plan_test(state: State, planned: Planned, phone: str, clock: Clock) -> Broadcast:
    """A planned broadcast of one row, with what the first row of another has.

    Raises:
        StateError: the state file cannot be written.
    """
    model, first = planned.broadcast, planned.first_rows[0]
    with state.transaction():
        broadcast_id = Broadcasts(state).start_like(
            model,
            name=f"test of {model.broadcast_id}",
            rate=_TEST_RATE,
            now=clock.now(),
            test_of=model.broadcast_id,
        )
        Rows(state, broadcast_id).add_test(first["line"], phone, first["parameters"])
        Rows(state, broadcast_id).count_again()
        Broadcasts(state).set_status(broadcast_id, Status.PLANNED)
    return Broadcasts(state).get(broadcast_id)


async def wait_for_status(state: State, broadcast_id: int, clock: Clock) -> None:
    """Let events come in until one settles the test, a minute at most.

    `sent` settles nothing: Meta may still report that the message failed.
    """
    until = clock.monotonic() + WAITS_SECONDS
    while clock.monotonic() < until:
        bring_up_to_date(state, clock)
        if _reached(state, broadcast_id) not in _NOT_YET_CERTAIN:
            return
        await clock.sleep(_LOOK_EVERY_SECONDS)


def outcome(
    state: State,
    broadcast_id: int,
    phone: str,
    exit_status: int = 0,
    errors: Sequence[WacoexError] = (),
) -> Trial:
    """What is known about a test now; `exit_status` and `errors` are those of sending it."""
    row = Rows(state, broadcast_id).one(1)
    reached = RowState(row["state"])
    told = _what_is_wrong(reached, row, Broadcasts(state).get(broadcast_id), phone)
    if told is not None:
        exit_status, errors = told.exit_status, (told,)
    elif reached in (RowState.SENT, RowState.DELIVERED, RowState.READ):
        exit_status, errors = 0, ()
    return Trial(
        phone, broadcast_id, reached, row["code"], row["message_id"], exit_status, tuple(errors)
    )


def _what_is_wrong(
    reached: RowState, row: Row, broadcast: Broadcast, phone: str
) -> WacoexError | None:
    broadcast_id, code = broadcast.broadcast_id, row["code"]
    reason = row["reason"] or row["detail"]
    if reached in (RowState.FAILED, RowState.REJECTED):
        known = classify(code) if code is not None else None
        why = f"code {code}, {known.meaning}" if known else reason or "nobody says why"
        verb = "failed" if reached is RowState.FAILED else "was rejected"
        return RefusedError(
            f"the test to {phone} {verb}: {why[:1].lower()}{why[1:].rstrip('.')}",
            hint=known.hint if known else f"look at it: wacoex broadcast show {broadcast_id}",
            code=f"meta_{code}" if known else "test_failed",
        )
    if reached is RowState.SKIPPED and reason == SkipReason.NO_CONTACT:
        return RefusedError(
            f"no test was sent: {phone} is no contact at respond.io",
            hint="write to that number from respond.io once, or use the number of a contact",
            code=SkipReason.NO_CONTACT,
        )
    if reached is RowState.SKIPPED:
        return RefusedError(
            f"no test was sent: {phone} is on the opt-out list",
            hint=f"use another number, or: wacoex optout remove {phone}",
            code="opted_out",
        )
    if reached is RowState.ACCEPTED and broadcast.provider is Provider.RESPONDIO:
        return TemporaryError(
            f"respond.io accepted the test to {phone}, but told no status in {WAITS_SECONDS:g} s",
            hint=f"look at the phone; `wacoex events pull --contact {phone}` asks again",
            code="no_status",
        )
    if reached is RowState.ACCEPTED:
        return TemporaryError(
            f"Meta accepted the test to {phone}, but no status came in {WAITS_SECONDS:g} s:"
            " is anything listening?",
            hint="`wacoex events subscribe --check` tells; look at the phone too",
            code="no_status",
        )
    if reached is RowState.AMBIGUOUS:
        return TemporaryError(
            f"nobody knows whether the test to {phone} went out: {reason or 'no usable answer'}",
            hint=f"look at the phone, then: wacoex broadcast reconcile {broadcast_id}",
            code="ambiguous",
        )
    return None
