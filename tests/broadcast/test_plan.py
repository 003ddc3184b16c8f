"""Planning: who is left out and why, what is frozen, what leaves no trace."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.broadcast.model import RowState, Status, lock_purpose
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import UsageError
from wacoex_cli.foundation import locks
from wacoex_cli.sandbox.faults import Fault

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


def test_everybody_who_cannot_be_sent_to_is_kept_with_the_reason(shop, state):
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
    assert (planned.broadcast.recipients, planned.broadcast.skipped) == (1, 4)
    assert shop.counts(planned.broadcast) == {"pending": 1, "skipped": 4}


def test_a_row_without_a_value_does_not_stand_in_the_way_of_a_later_one_that_has_it(shop):
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

    assert [one.recipient for one in world.log.arrivals] == [shop.phone(1)]
    assert json.loads(shop.rows(broadcast)[1]["parameters"]) == ["Ana", "A-1"]
    assert "Hello {{1}}, order {{2}} is ready." in broadcast.template


def test_ids_count_from_one(shop):
    assert [shop.planned(1).broadcast_id for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("people", [[], [("nobody",), ("",)]])
def test_a_list_in_which_nobody_can_be_sent_to_is_refused_and_leaves_nothing(shop, cli, people):
    file = shop.file("nobody.csv", people)
    outcome = cli("broadcast", "plan", file, "--template", "opening_hours", "--lang", "en_US")

    assert outcome.code == 2
    assert "nobody in this file can be sent to" in outcome.err
    assert shop.state.rows("SELECT * FROM broadcasts") == []
    assert shop.state.rows("SELECT * FROM recipients") == []


def test_a_dry_run_says_everything_and_leaves_nothing_behind(shop):
    planned = shop.plan(5, dry_run=True)

    assert planned.broadcast.recipients == 5
    assert [row["line"] for row in planned.first_rows] == [2, 3, 4]
    for table in ("broadcasts", "recipients", "locks"):
        assert shop.state.rows(f"SELECT * FROM {table}") == []
    assert list(locks.presence_directory(shop.state.path).iterdir()) == []


def test_an_unreadable_row_in_the_middle_leaves_nothing_behind(shop, tmp_path):
    file = tmp_path / "broken.ndjson"
    file.write_text('{"phone": "+6591000001"}\n{"phone": \n')

    with pytest.raises(UsageError, match="line 2"):
        shop.plan(file)
    assert shop.state.rows("SELECT * FROM broadcasts") == []


def abandoned_draft(shop, presence):
    with shop.state.transaction():
        draft = Broadcasts(shop.state).start_draft(
            channel_id=shop.channel.channel_id,
            name=None,
            template="{}",
            parameter_sources="[]",
            recipients_file="-",
            provider=Provider.META,
            api_base_url=shop.base_url,
            rate=20.0,
            now=shop.clock.now(),
        )
        locks.acquire(shop.state, lock_purpose(draft), presence, shop.clock)
    Rows(shop.state, draft).add([(1, 2, "+6591000001", "[]", "pending", None, None)])
    return draft


def test_what_a_killed_planner_left_is_cleaned_by_the_next_plan(shop):
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


def test_a_plan_that_was_finished_meanwhile_is_no_draft_to_discard(shop):
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
