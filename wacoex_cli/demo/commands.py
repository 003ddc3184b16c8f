"""`wacoex demo`."""

from wacoex_cli.terminal.dialogue import TerminalDialogue
from wacoex_cli.terminal.options import Invocation, command, group
from wacoex_cli.terminal.render import Result

root = group("", "Commands that stand beside the groups.")


@command(root, "demo", "wacoex demo")
def demo(invocation: Invocation) -> Result:
    """A tour of the real commands against a pretend Meta on this machine."""
    from wacoex_cli.demo.tour import tour

    seen = tour(TerminalDialogue(invocation), is_json=invocation.json)
    text = (
        f"the pretend Meta accepted {seen.accepted} messages, {seen.sent_twice} people got two,"
        f" at most {seen.most_in_one_second} messages arrived in one second",
        f"files of this tour: {seen.directory}",
    )
    return Result(seen._asdict(), text)
