"""Planning: who is left out and why, what is frozen, what leaves no trace.

Planning for the lists that people have: other spellings, lists to leave out, lost digits.
`broadcast retry ID --only CLASS`: the failed rows of one broadcast, in another one.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.state_files import DRAFT
from wacoex_cli.broadcast import send
from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts.store import Scope, add_optout, list_optouts
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation import locks
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.locks import Presence
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState, Status, lock_purpose
from wacoex_cli.ledger.rows import PlannedRow, Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sending import takeover

ORDER = {"template": "order_ready", "parameters": {"1": "name", "2": "order"}}


def skipped(shop, planned):
    return {
        row["line"]: row["reason"]
        for row in shop.rows(planned.broadcast).values()
        if row["state"] == "skipped"
    }


def test_numbers_are_normalised_and_each_keeps_its_line(shop):
    file = shop.file("mixed.csv", [("+65 9100 0001",), ("91000002",), ("0065-91000003",)])
    planned = shop.plan(file, country="SG")

    rows = shop.rows(planned.broadcast).values()
    assert [row["phone"] for row in rows] == ["+6591000001", "+6591000002", "+6591000003"]
    assert [row["line"] for row in rows] == [2, 3, 4]


def test_a_person_is_sent_to_once_however_the_number_is_written(shop):
    people = [("+6591000001",), ("+65 9100-0001",), ("+6591000002",), ("6591000001",)]
    planned = shop.plan(shop.file("twice.csv", people), country="SG")

    assert planned.broadcast.recipients == 2
    assert skipped(shop, planned) == {3: "duplicate", 5: "duplicate"}
    assert planned.skipped == {"duplicate": 2}


def test_duplicates_are_found_across_a_long_list(shop):
    people = [(shop.phone(n),) for n in [*range(1, 5_101), 1, 5_100, 2_500]]
    planned = shop.plan(shop.file("long.csv", people))

    assert planned.broadcast.recipients == 5_100
    assert skipped(shop, planned) == {5102: "duplicate", 5103: "duplicate", 5104: "duplicate"}


def test_people_who_cannot_be_sent_to_are_kept_with_the_reason(shop, state):
    with state.transaction():
        add_optout(state, shop.phone(2), "person", None, shop.clock.now())
    people = [
        (shop.phone(1), "Ana", "A-1"),
        (shop.phone(2), "Ben", "A-2"),
        (shop.phone(3), "", "A-3"),
        ("not a number", "Cid", "A-4"),
        (shop.phone(5), "Dee", " "),
    ]
    planned = shop.plan(shop.file("all.csv", people, ("phone", "name", "order")), **ORDER)

    assert skipped(shop, planned) == {
        3: "opted_out",
        4: "missing_parameter",
        5: "invalid",
        6: "missing_parameter",
    }
    details = {row["line"]: row["detail"] for row in planned.skipped_rows}
    assert (details[4], details[6]) == ("`name` is empty", "`order` is empty")
    assert (planned.broadcast.recipients, planned.broadcast.skipped) == (1, 4)
    assert shop.counts(planned.broadcast) == {"pending": 1, "skipped": 4}


def test_a_row_without_a_value_does_not_block_a_later_complete_row(shop):
    people = [(shop.phone(1), "", "A-1"), (shop.phone(1), "Ana", "A-1")]
    planned = shop.plan(shop.file("again.csv", people, ("phone", "name", "order")), **ORDER)

    assert skipped(shop, planned) == {2: "missing_parameter"}
    assert planned.broadcast.recipients == 1


def test_somebody_whom_meta_protects_is_left_alone_for_a_day(shop):
    shop.faults(Fault("refuse", code=131049, recipients=frozenset({shop.phone(2)})))
    shop.send(shop.planned(3))
    shop.clock.leap(timedelta(hours=23, minutes=59).total_seconds())
    assert skipped(shop, shop.plan(3)) == {3: "cooling_down"}

    shop.clock.leap(timedelta(minutes=2).total_seconds())
    assert skipped(shop, shop.plan(3)) == {}


def test_recipients_parameters_and_text_are_frozen(shop, world):
    header = ("phone", "name", "order")
    file = shop.file("order.csv", [(shop.phone(1), "Ana", "A-1")], header)
    broadcast = shop.planned(file, **ORDER)
    shop.file("order.csv", [(shop.phone(9), "Eve", "E-9")], header)
    shop.send(broadcast)

    assert [arrival.recipient for arrival in world.log.arrivals] == [shop.phone(1)]
    assert json.loads(shop.rows(broadcast)[1]["parameters"]) == ["Ana", "A-1"]
    assert "Hello {{1}}, order {{2}} is ready." in broadcast.template


def test_ids_count_from_one(shop):
    assert [shop.planned(1).broadcast_id for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("people", [[], [("nobody",), ("",)]])
def test_a_list_in_which_nobody_can_be_sent_to_is_refused_and_leaves_nothing(shop, cli, people):
    file = shop.file("nobody.csv", people)
    outcome = cli("broadcast", "plan", file, "--template", "opening_hours", "--lang", "en_US")

    assert outcome.code == 2
    assert "wacoex can send to nobody in this file" in outcome.err
    assert shop.state.rows("SELECT * FROM broadcasts") == []
    assert shop.state.rows("SELECT * FROM recipients") == []


def test_a_dry_run_says_everything_and_leaves_nothing_behind(shop):
    planned = shop.plan(5, dry_run=True)

    assert planned.broadcast.recipients == 5
    assert [row["line"] for row in planned.first_rows] == [2, 3, 4]
    for table in ("broadcasts", "recipients", "locks"):
        assert shop.state.rows(f"SELECT * FROM {table}") == []
    assert list(locks.presence_directory(shop.state.path).iterdir()) == []


def test_one_unreadable_row_is_left_out_alone(shop, tmp_path):
    file = tmp_path / "broken.ndjson"
    file.write_text('{"phone": "+6591000001"}\n{"phone": \n{"phone": "+6591000003"}\n')

    planned = shop.plan(file)
    assert planned.broadcast.recipients == 2
    assert [(row["line"], row["detail"]) for row in planned.skipped_rows] == [
        (2, "it is not valid JSON")
    ]


def test_a_file_that_breaks_off_in_the_middle_leaves_nothing_behind(shop, tmp_path):
    file = tmp_path / "broken.csv"
    file.write_bytes("phone\n+6591000001\n".encode("utf-16") + b"\n")

    with pytest.raises(UsageError, match="begins like UTF-16"):
        shop.plan(file)
    assert shop.state.rows("SELECT * FROM broadcasts") == []


def abandoned_draft(shop, presence):
    with shop.state.transaction():
        draft = Broadcasts(shop.state).start_draft(
            **{**DRAFT, "channel_id": shop.channel.channel_id, "api_base_url": shop.base_url},
            now=shop.clock.now(),
        )
        locks.acquire(shop.state, lock_purpose(draft), presence, shop.clock)
    Rows(shop.state, draft).add([PlannedRow(1, 2, "+6591000001", "[]")])
    return draft


def test_the_next_plan_cleans_what_a_killed_planner_left(shop):
    killed = locks.Presence(shop.state.path)
    draft = abandoned_draft(shop, killed)
    killed.abandon()
    planned = shop.planned(2)

    assert planned.broadcast_id == draft + 1
    assert [row["broadcast_id"] for row in shop.state.rows("SELECT * FROM broadcasts")] == [2]
    assert shop.state.value("SELECT COUNT(*) FROM recipients") == 2


def test_a_planner_that_is_still_at_work_is_left_alone(shop):
    at_work = locks.Presence(shop.state.path)
    draft = abandoned_draft(shop, at_work)
    shop.plan(2)

    assert Broadcasts(shop.state).get(draft).status is Status.DRAFT
    assert Rows(shop.state, draft).counts().of(RowState.PENDING) == 1
    at_work.leave()


def test_a_plan_that_was_finished_meanwhile_is_not_discarded_as_a_draft(shop):
    broadcast = shop.planned(2)
    Broadcasts(shop.state).discard(broadcast.broadcast_id)

    assert shop.counts(broadcast) == {"pending": 2}


def test_the_estimate_counts_only_people_who_are_new_this_month(shop):
    shop.send(shop.planned(2))
    estimate = shop.plan(5, rate=10.0).estimate

    assert estimate["new_macs"] == 3
    assert estimate["rate"] == 10.0
    assert estimate["seconds"] == pytest.approx(0.4)


def test_a_template_that_is_not_approved_is_refused(shop):
    with pytest.raises(UsageError, match="its status is PAUSED"):
        shop.plan(1, template="flash_sale", texts={"1": "Ana"})


def test_the_program_shows_the_plan_and_the_command_that_sends_it(shop, cli):
    header = ("phone", "name", "order")
    file = shop.file("two.csv", [(shop.phone(1), "Ana", "A-1"), ("x", "Ben", "A-2")], header)
    options = ("--template", "order_ready", "--lang", "en_US", "--param", "1=name")
    outcome = cli("broadcast", "plan", file, *options, "--param", "2=order", "--name", "orders")

    assert outcome.code == 0
    assert "| Hello Ana, order A-1 is ready." in outcome.out
    assert "skipped: 1 invalid" in outcome.out
    assert "to send it: wacoex broadcast send 1" in outcome.out
    assert Broadcasts(shop.state).get(1).name == "orders"


def test_the_json_of_a_plan_has_the_fixed_keys(shop, cli):
    options = ("--template", "opening_hours", "--lang", "en_US", "--json")
    data = cli("broadcast", "plan", shop.people(3), *options).data

    assert (data["broadcast_id"], data["recipients"], data["skipped"]) == (1, 3, {})
    assert data["estimate"].keys() >= {"rate", "seconds", "finish_at", "new_macs"}
    assert data["findings"] == []
    assert shop.world.log.arrivals == []


def test_a_list_can_come_from_standard_input(shop, cli):
    people = f"phone\n{shop.phone(1)}\n{shop.phone(2)}\n"
    options = ("--template", "opening_hours", "--lang", "en_US", "--json")

    assert cli("broadcast", "plan", "-", *options, stdin=people).data["recipients"] == 2


def test_a_channel_that_sends_through_respond_io_needs_its_token(shop, cli):
    cli("channel", "edit", "shop", "--provider", "respondio")
    options = ("--template", "opening_hours", "--lang", "en_US")
    outcome = cli("broadcast", "plan", shop.people(1), *options)

    assert outcome.code == 4
    assert "respondio-token" in outcome.err


OPTIONS = ("--template", "opening_hours", "--lang", "en_US")
SPELLINGS = [
    ("+5491123456789", "+541123456789"),
    ("+5511987654321", "+551187654321"),
    ("+5215512345678", "+525512345678"),
]


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
    assert [entry.recipient for entry in shop.world.log.accepted()] == [shop.phone(1)]


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


def test_a_list_read_as_windows_1252_is_noted_in_the_plan(shop, cli, tmp_path):
    file = tmp_path / "old.csv"
    file.write_bytes(f"téléphone;nom\n{shop.phone(1)};Zoë\n".encode("windows-1252"))
    outcome = cli("broadcast", "plan", file, *OPTIONS)

    assert "read it as Windows-1252" in outcome.out
    assert Broadcasts(shop.state).get(1).recipients == 1


SALE = {"template": "spring_sale", "parameters": {"first_name": "name"}}


def test_a_person_who_wants_no_marketing_still_gets_utility_messages(shop, state):
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
    assert takeover.taken_after_optout(state) == []


@pytest.mark.parametrize(
    ("listed", "rows"),
    [
        ("+553188888888", 1),  # Brazil's number without its ninth digit
        ("user_id:US.77", 1),
        ("+5531999999999", 0),
    ],
)
def test_a_check_finds_people_who_were_sent_to_after_an_opt_out(shop, state, listed, rows):
    people = [("+5531988888888", "US.77", "Ana")]
    file = shop.file("people.csv", people, ("phone", "user_id", "name"))
    opening = shop.planned(file)
    shop.send(opening)
    with state.transaction():
        add_optout(state, listed, "operator", None, shop.clock.now() - timedelta(hours=1))

    assert sum(row["people"] for row in takeover.taken_after_optout(state)) == rows


def test_a_later_accepted_message_lifts_no_opt_out_of_marketing(shop, state):
    with state.transaction():
        add_optout(state, shop.phone(1), "operator", None, shop.clock.now(), Scope.MARKETING)
    shop.send(shop.planned(1))

    [found] = list_optouts(state)
    assert (found.phone, found.scope) == (shop.phone(1), Scope.MARKETING)


@pytest.fixture
def failed(shop):
    """Seven people: 1 and 2 undeliverable, 3 held back by Meta, 4 failed later, 5 in doubt."""
    broadcast = shop.planned(7)
    shop.faults(
        Fault("refuse", code=131026, recipients=frozenset({shop.phone(1), shop.phone(2)})),
        Fault("refuse", code=131049, recipients=frozenset({shop.phone(3)})),
        Fault("reset_after", recipients=frozenset({shop.phone(5)})),
    )
    shop.send(broadcast)
    shop.faults()
    set_state(shop, 1, 4, "failed", 131053)
    assert shop.states(broadcast) == [
        *("rejected", "rejected", "rejected", "failed", "ambiguous", "accepted", "accepted")
    ]
    return broadcast


def set_state(shop, broadcast_id, row, state, code=None):
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE recipients SET state = ?, code = ? WHERE broadcast_id = ? AND row = ?",
            [state, code, broadcast_id, row],
        )


def again(cli, word, *options, of=1, yes=True, **more):
    flags = ["--yes"] if yes else []
    return cli("broadcast", "retry", of, "--only", word, *flags, *options, **more)


def retried(shop, broadcast_id=2):
    """The rows of a retry and their states."""
    rows = shop.rows(Broadcasts(shop.state).get(broadcast_id))
    return {row: (entry["state"], entry["reason"]) for row, entry in rows.items()}


def taken(shop, row):
    return sum(entry.recipient == shop.phone(row) for entry in shop.world.log.accepted())


@pytest.mark.parametrize(
    ("word", "rows"),
    [
        ("131026", [1, 2]),
        ("failed", [4]),
        ("rejected", [1, 2, 3]),
        ("row", [1, 2, 3, 4]),
        ("all", [1, 2, 3, 4]),
    ],
)
def test_a_class_chooses_the_rows_of_a_new_broadcast(shop, cli, failed, word, rows):
    done = again(cli, word, "--json")

    assert done.code == 0
    assert list(retried(shop)) == rows
    assert done.data["broadcast_id"] == 2
    assert done.data["name"] == "failed rows of 1"
    sent = [row for row in rows if row != 3]
    assert [retried(shop)[row][0] for row in sent] == ["accepted"] * len(sent)
    assert [taken(shop, row) for row in sent] == [1 + (row == 4) for row in sent]
    assert shop.states(failed)[:3] == ["rejected"] * 3, "the first broadcast stays as it was"


def test_within_a_day_of_a_131049_nobody_is_sent_to_in_either_spelling(shop, cli, failed):
    again(cli, "all")
    assert retried(shop)[3] == ("skipped", "cooling_down")

    refused = again(cli, "131049")
    assert refused.code == 2
    assert "can be sent again (cooling_down 1)" in refused.err
    assert "within 24 hours of a 131049" in refused.err

    yesterday = to_text(shop.clock.now() - timedelta(hours=25))
    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET answered_at = ? WHERE row = 3", [yesterday])
    assert again(cli, "131049").code == 0
    assert taken(shop, 3) == 1


def test_a_person_who_opted_out_meanwhile_is_skipped(shop, cli, failed):
    with shop.state.transaction():
        add_optout(shop.state, shop.phone(2), "manual", None, shop.clock.now())
    again(cli, "131026")

    assert retried(shop) == {1: ("accepted", None), 2: ("skipped", "opted_out")}
    assert taken(shop, 2) == 0


def test_nobody_is_retried_twice_from_any_broadcast_of_the_family(shop, cli, failed):
    assert again(cli, "131026").code == 0
    refused = again(cli, "131026")

    assert refused.code == 2
    assert "(duplicate 2)" in refused.err
    assert shop.taken_twice() == []

    set_state(shop, 2, 1, "failed", 131026)
    assert again(cli, "all", of=2).code == 0, "what failed again can be tried again"
    assert list(retried(shop, 3)) == [1]
    assert again(cli, "131026").code == 2, "the third has been taken, so the first has none left"
    assert again(cli, "all", of=2).code == 2


def test_rows_that_wait_in_a_planned_retry_are_not_planned_again_until_it_is_cancelled(
    shop, cli, failed
):
    requests = again(cli, "131026", yes=False, tty=True, stdin="n\n")
    assert requests.code == 1
    assert "failed rows of broadcast 1 to be sent again: 2" in requests.err
    assert retried(shop) == {1: ("pending", None), 2: ("pending", None)}
    refused = again(cli, "131026")
    assert "(duplicate 2)" in refused.err
    assert "wacoex broadcast list" in refused.err

    cli("broadcast", "cancel", 2, "--yes")
    assert again(cli, "131026").code == 0
    assert [taken(shop, row) for row in (1, 2)] == [1, 1]


def test_a_person_who_got_the_message_after_all_is_left_out_of_a_later_retry(shop, cli, failed):
    again(cli, "all", yes=False, tty=True, stdin="n\n")
    set_state(shop, 1, 4, "delivered")

    assert cli("broadcast", "send", 2, "--yes").code == 0
    assert retried(shop)[4] == ("skipped", "duplicate")
    assert taken(shop, 4) == 1, "the one of the first broadcast"
    assert cli("state", "check").code == 0


def test_a_row_that_a_person_settled_is_not_retried(shop, cli, failed):
    cli("broadcast", "reconcile", 1, "--as", "not-sent", "--yes")
    again(cli, "rejected")

    assert 5 not in retried(shop)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("ambiguous", "wacoex broadcast reconcile 1"),
        ("nonsense", "one of failed, rejected, retry, row, stop, all"),
        ("-5", "is not a class"),
        ("190", "there are 1 failed with 131053, 2 rejected with 131026, 1 rejected with 131049"),
        ("stop", "has no failed rows of class stop"),
    ],
)
def test_a_class_that_cannot_be_retried_plans_nothing(shop, cli, failed, word, said):
    refused = again(cli, word)

    assert refused.code == 2
    assert said in refused.err
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1


def test_a_retry_needs_an_id_a_terminal_and_no_other_planning_option(shop, cli, failed):
    assert cli("broadcast", "retry", "--yes").code == 2
    assert again(cli, "all", "--to", "people.csv").code == 2
    assert again(cli, "all", "--template", "opening_hours").code == 2
    assert again(cli, "all", yes=False).code == 2, "nobody can be asked"
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1


def test_without_a_class_all_failed_rows_are_sent_again(shop, cli, failed):
    done = cli("broadcast", "retry", 1, "--yes", "--json")

    assert done.code == 0
    assert list(retried(shop)) == [1, 2, 3, 4]


def test_the_former_option_still_works_and_help_does_not_show_it(shop, cli, failed):
    done = cli("broadcast", "send", 1, "--retry-failed", "131026", "--yes", "--json")

    assert (done.code, done.data["name"]) == (0, "failed rows of 1")
    assert list(retried(shop)) == [1, 2]
    assert "--retry-failed" not in cli("broadcast", "send", "--help").out
    assert cli("broadcast", "send", "--retry-failed", "all", "--yes").code == 2, "it needs an id"
    both = ("--retry-failed", "all", "--to", "people.csv", "--yes")
    assert cli("broadcast", "send", 1, *both).code == 2


def test_a_dry_run_shows_the_requests_and_leaves_nothing_behind(shop, cli, failed):
    shown = again(cli, "131026", "--dry-run", "--json", yes=False)

    assert shown.code == 0
    assert shown.data["recipients"] == 2
    assert [request["body"]["to"] for request in shown.data["requests"]] == [
        shop.phone(1),
        shop.phone(2),
    ]
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1
    assert len(shop.state.rows("SELECT 1 FROM recipients")) == 7


def test_a_broadcast_that_is_being_sent_is_not_retried(shop, cli, failed):
    from wacoex_cli.foundation import locks
    from wacoex_cli.ledger.model import lock_purpose

    presence = Presence(shop.state.path)
    with shop.state.transaction():
        locks.acquire(shop.state, lock_purpose(1), presence, shop.clock)
    refused = again(cli, "all")
    presence.leave()

    assert refused.code == 6
    assert "is being sent by process" in refused.err


def test_the_checks_before_sending_are_those_of_any_broadcast(shop, cli, failed):
    refused = again(cli, "131026", "--expect", "5")

    assert refused.code == 5
    assert "it is for 2 people, not 5" in refused.err


def test_a_killed_test_is_not_the_broadcast_sent_without_an_id(shop, cli):
    planned = shop.plan(2)
    orphan = send.plan_test(shop.state, planned, "+6591999999", shop.clock)
    assert orphan.test_of == planned.broadcast.broadcast_id

    done = cli("broadcast", "send", "--yes", "--json")

    assert (done.code, done.data["broadcast_id"]) == (0, planned.broadcast.broadcast_id)


@pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
def test_a_person_no_longer_a_contact_at_respondio_is_skipped(shop, cli):
    shop.befriend(4)
    broadcast = shop.planned(4)
    refused = frozenset({shop.phone(2), shop.phone(3)})
    shop.faults(Fault("refuse", code=400, recipients=refused))
    shop.send(broadcast)
    shop.faults()
    desk = shop.world.respondio
    desk.set_phone(desk.find(f"phone:{shop.phone(3)}"), None)

    assert again(cli, "rejected").code == 0
    assert retried(shop)[3] == ("skipped", "no_contact")
    assert [taken(shop, row) for row in (1, 2, 3, 4)] == [1, 1, 0, 1]
    assert shop.taken_twice() == []


STATES = ("pending", "retry", "sending", "accepted", "delivered", "failed", "rejected", "ambiguous")


@settings(max_examples=60)
@given(family=st.lists(st.tuples(st.sampled_from(STATES), st.booleans()), max_size=4))
def test_a_person_waits_in_at_most_one_broadcast_of_a_family(
    tmp_path_factory: Any, family: Any
) -> None:
    """They failed in broadcast 1; of each other: their state, and whether it was cancelled."""
    state = open_state(tmp_path_factory.mktemp("family") / "wacoex.db")
    try:
        _add_broadcasts(state, [("failed", False), *family])
        own = len(family) + 2
        _add_broadcasts(state, [("pending", False)], first=own)
        broadcast = Broadcasts(state).get(own)
        with state.transaction():
            Rows(state, own).skip_relatives(broadcast)

        has_or_waits = any(
            row in ("sending", "accepted", "delivered", "ambiguous")
            or (row in ("pending", "retry") and not is_cancelled)
            for row, is_cancelled in family
        )
        assert (Rows(state, own).count_open() == 0) == has_or_waits
    finally:
        state.close()


def _add_broadcasts(state: Any, rows: Any, first: int = 1) -> None:
    """Broadcast 1 and those of its family; the number has either spelling by turns."""
    spellings = ("+5215512345678", "+525512345678")
    with state.transaction():
        state.execute(
            "INSERT INTO channels (channel_id, name, phone, provider, created_at)"
            " VALUES (1, 'shop', '+6560000001', 'meta', '') ON CONFLICT DO NOTHING"
        )
        for number, (row_state, is_cancelled) in zip(itertools.count(first), rows, strict=False):
            state.execute(
                "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
                " parameter_sources, recipients_file, api_base_url, rate, planned_at, retry_of)"
                " VALUES (?, 1, ?, '{}', '[]', '-', '', 20, '', ?)",
                [number, "cancelled" if is_cancelled else "paused", 1 if number > 1 else None],
            )
            state.execute(
                "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state)"
                " VALUES (?, 1, 2, ?, '[]', ?)",
                [number, spellings[number % 2], row_state],
            )


def wrote(shop, phone):
    """A message from this number to the shop's came in."""
    with shop.state.transaction():
        shop.state.execute_many(
            "INSERT INTO events (event_key, payload_id, kind, source, at, phone, contact, data)"
            " VALUES (?, 1, 'message', 'meta', '2026-01-01T00:00:00Z', ?, ?, '{}')",
            [(f"message {phone}", shop.channel.phone, phone)],
        )


