"""The pretend respond.io: as strict, as limited and as paged as the real one."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, World

EVERYBODY = {"search": "", "timezone": "UTC", "filter": {"$and": []}}
ANA = "phone:+6591000001"
Call = Callable[..., httpx.Response]


def test_without_credentials_a_firewall_answers_in_html(ask: Call) -> None:
    answer = ask("GET", "space/channel", token=None)

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")


def test_a_wrong_token_is_refused_in_json(ask: Call) -> None:
    answer = ask("GET", "space/channel", token="nobody")

    assert (answer.status_code, answer.json()) == (401, {"code": 401, "message": "Unauthorized"})


def test_the_channels_of_the_workspace_are_listed(ask: Call) -> None:
    items = ask("GET", "space/channel").json()["items"]

    assert [(one["id"], one["source"]) for one in items] == [
        (RESPONDIO_CHANNEL_ID, "whatsapp_business"),
        (4243, "webchat"),
    ]


def test_messages_come_newest_first_with_their_sender_and_status(ask: Call) -> None:
    items = ask("GET", f"contact/{ANA}/message/list").json()["items"]

    echo, question = items
    assert echo["messageId"] > question["messageId"]
    assert (echo["traffic"], echo["sender"]) == ("outgoing", {"source": "echo"})
    assert echo["status"][0]["value"] == "sent"
    assert question["messageId"] % 1_000_000 == 0
    assert ask("GET", f"contact/{ANA}/message/{echo['messageId']}").json() == echo


def test_an_unsupported_message_is_there(ask: Call) -> None:
    items = ask("GET", "contact/phone:+6591000002/message/list").json()["items"]

    assert {one["message"]["type"] for one in items} == {"text", "unsupported"}


@pytest.mark.parametrize(
    ("method", "path", "more", "status"),
    [
        ("GET", "contact/phone:+6599999999", {}, 404),
        ("GET", "contact/6591000001", {}, 400),
        ("GET", f"contact/{ANA}/message/1", {}, 404),
        ("GET", f"contact/{ANA}/message/list", {"params": {"limit": "101"}}, 400),
        ("GET", f"contact/{ANA}/message/list", {"params": {"cursorId": "5"}}, 400),
        ("POST", "contact/list", {"json": {"filter": {"$and": []}}}, 400),
        ("GET", "contacts", {}, 404),
    ],
)
def test_what_the_api_refuses_is_refused(
    ask: Call, method: str, path: str, more: dict[str, Any], status: int
) -> None:
    answer = ask(method, path, **more)

    assert answer.status_code == status
    assert answer.json()["code"] == status


def test_a_message_list_has_fifty_to_a_page_at_most(ask: Call, change: Call) -> None:
    written = {"contact": ANA, "message": {"type": "text", "text": "hello"}}
    change(messages=[written] * 60)

    first = ask("GET", f"contact/{ANA}/message/list", params={"limit": "100"}).json()
    cursor = httpx.URL(first["pagination"]["next"]).params["cursorId"]
    second = ask(
        "GET", f"contact/{ANA}/message/list", params={"limit": "100", "cursorId": cursor}
    ).json()

    assert (len(first["items"]), len(second["items"])) == (50, 12)
    assert first["items"][-1]["messageId"] == int(cursor)
    assert second["pagination"]["next"] is None
    assert "cursorId=-" in second["pagination"]["previous"]


def test_a_fresh_contact_is_busy_until_it_is_ready(
    ask: Call, change: Call, clock: SimpleNamespace
) -> None:
    [number] = change(contacts=[{"phone": "+6591000003", "ready_in": 60}]).json()["contacts"]

    assert ask("GET", f"contact/id:{number}").status_code == 449
    clock.now += 60
    assert ask("GET", f"contact/id:{number}").json()["phone"] == "+6591000003"


def test_every_endpoint_has_its_limit_and_says_so(ask: Call, clock: SimpleNamespace) -> None:
    answers = [ask("POST", "contact/list", json=EVERYBODY) for _ in range(6)]

    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert [one.headers["x-ratelimit-remaining"] for one in answers] == list("432100")
    assert answers[-1].headers["retry-after"] == "1"
    assert ask("GET", "space/channel").status_code == 200
    clock.monotonic += 1
    assert ask("POST", "contact/list", json=EVERYBODY).status_code == 200


def test_limits_and_statuses_are_changed_by_control_calls(ask: Call, change: Call) -> None:
    echo = ask("GET", f"contact/{ANA}/message/list").json()["items"][0]
    change(statuses=[{"messageId": echo["messageId"], "value": "failed", "message": "131026"}])
    change(limits={"message/list": 0}, retry_after=90)

    changed = ask("GET", f"contact/{ANA}/message/{echo['messageId']}").json()
    assert [one["value"] for one in changed["status"]] == ["sent", "failed"]
    assert ask("GET", f"contact/{ANA}/message/list").headers["retry-after"] == "90"


@pytest.mark.parametrize(
    "values",
    [
        {"unknown": 1},
        {"limits": {"message/none": 1}},
        {"statuses": [{"messageId": 1, "value": "read"}]},
        {"messages": [{"contact": "phone:+6599999999", "message": {}}]},
        {"messages": [{"message": {}}]},
        {"contacts": [1]},
    ],
)
def test_a_control_call_that_cannot_be_used_is_told(change: Call, values: dict[str, Any]) -> None:
    assert change(**values).status_code == 400


def test_the_channels_of_a_contact_are_listed(ask: Call) -> None:
    items = ask("GET", "contact/phone:+6591000002/channels").json()["items"]

    assert [one["id"] for one in items] == [4242, 4243]
    assert items[0]["lastIncomingMessageTime"] > 10**12


def history(call: Call, **params: str) -> httpx.Response:
    return call("GET", f"/v26.0/{PHONE_NUMBER_ID}/message_history", params=params)


def test_the_message_history_tells_what_became_of_a_message(call: Call, send: Call) -> None:
    send()
    message_id = send("+6591234568").json()["messages"][0]["id"]
    fields = "message_id,events{delivery_status,timestamp}"

    [entry] = history(call, message_id=message_id, fields=fields).json()["data"]

    assert entry["message_id"] == message_id
    assert [one["delivery_status"] for one in entry["events"]["data"]] == ["SENT", "DELIVERED"]
    assert history(call).json()["data"][0].keys() == {"id", "message_id"}
    assert len(history(call, limit="1").json()["data"]) == 1


def test_a_number_may_have_no_message_history(call: Call, world: World) -> None:
    world.patch_settings({"message_history": False})

    error = history(call).json()["error"]

    assert error["code"] == 100
    assert "message_history" in error["message"]


@pytest.mark.parametrize("fields", ["secret", "events{secret}"])
def test_a_field_that_the_history_does_not_have_is_refused(call: Call, fields: str) -> None:
    assert history(call, fields=fields).json()["error"]["code"] == 100
