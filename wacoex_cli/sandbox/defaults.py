"""What is in the pretend world to begin with, and what `sandbox start` puts beside it."""

from __future__ import annotations

import csv
import io
import json
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from wacoex_cli.sandbox.account import CONFIG_ID, SDK_PATH
from wacoex_cli.sandbox.respondio import PREFIX
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.webhooks import META_KINDS, Scene, post
from wacoex_cli.sandbox.wire import DAY_SECONDS, Callbacks
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_NAME,
    APP_SECRET,
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
    SIGNING_KEY,
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

if TYPE_CHECKING:
    from pathlib import Path

VERIFY_TOKEN = "sandbox-verify-token-0123456789"  # noqa: S105 - a marker, no secret
ENV_HEAD = "# Written by `wacoex sandbox start`; it points wacoex at the sandbox, not at Meta."
# One day and some hours: Meta's answers about a number settle within a day after the connection.
ONBOARDED_DAYS_AGO = 1.25
PEOPLE = 160
_LISTENER_PORT = 8765
_NAMES = ("Ana", "Ben", "Chloe", "Dev", "Eva", "Farid", "Grace", "Hui Min", "Ismail", "Jo")
_MESSY_ROWS = (
    ("+65 9100-0001", "Ana"),
    ("0065 9100 0002", "Ben"),
    ("(+65) 91000001", "Ana again"),
    ("not a number", "Chris"),
    ("+6591000003", ""),
    ("91000004", "Dana"),
)
_MENU = (("Lemon cake", "4.50"), ("Plum tart", "3.80"), ("Rye bread", "6.00"), ("Coffee", "2.90"))
_ARCHIVE_DAYS_AGO = (1.2, 1.0, 0.75, 0.5, 0.25, 0.1)
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


def listener_url(port: int = _LISTENER_PORT) -> str:
    """Where `wacoex events listen` takes Meta's webhooks at this port of this machine."""
    return f"http://127.0.0.1:{port}/webhooks/meta"


def practice_world(webhooks_url: str | None = None) -> World:
    """The world of `wacoex sandbox start`: connected a day ago; Meta's webhooks go to the URL."""
    world = default_world(onboarded_days_ago=ONBOARDED_DAYS_AGO)
    world.callbacks = Callbacks(meta_url=webhooks_url or listener_url(), verify_token=VERIFY_TOKEN)
    return world


def guest(number: int) -> str:
    """The phone number of a person of `customers.csv`, counted from 0 (E.164)."""
    return f"+65920{number:05d}"


def practice_files() -> Mapping[str, bytes]:
    """The files to practise with, by name: two lists, a picture, an archive of webhooks."""
    good = [(guest(number), _NAMES[number % len(_NAMES)]) for number in range(PEOPLE)]
    return {
        "customers.csv": _as_csv(good),
        "messy.csv": _as_csv(_MESSY_ROWS),
        "menu.jpg": _menu(),
        "webhooks.ndjson": "".join(f"{json.dumps(body)}\n" for body in _archive()).encode(),
    }


def _as_csv(rows: Iterable[tuple[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("phone", "first_name"))
    writer.writerows(rows)
    return text.getvalue().encode()


def _menu() -> bytes:
    """A picture for the header of `new_menu`."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (960, 600), "#f6e7d2")
    pen = ImageDraw.Draw(picture)
    title, small = ImageFont.load_default(72), ImageFont.load_default(34)
    pen.rounded_rectangle((24, 24, 936, 576), 28, outline="#7a4a26", width=5)
    pen.text((72, 64), "Corner Bakery", "#4a2b14", title)
    pen.text((76, 156), "our new menu", "#7a4a26", small)
    for line, (dish, price) in enumerate(_MENU):
        y = 250 + 74 * line
        pen.text((76, y), dish, "#4a2b14", small)
        pen.text((470, y), price, "#4a2b14", small)
    for step, colour in enumerate(("#c9803f", "#f3c98b", "#b5563c")):
        inset, top = 20 * step, 390 - 70 * step
        pen.rounded_rectangle((620 + inset, top, 880 - inset, top + 70), 20, colour)
    pen.ellipse((732, 206, 768, 242), "#b3261e")
    pen.ellipse((596, 462, 904, 500), "#7a4a26")
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=85)
    return written.getvalue()


def _archive() -> Iterable[Mapping[str, object]]:
    """What another receiver may have kept: customers who wrote, and answers from the app."""
    world = default_world(onboarded_days_ago=ONBOARDED_DAYS_AGO)
    node = world.nodes[PHONE_NUMBER_ID]
    for number, days_ago in enumerate(_ARCHIVE_DAYS_AGO):
        scene = Scene(world, node, world.now() - days_ago * 86_400)
        for kind in ("message", "echo"):
            yield from post(scene, META_KINDS[kind].payloads(scene, contact=guest(number))).payloads


def settings(base_url: str, directory: Path) -> Mapping[str, str]:
    """The variables that point wacoex at the sandbox, and keep what it does in a directory.

    The Graph token is no variable: it is in a file of the config directory, because a variable
    would go before the token that a signup stores.
    """
    return {
        "WACOEX_META_BASE_URL": base_url,
        "WACOEX_META_APP_ID": APP_ID,
        "WACOEX_META_APP_SECRET": APP_SECRET,
        "WACOEX_META_CONFIG_ID": CONFIG_ID,
        "WACOEX_META_SDK_URL": f"{base_url}{SDK_PATH}",
        "WACOEX_RESPONDIO_BASE_URL": f"{base_url}{PREFIX.rstrip('/')}",
        "WACOEX_RESPONDIO_TOKEN": DEFAULT_RESPONDIO_TOKEN,
        "WACOEX_RESPONDIO_SIGNING_KEYS": SIGNING_KEY,
        "WACOEX_WEBHOOK_VERIFY_TOKEN": VERIFY_TOKEN,
        "WACOEX_NOTIFY_URLS": f"{base_url.replace('http', 'json', 1)}/_sandbox/notices",
        "WACOEX_KEYRING": "off",
        "WACOEX_STATE": str(directory / "sandbox.db"),
        "WACOEX_CONFIG_DIR": str(directory / "sandbox-config"),
    }


def env_text(values: Mapping[str, str]) -> str:
    """The variables as a file that a shell reads with `.`, and wacoex with `--env-file`."""
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in values.items())
    return f"{ENV_HEAD}\n{''.join(lines)}"
