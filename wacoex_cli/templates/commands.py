"""`wacoex template list | show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation, command, group

if TYPE_CHECKING:
    from wacoex_cli.templates.model import Template
    from wacoex_cli.terminal.render import Result

app = group("The message templates of a channel's WhatsApp Business Account.")


@command(
    app,
    "list",
    path=("template", "list"),
    examples=("wacoex template list", "wacoex template list --channel shop --json"),
)
def list_templates(invocation: Invocation) -> "Result":
    """List the templates with language, status and the placeholders to fill."""
    from wacoex_cli.channels.access import choose_channel, meta_for
    from wacoex_cli.templates.model import Template
    from wacoex_cli.templates.placeholders import placeholders
    from wacoex_cli.terminal.render import Result, Table

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        meta = meta_for(workspace, channel)
        records = workspace.run(meta.templates(channel.demand_waba_id()))
    found = sorted(map(Template.from_meta, records), key=lambda one: (one.name, one.language))
    rows = [
        (
            one.name,
            one.language,
            one.status,
            one.category,
            " ".join(place.key for place in placeholders(one)),
        )
        for one in found
    ]
    columns = ("name", "language", "status", "category", "placeholders")
    data = [dict(zip(columns, row, strict=True)) for row in rows]
    return Result({"templates": data}, (Table(columns, rows, "this WABA has no templates"),))


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
    """Show a template in every language it has: its text, and what can be filled in."""
    from wacoex_cli.channels.access import choose_channel, meta_for
    from wacoex_cli.templates.reading import find_versions
    from wacoex_cli.terminal.render import Result

    with invocation.open_workspace() as workspace:
        channel = choose_channel(workspace, invocation)
        meta = meta_for(workspace, channel)
        found = workspace.run(find_versions(meta, channel.demand_waba_id(), name))
    text = [line for template in found for line in _lines(template)]
    return Result({"templates": [one.to_json() for one in found]}, tuple(text))


def _lines(template: "Template") -> list[str]:
    from wacoex_cli.templates.message import preview
    from wacoex_cli.templates.placeholders import placeholders

    places = placeholders(template)
    shown = preview(template, [f"{{{{{place.key}}}}}" for place in places])
    filled = ", ".join(f"--param {place.key}=COLUMN" for place in places) or "nothing to fill"
    title = f"{template.name} ({template.language}): {template.status}, {template.category}"
    return [title, *(f"  | {line}" for line in shown.splitlines()), f"  {filled}"]
