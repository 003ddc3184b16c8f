"""`wacoex broadcast send | resume`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.guard_commands import (
    CanaryLimitOption,
    CanaryOption,
    CanaryWaitOption,
    NotBeforeOption,
    QuietHoursOption,
    UntilOption,
)
from wacoex_cli.broadcast.plan_commands import (
    CountryOption,
    CreateContactsOption,
    ExcludeOption,
    LanguageOption,
    NameOption,
    ParamOption,
    PhoneColumnOption,
    TemplateOption,
    TextOption,
    app,
)
from wacoex_cli.errors import UsageError
from wacoex_cli.terminal.options import (
    DryRunOption,
    Invocation,
    ProgressOption,
    YesOption,
    command,
    completing,
)

if TYPE_CHECKING:
    from wacoex_cli.broadcast.model import Broadcast
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.terminal.render import Result

__all__ = ["app"]

_LOWEST_RATE, _HIGHEST_RATE = 1.0, 20.0

ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="RECIPIENTS", help="Plan from this file and send in one go."),
]
RateOption = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Messages per second, 1 to 20.")
]
ExpectOption = Annotated[
    int | None,
    typer.Option("--expect", metavar="N", help="Refuse unless exactly N people would be sent to."),
]
OverruleOption = Annotated[
    list[str] | None,
    typer.Option("--overrule", metavar="ID", help="Send although this check is critical."),
]
RetryOption = Annotated[
    str | None,
    typer.Option(
        "--retry-failed",
        metavar="CLASS",
        help="Send the failed rows of ID again, in a broadcast of their own:"
        " failed, rejected, all, a code of Meta, or retry, row, stop.",
    ),
]
IdArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="ID", help="The broadcast's number.", autocompletion=completing("broadcast")
    ),
]


@command(
    app,
    "send",
    path=("broadcast", "send"),
    examples=(
        "wacoex broadcast send 7 --rate 20 --expect 1200 --yes",
        "wacoex broadcast send 7 --canary 10 --quiet-hours 21:00-08:00",
        "wacoex broadcast send 7 --retry-failed 131026",
        "wacoex broadcast send --to customers.csv --template spring_offer --lang en_US \\",
        "  --param 1=first_name --param 2=city --rate 10",
    ),
)
def send(
    invocation: Invocation,
    broadcast_id: IdArgument = None,
    to: ToOption = None,
    template: TemplateOption = None,
    lang: LanguageOption = None,
    param: ParamOption = None,
    text: TextOption = None,
    name: NameOption = None,
    country: CountryOption = None,
    phone_column: PhoneColumnOption = None,
    exclude: ExcludeOption = None,
    create_contacts: CreateContactsOption = False,
    retry_failed: RetryOption = None,
    rate: RateOption = None,
    expect: ExpectOption = None,
    overrule: OverruleOption = None,
    canary: CanaryOption = None,
    canary_wait: CanaryWaitOption = None,
    canary_limit: CanaryLimitOption = None,
    quiet_hours: QuietHoursOption = None,
    not_before: NotBeforeOption = None,
    until: UntilOption = None,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Send a planned broadcast, or plan and send in one go with --to.

    Without an id the one planned broadcast of the channel is sent. Ctrl-C once lets requests
    under way end and prints how to continue; twice stops at once. A canary and quiet hours stay
    with the broadcast: `resume` minds them too.
    """
    _check_rate(rate)
    _check_progress(invocation, progress)
    from dataclasses import replace

    from wacoex_cli.broadcast.guards import SendOrder, wishes
    from wacoex_cli.broadcast.plan import PlanOrder, check_retry, plan_again, plan_broadcast
    from wacoex_cli.broadcast.send import check_wishes, send_broadcast, show_requests
    from wacoex_cli.channels.access import choose_channel

    minded = wishes(canary, canary_wait, canary_limit, quiet_hours, not_before, until)
    asked = SendOrder(rate, expect, _known_findings(overrule), yes, wishes=minded)
    options = PlanOrder(
        None,
        template or "",
        lang or "",
        param or (),
        text or (),
        name,
        country,
        phone_column,
        exclude or (),
        create_contacts,
    )
    with invocation.open_workspace() as workspace:
        if retry_failed is not None:
            options.refuse_all()
            check_retry(invocation, broadcast_id, to, may_ask=not (yes or dry_run))
            source, channel = _chosen(workspace, invocation, broadcast_id)
            check_wishes(workspace, channel, minded)
            retry = plan_again(
                workspace, invocation, channel, source, retry_failed, dry_run=dry_run
            )
            broadcast, rows = retry.broadcast, retry.first_rows
        elif to is None:
            options.refuse_all()
            broadcast, channel = _chosen(workspace, invocation, broadcast_id)
            rows = None
        else:
            _check_one_go(invocation, broadcast_id, may_ask=not (yes or dry_run))
            channel = choose_channel(workspace, invocation)
            check_wishes(workspace, channel, minded)
            planned = plan_broadcast(workspace, channel, to, replace(options, dry_run=dry_run))
            broadcast, rows = planned.broadcast, planned.first_rows
        if dry_run:
            return show_requests(workspace, channel, broadcast, rows)
        return send_broadcast(workspace, invocation, channel, broadcast, asked)


