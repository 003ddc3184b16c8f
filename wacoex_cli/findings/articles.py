"""The articles under `knowledge/`: one Markdown file for each finding id and topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DIRECTORY = Path(__file__).parent / "knowledge"
_SEE_ALSO = "See also:"
_SHOWN_AS = re.compile(r"^Also shown as:(.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Article:
    """What is to be said about one finding, topic or code."""

    id: str
    title: str
    body: str
    see_also: tuple[str, ...]

    @property
    def shown_as(self) -> tuple[str, ...]:
        """The texts under which people meet it: what stands after `Also shown as:`."""
        found = _SHOWN_AS.search(self.body)
        phrases = " ".join(found.group(1).split()).split(";") if found else []
        return tuple(phrase.strip(' ."') for phrase in phrases)

    def to_json(self) -> dict[str, object]:
        """The `data` of `explain`."""
        return {
            "id": self.id,
            "title": self.title,
            "body": self.body,
            "see_also": list(self.see_also),
        }


def names() -> list[str]:
    """All ids and topics, findings first."""
    found = [path.stem for path in _DIRECTORY.glob("*.md")]
    return sorted(found, key=lambda name: (not name.startswith("WX"), name))


def everything() -> Iterator[Article]:
    """All articles in the order of their names."""
    for name in names():
        yield _parsed(name, _read(name))


def titles() -> Iterator[tuple[str, str]]:
    """All names with their titles, read no further than the title."""
    for name in names():
        with (_DIRECTORY / f"{name}.md").open(encoding="utf-8") as lines:
            yield name, _title(next(lines, ""))


def find(name: str) -> Article | None:
    """The article of that name, upper or lower case; None when there is none."""
    known = {one.lower(): one for one in names()}
    stem = known.get(name.lower())
    return None if stem is None else _parsed(stem, _read(stem))


def _read(name: str) -> str:
    return (_DIRECTORY / f"{name}.md").read_text(encoding="utf-8")


def _parsed(name: str, text: str) -> Article:
    """A heading, the body, and a last line `See also: a, b`."""
    heading, _, rest = text.strip().partition("\n")
    body, _, others = rest.partition(f"\n{_SEE_ALSO}")
    see_also = tuple(one.strip() for one in others.split(",") if one.strip())
    return Article(name, _title(heading), body.strip("\n"), see_also)


def _title(heading: str) -> str:
    return heading.strip().removeprefix("# ")
