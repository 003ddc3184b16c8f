"""Planning for the lists that people have: other spellings, lists to leave out, lost digits."""

from __future__ import annotations

import csv
import io

import pytest

from wacoex_cli.audience.ledger import add_optout, list_optouts
from wacoex_cli.audience.model import Scope
from wacoex_cli.broadcast import figures
from wacoex_cli.broadcast.store import Broadcasts
from wacoex_cli.errors import UsageError

OPTIONS = ("--template", "opening_hours", "--lang", "en_US")
SPELLINGS = [
    ("+5491123456789", "+541123456789"),
    ("+5511987654321", "+551187654321"),
    ("+5215512345678", "+525512345678"),
]


def skipped(shop, planned):
    return {
        row["line"]: row["reason"]
        for row in shop.rows(planned.broadcast).values()
        if row["state"] == "skipped"
    }


@pytest.mark.parametrize("pair", [*SPELLINGS, *(pair[::-1] for pair in SPELLINGS)])
def test_two_spellings_of_one_whatsapp_number_are_one_person(shop, pair):
    planned = shop.plan(shop.file("two.csv", [(pair[0],), (shop.phone(1),), (pair[1],)]))

    assert skipped(shop, planned) == {4: "duplicate"}
    assert planned.broadcast.recipients == 2


def test_a_landline_of_brazil_and_a_mobile_number_are_two_people(shop):
    people = [("+551123456789",), ("+5511923456789",)]
    assert skipped(shop, shop.plan(shop.file("two.csv", people))) == {}


@pytest.mark.parametrize("pair", [*SPELLINGS, *(pair[::-1] for pair in SPELLINGS)])
def test_an_opt_out_counts_for_both_spellings(shop, state, pair):
    with state.transaction():
        add_optout(state, pair[0], "meta-user_preferences", None, shop.clock.now())
    planned = shop.plan(shop.file("two.csv", [(pair[1],), (shop.phone(1),)]))

    assert skipped(shop, planned) == {2: "opted_out"}


@pytest.mark.parametrize("pair", SPELLINGS)
def test_an_opt_out_after_the_plan_counts_for_both_spellings(shop, state, pair):
    broadcast = shop.planned(shop.file("two.csv", [(pair[1],), (shop.phone(1),)]))

    with state.transaction():
        add_optout(state, pair[0], "meta-user_preferences", None, shop.clock.now())
    shop.send(broadcast)
    assert [one.recipient for one in shop.world.log.accepted()] == [shop.phone(1)]


def test_nobody_in_an_excluded_list_is_sent_to_however_spelled(shop):
    people = [(shop.phone(1),), ("+541123456789",), (shop.phone(3),)]
    excluded = [("+65 9100-0001",), ("+5491123456789",), ("",), (shop.phone(9),)]
    exclude = (shop.file("bought.csv", excluded, ("Tel.",)),)
    planned = shop.plan(shop.file("all.csv", people), exclude=exclude)

    assert skipped(shop, planned) == {2: "excluded", 3: "excluded"}
    assert planned.skipped == {"excluded": 2}


def test_a_number_to_exclude_that_cannot_be_read_refuses_the_plan(shop):
    exclude = (shop.file("bought.csv", [(shop.phone(1),), ("6.59E+10",)]),)

    with pytest.raises(UsageError, match=r"line 3 of .*bought.csv` to exclude .* shortened"):
        shop.plan(3, exclude=exclude)
    assert shop.state.rows("SELECT * FROM broadcasts") == []


def test_the_program_takes_the_column_and_the_lists_to_leave_out(shop, cli):
    file = shop.file("c.csv", [("x", shop.phone(n)) for n in (1, 2, 3)], ("phone", "Contato"))
    first = shop.file("first.csv", [(shop.phone(1),)])
    second = shop.file("second.csv", [(shop.phone(2),)], ("contato",))
    given = ("--phone-column", "contato", "--exclude", first, "--exclude", second)
    data = cli("broadcast", "plan", file, *OPTIONS, *given, "--json").data

    assert (data["recipients"], data["skipped"]) == (1, {"excluded": 2})
    assert data["phone_column"] == "Contato"

    sent = cli("broadcast", "send", "--to", file, *OPTIONS, *given, "--yes", "--json")
    assert (sent.code, sent.data["taken"]) == (0, 1)
    refused = cli("broadcast", "send", "1", "--exclude", first, "--yes", "--json")
    assert refused.envelope["errors"][0]["code"] == "already_planned"


def test_lost_digits_are_named_with_their_line_in_the_plan_and_its_report(shop, cli):
    file = shop.file("excel.csv", [(shop.phone(1),), ("6.59E+10",), ("",), ("=1+1",)])
    data = cli("broadcast", "plan", file, *OPTIONS, "--country", "SG", "--json").data

    assert data["skipped"] == {"invalid": 2}
    assert [row["line"] for row in data["skipped_rows"]] == [3, 5]
    assert "its digits are lost" in data["skipped_rows"][0]["detail"]
    report = cli("broadcast", "report", "1", "--csv", "-").out
    found = {row["line"]: row for row in csv.DictReader(io.StringIO(report))}
    assert "its digits are lost" in found["3"]["detail"]
    assert (found["5"]["phone"], found["5"]["reason"]) == ("'=1+1", "invalid")


def test_a_list_read_as_windows_1252_says_so(shop, cli, tmp_path):
    file = tmp_path / "old.csv"
    file.write_bytes(f"téléphone;nom\n{shop.phone(1)};Zoë\n".encode("windows-1252"))
    outcome = cli("broadcast", "plan", file, *OPTIONS)

    assert "was read as Windows-1252" in outcome.out
    assert Broadcasts(shop.state).get(1).recipients == 1


SALE = {"template": "spring_sale", "parameters": {"first_name": "name"}}


def test_who_wants_no_marketing_still_hears_that_the_shop_is_open(shop, state):
    people = shop.file("people.csv", [(shop.phone(n), "Ana") for n in (1, 2, 3)], ("phone", "name"))
    with state.transaction():
        add_optout(state, shop.phone(1), "operator", None, shop.clock.now(), Scope.MARKETING)
        add_optout(state, shop.phone(2), "operator", None, shop.clock.now())

    assert skipped(shop, shop.plan(people, **SALE)) == {2: "opted_out", 3: "opted_out"}
    assert skipped(shop, shop.plan(people)) == {3: "opted_out"}


def test_an_opt_out_of_marketing_after_the_plan_counts_and_others_still_go_out(shop, state):
    people = shop.file("people.csv", [(shop.phone(n), "Ana") for n in (1, 2)], ("phone", "name"))
    sale, opening = shop.planned(people, **SALE), shop.planned(people)
    with state.transaction():
        add_optout(state, shop.phone(1), "operator", None, shop.clock.now(), Scope.MARKETING)
    shop.send(sale)
    shop.send(opening)

    assert shop.counts(sale) == {"skipped": 1, "accepted": 1}
    assert shop.counts(opening) == {"accepted": 2}
    assert figures.taken_after_optout(state) == []


def test_what_was_taken_after_lifts_no_opt_out_of_marketing(shop, state):
    with state.transaction():
        add_optout(state, shop.phone(1), "operator", None, shop.clock.now(), Scope.MARKETING)
    shop.send(shop.planned(1))

    [found] = list_optouts(state)
    assert (found.phone, found.scope) == (shop.phone(1), Scope.MARKETING)
