"""`wacoex template`: list and show templates, and keep them as files."""

from pathlib import Path
from typing import Annotated

import typer

from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import DryRunOption, Invocation, YesOption, command, group
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


DirectoryArgument = Annotated[
    Path, typer.Argument(metavar="DIR", help="The directory with a `.toml` file a template.")
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")]
LanguageOption = Annotated[
    str | None,
    typer.Option("--lang", metavar="CODE", help="Only this language; all if you name none."),
]


@command(app, "pull", "wacoex template pull templates", "wacoex template pull templates --yes")
def pull(
    invocation: Invocation,
    directory: DirectoryArgument,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Write the templates at Meta into files, one a template with all its languages.

    A file whose template is the same stays as you wrote it. It asks before it replaces a file
    that differs from Meta.
    """
    from wacoex_cli.templates import filing

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        return filing.pull(workspace, invocation, directory, dialogue, yes=yes, dry_run=dry_run)


@command(app, "diff", "wacoex template diff templates", "wacoex template diff templates --json")
def diff(invocation: Invocation, directory: DirectoryArgument) -> Result:
    """Show what a push would change at Meta, and what Meta's limits do not allow now.

    The exit status is 1 when something differs. A template that Meta rejected is named with
    Meta's reason.
    """
    from wacoex_cli.templates import filing

    with invocation.open_workspace() as workspace:
        return filing.diff(workspace, invocation, directory)


@command(
    app,
    "push",
    "wacoex template push templates",
    "wacoex template push templates --dry-run",
    "wacoex template push templates --wait --yes",
)
def push(
    invocation: Invocation,
    directory: DirectoryArgument,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until Meta has reviewed them, a day at most.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Create or edit at Meta what differs in the files.

    It shows each change and asks, then reads file and template once more before each write: what
    has changed since is left. Meta allows an approved template an edit a day and 10 in 30 days,
    and an account 100 new templates an hour. A push that was stopped goes on when you run it again.
    """
    from wacoex_cli.templates import filing

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        return filing.push_files(
            workspace, invocation, directory, dialogue, waits=wait, yes=yes, dry_run=dry_run
        )


@command(
    app,
    "archive",
    "wacoex template archive old_offer",
    "wacoex template archive old_offer --undo",
)
def archive(
    invocation: Invocation,
    name: NameArgument,
    language: LanguageOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take it out of the archive again.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Archive a template at Meta, which deletes it after 28 days unless you take it out."""
    from wacoex_cli.templates import filing

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        return filing.archive(
            workspace,
            invocation,
            name,
            language,
            dialogue,
            takes_back=undo,
            yes=yes,
            dry_run=dry_run,
        )


@command(
    app,
    "delete",
    "wacoex template delete old_offer",
    "wacoex template delete old_offer --lang de --yes",
)
def delete(
    invocation: Invocation,
    name: NameArgument,
    language: LanguageOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
) -> Result:
    """Delete a template at Meta for good; its name is blocked for 30 days if it was approved."""
    from wacoex_cli.templates import filing

    dialogue = TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        return filing.delete(
            workspace, invocation, name, language, dialogue, yes=yes, dry_run=dry_run
        )


@command(app, "lint", "wacoex template lint templates/*.toml")
def lint(
    invocation: Invocation,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of templates.")],
) -> Result:
    """Check files against Meta's rules, without asking Meta.

    Variables at the ends, too many of them, lengths, names, examples, order of buttons. The exit
    status is 2 when Meta would refuse a template, 1 when it often does.
    """
    from wacoex_cli.templates import filing

    return filing.lint_files(paths)
