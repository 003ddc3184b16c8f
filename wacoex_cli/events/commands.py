"""`wacoex events` and `wacoex mac`."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import DeclinedError, UsageError, counted
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
from wacoex_cli.terminal.output import Working
from wacoex_cli.terminal.render import ForPerson, Result, Table

if TYPE_CHECKING:
    from wacoex_cli.events.pull import Pulled
    from wacoex_cli.events.subscribe import Subscription
    from wacoex_cli.findings.model import Finding

root = group("", "Commands outside the groups.")
app = group("events", "Receive the webhooks of Meta and respond.io, and look at them.")

_PARTIAL = 7
_MOST_LISTED = 10_000
_FIELD_COLUMNS = (
    Column("webhook field", 9, fit="keep"),
    Column("on", 8, fit="keep"),
    Column("needed for", 5, least=16, fit="wrap"),
)
_NOBODY = (
    "there is no contact to read: no recent broadcast, no probe contact;"
    " name one with --contact, or read everybody with --all-contacts"
)


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

    wacoex stores no texts, media and names. Exit status 7 when some payloads could not be read, 2
    when none could.
    """
    from wacoex_cli.events.import_file import import_archive

    with invocation.open_workspace() as workspace:
        done = import_archive(workspace, invocation, file, dry_run=dry_run)
    would = "would be " if dry_run else ""
    text = (
        f"{counted(done.read, 'payload')} read: {done.stored} {would}stored,"
        f" {done.duplicates} known already, {done.invalid} unreadable"
    )
    table = Table(
        ("events", Column("kind", 9, fit="keep")),
        [(n, kind) for kind, n in sorted(done.by_kind.items())],
    )
    data = {**done.to_json(), "dry_run": dry_run}
    if not done.invalid:
        return Result(data, (text, table))
    if done.stored or done.duplicates:
        return Result(data, (text, table), exit_code=_PARTIAL)
    line, reason = done.invalid_lines[0]
    title = "standard input" if file == "-" else f"`{file}`"
    error = UsageError(
        f"{title} has no payload that wacoex can read; line {line}: {reason}",
        hint="give webhooks of Meta or respond.io unchanged, one JSON object a line",
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
        typer.Option(
            "--since", metavar="TIME", help="Only events since then: 24h, 7d or 2026-11-01."
        ),
    ] = None,
    limit: Annotated[
        int,
        typer.Option(
            "--limit", metavar="N", min=1, max=_MOST_LISTED, help="At most this many, the newest."
        ),
    ] = 100,
) -> Result:
    """List events, newest first, and what each kind does and does not do.

    With --channel those of one channel. It shows phone numbers whole. `wacoex state export`
    gives everything.
    """
    from wacoex_cli.events import reports

    with invocation.open_workspace() as workspace:
        found = reports.list_events(
            workspace, kinds=kind, since=since, channel=invocation.channel, most=limit
        )
    rows = [
        (
            from_text(listed.event.at),
            listed.event.kind,
            listed.event.source,
            listed.channel,
            listed.event.contact,
            listed.summary(),
        )
        for listed in found
    ]
    columns = (
        Column("at", 8, fit="keep"),
        Column("kind", 7, fit="keep"),
        Column("from", 3, fit="keep", may_drop=True),
        Column("channel", 5, may_drop=True),
        Column("contact", 6, fit="keep", may_drop=True),
        Column("what", 9, least=16, fit="wrap"),
    )
    table = Table(
        columns, rows, "there is no such event yet; import some: wacoex events import FILE"
    )
    data = {"events": [listed.to_json() for listed in found]}
    effects = reports.notes(found, kind or ())
    if not effects:
        return Result(data, (table,))
    shown = Table(
        (
            Column("kind", 9, fit="keep"),
            Column("window", 6, fit="keep", may_drop=True),
            Column("automation", 5, fit="keep", may_drop=True),
            Column("conversation", 4, fit="keep", may_drop=True),
            Column("new contact", 3, fit="keep", may_drop=True),
            Column("MAC", 8, fit="keep"),
        ),
        [(kind, *effect[:-1]) for kind, effect in effects.items()],
    )
    texts = (f"{kind}: {effect.note}" for kind, effect in effects.items())
    end = "-: neither Meta nor respond.io says; new contact: only if the contact is not there yet"
    parts: tuple[str | Table, ...] = ("", shown, "", *texts, end)
    return Result(data, (table, *map(ForPerson, parts)))


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
        bool, typer.Option("--check", help="Change nothing: show what is on and what is off.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Attach your own Meta app to the channel's account, and show which webhooks are on.

    You switch the webhook fields on by hand: wacoex shows the clicks. With --check the exit
    status is 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.events import subscribe as operation

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        if check:
            checked = operation.check(workspace, invocation)
            found, findings = checked.subscription, checked.findings
            data = {
                **(found.to_json() if found else {}),
                "findings": [finding.to_json() for finding in findings],
            }
            text = _subscription_text(found, findings, workspace.clock.now())
            return Result(data, tuple(text), checked.exit_status, checked.failures)
        channel = choose_channel(workspace, invocation)
        found = workspace.run(operation.look(workspace, channel))
        what = f"app {found.seen.app_id or '(unknown)'} to WABA {found.waba_id} ({channel.name})"
        is_needed = found.seen.is_attached is not True
        if not is_needed:
            done = "already attached: " + what
        elif dry_run:
            dialogue.warn(operation.MAY_RESPOND)
            done = f"would attach {what}"
        else:
            dialogue.warn(operation.MAY_RESPOND)
            if not yes and not dialogue.confirm(f"attach {what}?", flag="--yes"):
                raise DeclinedError("nothing changed")
            found = workspace.run(operation.attach(workspace, channel))
            done = f"attached {what}"
        now = workspace.clock.now()
        findings = operation.missing(found, now)
    data = {**found.to_json(), "changed": is_needed and not dry_run, "dry_run": dry_run}
    return Result(data, (done, *_subscription_text(found, findings, now)))


def _subscription_text(
    found: "Subscription | None", findings: "Sequence[Finding]", now: datetime
) -> "Iterator[str | Table | ForPerson]":
    from wacoex_cli.findings.model import finding_blocks

    if found is not None:
        rows = [(field["name"], field["on"], field["purpose"]) for field in found.fields()]
        yield Table(_FIELD_COLUMNS, rows)
        if found.callback_url:
            yield ForPerson(f"\nMeta delivers to {found.callback_url}")
        if found.override:
            diverted = "messages, echoes, contact sync and history of this WABA"
            yield ForPerson(f"but {diverted} go to {found.override} (an override)")
    yield ForPerson(finding_blocks(findings, now))


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

    wacoex answers each delivery once it is in the state file, and processes it afterwards. It needs
    a meta-app-secret or a respondio-signing-key, and for Meta's handshake a
    webhook-verify-token. Put a reverse proxy with TLS in front of it. With --json each delivery is
    one object a line.
    """
    from wacoex_cli.events import listener

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        report = listener.ListenReport(dialogue, workspace.clock, streams_json=invocation.json)
        invocation.begin_log()
        with Working():
            signal_number = workspace.run(
                listener.listen(workspace, host, port, dialogue, report, insecure=insecure)
            )
    count = report.count
    text = (
        f"deliveries: {count.stored} stored, {count.duplicates} known before,"
        f" {count.refused} refused"
    )
    return Result(count.to_json(), (text,), exit_code=128 + signal_number)


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
    recent broadcasts, the probe contact, and those named. It reads each contact back to where
    the last pull began. It asks Meta for the statuses of your messages, where Meta offers that.
    """
    from wacoex_cli.events.pull import Pull, PullRequest

    request = PullRequest(tuple(contact or ()), since, all_contacts, dry_run, yes)
    with invocation.open_workspace() as workspace:
        pull = Pull(workspace, invocation, request)
        pulled = pull.run()
    data = {"channel": pull.channel.name, **pulled.to_json(), "dry_run": dry_run}
    lines = tuple(_planned(pulled) if dry_run else _pulled_text(pulled))
    return Result(data, lines, pulled.exit_status, tuple(pulled.errors))


def _planned(pulled: "Pulled") -> "Iterator[str]":
    if pulled.estimate is not None:
        yield f"respond.io: {pulled.estimate.sentence()}"
    if pulled.statuses_wanted:
        yield f"Meta: the status of {pulled.statuses_wanted} of our messages"
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
        yield f"contacts that it still processes: {tally.not_ready}; pull again in a few minutes"
    if tally.refused:
        yield f"contacts that it refused to read: {tally.refused}"
    if history.available:
        yield f"messages whose status Meta was asked for: {history.checked}"
    elif history.available is False:
        yield f"Meta offers no message history here ({history.why_not});"
        yield "webhooks bring the statuses"
    if pulled.errors and tally.stored:
        yield "wacoex keeps what it read; the same command continues from there"


@command(
    root, "mac", "wacoex mac", "wacoex mac --month 2026-11 --json", "wacoex mac --channel shop"
)
def mac(
    invocation: Invocation,
    month: Annotated[
        str | None,
        typer.Option(
            "--month", metavar="YYYY-MM", help="The month, in UTC; the current one if left out."
        ),
    ] = None,
) -> Result:
    """Count the contacts that were active in a month, and those that only echoes made active.

    respond.io charges by monthly active contacts (MAC) and no API gives its own figure.
    wacoex counts the events in the state file.
    """
    from wacoex_cli.events.reports import count_mac

    with invocation.open_workspace() as workspace:
        month_count = count_mac(workspace, month, invocation.channel)
    table = Table(
        (
            Column("channel", 8, least=12),
            Column("contacts", 9, fit="keep"),
            Column("echoes only", 5, fit="keep", may_drop=True),
        ),
        [
            (count.channel or "(no channel)", count.contacts, count.echo_only)
            for count in month_count.by_channel
        ],
        "the events show no active contact",
    )
    total = (
        f"{month_count.month}: active contacts: {month_count.contacts},"
        f" through echoes only: {month_count.echo_only}"
    )
    begins = "there is no event to count yet; import some: wacoex events import FILE"
    if since := month_count.counted_since:
        day = to_text(since)[:10]
        begins = f"counted from events since {day} (UTC); earlier messages are not counted"
    more = (
        "counted: contacts who wrote, or got a message, also from the app (an echo)",
        "not counted: edits and deletions by a contact; respond.io does not say if they count",
        "respond.io shows its own figure under Organization Settings, Billing & Usage",
    )
    answers = [
        f"answers through the API that were delivered, {entry.channel or '(no channel)'}:"
        f" {entry.free} of the 1,000 that are free each month, {entry.charged} charged"
        for entry in month_count.answers
    ]
    return Result(asdict(month_count), (total, table, *answers, begins, *map(ForPerson, more)))
