"""The guides under `docs/`: the same pages in the repository, in `wacoex docs` and in `explain`.

A wheel carries them as `wacoex_cli/docs`; a checkout has them beside the package.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from wacoex_cli.findings.catalogue import Article

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGE = Path(__file__).parents[1]
_PLACES = (_PACKAGE / "docs", _PACKAGE.parent / "docs")
# In the order in which a new user needs them.
NAMES = (
    "start",
    "reminder",
    "broadcast",
    "connect",
    "diagnose",
    "events",
    "respondio",
    "agency",
    "unattended",
    "configuration",
    "scripts",
    "troubleshooting",
    "limits",
)
_FENCE = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_FOR_TERMINALS = re.compile(
    r"^(?:<!--.*?-->|!\[[^\]]*\]\([^)]*\))\n+", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:)(?:\.\./)?([\w/.-]*)(?:#[\w-]+)?\)")


def find(name: str) -> Article | None:
    """The guide of that name, upper or lower case; None when there is none."""
    if name.lower() not in NAMES:
        return None
    text = _path(name.lower()).read_text(encoding="utf-8")
    heading, _, body = text.removeprefix("# ").partition("\n")
    title = heading.partition(": ")[2] or heading  # the name stands before it
    body = _FENCE.sub(_indented, _LINK.sub(_named, _NOT_FOR_TERMINALS.sub("", body)))
    return Article(name.lower(), title, body.strip("\n"), (), ())


def everything() -> Iterator[Article]:
    """All guides, in the order in which a new user needs them."""
    return (guide for name in NAMES if (guide := find(name)) is not None)


def _path(name: str) -> Path:
    paths = [place / f"{name}.md" for place in _PLACES]
    return next((path for path in paths if path.exists()), paths[-1])


def _indented(fence: re.Match[str]) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in fence[1].splitlines()).rstrip("\n")


def _named(link: re.Match[str]) -> str:
    """A link to another guide as the command that opens it; other links keep their path."""
    text, target = link[1], link[2]
    stem = target.removesuffix(".md")
    if stem in NAMES:
        return f"{text} (`wacoex docs {stem}`)"
    return f"{text} (`{target}`)" if target else text
