"""Which messages the pretend Graph API takes, and what it says of the others."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tests.support.uploaded import put_files
from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import (
    FOREIGN_PHONE_NUMBER_ID,
    PAIR_BURST,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
)

Send = Callable[..., httpx.Response]


def text(value: object, **more: object) -> dict[str, object]:
    return {"type": "text", "text": value, **more}


def body(*parameters: object) -> dict[str, object]:
    return {"type": "body", "parameters": list(parameters)}


def header(*parameters: object) -> dict[str, object]:
    return {"type": "header", "parameters": list(parameters)}


def url_button(*parameters: object, index: object = "0") -> dict[str, object]:
    return {"type": "button", "sub_type": "url", "index": index, "parameters": list(parameters)}


def template(name: str, *components: object, language: str = "en_US") -> dict[str, object]:
    return {"name": name, "language": {"code": language}, "components": list(components)}


def code_of(response: httpx.Response) -> int:
    return int(response.json()["error"]["code"])


def test_an_accepted_message_is_answered_as_meta_does(send: Send) -> None:
    response = send("+6591234567")

    answer = response.json()
    assert response.status_code == 200
    assert answer["contacts"] == [{"input": "+6591234567", "wa_id": "6591234567"}]
    assert answer["messages"][0]["message_status"] == "accepted"
    assert answer["messages"][0]["id"].startswith("wamid.")


def test_message_ids_are_unique_even_over_a_reset(send: Send, world: World) -> None:
    ids = []
    for _ in range(2):
        ids += [send(to).json()["messages"][0]["id"] for to in ("+6591234567", "+6591234568")]
        world.reset()

    assert len(set(ids)) == 4


IMAGE = {"type": "image", "image": {"link": "https://a.example/1.jpg"}}
APPOINTMENT = (header(text("Monday")), body(text("Ana")), url_button(text("17")))


@pytest.mark.parametrize(
    "message",
    [
        template("opening_hours"),
        template("opening_hours", body()),
        template("order_ready", body(text("Ana"), text("A-17"))),
        template("order_ready", body(text("Ana"), text("A-17")), language="de"),
        template("spring_sale", body(text("Ana", parameter_name="first_name"))),
        template("appointment", *APPOINTMENT),
        template("appointment", *APPOINTMENT[:2], url_button(text("17"), index=0)),
        template(
            "new_menu",
            header({"type": "image", "image": {"link": "https://a.example/1.jpg"}}),
            body(text("Ana")),
        ),
        template(
            "spring_sale",
            body(text("Ana", parameter_name="first_name")),
            {
                "type": "button",
                "sub_type": "quick_reply",
                "index": "0",
                "parameters": [{"type": "payload", "payload": "stop"}],
            },
        ),
    ],
)
def test_a_template_that_is_filled_in_is_taken(send: Send, message: dict[str, object]) -> None:
    assert send(template=message).json().get("error") is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (template("no_such_template"), 132001),
        (template("opening_hours", language="fr"), 132001),
        (template("free_money", body(text("Ana"))), 132001),
        (template("flash_sale", body(text("Ana"))), 132015),
        (template("order_ready"), 132000),
        (template("order_ready", body(text("Ana"))), 132000),
        (template("order_ready", body(*[text("Ana")] * 3)), 132000),
        (template("opening_hours", body(text("Ana"))), 132000),
        (template("opening_hours", header(text("Ana"))), 132000),
        (template("opening_hours", url_button(text("17"))), 132018),
        (template("appointment", *APPOINTMENT[1:]), 132000),
        (template("appointment", *APPOINTMENT[:2]), 131008),
        (template("appointment", *APPOINTMENT, url_button(text("17"), index="1")), 132018),
        (template("order_ready", body(text("Ana"), {"type": "text"})), 131008),
        (template("order_ready", body(text("Ana"), text(""))), 131008),
        (template("order_ready", body(text("Ana"), text(17))), 131008),
        (template("order_ready", body(text("Ana"), text("A\n17"))), 132018),
        (template("order_ready", body(text("Ana"), {"type": "image", "image": {}})), 132012),
        (template("order_ready", body(text("Ana", parameter_name="1"), text("A-17"))), 132012),
        (template("order_ready", body(text("Ana", bold=True), text("A-17"))), 100),
        (template("order_ready", body(text("Ana"), text("A-17")), body()), 132018),
        (template("order_ready", {"type": "footer", "parameters": []}), 100),
        (template("order_ready", {**body(text("Ana"), text("A-17")), "index": "0"}), 100),
        (template("spring_sale", body(text("Ana"))), 132012),
        (template("spring_sale", body(text("Ana", parameter_name="name"))), 132012),
        (template("new_menu", body(text("Ana"))), 132012),
        (template("new_menu", header(text("Ana")), body(text("Ana"))), 132012),
        (template("new_menu", header({"type": "image", "image": {}}), body(text("Ana"))), 131008),
        ({"name": "opening_hours"}, 131008),
        ({"name": "opening_hours", "language": {}}, 131008),
        ({"name": "opening_hours", "language": {"code": "en_US"}, "namespace": "x"}, 100),
        ({"name": "opening_hours", "language": {"code": "en_US"}, "components": {}}, 100),
    ],
)
def test_a_template_that_is_not_filled_in_is_refused(
    send: Send, message: dict[str, object], code: int
) -> None:
    assert code_of(send(template=message)) == code


def medium(kind: str, **value: object) -> dict[str, object]:
    return header({"type": kind, kind: value})


def button(sub_type: str, index: int, *parameters: object) -> dict[str, object]:
    return {"type": "button", "sub_type": sub_type, "index": index, "parameters": [*parameters]}


def action(**value: object) -> dict[str, object]:
    return {"type": "action", "action": value}


def offer(**value: object) -> dict[str, object]:
    parameter = {"type": "limited_time_offer", "limited_time_offer": value}
    return {"type": "limited_time_offer", "parameters": [parameter]}


def cards(*given: object) -> dict[str, object]:
    return {"type": "carousel", "cards": [*given]}


def card(index: object, *components: object) -> dict[str, object]:
    return {"card_index": index, "components": [*components]}


HI = body(text("Ana"))
PLACE = {"latitude": "1.28", "longitude": "103.86", "name": "Bakery", "address": "1 Bay Rd"}
CODE = button("copy_code", 0, {"type": "coupon_code", "coupon_code": "SAVE20"})
ENDS = offer(expiration_time_ms=1_900_000_000_000)
SALE = (medium("image", id="1"), ENDS, HI, CODE, button("url", 1, text("x")))
SECTION = {"title": "Cakes", "product_items": [{"product_retailer_id": "A-1"}]}
CAKE = (medium("image", id="1"), body(text("today")), button("url", 1, text("lemon")))
PRODUCT = medium("product", product_retailer_id="A-1", catalog_id="77")
PRODUCT_CARDS = [card(place, PRODUCT) for place in range(11)]
IN_SECONDS = offer(expiration_time_ms=1_900_000_000)


CODE_TWICE = [{"type": "coupon_code", "coupon_code": "SAVE20"}] * 2
PLACE_TWICE = [{"type": "location", "location": PLACE}] * 2


def coupon(code: str) -> dict[str, object]:
    return button("copy_code", 0, {"type": "coupon_code", "coupon_code": code})


def payload(value: str) -> dict[str, object]:
    return button("quick_reply", 1, {"type": "payload", "payload": value})


def mpm(**value: object) -> dict[str, object]:
    return button("mpm", 0, action(**{"thumbnail_product_retailer_id": "A-1", **value}))


@pytest.mark.parametrize(
    "message",
    [
        template("bakery_film", medium("video", link="https://a.example/a.mp4"), HI),
        template("price_list", medium("document", id="2", filename="Prices.pdf"), HI),
        template("find_us", medium("location", **PLACE), HI),
        template("coupon", HI, CODE),
        template("coupon", HI, {**CODE, "sub_type": "COPY_CODE", "index": "0"}),
        template("last_minute", *SALE),
        template("catalogue", HI),
        template("catalogue", HI, button("catalog", 0, action(thumbnail_product_retailer_id="A"))),
        template("best_sellers", HI, mpm(sections=[SECTION])),
        template("one_cake", PRODUCT, HI),
        template("book_table", HI),
        template("book_table", HI, button("flow", 0, action(flow_token="t"))),
        template("book_table", HI, button("flow", 0, action(flow_action_data={"day": 1}))),
        template("call_us", HI),
        template("cake_cards", HI, cards(card(0, *CAKE), card(1, *CAKE))),
        template("product_cards", HI, cards(card(0, PRODUCT), card(1, PRODUCT))),
        template("product_cards", HI, cards(*PRODUCT_CARDS[:10])),
    ],
)
def test_a_template_of_any_type_is_taken_when_it_is_filled_in(
    world: World, send: Send, message: dict[str, object]
) -> None:
    put_files(world)

    assert send(template=message).json().get("error") is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        # missing
        (template("bakery_film", HI), 132012),
        (template("bakery_film", medium("video"), HI), 131008),
        (template("find_us", medium("location", **{**PLACE, "name": ""}), HI), 131008),
        (template("coupon", HI), 131008),
        (template("last_minute", SALE[0], *SALE[2:]), 132012),
        (template("last_minute", SALE[0], offer(), *SALE[2:]), 131008),
        (template("best_sellers", HI), 131008),
        (template("best_sellers", HI, mpm()), 131008),
        (template("best_sellers", HI, mpm(sections=[{**SECTION, "product_items": []}])), 131008),
        (template("one_cake", medium("product", product_retailer_id="A-1"), HI), 131008),
        (template("cake_cards", HI), 132000),
        (template("cake_cards", HI, cards(card(0, *CAKE))), 132000),
        (template("cake_cards", HI, cards(card(0, *CAKE), card(1, *CAKE[1:]))), 132012),
        (template("cake_cards", HI, cards(card(0, *CAKE), card(1, *CAKE[:2]))), 131008),
        (template("cake_cards", HI, cards(card(0, *CAKE), card(1, CAKE[0], CAKE[2]))), 132000),
        (template("product_cards", HI, cards(card(0, PRODUCT))), 132000),
        # doubled
        (template("coupon", HI, CODE, CODE), 132018),
        (
            template(
                "coupon",
                HI,
                button("copy_code", 0, *CODE_TWICE),
            ),
            132000,
        ),
        (template("last_minute", ENDS, *SALE), 132018),
        (template("find_us", header(*PLACE_TWICE), HI), 132012),
        (template("cake_cards", HI, cards(*[card(0, *CAKE)] * 2)), 131009),
        (template("cake_cards", HI, cards(*[card(each, *CAKE) for each in range(3)])), 132000),
        (
            template("product_cards", HI, cards(*[card(each, PRODUCT) for each in range(11)])),
            132000,
        ),
        # misplaced
        (template("coupon", HI, {**CODE, "index": 1}), 131008),
        (template("coupon", HI, CODE, button("url", 1, text("x"))), 132018),
        (template("coupon", HI, CODE, ENDS), 132000),
        (template("catalogue", HI, cards(card(0, PRODUCT))), 132000),
        (template("call_us", HI, button("url", 0, text("x"))), 132018),
        (template("cake_cards", HI, cards(card(1, *CAKE), card(0, *CAKE))), 131009),
        (template("bakery_film", medium("image", id="1"), HI), 132012),
        (template("find_us", medium("product", **PLACE), HI), 132012),
        # out of bounds
        (template("bakery_film", medium("video", link="a.mp4"), HI), 131009),
        (template("bakery_film", medium("video", id="abc"), HI), 131009),
        (
            template("bakery_film", medium("video", id="1", link="https://a.example/a"), HI),
            131009,
        ),
        (template("bakery_film", medium("video", id="1", filename="a.mp4"), HI), 100),
        (template("find_us", medium("location", **{**PLACE, "latitude": "91"}), HI), 131009),
        (template("find_us", medium("location", **{**PLACE, "longitude": "east"}), HI), 131009),
        (template("find_us", medium("location", **{**PLACE, "latitude": 1.28}), HI), 131008),
        (template("coupon", HI, coupon("SAVE-20")), 131009),
        (template("coupon", HI, coupon("A" * 16)), 131009),
        (template("coupon", HI, CODE, payload("x" * 257)), 131009),
        (
            template("last_minute", SALE[0], IN_SECONDS, *SALE[2:]),
            131009,
        ),
        (template("last_minute", SALE[0], offer(expiration_time_ms="soon"), *SALE[2:]), 131009),
        (template("best_sellers", HI, mpm(sections=[{**SECTION, "title": "x" * 25}])), 131009),
        (template("best_sellers", HI, mpm(sections=[SECTION] * 11)), 131009),
        (template("book_table", HI, button("flow", 0, action(flow_action_data=[1]))), 131009),
        (template("book_table", HI, button("flow", 0, action(flow_token=7))), 131009),
        (template("book_table", HI, button("flow", 0, action(screen="x"))), 100),
    ],
)
def test_a_missing_doubled_or_misplaced_parameter_is_refused_with_metas_code(
    send: Send, message: dict[str, object], code: int
) -> None:
    assert code_of(send(template=message)) == code


def test_a_disabled_template_is_refused(send: Send, world: World) -> None:
    found = world.template(WABA_ID, "opening_hours", "en_US")
    assert found is not None
    world.patch_node(found, {"status": "DISABLED"})

    assert code_of(send()) == 132016


def test_a_template_that_does_not_exist_is_not_found(send: Send) -> None:
    assert send(template=template("no_such_template")).status_code == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"messaging_product": "sms"}, 100),
        ({"recipient_type": "group"}, 131009),
        ({"priority": "high"}, 100),
        ({"type": "image"}, 131051),
        ({"text": {"body": "Hello"}}, 100),
        ({"template": None}, 131008),
        ({"to": "91234567890123456"}, 131009),
        ({"to": "+65 9123 4567"}, 131009),
        ({"to": 6591234567}, 131009),
        ({"to": PHONE}, 131021),
        ({"biz_opaque_callback_data": "x" * 513}, 100),
        ({"biz_opaque_callback_data": 7}, 100),
    ],
)
def test_a_message_that_is_not_well_formed_is_refused(
    send: Send, changes: dict[str, object], code: int
) -> None:
    assert code_of(send(**changes)) == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"body": "Hello"}, None),
        ({"body": "Hello", "preview_url": False}, None),
        ({"body": "x" * 4096}, None),
        ({"body": "x" * 4097}, 100),
        ({"body": ""}, 131008),
        ({}, 131008),
        ({"body": "Hello", "preview_url": "no"}, 100),
        ({"body": "Hello", "colour": "red"}, 100),
    ],
)
def test_a_text_has_from_1_to_4096_characters(
    call: Send, content: dict[str, object], code: int | None
) -> None:
    message = {
        "messaging_product": "whatsapp",
        "to": "+6591234567",
        "type": "text",
        "text": content,
    }

    answer = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/messages", json=message).json()

    assert answer.get("error", {}).get("code") == code


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"hello"'])
def test_a_body_that_is_not_a_json_object_is_refused(call: Send, content: bytes) -> None:
    response = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/messages", content=content)

    assert (response.status_code, code_of(response)) == (400, 100)


@pytest.mark.parametrize("missing", ["messaging_product", "to"])
def test_required_parts_of_a_message_must_be_present(call: Send, missing: str) -> None:
    message = {"messaging_product": "whatsapp", "to": "+6591234567", "text": {"body": "Hello"}}
    del message[missing]

    answer = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/messages", json=message).json()

    assert answer["error"]["message"] == f"(#100) The parameter {missing} is required."


def test_a_recipient_without_plus_is_taken_and_counted(send: Send, world: World) -> None:
    answer = send("6591234567").json()

    assert answer["contacts"] == [{"input": "6591234567", "wa_id": "6591234567"}]
    assert world.log.arrivals[0].recipient == "+6591234567"
    assert world.log.summary()["recipients_without_plus"] == 1


def test_callback_data_of_512_characters_is_kept_with_the_message(send: Send, world: World) -> None:
    send(biz_opaque_callback_data="x" * 512)

    assert world.log.arrivals[0].biz_opaque_callback_data == "x" * 512


@pytest.mark.parametrize("number", [WABA_ID, FOREIGN_PHONE_NUMBER_ID])
def test_only_a_number_of_the_token_can_send_messages(send: Send, number: str) -> None:
    error = send(number=number).json()["error"]

    assert (error["code"], error["error_subcode"]) == (100, 33)


def test_both_numbers_use_the_templates_of_their_account(send: Send) -> None:
    assert send(number=SECOND_PHONE_NUMBER_ID).status_code == 200


ANA = "SG.13491208655302741918"


def by_id(call: Send, user_id: object, **more: object) -> httpx.Response:
    content = more if "template" in more else {"text": {"body": "Hello"}, **more}
    message = {"messaging_product": "whatsapp", "recipient": user_id, **content}
    return call("POST", f"/v26.0/{PHONE_NUMBER_ID}/messages", json=message)


def test_a_known_user_id_is_taken_and_answered_without_a_number(call: Send, world: World) -> None:
    world.user_ids[ANA] = None

    answer = by_id(call, ANA).json()

    assert answer["contacts"] == [{"input": ANA, "user_id": ANA}]
    assert world.log.arrivals[0].recipient == ANA
    assert world.log.summary()["recipients_without_plus"] == 0


def test_with_number_and_id_the_number_counts(call: Send, world: World) -> None:
    answer = by_id(call, ANA, to="+6591234567").json()

    assert answer["contacts"] == [{"input": "+6591234567", "wa_id": "6591234567"}]
    assert world.log.arrivals[0].recipient == "+6591234567"


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        (ANA, 131026),
        ("@ana", 131009),
        ("SG.ENT.12345", 131009),
        ("+6591234567", 131009),
        (7, 131009),
    ],
)
def test_an_unknown_user_id_is_refused(call: Send, recipient: object, code: int) -> None:
    assert code_of(by_id(call, recipient)) == code


def test_a_login_code_does_not_go_to_an_id(call: Send, world: World) -> None:
    world.user_ids[ANA] = None
    found = world.template(WABA_ID, "opening_hours", "en_US")
    assert found is not None
    world.patch_node(found, {"category": "AUTHENTICATION"})

    answer = by_id(call, ANA, type="template", template=template("opening_hours"))

    assert code_of(answer) == 131062


def test_a_number_and_its_id_are_one_person_to_the_pair_rate(world: World) -> None:
    world.user_ids[ANA] = "+6591234567"
    world.set_limit(PHONE_NUMBER_ID, 100)
    for place in range(PAIR_BURST):
        world.take(PHONE_NUMBER_ID, ("+6591234567", ANA)[place % 2], 1_000.0)

    with pytest.raises(GraphError) as refused:
        world.take(PHONE_NUMBER_ID, ANA, 1_000.0)

    assert refused.value.code == 131056


def test_the_statuses_of_a_message_to_an_id_name_only_the_id(call: Send, world: World) -> None:
    world.user_ids[ANA] = None
    world.callbacks = Callbacks(statuses=True)

    by_id(call, ANA)

    webhook = world.outbox.take(world.monotonic() + 60)
    assert webhook is not None
    body = json.loads(webhook.content)
    status = body["entry"][0]["changes"][0]["value"]["statuses"][0]
    assert status["recipient_user_id"] == ANA
    assert "recipient_id" not in status
