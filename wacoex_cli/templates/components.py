"""The components of a message: what Meta and respond.io get beside its template. Pure.

Source: Meta, "Template components" and the pages of each type of template; "Meta: send messages".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from wacoex_cli.contacts.persons import USER_ID_PREFIX
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.templates.model import (
    BRACES,
    LANGUAGE,
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

Fill = Callable[[Values, Resolve], list[Node]]
"""Makes the parameters of one component; none when there is nothing to fill in."""

ID, FILE = "id:", "file:"
LINKS = ("https://", "http://")
_OFFER = "limited_time_offer"
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


class MessageForm:
    """A template that is ready to be filled: what it alone decides is worked out once.

    It knows which components a message has, in which order, and which values go into each. Every
    message gets objects of its own.
    """

    def __init__(self, template: Template) -> None:
        self.template = template
        self._parts = list(_parts(template, template.components, ""))
        self._cards = [
            _Card(
                f"{card_prefix(card)}header" if is_extra(template, card) else None,
                list(_parts(template, parts, card_prefix(card))),
            )
            for card, parts in cards(template)
        ]
        self._translations = {each.language: MessageForm(each) for each in template.translations}

    def for_values(self, values: Values) -> MessageForm:
        """The form in the language of these values, which one row keeps."""
        return self._translations.get(values.get(LANGUAGE, self.template.language), self)

    def components(self, values: Values, resolve: Resolve = direct) -> list[Node]:
        """What fills the template, in Meta's order; a part without anything to fill is left out."""
        found = _filled(self._parts, values, resolve)
        if self._cards:
            found.append({"type": "carousel", "cards": self._carousel(values, resolve)})
        return found

    def _carousel(self, values: Values, resolve: Resolve) -> list[Node]:
        """The cards; of those that the template itself has not, the ones that have a product."""
        shown = [card for card in self._cards if card.product is None or card.product in values]
        return [
            {"card_index": index, "components": _filled(card.parts, values, resolve)}
            for index, card in enumerate(shown)
        ]


def message_body(
    form: MessageForm, values: Values, to: str, attempt_id: str, resolve: Resolve = direct
) -> Node:
    """The JSON of one template message. Source: "Meta: send messages".

    `to` is E.164 with its plus, or `user_id:...` (Meta: business-scoped user ids), and `attempt_id`
    comes back in every status event.
    """
    form = form.for_values(values)
    person = {"to": to}
    if to.startswith(USER_ID_PREFIX):
        person = {"recipient": to.removeprefix(USER_ID_PREFIX)}
    template = form.template
    content: Node = {"name": template.name, "language": {"code": template.language}}
    if filled := form.components(values, resolve):
        content["components"] = filled
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        **person,
        "type": "template",
        "template": content,
        "biz_opaque_callback_data": attempt_id,
    }


class _Part(NamedTuple):
    """A component to fill: what it says besides its parameters, and what makes them."""

    frame: Mapping[str, str]
    fill: Fill


class _Card(NamedTuple):
    """A card of a carousel; without a value at the key `product`, where it has one, no card."""

    product: str | None
    parts: Sequence[_Part]


def _filled(parts: Sequence[_Part], values: Values, resolve: Resolve) -> list[Node]:
    return [
        {**part.frame, "parameters": given}
        for part in parts
        if (given := part.fill(values, resolve))
    ]


def _parts(template: Template, parts: Sequence[Mapping[str, Any]], prefix: str) -> Iterator[_Part]:
    """The components of a message, or of the card whose keys begin with `prefix`."""
    if header := component_of(parts, "HEADER"):
        yield _Part({"type": "header"}, _header(template, header, f"{prefix}header"))
    if not prefix and component_of(parts, "LIMITED_TIME_OFFER"):
        yield _Part({"type": _OFFER}, _offer)
    if body := component_of(parts, "BODY"):
        yield _Part({"type": "body"}, _texts(template, body, prefix))
    for index, button in enumerate(component_of(parts, "BUTTONS").get("buttons") or ()):
        kind = kind_of(button)
        frame = {"type": "button", "sub_type": kind.lower(), "index": str(index)}
        yield _Part(frame, partial(_button, kind, f"{prefix}button.{index}"))


def _header(template: Template, header: Mapping[str, Any], key: str) -> Fill:
    shows = header_format((header,))
    if shows is None or shows == "TEXT":
        return _texts(template, header, f"{key}.")
    if shows == "LOCATION":
        return partial(_location, key)
    if shows in MEDIA_FORMATS:
        return partial(_medium, shows, key)
    return partial(_product, key)


def _texts(template: Template, component: Mapping[str, Any], prefix: str) -> Fill:
    names = dict.fromkeys(BRACES.findall(str(component.get("text") or "")))
    if template.is_named:
        places = [(f"{prefix}{name}", {"parameter_name": name}) for name in names]
    else:
        ordered = sorted(names, key=lambda name: int(name) if name.isdecimal() else 0)
        places = [(f"{prefix}{name}", {}) for name in ordered]
    return lambda values, resolve: [
        {"type": "text", "text": values[key], **named} for key, named in places
    ]


def _offer(values: Values, resolve: Resolve) -> list[Node]:
    if not (ends := values.get(OFFER_ENDS)):
        return []
    return [{"type": _OFFER, _OFFER: {"expiration_time_ms": milliseconds(ends)}}]


def _location(key: str, values: Values, resolve: Resolve) -> list[Node]:
    parts = ("latitude", "longitude", "name", "address")
    return [{"type": "location", "location": {part: values[f"{key}.{part}"] for part in parts}}]


def _medium(shows: str, key: str, values: Values, resolve: Resolve) -> list[Node]:
    if key not in values:
        return []
    kind, medium = shows.lower(), dict(resolve(values[key]))
    if shows == "DOCUMENT" and (name := values.get(f"{key}.filename")):
        medium["filename"] = name
    return [{"type": kind, kind: medium}]


def _product(key: str, values: Values, resolve: Resolve) -> list[Node]:
    if key not in values:
        return []
    product = {"product_retailer_id": values[key], "catalog_id": values["catalog"]}
    return [{"type": "product", "product": product}]


def _button(kind: str, key: str, values: Values, resolve: Resolve) -> list[Node]:
    parameter = _button_parameter(kind, key, values)
    return [] if parameter is None else [parameter]


def _button_parameter(kind: str, key: str, values: Values) -> Node | None:
    """The parameter of the button of that key; None for one that needs none."""
    value = values.get(key)
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
    form: MessageForm, values: Values, channel_id: int, resolve: Resolve = direct
) -> Node:
    """The JSON of one template message for respond.io.

    Source: "respond.io: messages"; the types of respond.io's own client libraries. Unlike
    Meta, respond.io gets the template's own text beside the parameters, all buttons in one
    component, and parameters by position only, also where the placeholders have names.
    """
    form = form.for_values(values)
    template = form.template
    filled = {part["type"]: part["parameters"] for part in form.components(values, resolve)}
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
    kind = kind_of(button)
    part: Node = {"type": kind.lower()}
    part |= {name: button[name] for name in _RESPONDIO_KEEPS if button.get(name)}
    parameter = _button_parameter(kind, f"button.{index}", values)
    return part if parameter is None else {**part, "parameters": [parameter]}
