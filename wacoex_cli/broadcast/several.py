"""Send several broadcasts in one command: check all, ask once, run them side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.plan import PlanOrder
from wacoex_cli.broadcast.send import chosen
from wacoex_cli.broadcast.send_task import SendCheck, SendTask, failures, prepare
from wacoex_cli.broadcast.side_by_side import run_side_by_side
from wacoex_cli.contacts.stops import follow
from wacoex_cli.errors import DeclinedError, RefusedError, UsageError, WacoexError, counted
from wacoex_cli.foundation.clock import local_text
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.guards import wait_until
from wacoex_cli.sending.process import Sent
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.progress import RunPart, open_progress
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime

    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.ledger.model import Broadcast, RunProgress
    from wacoex_cli.sending.guards import SendOrder
    from wacoex_cli.terminal.options import Invocation
    from wacoex_cli.terminal.progress import Progress

_LOCKED = "locked"
_PARTIAL = 7
_ENDED_BY_SIGNAL = 128


def send_several(
    invocation: Invocation, ids: Sequence[int], order: SendOrder, *, all_planned: bool = False
) -> Result:
    """Send these broadcasts, or all that are planned, side by side in this process.

    One that another process sends is left out and named, and so is one that must not be sent;
    the others go on. `--expect` counts the people of all together.

    Raises:
        UsageError: there is no such broadcast, or none is planned.
        WacoexError: none could be sent.
    """
    with invocation.open_workspace() as workspace:
        pairs = _all_planned(workspace, invocation) if all_planned else []
        pairs = pairs or [chosen(workspace, invocation, number) for number in dict.fromkeys(ids)]
        return _SeveralBroadcasts(workspace, invocation, order).send(pairs)


def demand_plain(
    order: SendOrder,
    plan: PlanOrder | None = None,
    retry_failed: str | None = None,
    *,
    has_ids: bool = True,
    all_planned: bool = False,
) -> None:
    """Refuse options that mean one broadcast.

    Raises:
        UsageError: there is one, or ids stand beside `--all-planned`.
    """
    if all_planned and has_ids:
        raise UsageError(
            "give ids or `--all-planned`, not both", hint="`--all-planned` needs no id"
        )
    is_dry = plan is not None and plan.dry_run
    is_new = plan is not None and replace(plan, dry_run=False) != PlanOrder()
    for name, is_given in (
        ("--to, a template, its values and --name", is_new),
        ("--retry-failed", retry_failed is not None),
        ("--dry-run", is_dry),
        ("--wait", order.waits),
    ):
        if is_given:
            raise UsageError(
                f"several broadcasts cannot be sent with {name}",
                hint="give one id, or leave it out",
                code="several_broadcasts",
            )


def _all_planned(workspace: Workspace, invocation: Invocation) -> list[tuple[Broadcast, Channel]]:
    store = Broadcasts(workspace.state)
    planned = [each for each in store.of_channel(None, Status.PLANNED) if each.test_of is None]
    if invocation.channel is not None:
        planned = [each for each in planned if each.channel == invocation.channel]
    if not planned:
        whose = f" of channel {invocation.channel}" if invocation.channel else ""
        raise UsageError(
            f"no broadcast{whose} is planned",
            hint="plan one: wacoex broadcast plan RECIPIENTS --template NAME --lang CODE",
            code="nothing_planned",
        )
    anywhere = replace(invocation, channel=None)
    return [chosen(workspace, anywhere, each.broadcast_id) for each in reversed(planned)]


class _OfBroadcast(TerminalDialogue):
    """Says of which broadcast it speaks."""

    def __init__(self, invocation: Invocation, broadcast: Broadcast) -> None:
        super().__init__(invocation)
        self._label = _label(broadcast)

    def note(self, text: str) -> None:
        super().note(f"{self._label}: {text}")

    def warn(self, text: str) -> None:
        super().warn(f"{self._label}: {text}")


def _label(broadcast: Broadcast) -> str:
    return f"broadcast {broadcast.broadcast_id} ({broadcast.channel})"


@dataclass(frozen=True)
class _LeftOut:
    """A broadcast that this command does not send, and why."""

    broadcast: Broadcast
    error: WacoexError

    @property
    def is_sent_elsewhere(self) -> bool:
        return self.error.code == _LOCKED

    def to_json(self) -> dict[str, Any]:
        return {
            "broadcast_id": self.broadcast.broadcast_id,
            "channel": self.broadcast.channel,
            "code": self.error.code,
            "message": self.error.message,
            "hint": self.error.hint,
        }

    def sentence(self) -> str:
        return f"left out: {_label(self.broadcast)}: {self.error.message}"


class _SeveralBroadcasts:
    """The broadcasts of one command, from the checks to the end."""

    def __init__(self, workspace: Workspace, invocation: Invocation, order: SendOrder) -> None:
        self._workspace = workspace
        self._invocation = invocation
        self._order = order
        self._dialogue = TerminalDialogue(invocation)
        self._left_out: list[_LeftOut] = []

    def send(self, pairs: Sequence[tuple[Broadcast, Channel]]) -> Result:
        follow(self._workspace.state, self._workspace.settings.consent, self._workspace.clock.now())
        checked = self._check(self._prepare(pairs))
        self._demand_some(checked)
        self._ask(checked)
        if moment := self._beginning(checked):
            checked = self._check_again(checked, moment)
            self._demand_some(checked)
        for task, found in checked:
            task.follow(found)
        return self._result(checked, self._run(checked))

    def _prepare(self, pairs: Sequence[tuple[Broadcast, Channel]]) -> list[SendTask]:
        # The sum of all is compared, not each of them.
        order, tasks = replace(self._order, expect=None), []
        for broadcast, channel in pairs:
            dialogue = _OfBroadcast(self._invocation, broadcast)
            try:
                tasks.append(prepare(self._workspace, channel, broadcast, order, dialogue))
            except WacoexError as error:
                self._leave_out(broadcast, error)
        return tasks

    def _check(self, tasks: Sequence[SendTask]) -> list[tuple[SendTask, SendCheck]]:
        async def look() -> list[SendCheck | BaseException]:
            return await asyncio.gather(*(task.look() for task in tasks), return_exceptions=True)

        checked = []
        for task, found in zip(tasks, self._workspace.run(look()), strict=True):
            if isinstance(found, WacoexError):
                self._leave_out(task.broadcast, found)
            elif isinstance(found, BaseException):
                raise found
            else:
                checked.append((task, found))
        return checked

    def _leave_out(self, broadcast: Broadcast, error: WacoexError) -> None:
        self._left_out.append(_LeftOut(broadcast, error))
        self._dialogue.warn(self._left_out[-1].sentence())

    def _demand_some(self, checked: Collection[object]) -> None:
        """Raise why nothing is sent, when none of them can be."""
        if checked:
            return
        first = next((each for each in self._left_out if not each.is_sent_elsewhere), None)
        error = (first or self._left_out[0]).error
        error.details["left_out"] = [each.to_json() for each in self._left_out]
        raise error

    def _ask(self, checked: Sequence[tuple[SendTask, SendCheck]]) -> None:
        people = sum(found.people for _, found in checked)
        if self._order.expect not in (None, people):
            raise RefusedError(
                f"nothing was sent: they are for {counted(people, 'person')} together,"
                f" not {self._order.expect}",
                hint="look at them: wacoex broadcast list",
                code="unexpected_count",
            )
        for task, found in checked:
            dialogue = _OfBroadcast(self._invocation, task.broadcast)
            task.tell(found, dialogue)
            dialogue.note(task.sentence(found))
        question = f"send {counted(len(checked), 'broadcast')} to {counted(people, 'person')}?"
        if not self._order.yes and not self._dialogue.confirm(question, flag="--yes"):
            raise DeclinedError("nothing was sent", hint="the broadcasts stay as they are")

    def _beginning(self, checked: Iterable[tuple[SendTask, SendCheck]]) -> datetime | None:
        """When they are to begin, by `--not-before`.

        Raises:
            UsageError: that is another moment for each, by the zones of their channels.
        """
        moments = {task.not_before for task, _ in checked}
        if len(moments) > 1:
            raise UsageError(
                "`--not-before` is another moment for each of these channels: they lie in"
                " different time zones",
                hint="write a `Z` at the end for UTC, or send them one by one",
                code="bad_time",
            )
        return moments.pop()

    def _check_again(
        self, checked: Sequence[tuple[SendTask, SendCheck]], moment: datetime
    ) -> list[tuple[SendTask, SendCheck]]:
        first = checked[0][0]
        shown = local_text(moment, first.order.zone)
        self._dialogue.note(f"waiting until {shown}; Ctrl-C leaves them as they are")
        waiting = [wait_until(self._workspace, task.broadcast, moment) for task, _ in checked]

        async def wait() -> None:
            await asyncio.gather(*waiting)

        self._workspace.run(wait())
        before = {task.broadcast.broadcast_id: found for task, found in checked}
        again = self._check([task for task, _ in checked])
        for task, found in again:
            news = found.news_since(before[task.broadcast.broadcast_id])
            for line in report.findings_text(news):
                _OfBroadcast(self._invocation, task.broadcast).note(line)
        return again

    def _run(self, checked: Sequence[tuple[SendTask, SendCheck]]) -> list[Sent | BaseException]:
        workspace = self._workspace
        standings = [_BroadcastLine(task, found) for task, found in checked]
        people = sum(each.people for each in standings)
        title = counted(len(standings), "broadcast")
        with open_progress(
            self._invocation,
            title,
            people,
            done=sum(each.done for each in standings),
            clock=workspace.clock,
        ) as progress:
            view = _View(progress, standings)
            tasks = [task for task, _ in checked]
            return run_side_by_side(workspace, self._invocation, tasks, view.hear)

    def _result(
        self, checked: Sequence[tuple[SendTask, SendCheck]], ended: Sequence[Sent | BaseException]
    ) -> Result:
        summaries: list[dict[str, Any]] = []
        errors: list[WacoexError] = []
        statuses: list[int] = []
        for (task, found), outcome in zip(checked, ended, strict=True):
            if isinstance(outcome, Sent):
                summaries.append(task.summary(outcome, found))
                errors += failures(outcome)
                statuses.append(outcome.exit_status)
            elif isinstance(outcome, WacoexError):
                self._leave_out(task.broadcast, outcome)
            else:
                raise outcome
        if not summaries:
            self._demand_some(summaries)
        for each in self._left_out:
            if not each.is_sent_elsewhere:
                errors.append(each.error)
                statuses.append(each.error.exit_status)
        totals = _totals(summaries)
        data = {
            "broadcasts": summaries,
            "left_out": [each.to_json() for each in self._left_out],
            "totals": totals,
        }
        text = [*_sentences(summaries), *(each.sentence() for each in self._left_out)]
        return Result(data, (*text, _total_sentence(totals)), _together(statuses), errors)


def _together(statuses: Collection[int]) -> int:
    """The exit status of several: that of a signal, the same of all, or `partial`."""
    if signals := [status for status in statuses if status > _ENDED_BY_SIGNAL]:
        return signals[0]
    kinds = set(statuses)
    return kinds.pop() if len(kinds) == 1 else _PARTIAL


def _totals(summaries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for data in summaries:
        for name, n in data["counts"].items():
            counts[name] = counts.get(name, 0) + n
    statuses = [data["status"] for data in summaries]
    return {
        "broadcasts": len(summaries),
        "by_status": {status: statuses.count(status) for status in sorted(set(statuses))},
        "recipients": sum(data["recipients"] for data in summaries),
        "taken": sum(data["taken"] for data in summaries),
        "counts": counts,
    }


def _total_sentence(totals: dict[str, Any]) -> str:
    statuses = ", ".join(f"{n} {status}" for status, n in totals["by_status"].items())
    people = counted(totals["recipients"], "recipient")
    return (
        f"{counted(totals['broadcasts'], 'broadcast')} ({statuses}):"
        f" {totals['taken']:,} of {people} taken"
    )


def _sentences(summaries: Iterable[dict[str, Any]]) -> Iterator[str]:
    for data in summaries:
        yield from report.sentences(data)


class _BroadcastLine:
    """How one of several broadcasts stands."""

    def __init__(self, task: SendTask, found: SendCheck) -> None:
        self.number = task.broadcast.broadcast_id
        self.channel = task.channel.name
        self.label = _label(task.broadcast)
        self.people = task.broadcast.recipients - found.left_out
        self.done = self.people - found.people
        self.now = 0
        self.part = RunPart(f"{self.label}: {self.done} of {self.people}")

    def saw(self, shot: RunProgress) -> None:
        """Follow what its engine says."""
        self.done = self.people - shot.counts.open
        self.now = shot.last_second if shot.counts.open else 0
        wrong = sum(entry.n for entry in shot.codes)
        line = f"{self.label}: {self.done} of {self.people}, {report.line(shot)}"
        self.part = RunPart(line, (-wrong, not shot.counts.open, -(shot.seconds_left or 0.0)))


class _View:
    """A line for each of several broadcasts, the worst first, and the totals below."""

    def __init__(self, progress: Progress, standings: Sequence[_BroadcastLine]) -> None:
        self._progress = progress
        self._standings = standings

    def hear(self, place: int, shot: RunProgress) -> None:
        """Show how one of them stands now."""
        standing = self._standings[place]
        standing.saw(shot)
        data = {
            **report.to_json(shot),
            "broadcast_id": standing.number,
            "channel": standing.channel,
            "of": f"broadcast {standing.number}",
            "done": standing.done,
            "total": standing.people,
        }
        self._progress.update(
            sum(each.done for each in self._standings),
            f"{sum(each.now for each in self._standings)}/s now",
            data,
            is_well=all(each.part.rank[:1] >= (0,) for each in self._standings),
            parts=[each.part for each in self._standings],
        )
