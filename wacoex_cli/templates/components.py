"""The components of a message: what Meta and respond.io get beside its template. Pure.

Source: Meta, "Template components" and the pages of each type of template; "Meta: send messages".
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from wacoex_cli.contacts.persons import USER_ID_PREFIX
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.templates.model import (
    BRACES,
    MEDIA_FORMATS,
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
    from collections.abc import Iterator, Sequence

Node = dict[str, Any]
Values = Mapping[str, Any]
"""The value of each placeholder by its key; a placeholder that stays empty is not in it."""

Resolve = Callable[[str], Mapping[str, str]]
"""Turns a reference to a file into what a message says of it: `{"id": ...}` or `{"link": ...}`."""

ID, FILE = "id:", "file:"
LINKS = ("https://", "http://")
_RESPONDIO_KEEPS = ("text", "url", "phone_number")


def direct(reference: str) -> Mapping[str, str]:
    """What a message says of a file that needs no upload: an id of Meta, or a link.

    Raises UsageError (code `media_not_uploaded`) for a reference to a file of one's own.
    """
    if reference.startswith(ID):
        return {"id": reference.removeprefix(ID)}
    if reference.startswith(LINKS):
        return {"link": reference}
    raise UsageError(
        f"`{reference}` is neither a link nor an id of Meta",
        hint="give https://... or id:123",
        code="media_not_uploaded",
    )


def message_body(
    template: Template, values: Values, to: str, attempt_id: str, resolve: Resolve = direct
) -> Node:
    """The JSON of one template message. Source: "Meta: send messages".

    `to` is E.164 with its plus, or `user_id:...` (Meta: business-scoped user ids), and `attempt_id`
    comes back in every status event.
    """
    template = template.for_values(values)
    person = {"to": to}
    if to.startswith(USER_ID_PREFIX):
        person = {"recipient": to.removeprefix(USER_ID_PREFIX)}
    content: Node = {"name": template.name, "language": {"code": template.language}}
    if filled := components(template, values, resolve):
        content["components"] = filled
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **person,
        "type": "template",
        "template": content,
        "biz_opaque_callback_data": attempt_id,
    }


def components(template: Template, values: Values, resolve: Resolve = direct) -> list[Node]:
    """What fills a template, in Meta's order; a part without anything to fill is left out."""
    found = [*_parts(template, template.components, "", values, resolve)]
    if carousel := [*_carousel(template, values, resolve)]:
        found.append({"type": "carousel", "cards": carousel})
    return found


def _carousel(template: Template, values: Values, resolve: Resolve) -> Iterator[Node]:
    """The cards; of those that the template itself has not, the ones that have a product."""
    index = 0
    for card, parts in cards(template):
        prefix = card_prefix(card)
        if is_extra(template, card) and f"{prefix}header" not in values:
            continue
        yield {
            "card_index": index,
            "components": [*_parts(template, parts, prefix, values, resolve)],
        }
        index += 1


def _parts(
    template: Template,
    parts: Sequence[Mapping[str, Any]],
    prefix: str,
    values: Values,
    resolve: Resolve,
) -> Iterator[Node]:
    """The filled components of a message, or of the card whose keys begin with `prefix`."""
    header, body = component_of(parts, "HEADER"), component_of(parts, "BODY")
    if given := _header(template, header, prefix, values, resolve):
        yield {"type": "header", "parameters": given}
    if ends := values.get(OFFER_ENDS) if not prefix else None:
        offer = {"expiration_time_ms": milliseconds(ends)}
        kind = "limited_time_offer"
        yield {"type": kind, "parameters": [{"type": kind, kind: offer}]}
    if given := _texts(template, body, prefix, values):
        yield {"type": "body", "parameters": given}
    buttons = component_of(parts, "BUTTONS").get("buttons") or ()
    for index, button in enumerate(buttons):
        if filled := _button_parameter(button, f"{prefix}button.{index}", values):
            kind = kind_of(button).lower()
            named = {"type": "button", "sub_type": kind, "index": str(index)}
            yield {**named, "parameters": [filled]}


