"""What `broadcast plan` does around the operation: read the options, show the plan."""

from __future__ import annotations

import json
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.broadcast.plan import Planned, PlanRequest, plan
from wacoex_cli.broadcast.preflight import standing_check
from wacoex_cli.broadcast.providers import provider_for
from wacoex_cli.broadcast.view import plan_data, plan_text
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.phone_numbers import check_country
from wacoex_cli.templates.message import preview
from wacoex_cli.terminal.render import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wacoex_cli.broadcast.estimate import Means
    from wacoex_cli.broadcast.trial import Trial
    from wacoex_cli.channels.model import Channel
    from wacoex_cli.foundation.workspace import Workspace


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan as they were typed."""

    template: str | None
    language: str | None
    param: Sequence[str] | None
    text: Sequence[str] | None
    name: str | None
    country: str | None
    phone_column: str | None
    exclude: Sequence[Path] | None
    create_contacts: bool = False

    def refuse_all(self) -> None:
        """Raise UsageError when any is given: a planned broadcast is frozen."""
        if any(astuple(self)):
            raise UsageError(
                "template, parameters, name and the list belong to `--to` or to `broadcast plan`",
                hint="a planned broadcast is frozen; leave them out, or plan a new one",
                code="already_planned",
            )


def plan_broadcast(
    workspace: Workspace,
    channel: Channel,
    recipients: str,
    options: PlanOptions,
    *,
    dry_run: bool,
    first_rows: int = 3,
    means: Means | None = None,
) -> Planned:
    """Plan from a file, or from standard input when `recipients` is `-`.

    `means` is what the estimate may use besides the way that the channel sends.

    Raises:
        WacoexError: an option or the file is unfit, or Meta could not be asked.
    """
    if not options.template or not options.language:
        raise UsageError(
            "which template? `--template` and `--lang` are missing",
            hint="for example: --template spring_offer --lang en_US",
            code="missing_template",
        )
    request = PlanRequest(
        source=None if recipients == "-" else Path(recipients),
        template=options.template,
        language=options.language,
        parameters=_pairs("--param", "PLACEHOLDER=COLUMN", options.param),
        texts=_pairs("--text", "PLACEHOLDER=VALUE", options.text),
        name=options.name,
        country=check_country(options.country) if options.country else None,
        phone_column=options.phone_column,
        exclude=tuple(options.exclude or ()),
        create_contacts=options.create_contacts,
        dry_run=dry_run,
        first_rows=first_rows,
    )
    return workspace.run(
        plan(
            workspace.state,
            provider_for(workspace, channel),
            channel,
            request,
            clock=workspace.clock,
            stdin=sys.stdin.buffer,
            check_standing=standing_check(workspace, channel),
            means=means,
        )
    )


def show_plan(planned: Planned, trial: Trial | None = None) -> Result:
    """The plan for a person and as `data`, with every row in `first_rows` as it will be read."""
    data = plan_data(planned)
    data["preview"] = [
        {
            "line": row["line"],
            "phone": row["phone"],
            "text": preview(planned.template, json.loads(row["parameters"])),
        }
        for row in planned.first_rows
    ]
    data["test"] = trial.to_json() if trial else None
    text = [*plan_text(data, planned.findings)]
    if trial is None:
        return Result(data, text)
    if trial.state and not trial.errors:
        text.append(f"test to {trial.phone}: {trial.state.value}")
    return Result(data, text, trial.exit_status, trial.errors)


def first_reading(planned: Planned) -> str:
    """What the first recipient will read."""
    return preview(planned.template, json.loads(planned.first_rows[0]["parameters"]))


def _pairs(option: str, form: str, given: Sequence[str] | None) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one in given or ():
        key, equals, value = one.partition("=")
        if not (key and equals and value):
            raise UsageError(
                f"`{option} {one}` is not of the form {form}",
                hint=f"for example: {option} 1=first_name",
                code="bad_pair",
            )
        if key in pairs:
            raise UsageError(
                f"`{option}` names placeholder {key} twice", hint="leave one of them out"
            )
        pairs[key] = value
    return pairs