@command(
    app,
    "resume",
    path=("broadcast", "resume"),
    examples=(
        "wacoex broadcast resume 7",
        "wacoex broadcast resume 7 --rate 5 --yes",
        'wacoex broadcast resume 7 --not-before "2026-12-01 09:00" --until "2026-12-01 20:00"',
    ),
)
def resume(
    invocation: Invocation,
    broadcast_id: Annotated[
        int,
        typer.Argument(
            metavar="ID", help="The broadcast's number.", autocompletion=completing("broadcast")
        ),
    ],
    rate: RateOption = None,
    expect: ExpectOption = None,
    overrule: OverruleOption = None,
    canary: CanaryOption = None,
    canary_wait: CanaryWaitOption = None,
    canary_limit: CanaryLimitOption = None,
    quiet_hours: QuietHoursOption = None,
    not_before: NotBeforeOption = None,
    until: UntilOption = None,
    progress: ProgressOption = None,
    yes: YesOption = False,
) -> "Result":
    """Go on with a broadcast that was paused, interrupted or killed. Nobody is sent to twice."""
    _check_rate(rate)
    _check_progress(invocation, progress)
    from wacoex_cli.broadcast.guards import SendOrder, wishes
    from wacoex_cli.broadcast.send import send_broadcast

    minded = wishes(canary, canary_wait, canary_limit, quiet_hours, not_before, until)
    asked = SendOrder(rate, expect, _known_findings(overrule), yes, resume=True, wishes=minded)
    with invocation.open_workspace() as workspace:
        broadcast, channel = _chosen(workspace, invocation, broadcast_id)
        return send_broadcast(workspace, invocation, channel, broadcast, asked)


def _check_rate(rate: float | None) -> None:
    if rate is not None and not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise UsageError(
            f"`--rate` must be between 1 and 20, not {rate:g}",
            hint="Meta fixes a Coexistence number at 20 messages per second",
            code="rate_out_of_range",
        )


def _known_findings(ids: list[str] | None) -> tuple[str, ...]:
    """The ids of `--overrule`, each of them one that a check before sending can have."""
    import difflib

    from wacoex_cli.findings.catalogue import CATALOGUE

    known = [entry.id for entry in CATALOGUE]
    for one in ids or ():
        if one not in known:
            near = difflib.get_close_matches(one.upper(), known, n=1)
            raise UsageError(
                f"`--overrule {one}` names no finding",
                hint=f"did you mean `{near[0]}`?" if near else "the refusal names the ids",
                code="unknown_finding",
            )
    return tuple(ids or ())


def _check_progress(invocation: Invocation, progress: str | None) -> None:
    if progress == "json":
        invocation.stream()
    elif progress is not None:
        raise UsageError(
            f"`--progress {progress}` is not known", hint="the only form is `--progress json`"
        )


def _check_one_go(invocation: Invocation, broadcast_id: int | None, *, may_ask: bool) -> None:
    """Refuse before anything is planned: a cron job would leave one more plan each time."""
    from wacoex_cli.terminal.dialogue import TerminalDialogue

    if broadcast_id is not None:
        raise UsageError("give an id or `--to`, not both", hint="`--to` plans a new broadcast")
    if may_ask:
        TerminalDialogue(invocation).demand_person("--yes")


def _chosen(
    workspace: "Workspace", invocation: Invocation, broadcast_id: int | None
) -> tuple["Broadcast", "Channel"]:
    from wacoex_cli.broadcast.store import Broadcasts
    from wacoex_cli.channels.registry import active

    if broadcast_id is not None:
        broadcast = Broadcasts(workspace.state).get(broadcast_id)
        channel = active(workspace.state, broadcast.channel)
        if invocation.channel not in (None, channel.name):
            raise UsageError(
                f"broadcast {broadcast_id} belongs to channel {channel.name},"
                f" not to {invocation.channel}",
                hint="leave `--channel` out",
                code="other_channel",
            )
        return broadcast, channel
    from wacoex_cli.channels.access import choose_channel

    channel = choose_channel(workspace, invocation)
    return _only_planned(workspace, channel), channel


def _only_planned(workspace: "Workspace", channel: "Channel") -> "Broadcast":
    from wacoex_cli.broadcast.model import Status
    from wacoex_cli.broadcast.store import Broadcasts

    found = Broadcasts(workspace.state).of_channel(channel.channel_id, Status.PLANNED)
    # A test whose sender was killed before it began is nothing that anybody planned.
    planned = [one for one in found if one.test_of is None]
    if len(planned) == 1:
        return planned[0]
    if not planned:
        raise UsageError(
            f"no broadcast of channel {channel.name} is planned",
            hint="plan one: wacoex broadcast plan RECIPIENTS --template NAME --lang CODE",
            code="nothing_planned",
        )
    listed = ", ".join(
        f"{one.broadcast_id} ({one.name or one.recipients_file}, {one.recipients} recipients)"
        for one in reversed(planned)
    )
    raise UsageError(
        f"several broadcasts of channel {channel.name} are planned: {listed}",
        hint=f"name one: wacoex broadcast send {planned[-1].broadcast_id}",
        code="several_planned",
    )
