"""Findings about limits and about people who may not be written to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from wacoex_cli.broadcast.checks import (
    Doubtful,
    Throttled,
    Trouble,
    check_doubtful,
    check_limit_used_up,
    check_messaging_limit,
    check_refused_people,
    check_throttled,
    check_trouble,
    check_us_marketing,
    troubles,
)
from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details
from wacoex_cli.findings.model import Severity
from wacoex_cli.sandbox.faults import Fault

SEEN = "2026-11-07T12:00:00.000Z"


@pytest.mark.parametrize(
    ("tier", "taken", "severities"),
    [
        ("TIER_250", 249, []),
        ("TIER_250", 250, [Severity.WARNING]),
        ("TIER_UNLIMITED", 10**7, []),
        ("UNTIERED", 10, []),
        (None, 10, []),
        ("TIER_OF_TOMORROW", 0, [Severity.UNKNOWN]),
        ({"odd": 1}, 0, [Severity.UNKNOWN]),
    ],
)
def test_a_limit_is_used_up_when_so_many_people_were_messaged(
    tier: object, taken: int, severities: list[Severity]
) -> None:
    found = check_limit_used_up(tier, taken, "shop", SEEN)

    assert [(one.id, one.severity) for one in found] == [("WX502", one) for one in severities]


def test_a_plan_above_the_limit_is_critical_and_says_what_room_is_left() -> None:
    [finding] = check_messaging_limit("TIER_250", 200, 100, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX502", Severity.CRITICAL)
    assert finding.remedy[0] == "split the list: at most 150 people now, the rest tomorrow"
    assert check_messaging_limit("TIER_250", 150, 100, "shop", SEEN) == []


def test_marketing_to_plus_one_numbers_is_a_warning() -> None:
    [finding] = check_us_marketing("MARKETING", 3, "shop", SEEN)

    assert (finding.id, finding.severity) == ("WX506", Severity.WARNING)
    assert check_us_marketing("UTILITY", 3, "shop", SEEN) == []
    assert check_us_marketing("MARKETING", 0, "shop", SEEN) == []


def test_a_second_full_of_throttled_answers_asks_who_else_sends() -> None:
    trouble = Trouble(throttled=(Throttled(3, 15, SEEN), Throttled(4, 5, SEEN)))

    [finding] = check_throttled(trouble, "shop")

    assert (finding.id, finding.severity, finding.channel) == ("WX503", Severity.WARNING, "shop")
    assert finding.evidence[0].text == "130429 came 15 times while broadcast 3 was sent"
    assert any("wacoex partner check shop" in step for step in finding.remedy)


def test_a_few_throttled_answers_are_only_told() -> None:
    [finding] = check_throttled(Trouble(throttled=(Throttled(3, 19, SEEN),)), "shop")

    assert finding.severity is Severity.INFO


def test_ambiguous_rows_wait_for_a_decision_in_each_broadcast() -> None:
    trouble = Trouble(doubtful=(Doubtful(3, 2, SEEN), Doubtful(5, 1, SEEN)))

    [finding] = check_doubtful(trouble, "shop")

    assert (finding.id, finding.severity) == ("WX505", Severity.WARNING)
    assert finding.title == "it is not known whether 3 messages went out"
    assert [step[-4:-1] for step in finding.remedy] == ["e 3", "e 5"]


def test_people_who_were_refused_marketing_are_told_and_are_no_fault() -> None:
    trouble = Trouble(refused={131049: 12, 131050: 1}, refused_at=SEEN)

    [finding] = check_refused_people(trouble, "shop")

    assert (finding.id, finding.severity) == ("WX506", Severity.INFO)
    assert [one.text[:17] for one in finding.evidence] == ["12 people, 131049", "1 person, 131050:"]


def test_broadcasts_that_went_well_leave_no_trouble() -> None:
    assert check_trouble(Trouble(), "shop") == []


def test_throttled_answers_are_remembered_although_every_row_is_taken_in_the_end(
    shop: Any,
) -> None:
    shop.faults(Fault("throttled", count=3))
    sent = shop.planned(5)

    shop.send(sent)

    now = shop.clock.now()
    assert shop.counts(sent) == {"accepted": 5}
    [throttled] = troubles(shop.state, [shop.channel], now)[shop.channel.channel_id].throttled
    assert (throttled.broadcast_id, throttled.times) == (sent.broadcast_id, 3)
    later = now + timedelta(hours=24, minutes=1)
    assert troubles(shop.state, [shop.channel], later)[shop.channel.channel_id] == Trouble()


def test_what_became_of_rows_is_told_by_channel(shop: Any) -> None:
    shop.faults(
        Fault("refuse", code=131049, arrivals=frozenset({1})),
        Fault("refuse", code=131050, arrivals=frozenset({2, 3})),
        Fault("empty_body", arrivals=frozenset({4})),
    )
    sent = shop.planned(5)
    other = registry.add_channel(
        shop.state, "other", Details(phone="+6560000002"), shop.clock.now()
    )

    shop.send(sent)

    found = troubles(shop.state, [shop.channel, other], shop.clock.now())
    trouble = found[shop.channel.channel_id]
    assert trouble.refused == {131049: 1, 131050: 2}
    assert [(one.broadcast_id, one.rows) for one in trouble.doubtful] == [(sent.broadcast_id, 1)]
    assert found[other.channel_id] == Trouble()
    months_later = shop.clock.now() + timedelta(days=60)
    kept = troubles(shop.state, [shop.channel], months_later)[shop.channel.channel_id]
    assert (len(kept.doubtful), kept.refused) == (1, {})
