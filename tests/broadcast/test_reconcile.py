"""Rows whose fate is unknown: listed, and settled by a person's word.

Reconcile asks the API that sent: Meta's message history, respond.io's message lists.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Provider
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.clock import from_text, to_text
from wacoex_cli.platforms.events import Source, Via
from wacoex_cli.platforms.payloads import payload_of
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import DEFAULT_RESPONDIO_TOKEN, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID


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
    return [(entry["row"], entry["decision"], bool(entry["decided_by"])) for entry in found]


def test_without_a_decision_it_lists_the_rows_with_line_number_and_reason(shop, cli, broadcast):
    listed = reconcile(cli, tty=True)

    assert listed.code == 0
    assert "the connection" in listed.out
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
def test_a_person_decides_what_happened_to_the_rows(shop, cli, broadcast, word, end):
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
    requests = reconcile(cli, "--as", word, tty=True, stdin="y\n")
    assert f"record 2 rows as {word}?" in requests.err
    assert requests.code == 0


def test_sending_again_needs_the_number_of_rows_typed(shop, cli, broadcast):
    requests = reconcile(cli, "--resend", tty=True, stdin="2\n")

    assert requests.code == 0
    assert "2 tried less than 10 minutes ago: a status may still come" in requests.err
    assert "2 people may get the message twice; type 2 to send it again" in requests.err
    assert shop.counts(broadcast) == {"accepted": 3, "pending": 2}
    assert shop.current(broadcast).status.value == "paused"
    assert "wacoex broadcast resume 1" in requests.out
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


def test_a_row_to_be_sent_again_is_sent_once_under_another_attempt(shop, cli, broadcast):
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


def test_an_unknown_word_is_refused_and_no_open_rows_are_reported(shop, cli, broadcast):
    assert reconcile(cli, "--as", "maybe", "--yes").code == 2
    assert "to send rows again: `--resend`" in reconcile(cli, "--as", "resend").err
    assert reconcile(cli, "--as", "sent", "--resend").code == 2
    assert shop.counts(broadcast)["ambiguous"] == 2
    reconcile(cli, "--as", "sent", "--yes")
    assert "has no row that waits for a decision" in reconcile(cli).out


def test_rows_of_a_cancelled_broadcast_are_not_sent_again(shop, cli):
    shop.faults(Fault("reset_after", count=1), Fault("refuse", code=190))
    broadcast = shop.planned(4)
    shop.send(broadcast, rate=20.0)
    cli("broadcast", "cancel", 1, "--yes")
    refused = reconcile(cli, "--resend", "--expect", 1)

    assert refused.code == 2
    assert "was cancelled" in refused.err
    assert shop.counts(broadcast)["ambiguous"] == 1
    assert reconcile(cli, "--as", "sent", "--yes").code == 0


HALF_AN_HOUR = 1800


def in_doubt(shop, *, people=6, rows=(3, 5), is_taken=False):
    """A broadcast of half an hour ago; the requests for these rows broke off on the way."""
    doubtful = shop.planned(people)
    broken = frozenset(shop.phone(row) for row in rows)
    shop.faults(
        Fault("server_error" if is_taken else "reset_after", recipients=broken, accepts=is_taken)
    )
    shop.send(doubtful)
    shop.faults()
    assert [
        row for row, state in enumerate(shop.states(doubtful), 1) if state == "ambiguous"
    ] == list(rows)
    long_ago(shop, HALF_AN_HOUR)
    return doubtful


def long_ago(shop, seconds):
    """Everything so far happened this many seconds before it did."""
    shop.world.travel(-seconds)
    with shop.state.transaction():
        for row in shop.state.rows("SELECT broadcast_id, row, claimed_at FROM recipients"):
            if row["claimed_at"]:
                moment = to_text(from_text(row["claimed_at"]) - timedelta(seconds=seconds))
                shop.state.execute(
                    "UPDATE recipients SET claimed_at = ?, answered_at = ?"
                    " WHERE broadcast_id = ? AND row = ?",
                    [moment, moment, row["broadcast_id"], row["row"]],
                )
        for table in ("broadcasts", "broadcast_runs"):
            shop.state.execute(
                f"UPDATE {table} SET started_at = strftime('%Y-%m-%dT%H:%M:%fZ', started_at, ?)",
                [f"-{seconds} seconds"],
            )


def verdicts(reported):
    return [(row["row"], row["verdict"]) for row in reported.data["rows"]]


def decided(shop):
    found = shop.state.rows("SELECT row, decision, decided_by FROM decisions ORDER BY decision_id")
    return [(entry["row"], entry["decision"], entry["decided_by"]) for entry in found]


# Meta


def test_a_history_without_a_message_of_that_moment_names_the_rows_that_did_not_go_out(shop, cli):
    doubtful = in_doubt(shop)
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(3, "did_not"), (5, "did_not")]
    assert answer.code == 0
    assert (answer.data["did_not"], answer.data["ambiguous"]) == (2, 2)
    assert answer.data["asked"]["meta"] == {"available": True, "why_not": None}
    assert answer.data["asked"]["respondio"]["available"] is None
    assert answer.data["rows"][0]["source"] == "Meta's message history"
    assert shop.counts(doubtful) == {"accepted": 4, "ambiguous": 2}, "and nothing moved"
    text = reconcile(cli, tty=True).out
    assert "2 did not go out, by what the list shows; not sent again" in text
    assert "wacoex broadcast reconcile 1 --resend" in text


def test_messages_without_our_id_leave_the_rows_unknown(shop, cli):
    in_doubt(shop, is_taken=True)
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(3, "unknown"), (5, "unknown")]
    assert answer.data["rows"][0]["why"] == (
        "2 messages of that moment are not ours by id: it may have gone out"
    )


def test_a_history_of_many_pages_is_read_back_to_the_row(shop, cli):
    in_doubt(shop, people=230, rows=(2,))

    assert verdicts(reconcile(cli, "--json")) == [(2, "did_not")]


def test_a_number_without_a_history_is_reported_and_nothing_is_lost(shop, cli):
    in_doubt(shop)
    shop.world.patch_settings({"message_history": False})
    answer = reconcile(cli, "--json")

    assert answer.code == 0
    assert verdicts(answer) == [(3, "unknown"), (5, "unknown")]
    assert answer.data["asked"]["meta"]["available"] is False
    assert "code 100" in answer.data["asked"]["meta"]["why_not"]
    assert "warning: not asked: Meta: Meta refused" in answer.err


def test_without_a_token_it_still_lists_the_rows(run, shop, cli):
    in_doubt(shop)
    environ = {name: value for name, value in shop.environ.items() if name != "WACOEX_META_TOKEN"}
    answer = run("broadcast", "reconcile", "1", "--json", env=environ)

    assert answer.code == 0
    assert verdicts(answer) == [(3, "unknown"), (5, "unknown")]
    assert "meta-token" in answer.data["asked"]["meta"]["why_not"]
    assert "warning: not asked: " in answer.err


def test_offline_nobody_is_asked(shop, cli):
    in_doubt(shop)
    shop.faults(Fault("server_error", on="reads"))
    answer = reconcile(cli, "--offline", "--json")

    assert verdicts(answer) == [(3, "unknown"), (5, "unknown")]
    assert answer.data["rows"][0]["why"] == "wacoex asked nobody"
    assert answer.data["asked"]["meta"] == {"available": None, "why_not": "wacoex asked nobody"}


def test_rows_of_a_moment_ago_are_not_asked_about(shop, cli):
    doubtful = shop.planned(2)
    shop.faults(Fault("reset_after", recipients=frozenset({shop.phone(2)})))
    shop.send(doubtful)
    shop.faults(Fault("server_error", on="reads"))
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(2, "unknown")]
    assert answer.data["asked"]["meta"] == {"available": None, "why_not": None}


def test_rows_that_did_not_go_out_are_sent_again_after_the_number_is_typed(shop, cli):
    doubtful = in_doubt(shop)
    requests = reconcile(cli, "--resend", tty=True, stdin="2\n")

    assert requests.code == 0
    assert "2 did not go out" in requests.err
    assert "type 2 to send it again" in requests.err
    assert "may get the message twice" not in requests.err
    assert shop.counts(doubtful) == {"accepted": 4, "pending": 2}
    assert "wacoex broadcast resume 1" in requests.out
    assert cli("broadcast", "resume", 1, "--yes").code == 0
    assert shop.counts(doubtful) == {"accepted": 6}
    assert shop.taken_twice() == []


# respond.io


@pytest.fixture
def desk(shop):
    """The shop's channel at respond.io."""
    now = shop.clock.now()
    registry.edit_channel(shop.state, "shop", {"respondio_channel_id": RESPONDIO_CHANNEL_ID}, now)
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = DEFAULT_RESPONDIO_TOKEN
    shop.environ["WACOEX_RESPONDIO_BASE_URL"] = f"{shop.base_url}/respondio/v2"
    return shop.world.respondio


