"""`wacoex broadcast`: plan, send and settle broadcasts."""

import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    ProgressOption,
    YesOption,
    command,
    completing,
    group,
)
from wacoex_cli.terminal.render import Result, Table, write

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.broadcast.reconcile import Decision, Reconciled
    from wacoex_cli.foundation.workspace import Workspace

app = group("broadcast", "Plan a broadcast, send it at a safe pace, know what became of every row.")

RecipientsArgument = Annotated[
    str, typer.Argument(metavar="RECIPIENTS", help="CSV, TSV, NDJSON or XLSX file; - is stdin.")
]
TemplateOption = Annotated[
    str | None, typer.Option("--template", metavar="NAME", help="Name of the template.")
]
LanguageOption = Annotated[
    str | None, typer.Option("--lang", metavar="CODE", help="Its language, such as en_US.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="PLACEHOLDER=COLUMN",
        help="Fill a placeholder from a column: 1=first_name, header.1=city, button.0=code.",
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="PLACEHOLDER=VALUE", help="The same text for everybody."),
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="A name to know it by.")
]
CountryOption = Annotated[
    str | None,
    typer.Option(
        "--country", metavar="CODE", help="Country of numbers written without +, such as SG."
    ),
]
PhoneColumnOption = Annotated[
    str | None,
    typer.Option(
        "--phone-column", metavar="NAME", help="The column with the numbers, if not recognised."
    ),
]
ExcludeOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--exclude", metavar="FILE", help="Send to nobody in this list. May be given again."
    ),
]
CreateContactsOption = Annotated[
    bool,
    typer.Option(
        "--create-contacts",
        help="respond.io: make a contact of everybody who is none; each may count as a MAC.",
    ),
]
PreviewOption = Annotated[
    int,
    typer.Option(
        "--preview",
        metavar="N",
        min=1,
        max=100,
        help="Show the first N people's messages as they will read them.",
    ),
]
TestOption = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="PHONE",
        help="Send the first message to this number, yours, and wait for its status.",
    ),
]


