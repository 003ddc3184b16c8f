"""`wacoex doctor`."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation, LookedAtArgument, command

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

# Without a callback of its own, so that its command joins those of the root.
app = typer.Typer(rich_markup_mode=None)


class SymptomName(enum.StrEnum):
    """What somebody sees, as the option spells it."""

    MISSING_MESSAGES = "missing-messages"
    UNSUPPORTED_MESSAGES = "unsupported-messages"
    UNLINKED_DEVICES = "unlinked-devices"
    CANNOT_SEND = "cannot-send"
    CANNOT_CONNECT = "cannot-connect"
    RATE_LIMITED = "rate-limited"


@command(
    app,
    "doctor",
    path=("doctor",),
    examples=(
        "wacoex doctor",
        "wacoex doctor shop --symptom missing-messages",
        "wacoex doctor --offline --json",
        "wacoex doctor shop --bundle support.json",
    ),
    is_check=True,
    heading="Watch",
)
def doctor(
    invocation: Invocation,
    channel: LookedAtArgument = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody: judge what is stored.")
    ] = False,
    symptom: Annotated[
        SymptomName | None,
        typer.Option(metavar="NAME", help=f"What you see: {', '.join(SymptomName)}."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write what support needs, without secrets."),
    ] = None,
) -> "Result":
    """Find what is wrong: how that is known, what to do, how to see that it helped.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.diagnosis import bundle as bundling
    from wacoex_cli.diagnosis.doctor import diagnose
    from wacoex_cli.diagnosis.symptoms import Symptom
    from wacoex_cli.diagnosis.view import doctor_data, doctor_text
    from wacoex_cli.findings.model import check_exit_status
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.render import Result

    name = invocation.one_channel(channel)
    with invocation.open_workspace() as workspace:
        found = diagnose(
            workspace,
            name,
            is_offline=offline,
            symptom=Symptom(symptom) if symptom else None,
            dialogue=TerminalDialogue(invocation),
        )
        now = workspace.clock.now()
        data = doctor_data(found)
        text = list(doctor_text(found, now))
        if bundle is not None:
            bundling.write(workspace, found, bundle)
            data["bundle"] = str(bundle)
            text.append(f"written to {bundle}: numbers are masked, secrets are not in it")
    return Result(data, text, exit_code=check_exit_status(found.verdict))
