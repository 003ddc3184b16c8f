"""Write what follows from the commands: docs/reference/commands.md and docs/reference/wacoex.1.

`make docs` runs this; tests/test_docs.py compares both files with what it makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from wacoex_cli import RELEASED_ON, __version__
from wacoex_cli.app import app
from wacoex_cli.findings import guides
from wacoex_cli.terminal.help import heading_of, own_parameters

ROOT = Path(__file__).parents[2]
_HEAD = """# All commands

`make docs` makes this page from the commands. In a terminal, `wacoex help COMMAND` shows the same.
"""
_FILES = (
    ("~/.local/state/wacoex/wacoex.db", "the state file; `wacoex state path` prints where it is"),
    ("~/.config/wacoex/config.toml", "settings; `wacoex config path` prints where they are"),
)
_STATUSES = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)
_VARIABLES = re.compile(r"^\| `(WACOEX_\w+)` \| (.+) \|$", re.MULTILINE)


class Section(NamedTuple):
    """A named group of arguments or options, each with its help."""

    heading: str
    rows: tuple[tuple[str, str], ...]


class Page(NamedTuple):
    """The help of one command, in parts."""

    name: str
    usage: str
    paragraphs: tuple[str, ...]
    examples: tuple[str, ...]
    sections: tuple[Section, ...]


def pages() -> Iterator[Page]:
    """The program itself, then every command in the order of its help, groups left out."""
    context = app.make_context("wacoex", ["--help"], resilient_parsing=True)
    yield _page(app, context)
    yield from _below(app, context)


def _below(group: Any, context: Any) -> Iterator[Page]:
    for name, command in group.commands.items():
        inner = type(context)(command, parent=context, info_name=name)
        if hasattr(command, "commands"):
            yield from _below(command, inner)
        else:
            yield _page(command, inner)


def _page(command: Any, context: Any) -> Page:
    context.help_option_names = ["-h", "--help"]
    by_heading: dict[str, list[tuple[str, str]]] = {}
    for parameter in own_parameters(command, context):
        if record := parameter.get_help_record(context):
            by_heading.setdefault(heading_of(parameter), []).append(record)
    sections = [Section(heading, tuple(rows)) for heading, rows in by_heading.items()]
    sections.sort(key=lambda section: section.heading == "Options")
    usage = " ".join(command.collect_usage_pieces(context))
    return Page(
        context.command_path,
        f"{context.command_path} {usage}",
        tuple(" ".join(part.split()) for part in (command.help or "").split("\n\n")),
        tuple((command.epilog or "").splitlines()),
        tuple(sections),
    )


def markdown() -> str:
    """The text of docs/reference/commands.md."""
    return f"{_HEAD}\n" + "\n".join(_in_markdown(page) for page in pages())


def _in_markdown(page: Page) -> str:
    parts = [f"## {page.name}", *page.paragraphs, f"```text\n{page.usage}\n```"]
    if page.examples:
        parts.append("\n".join(("```sh", *page.examples, "```")))
    for section in page.sections:
        rows = [f"- `{name}`: {_one_line(help)}" for name, help in section.rows]
        parts.append("\n".join((f"{section.heading}:", "", *rows)))
    return "\n\n".join(parts) + "\n"


def _one_line(help: str) -> str:
    return " ".join(help.split())


def manual() -> str:
    """The text of docs/reference/wacoex.1, in roff."""
    program, *commands = pages()
    lines = [
        '.\\" Made by `make docs` from the commands.',
        f'.TH WACOEX 1 "{RELEASED_ON}" "wacoex {__version__}" "User Commands"',
        ".SH NAME",
        "wacoex \\- look after WhatsApp Coexistence channels",
        ".SH SYNOPSIS",
        _roff(program.usage),
        ".SH DESCRIPTION",
        *map(_roff, program.paragraphs),
        *_terms(row for section in program.sections for row in section.rows),
        ".SH COMMANDS",
    ]
    for page in commands:
        lines += [f".SS {_roff(page.usage)}"]
        lines += [line for text in page.paragraphs for line in (_roff(text), ".PP")]
        lines += _terms(row for section in page.sections for row in section.rows)
        lines += [".PP", ".nf", *(f"    {_roff(line)}" for line in page.examples), ".fi"]
    lines += [".SH EXIT STATUS", *_terms(_STATUSES.findall(_guide("scripts")))]
    lines += [".SH ENVIRONMENT", *_terms(_VARIABLES.findall(_guide("configuration")))]
    lines += [".SH FILES", *_terms(_FILES)]
    lines += [".SH SEE ALSO", "The guides open in the terminal:"]
    lines += _terms((f"wacoex docs {guide.id}", guide.title) for guide in guides.everything())
    return "\n".join(lines) + "\n"


def _guide(name: str) -> str:
    guide = guides.find(name)
    return guide.body if guide else ""


def _terms(rows: Any) -> Iterator[str]:
    for name, help in rows:
        yield from (".TP", f"\\fB{_roff(name)}\\fR", _roff(_one_line(help)))


def _roff(text: str) -> str:
    """Text in which roff sees no command: hyphens to copy, no dot or quote in front."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return re.sub(r"^(\s*)([.'])", r"\1\\&\2", escaped)


FILES = {"docs/reference/commands.md": markdown, "docs/reference/wacoex.1": manual}


def main() -> None:
    """Write both files."""
    for name, make in FILES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
