"""Opening the workspace of a command so that nobody can overlook what it talks to."""

from typing import TYPE_CHECKING

from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.terminal.dialogue import TerminalDialogue

if TYPE_CHECKING:
    from wacoex_cli.foundation.settings import Settings
    from wacoex_cli.terminal.options import Invocation


def open_for(invocation: "Invocation") -> Workspace:
    """The workspace an invocation asks for, its warnings and request log on standard error."""
    dialogue = TerminalDialogue(invocation)
    learnt = invocation.learnt

    def announce(settings: "Settings") -> None:
        learnt.no_input = settings.no_input
        learnt.debug = settings.debug
        if not settings.talks_to_meta and learnt.sandbox_url != settings.meta_base_url:
            learnt.sandbox_url = settings.meta_base_url
            dialogue.banner(f"sandbox: talking to {settings.meta_base_url}, not to Meta")

    return open_workspace(
        env_file=invocation.env_file,
        warn=dialogue.warn,
        log=lambda text: dialogue.detail(text, 2),
        detail=dialogue.detail,
        announce=announce,
    )
