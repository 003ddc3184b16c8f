"""Checking a message and what fills its template, in Meta's grammar and in respond.io's."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.world import Node

LONGEST_TEXT = 4096
LONGEST_CALLBACK_DATA = 512
E164 = re.compile(r"\+[1-9][0-9]{6,14}")

FindTemplate = Callable[[str, str], Node | None]
Part = Mapping[str, Any]
Given = dict[str, list[dict[str, Any]]]

USER_ID = re.compile(r"[A-Z]{2}\.[A-Za-z0-9]{1,128}")
"""A person's id for one business (Meta: business-scoped user ids)."""

_KEYS = {"messaging_product", "recipient_type", "to", "recipient", "type"}
_KEYS |= {"biz_opaque_callback_data"}
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_FORBIDDEN_SPACE = re.compile(r"[\n\t]| {5}")
_META_KEYS: Mapping[str, set[str]] = {
    "header": {"type", "parameters"},
    "body": {"type", "parameters"},
    "limited_time_offer": {"type", "parameters"},
    "button": {"type", "sub_type", "index", "parameters"},
    "carousel": {"type", "cards"},
}
# The type of a button's parameter, under which its value stands too.
_BUTTON_PARAMETERS: Mapping[str, str] = {
    "url": "text",
    "quick_reply": "payload",
    "copy_code": "coupon_code",
    "catalog": "action",
    "mpm": "action",
    "flow": "action",
}
_LONGEST_CODE = 15
_LONGEST_PAYLOAD = 256
_MOST_SECTIONS, _MOST_PRODUCTS, _LONGEST_TITLE = 10, 30, 24
_MOST_CARDS = 10
_EARLIEST_MILLISECONDS = 10**12
"""Before 2001: a time in seconds, given for milliseconds, is taken for that."""

_RESPONDIO_KEYS: Mapping[str, set[str]] = {
    "header": {"type", "format", "text", "parameters"},
    "body": {"type", "text", "parameters"},
    "footer": {"type", "text"},
    "buttons": {"type", "buttons"},
}
_RESPONDIO_BUTTON_KEYS = {"type", "text", "url", "phone_number", "parameters"}
_RESPONDIO_BUTTON_TYPES = ("quick_reply", "phone_number", "url", "catalog", "mpm")
# What the value of a parameter needs; the keys of media that may be there besides.
_RESPONDIO_MEDIA: Mapping[str, set[str]] = {
    "image": {"link"},
    "video": {"link"},
    "document": {"link", "filename"},
    "location": {"latitude", "longitude", "name", "address"},
}
_RESPONDIO_MEDIA_KEYS = {"link", "filename", "caption"}


def recipient_of(body: object) -> str | None:
    """The recipient as `+` and digits, or as a user id; None when nobody could be meant.

    Where both stand there `to` counts (Meta: business-scoped user ids).
    """
    given = body if isinstance(body, dict) else {}
    to = given.get("to", given.get("recipient"))
    if not isinstance(to, str):
        return None
    if "to" not in given:
        return to if USER_ID.fullmatch(to) else None
    number = to if to.startswith("+") else f"+{to}"
    return number if E164.fullmatch(number) else None


def check_message(
    body: object, *, sender: str, find_template: FindTemplate, user_ids: Container[str]
) -> str:
    """The recipient (E.164, or an id) of a message that Meta would take from `sender` (E.164).

    `user_ids` are those that this business knows people by.

    Raises GraphError with the code that Meta documents for what is wrong (Meta: send messages).
    """
    if not isinstance(body, dict):
        raise GraphError(100, "The body must be a JSON object.")
    if "messaging_product" not in body:
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    if body["messaging_product"] != "whatsapp":
        raise GraphError(100, "Param messaging_product must be one of {WHATSAPP}.")
    if body.get("recipient_type", "individual") != "individual":
        raise GraphError(131009, "Param recipient_type must be one of {INDIVIDUAL}.")
    kind = body.get("type", "text")
    if kind not in ("text", "template"):
        raise GraphError(131051, "The sandbox takes messages of type text and template.")
    _refuse_unknown_keys(body, {*_KEYS, kind}, "the message")
    if "to" not in body and "recipient" not in body:
        raise GraphError(100, message="(#100) The parameter to is required.")
    recipient = recipient_of(body)
    if recipient is None and "to" in body:
        raise GraphError(131009, "Param to must be a phone number with country code.")
    if recipient is None:
        raise GraphError(131009, "Param recipient must be a business-scoped user id.")
    data = body.get("biz_opaque_callback_data")
    if data is not None and (not isinstance(data, str) or len(data) > LONGEST_CALLBACK_DATA):
        longest = f"must be a string of at most {LONGEST_CALLBACK_DATA} characters"
        raise GraphError(100, f"Param biz_opaque_callback_data {longest}.")
    content = body.get(kind)
    if not isinstance(content, dict):
        raise GraphError(131008, f"Parameter {kind} is required.")
    check = _check_text if kind == "text" else _check_template
    check(content, find_template)
    if recipient == sender:
        raise GraphError(131021)
    if USER_ID.fullmatch(recipient):
        _check_user_id(recipient, content if kind == "template" else None, find_template, user_ids)
    return recipient


