"""`wacoex optout`: the people who are never to be sent to."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wacoex_cli.errors import DeclinedError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import Result, Table

if TYPE_CHECKING:
    from wacoex_cli.foundation.workspace import Workspace

app = group("optout", "The people who want no more messages. No broadcast ever goes to them.")

_PARTIAL = 7
_LINES_SHOWN = 10
_COLUMNS = (
    Column("phone", 9, fit="keep"),
    Column("scope", 8, fit="keep"),
    Column("source", 5, least=8, may_drop=True),
    Column("note", 3, least=12, may_drop=True),
    Column("added", 4, fit="keep", may_drop=True),
)

PhoneArgument = Annotated[
    str, typer.Argument(metavar="PHONE", help="With `+` and country code; or a user id.")
]
CountryOption = Annotated[
    str | None,
    typer.Option(metavar="CC", help="The country of numbers without `+`, such as SG."),
]
ScopeOption = Annotated[
    Literal["all", "marketing"],
    typer.Option(
        "--scope",
        metavar="all|marketing",
        help="What they do not get. `marketing` still allows utility and authentication.",
    ),
]


@contextlib.contextmanager
def _up_to_date(invocation: Invocation) -> "Iterator[Workspace]":
    """The workspace, after the list has learned what the settings say and what has come in."""
    from wacoex_cli.contacts import stops
    from wacoex_cli.events.store import catch_up

    with invocation.open_workspace() as workspace:
        stops.follow(workspace.state, workspace.settings.consent, workspace.clock.now())
        catch_up(workspace.state, (stops.PERSONS, stops.OPTOUTS), workspace.clock)
        yield workspace


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
    note: Annotated[
        str | None, typer.Option(metavar="TEXT", help="When, where or why they said it.")
    ] = None,
    scope: ScopeOption = "all",
    country: CountryOption = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Never send to a person again.

    A person on the list for marketing can be added for all, but not the other way round: for that,
    remove them first.
    """
    from wacoex_cli.contacts import stops, store

    with _up_to_date(invocation) as workspace:
        now, wanted = workspace.clock.now(), store.Scope(scope)
        known, in_force, is_change = store.add_by_hand(
            workspace.state, phone, country, note, now, wanted, dry_run=dry_run
        )
        if is_change and not dry_run:
            stops.settle_by_hand(workspace.state, now)
    only = " for marketing" if in_force == "marketing" else ""
    if is_change:
        text = f"{known} {'would be ' if dry_run else ''}added to the opt-out list{only}"
    else:
        text = f"{known} is on the opt-out list{only} already"
    data = {"phone": known, "scope": in_force.value, "added": is_change, "dry_run": dry_run}
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
    """Allow messages to a person again."""
    from wacoex_cli.contacts import store

    with _up_to_date(invocation) as workspace:
        found = store.listed_phone(workspace.state, phone, country)
        if not dry_run:
            question = f"Has {found} agreed to get messages again?"
            if not (yes or TerminalDialogue(invocation).confirm(question, flag="--yes")):
                raise DeclinedError("declined", hint="nothing was changed")
            with workspace.state.transaction():
                store.remove_optout(workspace.state, found, workspace.clock.now())
    would = "would be " if dry_run else ""
    data = {"phone": found, "removed": True, "dry_run": dry_run}
    return Result(data, [f"{found} {would}removed from the opt-out list"])


@command(app, "list", "wacoex optout list", "wacoex optout list --json")
def list_optouts(invocation: Invocation) -> Result:
    """List them, the newest first."""
    from wacoex_cli.contacts import store

    with _up_to_date(invocation) as workspace:
        found = store.list_optouts(workspace.state)
        place = workspace.state.path
    rows = [
        [optout.phone, optout.scope.value, optout.source, optout.note, from_text(optout.added_at)]
        for optout in found
    ]
    table = Table(_COLUMNS, rows, f"nobody has opted out in {place}")
    return Result({"optouts": [asdict(optout) for optout in found]}, [table])


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
    scope: ScopeOption = "all",
    country: CountryOption = None,
    phone_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column with the numbers, if not recognised."),
    ] = None,
    dry_run: DryRunOption = False,
) -> Result:
    """Add everybody in a file. Exit status 7 when some numbers could not be read."""
    from wacoex_cli.audience.people import names_in
    from wacoex_cli.audience.recipients_file import open_recipients
    from wacoex_cli.contacts import stops, store

    with (
        _up_to_date(invocation) as workspace,
        open_recipients(
            None if str(file) == "-" else file,
            stdin=sys.stdin.buffer,
            stdin_is_terminal=sys.stdin.isatty(),
            phone_column=phone_column,
        ) as recipients,
    ):
        recipients.demand_certain_column()
        now, wanted = workspace.clock.now(), store.Scope(scope)
        numbers = ((row.line, name) for row in recipients for name in names_in(row))
        done = store.import_file(workspace.state, numbers, country, now, wanted, dry_run=dry_run)
        if done.added and not dry_run:
            stops.settle_by_hand(workspace.state, now)
    invalid = done.invalid_lines
    text = [f"{done.added} {'would be ' if dry_run else ''}added, {done.known} on the list already"]
    if invalid:
        lines = ", ".join(str(line) for line in invalid[:_LINES_SHOWN])
        more = ", ..." if len(invalid) > _LINES_SHOWN else ""
        text.append(f"{len(invalid)} not readable and not added: line {lines}{more}")
    data = {
        "added": done.added,
        "known": done.known,
        "invalid": len(invalid),
        "invalid_lines": list(invalid),
        "dry_run": dry_run,
    }
    return Result(data, text, exit_code=_PARTIAL if invalid else 0)
