"""Checking the body of a message (Meta: send messages)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from wacoex_cli.sandbox.nodes import Node
from wacoex_cli.sandbox.parameters import check_parameters
from wacoex_cli.sandbox.refusals import Refusal

LONGEST_TEXT = 4096
LONGEST_CALLBACK_DATA = 512
_E164 = re.compile(r"\+?[1-9][0-9]{6,14}")
_KEYS = {"messaging_product", "recipient_type", "to", "type", "biz_opaque_callback_data"}

FindTemplate = Callable[[str, str], Node | None]


def recipient_of(body: object) -> str | None:
    """The recipient as `+` and digits, or None when there is none that could be meant."""
    to = body.get("to") if isinstance(body, dict) else None
    if not isinstance(to, str) or not _E164.fullmatch(to):
        return None
    return to if to.startswith("+") else f"+{to}"


def check_message(body: object, *, sender: str, find_template: FindTemplate) -> str:
    """The recipient (E.164) of a message that Meta would take from `sender` (E.164).

    Raises Refusal with the code that Meta documents for what is wrong.
    """
    if not isinstance(body, dict):
        raise Refusal(100, "The body must be a JSON object.")
    kind = _kind(body)
    _refuse_unknown_keys(body, _KEYS | {kind}, "the message")
    recipient = _recipient(body)
    _check_callback_data(body.get("biz_opaque_callback_data"))
    content = body.get(kind)
    if not isinstance(content, dict):
        raise Refusal(131008, f"Parameter {kind} is required.")
    if kind == "text":
        _check_text(content)
    else:
        _check_template(content, find_template)
    if recipient == sender:
        raise Refusal(131021)
    return recipient


def _kind(body: dict[str, Any]) -> str:
    if "messaging_product" not in body:
        raise Refusal(100, message="(#100) The parameter messaging_product is required.")
    if body["messaging_product"] != "whatsapp":
        details = "Param messaging_product must be one of {WHATSAPP}."
        raise Refusal(100, details)
    if body.get("recipient_type", "individual") != "individual":
        raise Refusal(131009, "Param recipient_type must be one of {INDIVIDUAL}.")
    kind = body.get("type", "text")
    if kind not in ("text", "template"):
        raise Refusal(131051, "The sandbox takes messages of type text and template.")
    return str(kind)


def _refuse_unknown_keys(given: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(given.keys() - known)
    if unknown:
        raise Refusal(100, f'Unexpected key "{unknown[0]}" on {where}.')


def _recipient(body: dict[str, Any]) -> str:
    if "to" not in body:
        raise Refusal(100, message="(#100) The parameter to is required.")
    recipient = recipient_of(body)
    if recipient is None:
        raise Refusal(131009, "Param to must be a phone number with country code.")
    return recipient


def _check_callback_data(value: object) -> None:
    if value is not None and (not isinstance(value, str) or len(value) > LONGEST_CALLBACK_DATA):
        details = f"must be a string of at most {LONGEST_CALLBACK_DATA} characters"
        raise Refusal(100, f"Param biz_opaque_callback_data {details}.")


def _check_text(text: dict[str, Any]) -> None:
    _refuse_unknown_keys(text, {"body", "preview_url"}, "text")
    body = text.get("body")
    if not isinstance(body, str) or not body:
        raise Refusal(131008, "Param text['body'] is required.")
    if len(body) > LONGEST_TEXT:
        raise Refusal(100, f"Param text['body'] must be at most {LONGEST_TEXT} characters long.")
    if not isinstance(text.get("preview_url", False), bool):
        raise Refusal(100, "Param text['preview_url'] must be a boolean.")


def _check_template(template: dict[str, Any], find_template: FindTemplate) -> None:
    _refuse_unknown_keys(template, {"name", "language", "components"}, "template")
    name, language = template.get("name"), template.get("language")
    if not isinstance(name, str) or not isinstance(language, dict):
        raise Refusal(131008, "Params template['name'] and template['language'] are required.")
    _refuse_unknown_keys(language, {"code", "policy"}, "template['language']")
    code = language.get("code")
    if not isinstance(code, str):
        raise Refusal(131008, "Param template['language']['code'] is required.")
    found = find_template(name, code)
    status = found.values["status"] if found else None
    if status in ("PAUSED", "DISABLED"):
        raise Refusal(132015 if status == "PAUSED" else 132016)
    if found is None or status != "APPROVED":
        raise Refusal(132001, f"template name ({name}) does not exist in {code}")
    check_parameters(found.values, template.get("components", []))
