"""Meta's side of the browser: how the window may be opened, and what its code is good for."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.account import CONFIG_ID
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    PARTNER_APP_ID,
    PHONE,
    PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

Call = Callable[..., httpx.Response]
EXTRAS = {"featureType": "whatsapp_business_app_onboarding", "sessionInfoVersion": "3"}
OPENED = {
    "client_id": APP_ID,
    "config_id": CONFIG_ID,
    "response_type": "code",
    "override_default_response_type": "true",
    "version": "v26.0",
    "extras": json.dumps(EXTRAS),
}


def finish(call: Call, phone: str = PHONE) -> httpx.Response:
    return call("POST", "/dialog/finish", token=None, json={"phone": phone})


def exchange(call: Call, value: str, **changes: str) -> httpx.Response:
    params = {"client_id": APP_ID, "client_secret": APP_SECRET, "code": value, **changes}
    return call("GET", "/v26.0/oauth/access_token", token=None, params=params)


def error(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["error"]
    return found


def test_the_script_and_the_window_are_there(call: Call) -> None:
    assert "window.FB" in call("GET", "/sdk.js", token=None).text
    window = call("GET", "/dialog/oauth", token=None, params=OPENED)

    assert window.status_code == 200
    assert "This is not Facebook" in window.text
    for path in ("/dialog/window.js", "/dialog/window.css"):
        assert path in window.text
        assert call("GET", path, token=None).status_code == 200
    assert call("GET", "/dialog/other", token=None).status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "1"),
        ("config_id", ""),
        ("response_type", "token"),
        ("override_default_response_type", "false"),
        ("version", "26"),
        ("extras", "{}"),
        ("extras", "null"),
        ("extras", json.dumps({**EXTRAS, "featureType": "coexistence"})),
    ],
)
def test_a_window_opened_in_another_way_says_what_is_wrong(
    call: Call, name: str, value: str
) -> None:
    answer = call("GET", "/dialog/oauth", token=None, params={**OPENED, name: value})

    assert answer.status_code == 400
    assert name in answer.text


def test_finishing_connects_the_number_and_tells_so(call: Call, world: World) -> None:
    node = world.nodes[PHONE_NUMBER_ID]
    node.values.update(is_on_biz_app=False, platform_type="NOT_APPLICABLE")
    del world.subscribed_apps[WABA_ID][0]
    before = node.values["last_onboarded_time"]

    assert finish(call).json()["waba_id"] == WABA_ID

    assert node.values["is_on_biz_app"] is True
    assert node.values["platform_type"] == "CLOUD_API"
    assert node.values["last_onboarded_time"] > before
    (payload,) = world.outbox.emitted(world.monotonic())
    assert payload["entry"][0]["changes"][0]["value"]["event"] == "PARTNER_ADDED"
    assert PARTNER_APP_ID not in str(world.subscribed_apps)


def test_a_number_that_is_not_there_cannot_be_connected(call: Call, world: World) -> None:
    answer = finish(call, "+15550001111")

    assert answer.status_code == 400
    assert world.codes.issued == {}


def test_a_code_is_good_for_one_token_of_that_customer(call: Call) -> None:
    code = finish(call).json()["code"]
    told = exchange(call, code).json()
    token = told["access_token"]

    assert told["token_type"] == "bearer"
    assert token.startswith("EAA")
    assert call("GET", f"/v26.0/{WABA_ID}", token=token).status_code == 200
    assert call("GET", "/v26.0/104000000000009", token=token).status_code == 400
    said = call("GET", "/v26.0/debug_token", token=token, params={"input_token": token}).json()
    assert said["data"]["is_valid"] is True
    assert said["data"]["granular_scopes"][0]["target_ids"] == [WABA_ID]

    again = error(exchange(call, code))
    assert (again["code"], again["error_subcode"]) == (100, 36009)


@pytest.mark.parametrize(("seconds", "is_good"), [(30.0, True), (30.1, False)])
def test_a_code_lives_30_seconds(
    call: Call, clock: SimpleNamespace, seconds: float, is_good: bool
) -> None:
    code = finish(call).json()["code"]
    clock.now += seconds
    answer = exchange(call, code)

    assert (answer.status_code == 200) is is_good
    if not is_good:
        assert error(answer)["error_subcode"] == 36007


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("client_id", "1", 101),
        ("client_secret", "wrong", 1),
        ("client_secret", "", 101),
        ("code", "guessed", 100),
        ("redirect_uri", "https://example.com/", 100),
    ],
)
def test_what_does_not_fit_gets_no_token(
    call: Call, world: World, name: str, value: str, code: int
) -> None:
    good = finish(call).json()["code"]
    answer = exchange(call, good, **{name: value})

    assert error(answer)["code"] == code
    assert exchange(call, good).status_code == 200


def test_a_reset_forgets_the_codes(call: Call, world: World) -> None:
    code = finish(call).json()["code"]
    world.reset()

    assert error(exchange(call, code))["code"] == 100
