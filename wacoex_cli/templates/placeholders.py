"""Finding the places of a template that have to be filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from wacoex_cli.templates.model import Placeholder, Template, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

BRACES = re.compile(r"\{\{\s*(\w+)\s*\}\}")


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
        return {str(one.get("param_name")): str(one.get("example")) for one in named}
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
