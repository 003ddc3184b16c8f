"""Facts of Meta about number and account before a broadcast: to be corrected first, or gone.

Planned and sent by the command, against the sandbox.
"""

from __future__ import annotations

import pytest

from wacoex_cli.channels.checks import check_sending_facts
from wacoex_cli.channels.model import Provider
from wacoex_cli.findings.model import Severity
from wacoex_cli.sandbox.account import come_back, leave
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import DEFAULT_TOKEN, PHONE_NUMBER_ID, WABA_ID

OPENING_HOURS = ("--template", "opening_hours", "--lang", "en_US")
BLOCKED = {"entities": [{"entity_type": "PHONE_NUMBER", "can_send_message": "BLOCKED"}]}


def ids(outcome):
    return [(found["id"], found["severity"]) for found in outcome.data["findings"]]


@pytest.fixture
def number(world):
    """Change what Meta says about the number."""
    return lambda **values: world.patch_node(world.nodes[PHONE_NUMBER_ID], values)


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ({"name_status": "DECLINED"}, "warning"),
        ({"name_status": "EXPIRED"}, "warning"),
        ({"name_status": "PENDING_REVIEW"}, "info"),
        ({"name_status": "SHINY"}, "unknown"),
        ({"new_name_status": "DECLINED"}, "info"),
        ({"code_verification_status": "EXPIRED"}, "info"),
        ({"account_mode": "SANDBOX"}, "critical"),
    ],
)
def test_a_fact_that_causes_a_refusal_is_a_finding_before_sending(
    shop, cli, number, facts, severity
):
    number(**facts)
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")
    assert ("WX214", severity) in ids(planned)

    sent = cli("broadcast", "send", "--yes")
    assert sent.code == (5 if severity == "critical" else 0)
    assert "WX214" in sent.err or severity == "info"
    assert len(shop.world.log.accepted()) == (0 if severity == "critical" else 2)
    status = cli("status", "--json").data["channels"][0]
    assert ("WX214", severity) in ids(type("Shown", (), {"data": status}))


def test_a_declined_name_refuses_where_health_does_not_say_that_it_can_send(shop, cli, number):
    number(name_status="DECLINED", health_status=BLOCKED)
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")
    assert {("WX214", "critical"), ("WX206", "critical")} <= set(ids(planned))
    refused = cli("broadcast", "send", "--yes")
    assert (refused.code, "nothing was sent: WX" in refused.err) == (5, True)
    sent = cli("broadcast", "send", "--yes", "--overrule", "WX206", "--overrule", "WX214")
    assert sent.code == 0


@pytest.mark.parametrize(
    ("review", "severity"), [("REJECTED", "warning"), ("PENDING", "info"), ("ODD", "unknown")]
)
def test_the_review_of_the_account_is_shown_before_sending(shop, cli, review, severity):
    shop.world.patch_node(shop.world.nodes[WABA_ID], {"account_review_status": review})
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")

    assert ("WX209", severity) in ids(planned)


def test_a_field_that_this_access_is_not_given_spoils_nothing(shop, cli):
    """Of the facts that are only judged; those that sending needs are demanded."""
    del shop.world.nodes[PHONE_NUMBER_ID].values["name_status"]
    kind = shop.world.nodes[PHONE_NUMBER_ID].kind
    fewer = type(kind)(kind.name, kind.fields - {"account_mode"}, kind.default_fields)
    object.__setattr__(shop.world.nodes[PHONE_NUMBER_ID], "kind", fewer)
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")

    assert planned.code == 0, planned.err
    assert "WX214" not in planned.out


def test_good_and_missing_values_cause_no_finding():
    good = {"name_status": "APPROVED", "account_mode": "LIVE", "status": "CONNECTED"}
    more = {"code_verification_status": "VERIFIED", "new_name_status": "NONE"}
    assert check_sending_facts({**good, **more}, "shop", "now") == []
    assert check_sending_facts({}, "shop", "now") == []
    assert check_sending_facts({"name_status": "AVAILABLE_WITHOUT_REVIEW"}, "shop", "now") == []


@pytest.mark.parametrize("word", ["EXPIRED", "NOT_VERIFIED", "UNVERIFIED"])
def test_a_verification_that_ended_says_little_about_a_connected_number(word):
    facts = {"code_verification_status": word, "is_on_biz_app": True}
    [found] = check_sending_facts({**facts, "status": "CONNECTED"}, "shop", "now")
    assert found.severity is Severity.INFO
    [found] = check_sending_facts({**facts, "status": "DISCONNECTED"}, "shop", "now")
    assert found.severity is Severity.WARNING