def test_a_number_in_no_known_range_is_left_out_unless_the_person_wrote(shop):
    people = [("+6591000001",), ("+6512345678",), ("+6512345679",)]
    wrote(shop, "+6512345679")
    planned = shop.plan(shop.file("ranges.csv", people))

    assert skipped(shop, planned) == {3: "unknown_range"}
    assert planned.unknown_ranges == ((3, "+6512345678"),)
    assert planned.broadcast.recipients == 2
    assert skipped(shop, shop.plan(shop.file("ranges.csv", people), accept_possible=True)) == {}


def test_a_message_longer_than_meta_takes_is_left_out_with_its_length(shop):
    header = ("phone", "name", "order")
    people = [(shop.phone(1), "Ana", "A-1"), (shop.phone(2), "Ben", "x" * 1_020)]
    planned = shop.plan(shop.file("long.csv", people, header), **ORDER)

    assert skipped(shop, planned) == {3: "too_long"}
    [row] = planned.skipped_rows
    assert row["detail"].startswith("the body would have 1,0")
    assert row["detail"].endswith("characters, Meta takes 1,024")


def test_the_plan_says_how_the_list_was_read(shop, cli):
    file = shop.directory / "titled.csv"
    file.write_text("All customers\nname,phone,mobile\nAna,+6591000001,+6591000002\n")
    outcome = cli("broadcast", "plan", file, "--template", "opening_hours", "--lang", "en_US")

    assert "line 1 above the header is left out: All customers" in outcome.out
    assert "wacoex takes the numbers from column `mobile`, not from `phone`" in outcome.out


