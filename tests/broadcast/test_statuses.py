"""What Meta says of a message reaches its row: by the attempt, or else by the id of the message.

A status need not bring back what the sender gave a message to be known by: whatever hands webhooks
on may leave it out. And a message that Meta took may wait there, for a quality check or because its
template is paused.
"""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

import httpx
import pytest

from wacoex_cli.broadcast import reconcile, report, send
from wacoex_cli.contacts.store import is_opted_out, list_optouts
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger import figures
from wacoex_cli.ledger.model import (
    TAKEN_STATES,
    Counts,
    Fate,
    Judgement,
    RowState,
    attempt_id,
    exit_status,
)
from wacoex_cli.ledger.projection import bring_up_to_date
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.wire import Callbacks
from wacoex_cli.sandbox.world import PHONE, PHONE_NUMBER_ID, WABA_ID
from wacoex_cli.schema import migrations

PLAN = ("--template", "opening_hours", "--lang", "en_US")
SALE = {"template": "spring_sale", "parameters": {"first_name": "name"}}
HELD, PAUSED = "held by Meta for a quality check", "paused by Meta"


def accepted(shop):
    """The id of the message that each person got, by number."""
    return {arrival.recipient: arrival.message_id for arrival in shop.world.log.accepted()}


def webhook(shop, message_id, status, after=0, *, code=None, **who):
    """One delivery with a status that names no attempt."""
    moment = str(int(shop.clock.now().timestamp()) + after)
    said = {"id": message_id, "status": status, "timestamp": moment, **who}
    if code is not None:
        said["errors"] = [{"code": code, "title": "t", "message": "m"}]
    metadata = {"display_phone_number": PHONE.lstrip("+"), "phone_number_id": PHONE_NUMBER_ID}
    value = {"messaging_product": "whatsapp", "metadata": metadata, "statuses": [said]}
    change = {"field": "messages", "value": value}
    entry = {"id": WABA_ID, "time": int(moment), "changes": [change]}
    return {"object": "whatsapp_business_account", "entry": [entry]}


def imported(cli, bodies):
    outcome = cli("events", "import", "-", stdin="\n".join(map(json.dumps, bodies)) + "\n")
    assert outcome.code == 0, outcome.err


def heard(shop, *reported):
    """Let statuses come in that name no attempt: message id, word and code."""
    events = tuple(
        Event(
            key=f"meta:status:{message_id}:{word}",
            kind=Kind.STATUS,
            source=Source.META,
            at="2026-11-07T12:00:00.000Z",
            phone_number_id=PHONE_NUMBER_ID,
            message_id=message_id,
            data={"status": word, "code": code},
        )
        for message_id, word, code in reported
    )
    with shop.state.transaction():
        payload = Payload(Source.META, repr(reported), 1, "{}", events)
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())


@pytest.mark.parametrize("order", ["as they came", "the other way round", "mixed, and twice"])
def test_statuses_that_name_no_attempt_move_the_rows_of_their_messages(shop, cli, order):
    broadcast = shop.planned(6)
    shop.send(broadcast)
    ids, phone = accepted(shop), shop.phone

    def about(row, *reported):
        who = {"recipient_id": phone(row).lstrip("+")}
        return [
            webhook(shop, ids[phone(row)], word, after, code=code, **who)
            for word, after, code in reported
        ]

    bodies = [
        *about(1, ("failed", 0, 131026), ("sent", 1, None)),
        *about(2, ("read", 5, None), ("delivered", 3, None), ("sent", 1, None)),
        *about(3, ("sent", 0, None), ("failed", 9, 131049)),
        *about(4, ("delivered", 0, None), ("failed", 9, 131053)),
        *about(5, ("delivered", 0, None)),
        *about(6, ("failed", 0, 131050)),
        webhook(shop, "wamid.of-another-program", "failed", code=131050, recipient_id="6590000001"),
    ]
    if order == "the other way round":
        bodies.reverse()
    if order == "mixed, and twice":
        bodies = random.Random(7).sample(bodies * 2, k=2 * len(bodies))
    imported(cli, bodies)

    shown = cli("broadcast", "show", 1, "--json").data
    answer = {state: n for state, n in shown["counts"].items() if n}
    assert answer == {"failed": 3, "read": 1, "delivered": 2}
    assert {row["code"] for row in shown["codes"]} == {131026, 131049, 131050}
    assert shop.states(broadcast)[3:5] == ["delivered", "delivered"]
    # Who said so of a message of another program is on the list too.
    assert {optout.phone for optout in list_optouts(shop.state)} == {phone(6), "+6590000001"}
    people = shop.file("sale.csv", [(phone(n), "Ana") for n in range(1, 7)], ("phone", "name"))
    assert shop.plan(people, **SALE).skipped == {"opted_out": 1, "cooling_down": 1}
    assert cli("state", "check").code == 0


