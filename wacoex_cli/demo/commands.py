"""`wacoex demo`."""

from typing import Annotated

import typer

from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation, command, group
from wacoex_cli.terminal.render import Result

root = group("", "Commands outside the groups.")


@command(root, "demo", "wacoex demo", "wacoex demo --open", "wacoex demo --all")
def demo(
    invocation: Invocation,
    all_chapters: Annotated[
        bool,
        typer.Option("--all", help="The long tour: 17 chapters, respond.io and signup included."),
    ] = False,
    opens_report: Annotated[
        bool, typer.Option("--open", help="Open the report of the broadcast in the browser.")
    ] = False,
) -> Result:
    """See in a minute what wacoex does, against a pretend Meta on this machine.

    Five acts: a channel and its countdown, a plan, a broadcast that is stopped and goes on, what
    went wrong with it, and a phone that nobody opened. Enter goes on, or two seconds.
    """
    dialogue = TerminalDialogue(invocation)
    if all_chapters:
        from wacoex_cli.demo.tour import tour

        seen = tour(dialogue, is_json=invocation.json, opens_report=opens_report)
        text = (
            f"messages that the pretend Meta accepted: {seen.accepted}, people who got two:"
            f" {seen.sent_twice}, most in one second: {seen.most_in_one_second}",
            f"files of this tour: {seen.directory}",
        )
        return Result(seen._asdict(), text)
    from wacoex_cli.demo.acts import show_acts

    shown = show_acts(dialogue, is_json=invocation.json, opens_report=opens_report)
    return Result(shown._asdict(), list(shown.lines()))
