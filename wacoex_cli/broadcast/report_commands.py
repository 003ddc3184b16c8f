"""`wacoex broadcast report`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.manage_commands import IdArgument, app
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
        "wacoex broadcast report 7 --csv report.csv",
        "wacoex broadcast report 7 --csv - | grep rejected",
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
) -> "Result":
    """Tell what became of a broadcast: totals, rates, runs, decisions, and each row.

    In CSV an apostrophe stands before a cell that a spreadsheet would run as a formula, and so
    before each phone number ('+6591234567); wacoex reads such numbers back. The text shows the
    rows that went wrong, --csv and --json have every row.
    """
    if csv == "-" and invocation.json:
        raise UsageError(
            "`--json` and `--csv -` both want standard output",
            hint="give `--csv` a file, or leave one of them out",
            code="two_outputs",
        )
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast import report as operation
    from wacoex_cli.broadcast.projection import bring_up_to_date
    from wacoex_cli.terminal import streams
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        bring_up_to_date(workspace.state, workspace.clock)
        broadcast = ledger.get(workspace.state, broadcast_id)
        rows = operation.rows(workspace.state.path, broadcast_id)
        if csv == "-":
            for piece in operation.csv_text(rows):
                streams.write(sys.stdout, piece)
            return Result({})
        data = operation.totals(workspace.state, broadcast)
        if csv is not None:
            written = operation.write_csv(Path(csv), rows)
            told = f"{written} rows written to {csv}; it holds phone numbers, keep it private"
            return Result({**data, "csv": csv, "rows_written": written}, (told,))
        text = tuple(operation.text(workspace.state, data))
    return Result(data, text, lists={"rows": rows})
