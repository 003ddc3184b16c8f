"""What fits no channel is a finding until a channel takes it: then it has its effect there."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from wacoex_cli.events.unplaced import UNPLACED
from wacoex_cli.foundation.clock import SystemClock
from wacoex_cli.foundation.state import State
from wacoex_cli.platforms.events import Event, Kind, Source

WABA, NUMBER_ID, PHONE = "104000000000001", "106000000000001", "+6560000001"
OTHER_PHONE, OTHER_ID = "+6560000099", "106000000000099"
REMOVED = {
    "event": "PARTNER_REMOVED",
    "disconnection_info": {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"},
}


def webhook(field: str, value: dict[str, Any], entry_id: str = WABA) -> str:
    change = {"field": field, "value": value}
    entry = {"id": entry_id, "time": int(time.time()) - 3600, "changes": [change]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def message(phone: str, number_id: str, name: str) -> str:
    metadata = {"display_phone_number": phone[1:], "phone_number_id": number_id}
    said = {"from": "6591234567", "id": name, "type": "text", "text": {"body": "hi"}}
    return webhook("messages", {"metadata": metadata, "messages": [said]})


@pytest.fixture
def shop(run):
    ids = ("--phone-number-id", NUMBER_ID, "--waba-id", WABA)
    assert run("channel", "add", "shop", "--phone", PHONE, *ids).code == 0


@pytest.fixture
def status(run):
    def call(*arguments: str) -> dict[str, Any]:
        data = run("status", "--offline", "--json", *arguments).data
        channels = {found["channel"]: found for found in data["channels"]}
        return {"general": data["findings"], **channels}

    return call


def ids(findings: list[dict[str, Any]]) -> list[str]:
    return [finding["id"] for finding in findings]


@pytest.mark.usefixtures("shop")
def test_events_of_an_unknown_number_are_listed_with_kind_time_number_and_count(run, status):
    lines = [message(OTHER_PHONE, OTHER_ID, f"wamid.{number}") for number in range(3)]
    lines.append(webhook("account_update", {**REMOVED, "phone_number": OTHER_PHONE[1:]}))
    assert run("events", "import", "-", stdin="\n".join(lines)).code == 0

    [finding] = [found for found in status()["general"] if found["id"] == "WX212"]

    assert (finding["severity"], finding["channel"]) == ("warning", None)
    assert finding["title"] == "4 events fit no channel here"
    texts = sorted(fact["text"] for fact in finding["evidence"])
    assert texts == [
        "1 account_update PARTNER_REMOVED: about +65****0099, WABA ****0001",
        "3 message: about +65****0099, phone number id ****0099, WABA ****0001",
    ]
    assert any("wacoex channel add NAME" in step for step in finding["remedy"])
    assert any("wacoex channel edit NAME" in step for step in finding["remedy"])
    assert "WX212" in ids(run("doctor", "--offline", "--json").data["findings"])
    assert OTHER_PHONE[1:] not in json.dumps(finding)


@pytest.mark.usefixtures("shop")
def test_a_channel_that_is_added_takes_what_has_come_and_ends_the_finding(run, status):
    answer = webhook("account_update", {**REMOVED, "phone_number": OTHER_PHONE[1:]})
    run("events", "import", "-", stdin=answer)
    assert ids(status()["general"]) == ["WX212"]
    assert "WX203" not in ids(status()["shop"]["findings"])

    run("channel", "add", "annex", "--phone", OTHER_PHONE, "--waba-id", WABA)

    found = status()
    assert found["general"] == []
    assert "WX203" in ids(found["annex"]["findings"])
    assert found["annex"]["connection"] == "removed"


def test_a_channel_that_gets_its_ids_takes_the_events_that_named_only_them(run, status):
    run("channel", "add", "shop", "--phone", PHONE)
    run("events", "import", "-", stdin=webhook("account_update", {"event": "ACCOUNT_OFFBOARDED"}))
    assert ids(status()["general"]) == ["WX212"]

    run("channel", "edit", "shop", "--waba-id", WABA)

    found = status()
    assert found["general"] == []
    assert found["shop"]["connection"] == "reconnecting"


@pytest.mark.usefixtures("shop")
def test_a_number_of_an_archived_channel_is_known(run, status):
    run("events", "import", "-", stdin=message(OTHER_PHONE, OTHER_ID, "wamid.1"))
    assert ids(status()["general"]) == ["WX212"]

    run("channel", "add", "not-ours", "--phone", OTHER_PHONE)
    run("channel", "archive", "not-ours")

    assert status()["general"] == []


@pytest.mark.parametrize(
    ("phone", "written"),
    [
        ("+5531988888888", "553188888888"),
        ("+5491123456789", "541123456789"),
        ("+525512345678", "5215512345678"),
    ],
)
def test_the_own_number_in_another_spelling_is_known(run, status, phone, written):
    run("channel", "add", "shop", "--phone", phone)
    answer = webhook("account_update", {**REMOVED, "phone_number": written})
    run("events", "import", "-", stdin=answer)

    found = status()
    assert found["general"] == []
    assert "WX203" in ids(found["shop"]["findings"])


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    "reported",
    [
        webhook("account_alerts", {"alert_info": {"alert_severity": "WARNING"}}),
        webhook("calls", {"metadata": {"phone_number_id": NUMBER_ID}, "calls": []}),
        message(PHONE, "106000000000077", "wamid.new-id"),
        json.dumps({"event_type": "contact.created", "contact": {"id": 1}}),
    ],
    ids=["alert", "call", "new id of the number", "new contact"],
)
def test_an_event_of_a_known_channel_or_without_a_number_causes_no_finding(run, status, reported):
    assert run("events", "import", "-", stdin=reported).code == 0

    assert status()["general"] == []


def test_an_event_that_is_given_again_is_not_counted_again(state: State) -> None:
    found = [
        Event(
            f"k{number}", Kind.MESSAGE, Source.META, "2026-11-07T11:00:00.000Z", phone=OTHER_PHONE
        )
        for number in range(3)
    ]
    events = [event._replace(event_id=place) for place, event in enumerate(found, start=1)]
    now = SystemClock().now()
    with state.transaction():
        UNPLACED.project(state, events[:2], now)
        UNPLACED.project(state, events, now)

    [row] = state.rows("SELECT events FROM unplaced_events")
    assert row["events"] == 3
