"""Message templates, and the places in them that have to be filled in."""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

BRACES = re.compile(r"\{\{\s*(\w+)\s*\}\}")
NAMED = "NAMED"
POSITIONAL = "POSITIONAL"

Place = Literal["header", "body", "offer", "button", "card", "products"]

MEDIA_FORMATS = frozenset({"IMAGE", "VIDEO", "DOCUMENT", "GIF"})
"""The formats of a header that is a file (Meta: template components, "Media header")."""

OFFER_ENDS = "offer.expires_at"

LANGUAGE = "template.language"
"""The key under which a row keeps its language, where a broadcast has several; no placeholder."""

MOST_CARDS = 10
"""Cards of a carousel (Meta: media card carousel templates)."""


@dataclass(frozen=True)
class Template:
    """One template in one language. `components` stay as Meta, or respond.io, gave them.

    `quality` is GREEN, YELLOW, RED or UNKNOWN; None when nobody says. `translations` are the same
    template in the other languages of a broadcast that has several.
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
    translations: tuple[Template, ...] = ()

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
        translations = tuple(map(cls.from_json, value.get("translations", ())))
        components = tuple(value["components"])
        return cls(**{**value, "components": components, "translations": translations})

    def to_json(self) -> dict[str, Any]:
        """A copy to keep, as JSON values: later changes at Meta do not reach it."""
        value = {**asdict(self), "components": list(deepcopy(self.components))}
        value["translations"] = [each.to_json() for each in self.translations]
        if not self.translations:
            del value["translations"]
        return value

    @property
    def versions(self) -> tuple[Template, ...]:
        """The template in each of its languages, the fallback first."""
        return (replace(self, translations=()), *self.translations)

    def with_translations(self, translations: Iterable[Template]) -> Template:
        """The template with these languages beside its own.

        All of them count as MARKETING when one does: who wants no marketing gets none in any.
        """
        others = tuple(translations)
        is_marketing = any(each.category == "MARKETING" for each in (self, *others))
        category = "MARKETING" if is_marketing else self.category
        alike = tuple(replace(each, category=category) for each in others)
        return replace(self, category=category, translations=alike)

    def for_values(self, values: Mapping[str, Any]) -> Template:
        """The template in the language of these values, which one row keeps."""
        language = values.get(LANGUAGE)
        return next((each for each in self.translations if each.language == language), self)

    @property
    def is_named(self) -> bool:
        """Whether placeholders have names (`{{first_name}}`) rather than numbers (`{{1}}`)."""
        return self.parameter_format == NAMED

    def component(self, kind: str) -> Mapping[str, Any]:
        """The component of that type (`BODY`, `HEADER`, ...); empty when there is none."""
        return component_of(self.components, kind)

    @property
    def header_format(self) -> str | None:
        """TEXT, or the kind of media (IMAGE, VIDEO, DOCUMENT, LOCATION); None without a header."""
        return header_format(self.components)

    @property
    def buttons(self) -> tuple[dict[str, Any], ...]:
        """The buttons in Meta's order: their place is their index."""
        return tuple(self.component("BUTTONS").get("buttons") or ())


class ValueKind(StrEnum):
    """What the value of a placeholder is."""

    TEXT = "text"
    """A text inside a header, a body or the address of a button."""
    MEDIA = "media"
    """A reference to a file: `id:123`, `https://...` or `file:SHA256`."""
    FILE_NAME = "file_name"
    """The name under which the person sees a document."""
    LOCATION = "location"
    """A part of a place: latitude, longitude, name or address."""
    MOMENT = "moment"
    """When an offer ends."""
    PAYLOAD = "payload"
    """What comes back in the webhook when a person taps a reply button."""
    CODE = "code"
    """What a button copies."""
    TOKEN = "token"  # noqa: S105 - the kind of a value, no secret
    """What a flow hands back with its answer."""
    DATA = "data"
    """The JSON object that the first screen of a flow shows."""
    PRODUCT = "product"
    """The id of a product in the catalogue (its SKU)."""
    CATALOG = "catalog"
    """The id of the catalogue at Meta."""
    PRODUCTS = "products"
    """Sections, each with a title and the ids of its products."""


_WITHOUT_PLACE = {
    ValueKind.MOMENT: "when the offer ends",
    ValueKind.PRODUCTS: "sections of products",
    ValueKind.CATALOG: "id of the catalogue at Meta",
}
_WORDS = {
    ValueKind.FILE_NAME: "file name",
    ValueKind.PAYLOAD: "payload",
    ValueKind.CODE: "code",
    ValueKind.TOKEN: "flow token",
    ValueKind.DATA: "data of the flow",
    ValueKind.PRODUCT: "id of the product",
}


