"""A message as the person reads it, in plain text. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.templates.components import FILE, Values, structure
from wacoex_cli.templates.model import (
    BRACES,
    OFFER_ENDS,
    Template,
    card_prefix,
    cards,
    component_of,
    header_format,
    is_extra,
    kind_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FILE_CHARACTERS = 12


def preview(template: Template, values: Values) -> str:
    """The text a person will read.

    Buttons stand in square brackets, what is no text in round ones: `(IMAGE https://...)`.
    """
    template = template.for_values(values)
    parts = [*_parts(template.components, "", values), *_carousel(template, values)]
    return "\n\n".join(part for part in parts if part)


def _parts(parts: Sequence[Mapping[str, Any]], prefix: str, values: Values) -> Iterator[str]:
    buttons = component_of(parts, "BUTTONS").get("buttons") or ()
    yield _header(component_of(parts, "HEADER"), prefix, values)
    yield _offer(component_of(parts, "LIMITED_TIME_OFFER"), values)
    yield filled(component_of(parts, "BODY"), prefix, values)
    yield filled(component_of(parts, "FOOTER"), "footer.", {})
    yield "\n".join(
        line
        for index, button in enumerate(buttons)
        for line in _button(button, f"{prefix}button.{index}", values)
    )


def _carousel(template: Template, values: Values) -> Iterator[str]:
    for card, parts in cards(template):
        prefix = card_prefix(card)
        if is_extra(template, card) and f"{prefix}header" not in values:
            continue
        read = "\n".join(part for part in _parts(parts, prefix, values) if part)
        yield "\n".join((f"-- card {card} --", read))


def _header(header: Mapping[str, Any], prefix: str, values: Values) -> str:
    form, key = header_format((header,)) if header else None, f"{prefix}header"
    if form in (None, "TEXT"):
        return filled(header, f"{key}.", values)
    if form == "LOCATION":
        parts = ("name", "address", "latitude", "longitude")
        place = (str(values[f"{key}.{part}"]) for part in parts if f"{key}.{part}" in values)
        where = ", ".join(place)
        return f"(LOCATION {where})" if where else "(LOCATION)"
    shown = [str(values[name]) for name in (f"{key}.filename", key) if name in values]
    return f"({' '.join([str(form), *map(_reference, shown)])})"


def _reference(text: str) -> str:
    """The start of a content hash is enough to tell files apart."""
    return text[: len(FILE) + _FILE_CHARACTERS] if text.startswith(FILE) else text


def _offer(component: Mapping[str, Any], values: Values) -> str:
    offer = component.get("limited_time_offer")
    if not isinstance(offer, dict):
        return ""
    ends = values.get(OFFER_ENDS)
    return f"(OFFER {offer.get('text', '')}{f', until {ends}' if ends else ''})"


def filled(part: Mapping[str, Any], prefix: str, values: Values) -> str:
    """The text of a component with the values in their places."""
    text = str(part.get("text", ""))
    return BRACES.sub(lambda found: str(values.get(f"{prefix}{found[1]}", found[0])), text)


def _button(button: Mapping[str, Any], key: str, values: Values) -> Iterator[str]:
    label, kind, value = f"[{button.get('text', '')}]", kind_of(button), values.get(key)
    if kind == "PHONE_NUMBER":
        yield f"{label} {button.get('phone_number', '')}"
    elif kind == "URL":
        url = str(button.get("url", ""))
        yield f"{label} {url if value is None else BRACES.sub(lambda _: str(value), url)}"
    elif kind == "COPY_CODE":
        yield f"[{button.get('text') or 'Copy code'}] {value or ''}".rstrip()
    else:
        yield label
    if kind == "MPM":
        yield from _products(values.get("products", []))


def _products(value: object) -> Iterator[str]:
    try:
        sections = structure(value)
    except ValueError:
        yield f"  {value}"
        return
    for section in sections:
        yield f"  {section['title']}: {', '.join(map(str, section['items']))}"
