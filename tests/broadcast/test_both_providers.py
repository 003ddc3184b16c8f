"""What every provider has to keep: through Meta or respond.io, the same states and nobody twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import pytest

from wacoex_cli.channels.model import Provider
from wacoex_cli.errors import StateError
from wacoex_cli.ledger.rows import Rows
from wacoex_cli.sandbox.faults import Fault
from wacoex_cli.sandbox.respondio_world import LIMITS, RESPONDIO_CHANNEL_ID
from wacoex_cli.sandbox.serve import running
from wacoex_cli.sandbox.wire import Callbacks

DRIVER = Path(__file__).parents[1] / "support/sender_process.py"
PEOPLE = 40
THROUGH_RESPONDIO = pytest.mark.parametrize("provider", [Provider.RESPONDIO], ids=str)
# Whatever spoils an answer, it is not known whether the message was taken.
UNUSABLE = (
    Fault("reset_before"),
    Fault("reset_after"),
    Fault("hang"),
    Fault("server_error"),
    Fault("server_error", status=503, accepts=True),
    Fault("html"),
    Fault("html", status=502),
    Fault("redirect"),
    Fault("truncated_json"),
    Fault("empty_body"),
    Fault("empty_object"),
)


@pytest.fixture(params=list(Provider), ids=str)
def provider(request):
    return request.param


@pytest.fixture
def shop(shop):
    """A shop whose people are contacts, where respond.io allows as much as Meta."""
    shop.befriend(PEOPLE)
    for endpoint in LIMITS:
        shop.world.respondio.set_limit(endpoint, 20)
    return shop


@pytest.fixture
def strike(shop):
    """Let a fault strike one row; its other properties stay."""

    def put(*faults: tuple[int, Fault]) -> None:
        shop.faults(*(one_person(fault, shop.phone(row)) for row, fault in faults))

    return put


def one_person(fault, phone):
    answer = {name: getattr(fault, name) for name in ("kind", "code", "status", "count", "accepts")}
    return Fault(**answer, recipients=frozenset({phone}))


def refusal(provider):
    """A refusal of one row, in the provider's own terms."""
    return Fault("refuse", code=131026 if provider is Provider.META else 400)


def test_everybody_is_sent_to_once(shop, provider):
    broadcast = shop.planned(6)
    sent = shop.send(broadcast)

    assert shop.counts(broadcast).keys() <= {"accepted", "sent", "delivered", "read"}
    assert (sent.exit_status, sent.broadcast.status.value) == (0, "completed")
    assert sent.broadcast.provider is provider
    arrivals = shop.world.log.arrivals
    assert sorted(arrival.recipient for arrival in arrivals) == [
        shop.phone(row) for row in range(1, 7)
    ]
    assert {arrival.api for arrival in arrivals} == {provider.value}
    ids = {row["phone"]: row["message_id"] for row in shop.rows(broadcast).values()}
    assert ids == {arrival.recipient: arrival.message_id for arrival in arrivals}


