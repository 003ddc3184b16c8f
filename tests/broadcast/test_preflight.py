"""What is checked before a broadcast leaves: when it is planned, sent and resumed.

What a plan says it will take: time on each way, the portfolio's limit, new MACs.
Findings about limits and about people who may not be written to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from wacoex_cli.broadcast.checks import (
    Incident,
    Trouble,
    check_doubtful,
    check_limit_used_up,
    check_messaging_limit,
    check_refused_people,
    check_throttled,
    check_trouble,
    check_us_marketing,
    troubles,
)
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import AccountEvent, Details, Provider
from wacoex_cli.channels.store import AccountEvents
from wacoex_cli.events.store import EventLog
from wacoex_cli.findings.model import Severity
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.ledger.model import RepeatPolicy
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
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
def test_a_finding_overruled_by_name_lets_it_send_and_is_recorded(shop, cli, number, finding):
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
    answer = AccountEvent(event, event, at, phone=PHONE, reason=reason)
    with state.transaction():
        AccountEvents(state).add([answer])


@pytest.mark.parametrize(
    ("days", "said"), [(10.5, "warning WX101"), (20, "unknown WX104"), (5, "")]
)
def test_an_app_that_stays_closed_is_shown_when_sending(shop, cli, number, days, said):
    number(last_onboarded_time=onboarded(days))
    planned = cli("broadcast", "plan", shop.people(2), *OPENING_HOURS, "--json")
    sent = cli("broadcast", "send", "--yes")

    assert [finding["id"] for finding in planned.data["findings"]] == [said[-5:]] * bool(said)
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


def test_a_countdown_overruled_by_name_lets_it_send_and_is_recorded(shop, cli, number):
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
    found = {entry["id"]: entry for entry in error["details"]["findings"]}
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
    assert [finding["id"] for finding in error["details"]["findings"]] == ["WX206"]
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


def test_messages_within_24_hours_count_against_the_messaging_limit(shop, number):
    number(whatsapp_business_manager_messaging_limit="TIER_50")
    shop.send(shop.planned(40))
    others = shop.file("others.csv", [(shop.phone(n),) for n in range(41, 52)])
    planned = shop.plan(others)
    assert ids(planned) == [("WX502", "critical")]
    assert "at most 10" in planned.findings[0].evidence[-1].text

    shop.clock.leap(timedelta(hours=24, seconds=1).total_seconds())
    assert ids(shop.plan(others)) == []


def test_an_unknown_name_of_a_limit_gives_no_invented_limit(shop, number):
    number(whatsapp_business_manager_messaging_limit="TIER_OF_NEXT_YEAR")
    assert ids(shop.plan(60)) == []


def test_marketing_to_numbers_of_the_united_states_is_a_warning(shop):
    people = [("+12025550142", "Ana"), (shop.phone(1), "Ben")]
    file = shop.file("abroad.csv", people, ("phone", "first_name"))

    planned = shop.plan(file, template="spring_sale")
    assert ids(planned) == [("WX506", "warning")]
    assert "1 recipient with a US number" in planned.findings[0].evidence[0].text
    assert ids(shop.plan(file)) == [], "a utility template is delivered"


def test_canada_and_the_caribbean_have_the_same_calling_code_and_get_marketing(shop):
    people = [
        ("+14165550123", "Toronto"),
        ("+18765550123", "Kingston"),
        ("+18095550123", "Santo Domingo"),
        ("+18685550123", "Port of Spain"),
    ]
    file = shop.file("abroad.csv", people, ("phone", "first_name"))

    assert ids(shop.plan(file, template="spring_sale")) == []


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
    assert '-> "We are closed."' in refused.err
    assert cli("broadcast", "send", "--yes", "--overrule", "WX509").code == 0


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


OPTIONS = ("--template", "opening_hours", "--lang", "en_US")
ANOTHER_NUMBER = "99"


@pytest.fixture
def silence(shop):
    """Nobody has written yet to the pretend respond.io."""
    for contact in shop.world.respondio.contacts.values():
        contact.messages.clear()


@pytest.fixture
def estimate(shop, cli):
    """The estimate of a plan for this many people."""

    def plan(people, *options):
        file = shop.people(people)
        return cli("broadcast", "plan", file, *OPTIONS, *options, "--json").data["estimate"]

    return plan


@pytest.fixture
def respondio(shop):
    """respond.io's API, for a channel that sends through Meta."""
    shop.environ["WACOEX_RESPONDIO_BASE_URL"] = shop.respondio_url
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN
    return shop.world.respondio


