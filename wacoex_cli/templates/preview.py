"""A message as the person reads it: its parts with their values, and the same in plain text. Pure.

A page draws the same parts: `bubble/drawing.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
_LOCATION_PARTS = ("name", "address", "latitude", "longitude")
_COPY_CODE = "Copy code"


class HeaderView(NamedTuple):
    """A header: its text, or what it shows.

    `key` is the placeholder's. `shown` is the reference to a file or the id of a product,
    `file_name` the name of a document, `place` the given parts of a place.
    """

    form: str
    key: str
    text: str = ""
    shown: str | None = None
    file_name: str | None = None
    place: Mapping[str, str] = {}


class OfferView(NamedTuple):
    """A limited-time offer; `ends` is RFC 3339 in UTC, None for an offer without an end."""

    text: str
    ends: str | None


class ProductSection(NamedTuple):
    """Products of the catalogue under a title, each by its id."""

    title: str
    items: tuple[str, ...]


class ButtonView(NamedTuple):
    """A button. `value` is what stands behind it: a URL, a number, a code, the id of a product."""

    kind: str
    text: str
    value: str | None = None
    sections: tuple[ProductSection, ...] = ()


class MessageView(NamedTuple):
    """A message, or a card of a carousel, whose number counts from 0."""

    header: HeaderView | None
    offer: OfferView | None
    body: str
    footer: str
    buttons: tuple[ButtonView, ...]
    cards: tuple[tuple[int, MessageView], ...] = ()


def view(template: Template, values: Values) -> MessageView:
    """The parts of a message, filled. A text keeps the braces of a placeholder without a value."""
    template = template.for_values(values)
    carousel = tuple(
        (card, _view(parts, card_prefix(card), values))
        for card, parts in cards(template)
        if not (is_extra(template, card) and f"{card_prefix(card)}header" not in values)
    )
    return _view(template.components, "", values)._replace(cards=carousel)


def _view(parts: Sequence[Mapping[str, Any]], prefix: str, values: Values) -> MessageView:
    buttons = component_of(parts, "BUTTONS").get("buttons") or ()
    return MessageView(
        header=_header(component_of(parts, "HEADER"), f"{prefix}header", values),
        offer=_offer(component_of(parts, "LIMITED_TIME_OFFER"), values),
        body=_filled(component_of(parts, "BODY"), prefix, values),
        footer=_filled(component_of(parts, "FOOTER"), "footer.", {}),
        buttons=tuple(
            _button(button, f"{prefix}button.{index}", values)
            for index, button in enumerate(buttons)
        ),
    )


def _header(header: Mapping[str, Any], key: str, values: Values) -> HeaderView | None:
    form = header_format((header,)) if header else None
    if form is None:
        return None
    if form == "TEXT":
        return HeaderView(form, key, text=_filled(header, f"{key}.", values))
    place = {
        part: str(values[f"{key}.{part}"]) for part in _LOCATION_PARTS if f"{key}.{part}" in values
    }
    shown, name = values.get(key), values.get(f"{key}.filename")
    return HeaderView(
        form,
        key,
        shown=None if shown is None else str(shown),
        file_name=None if name is None else str(name),
        place=place,
    )


def _offer(component: Mapping[str, Any], values: Values) -> OfferView | None:
    offer = component.get("limited_time_offer")
    if not isinstance(offer, dict):
        return None
    ends = values.get(OFFER_ENDS)
    return OfferView(str(offer.get("text", "")), None if ends is None else str(ends))


def _filled(part: Mapping[str, Any], prefix: str, values: Values) -> str:
    """The text of a component with the values in their places."""
    text = str(part.get("text", ""))
    return BRACES.sub(lambda found: str(values.get(f"{prefix}{found[1]}", found[0])), text)


def _button(button: Mapping[str, Any], key: str, values: Values) -> ButtonView:
    kind, text, given = kind_of(button), str(button.get("text") or ""), values.get(key)
    value = None if given is None else str(given)
    if kind == "PHONE_NUMBER":
        return ButtonView(kind, text, str(button.get("phone_number", "")))
    if kind == "URL":
        url = str(button.get("url", ""))
        return ButtonView(kind, text, BRACES.sub(lambda found: value or found[0], url))
    if kind == "COPY_CODE":
        return ButtonView(kind, text or _COPY_CODE, value)
    if kind in ("CATALOG", "MPM"):
        products = values.get("products", []) if kind == "MPM" else []
        return ButtonView(kind, text, value, tuple(_sections(products)))
    return ButtonView(kind, text)


def _sections(products: object) -> Iterator[ProductSection]:
    try:
        sections = structure(products)
    except ValueError:
        yield ProductSection(str(products), ())
        return
    for section in sections:
        yield ProductSection(str(section["title"]), tuple(map(str, section["items"])))


def preview(template: Template, values: Values, names: Mapping[str, str] = {}) -> str:
    """The text a person will read.

    Buttons stand in square brackets, what is no text in round ones: `(IMAGE menu.jpg)`. `names`
    are those of files, by the references to them.
    """
    shown = view(template, values)
    parts = [*_lines(shown, names)]
    for card, inside in shown.cards:
        read = "\n".join(part for part in _lines(inside, names) if part)
        parts.append(f"-- card {card} --\n{read}")
    return "\n\n".join(part for part in parts if part)


def _lines(shown: MessageView, names: Mapping[str, str]) -> Iterator[str]:
    yield _header_text(shown.header, names) if shown.header else ""
    if shown.offer:
        until = f", until {shown.offer.ends}" if shown.offer.ends else ""
        yield f"(OFFER {shown.offer.text}{until})"
    yield shown.body
    yield shown.footer
    yield "\n".join(line for button in shown.buttons for line in _button_text(button))


def _header_text(header: HeaderView, names: Mapping[str, str]) -> str:
    if header.form == "TEXT":
        return header.text
    if header.form == "LOCATION":
        where = ", ".join(header.place.values())
        return f"(LOCATION {where})" if where else "(LOCATION)"
    reference = header.shown and (names.get(header.shown) or _shortened(header.shown))
    said = dict.fromkeys(text for text in (header.file_name, reference) if text)
    return f"({' '.join([header.form, *said])})"


def _shortened(text: str) -> str:
    """The start of a content hash is enough to tell files apart."""
    return text[: len(FILE) + _FILE_CHARACTERS] if text.startswith(FILE) else text


def _button_text(button: ButtonView) -> Iterator[str]:
    label = f"[{button.text}]"
    if button.kind in ("CATALOG", "MPM") and button.value:
        yield f"{label} (PRODUCT {button.value})"
    else:
        yield f"{label} {button.value or ''}".rstrip()
    for section in button.sections:
        items = ", ".join(section.items)
        yield f"  {section.title}: {items}" if items else f"  {section.title}"