@command(
    app,
    "plan",
    "wacoex broadcast plan customers.csv --template spring_offer --lang en_US \\",
    "  --param 1=first_name --param 2=city",
    "wacoex broadcast plan customers.csv --template spring_offer --lang en_US \\",
    "  --param 1=first_name --param 2=city --preview 3 --test +6591234567",
    "wacoex broadcast plan clients.csv --country BR --phone-column Contato \\",
    "  --exclude bought_already.csv --template opening_hours --lang pt_BR",
)
def plan(
    invocation: Invocation,
    recipients: RecipientsArgument,
    template: TemplateOption = None,
    lang: LanguageOption = None,
    param: ParamOption = None,
    text: TextOption = None,
    name: NameOption = None,
    country: CountryOption = None,
    phone_column: PhoneColumnOption = None,
    exclude: ExcludeOption = None,
    create_contacts: CreateContactsOption = False,
    preview: PreviewOption = 1,
    test: TestOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Check a list of recipients against a template and freeze it. Nobody on it is sent to.

    With --test one message goes to the number given, after a yes: a broadcast of its own, with
    what the first row has. It waits up to a minute for its status, which a listener must receive.
    """
    from wacoex_cli.broadcast.plan import PlanOrder, first_reading, plan_broadcast, show_plan
    from wacoex_cli.broadcast.providers import means_of
    from wacoex_cli.broadcast.send import check_wanted, try_out
    from wacoex_cli.channels.registry import choose_channel

    order = PlanOrder(
        None,
        template or "",
        lang or "",
        param or (),
        text or (),
        name,
        country,
        phone_column,
        exclude or (),
        create_contacts,
        dry_run=dry_run,
        first_rows=preview,
    )
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        phone = None
        if test is not None:
            phone = check_wanted(
                workspace.state, invocation, test, country, may_ask=not yes, dry_run=dry_run
            )
        means = means_of(workspace, channel)
        planned = plan_broadcast(workspace, channel, recipients, order, means)
        if phone is None:
            return show_plan(planned)
        trial = try_out(
            workspace, invocation, channel, planned, phone, first_reading(planned), yes=yes
        )
        return show_plan(planned, trial)


CanaryOption = Annotated[
    int | None,
    typer.Option(
        "--canary",
        metavar="N",
        help="Send to N people first, and to the rest only when that went well; 0: no more.",
    ),
]
CanaryWaitOption = Annotated[
    str | None,
    typer.Option(
        "--canary-wait", metavar="TIME", help="Wait so long for their statuses; 10m if left out."
    ),
]
CanaryLimitOption = Annotated[
    str | None,
    typer.Option(
        "--canary-limit", metavar="SHARE", help="Fewer than this may fail; 10% if left out."
    ),
]
QuietHoursOption = Annotated[
    str | None,
    typer.Option(
        "--quiet-hours",
        metavar="FROM-TO",
        help="Hold a message back while it is so late where its number is from:"
        " 21:00-08:00; or none.",
    ),
]
NotBeforeOption = Annotated[
    str | None,
    typer.Option(
        "--not-before",
        metavar="TIME",
        help="Wait until then (21:00, or a date and time, in the channel's zone); check again.",
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Pause then; times as for --not-before."),
]


_LOWEST_RATE, _HIGHEST_RATE = 1.0, 20.0

ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="RECIPIENTS", help="Plan from this file and send in one go."),
]
RateOption = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Messages per second, 1 to 20.")
]
ExpectOption = Annotated[
    int | None,
    typer.Option("--expect", metavar="N", help="Refuse unless exactly N people would be sent to."),
]
OverruleOption = Annotated[
    list[str] | None,
    typer.Option("--overrule", metavar="ID", help="Send although this check is critical."),
]
RetryOption = Annotated[
    str | None,
    typer.Option(
        "--retry-failed",
        metavar="CLASS",
        help="Send the failed rows of ID again, in a broadcast of their own:"
        " failed, rejected, all, a code of Meta, or retry, row, stop.",
    ),
]
_ID = typer.Argument(
    metavar="ID", help="The broadcast's number.", autocompletion=completing("broadcast")
)
IdArgument = Annotated[int, _ID]
OptionalIdArgument = Annotated[int | None, _ID]


@command(
    app,
    "send",
    "wacoex broadcast send 7 --rate 20 --expect 1200 --yes",
    "wacoex broadcast send 7 --canary 10 --quiet-hours 21:00-08:00",
    "wacoex broadcast send 7 --retry-failed 131026",
    "wacoex broadcast send --to customers.csv --template spring_offer --lang en_US \\",
    "  --param 1=first_name --param 2=city --rate 10",
)
def send(
    invocation: Invocation,
    broadcast_id: OptionalIdArgument = None,
    to: ToOption = None,
    template: TemplateOption = None,
    lang: LanguageOption = None,
    param: ParamOption = None,
    text: TextOption = None,
    name: NameOption = None,
    country: CountryOption = None,
    phone_column: PhoneColumnOption = None,
    exclude: ExcludeOption = None,
    create_contacts: CreateContactsOption = False,
    retry_failed: RetryOption = None,
    rate: RateOption = None,
    expect: ExpectOption = None,
    overrule: OverruleOption = None,
    canary: CanaryOption = None,
    canary_wait: CanaryWaitOption = None,
    canary_limit: CanaryLimitOption = None,
    quiet_hours: QuietHoursOption = None,
    not_before: NotBeforeOption = None,
    until: UntilOption = None,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Send a planned broadcast, or plan and send in one go with --to.

    Without an id the one planned broadcast of the channel is sent. Ctrl-C once lets requests
    under way end and prints how to continue; twice stops at once. A canary and quiet hours stay
    with the broadcast: `resume` minds them too.
    """
    _check_rate(rate)
    _check_progress(invocation, progress)
    from dataclasses import replace

    from wacoex_cli.broadcast.guards import SendOrder, wishes
    from wacoex_cli.broadcast.plan import PlanOrder, check_retry, plan_again, plan_broadcast
    from wacoex_cli.broadcast.send import check_wishes, chosen, send_broadcast, show_requests
    from wacoex_cli.channels.registry import choose_channel

    minded = wishes(canary, canary_wait, canary_limit, quiet_hours, not_before, until)
    asked = SendOrder(rate, expect, _known_findings(overrule), yes, wishes=minded)
    options = PlanOrder(
        None,
        template or "",
        lang or "",
        param or (),
        text or (),
        name,
        country,
        phone_column,
        exclude or (),
        create_contacts,
    )
    with invocation.open_workspace() as workspace:
        if retry_failed is not None:
            options.refuse_all()
            check_retry(invocation, broadcast_id, to, may_ask=not (yes or dry_run))
            source, channel = chosen(workspace, invocation, broadcast_id)
            check_wishes(workspace, channel, minded)
            retry = plan_again(
                workspace, invocation, channel, source, retry_failed, dry_run=dry_run
            )
            broadcast, rows = retry.broadcast, retry.first_rows
        elif to is None:
            options.refuse_all()
            broadcast, channel = chosen(workspace, invocation, broadcast_id)
            rows = None
        else:
            _check_one_go(invocation, broadcast_id, may_ask=not (yes or dry_run))
            channel = choose_channel(workspace, invocation)
            check_wishes(workspace, channel, minded)
            planned = plan_broadcast(workspace, channel, to, replace(options, dry_run=dry_run))
            broadcast, rows = planned.broadcast, planned.first_rows
        if dry_run:
            return show_requests(workspace, channel, broadcast, rows)
        return send_broadcast(workspace, invocation, channel, broadcast, asked)


@command(
    app,
    "resume",
    "wacoex broadcast resume 7",
    "wacoex broadcast resume 7 --rate 5 --yes",
    'wacoex broadcast resume 7 --not-before "2026-12-01 09:00" --until "2026-12-01 20:00"',
)
def resume(
    invocation: Invocation,
    broadcast_id: IdArgument,
    rate: RateOption = None,
    expect: ExpectOption = None,
    overrule: OverruleOption = None,
    canary: CanaryOption = None,
    canary_wait: CanaryWaitOption = None,
    canary_limit: CanaryLimitOption = None,
    quiet_hours: QuietHoursOption = None,
    not_before: NotBeforeOption = None,
    until: UntilOption = None,
    progress: ProgressOption = None,
    yes: YesOption = False,
) -> Result:
    """Go on with a broadcast that was paused, interrupted or killed. Nobody is sent to twice."""
    _check_rate(rate)
    _check_progress(invocation, progress)
    from wacoex_cli.broadcast.guards import SendOrder, wishes
    from wacoex_cli.broadcast.send import chosen, send_broadcast

    minded = wishes(canary, canary_wait, canary_limit, quiet_hours, not_before, until)
    asked = SendOrder(rate, expect, _known_findings(overrule), yes, resume=True, wishes=minded)
    with invocation.open_workspace() as workspace:
        broadcast, channel = chosen(workspace, invocation, broadcast_id)
        return send_broadcast(workspace, invocation, channel, broadcast, asked)


def _check_rate(rate: float | None) -> None:
    if rate is not None and not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise UsageError(
            f"`--rate` must be between 1 and 20, not {rate:g}",
            hint="Meta fixes a Coexistence number at 20 messages per second",
            code="rate_out_of_range",
        )


def _known_findings(ids: list[str] | None) -> tuple[str, ...]:
    """The ids of `--overrule`, each of them one that a check before sending can have."""

    from wacoex_cli.findings.catalogue import finding_ids

    known = finding_ids()
    for one in ids or ():
        if one not in known:
            near = difflib.get_close_matches(one.upper(), known, n=1)
            raise UsageError(
                f"`--overrule {one}` names no finding",
                hint=f"did you mean `{near[0]}`?" if near else "the refusal names the ids",
                code="unknown_finding",
            )
    return tuple(ids or ())


def _check_progress(invocation: Invocation, progress: str | None) -> None:
    if progress == "json":
        invocation.stream()
    elif progress is not None:
        raise UsageError(
            f"`--progress {progress}` is not known", hint="the only form is `--progress json`"
        )


def _check_one_go(invocation: Invocation, broadcast_id: int | None, *, may_ask: bool) -> None:
    """Refuse before anything is planned: a cron job would leave one more plan each time."""

    if broadcast_id is not None:
        raise UsageError("give an id or `--to`, not both", hint="`--to` plans a new broadcast")
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")


@command(app, "list", "wacoex broadcast list", "wacoex broadcast list --channel shop --json")
def list_broadcasts(invocation: Invocation) -> Result:
    """List the broadcasts, newest first; with --channel those of one channel."""
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.report import template_name
    from wacoex_cli.broadcast.store import Broadcasts, Rows
    from wacoex_cli.channels.registry import choose_channel

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        channel = choose_channel(workspace, invocation) if invocation.channel else None
        found = Broadcasts(workspace.state).of_channel(
            channel.channel_id if channel else None, status=None
        )
        rows = [
            {
                "broadcast_id": one.broadcast_id,
                "channel": one.channel,
                "name": one.name,
                "status": one.status.value,
                "reason": one.reason,
                "template": template_name(one),
                "recipients": one.recipients,
                "taken": Rows(workspace.state, one.broadcast_id).counts().taken,
                "planned_at": one.planned_at,
            }
            for one in found
        ]
    keys = ("broadcast_id", "channel", "status", "taken", "recipients", "template")
    table = Table(
        ("id", *keys[1:], "planned", "name"),
        [
            (*(row[key] for key in keys), from_text(str(row["planned_at"])), row["name"])
            for row in rows
        ],
        "there is no broadcast; plan one: wacoex broadcast plan RECIPIENTS ...",
    )
    return Result({"broadcasts": rows}, (table,))


@command(app, "show", "wacoex broadcast show 7", "wacoex broadcast show 7 --json")
def show(invocation: Invocation, broadcast_id: IdArgument) -> Result:
    """Show where a broadcast stands, what went wrong, and what to do next."""
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.store import Broadcasts

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        sender = Broadcasts(workspace.state).sender(broadcast_id, workspace.clock)
        return shown(workspace, broadcast, is_being_sent=sender is not None)


@command(app, "pause", "wacoex broadcast pause 7")
def pause(invocation: Invocation, broadcast_id: IdArgument) -> Result:
    """Pause a broadcast that is being sent, here or in another process."""
    from wacoex_cli.broadcast import send
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.foundation.workspace import login_name

    with invocation.open_workspace() as workspace:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        paused = workspace.run(
            send.pause(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return shown(workspace, paused)


@command(app, "cancel", "wacoex broadcast cancel 7", "wacoex broadcast cancel 7 --yes")
def cancel(invocation: Invocation, broadcast_id: IdArgument, yes: YesOption = False) -> Result:
    """End a broadcast for good. What was sent stays sent; the rest is never sent."""
    from wacoex_cli.broadcast import send
    from wacoex_cli.broadcast.store import Broadcasts, Rows
    from wacoex_cli.foundation.workspace import login_name

    with invocation.open_workspace() as workspace:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        waiting = Rows(workspace.state, broadcast_id).count_open()
        question = f"cancel broadcast {broadcast_id}; {waiting} people will never be sent to?"
        if not yes and not TerminalDialogue(invocation).confirm(question, flag="--yes"):
            raise DeclinedError("nothing changed")
        cancelled = workspace.run(
            send.cancel(workspace.state, broadcast, login_name(), workspace.clock)
        )
        return shown(workspace, cancelled)


def shown(workspace: "Workspace", broadcast: "Broadcast", **more: object) -> Result:
    """Where a broadcast stands; `more` is added to the JSON output."""
    from wacoex_cli.broadcast.report import sentences, summary
    from wacoex_cli.broadcast.store import Rows

    counts = Rows(workspace.state, broadcast.broadcast_id).counts()
    data = {**summary(workspace.state, broadcast, counts), **more}
    return Result(data, tuple(sentences(data)))


@command(
    app,
    "reconcile",
    "wacoex broadcast reconcile 7",
    "wacoex broadcast reconcile 7 --as sent --row 12 --row 80",
    "wacoex broadcast reconcile 7 --resend --expect 3",
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
) -> Result:
    """Find out which rows of unknown fate went out, and settle the others.

    Stored statuses are looked at, then the API that sent is asked. What is proven to have gone
    out is moved on; the rest stays until you settle it: `--as sent` (the person has the message),
    `--as not-sent` (they have not, and it is not sent again), or `--resend`, which needs the
    number of rows typed.
    """
    from wacoex_cli.broadcast import report as view
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.store import Broadcasts

    if decision is not None and resend:
        raise UsageError(
            "give `--as` or `--resend`, not both",
            hint="`--resend` sends again, `--as` only records what you know",
            code="bad_decision",
        )
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
        text = view.reconciled_text(workspace.state, broadcast, found, workspace.clock.now())
    data = {"broadcast_id": broadcast_id, **found.to_json(view.MOST_RECONCILED)}
    return Result(data, text)


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
) -> Result:
    from wacoex_cli.broadcast import reconcile as operation

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
) -> Result:
    """Ask first: who has the message by then is no longer among those it is sent to again."""
    from wacoex_cli.broadcast import report as view
    from wacoex_cli.broadcast.reconcile import Decision, check_can_decide, choose_rows

    dialogue = TerminalDialogue(invocation)
    check_can_decide(workspace.state, broadcast, Decision.RESEND, workspace.clock)
    if expect is None and choose_rows(workspace.state, broadcast.broadcast_id, wanted):
        dialogue.demand_person("--expect N")
    found = _find_out(workspace, invocation, broadcast, wanted, offline)
    rows = [one.doubt.row for one in found.left]
    if rows:
        for line in view.reconciled_sentences(found, workspace.clock.now()):
            dialogue.note(line)
        typed = str(expect) if expect is not None else _typed(dialogue, found)
        _check_number(broadcast, len(rows), typed)
    more = found.to_json(view.MOST_RECONCILED)
    return _decided(workspace, broadcast, rows, Decision.RESEND, more)


def _typed(dialogue: TerminalDialogue, found: "Reconciled") -> str:
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
) -> Result:
    from wacoex_cli.broadcast.reconcile import decide
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.foundation.workspace import login_name

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


