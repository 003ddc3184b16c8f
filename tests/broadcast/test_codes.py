"""Each of Meta's error codes, as it meets a broadcast that is being sent."""

from __future__ import annotations

import asyncio
import json

import pytest

from wacoex_cli.audience.ledger import is_opted_out
from wacoex_cli.broadcast import report
from wacoex_cli.broadcast.store import Rows
from wacoex_cli.foundation.clock import from_text
from wacoex_cli.platforms.error_codes import classify
from wacoex_cli.sandbox.faults import Fault

CREDENTIALS = [
    *((code, None) for code in (0, 3, 10, 102, 104, 190, 200, 210, 299, 131005)),
    (100, 33),
]
REFUSED = [33, 368, 131031, 131037, 131042, 131044, 131045, 131048, 131055, 131063]
REFUSED += [131064, 132000, 132001, 132007, 132012, 132015, 132016, 132068, 133005, 133006]
REFUSED += [133007, 133008, 133009, 133010, 134011, 134100, 134102]
STOP = [(*code, 4) for code in CREDENTIALS] + [(code, None, 5) for code in REFUSED]
ROW = [100, 130403, 130472, 130497, 131008, 131009, 131021, 131026, 131030, 131047, 131049]
ROW += [131050, 131051, 131052, 131053, 131062, 132005, 132008, 132018, 135000, 137000, 424242]
# The first wait, in seconds.
RETRY = {2: 5, 4: 60, 17: 60, 341: 60, 613: 60, 80007: 60, 80008: 60, 130429: 1, 131016: 5}
RETRY |= {131056: 1, 131057: 60, 2494100: 60, 132069: 60, 133004: 5, 133015: 300}


def shown(shop, broadcast):
    """What the program says about a broadcast."""
    current = shop.current(broadcast)
    counts = Rows(shop.state, current.broadcast_id).counts()
    return "\n".join(report.sentences(report.summary(shop.state, current, counts)))


def only(shop, row):
    return frozenset({shop.phone(row)})


@pytest.mark.parametrize(("code", "subcode", "cause"), STOP)
def test_a_stop_pauses_the_broadcast_and_leaves_the_others_pending(shop, code, subcode, cause):
    shop.faults(Fault("refuse", code=code, subcode=subcode))
    broadcast = shop.planned(30)
    sent = shop.send(broadcast, rate=50.0)

    assert sent.exit_status == cause
    assert sent.broadcast.status.value == "paused"
    assert sent.broadcast.reason_code == code
    counts = shop.counts(broadcast)
    assert counts.keys() == {"retry", "pending"}
    assert counts["pending"] > 10
    told = shown(shop, broadcast)
    assert f"refused with code {code}: {classify(code, subcode).meaning}" in told
    assert classify(code).action in told
    assert "wacoex broadcast resume 1" in told


@pytest.mark.parametrize("code", [190, 131042])
def test_after_a_stop_resume_sends_to_everybody_once(shop, code):
    shop.faults(Fault("refuse", code=code, arrivals=frozenset({4})))
    broadcast = shop.planned(12)
    stopped = shop.send(broadcast, rate=50.0)
    assert stopped.exit_status == 7, "some were sent to already"
    assert shop.counts(broadcast)["retry"] == 1

    assert shop.resume(broadcast).exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 12}
    assert shop.taken_twice() == []


