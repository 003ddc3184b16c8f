"""`broadcast plan --test`: the first row's message to oneself, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.audience.ledger import is_opted_out
from wacoex_cli.audience.model import Scope, SkipReason
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.providers import polling, provider_for
from wacoex_cli.broadcast.report import template_name
from wacoex_cli.broadcast.send import SendOptions, send_broadcast
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import DeclinedError, RefusedError, TemporaryError, UsageError, WacoexError
from wacoex_cli.foundation.phone_numbers import check_country, normalise
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.dialogue import TerminalDialogue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.broadcast.model import Broadcast, Planned
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.clock import Clock
    from wacoex_cli.foundation.state import Row, State
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.options import Invocation

WAITS_SECONDS = 60.0
_LOOKS_EVERY_SECONDS = 0.5
_RATE = 1.0
_ENDED_BY_SIGNAL = 128
_NOT_YET_CERTAIN = (RowState.ACCEPTED, RowState.SENT, RowState.AMBIGUOUS)


@dataclass(frozen=True)
class Trial:
    """What became of a test message. `state` is None when none was sent.

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
    options = SendOptions(rate=_RATE, expect=None, overrule=(), yes=True)
    try:
        sent = send_broadcast(workspace, invocation, channel, test, options)
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
            rate=_RATE,
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
        await clock.sleep(_LOOKS_EVERY_SECONDS)


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