OPENING = ("--template", "opening_hours", "--lang", "en_US")


def test_a_list_may_be_named_by_an_option_when_it_is_planned_and_when_it_is_sent(shop, cli):
    planned = cli("broadcast", "plan", "--file", shop.people(3), *OPENING, "--json")
    sent = cli("broadcast", "send", "--file", shop.people(3), *OPENING, "--yes", "--json")

    assert (planned.code, planned.data["recipients"]) == (0, 3)
    assert (sent.code, sent.data["recipients"]) == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plan", *OPENING), "which list? no file of recipients is given"),
        (
            ("plan", "a.csv", "--file", "b.csv", *OPENING),
            "two lists are given: `a.csv` and `b.csv`",
        ),
        (("send", "--to", "a.csv", "--file", "b.csv", *OPENING, "--yes"), "two lists are given"),
        (("send", "1", "--file", "b.csv", *OPENING, "--yes"), "give an id or `--to`, not both"),
    ],
)
def test_exactly_one_list_is_named(shop, cli, arguments, said):
    refused = cli("broadcast", *arguments)

    assert refused.code == 2
    assert said in refused.err


def test_a_quiet_plan_shows_the_number_of_people_and_the_problems(shop, cli):
    file = shop.file("list.csv", [(shop.phone(1),), (shop.phone(1),), ("none",)], ("phone",))
    whole = cli("broadcast", "plan", file, *OPENING)
    brief = cli("broadcast", "plan", file, *OPENING, "-q")

    head, *rest = brief.out.splitlines()
    assert head.startswith("broadcast 2 planned on shop: 1 recipient")
    assert "  skipped: 1 duplicate" in rest
    assert len(rest) < len(whole.out.splitlines()) / 2
    assert "would read" not in brief.out
    assert cli("broadcast", "plan", file, *OPENING, "-qq").out == ""


