"""The two rates that the sandbox keeps, and its log of what arrived."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wacoex_cli.sandbox.defaults import default_world
from wacoex_cli.sandbox.faults import GraphError
from wacoex_cli.sandbox.wire import Arrival, ArrivalLog, SlidingSecond
from wacoex_cli.sandbox.world import PHONE_NUMBER_ID, SECOND_PHONE_NUMBER_ID, PairRate, World

Send = Callable[..., httpx.Response]


def taken(world: World, at: float, *, number: str = PHONE_NUMBER_ID, to: str | None = None) -> bool:
    try:
        world.take(number, to or f"+65{at}", at)
    except GraphError as refusal:
        assert refusal.code in (130429, 131056)
        return False
    return True


def test_the_twenty_first_message_in_a_second_is_refused(world: World) -> None:
    assert [taken(world, 1.0 + n / 100) for n in range(21)] == [True] * 20 + [False]


def test_a_place_is_free_again_exactly_one_second_after_the_message_that_took_it(
    world: World,
) -> None:
    for _ in range(20):
        taken(world, 1.0, to=f"+65{_}")

    assert not taken(world, 1.999)
    assert taken(world, 2.0)


def test_refused_messages_do_not_count(world: World) -> None:
    for at in (1.0, 1.5, 1.9):
        for n in range(30):
            taken(world, at, to=f"+65{at}{n}")

    assert taken(world, 2.0)


def test_each_number_has_its_own_limit(world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 1)

    assert [taken(world, 1.0, to=f"+65{n}") for n in range(2)] == [True, False]
    assert taken(world, 1.0, number=SECOND_PHONE_NUMBER_ID)


def test_a_message_above_the_limit_gets_130429(send: Send, world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 0)

    response = send()

    assert response.status_code == 400
    assert response.json()["error"]["code"] == 130429
    assert response.json()["error"]["message"] == "(#130429) Rate limit hit"


def test_the_http_status_of_a_throttled_message_can_be_chosen(send: Send, world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 0)
    world.patch_settings({"throttle_status": 429})

    assert send().status_code == 429


def test_a_message_that_is_not_well_formed_uses_no_place(send: Send, world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 1)

    send(type="image")

    assert send().status_code == 200


@given(
    gaps=st.lists(st.sampled_from([0.0, 0.01, 0.049, 0.05, 0.2, 0.999, 1.0, 3.0]), max_size=120),
    limit=st.integers(1, 5),
)
def test_no_second_ever_holds_more_than_the_limit(gaps: list[float], limit: int) -> None:
    world = default_world()
    world.set_limit(PHONE_NUMBER_ID, limit)
    now = 0.0
    accepted: list[float] = []
    for gap in gaps:
        now += gap
        if taken(world, now, to=f"+65{now}{len(accepted)}"):
            accepted.append(now)

    for first in accepted:
        assert sum(1 for at in accepted if at >= first and at - first < 1.0) <= limit


def test_the_most_in_a_second_counts_any_window_not_calendar_seconds() -> None:
    second = SlidingSecond()
    for at in (0.75, 0.875, 1.25, 1.5, 1.75):
        second.add(at)

    assert second.most == 4


def test_a_user_gets_one_message_every_six_seconds_without_debt() -> None:
    pair = PairRate()
    for at in (0.0, 6.0, 12.0, 18.0):
        assert pair.allows("+6591234567", at)
        pair.add("+6591234567", at)


def test_a_burst_to_a_user_ends_at_45_messages() -> None:
    pair = PairRate()
    for _ in range(45):
        assert pair.allows("+6591234567", 0.0)
        pair.add("+6591234567", 0.0)

    assert not pair.allows("+6591234567", 0.0)
    assert pair.allows("+6591234568", 0.0)


def test_a_burst_is_paid_back_by_waiting_as_long_as_it_would_have_needed() -> None:
    pair = PairRate()
    for _ in range(20):
        pair.add("+6591234567", 0.0)

    assert not pair.allows("+6591234567", 119.9)
    assert pair.allows("+6591234567", 120.0)


def test_too_many_messages_to_one_user_get_131056_unless_the_rule_is_off(
    send: Send, world: World, clock: SimpleNamespace
) -> None:
    send()
    send()
    clock.monotonic += 7

    assert send().json()["error"]["code"] == 131056
    world.patch_settings({"pair_rate": False})
    assert send().status_code == 200


def test_a_limit_of_a_number_is_not_kept_over_a_reset(world: World) -> None:
    world.set_limit(PHONE_NUMBER_ID, 0)
    world.reset()

    assert taken(world, 1.0)


@pytest.mark.parametrize("limit", [5, 40])
def test_a_limit_may_change_at_any_time(world: World, limit: int) -> None:
    for n in range(5):
        taken(world, 1.0, to=f"+65{n}")
    world.set_limit(PHONE_NUMBER_ID, limit)

    assert taken(world, 1.0) is (limit > 5)


def arrival(number: int, at: float, *, to: str = "+6591234567", code: int | None = None) -> Arrival:
    return Arrival(
        number=number,
        at=at,
        phone_number_id=PHONE_NUMBER_ID,
        recipient=to,
        outcome="refused" if code else "accepted",
        accepted=code is None,
        code=code,
        message_id=None if code else f"wamid.{number}",
    )


def test_an_arrival_records_the_recipient_the_time_and_the_outcome(
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


def test_the_summary_shows_the_busiest_second_and_the_first_and_last_moment() -> None:
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