@pytest.fixture
def doubtful(shop, desk):
    """Rows 3 and 5 are in doubt since half an hour; respond.io knows everybody."""
    doubtful = in_doubt(shop)
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET provider = 'respondio'")
    for row in range(1, 7):
        desk.add_contact(shop.phone(row))
    return doubtful


def outgoing(shop, row, *, seconds=1.0, template="opening_hours", **more):
    """A message of the API to the person in a row, so long after the row was claimed."""
    desk = shop.world.respondio
    claimed_at = from_text(shop.state.value("SELECT claimed_at FROM recipients WHERE row = 3"))
    message = {
        "type": "whatsapp_template",
        "template": {"name": template, "languageCode": "en_US", "components": []},
    }
    how = {"traffic": "outgoing", "source": "api", "at": claimed_at.timestamp() + seconds, **more}
    return desk.add_message(desk.find(f"phone:{shop.phone(row)}"), message, **how)["messageId"]


def test_a_row_whose_message_is_listed_went_out_and_is_moved_to_where_it_came(shop, cli, doubtful):
    statuses = [{"value": "pending", "timestamp": 1}, {"value": "delivered", "timestamp": 2}]
    message_id = outgoing(shop, 3, status=statuses)
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(3, "went_out"), (5, "did_not")]
    assert [row["state"] for row in answer.data["rows"]] == ["delivered", "ambiguous"]
    assert (answer.data["went_out"], answer.data["did_not"], answer.data["ambiguous"]) == (1, 1, 1)
    assert answer.data["asked"]["respondio"] == {"available": True, "why_not": None}
    assert shop.counts(doubtful) == {"accepted": 4, "delivered": 1, "ambiguous": 1}
    assert shop.rows(doubtful)[3]["message_id"] == str(message_id)
    assert decided(shop) == [(3, f"went out: message {message_id}", "respond.io's message list")]
    assert verdicts(reconcile(cli, "--json")) == [(5, "did_not")]
    assert cli("state", "check").code == 0