def test_a_listener_moves_them_while_they_come_in(shop, eventually):
    secret = {"WACOEX_META_APP_SECRET": shop.world.app_secret()}
    shop.environ |= {**secret, "WACOEX_WEBHOOK_VERIFY_TOKEN": "a-word-of-ours"}
    shop.world.patch_settings({"returns_callback_data": False})
    broadcast = shop.planned(20)
    listener = shop.start("-m", "wacoex_cli", "events", "listen", "--port", "0", "--json")
    try:
        url = json.loads(listener.stdout.readline())["url"]
        shop.world.callbacks = Callbacks(meta_url=f"{url}/webhooks/meta")

        async def all_arrived():
            await eventually(lambda: set(shop.states(broadcast)) <= {"delivered", "read"})

        shop.send(broadcast, during=all_arrived)
    finally:
        listener.terminate()
        listener.communicate(timeout=30)


def test_each_of_two_messages_to_one_person_has_its_own_end(shop, cli):
    people = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    first, second = shop.planned(people), shop.planned(people, **SALE)
    shop.send(first)
    [first_id] = accepted(shop).values()
    shop.send(second)
    [second_id] = accepted(shop).values()

    imported(
        cli, [webhook(shop, second_id, "failed", code=131026), webhook(shop, first_id, "read")]
    )

    cli("broadcast", "show", 1)
    assert (shop.states(first), shop.states(second)) == (["read"], ["failed"])


@pytest.mark.parametrize(
    "who",
    [{"recipient_id": "553188888888"}, {"recipient_user_id": "BR.1a2b"}, {}],
    ids=["other spelling", "user id only", "nobody"],
)
def test_a_status_may_name_the_person_in_any_way(shop, cli, who):
    broadcast = shop.planned(shop.file("brazil.csv", [("+5531988888888",)]))
    shop.send(broadcast)
    [message_id] = accepted(shop).values()

    imported(cli, [webhook(shop, message_id, "failed", code=131050, **who)])

    cli("broadcast", "show", 1)
    [row] = shop.rows(broadcast).values()
    assert (row["state"], row["code"]) == ("failed", 131050)
    assert is_opted_out(shop.state, "+5531988888888")


def test_a_status_that_is_here_before_the_answer_counts_when_the_answer_comes(shop, eventually):
    broadcast = shop.planned(1)
    shop.faults(Fault("slow_answer", seconds=0.5))

    async def overtake():
        [message_id] = (await eventually(lambda: accepted(shop))).values()
        heard(shop, (message_id, "delivered", None))
        bring_up_to_date(shop.state, shop.clock)
        assert shop.states(broadcast) == ["sending"]

    shop.send(broadcast, during=overtake)

    assert shop.states(broadcast) == ["delivered"]


def test_a_row_in_doubt_learns_its_message_and_the_statuses_that_came_before(shop):
    broadcast = shop.planned(1)
    shop.faults(Fault("reset_after"))
    shop.send(broadcast)
    heard(shop, ("wamid.LATE", "failed", 131026))
    bring_up_to_date(shop.state, shop.clock)
    assert shop.states(broadcast) == ["ambiguous"]

    name = attempt_id(Broadcasts(shop.state).state_id, broadcast.broadcast_id, 1, 1)
    sent = Event(
        "meta:status:wamid.LATE:sent",
        Kind.STATUS,
        Source.META,
        "2026-11-07T12:00:00.000Z",
        message_id="wamid.LATE",
        data={"status": "sent", "attempt_id": name},
    )
    with shop.state.transaction():
        payload = Payload(Source.META, "named", 1, "{}", (sent,))
        EventLog(shop.state).store([payload], Via.LISTEN, shop.clock.now())
    bring_up_to_date(shop.state, shop.clock)

    [row] = shop.rows(broadcast).values()
    assert (row["state"], row["code"]) == ("failed", 131026)


