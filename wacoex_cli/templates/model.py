"""Message templates, and the places in them that have to be filled in."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BRACES = re.compile(r"\{\{\s*(\w+)\s*\}\}")
NAMED = "NAMED"
POSITIONAL = "POSITIONAL"

Place = Literal["header", "body", "button"]


@dataclass(frozen=True)
class Template:
    """One template in one language. `components` stay as Meta, or respond.io, gave them.

    `quality` is GREEN, YELLOW, RED or UNKNOWN; None when nobody says.
    """

    name: str
    language: str
    status: str
    category: str
    parameter_format: str
    components: tuple[dict[str, Any], ...]
    template_id: str
    quality: str | None = None
    rejected_reason: str | None = None

    @classmethod
    def from_meta(cls, record: Mapping[str, Any]) -> Template:
        """A record of `message_templates`. Source: "Meta: templates"."""
        return cls(
            name=str(record["name"]),
            language=str(record["language"]),
            status=str(record.get("status", "")).upper(),
            category=str(record.get("category", "")).upper(),
            parameter_format=str(record.get("parameter_format") or POSITIONAL).upper(),
            components=tuple(record.get("components") or ()),
            template_id=str(record.get("id", "")),
            quality=_quality(record.get("quality_score")),
            rejected_reason=_reason(record.get("rejected_reason")),
        )

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Template:
        """The template whose `to_json` this is."""
        return cls(**{**value, "components": tuple(value["components"])})

    def to_json(self) -> dict[str, Any]:
        """A copy to keep, as JSON values: later changes at Meta do not reach it."""
        return {**asdict(self), "components": list(deepcopy(self.components))}

    @property
    def is_named(self) -> bool:
        """Whether placeholders have names (`{{first_name}}`) rather than numbers (`{{1}}`)."""
        return self.parameter_format == NAMED

    def component(self, kind: str) -> dict[str, Any]:
        """The component of that type (`BODY`, `HEADER`, ...); empty when there is none."""
        wanted = (part for part in self.components if kind_of(part) == kind)
        return next(wanted, {})

    @property
    def header_format(self) -> str | None:
        """TEXT, or the kind of media (IMAGE, VIDEO, DOCUMENT, LOCATION); None without a header."""
        header = self.component("HEADER")
        return str(header.get("format") or "TEXT").upper() if header else None

    @property
    def buttons(self) -> tuple[dict[str, Any], ...]:
        """The buttons in Meta's order: their place is their index."""
        return tuple(self.component("BUTTONS").get("buttons") or ())


@dataclass(frozen=True)
class Placeholder:
    """One place to fill in.

    `key` names it on the command line: `1` or `first_name` in the body, `header.1` or
    `header.first_name` in the header, `button.0` for the URL of the first button. `index` is the
    button's.
    """

    key: str
    where: Place
    index: int | None
    example: str | None

    @property
    def name(self) -> str:
        """The name or number inside the braces, as far as there is one: without the place."""
        return self.key.removeprefix("header.")


def kind_of(part: Mapping[str, Any]) -> str:
    """The type of a component or a button, in capitals."""
    return str(part.get("type", "")).upper()


def _quality(value: object) -> str | None:
    score = value.get("score") if isinstance(value, dict) else value
    return score.upper() if isinstance(score, str) and score else None


def _reason(value: object) -> str | None:
    # Meta says NONE for a template that was not rejected.
    return value.upper() if isinstance(value, str) and value.upper() not in ("", "NONE") else None


def placeholders(template: Template) -> tuple[Placeholder, ...]:
    """Everything to fill in, in the order of the values of a message: header, body, buttons."""
    return (
        *_in_text(template, "HEADER"),
        *_in_text(template, "BODY"),
        *_in_buttons(template),
    )


def _in_text(template: Template, kind: str) -> Iterator[Placeholder]:
    component = template.component(kind)
    names = dict.fromkeys(BRACES.findall(str(component.get("text", ""))))
    # Positional parameters have no names in a message: their order is all Meta goes by.
    ordered = names if template.is_named else sorted(names, key=_position)
    examples = _examples(component, kind, ordered)
    for name in ordered:
        example = examples.get(name)
        if kind == "HEADER":
            yield Placeholder(f"header.{name}", "header", None, example)
        else:
            yield Placeholder(name, "body", None, example)


def _position(name: str) -> int:
    return int(name) if name.isdecimal() else 0


def _examples(component: Mapping[str, Any], kind: str, names: Iterable[str]) -> dict[str, str]:
    example = component.get("example") or {}
    part = f"{kind.lower()}_text"
    if named := example.get(f"{part}_named_params"):
        return {str(entry.get("param_name")): str(entry.get("example")) for entry in named}
    given = example.get(part) or []
    # The body's examples are a list of lists, the header's a plain one.
    values = given[0] if given and isinstance(given[0], list) else given
    return {name: str(value) for name, value in zip(names, values, strict=False)}


def _in_buttons(template: Template) -> Iterator[Placeholder]:
    for index, button in enumerate(template.buttons):
        if kind_of(button) == "URL" and BRACES.search(str(button.get("url", ""))):
            example = button.get("example") or None
            first = example[0] if isinstance(example, list) else example
            yield Placeholder(f"button.{index}", "button", index, first and str(first))