def test_a_message_that_failed_is_a_row_that_failed(shop, cli, doubtful):
    outgoing(shop, 3, status=[{"value": "failed", "timestamp": 1, "message": "Undeliverable"}])
    reconcile(cli)

    row = shop.rows(doubtful)[3]
    assert (row["state"], row["detail"]) == ("failed", "Undeliverable")


def test_other_messages_to_the_person_are_not_taken_for_it(shop, cli, doubtful):
    outgoing(shop, 3, template="something_else")
    outgoing(shop, 3, source="broadcast")
    outgoing(shop, 3, channel_id=4243)
    outgoing(shop, 5, seconds=-900)

    assert verdicts(reconcile(cli, "--json")) == [(3, "did_not"), (5, "did_not")]


def test_two_possible_messages_leave_the_row_unknown(shop, cli, doubtful):
    outgoing(shop, 3)
    outgoing(shop, 3, seconds=20)
    answer = reconcile(cli, "--json")

    assert verdicts(answer)[0] == (3, "unknown")
    assert "2 messages to this person could be it" in answer.data["rows"][0]["why"]


def test_a_message_that_is_another_broadcasts_row_is_not_taken_for_it(shop, cli, doubtful):
    message_id = outgoing(shop, 3)
    other = shop.planned(3)
    with shop.state.transaction():
        shop.state.execute(
            "UPDATE recipients SET state = 'accepted', message_id = ?, claimed_at ="
            " (SELECT claimed_at FROM recipients WHERE broadcast_id = 1 AND row = 3)"
            " WHERE broadcast_id = ? AND row = 3",
            [str(message_id), other.broadcast_id],
        )

    assert verdicts(reconcile(cli, "--json")) == [(3, "did_not"), (5, "did_not")]


