"""Facts in the state file: the newest observation stays, and reads are counted by the hour."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wacoex_cli.channels import registry
from wacoex_cli.channels.model import Details, Fact, in_order
from wacoex_cli.channels.store import Channels, Facts
from wacoex_cli.foundation import migrations
from wacoex_cli.foundation.state import State, open_state

NOW = datetime(2026, 11, 7, 12, 30, tzinfo=UTC)


def fact(name: str, value: object, at: str = "2026-11-07T12:00:00.000Z") -> Fact:
    return Fact(name, value, "meta", at)


def test_a_newer_observation_takes_the_place_of_the_older(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001"), NOW)
    later = fact("status", {"any": ["json", None]}, "2026-11-07T13:00:00.000Z")

    for facts in ([fact("status", "CONNECTED"), fact("name_status", None)], [later]):
        with state.transaction():
            Facts(state).store(1, facts)

    assert Facts(state).facts_by_channel() == {1: [fact("name_status", None), later]}


def test_a_fact_that_is_not_available_keeps_its_reason(state: State) -> None:
    registry.add_channel(state, "shop", Details("+6560000001"), NOW)
    refused = Fact("username", None, "meta", "2026-11-07T12:00:00.000Z", "Meta refused")
    with state.transaction():
        Facts(state).store(1, [refused])

    [kept] = Facts(state).facts_by_channel()[1]

    assert kept == refused
    assert kept.to_json()["value"] == "not_available"


def test_reads_are_counted_in_their_clock_hour(state: State) -> None:
    for moment in (NOW, NOW + timedelta(minutes=29)):
        with state.transaction():
            Facts(state).count_calls({"900": 3}, moment)

    assert Facts(state).calls_in_hour(NOW) == {"900": 6}
    assert Facts(state).calls_in_hour(NOW + timedelta(hours=1)) == {}


def test_a_state_file_from_before_facts_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:3])
        old = open_state(path)
        with old.transaction():
            Channels(old).insert("shop", Details("+6560000001"), NOW)
        old.close()

    state = open_state(path)

    assert [one.name for one in Channels(state).all_channels()] == ["shop"]
    assert Facts(state).facts_by_channel() == {}
    state.close()


def test_facts_are_shown_in_a_fixed_order() -> None:
    names = ["waba.name", "token.is_valid", "quality_rating", "status"]

    assert [one.name for one in in_order([fact(name, 1) for name in names])] == [
        "status",
        "quality_rating",
        "token.is_valid",
        "waba.name",
    ]
