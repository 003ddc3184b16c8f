"""The pretend Meta takes templates as strictly as Meta, and reviews them as the control says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox import world as pretend
from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.world import World

BODY = {"type": "BODY", "text": "Our doors are open on Saturday."}
NEW = {"name": "open_day", "language": "en_US", "category": "UTILITY", "components": [BODY]}
ACCOUNT = f"v26.0/{pretend.WABA_ID}/message_templates"


@pytest.fixture
def world() -> World:
    return default_world()


@pytest.fixture
def graph(world) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {pretend.DEFAULT_TOKEN}"}
    with running(world) as base_url, httpx.Client(base_url=base_url, headers=headers) as client:
        yield client


def created(graph: httpx.Client, **changes: Any) -> httpx.Response:
    return graph.post(ACCOUNT, json={**NEW, **changes})


def listed(graph: httpx.Client, name: str) -> list[dict[str, Any]]:
    params = {"name": name, "fields": "id,status,category,rejected_reason"}
    rows: list[dict[str, Any]] = graph.get(ACCOUNT, params=params).json()["data"]
    return rows


def test_a_new_template_waits_for_the_review_that_the_control_decides(graph) -> None:
    graph.post("/_sandbox/review", json={"holds": True})
    answer = created(graph).json()
    assert (answer["status"], answer["category"]) == ("PENDING", "UTILITY")
    assert [row["status"] for row in listed(graph, "open_day")] == ["PENDING"]

    verdict = {"status": "REJECTED", "reason": "SCAM", "seconds": 0}
    assert graph.post("/_sandbox/review", json=verdict).json()["waiting"] == 0

    [row] = listed(graph, "open_day")
    assert (row["status"], row["rejected_reason"]) == ("REJECTED", "SCAM")
    assert graph.get("/_sandbox/review").json() == {"writes": [["create", "open_day", "en_US"]]}


@pytest.mark.parametrize(
    ("changes", "subcode"),
    [
        ({"name": "Open Day"}, None),
        ({"category": "ADVERTS"}, None),
        ({"colour": "red"}, None),
        ({"components": []}, None),
        ({"components": [{"type": "BODY", "text": "Hello {{1}}, welcome to us"}]}, 2388043),
        ({"components": [{**BODY, "text": "x" * 1025}]}, 2388040),
        ({"name": "order_ready"}, 2388024),
    ],
)
def test_a_template_that_meta_does_not_take_is_refused(graph, world, changes, subcode) -> None:
    answer = created(graph, **changes)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == 100
    assert answer.json()["error"].get("error_subcode") == subcode
    assert world.review.writes == []


def test_a_hundred_and_first_template_in_an_hour_is_refused(graph, world) -> None:
    world.review.created = [world.now()] * 100
    assert created(graph).json()["error"]["code"] == 80008

    world.review.created = [world.now() - 3_601] * 100
    assert created(graph).status_code == 200


def test_an_approved_template_is_edited_once_a_day_and_keeps_its_category(graph, world) -> None:
    world.review.seconds = 0
    [row] = listed(graph, "opening_hours")[:1]
    edit = {"components": [{"type": "BODY", "text": "We are open from 9 to 18."}]}

    assert graph.post(f"v26.0/{row['id']}", json={"category": "MARKETING"}).status_code == 400
    assert graph.post(f"v26.0/{row['id']}", json=edit).json() == {"success": True}
    again = graph.post(f"v26.0/{row['id']}", json=edit).json()["error"]
    world.travel(86_401)

    assert again["error_user_title"] == "Edit Limit Reached"
    assert graph.post(f"v26.0/{row['id']}", json=edit).status_code == 200


def test_only_name_and_id_together_delete_a_single_language(graph) -> None:
    row = listed(graph, "opening_hours")[0]

    assert graph.delete(ACCOUNT, params={"hsm_id": row["id"]}).status_code == 400
    params = {"hsm_id": row["id"], "name": "opening_hours"}
    assert graph.delete(ACCOUNT, params=params).json() == {"success": True}
    assert len(listed(graph, "opening_hours")) == 1
    assert graph.delete(ACCOUNT, params={"name": "opening_hours"}).json() == {"success": True}
    assert listed(graph, "opening_hours") == []


def test_archiving_names_what_failed(graph) -> None:
    good, paused = listed(graph, "appointment")[0]["id"], listed(graph, "flash_sale")[0]["id"]
    path = f"{pretend.WABA_ID}/message_templates"

    archived = graph.post(f"{path}/archive", json={"hsm_ids": [good, paused]}).json()
    back = graph.post(f"{path}/unarchive", json={"hsm_ids": [good, paused]}).json()

    assert archived == {
        "archived_templates": [good],
        "failed_templates": {paused: "Only approved or rejected templates can be archived"},
    }
    assert back["unarchived_templates"] == [good]
    assert [row["status"] for row in listed(graph, "appointment")] == ["APPROVED"]


UPLOADS = f"v26.0/{pretend.APP_ID}/uploads"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 24
ANNOUNCED = {"file_name": "door.png", "file_length": str(len(PNG)), "file_type": "image/png"}
OAUTH = {"Authorization": f"OAuth {pretend.DEFAULT_TOKEN}", "file_offset": "0"}


def session(graph: httpx.Client) -> str:
    return str(graph.post(UPLOADS, params=ANNOUNCED).json()["id"])


def picture_template(*handles: str) -> list[dict[str, Any]]:
    return [{"type": "HEADER", "format": "IMAGE", "example": {"header_handle": handles}}, BODY]


def test_an_example_is_uploaded_in_two_steps_and_its_handle_used(graph) -> None:
    uploaded = graph.post(f"v26.0/{session(graph)}", headers=OAUTH, content=PNG)

    made = created(graph, components=picture_template(uploaded.json()["h"]))

    assert made.status_code == 200, made.text


@pytest.mark.parametrize(
    "change",
    [{"file_type": "image/webp"}, {"file_length": "0"}, {"file_length": "x"}, {"file_name": ""}],
)
def test_an_impossible_example_is_refused_when_it_is_announced(graph, change) -> None:
    assert graph.post(UPLOADS, params={**ANNOUNCED, **change}).json()["error"]["code"] == 100


@pytest.mark.parametrize(
    ("headers", "content", "code"),
    [
        ({"Authorization": f"Bearer {pretend.DEFAULT_TOKEN}"}, PNG, 0),
        ({"file_offset": "7"}, PNG, 100),
        ({}, PNG[:-1], 100),
        ({}, b"x" * len(PNG), 100),
    ],
)
def test_an_upload_that_is_not_as_announced_gets_no_handle(graph, headers, content, code) -> None:
    answer = graph.post(
        f"v26.0/{session(graph)}", headers={**OAUTH, **headers}, content=content
    ).json()

    assert answer["error"]["code"] == code


def test_an_upload_to_the_app_of_somebody_else_and_a_made_up_handle_are_refused(graph) -> None:
    other = f"v26.0/{pretend.PARTNER_APP_ID}/uploads"
    assert graph.post(other, params=ANNOUNCED).json()["error"]["code"] == 100
    assert created(graph, components=picture_template("4::x")).json()["error"]["code"] == 100
    assert (
        created(graph, components=[{**BODY, "header_example": "a"}]).json()["error"]["code"] == 100
    )