def test_a_contact_that_is_gone_leaves_its_row_unknown_and_the_others_are_asked_about(
    shop, cli, doubtful, desk
):
    desk.set_phone(desk.find(f"phone:{shop.phone(3)}"), None)
    outgoing(shop, 5)
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(3, "unknown"), (5, "went_out")]
    assert "it may have been deleted or merged" in answer.data["rows"][0]["why"]
    assert answer.data["asked"]["respondio"]["available"] is True


def test_a_refused_token_is_reported_and_nothing_is_lost(shop, cli, doubtful):
    shop.environ["WACOEX_RESPONDIO_TOKEN"] = "expired"
    answer = reconcile(cli, "--json")

    assert answer.code == 0
    assert verdicts(answer) == [(3, "unknown"), (5, "unknown")]
    assert answer.data["asked"]["respondio"]["available"] is False
    assert "warning: not asked: respond.io: " in answer.err


def test_sending_again_leaves_out_people_whose_message_was_found(shop, cli, doubtful):
    outgoing(shop, 3)
    refused = reconcile(cli, "--resend", "--expect", "2")
    assert refused.code == 1
    assert "you typed 2, but this is about 1 row" in refused.err

    done = reconcile(cli, "--resend", "--expect", "1", "--json")

    assert (done.data["settled"], done.data["decision"]) == (1, "resend")
    assert shop.counts(doubtful) == {"accepted": 4, "sent": 1, "pending": 1}


def test_an_impossible_resend_is_refused_before_anything_is_read(shop, cli, doubtful, desk):
    assert reconcile(cli, "--resend").code == 2
    cli("broadcast", "cancel", 1, "--yes")
    with shop.state.transaction():
        shop.state.execute("UPDATE broadcasts SET status = 'cancelled'")
    assert reconcile(cli, "--resend", "--expect", "2").code == 2
    assert desk.calls["message/list"] == 0


@pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
def test_a_message_that_respondio_took_without_an_answer_is_found_and_not_sent_twice(shop, cli):
    shop.befriend(6)
    doubtful = shop.planned(6)
    shop.faults(
        Fault("server_error", accepts=True, recipients=frozenset({shop.phone(2)})),
        Fault("reset_before", recipients=frozenset({shop.phone(5)})),
    )
    shop.send(doubtful)
    shop.faults()
    answer = reconcile(cli, "--json")

    assert verdicts(answer) == [(2, "went_out"), (5, "unknown")]
    assert answer.data["rows"][1]["why"].startswith("too early")
    assert reconcile(cli, "--resend", "--expect", "1").code == 0
    assert cli("broadcast", "resume", 1, "--yes").code == 0
    assert shop.taken_twice() == []
    assert len(shop.world.log.accepted()) == 6


# Stored webhooks


def test_statuses_that_had_come_in_settle_their_rows_first(shop, cli):
    doubtful = in_doubt(shop, is_taken=True)
    with shop.state.transaction():
        EventLog(shop.state).store([status_of(shop, 3)], Via.LISTEN, shop.clock.now())
    answer = reconcile(cli, "--json")

    assert answer.data["settled_by_webhooks"] == 1
    assert verdicts(answer) == [(5, "unknown")]
    assert "1 message of that moment is not ours by id" in answer.data["rows"][0]["why"]
    assert shop.states(doubtful)[2] == "delivered"


def status_of(shop, row):
    sent = next(item for item in shop.world.log.accepted() if item.recipient == shop.phone(row))
    answer = {
        "id": sent.message_id,
        "status": "delivered",
        "timestamp": str(int(shop.clock.now().timestamp())),
        "biz_opaque_callback_data": sent.biz_opaque_callback_data,
    }
    value = {
        "metadata": {"phone_number_id": PHONE_NUMBER_ID, "display_phone_number": PHONE},
        "statuses": [answer],
    }
    entry = {"id": WABA_ID, "changes": [{"field": "messages", "value": value}]}
    body = {"object": "whatsapp_business_account", "entry": [entry]}
    return payload_of(Source.META, body, 1, key=b"key", received_at=shop.clock.now())
