"""To whom you mean: `--where`, `--from`, `--exclude` with sources, and the row one doubts."""

from __future__ import annotations

import pytest

from wacoex_cli.audience.sources import RespondIOSource, parse_source
from wacoex_cli.contacts.store import add_optout
from wacoex_cli.events.store import EventLog
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID

HEADER = ("phone", "name", "order", "tier", "last_order")
PEOPLE = [
    ("+6591000001", "Ana", "A-1", "gold", "2026-09-30"),
    ("+6591000002", "Ben", "A-2", "gold", "2026-10-02"),
    ("+6591000003", "Cai", "A-3", "silver", "2026-09-01"),
    ("+6591000004", "Dee", "A-4", "gold", "30.09.2026"),
    ("+6591000005", "Eve", "A-5", "gold", ""),
]
MESSAGE = ("--template", "order_ready", "--lang", "en_US")
FILLED = ("--param", "1=name", "--param", "2=order")
PLAIN = ("--template", "opening_hours", "--lang", "en_US")
GOLD = "tier = 'gold' and last_order < 2026-10-01"


@pytest.fixture
def people(shop):
    return shop.file("people.csv", PEOPLE, HEADER)


def phones(shop, planned):
    """The people that a plan sends to."""
    found = shop.state.rows(
        "SELECT phone FROM recipients WHERE broadcast_id = ? AND state = 'pending' ORDER BY row",
        [planned.data["broadcast_id"]],
    )
    return [row["phone"][-1] for row in found]


@pytest.fixture
def sent(shop, people):
    """Broadcast 1 to all five: 1 and 2 have read it, 3 got it, 4 failed, of 5 nobody knows more."""
    broadcast = shop.planned(people, template="order_ready", parameters={"1": "name", "2": "order"})
    shop.send(broadcast)
    states = ("read", "read", "delivered", "failed", "accepted")
    for row, state in enumerate(states, start=1):
        with shop.state.transaction():
            shop.state.execute(
                "UPDATE recipients SET state = ? WHERE broadcast_id = 1 AND row = ?", [state, row]
            )
    return broadcast


def wrote(shop, *contacts, seconds=60.0):
    """These people write to us, after a while."""
    shop.clock.leap(seconds)
    events = tuple(
        Event(
            key=f"meta:message:{contact}:{seconds}",
            kind=Kind.MESSAGE,
            source=Source.META,
            at=shop.clock.now().strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            phone_number_id=PHONE_NUMBER_ID,
            phone=PHONE,
            contact=contact,
            message_id=f"wamid.{contact}",
        )
        for contact in contacts
    )
    with shop.state.transaction():
        payload = Payload(Source.META, f"digest {contacts}", 1, "{}", events)
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())


def test_where_chooses_people_and_the_plan_says_how_many_it_left_out_and_why(shop, cli, people):
    planned = cli("broadcast", "plan", people, *MESSAGE, *FILLED, "--where", GOLD, "--json")

    assert planned.data["recipients"] == 1 and phones(shop, planned) == ["1"]
    assert planned.data["skipped"] == {"not_chosen": 4}
    [rule] = planned.data["rules"]
    assert (rule["rule"], rule["left_out"]) == (f"--where {GOLD}", 4)
    [doubt] = rule["doubts"]
    assert "left out 1" in doubt and "'30.09.2026'" in doubt


def test_the_text_of_a_plan_names_the_rules(shop, cli, people):
    few = shop.file("few.csv", [("+6591000001",), ("+6591000009",)])
    options = ("--where", "tier = 'gold'", "--exclude", few)
    planned = cli("broadcast", "plan", people, *PLAIN, *options)

    assert "  --where tier = 'gold': left out 1 row\n" in planned.out
    assert f"  --exclude {few}: left out 1 row\n" in planned.out


def test_a_number_that_cannot_be_read_does_not_matter_where_the_row_is_not_chosen(shop, cli):
    rows = [("nonsense", "silver"), ("+6591000001", "gold")]
    file = shop.file("list.csv", rows, ("phone", "tier"))
    planned = cli("broadcast", "plan", file, *PLAIN, "--where", "tier = 'gold'", "--json")
    assert planned.data["skipped"] == {"not_chosen": 1}


@pytest.mark.parametrize(
    ("condition", "said", "hint"),
    [
        ("teir = 'gold'", "position 1", "did you mean `tier`?"),
        ("tier = 'gold'; drop table recipients", "position 14", "for example"),
        ("tier = (select phone from recipients)", "a query", "for example"),
        ("(" * 5_000, "nested", "for example"),
    ],
)
def test_a_wrong_condition_plans_nothing(shop, cli, people, condition, said, hint):
    planned = cli("broadcast", "plan", people, *PLAIN, "--where", condition, "--json")

    [error] = planned.envelope["errors"]
    assert planned.code == 2 and error["code"] == "bad_where"
    assert said in error["message"] and hint in error["hint"]
    assert not shop.state.rows("SELECT 1 FROM broadcasts")


