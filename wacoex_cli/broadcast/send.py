"""Send a planned broadcast, or go on with one: check, ask, take the lock, run, close."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from wacoex_cli.audience.model import SkipReason
from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.plan import PlanOrder, plan_again, plan_broadcast, show_plan
from wacoex_cli.broadcast.preflight import show_requests
from wacoex_cli.broadcast.send_task import Approval, failures, prepare
from wacoex_cli.channels.model import Channel, Provider
from wacoex_cli.channels.registry import active, choose_channel
from wacoex_cli.channels.sending_reads import RecentReads
from wacoex_cli.contacts.quiet_hours import NEVER_OPEN
from wacoex_cli.contacts.store import Scope, is_opted_out
from wacoex_cli.errors import (
    DeclinedError,
    RefusedError,
    TemporaryError,
    UsageError,
    WacoexError,
    counted,
)
from wacoex_cli.foundation.clock import Clock, from_text, to_text
from wacoex_cli.foundation.phone_numbers import assigned, check_country, normalise
from wacoex_cli.foundation.workspace import Workspace, login_name
from wacoex_cli.inactivity.checks import zone_of
from wacoex_cli.ledger.model import (
    HELD_BACK_WORDS,
    UNDER_WAY_STATES,
    Broadcast,
    Planned,
    RowState,
    RunProgress,
    Status,
    Trial,
)
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.sending import takeover
from wacoex_cli.sending.guards import (
    ALREADY_SENT,
    UNGUARDED,
    SendOrder,
    times_of,
    wait_until,
)
from wacoex_cli.sending.providers import means_of, polling, provider_for
from wacoex_cli.sending.run import send
from wacoex_cli.templates.preview import preview
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import ProgressUpdate, open_progress
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.terminal.options import Invocation

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 15.0
_LOOK_EVERY_SECONDS = 0.5
_ENDED_BY_SIGNAL = 128
_SHOWN_REQUESTS = 3
_TEST_RATE = 1.0
_NOT_YET_CERTAIN = (*UNDER_WAY_STATES, RowState.AMBIGUOUS)
WAITS_SECONDS = 60.0
"""How long the status of a test message is waited for."""
_TO_PLAN = "plan one: wacoex broadcast plan RECIPIENTS --template NAME --lang CODE"
_TO_LOOK = "`wacoex broadcast list` shows the state of each"
_WAITING = {
    "send": ((Status.PLANNED,), "planned", _TO_PLAN),
    "resume": ((Status.PAUSED, Status.SENDING), "paused", _TO_LOOK),
}


def chosen(
    workspace: Workspace, invocation: Invocation, broadcast_id: int | None, verb: str = "send"
) -> tuple[Broadcast, Channel]:
    """The broadcast of that number, or the only one of the channel that waits for that verb.

    Raises UsageError when `--channel` names another channel, or when not exactly one waits.
    """
    if broadcast_id is None:
        channel = choose_channel(workspace, invocation)
        return _the_one(workspace, channel, verb), channel
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


def _the_one(workspace: Workspace, channel: Channel, verb: str) -> Broadcast:
    statuses, word, hint = _WAITING[verb]
    all_of = partial(Broadcasts(workspace.state).of_channel, channel.channel_id)
    # A test whose sender was killed before it began is nothing that anybody planned.
    waiting = [row for status in statuses for row in all_of(status) if row.test_of is None]
    if len(waiting) == 1:
        return waiting[0]
    if not waiting:
        text = f"no broadcast of channel {channel.name} is {word}"
        raise UsageError(text, hint=hint, code=f"nothing_{word}")
    sizes = ((row, counted(row.recipients, "recipient")) for row in reversed(waiting))
    listed = (f"{row.broadcast_id} ({row.name or row.recipients_file}, {n})" for row, n in sizes)
    raise UsageError(
        f"several broadcasts of channel {channel.name} are {word}: {', '.join(listed)}",
        hint=f"name one: wacoex broadcast {verb} {waiting[-1].broadcast_id}",
        code=f"several_{word}",
    )


async def pause(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """Pause a broadcast that is being sent, and wait until its requests under way have ended.

    Raises:
        UsageError: it is not being sent.
    """
    return await _end(state, broadcast, Status.PAUSED, who, clock)


async def cancel(state: State, broadcast: Broadcast, who: str, clock: Clock) -> Broadcast:
    """End a broadcast for good; rows that were not sent stay as they are and are never sent.

    Raises:
        UsageError: it has already ended.
    """
    return await _end(state, broadcast, Status.CANCELLED, who, clock)


async def _end(
    state: State, broadcast: Broadcast, status: Status, who: str, clock: Clock
) -> Broadcast:
    can_be = {Status.SENDING}
    if status is Status.CANCELLED:
        can_be |= {Status.PLANNED, Status.PAUSED}
    broadcast_id = broadcast.broadcast_id
    with state.transaction():
        now = Broadcasts(state).get(broadcast_id)
        # A command may wait to go on with one that a limit of a day has paused.
        if now.status not in can_be and not now.continues_at:
            raise UsageError(
                f"broadcast {broadcast_id} is {now.status.value} and cannot be {status.value}",
                hint=_TO_LOOK,
                code="wrong_status",
            )
        Broadcasts(state).set_status(broadcast_id, status, reason=f"{status.value} by {who}")
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while not _has_ended(state, broadcast_id, clock) and clock.monotonic() < deadline:
        await clock.sleep(_POLL_SECONDS)
    return Broadcasts(state).get(broadcast_id)


def _has_ended(state: State, broadcast_id: int, clock: Clock) -> bool:
    """Whether nobody sends it any more; what a dead sender left is settled then."""
    if Broadcasts(state).sender(broadcast_id, clock):
        return False
    # A sender that has given its row of the lock back keeps the lock's file a moment longer.
    with contextlib.suppress(TemporaryError):
        takeover.settle_dead(state, broadcast_id, clock)
        return True
    return False


def stop_sending(invocation: Invocation, broadcast_id: int, *, for_good: bool, yes: bool) -> Result:
    """Pause a broadcast, or cancel it `for_good`, after a yes; says where it stands then.

    Raises:
        DeclinedError: nobody said yes.
        UsageError: it is in a status in which that cannot be done.
    """
    with invocation.open_workspace() as workspace:
        state = workspace.state
        broadcast = Broadcasts(state).get(broadcast_id)
        waiting = Rows(state, broadcast_id).count_open()
        question = f"cancel broadcast {broadcast_id}; never send to {counted(waiting, 'person')}?"
        if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
            raise DeclinedError("nothing changed")
        stopping = cancel if for_good else pause
        ended = workspace.run(stopping(state, broadcast, login_name(), workspace.clock))
        return report.show(state, ended.broadcast_id)


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

    def refuse(_: Broadcast, error: WacoexError) -> NoReturn:
        raise error

    dialogue = TerminalDialogue(invocation)
    task = prepare(workspace, channel, broadcast, order, dialogue)
    approval = Approval(workspace, order, dialogue, lambda _: dialogue, refuse)
    [(_, checked)] = approval.get([task])
    people = broadcast.recipients - checked.left_out
    done = people - checked.people
    title = f"broadcast {broadcast.broadcast_id}"
    state, clock, note = workspace.state, workspace.clock, dialogue.note
    with open_progress(
        invocation, title, people, done=done, clock=clock, channel=channel.name
    ) as progress:

        def show(shot: RunProgress) -> None:
            done, lines = people - shot.counts.open, report.lines(shot)
            is_well = not shot.codes
            text, data = report.line(shot), report.to_json(shot)
            progress.update(ProgressUpdate(done, text, data, lines, is_well))

        reading = partial(task.reading, RecentReads(clock))
        sending = send(
            state, task.provider, channel, broadcast, task.order, clock, show, note, reading
        )
        sent = workspace.run(sending)
    data = task.summary(sent, checked)
    return Result(data, tuple(report.sentences(data)), sent.exit_status, failures([sent]))


def plan_and_send(
    invocation: Invocation,
    broadcast_id: int | None,
    order: SendOrder,
    plan: PlanOrder | None = None,
    retry_failed: str | None = None,
) -> Result:
    """Send a planned broadcast, or what is planned now: a list, or the failed rows of another.

    With `dry_run` in `plan` the first requests are shown, and nothing is kept or sent.

    Raises:
        WacoexError: nothing was sent, or the state file failed while sending.
    """
    plan = plan or PlanOrder()
    with invocation.open_workspace() as workspace:
        rows: Sequence[Row] | None = None
        is_frozen = retry_failed is not None or not plan.is_new
        if is_frozen and replace(plan, source=None, dry_run=False) != PlanOrder():
            raise UsageError(
                "template, parameters, name and the list belong to `--to` or to `broadcast plan`",
                hint="a planned broadcast is frozen; leave them out, or plan a new one",
                code="already_planned",
            )
        if retry_failed is None and not plan.is_new:
            verb = "resume" if order.resume else "send"
            broadcast, channel = chosen(workspace, invocation, broadcast_id, verb)
        else:
            _check_new(invocation, broadcast_id, order, plan, retry_failed)
            if retry_failed is None:
                channel = choose_channel(workspace, invocation)
            else:
                source, channel = chosen(workspace, invocation, broadcast_id)
            # Before anything is planned: a cron job would leave one more plan each time.
            order.options.applied_to(UNGUARDED)
            times_of(workspace, order, zone_of(workspace, channel))
            if retry_failed is None:
                certain = replace(plan, needs_certain_column=True)
                planned = plan_broadcast(workspace, channel, certain)
                broadcast, rows = planned.broadcast, planned.first_rows
            else:
                broadcast, rows = plan_again(
                    workspace, invocation, channel, source, retry_failed, dry_run=plan.dry_run
                )
        if plan.dry_run:
            return show_requests(workspace, provider_for(workspace, channel), broadcast, rows)
        try:
            return _send_to_the_end(workspace, invocation, channel, broadcast, order)
        except (RefusedError, UsageError) as error:
            if error.code in (ALREADY_SENT, NEVER_OPEN) and (plan.is_new or retry_failed):
                # A cron job would leave one more plan each time. The list is still there.
                Broadcasts(workspace.state).take_back(broadcast.broadcast_id)
                error.hint = f"{error.hint}; give it to the same command, which planned nothing"
            raise


def _send_to_the_end(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
) -> Result:
    """Send; with `--wait` go on each time when the limit of a day allows it, up to `--until`."""
    zone, number = zone_of(workspace, channel), broadcast.broadcast_id
    _, until = times_of(workspace, order, zone)
    while True:
        result = send_broadcast(workspace, invocation, channel, broadcast, order)
        broadcast = Broadcasts(workspace.state).get(number)
        next_at = broadcast.continues_at and from_text(broadcast.continues_at)
        # A signal ended the run: so it is not to go on.
        is_over = result.exit_code > _ENDED_BY_SIGNAL or not (order.waits and next_at)
        if is_over or not next_at or (until and next_at >= until):
            return result
        TerminalDialogue(invocation).note(
            f"{broadcast.reason}: this command waits until then; Ctrl-C leaves it paused"
        )
        workspace.run(wait_until(workspace, broadcast, next_at))
        before, broadcast = broadcast, Broadcasts(workspace.state).get(number)
        if (broadcast.status, broadcast.reason) != (before.status, before.reason):
            return report.show(workspace.state, number)
        options = replace(order.options, not_before=None, until=to_text(until) if until else None)
        order = replace(order, options=options, yes=True, resume=True, expect=None)


def _check_new(
    invocation: Invocation,
    broadcast_id: int | None,
    order: SendOrder,
    plan: PlanOrder,
    retry_failed: str | None,
) -> None:
    if retry_failed is None and broadcast_id is not None:
        raise UsageError("give an id or `--to`, not both", hint="`--to` plans a new broadcast")
    if retry_failed is not None and (broadcast_id is None or plan.source is not None):
        raise UsageError(
            "`--retry-failed` needs the id of the broadcast whose rows failed, and no `--to`",
            hint="for example: wacoex broadcast retry 7",
            code="needs_id",
        )
    if not (order.yes or plan.dry_run):
        TerminalDialogue(invocation).demand_person("--yes")


def plan_and_try(
    invocation: Invocation, order: PlanOrder, phone: str | None, *, yes: bool
) -> Result:
    """Plan a broadcast; with `phone` send its first message there too, and wait for its status.

    The planned broadcast stays as it is, whatever happens to the test.

    Raises:
        WacoexError: an option or the file is wrong, or Meta or respond.io could not be asked.
    """
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        if phone is not None:
            phone = _check_test(workspace.state, invocation, phone, order, may_ask=not yes)
        planned = plan_broadcast(workspace, channel, order, means_of(workspace, channel))
        trial = None
        if phone is not None:
            trial = _try_out(workspace, invocation, channel, planned, phone, yes=yes)
        return show_plan(planned, trial, is_brief=invocation.quiet > 0)


def _check_test(
    state: State, invocation: Invocation, phone: str, order: PlanOrder, *, may_ask: bool
) -> str:
    """The E.164 form of the number that a test goes to."""
    if order.dry_run:
        raise UsageError(
            "`--test` sends a message, which `--dry-run` forbids", hint="leave one of them out"
        )
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")
    found = normalise(phone, check_country(order.country) if order.country else None)
    if found is None:
        raise UsageError(
            f"`--test {phone}` is not a phone number",
            hint="write it with + and the country code: --test +6591234567",
            code="bad_phone",
        )
    found = assigned(found) or (found if order.accept_possible else None)
    if found is None:
        raise UsageError(
            f"`--test {phone}` is in no range that a numbering plan knows",
            hint="look for a wrong digit; if it is right, add `--accept-possible`",
            code="bad_phone",
        )
    if is_opted_out(state, found, Scope.ALL):
        raise UsageError(
            f"{found} is on the opt-out list, so no test is sent to it",
            hint=f"use another number, or: wacoex optout remove {found}",
            code="opted_out",
        )
    return found


def _try_out(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    planned: Planned,
    phone: str,
    *,
    yes: bool,
) -> Trial:
    """Ask, and send the first row's message as a broadcast of its own; wait for its status."""
    dialogue, model = TerminalDialogue(invocation), planned.broadcast
    if not yes:
        first = planned.first_rows[0]
        dialogue.note("the test would read:")
        read = preview(planned.template, planned.values_in(first), planned.file_names)
        for line in read.splitlines():
            dialogue.note(f"  | {line}")
        question = f"send template {model.template_name} once to {phone} from {channel.phone}"
        if not dialogue.confirm(f"{question} ({channel.name})?", flag="--yes"):
            hint = f"broadcast {model.broadcast_id} stays planned"
            declined = DeclinedError("no test was sent", hint=hint)
            return Trial(phone, exit_status=declined.exit_status, errors=(declined,))
    test = plan_test(workspace.state, planned, phone, workspace.clock)
    try:
        return _send_test(workspace, invocation, channel, test, phone)
    finally:
        Broadcasts(workspace.state).take_back(test.broadcast_id)


