"""A template changes after the plan: what that means for people decides, and it is said."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from wacoex_cli.broadcast.preflight import keep_reading, reread
from wacoex_cli.channels.model import Provider
from wacoex_cli.events.store import EventLog
from wacoex_cli.ledger.model import Status
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import read_payload
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.templates.model import Template

ANA, BEN = "+6591234567", "+6591234568"
BODY = {"type": "BODY", "text": "Hi {{1}}, your plan ends on Friday."}
BUTTONS = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Call me"}]}
UNREADABLE = {"kind": "refuse", "on": "reads", "code": 200, "path": "message_templates"}
FINE = ("--yes", "--overrule", "WX104")


@pytest.fixture
def control(shop):
    """Steer the pretend Meta by HTTP: `control("template", name="renewal", ...)`."""

    def post(control, /, **values):
        answer = httpx.post(f"{shop.base_url}/_sandbox/{control}", json=values)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return post


@pytest.fixture
def renewal(shop, control, cli):
    """A planned broadcast to Ana and Ben; Ben wants no marketing."""
    control(
        "template", name="renewal", language="en", category="UTILITY", components=[BODY, BUTTONS]
    )
    assert cli("optout", "add", BEN, "--scope", "marketing").code == 0

    def plan(*rows, template="renewal", **more):
        people = shop.file("people.csv", rows or [(ANA, "Ana"), (BEN, "Ben")], ("phone", "name"))
        planned = cli(
            *("broadcast", "plan", people, "--template", template, "--lang", "en"),
            *("--param", "1=name", "--json"),
        )
        assert planned.code == 0, planned.out
        return planned.data["broadcast_id"]

    return plan


def reported(shop, field="template_category_update", at=None, **value):
    """What Meta reports about the template reaches the log, as `events listen` stores it."""
    moment = at or shop.clock.now()
    named = {"message_template_name": "renewal", "message_template_language": "en"}
    change = {"field": field, "value": {**named, **value}}
    entry = {"id": WABA_ID, "time": int(moment.timestamp()) + 1, "changes": [change]}
    raw = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    payload = read_payload(Source.META, raw, key=b"k" * 32, received_at=shop.clock.now())
    with shop.state.transaction():
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())
    return raw


def reached(shop):
    return sorted(str(arrival.recipient) for arrival in shop.world.log.accepted())


def states(cli, number):
    shown = cli("broadcast", "report", number, "--json").data
    return shown["counts"], [row["decision"] for row in shown["decisions"]]


def test_a_template_that_became_marketing_reaches_nobody_who_wants_no_marketing(
    shop, control, cli, renewal, tmp_path
):
    number = renewal()
    control("template", name="renewal", language="en", category="MARKETING")
    archive = tmp_path / "archive.json"
    archive.write_bytes(reported(shop, previous_category="UTILITY", new_category="MARKETING"))
    assert cli("events", "import", archive).code == 0

    sent = cli("broadcast", "send", number, *FINE)

    assert sent.code == 0, sent.err
    assert reached(shop) == [ANA]
    counts, decisions = states(cli, number)
    assert (counts["accepted"], counts["skipped"]) == (1, 1)
    assert "category: UTILITY -> MARKETING" in decisions
    for said in ("category UTILITY -> MARKETING", "1 of the planned people are left out now"):
        assert said in " ".join(sent.err.split())


def test_the_change_and_the_counts_are_shown_before_the_question(shop, control, cli, renewal):
    number = renewal()
    control("template", name="renewal", language="en", category="MARKETING")

    requests = cli("broadcast", "send", number, "--overrule", "WX104", tty=True, stdin="n\n")

    said = " ".join((requests.out + requests.err).split())
    assert said.index("category UTILITY -> MARKETING") < said.index("to 1 person")
    assert reached(shop) == []
    # Nothing was changed: Ben is still planned, and who takes him off the list writes to him.
    assert states(cli, number)[0]["pending"] == 2


@pytest.mark.parametrize("source", ["only the API", "only an event"])
def test_either_source_alone_is_enough(shop, control, cli, renewal, source):
    number = renewal()
    if source == "only the API":
        control("template", name="renewal", language="en", category="MARKETING", tells=False)
    else:
        reported(shop, previous_category="UTILITY", new_category="MARKETING")
        control("faults", faults=[UNREADABLE])

    cli("broadcast", "send", number, *FINE)

    assert reached(shop) == [ANA]


def test_expected_people_are_counted_now(shop, control, cli, renewal):
    number = renewal()
    control("template", name="renewal", language="en", category="MARKETING")

    refused = cli("broadcast", "send", number, *FINE, "--expect", "2")
    sent = cli("broadcast", "send", number, *FINE, "--expect", "1")

    assert (refused.code, sent.code) == (5, 0)
    assert "it is for 1 person, not 2" in refused.err


def test_skipped_people_stay_skipped_when_the_template_became_utility(shop, control, cli, renewal):
    control("template", name="renewal", language="en", category="MARKETING")
    number = renewal()
    control("template", name="renewal", language="en", category="UTILITY")

    sent = cli("broadcast", "send", number, *FINE)

    assert reached(shop) == [ANA]
    said = " ".join(sent.err.split())
    assert "category MARKETING -> UTILITY" in said
    assert "1 person skipped as before: opted_out when it was MARKETING" in said


def test_a_template_that_became_a_one_time_password_is_not_sent(shop, control, cli, renewal):
    number = renewal()
    control("template", name="renewal", language="en", category="AUTHENTICATION")

    refused = cli("broadcast", "send", number, *FINE)

    assert (refused.code, reached(shop)) == (5, [])
    assert "WX509" in refused.err


def test_another_text_in_a_quick_reply_button_is_not_sent(shop, control, cli, renewal):
    number = renewal()
    other = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Buy now"}]}
    control("template", name="renewal", language="en", components=[BODY, other])

    refused = cli("broadcast", "send", number, *FINE, "--json")

    [error] = refused.envelope["errors"]
    assert (refused.code, error["code"], reached(shop)) == (5, "preflight", [])
    assert '"QUICK_REPLY Call me" -> "QUICK_REPLY Buy now"' in error["message"]
    assert "broadcast plan" in error["hint"]
    assert cli("broadcast", "send", number, *FINE, "--overrule", "WX509").code == 0


def test_a_template_that_is_no_longer_approved_is_not_sent(shop, control, cli, renewal):
    number = renewal()
    control("template", name="renewal", language="en", status="PAUSED")

    refused = cli("broadcast", "send", number, *FINE)

    assert (refused.code, reached(shop)) == (5, [])
    assert "APPROVED -> PAUSED" in refused.err


def test_a_language_that_was_removed_is_not_sent(shop, control, cli, renewal):
    number = renewal()
    control("template", name="renewal", language="de", components=[BODY])
    control("template", name="renewal", language="en", deleted=True)

    refused = cli("broadcast", "send", number, *FINE)

    assert (refused.code, reached(shop)) == (5, [])
    assert "does not exist in language `en`" in refused.err


def test_us_numbers_are_warned_about_when_it_became_marketing(shop, control, cli, renewal):
    number = renewal((ANA, "Ana"), ("+12125550123", "Bo"))
    control("template", name="renewal", language="en", category="MARKETING")

    sent = cli("broadcast", "send", number, *FINE, "--overrule", "WX506")

    assert "1 recipient with a US number" in " ".join(sent.err.split())


def test_a_limit_that_was_lowered_refuses(shop, control, cli, renewal):
    number = renewal()
    limit = {"whatsapp_business_manager_messaging_limit": "TIER_50"}
    rows = [(shop.phone(row), "P") for row in range(1, 61)]
    number = renewal(*rows)
    control("world", phone_numbers={PHONE_NUMBER_ID: limit})

    refused = cli("broadcast", "send", number, *FINE)

    assert (refused.code, reached(shop)) == (5, [])
    assert "WX502" in refused.err


def test_a_stop_since_the_plan_is_shown_before_the_question(shop, cli, renewal):
    number = renewal((ANA, "Ana"), ("+6591234569", "Cy"))
    cli("optout", "add", "+6591234569")

    sent = cli("broadcast", "send", number, *FINE)

    assert reached(shop) == [ANA]
    assert "1 of the planned people will not get it: opted_out" in " ".join(sent.err.split())


def test_a_template_that_cannot_be_read_is_uncertain_with_the_day_of_its_last_read(
    shop, control, cli, renewal
):
    number = renewal()
    control("faults", faults=[UNREADABLE])

    sent = cli("broadcast", "send", number, *FINE)

    said = " ".join(sent.err.split())
    assert "unknown WX509" in said
    assert "UTILITY, status APPROVED and its text are known from then" in said
    assert reached(shop) == [ANA, BEN]


def test_an_edit_that_meta_reported_stops_a_template_that_cannot_be_read(
    shop, control, cli, renewal
):
    number = renewal()
    reported(shop, "message_template_components_update", message_template_element="Buy now")
    control("faults", faults=[UNREADABLE])

    refused = cli("broadcast", "send", number, *FINE)

    assert (refused.code, reached(shop)) == (5, [])
    assert "was edited" in refused.err


def test_a_new_category_during_the_sending_skips_people_who_want_no_marketing(
    shop, eventually, cli
):
    people = [(shop.phone(row), "P") for row in range(1, 301)]
    last = people[-1][0]
    cli("optout", "add", last, "--scope", "marketing")
    broadcast = shop.planned(shop.file("many.csv", people, ("phone", "name")))

    async def becomes_marketing():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        reported(
            shop,
            message_template_name="opening_hours",
            message_template_language="en-US",
            previous_category="UTILITY",
            new_category="MARKETING",
        )

    shop.send(broadcast, during=becomes_marketing, rate=60.0)

    assert shop.counts(broadcast) == {"accepted": 299, "skipped": 1}
    assert last not in reached(shop)


def test_an_edit_during_the_sending_pauses_the_broadcast(shop, eventually):
    broadcast = shop.planned(300)

    async def is_edited():
        await eventually(lambda: len(shop.world.log.accepted()) >= 5)
        named = {"message_template_name": "opening_hours", "message_template_language": "en_US"}
        reported(shop, "message_template_components_update", **named)

    sent = shop.send(broadcast, during=is_edited, rate=60.0)

    assert shop.current(broadcast).status == "paused"
    assert "was edited" in str(sent.broadcast.reason)


def test_an_old_event_from_an_archive_changes_nothing(shop, cli, renewal):
    number = renewal()
    before = shop.clock.now() - timedelta(days=300)
    reported(shop, at=before, previous_category="UTILITY", new_category="MARKETING")

    cli("broadcast", "send", number, *FINE)

    assert reached(shop) == [ANA, BEN]


def test_a_coming_change_to_marketing_is_shown_and_the_template_is_sent(shop, cli, renewal):
    number = renewal()
    reported(shop, new_category="UTILITY", correct_category="MARKETING")

    sent = cli("broadcast", "send", number, *FINE)

    assert "Meta is about to make the template MARKETING" in " ".join(sent.err.split())
    assert reached(shop) == [ANA, BEN]


def test_a_resume_after_two_days_uses_the_current_category(shop, control, cli, renewal):
    number = renewal()
    cli("broadcast", "send", number, *FINE, "--canary", "1", "--canary-wait", "1s")
    shown = cli("broadcast", "show", number, "--json").data
    assert shown["status"] == "paused"
    control("template", name="renewal", language="en", category="MARKETING")

    cli("broadcast", "resume", number, *FINE, "--canary", "0")

    assert reached(shop) == [ANA]
    assert states(cli, number)[0]["skipped"] == 1


def test_a_retry_of_failed_rows_uses_the_current_category(shop, control, cli, renewal):
    number = renewal()
    control("faults", faults=[{"kind": "refuse", "code": 131026}])
    cli("broadcast", "send", number, *FINE)
    control("faults", faults=[])
    control("template", name="renewal", language="en", category="MARKETING")

    cli("broadcast", "send", number, *FINE, "--retry-failed", "all")

    assert reached(shop) == [ANA]


OPENING = {"message_template_name": "opening_hours", "message_template_language": "en_US"}


def planned_template(broadcast):
    return Template.from_json(json.loads(broadcast.template))


def test_the_template_is_read_again_while_rows_wait_for_hours(shop, eventually):
    broadcast = shop.planned(2)
    with shop.state.transaction():
        Broadcasts(shop.state).set_status(broadcast.broadcast_id, Status.SENDING)
    found = {"template": replace(planned_template(broadcast), category="MARKETING")}

    async def read():
        return found["template"]

    def category():
        return planned_template(shop.current(broadcast)).category

    def after_a_while(condition):
        def check():
            shop.clock.leap(20)
            return condition()

        return check

    async def wait():
        number, clock = broadcast.broadcast_id, shop.clock
        looking = asyncio.create_task(
            keep_reading(shop.state, number, read, Provider.META, (), clock)
        )
        await eventually(after_a_while(lambda: category() == "MARKETING"))
        assert shop.current(broadcast).status == "sending"
        found["template"] = replace(found["template"], status="PAUSED")
        await eventually(after_a_while(lambda: shop.current(broadcast).status == "paused"))
        looking.cancel()

    asyncio.run(wait())
    assert "APPROVED -> PAUSED" in str(shop.current(broadcast).reason)


@pytest.mark.parametrize(("now", "category"), [("MARKETING", "MARKETING"), ("UTILITY", "UTILITY")])
def test_a_copy_of_metas_list_never_overrules_what_meta_reported(shop, now, category):
    broadcast = shop.planned(2)
    reported(shop, **OPENING, previous_category="UTILITY", new_category=now)
    copy = planned_template(broadcast)

    found = reread(shop.state, broadcast, copy, Provider.RESPONDIO, shop.clock.now())

    assert found.category == category
    assert "wacoex read the template in a copy of Meta's list" in [f.title for f in found.findings]


def test_an_edit_that_a_copy_does_not_show_yet_is_critical(shop):
    broadcast = shop.planned(2)
    reported(shop, "message_template_components_update", **OPENING)
    copy = planned_template(broadcast)

    found = reread(shop.state, broadcast, copy, Provider.RESPONDIO, shop.clock.now())

    assert ("WX509", "critical") in [(f.id, f.severity.value) for f in found.findings]
