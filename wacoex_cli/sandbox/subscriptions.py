"""Attaching an app to a WABA, and which webhook fields the app has switched on."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from wacoex_cli.sandbox.courier import app_secret
from wacoex_cli.sandbox.nodes import WABA, Node, subscribed_app
from wacoex_cli.sandbox.refusals import Refusal, nonexisting_field
from wacoex_cli.sandbox.webhooks import is_loopback
from wacoex_cli.sandbox.world import APP_ID, APP_NAME

if TYPE_CHECKING:
    from wacoex_cli.sandbox.wire import Call
    from wacoex_cli.sandbox.world import Token, World

LONGEST_OVERRIDE = 200
_OVERRIDE_KEYS = {"override_callback_uri", "verify_token"}


def change(world: World, call: Call, token: Token, node: Node) -> dict[str, object]:
    """POST attaches the calling app, DELETE detaches it (Meta: subscribed_apps, override).

    An override is an https address of at most 200 characters with its verify token; a POST
    without one clears it. Raises Refusal 100 for anything else.
    """
    if node.kind is not WABA:
        raise nonexisting_field("subscribed_apps", node.kind.name)
    apps = world.subscribed_apps.setdefault(node.id, [])
    others = [app for app in apps if app["whatsapp_business_api_data"]["id"] != token.app_id]
    if call.method == "POST":
        own = subscribed_app(token.app_id, APP_NAME)
        others.append({**own, **_override(call)})
    apps[:] = others
    return {"success": True}


def of_app(world: World, call: Call, app_id: str) -> dict[str, object]:
    """The fields of the app, for a caller with the app's own token (Meta: app subscriptions).

    Raises Refusal 190 for another token, 100 with subcode 33 for another app.
    """
    value = call.headers.get("authorization", "").removeprefix("Bearer ")
    expected = f"{APP_ID}|{app_secret(world)}"
    if "|" not in value:
        raise Refusal(15, message="(#15) This method must be called with an app access_token.")
    if not hmac.compare_digest(value.encode(), expected.encode()):
        raise Refusal(190, message="Error validating application. Invalid application ID.")
    if app_id != APP_ID:
        message = "(#100) The app of the token is another one than that of the path"
        raise Refusal(100, message=message)
    if not world.webhook_fields:
        return {"data": []}
    fields = [{"name": name, "version": "v26.0"} for name in world.webhook_fields]
    row = {
        "object": "whatsapp_business_account",
        "callback_url": world.callbacks.meta_url or "https://hooks.bakery.example/webhooks/meta",
        "active": True,
        "fields": fields,
    }
    return {"data": [row]}


def _override(call: Call) -> dict[str, str]:
    values = _parameters(call)
    unknown = sorted(values.keys() - _OVERRIDE_KEYS)
    if unknown:
        raise Refusal(100, message=f"(#100) Unexpected parameter {unknown[0]}")
    url = values.get("override_callback_uri")
    if not url:
        return {}
    if not isinstance(url, str) or len(url) > LONGEST_OVERRIDE:
        longest = f"must be at most {LONGEST_OVERRIDE} characters long"
        raise Refusal(100, message=f"(#100) Param override_callback_uri {longest}")
    if not _is_safe(url):
        raise Refusal(100, message="(#100) Param override_callback_uri must be an https URL")
    if not values.get("verify_token"):
        raise Refusal(100, message="(#100) The parameter verify_token is required.")
    return {"override_callback_uri": url}


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return is_loopback(url) or (parts.scheme == "https" and bool(parts.hostname))


def _parameters(call: Call) -> dict[str, Any]:
    given = call.json()
    if isinstance(given, dict):
        return given
    form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    query = {name: text for name, text in call.query.items() if name in _OVERRIDE_KEYS}
    return {**query, **form}