def test_a_message_that_meta_lists_brings_the_statuses_that_came_before(shop):
    broadcast = shop.planned(1)
    shop.faults(Fault("reset_after"))
    shop.send(broadcast)
    [message_id] = accepted(shop).values()
    heard(shop, (message_id, "read", None))
    bring_up_to_date(shop.state, shop.clock)
    assert shop.states(broadcast) == ["ambiguous"]

    doubts = figures.Figures(shop.state, 1).doubts([1])
    proven = Judgement(Fate.WENT_OUT, "it is in the list", "meta", message_id)
    [settled] = reconcile.settle(
        shop.state, 1, doubts, reconcile.Inquiry({1: proven}), shop.clock.now()
    )

    assert settled.state is RowState.READ
    assert shop.states(broadcast) == ["read"]


def test_a_status_with_the_name_of_another_program_or_file_joins_by_the_message(shop, cli):
    broadcast = shop.planned(2)
    shop.send(broadcast)
    bodies = [
        webhook(shop, message_id, "read", biz_opaque_callback_data=name)
        for message_id, name in zip(
            accepted(shop).values(), ["run7:row42", "wacoex-0123456789ab-1-2-1"], strict=True
        )
    ]
    imported(cli, bodies)

    cli("broadcast", "show", 1)
    assert shop.states(broadcast) == ["read", "read"]


def test_after_an_adoption_statuses_of_before_still_find_their_rows(shop, cli):
    broadcast = shop.planned(2)
    shop.send(broadcast)
    ids = accepted(shop)
    assert cli("state", "adopt", "--yes").code == 0

    imported(cli, [webhook(shop, ids[shop.phone(2)], "failed", code=131026)])

    cli("broadcast", "show", 1)
    assert shop.states(broadcast) == ["accepted", "failed"]


def test_a_row_is_found_by_its_message_with_the_index(shop, plan_rows):
    number = plan_rows(3_000)
    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET state = 'accepted', message_id = 'wamid.' || row")
    sql = "SELECT broadcast_id, row, attempts FROM recipients WHERE message_id = ?"
    [plan] = shop.state.rows(f"EXPLAIN QUERY PLAN {sql}", ["wamid.2000"])
    assert "USING INDEX recipients_by_message" in plan["detail"]

    heard(shop, *[(f"wamid.{row}", "delivered", None) for row in range(1, 3_001)])
    bring_up_to_date(shop.state, shop.clock)

    counts = figures.Figures(shop.state, number).counts()
    assert counts.of(RowState.DELIVERED) == 3_000


def test_the_chart_counts_statuses_that_name_no_attempt(shop):
    broadcast = shop.planned(2)
    shop.send(broadcast)
    heard(shop, *[(message_id, "delivered", None) for message_id in accepted(shop).values()])
    bring_up_to_date(shop.state, shop.clock)

    counted = figures.Figures(shop.state, 1).deliveries("2020-01-01", "wacoex-no-such-", 10)
    assert {row["status"]: row["n"] for row in counted} == {
        "accepted": broadcast.recipients,
        "sent": 2,
        "delivered": 2,
    }


