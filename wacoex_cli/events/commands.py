"""`wacoex events import | list`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import DryRunOption, Invocation, command, group

if TYPE_CHECKING:
    from wacoex_cli.events.import_file import ImportCount
    from wacoex_cli.events.listing import ListedEvent
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import ForPerson, Result

app = group("Take in what Meta and respond.io tell, and look at it.")

_PARTIAL = 7
_MOST_LISTED = 10_000
_MIB = 1024**2


@command(
    app,
    "import",
    path=("events", "import"),
    examples=(
        "wacoex events import webhooks.ndjson",
        "wacoex events import webhooks.json --dry-run --json",
    ),
)
def import_events(
    invocation: Invocation,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Raw payloads, one a line or one JSON array; - is standard input."
        ),
    ],
    dry_run: DryRunOption = False,
) -> "Result":
    """Import archived webhooks of Meta and respond.io, each once, in any order.

    Texts, media and names are not stored. Exit status 7 when some payloads could not be read, 2
    when none could.
    """
    from wacoex_cli.events import consumers
    from wacoex_cli.events.store import catch_up

    with invocation.open_workspace() as workspace:
        done = _import(workspace, invocation, file, dry_run=dry_run)
        if not dry_run:
            catch_up(workspace.state, consumers.projections(), workspace.clock)
    return _imported(done, file, dry_run=dry_run)


def _import(
    workspace: "Workspace", invocation: Invocation, file: str, *, dry_run: bool
) -> "ImportCount":
    import contextlib
    from pathlib import Path

    from wacoex_cli.events import import_file
    from wacoex_cli.terminal.progress import open_progress

    now = workspace.clock.now()
    store_bodies = workspace.settings.events.store_bodies
    read = import_file.reader(workspace.secrets.local_key(), now, store_bodies=store_bodies)
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(import_file.opened(file))
        state = workspace.state
        if dry_run:
            store = stack.enter_context(import_file.trying(state, now))
        else:
            store = import_file.storing(state, now)
        is_file = file != "-" and Path(file).is_file()
        size = Path(file).stat().st_size if is_file else 0
        progress = None
        if size > 10 * _MIB:
            title = f"MiB of {file} imported"
            progress = stack.enter_context(open_progress(invocation, title, size // _MIB))

        def on_batch(done: "ImportCount") -> None:
            if progress:
                text = f"{done.stored} stored"
                progress.update(stream.tell() // _MIB, text, {"read": done.read})

        return import_file.import_items(
            import_file.items(stream),
            read,
            store,
            on_invalid=lambda line, reason: workspace.warn(f"line {line}: {reason}"),
            on_batch=on_batch,
        )


def _imported(done: "ImportCount", file: str, *, dry_run: bool) -> "Result":
    from wacoex_cli.terminal.render import Result, Table

    would = "would be " if dry_run else ""
    text = (
        f"{done.read} payloads read: {done.stored} {would}stored,"
        f" {done.duplicates} known already, {done.invalid} unfit"
    )
    table = Table(("events", "kind"), [(n, kind) for kind, n in sorted(done.by_kind.items())])
    data = {**done.to_json(), "dry_run": dry_run}
    if not done.invalid:
        return Result(data, (text, table))
    if done.stored or done.duplicates:
        return Result(data, (text, table), exit_code=_PARTIAL)
    line, reason = done.invalid_lines[0]
    title = "standard input" if file == "-" else f"`{file}`"
    error = UsageError(
        f"{title} holds no payload that can be read; line {line}: {reason}",
        hint="give webhooks of Meta or respond.io as they came, one JSON object a line",
        code="no_payload",
    )
    return Result(data, (), exit_code=error.exit_status, errors=[error])


@command(
    app,
    "list",
    path=("events", "list"),
    examples=(
        "wacoex events list",
        "wacoex events list --kind echo --kind edit --since 24h",
        "wacoex events list --channel shop --since 2026-11-01 --limit 1000 --json",
    ),
)
def list_events(
    invocation: Invocation,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", metavar="KIND", help="Only this kind, such as echo; repeatable."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only since then: 24h, 7d or 2026-11-01."),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=1, max=_MOST_LISTED, help="So many, the newest ones."
        ),
    ] = 100,
) -> "Result":
    """List events, newest first, and what each kind does and does not do.

    With --channel those of one channel. Phone numbers are shown whole. `wacoex state export`
    gives everything.
    """
    from wacoex_cli.channels import registry
    from wacoex_cli.channels.evidence import CHANNELS
    from wacoex_cli.events import listing
    from wacoex_cli.events.store import catch_up
    from wacoex_cli.foundation.durations import moment_ago

    kinds = listing.kinds_named(kind)
    with invocation.open_workspace() as workspace:
        zone = workspace.settings.timezone or "UTC"
        moment = moment_ago(since, zone, workspace.clock.now()) if since else None
        state = workspace.state
        catch_up(state, (CHANNELS,), workspace.clock)
        channel = registry.known(state, invocation.channel) if invocation.channel else None
        found = listing.list_events(state, kinds=kinds, since=moment, channel=channel, most=limit)
    return _listed(found)


def _listed(found: list["ListedEvent"]) -> "Result":
    from wacoex_cli.foundation.clock import from_text
    from wacoex_cli.terminal.render import Result, Table

    rows = [
        (
            from_text(one.event.at),
            one.event.kind,
            one.event.source,
            one.channel,
            one.event.contact,
            one.summary(),
        )
        for one in found
    ]
    columns = ("at", "kind", "from", "channel", "contact", "what")
    table = Table(columns, rows, "no such event is here; take some in: wacoex events import FILE")
    data = {"events": [one.to_json() for one in found]}
    return Result(data, (table, *_effects(found)))


def _effects(found: list["ListedEvent"]) -> list["ForPerson"]:
    from wacoex_cli.events.listing import notes
    from wacoex_cli.terminal.render import ForPerson, Table

    effects = notes(found)
    if not effects:
        return []
    columns = ("kind", "window", "automation", "conversation", "new contact", "MAC")
    rows = [
        (
            kind,
            one.opens_window,
            one.triggers_automation,
            one.starts_conversation,
            one.creates_contact,
            one.counts_as_mac,
        )
        for kind, one in effects.items()
    ]
    told = [f"{kind}: {one.note}" for kind, one in effects.items()]
    end = "-: neither Meta nor respond.io says; new contact: only if there is none yet"
    parts: list[str | Table] = ["", Table(columns, rows), "", *told, end]
    return [ForPerson(part) for part in parts]