ORDER_READY = ("--template", "order_ready", "--lang", "en_US", "--param", "1=name")
NAMES = ("phone", "name", "order")


def test_an_empty_cell_gets_its_default_and_the_plan_counts_them(shop, cli):
    with shop.state.transaction():
        add_optout(shop.state, shop.phone(4), "person", None, shop.clock.now())
    names = ("#N/A", "", "Null", "-", "Ana")
    people = [(shop.phone(n), name, f"A-{n}") for n, name in enumerate(names, start=1)]
    file = shop.file("names.csv", people, NAMES)
    options = (*ORDER_READY, "--param", "2=order", "--default", "1=there")
    planned = cli("broadcast", "plan", file, *options, "--preview", "9", "--json").data
    text = cli("broadcast", "plan", file, *options, "--dry-run").out

    read = [row["text"].splitlines()[0] for row in planned["preview"]]
    assert [line.split(",")[0] for line in read] == [
        "Hello there",
        "Hello there",
        "Hello Null",
        "Hello Ana",
    ]
    # Who has opted out gets nothing, so no default either.
    assert planned["defaults"] == [{"placeholder": "1", "default": "there", "recipients": 2}]
    assert "default for 1: 2 recipients with 'there'" in text


def test_without_a_default_the_plan_shows_what_counts_as_empty(shop, cli):
    file = shop.file(
        "names.csv", [(shop.phone(1), "#REF!", "A-1"), (shop.phone(2), "Nan", "A-2")], NAMES
    )
    planned = cli("broadcast", "plan", file, *ORDER_READY, "--param", "2=order", "--json").data

    [row] = planned["skipped_rows"]
    assert (row["reason"], row["detail"]) == ("missing_parameter", "`name` (`#REF!`) is empty")
    assert planned["recipients"] == 1