def active(shop, phone, kind=Kind.MESSAGE, number=PHONE_NUMBER_ID, days_ago=0):
    """A message or an echo has come in."""
    at = shop.clock.now() - timedelta(days=days_ago)
    key = f"meta:{kind}:{phone}"
    first = Event(
        key=key, kind=kind, source=Source.META, at=to_text(at), phone_number_id=number,
        contact=phone, message_id=phone,
    )  # fmt: skip
    with shop.state.transaction():
        EventLog(shop.state).store([Payload(Source.META, key, 1, "{}", (first,))], Via.LISTEN, at)


def wrote(shop, row, days_ago=0):
    """A contact at respond.io whose message came this many days ago."""
    shop.befriend(row)
    contact = shop.world.respondio.find(f"phone:{shop.phone(row)}")
    at = (shop.clock.now() - timedelta(days=days_ago)).timestamp()
    shop.world.respondio.add_message(contact, {"type": "text", "text": "hi"}, at=at)


def limit_is(shop, tier):
    shop.world.nodes[PHONE_NUMBER_ID].values["whatsapp_business_manager_messaging_limit"] = tier


@pytest.mark.usefixtures("silence")
def test_a_person_active_this_month_is_not_a_new_mac(shop, estimate):
    active(shop, shop.phone(1))
    active(shop, shop.phone(2), Kind.ECHO)
    active(shop, shop.phone(3), days_ago=40)
    active(shop, shop.phone(4), number=ANOTHER_NUMBER)
    answer = estimate(5)

    assert answer["new_macs"] == 3
    assert answer["new_macs_basis"] == {
        "active_by_events": 2,
        "asked_at_respondio": 0,
        "active_by_respondio": 0,
        "not_known": 3,
    }


@pytest.mark.usefixtures("silence")
def test_one_person_under_two_spellings_of_the_number_is_one_mac(shop):
    active(shop, "+5215512345678")
    planned = shop.plan(shop.file("one.csv", [("+525512345678",), (shop.phone(1),)]))

    assert planned.estimate["new_macs"] == 1


@pytest.mark.usefixtures("silence")
def test_the_others_are_looked_up_at_respond_io_where_there_is_a_token(shop, estimate, respondio):
    active(shop, shop.phone(1))
    wrote(shop, 2)
    wrote(shop, 3, days_ago=40)
    answer = estimate(4)

    assert answer["new_macs"] == 2
    assert answer["new_macs_basis"] == {
        "active_by_events": 1,
        "asked_at_respondio": 3,
        "active_by_respondio": 1,
        "not_known": 0,
    }


@pytest.mark.usefixtures("silence")
def test_known_people_are_not_looked_up(shop, estimate, respondio):
    active(shop, shop.phone(1))
    estimate(1)

    assert respondio.calls["contact/channels"] == 0


@pytest.mark.usefixtures("silence")
def test_a_respond_io_that_fails_leaves_the_estimate_at_most(shop, estimate, respondio):
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = "revoked"
    answer = estimate(2)

    assert (answer["new_macs"], answer["new_macs_basis"]["not_known"]) == (2, 2)


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize(
    ("tier", "limit", "share", "why"),
    [
        ("TIER_2K", 2_000, 0.005, None),
        ("TIER_UNLIMITED", None, 0.0, "unlimited"),
        ("TIER_OF_NEXT_YEAR", None, None, "Meta says TIER_OF_NEXT_YEAR"),
    ],
)
def test_the_share_of_the_portfolios_limit_is_shown(shop, estimate, tier, limit, share, why):
    limit_is(shop, tier)
    shop.send(shop.planned(2))

    assert estimate(10)["limit"] == {
        "messaging_limit": limit,
        "used_in_24_hours": 2,
        "share": share,
        "why": why,
    }


@pytest.mark.usefixtures("silence")
def test_a_person_in_two_broadcasts_uses_up_the_limit_once(shop, estimate):
    for people in (2, 4, 3):
        shop.send(shop.planned(people), repeats=RepeatPolicy.SENT)
    other = shop.file("other.csv", [(shop.phone(1),), (shop.phone(9),)])
    shop.send(shop.planned(other), repeats=RepeatPolicy.SENT)

    assert estimate(1)["limit"]["used_in_24_hours"] == 5


@pytest.mark.usefixtures("silence")
def test_a_list_too_long_to_look_up_in_time_is_not_looked_up(shop, estimate, respondio):
    assert estimate(501)["new_macs_basis"]["not_known"] == 501
    assert respondio.calls["contact/channels"] == 0


