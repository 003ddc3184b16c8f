"""Who may call the pretend Graph API, and what they hear when they may not."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PHONE_NUMBER_ID,
    READ_SCOPE,
    SEND_SCOPE,
    WABA_ID,
    World,
)

Call = Callable[..., httpx.Response]


def error_of(response: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    return error


def test_every_answer_says_that_it_is_the_sandbox(call: Call) -> None:
    paths = [f"/v26.0/{PHONE_NUMBER_ID}", "/v26.0/unknown", "/_sandbox/summary", "/_sandbox/x", "/"]

    assert [call("GET", path).headers["X-Wacoex-Sandbox"] for path in paths] == ["1"] * 5


@pytest.mark.parametrize("version", ["/v26.0", "/v20.0", ""])
def test_any_version_of_the_path_is_served(call: Call, version: str) -> None:
    assert call("GET", f"{version}/{PHONE_NUMBER_ID}").status_code == 200


def test_a_request_without_a_token_cannot_be_authenticated(call: Call) -> None:
    response = call("GET", f"/v26.0/{PHONE_NUMBER_ID}", token=None)

    assert (response.status_code, error_of(response)["code"]) == (401, 0)


def test_an_unknown_token_is_invalid(call: Call) -> None:
    response = call("GET", f"/v26.0/{PHONE_NUMBER_ID}", token="sandbox-token-of-nobody")

    assert (response.status_code, error_of(response)["code"]) == (401, 190)
    assert "sandbox-token-of-nobody" not in response.text


def test_a_token_works_until_the_second_it_expires(
    call: Call, world: World, clock: SimpleNamespace
) -> None:
    world.patch_token(DEFAULT_TOKEN, {"expires_at": clock.now + 1})
    assert call("GET", f"/v26.0/{PHONE_NUMBER_ID}").status_code == 200

    clock.now += 1

    error = error_of(call("GET", f"/v26.0/{PHONE_NUMBER_ID}"))
    assert (error["code"], error["error_subcode"]) == (190, 463)


def test_a_revoked_token_is_invalid(call: Call, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"revoked": True})

    error = error_of(call("GET", f"/v26.0/{PHONE_NUMBER_ID}"))

    assert (error["code"], error["error_subcode"]) == (190, 467)


def test_a_token_that_may_only_read_cannot_send(call: Call, send: Call, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"scopes": frozenset({READ_SCOPE})})

    assert call("GET", f"/v26.0/{PHONE_NUMBER_ID}").status_code == 200
    assert (send().status_code, error_of(send())["code"]) == (403, 10)


def test_a_token_that_may_only_send_cannot_read(call: Call, send: Call, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"scopes": frozenset({SEND_SCOPE})})

    assert send().status_code == 200
    assert error_of(call("GET", f"/v26.0/{WABA_ID}/message_templates"))["code"] == 10


@pytest.mark.parametrize("node_id", [FOREIGN_WABA_ID, FOREIGN_PHONE_NUMBER_ID, "999"])
def test_what_is_somebody_elses_looks_as_if_it_did_not_exist(call: Call, node_id: str) -> None:
    response = call("GET", f"/v26.0/{node_id}")

    error = error_of(response)
    assert response.status_code == 400
    assert (error["code"], error["error_subcode"]) == (100, 33)
    assert error["type"] == "GraphMethodException"


def test_an_asset_of_the_own_portfolio_must_be_assigned_to_the_token(
    call: Call, world: World
) -> None:
    world.patch_token(DEFAULT_TOKEN, {"waba_ids": frozenset()})

    response = call("GET", f"/v26.0/{PHONE_NUMBER_ID}")

    assert (response.status_code, error_of(response)["code"]) == (403, 200)


def test_an_error_has_the_shape_of_metas_with_a_new_trace_id_each_time(send: Call) -> None:
    first, second = (
        error_of(send(template={"name": "none", "language": {"code": "de"}})) for _ in "12"
    )

    assert first.keys() == {"message", "type", "code", "error_data", "fbtrace_id"}
    assert first["message"] == "(#132001) Template name does not exist in the translation"
    assert first["error_data"]["messaging_product"] == "whatsapp"
    assert first["fbtrace_id"] != second["fbtrace_id"]


def test_a_world_with_an_app_secret_demands_the_right_proof(call: Call, world: World) -> None:
    world.patch_settings({"app_secret": "sandbox-app-secret"})
    proof = hmac.new(b"sandbox-app-secret", DEFAULT_TOKEN.encode(), hashlib.sha256).hexdigest()
    path = f"/v26.0/{PHONE_NUMBER_ID}"

    assert error_of(call("GET", path))["code"] == 100
    assert error_of(call("GET", path, params={"appsecret_proof": "0" * 64}))["code"] == 100
    assert call("GET", path, params={"appsecret_proof": proof}).status_code == 200


def test_debug_token_tells_what_a_token_may_do(call: Call) -> None:
    data = call("GET", "/v26.0/debug_token", params={"input_token": DEFAULT_TOKEN}).json()["data"]

    assert data["is_valid"] is True
    assert data["expires_at"] == 0
    assert data["scopes"] == [READ_SCOPE, SEND_SCOPE]
    assert data["granular_scopes"][0] == {"scope": READ_SCOPE, "target_ids": [WABA_ID]}


def test_debug_token_says_that_an_expired_or_unknown_token_is_not_valid(
    call: Call, world: World, clock: SimpleNamespace
) -> None:
    world.patch_token("sandbox-token-old", {"expires_at": clock.now - 1})

    for token in ("sandbox-token-old", "sandbox-token-of-nobody"):
        response = call("GET", "/v26.0/debug_token", params={"input_token": token})
        assert response.json()["data"]["is_valid"] is False


def test_a_token_is_not_shown_by_the_representation_of_the_world(world: World) -> None:
    assert DEFAULT_TOKEN not in repr(world.tokens[DEFAULT_TOKEN])
