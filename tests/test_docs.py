"""The README is true: its commands parse, its tables equal the program's own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wacoex_cli import errors
from wacoex_cli.app import app
from wacoex_cli.foundation.settings import VARIABLES
from wacoex_cli.terminal.options import group

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def commands_in(text: str) -> Iterator[str]:
    """Every `wacoex ...` line of the code blocks, continuation lines joined."""
    for block in re.findall(r"```(?:console|sh|ini|text)\n(.*?)```", text, re.DOTALL):
        joined = block.replace("\\\n", " ")
        for line in joined.splitlines():
            found = re.match(r"(?:\$ |ExecStart=\S*/|[0-9*].* )wacoex (?!\()(.*)", line)
            if found:
                yield re.split(r" [|>;&]| 2>", found[1])[0].strip()


COMMANDS = sorted(set(commands_in(README)))


def parse(command: Any, arguments: list[str], name: str = "wacoex") -> list[str]:
    """Parse a command line as the program would, without running it; returns its path."""
    context = command.make_context(name, arguments)
    if not hasattr(command, "resolve_command"):
        return [name]
    rest = [*context._protected_args, *context.args]
    sub_name, sub, left = command.resolve_command(context, rest)
    context.obj = None
    return [name, *parse(sub, left, sub_name)]


def paths(command: Any, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the program."""
    for name, sub in getattr(command, "commands", {}).items():
        if hasattr(sub, "commands"):
            yield from paths(sub, (*prefix, name))
        else:
            yield (*prefix, name)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_parses(line: str) -> None:
    arguments = shlex.split(line)
    if arguments in (["--version"], ["--help"]):
        return
    assert parse(app, arguments)[0] == "wacoex"


def test_the_readme_shows_every_command() -> None:
    for path in paths(app):
        assert f"wacoex {' '.join(path)}" in README


def test_the_readme_names_every_environment_variable() -> None:
    for name in VARIABLES:
        assert f"`{name}`" in README


def test_the_readme_names_every_exit_status() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type)]
    statuses = {one.exit_status for one in kinds if issubclass(one, errors.WacoexError)}
    for status in {*statuses, 0, 3, 7, 130, 143}:
        assert re.search(rf"^\| {status} \|", README, re.MULTILINE), status


def test_the_readme_names_real_make_targets() -> None:
    for target in set(re.findall(r"make ([a-z]+)", README)):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_a_group_made_alone_parses_too() -> None:
    """The parser this file relies on refuses what the program refuses."""
    empty = group("", "Nothing in here.")
    with pytest.raises(Exception, match="No such command"):
        parse(empty, ["bogus"])
