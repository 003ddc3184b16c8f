"""The log of what arrived, and the figures over it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx

from wacoex_cli.sandbox.limits import Arrival, ArrivalLog
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID, World

Send = Callable[..., httpx.Response]


def arrival(number: int, at: float, *, to: str = "+6591234567", code: int | None = None) -> Arrival:
    return Arrival(
        number=number,
        at=at,
        phone_number_id=PHONE_NUMBER_ID,
        recipient=to,
        biz_opaque_callback_data=None,
        outcome="refused" if code else "accepted",
        accepted=code is None,
        code=code,
        message_id=None if code else f"wamid.{number}",
    )


def test_an_arrival_tells_who_was_written_to_when_and_what_became_of_it(
    send: Send, world: World, clock: SimpleNamespace
) -> None:
    answer = send("+6591234567", biz_opaque_callback_data="run7:row42").json()

    assert world.log.arrivals == [
        Arrival(
            number=1,
            at=clock.monotonic,
            phone_number_id=PHONE_NUMBER_ID,
            recipient="+6591234567",
            biz_opaque_callback_data="run7:row42",
            outcome="accepted",
            accepted=True,
            code=None,
            message_id=answer["messages"][0]["id"],
        )
    ]


def test_refused_messages_are_in_the_log_with_their_code(send: Send, world: World) -> None:
    send(template={"name": "none", "language": {"code": "en_US"}})

    (refused,) = world.log.arrivals
    assert (refused.outcome, refused.accepted, refused.code) == ("refused", False, 132001)
    assert world.log.accepted() == []


def test_the_summary_counts_each_recipient_and_names_duplicates(send: Send, world: World) -> None:
    for to in ("+6591234567", "+6591234568", "+6591234567"):
        send(to)
    send("+6591234569", type="image")

    summary = world.log.summary()

    assert (summary["arrivals"], summary["accepted"]) == (4, 3)
    assert summary["accepted_by_recipient"] == {"+6591234567": 2, "+6591234568": 1}
    assert summary["duplicates"] == {"+6591234567": 2}
    assert summary["refusals_by_code"] == {"131051": 1}
    assert summary["outcomes"] == {"accepted": 3, "refused": 1}


def test_the_summary_tells_the_busiest_second_and_the_first_and_last_moment() -> None:
    log = ArrivalLog()
    for number, at in enumerate((0.0, 0.5, 0.9, 1.0, 1.4, 5.0), start=1):
        log.add(arrival(number, at, code=130429 if at == 0.9 else None))

    summary = log.summary()

    assert summary["most_arrivals_in_one_second"] == 4
    assert summary["most_accepted_in_one_second"] == 3
    assert (summary["first_at"], summary["last_at"]) == (0.0, 5.0)


def test_the_summary_has_the_figures_of_each_number(send: Send, world: World) -> None:
    send("+6591234567")
    send("+6591234567", number=SECOND_PHONE_NUMBER_ID)

    summary: dict[str, Any] = world.log.summary()

    assert {each: row["accepted"] for each, row in summary["phone_numbers"].items()} == {
        PHONE_NUMBER_ID: 1,
        SECOND_PHONE_NUMBER_ID: 1,
    }
    assert summary["phone_numbers"][PHONE_NUMBER_ID]["duplicates"] == {}
    assert summary["duplicates"] == {"+6591234567": 2}


def test_an_empty_log_has_a_summary(world: World) -> None:
    summary = world.log.summary()

    assert (summary["arrivals"], summary["accepted"], summary["first_at"]) == (0, 0, None)


def test_many_thousand_arrivals_are_counted_one_by_one() -> None:
    log = ArrivalLog()
    for number in range(1, 50_001):
        log.add(arrival(number, number / 16, to=f"+65{90000000 + number}"))

    summary = log.summary()

    assert (summary["accepted"], summary["duplicates"]) == (50_000, {})
    assert summary["most_accepted_in_one_second"] == 16
    assert [each.number for each in log.since(49_998)] == [49_999, 50_000]
