"""What the shells ask on TAB: their scripts, and answers that need neither colour nor luck.

Typer's own scripts are not used for zsh and fish: the first does nothing on the first TAB when
it comes from `fpath`, and runs its input through `eval`, the other starts the program twice.
Typer's own answers load rich, which doubles the time of a TAB.
"""

import contextlib
import re

from typer._click.shell_completion import CompletionItem, add_completion_class
from typer._completion_classes import BashComplete, FishComplete, ZshComplete

from wacoex_cli.terminal import render

_ZSH = r"""
#compdef %(prog_name)s
compdef _%(prog_name)s %(prog_name)s

_%(prog_name)s() {
  local -a found
  found=("${(@f)$(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" \
                  %(autocomplete_var)s=complete_zsh %(prog_name)s 2>/dev/null)}")
  if [[ -n ${found[1]} ]]; then
    _describe -V %(prog_name)s found
  else
    _files
  fi
}

# Loaded from fpath by the first TAB, which wants its answer too.
if [[ ${funcstack[1]} == _%(prog_name)s ]]; then
  _%(prog_name)s "$@"
fi
"""
_FISH = r"""
function _%(prog_name)s_completion
    set -l line (commandline -cp)
    set -l found (env _TYPER_COMPLETE_ARGS="$line" \
        %(autocomplete_var)s=complete_fish %(prog_name)s 2>/dev/null)
    if test -n "$found[1]"
        printf '%%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command %(prog_name)s --no-files --keep-order --arguments '(_%(prog_name)s_completion)'
"""


class Bash(BashComplete):
    """Values only, one a line."""

    def get_completion_args(self) -> tuple[list[str], str]:
        # bash takes `--channel=shop` for three words.
        arguments, incomplete = super().get_completion_args()
        return [word for word in arguments if word != "="], incomplete

    def complete(self) -> str:
        return "\n".join(item.value for item in _items(self))


class Zsh(ZshComplete):
    """`value:description` a line, as `_describe` takes it."""

    source_template = _ZSH

    def complete(self) -> str:
        return "\n".join(
            re.sub(r"([\\:])", r"\\\1", item.value) + (f":{_help(item)}" if item.help else "")
            for item in _items(self)
        )


class Fish(FishComplete):
    """`value<tab>description` a line."""

    source_template = _FISH

    def complete(self) -> str:
        return "\n".join(
            item.value + (f"\t{_help(item)}" if item.help else "") for item in _items(self)
        )


_SHELLS: dict[str, type[Bash | Zsh | Fish]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def answer_shells() -> None:
    """Take the place of Typer's own answers; call it after Typer has put them up."""
    for name, shell in _SHELLS.items():
        add_completion_class(shell, name)


def script(shell: str) -> str:
    """The script that makes `bash`, `zsh` or `fish` ask wacoex on TAB."""
    names = {
        "prog_name": "wacoex",
        "complete_func": "_wacoex_completion",
        "autocomplete_var": "_WACOEX_COMPLETE",
    }
    return (_SHELLS[shell].source_template % names).strip()


def _items(shell: Bash | Zsh | Fish) -> list[CompletionItem]:
    # Whatever goes wrong, a message would land in the middle of a half-typed line.
    with contextlib.suppress(Exception):
        return shell.get_completions(*shell.get_completion_args())
    return []


def _help(item: CompletionItem) -> str:
    return render.printable(" ".join((item.help or "").split()))
