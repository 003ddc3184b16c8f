"""Broadcasts that are about to be sent: the findings of each, and what is asked."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.checks import check_audience
from wacoex_cli.broadcast.estimate import way_through
from wacoex_cli.broadcast.preflight import (
    Reread,
    check_channel,
    check_media,
    check_possible,
    critical,
    follow_reread,
    in_one_sentence,
    keep_reading,
    messaged_lately,
    read_template,
    reread,
)
from wacoex_cli.channels.sending_reads import RecentReads, SendingReads
from wacoex_cli.contacts.stops import follow
from wacoex_cli.errors import (
    CredentialError,
    DeclinedError,
    RefusedError,
    StateError,
    TemporaryError,
    UsageError,
    WacoexError,
    counted,
)
from wacoex_cli.findings.model import Finding
from wacoex_cli.foundation import generation
from wacoex_cli.foundation.clock import duration_text, local_text
from wacoex_cli.foundation.workspace import Workspace, login_name, meanwhile
from wacoex_cli.inactivity.checks import standing_check, zone_of
from wacoex_cli.ledger.model import Broadcast, Overlap, RepeatPolicy, Status
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.repeats import MessageComparison
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.pressure.guard import PeopleGuard
from wacoex_cli.pressure.model import pressure_of
from wacoex_cli.sending import takeover
from wacoex_cli.sending.guards import (
    ALREADY_SENT,
    CANARY_WORD,
    UNGUARDED,
    Guards,
    SendOrder,
    check_overlap,
    demand_open_hours,
    refusal_of,
    times_of,
    wait_until,
)
from wacoex_cli.sending.providers import SendingProvider, provider_for
from wacoex_cli.sending.run import Sent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.templates.model import Template
    from wacoex_cli.terminal.dialogue import Dialogue

_KINDS: dict[int, type[WacoexError]] = {
    kind.exit_status: kind for kind in (CredentialError, RefusedError, TemporaryError, StateError)
}
_CODES = {130: "interrupted", 143: "terminated", StateError.exit_status: "disk_full"}


def prepare(
    workspace: Workspace,
    channel: Channel,
    broadcast: Broadcast,
    order: SendOrder,
    dialogue: Dialogue,
) -> SendTask:
    """The task of sending one broadcast, its order completed by settings and the plan.

    Raises:
        UsageError: the times or the guards let nothing leave.
        CredentialError: there is no token for its channel.
    """
    zone = zone_of(workspace, channel)
    not_before, until = times_of(workspace, order, zone)
    settings = workspace.settings_for(channel.name)
    order = replace(
        order,
        rate=order.rate or broadcast.rate,
        who=login_name(),
        breaker_rows=settings.breaker_rows,
        breaker_share=settings.breaker_share,
        breaker_limits=settings.breaker_limits,
        repeat_hours=settings.repeat_hours,
        pressure=pressure_of(broadcast.pressure, settings.pressure._asdict()),
        guards=order.options.applied_to(Guards.from_json(broadcast.guards)),
        zone=zone,
        until=until,
    )
    rows = Rows(workspace.state, broadcast.broadcast_id)
    demand_open_hours(rows, order, not_before or workspace.clock.now(), dialogue)
    provider = provider_for(workspace, channel)
    return SendTask(workspace, provider, channel, broadcast, order, not_before)


@dataclass(frozen=True)
class SendCheck:
    """What forbids sending, who has the message already, and the template of now.

    `people` are sent to; `left_out` are others of the plan.
    """

    findings: tuple[Finding, ...]
    overlap: Overlap
    template: Reread
    people: int
    left_out: int

    def news_since(self, before: SendCheck) -> tuple[Finding, ...]:
        """The findings that were not there before."""
        known = {(finding.id, finding.title) for finding in before.findings}
        return tuple(each for each in self.findings if (each.id, each.title) not in known)


@dataclass(frozen=True)
class SendTask:
    """One broadcast that is about to be sent: the doubts about it, and what is asked."""

    workspace: Workspace
    provider: SendingProvider
    channel: Channel
    broadcast: Broadcast
    order: SendOrder
    not_before: datetime | None = None

    @property
    def repeats(self) -> RepeatPolicy:
        """What happens to people who have this message: as this command says, else the plan."""
        return self.order.repeats or self.broadcast.repeats

    @property
    def leaves_out(self) -> bool:
        """Whether people who have this message do not get it again."""
        return self.repeats is RepeatPolicy.SKIPPED

    def sentences(self, overlap: Overlap) -> list[str]:
        """Who has this message from which broadcast, a sentence for each."""
        return overlap.sentences(self.workspace.clock.now())

    async def check(self, reads: SendingReads) -> SendCheck:
        """What forbids sending, and who has the message already.

        Raises:
            UsageError: its status does not let it start.
            HeldElsewhereError: another process is sending it.
            RefusedError: people have it already, a finding is critical, or the state file is a
                copy.
            CredentialError, TemporaryError: Meta or respond.io could not be asked.
            StateError: the state file cannot be used.
        """
        state, clock = self.workspace.state, self.workspace.clock
        number = self.broadcast.broadcast_id
        bring_up_to_date(state, clock)
        # First: the lock of a copied file names a sender that is no longer there.
        takeover.demand_own_file(state)
        wait = f"wait until it ends, or: wacoex broadcast pause {number}"
        Broadcasts(state).demand_idle(number, wait, clock)
        _check_can_start(Broadcasts(state).get(number), resume=self.order.resume)
        overlap = MessageComparison(state, number, self.order.repeat_hours, clock).look()
        if overlap and self.repeats is RepeatPolicy.REFUSED:
            raise refusal_of(overlap, self.channel.name, clock.now())
        findings, template = await self._read(Broadcasts(state).get(number), reads)
        left_out = template.left_out.people + (overlap.rows if self.leaves_out else 0)
        people = max(0, overlap.people - left_out)
        mounts = generation.mounts_around(state.path)
        findings += takeover.check_file_system(state, mounts, self.workspace.clock.now())
        _refuse_critical(findings, self.order.overrule)
        if self.repeats is RepeatPolicy.SENT:
            findings += check_overlap(overlap, self.channel.name, clock.now())
        return SendCheck(tuple(findings), overlap, template, people, left_out)

    async def _read(
        self, broadcast: Broadcast, reads: SendingReads
    ) -> tuple[list[Finding], Reread]:
        """What Meta or respond.io say now against sending, and the template as it is now."""
        state, provider, channel = self.workspace.state, self.provider, self.channel
        standing, now = standing_check(self.workspace, channel), self.workspace.clock.now()
        check_possible(provider, channel, broadcast, now)
        found, tier = await check_channel(provider, channel, now, reads, standing)
        try:
            read = await read_template(provider, broadcast, reads)
        except WacoexError as error:
            # Number and account may go together: then the number's finding says what to do.
            if not any(finding.id == "WX215" for finding in found):
                raise
            read = error
        again = reread(state, broadcast, read, provider.kind, now)
        rows, taken = Rows(state, broadcast.broadcast_id), messaged_lately(state, channel, now)
        left_out = again.left_out.people
        found += check_audience(rows, channel, again.category, tier, taken, now, left_out)
        found += await check_media(state, provider, broadcast, self.workspace.clock, reads)
        return [*found, *again.findings], again

    def tell(self, checked: SendCheck, dialogue: Dialogue) -> None:
        """Show its findings, what holds it back, and who is left out."""
        for line in report.findings_text(checked.findings):
            dialogue.note(line)
        state, broadcast, pressure = self.workspace.state, self.broadcast, self.order.pressure
        guards = self.order.guards or UNGUARDED
        since = guards.canary_since
        if since and Rows(state, broadcast.broadcast_id).has_decision(CANARY_WORD, since):
            guards = replace(guards, canary=None)  # it has let the rest go
        if words := guards.in_words():
            dialogue.note(f"guards: {words}")
        if self.leaves_out and checked.overlap:
            sentences = "; ".join(self.sentences(checked.overlap))
            dialogue.note(f"left out because of `--skip-sent`: {sentences}")
        if broadcast.test_of is None and (words := pressure.in_words()):
            dialogue.note(f"limits: {words}")
            if doubt := PeopleGuard(state, broadcast, pressure, self.workspace.clock).doubt():
                dialogue.warn(doubt)

    def keep_template(self, checked: SendCheck) -> None:
        """Let what was read of the template count from now on."""
        follow_reread(self.workspace.state, self.broadcast.broadcast_id, checked.template)

    def reading(
        self, recent: RecentReads, on_failure: Callable[[BaseException], None]
    ) -> contextlib.AbstractAsyncContextManager[None]:
        """Meanwhile read the template again and again: it may change while rows wait.

        `recent` is what all broadcasts of this process read. `on_failure` gets at once what ends
        the reading.
        """
        state, clock, number = (
            self.workspace.state,
            self.workspace.clock,
            self.broadcast.broadcast_id,
        )

        def look() -> Awaitable[Template | WacoexError]:
            return read_template(self.provider, self.broadcast, recent.now())

        kind, overruled = self.provider.kind, self.order.overrule
        return meanwhile(keep_reading(state, number, look, kind, overruled, clock), on_failure)

    def summary(self, sent: Sent, checked: SendCheck) -> dict[str, Any]:
        """The `data` of how it ended."""
        data = report.summary(self.workspace.state, sent.broadcast, sent.counts)
        data["stopped_by"] = sent.stop.reason if sent.stop else None
        data["findings"] = [finding.to_json() for finding in checked.findings]
        return data

    def sentence(self, checked: SendCheck) -> str:
        """What is sent to whom, from which number, how fast, and how long that takes."""
        state, broadcast, guards = self.workspace.state, self.broadcast, self.order.guards
        people = checked.people
        rate, clock = self.order.rate or broadcast.rate, self.workspace.clock
        way = way_through(state, self.provider, broadcast.broadcast_id, people, rate, clock)
        holds = " not counting what quiet hours hold" if guards and guards.quiet_hours else ""
        return (
            f"template {broadcast.template_name} to {counted(people, 'person')}"
            f" from {self.channel.phone} ({self.channel.name}) at {way.messages_per_second:g}/s,"
            f" about {duration_text(way.seconds)}{holds}"
        )


class Approval:
    """What the broadcasts of one command need before anything leaves: checks, a yes, their time.

    `dialogue_of` speaks of one of them. `on_refused` hears of one that must not be sent: it raises,
    or leaves that one out.
    """

    def __init__(
        self,
        workspace: Workspace,
        order: SendOrder,
        dialogue: Dialogue,
        dialogue_of: Callable[[SendTask], Dialogue],
        on_refused: Callable[[Broadcast, WacoexError], None],
    ) -> None:
        self._workspace = workspace
        self._order = order
        self._dialogue = dialogue
        self._dialogue_of = dialogue_of
        self._on_refused = on_refused

    def get(self, tasks: Sequence[SendTask]) -> list[tuple[SendTask, SendCheck]]:
        """Check all, ask once, wait for `--not-before`, check again; those to be sent now.

        Raises:
            DeclinedError: nobody said yes.
            RefusedError: they are for another number of people than `--expect` says.
            UsageError: nobody can be asked, or `--not-before` means several moments.
        """
        follow(self._workspace.state, self._workspace.settings.consent, self._workspace.clock.now())
        checked = self._check(tasks)
        if checked:
            self._ask(checked)
            if moment := _beginning(checked):
                checked = self._check_again(checked, moment)
        for task, found in checked:
            task.keep_template(found)
        return checked

    def _check(self, tasks: Sequence[SendTask]) -> list[tuple[SendTask, SendCheck]]:
        async def check_all() -> list[SendCheck | BaseException]:
            reads = SendingReads()
            checks = (task.check(reads) for task in tasks)
            return await asyncio.gather(*checks, return_exceptions=True)

        checked = []
        for task, found in zip(tasks, self._workspace.run(check_all()), strict=True):
            if isinstance(found, WacoexError):
                self._on_refused(task.broadcast, found)
            elif isinstance(found, BaseException):
                raise found
            else:
                checked.append((task, found))
        if checked:
            _demand_expected(checked, self._order.expect)
        return checked

    def _ask(self, checked: Sequence[tuple[SendTask, SendCheck]]) -> None:
        is_one = len(checked) == 1
        for task, found in checked:
            dialogue = self._dialogue_of(task)
            task.tell(found, dialogue)
            if not is_one:
                dialogue.note(task.sentence(found))
        if self._order.yes:
            return
        task, found = checked[0]
        question = f"send {task.sentence(found)}?"
        stays = f"broadcast {task.broadcast.broadcast_id} stays as it is"
        if not is_one:
            people = counted(_people(checked), "person")
            question = f"send {counted(len(checked), 'broadcast')} to {people}?"
            stays = "the broadcasts stay as they are"
        if not self._dialogue.confirm(question, flag="--yes"):
            raise DeclinedError("nothing was sent", hint=stays)

    def _check_again(
        self, checked: Sequence[tuple[SendTask, SendCheck]], moment: datetime
    ) -> list[tuple[SendTask, SendCheck]]:
        shown = local_text(moment, checked[0][0].order.zone)
        self._dialogue.note(f"waiting until {shown}; Ctrl-C ends the wait, and nothing is sent")

        async def wait() -> None:
            await asyncio.gather(
                *(wait_until(self._workspace, task.broadcast, moment) for task, _ in checked)
            )

        self._workspace.run(wait())
        before = {task.broadcast.broadcast_id: found for task, found in checked}
        again = self._check([task for task, _ in checked])
        for task, found in again:
            news = found.news_since(before[task.broadcast.broadcast_id])
            for line in report.findings_text(news):
                self._dialogue_of(task).note(line)
        return again


def _people(checked: Iterable[tuple[SendTask, SendCheck]]) -> int:
    return sum(found.people for _, found in checked)


def _ids(checked: Iterable[tuple[SendTask, SendCheck]]) -> list[int]:
    return [task.broadcast.broadcast_id for task, _ in checked]


def _demand_expected(checked: Sequence[tuple[SendTask, SendCheck]], expected: int | None) -> None:
    """Refuse unless they are for this number of people in all; None allows any number."""
    people, ids = _people(checked), _ids(checked)
    if expected in (None, people):
        return
    message = f"the broadcasts go to {counted(people, 'person')} in all"
    hint = "look at them: wacoex broadcast list"
    if len(ids) == 1:
        message = f"it is for {counted(people, 'person')}"
        hint = f"look at it: wacoex broadcast show {ids[0]}"
    raise RefusedError(
        f"nothing was sent: {message}, not {expected}",
        hint=hint,
        code="unexpected_count",
        details={"broadcast_ids": ids},
    )


def _beginning(checked: Sequence[tuple[SendTask, SendCheck]]) -> datetime | None:
    """The moment of `--not-before`; raises UsageError where it differs from channel to channel."""
    moments = {task.not_before for task, _ in checked}
    if len(moments) > 1:
        raise UsageError(
            "the channels are in different time zones, so `--not-before` means a different"
            " moment for each",
            hint="write a `Z` at the end for UTC, or send them one by one",
            code="bad_time",
            details={"broadcast_ids": _ids(checked)},
        )
    return moments.pop()


def _refuse_critical(findings: Collection[Finding], overruled: Collection[str]) -> None:
    standing = critical(findings, overruled)
    if not standing:
        return
    reasons = in_one_sentence(standing)
    flags = " ".join(f"--overrule {finding.id}" for finding in standing)
    raise RefusedError(
        f"nothing was sent: {reasons}",
        hint=f"{standing[0].remedy[0]}; to send anyway, add `{flags}`",
        code="preflight",
        details={"findings": [finding.to_json() for finding in standing]},
    )


def _check_can_start(broadcast: Broadcast, *, resume: bool) -> None:
    number, status = broadcast.broadcast_id, broadcast.status
    if status in ((Status.PAUSED, Status.SENDING) if resume else (Status.PLANNED,)):
        return
    hints = {
        Status.PLANNED: f"`wacoex broadcast send {number}` starts it",
        Status.PAUSED: f"`wacoex broadcast resume {number}` continues it",
        Status.SENDING: f"its sender died; `wacoex broadcast resume {number}` continues it",
    }
    raise UsageError(
        f"broadcast {number} is {status.value}",
        hint=hints.get(status, "plan a new one with `wacoex broadcast plan`"),
        code="wrong_status",
    )


class _Cause(NamedTuple):
    """Why a broadcast ended with rows left to be sent, or why nobody got it."""

    kind: type[WacoexError]
    code: str | None
    is_resumed: bool
    status: str
    reason: str
    meaning: str

    def error(self, numbers: Sequence[int]) -> WacoexError:
        """What is said of the broadcasts with these numbers."""
        ids = " ".join(map(str, numbers))
        is_one = len(numbers) == 1
        if self.is_resumed:
            hint = f"to continue: wacoex broadcast resume {ids}"
        else:
            hint = f"look at it: wacoex broadcast show {numbers[0]}"
            hint = hint if is_one else "look at them: wacoex broadcast list"
        if self.meaning:
            hint = f"{self.meaning}; {hint}"
        if self.code == ALREADY_SENT:
            hint = f"{hint} with `--skip-sent` or `--again`"
        are = f"broadcast {ids} is" if is_one else f"broadcasts {', '.join(map(str, numbers))} are"
        message = f"{are} {self.status}: {self.reason}"
        details = {"broadcast_ids": list(numbers)}
        return self.kind(message, hint=hint, code=self.code, details=details)


def failures(ended: Iterable[Sent]) -> tuple[WacoexError, ...]:
    """Why rows are left to be sent, or why nobody got it: one error for all that ended alike."""
    numbers: dict[_Cause, list[int]] = {}
    for sent in ended:
        if sent.counts.open or sent.exit_status in _KINDS:
            numbers.setdefault(_cause(sent), []).append(sent.broadcast.broadcast_id)
    return tuple(cause.error(alike) for cause, alike in numbers.items())


def _cause(sent: Sent) -> _Cause:
    broadcast, stop = sent.broadcast, sent.stop
    exit_status = stop.exit_status if stop else sent.exit_status
    code, meta_code = _CODES.get(exit_status), stop.code if stop else None
    meaning = ""
    if meta_code is not None:
        meaning = (stop.hint if stop else "") or classify(meta_code).hint
        code = f"meta_{meta_code}"
    if stop and stop.reason.startswith(ALREADY_SENT):
        code = ALREADY_SENT
    return _Cause(
        _KINDS.get(exit_status, WacoexError),
        code,
        broadcast.status is Status.PAUSED,
        broadcast.status.value,
        stop.reason if stop else "nobody got it",
        meaning,
    )
