"""`broadcast send ID --retry-failed CLASS`: the failed rows of one broadcast, in another one."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wacoex_cli.audience.ledger import add_optout
from wacoex_cli.broadcast import send
from wacoex_cli.broadcast.store import Broadcasts, Rows
from wacoex_cli.channels.model import Provider
from wacoex_cli.foundation.clock import to_text
from wacoex_cli.foundation.locks import Presence
from wacoex_cli.foundation.state import open_state
from wacoex_cli.sandbox.faults import Fault


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
    return cli("broadcast", "send", of, "--retry-failed", word, *flags, *options, **more)


def retried(shop, broadcast_id=2):
    """The rows of a retry and where they stand."""
    rows = shop.rows(Broadcasts(shop.state).get(broadcast_id))
    return {row: (one["state"], one["reason"]) for row, one in rows.items()}


def taken(shop, row):
    return sum(one.recipient == shop.phone(row) for one in shop.world.log.accepted())


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


def test_who_opted_out_meanwhile_is_skipped(shop, cli, failed):
    with shop.state.transaction():
        add_optout(shop.state, shop.phone(2), "manual", None, shop.clock.now())
    again(cli, "131026")

    assert retried(shop) == {1: ("accepted", None), 2: ("skipped", "opted_out")}
    assert taken(shop, 2) == 0


def test_nobody_is_retried_twice_whichever_broadcast_is_named(shop, cli, failed):
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
    asked = again(cli, "131026", yes=False, tty=True, stdin="n\n")
    assert asked.code == 1
    assert "failed rows of broadcast 1 to be sent again: 2" in asked.err
    assert retried(shop) == {1: ("pending", None), 2: ("pending", None)}
    refused = again(cli, "131026")
    assert "(duplicate 2)" in refused.err
    assert "wacoex broadcast list" in refused.err

    cli("broadcast", "cancel", 2, "--yes")
    assert again(cli, "131026").code == 0
    assert [taken(shop, row) for row in (1, 2)] == [1, 1]


def test_who_got_the_message_after_all_is_left_out_when_the_retry_is_sent_later(shop, cli, failed):
    again(cli, "all", yes=False, tty=True, stdin="n\n")
    set_state(shop, 1, 4, "delivered")

    assert cli("broadcast", "send", 2, "--yes").code == 0
    assert retried(shop)[4] == ("skipped", "duplicate")
    assert taken(shop, 4) == 1, "the one of the first broadcast"
    assert cli("state", "check").code == 0


def test_a_row_that_a_person_settled_is_no_failure(shop, cli, failed):
    cli("broadcast", "reconcile", 1, "--as", "not-sent", "--yes")
    again(cli, "rejected")

    assert 5 not in retried(shop)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("ambiguous", "wacoex broadcast reconcile 1"),
        ("nonsense", "one of failed, rejected, retry, row, stop, all"),
        ("-5", "is no class"),
        ("190", "there are 1 failed with 131053, 2 rejected with 131026, 1 rejected with 131049"),
        ("stop", "has no failed rows of class stop"),
    ],
)
def test_an_unfit_class_plans_nothing(shop, cli, failed, word, said):
    refused = again(cli, word)

    assert refused.code == 2
    assert said in refused.err
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1


def test_it_needs_an_id_somebody_to_ask_and_nothing_else_that_plans(shop, cli, failed):
    assert cli("broadcast", "send", "--retry-failed", "all", "--yes").code == 2
    assert again(cli, "all", "--to", "people.csv").code == 2
    assert again(cli, "all", "--template", "opening_hours").code == 2
    assert again(cli, "all", yes=False).code == 2, "nobody can be asked"
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1


def test_a_dry_run_shows_the_requests_and_leaves_nothing_behind(shop, cli, failed):
    shown = again(cli, "131026", "--dry-run", "--json", yes=False)

    assert shown.code == 0
    assert shown.data["recipients"] == 2
    assert [one["body"]["to"] for one in shown.data["requests"]] == [shop.phone(1), shop.phone(2)]
    assert len(shop.state.rows("SELECT 1 FROM broadcasts")) == 1
    assert len(shop.state.rows("SELECT 1 FROM recipients")) == 7


def test_a_broadcast_that_is_being_sent_is_not_retried(shop, cli, failed):
    from wacoex_cli.broadcast.model import lock_purpose
    from wacoex_cli.foundation import locks

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
    assert "2 people would be sent to, not 5" in refused.err


def test_a_test_whose_sender_was_killed_is_not_what_is_sent_without_an_id(shop, cli):
    planned = shop.plan(2)
    orphan = send.plan_test(shop.state, planned, "+6591999999", shop.clock)
    assert orphan.test_of == planned.broadcast.broadcast_id

    done = cli("broadcast", "send", "--yes", "--json")

    assert (done.code, done.data["broadcast_id"]) == (0, planned.broadcast.broadcast_id)


@pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
def test_through_respondio_who_is_no_contact_any_more_is_skipped(shop, cli):
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
def test_whatever_the_family_of_a_broadcast_has_done_a_person_waits_in_one_of_it_at_most(
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
    """Broadcast 1 and those of its family; the person is spelt in either way by turns."""
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
