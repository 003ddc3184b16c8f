"""`wacoex media`: the files that messages show, and their ids at Meta."""

from pathlib import Path
from typing import Annotated

import typer

from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import Result, Table

app = group("media", "Pictures, videos and documents that messages show: their ids at Meta.")

_COLUMNS = (
    Column("file", 9, least=12),
    Column("type", 4, fit="keep", may_drop=True),
    Column("size", 5, fit="keep", may_drop=True),
    Column("number", 3, fit="keep", may_drop=True),
    Column("id", 8, fit="keep"),
    Column("ends", 7, fit="keep"),
)


@command(app, "list", "wacoex media list", "wacoex media list --json")
def list_media(invocation: Invocation) -> Result:
    """List the files that wacoex knows, and the id that each has for a number at Meta.

    An id lives for 30 days. A broadcast that still needs a file uploads it again by itself.
    """
    from wacoex_cli.media.shelf import rows

    with invocation.open_workspace() as workspace:
        found = rows(workspace.state, workspace.clock.now())
    none = "no file was given to a broadcast or uploaded yet"
    table = Table(_COLUMNS, [row.cells() for row in found], none)
    return Result({"media": [row.to_json() for row in found]}, (table,))


@command(
    app,
    "upload",
    "wacoex media upload menu.jpg",
    "wacoex media upload menu.jpg price-list.pdf --channel shop --json",
)
def upload(
    invocation: Invocation,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Pictures, videos or documents.")
    ],
    dry_run: DryRunOption = False,
) -> Result:
    """Upload files for the messages of a channel, and print their ids.

    A file that was uploaded already is not uploaded again while its id lives. No need to do this
    before a broadcast: `broadcast send` uploads what it needs.
    """
    from wacoex_cli.media.shelf import upload_files

    with invocation.open_workspace() as workspace:
        found = upload_files(workspace, invocation, files, dry_run=dry_run)
    lines = [
        f"{row.name}: id:{row.media_id}, until {row.ends_at or 'nobody says'}"
        if row.media_id
        else f"{row.name}: would be uploaded"
        for row in found
    ]
    return Result({"media": [row.to_json() for row in found], "dry_run": dry_run}, lines)


@command(app, "prune", "wacoex media prune --dry-run", "wacoex media prune --yes")
def prune(invocation: Invocation, yes: YesOption = False, dry_run: DryRunOption = False) -> Result:
    """Forget files that no broadcast needs any more, and delete them at Meta.

    What a planned or paused broadcast shows is kept. Messages that were sent stay as they are.
    """
    from wacoex_cli.media.shelf import prune_files

    with invocation.open_workspace() as workspace:
        found = prune_files(workspace, invocation, yes=yes, dry_run=dry_run)
    verb = "would be forgotten" if dry_run else "forgotten"
    lines = [f"{row.name}: {verb}" for row in found] or ["there is nothing to forget"]
    return Result({"media": [row.to_json() for row in found], "dry_run": dry_run}, lines)
