"""The file that fills a template: what it says, and a skeleton of it."""

from __future__ import annotations

import datetime
import json
import re
from typing import TYPE_CHECKING, Any

from wacoex_cli.errors import UsageError
from wacoex_cli.templates.files import read_bounded
from wacoex_cli.templates.model import (
    BRACES,
    Placeholder,
    Template,
    ValueKind,
    cards,
    component_of,
    is_extra,
    placeholders,
)
from wacoex_cli.templates.values import ParameterSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

COLUMN = "column"
_COLUMN_PREFIX = "column:"
_FORMS = "TOML (.toml), YAML (.yaml, .yml) or JSON (.json)"


def medium_from(key: str, text: str) -> ParameterSource:
    """The source of a picture, a video or a document: `column:NAME`, a link or `id:123`."""
    if text.startswith(_COLUMN_PREFIX):
        return ParameterSource(key, column=text.removeprefix(_COLUMN_PREFIX))
    return ParameterSource(key, value=text)


def sources_in(
    path: Path,
    template: Template,
    medium: Callable[[str, str], ParameterSource] = medium_from,
) -> list[ParameterSource]:
    """The sources that a file of values names.

    Its names are the keys of the placeholders, as `card.0.header` or as tables inside each other.
    A value is the same for all, `{column = "NAME"}` takes it from the list. `medium` makes the
    source of a file.

    Raises:
        UsageError: the file cannot be read, or says something that the template has no place for.
    """
    places = {place.key: place for place in placeholders(template)}
    return [
        _source(path, places.get(key), key, value, medium)
        for key, value in _flat(path, _read(path), places, "")
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_bounded(path)
    except OSError as error:
        raise UsageError(
            f"cannot read `{path}`: {(error.strerror or str(error)).lower()}",
            hint="check the path and its permissions",
            code="unreadable_file",
        ) from error
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _PARSERS:
        raise UsageError(
            f"`{path}` is not a file of values: its name must end in .toml, .yaml, .yml or .json",
            hint="`wacoex template skeleton NAME > values.toml` makes one to fill in",
            code="bad_values",
        )
    try:
        parsed = _PARSERS[kind](content)
    except (ValueError, RecursionError) as error:
        where = " ".join(str(error).split())
        raise UsageError(
            f"`{path}` is not valid {kind.upper()}: {where}",
            hint="`wacoex template skeleton NAME > values.toml` makes one to fill in",
            code="bad_values",
        ) from None
    if not isinstance(parsed, dict):
        raise UsageError(
            f"`{path}` must hold names with values, not a list or a single value",
            hint="`wacoex template skeleton NAME > values.toml` makes one to fill in",
            code="bad_values",
        )
    return parsed


def _from_toml(content: bytes) -> Any:
    import tomllib

    return tomllib.loads(content.decode("utf-8-sig"))


def _from_yaml(content: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(content.decode("utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _from_json(content: bytes) -> Any:
    return json.loads(content.decode("utf-8-sig"))


_PARSERS: Mapping[str, Callable[[bytes], Any]] = {
    "toml": _from_toml,
    "yaml": _from_yaml,
    "yml": _from_yaml,
    "json": _from_json,
}


def _flat(
    path: Path, node: object, places: Mapping[str, Placeholder], key: str
) -> Iterator[tuple[str, Any]]:
    """Every value by its key; a table or a list that is no value itself is opened."""
    place = places.get(key)
    is_value = place is not None and (place.is_structure or _is_column(node))
    entries: Iterator[tuple[object, object]] | None = None
    if isinstance(node, dict) and not is_value and not (place is None and _is_column(node)):
        entries = iter(node.items())
    elif isinstance(node, list) and not is_value:
        entries = iter(enumerate(node))
    if entries is None:
        yield key, node
        return
    for name, value in entries:
        yield from _flat(path, value, places, f"{key}.{name}" if key else str(name))


def _is_column(node: object) -> bool:
    return isinstance(node, dict) and node.keys() == {COLUMN}


def _source(
    path: Path,
    place: Placeholder | None,
    key: str,
    value: object,
    medium: Callable[[str, str], ParameterSource],
) -> ParameterSource:
    if isinstance(value, dict) and _is_column(value):
        return ParameterSource(key, column=str(value[COLUMN]))
    if place is not None and place.is_structure and not isinstance(value, str):
        return ParameterSource(key, value=_plain(path, key, value))
    text = _text(path, key, value)
    if place is not None and place.kind is ValueKind.MEDIA:
        return medium(key, text)
    return ParameterSource(key, value=text)


def _text(path: Path, key: str, value: object) -> str:
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat(" ") if isinstance(value, datetime.datetime) else value.isoformat()
    if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
        return str(value).strip()
    said = "is empty" if value in ("", None) else f"is {json.dumps(value, default=str)}"
    raise UsageError(
        f"`{path}`: the value of `{key}` {said}",
        hint=f'write a text in quotes, or {{ {COLUMN} = "NAME" }} to take it from the list',
        code="bad_values",
    )


def _plain(path: Path, key: str, value: object) -> Any:
    """A structure as JSON knows it: moments become texts."""
    if value is None:
        return _text(path, key, value)
    return json.loads(json.dumps(value, default=str))


def skeleton(template: Template) -> Iterator[str]:
    """The lines of a file of values in TOML, filled with the template's examples.

    What may be left out stands there as a comment.
    """
    yield f"# Values for template `{template.name}` ({template.language}), for --values FILE."
    yield '# A text is the same for all; { column = "NAME" } takes it from the list.'
    card = None
    for place in placeholders(template):
        if is_extra(template, place.card):
            continue
        if place.card != card:
            card = place.card
            yield ""
        value = f"{_key(place.key)} = {_example(template, place)}"
        yield f"{'# ' if place.is_optional else ''}{value}  # {place.meaning()}"
    extra = [card for card, _ in cards(template) if is_extra(template, card)]
    if extra:
        yield f"# More products: card.{extra[0]} to card.{extra[-1]}, like the last card above."


def _key(key: str) -> str:
    return key if re.fullmatch(r"\w+", key, re.ASCII) else json.dumps(key, ensure_ascii=False)


_EXAMPLES = {
    ValueKind.MEDIA: "https://example.com/file.{ending}",
    ValueKind.FILE_NAME: "file.pdf",
    ValueKind.MOMENT: "2030-12-31 20:00",
    ValueKind.PAYLOAD: "yes",
    ValueKind.CODE: "SAVE20",
    ValueKind.TOKEN: "unused",
    ValueKind.PRODUCT: "SKU-1",
    ValueKind.CATALOG: "123456789",
}
_PLACE = {"latitude": "1.2834", "longitude": "103.8607", "name": "Our shop", "address": "1 Bay Rd"}
_ENDINGS = {"IMAGE": "jpg", "VIDEO": "mp4", "DOCUMENT": "pdf"}


def _example(template: Template, place: Placeholder) -> str:
    if place.kind is ValueKind.DATA:
        return "{ }"
    if place.kind is ValueKind.PRODUCTS:
        return '[{ title = "Popular", items = ["SKU-1", "SKU-2"] }]'
    if place.kind is ValueKind.LOCATION:
        return json.dumps(_PLACE[place.key.rpartition(".")[2]])
    if place.kind is ValueKind.TEXT:
        if place.index is None and template.is_named:
            return f"{{ {COLUMN} = {json.dumps(place.name)} }}"
        return json.dumps(_text_example(template, place), ensure_ascii=False)
    text = place.example or _EXAMPLES[place.kind].format(ending=_ENDINGS.get(place.media or ""))
    return json.dumps(text, ensure_ascii=False)


def _text_example(template: Template, place: Placeholder) -> str:
    """Meta's example; of a button's URL, whose example is the whole of it, only the end."""
    example = place.example or "text"
    if place.index is None:
        return example
    parts = template.components if place.card is None else dict(cards(template))[place.card]
    button = component_of(parts, "BUTTONS")["buttons"][place.index]
    return example.removeprefix(BRACES.split(str(button.get("url", "")))[0])