@pytest.mark.usefixtures("silence")
def test_a_single_configured_way_is_shown(estimate):
    answer = estimate(41)
    [way] = answer["ways"]

    assert (way["provider"], way["messages_per_second"]) == ("meta", 20.0)
    assert answer["seconds"] == way["seconds"] == pytest.approx(2.0, abs=0.1)


@pytest.mark.usefixtures("silence")
def test_each_configured_way_is_shown(cli, estimate, respondio):
    cli("channel", "edit", "shop", "--respondio-channel-id", RESPONDIO_CHANNEL_ID)
    meta, other = estimate(6)["ways"]

    assert (meta["provider"], other["provider"]) == ("meta", "respondio")
    assert other["messages_per_second"] == 5.0
    assert other["seconds"] == pytest.approx(1.0)
    assert other["why"] == "until respond.io says how much it allows"


@pytest.mark.usefixtures("silence")
def test_the_plan_shows_a_person_the_whole_estimate(shop, cli, respondio):
    limit_is(shop, "TIER_2K")
    cli("channel", "edit", "shop", "--respondio-channel-id", RESPONDIO_CHANNEL_ID)
    wrote(shop, 1)
    said = cli("broadcast", "plan", shop.people(3), *OPTIONS).out

    assert "at 20/s (Meta's limit for a number in Coexistence) it takes 0 s, until 2026-" in said
    assert "through respond.io it would take 0 s at 5/s (until respond.io says" in said
    assert "under 1 % of the portfolio's 2,000 people in 24 h; 0 were messaged" in said
    assert "  new MACs (monthly active contacts): 2; active by the events here: 0" in said


@pytest.mark.usefixtures("silence")
class TestThroughRespondIO:
    @pytest.fixture
    def provider(self):
        return Provider.RESPONDIO

    def test_the_rate_is_the_last_one_that_respond_io_stated(self, shop, estimate):
        shop.befriend(4)
        assert estimate(2)["rate"] == 5.0
        for endpoint in ("contact", "message/send"):
            shop.world.respondio.set_limit(endpoint, 10)
        shop.send(shop.planned(2), rate=20.0)
        way, _ = estimate(4)["ways"]

        assert (way["messages_per_second"], way["why"]) == (10.0, "what respond.io says it allows")

    def test_contacts_to_create_are_new_macs_and_take_their_time(self, shop, cli):
        shop.befriend(1)
        people = [(shop.phone(row),) for row in (1, 901, 902, 903)]
        command = ("broadcast", "plan", shop.file("new.csv", people), *OPTIONS, "--create-contacts")
        data = cli(*command, "--json").data

        assert data["new_contacts"] == 3
        assert data["estimate"]["new_macs"] == 4
        assert data["estimate"]["new_macs_basis"]["asked_at_respondio"] == 1
        assert data["estimate"]["new_macs_basis"]["not_known"] == 0
        assert "contacts to create: 3, each counts as a new MAC" in cli(*command).out


SEEN = "2026-11-07T12:00:00.000Z"


@pytest.mark.parametrize(
    ("tier", "taken", "severities"),
    [
        ("TIER_250", 249, []),
        ("TIER_250", 250, [Severity.WARNING]),
        ("TIER_UNLIMITED", 10**7, []),
        ("UNTIERED", 10, []),
        (None, 10, []),
        ("TIER_OF_TOMORROW", 0, [Severity.UNKNOWN]),
        ({"odd": 1}, 0, [Severity.UNKNOWN]),
    ],
)
def test_a_limit_is_used_up_when_as_many_people_were_messaged(
    tier: object, taken: int, severities: list[Severity]
) -> None:
    found = check_limit_used_up(tier, taken, "shop", SEEN)

    assert [(entry.id, entry.severity) for entry in found] == [
        ("WX502", severity) for severity in severities
    ]


