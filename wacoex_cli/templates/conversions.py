"""What Meta and respond.io take as the value of each kind of placeholder. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text, moment_from, spoken, to_text
from wacoex_cli.templates.components import FILE, ID, LINKS
from wacoex_cli.templates.model import (
    OFFER_ENDS,
    Placeholder,
    Template,
    ValueKind,
    placeholders,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from wacoex_cli.templates.values import Convert, ParameterSource

MOST_IN_CODE = 15
"""Characters of a coupon code (Meta: coupon code templates)."""
MOST_IN_PAYLOAD = 256
"""Characters of a payload: what Meta takes as the id of a reply button (interactive replies).

Its page on the buttons of templates names no limit.
"""
MOST_IN_FILE_NAME = 240
"""Characters of the name of a document: what Infobip's client library takes (`HeaderDocument`).

Meta's pages name no limit.
"""
MOST_IN_PLACE_TEXT = 1_000
"""Characters of the name and of the address of a place, each.

From memory of what other providers take; no page was found that says so, Meta's name no limit.
"""
MOST_IN_SECTION_TITLE = 24
MOST_SECTIONS, MOST_PRODUCTS = 10, 30
"""Meta: multi-product message templates.

The token of a flow has no limit here: Meta ("Sending a Flow") names none, and a signed one is long.
"""

_REFERENCE = re.compile(rf"{ID}[0-9]+|{FILE}[0-9a-f]{{64}}|https?://\S+\.\S+")
_CODE = re.compile(r"[A-Za-z0-9]+")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_WIDEST = {"latitude": 90.0, "longitude": 180.0}


def conversions(
    template: Template, provider: Provider, zone: str, now: datetime
) -> dict[str, Convert]:
    """How the values of a template are checked and written, by the key; texts stay as they are.

    Times without a zone are in `zone`.
    """

    def moment(text: str) -> str:
        return _moment(text, zone, now)

    found: dict[str, Convert] = {}
    for place in placeholders(template):
        if place.kind is ValueKind.MOMENT:
            found[place.key] = moment
        elif place.kind is ValueKind.MEDIA:
            found[place.key] = _link_only if provider is Provider.RESPONDIO else _reference
        elif convert := _by_kind(place):
            found[place.key] = convert
    return found


def _by_kind(place: Placeholder) -> Convert | None:
    part = place.key.rpartition(".")[2]
    if place.kind is ValueKind.LOCATION:
        return _degrees(part) if part in _WIDEST else _at_most(MOST_IN_PLACE_TEXT)
    known: Mapping[ValueKind, Convert] = {
        ValueKind.CODE: _code,
        ValueKind.PAYLOAD: _at_most(MOST_IN_PAYLOAD, "Meta"),
        ValueKind.FILE_NAME: _at_most(MOST_IN_FILE_NAME),
        ValueKind.DATA: _data,
        ValueKind.PRODUCTS: _products,
        ValueKind.CATALOG: _catalog,
    }
    return known.get(place.kind)


def settle(
    sources: Sequence[ParameterSource], converts: Mapping[str, Convert]
) -> tuple[ParameterSource, ...]:
    """The sources with what is the same for all checked and written as it is sent.

    Raises UsageError (code `bad_value`) for a value that Meta or respond.io does not take.
    """
    return tuple(_settled(source, converts.get(source.key)) for source in sources)


def _settled(source: ParameterSource, convert: Convert | None) -> ParameterSource:
    try:
        if convert and source.default is not None:
            return replace(source, default=convert(source.default.strip()))
        if convert and source.text is not None:
            return replace(source, text=convert(source.text.strip()))
        if convert and isinstance(source.value, str):
            return replace(source, value=convert(source.value.strip()))
        if convert and source.value is not None:
            return replace(source, value=json.loads(convert(json.dumps(source.value))))
    except ValueError as error:
        raise UsageError(
            f"the value for placeholder `{source.key}` cannot be sent: {error}",
            hint="correct it; `wacoex template show NAME` says what each placeholder takes",
            code="bad_value",
        ) from None
    return source


def offer_ends(sources: Iterable[ParameterSource]) -> datetime | None:
    """When the offer ends that is the same for all (UTC); None without such an offer."""
    for source in sources:
        if source.key == OFFER_ENDS and source.column is None:
            return from_text(str(source.text or source.value))
    return None


def offer_in(values: Mapping[str, object]) -> datetime | None:
    """When the offer of a message with these values ends (UTC); None for a message without it."""
    ends = values.get(OFFER_ENDS)
    return from_text(str(ends)) if ends else None


def _reference(text: str) -> str:
    if not _REFERENCE.fullmatch(text):
        raise ValueError(f"`{text}` is neither a link (https://...) nor an id of Meta (id:123)")
    return text


def _link_only(text: str) -> str:
    if not (_REFERENCE.fullmatch(text) and text.startswith(LINKS)):
        raise ValueError(f"`{text}` is not a link (https://...): respond.io takes nothing else")
    return text


def _degrees(part: str) -> Convert:
    widest = _WIDEST[part]

    def degrees(text: str) -> str:
        plain = text if "." in text else text.replace(",", ".")
        if not _NUMBER.fullmatch(plain) or abs(float(plain)) > widest:
            raise ValueError(f"the {part} `{text}` is not a number from -{widest:g} to {widest:g}")
        return plain

    return degrees


def _moment(text: str, zone: str, now: datetime) -> str:
    try:
        moment = moment_from(text, zone)
    except UsageError as error:
        raise ValueError(f"{error.message}; {error.hint}") from None
    if moment <= now:
        raise ValueError(f"the offer ended already, at {spoken(moment, zone, now)}")
    return to_text(moment)


def _code(text: str) -> str:
    if len(text) > MOST_IN_CODE:
        raise ValueError(f"the code `{text}` has {len(text)} characters, Meta takes {MOST_IN_CODE}")
    if not _CODE.fullmatch(text):
        raise ValueError(f"the code `{text}` holds more than letters and digits (A-Z, a-z, 0-9)")
    return text


def _at_most(most: int, who: str = "wacoex") -> Convert:
    """`who` is whose limit it is."""

    def checked(text: str) -> str:
        if len(text) > most:
            raise ValueError(f"it has {len(text):,} characters, {who} takes {most:,}")
        return text

    return checked


def _catalog(text: str) -> str:
    if not text.isdecimal():
        raise ValueError(f"`{text}` is not an id of a catalogue, which is a number")
    return text


def _data(text: str) -> str:
    if not isinstance(_json(text), dict):
        raise ValueError("the data of a flow must be an object: names with values")
    return text


def _products(text: str) -> str:
    """Sections of products: written again, so that ids that look like numbers become texts."""
    sections = _json(text)
    if not isinstance(sections, list) or not sections:
        raise ValueError('it must be a list of sections: [{"title": ..., "items": [...]}]')
    if len(sections) > MOST_SECTIONS:
        raise ValueError(f"it has {len(sections)} sections, Meta takes {MOST_SECTIONS}")
    whole = [_section(section) for section in sections]
    items = sum(len(section["items"]) for section in whole)
    if items > MOST_PRODUCTS:
        raise ValueError(f"it has {items} products, Meta takes {MOST_PRODUCTS}")
    return json.dumps(whole, ensure_ascii=False)


def _section(section: object) -> dict[str, Any]:
    known = {"title", "items"}
    if not isinstance(section, dict) or section.keys() != known:
        raise ValueError("each section needs a `title` and `items`, and nothing else")
    title, items = section["title"], section["items"]
    if not isinstance(title, str) or not 0 < len(title) <= MOST_IN_SECTION_TITLE:
        raise ValueError(f"the title `{title}` must have 1 to {MOST_IN_SECTION_TITLE} characters")
    is_list = isinstance(items, list) and items
    if not is_list or not all(isinstance(item, str | int) and str(item) for item in items):
        raise ValueError(f"the items of `{title}` must be a list of ids of products")
    return {"title": title, "items": [str(item) for item in items]}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"`{text[:40]}` is not JSON") from None
