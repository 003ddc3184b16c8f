"""The shape of the package in figures: sizes, import levels, circles, names that occur twice.

python -m tests.support.structure
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import NamedTuple

import wacoex_cli

ROOT = Path(wacoex_cli.__file__).parent
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_WRITES_RECIPIENTS = re.compile(r"\bUPDATE\s+recipients\b")


class Module(NamedTuple):
    """One file: its dotted name, its source, and what it imports from wacoex_cli."""

    name: str
    path: Path
    source: str
    imports: frozenset[str]
    classes: tuple[str, ...]

    @property
    def package(self) -> str:
        """The package right below wacoex_cli, or the file's own name at the top."""
        return self.name.split(".")[1]

    @property
    def lines(self) -> int:
        """Lines of the file, blank ones included."""
        return len(self.source.splitlines())

    @property
    def inner_imports(self) -> int:
        """How many imports are inside functions."""
        return _count_inner_imports(ast.parse(self.source))


@cache
def modules() -> dict[str, Module]:
    """Every Python file of the package but `__init__.py`, by its dotted name."""
    paths = [path for path in sorted(ROOT.rglob("*.py")) if path.name != "__init__.py"]
    names = {_dotted(path) for path in paths}
    return {_dotted(path): _read(path, names) for path in paths}


def _dotted(path: Path) -> str:
    return ".".join((ROOT.name, *path.relative_to(ROOT).with_suffix("").parts))


def _read(path: Path, names: set[str]) -> Module:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    imported = {name for node in ast.walk(tree) for name in _imported(node, names)}
    return Module(
        name=_dotted(path),
        path=path,
        source=source,
        imports=frozenset(imported - {_dotted(path)}),
        classes=tuple(node.name for node in tree.body if isinstance(node, ast.ClassDef)),
    )


def _imported(node: ast.AST, names: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names if alias.name in names]
    if isinstance(node, ast.ImportFrom) and node.module:
        found = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name for name in (node.module, *found) if name in names]
    return []


def _count_inner_imports(tree: ast.AST) -> int:
    return sum(
        isinstance(inner, ast.Import | ast.ImportFrom)
        for function in ast.walk(tree)
        if isinstance(function, _FUNCTIONS)
        for inner in ast.walk(function)
    )


def packages() -> dict[str, list[Module]]:
    """The files of each package, by the package's name; files at the top are left out."""
    found: dict[str, list[Module]] = {}
    for module in modules().values():
        if module.name.count(".") > 1:
            found.setdefault(module.package, []).append(module)
    return found


def levels(package: str) -> int:
    """Files on the longest chain of imports inside a package; 0 where it runs in a circle."""
    inside = {module.name: module for module in packages()[package]}
    depth: dict[str, int] = {}

    def visit(name: str, chain: tuple[str, ...]) -> int:
        if name in chain:
            raise RecursionError
        if name not in depth:
            below = [visit(to, (*chain, name)) for to in inside[name].imports if to in inside]
            depth[name] = 1 + max(below, default=0)
        return depth[name]

    try:
        return max(visit(name, ()) for name in inside)
    except RecursionError:
        return 0


def circles() -> list[list[str]]:
    """Groups of files that import one another, directly or through others."""
    graph = {name: module.imports for name, module in modules().items()}
    reach: dict[str, set[str]] = {}
    for name in graph:
        seen: set[str] = set()
        waiting = [*graph[name]]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                waiting += graph[current]
        reach[name] = seen
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def repeated_class_names() -> dict[str, list[str]]:
    """Class names in more than one file, with the files."""
    where: dict[str, list[str]] = {}
    for module in modules().values():
        for name in module.classes:
            where.setdefault(name, []).append(module.name)
    return {name: files for name, files in where.items() if len(files) > 1}


def writers_of_recipients() -> list[str]:
    """The files that hold an UPDATE of the table of recipients."""
    return [
        module.name for module in modules().values() if _WRITES_RECIPIENTS.search(module.source)
    ]


def names(path: Path) -> set[str]:
    """Every name that a file gives or uses: variables, parameters, attributes, functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.keyword(arg=str(name)):
                found.add(name)
    return found


def main() -> None:
    """Print the figures."""
    every = list(modules().values())
    sandbox = [module for module in every if module.package == "sandbox"]
    largest = max(every, key=lambda module: module.lines)
    own_imports = sum(module.inner_imports for module in every)
    print(f"{'package':14} files  lines  largest  levels  inner imports")
    for package, files in sorted(packages().items()):
        print(
            f"{package:14} {len(files):5}  {sum(file.lines for file in files):5}"
            f"  {max(file.lines for file in files):7}  {levels(package) or 'circle':>6}"
            f"  {sum(file.inner_imports for file in files):13}"
        )
    twice = repeated_class_names()
    print()
    print(f"files: {len(every)} (sandbox {len(sandbox)})")
    lines = sum(len(path.read_text().splitlines()) for path in ROOT.rglob("*.py"))
    print(f"lines: {lines} (sandbox {sum(module.lines for module in sandbox)})")
    print(f"largest file: {largest.name}, {largest.lines} lines")
    print(f"circles between files: {len(circles())}")
    for group in circles():
        print(f"  {', '.join(group)}")
    print(f"class names that occur twice: {len(twice)}")
    for name, where in twice.items():
        print(f"  {name}: {', '.join(where)}")
    print(f"files with UPDATE recipients: {len(writers_of_recipients())}")
    print(f"imports inside functions: {own_imports}")
    packages_by_size = Counter({name: len(files) for name, files in packages().items()})
    name, files_in_it = packages_by_size.most_common(1)[0]
    print(f"package with most files: {name}, {files_in_it}")


if __name__ == "__main__":
    main()