def _header(
    template: Template, header: Mapping[str, Any], prefix: str, values: Values, resolve: Resolve
) -> list[Node]:
    key, form = f"{prefix}header", header_format((header,)) if header else None
    if form is None or form == "TEXT":
        return _texts(template, header, f"{key}.", values)
    if form == "LOCATION":
        parts = ("latitude", "longitude", "name", "address")
        place = {part: values[f"{key}.{part}"] for part in parts}
        return [{"type": "location", "location": place}]
    if key not in values:
        return []
    kind = form.lower()
    if form in MEDIA_FORMATS:
        medium = dict(resolve(values[key]))
        if form == "DOCUMENT" and (name := values.get(f"{key}.filename")):
            medium["filename"] = name
        return [{"type": kind, kind: medium}]
    product = {"product_retailer_id": values[key], "catalog_id": values["catalog"]}
    return [{"type": "product", "product": product}]


def _texts(
    template: Template, component: Mapping[str, Any], prefix: str, values: Values
) -> list[Node]:
    if not (text := component.get("text")):
        return []
    names = _placeholders(str(text))
    if template.is_named:
        return [
            {"type": "text", "text": values[f"{prefix}{name}"], "parameter_name": name}
            for name in names
        ]
    ordered = sorted(names, key=lambda name: int(name) if name.isdecimal() else 0)
    return [{"type": "text", "text": values[f"{prefix}{name}"]} for name in ordered]


@functools.lru_cache(maxsize=256)
def _placeholders(text: str) -> tuple[str, ...]:
    """The names in a text, each once: a broadcast asks for those of one text again and again."""
    return tuple(dict.fromkeys(BRACES.findall(text)))


def _button_parameter(button: Mapping[str, Any], key: str, values: Values) -> Node | None:
    """The parameter of the button of that key; None for one that needs none."""
    kind, value = kind_of(button), values.get(key)
    if kind == "FLOW":
        return _flow(value, values.get(f"{key}.data"))
    if value is None:
        return None
    if kind == "QUICK_REPLY":
        return {"type": "payload", "payload": value}
    if kind == "COPY_CODE":
        return {"type": "coupon_code", "coupon_code": value}
    if kind in ("CATALOG", "MPM"):
        action: Node = {"thumbnail_product_retailer_id": value}
        if kind == "MPM":
            action["sections"] = sections(values["products"])
        return {"type": "action", "action": action}
    return {"type": "text", "text": value}


def _flow(token: str | None, data: object) -> Node | None:
    """Source: Meta, Flows, "Sending a flow" as a template (token and data may be left out)."""
    action: Node = {}
    if token is not None:
        action["flow_token"] = token
    if data is not None:
        action["flow_action_data"] = structure(data)
    return {"type": "action", "action": action} if action else None


def sections(products: object) -> list[Node]:
    """Sections in Meta's words, from `[{"title": ..., "items": [ids]}]`."""
    return [
        {
            "title": section["title"],
            "product_items": [{"product_retailer_id": item} for item in section["items"]],
        }
        for section in structure(products)
    ]


def structure(value: object) -> Any:
    """A value made of parts: as it is, or out of the JSON that a column or a text holds."""
    return json.loads(value) if isinstance(value, str) else value


def milliseconds(moment: str) -> int:
    """A kept moment (RFC 3339, UTC) as Meta wants it: Unix time in milliseconds."""
    return int(from_text(moment).timestamp() * 1000)


def respondio_body(
    template: Template, values: Values, channel_id: int, resolve: Resolve = direct
) -> Node:
    """The JSON of one template message for respond.io.

    Source: "respond.io: messages"; the types of respond.io's own client libraries. Unlike
    Meta, respond.io gets the template's own text beside the parameters, all buttons in one
    component, and parameters by position only, also where the placeholders have names.
    """
    template = template.for_values(values)
    filled = {part["type"]: part["parameters"] for part in components(template, values, resolve)}
    parts = [_respondio_part(template, kind, filled) for kind in ("HEADER", "BODY", "FOOTER")]
    buttons = [
        _respondio_button(index, button, values) for index, button in enumerate(template.buttons)
    ]
    if buttons:
        parts.append({"type": "buttons", "buttons": buttons})
    content: Node = {"name": template.name, "languageCode": template.language}
    if given := [part for part in parts if part]:
        content["components"] = given
    return {
        "channelId": channel_id,
        "message": {"type": "whatsapp_template", "template": content},
    }


def _respondio_part(template: Template, kind: str, filled: Mapping[str, list[Node]]) -> Node:
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


def _respondio_button(index: int, button: Mapping[str, Any], values: Values) -> Node:
    part: Node = {"type": kind_of(button).lower()}
    part |= {name: button[name] for name in _RESPONDIO_KEEPS if button.get(name)}
    parameter = _button_parameter(button, f"button.{index}", values)
    return part if parameter is None else {**part, "parameters": [parameter]}
