"""`wacoex template list | show`."""

from typing import Annotated

import typer

from wacoex_cli.terminal.options import Invocation, command, group
from wacoex_cli.terminal.render import Result, Table

app = group("template", "The message templates of a channel's WhatsApp Business Account.")


@command(app, "list", "wacoex template list", "wacoex template list --channel shop --json")
def list_templates(invocation: Invocation) -> Result:
    """List the templates: status, category, placeholders to fill, quality, header and buttons.

    They are those of Meta, or respond.io's copy for a channel that sends through respond.io.
    """
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.templates import view
    from wacoex_cli.templates.reading import shelf_of

    with invocation.open_workspace() as workspace:
        shelf = shelf_of(workspace, choose_channel(workspace, invocation))
        found = workspace.run(shelf.all())
    none = f"{shelf.provider.known_as} has no templates for this channel"
    table = Table(view.COLUMNS, [view.row(one) for one in found], none)
    return Result(view.data(shelf.provider, found), (table,))


@command(
    app, "show", "wacoex template show spring_offer", "wacoex template show spring_offer --json"
)
def show(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
) -> Result:
    """Show a template in every language it has: its state, its text, what can be filled in.

    Names of placeholders: `1` or `first_name` in the body, `header.1` in the header, `button.0`
    for the link of the first button. (IMAGE) stands for the media of a header.
    """
    from wacoex_cli.channels.registry import choose_channel
    from wacoex_cli.templates import view
    from wacoex_cli.templates.reading import shelf_of

    with invocation.open_workspace() as workspace:
        shelf = shelf_of(workspace, choose_channel(workspace, invocation))
        found = workspace.run(shelf.versions(name))
    text = [line for template in found for line in view.lines(template, shelf.provider.known_as)]
    return Result(view.data(shelf.provider, found), tuple(text))