def test_a_condition_that_matches_nobody_is_an_error(cli, people):
    planned = cli("broadcast", "plan", people, *PLAIN, "--where", "tier = 'GOLD'", "--json")
    [error] = planned.envelope["errors"]
    assert error["code"] == "no_recipients" and "--where" in error["hint"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("broadcast:1", "12345"),
        ("broadcast:1:all", "12345"),
        ("broadcast:1:delivered", "123"),
        ("broadcast:1:read", "12"),
        ("broadcast:1:delivered,-replied", "13"),
        ("broadcast:1:-delivered", "45"),
        ("broadcast:1:replied", "2"),
        ("broadcast:1:failed,read", "124"),
        ("broadcast:1:delivered,-read", "3"),
    ],
)
def test_people_of_a_broadcast_are_chosen_by_the_state_of_their_row(
    shop, cli, sent, source, expected
):
    wrote(shop, "+6591000002")
    planned = cli("broadcast", "plan", "--from", source, *PLAIN, "--json")
    assert phones(shop, planned) == list(expected)


def test_a_broadcast_brings_the_columns_it_was_filled_from(shop, cli, sent):
    where = ("--where", "name <> 'Ana'")
    source = ("--from", "broadcast:1:read")
    planned = cli("broadcast", "plan", *source, *MESSAGE, *FILLED, *where, "--json")
    assert planned.data["preview"][0]["text"] == "Hello Ben, order A-2 is ready."


def test_a_message_from_before_the_broadcast_is_not_a_reply(shop, cli, people):
    wrote(shop, "+6591000001")
    shop.clock.leap(60)
    shop.send(shop.planned(people))
    planned = cli("broadcast", "plan", "--from", "broadcast:1:replied", *PLAIN, "--json")
    assert planned.envelope["errors"][0]["code"] == "no_recipients"


def test_sets_add_up_and_nobody_is_in_them_twice(shop, cli, sent):
    more = shop.file("more.csv", [("+6591000001",), ("+6591000007",)])
    sources = ("--from", "broadcast:1:read", "--from", "broadcast:1:failed")
    planned = cli("broadcast", "plan", more, *sources, *PLAIN, "--json")
    assert phones(shop, planned) == ["1", "7", "2", "4"]
    assert planned.data["skipped"] == {"duplicate": 1}
    lines = shop.state.rows("SELECT line FROM recipients WHERE broadcast_id = 2 ORDER BY row")
    assert [row["line"] for row in lines] == [2, 3, 4, 5, 6]


def test_exclude_takes_the_same_sources(shop, cli, sent, people):
    planned = cli("broadcast", "plan", people, *PLAIN, "--exclude", "broadcast:1:read", "--json")
    assert phones(shop, planned) == ["3", "4", "5"]
    assert planned.data["rules"] == [
        {"rule": "--exclude broadcast:1:read", "left_out": 2, "doubts": []}
    ]


def test_people_of_a_broadcast_who_opted_out_since_stay_out(shop, cli, sent):
    with shop.state.transaction():
        add_optout(shop.state, "+6591000001", "asked", None, shop.clock.now())
    planned = cli("broadcast", "plan", "--from", "broadcast:1:read", *PLAIN, "--json")
    assert phones(shop, planned) == ["2"] and planned.data["skipped"] == {"opted_out": 1}


def test_send_in_one_go_takes_sources_too(shop, cli, sent):
    options = ("--from", "broadcast:1:read", *PLAIN, "--yes", "--canary", "0", "--json")
    ended = cli("broadcast", "send", *options)
    assert ended.data["recipients"] == 2 and ended.code == 0


