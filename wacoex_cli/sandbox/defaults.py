"""What is in the pretend world to begin with."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from wacoex_cli.sandbox.wire import DAY_SECONDS
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_NAME,
    APPLICATION,
    BUSINESS,
    BUSINESS_ID,
    DEFAULT_TOKEN,
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PARTNER_APP_ID,
    PARTNER_APP_NAME,
    PARTNER_BUSINESS_ID,
    PHONE,
    PHONE_NUMBER,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    TEMPLATE,
    WABA,
    WABA_ID,
    Behaviour,
    Contents,
    Node,
    Token,
    World,
    meta_time,
    subscribed_app,
)

_FIRST_TEMPLATE_ID = 108000000000001

Component = dict[str, Any]


def default_world(
    *,
    extra_templates: int = 0,
    onboarded_days_ago: float = 3.0,
    settings: Behaviour | None = None,
    seed: int = 0,
    monotonic: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> World:
    """One healthy Coexistence number, a second number, templates, and one token for both.

    `extra_templates` adds that many plain ones, for lists of several pages. Both numbers were
    onboarded `onboarded_days_ago` days before.
    """

    def build() -> Contents:
        return _contents(extra_templates, meta_time(now() - onboarded_days_ago * DAY_SECONDS))

    return World(build, settings=settings, seed=seed, monotonic=monotonic, now=now)


def _contents(extra_templates: int, onboarded: str) -> Contents:
    extra = [
        _template(f"extra_{number:03}", "UTILITY", _OPENING_HOURS)
        for number in range(1, extra_templates + 1)
    ]
    nodes = [
        _waba(WABA_ID, "Corner Bakery", BUSINESS_ID),
        _waba(FOREIGN_WABA_ID, "Somebody Else", "102000000000009"),
        _phone_number(PHONE_NUMBER_ID, WABA_ID, PHONE, onboarded),
        _phone_number(
            SECOND_PHONE_NUMBER_ID, WABA_ID, SECOND_PHONE, onboarded, is_on_biz_app=False
        ),
        _phone_number(FOREIGN_PHONE_NUMBER_ID, FOREIGN_WABA_ID, "+6560000009", onboarded),
        Node(BUSINESS, BUSINESS_ID, WABA_ID, {"name": "Corner Bakery"}),
        Node(APPLICATION, APP_ID, WABA_ID, {"name": APP_NAME}),
    ]
    for number, values in enumerate([*_templates(), *extra], start=_FIRST_TEMPLATE_ID):
        health = _health(("MESSAGE_TEMPLATE", str(number)), ("WABA", WABA_ID))
        nodes.append(Node(TEMPLATE, str(number), WABA_ID, {**values, "health_status": health}))
    apps = [subscribed_app(PARTNER_APP_ID, PARTNER_APP_NAME), subscribed_app(APP_ID, APP_NAME)]
    user = {"id": "122000000000001", "name": "wacoex", "tasks": ["MANAGE", "DEVELOP"]}
    return Contents(
        nodes={node.id: node for node in nodes},
        tokens={DEFAULT_TOKEN: Token(DEFAULT_TOKEN)},
        subscribed_apps={WABA_ID: apps},
        assigned_users={WABA_ID: [user]},
    )


def _health(*entities: tuple[str, str]) -> dict[str, Any]:
    rows = [
        {"entity_type": kind, "id": entity_id, "can_send_message": "AVAILABLE"}
        for kind, entity_id in (*entities, ("BUSINESS", BUSINESS_ID), ("APP", APP_ID))
    ]
    return {"entities": rows}


def _waba(waba_id: str, name: str, owner_id: str) -> Node:
    values: dict[str, Any] = {
        "name": name,
        "timezone_id": "107",
        "message_template_namespace": "5a9d0b1c_0000_4000_8000_sandbox00001",
        "status": "ACTIVE",
        "account_review_status": "APPROVED",
        "business_verification_status": "verified",
        "country": "SG",
        "currency": "SGD",
        "creation_time": 1760000000,
        "ownership_type": "CLIENT_OWNED",
        "owner_business": owner_id,
        "owner_business_info": {"id": owner_id, "name": name},
        "on_behalf_of_business_info": {
            "id": PARTNER_BUSINESS_ID,
            "name": "respond.io",
            "status": "APPROVED",
            "type": "SELF",
        },
        "is_shared_with_partners": True,
        "primary_funding_id": "109000000000001",
        "primary_business_location": "SG",
        "health_status": _health(("WABA", waba_id)),
        "is_enabled_for_insights": True,
        "marketing_messages_onboarding_status": "ELIGIBLE",
        "disable_marketing_messages_on_cloud_api": False,
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
    }
    return Node(WABA, waba_id, waba_id, values)


def _phone_number(
    phone_number_id: str, waba_id: str, phone: str, onboarded: str, *, is_on_biz_app: bool = True
) -> Node:
    values: dict[str, Any] = {
        "display_phone_number": f"{phone[:3]} {phone[3:7]} {phone[7:]}",
        "verified_name": "Corner Bakery",
        "quality_rating": "GREEN",
        "status": "CONNECTED",
        "is_on_biz_app": is_on_biz_app,
        "platform_type": "CLOUD_API",
        "quality_score": {"score": "GREEN"},
        "throughput": {"level": "STANDARD"},
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "messaging_limit_tier": "TIER_2K",
        "name_status": "APPROVED",
        "new_name_status": "NONE",
        "code_verification_status": "VERIFIED",
        "account_mode": "LIVE",
        "last_onboarded_time": onboarded,
        "is_official_business_account": False,
        "official_business_account": {"oba_status": "NOT_STARTED"},
        "health_status": _health(("PHONE_NUMBER", phone_number_id), ("WABA", waba_id)),
        "webhook_configuration": {"application": "https://app.respond.example/whatsapp"},
        "is_pin_enabled": True,
        "is_preverified_number": False,
        "search_visibility": "NON_VISIBLE",
        "country_code": "SG",
        "country_dial_code": "65",
        "certificate": "sandbox-certificate",
    }
    return Node(PHONE_NUMBER, phone_number_id, waba_id, values)


def _template(
    name: str,
    category: str,
    *components: Component,
    language: str = "en_US",
    parameter_format: str = "POSITIONAL",
    status: str = "APPROVED",
    rejected_reason: str = "NONE",
) -> dict[str, Any]:
    return {
        "name": name,
        "language": language,
        "status": status,
        "category": category,
        "components": deepcopy(list(components)),
        "parameter_format": parameter_format,
        "quality_score": {"score": "GREEN", "date": 1760000000},
        "rejected_reason": rejected_reason,
    }


def _body(text: str) -> Component:
    values = ["Ana", "A-17"][: text.count("{{")]
    return {"type": "BODY", "text": text, "example": {"body_text": [values]}}


_OPENING_HOURS = {"type": "BODY", "text": "We are open from 8 to 18 every day."}
_SPRING_SALE = {
    "type": "BODY",
    "text": "Hello {{first_name}}, our spring sale is on.",
    "example": {"body_text_named_params": [{"param_name": "first_name", "example": "Ana"}]},
}
_STOP = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop promotions"}]}
_CHANGE = {
    "type": "URL",
    "text": "Change it",
    "url": "https://bakery.example/a/{{1}}",
    "example": ["https://bakery.example/a/17"],
}
_APPOINTMENT: tuple[Component, ...] = (
    {
        "type": "HEADER",
        "format": "TEXT",
        "text": "Appointment on {{1}}",
        "example": {"header_text": ["Monday"]},
    },
    _body("Hello {{1}}, we expect you."),
    {"type": "FOOTER", "text": "Corner Bakery"},
    {"type": "BUTTONS", "buttons": [_CHANGE]},
)
_IMAGE = {"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["sandbox"]}}
_VIDEO = {**_IMAGE, "format": "VIDEO"}
_DOCUMENT = {**_IMAGE, "format": "DOCUMENT"}
_CODE = {"type": "COPY_CODE", "text": "Copy offer code", "example": ["SAVE20"]}
_CARD_URL = {
    "type": "URL",
    "text": "Order",
    "url": "https://bakery.example/cakes/{{1}}",
    "example": ["https://bakery.example/cakes/lemon"],
}


def _buttons(*buttons: Component) -> Component:
    return {"type": "BUTTONS", "buttons": list(buttons)}


def _carousel(count: int, *components: Component) -> Component:
    return {"type": "CAROUSEL", "cards": [{"components": list(components)} for _ in range(count)]}


def _rich_templates() -> list[dict[str, Any]]:
    """One of each type that holds more than text, and a login code (Meta: template components)."""
    reply = {"type": "QUICK_REPLY", "text": "Tell me more"}
    offer = {"text": "Today only!", "has_expiration": True}
    flow = {"type": "FLOW", "text": "Book", "flow_id": "131000000000001", "flow_action": "NAVIGATE"}
    spm = {"type": "SPM", "text": "View"}
    product = {"type": "HEADER", "format": "PRODUCT"}
    call = {"type": "PHONE_NUMBER", "text": "Call us", "phone_number": "+6560000001"}
    otp = {"type": "OTP", "otp_type": "COPY_CODE", "text": "Copy code"}

    def marketing(name: str, *components: Component) -> dict[str, Any]:
        return _template(name, "MARKETING", *components)

    return [
        marketing("bakery_film", _VIDEO, _body("Hello {{1}}, see how we bake.")),
        _template("price_list", "UTILITY", _DOCUMENT, _body("Hello {{1}}, our prices.")),
        marketing("find_us", {"type": "HEADER", "format": "LOCATION"}, _body("Come, {{1}}!")),
        marketing("waving_hand", {**_IMAGE, "format": "GIF"}, _body("Hello {{1}}.")),
        marketing("coupon", _body("20 % off, {{1}}."), _buttons(_CODE, reply)),
        marketing(
            "last_minute",
            _IMAGE,
            {"type": "LIMITED_TIME_OFFER", "limited_time_offer": offer},
            _body("Cake for {{1}} at half the price."),
            _buttons(_CODE, _CHANGE),
        ),
        marketing(
            "catalogue",
            _body("Everything we bake, {{1}}."),
            _buttons({"type": "CATALOG", "text": "View catalog"}),
        ),
        marketing(
            "best_sellers",
            {"type": "HEADER", "format": "TEXT", "text": "Best sellers"},
            _body("The cakes that people love, {{1}}."),
            _buttons({"type": "MPM", "text": "View items"}),
        ),
        marketing("one_cake", product, _body("A cake for you, {{1}}."), _buttons(spm)),
        _template("book_table", "UTILITY", _body("Book a table, {{1}}."), _buttons(flow)),
        _template(
            "call_us",
            "UTILITY",
            _body("Any question, {{1}}?"),
            _buttons(call, {"type": "VOICE_CALL", "text": "Call on WhatsApp"}),
        ),
        marketing(
            "cake_cards",
            _body("Our cakes, {{1}}:"),
            _carousel(2, _IMAGE, _body("Only {{1}} today."), _buttons(reply, _CARD_URL)),
        ),
        marketing(
            "product_cards",
            _body("For you, {{1}}:"),
            _carousel(2, product, _buttons(spm)),
        ),
        _template("login_code", "AUTHENTICATION", _body("{{1}} is your code."), _buttons(otp)),
    ]


def _templates() -> list[dict[str, Any]]:
    """One of each shape that makes a difference, as the values of its node."""
    ready, fertig = (
        "Hello {{1}}, order {{2}} is ready.",
        "Hallo {{1}}, Bestellung {{2}} ist fertig.",
    )
    scam = {"status": "REJECTED", "rejected_reason": "SCAM"}
    return [
        _template("order_ready", "UTILITY", _body(ready)),
        _template("order_ready", "UTILITY", _body(fertig), language="de"),
        _template("spring_sale", "MARKETING", _SPRING_SALE, _STOP, parameter_format="NAMED"),
        _template("appointment", "UTILITY", *_APPOINTMENT),
        _template("opening_hours", "UTILITY", _OPENING_HOURS),
        _template("opening_hours", "UTILITY", _OPENING_HOURS, language="de"),
        _template("new_menu", "MARKETING", _IMAGE, _body("Hello {{1}}, here is our new menu.")),
        _template("flash_sale", "MARKETING", _body("Only today, {{1}}."), status="PAUSED"),
        _template("free_money", "MARKETING", _body("Free money, {{1}}."), **scam),
        *_rich_templates(),
    ]
