"""Time that passes in the sandbox, who is connected meanwhile, and the signup window."""

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
    BUSINESS_ID,
    DEFAULT_TOKEN,
    FOREIGN_WABA_ID,
    PARTNER_APP_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

Call = Callable[..., httpx.Response]

DAY = 86_400


@pytest.fixture
def control(call: Call) -> Callable[..., dict[str, Any]]:
    def run(name: str, method: str = "POST", **values: Any) -> dict[str, Any]:
        more = {"json": values} if method == "POST" else {}
        found: dict[str, Any] = call(method, f"/_sandbox/{name}", token=None, **more).json()
        return found

    return run


def last_update(world: World) -> tuple[dict[str, Any], int]:
    """The value of the newest account update, and when it happened."""
    for payload in reversed(world.outbox.emitted(world.monotonic())):
        entry = payload["entry"][0]
        if entry["changes"][0]["field"] == "account_update":
            return entry["changes"][0]["value"], entry["time"]
    raise AssertionError("no account update was sent")


def test_a_fresh_number_was_onboarded_three_days_ago(call: Call, world: World) -> None:
    node = call("GET", f"/{PHONE_NUMBER_ID}", params={"fields": "last_onboarded_time"}).json()

    # The world of these tests begins on 21 September 2026.
    assert node["last_onboarded_time"] == "2026-09-18T14:13:20+0000"


def test_a_number_leaves_without_a_webhook_and_comes_back(
    control: Callable[..., Any], call: Call, send: Call, world: World
) -> None:
    assert control("phone", action="leaves")["emitted"] == 0
    hidden = call("GET", f"/{PHONE_NUMBER_ID}").json()["error"]
    assert (hidden["code"], hidden["error_subcode"]) == (100, 33)
    assert send().json()["error"]["error_subcode"] == 33
    listed = call("GET", f"/{WABA_ID}/phone_numbers").json()["data"]
    assert PHONE_NUMBER_ID not in [row["id"] for row in listed]
    assert world.outbox.emitted(world.monotonic()) == []

    assert control("phone", action="comes_back")["emitted"] == 0
    assert call("GET", f"/{PHONE_NUMBER_ID}").json()["id"] == PHONE_NUMBER_ID


def test_a_number_moves_to_another_account_under_another_id(
    control: Callable[..., Any], call: Call, world: World
) -> None:
    wrong = call("POST", "/_sandbox/phone", token=None, json={"action": "moves", "waba_id": "1"})
    assert wrong.status_code == 400
    assert wrong.json()["error"] == "`1` is not an account of this world"
    world.patch_token(DEFAULT_TOKEN, {"waba_ids": frozenset({WABA_ID, FOREIGN_WABA_ID})})
    control("phone", action="moves", waba_id=FOREIGN_WABA_ID, new_id="106000000000077")

    assert call("GET", f"/{PHONE_NUMBER_ID}").json()["error"]["error_subcode"] == 33
    listed = call("GET", f"/{FOREIGN_WABA_ID}/phone_numbers").json()["data"]
    assert "106000000000077" in [row["id"] for row in listed]


def test_the_facts_of_number_and_account_can_be_set(
    control: Callable[..., Any], call: Call
) -> None:
    words = {
        "name_status": "DECLINED",
        "account_mode": "SANDBOX",
        "code_verification_status": "EXPIRED",
    }
    control("world", phone_numbers={PHONE_NUMBER_ID: words})
    control("world", wabas={WABA_ID: {"account_review_status": "PENDING"}})

    node = call("GET", f"/{PHONE_NUMBER_ID}", params={"fields": ",".join(words)}).json()
    assert {name: node[name] for name in words} == words
    account = call("GET", f"/{WABA_ID}", params={"fields": "account_review_status"}).json()
    assert account["account_review_status"] == "PENDING"


def test_portfolios_and_apps_are_nodes_of_another_type(call: Call) -> None:
    for node_id, kind in ((BUSINESS_ID, "Business"), (APP_ID, "Application")):
        refused = call("GET", f"/{node_id}/phone_numbers").json()["error"]
        assert refused["code"] == 100
        assert refused["message"].endswith(f"(phone_numbers) on node type ({kind})")


def test_tokens_expire_when_time_passes(
    control: Callable[..., Any], send: Call, world: World
) -> None:
    world.patch_token(DEFAULT_TOKEN, {"expires_at": world.now() + 5 * DAY})

    assert control("time", days=4)["travelled_days"] == 4
    assert send().status_code == 200
    control("time", days=1)

    assert send().json()["error"]["error_subcode"] == 463


def test_webhooks_after_a_time_journey_have_the_new_time(
    control: Callable[..., Any], clock: Any
) -> None:
    control("time", days=7)

    payload = control("phone", action="opened")["payloads"][0]

    assert payload["entry"][0]["time"] == clock.now + 7 * DAY


def test_fourteen_days_without_the_phone_remove_the_partner(
    control: Callable[..., Any], call: Call, send: Call, world: World, clock: Any
) -> None:
    assert control("time", days=10.9)["removed"] == []

    assert control("time", days=0.1)["removed"] == [PHONE_NUMBER_ID]

    value, at = last_update(world)
    assert value["event"] == "PARTNER_REMOVED"
    assert value["disconnection_info"] == {
        "reason": "PRIMARY_INACTIVITY",
        "initiated_by": "SYSTEM",
    }
    assert at == clock.now + 11 * DAY
    node = call("GET", f"/{PHONE_NUMBER_ID}", params={"fields": "is_on_biz_app,status"}).json()
    assert (node["is_on_biz_app"], node["status"]) == (False, "DISCONNECTED")
    assert send().json()["error"]["code"] == 133010
    assert control("time", days=30)["removed"] == []


