"""A template with its values: the body that Meta is sent, and the text that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wacoex_cli.templates.model import Template, kind_of
from wacoex_cli.templates.placeholders import BRACES, placeholders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def message_body(
    template: Template,
    keys: Sequence[str],
    values: Sequence[str],
    to: str,
    attempt_id: str,
) -> dict[str, Any]:
    """The JSON of one template message. Source: "Meta: send messages".

    `keys` are those of the resolved sources, `values` what `fill` gave for them, `to` is E.164
    with its plus, and `attempt_id` comes back in every status event.
    """
    content: dict[str, Any] = {"name": template.name, "language": {"code": template.language}}
    if keys:
        content["components"] = _components(template.is_named, keys, values)
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "template",
        "template": content,
        "biz_opaque_callback_data": attempt_id,
    }


def preview(template: Template, values: Sequence[str]) -> str:
    """The text a person will read, values in placeholder order.

    Buttons stand in square brackets, the media of a header as `(IMAGE)`.
    """
    keys = (place.key for place in placeholders(template))
    known = dict(zip(keys, values, strict=True))
    parts = [
        _header(template, known),
        _filled(template.component("BODY"), "text", "", known),
        _filled(template.component("FOOTER"), "text", "", {}),
        "\n".join(_button(index, button, known) for index, button in enumerate(template.buttons)),
    ]
    return "\n\n".join(part for part in parts if part)


def _components(is_named: bool, keys: Sequence[str], values: Sequence[str]) -> list[dict[str, Any]]:
    header: list[dict[str, str]] = []
    body: list[dict[str, str]] = []
    buttons: list[dict[str, Any]] = []
    for key, value in zip(keys, values, strict=True):
        parameter = {"type": "text", "text": value}
        place, dot, name = key.partition(".")
        if dot and place == "button":
            button = {"type": "button", "sub_type": "url", "index": name}
            buttons.append({**button, "parameters": [parameter]})
            continue
        if is_named:
            parameter["parameter_name"] = name if dot else key
        (header if dot else body).append(parameter)
    texts = (("header", header), ("body", body))
    filled = [{"type": kind, "parameters": given} for kind, given in texts if given]
    return [*filled, *buttons]


def _header(template: Template, known: Mapping[str, str]) -> str:
    media = template.header_format
    if media in (None, "TEXT"):
        return _filled(template.component("HEADER"), "text", "header.", known)
    return f"({media})"


def _filled(part: Mapping[str, Any], field: str, prefix: str, known: Mapping[str, str]) -> str:
    text = str(part.get(field, ""))
    return BRACES.sub(lambda found: known.get(f"{prefix}{found[1]}", found[0]), text)


def _button(index: int, button: Mapping[str, Any], known: Mapping[str, str]) -> str:
    label = f"[{button.get('text', '')}]"
    if kind_of(button) == "PHONE_NUMBER":
        return f"{label} {button.get('phone_number', '')}"
    if kind_of(button) != "URL":
        return label
    value = known.get(f"button.{index}")
    url = str(button.get("url", ""))
    return f"{label} {url if value is None else BRACES.sub(lambda _: value, url)}"