@dataclass(frozen=True)
class Placeholder:
    """One place to fill in.

    `key` names it on the command line and in a file of values: `1` or `first_name` in the body,
    `header.1` or `header.first_name` in the header; `header` for the media or the product of a
    header, `header.filename`, `header.latitude` and so on; `offer.expires_at`; `button.0` for the
    first button: the end of its URL, its payload, its code, its flow token or its product;
    `button.0.data` for the data of a flow; `products` and `catalog`. The same stands behind
    `card.0.` for the first card of a carousel. `index` is the button's, `card` the card's.
    `media` is the format of a file: IMAGE, VIDEO, DOCUMENT. What `is_optional` may be left out.
    """

    key: str
    where: Place
    index: int | None
    example: str | None
    kind: ValueKind = ValueKind.TEXT
    card: int | None = None
    media: str | None = None
    is_optional: bool = False

    @property
    def name(self) -> str:
        """The name or number inside the braces, as far as there is one: without the place."""
        return self.key.removeprefix(card_prefix(self.card)).removeprefix("header.")

    def meaning(self) -> str:
        """What it is, for people: `in the body`, `payload of button 0`, `IMAGE of the header`."""
        if self.kind in _WITHOUT_PLACE:
            return _WITHOUT_PLACE[self.kind]
        card = "" if self.card is None else f" of card {self.card}"
        if self.index is not None:
            what = "end of the URL" if self.kind is ValueKind.TEXT else _WORDS[self.kind]
            return f"{what} of button {self.index}{card}"
        if self.kind is ValueKind.TEXT:
            part = "header" if self.key.startswith("header.") else "body"
            return f"in the {part}{card}"
        if self.kind is ValueKind.LOCATION:
            return f"{self.key.rpartition('.')[2]} of the place"
        return f"{self.media or _WORDS[self.kind]} of the header{card}"

    @property
    def is_structure(self) -> bool:
        """Whether its value is made of parts, in a file of values or as JSON."""
        return self.kind in (ValueKind.DATA, ValueKind.PRODUCTS)


def card_prefix(card: int | None) -> str:
    """What the keys of a card of a carousel begin with; empty for the message itself."""
    return "" if card is None else f"card.{card}."


def kind_of(part: Mapping[str, Any]) -> str:
    """The type of a component or a button, in capitals."""
    return str(part.get("type", "")).upper()