@pytest.mark.parametrize("code", ROW)
def test_a_code_of_one_person_rejects_that_row_and_the_others_go_on(shop, code):
    shop.faults(Fault("refuse", code=code, details="because", recipients=only(shop, 2)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert shop.states(broadcast) == ["accepted", "rejected", "accepted", "accepted"]
    row = shop.rows(broadcast)[2]
    assert (row["code"], row["detail"], row["attempts"]) == (code, "because", 1)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert f"code {code} (1 rejected): {classify(code).meaning}" in shown(shop, broadcast)
    assert is_opted_out(shop.state, shop.phone(2)) is (code == 131050)


def test_somebody_who_stopped_marketing_is_left_out_of_the_next_broadcast(shop):
    shop.faults(Fault("refuse", code=131050, recipients=only(shop, 2)))
    shop.send(shop.planned(3))

    assert shop.plan(3).skipped == {"opted_out": 1}


@pytest.mark.parametrize("code", [1, 131000])
def test_a_code_that_may_hide_a_sent_message_is_never_tried_again(shop, code):
    shop.faults(Fault("refuse", code=code, recipients=only(shop, 2)))
    broadcast = shop.planned(4)
    sent = shop.send(broadcast)

    assert shop.states(broadcast) == ["accepted", "ambiguous", "accepted", "accepted"]
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert [one.recipient for one in shop.world.log.arrivals].count(shop.phone(2)) == 1
    assert "wacoex broadcast reconcile 1" in shown(shop, broadcast)


@pytest.mark.parametrize("code", RETRY)
def test_a_row_refused_for_now_waits_and_is_then_accepted(shop, eventually, code):
    shop.faults(Fault("refuse", code=code, recipients=only(shop, 2), count=1))
    broadcast = shop.planned(3)

    async def wait_and_leap():
        await eventually(lambda: shop.states(broadcast)[1] == "retry")
        row = shop.rows(broadcast)[2]
        waits = from_text(row["not_before"]) - from_text(row["answered_at"])
        assert RETRY[code] - 1 <= waits.total_seconds() <= RETRY[code]
        shop.clock.leap(RETRY[code])

    sent = shop.send(broadcast, during=wait_and_leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (0, "completed")
    assert shop.states(broadcast) == ["accepted"] * 3
    assert shop.rows(broadcast)[2]["attempts"] == 2
    assert shop.taken_twice() == []


def test_a_wait_of_ten_minutes_is_for_the_next_run(shop, eventually):
    shop.faults(Fault("refuse", code=134101, recipients=only(shop, 2), count=1))
    broadcast = shop.planned(3)

    async def wait_and_leap():
        await eventually(lambda: shop.states(broadcast)[1] == "retry")
        shop.clock.leap(600)

    sent = shop.send(broadcast, during=wait_and_leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert "1 rows used up their tries of this run" in str(sent.broadcast.reason)
    assert shop.resume(broadcast).exit_status == 0


def test_five_tries_are_enough_for_one_run_and_the_next_has_five_more(shop, eventually):
    shop.faults(Fault("refuse", code=131056, recipients=only(shop, 2)))
    broadcast = shop.planned(3)

    async def leap():
        while shop.current(broadcast).status.value in ("planned", "sending"):
            shop.clock.leap(10)
            await asyncio.sleep(0.1)

    sent = shop.send(broadcast, during=leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert shop.rows(broadcast)[2]["attempts"] == 5

    shop.faults()
    shop.clock.leap(4**4)
    assert shop.resume(broadcast).exit_status == 0
    assert shop.rows(broadcast)[2]["attempts"] == 6


REGAIN = "X-Business-Use-Case-Usage"


def regain(minutes):
    usage = {"104": [{"type": "whatsapp", "estimated_time_to_regain_access": minutes}]}
    return {REGAIN: json.dumps(usage)}


@pytest.mark.parametrize(
    ("code", "headers", "seconds"),
    [
        (130429, {"Retry-After": "30"}, 30),
        (80007, regain(5), 300),
        (4, {}, 60),
    ],
)
def test_nothing_leaves_for_as_long_as_meta_asks(shop, eventually, code, headers, seconds):
    shop.faults(Fault("refuse", code=code, headers=headers, count=1))
    broadcast = shop.planned(60)
    arrivals = shop.world.log.arrivals

    async def watch():
        await eventually(lambda: shop.states(broadcast)[0] == "retry")
        await asyncio.sleep(0.2)
        before = len(arrivals)
        await asyncio.sleep(0.7)
        shop.clock.leap(seconds - 8)
        await asyncio.sleep(0.2)
        assert len(arrivals) == before < 60
        shop.clock.leap(8)

    sent = shop.send(broadcast, rate=100.0, during=watch)
    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 60}


@pytest.mark.parametrize("headers", [{"Retry-After": "601"}, regain(11)])
def test_a_wait_above_ten_minutes_pauses(shop, headers):
    shop.faults(Fault("refuse", code=80007, headers=headers))
    broadcast = shop.planned(30)
    sent = shop.send(broadcast, rate=50.0)

    assert (sent.exit_status, sent.broadcast.status.value) == (6, "paused")
    assert "Meta asks to wait 1" in str(sent.broadcast.reason)
    assert shop.counts(broadcast).keys() == {"retry", "pending"}
    assert sent.broadcast.reason_code == 80007

    shop.faults()
    arrived = len(shop.world.log.arrivals)
    assert shop.resume(broadcast).exit_status == 6, "it is too early"
    assert len(shop.world.log.arrivals) == arrived
    shop.clock.leap(700)
    assert shop.resume(broadcast).exit_status == 0


def test_a_broadcast_that_mostly_fails_pauses_and_names_the_codes(shop):
    rows = range(1, 120, 2)
    shop.faults(
        Fault("refuse", code=131026, recipients=frozenset(shop.phone(row) for row in rows)),
    )
    broadcast = shop.planned(120)
    sent = shop.send(broadcast, rate=60.0)

    counts = shop.counts(broadcast)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "paused")
    assert counts["rejected"] >= 6
    assert counts["pending"] > 30
    assert "code 131026 (" in str(sent.broadcast.reason)


def test_a_breaker_with_other_settings_lets_it_go_on(shop):
    shop.faults(Fault("refuse", code=131026))
    broadcast = shop.planned(40)
    sent = shop.send(broadcast, breaker_rows=100)

    assert (sent.exit_status, sent.broadcast.status.value) == (5, "completed")
    assert shop.counts(broadcast) == {"rejected": 40}