def _check_user_id(
    user_id: str, template: Part | None, find_template: FindTemplate, user_ids: Container[str]
) -> None:
    """131062 for a login code; 131026 for an id that names nobody to this business, our choice."""
    found = template and find_template(template["name"], template["language"]["code"])
    if found and found.values["category"] == "AUTHENTICATION":
        raise GraphError(131062)
    if user_id not in user_ids:
        raise GraphError(131026, "The user id is of nobody whom this business knows.")


def _check_text(text: dict[str, Any], _: FindTemplate) -> None:
    _refuse_unknown_keys(text, {"body", "preview_url"}, "text")
    body = text.get("body")
    if not isinstance(body, str) or not body:
        raise GraphError(131008, "Param text['body'] is required.")
    if len(body) > LONGEST_TEXT:
        raise GraphError(100, f"Param text['body'] must be at most {LONGEST_TEXT} characters long.")
    if not isinstance(text.get("preview_url", False), bool):
        raise GraphError(100, "Param text['preview_url'] must be a boolean.")


def _check_template(template: dict[str, Any], find_template: FindTemplate) -> None:
    _refuse_unknown_keys(template, {"name", "language", "components"}, "template")
    name, language = template.get("name"), template.get("language")
    if not isinstance(name, str) or not isinstance(language, dict):
        raise GraphError(131008, "Params template['name'] and template['language'] are required.")
    _refuse_unknown_keys(language, {"code", "policy"}, "template['language']")
    code = language.get("code")
    if not isinstance(code, str):
        raise GraphError(131008, "Param template['language']['code'] is required.")
    found = find_template(name, code)
    status = found.values["status"] if found else None
    if status in ("PAUSED", "DISABLED"):
        raise GraphError(132015 if status == "PAUSED" else 132016)
    if found is None or status != "APPROVED":
        raise GraphError(132001, f"template name ({name}) does not exist in {code}")
    is_named = found.values["parameter_format"] == "NAMED"
    grammar = _Grammar(_read_meta, _check_meta_medium, is_meta=True, is_named=is_named)
    _fill(grammar, found.values["components"], template.get("components", []))


def check_respondio_template(template: object, find_template: FindTemplate) -> None:
    """Raises GraphError unless this fills an approved template (respond.io: template message).

    Documented: the component types, one `buttons` component for all buttons, parameters by
    position, one for each different placeholder, a file name for documents, texts for a location.
    Our choice, so that a mistake shows: a text, a label or an address that is given must be the
    template's own, all buttons are listed, and nothing unknown is taken.
    """
    if not isinstance(template, dict):
        raise GraphError(100, "message.template is required")
    _refuse_unknown_keys(template, {"name", "languageCode", "components"}, "template")
    name, language = template.get("name"), template.get("languageCode")
    if not isinstance(name, str) or not isinstance(language, str):
        raise GraphError(100, "template.name and template.languageCode are required")
    found = find_template(name, language)
    if found is None or found.values["status"] != "APPROVED":
        raise GraphError(132001, f"Template {name} ({language}) is not an approved template")
    grammar = _Grammar(_read_respondio, _check_respondio_medium)
    _fill(grammar, found.values["components"], template.get("components", []))


@dataclass(frozen=True, slots=True)
class _Grammar:
    """How a platform writes parameters: by place (`header`, `body`, `url button 0` and so on)."""

    read: Callable[[Sequence[Part], object], Given]
    check_medium: Callable[[str, list[dict[str, Any]]], None]
    is_meta: bool = False
    is_named: bool = False