def test_formats_are_shown_with_examples_and_sent_as_shown(shop, cli):
    file = shop.file(
        "due.csv",
        [
            (shop.phone(1), "  MARY ANN ", "1234.5"),
            (shop.phone(2), "jose", "20"),
            (shop.phone(3), "Ana", "much"),
        ],
        NAMES,
    )
    options = (*ORDER_READY, "--param", "2=order", "--format", "1=first,title")
    outcome = cli("broadcast", "plan", file, *options, "--format", "2=money:SGD", "--json")
    sent = cli("broadcast", "send", "1", "--yes", "--json")

    first, second = outcome.data["formats"]
    assert first["examples"][:2] == [
        {"cell": "MARY ANN", "text": "Mary"},
        {"cell": "jose", "text": "Jose"},
    ]
    assert second["examples"][0]["cell"] == "1234.5"
    assert [row["detail"] for row in outcome.data["skipped_rows"]] == [
        "2: `much` is not a number",
    ]
    assert sent.data["recipients"] == 2
    assert len(shop.world.log.accepted()) == 2
    kept = shop.rows(Broadcasts(shop.state).get(1)).values()
    assert [json.loads(row["parameters"]) for row in kept][:2] == [
        ["Mary", "$1,234.50"],
        ["Jose", "$20.00"],
    ]


