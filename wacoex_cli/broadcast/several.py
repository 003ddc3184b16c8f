"""Send several broadcasts in one command: check all, ask once, run them side by side."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.plan import PlanOrder
from wacoex_cli.broadcast.send import chosen
from wacoex_cli.broadcast.send_task import Approval, SendCheck, SendTask, failures, prepare
from wacoex_cli.broadcast.side_by_side import run_side_by_side
from wacoex_cli.channels.registry import active
from wacoex_cli.errors import (
    HeldElsewhereError,
    UsageError,
    WacoexError,
    counted,
)
from wacoex_cli.ledger.model import RowState, RunProgress, Status
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sending.run import NotBegun, Sent
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.progress import ProgressUpdate, RunPart, open_progress
from wacoex_cli.terminal.render import Result, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from wacoex_cli.broadcast.side_by_side import News, Outcome
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.ledger.model import Broadcast
    from wacoex_cli.sending.guards import SendOrder
    from wacoex_cli.terminal.options import Invocation
    from wacoex_cli.terminal.progress import Progress

_PARTIAL = 7
_ENDED_BY_SIGNAL = 128
# Where nobody got anything, the first of these says why.
_CAUSES = (8, 4, 5, 6, 2)
# Stands in a hint for the command that continues all broadcasts it concerns.
_RESUME_ALL = "resume {ids}"
_COLUMNS = (
    Column("id", 9, fit="keep"), Column("channel", 6, least=10), Column("status", 8, fit="keep"),
    Column("taken", 7, fit="keep"), Column("recipients", 7, fit="keep"),
    Column("failed", 5, fit="keep", may_drop=True),
    Column("ambiguous", 5, fit="keep", may_drop=True),
    Column("per second", 3, fit="keep", may_drop=True), Column("reason", 4, least=16, fit="wrap"),
)  # fmt: skip
# The worst first.
_ORDER = (Status.PAUSED, Status.SENDING, Status.CANCELLED, Status.PLANNED, Status.COMPLETED)


def send_several(
    invocation: Invocation, ids: Sequence[int], order: SendOrder, *, all_planned: bool = False
) -> Result:
    """Send these broadcasts, or all that are planned, side by side.

    One that another process sends is left out and named, and so is one that must not be sent;
    the others go on. `--expect` counts the people of all together.

    Raises:
        UsageError: there is no such broadcast, or none is planned.
        RefusedError: they are for another number of people than `--expect` says.
        DeclinedError: nobody said yes.
    """
    with invocation.open_workspace() as workspace:
        several = _SeveralBroadcasts(workspace, invocation, order)
        if all_planned:
            return several.send(_all_planned(workspace, invocation))
        broadcasts = [Broadcasts(workspace.state).get(number) for number in dict.fromkeys(ids)]
        return several.send(broadcasts)


def refuse_single_options(
    order: SendOrder,
    plan: PlanOrder | None = None,
    retry_failed: str | None = None,
    *,
    has_ids: bool = True,
    all_planned: bool = False,
) -> None:
    """Refuse options that go with one broadcast only.

    Raises:
        UsageError: such an option is given, or ids stand beside `--all-planned`.
    """
    if all_planned and has_ids:
        raise UsageError(
            "give ids or `--all-planned`, not both", hint="`--all-planned` needs no id"
        )
    is_dry = plan is not None and plan.dry_run
    is_new = plan is not None and replace(plan, dry_run=False) != PlanOrder()
    for is_given, names in (
        (is_new, "`--to`, `--template`, `--param`, `--name` and the other options of a plan are"),
        (retry_failed is not None, "`--retry-failed` is"),
        (is_dry, "`--dry-run` is"),
        (order.waits, "`--wait` is"),
    ):
        if is_given:
            raise UsageError(
                f"{names} for one broadcast",
                hint=f"leave {'them' if is_new else 'it'} out, or give one id",
                code="several_broadcasts",
            )


def _all_planned(workspace: Workspace, invocation: Invocation) -> list[Broadcast]:
    channel = active(workspace.state, invocation.channel) if invocation.channel else None
    every = Broadcasts(workspace.state).of_channel(
        channel.channel_id if channel else None, Status.PLANNED
    )
    planned = [each for each in every if each.test_of is None]
    if not planned:
        whose = f" of channel {channel.name}" if channel else ""
        raise UsageError(
            f"no broadcast{whose} is planned",
            hint="plan one: wacoex broadcast plan RECIPIENTS --template NAME --lang CODE",
            code="nothing_planned",
        )
    return planned[::-1]


class _BroadcastDialogue(TerminalDialogue):
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
    is_completed: bool

    @property
    def is_sent_elsewhere(self) -> bool:
        return isinstance(self.error, HeldElsewhereError)

    @property
    def named_error(self) -> WacoexError:
        """Its error, with the broadcast in it."""
        details = {**self.error.details, "broadcast_ids": [self.broadcast.broadcast_id]}
        return _copied_error(self.error, self.sentence(), details)

    def to_json(self) -> dict[str, Any]:
        """An entry of `left_out` in the JSON."""
        return {
            "broadcast_id": self.broadcast.broadcast_id,
            "channel": self.broadcast.channel,
            "code": self.error.code,
            "message": self.error.message,
            "hint": self.error.hint,
        }

    def sentence(self) -> str:
        """Which broadcast it is, and why it is left out."""
        return f"{_label(self.broadcast)} is left out: {self.error.message}"


def _copied_error(error: WacoexError, message: str, details: Mapping[str, object]) -> WacoexError:
    return type(error)(message, hint=error.hint, code=error.code, details=details)


def _errors_by_cause(failed: Iterable[tuple[Broadcast, WacoexError]]) -> Iterator[WacoexError]:
    """The errors of these broadcasts, which name them: the same error once for all."""
    alike: dict[tuple[str, str | None], list[tuple[Broadcast, WacoexError]]] = {}
    for broadcast, error in failed:
        hint = error.hint and error.hint.replace(f"resume {broadcast.broadcast_id}", _RESUME_ALL)
        alike.setdefault((error.message, hint), []).append((broadcast, error))
    for (_, hint), entries in alike.items():
        labels = ", ".join(_label(broadcast) for broadcast, _ in entries)
        error = entries[0][1]
        numbers = [broadcast.broadcast_id for broadcast, _ in entries]
        yield type(error)(
            f"{labels}: {error.message}",
            hint=hint and hint.replace(_RESUME_ALL, f"resume {' '.join(map(str, numbers))}"),
            code=error.code,
            details={**error.details, "broadcast_ids": numbers},
        )


class _SeveralBroadcasts:
    """The broadcasts of one command, from the checks to the end."""

    def __init__(self, workspace: Workspace, invocation: Invocation, order: SendOrder) -> None:
        self._workspace = workspace
        self._invocation = invocation
        self._order = order
        self._dialogue = TerminalDialogue(invocation)
        self._left_out: list[_LeftOut] = []

    def send(self, broadcasts: Sequence[Broadcast]) -> Result:
        """Send all that may be sent, and say how each ended; raises like `send_several`."""
        tasks = self._prepare(broadcasts)
        approval = Approval(
            self._workspace,
            self._order,
            self._dialogue,
            lambda task: _BroadcastDialogue(self._invocation, task.broadcast),
            self._leave_out,
        )
        checked = approval.get(tasks)
        return self._result(checked, self._run(checked) if checked else [])

    def _prepare(self, broadcasts: Sequence[Broadcast]) -> list[SendTask]:
        tasks = []
        for broadcast in broadcasts:
            dialogue = _BroadcastDialogue(self._invocation, broadcast)
            number = broadcast.broadcast_id
            try:
                _, channel = chosen(self._workspace, self._invocation, number)
                tasks.append(prepare(self._workspace, channel, broadcast, self._order, dialogue))
            except WacoexError as error:
                self._leave_out(broadcast, error)
        return tasks

    def _leave_out(self, broadcast: Broadcast, error: WacoexError) -> None:
        # People repeat the same `resume 7 8 9` after some of them have completed.
        is_completed = self._order.resume and broadcast.status is Status.COMPLETED
        left_out = _LeftOut(broadcast, error, is_completed)
        self._left_out.append(left_out)
        (self._dialogue.note if is_completed else self._dialogue.warn)(left_out.sentence())

    def _run(self, checked: Sequence[tuple[SendTask, SendCheck]]) -> list[Outcome]:
        workspace = self._workspace
        lines = [_BroadcastLine(task, found) for task, found in checked]
        people = sum(each.people for each in lines)
        title = counted(len(lines), "broadcast")
        with open_progress(
            self._invocation,
            title,
            people,
            done=sum(each.done for each in lines),
            clock=workspace.clock,
        ) as progress:
            view = _View(progress, lines, self._dialogue.warn)
            tasks = [task for task, _ in checked]
            return run_side_by_side(workspace, self._invocation, tasks, view.hear)

    def _result(
        self, checked: Sequence[tuple[SendTask, SendCheck]], outcomes: Sequence[Outcome]
    ) -> Result:
        summaries: list[dict[str, Any]] = []
        ended: list[Sent] = []
        failed: list[tuple[Broadcast, WacoexError]] = []
        for (task, found), outcome in zip(checked, outcomes, strict=True):
            if isinstance(outcome, NotBegun):
                error = _as_error(outcome.error)
                self._left_out.append(_LeftOut(task.broadcast, error, is_completed=False))
            elif isinstance(outcome, Sent):
                ended.append(outcome)
                summaries.append(task.summary(outcome, found))
            else:
                failed.append((task.broadcast, outcome))
                with contextlib.suppress(WacoexError):
                    summaries.append(self._summary_now(task.broadcast, outcome))
        left_out = [each for each in self._left_out if not each.is_completed]
        if ended or failed:
            # That another process sends one is no failure, unless there was nothing else to do.
            left_out = [each for each in left_out if not each.is_sent_elsewhere]
        wrong = [*_errors_by_cause(failed), *(each.named_error for each in left_out)]
        statuses = [*(sent.exit_status for sent in ended), *(each.exit_status for each in wrong)]
        totals = _totals(summaries)
        data = {
            "broadcasts": summaries,
            "left_out": [each.to_json() for each in self._left_out],
            "totals": totals,
        }
        text: list[str | Table] = [_table(summaries)] if summaries else []
        text += [each.sentence() for each in self._left_out]
        text.append(_total_sentence(totals) if checked else "nothing was sent")
        errors = (*failures(ended), *wrong)
        return Result(data, text, _exit_status(statuses, totals["counts"], totals["taken"]), errors)

    def _summary_now(self, broadcast: Broadcast, error: WacoexError) -> dict[str, Any]:
        """What the ledger knows of a broadcast whose sender failed."""
        state, number = self._workspace.state, broadcast.broadcast_id
        now = Broadcasts(state).get(number)
        data = report.summary(state, now, Rows(state, number).counts())
        return {**data, "stopped_by": error.message, "findings": []}


def _as_error(error: Exception) -> WacoexError:
    return error if isinstance(error, WacoexError) else WacoexError(str(error))


def _exit_status(statuses: Collection[int], counts: Mapping[str, int], taken: int) -> int:
    """The exit status of several: that of a signal, 0 when all is done, partial, or the cause."""
    if signals := [status for status in statuses if status > _ENDED_BY_SIGNAL]:
        return signals[0]
    wrong = [status for status in statuses if status]
    if not wrong:
        return 0
    if taken or counts.get(RowState.AMBIGUOUS) or _PARTIAL in wrong:
        return _PARTIAL
    return next((status for status in _CAUSES if status in wrong), wrong[0])


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


def _failed(data: Mapping[str, Any]) -> int:
    return int(data["counts"][RowState.FAILED] + data["counts"][RowState.REJECTED])


def _table(summaries: Sequence[dict[str, Any]]) -> Table:
    """A row for each broadcast, the worst first."""
    worst_first = sorted(
        summaries,
        key=lambda data: (_ORDER.index(Status(data["status"])), -_failed(data)),
    )
    rows = [
        (
            data["broadcast_id"],
            data["channel"],
            data["status"],
            data["taken"],
            data["recipients"],
            _failed(data),
            data["counts"][RowState.AMBIGUOUS],
            data["rate"]["achieved"],
            data["reason"],
        )
        for data in worst_first
    ]
    return Table(_COLUMNS, rows)


class _BroadcastLine:
    """How one of several broadcasts stands."""

    def __init__(self, task: SendTask, found: SendCheck) -> None:
        self.broadcast = task.broadcast
        self.label = _label(task.broadcast)
        self.people = task.broadcast.recipients - found.left_out
        self.done = self.people - found.people
        self.now = 0
        self.is_well = True
        self.status = Status.SENDING
        self.reason: str | None = None
        self.shown: dict[str, Any] = {}
        self.part = RunPart(f"{self.label}: {self.done} of {self.people}")

    def saw(self, shot: RunProgress) -> None:
        """Follow what its engine says."""
        self.done = self.people - shot.counts.open
        self.now = shot.last_second if shot.counts.open else 0
        wrong = sum(entry.n for entry in shot.codes)
        self.is_well = not wrong
        self.shown = report.to_json(shot)
        line = f"{self.label}: {self.done} of {self.people}, {report.line(shot)}"
        self.part = RunPart(line, (1, -wrong, not shot.counts.open, -(shot.seconds_left or 0.0)))

    def ended(self, outcome: Outcome) -> None:
        """Follow how it ended."""
        self.now = 0
        if isinstance(outcome, Sent):
            self.status = outcome.broadcast.status
            self.reason = outcome.stop.reason if outcome.stop else None
        else:
            error = outcome.error if isinstance(outcome, NotBegun) else outcome
            self.status, self.reason = Status.PAUSED, _as_error(error).message
        if self.reason is None:
            return
        self.is_well = False
        kind = "left out" if isinstance(outcome, NotBegun) else self.status.value
        self.part = RunPart(f"{self.label}: {self.done} of {self.people}, {kind}: {self.reason}")


class _View:
    """A line for each of several broadcasts, the worst first, and the totals below.

    What stops one is said at once: the others may go on for hours.
    """

    def __init__(
        self,
        progress: Progress,
        lines: Sequence[_BroadcastLine],
        warn: Callable[[str], None],
    ) -> None:
        self._progress = progress
        self._lines = lines
        self._warn = warn

    def hear(self, place: int, news: News) -> None:
        """Show how one of them stands now."""
        line = self._lines[place]
        if isinstance(news, RunProgress):
            line.saw(news)
        else:
            line.ended(news)
            is_signal = isinstance(news, Sent) and news.signal_number
            if line.reason and not is_signal:
                self._warn(line.part.line)
        data = {
            **line.shown,
            "broadcast_id": line.broadcast.broadcast_id,
            "channel": line.broadcast.channel,
            "of": f"broadcast {line.broadcast.broadcast_id}",
            "done": line.done,
            "total": line.people,
            "status": line.status.value,
            "reason": line.reason,
        }
        update = ProgressUpdate(
            sum(each.done for each in self._lines),
            f"{sum(each.now for each in self._lines)}/s now",
            data,
            is_well=all(each.is_well for each in self._lines),
            parts=[each.part for each in self._lines],
        )
        self._progress.update(update)
