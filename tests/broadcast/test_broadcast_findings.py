"""Findings about limits and about people who may not be written to."""

from __future__ import annotations

import pytest

from wacoex_cli.broadcast.checks import (
    check_limit_used_up,
    check_messaging_limit,
    check_us_marketing,
)
from wacoex_cli.findings.model import Severity

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
