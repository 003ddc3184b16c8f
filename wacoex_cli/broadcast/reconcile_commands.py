"""`wacoex broadcast reconcile`."""

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.manage_commands import IdArgument, app, shown
from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.terminal.options import Invocation, YesOption, command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.reconcile import Decision, Reconciled
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

_MOST_SHOWN = 1_000


@command(
    app,
    "reconcile",
    path=("broadcast", "reconcile"),
    examples=(
        "wacoex broadcast reconcile 7",
        "wacoex broadcast reconcile 7 --as sent --row 12 --row 80",
        "wacoex broadcast reconcile 7 --resend --expect 3",
    ),
)
def reconcile(
    invocation: Invocation,
    broadcast_id: IdArgument,
    decision: Annotated[
        str | None,
        typer.Option("--as", metavar="WORD", help="What they are, as you know: sent or not-sent."),
    ] = None,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="Ask, then send again what is not known to have gone out."),
    ] = False,
    row: Annotated[
        list[int] | None, typer.Option("--row", metavar="ROW", help="Only this row; repeatable.")
    ] = None,
    expect: Annotated[
        int | None,
        typer.Option("--expect", metavar="N", help="The number of rows, instead of typing it."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask neither Meta nor respond.io.")
    ] = False,
    yes: YesOption = False,
) -> "Result":
    """Find out which rows of unknown fate went out, and settle the others.

    Stored statuses are looked at, then the API that sent is asked. What is proven to have gone
    out is moved on; the rest stays until you settle it: `--as sent` (the person has the message),
    `--as not-sent` (they have not, and it is not sent again), or `--resend`, which needs the
    number of rows typed.
    """
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.store import Broadcasts

    _check_one_way(decision, resend=resend)
    with invocation.open_workspace() as workspace:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        wanted = row or []
        if decision is not None:
            bring_up_to_date(workspace.state, workspace.clock)
            return _settled(
                workspace, invocation, broadcast, wanted, _decision(decision), expect, yes
            )
        if resend:
            return _sent_again(workspace, invocation, broadcast, wanted, expect, offline)
        found = _find_out(workspace, invocation, broadcast, wanted, offline)
        return _listed(workspace, broadcast, found)


def _check_one_way(word: str | None, *, resend: bool) -> None:
    if word is not None and resend:
        raise UsageError(
            "give `--as` or `--resend`, not both",
            hint="`--resend` sends again, `--as` only records what you know",
            code="bad_decision",
        )


def _decision(word: str) -> "Decision":
    from wacoex_cli.broadcast.reconcile import Decision

    for decision in (Decision.SENT, Decision.NOT_SENT):
        if word == decision:
            return decision
    hint = "look at the person's chat on the phone, then choose one of them"
    if word == Decision.RESEND:
        hint = "to send rows again: `--resend`"
    raise UsageError(f"`--as {word}` is neither sent nor not-sent", hint=hint, code="bad_decision")


def _settled(
    workspace: "Workspace",
    invocation: Invocation,
    broadcast: "Broadcast",
    wanted: list[int],
    decision: "Decision",
    expect: int | None,
    yes: bool,
) -> "Result":
    from wacoex_cli.broadcast import reconcile as operation
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    rows = operation.choose_rows(workspace.state, broadcast.broadcast_id, wanted)
    if rows and expect is not None:
        _check_number(broadcast, len(rows), str(expect))
    elif rows and not yes:
        question = f"record {len(rows)} rows as {decision.value}?"
        if not TerminalDialogue(invocation).confirm(question, flag="--yes"):
            raise DeclinedError("nothing changed")
    return _decided(workspace, broadcast, rows, decision, {})


def _sent_again(
    workspace: "Workspace",
    invocation: Invocation,
    broadcast: "Broadcast",
    wanted: list[int],
    expect: int | None,
    offline: bool,
) -> "Result":
    """Ask first: who has the message by then is no longer among those it is sent to again."""
    from wacoex_cli.broadcast.reconcile import Decision, check_can_decide, choose_rows
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    dialogue = TerminalDialogue(invocation)
    check_can_decide(workspace.state, broadcast, Decision.RESEND, workspace.clock)
    if expect is None and choose_rows(workspace.state, broadcast.broadcast_id, wanted):
        dialogue.demand_person("--expect N")
    found = _find_out(workspace, invocation, broadcast, wanted, offline)
    rows = [one.doubt.row for one in found.left]
    if rows:
        for line in _findings(workspace, found):
            dialogue.note(line)
        typed = str(expect) if expect is not None else _typed(dialogue, found)
        _check_number(broadcast, len(rows), typed)
    more = found.to_json(_MOST_SHOWN)
    return _decided(workspace, broadcast, rows, Decision.RESEND, more)


def _typed(dialogue: "TerminalDialogue", found: "Reconciled") -> str:
    from wacoex_cli.broadcast.reconcile import Fate

    left, unknown = len(found.left), len(found.of(Fate.UNKNOWN))
    doubt = f"{unknown} people may get the message twice; " if unknown else ""
    return dialogue.ask(f"{doubt}type {left} to send it again", flag="--expect N")


