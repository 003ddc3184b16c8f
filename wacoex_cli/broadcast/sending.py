"""What `broadcast send` and `resume` do around the engine: check, ask, show, report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wacoex_cli.broadcast import canary, live, view
from wacoex_cli.broadcast.estimate import way_through
from wacoex_cli.broadcast.guards import NO_WISHES, UNGUARDED, Guards, Wishes, check_times
from wacoex_cli.broadcast.model import Status
from wacoex_cli.broadcast.preflight import (
    check_before_sending,
    check_can_start,
    refuse_critical,
    standing_check,
)
from wacoex_cli.broadcast.projection import bring_up_to_date
from wacoex_cli.broadcast.providers import provider_for
from wacoex_cli.broadcast.send import SendRequest, Sent, send
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    TemporaryError,
    WacoexError,
)
from wacoex_cli.foundation.person import login_name
from wacoex_cli.foundation.time_zones import local_text, moment_ahead
from wacoex_cli.inactivity.reading import zone_of
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import open_progress
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.broadcast.live import Snapshot
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.providers import SendingProvider
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.options import Invocation

_LOOK_EVERY_SECONDS = 0.5
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
    wishes: Wishes = NO_WISHES


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
    not_before, request = _request(workspace, channel, broadcast, options)
    provider = provider_for(workspace, channel)
    findings = _check(workspace, provider, channel, broadcast, options)
    for line in view.findings_text(tuple(findings)):
        dialogue.note(line)
    if minded := _still_minded(workspace, broadcast, request.guards):
        dialogue.note(f"guards: {minded}")
    if not options.yes:
        _ask(dialogue, workspace, provider, channel, broadcast, request)
    if not_before:
        dialogue.note(
            f"waiting until {local_text(not_before, request.zone)}; Ctrl-C leaves it as it is"
        )
        workspace.run(_wait_until(workspace, broadcast, not_before))
        findings = _check(workspace, provider, channel, broadcast, options)
    sent = _run(workspace, invocation, dialogue, provider, channel, broadcast, request)
    return _result(workspace, sent, findings)


def _request(
    workspace: Workspace, channel: Channel, broadcast: Broadcast, options: SendOptions
) -> tuple[datetime | None, SendRequest]:
    """When to begin, None for now, and how to send."""
    wishes, zone = options.wishes, zone_of(workspace, channel)
    not_before, until = _times(workspace, wishes, zone)
    settings = workspace.settings_for(channel.name)
    return not_before, SendRequest(
        rate=options.rate or broadcast.rate,
        overruled=options.overrule,
        who=login_name(),
        breaker_rows=settings.breaker_rows,
        breaker_share=settings.breaker_share,
        breaker_limits=settings.breaker_limits,
        guards=wishes.applied_to(Guards.from_json(broadcast.guards)),
        zone=zone,
        until=until,
    )


def _still_minded(workspace: Workspace, broadcast: Broadcast, guards: Guards | None) -> str:
    """The guards in words, without a canary that has let the rest go."""
    if guards is None:
        return ""
    since, broadcast_id = guards.canary_since, broadcast.broadcast_id
    if since and Broadcasts(workspace.state).has_decision(broadcast_id, canary.WORD, since):
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
    options: SendOptions,
) -> Sequence[Finding]:
    bring_up_to_date(workspace.state, workspace.clock)
    check_can_start(Broadcasts(workspace.state).get(broadcast.broadcast_id), resume=options.resume)
    _check_expected(workspace, broadcast, options.expect)
    findings = workspace.run(
        check_before_sending(
            workspace.state,
            provider,
            channel,
            broadcast,
            workspace.clock,
            standing_check(workspace, channel),
        )
    )
    refuse_critical(findings, options.overrule)
    return findings


async def _wait_until(workspace: Workspace, broadcast: Broadcast, moment: datetime) -> None:
    """Wait, by the wall clock: a computer may sleep meanwhile. Ends when it was cancelled."""
    while (left := (moment - workspace.clock.now()).total_seconds()) > 0:
        if Broadcasts(workspace.state).get(broadcast.broadcast_id).status is not broadcast.status:
            return
        await workspace.clock.sleep(min(left, _LOOK_EVERY_SECONDS))


def _check_expected(workspace: Workspace, broadcast: Broadcast, expect: int | None) -> None:
    if expect is None:
        return
    planned = Rows(workspace.state, broadcast.broadcast_id).count_open()
    if expect != planned:
        raise RefusedError(
            f"nothing was sent: {planned} people would be sent to, not {expect}",
            hint=f"look at it: wacoex broadcast show {broadcast.broadcast_id}",
            code="unexpected_count",
        )


def _ask(
    dialogue: TerminalDialogue,
    workspace: Workspace,
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
) -> None:
    people = Rows(workspace.state, broadcast.broadcast_id).count_open()
    new_contacts = Rows(workspace.state, broadcast.broadcast_id).count_without_contact()
    way = way_through(
        workspace.state, provider, people, request.rate, new_contacts, workspace.clock
    )
    time = view.duration(way.seconds)
    holds = " beside what quiet hours hold" if request.guards and request.guards.quiet_hours else ""
    question = (
        f"send template {view.template_name(broadcast)} to {people} people"
        f" from {channel.phone} ({channel.name}) at {way.messages_per_second:g}/s,"
        f" about {time}{holds}?"
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
    provider: SendingProvider,
    channel: Channel,
    broadcast: Broadcast,
    request: SendRequest,
) -> Sent:
    people = broadcast.recipients
    before = people - Rows(workspace.state, broadcast.broadcast_id).count_open()
    title = f"broadcast {broadcast.broadcast_id}"
    with open_progress(invocation, title, people, done=before, clock=workspace.clock) as progress:

        def show(shot: Snapshot) -> None:
            done = people - shot.counts.open
            progress.update(done, live.line(shot), live.to_json(shot), live.lines(shot))

        return workspace.run(
            send(
                workspace.state,
                provider,
                channel,
                broadcast,
                request,
                clock=workspace.clock,
                on_counts=show,
                on_signal=dialogue.note,
            )
        )


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
