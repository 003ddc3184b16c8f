"""Rows whose fate is unknown: listed, and settled by a person's word."""

from __future__ import annotations

import pytest

from wacoex_cli.sandbox.faults import Fault


@pytest.fixture
def broadcast(shop):
    """Five people; the requests for rows 2 and 4 broke off after they had left."""
    broadcast = shop.planned(5)
    broken = frozenset({shop.phone(2), shop.phone(4)})
    shop.faults(Fault("reset_after", recipients=broken))
    shop.send(broadcast)
    shop.faults()
    return broadcast


def reconcile(cli, *options, **more):
    return cli("broadcast", "reconcile", 1, *options, **more)


def decisions(state):
    found = state.rows("SELECT row, decision, decided_by FROM decisions ORDER BY decision_id")
    return [(one["row"], one["decision"], bool(one["decided_by"])) for one in found]


def test_without_a_decision_it_lists_the_rows_with_line_number_and_reason(shop, cli, broadcast):
    listed = reconcile(cli, tty=True)

    assert listed.code == 0
    assert "the connection broke" in listed.out
    assert shop.phone(2) in listed.out
    assert shop.phone(4) in listed.out
    assert shop.phone(1) not in listed.out
    assert "wacoex broadcast reconcile 1 --as sent --row ROW" in listed.out
    assert shop.counts(broadcast) == {"accepted": 3, "ambiguous": 2}


def test_the_json_lists_every_row(shop, cli, broadcast):
    data = reconcile(cli, "--json").data

    assert data["ambiguous"] == 2
    assert [(row["row"], row["line"], row["phone"]) for row in data["rows"]] == [
        (2, 3, shop.phone(2)),
        (4, 5, shop.phone(4)),
    ]
    assert {row["detail"] for row in data["rows"]} == {"the connection broke"}
    assert {row["verdict"] for row in data["rows"]} == {"unknown"}
    assert {row["why"][:9] for row in data["rows"]} == {"too early"}


@pytest.mark.parametrize(("word", "end"), [("sent", "accepted"), ("not-sent", "rejected")])
def test_a_person_says_what_became_of_them(shop, cli, broadcast, word, end):
    done = reconcile(cli, "--as", word, "--yes", "--json")

    assert (done.code, done.data["settled"]) == (0, 2)
    assert [shop.states(broadcast)[row - 1] for row in (2, 4)] == [end, end]
    assert decisions(shop.state) == [(2, word, True), (4, word, True)]
    assert "(says " in shop.rows(broadcast)[2]["reason"]
    assert shop.current(broadcast).status.value == "completed"
    assert len(shop.world.log.arrivals) == 5, "nothing was sent again"


def test_one_row_can_be_settled_by_itself(shop, cli, broadcast):
    reconcile(cli, "--as", "sent", "--row", 4, "--yes")

    assert [shop.states(broadcast)[row - 1] for row in (2, 4)] == ["ambiguous", "accepted"]
    assert reconcile(cli, "--json").data["ambiguous"] == 1


def test_a_row_that_does_not_wait_for_a_decision_cannot_be_settled(shop, cli, broadcast):
    refused = reconcile(cli, "--as", "sent", "--row", 2, "--row", 3, "--yes")

    assert refused.code == 2
    assert "row 3 of broadcast 1 is not waiting for a decision" in refused.err
    assert shop.counts(broadcast)["ambiguous"] == 2
    assert decisions(shop.state) == []


@pytest.mark.parametrize("word", ["sent", "not-sent"])
def test_settling_asks_first(shop, cli, broadcast, word):
    assert reconcile(cli, "--as", word, tty=True, stdin="n\n").code == 1
    assert reconcile(cli, "--as", word).code == 2, "and nobody can be asked"
    assert shop.counts(broadcast)["ambiguous"] == 2
    asked = reconcile(cli, "--as", word, tty=True, stdin="y\n")
    assert f"record 2 rows as {word}?" in asked.err
    assert asked.code == 0


def test_sending_again_needs_the_number_of_rows_typed(shop, cli, broadcast):
    asked = reconcile(cli, "--resend", tty=True, stdin="2\n")

    assert asked.code == 0
    assert "2 tried less than 10 minutes ago: a status may still come" in asked.err
    assert "2 people may get the message twice; type 2 to send it again" in asked.err
    assert shop.counts(broadcast) == {"accepted": 3, "pending": 2}
    assert shop.current(broadcast).status.value == "paused"
    assert "wacoex broadcast resume 1" in asked.out
    assert len(shop.world.log.arrivals) == 5, "nothing leaves before it is resumed"


@pytest.mark.parametrize(
    ("options", "typed", "status"),
    [
        ((), "3\n", 1),
        ((), "y\n", 1),
        ((), "\n", 1),
        (("--yes",), "", 1),
        (("--expect", 3), "", 1),
        (("--yes", "--no-input"), "", 2),
    ],
)
def test_any_other_number_changes_nothing(shop, cli, broadcast, options, typed, status):
    refused = reconcile(cli, "--resend", *options, tty=True, stdin=typed)

    assert refused.code == status
    assert shop.counts(broadcast) == {"accepted": 3, "ambiguous": 2}


def test_a_script_gives_the_number_as_an_option(shop, cli, broadcast):
    assert reconcile(cli, "--resend", "--expect", 2).code == 0
    assert shop.counts(broadcast) == {"accepted": 3, "pending": 2}


def test_what_is_to_be_sent_again_is_sent_once_more_and_under_another_attempt(shop, cli, broadcast):
    reconcile(cli, "--resend", "--row", 2, "--expect", 1)
    resumed = cli("broadcast", "resume", 1, "--yes")

    assert resumed.code == 7, "row 4 is still open"
    attempts = [
        arrival.biz_opaque_callback_data
        for arrival in shop.world.log.arrivals
        if arrival.recipient == shop.phone(2)
    ]
    assert len(set(attempts)) == len(attempts) == 2
    assert [shop.states(broadcast)[row - 1] for row in (2, 4)] == ["accepted", "ambiguous"]


def test_a_row_to_be_sent_again_waits_for_its_turn_even_if_a_run_ends_before(shop, cli, broadcast):
    reconcile(cli, "--resend", "--expect", 2)
    shop.faults(Fault("refuse", code=190))
    assert shop.resume(broadcast, rate=10.0).exit_status == 7
    shop.faults()

    assert shop.resume(broadcast).exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 5}


def test_an_unknown_word_is_refused_and_nothing_open_is_said_so(shop, cli, broadcast):
    assert reconcile(cli, "--as", "maybe", "--yes").code == 2
    assert "to send rows again: `--resend`" in reconcile(cli, "--as", "resend").err
    assert reconcile(cli, "--as", "sent", "--resend").code == 2
    assert shop.counts(broadcast)["ambiguous"] == 2
    reconcile(cli, "--as", "sent", "--yes")
    assert "has no row that waits for a decision" in reconcile(cli).out


def test_of_a_cancelled_broadcast_nothing_is_sent_again(shop, cli):
    shop.faults(Fault("reset_after", count=1), Fault("refuse", code=190))
    broadcast = shop.planned(4)
    shop.send(broadcast, rate=20.0)
    cli("broadcast", "cancel", 1, "--yes")
    refused = reconcile(cli, "--resend", "--expect", 1)

    assert refused.code == 2
    assert "was cancelled" in refused.err
    assert shop.counts(broadcast)["ambiguous"] == 1
    assert reconcile(cli, "--as", "sent", "--yes").code == 0
