"""`wacoex template list | show | skeleton`."""

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
    from wacoex_cli.templates import reading

    with invocation.open_workspace() as workspace:
        shelf = reading.shelf_of(workspace, invocation)
        found = workspace.run(shelf.all())
    none = f"{shelf.provider.known_as} has no templates for this channel"
    table = Table(reading.COLUMNS, [reading.row(template) for template in found], none)
    return Result(reading.data(shelf.provider, found), (table,))


@command(
    app, "show", "wacoex template show spring_offer", "wacoex template show spring_offer --json"
)
def show(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
) -> Result:
    """Show a template in every language it has: its state, its text, what can be filled in.

    Names of placeholders: `1` or `first_name` in the body, `header.1` in the header, `header` for
    its picture, `button.0` for what the first button needs, `card.0.` before those of the first
    card of a carousel. The last lines are a file for `--values`, filled with the examples.
    """
    from wacoex_cli.templates import reading

    with invocation.open_workspace() as workspace:
        shelf = reading.shelf_of(workspace, invocation)
        found = workspace.run(shelf.versions(name))
    text = [line for template in found for line in reading.lines(template, shelf.provider)]
    return Result(reading.data(shelf.provider, found), tuple(text))


@command(
    app,
    "skeleton",
    "wacoex template skeleton summer_cards > values.toml",
    "wacoex template skeleton summer_cards --lang en_US",
)
def skeleton(
    invocation: Invocation,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")],
    *,
    language: Annotated[
        str | None,
        typer.Option("--lang", metavar="CODE", help="Its language; the first one if left out."),
    ] = None,
) -> Result:
    """Print a file of values for a template, to be filled in: for `broadcast plan --values FILE`.

    It is TOML and holds every placeholder with an example. A text is the same for all people;
    `{ column = "NAME" }` takes it from the list. YAML and JSON with the same names do as well.
    """
    from wacoex_cli.templates import reading, values_file

    with invocation.open_workspace() as workspace:
        shelf = reading.shelf_of(workspace, invocation)
        template = workspace.run(shelf.version(name, language))
    lines = list(values_file.skeleton(template))
    data = {"template": template.name, "language": template.language, "toml": "\n".join(lines)}
    return Result(data, lines)
