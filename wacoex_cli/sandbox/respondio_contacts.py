"""Making and changing contacts (respond.io: contacts)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wacoex_cli.sandbox.respondio_calls import Declined, found, refuse_unknown, sought
from wacoex_cli.sandbox.respondio_world import Contact, RespondIOWorld
from wacoex_cli.sandbox.wire import Call
from wacoex_cli.sandbox.world import World

_TEXTS = ("firstName", "lastName", "phone", "email", "language", "profilePic", "countryCode")
_FIELDS = (*_TEXTS, "custom_fields")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def create(world: World, call: Call, match: re.Match[str]) -> object:
    """A new contact, by phone or email; the answer names no id. Raises Declined 409 if there."""
    respondio, identifier = world.respondio, match["contact"]
    fields = _fields(call)
    _refuse_nameless(fields)
    if sought(respondio, identifier) is not None:
        raise Declined(409, "Contact already exists")
    _add(respondio, identifier, fields)
    return {"code": 200, "message": "Contact created"}


def create_or_update(world: World, call: Call, match: re.Match[str]) -> object:
    """The contact with these fields, whether it was there before or not."""
    respondio, identifier = world.respondio, match["contact"]
    fields = _fields(call)
    _refuse_nameless(fields)
    if sought(respondio, identifier) is None:
        return {"contactId": _add(respondio, identifier, fields).id}
    return _update(respondio, identifier, fields)


def update(world: World, call: Call, match: re.Match[str]) -> object:
    """The contact with some fields changed. Raises Declined 404 when there is none."""
    return _update(world.respondio, match["contact"], _fields(call))


def _update(respondio: RespondIOWorld, identifier: str, fields: Mapping[str, Any]) -> object:
    contact = found(respondio, identifier)
    _write(respondio, contact, fields)
    return {"contactId": contact.id}


def _add(respondio: RespondIOWorld, identifier: str, fields: Mapping[str, Any]) -> Contact:
    kind, _, value = identifier.partition(":")
    if kind == "id":
        raise Declined(400, "a contact is created by phone or email")
    if kind == "phone" and not _E164.fullmatch(value):
        raise Declined(400, "phone must be a number with country code")
    # What happens to an identifier and a field that differ is not documented: refused here.
    if fields.get(kind, value) != value:
        raise Declined(400, f"{kind} differs from the identifier")
    phone = value if kind == "phone" else fields.get("phone")
    if phone is not None and respondio.find(f"phone:{phone}") is not None:
        raise Declined(409, "Contact already exists")
    contact = respondio.add_contact(phone, ready_in=respondio.contact_ready_seconds)
    _write(respondio, contact, {kind: value, **fields})
    return contact


def _write(respondio: RespondIOWorld, contact: Contact, fields: Mapping[str, Any]) -> None:
    phone = fields.get("phone", contact.phone)
    if phone != contact.phone:
        if phone is not None and respondio.find(f"phone:{phone}") is not None:
            raise Declined(409, "phone belongs to another contact")
        respondio.set_phone(contact, phone)
    contact.first_name = fields.get("firstName", contact.first_name)
    contact.more |= {key: fields[key] for key in fields.keys() - {"firstName", "phone"}}


def _fields(call: Call) -> dict[str, Any]:
    """What the body says of a contact; phones lose their spaces and dashes."""
    body = call.json()
    if not isinstance(body, dict):
        raise Declined(400, "the body must be a JSON object")
    refuse_unknown(body, _FIELDS, "the contact")
    for name in _TEXTS:
        if not isinstance(body.get(name), str | None):
            raise Declined(400, f"{name} must be a string")
    customs = body.get("custom_fields") or []
    if not isinstance(customs, list) or not all(_is_custom_field(each) for each in customs):
        raise Declined(400, "custom_fields must be a list of name and value")
    if isinstance(body.get("phone"), str):
        phone = re.sub(r"[ -]", "", body["phone"])
        if not _E164.fullmatch(phone):
            raise Declined(400, "phone must be a number with country code")
        return {**body, "phone": phone}
    return body


def _is_custom_field(value: object) -> bool:
    return isinstance(value, dict) and value.keys() == {"name", "value"}


def _refuse_nameless(fields: Mapping[str, Any]) -> None:
    if not fields.get("firstName"):
        raise Declined(400, "firstName is required")