def component_of(parts: Iterable[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    """The first component of that type; empty when there is none."""
    return next((part for part in parts if kind_of(part) == kind), {})


def header_format(parts: Iterable[Mapping[str, Any]]) -> str | None:
    """TEXT, IMAGE, VIDEO, DOCUMENT, GIF, LOCATION or PRODUCT; None without a header."""
    header = component_of(parts, "HEADER")
    return str(header.get("format") or "TEXT").upper() if header else None


def _quality(value: object) -> str | None:
    score = value.get("score") if isinstance(value, dict) else value
    return score.upper() if isinstance(score, str) and score else None


def _reason(value: object) -> str | None:
    # Meta says NONE for a template that was not rejected.
    return value.upper() if isinstance(value, str) and value.upper() not in ("", "NONE") else None


def placeholders(template: Template) -> tuple[Placeholder, ...]:
    """Everything to fill in, in the order of the values of a message.

    Header, body, offer, buttons, then each card of a carousel, then the catalogue; then what only
    its translations have.
    """
    found = [
        *_in_parts(template, template.components, None),
        *(place for card, parts in cards(template) for place in _in_parts(template, parts, card)),
    ]
    if any(place.kind is ValueKind.PRODUCT and place.index is None for place in found):
        found.append(Placeholder("catalog", "products", None, None, ValueKind.CATALOG))
    known = {place.key for place in found}
    for translation in template.translations:
        new = [place for place in placeholders(translation) if place.key not in known]
        found += new
        known.update(place.key for place in new)
    return tuple(found)


def cards(template: Template) -> Iterator[tuple[int, tuple[dict[str, Any], ...]]]:
    """The cards that a message may have, each with its components.

    A carousel of products may be sent with more cards than the template has: they are like its
    last one (Meta: product card carousel templates).
    """
    given = own_cards(template)
    if given and any(header_format(parts) == "PRODUCT" for parts in given):
        given += [given[-1]] * (MOST_CARDS - len(given))
    yield from enumerate(given)


def own_cards(template: Template) -> list[tuple[dict[str, Any], ...]]:
    """The cards of the template itself, each with its components."""
    return [
        tuple(card.get("components") or ())
        for card in template.component("CAROUSEL").get("cards") or ()
        if isinstance(card, dict)
    ]


def is_extra(template: Template, card: int | None) -> bool:
    """Whether a message may leave out that card: the template itself has fewer."""
    return card is not None and card >= len(own_cards(template))


def _in_parts(
    template: Template, parts: Sequence[Mapping[str, Any]], card: int | None
) -> Iterator[Placeholder]:
    """What there is to fill in in the components of a message, or of one card."""
    is_spare = is_extra(template, card)
    for found in (
        _in_header(template, component_of(parts, "HEADER"), card),
        _in_text(template, component_of(parts, "BODY"), "BODY", card),
        _in_offer(component_of(parts, "LIMITED_TIME_OFFER")),
        _in_buttons(component_of(parts, "BUTTONS").get("buttons") or (), card),
    ):
        for place in found:
            yield replace(place, is_optional=True) if is_spare else place


def _in_header(
    template: Template, component: Mapping[str, Any], card: int | None
) -> Iterator[Placeholder]:
    form, key = header_format((component,)), f"{card_prefix(card)}header"
    where: Place = "header" if card is None else "card"
    if form == "TEXT":
        yield from _in_text(template, component, "HEADER", card)
    elif form in MEDIA_FORMATS:
        yield Placeholder(key, where, None, None, ValueKind.MEDIA, card, form)
        if form == "DOCUMENT":
            name = ValueKind.FILE_NAME
            yield Placeholder(f"{key}.filename", where, None, None, name, card, is_optional=True)
    elif form == "LOCATION":
        for part in ("latitude", "longitude", "name", "address"):
            yield Placeholder(f"{key}.{part}", where, None, None, ValueKind.LOCATION, card)
    elif form == "PRODUCT":
        yield Placeholder(key, where, None, None, ValueKind.PRODUCT, card)


def _in_text(
    template: Template, component: Mapping[str, Any], kind: str, card: int | None
) -> Iterator[Placeholder]:
    names = dict.fromkeys(BRACES.findall(str(component.get("text", ""))))
    # Positional parameters have no names in a message: their order is all Meta goes by.
    ordered = names if template.is_named else sorted(names, key=_position)
    examples = _examples(component, kind, ordered)
    prefix = card_prefix(card) + ("header." if kind == "HEADER" else "")
    where: Place = "card" if card is not None else "header" if kind == "HEADER" else "body"
    for name in ordered:
        yield Placeholder(f"{prefix}{name}", where, None, examples.get(name), card=card)


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


def _in_offer(component: Mapping[str, Any]) -> Iterator[Placeholder]:
    """An offer that counts down needs its end (Meta: limited-time offer templates)."""
    offer = component.get("limited_time_offer")
    if isinstance(offer, dict) and offer.get("has_expiration"):
        yield Placeholder(OFFER_ENDS, "offer", None, None, ValueKind.MOMENT)


_BUTTON_KINDS: Mapping[str, tuple[ValueKind, bool]] = {
    "QUICK_REPLY": (ValueKind.PAYLOAD, True),
    "COPY_CODE": (ValueKind.CODE, False),
    "FLOW": (ValueKind.TOKEN, True),
    "CATALOG": (ValueKind.PRODUCT, True),
    "MPM": (ValueKind.PRODUCT, False),
}
"""What fills a button, and whether Meta takes the message without it (Meta: components)."""


def _in_buttons(buttons: Iterable[Mapping[str, Any]], card: int | None) -> Iterator[Placeholder]:
    where: Place = "button" if card is None else "card"
    for index, button in enumerate(buttons):
        key, kind = f"{card_prefix(card)}button.{index}", kind_of(button)
        example = button.get("example") or None
        first = example[0] if isinstance(example, list) else example
        shown = first and str(first)
        if kind == "URL" and BRACES.search(str(button.get("url", ""))):
            yield Placeholder(key, where, index, shown, card=card)
        elif kind in _BUTTON_KINDS:
            value, is_optional = _BUTTON_KINDS[kind]
            yield Placeholder(key, where, index, shown, value, card, is_optional=is_optional)
        if kind == "FLOW":
            data = f"{key}.data"
            yield Placeholder(data, where, index, None, ValueKind.DATA, card, is_optional=True)
        if kind == "MPM":
            yield Placeholder("products", "products", index, None, ValueKind.PRODUCTS)
