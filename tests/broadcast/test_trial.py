"""Seeing a message before it goes out: `broadcast plan --preview` and `--test`.

`broadcast plan --test` through respond.io, which tells statuses only to those who ask.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time

import pytest

from wacoex_cli.broadcast import send
from wacoex_cli.channels.model import Provider
from wacoex_cli.contacts.store import add_optout
from wacoex_cli.events.store import EventLog
from wacoex_cli.foundation.state import open_state
from wacoex_cli.ledger.model import RowState, attempt_id
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.ledger.store import Broadcasts
from wacoex_cli.platforms.events import Event, Kind, Payload, Source, Via
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID

ME = "+6581234567"
TEST_ID = 2
READERS = [(f"+659100000{n}", f"Ana{n}", f"A-{n}") for n in range(1, 6)]
ORDER_READY = (
    *("--template", "order_ready", "--lang", "en_US"),
    *("--param", "1=name", "--param", "2=order"),
)


@pytest.fixture
def people(shop):
    return shop.file("people.csv", READERS, ("phone", "name", "order"))


def tell(state, clock, word, code=None):
    """A status webhook about the test comes in."""
    first = Event(
        key=f"meta:status:wamid.test:{word}",
        kind=Kind.STATUS,
        source=Source.META,
        at="2026-11-07T12:00:00.000Z",
        phone_number_id=PHONE_NUMBER_ID,
        message_id="wamid.test",
        data={
            "status": word,
            "attempt_id": attempt_id(Broadcasts(state).state_id, TEST_ID, 1, 1),
            "code": code,
        },
    )
    with state.transaction():
        payload = Payload(Source.META, f"digest {word}", 1, "{}", (first,))
        EventLog(state).store([payload], Via.LISTEN, clock.now())


@contextlib.contextmanager
def listening(shop, word, code=None):
    """Meanwhile somebody listens: a status is stored as soon as the sandbox has the message."""

    def listen():
        state = open_state(shop.state.path)
        until = time.monotonic() + 30
        while not shop.world.log.accepted() and time.monotonic() < until:
            time.sleep(0.02)
        tell(state, shop.clock, word, code)
        state.close()

    listener = threading.Thread(target=listen)
    listener.start()
    yield
    listener.join()


def test_the_first_persons_message_is_shown_unless_more_are_asked_for(cli, people):
    planned = cli("broadcast", "plan", people, *ORDER_READY)

    assert "the first recipient would read:\n  | Hello Ana1, order A-1 is ready." in planned.out
    assert "Ana2" not in planned.out


def test_preview_shows_the_wanted_number_of_rows_as_people_read_them(cli, people):
    planned = cli("broadcast", "plan", people, *ORDER_READY, "--preview", 3)

    assert planned.out.splitlines()[1:7] == [
        "line 2, +6591000001 would read:",
        "  | Hello Ana1, order A-1 is ready.",
        "line 3, +6591000002 would read:",
        "  | Hello Ana2, order A-2 is ready.",
        "line 4, +6591000003 would read:",
        "  | Hello Ana3, order A-3 is ready.",
    ]


def test_preview_leaves_out_skipped_people_and_ends_with_the_list(shop, cli):
    rows = [("nonsense", "Bo", "B-1"), READERS[0], READERS[1]]
    file = shop.file("three.csv", rows, ("phone", "name", "order"))
    options = (*ORDER_READY, "--preview", 100, "--dry-run", "--json")
    planned = cli("broadcast", "plan", file, *options)

    assert planned.data["preview"] == [
        {"line": 3, "phone": "+6591000001", "text": "Hello Ana1, order A-1 is ready."},
        {"line": 4, "phone": "+6591000002", "text": "Hello Ana2, order A-2 is ready."},
    ]
    assert planned.data["test"] is None


def test_header_body_footer_and_buttons_are_filled_in(shop, cli):
    header = ("phone", "day", "name", "code")
    file = shop.file("one.csv", [("+6591000001", "Monday", "Ana", "17")], header)
    template = ("--template", "appointment", "--lang", "en_US")
    filled = ("--param", "header.1=day", "--param", "1=name", "--param", "button.0=code")
    planned = cli("broadcast", "plan", file, *template, *filled, "--json")

    assert planned.data["preview"][0]["text"] == (
        "Appointment on Monday\n\nHello Ana, we expect you.\n\nCorner Bakery\n\n"
        "[Change it] https://bakery.example/a/17"
    )


@pytest.mark.parametrize("n", ["0", "101", "-1", "many"])
def test_preview_wants_a_number_from_1_to_100(cli, people, n):
    assert cli("broadcast", "plan", people, *ORDER_READY, "--preview", n).code == 2


def test_a_test_sends_the_first_rows_message_to_me_and_waits_for_its_status(shop, cli, people):
    with listening(shop, "delivered"):
        planned = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes", "--json")

    assert planned.code == 0
    assert planned.data["broadcast_id"] == 1
    test = planned.data["test"]
    assert (test["phone"], test["broadcast_id"], test["state"]) == (ME, TEST_ID, "delivered")
    [arrival] = shop.world.log.accepted()
    assert arrival.recipient == ME
    assert Rows(shop.state, TEST_ID).get(1)["message_id"] == test["message_id"]
    assert Broadcasts(shop.state).get(1).status.value == "planned"
    own = Broadcasts(shop.state).get(TEST_ID)
    assert (own.name, own.status.value, own.recipients) == ("test of 1", "completed", 1)
    assert shop.rows(own)[1]["parameters"] == '["Ana1", "A-1"]'


def test_a_test_is_listed_only_on_request(shop, cli, people):
    with listening(shop, "delivered"):
        cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes")

    def listed(*options):
        rows = cli("broadcast", "list", *options, "--json").data["broadcasts"]
        return [(row["broadcast_id"], row["name"]) for row in rows]

    [planned] = listed()
    assert planned[0] == 1
    assert listed("--tests") == [(TEST_ID, "test of 1"), planned]
    assert "test of 1" not in cli("broadcast", "list").out


def test_a_person_sees_the_message_and_is_asked_first(shop, cli, people):
    with listening(shop, "read"):
        planned = cli(
            "broadcast", "plan", people, *ORDER_READY, "--test", ME, tty=True, stdin="y\n"
        )

    assert planned.code == 0
    assert "  | Hello Ana1, order A-1 is ready." in planned.err
    assert f"send template order_ready (en_US) once to {ME} from +6560000001 (shop)?" in planned.err
    assert f"test to {ME}: read" in planned.out


def test_a_no_sends_nothing_and_leaves_the_plan_alone(shop, cli, people):
    planned = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, tty=True, stdin="n\n")

    assert planned.code == 1
    assert "broadcast 1 planned on shop" in planned.out
    assert "no test was sent" in planned.err
    assert shop.world.log.arrivals == []
    assert [entry.broadcast_id for entry in Broadcasts(shop.state).of_channel(None, None)] == [1]


def test_a_test_that_meta_refuses_says_why(shop, cli, people):
    shop.faults(Fault("refuse", code=131026, recipients=frozenset({ME})))
    planned = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes", "--json")

    assert planned.code == 5
    assert planned.data["test"]["state"] == "rejected"
    assert planned.data["test"]["code"] == 131026
    [error] = planned.envelope["errors"]
    assert error["code"] == "meta_131026"
    assert error["message"].startswith(f"the test to {ME} was rejected: code 131026, ")
    assert planned.data["recipients"] == 5


def test_a_test_that_fails_later_says_why(shop, cli, people):
    with listening(shop, "failed", 131049):
        planned = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes")

    assert planned.code == 5
    assert f"error: the test to {ME} failed: code 131049" in planned.err


def test_a_critical_finding_stops_the_test_and_leaves_no_trace(shop, cli, people):
    shop.world.patch_node(shop.world.nodes[PHONE_NUMBER_ID], {"is_on_biz_app": False})
    planned = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes", "--json")

    assert planned.code == 5
    assert planned.envelope["errors"][0]["code"] == "preflight"
    assert "--overrule" not in planned.envelope["errors"][0]["hint"]
    assert planned.data["test"]["state"] is None
    assert shop.world.log.arrivals == []
    assert [entry.broadcast_id for entry in Broadcasts(shop.state).of_channel(None, None)] == [1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--test", "me", "--yes"), "`--test me` is not a phone number"),
        (("--test", ME, "--yes", "--dry-run"), "`--dry-run` forbids"),
        (("--test", ""), "needs `--yes`"),
        (("--test", "", "--yes"), "is not a phone number"),
    ],
)
def test_a_test_that_cannot_be_sent_is_refused_before_anything_is_planned(
    shop, cli, people, options, said
):
    refused = cli("broadcast", "plan", people, *ORDER_READY, *options)

    assert refused.code == 2
    assert said in refused.err
    assert Broadcasts(shop.state).of_channel(None, None) == []


def test_nobody_who_opted_out_gets_a_test(shop, cli, people):
    with shop.state.transaction():
        add_optout(shop.state, ME, "by hand", None, shop.clock.now())
    refused = cli("broadcast", "plan", people, *ORDER_READY, "--test", ME, "--yes")

    assert refused.code == 2
    assert f"wacoex optout remove {ME}" in refused.err
    assert Broadcasts(shop.state).of_channel(None, None) == []


def test_somebody_who_opts_out_just_before_the_test_gets_none(shop):
    test = send.plan_test(shop.state, shop.plan(2), ME, shop.clock)
    with shop.state.transaction():
        add_optout(shop.state, ME, "by hand", None, shop.clock.now())
    shop.send(test)
    found = send.outcome(shop.state, test.broadcast_id, ME)

    assert (found.state, found.exit_status) == (RowState.SKIPPED, 5)
    assert shop.world.log.arrivals == []


@pytest.fixture
def sent_test(shop):
    """A test that the sandbox has taken, and nothing heard of it yet."""
    test = send.plan_test(shop.state, shop.plan(2), ME, shop.clock)
    shop.send(test)
    return test.broadcast_id


def test_when_no_status_comes_it_asks_whether_anything_is_listening(shop, sent_test, clock):
    before = clock.now()
    asyncio.run(send.wait_for_status(shop.state, sent_test, clock))
    found = send.outcome(shop.state, sent_test, ME)

    assert (clock.now() - before).total_seconds() == send.WAITS_SECONDS
    assert (found.state, found.exit_status) == (RowState.ACCEPTED, 6)
    assert "is `wacoex events listen` running?" in found.errors[0].message
    assert "wacoex events subscribe --check" in str(found.errors[0].hint)


def test_the_status_sent_is_reported_when_no_later_status_comes(shop, sent_test, clock):
    tell(shop.state, clock, "sent")
    asyncio.run(send.wait_for_status(shop.state, sent_test, clock))
    found = send.outcome(shop.state, sent_test, ME)

    assert sum(clock.slept) == send.WAITS_SECONDS
    assert (found.state, found.exit_status, found.errors) == (RowState.SENT, 0, ())


def test_a_test_whose_answer_never_came_is_settled_by_its_status(shop, clock):
    shop.faults(Fault("reset_after", recipients=frozenset({ME})))
    test = send.plan_test(shop.state, shop.plan(2), ME, shop.clock)
    shop.send(test)
    unknown = send.outcome(shop.state, test.broadcast_id, ME)
    tell(shop.state, clock, "delivered")
    asyncio.run(send.wait_for_status(shop.state, test.broadcast_id, clock))

    assert (unknown.state, unknown.errors[0].code) == (RowState.AMBIGUOUS, "ambiguous")
    assert send.outcome(shop.state, test.broadcast_id, ME).state is RowState.DELIVERED
    assert clock.slept == []


@pytest.mark.parametrize("faults", [(), (Fault("hang"),)], ids=["waiting", "sending"])
def test_an_interrupted_test_leaves_the_plan_as_it_is(shop, people, eventually, faults):
    """Somebody who does not want to wait for the status, or for Meta's answer."""
    shop.faults(*faults)
    arguments = ("-m", "wacoex_cli", "broadcast", "plan", people, *ORDER_READY)
    child = shop.start(*arguments, "--test", ME, "--yes", "-q")
    asyncio.run(eventually(lambda: shop.world.log.arrivals))
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    if faults:
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)

    assert child.returncode == 130
    assert [arrival.recipient for arrival in shop.world.log.arrivals] == [ME]
    assert Broadcasts(shop.state).get(1).status.value == "planned"
    reached = "ambiguous" if faults else "accepted"
    assert shop.counts(Broadcasts(shop.state).get(TEST_ID)) == {reached: 1}


