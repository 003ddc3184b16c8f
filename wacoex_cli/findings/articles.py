"""The articles under `knowledge/`: one Markdown file for each finding id and topic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_DIRECTORY = Path(__file__).parent / "knowledge"
_SEE_ALSO = "See also:"


@dataclass(frozen=True)
class Article:
    """What is to be said about one finding, topic or code."""

    id: str
    title: str
    body: str
    see_also: tuple[str, ...]

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


def find(name: str) -> Article | None:
    """The article of that name, upper or lower case; None when there is none."""
    known = {one.lower(): one for one in names()}
    stem = known.get(name.lower())
    if stem is None:
        return None
    return _parsed(stem, (_DIRECTORY / f"{stem}.md").read_text(encoding="utf-8"))


def _parsed(name: str, text: str) -> Article:
    """A heading, the body, and a last line `See also: a, b`."""
    heading, _, rest = text.strip().partition("\n")
    body, _, others = rest.partition(f"\n{_SEE_ALSO}")
    see_also = tuple(one.strip() for one in others.split(",") if one.strip())
    return Article(name, heading.removeprefix("# "), body.strip(), see_also)