def test_opening_the_phone_keeps_the_partner(control: Callable[..., Any]) -> None:
    control("time", days=10)
    control("phone", action="opened")

    assert control("time", days=13.9)["removed"] == []
    assert control("time", days=0.2)["removed"] == [PHONE_NUMBER_ID]


def test_a_companion_looks_the_same_but_keeps_nothing(control: Callable[..., Any]) -> None:
    control("time", days=10)
    phone = control("phone", action="opened", days_ago=9)["payloads"][0]
    companion = control("phone", action="companion_echo")["payloads"][0]

    def shape(payload: dict[str, Any]) -> set[str]:
        return set(payload["entry"][0]["changes"][0]["value"]["message_echoes"][0])

    assert shape(phone) == shape(companion)
    assert control("time", days=5)["removed"] == [PHONE_NUMBER_ID]


def test_an_echo_is_listed_by_respond_io_too(control: Callable[..., Any], world: World) -> None:
    control("phone", action="opened")

    contact = world.respondio.find("phone:+6591234567")
    assert contact is not None
    assert contact.newest_first()[0]["sender"] == {"source": "echo"}


@pytest.mark.parametrize(
    ("leaves", "status", "code"),
    [("not_on_biz_app", 200, 133010), ("green", 200, 133010), ("hidden", 400, 100)],
)
def test_a_removal_leaves_the_graph_in_one_of_the_ways_that_were_seen(
    control: Callable[..., Any],
    call: Call,
    send: Call,
    leaves: str,
    status: int,
    code: int,
) -> None:
    control("partner", event="removed", leaves=leaves)

    assert call("GET", f"/{PHONE_NUMBER_ID}").status_code == status
    assert send().json()["error"]["code"] == code
    listed = call("GET", f"/{WABA_ID}/phone_numbers", params={"fields": "id"}).json()["data"]
    assert ({"id": PHONE_NUMBER_ID} in listed) is (leaves != "hidden")


def test_the_reason_of_a_removal_may_be_missing(control: Callable[..., Any], world: World) -> None:
    control("partner", event="removed")

    assert "disconnection_info" not in last_update(world)[0]


def test_the_partner_app_stays_while_another_number_is_connected(
    control: Callable[..., Any], call: Call, world: World
) -> None:
    def apps() -> list[str]:
        rows = call("GET", f"/{WABA_ID}/subscribed_apps").json()["data"]
        return [row["whatsapp_business_api_data"]["id"] for row in rows]

    world.nodes[SECOND_PHONE_NUMBER_ID].patch({"is_on_biz_app": True})
    control("partner", event="removed", reason="CHANGE_NUMBER", initiated_by="USER")
    assert PARTNER_APP_ID in apps()

    control("partner", event="removed", phone_number_id=SECOND_PHONE_NUMBER_ID)
    assert PARTNER_APP_ID not in apps()

    control("partner", event="added")
    assert PARTNER_APP_ID in apps()


def test_offboarded_and_reconnected_within_minutes(
    control: Callable[..., Any], call: Call, send: Call, world: World
) -> None:
    control("partner", event="offboarded")
    assert last_update(world)[0] == {"event": "ACCOUNT_OFFBOARDED"}
    assert send().json()["error"]["code"] == 133010
    assert call("GET", f"/{PHONE_NUMBER_ID}").status_code == 200

    control("partner", event="reconnected")
    assert last_update(world)[0] == {"event": "ACCOUNT_RECONNECTED"}
    assert send().status_code == 200


def test_a_number_connected_again_begins_its_onboarding_again(
    control: Callable[..., Any], call: Call
) -> None:
    control("time", days=20)

    control("partner", event="added")

    node = call("GET", f"/{PHONE_NUMBER_ID}", params={"fields": "last_onboarded_time"}).json()
    assert node["last_onboarded_time"] == control("time", "GET")["now"]
    assert control("time", days=13)["removed"] == []


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("time", {"days": 0}, "`days` must be more than 0"),
        ("time", {"days": "many"}, "`days` of `time` has the wrong type"),
        ("time", {"years": 1}, "`years` is not known"),
        ("phone", {"action": "dropped"}, "`action` must be one of opened, companion_echo"),
        ("partner", {"event": "removed", "leaves": "dust"}, "`leaves` must be one of"),
        ("partner", {"event": "removed", "why": "x"}, "`why` is not known of `removed`"),
    ],
)
def test_an_event_with_wrong_values_is_refused_with_the_reason(
    control: Callable[..., Any], name: str, values: dict[str, Any], text: str
) -> None:
    assert text in control(name, **values)["error"]


def test_a_reset_goes_back_to_the_present(control: Callable[..., Any], send: Call) -> None:
    control("time", days=30)
    assert send().status_code == 400

    control("reset")

    assert control("time", "GET")["travelled_days"] == 0
    assert send().status_code == 200
    assert control("webhooks", "GET")["waiting"] == 0


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


def test_finishing_connects_the_number_and_reports_it(call: Call, world: World) -> None:
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
    answer = exchange(call, code).json()
    token = answer["access_token"]

    assert answer["token_type"] == "bearer"
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
def test_a_mismatched_request_gets_no_token(
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