@pytest.mark.parametrize("who", ["6591000001", "91000001", "SG.77"])
def test_a_stop_button_belongs_to_its_message_whichever_id_the_tap_names(shop, cli, who):
    people = shop.file("people.csv", [(shop.phone(1), "Ana")], ("phone", "name"))
    shop.send(shop.planned(people, **SALE))
    [message_id] = accepted(shop).values()
    sender = {"from_user_id": who} if who.startswith("SG.") else {"from": who}
    tap = {
        **sender,
        "id": "wamid.TAP",
        "timestamp": str(int(shop.clock.now().timestamp())),
        "context": {"from": PHONE.lstrip("+"), "id": message_id},
        "type": "button",
        "button": {"payload": "Stop promotions", "text": "Stop promotions"},
    }
    body = webhook(shop, "-", "-")
    value = body["entry"][0]["changes"][0]["value"]
    del value["statuses"]
    value["messages"] = [tap]
    imported(cli, [body])

    cli("broadcast", "show", 1)
    assert {optout.scope.value for optout in list_optouts(shop.state)} == {"marketing"}


# What Meta holds back


def held_shop(shop, cli, **options):
    """Two messages are held, one is paused, two go out."""
    held, paused = (frozenset(map(shop.phone, rows)) for rows in ((1, 2), (3,)))
    shop.faults(Fault("held", recipients=held), Fault("paused", recipients=paused))
    assert cli("broadcast", "plan", shop.people(5), *PLAN).code == 0
    return cli("broadcast", "send", 1, "--yes", "--overrule", "WX104", **options)


def control(shop, name, **values):
    return httpx.post(f"{shop.base_url}/_sandbox/{name}", json=values).json()


def test_held_messages_are_shown_apart_from_accepted_ones(shop, cli):
    sent = held_shop(shop, cli)

    assert sent.code == 0, sent.err
    target = shop.directory / "report.html"
    assert cli("broadcast", "report", 1, "--html", target).code == 0
    for shown in (
        sent.out,
        cli("broadcast", "show", 1).out,
        cli("broadcast", "report", 1).out,
    ):
        assert f"2 {HELD}" in shown
        assert f"1 {PAUSED}" in shown
        assert "2 accepted, 2 held_by_meta, 1 paused_by_meta" in shown
    page = target.read_text()
    assert f"<b>2</b> {HELD}</li>" in page
    assert f"<b>1</b> {PAUSED}</li>" in page
    table = cli("broadcast", "report", 1, "--csv", "-").out.splitlines()
    assert [line.split(",")[3] for line in table] == [
        *("state", "held_by_meta", "held_by_meta", "paused_by_meta", "accepted", "accepted")
    ]
    data = cli("broadcast", "show", 1, "--json").data
    assert (data["status"], data["taken"]) == ("completed", 5)
    counts = {state: n for state, n in data["counts"].items() if n}
    assert counts == {"accepted": 2, "held_by_meta": 2, "paused_by_meta": 1}
    assert cli("broadcast", "report", 1, "--json").data["funnel"]["accepted"] == 5
    assert cli("state", "check").code == 0


def test_the_screen_and_a_log_show_what_meta_holds_back(shop):
    shop.faults(Fault("held"), Fault("paused"))
    shop.send(shop.planned(3))

    last = shop.shots[-1]
    assert report.line(last).startswith(f"0 accepted, {HELD}: 3, 0 failed")
    assert f"0 accepted, {HELD}: 3, 0 failed, 0 ambiguous" in report.lines(last)
    assert report.to_json(last)["counts"]["held_by_meta"] == 3


def test_a_held_message_goes_out_or_fails_after_its_release(shop, cli, eventually):
    shop.world.callbacks = Callbacks(statuses=True)
    held_shop(shop, cli)
    broadcast = Broadcasts(shop.state).get(1)

    going = control(shop, "release", recipients=[shop.phone(1)])
    failing = control(shop, "release", code=132015)

    def reported():
        return shop.world.outbox.emitted(shop.world.monotonic())

    assert (going, failing) == ({"released": 1, "held_back": 2}, {"released": 2, "held_back": 0})

    def both_failed():
        return sum("132015" in json.dumps(body) for body in reported()) == 2

    asyncio.run(eventually(both_failed))
    imported(cli, reported())
    cli("broadcast", "show", 1)
    first, *others = shop.rows(broadcast).values()
    assert first["state"] in ("delivered", "read")
    assert [(row["state"], row["code"]) for row in others[:2]] == [("failed", 132015)] * 2
    shop.faults()
    again = cli("broadcast", "send", 1, "--retry-failed", "failed", "--yes", "--overrule", "WX104")
    assert again.code == 0, again.err
    assert shop.states(Broadcasts(shop.state).get(2)) == ["accepted", "accepted"]


