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

app = group(
    "broadcast",
    "Plan a broadcast, send it at a safe pace, and see what happened to every recipient.",
)


def _option(flag: str, metavar: str, help: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=help)


FileOption = Annotated[
    str | None,
    _option("--file", "FILE", "The list of recipients, named by an option; - is stdin."),
]

_ID = typer.Argument(
    metavar="ID",
    help="The id of the broadcast, as `wacoex broadcast list` shows it.",
    autocompletion=completing("broadcast"),
)
IdArgument = Annotated[int, _ID]
IdsArgument = Annotated[
    list[int] | None,
    typer.Argument(
        metavar="ID...",
        help="The ids of broadcasts, as `wacoex broadcast list` shows them; several are sent side"
        " by side.",
        autocompletion=completing("broadcast"),
    ),
]


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
    language_column: Annotated[
        str | None,
        _option(
            "--lang-column",
            "COLUMN",
            "The column with the language of each person; `--lang` is for all others.",
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        _option(
            "--param",
            "PLACEHOLDER=COLUMN",
            "Fill a placeholder from a column: 1=first_name, header=picture, button.0=code.",
        ),
    ] = None
    text: Annotated[
        list[str] | None, _option("--text", "PLACEHOLDER=VALUE", "The same text for everybody.")
    ] = None
    media: Annotated[
        list[str] | None,
        _option(
            "--media",
            "PLACEHOLDER=FILE",
            "A picture, video or document: header=menu.jpg, header=https://..., header=id:123,"
            " header=column:picture, card.0.header=menu.jpg.",
        ),
    ] = None
    values: Annotated[
        Path | None,
        _option(
            "--values",
            "FILE",
            "More values, out of a TOML, YAML or JSON file: carousels, products, places.",
        ),
    ] = None
    default: Annotated[
        list[str] | None,
        _option(
            "--default",
            "PLACEHOLDER=VALUE",
            "What to say where the cell of a person is empty: 1=there.",
        ),
    ] = None
    format: Annotated[
        list[str] | None,
        _option(
            "--format",
            "PLACEHOLDER=FORMAT",
            "title, upper, lower, first, trim, date:long, number or money:SGD;"
            " several with commas: 1=first,title.",
        ),
    ] = None
    locale: Annotated[
        str | None,
        _option(
            "--locale",
            "CODE",
            "Read and write dates and numbers as in this language and country, such as en_SG.",
        ),
    ] = None
    truncate: Annotated[
        bool,
        typer.Option(
            "--truncate", help="Cut a value that is too long for Meta; else the person is skipped."
        ),
    ] = False
    name: Annotated[str | None, _option("--name", "TEXT", "A name to recognise it by.")] = None
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
    where: Annotated[
        str | None,
        _option(
            "--where",
            "CONDITION",
            "Send only to these rows: \"tier = 'gold' and last_order < 2026-10-01\".",
        ),
    ] = None
    sources: Annotated[
        list[str] | None,
        _option(
            "--from",
            "SOURCE",
            "Also people of broadcast:7:delivered,-replied or respondio:tag=vip. May be repeated.",
        ),
    ] = None
    exclude: Annotated[
        list[str] | None,
        _option(
            "--exclude",
            "FILE|SOURCE",
            "Send to nobody on this list, or of such a source; repeatable.",
        ),
    ] = None
    max: Annotated[
        str | None,
        _option("--max", "N/TIME", "At most N messages to a person in that time: 2/7d; or none."),
    ] = None
    rest: Annotated[
        str | None,
        _option("--rest", "TIME", "Leave out who got a message less than this ago: 3d; or none."),
    ] = None
    unanswered: Annotated[
        str | None,
        _option("--unanswered", "N", "Leave out who never answered the last N; or none."),
    ] = None
    per_day: Annotated[
        str | None,
        _option(
            "--per-day",
            "N",
            "Pause after N messages of the business in 24 hours; 250/number: of this number.",
        ),
    ] = None
    ramp: Annotated[
        str | None,
        _option(
            "--ramp",
            "N,+SHARE",
            "A new number: N messages on the first day, a share more each day: 50,+50%.",
        ),
    ] = None
    accept_possible: Annotated[
        bool,
        typer.Option(
            "--accept-possible",
            help="Also send to numbers of a possible length that no numbering plan knows.",
        ),
    ] = False
    create_contacts: Annotated[
        bool,
        typer.Option(
            "--create-contacts",
            help="respond.io: make a contact of each person who is not a contact yet;"
            " each may count as a MAC (monthly active contact).",
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
        int | None, _option("--expect", "N", "Refuse unless exactly N people would get it.")
    ] = None
    overrule: Annotated[
        list[str] | None, _option("--overrule", "ID", "Send although this finding is critical.")
    ] = None
    canary: Annotated[
        int | None,
        _option(
            "--canary",
            "N",
            "Send to N people first, and to the rest only if that went well; 0: no canary.",
        ),
    ] = None
    canary_wait: Annotated[
        str | None,
        _option("--canary-wait", "TIME", "Wait this long for their statuses; 10m if left out."),
    ] = None
    canary_limit: Annotated[
        str | None, _option("--canary-limit", "SHARE", "Fewer than this may fail; 10% if left out.")
    ] = None
    quiet_hours: Annotated[
        str | None,
        _option(
            "--quiet-hours",
            "FROM-TO",
            "Send nothing at these hours in the recipient's zone (for a user id: the channel's"
            " zone): 21:00-08:00; or none.",
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
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="When a limit of a day pauses it: wait here, and go on by itself."
        ),
    ] = False
    skip_sent: Annotated[
        bool,
        typer.Option(
            "--skip-sent", help="Leave out people who already have this message, or will get it."
        ),
    ] = False
    again: Annotated[
        bool,
        typer.Option("--again", help="Send it again to people who have it. wacoex records that."),
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
        str | None,
        typer.Argument(metavar="RECIPIENTS", help="CSV, TSV, NDJSON or XLSX file; - is stdin."),
    ] = None,
    *,
    options: PlanOptions,
    file: FileOption = None,
    preview: Annotated[
        int,
        typer.Option(
            "--preview",
            metavar="N",
            min=1,
            max=100,
            help="Show the messages of the first N people as they will read them.",
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
    row: Annotated[
        int | None,
        typer.Option(
            "--row",
            metavar="LINE",
            min=1,
            help="Take this line of the list for --preview and --test, not the first.",
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Check a list of recipients against a template and freeze it. Sends to nobody on the list.

    With --test wacoex sends one message to the given number, after you say yes. It is a separate
    broadcast with the values of the first row. wacoex waits up to a minute for its status from the
    listener.
    """
    from wacoex_cli.broadcast.plan import PlanOrder
    from wacoex_cli.broadcast.send import plan_and_try

    source = _one_list(recipients, file, "RECIPIENTS")
    if source is None and not options.sources:
        raise UsageError(
            "which list? no file of recipients is given",
            hint="name it: wacoex broadcast plan customers.csv --template NAME --lang CODE",
            code="no_list",
        )
    has_list = source is not None
    order = PlanOrder(
        source,
        **options._asdict(),
        dry_run=dry_run,
        first_rows=preview,
        row=row,
        has_list=has_list,
    )
    return plan_and_try(invocation, order, test, yes=yes)


@command(
    app,
    "send",
    "wacoex broadcast send 7 --rate 20 --expect 1200 --yes",
    "wacoex broadcast send 7 8 9 --yes",
    "wacoex broadcast send 7 --canary 10 --quiet-hours 21:00-08:00",
    "wacoex broadcast send --to customers.csv --template spring_offer --lang en_US \\",
    "  --param 1=first_name --param 2=city --rate 10",
)
def send(
    invocation: Invocation,
    broadcast_ids: IdsArgument = None,
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
    all_planned: Annotated[
        bool, typer.Option("--all-planned", help="Send every planned broadcast, side by side.")
    ] = False,
    planning: PlanOptions,
    file: FileOption = None,
    retry_failed: Annotated[
        str | None,
        typer.Option(
            "--retry-failed",
            metavar="CLASS",
            hidden=True,
            help="The former spelling of `wacoex broadcast retry ID --only CLASS`.",
        ),
    ] = None,
    options: SendOptions,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Send a planned broadcast, or plan and send in one go with --to.

    Without an id, wacoex sends the one planned broadcast of the channel. With several ids it sends
    them side by side, each number at its own pace; one that another process sends is left out.
    Ctrl-C once lets running requests finish and prints how to continue; twice stops at once. A
    canary and quiet hours stay with the broadcast: `resume` keeps to them too.
    """
    _check(invocation, options.rate, progress)
    from wacoex_cli.broadcast.plan import PlanOrder
    from wacoex_cli.broadcast.send import plan_and_send
    from wacoex_cli.sending.guards import send_order

    order = send_order(**options._asdict(), yes=yes)
    source = _one_list(to, file, "--to")
    has_list = source is not None or not planning.sources
    plan = PlanOrder(source, **planning._asdict(), dry_run=dry_run, has_list=has_list)
    ids = broadcast_ids or []
    first = ids[0] if ids else None
    if not (len(ids) > 1 or all_planned):
        return plan_and_send(invocation, first, order, plan, retry_failed)
    from wacoex_cli.broadcast.several import refuse_single_options, send_several

    refuse_single_options(
        order, plan, retry_failed, has_ids=first is not None, all_planned=all_planned
    )
    return send_several(invocation, ids, order, all_planned=all_planned)


@command(
    app,
    "retry",
    "wacoex broadcast retry 7",
    "wacoex broadcast retry 7 --only 131026 --expect 12 --yes",
    "wacoex broadcast retry 7 --only rejected --dry-run",
)
def retry(
    invocation: Invocation,
    broadcast_id: IdArgument,
    *,
    only: Annotated[
        str,
        _option(
            "--only",
            "CLASS",
            "Which failed rows: failed, rejected, all, a code of Meta, or retry, row, stop.",
        ),
    ] = "all",
    options: SendOptions,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Send the failed rows of a broadcast again, in a broadcast of their own.

    wacoex leaves out people who have opted out since, or who have the message by now.
    """
    _check(invocation, options.rate, progress)
    from wacoex_cli.broadcast.plan import PlanOrder
    from wacoex_cli.broadcast.send import plan_and_send
    from wacoex_cli.sending.guards import send_order

    order = send_order(**options._asdict(), yes=yes)
    return plan_and_send(invocation, broadcast_id, order, PlanOrder(dry_run=dry_run), only)


@command(
    app,
    "resume",
    "wacoex broadcast resume",
    "wacoex broadcast resume 7 --rate 5 --yes",
    "wacoex broadcast resume 7 8 9",
    'wacoex broadcast resume 7 --not-before "2026-12-01 09:00" --until "2026-12-01 20:00"',
)
def resume(
    invocation: Invocation,
    broadcast_ids: IdsArgument = None,
    *,
    options: SendOptions,
    progress: ProgressOption = None,
    yes: YesOption = False,
) -> Result:
    """Continue a broadcast that was paused, interrupted or killed. Nobody gets it twice.

    Without an id the one paused broadcast of the channel goes on. With several ids, wacoex
    continues them side by side and skips those that are completed.
    """
    _check(invocation, options.rate, progress)
    from wacoex_cli.broadcast.send import plan_and_send
    from wacoex_cli.sending.guards import send_order

    order = send_order(**options._asdict(), yes=yes, resume=True)
    ids = broadcast_ids or []
    first = ids[0] if ids else None
    if len(ids) < 2:
        return plan_and_send(invocation, first, order)
    from wacoex_cli.broadcast.several import refuse_single_options, send_several

    refuse_single_options(order)
    return send_several(invocation, ids, order)


def _one_list(given: str | None, file: str | None, given_as: str) -> Path | None:
    """The list of recipients, which two spellings can name; raises UsageError for both."""
    if given is not None and file is not None:
        raise UsageError(
            f"two lists are given: `{given}` and `{file}`",
            hint=f"`--file` is another way to give {given_as}; leave one of them out",
            code="two_lists",
        )
    named = file if given is None else given
    return None if named is None else Path(named)


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
    from wacoex_cli.contacts.stops import follow
    from wacoex_cli.ledger.projection import bring_up_to_date

    with invocation.open_workspace() as workspace:
        follow(workspace.state, workspace.settings.consent, workspace.clock.now())
        bring_up_to_date(workspace.state, workspace.clock)
        yield workspace


@command(
    app,
    "list",
    "wacoex broadcast list",
    "wacoex broadcast list --channel shop --json",
    "wacoex broadcast list --tests",
)
def list_broadcasts(
    invocation: Invocation,
    tests: Annotated[
        bool, typer.Option("--tests", help="Also the test messages of `broadcast plan --test`.")
    ] = False,
) -> Result:
    """List the broadcasts, newest first; with --channel those of one channel."""
    from wacoex_cli.broadcast.report import list_of_channel
    from wacoex_cli.channels.registry import choose_channel

    with _up_to_date(invocation) as workspace:
        channel = choose_channel(workspace, invocation) if invocation.channel else None
        return list_of_channel(workspace.state, channel, shows_tests=tests)


@command(app, "show", "wacoex broadcast show 7", "wacoex broadcast show 7 --json")
def show(invocation: Invocation, broadcast_id: IdArgument) -> Result:
    """Show the state of a broadcast, what went wrong, and what to do next."""
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
    """End a broadcast for good. Sent messages stay sent; the rest never leaves."""
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
        str | None, _option("--as", "WORD", "What you know about them: sent or not-sent.")
    ] = None,
    resend: Annotated[
        bool,
        typer.Option("--resend", help="Ask, then send again the rows that may not have gone out."),
    ] = False,
    row: Annotated[list[int] | None, _option("--row", "ROW", "Only this row; repeatable.")] = None,
    expect: Annotated[
        int | None, _option("--expect", "N", "The number of rows, instead of typing it in.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask Meta or respond.io.")
    ] = False,
    yes: YesOption = False,
) -> Result:
    """Find out which ambiguous rows (they may have gone out) went out, and settle the others.

    wacoex reads the stored statuses, then asks the API that sent. It marks what provably went
    out; the rest stays until you settle it: `--as sent` (the person has the message),
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
        str | None, _option("--csv", "FILE", "Write every row to a new CSV file; - is stdout.")
    ] = None,
    html: Annotated[
        str | None, _option("--html", "FILE", "Write a page with charts to a new HTML file.")
    ] = None,
    show_numbers: Annotated[
        bool, typer.Option("--show-numbers", help="Do not mask the phone numbers in the page.")
    ] = False,
) -> Result:
    """Report what happened to a broadcast: totals, rates, runs, decisions, and each row.

    CSV puts an apostrophe before a cell that a spreadsheet would run as a formula, and so
    before each phone number ('+6591234567); wacoex can read such numbers. The text shows the
    rows that went wrong, --csv and --json have every row. The page of --html is one file that
    loads nothing from a network; it masks phone numbers unless you add --show-numbers.
    """
    if csv == "-" and invocation.json:
        raise UsageError(
            "`--json` and `--csv -` both write to standard output",
            hint="give `--csv` a file, or leave one of them out",
            code="two_outputs",
        )
    if html == "-":
        raise UsageError(
            "`--html` needs a file", hint="name one, such as `report.html`", code="not_a_file"
        )
    if show_numbers and html is None:
        raise UsageError(
            "`--show-numbers` applies to the page of `--html` only",
            hint="add `--html FILE`; text, CSV and JSON show the numbers anyway",
            code="no_page",
        )
    from wacoex_cli.broadcast.report import write_report

    def draw(*about: Any, shows_numbers: bool) -> str:
        from wacoex_cli.broadcast.report_page import html_page

        return html_page(*about, shows_numbers=shows_numbers)

    with _up_to_date(invocation) as workspace:
        return write_report(
            workspace,
            broadcast_id,
            csv,
            html,
            draw,
            shows_numbers=show_numbers,
            is_json=invocation.json,
        )
