"""Articles on a terminal: Markdown laid out for its width."""

import io
import re
import shutil

_WIDEST = 100
_LABEL = re.compile(r"(?<=\n\n)((?:[A-Z]|respond\.io's |wacoex's )[A-Za-z' ]{2,28}:)(?=\s|$)")
_CODE = re.compile(r"`([^`]+)`")
_INDENTED = "    "
# Colours of the terminal's own palette and no background, so that it fits light and dark ones.
_STYLES = {
    "markdown.code": "cyan",
    "markdown.item.number": "bold",
}


def laid_out(text: str, *, color: bool) -> str:
    """The article as wide as the terminal, 100 columns at most; plain letters without `color`.

    The first line is its title; words before a colon at the start of a paragraph head a part.
    """
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    console = Console(
        file=io.StringIO(),
        width=min(shutil.get_terminal_size().columns, _WIDEST),
        height=25,  # without it a dumb terminal would be taken for 80 columns
        force_terminal=True,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        theme=Theme(_STYLES),
    )
    source = _emphasized(text if color else _with_visible_backticks(text))
    with console.capture() as captured:
        console.print(Markdown(source, code_theme="ansi_dark", hyperlinks=False))
    shown = "\n".join(line.rstrip() for line in captured.get().splitlines())
    return re.sub(r"\n{3,}", "\n\n", shown)


def _emphasized(text: str) -> str:
    title, _, _ = text.partition("\n")
    labelled = _LABEL.sub(r"**\1**", text)
    return labelled.replace(title, f"**{title}**", 1)


def _with_visible_backticks(text: str) -> str:
    """Without colour nothing else would set a command apart from the sentence around it."""
    paragraphs = text.split("\n\n")
    return "\n\n".join(
        one if one.startswith(_INDENTED) else _CODE.sub(r"`` `\1` ``", one) for one in paragraphs
    )