def _check_number(broadcast: "Broadcast", rows: int, typed: str) -> None:
    if typed != str(rows):
        raise DeclinedError(
            f"nothing changed: {rows} rows are meant, not {typed}",
            hint=f"look at them first: wacoex broadcast reconcile {broadcast.broadcast_id}",
        )


def _decided(
    workspace: "Workspace",
    broadcast: "Broadcast",
    rows: list[int],
    decision: "Decision",
    more: dict[str, object],
) -> "Result":
    from wacoex_cli.broadcast.reconcile import decide
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.foundation.person import login_name

    state, number = workspace.state, broadcast.broadcast_id
    settled = decide(state, broadcast, rows, decision, login_name(), workspace.clock)
    now = Broadcasts(state).get(number)
    return shown(workspace, now, settled=settled, decision=decision.value, **more)


def _find_out(
    workspace: "Workspace",
    invocation: Invocation,
    broadcast: "Broadcast",
    wanted: list[int],
    offline: bool,
) -> "Reconciled":
    from wacoex_cli.broadcast.reconcile import choose_rows, find_out
    from wacoex_cli.channels.registry import known
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    rows = choose_rows(workspace.state, broadcast.broadcast_id, wanted)
    channel = known(workspace.state, broadcast.channel)
    with _asking(workspace, invocation, broadcast, 0 if offline else len(rows)) as show:
        found = find_out(workspace, channel, broadcast, rows, offline=offline, on_progress=show)
    for asked in found.asked.values():
        if asked.available is False:
            TerminalDialogue(invocation).warn(f"not asked: {asked.why_not}")
    return found


@contextlib.contextmanager
def _asking(
    workspace: "Workspace", invocation: Invocation, broadcast: "Broadcast", people: int
) -> "Iterator[Callable[[int], None]]":
    """Progress, where people are asked about one by one: Meta has one list for all."""
    from wacoex_cli.channels.model import Provider
    from wacoex_cli.terminal.progress import open_progress

    if not people or broadcast.provider is not Provider.RESPONDIO:
        yield lambda done: None
        return
    title = "people asked about"
    with open_progress(invocation, title, people, clock=workspace.clock) as progress:
        yield lambda done: progress.update(done, "", {})


def _listed(workspace: "Workspace", broadcast: "Broadcast", found: "Reconciled") -> "Result":
    from wacoex_cli.terminal.render import Result, Table

    number = broadcast.broadcast_id
    data = {"broadcast_id": number, **found.to_json(_MOST_SHOWN)}
    findings = tuple(_findings(workspace, found))
    if not found.rows:
        nothing = f"broadcast {number} has no row that waits for a decision"
        return Result(data, (*findings, nothing))
    table = Table(
        ("row", "line", "phone", "tried", "happened", "verdict", "why"),
        [
            (
                one.doubt.row,
                one.doubt.line,
                one.doubt.phone,
                one.doubt.claimed_at,
                one.doubt.happened,
                one.judgement.fate.value.replace("_", " "),
                one.judgement.why,
            )
            for one in found.rows[:_MOST_SHOWN]
        ],
    )
    return Result(data, (table, *findings, *_next_steps(workspace, number, found)))


def _findings(workspace: "Workspace", found: "Reconciled") -> list[str]:
    """How many rows went out, did not, or are unknown: one sentence each."""
    from wacoex_cli.broadcast.reconcile import SETTLES_AFTER, Fate

    counted = (
        (found.by_webhooks, "settled by statuses that had come in"),
        (len(found.of(Fate.WENT_OUT)), "went out, and moved on"),
        (len(found.of(Fate.DID_NOT)), "did not go out, as far as the list tells; not sent again"),
        (len(found.of(Fate.UNKNOWN)), "still unknown"),
    )
    lines = [f"{number} {text}" for number, text in counted if number]
    early = found.too_early(workspace.clock.now())
    if early:
        minutes = SETTLES_AFTER.seconds // 60
        lines.append(f"{early} tried less than {minutes} minutes ago: a status may still come")
    return lines


def _next_steps(workspace: "Workspace", number: int, found: "Reconciled") -> list[str]:
    from wacoex_cli.broadcast.model import Status
    from wacoex_cli.broadcast.store import Broadcasts

    steps = []
    if found.left:
        steps = [
            "look at the chats of those left on the phone, then settle them:",
            f"  wacoex broadcast reconcile {number} --as sent --row ROW",
            f"  wacoex broadcast reconcile {number} --as not-sent --row ROW",
            f"to send again what is not known to have gone out:"
            f" wacoex broadcast reconcile {number} --resend",
        ]
    if Broadcasts(workspace.state).get(number).status is Status.PAUSED:
        steps.append(f"to continue: wacoex broadcast resume {number}")
    return steps
