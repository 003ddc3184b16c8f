"""`wacoex events` and `wacoex mac`."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, UsageError, WacoexError
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.render import ForPerson, Result, Table

if TYPE_CHECKING:
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.events.import_file import ImportCount
    from wacoex_cli.events.listing import ListedEvent
    from wacoex_cli.events.mac import Mac
    from wacoex_cli.events.pull import Pulled
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.findings.model import Finding
    from wacoex_cli.foundation.workspace import Workspace

root = group("", "Commands that stand beside the groups.")
app = group("events", "Take in what Meta and respond.io tell, and look at it.")

_PARTIAL = 7
_MOST_LISTED = 10_000
_MIB = 1024**2


@command(
    app,
    "import",
    "wacoex events import webhooks.ndjson",
    "wacoex events import webhooks.json --dry-run --json",
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
) -> Result:
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


def _imported(done: "ImportCount", file: str, *, dry_run: bool) -> Result:

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
    "wacoex events list",
    "wacoex events list --kind echo --kind edit --since 24h",
    "wacoex events list --channel shop --since 2026-11-01 --limit 1000 --json",
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
) -> Result:
    """List events, newest first, and what each kind does and does not do.

    With --channel those of one channel. Phone numbers are shown whole. `wacoex state export`
    gives everything.
    """
    from wacoex_cli.channels import registry
    from wacoex_cli.channels.store import CHANNELS
    from wacoex_cli.events import listing
    from wacoex_cli.events.store import catch_up
    from wacoex_cli.foundation.clock import moment_ago

    kinds = listing.kinds_named(kind)
    with invocation.open_workspace() as workspace:
        zone = workspace.settings.timezone or "UTC"
        moment = moment_ago(since, zone, workspace.clock.now()) if since else None
        state = workspace.state
        catch_up(state, (CHANNELS,), workspace.clock)
        channel = registry.known(state, invocation.channel) if invocation.channel else None
        found = listing.list_events(state, kinds=kinds, since=moment, channel=channel, most=limit)
    return _listed(found)


def _listed(found: list["ListedEvent"]) -> Result:

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


def _effects(found: list["ListedEvent"]) -> list[ForPerson]:
    from wacoex_cli.events.listing import notes

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


_UNKNOWN = 3


@command(
    app,
    "subscribe",
    "wacoex events subscribe",
    "wacoex events subscribe --channel shop --yes",
    "wacoex events subscribe --check --json",
)
def subscribe(
    invocation: Invocation,
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing: tell what is and is not on.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Attach your own Meta app to the channel's account, and show which webhooks are on.

    The webhook fields are switched on by hand: the clicks are shown. With --check the exit
    status is 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.channels.registry import choose_channel

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        if check:
            return _checked(workspace, invocation)
        channel = choose_channel(workspace, invocation)
        return _attached(workspace, channel, dialogue, yes=yes, dry_run=dry_run)


@command(
    app,
    "listen",
    "wacoex events listen",
    "wacoex events listen --host 0.0.0.0 --port 8080",
    "wacoex events listen --insecure --json",
)
def listen(
    invocation: Invocation,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8765,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Take unsigned deliveries, from this machine only."),
    ] = False,
) -> Result:
    """Receive the webhooks of Meta and respond.io until Ctrl-C or SIGTERM.

    Each delivery is answered once it lies in the state file, and worked on afterwards. It needs
    a meta-app-secret or a respondio-signing-key, and for Meta's handshake a
    webhook-verify-token. Put a reverse proxy with TLS before it. With --json each delivery is
    one object a line.
    """
    from wacoex_cli.events.listener import ListenReport
    from wacoex_cli.events.listener import listen as operation

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        report = ListenReport(dialogue, workspace.clock, streams_json=invocation.json)
        signal_number = workspace.run(
            operation(workspace, host, port, dialogue, report, insecure=insecure)
        )
    text = (
        f"{report.stored} deliveries stored, {report.duplicates} known before,"
        f" {report.refused} requests refused"
    )
    return Result(report.to_json(), (text,), exit_code=128 + signal_number)


def _checked(workspace: "Workspace", invocation: Invocation) -> Result:
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.events import subscribe as operation
    from wacoex_cli.findings.model import check_exit_status, worst

    found: Subscription | None = None
    failures: tuple[WacoexError, ...] = ()
    try:
        channel = choose_channel(workspace, invocation)
        found = workspace.run(operation.look_if_ours(workspace, channel))
    except WacoexError as error:
        failures = (error,)
    now = workspace.clock.now()
    findings = operation.findings(workspace.state, found, now)
    status = check_exit_status(worst(one.severity for one in findings))
    data = {
        **(found.to_json() if found else {}),
        "findings": [one.to_json() for one in findings],
    }
    text = tuple(_subscription_text(found, findings, now))
    return Result(data, text, _UNKNOWN if failures else status, failures)


def _attached(
    workspace: "Workspace",
    channel: "Channel",
    dialogue: TerminalDialogue,
    *,
    yes: bool,
    dry_run: bool,
) -> Result:
    from wacoex_cli.events import subscribe as operation

    found = workspace.run(operation.look(workspace, channel))
    what = f"app {found.seen.app_id or '(unknown)'} to WABA {found.waba_id} ({channel.name})"
    is_needed = found.seen.is_attached is not True
    if not is_needed:
        done = "already attached: " + what
    elif dry_run:
        done = f"would attach {what}"
    else:
        if not yes and not dialogue.confirm(f"attach {what}?", flag="--yes"):
            raise DeclinedError("nothing changed")
        found = workspace.run(operation.attach(workspace, channel))
        done = f"attached {what}"
    now = workspace.clock.now()
    findings = [one for one in operation.findings(workspace.state, found, now) if one.id == "WX210"]
    data = {**found.to_json(), "changed": is_needed and not dry_run, "dry_run": dry_run}
    return Result(data, (done, *_subscription_text(found, findings, now)))


def _subscription_text(
    found: "Subscription | None", findings: "Sequence[Finding]", now: "datetime"
) -> "Iterator[str | Table | ForPerson]":
    from wacoex_cli.events.checks import FIELDS
    from wacoex_cli.findings.model import finding_text

    if found is not None:
        on = found.seen.fields
        rows = [(one.name, None if on is None else one.name in on, one.purpose) for one in FIELDS]
        yield Table(("webhook field", "on", "needed for"), rows)
        if found.callback_url:
            yield ForPerson(f"\nMeta delivers to {found.callback_url}")
        if found.override:
            yield ForPerson(f"but messages of this WABA go to {found.override} (an override)")
    for finding in findings:
        yield ForPerson(f"\n{finding_text(finding, now)}")


@command(
    app,
    "pull",
    "wacoex events pull",
    "wacoex events pull --contact +6591234567 --since 7d",
    "wacoex events pull --all-contacts --dry-run",
    "wacoex events pull --all-contacts --yes --json",
)
def pull(
    invocation: Invocation,
    contact: Annotated[
        list[str] | None,
        typer.Option("--contact", metavar="PHONE", help="Read this contact too; repeatable."),
    ] = None,
    all_contacts: Annotated[
        bool,
        typer.Option("--all-contacts", help="Read every contact of the workspace; asks first."),
    ] = False,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="How far back, the first time: 30d, 12h."),
    ] = "30d",
    dry_run: DryRunOption = False,
    yes: YesOption = False,
) -> Result:
    """Read messages and statuses from respond.io and Meta, without a webhook server.

    respond.io has no list of all messages, so this reads the contacts that matter: recipients of
    recent broadcasts, the probe contact, and those named. Each is read back to where the last
    pull began. Meta is asked for the statuses of our own messages, where it offers that.
    """
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.events.pull import Pull, PullRequest
    from wacoex_cli.foundation.clock import moment_ago

    phones = tuple(_phone(text) for text in contact or ())
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        zone = channel.timezone or workspace.settings.timezone or "UTC"
        request = PullRequest(
            phones=phones,
            all_contacts=all_contacts,
            since=moment_ago(since, zone, workspace.clock.now()),
            dry_run=dry_run,
            is_confirmed=yes,
        )
        pulled = Pull(workspace, invocation, channel, request).run(TerminalDialogue(invocation))
    return _result(pulled, channel.name, dry_run=dry_run)


def _phone(text: str) -> str:
    from wacoex_cli.foundation.phone_numbers import normalise

    phone = normalise(text)
    if phone is None:
        raise UsageError(
            f"`--contact {text}` is not a phone number",
            hint="write it with `+` and the country code, such as `+6591234567`",
            code="bad_contact",
        )
    return phone


def _result(pulled: "Pulled", channel: str, *, dry_run: bool) -> Result:

    data = {"channel": channel, **pulled.to_json(), "dry_run": dry_run}
    lines = tuple(_planned(pulled) if dry_run else _pulled_text(pulled))
    return Result(data, lines, pulled.exit_status, tuple(pulled.errors))


def _planned(pulled: "Pulled") -> "Iterator[str]":
    if pulled.estimate is not None:
        yield f"respond.io: {pulled.estimate.sentence()}"
    if pulled.statuses_wanted:
        yield f"Meta: the status of {pulled.statuses_wanted} messages of ours"
    if pulled.estimate is None and not pulled.statuses_wanted:
        yield _NOBODY


def _pulled_text(pulled: "Pulled") -> "Iterator[str]":
    tally, history = pulled.tally, pulled.history
    if not (pulled.calls or pulled.errors):
        yield _NOBODY
        return
    yield (
        f"contacts read: {tally.contacts}, in calls: {pulled.calls};"
        f" payloads: {tally.stored} stored, {tally.duplicates} known already"
    )
    if tally.by_kind:
        yield "new: " + ", ".join(
            f"{count} {kind}" for kind, count in sorted(tally.by_kind.items())
        )
    if tally.not_found:
        yield f"contacts that respond.io does not know: {tally.not_found}"
    if tally.not_ready:
        yield f"contacts it is still busy with: {tally.not_ready}; pull again in a few minutes"
    if tally.refused:
        yield f"contacts that it refused to read: {tally.refused}"
    if history.available:
        yield f"messages whose status Meta was asked for: {history.checked}"
    elif history.available is False:
        yield f"Meta offers no message history here ({history.why_not});"
        yield "webhooks bring the statuses"
    if pulled.errors and tally.stored:
        yield "what was read is kept; the same command goes on from there"


_NOBODY = (
    "nobody to ask about: no recent broadcast, no probe contact;"
    " name one with --contact, or read everybody with --all-contacts"
)


@command(
    root, "mac", "wacoex mac", "wacoex mac --month 2026-11 --json", "wacoex mac --channel shop"
)
def mac(
    invocation: Invocation,
    month: Annotated[
        str | None,
        typer.Option("--month", metavar="YYYY-MM", help="The month, in UTC; else the present one."),
    ] = None,
) -> Result:
    """Count the contacts that were active in a month, and those that only echoes made active.

    respond.io charges by monthly active contacts (MAC) and gives its own figure to no program.
    This one is counted from the events that are here.
    """
    from wacoex_cli.channels import registry
    from wacoex_cli.channels.store import CHANNELS
    from wacoex_cli.events import mac as operation
    from wacoex_cli.events.mac import MAC
    from wacoex_cli.events.store import catch_up

    with invocation.open_workspace() as workspace:
        state = workspace.state
        named = operation.month_named(month, workspace.clock.now())
        catch_up(state, (CHANNELS, MAC), workspace.clock)
        only = [registry.known(state, invocation.channel)] if invocation.channel else None
        return _counted(operation.count(state, named, only))


def _counted(counted: "Mac") -> Result:

    table = Table(
        ("channel", "contacts", "echoes only"),
        [
            (one.channel or "(no channel)", one.contacts, one.echo_only)
            for one in counted.by_channel
        ],
        "no contact was active, as far as the events tell",
    )
    total = (
        f"{counted.month}: {counted.contacts} contacts were active,"
        f" {counted.echo_only} of them through echoes only"
    )
    since = counted.counted_since
    told = to_text(since)[:10] if since else None
    begins = (
        f"counted from events since {told} (UTC); what came before them is not in it"
        if told
        else "no event that counts is here; take some in: wacoex events import FILE"
    )
    more = (
        "counted: who wrote, was sent a message or was written to in the app (an echo)",
        "not counted: edits and deletions by a contact, of which respond.io says nothing",
        "respond.io shows its own figure under Organization Settings, Billing & Usage",
    )
    return Result(asdict(counted), (total, table, begins, *map(ForPerson, more)))
