"""The Graph API of the sandbox: nodes and pages, tokens, attached apps, users, and copying."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.sandbox.account import add_partner
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import Fault, GraphError
from wacoex_cli.sandbox.graph import overall_health, parse_fields
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.webhooks import emit
from wacoex_cli.sandbox.wire import WEBHOOK_FIELDS, Callbacks
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_SECRET,
    BUSINESS_ID,
    DEFAULT_TOKEN,
    FOREIGN_PHONE_NUMBER_ID,
    FOREIGN_WABA_ID,
    PARTNER_APP_ID,
    PHONE_NUMBER,
    PHONE_NUMBER_ID,
    READ_SCOPE,
    SECOND_PHONE_NUMBER_ID,
    SEND_SCOPE,
    TEMPLATE,
    WABA,
    WABA_ID,
    Node,
    World,
)

Call = Callable[..., httpx.Response]

TEMPLATES = f"/v26.0/{WABA_ID}/message_templates"


def test_a_number_answers_with_its_default_fields(call: Call) -> None:
    assert call("GET", f"/v26.0/{PHONE_NUMBER_ID}").json() == {
        "id": PHONE_NUMBER_ID,
        "display_phone_number": "+65 6000 0001",
        "verified_name": "Corner Bakery",
        "quality_rating": "GREEN",
    }


def test_the_default_number_is_a_healthy_coexistence_number(call: Call) -> None:
    fields = "is_on_biz_app,platform_type,status,throughput{level},health_status"

    node = call("GET", f"/v26.0/{PHONE_NUMBER_ID}", params={"fields": fields}).json()

    assert node["is_on_biz_app"] is True
    assert (node["platform_type"], node["status"]) == ("CLOUD_API", "CONNECTED")
    assert node["throughput"] == {"level": "STANDARD"}
    assert node["health_status"]["can_send_message"] == "AVAILABLE"
    assert [entity["entity_type"] for entity in node["health_status"]["entities"]] == [
        "PHONE_NUMBER",
        "WABA",
        "BUSINESS",
        "APP",
    ]


@pytest.mark.parametrize(("node_id", "kind"), [(PHONE_NUMBER_ID, PHONE_NUMBER), (WABA_ID, WABA)])
def test_every_documented_field_may_be_asked_for(call: Call, node_id: str, kind: Any) -> None:
    response = call("GET", f"/v26.0/{node_id}", params={"fields": ",".join(sorted(kind.fields))})

    assert response.status_code == 200


@pytest.mark.parametrize("what", [{"params": {"fields": "id,last_opened"}}, {}])
def test_an_unknown_field_or_edge_is_refused_as_the_graph_does(
    call: Call, what: dict[str, Any]
) -> None:
    path = f"/v26.0/{PHONE_NUMBER_ID}" if what else f"/v26.0/{PHONE_NUMBER_ID}/last_opened"

    error = call("GET", path, **what).json()["error"]

    assert error["code"] == 100
    assert error["message"] == (
        "(#100) Tried accessing nonexisting field (last_opened) "
        "on node type (WhatsAppBusinessPhoneNumber)"
    )


def test_health_follows_the_worst_entity(call: Call, world: World) -> None:
    entities = [
        {"entity_type": "PHONE_NUMBER", "id": "1", "can_send_message": "LIMITED"},
        {"entity_type": "WABA", "id": "2", "can_send_message": "BLOCKED"},
    ]
    world.nodes[PHONE_NUMBER_ID].patch({"health_status": {"entities": entities}})

    node = call("GET", f"/v26.0/{PHONE_NUMBER_ID}", params={"fields": "health_status"}).json()

    assert node["health_status"]["can_send_message"] == "BLOCKED"
    assert overall_health(entities[:1]) == "LIMITED"


def test_a_field_without_a_value_is_left_out(call: Call, world: World) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"last_onboarded_time": None})

    node = call("GET", f"/v26.0/{PHONE_NUMBER_ID}", params={"fields": "last_onboarded_time"})

    assert node.json() == {"id": PHONE_NUMBER_ID}


def test_an_account_gives_its_owner_in_the_requested_subfields(call: Call) -> None:
    node = call("GET", f"/v26.0/{WABA_ID}", params={"fields": "owner_business_info{name},currency"})

    assert node.json() == {
        "id": WABA_ID,
        "owner_business_info": {"name": "Corner Bakery"},
        "currency": "SGD",
    }


def test_an_account_lists_its_numbers_page_by_page(call: Call) -> None:
    path = f"/v26.0/{WABA_ID}/phone_numbers"

    first = call("GET", path, params={"limit": 1, "fields": "id"}).json()
    second = call("GET", first["paging"]["next"]).json()

    assert first["data"] == [{"id": PHONE_NUMBER_ID}]
    assert second["data"] == [{"id": SECOND_PHONE_NUMBER_ID}]
    assert "next" not in second["paging"]
    assert call("GET", path, params={"after": second["paging"]["cursors"]["after"]}).json() == {
        "data": []
    }


def test_an_account_lists_the_subscribed_apps(call: Call) -> None:
    apps = call("GET", f"/v26.0/{WABA_ID}/subscribed_apps").json()["data"]

    assert apps[0]["whatsapp_business_api_data"]["id"] == PARTNER_APP_ID
    assert apps[0]["whatsapp_business_api_data"]["name"] == "respond.io WA BSP"


def test_templates_are_filtered_by_status_and_name(call: Call) -> None:
    paused = call("GET", TEMPLATES, params={"status": "PAUSED"}).json()["data"]
    ready = call("GET", TEMPLATES, params={"name": "order_ready", "fields": "language"}).json()

    assert [row["name"] for row in paused] == ["flash_sale"]
    assert [row["language"] for row in ready["data"]] == ["en_US", "de"]


def test_a_template_can_be_read_by_its_id_with_its_health(call: Call, world: World) -> None:
    template = world.template(WABA_ID, "order_ready", "en_US")
    assert template is not None

    node = call("GET", f"/v26.0/{template.id}", params={"fields": ",".join(TEMPLATE.fields)}).json()

    assert node["parameter_format"] == "POSITIONAL"
    assert node["components"][0]["text"] == "Hello {{1}}, order {{2}} is ready."
    assert node["health_status"]["entities"][0]["entity_type"] == "MESSAGE_TEMPLATE"


def test_cursors_lead_through_every_template_once() -> None:
    world = default_world(extra_templates=120)

    names = asyncio.run(_all_names(world, limit=50))

    assert len(names) == len(set(names)) == len(world.templates(WABA_ID)) > 120


async def _all_names(world: World, limit: int) -> list[tuple[str, str]]:
    found = []
    params: dict[str, Any] = {"limit": limit}
    headers = {"Authorization": f"Bearer {DEFAULT_TOKEN}"}
    transport = httpx.ASGITransport(application(world))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        while params:
            answer = (await client.get(TEMPLATES, params=params, headers=headers)).json()
            found += [(row["name"], row["language"]) for row in answer["data"]]
            after = answer["paging"]["cursors"]["after"] if "next" in answer["paging"] else None
            params = {"limit": limit, "after": after} if after else {}
    return found


def test_a_cursor_goes_stale_when_a_template_changes(call: Call, world: World) -> None:
    cursors = call("GET", TEMPLATES, params={"limit": 2}).json()["paging"]["cursors"]
    template = world.template(WABA_ID, "order_ready", "de")
    assert template is not None
    world.patch_node(template, {"status": "PAUSED"})

    def code(version: str) -> int:
        path = f"/{version}/{WABA_ID}/message_templates"
        answer = call("GET", path, params={"limit": 2, "after": cursors["after"]}).json()
        return int(answer["error"]["code"])

    assert code("v26.0") == code("v24.0") == 131059
    assert code("v23.0") == 100


@pytest.mark.parametrize("limit", ["0", "101", "many", "-1"])
def test_a_page_has_from_1_to_100_rows(call: Call, limit: str) -> None:
    assert call("GET", TEMPLATES, params={"limit": limit}).json()["error"]["code"] == 100


def test_a_made_up_cursor_is_stale(call: Call) -> None:
    assert call("GET", TEMPLATES, params={"after": "abc"}).json()["error"]["code"] == 131059


@pytest.mark.parametrize("text", ["a,", ",a", "a{", "a}", "{a}", "a{b}c", "a b", "a{}", "a-b", ","])
def test_a_malformed_list_of_fields_is_refused(text: str) -> None:
    with pytest.raises(GraphError) as refusal:
        parse_fields(text)
    assert refusal.value.code == 100


_NAMES = st.from_regex(r"f[a-z_]{1,4}", fullmatch=True)

_SELECTIONS: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.builds(dict), lambda inner: st.dictionaries(_NAMES, inner, max_size=3), max_leaves=6
)


def _written(selection: dict[str, Any]) -> str:
    def names() -> Iterator[str]:
        for name, inner in selection.items():
            yield f"{name}{{{_written(inner)}}}" if inner else name

    return ",".join(names())


@given(_SELECTIONS.filter(bool))
def test_fields_are_read_as_they_were_written(selection: dict[str, Any]) -> None:
    assert parse_fields(_written(selection)) == selection


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v26.0/{PHONE_NUMBER_ID}/register"),
        ("DELETE", f"/v26.0/{WABA_ID}"),
        ("GET", "/v26.0/a/b/c"),
    ],
)
def test_unsupported_requests_are_refused(call: Call, method: str, path: str) -> None:
    error = call(method, path).json()["error"]

    assert (error["code"], error["error_subcode"]) == (100, 33)


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
def test_an_object_of_somebody_else_looks_as_if_it_did_not_exist(call: Call, node_id: str) -> None:
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


def test_debug_token_shows_what_a_token_may_do(call: Call) -> None:
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


USERS = f"/v26.0/{WABA_ID}/assigned_users"


def test_users_are_listed_for_the_portfolio_that_owns_the_account(call: Call) -> None:
    params = {"business": BUSINESS_ID, "fields": "id,name,tasks"}

    [user] = call("GET", USERS, params=params).json()["data"]

    assert user == {"id": "122000000000001", "name": "wacoex", "tasks": ["MANAGE", "DEVELOP"]}
    assert call("GET", USERS, params={"business": "1"}).json()["data"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (USERS, {}),
        (USERS, {"business": BUSINESS_ID, "fields": "email"}),
        (f"/v26.0/{PHONE_NUMBER_ID}/assigned_users", {"business": BUSINESS_ID}),
    ],
)
def test_values_that_meta_would_refuse_are_refused(
    call: Call, path: str, params: dict[str, str]
) -> None:
    answer = call("GET", path, params=params)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


def test_users_and_respondio_channels_can_be_set(call: Call) -> None:
    users = [{"id": "1", "name": "Ana", "tasks": ["VIEW_COST"]}]
    call("POST", "/_sandbox/world", json={"assigned_users": {WABA_ID: users}})
    call("POST", "/_sandbox/respondio", json={"channels": [{"id": 5, "name": "New"}]})

    shown = call("GET", USERS, params={"business": BUSINESS_ID}).json()["data"]
    listed = call("GET", "/respondio/v2/space/channel", token="sandbox-respondio-token").json()

    assert shown == [{"id": "1", "name": "Ana"}]
    assert [item["id"] for item in listed["items"]] == [5]
    assert call("POST", "/_sandbox/respondio", json={"channels": [{}]}).status_code == 400


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


def test_the_app_token_shows_which_fields_are_on(call: Call, world: World) -> None:
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
def test_only_the_app_can_read_its_fields(
    call: Call, path: str, token: str | None, status: int, code: int
) -> None:
    answer = call("GET", path, token=token)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_the_secret_of_the_settings_is_half_of_the_app_token(call: Call, world: World) -> None:
    world.patch_settings({"app_secret": "of-the-settings"})

    assert call("GET", FIELDS, token=f"{APP_ID}|of-the-settings").status_code == 200
    assert call("GET", FIELDS, token=APP_TOKEN).status_code == 401


def test_webhooks_without_a_subscription_are_withheld(call: Call, world: World) -> None:
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

    webhooks = [world.outbox.take(world.monotonic()) for _ in range(2)]

    assert [webhook.url for webhook in webhooks if webhook] == [url, None]


@pytest.mark.parametrize("edge", ["register", "deregister"])
def test_registering_a_coexistence_number_is_refused_and_remembered(
    call: Call, world: World, edge: str
) -> None:
    values: dict[str, Any] = {"messaging_product": "whatsapp", "pin": "000000"}

    error = call("POST", f"/v26.0/{PHONE_NUMBER_ID}/{edge}", json=values).json()["error"]

    assert (error["code"], error["error_subcode"]) == (100, 33)
    summary = call("GET", "/_sandbox/summary", token=None).json()
    assert summary["violations"] == [f"POST /{PHONE_NUMBER_ID}/{edge}"]


CONTACTS, HISTORY = "smb_app_state_sync", "history"


@pytest.fixture
def ask(call: Call) -> Callable[..., dict[str, Any]]:
    def run(sync_type: str, node: str = PHONE_NUMBER_ID, **more: Any) -> dict[str, Any]:
        body = {"messaging_product": "whatsapp", "sync_type": sync_type}
        answer: dict[str, Any] = call(
            "POST", f"/v26.0/{node}/smb_app_data", json=body, **more
        ).json()
        return answer

    return run


@pytest.fixture
def fresh(world: World) -> World:
    """The number was connected a moment ago."""
    add_partner(world)
    return world


def fields(world: World) -> list[str]:
    bodies = world.outbox.emitted(world.monotonic())
    return [body["entry"][0]["changes"][0]["field"] for body in bodies]


def test_each_kind_is_taken_once_and_its_webhooks_follow(fresh: World, ask) -> None:
    before = len(fields(fresh))
    contacts, history = ask(CONTACTS), ask(HISTORY)

    assert contacts["request_id"] != history["request_id"]
    assert fields(fresh)[before:] == [CONTACTS, HISTORY, HISTORY, HISTORY]
    assert ask(CONTACTS)["error"]["code"] == 2593107
    assert ask(HISTORY)["error"]["code"] == 2593107


def test_a_day_after_connecting_it_is_refused(fresh: World, ask, clock) -> None:
    clock.now += 24 * 3600 + 1

    assert ask(CONTACTS)["error"]["code"] == 2593108


def test_connecting_again_opens_it_again(fresh: World, ask, clock) -> None:
    ask(CONTACTS)
    clock.now += 60
    add_partner(fresh)

    assert "request_id" in ask(CONTACTS)


def test_a_history_that_is_not_shared_is_reported_by_webhook(fresh: World, ask) -> None:
    fresh.patch_settings({"shares_history": False})

    assert "request_id" in ask(HISTORY)

    answer = fresh.outbox.emitted(fresh.monotonic())[-1]["entry"][0]["changes"][0]["value"]
    assert answer["history"][0]["errors"][0]["code"] == 2593109


def test_every_call_is_in_the_log(fresh: World, ask) -> None:
    ask(CONTACTS)
    ask(CONTACTS)

    assert [(sync["sync_type"], sync["code"]) for sync in fresh.log.summary()["syncs"]] == [
        (CONTACTS, None),
        (CONTACTS, 2593107),
    ]


@pytest.mark.parametrize(
    ("sync_type", "node"),
    [("everything", PHONE_NUMBER_ID), (CONTACTS, WABA_ID), (CONTACTS, SECOND_PHONE_NUMBER_ID)],
)
def test_a_mismatched_request_is_refused(fresh: World, ask, sync_type: str, node: str) -> None:
    assert ask(sync_type, node)["error"]["code"] == 100


def test_it_needs_a_token(fresh: World, ask) -> None:
    assert ask(CONTACTS, token="unknown")["error"]["code"] == 190
    assert fresh.log.syncs == []


def question(path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
    return {"method": method, "relative_url": path, **more}


def test_a_batch_answers_each_question_in_its_order(call: Call, world: World) -> None:
    world.hidden.add(SECOND_PHONE_NUMBER_ID)
    batch = [
        question(f"v26.0/{PHONE_NUMBER_ID}?fields=status"),
        question(f"{SECOND_PHONE_NUMBER_ID}?fields=status"),
        question(f"v26.0/{WABA_ID}/phone_numbers"),
    ]

    answer = call("POST", "/v26.0", json={"batch": batch, "include_headers": False})

    rows = answer.json()
    bodies = [json.loads(row["body"]) for row in rows]
    assert [sorted(row) for row in rows] == [["body", "code"]] * 3
    assert [row["code"] for row in rows] == [200, 400, 200]
    assert bodies[0] == {"id": PHONE_NUMBER_ID, "status": "CONNECTED"}
    assert bodies[1]["error"]["error_subcode"] == 33
    assert [node["id"] for node in bodies[2]["data"]] == [PHONE_NUMBER_ID]


def test_a_question_that_gets_no_answer_in_time_is_null(call: Call, world: World) -> None:
    world.faults.replace([Fault("hang", on="reads", path=f"/{SECOND_PHONE_NUMBER_ID}")])
    batch = [question(PHONE_NUMBER_ID), question(SECOND_PHONE_NUMBER_ID)]

    rows = call("POST", "/", json={"batch": json.dumps(batch)}).json()

    assert (rows[0]["code"], rows[1]) == (200, None)
    assert {"name": "Content-Type", "value": "application/json; charset=UTF-8"} in rows[0][
        "headers"
    ]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ([question(PHONE_NUMBER_ID)] * 51, "Maximum batch size is 50"),
        ([], "must be a JSON array"),
        (None, "must be a JSON array"),
        ([{"relative_url": PHONE_NUMBER_ID}], "needs a method"),
        ([question(PHONE_NUMBER_ID, body="a=b")], "take no body"),
        ([question(f"https://graph.example/{PHONE_NUMBER_ID}")], "must be relative"),
    ],
)
def test_a_malformed_batch_is_refused(call: Call, batch: object, said: str) -> None:
    answer = call("POST", "/v26.0/", json={"batch": batch})

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "GraphBatchException"
    assert said in answer.json()["error"]["message"]


def test_a_batch_needs_the_token_and_each_question_its_proof(call: Call, world: World) -> None:
    proof = hmac.new(APP_SECRET.encode(), DEFAULT_TOKEN.encode(), hashlib.sha256).hexdigest()
    world.patch_settings({"app_secret": APP_SECRET})
    batch = [question(f"{PHONE_NUMBER_ID}?appsecret_proof={proof}"), question(PHONE_NUMBER_ID)]

    refused = call("POST", "/v26.0", json={"batch": batch})
    rows = call("POST", "/v26.0", params={"appsecret_proof": proof}, json={"batch": batch}).json()

    assert refused.json()["error"]["code"] == 100
    assert call("POST", "/v26.0", token=None, json={"batch": batch}).status_code == 401
    assert [row["code"] for row in rows] == [200, 400]


def test_a_world_may_take_no_batches(call: Call, world: World) -> None:
    world.patch_settings({"takes_batches": False})

    answer = call("POST", "/v26.0", json={"batch": [question(PHONE_NUMBER_ID)]})

    assert answer.json()["error"]["code"] == 100


def test_the_list_of_numbers_may_give_less_than_a_number_does(call: Call, world: World) -> None:
    world.patch_settings({"list_refuses": frozenset({"health_status"}), "list_most": 1})
    path, health = f"/v26.0/{WABA_ID}/phone_numbers", {"fields": "health_status"}

    assert "(health_status)" in call("GET", path, params=health).json()["error"]["message"]
    assert call("GET", f"/v26.0/{PHONE_NUMBER_ID}", params=health).status_code == 200
    assert call("GET", path).json()["error"]["code"] == 1
    assert len(call("GET", path, params={"limit": "1"}).json()["data"]) == 1


def test_the_list_of_numbers_may_leave_fields_out_silently(call: Call) -> None:
    call("POST", "/_sandbox/world", json={"settings": {"list_omits": ["health_status"]}})

    fields = {"fields": "status,health_status"}
    [first, *_] = call("GET", f"/v26.0/{WABA_ID}/phone_numbers", params=fields).json()["data"]

    assert first.keys() == {"id", "status"}


def test_the_list_of_numbers_begins_with_the_newest_and_can_be_turned_round(
    call: Call, world: World
) -> None:
    path, pattern = f"/v26.0/{WABA_ID}/phone_numbers", world.nodes[PHONE_NUMBER_ID]
    old = {**pattern.values, "last_onboarded_time": "2019-01-01T00:00:00+0000"}
    world.nodes["77"] = Node(pattern.kind, "77", WABA_ID, old)

    def listed(sort: str | None = None) -> list[str]:
        params = {"fields": "id", **({"sort": sort} if sort else {})}
        return [row["id"] for row in call("GET", path, params=params).json()["data"]]

    newest_first = listed()
    assert newest_first[-1] == "77"
    assert listed("last_onboarded_time_descending") == newest_first
    assert listed("['last_onboarded_time_ascending']") == newest_first[::-1]
    assert listed("last_onboarded_time") == newest_first[::-1]
    assert listed("creation_time_descending")[0] == "77"


@pytest.mark.parametrize("sort", ["last_onboarded_time.asc", "name_ascending", "['"])
def test_a_list_in_another_order_is_refused(call: Call, sort: str) -> None:
    answer = call("GET", f"/v26.0/{WABA_ID}/phone_numbers", params={"sort": sort})

    assert answer.json()["error"]["code"] == 100
    assert answer.json()["error"]["message"].startswith("(#100) Cannot sort by ")


def test_a_cursor_is_valid_for_one_order_of_the_list(call: Call) -> None:
    path = f"/v26.0/{WABA_ID}/phone_numbers"
    cursor = call("GET", path, params={"limit": "1"}).json()["paging"]["cursors"]["after"]

    turned = {"sort": "creation_time_ascending", "after": cursor}
    assert call("GET", path, params=turned).json()["error"]["code"] == 100


def test_the_token_of_a_batch_may_not_reach_its_questions(call: Call) -> None:
    call("POST", "/_sandbox/world", json={"settings": {"batch_passes_token": False}})

    [row] = call("POST", "/v26.0", json={"batch": [question(PHONE_NUMBER_ID)]}).json()

    assert (row["code"], json.loads(row["body"])["error"]["code"]) == (401, 0)


def test_a_fault_may_strike_a_batch_as_a_whole(call: Call, world: World) -> None:
    world.faults.replace([Fault("refuse", on="reads", path="?batch", code=4)])

    answer = call("POST", "/v26.0", json={"batch": [question(PHONE_NUMBER_ID)]})

    assert answer.json()["error"]["code"] == 4
    assert call("GET", f"/v26.0/{PHONE_NUMBER_ID}").status_code == 200


def test_requests_other_than_messages_are_counted(call: Call, send: Call, world: World) -> None:
    send()
    call("GET", f"/v26.0/{PHONE_NUMBER_ID}")
    call("POST", "/v26.0", json={"batch": [question(PHONE_NUMBER_ID)] * 3})

    assert world.log.summary()["reads"] == 2