@pytest.mark.parametrize(
    ("option", "source", "code"),
    [
        ("--from", "broadcast:x", "bad_source"),
        ("--from", "broadcast:1:", "bad_source"),
        ("--from", "broadcast:1:sent,", "bad_source"),
        ("--from", "broadcast:1:seen", "bad_source"),
        ("--from", "broadcast:99", "unknown_broadcast"),
        ("--from", "broadcast:9999999999999999999999", "bad_source"),
        ("--exclude", "broadcast:1:-seen", "bad_source"),
        ("--exclude", "respondio:", "bad_source"),
        ("--from", "respondio:tag", "bad_source"),
        ("--from", "respondio:tag=vip", "no_respondio_token"),
        ("--from", "nowhere.csv", "unreadable_file"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(shop, cli, people, option, source, code):
    planned = cli("broadcast", "plan", people, *PLAIN, option, source, "--json")
    assert [error["code"] for error in planned.envelope["errors"]] == [code] and planned.code == 2
    assert not shop.state.rows("SELECT 1 FROM broadcasts")


@pytest.fixture
def contacts(shop):
    """Three contacts of respond.io; respond.io is there beside Meta."""
    shop.environ["WACOEX_RESPONDIO_BASE_URL"] = shop.respondio_url
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN
    known = [
        ("+6591000001", "Ana", ["vip"], "Customer", "es"),
        ("+6591000002", "Ben", ["vip", "staff"], "Customer", "en"),
        ("+6591000003", "Cai", [], "Lead", "es"),
    ]
    for phone, name, tags, lifecycle, language in known:
        contact = shop.world.respondio.add_contact(phone, name)
        customs = [{"name": "city", "value": f"{name}ville"}]
        contact.more |= {"tags": tags, "lifecycle": lifecycle, "language": language}
        contact.more["custom_fields"] = customs
    return known


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("respondio:tag=vip", "12"),
        ("respondio:tag=vip,-tag=staff", "1"),
        ("respondio:-tag=vip,language=es", "3"),
        ("respondio:lifecycle=Customer,language=es", "1"),
        ("respondio:-lifecycle=Customer,language=es", "3"),
        ("respondio:city=Benville", "2"),
    ],
)
def test_contacts_of_respond_io_that_meet_the_conditions(shop, cli, contacts, source, expected):
    options = ("--from", source, *PLAIN, "--channel", "shop", "--json")
    planned = cli("broadcast", "plan", *options)
    assert sorted(phones(shop, planned)) == list(expected)


def test_contacts_bring_their_fields_as_columns_and_may_be_excluded(shop, cli, contacts, people):
    filled = ("--param", "1=first_name", "--param", "2=city")
    where = ("--from", "respondio:tag=vip", "--where", "city = 'Anaville'")
    planned = cli("broadcast", "plan", *where, *MESSAGE, *filled, "--json")
    assert planned.data["preview"][0]["text"] == "Hello Ana, order Anaville is ready."

    exclude = ("--exclude", "respondio:tag=vip")
    planned = cli("broadcast", "plan", people, *PLAIN, *exclude, "--json")
    assert phones(shop, planned) == ["3", "4", "5"]


def test_a_contact_that_does_not_match_the_filter_plans_nothing():
    """A server that knows no such filter and gives everybody must not send to everybody."""
    source = parse_source("respondio:tag=vip", "--from")
    assert isinstance(source, RespondIOSource)
    [condition] = source.conditions
    assert not condition.holds_for({"tags": ["staff"]}) and not condition.holds_for({})
    assert condition.holds_for({"tags": ["VIP"]})


def test_row_shows_the_message_of_the_person_in_doubt(shop, cli, people):
    options = (*MESSAGE, *FILLED, "--row", 4, "--json")
    planned = cli("broadcast", "plan", people, *options, "--preview", 2)
    assert [row["line"] for row in planned.data["preview"]] == [4, 5]
    said = cli("broadcast", "plan", people, *options[:-1], "--dry-run").out
    assert "line 4, +" in said and "first recipient" not in said


@pytest.mark.parametrize(("line", "said"), [(3, "not_chosen"), (99, "no such row")])
def test_a_row_that_gets_no_message_is_named(shop, cli, people, line, said):
    where = ("--where", "name = 'Ana'")
    planned = cli("broadcast", "plan", people, *PLAIN, *where, "--row", line, "--json")
    [error] = planned.envelope["errors"]
    assert error["code"] == "no_such_row" and said in error["message"]
    assert not shop.state.rows("SELECT 1 FROM broadcasts")


def test_a_broadcast_later_shows_its_intended_recipients_without_numbers(shop, cli, people, sent):
    where = "tier = 'gold' and phone <> '+6591000005'"
    options = ("--where", where, "--exclude", "broadcast:1:read", *MESSAGE, *FILLED)
    planned = cli("broadcast", "plan", people, *options, "--json")
    number = planned.data["broadcast_id"]

    shown = cli("broadcast", "show", number, "--json").data["audience"]
    text = cli("broadcast", "show", number).out
    page = shop.directory / "report.html"
    assert cli("broadcast", "report", number, "--html", page).code == 0

    assert shown["list"].endswith("people.csv") and shown["from"] == []
    assert shown["where"] == "tier = 'gold' and phone <> '+65****0005'"
    assert [rule["left_out"] for rule in shown["rules"]] == [2, 2]
    assert "--where tier = 'gold' and phone <> '+65****0005': left out 2 rows" in text
    assert "--exclude broadcast:1:read: left out 2 rows" in text
    assert "+65****0005" in page.read_text() and "+6591000005" not in page.read_text()