def _fill(grammar: _Grammar, parts: Sequence[Part], components: object) -> None:
    """Raise GraphError unless `components` fill the parts of a template, or of a card, exactly.

    132000 a wrong number of parameters, 132012 a wrong kind or name, 132018 a parameter in the
    wrong place, twice, or with a text that templates do not take, 131008 a missing value, 131009 a
    value out of bounds, 100 a malformed component (Meta: error codes).
    """
    given = grammar.read(parts, components)
    for part in parts:
        place = part["type"].lower()
        if place == "header" and part["format"] != "TEXT":
            _check_header(grammar, part["format"].lower(), given.pop(place, []))
        elif place in ("header", "body"):
            _check_texts(grammar, place, _placeholders(part["text"]), given.pop(place, []))
        elif place == "limited_time_offer":
            _check_offer(part[place], given.pop(place, []))
        elif place == "carousel":
            _check_cards(grammar, part["cards"], given.pop(place, []))
        elif place == "buttons":
            for index, button in enumerate(part["buttons"]):
                _check_button(grammar, index, button, given)
    for place, parameters in given.items():
        if " button " in place:
            raise GraphError(132018, f"The template has no {place}.")
        _check_number(place, 0, len(parameters))


def _check_header(grammar: _Grammar, kind: str, parameters: list[dict[str, Any]]) -> None:
    """Meta: template components (media, location), single-product message templates."""
    if not grammar.is_meta or kind not in ("location", "product"):
        grammar.check_medium(kind, parameters)
        return
    value = _only_value("header", kind, parameters)
    if kind == "product":
        _check_texts_in("header", value, {"product_retailer_id", "catalog_id"})
        return
    _check_texts_in("header", value, {"latitude", "longitude", "name", "address"})
    for name, widest in (("latitude", 90), ("longitude", 180)):
        try:
            is_right = abs(float(value[name])) <= widest
        except ValueError:
            is_right = False
        if not is_right:
            raise GraphError(131009, f"header: {name} must be a number up to {widest}.")


def _check_texts_in(place: str, value: Part, needed: set[str]) -> None:
    """All of the names are there with a text, and no others."""
    _refuse_unknown_keys(value, needed, "a parameter", f"{place}: ")
    for name in sorted(needed):
        if not isinstance(value.get(name), str) or not value[name]:
            raise GraphError(131008, f"{place}: Parameter is missing {name} value.")


def _only_value(place: str, kind: str, parameters: Sequence[Part]) -> Part:
    """The object in the one parameter, which must be of that kind."""
    received = parameters[0].get("type") if len(parameters) == 1 else "unknown"
    if str(received).lower() != kind:
        raise _mismatch(place, kind, received)
    _refuse_unknown_keys(parameters[0], {"type", kind}, "a parameter", f"{place}: ")
    value = parameters[0].get(kind)
    if not isinstance(value, dict):
        raise GraphError(131008, f"{place}: Parameter of type {kind} is missing {kind} value.")
    return value


def _check_offer(offer: Part, parameters: Sequence[Part]) -> None:
    """Meta: limited-time offer templates (the end as Unix time in milliseconds)."""
    place = "limited_time_offer"
    if not offer.get("has_expiration"):
        _check_number(place, 0, len(parameters))
        return
    value = _only_value(place, place, parameters)
    _refuse_unknown_keys(value, {"expiration_time_ms"}, "a parameter", f"{place}: ")
    ends = value.get("expiration_time_ms")
    if ends is None:
        raise GraphError(131008, f"{place}: Parameter is missing expiration_time_ms value.")
    if not isinstance(ends, int) or ends < _EARLIEST_MILLISECONDS:
        raise GraphError(131009, f"{place}: expiration_time_ms must be in milliseconds.")


