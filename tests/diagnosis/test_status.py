"""`wacoex status` against a pretend Meta, well and unwell."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.state_files import make_newer
from wacoex_cli.channels.facts import ChannelFacts
from wacoex_cli.channels.look import AT_ONCE, CALLS_PER_HOUR, Look
from wacoex_cli.channels.model import Channel, Fact
from wacoex_cli.foundation.clock import SystemClock, to_text
from wacoex_cli.foundation.http import Http
from wacoex_cli.foundation.workspace import Workspace, open_workspace
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import APP_ID, DEFAULT_TOKEN, PHONE, PHONE_NUMBER_ID, WABA_ID, World

Run = Callable[..., Any]


def the_channel(outcome: Any) -> dict[str, Any]:
    [channel] = outcome.data["channels"]
    assert isinstance(channel, dict)
    return channel


def ids(outcome: Any) -> list[str]:
    return [finding["id"] for finding in the_channel(outcome)["findings"]]


def days_ago(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S+0000}"


def test_a_healthy_channel_is_ok(run: Run, shop: str) -> None:
    outcome = run("status", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, outcome.envelope["status"]) == (0, "ok")
    assert (channel["channel"], channel["verdict"]) == (shop, "ok")
    assert (channel["connection"], channel["is_on_biz_app"]) == ("connected", True)
    assert (channel["platform_type"], channel["throughput_level"]) == ("CLOUD_API", "STANDARD")
    assert (channel["quality_rating"], channel["messaging_limit"]) == ("GREEN", "TIER_2K")
    assert channel["health"]["can_send_message"] == "AVAILABLE"
    assert [entity["entity_type"] for entity in channel["health"]["entities"]][:2] == [
        "PHONE_NUMBER",
        "WABA",
    ]
    assert channel["partner"] == {"expected": "respond.io", "seen": True}
    names = {fact["name"] for fact in channel["facts"]}
    assert {"status", "waba.currency", "token.scopes"} <= names
    assert "certificate" not in names


def test_the_onboarding_dates_the_countdown(run: Run, shop: str, world: World) -> None:
    opened = datetime.fromisoformat(world.nodes[PHONE_NUMBER_ID].values["last_onboarded_time"])

    channel = the_channel(run("status", "--json"))

    answer = channel["inactivity"]
    assert (answer["stage"], answer["source"], answer["grade"]) == ("ok", "meta", "proof")
    assert datetime.fromisoformat(answer["last_opened_at"]) == opened
    assert datetime.fromisoformat(answer["act_by_at"]) == opened + timedelta(days=13)
    assert datetime.fromisoformat(answer["deadline_at"]) == opened + timedelta(days=14)
    assert 10.9 <= answer["days_left"] <= 11.0
    fact = next(fact for fact in channel["facts"] if fact["name"] == "last_opened_at")
    assert (fact["value"], fact["source"]) == (answer["last_opened_at"], "meta")


def test_an_onboarding_that_is_read_too_late_says_nothing_about_now(
    run: Run, shop: str, world: World
) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"last_onboarded_time": days_ago(15)})

    outcome = run("status", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, channel["verdict"], ids(outcome)) == (3, "unknown", ["WX104"])
    assert channel["inactivity"] == {
        "stage": "unknown",
        "last_opened_at": None,
        "source": None,
        "evidence": None,
        "grade": "none",
        "act_by_at": None,
        "deadline_at": None,
        "days_left": None,
    }
    fact = next(fact for fact in channel["facts"] if fact["name"] == "last_opened_at")
    assert fact["value"] == "not_available"


@pytest.mark.parametrize(
    ("days", "code", "finding"),
    [(9.9, 0, None), (10.1, 1, "WX101"), (12.1, 2, "WX102"), (13.9, 2, "WX102")],
)
def test_the_countdown_counts_in_the_verdict(
    run: Run, shop: str, world: World, days: float, code: int, finding: str | None
) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"last_onboarded_time": days_ago(days)})

    outcome = run("status", "--json")

    assert (outcome.code, ids(outcome)) == (code, [finding] if finding else [])


def test_an_onboarding_read_once_dates_the_countdown_from_then_on(
    run: Run, shop: str, world: World
) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"last_onboarded_time": days_ago(11)})
    assert run("status").code == 1
    world.nodes[PHONE_NUMBER_ID].patch({"last_onboarded_time": None})

    outcome = run("status", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX101"])
    assert run("reminder", "check").code == 1


def account_update(event: str, **more: object) -> str:
    answer = {"event": event, "phone_number": PHONE[1:], **more}
    entry = {"id": WABA_ID, "time": int(time.time()) - 7200}
    change = {"field": "account_update", "value": answer}
    payload = {"object": "whatsapp_business_account", "entry": [{**entry, "changes": [change]}]}
    return json.dumps(payload)


def test_a_removed_partner_is_critical_with_reason_and_what_to_do(run: Run, shop: str) -> None:
    info = {"reason": "PRIMARY_INACTIVITY", "initiated_by": "SYSTEM"}
    removal = account_update("PARTNER_REMOVED", disconnection_info=info)
    assert run("events", "import", "-", stdin=removal).code == 0

    outcome = run("status", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, ids(outcome)) == (2, ["WX203"])
    assert (channel["connection"], channel["connection_reason"]) == (
        "removed",
        "PRIMARY_INACTIVITY",
    )


def test_while_whatsapp_may_reconnect_status_advises_to_wait(
    run: Run, shop: str, world: World
) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"is_on_biz_app": False})
    assert run("events", "import", "-", stdin=account_update("ACCOUNT_OFFBOARDED")).code == 0

    outcome = run("status", "--json")

    found = {finding["id"]: finding for finding in the_channel(outcome)["findings"]}
    assert sorted(found) == ["WX201", "WX204"]
    assert found["WX201"]["remedy"] == ["first do what WX204 says"]


@pytest.mark.parametrize(
    ("changes", "code", "verdict", "finding"),
    [
        ({"is_on_biz_app": False}, 2, "critical", "WX201"),
        ({"quality_rating": "YELLOW"}, 1, "warning", "WX501"),
        ({"status": "BANNED"}, 2, "critical", "WX206"),
        ({"platform_type": "ORBIT"}, 3, "unknown", "WX201"),
        ({"status": "DREAMING"}, 3, "unknown", "WX206"),
        ({"quality_rating": "PURPLE"}, 3, "unknown", "WX501"),
        ({"health_status": {"entities": [{"can_send_message": "MAYBE"}]}}, 3, "unknown", "WX206"),
        ({"whatsapp_business_manager_messaging_limit": "TIER_1"}, 3, "unknown", "WX502"),
    ],
)
def test_the_answer_of_meta_decides_the_exit_status(
    run: Run,
    shop: str,
    world: World,
    changes: dict[str, Any],
    code: int,
    verdict: str,
    finding: str,
) -> None:
    world.nodes[PHONE_NUMBER_ID].patch(changes)

    outcome = run("status", "--json")

    assert (outcome.code, the_channel(outcome)["verdict"], ids(outcome)) == (
        code,
        verdict,
        [finding],
    )


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired_token", "expired"),
        ("html", "unusable answer: HTTP 200"),
        ("server_error", "unusable answer: HTTP 500"),
        ("empty_object", "unusable answer: it holds no id"),
        ("empty_body", "unusable answer"),
        ("truncated_json", "unusable answer"),
        ("redirect", "redirects to"),
        ("reset_before", "the connection broke"),
        ("hang", "no answer within 0.3 seconds"),
    ],
)
def test_a_failure_to_check_is_unknown_with_its_reason(
    run: Run, shop: str, world: World, configure: Callable[[str], None], kind: str, reason: str
) -> None:
    limit = 0.3 if kind == "hang" else 8
    configure(f"status_seconds_per_channel = {limit}\n")
    world.faults.replace([Fault(kind, on="reads")])

    outcome = run("status", "--json")
    answer = run("status", env={"COLUMNS": "80"})

    assert (outcome.code, the_channel(outcome)["verdict"]) == (3, "unknown")
    assert any(reason in failure["message"] for failure in the_channel(outcome)["failures"])
    assert any(reason in error["message"] for error in outcome.envelope["errors"])
    assert answer.code == 3
    assert "error: cannot check `shop`" in answer.err
    assert "Traceback" not in answer.err


def test_a_server_that_is_not_there_is_unknown(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = run("status", "--json", env={"WACOEX_META_BASE_URL": "http://127.0.0.1:9"})

    assert outcome.code == 3
    assert "the connection cannot be made" in outcome.envelope["errors"][0]["message"]


def test_an_expired_token_is_unknown_and_named(run: Run, shop: str, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"expires_at": 1_700_000_000})

    outcome = run("status", "--json")

    assert (outcome.code, the_channel(outcome)["verdict"], ids(outcome)) == (
        3,
        "unknown",
        ["WX104", "WX701"],
    )


def test_a_token_without_the_right_to_send_is_a_warning(run: Run, shop: str, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"scopes": frozenset({"whatsapp_business_management"})})

    outcome = run("status", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX701"])


def test_a_missing_token_is_unknown_where_meta_is_the_provider(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_META_TOKEN")

    outcome = run("status", "--json")

    assert (outcome.code, ids(outcome)) == (3, ["WX104", "WX701"])


def test_a_shop_with_only_respondio_can_be_green(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_META_TOKEN")
    run("channel", "add", "shop", "--phone", "+6560000001", "--provider", "respondio")
    assert run("status").code == 3
    run("reminder", "confirm", "shop")

    outcome = run("status", "--json")

    channel = the_channel(outcome)
    assert (outcome.code, channel["verdict"], channel["is_on_biz_app"]) == (0, "ok", None)
    assert {fact["value"] for fact in channel["facts"] if fact["name"] != "last_opened_at"} == {
        "not_available"
    }
    assert {fact["reason"] for fact in channel["facts"] if fact["name"] == "status"} == {
        "there is no meta-token for channel `shop`"
    }
    assert run("status", "--offline").code == 0


def test_an_account_the_token_may_not_see_is_not_available(run: Run, world: World) -> None:
    options = ["--phone-number-id", PHONE_NUMBER_ID, "--waba-id", "104000000000009"]
    run("channel", "add", "shop", "--phone", "+6560000001", *options)

    outcome = run("status", "--json")

    facts = {fact["name"]: fact["value"] for fact in the_channel(outcome)["facts"]}
    assert (outcome.code, facts["waba.currency"], facts["status"]) == (
        0,
        "not_available",
        "CONNECTED",
    )


def test_offline_shows_what_is_stored_with_its_age(run: Run, shop: str, world: World) -> None:
    assert run("status", "--offline", "--json").code == 3
    assert run("status").code == 0
    world.faults.replace([Fault("server_error", on="all")])

    outcome = run("status", "--offline", "--json")

    channel = the_channel(outcome)
    status = next(fact for fact in channel["facts"] if fact["name"] == "status")
    assert (outcome.code, channel["verdict"]) == (0, "ok")
    assert (status["value"], status["source"]) == ("CONNECTED", "meta")
    assert status["observed_at"].endswith("Z")
    assert status["age_seconds"] >= 0


def test_facts_survive_a_meta_that_fails(run: Run, shop: str, world: World) -> None:
    run("status")
    world.faults.replace([Fault("html", on="reads")])

    channel = the_channel(run("status", "--json"))

    assert (channel["verdict"], channel["is_on_biz_app"]) == ("unknown", True)


def test_a_throttled_reading_counts_on_what_was_read_within_the_hour(
    run: Run, shop: str, world: World
) -> None:
    world.faults.replace([Fault("refuse", on="reads", code=80008)])
    assert run("status").code == 3
    world.faults.replace([])
    run("status")
    world.faults.replace([Fault("refuse", on="reads", code=80008)])

    outcome = run("status", "--json")

    assert (outcome.code, the_channel(outcome)["verdict"]) == (0, "ok")


def test_worst_comes_first_and_one_may_be_named(run: Run, shop: str, world: World) -> None:
    options = ["--phone-number-id", "106000000000002", "--waba-id", WABA_ID]
    run("channel", "add", "zoo", "--phone", "+6560000002", *options)

    everything = run("status", "--json")
    first, other = run("status", "shop", "--json"), run("status", "--channel", "shop", "--json")

    assert [each["channel"] for each in everything.data["channels"]] == ["zoo", "shop"]
    assert (everything.code, first.code, other.code) == (2, 0, 0)
    assert the_channel(first)["channel"] == the_channel(other)["channel"] == "shop"


@pytest.mark.parametrize("arguments", [["nobody"], ["--bogus"], ["shop", "--channel", "zoo"]])
def test_every_failure_of_the_check_is_three(run: Run, shop: str, arguments: list[str]) -> None:
    assert run("status", *arguments).code == 3


def test_without_a_channel_there_is_nothing_to_check(run: Run) -> None:
    outcome = run("status")

    assert outcome.code == 3
    assert "wacoex channel add NAME" in outcome.err


def test_a_pipe_gets_one_row_for_each_channel(run: Run, shop: str) -> None:
    [row] = run("status").out.splitlines()

    *cells, deadline, quality, findings = row.split("\t")
    assert cells == ["ok", "shop", "+6560000001", "connected"]
    assert (deadline[-1], quality, findings) == ("Z", "GREEN", "")


def test_a_channel_is_shown_in_twelve_lines_words_before_numbers(
    run: Run, shop: str, world: World
) -> None:
    assert run("channel", "edit", "shop", "--timezone", "Asia/Singapore").code == 0
    world.nodes[PHONE_NUMBER_ID].patch({"quality_rating": "RED"})

    lines = run("status", tty=True, env={"COLUMNS": "80"}).out.splitlines()

    assert len(lines) <= 12
    assert max(map(len, lines)) <= 80
    said = dict(line.split(maxsplit=1) for line in lines[1:6])
    assert lines[0] == "shop, +6560000001"
    assert said["verdict"] == "warning"
    assert said["connection"] == "connected"
    assert re.fullmatch(r"act by \w{3} \d+ \w{3} \d\d:\d\d \(in 9 days\)", said["deadline"])
    assert said["quality"] == "red"
    assert said["limit"] == "2,000 people in 24 hours"
    assert any(line.startswith("warning WX501: the quality rating is red") for line in lines)
    assert lines[-1] == "`-v` shows the facts; what to do: `wacoex doctor shop`"


def test_the_facts_of_a_channel_are_shown_with_v(run: Run, shop: str, world: World) -> None:
    world.nodes[PHONE_NUMBER_ID].patch({"quality_rating": "RED"})

    outcome = run("status", "-v", tty=True, env={"COLUMNS": "80"})

    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("is_on_biz_app" in line and "meta" in line for line in lines)
    assert any("last_opened_at" in line and "3 days ago" in line for line in lines)
    assert "warning WX501: the quality rating is red" in lines
    assert any("wacoex explain WX501" in line for line in lines)


def test_a_missing_app_secret_is_only_information(run: Run, shop: str) -> None:
    outcome = run("status", "--json")

    assert [(finding["id"], finding["channel"]) for finding in outcome.data["findings"]] == [
        ("WX702", None)
    ]
    assert outcome.code == 0


def test_an_old_graph_version_is_a_warning(run: Run, shop: str) -> None:
    outcome = run("status", "--json", env={"WACOEX_META_API_VERSION": "v20.0"})

    assert outcome.code == 1
    assert "WX703" in [finding["id"] for finding in outcome.data["findings"]]


def test_an_env_file_with_a_token_that_others_may_read_is_a_warning(run: Run, shop: str) -> None:
    Path(".env").write_text(f"WACOEX_META_TOKEN={DEFAULT_TOKEN}\n")
    Path(".env").chmod(0o644)

    outcome = run("status", "--json")

    exposed = next(finding for finding in outcome.data["findings"] if finding["id"] == "WX704")
    assert outcome.code == 1
    assert ".env holds a secret and has the mode 0644" in exposed["evidence"][0]["text"]
    assert DEFAULT_TOKEN not in outcome.out + outcome.err


def test_a_newer_state_file_is_a_finding_not_a_crash(
    run: Run, shop: str, isolated_home: Path
) -> None:
    make_newer(isolated_home / ".local/state/wacoex/wacoex.db")

    outcome = run("status", "--json")

    assert (outcome.code, outcome.data["channels"]) == (3, [])
    assert [finding["id"] for finding in outcome.data["findings"]] == ["WX708"]


def test_no_output_holds_the_token(run: Run, shop: str, world: World) -> None:
    world.patch_token(DEFAULT_TOKEN, {"revoked": True})

    for options in (["--json"], ["-vv"], ["--debug"]):
        outcome = run("status", *options)
        assert DEFAULT_TOKEN not in outcome.out + outcome.err


def test_the_messaging_limit_of_a_fresh_number_is_not_used_up(run: Run, shop: str) -> None:
    assert "WX502" not in json.dumps(run("status", "--json").data)


def tell_the_state_file(run: Run) -> None:
    """Something for the state file to tell: a Windows companion, and a confirmation of long ago."""
    at = (datetime.now(UTC) - timedelta(days=11)).isoformat()
    assert run("reminder", "confirm", "shop", "--at", at, "--by", "Ann").code == 0
    assert run("device", "add", "desktop-windows", "--channel", "shop").code == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("html", on="reads"),
        Fault("server_error", on="reads"),
        Fault("empty_body", on="reads"),
        Fault("empty_object", on="reads"),
        Fault("reset_before", on="reads"),
        Fault("expired_token", on="reads"),
        Fault("refuse", on="reads", code=1),
        Fault("refuse", on="reads", code=424242),
    ],
    ids=lambda fault: f"{fault.kind} {fault.code or ''}".strip(),
)
def test_findings_of_the_state_file_are_shown_after_any_answer_of_meta(
    run: Run, shop: str, world: World, fault: Fault
) -> None:
    tell_the_state_file(run)
    world.faults.replace([fault])

    outcome = run("status", "--json")
    answer = run("status", tty=True)

    channel = the_channel(outcome)
    assert (outcome.code, answer.code, channel["verdict"]) == (3, 3, "unknown")
    assert channel["failures"]
    assert {"WX101", "WX301"} <= set(ids(outcome))
    assert "Traceback" not in outcome.err + answer.err


def test_an_empty_object_for_every_field_is_unknown_and_breaks_nothing(
    run: Run, shop: str, world: World
) -> None:
    assert run("device", "add", "desktop-windows", "--channel", "shop").code == 0
    for node_id in (PHONE_NUMBER_ID, WABA_ID):
        values = world.nodes[node_id].values
        world.nodes[node_id].patch({name: {} for name in values if name != "id"})
    world.subscribed_apps[WABA_ID] = [{}]

    outcome = run("status", "--json")
    answer = run("status", tty=True)

    assert (outcome.code, answer.code) == (3, 3)
    assert the_channel(outcome)["verdict"] == "unknown"
    assert "WX301" in ids(outcome)
    assert "Traceback" not in outcome.err + answer.err


def test_a_partner_that_is_gone_is_seen_and_remembered(run: Run, shop: str, world: World) -> None:
    apps = world.subscribed_apps[WABA_ID]
    apps[:] = [app for app in apps if app["whatsapp_business_api_data"]["id"] == APP_ID]

    for options in ([], ["--offline"]):
        outcome = run("status", "--json", *options)

        channel = the_channel(outcome)
        assert channel["partner"] == {"expected": "respond.io", "seen": False}
        assert (outcome.code, ids(outcome)) == (2, ["WX202"])


def test_another_partner_may_be_expected(run: Run, shop: str) -> None:
    run("channel", "edit", "shop", "--partner-app-id", APP_ID)

    assert the_channel(run("status", "--json"))["partner"] == {"expected": APP_ID, "seen": True}


def test_apps_that_the_token_may_not_see_leave_the_partner_open(
    run: Run, shop: str, world: World
) -> None:
    world.faults.replace([Fault("refuse", on="reads", path="/subscribed_apps", code=10)])

    outcome = run("status", "--json")

    assert (outcome.code, the_channel(outcome)["partner"]["seen"]) == (0, None)


def test_a_meta_app_that_is_not_attached_is_a_finding(run: Run, shop: str, world: World) -> None:
    apps = world.subscribed_apps[WABA_ID]
    apps[:] = [app for app in apps if app["whatsapp_business_api_data"]["id"] != APP_ID]

    outcome = run("status", "--json")

    assert (outcome.code, ids(outcome)) == (2, ["WX210"])


def test_open_work_of_broadcasts_is_shown(run: Run, shop: str, isolated_home: Path) -> None:
    assert run("status").code == 0
    db = sqlite3.connect(isolated_home / ".local/state/wacoex/wacoex.db")
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.000Z}"
    with db:
        db.execute(
            "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
            " parameter_sources, recipients_file, api_base_url, rate, planned_at, started_at)"
            " VALUES (4, 1, 'completed', '{}', '[]', '-', 'http://127.0.0.1', 20, ?, ?)",
            [now, now],
        )
        db.execute(
            "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state,"
            " answered_at) VALUES (4, 1, 2, '+6591000001', '[]', 'ambiguous', ?)",
            [now],
        )
    db.close()

    outcome = run("status", "--json", "--offline")

    [finding] = the_channel(outcome)["findings"]
    assert (outcome.code, finding["id"], finding["severity"]) == (1, "WX505", "warning")
    assert "`wacoex broadcast reconcile 4`" in finding["remedy"][0]


NOW = datetime(2026, 11, 7, 12, 0, tzinfo=UTC)


class SlowMeta(httpx.AsyncBaseTransport):
    """Answers each read after a moment and counts how many were open at once."""

    def __init__(self) -> None:
        self.open = self.most = self.queried = 0
        self.of_token = self.of_account = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.queried += 1
        self.of_token += "debug_token" in request.url.path
        self.of_account += request.url.path.endswith("/900")
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0.005)
        self.open -= 1
        data: object = [] if request.url.path.endswith("/subscribed_apps") else {}
        if request.url.path.endswith("/phone_numbers"):
            # No list, so that each number is read by itself.
            return httpx.Response(400, json={"error": {"code": 10, "message": "no"}})
        if request.method == "POST":
            return httpx.Response(400, json={"error": {"code": 100, "message": "no batches"}})
        return httpx.Response(200, json={"id": "1", "status": "CONNECTED", "data": data})


@pytest.fixture
def meta() -> SlowMeta:
    return SlowMeta()


@pytest.fixture
def workspace(meta: SlowMeta) -> Iterator[Workspace]:
    with open_workspace(
        environ={"WACOEX_META_TOKEN": "token-0123456789", "WACOEX_KEYRING": "off"},
        warn=print,
        log=lambda text: None,
        announce=lambda settings: None,
    ) as opened:
        opened.http = Http(SystemClock(), log=lambda text: None, transport=meta)
        yield opened


def channels(count: int) -> list[Channel]:
    return [
        Channel(
            phone=f"+65800{number:05}",
            phone_number_id=str(1000 + number),
            waba_id="900",
            channel_id=number,
            name=f"shop-{number}",
        )
        for number in range(count)
    ]


def test_two_hundred_channels_are_read_side_by_side_with_a_bound(
    workspace: Workspace, meta: SlowMeta
) -> None:
    look = Look(workspace, NOW, {})
    found = [ChannelFacts(channel, NOW) for channel in channels(200)]

    workspace.run(look.read(found))

    assert all(entry.is_known and not entry.failures for entry in found)
    # Token, account and its apps are asked about once, for all of them.
    assert meta.most == AT_ONCE
    assert (meta.of_token, meta.of_account) == (1, 1)
    assert 203 <= meta.queried <= 220


def test_beyond_half_of_the_hourly_limit_what_is_stored_counts(
    workspace: Workspace, meta: SlowMeta
) -> None:
    found = [ChannelFacts(channel, NOW) for channel in channels(2)]
    found[0].facts = {"status": Fact("status", "CONNECTED", "meta", to_text(NOW))}
    look = Look(workspace, NOW, {"900": CALLS_PER_HOUR})

    workspace.run(look.read(found))

    # The second channel was never read, so Meta is asked about it anyway.
    assert found[0].is_known
    assert found[0].read == []
    assert found[1].read
    assert look.calls == {"900": 4}


def test_a_hanging_server_hangs_no_status(
    run: Callable[..., Any],
    world: World,
    add_numbers: Callable[[int], None],
    configure: Callable[[str], None],
) -> None:
    add_numbers(AT_ONCE + 2)
    configure("status_seconds_per_channel = 1.2\nstatus_seconds = 2\n")
    world.faults.replace([Fault("hang", on="reads")])

    outcome = run("status", "--json")

    reasons = {channel["failures"][0]["message"] for channel in outcome.data["channels"]}
    assert outcome.code == 3
    assert [channel["verdict"] for channel in outcome.data["channels"]] == ["unknown"] * (
        AT_ONCE + 2
    )
    assert reasons == {"no answer within 1.2 seconds"}


def test_one_channel_that_fails_spoils_no_other(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(3)
    # A number is read by itself only where the list of the account lacks something.
    world.patch_settings({"list_refuses": frozenset({"health_status"})})
    world.faults.replace([Fault("html", on="reads", path="/106000000001001")])

    outcome = run("status", "--json")

    verdicts = {channel["channel"]: channel["verdict"] for channel in outcome.data["channels"]}
    assert outcome.code == 3
    assert verdicts == {"shop-0": "ok", "shop-1": "unknown", "shop-2": "ok"}
    assert outcome.envelope["errors"][0]["details"] == {"channels": ["shop-1"]}


def test_a_board_of_many_channels_fits_one_screen_of_100_columns(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(40)
    long = "a-shop-with-a-name-that-would-fill-the-whole-line-of-a-terminal"
    options = ["--phone-number-id", "106000000009999", "--waba-id", WABA_ID]
    run("channel", "add", long, "--phone", "+6580099999", *options)
    run("device", "add", "desktop-windows", "--channel", long)
    for number in (3, 5):
        world.nodes[str(106000000001000 + number)].patch({"quality_rating": "RED"})

    outcome = run("status", tty=True)

    lines = outcome.out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = [line.split()[:2] for line in lines[1:4]]
    assert rows[0][0] == "unknown"
    assert rows[0][1].startswith("a-shop-with-a-name-th")
    assert rows[0][1].endswith("...")
    assert rows[1:] == [["warning", "shop-3"], ["warning", "shop-5"]]
    assert len(lines) <= 60
    assert any(line.startswith("warning WX501 (shop-3 and shop-5): ") for line in lines)


def test_a_pipe_gets_a_row_for_each_of_many_channels(
    run: Callable[..., Any], world: World, add_numbers: Callable[[int], None]
) -> None:
    add_numbers(30)

    rows = run("status").out.splitlines()

    assert len(rows) == 30
    assert all(len(row.split("\t")) == 7 for row in rows)