def test_people_whose_message_waits_at_meta_have_it_already(shop, cli):
    held_shop(shop, cli)
    shop.faults()

    plan = cli("broadcast", "plan", shop.people(5), *PLAN, "--json")
    assert "WX507" in json.dumps(plan.data["findings"])
    again = cli("broadcast", "send", 2, "--yes", "--overrule", "WX104", "--skip-sent")
    assert again.code in (0, 5)
    assert shop.taken_twice() == []
    since = shop.clock.now() - timedelta(hours=1)
    assert figures.taken_since(shop.state, [1], since) == {1: 5}


def test_a_held_test_message_is_reported_as_held(shop):
    shop.faults(Fault("held"))
    test = send.plan_test(shop.state, shop.plan(2), shop.phone(9), shop.clock)
    shop.send(test)

    found = send.outcome(shop.state, test.broadcast_id, shop.phone(9))
    assert (found.state, found.exit_status) == (RowState.HELD_BY_META, 6)
    assert f"is {HELD}" in found.errors[0].message


@pytest.mark.parametrize("state", sorted(TAKEN_STATES))
def test_accepted_messages_that_have_not_failed_end_well(state):
    assert exit_status(Counts({state: 3}), None) == (7 if state is RowState.FAILED else 0)


def test_rows_of_before_keep_what_was_known_of_them(tmp_path, monkeypatch):
    """In a file of an older version a word beside the state said so."""
    path = tmp_path / "older.db"
    older = migrations.STEPS[: migrations.STEPS.index(migrations.m020_message_ids)]
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", older)
        old = open_state(path)
        with old.transaction():
            old.execute(
                "INSERT INTO channels (channel_id, name, phone, provider, created_at)"
                " VALUES (1, 'shop', '+15550783881', 'meta', '2026-11-01')"
            )
            old.execute(
                "INSERT INTO broadcasts (broadcast_id, channel_id, status, template,"
                " parameter_sources, recipients_file, api_base_url, rate, planned_at)"
                " VALUES (1, 1, 'completed', '{}', '[]', '-', 'http://127.0.0.1', 20, '2026-11-01')"
            )
            words = [None, "accepted", "held_for_quality_assessment", "paused", "paused"]
            for row, word in enumerate(words, start=1):
                old.execute(
                    "INSERT INTO recipients (broadcast_id, row, line, phone, parameters, state,"
                    " attempts, message_id, message_status)"
                    " VALUES (1, ?, 2, ?, '[]', ?, 1, ?, ?)",
                    [row, f"+6591{row:06}", "read" if row == 5 else "accepted", f"m{row}", word],
                )
        old.close()
    state = open_state(path)
    states = [row["state"] for row in state.rows("SELECT state FROM recipients ORDER BY row")]
    assert states == ["accepted", "accepted", "held_by_meta", "paused_by_meta", "read"]
    state.close()


def test_statuses_that_an_older_version_ignored_are_read_again(shop, monkeypatch):
    broadcast = shop.planned(2)
    shop.send(broadcast)
    ids = list(accepted(shop).values())
    with shop.state.transaction():
        shop.state.execute("UPDATE recipients SET message_id = 'unknown-' || row")
    heard(shop, (ids[0], "failed", 131026))
    bring_up_to_date(shop.state, shop.clock)
    with shop.state.transaction():
        for row, message_id in enumerate(ids, start=1):
            sql = "UPDATE recipients SET message_id = ? WHERE row = ?"
            shop.state.execute(sql, [message_id, row])
        shop.state.execute("ALTER TABLE recipients ADD COLUMN message_status TEXT")
        shop.state.execute(
            "DELETE FROM _sqlite_migrations WHERE name = ?", [migrations.m020_message_ids.__name__]
        )
    assert shop.states(broadcast) == ["accepted", "accepted"]

    state = open_state(shop.state.path)
    bring_up_to_date(state, shop.clock)
    state.close()

    assert shop.states(broadcast) == ["failed", "accepted"]
