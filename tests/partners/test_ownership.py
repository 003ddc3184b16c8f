"""`wacoex partner check` against a pretend Meta and respond.io, well and unwell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import RESPONDIO_CHANNEL_ID, RESPONDIO_WEBCHAT_ID
from wacoex_cli.sandbox.world import (
    APP_ID,
    APP_NAME,
    FOREIGN_WABA_ID,
    PARTNER_APP_ID,
    PHONE,
    PHONE_NUMBER_ID,
    SECOND_PHONE,
    SECOND_PHONE_NUMBER_ID,
    WABA_ID,
    World,
    subscribed_app,
)

Run = Callable[..., Any]
OWN = subscribed_app(APP_ID, APP_NAME)


def ids(outcome: Any) -> list[str]:
    return [finding["id"] for finding in outcome.data["findings"]]


def the_partner(outcome: Any) -> dict[str, Any]:
    [first] = outcome.data["partners"]
    assert isinstance(first, dict)
    return first


def account_update(event: str, *, minutes_ago: float = 120, **more: object) -> str:
    answer = {"event": event, "phone_number": PHONE[1:], **more}
    entry = {"id": WABA_ID, "time": int(time.time() - minutes_ago * 60)}
    change = {"field": "account_update", "value": answer}
    payload = {"object": "whatsapp_business_account", "entry": [{**entry, "changes": [change]}]}
    return json.dumps(payload)


def test_a_healthy_channel_has_its_partner_and_no_finding(run: Run, shop: str) -> None:
    outcome = run("partner", "check", "--json")

    answer = the_partner(outcome)
    assert (outcome.code, ids(outcome)) == (0, [])
    assert (answer["channel"], answer["expected"], answer["seen"]) == (shop, "respond.io", True)
    assert [app["id"] for app in answer["apps"]] == [PARTNER_APP_ID, APP_ID]
    texts = " / ".join(entry["text"] for entry in answer["evidence"])
    for hint in (
        "expected partner",
        "your own app",
        "belongs to",
        "on_behalf_of",
        "shared",
        "MANAGE",
    ):
        assert hint in texts
    assert all(entry["source"] == "meta" and entry["observed_at"] for entry in answer["evidence"])


def test_a_person_reads_the_evidence_and_that_it_does_not_prove_anything(
    run: Run, shop: str
) -> None:
    outcome = run("partner", "check", shop, tty=True)

    assert "respond.io WA BSP" in outcome.out
    assert "signs, not proof" in outcome.out
    assert run("partner", "check").out == "ok\tshop\trespond.io\tyes\t\n"


def test_a_missing_partner_is_critical(run: Run, shop: str, world: World) -> None:
    world.subscribed_apps[WABA_ID] = [OWN, subscribed_app("9", "Rival CRM")]

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome), the_partner(outcome)["seen"]) == (2, ["WX202"], False)
    assert "Rival CRM" in json.dumps(the_partner(outcome)["evidence"])


def test_the_partner_may_be_another_one_by_its_id(run: Run, shop: str, world: World) -> None:
    world.subscribed_apps[WABA_ID] = [OWN, subscribed_app("9", "Rival CRM")]
    assert run("channel", "edit", shop, "--partner-app-id", "9").code == 0

    outcome = run("partner", "check", "--json")

    assert (outcome.code, the_partner(outcome)["expected"]) == (0, "9")


def test_while_whatsapp_reconnects_the_only_advice_is_to_wait(
    run: Run, shop: str, world: World
) -> None:
    world.subscribed_apps[WABA_ID] = [OWN]
    update = account_update("ACCOUNT_OFFBOARDED", minutes_ago=5)
    assert run("events", "import", "-", stdin=update).code == 0

    [found] = run("partner", "check", "--json").data["findings"]

    assert found["id"] == "WX202"
    assert found["remedy"][0].startswith("wait until")
    assert "connect the number again" not in " ".join(found["remedy"])


def test_an_override_to_another_address_is_a_finding(run: Run, shop: str, world: World) -> None:
    world.subscribed_apps[WABA_ID][1]["override_callback_uri"] = "https://other.example/hook"

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX205"])
    home = {"WACOEX_PUBLIC_URL": "https://other.example"}
    assert run("partner", "check", env=home).code == 0


def test_a_deleted_respondio_channel_is_critical(run: Run, shop: str, world: World) -> None:
    world.respondio.set_channels([{"id": RESPONDIO_WEBCHAT_ID, "source": "webchat"}])

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (2, ["WX207"])
    [drift] = the_partner(outcome)["drift"]
    assert (drift["kind"], drift["stored"]) == ("gone", str(RESPONDIO_CHANNEL_ID))


def test_a_channel_that_was_connected_again_is_offered(run: Run, shop: str, world: World) -> None:
    world.respondio.set_channels([{"id": 4300}])

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX207"])
    assert run("channel", "edit", shop, "--respondio-channel-id", "4300").code == 0
    assert run("partner", "check").code == 0


def test_a_number_under_another_id_is_found(run: Run, shop: str, world: World) -> None:
    run("channel", "edit", shop, "--phone-number-id", "106000000000777")

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX207"])
    assert the_partner(outcome)["drift"][0]["use"] == PHONE_NUMBER_ID


def test_a_reported_restriction_is_a_finding_until_it_ends(run: Run, shop: str) -> None:
    ends = int(time.time()) + 3600
    info = [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": ends}]
    update = account_update("ACCOUNT_RESTRICTION", restriction_info=info)
    assert run("events", "import", "-", stdin=update).code == 0

    assert (run("partner", "check").code, ids(run("partner", "check", "--json"))) == (2, ["WX209"])


def heard(person: str, *, days_ago: float = 1) -> str:
    at = int(time.time() - days_ago * 86_400)
    value = {
        "metadata": {"phone_number_id": PHONE_NUMBER_ID},
        "standby": {"messages": [{"from": person, "id": f"wamid.{person}", "timestamp": str(at)}]},
    }
    entry = {"id": WABA_ID, "time": at, "changes": [{"field": "standby", "value": value}]}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]})


def test_messages_that_another_responder_got_lately_are_a_finding(run: Run, shop: str) -> None:
    assert run("events", "import", "-", stdin=heard("6591000009", days_ago=8)).code == 0
    assert (run("partner", "check").code, ids(run("partner", "check", "--json"))) == (0, [])

    assert run("events", "import", "-", stdin=heard("6591000001")).code == 0

    outcome = run("partner", "check", "--json")
    assert (outcome.code, ids(outcome)) == (1, ["WX211"])
    assert "in 7 days: 1 (standby)" in outcome.data["findings"][0]["evidence"][0]["text"]


def test_a_withdrawn_template_is_a_finding(run: Run, shop: str) -> None:
    value = {
        "event": "DISABLED",
        "message_template_id": 40,
        "message_template_name": "promo",
        "message_template_language": "en",
    }
    change = {"field": "message_template_status_update", "value": value}
    entry = {"id": WABA_ID, "time": int(time.time()) - 60, "changes": [change]}
    payload = {"object": "whatsapp_business_account", "entry": [entry]}
    assert run("events", "import", "-", stdin=json.dumps(payload)).code == 0

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (1, ["WX209"])


@pytest.mark.parametrize(
    "kind",
    [
        "html",
        "server_error",
        "empty_object",
        "empty_body",
        "truncated_json",
        "redirect",
        "reset_before",
        "expired_token",
    ],
)
def test_an_uncertain_answer_is_unknown(run: Run, shop: str, world: World, kind: str) -> None:
    world.faults.replace([Fault(kind, on="reads")])

    outcome = run("partner", "check", "--json")

    assert (outcome.code, the_partner(outcome)["seen"]) == (3, None)
    assert set(ids(outcome)) <= {"WX202", "WX207"}
    severities = {finding["severity"] for finding in outcome.data["findings"]}
    assert severities == {"unknown"}
    assert "Traceback" not in outcome.err


def test_an_account_that_meta_hides_is_unknown(run: Run, shop: str) -> None:
    assert run("channel", "edit", shop, "--waba-id", FOREIGN_WABA_ID).code == 0

    outcome = run("partner", "check", "--json")

    assert (outcome.code, ids(outcome)) == (3, ["WX202"])


def test_a_row_without_an_app_is_unknown(run: Run, shop: str, world: World) -> None:
    world.subscribed_apps[WABA_ID] = [{}]

    outcome = run("partner", "check", "--json")

    assert (outcome.code, the_partner(outcome)["seen"]) == (3, None)


def test_a_shop_with_only_a_respondio_token_can_be_green(
    run: Run, shop: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_META_TOKEN")
    assert run("channel", "edit", shop, "--provider", "respondio").code == 0

    outcome = run("partner", "check", "--json")

    answer = the_partner(outcome)
    assert (outcome.code, ids(outcome), answer["seen"]) == (0, [], None)
    assert "meta-token" in answer["reason"]
    assert "not available" in run("partner", "check", tty=True).out


def test_without_the_token_it_needs_a_channel_is_not_checked(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WACOEX_META_TOKEN")

    outcome = run("partner", "check", "--json")

    assert outcome.code == 3
    assert [error["code"] for error in outcome.envelope["errors"]] == ["credentials_missing"]


def test_facts_that_channels_share_are_read_once(run: Run, shop: str, world: World) -> None:
    options = ["--phone-number-id", SECOND_PHONE_NUMBER_ID, "--waba-id", WABA_ID]
    assert run("channel", "add", "second", "--phone", SECOND_PHONE, *options).code == 0

    outcome = run("partner", "check", "--json", "-vv")

    assert [partner["channel"] for partner in outcome.data["partners"]] == ["second", "shop"]
    assert outcome.err.count("/subscribed_apps") == 1
    assert len(run("partner", "check", "second", "--json").data["partners"]) == 1


def test_a_check_that_cannot_begin_ends_with_3(run: Run, shop: str) -> None:
    assert run("partner", "check", "nobody").code == 3
    assert run("partner", "check", "shop", "-c", "other").code == 3
    assert run("channel", "remove", shop, "--yes").code == 0
    assert run("partner", "check").code == 3