def _check_cards(grammar: _Grammar, own: Sequence[Part], given: Sequence[Part]) -> None:
    """Meta: media card and product card carousel templates.

    Every card of the template is needed; of products there may be more, which are like the last.
    """
    parts = [card["components"] for card in own]
    is_media = parts[0][0]["format"] != "PRODUCT"
    if len(given) < len(own) or len(given) > (len(own) if is_media else _MOST_CARDS):
        raise GraphError(132000, f"carousel: {len(given)} cards do not match the {len(own)} cards.")
    for place, card in enumerate(given):
        _refuse_unknown_keys(card, {"card_index", "components"}, "a card", "carousel: ")
        if card.get("card_index") != place:
            raise GraphError(131009, f"carousel: card_index must be {place}.")
        if "components" not in card:
            raise GraphError(131008, f"carousel: card {place} is missing components.")
        _fill(grammar, parts[min(place, len(parts) - 1)], card["components"])


def _check_texts(
    grammar: _Grammar, place: str, expected: Sequence[str], parameters: Sequence[Part]
) -> None:
    _check_number(place, len(expected), len(parameters))
    for parameter in parameters:
        _check_value(grammar, place, parameter, "text", "text")
        if grammar.is_meta and _FORBIDDEN_SPACE.search(parameter["text"]):
            details = "Param text cannot have new-line/tab characters or more than 4 spaces."
            raise GraphError(132018, f"{place}: {details}")
    names = {parameter.get("parameter_name") for parameter in parameters}
    wanted: set[str | None] = set(expected) if grammar.is_named else {None}
    if names and names != wanted:
        raise GraphError(132012, f"{place}: parameter_name does not match the template.")


def _check_button(grammar: _Grammar, index: int, button: Part, given: Given) -> None:
    sub_type = button["type"].lower()
    place = f"{sub_type} button {index}"
    parameters = given.pop(place, [])
    has_end = bool(_placeholders(button.get("url", "")))
    is_needed = has_end or sub_type in ("copy_code", "mpm")
    if is_needed and not parameters:
        details = f"Button at index {index} of type {sub_type} requires a parameter"
        raise GraphError(131008, f"buttons: {details}")
    may_be = is_needed or sub_type == "catalog"
    may_be = may_be or (grammar.is_meta and sub_type in ("quick_reply", "flow"))
    if not parameters:
        return
    _check_number(place, 1 if may_be else 0, len(parameters))
    kind = _BUTTON_PARAMETERS[sub_type]
    if kind == "action":
        _check_action(place, sub_type, _only_value(place, kind, parameters))
        return
    _check_value(grammar, place, parameters[0], kind, kind)
    text = parameters[0][kind]
    if kind == "coupon_code" and not (text.isalnum() and len(text) <= _LONGEST_CODE):
        raise GraphError(131009, f"{place}: coupon_code takes {_LONGEST_CODE} letters and digits.")
    if kind == "payload" and len(text) > _LONGEST_PAYLOAD:
        raise GraphError(131009, f"{place}: payload is longer than {_LONGEST_PAYLOAD} characters.")


def _check_action(place: str, sub_type: str, action: Part) -> None:
    """Meta: catalog templates, multi-product message templates, flows as templates."""
    if sub_type == "flow":
        _refuse_unknown_keys(action, {"flow_token", "flow_action_data"}, "an action", f"{place}: ")
        if not isinstance(action.get("flow_token", "unused"), str):
            raise GraphError(131009, f"{place}: flow_token must be a string.")
        if not isinstance(action.get("flow_action_data", {}), dict):
            raise GraphError(131009, f"{place}: flow_action_data must be an object.")
        return
    thumbnail = {"thumbnail_product_retailer_id"}
    known = thumbnail | ({"sections"} if sub_type == "mpm" else set())
    _refuse_unknown_keys(action, known, "an action", f"{place}: ")
    _check_texts_in(place, {name: action.get(name) for name in thumbnail}, thumbnail)
    if sub_type == "mpm":
        _check_sections(place, action.get("sections"))


def _check_sections(place: str, sections: object) -> None:
    if not isinstance(sections, list) or not sections:
        raise GraphError(131008, f"{place}: Parameter is missing sections value.")
    items = 0
    for section in sections:
        if not isinstance(section, dict):
            raise GraphError(131009, f"{place}: a section must be an object.")
        _refuse_unknown_keys(section, {"title", "product_items"}, "a section", f"{place}: ")
        title, products = section.get("title"), section.get("product_items")
        if not isinstance(title, str) or not 0 < len(title) <= _LONGEST_TITLE:
            raise GraphError(131009, f"{place}: a title takes {_LONGEST_TITLE} characters.")
        if not isinstance(products, list) or not products:
            raise GraphError(131008, f"{place}: a section needs product_items.")
        for product in products:
            _check_texts_in(place, product, {"product_retailer_id"})
        items += len(products)
    if len(sections) > _MOST_SECTIONS or items > _MOST_PRODUCTS:
        most = f"{_MOST_SECTIONS} sections and {_MOST_PRODUCTS} products"
        raise GraphError(131009, f"{place}: a message takes {most}.")


