"""A template as people and scripts see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.model import kind_of, placeholders
from wacoex_cli.templates.rule import check_sendable, preview

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wacoex_cli.templates.model import Template

COLUMNS = (
    "name",
    "language",
    "status",
    "category",
    "placeholders",
    "quality",
    "header",
    "buttons",
)


def data(source: str, templates: Sequence[Template]) -> dict[str, Any]:
    """The JSON of a list; `source` is whose word it is, `meta` or `respondio`."""
    return {"source": source, "templates": [record(one) for one in templates]}


def record(template: Template) -> dict[str, Any]:
    """The JSON of one template: what its source says of it, and what wacoex makes of that.

    `why_not` says why wacoex cannot send it, and is null when it can.
    """
    return {
        **template.to_json(),
        "header": template.header_format,
        "placeholders": [
            {
                "key": place.key,
                "where": place.where,
                "index": place.index,
                "example": place.example,
            }
            for place in placeholders(template)
        ],
        "buttons": [
            {
                "index": index,
                "type": kind_of(button),
                "text": button.get("text"),
                "url": button.get("url"),
                "phone_number": button.get("phone_number"),
            }
            for index, button in enumerate(template.buttons)
        ],
        "why_not": _why_not(template),
    }


def row(template: Template) -> tuple[str | None, ...]:
    """The cells of `COLUMNS`."""
    return (
        template.name,
        template.language,
        template.status,
        template.category,
        " ".join(place.key for place in placeholders(template)),
        template.quality,
        template.header_format,
        " ".join(map(kind_of, template.buttons)),
    )


def lines(template: Template, told_by: str) -> Iterator[str]:
    """A template for a person: its state, its text, and how it is filled in."""
    places = placeholders(template)
    told = template.quality
    quality = f"quality {told}" if told else f"quality not told by {told_by}"
    yield (
        f"{template.name} ({template.language}): {template.status}, {template.category}, {quality}"
    )
    if template.rejected_reason:
        yield f"  rejected: {template.rejected_reason}"
    shown = preview(template, [f"{{{{{place.key}}}}}" for place in places])
    yield from (f"  | {line}" for line in shown.splitlines())
    if why_not := _why_not(template):
        yield f"  {why_not}"
        return
    if not places:
        yield "  nothing to fill"
        return
    yield "  " + " ".join(f"--param {place.key}=COLUMN" for place in places)
    yield f"  placeholders ({template.parameter_format.lower()}):"
    for place in places:
        example = f", for example {place.example}" if place.example else ""
        yield f"    {place.key}: in the {place.where}{example}"


def _why_not(template: Template) -> str | None:
    try:
        check_sendable(template)
    except UsageError as error:
        return f"{error.message}; {error.hint}"
    return None
