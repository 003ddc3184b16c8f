"""What is checked before a broadcast leaves: when it is planned, sent and resumed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from wacoex_cli.channels.model import AccountEvent
from wacoex_cli.channels.store import AccountEvents
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID

BLOCKED = {
    "can_send_message": "BLOCKED",
    "entities": [
        {
            "entity_type": "BUSINESS",
            "can_send_message": "BLOCKED",
            "errors": [
                {
                    "error_code": 141006,
                    "error_description": "There is an issue with the payment method.",
                    "possible_solution": "Add a payment method in WhatsApp Manager.",
                }
            ],
        }
    ],
}
CRITICAL: dict[str, dict[str, object]] = {
    "WX201": {"is_on_biz_app": False},
    "WX206": {"health_status": BLOCKED},
}

OPENING_HOURS = ("--template", "opening_hours", "--lang", "en_US")


@pytest.fixture
def number(world):
    """Change what Meta says about the number."""
    return lambda **values: world.patch_node(world.nodes[PHONE_NUMBER_ID], values)


@pytest.fixture
def template(world):
    """Change what Meta says about the template."""
    node = world.template(WABA_ID, "opening_hours", "en_US")
    return lambda **values: world.patch_node(node, values)


def ids(planned):
    return [(finding.id, finding.severity.value) for finding in planned.findings]


def decisions(state):
    return [row["decision"] for row in state.rows("SELECT decision FROM decisions")]


@pytest.mark.parametrize("finding", sorted(CRITICAL))
def test_a_critical_finding_is_shown_by_the_plan_and_refuses_the_sending(
    shop, cli, number, finding
):
    number(**CRITICAL[finding])
    assert ids(shop.plan(2)) == [(finding, "critical")]

    refused = cli("broadcast", "send", "--yes")
    assert refused.code == 5
    assert f"nothing was sent: {finding}" in refused.err
    assert f"--overrule {finding}" in refused.err
    assert shop.world.log.arrivals == []


@pytest.mark.parametrize("finding", sorted(CRITICAL))
def test_who_overrules_it_by_name_sends_and_that_is_recorded(shop, cli, number, finding):
    number(**CRITICAL[finding])
    broadcast = shop.planned(2)
    sent = cli("broadcast", "send", "--yes", "--overrule", finding)

    assert sent.code == 0
    assert shop.counts(broadcast) == {"accepted": 2}
    assert decisions(shop.state) == [f"overruled {finding}"]


def onboarded(days: float) -> str:
    return f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%dT%H:%M:%S+0000}"


def happened(state, event, reason=None):
    at = to_text(datetime.now(UTC) - timedelta(hours=3))
    told = AccountEvent(event, event, at, phone=PHONE, reason=reason)
    with state.transaction():
        AccountEvents(state).add([told])


@pytest.mark.parametrize(
    ("days", "said"), [(10.5, "warning WX101"), (20, "unknown WX104"), (5, "")]
)
def test_an_app_that_stays_closed_is_shown_when_sending(shop, cli, number, days, said):
    number(last_onboarded_time=onboarded(days))
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")
    sent = cli("broadcast", "send", "--yes")

    assert [one["id"] for one in planned.data["findings"]] == [said[-5:]] * bool(said)
    assert sent.code == 0
    assert said in sent.err


def test_an_app_that_must_be_opened_now_refuses_the_sending(shop, cli, number):
    number(last_onboarded_time=onboarded(12.5))
    cli("broadcast", "plan", shop.people(2), *OPENING_HOURS)
    refused = cli("broadcast", "send", "--yes")

    assert refused.code == 5
    assert "nothing was sent: WX102 the app must be opened now" in refused.err
    assert "hint: open the WhatsApp Business app on the primary phone" in refused.err
    assert shop.world.log.arrivals == []
    assert cli("reminder", "confirm", "shop").code == 0
    assert cli("broadcast", "send", "--yes").code == 0


def test_who_overrules_the_countdown_by_name_sends_and_that_is_recorded(shop, cli, number):
    number(last_onboarded_time=onboarded(13.5))
    cli("broadcast", "plan", shop.people(2), *OPENING_HOURS)
    sent = cli("broadcast", "send", "--yes", "--overrule", "WX102")

    assert sent.code == 0
    assert decisions(shop.state) == ["overruled WX102"]


@pytest.mark.parametrize(
    ("event", "finding"), [("PARTNER_REMOVED", "WX203"), ("ACCOUNT_OFFBOARDED", "WX204")]
)
def test_a_lost_connection_refuses_the_sending(shop, cli, number, event, finding):
    number(is_on_biz_app=False)
    happened(shop.state, event)
    shop.plan(2)
    refused = cli("broadcast", "send", "--yes", "--json")

    [error] = refused.envelope["errors"]
    assert (refused.code, shop.world.log.arrivals) == (5, [])
    found = {one["id"]: one for one in error["details"]["findings"]}
    assert sorted(found) == ["WX201", finding]
    assert found["WX201"]["remedy"] == [f"first do what {finding} says"]


def test_metas_own_words_for_the_solution_are_the_hint(shop, cli, number):
    number(**CRITICAL["WX206"])
    shop.plan(1)

    assert "hint: Add a payment method in WhatsApp Manager" in cli("broadcast", "send", "-y").err


def test_each_critical_finding_has_to_be_overruled(shop, cli, number):
    number(**CRITICAL["WX201"], **CRITICAL["WX206"])
    shop.plan(1)
    refused = cli("broadcast", "send", "--yes", "--overrule", "WX201", "--json")

    assert refused.code == 5
    [error] = refused.envelope["errors"]
    assert error["code"] == "preflight"
    assert [one["id"] for one in error["details"]["findings"]] == ["WX206"]
    assert decisions(shop.state) == [], "what led to nothing is not recorded"


@pytest.mark.parametrize(
    ("values", "finding"),
    [
        ({"quality_rating": "RED"}, "WX501"),
        ({"quality_rating": "YELLOW"}, "WX501"),
        ({"health_status": {"entities": [{"can_send_message": "LIMITED"}]}}, "WX206"),
    ],
)
def test_a_warning_is_shown_and_does_not_stop_anybody(shop, cli, number, values, finding):
    number(**values)
    assert ids(shop.plan(1)) == [(finding, "warning")]

    sent = cli("broadcast", "send", "--yes")
    assert sent.code == 0
    assert f"warning {finding}" in sent.err


def test_a_list_larger_than_the_messaging_limit_is_critical(shop, cli, number):
    number(whatsapp_business_manager_messaging_limit="TIER_50")
    assert ids(shop.plan(50)) == []
    planned = shop.plan(51)

    assert ids(planned) == [("WX502", "critical")]
    assert "room for at most 50" in planned.findings[0].evidence[-1].text
    assert cli("broadcast", "send", 2, "--yes").code == 5


def test_what_was_sent_within_24_hours_counts_against_the_messaging_limit(shop, number):
    number(whatsapp_business_manager_messaging_limit="TIER_50")
    shop.send(shop.planned(40))
    planned = shop.plan(11)
    assert ids(planned) == [("WX502", "critical")]
    assert "at most 10" in planned.findings[0].evidence[-1].text

    shop.clock.leap(timedelta(hours=24, seconds=1).total_seconds())
    assert ids(shop.plan(11)) == []


def test_a_limit_whose_name_nobody_knows_is_no_limit_made_up(shop, number):
    number(whatsapp_business_manager_messaging_limit="TIER_OF_NEXT_YEAR")
    assert ids(shop.plan(60)) == []


def test_marketing_to_numbers_of_the_united_states_is_a_warning(shop):
    people = [("+12025550142", "Ana"), (shop.phone(1), "Ben")]
    file = shop.file("abroad.csv", people, ("phone", "first_name"))

    planned = shop.plan(file, template="spring_sale")
    assert ids(planned) == [("WX506", "warning")]
    assert "1 recipients have a +1 number" in planned.findings[0].evidence[0].text
    assert ids(shop.plan(file)) == [], "a utility template is delivered"


def test_a_template_paused_after_planning_refuses_the_sending(shop, cli, template):
    shop.plan(1)
    template(status="PAUSED")
    refused = cli("broadcast", "send", "--yes")

    assert refused.code == 5
    assert "WX504" in refused.err
    assert "opening_hours` (en_US) is PAUSED" in refused.err
    assert shop.world.log.arrivals == []


def test_a_template_whose_text_changed_after_planning_refuses_the_sending(shop, cli, template):
    shop.plan(1)
    template(components=[{"type": "BODY", "text": "We are closed."}])
    refused = cli("broadcast", "send", "--yes")

    assert refused.code == 5
    assert "changed after planning" in refused.err
    assert cli("broadcast", "send", "--yes", "--overrule", "WX504").code == 0


def test_resume_checks_again(shop, cli, number):
    shop.faults(Fault("refuse", code=131042, count=1))
    broadcast = shop.planned(5)
    shop.send(broadcast)
    number(is_on_biz_app=False)
    refused = cli("broadcast", "resume", 1, "--yes")

    assert refused.code == 5
    assert "WX201" in refused.err
    assert shop.current(broadcast).status.value == "paused"


def test_a_token_that_meta_does_not_take_ends_the_plan_with_the_status_of_credentials(shop, cli):
    shop.faults(Fault("expired_token", on="reads"))
    options = ("--template", "opening_hours", "--lang", "en_US")
    outcome = cli("broadcast", "plan", shop.people(1), *options)

    assert outcome.code == 4
    assert "code 190" in outcome.err
    assert shop.state.rows("SELECT * FROM broadcasts") == []
