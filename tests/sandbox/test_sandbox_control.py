"""Watching and changing the world through its control calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, WABA_ID, World

Call = Callable[..., httpx.Response]


@pytest.fixture
def control(call: Call) -> Call:
    def run(method: str, name: str, **more: Any) -> httpx.Response:
        return call(method, f"/_sandbox/{name}", token=None, **more)

    return run


def test_the_summary_is_the_one_of_the_log(control: Call, send: Call, world: World) -> None:
    send()

    assert control("GET", "summary").json() == world.log.summary()


def test_arrivals_can_be_followed_from_the_last_one_seen(control: Call, send: Call) -> None:
    send("+6591234567")
    seen = control("GET", "arrivals").json()
    send("+6591234568")

    news = control("GET", "arrivals", params={"since": seen["last"]}).json()

    assert [row["recipient"] for row in seen["arrivals"]] == ["+6591234567"]
    assert [row["recipient"] for row in news["arrivals"]] == ["+6591234568"]


def test_faults_are_replaced_and_cleared(control: Call, send: Call) -> None:
    faults = [{"kind": "account_locked"}, {"kind": "latency", "seconds": 0}]
    assert control("POST", "faults", json={"faults": faults, "seed": 7}).json() == {"faults": 2}
    assert send().status_code == 403

    assert control("DELETE", "faults").status_code == 200
    assert send().status_code == 200


def test_the_limit_of_a_number_is_set(control: Call, send: Call) -> None:
    control("POST", "limit", json={"phone_number_id": PHONE_NUMBER_ID, "limit": 0})

    assert send().json()["error"]["code"] == 130429


def test_the_world_is_changed_in_all_its_parts(control: Call, call: Call, send: Call) -> None:
    response = control(
        "POST",
        "world",
        json={
            "phone_numbers": {PHONE_NUMBER_ID: {"quality_rating": "RED"}},
            "wabas": {WABA_ID: {"currency": "EUR"}},
            "templates": {"opening_hours/en_US": {"status": "PAUSED"}},
            "subscribed_apps": {WABA_ID: []},
            "tokens": {"sandbox-token-other": {"scopes": ["whatsapp_business_management"]}},
            "settings": {"pair_rate": False, "throttle_status": 429},
        },
    )

    assert response.status_code == 200
    assert call("GET", f"/{PHONE_NUMBER_ID}").json()["quality_rating"] == "RED"
    assert call("GET", f"/{WABA_ID}", params={"fields": "currency"}).json()["currency"] == "EUR"
    assert call("GET", f"/{WABA_ID}/subscribed_apps").json() == {"data": []}
    assert send().json()["error"]["code"] == 132015
    assert call("GET", f"/{PHONE_NUMBER_ID}", token="sandbox-token-other").status_code == 200


def test_a_token_can_be_made_to_expire(control: Call, send: Call) -> None:
    control("POST", "world", json={"tokens": {DEFAULT_TOKEN: {"expires_at": 1}}})

    assert send().json()["error"]["error_subcode"] == 463


def test_a_reset_brings_the_first_world_back(control: Call, send: Call, call: Call) -> None:
    control("POST", "world", json={"phone_numbers": {PHONE_NUMBER_ID: {"status": "BANNED"}}})
    control("POST", "faults", json={"faults": [{"kind": "account_locked"}]})
    send()

    control("POST", "reset")

    assert control("GET", "summary").json()["arrivals"] == 0
    node = call("GET", f"/{PHONE_NUMBER_ID}", params={"fields": "status"}).json()
    assert node["status"] == "CONNECTED"
    assert send().status_code == 200


@pytest.mark.parametrize(
    ("method", "name", "body", "text"),
    [
        ("POST", "faults", {"faults": [{"kind": "earthquake"}]}, "`earthquake` is not a kind"),
        ("POST", "faults", {"faults": "all"}, "`faults` must be a list"),
        ("POST", "faults", {"faults": [], "seed": "x"}, "`seed`"),
        ("POST", "faults", [], "JSON object"),
        ("POST", "limit", {"phone_number_id": WABA_ID, "limit": 1}, "not a phone number"),
        ("POST", "limit", {"phone_number_id": PHONE_NUMBER_ID, "limit": -1}, "`limit`"),
        ("POST", "limit", {"phone_number_id": PHONE_NUMBER_ID, "speed": 1}, "`speed`"),
        ("POST", "world", {"planets": {}}, "`planets`"),
        ("POST", "world", {"wabas": []}, "`wabas` must be an object"),
        ("POST", "world", {"wabas": {"9": {}}}, "`9` is not a WhatsAppBusinessAccount"),
        ("POST", "world", {"templates": {"a/b": {}}}, "`a/b` is not a WhatsAppMessageTemplate"),
        ("POST", "world", {"phone_numbers": {PHONE_NUMBER_ID: {"mood": "good"}}}, "`mood`"),
        ("POST", "world", {"tokens": {"x": {"colour": "red"}}}, "`colour` is not a token property"),
        ("POST", "world", {"tokens": {"x": {"scopes": "all"}}}, "`scopes` has the wrong type"),
        ("POST", "world", {"settings": {"gravity": "9.8"}}, "`gravity` is not a setting"),
        ("GET", "arrivals?since=yesterday", None, "`since`"),
    ],
)
def test_values_that_a_control_call_cannot_use_are_named(
    control: Call, method: str, name: str, body: object, text: str
) -> None:
    response = control(method, name, json=body)

    assert response.status_code == 400
    assert text in response.json()["error"]


@pytest.mark.parametrize(("method", "name"), [("GET", "faults"), ("POST", "summary"), ("GET", "x")])
def test_an_unknown_control_call_gets_the_list_of_known_calls(
    control: Call, method: str, name: str
) -> None:
    response = control(method, name)

    assert response.status_code == 404
    assert "GET /_sandbox/summary" in response.json()["error"]


def test_control_calls_come_from_this_machine_only(world: World) -> None:
    async def status() -> int:
        transport = httpx.ASGITransport(application(world), client=("192.0.2.1", 4000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/_sandbox/summary")).status_code

    assert asyncio.run(status()) == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Host": "attacker.example"}, 421),
        ({"Host": "attacker.example:4555"}, 421),
        ({"Host": "127.0.0.1.attacker.example"}, 421),
        ({"Host": "127.0.0.1:9"}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": ""}, 415),
    ],
    ids=str,
)
def test_a_page_in_a_browser_controls_nothing(
    world: World, headers: dict[str, str], status: int
) -> None:
    async def control() -> int:
        transport = httpx.ASGITransport(application(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            body = f'{{"phone_number_id": "{PHONE_NUMBER_ID}", "limit": 3}}'
            sent = {"Content-Type": "application/json", **headers}
            answer = await client.post("/_sandbox/limit", content=body, headers=sent)
            return answer.status_code

    assert asyncio.run(control()) == status


def test_a_page_under_its_own_host_name_reads_nothing(world: World) -> None:
    async def status(host: str) -> int:
        transport = httpx.ASGITransport(application(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/_sandbox/arrivals", headers={"Host": host})
            return answer.status_code

    assert [asyncio.run(status(host)) for host in ("127.0.0.1", "rebound.example")] == [200, 421]


def test_a_huge_body_is_refused(control: Call) -> None:
    assert control("POST", "world", content=b" " * (17 * 1024**2)).status_code == 413
