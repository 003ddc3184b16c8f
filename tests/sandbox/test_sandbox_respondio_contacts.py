"""Making and changing contacts in the pretend respond.io, and its copy of the templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, RESPONDIO_WEBCHAT_ID
from wacoex_cli.sandbox.world import World

Call = Callable[..., httpx.Response]

ANA = "phone:+6591000001"
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


def test_a_contact_of_an_address_is_found_whatever_its_case(ask: Call) -> None:
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
def test_what_makes_no_contact_is_refused(ask: Call, identifier: str, fields: object) -> None:
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

    assert [one.status_code for one in answers] == [200] * 5 + [429]
    assert ask("POST", f"contact/{CARA}", json={"firstName": "Cara"}).status_code == 200


def test_the_templates_are_those_of_meta_in_the_words_of_respondio(ask: Call, call: Call) -> None:
    items = ask("GET", TEMPLATES, params={"limit": "100"}).json()["items"]

    assert {one["status"] for one in items} == {"approved", "paused", "rejected"}
    assert {one["channelId"] for one in items} == {str(RESPONDIO_CHANNEL_ID)}
    [appointment] = [one for one in items if one["name"] == "appointment"]
    assert (appointment["languageCode"], appointment["category"]) == ("en_US", "utility")
    header, body, footer, buttons = json.loads(appointment["components"])
    assert (header["type"], header["format"]) == ("header", "text")
    assert (body["type"], body["text"]) == ("body", "Hello {{1}}, we expect you.")
    assert footer == {"type": "footer", "text": "Corner Bakery"}
    assert buttons["buttons"][0]["type"] == "url"


def test_the_templates_come_in_pages(ask: Call) -> None:
    first = ask("GET", TEMPLATES, params={"limit": "5"}).json()
    cursor = httpx.URL(first["pagination"]["next"]).params["cursorId"]
    second = ask("GET", TEMPLATES, params={"limit": "5", "cursorId": cursor}).json()

    assert (len(first["items"]), len(second["items"])) == (5, 4)


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
