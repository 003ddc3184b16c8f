"""Sending through the pretend respond.io: what it takes, and what happens to it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, RESPONDIO_WEBCHAT_ID
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, World

Call = Callable[..., httpx.Response]

ANA = "+6591000001"
TEXT = {"type": "text", "text": "We open at nine."}
PLAIN = {"name": "opening_hours", "languageCode": "en_US"}
APPOINTMENT: dict[str, Any] = {
    "name": "appointment",
    "languageCode": "en_US",
    "components": [
        {
            "type": "header",
            "format": "text",
            "text": "Appointment on {{1}}",
            "parameters": [{"type": "text", "text": "Monday"}],
        },
        {
            "type": "body",
            "text": "Hello {{1}}, we expect you.",
            "parameters": [{"type": "text", "text": "Ana"}],
        },
        {"type": "footer", "text": "Corner Bakery"},
        {
            "type": "buttons",
            "buttons": [
                {
                    "type": "url",
                    "text": "Change it",
                    "url": "https://bakery.example/a/{{1}}",
                    "parameters": [{"type": "text", "text": "17"}],
                }
            ],
        },
    ],
}


def template(of: object) -> dict[str, object]:
    return {"type": "whatsapp_template", "template": of}


def values(item: dict[str, Any]) -> list[str]:
    return [entry["value"] for entry in item["status"]]


def changed(path: str, value: object) -> dict[str, Any]:
    """The appointment with one thing changed, or taken out when the value is None."""
    made: Any = copy.deepcopy(APPOINTMENT)
    *way, last = path.split(".")
    place = made
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    if value is None:
        del place[int(last) if last.isdigit() else last]
    else:
        place[last] = value
    return dict(made)


@pytest.mark.parametrize("message", [TEXT, template(PLAIN), template(APPOINTMENT)])
def test_a_message_is_taken_and_listed_as_pending(
    write: Call, read: Callable[..., dict[str, Any]], clock: SimpleNamespace, message: object
) -> None:
    answer = write(message)

    assert answer.status_code == 200
    assert answer.json() == {"messageId": int(clock.now * 1_000_000)}
    assert answer.headers["x-ratelimit-limit"] == "10"
    item = read(answer)
    assert (item["traffic"], item["sender"]) == ("outgoing", {"source": "api"})
    assert (item["message"], item["channelId"]) == (message, RESPONDIO_CHANNEL_ID)
    assert values(item) == ["pending"]


def test_message_ids_are_unique_even_within_one_microsecond(write: Call) -> None:
    ids = [write().json()["messageId"] for _ in range(3)]

    assert len(set(ids)) == 3


def test_the_statuses_follow_in_the_time_of_the_world(
    write: Call, read: Callable[..., dict[str, Any]], clock: SimpleNamespace
) -> None:
    began, answer, seen = clock.now, write(), []
    for _ in range(5):
        seen.append(values(read(answer)))
        clock.now += 0.1

    assert seen[0] == ["pending"]
    assert seen[1] == ["pending", "sent"]
    assert seen[-1][:3] == ["pending", "sent", "delivered"]
    times = [entry["timestamp"] for entry in read(answer)["status"]]
    assert times == sorted(times)
    assert times[0] == int(began * 1000)


def test_somebody_reads_and_somebody_does_not(
    ask: Call, write: Call, world: World, clock: SimpleNamespace
) -> None:
    ends = set()
    for number in range(6):
        contact = world.respondio.add_contact(f"+659200000{number}")
        message_id = write(to=f"id:{contact.id}").json()["messageId"]
        clock.now += 1
        item = ask("GET", f"contact/id:{contact.id}/message/{message_id}").json()
        ends.add(values(item)[-1])

    assert ends == {"delivered", "read"}


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status_lost"), ["pending"]),
        (Fault("status_failed"), ["pending", "failed"]),
        (Fault("status_failed", recipients=frozenset({"+6599999999"})), None),
    ],
)
def test_faults_of_statuses_strike_here_too(
    write: Call,
    read: Callable[..., dict[str, Any]],
    world: World,
    clock: SimpleNamespace,
    fault: Fault,
    expected: list[str] | None,
) -> None:
    world.faults.replace([fault])
    answer = write()
    clock.now += 1

    item = read(answer)
    assert values(item) == expected if expected else "delivered" in values(item)
    if expected == ["pending", "failed"]:
        assert item["status"][-1]["message"] == "131026: Message undeliverable"


def test_a_status_can_be_reported_twice(
    write: Call, read: Callable[..., dict[str, Any]], world: World, clock: SimpleNamespace
) -> None:
    world.faults.replace([Fault("status_duplicated", count=1)])
    answer = write()
    clock.now += 1

    assert values(read(answer)).count("sent") == 2


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"channelId": RESPONDIO_CHANNEL_ID},
        {"message": TEXT},
        {"channelId": str(RESPONDIO_CHANNEL_ID), "message": TEXT},
        {"channelId": True, "message": TEXT},
        {"channelId": 99, "message": TEXT},
        {"channelId": RESPONDIO_WEBCHAT_ID, "message": TEXT},
        {"channelId": RESPONDIO_CHANNEL_ID, "message": TEXT, "attempt": "1"},
    ],
)
def test_a_body_that_is_not_as_documented_is_refused(
    write: Call, world: World, body: object
) -> None:
    answer = write(json=body)

    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert world.log.accepted() == []


@pytest.mark.parametrize(
    "message",
    [
        {"type": "attachment", "attachment": {"type": "image", "url": "https://a.example/1.png"}},
        {"type": "text", "text": ""},
        {"type": "text", "text": "x", "extra": 1},
        {"type": "whatsapp_template"},
        template({"name": "opening_hours", "language": {"code": "en_US"}}),
        template({"name": "nothing", "languageCode": "en_US"}),
        template({"name": "flash_sale", "languageCode": "en_US"}),
        template({"name": "opening_hours", "languageCode": "fr"}),
        template({**PLAIN, "components": [{"type": "header", "format": "text", "text": "Hi"}]}),
        template({"name": "order_ready", "languageCode": "en_US"}),
        template(changed("components", {})),
        template(changed("components.0.type", "HEADER")),
        template(changed("components.0.format", "image")),
        template(changed("components.0.format", None)),
        template(changed("components.0.parameters", None)),
        template(changed("components.1.text", "Hello {{1}}!")),
        template(changed("components.1.parameters", [{"type": "text", "text": ""}])),
        template(changed("components.1.parameters", [{"type": "text", "text": "a"}] * 2)),
        template(changed("components.1.type", "header")),
        template(changed("components.3", None)),
        template(changed("components.3.type", "button")),
        template(changed("components.3.buttons", [])),
        template(changed("components.3.buttons.0.type", "URL")),
        template(changed("components.3.buttons.0.sub_type", "url")),
        template(changed("components.3.buttons.0.parameters", [])),
    ],
)
def test_a_message_that_is_not_as_documented_is_refused(
    write: Call, world: World, message: object
) -> None:
    answer = write(message)

    assert answer.status_code == 400
    [arrival] = world.log.arrivals
    assert (arrival.outcome, arrival.code, arrival.accepted) == ("refused", 400, False)


@pytest.mark.parametrize(
    "name",
    ["components.0.text", "components.1.text", "components.2", "components.3.buttons.0.url"],
)
def test_parts_that_the_template_knows_may_be_left_out(write: Call, name: str) -> None:
    assert write(template(changed(name, None))).status_code == 200


def test_a_picture_is_given_by_its_link(write: Call) -> None:
    def menu(image: object) -> object:
        header = {
            "type": "header",
            "format": "image",
            "parameters": [{"type": "image", "image": image}],
        }
        body = {"type": "body", "parameters": [{"type": "text", "text": "Ana"}]}
        return template({"name": "new_menu", "languageCode": "en_US", "components": [header, body]})

    assert write(menu({"link": "https://a.example/1.png"})).status_code == 200
    assert write(menu({"id": "17"})).status_code == 400
    assert write(menu({"link": "1.png"})).status_code == 400
    assert write(menu("https://a.example/1.png")).status_code == 400


def test_a_named_placeholder_is_filled_by_its_position(write: Call) -> None:
    body = {"type": "body", "parameters": [{"type": "text", "text": "Ana"}]}
    sale = {"name": "spring_sale", "languageCode": "en_US", "components": [body]}

    assert write(template(sale)).status_code == 200


def test_an_unknown_contact_is_404_and_a_busy_contact_449(
    write: Call, world: World, clock: SimpleNamespace
) -> None:
    world.respondio.add_contact("+6591000003", ready_in=60)

    assert write(to="phone:+6599999999").status_code == 404
    assert write(to="phone:+6591000003").status_code == 449
    clock.now += 60
    assert write(to="phone:+6591000003").status_code == 200
    assert [arrival.code for arrival in world.log.arrivals] == [404, 449, None]


def test_every_attempt_is_in_the_log_with_its_api(write: Call, send: Call, world: World) -> None:
    message_id = write().json()["messageId"]
    send(ANA)
    write(token=None)
    write(token="nobody")

    assert [
        (arrival.api, arrival.recipient, arrival.outcome, arrival.code)
        for arrival in world.log.arrivals
    ] == [
        ("respondio", ANA, "accepted", None),
        ("meta", ANA, "accepted", None),
        ("respondio", ANA, "refused", 403),
        ("respondio", ANA, "refused", 401),
    ]
    assert world.log.arrivals[0].message_id == str(message_id)
    assert world.log.summary()["duplicates"] == {ANA: 2}


def test_the_endpoint_has_a_limit_of_its_own(
    ask: Call, call: Call, write: Call, world: World, clock: SimpleNamespace
) -> None:
    call("POST", "/_sandbox/respondio", token=None, json={"limits": {"message/send": 2}})

    answers = [write() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert (answers[2].headers["retry-after"], answers[2].headers["x-ratelimit-remaining"]) == (
        "1",
        "0",
    )
    assert world.log.arrivals[-1].code == 429
    clock.monotonic += 1
    assert write().status_code == 200


def test_both_apis_share_the_limit_of_the_number(
    write: Call,
    send: Call,
    read: Callable[..., dict[str, Any]],
    world: World,
    clock: SimpleNamespace,
) -> None:
    world.set_limit(PHONE_NUMBER_ID, 2)
    send("+6591234567")
    in_time, too_much = write(), write(TEXT)
    assert send("+6591234568").json()["error"]["code"] == 130429

    clock.now += 1
    assert too_much.status_code == 200, "the acceptance is no delivery"
    assert "failed" not in values(read(in_time))
    assert values(read(too_much)) == ["pending", "failed"]
    assert "rate limit hit" in read(too_much)["status"][-1]["message"].lower()
    assert read(too_much)["channelMessageId"] is None


def test_both_apis_share_the_pair_rate(
    write: Call, send: Call, read: Callable[..., dict[str, Any]], world: World, clock: Any
) -> None:
    for _ in range(5):
        for _ in range(9):
            assert send(ANA).status_code == 200
        clock.monotonic += 1
        clock.now += 1
    answer = write()
    clock.now += 1

    assert "pair rate limit hit" in read(answer)["status"][-1]["message"]


def test_a_suspended_number_fails_later(
    write: Call, read: Callable[..., dict[str, Any]], world: World, clock: SimpleNamespace
) -> None:
    world.suspended.add(PHONE_NUMBER_ID)
    answer = write()
    clock.now += 1

    assert (answer.status_code, values(read(answer))) == (200, ["pending", "failed"])


def test_the_workspace_reports_sent_messages_to_a_subscriber(
    write: Call, world: World, clock: SimpleNamespace
) -> None:
    world.callbacks = Callbacks(respondio_url="http://127.0.0.1:1/hook")
    message_id = write().json()["messageId"]

    [body] = world.outbox.emitted(clock.monotonic)

    assert (body["event_type"], body["message"]["messageId"]) == ("message.sent", message_id)
    assert body["message"]["sender"] == {"source": "api"}


def test_the_history_of_meta_leaves_out_what_came_through_respondio(
    call: Call, write: Call, send: Call
) -> None:
    write()
    send()

    rows = call("GET", f"/v26.0/{PHONE_NUMBER_ID}/message_history").json()["data"]

    assert len(rows) == 1
