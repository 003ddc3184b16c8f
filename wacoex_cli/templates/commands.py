"""`wacoex template list | show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation, command, group

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

app = group("The message templates of a channel's WhatsApp Business Account.")


@command(
    app,
    "list",
    path=("template", "list"),
    examples=("wacoex template list", "wacoex template list --channel shop --json"),
)
def list_templates(invocation: Invocation) -> "Result":
    """List the templates: status, category, placeholders to fill, quality, header and buttons."""
    from wacoex_cli.channels.access import choose_channel, meta_for
    from wacoex_cli.templates import view
    from wacoex_cli.templates.model import Template
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        meta = meta_for(workspace, channel)
        records = workspace.run(meta.templates(channel.demand_waba_id()))
    found = sorted(map(Template.from_meta, records), key=lambda one: (one.name, one.language))
    table = Table(view.COLUMNS, [view.row(one) for one in found], "this WABA has no templates")
    return Result({"templates": [view.record(one) for one in found]}, (table,))


@command(
    app,
    "show",
    path=("template", "show"),
    examples=("wacoex template show spring_offer", "wacoex template show spring_offer --json"),
)
def show(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
) -> "Result":
    """Show a template in every language it has: its state, its text, what can be filled in.

    Names of placeholders: `1` or `first_name` in the body, `header.1` in the header, `button.0`
    for the link of the first button. (IMAGE) stands for the media of a header.
    """
    from wacoex_cli.channels.access import choose_channel, meta_for
    from wacoex_cli.templates import view
    from wacoex_cli.templates.reading import find_versions
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        meta = meta_for(workspace, channel)
        found = workspace.run(find_versions(meta, channel.demand_waba_id(), name))
    text = [line for template in found for line in view.lines(template)]
    return Result({"templates": [view.record(one) for one in found]}, tuple(text))
