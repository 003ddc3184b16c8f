"""The sandbox knows nothing of the program that it is there to test."""

from __future__ import annotations

import ast
from pathlib import Path

import wacoex_cli.sandbox

ROOM = Path(wacoex_cli.sandbox.__file__).parent


def imported_by(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name for name in found if name.startswith("wacoex_cli")}


def test_the_sandbox_imports_only_itself_and_the_server() -> None:
    files = [path for path in ROOM.glob("*.py") if path.name != "commands.py"]

    strangers = {
        (path.name, name)
        for path in files
        for name in imported_by(path)
        if not name.startswith(("wacoex_cli.sandbox", "wacoex_cli.foundation.server"))
    }

    assert files
    assert strangers == set()