def plan_test(state: State, planned: Planned, phone: str, clock: Clock) -> Broadcast:
    """A planned broadcast of one row, with what the first row of another has.

    Raises:
        StateError: the state file cannot be written.
    """
    model, first, store = planned.broadcast, planned.first_rows[0], Broadcasts(state)
    with state.transaction():
        number = store.start_like(
            model,
            name=f"test of {model.broadcast_id}",
            rate=_TEST_RATE,
            now=clock.now(),
            test_of=model.broadcast_id,
        )
        rows = Rows(state, number)
        rows.add_test(first["line"], phone, first["parameters"])
        rows.count_again()
        store.set_status(number, Status.PLANNED)
    return store.get(number)


def _send_test(
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
            error.hint = "do first what the plan says; a test cannot overrule a finding"
        return Trial(phone, exit_status=error.exit_status, errors=(error,))
    exit_status, errors = sent.exit_code, tuple(sent.errors)
    if exit_status > _ENDED_BY_SIGNAL:
        return Trial(phone, number, _reached(state, number), None, None, exit_status, errors)
    if _reached(state, number) in _NOT_YET_CERTAIN:
        TerminalDialogue(invocation).note(f"waiting for its status, {WAITS_SECONDS:g} s at most")
        respondio, clock = provider_for(workspace, channel).respondio, workspace.clock

        async def poll() -> None:
            async with polling(state, respondio, number, clock):
                await wait_for_status(state, number, clock)

        workspace.run(poll())
    return outcome(state, number, phone, exit_status, errors)


def _reached(state: State, broadcast_id: int) -> RowState:
    return RowState(Rows(state, broadcast_id).get(1)["state"])


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
    errors: tuple[WacoexError, ...] = (),
) -> Trial:
    """What is known about a test now; `exit_status` and `errors` are those of sending it."""
    row = Rows(state, broadcast_id).get(1)
    reached = RowState(row["state"])
    if problem := _what_is_wrong(reached, row, Broadcasts(state).get(broadcast_id), phone):
        exit_status, errors = problem.exit_status, (problem,)
    elif reached in (RowState.SENT, RowState.DELIVERED, RowState.READ):
        exit_status, errors = 0, ()
    return Trial(phone, broadcast_id, reached, row["code"], row["message_id"], exit_status, errors)


