"""Checking the parameters of a template message against the template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from wacoex_cli.sandbox.refusals import Refusal

_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FORBIDDEN_SPACE = re.compile(r"[\n\t]| {5}")
_COMPONENT_KEYS: Mapping[str, set[str]] = {
    "header": {"type", "parameters"},
    "body": {"type", "parameters"},
    "button": {"type", "sub_type", "index", "parameters"},
}
# What the parameter of a button is called: (type of the parameter, key of its value).
_BUTTON_PARAMETERS: Mapping[str, tuple[str, str]] = {
    "url": ("text", "text"),
    "quick_reply": ("payload", "payload"),
    "copy_code": ("coupon_code", "coupon_code"),
}

Parameters = list[dict[str, Any]]


def placeholders(text: str) -> list[str]:
    """The names in `{{...}}`, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def check_parameters(template: Mapping[str, Any], components: object) -> None:
    """Raise Refusal unless `components` fill the template exactly (Meta: error codes).

    132000 a wrong number of parameters, 132012 a wrong kind or name, 131008 a missing value,
    132018 a value that templates do not take, 100 a malformed component.
    """
    given = _given_components(components)
    named = template["parameter_format"] == "NAMED"
    for part in template["components"]:
        if part["type"] == "HEADER" and part["format"] != "TEXT":
            _check_media("header", part["format"].lower(), given.pop("header", []))
        elif part["type"] in ("HEADER", "BODY"):
            place = part["type"].lower()
            _check_texts(place, placeholders(part["text"]), given.pop(place, []), named=named)
        elif part["type"] == "BUTTONS":
            _check_buttons(part["buttons"], given)
    for place, parameters in given.items():
        _check_number(place, 0, len(parameters))


def _given_components(components: object) -> dict[str, Parameters]:
    """The parameters by place: `header`, `body`, `url button 0` and so on."""
    if not isinstance(components, list):
        raise Refusal(100, "Param template['components'] must be an array.")
    given: dict[str, Parameters] = {}
    for component in components:
        place = _place(component)
        parameters = component.get("parameters", [])
        if not isinstance(parameters, list) or not all(isinstance(p, dict) for p in parameters):
            raise Refusal(100, f"{place}: parameters must be an array of objects.")
        if place in given:
            raise Refusal(100, f"{place}: this component is there twice.")
        given[place] = parameters
    return given


def _place(component: object) -> str:
    if not isinstance(component, dict) or component.get("type") not in _COMPONENT_KEYS:
        raise Refusal(100, "Each component needs a type: header, body or button.")
    kind = str(component["type"])
    unknown = sorted(component.keys() - _COMPONENT_KEYS[kind])
    if unknown:
        raise Refusal(100, f'Unexpected key "{unknown[0]}" on a {kind} component.')
    if kind != "button":
        return kind
    sub_type, index = component.get("sub_type"), component.get("index")
    if sub_type not in _BUTTON_PARAMETERS or not str(index).isdecimal():
        raise Refusal(100, "A button needs a known sub_type and an index.")
    return f"{sub_type} button {int(str(index))}"


def _check_number(place: str, expected: int, given: int) -> None:
    if expected != given:
        raise Refusal(
            132000,
            f"{place}: number of localizable_params ({given}) does not match "
            f"the expected number of params ({expected})",
        )


def _check_texts(
    place: str, expected: Sequence[str], parameters: Parameters, *, named: bool
) -> None:
    _check_number(place, len(expected), len(parameters))
    for parameter in parameters:
        _check_value(place, parameter, "text", "text", more_keys={"parameter_name"})
        if _FORBIDDEN_SPACE.search(parameter["text"]):
            details = "Param text cannot have new-line/tab characters or more than 4 spaces."
            raise Refusal(132018, f"{place}: {details}")
    names = [parameter.get("parameter_name") for parameter in parameters]
    wanted: set[str | None] = set(expected) if named else {None}
    if names and set(names) != wanted:
        raise Refusal(132012, f"{place}: parameter_name does not match the template.")


def _check_value(
    place: str, parameter: dict[str, Any], kind: str, key: str, *, more_keys: set[str]
) -> None:
    if parameter.get("type") != kind:
        details = f"expected {kind.upper()}, received {str(parameter.get('type')).upper()}"
        raise Refusal(132012, f"{place}: Format mismatch, {details}")
    unknown = sorted(parameter.keys() - {"type", key, *more_keys})
    if unknown:
        raise Refusal(100, f'{place}: Unexpected key "{unknown[0]}" on a parameter.')
    if not isinstance(parameter.get(key), str) or not parameter[key]:
        raise Refusal(131008, f"{place}: Parameter of type {kind} is missing {key} value.")


def _check_media(place: str, kind: str, parameters: Parameters) -> None:
    received = parameters[0].get("type") if len(parameters) == 1 else "unknown"
    if received != kind:
        details = f"expected {kind.upper()}, received {str(received).upper()}"
        raise Refusal(132012, f"{place}: Format mismatch, {details}")
    medium = parameters[0].get(kind)
    if not isinstance(medium, dict) or not (medium.get("id") or medium.get("link")):
        raise Refusal(131008, f"{place}: Parameter of type {kind} needs an id or a link.")


def _check_buttons(buttons: Sequence[Mapping[str, Any]], given: dict[str, Parameters]) -> None:
    for index, button in enumerate(buttons):
        sub_type = button["type"].lower()
        place = f"{sub_type} button {index}"
        parameters = given.pop(place, [])
        kind, key = _BUTTON_PARAMETERS.get(sub_type, ("", ""))
        needed = sub_type == "copy_code" or bool(placeholders(button.get("url", "")))
        if needed and not parameters:
            details = f"Button at index {index} of type {sub_type} requires a parameter"
            raise Refusal(131008, f"buttons: {details}")
        if not needed and sub_type != "quick_reply":
            _check_number(place, 0, len(parameters))
        if parameters:
            _check_number(place, 1, len(parameters))
            _check_value(place, parameters[0], kind, key, more_keys={"parameter_name"})
