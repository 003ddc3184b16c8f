"""A network and a server that misbehave: where each row ends, and that nobody is sent to twice."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from wacoex_cli.sandbox.faults import Fault

# The fault, and what the record says of the row that it struck.
UNUSABLE = [
    (Fault("reset_before", count=1), "the connection broke"),
    (Fault("reset_after", count=1), "the connection broke"),
    (Fault("truncated_json", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("invalid_json", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("empty_body", count=1), "HTTP 200 with an empty body"),
    (Fault("empty_object", count=1), "HTTP 200 without a message id and without an error code"),
    (Fault("html", count=1), "HTTP 200 with a body that is not JSON"),
    (Fault("html", status=502, count=1), "HTTP 502 with a body that is not JSON"),
    (Fault("server_error", count=1), "HTTP 500 with a body that is not JSON"),
    (Fault("server_error", status=503, count=1), "HTTP 503 with a body that is not JSON"),
    (Fault("redirect", count=1), "HTTP 302, a redirect to redirected.example"),
    (Fault("redirect", status=307, count=1), "HTTP 307, a redirect to redirected.example"),
]


def described(case):
    return f"{case.kind}-{case.status}" if isinstance(case, Fault) else ""


@pytest.mark.parametrize(("fault", "why"), UNUSABLE, ids=described)
def test_without_a_usable_answer_a_row_is_ambiguous_and_never_sent_again(shop, fault, why):
    shop.faults(fault)
    broadcast = shop.planned(5)
    sent = shop.send(broadcast)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}
    [row] = [row for row in shop.rows(broadcast).values() if row["state"] == "ambiguous"]
    assert (row["detail"], row["code"], row["attempts"]) == (why, None, 1)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert len(shop.world.log.arrivals) == 5


def test_an_answer_that_does_not_come_in_time_is_ambiguous(shop):
    shop.faults(Fault("hang", arrivals=frozenset({3})))
    broadcast = shop.planned(5)
    sent = shop.send(broadcast, exchange_seconds=2.0)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}
    assert sent.exit_status == 7
    assert len(shop.world.log.accepted()) == 5, "and yet the message was taken"


def test_an_answer_that_drips_too_slowly_is_ambiguous(shop):
    shop.faults(Fault("slow_answer", seconds=30.0, arrivals=frozenset({3})))
    broadcast = shop.planned(5)
    shop.send(broadcast, exchange_seconds=2.0)

    assert shop.counts(broadcast) == {"accepted": 4, "ambiguous": 1}


def test_a_slow_server_slows_nobody_down_and_is_no_fault(shop):
    shop.faults(Fault("latency", seconds=0.5))
    broadcast = shop.planned(40)
    sent = shop.send(broadcast)

    assert sent.exit_status == 0
    assert shop.counts(broadcast) == {"accepted": 40}


@pytest.mark.parametrize("status", [200, 400, 403, 429, 500, 503])
def test_the_code_decides_whatever_the_http_status(shop, status):
    shop.faults(
        *(
            Fault(
                "refuse", code=code, status=status, recipients=frozenset({shop.phone(row)}), count=1
            )
            for row, code in enumerate([131026, 131000], start=1)
        )
    )
    broadcast = shop.planned(3)
    shop.send(broadcast)

    assert shop.states(broadcast) == ["rejected", "ambiguous", "accepted"]


def test_an_error_inside_http_200_is_an_error(shop, eventually):
    shop.faults(Fault("error_in_200", count=1))
    broadcast = shop.planned(3)

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        assert "131016" in {str(row["code"]) for row in shop.rows(broadcast).values()}
        shop.clock.leap(5)

    assert shop.send(broadcast, during=leap).exit_status == 0
    assert shop.taken_twice() == []


def test_a_server_that_cannot_be_reached_pauses_the_broadcast_and_nobody_is_ambiguous(
    shop, eventually
):
    broadcast = shop.planned(30)
    base_url, shop.base_url = shop.base_url, "http://127.0.0.1:9"

    async def leap():
        await eventually(lambda: "retry" in shop.states(broadcast))
        while shop.current(broadcast).status.value == "sending":
            shop.clock.leap(31)
            await asyncio.sleep(0.2)

    sent = shop.send(broadcast, during=leap)
    assert (sent.exit_status, sent.broadcast.status.value) == (6, "paused")
    assert "Meta cannot be reached" in str(sent.broadcast.reason)
    assert shop.counts(broadcast).keys() <= {"retry", "pending"}

    shop.base_url = base_url
    shop.clock.leap(600)
    assert shop.resume(broadcast).exit_status == 0
    assert shop.taken_twice() == []


def test_a_server_that_hangs_is_drained_for_ten_seconds_and_no_longer(shop, eventually):
    shop.faults(Fault("hang"))
    broadcast = shop.planned(100)

    async def interrupt():
        await eventually(lambda: len(shop.world.log.arrivals) >= 5)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.5)
        assert shop.current(broadcast).status.value == "sending", "it waits for answers"
        shop.clock.leap(10)

    sent = shop.send(broadcast, rate=50.0, during=interrupt)
    left = len(shop.world.log.arrivals)
    assert (sent.exit_status, sent.broadcast.status.value) == (130, "paused")
    assert shop.counts(broadcast) == {"ambiguous": left, "pending": 100 - left}

    shop.faults()
    shop.resume(broadcast)
    assert shop.counts(broadcast) == {"ambiguous": left, "accepted": 100 - left}
    assert shop.taken_twice() == []


def test_five_thousand_people_and_every_kind_of_trouble(shop):
    """One percent each of five faults, at known rows: everybody ends where they should."""
    people = 5_000
    row_of = {
        name: [*range(first, people + 1, 100)]
        for name, first in zip(
            ["hang", "reset_after", "server_error", "throttled", "undeliverable"],
            [7, 23, 41, 68, 92],
            strict=True,
        )
    }
    persons = {name: [shop.phone(row) for row in rows] for name, rows in row_of.items()}
    shop.faults(
        *(
            Fault(name, recipients=frozenset(persons[name]))
            for name in ("hang", "reset_after", "server_error")
        ),
        *(Fault("throttled", recipients=frozenset({who}), count=1) for who in persons["throttled"]),
        Fault("refuse", code=131026, recipients=frozenset(persons["undeliverable"])),
    )
    broadcast = shop.planned(people)
    sent = shop.send(broadcast, exchange_seconds=6.0)

    ends = {
        row: "ambiguous" for name in ("hang", "reset_after", "server_error") for row in row_of[name]
    }
    ends |= dict.fromkeys(row_of["undeliverable"], "rejected")
    expected = [ends.get(row, "accepted") for row in range(1, people + 1)]
    assert shop.states(broadcast) == expected
    assert shop.counts(broadcast) == Counter(expected)
    assert {state.value: n for state, n in sent.counts.by_state.items() if n} == Counter(expected)
    assert (sent.exit_status, sent.broadcast.status.value) == (7, "completed")
    assert shop.taken_twice() == []
    tried_twice = [row for row, found in shop.rows(broadcast).items() if found["attempts"] > 1]
    assert tried_twice == row_of["throttled"]
