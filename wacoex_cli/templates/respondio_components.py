"""A template message as respond.io takes it. Pure.

Sources: "respond.io: messages"; the types of respond.io's own client libraries.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from wacoex_cli.templates.components import Resolve, button_parameter, components, direct
from wacoex_cli.templates.model import Template, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wacoex_cli.templates.components import Node, Values

_OWN_WORDS = ("text", "url", "phone_number")


def respondio_body(
    template: Template, values: Values, channel_id: int, resolve: Resolve = direct
) -> Node:
    """The JSON of one template message.

    Unlike Meta, respond.io gets the template's own text beside the parameters, all buttons in one
    component, and parameters by position only, also where the placeholders have names.
    """
    template = template.for_values(values)
    filled = {part["type"]: part["parameters"] for part in components(template, values, resolve)}
    parts = [_part(template, kind, filled) for kind in ("HEADER", "BODY", "FOOTER")]
    buttons = [_button(index, button, values) for index, button in enumerate(template.buttons)]
    if buttons:
        parts.append({"type": "buttons", "buttons": buttons})
    content: Node = {"name": template.name, "languageCode": template.language}
    if given := [part for part in parts if part]:
        content["components"] = given
    return {
        "channelId": channel_id,
        "message": {"type": "whatsapp_template", "template": content},
    }


def _part(template: Template, kind: str, filled: Mapping[str, list[Node]]) -> Node:
    component = template.component(kind)
    if not component:
        return {}
    part: Node = {"type": kind.lower(), "text": str(component.get("text", ""))}
    if kind == "HEADER":
        part["format"] = str(template.header_format).lower()
        if template.header_format != "TEXT":
            del part["text"]
    if given := filled.get(kind.lower()):
        part["parameters"] = [_as_taken(parameter) for parameter in given]
    return part


def _as_taken(parameter: Node) -> Node:
    """Without the name of the placeholder; a document has a file name, else that of its link."""
    plain = {name: value for name, value in parameter.items() if name != "parameter_name"}
    document = plain.get("document")
    if document and "filename" not in document:
        path = PurePosixPath(unquote(urlsplit(document["link"]).path))
        plain["document"] = {**document, "filename": path.name or "document"}
    return plain


def _button(index: int, button: Mapping[str, Any], values: Values) -> Node:
    part: Node = {"type": kind_of(button).lower()}
    part |= {name: button[name] for name in _OWN_WORDS if button.get(name)}
    parameter = button_parameter(button, f"button.{index}", values)
    return part if parameter is None else {**part, "parameters": [parameter]}