def _check_number(place: str, expected: int, given: int) -> None:
    if expected != given:
        raise GraphError(
            132000,
            f"{place}: number of localizable_params ({given}) does not match "
            f"the expected number of params ({expected})",
        )


def _check_value(grammar: _Grammar, place: str, parameter: Part, kind: str, key: str) -> None:
    if parameter.get("type") != kind:
        raise _mismatch(place, kind, parameter.get("type"))
    known = {"type", key, "parameter_name"} if grammar.is_meta else {"type", key}
    _refuse_unknown_keys(parameter, known, "a parameter", f"{place}: ")
    if not isinstance(parameter.get(key), str) or not parameter[key]:
        raise GraphError(131008, f"{place}: Parameter of type {kind} is missing {key} value.")


def _mismatch(place: str, expected: str, received: object) -> GraphError:
    details = f"expected {expected.upper()}, received {str(received).upper()}"
    return GraphError(132012, f"{place}: Format mismatch, {details}")


def _refuse_unknown_keys(given: Part, known: set[str], where: str, place: str = "") -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise GraphError(100, f'{place}Unexpected key "{unknown[0]}" on {where}.')


def _placeholders(text: str) -> list[str]:
    """The names in `{{...}}`, each once, in order."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(text)))


def _parameters(place: str, component: Part) -> list[dict[str, Any]]:
    return _objects(place, component.get("parameters", []), "parameters")


def _objects(place: str, value: object, name: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise GraphError(100, f"{place}: {name} must be an array of objects.")
    return value


def _components(components: object, keys: Mapping[str, set[str]]) -> list[dict[str, Any]]:
    """The components, none of an unknown type or with an unknown key."""
    if not isinstance(components, list):
        raise GraphError(100, "Param template['components'] must be an array.")
    for component in components:
        kind = str(component.get("type")) if isinstance(component, dict) else ""
        if kind not in keys:
            raise GraphError(100, f"Each component needs a type: {', '.join(keys)}.")
        _refuse_unknown_keys(component, keys[kind], f"a {kind} component")
    return components


def _read_meta(parts: Sequence[Part], components: object) -> Given:
    given: Given = {}
    for component in _components(components, _META_KEYS):
        place = str(component["type"])
        if place == "button":
            sub_type, index = str(component.get("sub_type")).lower(), component.get("index")
            if sub_type not in _BUTTON_PARAMETERS or not str(index).isdecimal():
                raise GraphError(100, "A button needs a known sub_type and an index.")
            place = f"{sub_type} button {int(str(index))}"
        if place in given:
            raise GraphError(132018, f"{place}: this component is there twice.")
        listed = "cards" if place == "carousel" else "parameters"
        given[place] = _objects(place, component.get(listed, []), listed)
    return given


def _check_meta_medium(kind: str, parameters: list[dict[str, Any]]) -> None:
    medium = _only_value("header", kind, parameters)
    known = {"id", "link", *(["filename"] if kind == "document" else [])}
    _refuse_unknown_keys(medium, known, f"a {kind}", "header: ")
    given = [medium[name] for name in ("id", "link") if medium.get(name)]
    if not given:
        raise GraphError(131008, f"header: Parameter of type {kind} needs an id or a link.")
    if len(given) > 1 or not all(isinstance(value, str) for value in medium.values()):
        raise GraphError(131009, f"header: Parameter of type {kind} needs one id or one link.")
    if "link" in medium and not medium["link"].startswith(("http://", "https://")):
        raise GraphError(131009, f"header: the link of the {kind} must be a public URL.")
    if "id" in medium and not medium["id"].isdecimal():
        raise GraphError(131009, f"header: the id of the {kind} must be one of uploaded media.")


def _read_respondio(parts: Sequence[Part], components: object) -> Given:
    own = {str(part["type"]).lower(): part for part in parts}
    given: Given = {}
    for component in _components(components, _RESPONDIO_KEYS):
        kind = str(component["type"])
        if kind in given:
            raise GraphError(100, f"{kind}: this component is there twice.")
        if kind not in own:
            raise GraphError(100, f"The template has no {kind}.")
        _check_own_words(kind, own[kind], component, {"text"})
        given[kind] = _parameters(kind, component)
        wanted = str(own[kind].get("format", "TEXT")).lower()
        if kind == "header" and component.get("format") != wanted:
            raise _mismatch(kind, wanted, component.get("format"))
        if kind == "buttons" and "buttons" in component:
            listed = component["buttons"]
            if not isinstance(listed, list) or len(listed) != len(own[kind]["buttons"]):
                raise GraphError(100, f"buttons: the template has {len(own[kind]['buttons'])}")
            for index, (button, row) in enumerate(zip(own[kind]["buttons"], listed, strict=True)):
                given[f"{str(button['type']).lower()} button {index}"] = _read_button(button, row)
    for kind in own.keys() - _RESPONDIO_KEYS.keys():
        raise GraphError(100, f"The sandbox cannot send a {kind} here.")
    for button in own.get("buttons", {}).get("buttons", []):
        if str(button["type"]).lower() not in _RESPONDIO_BUTTON_TYPES:
            raise GraphError(100, f"The sandbox cannot send a {button['type']} button here.")
    return given


def _read_button(own: Part, given: object) -> list[dict[str, Any]]:
    kind = str(own["type"]).lower()
    if not isinstance(given, dict) or given.get("type") != kind:
        raise GraphError(100, f"buttons: this one must be of type {kind}")
    _refuse_unknown_keys(given, _RESPONDIO_BUTTON_KEYS, "a button")
    _check_own_words("buttons", own, given, {"text", "url", "phone_number"})
    parameters = _parameters("buttons", given)
    if kind not in ("catalog", "mpm"):
        _check_number("buttons", len(_placeholders(own.get("url", ""))), len(parameters))
    return parameters


def _check_own_words(place: str, own: Part, given: Part, keys: set[str]) -> None:
    for key in keys & given.keys():
        if given[key] != own.get(key):
            raise GraphError(100, f"{place}: {key} is not the template's own")


def _check_respondio_medium(kind: str, parameters: list[dict[str, Any]]) -> None:
    value = parameters[0].get(kind) if len(parameters) == 1 else None
    if not isinstance(value, dict) or parameters[0] != {"type": kind, kind: value}:
        raise GraphError(132012, f"header: one parameter of type {kind} is needed")
    needed = _RESPONDIO_MEDIA[kind]
    known = needed if kind == "location" else _RESPONDIO_MEDIA_KEYS
    _refuse_unknown_keys(value, known, kind)
    for name in sorted(needed):
        if not isinstance(value.get(name), str) or not value[name]:
            raise GraphError(131008, f"header: {kind} needs a {name}")
    if "link" in needed and not value["link"].startswith(("http://", "https://")):
        raise GraphError(100, f"header: the link of the {kind} must be a public URL")


def text_for_person(message: Mapping[str, Any], find_template: FindTemplate) -> str:
    """What a person reads of a message that was taken, from Meta's call or respond.io's.

    Header, text and footer of a template stand on lines of their own, and what is no text as its
    kind: `(IMAGE)`, `(CAROUSEL)`.
    """
    if message.get("type") == "text":
        text = message["text"]
        return str(text["body"] if isinstance(text, dict) else text)
    template = message.get("template")
    if not isinstance(template, dict):
        return f"({message.get('type')})"
    language = template.get("languageCode") or template["language"]["code"]
    found = find_template(template["name"], language)
    if found is None:
        return f"({template['name']})"
    given = {part["type"]: part.get("parameters", []) for part in template.get("components", [])}
    lines = [
        _filled(part["text"], given.get(part["type"].lower(), []))
        if part.get("text")
        else f"({part.get('format', part['type'])})"
        for part in found.values["components"]
        if part["type"] != "BUTTONS"
    ]
    return "\n".join(lines)


def _filled(text: str, parameters: Sequence[Mapping[str, Any]]) -> str:
    """A text of a template with the values in the places of its names or numbers."""
    values = {
        str(parameter.get("parameter_name", place)): str(parameter.get("text", ""))
        for place, parameter in enumerate(parameters, start=1)
    }
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), text)
