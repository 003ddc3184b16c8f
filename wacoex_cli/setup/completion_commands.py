"""`wacoex completion`: the scripts that make a shell ask wacoex on TAB."""

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from wacoex_cli.terminal.options import Invocation

if TYPE_CHECKING:
    from wacoex_cli.terminal.render import Result

PATH = ("completion",)
EXAMPLES = (
    "wacoex completion bash > ~/.local/share/bash-completion/completions/wacoex",
    'wacoex completion zsh > "${fpath[1]}/_wacoex"',
    "wacoex completion fish > ~/.config/fish/completions/wacoex.fish",
)


class ShellName(enum.StrEnum):
    """The shells there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    invocation: Invocation,
    shell: Annotated[ShellName, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> "Result":
    """Print the completion script of a shell.

    It completes commands, options, channels and broadcasts. Put it where the examples say and
    open a new shell; an installer that takes over a program's shared files has done so already.
    """
    from wacoex_cli.terminal.completion import script
    from wacoex_cli.terminal.render import Result

    text = script(shell.value)
    return Result({"shell": shell.value, "script": text}, [text])
