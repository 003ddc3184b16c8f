"""A broadcast that is being sent in one process, and what other processes do to it."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest

from wacoex_cli.errors import UsageError
from wacoex_cli.sandbox.faults import Fault

PEOPLE = 60


@pytest.fixture
def start(shop, eventually):
    """Start the program, and wait until it has sent so many messages."""
    children = []

    def start_program(*arguments, arrivals=5):
        child = shop.start("-m", "wacoex_cli", *arguments)
        children.append(child)
        asyncio.run(
            eventually(lambda: len(shop.world.log.arrivals) >= arrivals or child.poll() is not None)
        )
        return child

    yield start_program
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def sending(shop, start):
    """A child that is sending broadcast 1."""

    def start_sending(*options):
        return start("broadcast", "send", 1, "--rate", 20, "--yes", *options)

    return start_sending


def interrupted(child, number):
    child.send_signal(number)
    return child.communicate(timeout=30)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_records_everything_and_says_how_to_resume(shop, sending, number, status):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    out, err = interrupted(child, number)

    assert child.returncode == status
    assert "stopping: requests under way may end (10 s at most); again to stop at once" in err
    assert "broadcast 1 on shop (opening_hours (en_US)): paused: it was interrupted" in out
    assert "to continue: wacoex broadcast resume 1" in out
    counts = shop.counts(broadcast)
    assert counts == {
        "accepted": len(shop.world.log.arrivals),
        "pending": PEOPLE - len(shop.world.log.arrivals),
    }


def test_an_interrupted_script_still_gets_its_json(shop, sending):
    shop.planned(PEOPLE)
    child = sending("--json")
    out, _ = interrupted(child, signal.SIGINT)

    envelope = json.loads(out)
    assert (child.returncode, envelope["exit_code"]) == (130, 130)
    assert envelope["data"]["status"] == "paused"
    assert sum(envelope["data"]["counts"].values()) == PEOPLE


def test_the_first_interrupt_waits_for_answers_and_the_second_does_not(shop, sending, eventually):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(PEOPLE)
    child = sending()
    child.send_signal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(eventually(lambda: child.poll() is not None), 1.0))
    out, _ = interrupted(child, signal.SIGINT)

    assert child.returncode == 130
    left = len(shop.world.log.arrivals)
    assert shop.counts(broadcast) == {"ambiguous": left, "pending": PEOPLE - left}
    assert "wacoex broadcast reconcile 1" in out


def test_after_an_interrupt_resume_sends_the_rest(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    interrupted(sending(), signal.SIGINT)
    resumed = cli("broadcast", "resume", 1, "--yes", "--json")

    assert (resumed.code, resumed.data["status"]) == (0, "completed")
    assert resumed.data["rate"]["requested"] == 20, "the rate it was sent with"
    assert shop.counts(broadcast) == {"accepted": PEOPLE}
    assert shop.taken_twice() == []


def test_pause_stops_the_sender_in_another_process(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    paused = cli("broadcast", "pause", 1, "--json")
    out, _ = child.communicate(timeout=30)

    assert (paused.code, paused.data["status"]) == (0, "paused")
    assert paused.data["counts"]["sending"] == 0, "it waits until the sender has ended"
    assert child.returncode == 7
    assert "paused by" in out
    assert "to continue: wacoex broadcast resume 1" in out
    arrived = len(shop.world.log.arrivals)
    assert shop.counts(broadcast) == {"accepted": arrived, "pending": PEOPLE - arrived}


def test_cancel_ends_it_for_good(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    cancelled = cli("broadcast", "cancel", 1, "--yes", "--json")
    child.communicate(timeout=30)

    assert (cancelled.code, cancelled.data["status"]) == (0, "cancelled")
    assert child.returncode == 7
    arrived = len(shop.world.log.arrivals)
    assert arrived < PEOPLE
    for verb in ("resume", "send"):
        refused = cli("broadcast", verb, 1, "--yes")
        assert refused.code == 2
        assert "broadcast 1 is cancelled" in refused.err
    assert shop.counts(broadcast) == {"accepted": arrived, "pending": PEOPLE - arrived}


def test_a_second_sender_is_locked_out(shop, cli, sending):
    shop.planned(PEOPLE)
    child = sending()
    second = cli("broadcast", "resume", 1, "--yes", "--json")

    assert second.code == 6
    assert second.envelope["errors"][0]["code"] == "locked"
    assert str(child.pid) in second.envelope["errors"][0]["message"]
    assert "is sending" in cli("broadcast", "send", 1, "--yes").err
    child.communicate(timeout=30)
    assert child.returncode == 0
    assert shop.taken_twice() == []


def test_while_it_is_being_sent_nobody_can_settle_its_rows(shop, cli, sending, eventually):
    shop.faults(Fault("reset_after", count=1))
    broadcast = shop.planned(PEOPLE)
    sending()
    asyncio.run(eventually(lambda: "ambiguous" in shop.states(broadcast)))
    refused = cli("broadcast", "reconcile", 1, "--as", "sent", "--yes")

    assert refused.code == 6
    assert "wacoex broadcast pause 1" in refused.err
    assert shop.counts(broadcast)["ambiguous"] == 1


def test_what_was_cancelled_while_somebody_was_asked_about_it_is_not_sent(shop, cli):
    broadcast = shop.planned(3)
    cli("broadcast", "cancel", 1, "--yes")

    with pytest.raises(UsageError, match="has become cancelled meanwhile"):
        shop.send(broadcast)
    assert shop.counts(broadcast) == {"pending": 3}
    assert shop.current(broadcast).status.value == "cancelled"
    assert shop.state.rows("SELECT * FROM locks") == []


def test_a_sender_whose_broadcast_was_taken_over_does_not_close_it_for_the_other(shop, eventually):
    broadcast = shop.planned(100)

    async def take_over():
        await eventually(lambda: len(shop.world.log.arrivals) >= 5)
        with shop.state.transaction():
            shop.state.execute("UPDATE locks SET holder = 'somebody on another machine'")

    sent = shop.send(broadcast, rate=50.0, during=take_over)
    assert "another process took this broadcast over" in str(sent.stop)
    assert shop.current(broadcast).status.value == "sending"
    assert shop.state.row("SELECT holder FROM locks")["holder"] == "somebody on another machine"


def test_after_a_kill_the_broadcast_is_shown_with_the_way_on(shop, cli, sending):
    broadcast = shop.planned(PEOPLE)
    child = sending()
    child.kill()
    child.communicate()
    shown = cli("broadcast", "show", 1)

    assert "wacoex broadcast resume 1" in shown.out
    assert cli("broadcast", "show", 1, "--json").data["is_being_sent"] is False
    assert cli("broadcast", "resume", 1, "--yes").code in (0, 7)
    assert shop.taken_twice() == []
    assert shop.counts(broadcast).keys() <= {"accepted", "ambiguous"}


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_what_is_not_under_way_cannot_be_paused_or_resumed(shop, cli, verb):
    shop.planned(1)
    refused = cli("broadcast", verb, 1, "--yes") if verb == "resume" else cli("broadcast", verb, 1)

    assert refused.code == 2
    assert "broadcast 1 is planned" in refused.err


def test_cancel_asks_first(shop, cli):
    broadcast = shop.planned(3)
    assert cli("broadcast", "cancel", 1, tty=True, stdin="n\n").code == 1
    assert cli("broadcast", "cancel", 1).code == 2
    assert shop.current(broadcast).status.value == "planned"
    assert (
        "3 people will never be sent to" in cli("broadcast", "cancel", 1, tty=True, stdin="y\n").err
    )
    assert cli("broadcast", "cancel", 1, "--yes").code == 2, "once is enough"
