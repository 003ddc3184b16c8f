"""Every text that a user of wacoex can meet: help, messages, findings, pages, docs and HTML.

`python -m tests.support.user_texts [PATH ...]` prints them for reading.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_PACKAGE = ROOT / "wacoex_cli"

# Literals of these shapes are read by SQLite only.
_SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|WITH|DROP|PRAGMA|FROM|WHERE|AND|OR|JOIN|LEFT"
    r"|ORDER|GROUP|EXISTS|NOT EXISTS|COALESCE|CASE|SET|VALUES|UNION|ON CONFLICT)\b"
    r"|.*\b(SELECT|EXISTS|LIKE|CASE WHEN|NOT NULL|IS NULL|COALESCE)\b",
    re.DOTALL,
)
_MARKUP = re.compile(
    r"<(style|script)\b.*?</\1>|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|<[^<>]*>", re.DOTALL
)
_CODE = re.compile(r"`[^`]*`|\bNone\b")
_COMMAND_DECORATORS = re.compile(r"command|group|callback")


class Text(NamedTuple):
    """A text, and the file and line where it begins. `{}` stands for a value in it."""

    path: str
    line: int
    words: str


def all_texts() -> Iterator[Text]:
    """The texts of the whole project, in the order of their files."""
    for path in sorted(_PACKAGE.rglob("*.py")):
        yield from literals(path)
    for path in _prose():
        yield from _paragraphs(path)


def literals(path: Path) -> Iterator[Text]:
    """The string literals of a module that hold words, and the help of its commands.

    Other docstrings, text for SQLite and single words, such as keys and codes, are not texts.
    """
    tree = ast.parse(path.read_text())
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and not _is_command(node)
    }
    # A string alone in a line documents the name above it.
    commands = {id(node.body[0]) for node in ast.walk(tree) if _is_command(node)}
    docstrings |= {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and id(node) not in commands
    }
    for line, words in _strings(tree, docstrings):
        if " " in words.strip() and not _SQL.match(words):
            yield Text(str(path.relative_to(ROOT)), line, words)


def names_and_notes(path: Path) -> Iterator[Text]:
    """What a file says to those who read its code: names as words, docstrings and comments.

    Code in them is left out: the parts between backticks, and `None`.
    """
    source = path.read_text(encoding="utf-8")
    found = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.lineno, node.name.replace("_", " ")))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((getattr(node, "lineno", 1), ast.get_docstring(node) or ""))
    for line, words in found:
        yield Text(str(path.relative_to(ROOT)), line, _CODE.sub("", " ".join(words.split())))


def _is_command(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef) and any(
        _COMMAND_DECORATORS.search(ast.unparse(decorator)) for decorator in node.decorator_list
    )


def _strings(node: ast.AST, skipped: set[int]) -> Iterator[tuple[int, str]]:
    if id(node) in skipped:
        return
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield node.lineno, node.value
    elif isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield node.lineno, "".join(map(str, parts))
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from _strings(part.value, skipped)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _strings(child, skipped)


def _prose() -> list[Path]:
    pages = [path for suffix in ("*.md", "*.jinja", "*.html") for path in _PACKAGE.rglob(suffix)]
    docs = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / ".env.example"]
    return sorted({*pages, *docs})


def _paragraphs(path: Path) -> Iterator[Text]:
    """The texts between empty lines, each on one line: a line break may split a phrase."""
    whole = path.read_text()
    if path.suffix != ".md":
        # Only lines are kept of what a browser or jinja reads.
        whole = _MARKUP.sub(lambda code: "\n" * code[0].count("\n") or " ", whole)
    line = 1
    for paragraph in whole.split("\n\n"):
        if paragraph.strip():
            yield Text(str(path.relative_to(ROOT)), line, " ".join(paragraph.split()))
        line += paragraph.count("\n") + 2


if __name__ == "__main__":
    wanted = tuple(sys.argv[1:])
    for text in all_texts():
        if not wanted or text.path.startswith(wanted):
            print(f"{text.path}:{text.line}: {' '.join(text.words.split())}")
