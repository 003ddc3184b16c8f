"""What `broadcast send` and `resume` do around the engine: check, ask, show, report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import ledger, view
from wacoex_cli.broadcast.checks import sending_seconds
from wacoex_cli.broadcast.model import RowState, Status
from wacoex_cli.broadcast.preflight import (
    check_before_sending,
    check_can_start,
    refuse_critical,
    standing_check,
)
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.send import (
    SendRequest,
    Sent,
    message_maker,
    send,
)
from wacoex_cli.channels.access import meta_for
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    TemporaryError,
    WacoexError,
)
from wacoex_cli.foundation.person import login_name
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import open_progress
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.broadcast.model import Broadcast, Counts
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.state import Row
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.options import Invocation

_SHOWN_REQUESTS = 3
_KINDS: dict[int, type[WacoexError]] = {
    kind.exit_status: kind for kind in (CredentialError, RefusedError, TemporaryError)
}
_SIGNALS = {130: "interrupted", 143: "terminated"}


@dataclass(frozen=True)
class SendOptions:
    """The options of a send as they were typed; `rate` in messages per second."""

    rate: float | None
    expect: int | None
    overrule: tuple[str, ...]
    yes: bool
    resume: bool = False


def send_broadcast(
    workspace: Workspace,
    invocation: Invocation,
    channel: Channel,
    broadcast: Broadcast,
    options: SendOptions,
) -> Result:
    """Check, ask, send, and say how it ended.

    Raises:
        WacoexError: nothing was sent, or the state file failed while sending.
    """
    dialogue = TerminalDialogue(invocation)
    bring_up_to_date(workspace.state, workspace.clock)
    check_can_start(broadcast, resume=options.resume)
    _check_expected(workspace, broadcast, options.expect)
    settings = workspace.settings_for(channel.name)
    request = SendRequest(
        rate=options.rate or broadcast.rate,
        overruled=options.overrule,
        who=login_name(),
        breaker_rows=settings.breaker_rows,
        breaker_share=settings.breaker_share,
    )
    meta = meta_for(workspace, channel)
    findings = workspace.run(
        check_before_sending(
            workspace.state,
            meta,
            channel,
            broadcast,
            workspace.clock,
            settings.meta_base_url,
            standing_check(workspace, channel),
        )
    )
    refuse_critical(findings, options.overrule)
    for line in view.findings_text(tuple(findings)):
        dialogue.note(line)
    if not options.yes:
        _ask(dialogue, workspace, channel, broadcast, request.rate)
    sent = _run(workspace, invocation, dialogue, meta, channel, broadcast, request)
    return _result(workspace, sent, findings)


def _check_expected(workspace: Workspace, broadcast: Broadcast, expect: int | None) -> None:
    if expect is None:
        return
    planned = ledger.open_rows(workspace.state, broadcast.broadcast_id)
    if expect != planned:
        raise RefusedError(
            f"nothing was sent: {planned} people would be sent to, not {expect}",
            hint=f"look at it: wacoex broadcast show {broadcast.broadcast_id}",
            code="unexpected_count",
        )


def _ask(
    dialogue: TerminalDialogue,
    workspace: Workspace,
    channel: Channel,
    broadcast: Broadcast,
    rate: float,
) -> None:
    people = ledger.open_rows(workspace.state, broadcast.broadcast_id)
    time = view.duration(sending_seconds(people, rate))
    question = (
        f"send template {view.template_name(broadcast)} to {people} people"
        f" from {channel.phone} ({channel.name}) at {rate:g}/s, about {time}?"
    )
    if not dialogue.confirm(question, flag="--yes"):
        raise DeclinedError(
            "nothing was sent",
            hint=f"broadcast {broadcast.broadcast_id} stays as it is",
        )


def _run(
    workspace: Workspace,
    invocation: Invocation,
    dialogue: TerminalDialogue,
    meta: Meta,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
) -> Sent:
    people = broadcast.recipients
    title = f"broadcast {broadcast.broadcast_id}"
    with open_progress(invocation, title, people, clock=workspace.clock) as progress:

        def show(counts: Counts) -> None:
            done = people - counts.open
            progress.update(done, _short(counts), {"counts": counts.to_json()})

        return workspace.run(
            send(
                workspace.state,
                meta,
                channel,
                broadcast,
                request,
                clock=workspace.clock,
                on_counts=show,
                on_signal=dialogue.note,
            )
        )


def _short(counts: Counts) -> str:
    shown = (
        RowState.ACCEPTED,
        RowState.SENT,
        RowState.DELIVERED,
        RowState.READ,
        RowState.FAILED,
        RowState.REJECTED,
        RowState.RETRY,
        RowState.AMBIGUOUS,
    )
    told = [f"{counts.of(state)} {state.value}" for state in shown if counts.of(state)]
    return ", ".join(told) or "starting"


def _result(workspace: Workspace, sent: Sent, findings: Sequence[Finding]) -> Result:
    data = view.summary(workspace.state, sent.broadcast, sent.counts)
    data["stopped_by"] = sent.stop.reason if sent.stop else None
    data["findings"] = [one.to_json() for one in findings]
    return Result(data, tuple(view.sentences(data)), sent.exit_status, tuple(_failures(sent)))


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
            *ledger.rows_in(state, broadcast_id, RowState.RETRY, _SHOWN_REQUESTS),
            *ledger.rows_in(state, broadcast_id, RowState.PENDING, _SHOWN_REQUESTS),
        ][:_SHOWN_REQUESTS]
    make = message_maker(broadcast, ledger.state_id(state))
    url = meta_for(workspace, channel).messages_url(channel.demand_phone_number_id())
    requests: list[dict[str, Any]] = [
        {
            "line": row["line"],
            "method": "POST",
            "url": url,
            "headers": {"Authorization": "Bearer ****", "Content-Type": "application/json"},
            "body": make(row["row"], row["attempts"] + 1, row["phone"], row["parameters"]),
        }
        for row in rows
    ]
    text = [f"would send to {broadcast.recipients} people; the first {len(requests)} requests:"]
    for request in requests:
        text += [
            f"line {request['line']}: POST {request['url']}",
            json.dumps(request["body"], ensure_ascii=False, indent=2),
        ]
    data = {"dry_run": True, "recipients": broadcast.recipients, "requests": requests}
    return Result(data, tuple(text))
