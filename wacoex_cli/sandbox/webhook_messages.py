"""The values of webhooks about messages, as Meta publishes them (Meta: webhooks reference)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PERSON = "+6591234567"
Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """Which number something happens to, and when (Unix seconds)."""

    waba_id: str
    owner_business_id: str
    phone_number_id: str
    phone: str
    at: int
    new_message_id: Callable[[str], str]
    new_number: Callable[[], int]

    @property
    def digits(self) -> str:
        """The number without its plus, as Meta writes it."""
        return self.phone.removeprefix("+")

    @property
    def metadata(self) -> dict[str, str]:
        """The part of a message-like value that names the number."""
        return {"display_phone_number": self.digits, "phone_number_id": self.phone_number_id}


@dataclass(frozen=True, slots=True)
class Update:
    """One change of a webhook; `entry_id` where it is not the WABA."""

    field: str
    value: Value
    entry_id: str | None = None


def inbound(
    scene: Scene,
    *,
    contact: str = PERSON,
    text: str = "Are you open today?",
    type: str = "text",
    is_from_ad: bool = False,
    without_phone_number: bool = False,
) -> list[Update]:
    """A message from a customer."""
    message = {"type": type, type: _content(type, text), **_referral(is_from_ad)}
    return _from_contact(scene, contact, message, without_phone_number)


def unsupported(
    scene: Scene,
    *,
    contact: str = PERSON,
    code: int = 131051,
    type: str = "",
    is_from_ad: bool = False,
    without_phone_number: bool = False,
) -> list[Update]:
    """A message that the Cloud API does not carry (131051) or cannot show (131060)."""
    title = "Message type unknown" if code == 131051 else "This message is unavailable"
    message: Value = {
        "type": "unsupported",
        "unsupported": {
            "type": type or ("poll_creation" if code == 131051 else "media_placeholder")
        },
        "errors": [_error(code, title)],
        **_referral(is_from_ad),
    }
    return _from_contact(scene, contact, message, without_phone_number)


def edit(
    scene: Scene,
    *,
    contact: str = PERSON,
    original_message_id: str = "",
    text: str = "Are you open tomorrow?",
) -> list[Update]:
    """The customer edited a message, at most 15 minutes after it."""
    original = original_message_id or scene.new_message_id(contact)
    edited = {"context": {"id": original}, "type": "text", "text": {"body": text}}
    content = {"original_message_id": original, "message": edited}
    return _from_contact(scene, contact, {"type": "edit", "edit": content}, is_nameless=False)


def revoke(scene: Scene, *, contact: str = PERSON, original_message_id: str = "") -> list[Update]:
    """The customer took a message back, at most two days after it."""
    original = original_message_id or scene.new_message_id(contact)
    content = {"original_message_id": original}
    return _from_contact(scene, contact, {"type": "revoke", "revoke": content}, is_nameless=False)


def status(
    scene: Scene,
    *,
    contact: str = PERSON,
    message_id: str = "",
    status: str = "delivered",
    callback_data: str | None = None,
    code: int | None = None,
    category: str = "marketing",
    without_phone_number: bool = False,
) -> list[Update]:
    """What became of a message that this number sent."""
    digits = contact.removeprefix("+")
    who = {"recipient_user_id": _user_id(contact)}
    if not without_phone_number:
        who["recipient_id"] = digits
    told: Value = {
        "id": message_id or scene.new_message_id(contact),
        "status": status,
        "timestamp": str(scene.at),
        **who,
    }
    if callback_data is not None:
        told["biz_opaque_callback_data"] = callback_data
    if code is not None or status == "failed":
        told["errors"] = [_error(code or 131026, "Message undeliverable")]
    else:
        told["pricing"] = {
            "billable": category != "service",
            "pricing_model": "PMP",
            "type": "free_customer_service" if category == "service" else "regular",
            "category": category,
        }
    return [_messages(scene, {"statuses": [told]})]


def echo(
    scene: Scene,
    *,
    contact: str = PERSON,
    text: str = "We open at nine.",
    type: str = "text",
    original_message_id: str = "",
) -> list[Update]:
    """A message sent in the Business app, or on a companion that is supported."""
    content: Value = _content(type, text)
    if type in ("edit", "revoke"):
        original = original_message_id or scene.new_message_id(contact)
        content = {"original_message_id": original}
    if type == "edit":
        content["message"] = {"type": "text", "text": {"body": text}}
    message = {
        "from": scene.digits,
        "to": contact.removeprefix("+"),
        "id": scene.new_message_id(contact),
        "timestamp": str(scene.at),
        "type": type,
        type: content,
    }
    value = {"messaging_product": "whatsapp", "metadata": scene.metadata}
    return [Update("smb_message_echoes", {**value, "message_echoes": [message]})]


def _from_contact(
    scene: Scene, contact: str, message: Mapping[str, Any], is_nameless: bool
) -> list[Update]:
    digits = contact.removeprefix("+")
    who: Value = {"profile": {"name": "Ana"}, "user_id": _user_id(contact)}
    sender: Value = {"from_user_id": _user_id(contact)}
    if not is_nameless:
        who["wa_id"] = sender["from"] = digits
    told = {
        **sender,
        "id": scene.new_message_id(contact),
        "timestamp": str(scene.at),
        **message,
    }
    return [_messages(scene, {"contacts": [who], "messages": [told]})]


def _messages(scene: Scene, parts: Value) -> Update:
    value = {"messaging_product": "whatsapp", "metadata": scene.metadata, **parts}
    return Update("messages", value)


def _content(type: str, text: str) -> Value:
    if type == "text":
        return {"body": text}
    return {"id": "1100000000000001", "mime_type": "application/octet-stream", "caption": text}


def _referral(is_from_ad: bool) -> Value:
    if not is_from_ad:
        return {}
    ad = {"source_type": "ad", "source_id": "120", "source_url": "https://fb.example/ad"}
    return {"referral": {**ad, "headline": "Spring sale", "ctwa_clid": "sandbox-click"}}


def _user_id(contact: str) -> str:
    return f"SG.9{contact[-9:].removeprefix('+')}"


def _error(code: int, title: str) -> Value:
    return {"code": code, "title": title, "message": title, "error_data": {"details": title}}
