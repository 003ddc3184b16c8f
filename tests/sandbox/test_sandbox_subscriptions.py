"""Attaching an app to a WABA, its webhook fields, and the calls nobody may make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.wire import WEBHOOK_FIELDS, Callbacks
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    FOREIGN_WABA_ID,
    PARTNER_APP_ID,
    PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

Call = Callable[..., httpx.Response]
APPS = f"/v26.0/{WABA_ID}/subscribed_apps"
FIELDS = f"/v26.0/{APP_ID}/subscriptions"
APP_TOKEN = f"{APP_ID}|{APP_SECRET}"
OVERRIDE = {"override_callback_uri": "https://other.example/hook", "verify_token": "word"}


def app_ids(call: Call) -> list[str]:
    rows = call("GET", APPS).json()["data"]
    return [row["whatsapp_business_api_data"]["id"] for row in rows]


def test_an_app_detaches_and_attaches_only_itself(call: Call) -> None:
    assert call("DELETE", APPS).json() == {"success": True}
    assert app_ids(call) == [PARTNER_APP_ID]

    assert call("POST", APPS).json() == {"success": True}
    assert call("POST", APPS).json() == {"success": True}
    assert app_ids(call) == [PARTNER_APP_ID, APP_ID]


@pytest.mark.parametrize("how", ["json", "data"])
def test_an_override_is_shown_and_cleared_by_an_empty_post(call: Call, how: str) -> None:
    call("POST", APPS, **{how: OVERRIDE})
    shown = call("GET", APPS).json()["data"][-1]
    assert shown["override_callback_uri"] == "https://other.example/hook"
    assert "verify_token" not in shown

    call("POST", APPS)
    assert "override_callback_uri" not in call("GET", APPS).json()["data"][-1]


@pytest.mark.parametrize(
    "values",
    [
        {**OVERRIDE, "override_callback_uri": f"https://other.example/{'x' * 200}"},
        {**OVERRIDE, "override_callback_uri": "http://other.example/hook"},
        {"override_callback_uri": "https://other.example/hook"},
        {**OVERRIDE, "colour": "red"},
    ],
)
def test_an_override_that_meta_would_refuse_changes_nothing(
    call: Call, values: dict[str, str]
) -> None:
    before = call("GET", APPS).json()

    error = call("POST", APPS, json=values)

    assert (error.status_code, error.json()["error"]["code"]) == (400, 100)
    assert call("GET", APPS).json() == before


def test_only_a_visible_account_with_the_right_scope_is_attached(call: Call, world: World) -> None:
    foreign = call("POST", f"/v26.0/{FOREIGN_WABA_ID}/subscribed_apps").json()["error"]
    world.patch_token("narrow", {"scopes": frozenset({"whatsapp_business_messaging"})})
    narrow = call("POST", APPS, token="narrow").json()["error"]
    number = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/subscribed_apps").json()["error"]

    assert (foreign["code"], foreign["error_subcode"]) == (100, 33)
    assert narrow["code"] == 10
    assert number["code"] == 100


def test_the_app_token_tells_which_fields_are_on(call: Call, world: World) -> None:
    world.callbacks = Callbacks(meta_url="http://127.0.0.1:8765/webhooks/meta")

    [row] = call("GET", FIELDS, token=APP_TOKEN).json()["data"]

    assert row["object"] == "whatsapp_business_account"
    assert row["callback_url"] == "http://127.0.0.1:8765/webhooks/meta"
    assert row["active"] is True
    assert [field["name"] for field in row["fields"]] == list(WEBHOOK_FIELDS)


def test_fields_can_be_switched_off(call: Call) -> None:
    call("POST", "/_sandbox/world", json={"webhook_fields": ["messages"]}, token=None)
    [row] = call("GET", FIELDS, token=APP_TOKEN).json()["data"]
    assert row["fields"] == [{"name": "messages", "version": "v26.0"}]

    call("POST", "/_sandbox/world", json={"webhook_fields": []}, token=None)
    assert call("GET", FIELDS, token=APP_TOKEN).json() == {"data": []}
    wrong = call("POST", "/_sandbox/world", json={"webhook_fields": "all"}, token=None)
    assert wrong.status_code == 400


@pytest.mark.parametrize(
    ("path", "token", "status", "code"),
    [
        (FIELDS, f"{APP_ID}|guess", 401, 190),
        (FIELDS, "sandbox-token-0123456789", 400, 15),
        (FIELDS, None, 400, 15),
        (f"/v26.0/{PARTNER_APP_ID}/subscriptions", APP_TOKEN, 400, 100),
    ],
)
def test_fields_are_told_to_the_app_alone(
    call: Call, path: str, token: str | None, status: int, code: int
) -> None:
    answer = call("GET", path, token=token)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_secret_of_the_settings_is_half_of_the_app_token(call: Call, world: World) -> None:
    world.patch_settings({"app_secret": "of-the-settings"})

    assert call("GET", FIELDS, token=f"{APP_ID}|of-the-settings").status_code == 200
    assert call("GET", FIELDS, token=APP_TOKEN).status_code == 401


def test_meta_keeps_what_nobody_subscribed_to(call: Call, world: World) -> None:
    world.webhook_fields = ["messages"]
    disconnect = emit(world, "account_update")
    call("DELETE", APPS)
    message = emit(world, "message")

    assert (disconnect.payloads, disconnect.withheld) == ((), 1)
    assert (message.payloads, message.withheld) == ((), 1)


def test_an_override_diverts_messages_and_nothing_else(call: Call, world: World) -> None:
    url = "http://127.0.0.1:8999/other"
    call("POST", APPS, json={**OVERRIDE, "override_callback_uri": url})
    emit(world, "message")
    emit(world, "echo")

    letters = [world.outbox.take(world.monotonic()) for _ in range(2)]

    assert [letter.url for letter in letters if letter] == [url, None]


@pytest.mark.parametrize("edge", ["register", "deregister"])
def test_registering_a_coexistence_number_is_refused_and_remembered(
    call: Call, world: World, edge: str
) -> None:
    values: dict[str, Any] = {"messaging_product": "whatsapp", "pin": "000000"}

    error = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/{edge}", json=values).json()["error"]

    assert (error["code"], error["error_subcode"]) == (100, 33)
    summary = call("GET", "/_sandbox/summary", token=None).json()
    assert summary["violations"] == [f"POST /{PHONE_NUMBER_ID}/{edge}"]