def test_a_text_too_long_is_cut_only_with_truncate(shop, cli):
    file = shop.file("long.csv", [(shop.phone(1), "Ana", "x" * 1_020)], NAMES)
    options = (*ORDER_READY, "--param", "2=order")
    refused = cli("broadcast", "plan", file, *options)
    planned = cli("broadcast", "plan", file, *options, "--truncate", "--json").data

    assert (refused.code, planned["cut"]) == (2, 1)
    assert "too_long" in refused.err
    [shown] = planned["preview"]
    body = shown["text"].split("\n\n")[0]
    assert "x…" in body
    assert len(body) <= 1_024


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--default", "name=there"), "names no placeholder that is filled"),
        (("--default", "2=there"), "everybody gets the same for `2`"),
        (("--format", "1=shout"), "`shout` is not a format"),
        (("--format", "1=date", "--locale", "klingon"), "dates and numbers are written"),
    ],
)
def test_an_impossible_wording_plans_nothing(shop, cli, options, said):
    file = shop.file("names.csv", [(shop.phone(1), "Ana", "A-1")], NAMES)
    refused = cli("broadcast", "plan", file, *ORDER_READY, "--text", "2=soon", *options)

    assert refused.code == 2
    assert said in refused.err
    assert cli("broadcast", "list", "--json").data["broadcasts"] == []
