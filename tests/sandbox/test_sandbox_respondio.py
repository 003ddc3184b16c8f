"""The sandbox's respond.io: what it lists, the contacts it makes, and its faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, RESPONDIO_WEBCHAT_ID
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

    assert [(item["id"], item["source"]) for item in items] == [
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

    assert {item["message"]["type"] for item in items} == {"text", "unsupported"}


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
def test_requests_that_the_api_refuses_are_refused(
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


def test_every_endpoint_has_its_limit_and_states_it(ask: Call, clock: SimpleNamespace) -> None:
    answers = [ask("POST", "contact/list", json=EVERYBODY) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == list("432100")
    assert answers[-1].headers["retry-after"] == "1"
    assert ask("GET", "space/channel").status_code == 200
    clock.monotonic += 1
    assert ask("POST", "contact/list", json=EVERYBODY).status_code == 200


def test_limits_and_statuses_are_changed_by_control_calls(ask: Call, change: Call) -> None:
    echo = ask("GET", f"contact/{ANA}/message/list").json()["items"][0]
    change(statuses=[{"messageId": echo["messageId"], "value": "failed", "message": "131026"}])
    change(limits={"message/list": 0}, retry_after=90)

    changed = ask("GET", f"contact/{ANA}/message/{echo['messageId']}").json()
    assert [statu["value"] for statu in changed["status"]] == ["sent", "failed"]
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
def test_a_control_call_with_wrong_values_is_refused(change: Call, values: dict[str, Any]) -> None:
    assert change(**values).status_code == 400


def test_the_channels_of_a_contact_are_listed(ask: Call) -> None:
    items = ask("GET", "contact/phone:+6591000002/channels").json()["items"]

    assert [item["id"] for item in items] == [4242, 4243]
    assert items[0]["lastIncomingMessageTime"] > 10**12


def history(call: Call, **params: str) -> httpx.Response:
    return call("GET", f"/v26.0/{PHONE_NUMBER_ID}/message_history", params=params)


def test_the_message_history_shows_the_outcome_of_a_message(call: Call, send: Call) -> None:
    send()
    message_id = send("+6591234568").json()["messages"][0]["id"]
    fields = "message_id,events{delivery_status,timestamp}"

    [entry] = history(call, message_id=message_id, fields=fields).json()["data"]

    assert entry["message_id"] == message_id
    assert [item["delivery_status"] for item in entry["events"]["data"]] == ["SENT", "DELIVERED"]
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


CARA = "phone:+6591000003"

TEMPLATES = f"space/channel/{RESPONDIO_CHANNEL_ID}/template"

MTM = f"space/channel/{RESPONDIO_CHANNEL_ID}/mtm"


def test_a_contact_is_created_once(ask: Call) -> None:
    fields = {"firstName": "Cara", "language": "en", "custom_fields": [{"name": "a", "value": 1}]}

    first = ask("POST", f"contact/{CARA}", json=fields)
    again = ask("POST", f"contact/{CARA}", json=fields)

    assert (first.status_code, "contactId" in first.json()) == (200, False)
    assert (again.status_code, again.json()["code"]) == (409, 409)
    found = ask("GET", f"contact/{CARA}").json()
    assert (found["firstName"], found["phone"], found["language"]) == ("Cara", "+6591000003", "en")


def test_a_contact_of_an_address_is_found_in_any_letter_case(ask: Call) -> None:
    ask("POST", "contact/email:Cara@Bakery.example", json={"firstName": "Cara"})

    assert ask("GET", "contact/email:cara@bakery.example").json()["phone"] is None
    sent = {"channelId": RESPONDIO_CHANNEL_ID, "message": {"type": "text", "text": "hello"}}
    answer = ask("POST", "contact/email:cara@bakery.example/message", json=sent)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("identifier", "fields"),
    [
        ("id:21000009", {"firstName": "Cara"}),
        ("6591000003", {"firstName": "Cara"}),
        ("phone:+12", {"firstName": "Cara"}),
        (CARA, {}),
        (CARA, {"firstName": ""}),
        (CARA, {"firstName": 1}),
        (CARA, {"firstName": "Cara", "tags": []}),
        (CARA, {"firstName": "Cara", "phone": "91000003"}),
        (CARA, {"firstName": "Cara", "phone": "+6591000004"}),
        (CARA, {"firstName": "Cara", "custom_fields": {"a": 1}}),
        (CARA, None),
    ],
)
def test_an_impossible_contact_is_refused(ask: Call, identifier: str, fields: object) -> None:
    assert ask("POST", f"contact/{identifier}", json=fields).status_code == 400
    assert ask("GET", f"contact/{CARA}").status_code == 404


def test_a_contact_is_created_or_updated(ask: Call) -> None:
    made = ask("POST", f"contact/create_or_update/{CARA}", json={"firstName": "Cara"}).json()
    same = ask("POST", f"contact/create_or_update/{CARA}", json={"firstName": "Clara"}).json()

    assert made == same
    assert ask("GET", f"contact/id:{made['contactId']}").json()["firstName"] == "Clara"


def test_a_contact_is_updated(ask: Call) -> None:
    answer = ask("PUT", f"contact/{ANA}", json={"lastName": "Lim", "phone": "+65 9100-0009"})

    assert set(answer.json()) == {"contactId"}
    assert ask("GET", f"contact/{ANA}").status_code == 404
    found = ask("GET", "contact/phone:+6591000009").json()
    assert (found["firstName"], found["lastName"]) == ("Ana", "Lim")
    assert ask("PUT", f"contact/{CARA}", json={"lastName": "Lim"}).status_code == 404
    taken = {"phone": "+6591000002"}
    assert ask("PUT", "contact/phone:+6591000009", json=taken).status_code == 409


def test_a_new_contact_is_busy_for_as_long_as_control_says(
    ask: Call, change: Call, clock: SimpleNamespace
) -> None:
    change(contact_ready_seconds=30)
    ask("POST", f"contact/{CARA}", json={"firstName": "Cara"})

    assert ask("GET", f"contact/{CARA}").status_code == 449
    assert ask("PUT", f"contact/{CARA}", json={"firstName": "C"}).status_code == 449
    clock.now += 30
    assert ask("GET", f"contact/{CARA}").status_code == 200


def test_writing_contacts_has_the_narrow_limit(ask: Call) -> None:
    answers = [ask("PUT", f"contact/{ANA}", json={"firstName": "Ana"}) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert ask("POST", f"contact/{CARA}", json={"firstName": "Cara"}).status_code == 200


def test_the_templates_are_those_of_meta_in_the_words_of_respondio(ask: Call, call: Call) -> None:
    items = ask("GET", TEMPLATES, params={"limit": "100"}).json()["items"]

    assert {item["status"] for item in items} == {"approved", "paused", "rejected"}
    assert {item["channelId"] for item in items} == {str(RESPONDIO_CHANNEL_ID)}
    [appointment] = [item for item in items if item["name"] == "appointment"]
    assert (appointment["languageCode"], appointment["category"]) == ("en_US", "utility")
    header, body, footer, buttons = json.loads(appointment["components"])
    assert (header["type"], header["format"]) == ("header", "text")
    assert (body["type"], body["text"]) == ("body", "Hello {{1}}, we expect you.")
    assert footer == {"type": "footer", "text": "Corner Bakery"}
    assert buttons["buttons"][0]["type"] == "url"


def test_the_templates_come_in_pages(ask: Call) -> None:
    first = ask("GET", TEMPLATES, params={"limit": "20"}).json()
    cursor = httpx.URL(first["pagination"]["next"]).params["cursorId"]
    second = ask("GET", TEMPLATES, params={"limit": "20", "cursorId": cursor}).json()

    assert (len(first["items"]), len(second["items"])) == (20, 3)


def test_one_of_the_two_paths_to_the_templates_is_there(ask: Call, change: Call) -> None:
    assert ask("GET", MTM).status_code == 404

    change(template_path="mtm", components_as_text=False)

    assert ask("GET", TEMPLATES).status_code == 404
    first = ask("GET", MTM).json()["items"][0]
    assert (first["qualityScore"], first["components"][0]["type"]) == ("GREEN", "body")


def test_a_channel_that_is_not_whatsapp_has_no_templates(ask: Call) -> None:
    other = ask("GET", f"space/channel/{RESPONDIO_WEBCHAT_ID}/template")

    assert other.json()["items"] == []
    assert ask("GET", "space/channel/99/template").status_code == 404


def test_control_shows_how_the_workspace_behaves(ask: Call, call: Call, change: Call) -> None:
    change(limits={"message/send": 5}, contact_ready_seconds=2)
    ask("GET", "space/channel")

    shown = call("GET", "/_sandbox/respondio", token=None).json()

    assert (shown["limits"]["message/send"], shown["contact_ready_seconds"]) == (5, 2)
    assert (shown["template_path"], shown["components_as_text"]) == ("template", True)
    assert (shown["contacts"], shown["calls"]) == (2, {"space/channel": 1})


@pytest.mark.parametrize(
    "values", [{"template_path": "other"}, {"components_as_text": 1}, {"contact_ready_seconds": []}]
)
def test_control_refuses_what_it_cannot_use(change: Call, world: World, values: Any) -> None:
    assert change(**values).status_code == 400


ANA_NUMBER = "+6591000001"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("throttled"), 429),
        (Fault("expired_token"), 401),
        (Fault("refuse", code=449), 449),
        (Fault("refuse", code=404), 404),
        (Fault("refuse", code=131026), 400),
        (Fault("template_paused"), 400),
        (Fault("html", status=403), 403),
        (Fault("server_error"), 500),
        (Fault("server_error", status=502), 502),
        (Fault("redirect"), 302),
    ],
)
def test_a_fault_that_takes_nothing(write: Call, world: World, fault: Fault, status: int) -> None:
    world.faults.replace([fault])

    answer = write()

    assert answer.status_code == status
    [arrival] = world.log.arrivals
    assert (arrival.outcome, arrival.accepted, arrival.recipient) == (fault.kind, False, ANA_NUMBER)
    assert arrival.code == (
        status
        if fault.kind in ("throttled", "expired_token", "refuse", "template_paused")
        else None
    )
    if status == 429:
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["x-ratelimit-limit"] == "10"


@pytest.mark.parametrize(
    "fault",
    [
        Fault("empty_body"),
        Fault("truncated_json"),
        Fault("empty_object"),
        Fault("server_error", accepts=True),
    ],
)
def test_a_fault_that_spoils_the_answer_of_a_message_that_was_taken(
    ask: Call, write: Call, world: World, fault: Fault
) -> None:
    world.faults.replace([fault])

    write()

    [arrival] = world.log.arrivals
    assert (arrival.outcome, arrival.accepted) == (fault.kind, True)
    newest = ask("GET", f"contact/phone:{ANA_NUMBER}/message/list").json()["items"][0]
    assert str(newest["messageId"]) == arrival.message_id


@pytest.mark.parametrize(("kind", "taken"), [("reset_before", 0), ("reset_after", 1)])
def test_the_connection_can_break(write: Call, world: World, kind: str, taken: int) -> None:
    world.faults.replace([Fault(kind)])

    with pytest.raises(ConnectionResetError):
        write()

    assert len(world.log.accepted()) == taken


def test_a_fault_can_be_for_one_person_or_one_path_only(
    ask: Call, write: Call, send: Call, world: World
) -> None:
    contact = world.respondio.add_contact("+6591000003")
    world.faults.replace(
        [
            Fault("throttled", recipients=frozenset({"+6591000003"})),
            Fault("server_error", path="/respondio/v2/contact/phone"),
            Fault("server_error", path="/message/list", on="reads"),
        ]
    )

    assert write(to=f"id:{contact.id}").status_code == 429
    assert write().status_code == 500
    assert send(ANA_NUMBER).status_code == 200
    assert ask("GET", f"contact/phone:{ANA_NUMBER}/message/list").status_code == 500


def test_reads_are_not_struck_by_faults_without_a_path(ask: Call, world: World) -> None:
    world.faults.replace([Fault("server_error", on="all")])

    assert ask("GET", "space/channel").status_code == 200