def test_the_worst_fact_gives_the_finding_its_text(number):
    facts = {"name_status": "PENDING_REVIEW", "account_mode": "SANDBOX", "status": "CONNECTED"}
    [found] = check_sending_facts(facts, "shop", "now")
    assert (found.severity, found.title) == (
        Severity.CRITICAL,
        "the number is in sandbox mode, not live",
    )
    assert [it.text for it in found.evidence] == [
        "account_mode is SANDBOX",
        "name_status is PENDING_REVIEW",
    ]


@pytest.mark.parametrize("takes_account", [False, True], ids=["number", "number and account"])
def test_a_number_that_is_gone_refuses_the_sending(shop, cli, takes_account):
    assert cli("broadcast", "plan", shop.people(2), *OPENING_HOURS).code == 0
    leave(shop.world)
    if takes_account:
        shop.world.hidden.add(WABA_ID)

    refused = cli("broadcast", "send", "--yes")
    assert refused.code == 5
    assert "nothing was sent: WX215 the number was visible and is gone" in refused.err
    assert shop.world.log.arrivals == []
    # The plan saw the number, the sending saw it gone: who asks nobody knows it too.
    assert cli("reminder", "check").code == 2
    come_back(shop.world)
    shop.world.hidden.clear()
    assert cli("broadcast", "send", "--yes").code == 0


def test_a_plan_for_a_number_that_is_gone_shows_it(shop, cli):
    cli("status")
    leave(shop.world)

    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")
    assert ("WX215", "critical") in ids(planned)


def test_a_token_that_may_not_ask_about_itself_is_valid_when_it_sees_the_account(shop, cli):
    assert cli("broadcast", "plan", shop.people(2), *OPENING_HOURS).code == 0
    leave(shop.world)
    shop.faults(Fault("refuse", on="all", path="debug_token", code=200))

    assert "nothing was sent: WX215" in cli("broadcast", "send", "--yes").err


def test_a_number_that_was_never_shown_is_an_error_of_its_own(shop, cli):
    cli("broadcast", "plan", shop.people(2), *OPENING_HOURS)
    with shop.state.transaction():
        shop.state.execute("DELETE FROM facts")
    leave(shop.world)

    refused = cli("broadcast", "send", "--yes")
    assert refused.code == 4
    assert "WX215" not in refused.err


def test_a_refused_token_is_an_error_of_its_own(shop, cli):
    cli("broadcast", "plan", shop.people(2), *OPENING_HOURS)
    leave(shop.world)
    shop.world.patch_token(DEFAULT_TOKEN, {"revoked": True})

    refused = cli("broadcast", "send", "--yes")
    assert (refused.code, "WX215" in refused.err) == (4, False)


def test_code_100_with_subcode_33_keeps_its_meaning_in_a_report(shop, cli):
    broadcast = shop.planned(3)
    shop.faults(Fault("refuse", code=100, subcode=33, count=1))
    shop.send(broadcast)

    assert shop.current(broadcast).status.value == "paused"
    meaning = "the object does not exist, or this token may not see it"
    [entry] = cli("broadcast", "report", broadcast.broadcast_id, "--json").data["codes"]
    assert (entry["code"], entry["n"], entry["meaning"]) == (100, 1, meaning)
    shown = cli("broadcast", "show", broadcast.broadcast_id)
    assert f"code 100 (1 retry): {meaning}" in shown.out
    assert "Check the id, the token's permissions" in shown.out


def test_code_100_alone_keeps_its_own_meaning_beside_it(shop, cli):
    broadcast = shop.planned(2)
    shop.faults(Fault("refuse", code=100, count=1))
    shop.send(broadcast)

    [entry] = cli("broadcast", "show", broadcast.broadcast_id, "--json").data["codes"]
    assert (entry["code"], entry["state"]) == (100, "rejected")
    assert "the object does not exist" not in cli("broadcast", "show", "--json").out


@pytest.mark.parametrize(
    ("code", "subcode", "said"),
    [
        (190, 463, "of a system user and without an end"),
        (190, 458, "onnect the app again"),
        (100, 33, "the partner's access to the WABA"),
    ],
)
def test_a_refusal_that_stops_names_the_remedy_of_its_subcode(shop, cli, code, subcode, said):
    shop.planned(2)
    shop.faults(Fault("refuse", code=code, subcode=subcode))

    stopped = cli("broadcast", "send", "--yes")
    assert stopped.code == 4
    assert said in stopped.err


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_a_number_that_is_gone_refuses_through_respondio_too(shop, cli, provider):
    shop.befriend(2)
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS)
    assert planned.code == 0, planned.err
    leave(shop.world)

    refused = cli("broadcast", "send", "--yes")
    assert refused.code == 5
    assert "nothing was sent: WX215" in refused.err
    assert "WX709" not in refused.err
