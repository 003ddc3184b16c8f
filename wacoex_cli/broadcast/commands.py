"""`wacoex broadcast send | resume`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.broadcast.plan_commands import (
    CountryOption,
    ExcludeOption,
    LanguageOption,
    NameOption,
    ParamOption,
    PhoneColumnOption,
    TemplateOption,
    TextOption,
    app,
    demand_meta,
    sending_channel,
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
        "wacoex broadcast send --rate 20",
        "wacoex broadcast send 7 --expect 1200 --yes",
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
    rate: RateOption = None,
    expect: ExpectOption = None,
    overrule: OverruleOption = None,
    progress: ProgressOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Send a planned broadcast, or plan and send in one go with --to.

    Without an id the one planned broadcast of the channel is sent. Ctrl-C once lets requests
    under way end and prints how to continue; twice stops at once.
    """
    _check_rate(rate)
    _check_progress(invocation, progress)
    from wacoex_cli.broadcast.planning import PlanOptions, plan_broadcast
    from wacoex_cli.broadcast.sending import SendOptions, send_broadcast, show_requests

    asked = SendOptions(rate, expect, _known_findings(overrule), yes)
    options = PlanOptions(template, lang, param, text, name, country, phone_column, exclude)
    with invocation.open_workspace() as workspace:
        if to is None:
            options.refuse_all()
            broadcast, channel = _chosen(workspace, invocation, broadcast_id)
            rows = None
        else:
            _check_one_go(invocation, broadcast_id, may_ask=not (yes or dry_run))
            channel = sending_channel(workspace, invocation)
            planned = plan_broadcast(workspace, channel, to, options, dry_run=dry_run)
            broadcast, rows = planned.broadcast, planned.first_rows
        if dry_run:
            return show_requests(workspace, channel, broadcast, rows)
        return send_broadcast(workspace, invocation, channel, broadcast, asked)


@command(
    app,
    "resume",
    path=("broadcast", "resume"),
    examples=("wacoex broadcast resume 7", "wacoex broadcast resume 7 --rate 5 --yes"),
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
    progress: ProgressOption = None,
    yes: YesOption = False,
) -> "Result":
    """Go on with a broadcast that was paused, interrupted or killed. Nobody is sent to twice."""
    _check_rate(rate)
    _check_progress(invocation, progress)
    from wacoex_cli.broadcast.sending import SendOptions, send_broadcast

    asked = SendOptions(rate, expect, _known_findings(overrule), yes, resume=True)
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
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.channels.registry import active

    if broadcast_id is not None:
        broadcast = ledger.get(workspace.state, broadcast_id)
        channel = demand_meta(active(workspace.state, broadcast.channel))
        if invocation.channel not in (None, channel.name):
            raise UsageError(
                f"broadcast {broadcast_id} belongs to channel {channel.name},"
                f" not to {invocation.channel}",
                hint="leave `--channel` out",
                code="other_channel",
            )
        return broadcast, channel
    channel = sending_channel(workspace, invocation)
    return _only_planned(workspace, channel), channel


def _only_planned(workspace: "Workspace", channel: "Channel") -> "Broadcast":
    from wacoex_cli.broadcast import ledger
    from wacoex_cli.broadcast.model import Status

    planned = ledger.of_channel(workspace.state, channel.channel_id, Status.PLANNED)
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
