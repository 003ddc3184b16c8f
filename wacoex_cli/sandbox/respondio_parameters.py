"""Checking a template message in respond.io's shape (respond.io: template message).

Documented: the component types, one `buttons` component for all buttons, parameters by position,
one for each different placeholder, a file name for documents, texts for a location. Our choice,
so that a mistake shows: a text, a label or an address that is given must be the template's own,
all buttons are listed, and nothing unknown is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wacoex_cli.sandbox.nodes import Node
from wacoex_cli.sandbox.parameters import placeholders
from wacoex_cli.sandbox.respondio_calls import Declined, refuse_unknown

FindTemplate = Callable[[str, str], Node | None]
Part = Mapping[str, Any]

_KEYS: Mapping[str, set[str]] = {
    "header": {"type", "format", "text", "parameters"},
    "body": {"type", "text", "parameters"},
    "footer": {"type", "text"},
    "buttons": {"type", "buttons"},
}
_BUTTON_KEYS = {"type", "text", "url", "phone_number", "parameters"}
_BUTTON_TYPES = ("quick_reply", "phone_number", "url")
# What the value of a parameter needs; the keys of media that may be there besides.
_NEEDED: Mapping[str, set[str]] = {
    "image": {"link"},
    "video": {"link"},
    "document": {"link", "filename"},
    "location": {"latitude", "longitude", "name", "address"},
}
_MEDIA_KEYS = {"link", "filename", "caption"}


def check_template(template: object, find_template: FindTemplate) -> None:
    """Raises Declined 400 unless this fills an approved template exactly."""
    if not isinstance(template, dict):
        raise Declined(400, "message.template is required")
    refuse_unknown(template, {"name", "languageCode", "components"}, "template")
    name, language = template.get("name"), template.get("languageCode")
    if not isinstance(name, str) or not isinstance(language, str):
        raise Declined(400, "template.name and template.languageCode are required")
    node = find_template(name, language)
    if node is None or node.values["status"] != "APPROVED":
        raise Declined(400, f"Template {name} ({language}) is not an approved template")
    given = _by_type(template.get("components", []))
    for part in node.values["components"]:
        kind = str(part["type"]).lower()
        _check_part(kind, part, given.pop(kind, {}))
    if given:
        raise Declined(400, f"the template has no {next(iter(given))}")


def _by_type(components: object) -> dict[str, Part]:
    if not isinstance(components, list):
        raise Declined(400, "template.components must be an array")
    given: dict[str, Part] = {}
    for component in components:
        kind = str(component.get("type")) if isinstance(component, dict) else ""
        if kind not in _KEYS:
            raise Declined(400, f"a component is of type {', '.join(_KEYS)}")
        refuse_unknown(component, _KEYS[kind], kind)
        if kind in given:
            raise Declined(400, f"{kind} is there twice")
        given[kind] = component
    return given


def _check_part(kind: str, part: Part, given: Part) -> None:
    """A part that is left out is checked like an empty one: it may need parameters."""
    if kind == "buttons":
        _check_buttons(part["buttons"], given)
        return
    _check_own_words(kind, part, given, {"text"})
    wanted = str(part.get("format", "TEXT")).lower()
    if kind == "header" and given and given.get("format") != wanted:
        raise Declined(400, f"header must be of format {wanted}")
    if wanted == "text":
        _check_texts(kind, placeholders(part["text"]), given)
    else:
        _check_medium(wanted, _parameters(kind, given))


def _check_own_words(place: str, part: Part, given: Part, keys: set[str]) -> None:
    for key in keys & given.keys():
        if given[key] != part.get(key):
            raise Declined(400, f"{place}: {key} is not the template's own")


def _check_texts(place: str, expected: Sequence[str], given: Part) -> None:
    parameters = _parameters(place, given)
    if len(parameters) != len(expected):
        told = f"{len(expected)} parameters are needed, {len(parameters)} are there"
        raise Declined(400, f"{place}: {told}")
    for parameter in parameters:
        refuse_unknown(parameter, {"type", "text"}, f"a parameter of {place}")
        text = parameter.get("text")
        if parameter.get("type") != "text" or not isinstance(text, str) or not text:
            raise Declined(400, f"{place}: a parameter must be a text")


def _check_medium(kind: str, parameters: Sequence[Part]) -> None:
    if len(parameters) != 1 or parameters[0].keys() != {"type", kind}:
        raise Declined(400, f"header: one parameter of type {kind} is needed")
    value = parameters[0][kind]
    needed = _NEEDED[kind]
    known = needed if kind == "location" else _MEDIA_KEYS
    if parameters[0]["type"] != kind or not isinstance(value, dict):
        raise Declined(400, f"header: one parameter of type {kind} is needed")
    refuse_unknown(value, known, kind)
    for name in needed:
        if not isinstance(value.get(name), str) or not value[name]:
            raise Declined(400, f"header: {kind} needs a {name}")
    if "link" in needed and not value["link"].startswith(("http://", "https://")):
        raise Declined(400, f"header: the link of the {kind} must be a public URL")


def _check_buttons(buttons: Sequence[Part], component: Part) -> None:
    given = component.get("buttons", [{} for _ in buttons])
    if not isinstance(given, list) or len(given) != len(buttons):
        raise Declined(400, f"buttons: the template has {len(buttons)}")
    for place, (button, one) in enumerate(zip(buttons, given, strict=True), start=1):
        _check_button(f"button {place}", button, one, is_there="buttons" in component)


def _check_button(place: str, button: Part, given: object, *, is_there: bool) -> None:
    kind = str(button["type"]).lower()
    if kind not in _BUTTON_TYPES:
        raise Declined(400, f"{place}: this sandbox cannot send a {kind} button")
    if not isinstance(given, dict) or (is_there and given.get("type") != kind):
        raise Declined(400, f"{place} must be of type {kind}")
    refuse_unknown(given, _BUTTON_KEYS, place)
    _check_own_words(place, button, given, {"text", "url", "phone_number"})
    _check_texts(place, placeholders(button.get("url", "")), given)


def _parameters(place: str, given: Part) -> Sequence[Part]:
    parameters = given.get("parameters", [])
    if not isinstance(parameters, list) or not all(isinstance(each, dict) for each in parameters):
        raise Declined(400, f"{place}: parameters must be an array of objects")
    return parameters
