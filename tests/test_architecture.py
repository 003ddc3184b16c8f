"""The shape of the package stays: sizes, levels, names, and who writes the recipients.

`lint-imports` keeps the order of the packages and that no files import one another in a circle.
"""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import structure
from tests.support.structure import Module
from wacoex_cli.app import TABLE

TESTS = Path(__file__).parent
COMMANDS = [module for name, module in structure.modules().items() if name.endswith(".commands")]
LIGHT = (
    "typer",
    "wacoex_cli.errors",
    "wacoex_cli.foundation.clock",
    "wacoex_cli.foundation.settings",
    "wacoex_cli.terminal.dialogue",
    "wacoex_cli.terminal.layout",
    "wacoex_cli.terminal.options",
    "wacoex_cli.terminal.output",
    "wacoex_cli.terminal.render",
)


ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    *("wacoex_cli", "tests", "completions", "docs", ".ci", "pyproject.toml", "Makefile"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
    *(".env.example", ".gitignore", ".dockerignore", "Dockerfile", "compose.yaml"),
}


@pytest.mark.skipif(
    not (ROOT / ".git").exists() or shutil.which("git") is None, reason="this is no git checkout"
)
def test_the_top_level_holds_only_what_a_newcomer_looks_for() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {line.split("/")[0] for line in listed.stdout.splitlines()} <= TOP_LEVEL


@pytest.mark.parametrize("package", structure.packages())
def test_a_package_is_small_and_flat(package: str) -> None:
    assert len(structure.packages()[package]) <= 14
    assert 1 <= structure.levels(package) <= 7


@pytest.mark.parametrize("module", structure.modules().values(), ids=lambda module: module.name)
def test_a_file_can_be_read_in_one_sitting(module: Module) -> None:
    assert module.lines <= 800


def test_a_class_name_occurs_once() -> None:
    assert structure.repeated_class_names() == {}


def test_one_file_writes_the_recipients() -> None:
    # A step of the schema fills a column that it adds.
    steps, store = "wacoex_cli.schema.migrations", "wacoex_cli.ledger.rows"
    assert sorted(structure.writers_of_recipients()) == [store, steps]


@pytest.mark.parametrize("module", COMMANDS, ids=lambda module: module.package)
def test_commands_import_nothing_heavy_when_they_are_loaded(module: Module) -> None:
    for node in ast.parse(module.source).body:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            is_standard = name.split(".")[0] in sys.stdlib_module_names
            is_model = name == f"wacoex_cli.{module.package}.model"
            assert is_standard or is_model or name in LIGHT, f"{module.name} imports {name}"


def test_a_package_has_one_command_file_which_only_the_table_names() -> None:
    in_table = {place.split(":")[0] for rows in TABLE.values() for _, place, _ in rows}

    assert {module.package for module in COMMANDS} == in_table
    for module in structure.modules().values():
        assert not [name for name in module.imports if name.endswith("commands")]


def test_names_are_nouns_and_verbs_of_the_field() -> None:
    """`one`, `told` and similar names do not say what a variable holds. Tests keep to it too."""
    banned = {"asked", "is_asked", "is_told", "minded", "one", "ones", "told", "unfit", "untold"}
    found = {
        f"{path}: {name}"
        for path in [*structure.ROOT.rglob("*.py"), *TESTS.rglob("*.py")]
        for name in structure.names(path) & banned
    }
    assert not found
