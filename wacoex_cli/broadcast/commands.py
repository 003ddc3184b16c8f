"""`wacoex broadcast`: plan, send and settle broadcasts."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    ProgressOption,
    YesOption,
    command,
    completing,
    group,
)
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.foundation.workspace import Workspace

app = group("broadcast", "Plan a broadcast, send it at a safe pace, know what became of every row.")


def _option(flag: str, metavar: str, help: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help)


_ID = typer.Argument(
    metavar="ID", help="The broadcast's number.", autocompletion=completing("broadcast")
)
IdArgument = Annotated[int, _ID]


_MESSAGE_AND_LIST = "Message and list"


class PlanOptions(NamedTuple):
    """What is planned, alike for `plan` and for `send --to`."""

    @staticmethod
    def heading() -> str:
        """The section of these options on a help page."""
        return _MESSAGE_AND_LIST

    template: Annotated[str | None, _option("--template", "NAME", "Name of the template.")] = None
    language: Annotated[str | None, _option("--lang", "CODE", "Its language, such as en_US.")] = (
        None
    )
    param: Annotated[
        list[str] | None,
        _option(
            "--param",
            "PLACEHOLDER=COLUMN",
            "Fill a placeholder from a column: 1=first_name, header.1=city, button.0=code.",
        ),
    ] = None
    text: Annotated[
        list[str] | None, _option("--text", "PLACEHOLDER=VALUE", "The same text for everybody.")
    ] = None
    name: Annotated[str | None, _option("--name", "TEXT", "A name to know it by.")] = None
    country: Annotated[
        str | None,
        _option("--country", "CODE", "Country of numbers written without +, such as SG."),
    ] = None
    phone_column: Annotated[
        str | None,
        _option(
            "--phone-column",
            "NAME",
            "The column with the numbers (or user ids), if not recognised.",
        ),
    ] = None
    exclude: Annotated[
        list[Path] | None,
        _option("--exclude", "FILE", "Send to nobody in this list. May be given again."),
    ] = None
    accept_possible: Annotated[
        bool,
        typer.Option(
            "--accept-possible",
            help="Send to numbers of a possible length too whose range no numbering plan knows.",
        ),
    ] = False
    create_contacts: Annotated[
        bool,
        typer.Option(
            "--create-contacts",
            help="respond.io: make a contact of each person who is not a contact yet;"
            " each may count as a MAC.",
        ),
    ] = False


class SendOptions(NamedTuple):
    """How it is sent, alike for `send` and `resume`."""

    @staticmethod
    def heading() -> str:
        """The section of these options on a help page."""
        return "Pace and guards"

    rate: Annotated[float | None, _option("--rate", "N", "Messages per second, 1 to 20.")] = None
    expect: Annotated[
        int | None, _option("--expect", "N", "Refuse unless exactly N people would be sent to.")
    ] = None
    overrule: Annotated[
        list[str] | None, _option("--overrule", "ID", "Send although this check is critical.")
    ] = None
    canary: Annotated[
        int | None,
        _option(
            "--canary",
            "N",
            "Send to N people first, and to the rest only when that went well; 0: no more.",
        ),
    ] = None
    canary_wait: Annotated[
        str | None,
        _option("--canary-wait", "TIME", "Wait so long for their statuses; 10m if left out."),
    ] = None
    canary_limit: Annotated[
        str | None, _option("--canary-limit", "SHARE", "Fewer than this may fail; 10% if left out.")
    ] = None
    quiet_hours: Annotated[
        str | None,
        _option(
            "--quiet-hours",
            "FROM-TO",
            "Hold a message back while it is so late where its number is from (a user id: in"
            " the channel's zone): 21:00-08:00; or none.",
        ),
    ] = None
    not_before: Annotated[
        str | None,
        _option(
            "--not-before",
            "TIME",
            "Wait until then (21:00, or a date and time, in the channel's zone); check again.",
        ),
    ] = None
    until: Annotated[
        str | None, _option("--until", "TIME", "Pause then; times as for --not-before.")
    ] = None
    skip_sent: Annotated[
        bool,
        typer.Option(
            "--skip-sent", help="Leave people out who have this message already, or will get it."
        ),
    ] = False
    again: Annotated[
        bool,
        typer.Option("--again", help="Send it once more to people who have it. It is recorded."),
    ] = False


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
    recipients: Annotated[
        str, typer.Argument(metavar="RECIPIENTS", help="CSV, TSV, NDJSON or XLSX file; - is stdin.")
    ],
    *,
    options: PlanOptions,
    preview: Annotated[
        int,
        typer.Option(
            "--preview",
            metavar="N",
            min=1,
            max=100,
            help="Show the first N people's messages as they will read them.",
        ),
    ] = 1,
    test: Annotated[
        str | None,
        _option(
            "--test",
            "PHONE",
            "Send the first message to this number, yours, and wait for its status.",
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Check a list of recipients against a template and freeze it. Nobody on it is sent to.

    With --test one message goes to the number given, after a yes: a broadcast of its own, with
    what the first row has. It waits up to a minute for its status, which a listener must receive.
    """
    from wacoex_cli.broadcast.plan import PlanOrder
    from wacoex_cli.broadcast.send import plan_and_try

    order = PlanOrder(Path(recipients), **options._asdict(), dry_run=dry_run, first_rows=preview)
    return plan_and_try(invocation, order, test, yes=yes)


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
    broadcast_id: Annotated[int | None, _ID] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="RECIPIENTS",
            help="Plan from this file and send in one go.",
            rich_help_panel=_MESSAGE_AND_LIST,
        ),
    ] = None,
    *,
    planning: PlanOptions,
    retry_failed: Annotated[
        str | None,
        _option(
            "--retry-failed",
            "CLASS",
            "Send the failed rows of ID again, in a broadcast of their own:"
            " failed, rejected, all, a code of Meta, or retry, row, stop.",
        ),
    ] = None,
    options: SendOptions,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Send a planned broadcast, or plan and send in one go with --to.

    Without an id the one planned broadcast of the channel is sent. Ctrl-C once lets requests
    under way end and prints how to continue; twice stops at once. A canary and quiet hours stay
    with the broadcast: `resume` minds them too.
    """
    _check(invocation, options.rate, progress)
    from wacoex_cli.broadcast.guards import send_order
    from wacoex_cli.broadcast.plan import PlanOrder
    from wacoex_cli.broadcast.send import plan_and_send

    order = send_order(**options._asdict(), yes=yes)
    plan = PlanOrder(None if to is None else Path(to), **planning._asdict(), dry_run=dry_run)
    return plan_and_send(invocation, broadcast_id, order, plan, retry_failed)


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
    *,
    options: SendOptions,
    progress: ProgressOption = None,
    yes: YesOption = False,
) -> Result:
    """Go on with a broadcast that was paused, interrupted or killed. Nobody is sent to twice."""
    _check(invocation, options.rate, progress)
    from wacoex_cli.broadcast.guards import send_order
    from wacoex_cli.broadcast.send import plan_and_send

    order = send_order(**options._asdict(), yes=yes, resume=True)
    return plan_and_send(invocation, broadcast_id, order)


def _check(invocation: Invocation, rate: float | None, progress: str | None) -> None:
    if rate is not None and not 1.0 <= rate <= 20.0:
        raise UsageError(
            f"`--rate` must be between 1 and 20, not {rate:g}",
            hint="Meta fixes a Coexistence number at 20 messages per second",
            code="rate_out_of_range",
        )
    if progress == "json":
        invocation.stream()
    elif progress is not None:
        raise UsageError(
            f"`--progress {progress}` is not known", hint="the only form is `--progress json`"
        )


@contextlib.contextmanager
def _up_to_date(invocation: Invocation) -> "Iterator[Workspace]":
    """The workspace, after broadcasts have learned what has come in."""
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.contacts.stops import follow

    with invocation.open_workspace() as workspace:
        follow(workspace.state, workspace.settings.consent, workspace.clock.now())
        bring_up_to_date(workspace.state, workspace.clock)
        yield workspace


@command(app, "list", "wacoex broadcast list", "wacoex broadcast list --channel shop --json")
def list_broadcasts(invocation: Invocation) -> Result:
    """List the broadcasts, newest first; with --channel those of one channel."""
    from wacoex_cli.broadcast.report import list_of_channel
    from wacoex_cli.channels.registry import choose_channel

    with _up_to_date(invocation) as workspace:
        channel = choose_channel(workspace, invocation) if invocation.channel else None
        return list_of_channel(workspace.state, channel)


@command(app, "show", "wacoex broadcast show 7", "wacoex broadcast show 7 --json")
def show(invocation: Invocation, broadcast_id: IdArgument) -> Result:
    """Show where a broadcast stands, what went wrong, and what to do next."""
    from wacoex_cli.broadcast.report import show_now

    with _up_to_date(invocation) as workspace:
        return show_now(workspace.state, broadcast_id, workspace.clock)


@command(app, "pause", "wacoex broadcast pause 7")
def pause(invocation: Invocation, broadcast_id: IdArgument) -> Result:
    """Pause a broadcast that is being sent, here or in another process."""
    from wacoex_cli.broadcast.send import stop_sending

    return stop_sending(invocation, broadcast_id, for_good=False, yes=True)


@command(app, "cancel", "wacoex broadcast cancel 7", "wacoex broadcast cancel 7 --yes")
def cancel(invocation: Invocation, broadcast_id: IdArgument, yes: YesOption = False) -> Result:
    """End a broadcast for good. What was sent stays sent; the rest is never sent."""
    from wacoex_cli.broadcast.send import stop_sending

    return stop_sending(invocation, broadcast_id, for_good=True, yes=yes)


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
        str | None, _option("--as", "WORD", "What they are, as you know: sent or not-sent.")
    ] = None,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="Ask, then send again what is not known to have gone out."),
    ] = False,
    row: Annotated[list[int] | None, _option("--row", "ROW", "Only this row; repeatable.")] = None,
    expect: Annotated[
        int | None, _option("--expect", "N", "The number of rows, instead of typing it.")
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
    from wacoex_cli.broadcast.reconcile import Reconciliation

    if decision is not None and resend:
        raise UsageError(
            "give `--as` or `--resend`, not both",
            hint="`--resend` sends again, `--as` only records what you know",
            code="bad_decision",
        )
    with invocation.open_workspace() as workspace:
        asking = Reconciliation(
            workspace, invocation, broadcast_id, row or [], expect, offline=offline
        )
        if decision is not None:
            return asking.record(decision, yes=yes)
        return asking.send_again() if resend else asking.show()


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
        str | None, _option("--csv", "FILE", "Every row into a new CSV file; - is stdout.")
    ] = None,
    html: Annotated[
        str | None, _option("--html", "FILE", "A page with pictures into a new HTML file.")
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
    if csv == "-" and invocation.json:
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
    from wacoex_cli.broadcast.report import write_report

    with _up_to_date(invocation) as workspace:
        return write_report(workspace.state, broadcast_id, csv, html, shows_numbers=show_numbers)
