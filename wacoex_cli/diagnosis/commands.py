"""`wacoex status`, `doctor`, and the pages to read: `explain`, `docs`, `help`."""

from pathlib import Path
from typing import Annotated

import typer

from wacoex_cli.diagnosis.model import Symptom
from wacoex_cli.errors import UsageError, WacoexError
from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.layout import Column
from wacoex_cli.terminal.options import (
    Invocation,
    LookedAtArgument,
    command,
    completing,
    group,
    help_page,
)
from wacoex_cli.terminal.render import ForPerson, Markdown, Result, Table

_READ_ONE = "to read one: wacoex docs TOPIC; all commands: wacoex help"

root = group("", "Commands outside the groups.")


@command(
    root,
    "status",
    "wacoex status",
    "wacoex status shop --offline",
    "wacoex status --json",
    is_check=True,
)
def status(
    invocation: Invocation,
    channel: LookedAtArgument = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send no requests: show what is stored, with its age.")
    ] = False,
) -> Result:
    """Show the channels: what Meta says, what wacoex found, and what to do.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.diagnosis.status import show_status

    name = invocation.one_channel(channel)
    with invocation.open_workspace() as workspace:
        return show_status(workspace, name, offline=offline)


@command(
    root,
    "explain",
    "wacoex explain WX206",
    "wacoex explain 131049",
    "wacoex explain exit-codes",
    'wacoex explain --search "already has an existing payment method"',
)
def explain(
    invocation: Invocation,
    word: Annotated[
        str | None,
        typer.Argument(
            metavar="ID|CODE|TOPIC",
            help="A finding, an error code of Meta, or a topic.",
            autocompletion=completing("topic"),
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="List the pages about a text, such as the text of an error."
        ),
    ] = None,
) -> Result:
    """Explain a finding, an error code of Meta, or a topic."""
    from wacoex_cli.diagnosis import explain

    if (word is None) == (search is None):
        raise UsageError(
            "name one thing to explain, or search with `--search`",
            hint=f"topics: {', '.join(explain.topics())}",
        )
    if search is not None:
        hits = explain.search(search)
        rows = [(article.id, article.title) for article in hits]
        data = [{"id": article.id, "title": article.title} for article in hits]
        if not hits:
            nothing = WacoexError(
                f"no page mentions `{search}`",
                hint=f"try fewer words; topics: {', '.join(explain.topics())}",
                code="no_hit",
            )
            return Result({"results": data}, exit_code=nothing.exit_status, errors=[nothing])
        columns = (Column("id", 9, fit="keep"), Column("title", 8, fit="wrap"))
        return Result({"results": data}, [Table(columns, rows)])
    return _page(word or "")


@command(root, "docs", "wacoex docs", "wacoex docs broadcast", "wacoex docs inactivity")
def docs(
    invocation: Invocation,
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC", help="A guide or a topic.", autocompletion=completing("topic")
        ),
    ] = None,
) -> Result:
    """The guides and topics: list them, or read one here."""
    from wacoex_cli.diagnosis import explain

    if topic is not None:
        return _page(topic)
    rows = list(explain.contents())
    data = [{"id": name, "title": title} for name, title in rows]
    return Result({"pages": data}, [Table(("topic", "title"), rows), ForPerson(_READ_ONE)])


@command(root, "help", "wacoex help", "wacoex help broadcast send", "wacoex help inactivity")
def show_help(
    invocation: Invocation,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND|TOPIC",
            help="A command, such as broadcast send, or what `wacoex explain` knows.",
            autocompletion=completing("topic"),
        ),
    ] = None,
) -> Result:
    """The help of a command, or the page about a topic."""
    page = help_page(words or ())
    if page is None:
        return _page(" ".join(words or ()))
    return Result({"help": page}, page.rstrip("\n").splitlines())


def _page(word: str) -> Result:
    from wacoex_cli.diagnosis import explain

    article = explain.explain(word)
    return Result(article.to_json(), [Markdown(explain.whole_text(article))])


@command(
    root,
    "doctor",
    "wacoex doctor",
    "wacoex doctor shop --symptom missing-messages",
    "wacoex doctor --offline --json",
    "wacoex doctor shop --bundle support.json",
    is_check=True,
)
def doctor(
    invocation: Invocation,
    channel: LookedAtArgument = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send no requests: use what is stored.")
    ] = False,
    symptom: Annotated[
        Symptom | None,
        typer.Option(metavar="NAME", help=f"What you see: {', '.join(Symptom)}."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write what support needs, without secrets."),
    ] = None,
) -> Result:
    """Find what is wrong, why wacoex thinks so, what to do, and how to check that it helped.

    Exit status: 0 ok, 1 warning, 2 critical, 3 unknown or not checked.
    """
    from wacoex_cli.diagnosis.doctor import show_diagnosis

    name, dialogue = invocation.one_channel(channel), TerminalDialogue(invocation)
    with invocation.open_workspace() as workspace:
        return show_diagnosis(workspace, name, symptom, dialogue, bundle, is_offline=offline)