PLAN = ("broadcast", "plan", "people.csv", "--template", "spring_sale", "--lang", "en_US")


@pytest.fixture
def plan(shop, cli, monkeypatch):
    """Plan for two contacts and send the test to ME; gives the answer."""
    shop.befriend(2)
    shop.file("people.csv", [(shop.phone(1), "Ana"), (shop.phone(2), "Bo")], ("phone", "name"))
    monkeypatch.chdir(shop.directory)

    def run_it():
        return cli(*PLAN, "--param", "first_name=name", "--test", ME, "--yes", "--json")

    return run_it


def sent_to(shop) -> list[str | None]:
    return [arrival.recipient for arrival in shop.world.log.arrivals]


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_a_test_waits_for_what_respondio_says_of_it(shop, plan):
    shop.world.respondio.add_contact(ME, "Me")

    planned = plan()

    assert planned.code == 0
    assert planned.data["test"]["state"] in {"delivered", "read"}
    assert sent_to(shop) == [ME]


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_a_failed_test_is_reported_with_its_code(shop, plan):
    shop.world.respondio.add_contact(ME, "Me")
    shop.faults(Fault("status_failed", code=131026))

    planned = plan()

    assert planned.code == 5
    assert (planned.data["test"]["state"], planned.data["test"]["code"]) == ("failed", 131026)


@pytest.mark.parametrize("provider", [Provider.RESPONDIO])
def test_a_test_to_a_person_who_is_not_a_contact_is_refused(shop, plan):
    planned = plan()

    assert planned.code == 5
    assert "is not a contact at respond.io" in planned.err + planned.out
    assert shop.world.log.accepted() == []


def test_a_test_of_a_row_has_the_values_of_that_row(shop, cli, people):
    with listening(shop, "delivered"):
        options = (*ORDER_READY, "--row", 4, "--test", ME, "--yes", "--json")
        planned = cli("broadcast", "plan", people, *options)

    assert planned.data["test"]["state"] == "delivered"
    [row] = shop.state.rows("SELECT * FROM recipients WHERE broadcast_id = ?", [TEST_ID])
    assert (row["line"], row["parameters"]) == (4, '["Ana3", "A-3"]')
