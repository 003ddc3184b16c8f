"""`wacoex events pull`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.errors import UsageError
from wacoex_cli.events.commands import app
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wacoex_cli.events.pull import Pulled
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]


@command(
    app,
    "pull",
    path=("events", "pull"),
    examples=(
        "wacoex events pull",
        "wacoex events pull --contact +6591234567 --since 7d",
        "wacoex events pull --all-contacts --dry-run",
        "wacoex events pull --all-contacts --yes --json",
    ),
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
) -> "Result":
    """Read messages and statuses from respond.io and Meta, without a webhook server.

    respond.io has no list of all messages, so this reads the contacts that matter: recipients of
    recent broadcasts, the probe contact, and those named. Each is read back to where the last
    pull began. Meta is asked for the statuses of our own messages, where it offers that.
    """
    from wacoex_cli.channels.access import choose_channel
    from wacoex_cli.events.pull import Pull, PullRequest
    from wacoex_cli.foundation.durations import moment_ago
    from wacoex_cli.terminal.dialogue import TerminalDialogue

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


def _result(pulled: "Pulled", channel: str, *, dry_run: bool) -> "Result":
    from wacoex_cli.terminal.render import Result

    data = {"channel": channel, **pulled.to_json(), "dry_run": dry_run}
    lines = tuple(_planned(pulled) if dry_run else _told(pulled))
    return Result(data, lines, pulled.exit_status, tuple(pulled.errors))


def _planned(pulled: "Pulled") -> "Iterator[str]":
    if pulled.estimate is not None:
        yield f"respond.io: {pulled.estimate.sentence()}"
    if pulled.statuses_wanted:
        yield f"Meta: the status of {pulled.statuses_wanted} messages of ours"
    if pulled.estimate is None and not pulled.statuses_wanted:
        yield _NOBODY


def _told(pulled: "Pulled") -> "Iterator[str]":
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
