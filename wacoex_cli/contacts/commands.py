"""`wacoex optout`: the people who are never to be sent to."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wacoex_cli.audience.model import Scope
from wacoex_cli.errors import DeclinedError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import Result, Table

app = group("optout", "The people who want no more messages. No broadcast is ever sent to them.")


_PARTIAL = 7
_LINES_SHOWN = 10

PhoneArgument = Annotated[str, typer.Argument(metavar="PHONE", help="With `+` and country code.")]
CountryOption = Annotated[
    str | None,
    typer.Option(metavar="CC", help="The country of numbers without `+`, such as SG."),
]
ScopeOption = Annotated[
    Scope,
    typer.Option(
        "--scope",
        metavar="all|marketing",
        help="What they are not sent. `marketing` lets utility and authentication through.",
    ),
]


@command(
    app,
    "add",
    "wacoex optout add +6591234567",
    'wacoex optout add +6591234567 --note "asked in the shop"',
    "wacoex optout add +6591234567 --scope marketing",
)
def add(
    invocation: Invocation,
    phone: PhoneArgument,
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="When, where or why.")] = None,
    scope: ScopeOption = Scope.ALL,
    country: CountryOption = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Never send to a person again.

    Who is on the list for marketing is added for all, never the other way round: to take that back,
    remove them first.
    """
    from wacoex_cli.contacts import store

    with invocation.open_workspace() as workspace:
        now = workspace.clock.now()
        change = store.add(workspace.state, phone, country, note, now, scope=scope, dry_run=dry_run)
    only = " for marketing" if change.scope is Scope.MARKETING else ""
    if change.is_change:
        text = f"{change.phone} {'would be ' if dry_run else ''}added to the opt-out list{only}"
    else:
        text = f"{change.phone} is on the opt-out list{only} already"
    data = {
        "phone": change.phone,
        "scope": change.scope.value,
        "added": change.is_change,
        "dry_run": dry_run,
    }
    return Result(data, [text])


@command(
    app, "remove", "wacoex optout remove +6591234567", "wacoex optout remove +6591234567 --yes"
)
def remove(
    invocation: Invocation,
    phone: PhoneArgument,
    country: CountryOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Let a person be sent to again."""
    from wacoex_cli.contacts import store

    with invocation.open_workspace() as workspace:
        found = store.find(workspace.state, phone, country)
        if not dry_run:
            question = f"Has {found} agreed to get messages again?"
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            store.remove(workspace.state, found)
    would = "would be " if dry_run else ""
    data = {"phone": found, "removed": True, "dry_run": dry_run}
    return Result(data, [f"{found} {would}removed from the opt-out list"])


@command(app, "list", "wacoex optout list", "wacoex optout list --json")
def list_optouts(invocation: Invocation) -> Result:
    """List them, the newest first."""

    from wacoex_cli.contacts import store

    with invocation.open_workspace() as workspace:
        found = store.list_optouts(workspace.state)
    rows = [
        [one.phone, one.scope.value, one.source, one.note, from_text(one.added_at)] for one in found
    ]
    table = Table(("phone", "scope", "source", "note", "added"), rows, "nobody has opted out")
    return Result({"optouts": [asdict(one) for one in found]}, [table])


@command(
    app,
    "import",
    "wacoex optout import stop.csv",
    "wacoex optout import stop.xlsx --country SG --scope marketing",
)
def import_optouts(
    invocation: Invocation,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV, TSV, NDJSON or XLSX; - is standard input.")
    ],
    scope: ScopeOption = Scope.ALL,
    country: CountryOption = None,
    phone_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column with the numbers, if not recognised."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Add everybody in a file. Exit status 7 when some numbers could not be read."""
    from wacoex_cli.audience.recipients_file import open_recipients
    from wacoex_cli.contacts import store

    source = None if str(file) == "-" else file
    with (
        invocation.open_workspace() as workspace,
        open_recipients(
            source,
            stdin=sys.stdin.buffer,
            stdin_is_terminal=sys.stdin.isatty(),
            phone_column=phone_column,
        ) as recipients,
    ):
        now = workspace.clock.now()
        done = store.import_file(
            workspace.state, recipients, country, now, scope=scope, dry_run=dry_run
        )
    added, known, invalid = done.counts.added, done.counts.known, done.invalid_lines
    text = [f"{added} {'would be ' if dry_run else ''}added, {known} on the list already"]
    if invalid:
        lines = ", ".join(str(line) for line in invalid[:_LINES_SHOWN])
        more = ", ..." if len(invalid) > _LINES_SHOWN else ""
        text.append(f"{len(invalid)} not readable and not added: line {lines}{more}")
    data = {
        "added": added,
        "known": known,
        "invalid": len(invalid),
        "invalid_lines": list(invalid),
        "dry_run": dry_run,
    }
    return Result(data, text, exit_code=_PARTIAL if invalid else 0)