def test_a_refused_row_is_rejected_and_the_others_continue(shop, strike, provider):
    strike((2, refusal(provider)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert [state == "rejected" for state in shop.states(broadcast)] == [False, True, False, False]
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert shop.rows(broadcast)[2]["attempts"] == 1


def test_a_throttled_row_is_tried_again_and_nobody_is_sent_to_twice(shop, strike):
    strike((2, Fault("throttled", count=1)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert sent.exit_status == 0
    assert "rejected" not in shop.states(broadcast)
    assert [row["attempts"] for row in shop.rows(broadcast).values()] == [1, 2, 1, 1]
    assert shop.taken_twice() == []
    assert len(shop.world.log.accepted()) == 4


def test_without_a_usable_answer_a_row_is_ambiguous_and_never_sent_again(shop, strike):
    strike(*enumerate(UNUSABLE, start=1))
    broadcast = shop.planned(len(UNUSABLE) + 1)
    sent = shop.send(broadcast, exchange_seconds=2.0)
    shop.faults()

    *struck, last = shop.states(broadcast)
    assert set(struck) == {"ambiguous"}
    assert last != "ambiguous"
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert len(shop.world.log.arrivals) == len(UNUSABLE) + 1


def test_a_token_that_is_refused_stops_and_the_rows_wait(shop):
    shop.faults(Fault("expired_token"))
    broadcast = shop.planned(6)
    sent = shop.send(broadcast)

    assert (sent.exit_status, sent.broadcast.status.value) == (4, "paused")
    assert shop.counts(broadcast).keys() <= {"pending", "retry"}

    shop.faults()
    assert shop.resume(broadcast).exit_status == 0
    assert shop.taken_twice() == []
    assert len(shop.world.log.accepted()) == 6


def test_rows_that_could_not_leave_are_sent_when_the_network_is_back(shop, world, eventually):
    with running(world) as shop.base_url:
        broadcast = shop.planned(3)

    async def come_back():
        await eventually(lambda: "retry" in shop.states(broadcast))
        with running(world, port=int(shop.base_url.rpartition(":")[2])):
            while shop.current(broadcast).status.value == "sending":
                shop.clock.leap(2)
                await asyncio.sleep(0.2)

    assert shop.send(broadcast, during=come_back).exit_status == 0
    assert len(world.log.arrivals) == 3, "what could not leave did not arrive"
    assert shop.taken_twice() == []


def test_statuses_move_the_rows(shop, strike, cli, tmp_path, eventually, provider):
    """Meta tells them by webhook, respond.io only when it is asked."""
    expected = ["read", "failed", "read", "delivered", "read"]
    shop.world.callbacks = Callbacks(statuses=True)
    strike((2, Fault("status_failed")))
    broadcast = shop.planned(5)

    async def reported():
        if provider is Provider.RESPONDIO:
            await eventually(lambda: shop.states(broadcast) == expected)
            shop.clock.leap(60)

    shop.send(broadcast, during=reported)
    if provider is Provider.META:
        archive = tmp_path / "statuses.ndjson"
        emitted = shop.world.outbox.emitted(shop.world.monotonic() + 1.0)
        archive.write_text("".join(f"{json.dumps(entry)}\n" for entry in emitted))
        assert cli("events", "import", archive).code == 0

    assert shop.states(broadcast) == expected


def test_the_report_is_the_same(shop, strike, cli, provider):
    strike((2, refusal(provider)), (3, Fault("reset_after")))
    people = [(shop.phone(1),), (shop.phone(2),), ("=1+1",), (shop.phone(3),), (shop.phone(1),)]
    shop.send(shop.planned(shop.file("five.csv", people)))

    data = cli("broadcast", "report", 1, "--json").data

    assert (data["status"], data["recipients"]) == ("completed", 3)
    answer = [(row["line"], row["state"], row["reason"]) for row in data["rows"]]
    assert answer[1:] == [
        (3, "rejected", None),
        (4, "skipped", "invalid"),
        (5, "ambiguous", None),
        (6, "skipped", "duplicate"),
    ]
    assert data["taken"] == 1
    assert [run["ended_as"] for run in data["runs"]] == ["completed"]


def test_killed_and_resumed_everybody_is_sent_to_and_nobody_twice(shop):
    shop.faults(Fault("latency", seconds=0.3))
    broadcast = shop.planned(PEOPLE)
    kills = sum(killed(shop, broadcast, seconds) for seconds in (0.5, 1.0))
    last = start(shop, broadcast)
    last.communicate()

    counts = shop.counts(broadcast)
    open_or_lost = counts.keys() & {"pending", "sending", "retry", "rejected"}
    at_the_server = {arrival.recipient for arrival in shop.world.log.accepted()}
    taken = [row["phone"] for row in shop.rows(broadcast).values() if row["state"] != "ambiguous"]
    assert kills == 2
    assert not open_or_lost
    assert last.returncode == (7 if "ambiguous" in counts else 0)
    assert shop.taken_twice() == []
    assert set(taken) <= at_the_server


def start(shop, broadcast):
    """A sender as a process of its own, which has begun."""
    child = shop.start(DRIVER, shop.base_url, broadcast.broadcast_id, 20, 60)
    assert child.stdout.readline() == "sending\n"
    return child


def killed(shop, broadcast, seconds):
    """Kill a sender this many seconds after it began; False when it had ended."""
    child = start(shop, broadcast)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
    child.communicate()
    return child.returncode < 0


@THROUGH_RESPONDIO
def test_a_person_who_is_no_longer_a_contact_is_skipped(shop, strike, provider):
    strike((2, Fault("refuse", code=404)))
    broadcast = shop.planned(3)
    sent = shop.send(broadcast)

    assert shop.rows(broadcast)[2]["state"] == "skipped"
    assert shop.rows(broadcast)[2]["reason"] == "no_contact"
    assert sent.exit_status == 0
    assert sent.broadcast.recipients == 2


@THROUGH_RESPONDIO
def test_a_contact_that_is_still_being_processed_is_tried_again(shop, strike, eventually, provider):
    strike((2, Fault("refuse", code=449, count=1)))
    broadcast = shop.planned(3)

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        shop.clock.leap(61)

    assert shop.send(broadcast, during=leap).exit_status == 0
    assert [row["attempts"] for row in shop.rows(broadcast).values()] == [1, 2, 1]
    assert shop.taken_twice() == []


@THROUGH_RESPONDIO
def test_a_report_draws_how_far_polled_messages_came(shop, provider):
    broadcast = shop.planned(3)
    shop.send(broadcast)
    since, stretch = broadcast.planned_at, 10
    drawn = Rows(shop.state, broadcast.broadcast_id).deliveries(since, "", stretch)

    answer = {row["status"]: row["n"] for row in drawn}
    assert (answer["accepted"], answer["sent"], answer["delivered"]) == (3, 3, 3)
    assert Rows(shop.state, broadcast.broadcast_id).deliveries_end(since, "") > since


@THROUGH_RESPONDIO
def test_the_firewall_stops_a_broadcast(shop, provider):
    shop.faults(Fault("html", status=403))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert (sent.exit_status, sent.broadcast.status.value) == (4, "paused")
    assert shop.counts(broadcast).keys() <= {"pending", "retry"}

    shop.faults()
    assert shop.resume(broadcast).exit_status == 0
    assert shop.taken_twice() == []


@THROUGH_RESPONDIO
def test_a_person_who_is_not_a_contact_is_skipped_by_the_plan(shop, provider):
    broadcast = shop.planned(shop.file("two.csv", [(shop.phone(1),), (shop.phone(99),)]))
    shop.send(broadcast)

    skipped = shop.rows(broadcast)[2]
    assert (skipped["state"], skipped["reason"]) == ("skipped", "no_contact")
    assert [arrival.recipient for arrival in shop.world.log.arrivals] == [shop.phone(1)]


@THROUGH_RESPONDIO
def test_a_person_can_become_a_contact_first_and_is_sent_to_then(shop, eventually, provider):
    shop.world.respondio.contact_ready_seconds = 1.0
    people = shop.file(
        "two.csv",
        [(shop.phone(98), "Cleo"), (shop.phone(1), "Ana")],
        header=("phone", "first name"),
    )
    broadcast = shop.planned(people, create_contacts=True)
    assert shop.world.respondio.find(f"phone:{shop.phone(98)}") is None

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        await asyncio.sleep(1.0)
        shop.clock.leap(61)

    assert shop.send(broadcast, during=leap).exit_status == 0
    assert shop.world.respondio.find(f"phone:{shop.phone(98)}").first_name == "Cleo"
    assert shop.taken_twice() == []
    assert len(shop.world.log.accepted()) == 2


@THROUGH_RESPONDIO
def test_a_contact_that_cannot_be_stored_ends_the_run_and_no_row_waits_without_end(shop, provider):
    people = shop.file("one.csv", [(shop.phone(98), "Cleo")], header=("phone", "first name"))
    broadcast = shop.planned(people, create_contacts=True)
    with shop.state.transaction():
        shop.state.execute(
            "CREATE TRIGGER no_room BEFORE UPDATE OF new_contact ON recipients"
            " BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"
        )

    with pytest.raises(StateError, match="full"):
        shop.send(broadcast)

    with shop.state.transaction():
        shop.state.execute("DROP TRIGGER no_room")
    assert shop.resume(broadcast).exit_status == 0
    assert len(shop.world.log.accepted()) == 1


@THROUGH_RESPONDIO
def test_a_dead_meta_token_does_not_keep_respond_io_from_sending(shop, cli, provider):
    shop.environ["WACOEX_META_TOKEN"] = "EAA-no-longer-good"
    options = ("--template", "opening_hours", "--lang", "en_US")
    planned = cli("broadcast", "plan", shop.people(1), *options, "--json")

    assert planned.code == 0
    [unknown] = [finding for finding in planned.data["findings"] if finding["id"] == "WX709"]
    assert unknown["severity"] == "unknown"
    assert unknown["evidence"][0]["source"] == "meta"
    assert cli("broadcast", "send", "--yes").code == 0


@THROUGH_RESPONDIO
def test_a_channel_that_left_the_workspace_is_not_sent_through(shop, cli, provider):
    del shop.environ["WACOEX_META_TOKEN"]
    broadcast = shop.planned(2)
    shop.world.respondio.set_channels([{"id": 77, "name": "Website", "source": "webchat"}])
    refused = cli("broadcast", "send", "--yes")

    assert refused.code == 5
    assert f"no channel {RESPONDIO_CHANNEL_ID} in the workspace" in refused.err
    assert shop.counts(broadcast) == {"pending": 2}
    assert shop.world.log.arrivals == []