@command(
    app,
    "report",
    "wacoex broadcast report 7",
    "wacoex broadcast report 7 --csv - | grep rejected",
    "wacoex broadcast report 7 --html report.html",
    "wacoex broadcast report 7 --json",
)
def report(
    invocation: Invocation,
    broadcast_id: IdArgument,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", help="Every row into a new CSV file; - is stdout."),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="A page with pictures into a new HTML file."),
    ] = None,
    show_numbers: Annotated[
        bool, typer.Option("--show-numbers", help="Do not mask the phone numbers in the page.")
    ] = False,
) -> Result:
    """Tell what became of a broadcast: totals, rates, runs, decisions, and each row.

    In CSV an apostrophe stands before a cell that a spreadsheet would run as a formula, and so
    before each phone number ('+6591234567); wacoex reads such numbers back. The text shows the
    rows that went wrong, --csv and --json have every row. The page of --html is one file that
    loads nothing from a network; it masks phone numbers unless you say --show-numbers.
    """
    _demand_sense(csv, html, json=invocation.json, show_numbers=show_numbers)
    from wacoex_cli.broadcast import html_report
    from wacoex_cli.broadcast import report as operation
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.broadcast.store import Broadcasts

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        rows = operation.rows(workspace.state.path, broadcast_id)
        data = operation.totals(workspace.state, broadcast)
        more: dict[str, object] = {}
        told: list[str] = []
        if html is not None:
            html_report.write(Path(html), workspace.state, data, shows_numbers=show_numbers)
            more["html"] = html
            care = "its numbers are masked"
            if show_numbers:
                care = "it shows phone numbers, keep it private"
            told.append(f"the report is in {html}: {care}")
        if csv == "-":
            for piece in operation.csv_text(rows):
                write(sys.stdout, piece)
            return Result({})
        if csv is not None:
            written = operation.write_csv(Path(csv), rows)
            more |= {"csv": csv, "rows_written": written}
            told.append(f"{written} rows written to {csv}; it holds phone numbers, keep it private")
        if told:
            return Result({**data, **more}, told)
        text = tuple(operation.text(workspace.state, data))
    return Result(data, text, lists={"rows": rows})


def _demand_sense(csv: str | None, html: str | None, *, json: bool, show_numbers: bool) -> None:
    if csv == "-" and json:
        raise UsageError(
            "`--json` and `--csv -` both want standard output",
            hint="give `--csv` a file, or leave one of them out",
            code="two_outputs",
        )
    if html == "-":
        raise UsageError(
            "`--html` wants a file", hint="name one, such as `report.html`", code="not_a_file"
        )
    if show_numbers and html is None:
        raise UsageError(
            "`--show-numbers` is about the page of `--html`",
            hint="add `--html FILE`; text, CSV and JSON show the numbers anyway",
            code="no_page",
        )