def _what_is_wrong(
    reached: RowState, row: Row, broadcast: Broadcast, phone: str
) -> WacoexError | None:
    broadcast_id, code = broadcast.broadcast_id, row["code"]
    reason = row["reason"] or row["detail"]
    if reached in (RowState.FAILED, RowState.REJECTED):
        known = classify(code) if code is not None else None
        why = f"code {code}, {known.meaning}" if known else reason or "no reason was given"
        verb = "failed" if reached is RowState.FAILED else "was rejected"
        return RefusedError(
            f"the test to {phone} {verb}: {why[:1].lower()}{why[1:].rstrip('.')}",
            hint=known.hint if known else f"look at it: wacoex broadcast show {broadcast_id}",
            code=f"meta_{code}" if known else "test_failed",
        )
    if reached is RowState.SKIPPED and reason == SkipReason.NO_CONTACT:
        return RefusedError(
            f"no test was sent: {phone} is not a contact at respond.io",
            hint="write to that number from respond.io once, or use the number of a contact",
            code=SkipReason.NO_CONTACT,
        )
    if reached is RowState.SKIPPED and reason == SkipReason.OFFER_OVER:
        return RefusedError(
            f"no test was sent to {phone}: {row['detail']}",
            hint="plan again with a later `offer.expires_at`",
            code=SkipReason.OFFER_OVER,
        )
    if reached is RowState.SKIPPED:
        return RefusedError(
            f"no test was sent: {phone} is on the opt-out list",
            hint=f"use another number, or: wacoex optout remove {phone}",
            code="opted_out",
        )
    if held_back := HELD_BACK_WORDS.get(reached):
        return TemporaryError(
            f"the test to {phone} is {held_back}: it goes out later, or fails",
            hint=f"look again: wacoex broadcast show {broadcast_id}",
            code=reached.value,
        )
    if reached is RowState.ACCEPTED and broadcast.provider is Provider.RESPONDIO:
        return TemporaryError(
            f"respond.io accepted the test to {phone}, but gave no status in {WAITS_SECONDS:g} s",
            hint=f"look at the phone; `wacoex events pull --contact {phone}` asks again",
            code="no_status",
        )
    if reached is RowState.ACCEPTED:
        return TemporaryError(
            f"Meta accepted the test to {phone}, but no status came in {WAITS_SECONDS:g} s:"
            " is `wacoex events listen` running?",
            hint="look at the phone, it may be there; `wacoex events subscribe --check` shows more",
            code="no_status",
        )
    if reached is RowState.AMBIGUOUS:
        return TemporaryError(
            f"nobody knows whether the test to {phone} went out: {reason or 'no usable answer'}",
            hint=f"look at the phone, then: wacoex broadcast reconcile {broadcast_id}",
            code="ambiguous",
        )
    return None
