"""`wacoex events list`: the newest events, and what each kind does and does not do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from wacoex_cli.platforms.events import Kind

FIXTURES = Path(__file__).parent / "fixtures"
NUMBER, NUMBER_ID, WABA = "+6563210000", "106540352242922", "102290129340398"


@pytest.fixture
def wacoex(run, state):
    """Run a command against a state file that holds the events of the named fixtures."""
    env = {"WACOEX_STATE": str(state.path)}

    def call(*arguments, fixtures=(), **more):
        bodies = [json.loads((FIXTURES / f"{name}.json").read_text()) for name in fixtures]
        content = "".join(f"{json.dumps(body)}\n" for body in bodies)
        if content:
            assert run("events", "import", "-", stdin=content, env=env).code == 0
        return run(*arguments, env=env, **more)

    return call


def test_an_empty_log_lists_nothing(wacoex):
    assert wacoex("events", "list", "--json").data == {"events": []}
    assert "wacoex events import" in wacoex("events", "list", tty=True).out


@pytest.mark.parametrize(
    ("kinds", "rules"),
    [
        (("echo",), ["echo"]),
        (("message", "edit"), ["message in", "message out", "edit"]),
        (("quality",), []),
    ],
)
def test_the_rules_of_a_kind_are_shown_also_without_events(wacoex, kinds, rules):
    requests = [word for kind in kinds for word in ("--kind", kind)]

    shown = wacoex("events", "list", *requests, tty=True).out

    assert "there is no such event yet" in shown
    sentences = [
        line for line in shown.splitlines() if re.match(r"(message|echo|edit)[a-z ]*: ", line)
    ]
    assert [line.partition(":")[0] for line in sentences] == rules
    assert wacoex("events", "list", *requests).out == "", "a pipe gets rows only"


def test_the_newest_comes_first_with_what_it_does(wacoex):
    names = ("meta_message_text", "meta_echo_text", "meta_edit", "meta_unsupported_131060")

    found = wacoex("events", "list", "--json", fixtures=names).data["events"]

    times = [entry["at"] for entry in found]
    assert times == sorted(times, reverse=True)
    keys = (
        *("opens_window", "triggers_automation", "starts_conversation"),
        *("creates_contact", "counts_as_mac"),
    )
    assert {entry["kind"]: [entry[key] for key in keys] for entry in found} == {
        "message": [True, True, True, True, True],
        "echo": [False, False, False, True, True],
        "edit": [False, False, False, True, None],
        "unsupported": [None, None, None, None, None],
    }


def test_a_person_reads_each_kind_explained_once(wacoex):
    names = ("meta_echo_text", "meta_echo_image", "meta_edit", "respondio_message_sent_by_api")

    shown = wacoex("events", "list", fixtures=names, tty=True).out

    assert shown.count("sent in the WhatsApp Business app") == 1
    assert "message out" in shown
    assert "-: neither Meta nor respond.io says" in shown


def test_an_event_without_a_person_needs_no_explanation(wacoex):
    shown = wacoex("events", "list", fixtures=("meta_capability", "meta_quality"), tty=True).out

    assert "NEW CONTACT" not in shown


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("calls", {"calls": [{"id": "wacid.1"}]}, "calls"),
        ("standby", {"standby": "?"}, "standby"),
        ("standby", {}, "standby"),
        ("coffee_update", {"event": "REFILLED"}, "coffee_update REFILLED"),
        ("phone_number_name_update", {"decision": "REJECTED"}, "phone_number_name_update REJECTED"),
        (
            "template_category_update",
            {
                "message_template_id": 7,
                "message_template_name": "renewal",
                "previous_category": "UTILITY",
                "new_category": "MARKETING",
            },
            "renewal UTILITY MARKETING",
        ),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": 7}},
            "DISABLED_UPDATE (not understood: ban_info.waba_ban_state)",
        ),
    ],
)
def test_an_event_without_its_own_kind_is_named_by_its_webhook_field(
    wacoex, run, state, field, value, shown
):
    change = {"field": field, "value": value}
    entry = {"id": WABA, "time": 1_790_000_000, "changes": [change]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]})
    run("events", "import", "-", stdin=body, env={"WACOEX_STATE": str(state.path)})

    [row] = wacoex("events", "list").out.splitlines()

    assert row.split("\t")[5] == shown


def test_a_pipe_gets_rows_only(wacoex):
    shown = wacoex("events", "list", fixtures=("meta_echo_text", "meta_account_partner_removed"))

    rows = [line.split("\t") for line in shown.out.splitlines()]
    assert [len(row) for row in rows] == [6, 6]
    assert sorted(row[1] for row in rows) == ["account_update", "echo"]
    assert any("PARTNER_REMOVED PRIMARY_INACTIVITY SYSTEM" in row[5] for row in rows)
    assert any(row[4].startswith("+65") and "*" not in row[4] for row in rows)


def test_kinds_and_time_and_number_narrow_it(wacoex):
    names = [path.stem for path in sorted(FIXTURES.glob("*.json"))]
    everything = wacoex("events", "list", "--limit", "1000", "--json", fixtures=names).data
    times = sorted(event["at"] for event in everything["events"])

    kinds = wacoex("events", "list", "--kind", "echo", "--kind", "edit", "--json").data["events"]
    since = wacoex("events", "list", "--since", times[-5], "--json").data["events"]
    limited = wacoex("events", "list", "--limit", "3", "--json").data["events"]

    assert {entry["kind"] for entry in kinds} == {"echo", "edit"}
    assert all(entry["at"] >= times[-5] for entry in since)
    assert since
    assert limited == everything["events"][:3]
    assert {event["kind"] for event in everything["events"]} == {kind.value for kind in Kind}


def test_a_channel_has_the_events_of_its_number_and_account(wacoex):
    wacoex("channel", "add", "other", "--phone", "+6560000009")
    wacoex("channel", "add", "shop", "--phone", NUMBER, "--waba-id", WABA)
    names = (
        *("meta_message_text", "meta_capability", "meta_account_partner_removed"),
        *("meta_account_offboarded", "meta_account_partner_removed_with_waba_info"),
    )

    found = wacoex("events", "list", "-c", "shop", "--json", fixtures=names).data["events"]
    others = wacoex("events", "list", "-c", "other", "--json").data["events"]
    listed = {entry["kind"]: entry["channel"] for entry in found}

    assert listed["message"] == "shop"
    assert "capability" in listed
    answer = [entry["data"]["event"] for entry in found if entry["kind"] == "account_update"]
    assert sorted(answer) == ["ACCOUNT_OFFBOARDED", "PARTNER_REMOVED", "PARTNER_REMOVED"]
    assert len(found) == 5
    assert others == []


def test_the_channel_is_known_by_the_number_that_meta_reported(wacoex):
    wacoex("channel", "add", "shop", "--phone", NUMBER)

    [found] = wacoex("events", "list", "--json", fixtures=["meta_message_text"]).data["events"]

    assert (found["channel"], found["phone_number_id"]) == ("shop", NUMBER_ID)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "echoes"), "not a kind of event"),
        (("--since", "yesterday"), "is not a time"),
        (("--since", "999999w"), ""),
        (("--limit", "0"), "0"),
        (("--limit", "10001"), "10000"),
    ],
)
def test_an_impossible_filter_is_refused(wacoex, arguments, words):
    done = wacoex("events", "list", *arguments)

    assert done.code == (2 if words else 0)
    assert words in done.err
