"""Reading numbers, accounts and templates from the pretend Graph API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.graph import overall_health, parse_fields
from wacoex_cli.sandbox.serve import application
from wacoex_cli.sandbox.world import (
    DEFAULT_TOKEN,
    PARTNER_APP_ID,
    PHONE_NUMBER,
    PHONE_NUMBER_ID,
    SECOND_PHONE_NUMBER_ID,
    TEMPLATE,
    WABA,
    WABA_ID,
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


def test_an_account_tells_its_owner_in_the_subfields_asked_for(call: Call) -> None:
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
def test_what_the_sandbox_does_not_do_is_refused(call: Call, method: str, path: str) -> None:
    error = call(method, path).json()["error"]

    assert (error["code"], error["error_subcode"]) == (100, 33)
