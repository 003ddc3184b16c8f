"""The rooms stand in one row, and imports go only to the left."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wacoex_cli
from wacoex_cli.app import TABLE

ROW = [
    "errors",
    "foundation",
    "terminal",
    "platforms",
    "findings",
    "channels",
    "events",
    "devices",
    "inactivity",
    "partners",
    "templates",
    "audience",
    "broadcast",
    "onboarding",
    "diagnosis",
    "setup",
    "app",
    "demo",
    "__main__",
]
PACKAGE = Path(wacoex_cli.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
LIGHT = (
    "typer",
    "wacoex_cli.errors",
    "wacoex_cli.foundation.clock",
    "wacoex_cli.terminal.dialogue",
    "wacoex_cli.terminal.options",
    "wacoex_cli.terminal.render",
)


def imports(body: list[ast.stmt] | ast.Module) -> Iterator[str]:
    nodes = ast.walk(body) if isinstance(body, ast.Module) else body
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "wacoex_cli":
                yield from (f"wacoex_cli.{name.name}" for name in node.names)
            else:
                yield node.module


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_to_the_left_only(path: Path) -> None:
    own = room(path)
    for name in imports(ast.parse(path.read_text())):
        if not name.startswith("wacoex_cli.") or name == "wacoex_cli.__version__":
            continue
        other = name.split(".")[1]
        if own == "sandbox":
            is_allowed = other in ("sandbox", "errors", "terminal")
            is_server = name == "wacoex_cli.foundation.server"
            assert is_allowed or is_server, f"{path.name} imports {name}"
        elif other == "sandbox":
            assert own in ("app", "demo")
        elif other != own:
            is_at_the_end = {own, other} <= {"app", "demo", "__main__"}
            is_to_the_left = ROW.index(other) < ROW.index(own)
            assert is_to_the_left or is_at_the_end, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("commands.py")), ids=room)
def test_commands_import_nothing_heavy_when_they_are_loaded(path: Path) -> None:
    for name in imports(ast.parse(path.read_text()).body):
        is_standard = name.split(".")[0] in sys.stdlib_module_names
        is_own_model = name == f"wacoex_cli.{room(path)}.model"
        assert is_standard or is_own_model or name in LIGHT, f"{path} imports {name}"


def test_each_package_has_one_command_file_that_only_the_table_names() -> None:
    named = {place.split(":")[0] for rows in TABLE.values() for _, place, _ in rows}

    assert {room(path) for path in PACKAGE.rglob("*commands.py")} == named
    for path in FILES:
        found = [name for name in imports(ast.parse(path.read_text())) if name.endswith("commands")]
        assert found == [], path