def test_a_plan_above_the_limit_is_critical_and_says_what_room_is_left() -> None:
    [finding] = check_messaging_limit("TIER_250", 200, 100, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX502", Severity.CRITICAL)
    assert finding.remedy[0] == "split the list: at most 150 people now, the rest tomorrow"
    assert check_messaging_limit("TIER_250", 150, 100, "shop", SEEN) == []


def test_marketing_to_plus_one_numbers_is_a_warning() -> None:
    [finding] = check_us_marketing("MARKETING", 3, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX506", Severity.WARNING)
    assert check_us_marketing("UTILITY", 3, "shop", SEEN) == []
    assert check_us_marketing("MARKETING", 0, "shop", SEEN) == []


def test_a_second_full_of_throttled_answers_asks_who_else_sends() -> None:
    trouble = Trouble(throttled=(Incident(3, 15, SEEN), Incident(4, 5, SEEN)))

    [finding] = check_throttled(trouble, "shop")

    assert (finding.id, finding.severity, finding.channel) == ("WX503", Severity.WARNING, "shop")
    assert finding.evidence[0].text == "130429 came 15 times while broadcast 3 was sent"
    assert any("wacoex partner check shop" in step for step in finding.remedy)


def test_the_pace_of_our_own_messages_is_shown_before_others_are_blamed() -> None:
    trouble = Trouble(throttled=(Incident(3, 25, SEEN, peak=20, bunched=0),))
    [finding] = check_throttled(trouble, "shop")

    assert finding.title == "Meta throttled this number: who else sends on it?"
    assert [entry.text for entry in finding.evidence] == [
        "of our own messages of broadcast 3 at most 20 left in one second;"
        " none left less than half a slot after the one before",
        "130429 came 25 times while broadcast 3 was sent",
    ]


def test_no_other_program_is_blamed_when_more_than_twenty_of_our_messages_left_in_a_second() -> (
    None
):
    trouble = Trouble(throttled=(Incident(3, 25, SEEN, peak=22, bunched=14),))
    [finding] = check_throttled(trouble, "shop")

    assert "the messages from here left too close together" in finding.title
    assert "at most 22 left in one second; 14 left less than" in finding.evidence[0].text
    assert not any("partner check" in step for step in finding.remedy)


def test_a_few_throttled_answers_are_only_information() -> None:
    [finding] = check_throttled(Trouble(throttled=(Incident(3, 19, SEEN),)), "shop")

    assert finding.severity is Severity.INFO


def test_ambiguous_rows_wait_for_a_decision_in_each_broadcast() -> None:
    trouble = Trouble(doubtful=(Incident(3, 2, SEEN), Incident(5, 1, SEEN)))

    [finding] = check_doubtful(trouble, "shop")

    assert (finding.id, finding.severity) == ("WX505", Severity.WARNING)
    assert finding.title == "nobody knows whether 3 messages went out"
    assert [step[-4:-1] for step in finding.remedy] == ["e 3", "e 5"]


def test_people_who_were_refused_marketing_are_counted_as_information() -> None:
    trouble = Trouble(refused={131049: 12, 131050: 1}, refused_at=SEEN)

    [finding] = check_refused_people(trouble, "shop")

    assert (finding.id, finding.severity) == ("WX506", Severity.INFO)
    assert [entry.text[:17] for entry in finding.evidence] == [
        "12 people, 131049",
        "1 person, 131050:",
    ]


def test_broadcasts_without_failures_cause_no_finding() -> None:
    assert check_trouble(Trouble(), "shop") == []


def test_throttled_answers_are_remembered_although_every_row_is_taken_in_the_end(
    shop: Any,
) -> None:
    shop.faults(Fault("throttled", count=3))
    sent = shop.planned(5)

    shop.send(sent)

    now = shop.clock.now()
    assert shop.counts(sent) == {"accepted": 5}
    [throttled] = troubles(shop.state, [shop.channel], now)[shop.channel.channel_id].throttled
    assert (throttled.broadcast_id, throttled.times) == (sent.broadcast_id, 3)
    later = now + timedelta(hours=24, minutes=1)
    assert not troubles(shop.state, [shop.channel], later)


def test_the_states_of_rows_are_counted_by_channel(shop: Any) -> None:
    shop.faults(
        Fault("refuse", code=131049, arrivals=frozenset({1})),
        Fault("refuse", code=131050, arrivals=frozenset({2, 3})),
        Fault("empty_body", arrivals=frozenset({4})),
    )
    sent = shop.planned(5)
    other = registry.add_channel(
        shop.state, "other", Details(phone="+6560000002"), shop.clock.now()
    )

    shop.send(sent)

    found = troubles(shop.state, [shop.channel, other], shop.clock.now())
    trouble = found[shop.channel.channel_id]
    assert trouble.refused == {131049: 1, 131050: 2}
    assert [(entry.broadcast_id, entry.times) for entry in trouble.doubtful] == [
        (sent.broadcast_id, 1)
    ]
    assert other.channel_id not in found
    months_later = shop.clock.now() + timedelta(days=60)
    kept = troubles(shop.state, [shop.channel], months_later)[shop.channel.channel_id]
    assert (len(kept.doubtful), kept.refused) == (1, {})
