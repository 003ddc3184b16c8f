"""`wacoex broadcast plan`, and the options that say whom to send what."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

app = group("Plan a broadcast, send it at a safe pace, know what became of every row.")

RecipientsArgument = Annotated[
    str, typer.Argument(metavar="RECIPIENTS", help="CSV, TSV, NDJSON or XLSX file; - is stdin.")
]
TemplateOption = Annotated[
    str | None, typer.Option("--template", metavar="NAME", help="Name of the template.")
]
LanguageOption = Annotated[
    str | None, typer.Option("--lang", metavar="CODE", help="Its language, such as en_US.")
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="PLACEHOLDER=COLUMN",
        help="Fill a placeholder from a column: 1=first_name, header.1=city, button.0=code.",
    ),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="PLACEHOLDER=VALUE", help="The same text for everybody."),
]
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="A name to know it by.")
]
CountryOption = Annotated[
    str | None,
    typer.Option(
        "--country", metavar="CODE", help="Country of numbers written without +, such as SG."
    ),
]
PhoneColumnOption = Annotated[
    str | None,
    typer.Option(
        "--phone-column", metavar="NAME", help="The column with the numbers, if not recognised."
    ),
]
ExcludeOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--exclude", metavar="FILE", help="Send to nobody in this list. May be given again."
    ),
]
CreateContactsOption = Annotated[
    bool,
    typer.Option(
        "--create-contacts",
        help="respond.io: make a contact of everybody who is none; each may count as a MAC.",
    ),
]
PreviewOption = Annotated[
    int,
    typer.Option(
        "--preview",
        metavar="N",
        min=1,
        max=100,
        help="Show the first N people's messages as they will read them.",
    ),
]
TestOption = Annotated[
    str | None,
    typer.Option(
        "--test",
        metavar="PHONE",
        help="Send the first message to this number, yours, and wait for its status.",
    ),
]


@command(
    app,
    "plan",
    path=("broadcast", "plan"),
    examples=(
        "wacoex broadcast plan customers.csv --template spring_offer --lang en_US \\",
        "  --param 1=first_name --param 2=city",
        "wacoex broadcast plan customers.csv --template spring_offer --lang en_US \\",
        "  --param 1=first_name --param 2=city --preview 3 --test +6591234567",
        "wacoex broadcast plan clients.csv --country BR --phone-column Contato \\",
        "  --exclude bought_already.csv --template opening_hours --lang pt_BR",
    ),
)
def plan(
    invocation: Invocation,
    recipients: RecipientsArgument,
    template: TemplateOption = None,
    lang: LanguageOption = None,
    param: ParamOption = None,
    text: TextOption = None,
    name: NameOption = None,
    country: CountryOption = None,
    phone_column: PhoneColumnOption = None,
    exclude: ExcludeOption = None,
    create_contacts: CreateContactsOption = False,
    preview: PreviewOption = 1,
    test: TestOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> "Result":
    """Check a list of recipients against a template and freeze it. Nobody on it is sent to.

    With --test one message goes to the number given, after a yes: a broadcast of its own, with
    what the first row has. It waits up to a minute for its status, which a listener must receive.
    """
    from wacoex_cli.broadcast.plan import PlanOrder, first_reading, plan_broadcast, show_plan
    from wacoex_cli.broadcast.providers import means_of
    from wacoex_cli.broadcast.send import check_wanted, try_out
    from wacoex_cli.channels.access import choose_channel

    order = PlanOrder(
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
        dry_run=dry_run,
        first_rows=preview,
    )
    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        phone = None
        if test is not None:
            phone = check_wanted(
                workspace.state, invocation, test, country, may_ask=not yes, dry_run=dry_run
            )
        means = means_of(workspace, channel)
        planned = plan_broadcast(workspace, channel, recipients, order, means)
        if phone is None:
            return show_plan(planned)
        trial = try_out(
            workspace, invocation, channel, planned, phone, first_reading(planned), yes=yes
        )
        return show_plan(planned, trial)
