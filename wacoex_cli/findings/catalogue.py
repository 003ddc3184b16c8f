"""The pages under `knowledge/`: one Markdown file for each finding and each topic.

The page of a finding begins with TOML between two lines `+++`: `severity` lists how bad it can be,
`title`, `remedy` and `verify` are what a check says with it. A finding with several faces has
cases that override them: `[case.name]`; a case named like a severity is that severity's face, one
in capitals is for a word of Meta's, such as the reason of a disconnection. Ids never change.

At the end of a page `Sources:` names what it rests on; `sources.toml` has title, address and day.
"""

from __future__ import annotations

import functools
import re
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from wacoex_cli import RELEASED_ON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DIRECTORY = Path(__file__).parent / "knowledge"
_SOURCES_FILE = Path(__file__).with_name("sources.toml")
_FENCE = "+++\n"
_SOURCES = "Sources:"
_SEE_ALSO = "See also:"
_LISTS = (list, tuple)
_SHOWN_AS = re.compile(r"^Also (?:shown|looked up) as:(.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Reference(NamedTuple):
    """What a page rests on: its title and address, and when it was read (`2026-11-28`).

    Of wacoex itself there is no address, and the day is that of its release.
    """

    title: str
    url: str | None
    read: str

    @property
    def line(self) -> str:
        """How a person reads it."""
        if self.url is None:
            return f"{self.title} (released {self.read})"
        return f"{self.title}: {self.url} (read {self.read})"


class Article(NamedTuple):
    """What `explain` says about one finding, topic or error code, and what that rests on."""

    id: str
    title: str
    body: str
    see_also: tuple[str, ...]
    sources: tuple[Reference, ...]

    @property
    def shown_as(self) -> tuple[str, ...]:
        """The texts under which people meet it or look for it.

        They stand after `Also shown as:` and `Also looked up as:`.
        """
        found = "; ".join(_SHOWN_AS.findall(self.body))
        phrases = " ".join(found.split()).split(";")
        return tuple(text for phrase in phrases if (text := phrase.strip(' ."')))

    def to_json(self) -> dict[str, object]:
        """The `data` of `explain`."""
        return {
            "id": self.id,
            "title": self.title,
            "body": self.body,
            "see_also": list(self.see_also),
            "sources": [source._asdict() for source in self.sources],
        }


class Wording(NamedTuple):
    """What the front matter of a finding's page says: severities, and texts by case.

    The case "" is the front matter itself. Each case has `title`, `remedy` and `verify`, as far
    as it or the front matter gives them.
    """

    severities: tuple[str, ...]
    cases: Mapping[str, Mapping[str, Any]]

    def texts(
        self, severity: str, case: str, values: Mapping[str, object]
    ) -> tuple[str, tuple[str, ...], str]:
        """Title, remedy and verify with the values in the places of their `{names}`.

        Without a case, the case named like the severity counts where there is one. A step of the
        remedy that names lists is repeated for each row of them; `{ when = "name", step = "..." }`
        is there only when the value is true, and `unless` only when it is not. Raises ValueError
        for a severity that the page does not list, KeyError for an unknown case or a missing value.
        """
        if severity not in self.severities:
            raise ValueError(f"the page does not list the severity {severity}")
        face = self.cases[case or (severity if severity in self.cases else "")]
        steps = (text for step in face["remedy"] for text in _steps(step, values))
        return (face["title"].format_map(values), tuple(steps), face["verify"].format_map(values))


@functools.cache
def placeholders(text: str) -> tuple[str, ...]:
    """The names that stand in braces in a text of a page."""
    return tuple(name for _, name, _, _ in string.Formatter().parse(text) if name is not None)


@functools.cache
def wording(finding_id: str) -> Wording:
    """The front matter of a finding's page. Raises FileNotFoundError, KeyError for a wrong id."""
    import tomllib

    front = tomllib.loads(_read(finding_id)[0])
    cases = front.pop("case", {})
    return Wording(
        tuple(front["severity"]), {"": front, **{name: front | cases[name] for name in cases}}
    )


def names() -> list[str]:
    """All ids and topics, findings first."""
    found = [path.stem for path in _DIRECTORY.glob("*.md")]
    return sorted(found, key=lambda name: (not name.startswith("WX"), name))


def finding_ids() -> list[str]:
    """The ids of all findings, in order."""
    return [name for name in names() if name.startswith("WX")]


def everything() -> Iterator[Article]:
    """All articles in the order of their names."""
    return map(_article, names())


def titles() -> Iterator[tuple[str, str]]:
    """All names with their titles."""
    return ((name, _article(name).title) for name in names())


def find(name: str) -> Article | None:
    """The article of that name, upper or lower case; None when there is none."""
    stem = next((known for known in names() if known.lower() == name.lower()), None)
    return None if stem is None else _article(stem)


def sources(names: Iterable[str]) -> tuple[Reference, ...]:
    """What these words name in `sources.toml`. Raises KeyError for an unknown one."""
    known = _known_sources()
    return tuple(known[name] for name in names)


@functools.cache
def _known_sources() -> Mapping[str, Reference]:
    import tomllib

    rows = tomllib.loads(_SOURCES_FILE.read_text(encoding="utf-8"))
    return {
        name: Reference(row["title"], row.get("url"), str(row.get("read", RELEASED_ON)))
        for name, row in rows.items()
    }


def _read(name: str) -> tuple[str, str]:
    """The front matter of a page, empty for a topic, and what stands below it."""
    text = (_DIRECTORY / f"{name}.md").read_text(encoding="utf-8")
    if not text.startswith(_FENCE):
        return "", text
    _, front, body = text.split(_FENCE, 2)
    return front, body


def _article(name: str) -> Article:
    """A heading, the body, and at the end `Sources: a, b` and `See also: c, d`."""
    heading, _, rest = _read(name)[1].strip().partition("\n")
    body, _, others = rest.partition(f"\n{_SEE_ALSO}")
    body, _, named = body.partition(f"\n{_SOURCES}")
    title = heading.strip().removeprefix("# ")
    return Article(name, title, body.strip("\n"), _words(others), sources(_words(named)))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _steps(step: str | Mapping[str, str], values: Mapping[str, object]) -> Iterator[str]:
    if not isinstance(step, str):
        is_shown = values[step["when"]] if "when" in step else not values[step["unless"]]
        if is_shown:
            yield from _steps(step["step"], values)
        return
    lists = {
        name: value for name in placeholders(step) if isinstance(value := values[name], _LISTS)
    }
    if not lists:
        yield step.format_map(values)
        return
    for row in zip(*lists.values(), strict=True):
        yield step.format_map({**values, **dict(zip(lists, row, strict=True))})
