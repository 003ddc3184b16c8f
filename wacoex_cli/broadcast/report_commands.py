"""`wacoex broadcast report`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.manage_commands import IdArgument
from wacoex_cli.broadcast.reconcile_commands import app
from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import Invocation, command

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]


@command(
    app,
    "report",
    path=("broadcast", "report"),
    examples=(
        "wacoex broadcast report 7",
        "wacoex broadcast report 7 --csv - | grep rejected",
        "wacoex broadcast report 7 --html report.html",
        "wacoex broadcast report 7 --json",
    ),
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
) -> "Result":
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
    from wacoex_cli.terminal import streams
    from wacoex_cli.terminal.render import Result

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
            told.append(f"the report is in {html}: {_care(show_numbers)}")
        if csv == "-":
            for piece in operation.csv_text(rows):
                streams.write(sys.stdout, piece)
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


def _care(show_numbers: bool) -> str:
    return "it shows phone numbers, keep it private" if show_numbers else "its numbers are masked"
